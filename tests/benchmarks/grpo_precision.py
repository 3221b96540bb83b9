"""What the precision of GRPO costs a real model: fp32 and bf16 from one SFT, at equal steps and one seed.

    bash launch/quickstart.sh model=smollm2_135m
    python tests/benchmarks/grpo_precision.py outputs/quickstart_smollm2_135m --work outputs/grpo_precision

QUICKSTART holds the fine-tuned model that both begin with, the data, and its GRPO run, which is the one in fp32; bf16
is run here, to its first validation. In each precision the forward passes and the rollouts have it, and the master
weights are fp32, as verl has them. At the end the dev sentences are answered twice: by the policy that sampled, and by
the master weights, exported and decoded in fp32. Where the two differ, a part of the update was never sampled from.
`carried` is the share of the update that the rollouts had, at the first step and the last. Of the update in fp32 it is
also told what rollouts in fp16 and bf16 would carry; fp16 isn't run: an update in it takes PyTorch more than six
minutes on a CPU that has no products in fp16. Prints a table and writes grpo_precision.json beside this file. What is
done stays in --work. Seconds a step are this CPU's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.compare import read_scored
from recipe.core.files import write_json
from recipe.engines.rollout_rounding import Carried
from recipe.models.run_log import read_metrics
from recipe.train.config import compose

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
EXPERIMENT = "grpo_smollm2_135m"
ROLLOUT = "actor_rollout_ref.rollout"
MIXED = "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype"
SETTINGS = {
    "fp32": [],
    "bf16": [f"{MIXED}=bf16", f"{ROLLOUT}.dtype=bfloat16"],
}


def run(*command: object) -> None:
    print("$", *command, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, check=True, stdout=sys.stderr)


def train(name: str, args: argparse.Namespace, steps: int) -> None:
    """One GRPO run, its master weights as a model, and what that model answers; nothing of what is there."""
    folder = run_of(name, args)
    dev = args.quickstart / "data" / "grpo" / "dev.parquet"
    settings = {
        "data.train_files": dev.with_name("train.parquet"),
        "data.val_files": dev,
        "actor_rollout_ref.model.path": args.quickstart / "models" / "sft",
        "trainer.default_local_dir": folder,
        "trainer.total_training_steps": steps,
    }
    if not (folder / "validation" / f"{steps}.jsonl").is_file():
        run("recipe.train", EXPERIMENT, *(f"{key}={value}" for key, value in settings.items()), *SETTINGS[name])
    master, scores = args.work / f"{name}_master", args.work / f"{name}_scores"
    if not (master / "config.json").is_file():
        run("recipe.merge", folder, "--step", steps, "--out", master, "--dtype", "fp32")
    if not (scores / "scores.json").is_file():
        room = compose(EXPERIMENT).data.max_response_length
        told = ["--out", scores, "--dtype", "float32", "--max-new-tokens", room]
        run("recipe.evaluate", master, "--data", dev, *told)


def run_of(name: str, args: argparse.Namespace) -> Path:
    return args.quickstart / "grpo" if name == "fp32" else args.work / name


def of_validation(run: Path, step: int) -> dict[str, float]:
    """Of the policy that sampled."""
    lines = map(json.loads, (run / "validation" / f"{step}.jsonl").read_text(encoding="utf-8").splitlines())
    rows = [[row[name] for name in ("n_match", "n_pred", "n_gold", "unparsable")] for row in lines]
    return figures(np.array(rows, dtype=float))


def of_master(scores: Path) -> dict[str, float]:
    """Of the weights that were trained."""
    scored = read_scored(scores, "strict")
    return figures(np.column_stack([scored.counts, scored.unread]))


def figures(rows: np.ndarray) -> dict[str, float]:
    """Of (sentences, 4), matched, named, gold and unread: pooled, in percent; silence of the sentences with names."""
    matched, named, gold, _ = rows.sum(axis=0)
    with_names = rows[:, 2] > 0
    silent = (rows[:, 1] == 0) & (rows[:, 3] == 0) & with_names
    return {
        "sentences": len(rows),
        "f1": 200 * matched / max(1, named + gold),
        "precision": 100 * matched / max(1, named),
        "recall": 100 * matched / max(1, gold),
        "unreadable": 100 * rows[:, 3].mean(),
        "names_nothing": 100 * silent.sum() / max(1, with_names.sum()),
    }


def measure(args: argparse.Namespace, steps: int) -> dict:
    """The figures of the runs that are done, beside those of the model that they began with."""
    start = of_validation(run_of("fp32", args), 0)
    found = {"experiment": EXPERIMENT, "steps": steps, "start": start, "settings": {}}
    for name in SETTINGS:
        scores = args.work / f"{name}_scores"
        if not (scores / "scores.json").is_file():
            continue
        metrics = read_metrics(run_of(name, args))
        taken = [metrics[step] for step in range(1, steps + 1)]
        carried = [step.get("actor/update_carried", 1.0) for step in taken]
        found["settings"][name] = {
            "sampled": of_validation(run_of(name, args), steps),
            "master": of_master(scores),
            "carried_first": carried[0],
            "carried_last": carried[-1],
            "reward_by_step": [step["critic/score/mean"] for step in taken],
            "names_nothing_by_step": [step["answers/names_nothing"] for step in taken],
            "seconds_a_step": float(np.median([step["timing_s/step"] for step in taken])),
            "overrides": SETTINGS[name],
        }
    if "fp32" in found["settings"]:
        found["fp32_would_carry"] = would_carry(args)
    return found


def would_carry(args: argparse.Namespace) -> dict[str, float]:
    """What rollouts in a coarser precision would have of the update in fp32."""
    model = AutoModelForCausalLM.from_pretrained(args.quickstart / "models" / "sft", dtype=torch.float32)
    carried = {name: Carried(model, getattr(torch, name)) for name in ("float16", "bfloat16")}
    trained = AutoModelForCausalLM.from_pretrained(args.work / "fp32_master", dtype=torch.float32)
    model.load_state_dict(trained.state_dict())
    return {name: one.share() for name, one in carried.items()}


def table(found: dict) -> str:
    """For people: silent is the share of the sentences with names whose answer can be read and has none."""
    parts = ("f1", "precision", "recall", "unreadable", "names_nothing")
    lines = [f"{'':16} {'F1':>6} {'P':>6} {'R':>6} {'unread':>6} {'silent':>6} {'carried':>14} {'s a step':>8}"]

    def line(name: str, row: dict[str, float], ending: str = "") -> None:
        lines.append(f"{name:16} " + " ".join(f"{row[part]:6.1f}" for part in parts) + ending)

    line("before", found["start"])
    for name, row in found["settings"].items():
        carried = f"{row['carried_first']:.2f} to {row['carried_last']:.2f}"
        line(f"{name}, sampled", row["sampled"], f" {carried:>14} {row['seconds_a_step']:8.1f}")
        line(f"{name}, master", row["master"])
    for name, share in found.get("fp32_would_carry", {}).items():
        lines.append(f"of the update in fp32, rollouts in {name} would carry {share:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "quickstart", type=Path, metavar="QUICKSTART", help="folder of quickstart.sh model=smollm2_135m"
    )
    parser.add_argument("--work", type=Path, required=True, help="where the runs go")
    parser.add_argument("--only", nargs="*", choices=SETTINGS, help="these precisions alone")
    args = parser.parse_args()
    args.quickstart, args.work = args.quickstart.absolute(), args.work.absolute()
    steps = compose(EXPERIMENT).trainer.test_freq
    for name in args.only or SETTINGS:
        train(name, args, steps)
    found = measure(args, steps)
    print(table(found))
    write_json(HERE.with_suffix(".json"), found)


if __name__ == "__main__":
    for overrides in SETTINGS.values():
        compose(EXPERIMENT, overrides)  # a misspelt setting ends it here
    main()
