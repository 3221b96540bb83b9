"""Every experiment, and every published variant of one that has several, as words of a command line."""

from __future__ import annotations

from recipe.train.config import compose, experiments

VARIANTS = ("paper", "trl", "verl")
VARIED = ("grpo_qwen3_8b", "grpo_qwen3_1_7b")
RUNS = [*experiments(), *(f"{name} method=grpo_{variant}" for name in VARIED for variant in VARIANTS[1:])]
GRPO = [run for run in RUNS if run.startswith("grpo")]
SFT = [run for run in RUNS if run.startswith("sft")]


def composed(run, overrides=()):
    """The configuration of a run; `overrides` come after its own."""
    name, *own = run.split()
    return compose(name, [*own, *overrides])
