"""Which of verl's training figures are drawn, and under what names.

A step's figures, as recipe.models.run_log reads them from RUN/metrics/*.jsonl:
    {"critic/score/mean": 6.2, "response_length/mean": 48.1, "val-aux/bc5cdr/f1/mean@1": 0.41, ...}
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean

from recipe.core.entities import DataError
from recipe.models.run_log import read_metrics
from recipe.report.charts import Line

MAX_LINES = 3  # validation sets with a line of their own; more are averaged


@dataclass(frozen=True, slots=True)
class Curve:
    """One chart: its title, what the figures mean, and its lines."""

    title: str
    meaning: str
    lines: tuple[Line, ...]


# Title, meaning, and (name of the line, verl's key); a key's group is the validation set, one line each.
_CURVES = (
    ("Reward", "mean over the rollouts of a step, and over validation sentences", (
        ("validation", r"val-aux/(.+)/score/mean@\d+"),
        ("training", r"critic/score/mean"),
    )),
    ("F1", "mean over validation sentences, and over the rollouts of a step by whether there is something to name", (
        ("validation", r"val-aux/(.+)/f1/mean@\d+"),
        ("training, with entities", r"answers/f1_with_entities"),
        ("training, without", r"answers/f1_without_entities"),
    )),
    ("Precision and recall", "of the entities of a step's rollouts, pooled", (
        ("precision", r"answers/precision"),
        ("recall", r"answers/recall"),
    )),
    ("Silence", "share of a step's rollouts that name nothing, of those with something to name", (
        ("names nothing", r"answers/names_nothing"),
    )),
    ("Unreadable", "share of a step's rollouts that can't be read, and that were cut off", (
        ("can't be read", r"answers/unparsable"),
        ("cut off", r"response_length/clip_ratio"),
    )),
    ("Flat groups", "share of a step's prompts whose answers all have one score, which teach nothing", (
        ("flat", r"answers/flat_groups"),
    )),
    ("Schema", "share of the answers in the layout, with types of the schema alone", (
        ("validation", r"val-aux/(.+)/schema/mean@\d+"),
        ("training", r"answers/schema"),
    )),
    ("Response length", "tokens, mean over the rollouts of a step", (("training", r"response_length/mean"),)),
    ("KL", "divergence from the reference model", (
        ("in the loss", r"actor/kl_loss"),
        ("in the reward", r"actor/reward_kl_penalty"),
    )),
    ("Update carried", "share of all updates that is left of them in the precision of the rollouts", (
        ("carried", r"actor/update_carried"),
    )),
    ("Entropy", "of the policy, mean over the tokens that updates read", (("training", r"actor/entropy(_loss)?"),)),
    ("Loss", "of fine-tuning, mean over tokens", (("training", r"train/loss"), ("validation", r"val/loss"))),
)  # fmt: skip


def read_curves(run: Path) -> list[Curve]:
    """The curves that a run has figures for, in a fixed order. DataError if there are none."""
    if not Path(run).is_dir():
        raise DataError(f"{run}: no such folder; give the folder of a run")
    metrics = read_metrics(run)
    curves = []
    for title, meaning, wanted in _CURVES:
        if lines := [line for name, key in wanted for line in _lines(metrics, name, key)]:
            curves.append(Curve(title, meaning, tuple(lines)))
    if not curves:
        raise DataError(f"{run}: no training figures of verl in its metrics/*.jsonl; give the folder of a run")
    return curves


def _lines(metrics: Mapping[int, Mapping[str, float]], name: str, key: str) -> list[Line]:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for step, figures in metrics.items():
        for label, value in figures.items():
            # Not finite: a step that went wrong. NaN is not equal to itself.
            if (match := re.fullmatch(key, label)) and value == value and abs(value) != float("inf"):
                found[f"{name}, {match[1]}" if match.groups() else name].append((step, value))
    if len(found) > MAX_LINES:
        return [Line(f"{name}, mean of {len(found)} sets", means(chain.from_iterable(found.values())))]
    return [Line(label, tuple(points)) for label, points in found.items()]


def means(values: Iterable[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Of (step, value): each step with the mean of its values, ascending."""
    by_step: dict[int, list[float]] = defaultdict(list)
    for step, value in values:
        by_step[step].append(value)
    return tuple((step, fmean(found)) for step, found in sorted(by_step.items()))
