"""What the precision of GRPO costs a real model: fp32, fp16 and bf16 from one SFT, at equal steps and one seed.

    python tests/benchmarks/grpo_precision.py models/sft_smollm2 --data data/grpo --work outputs/grpo_precision

MODEL is a fine-tuned SmolLM2-135M-Instruct (recipe.smollm2, then sft_smollm2_135m), --data a folder of to_parquet.py
grpo. In each precision the forward passes and the rollouts have it, and the master weights are fp32, as verl has them.
At the end the dev sentences (--num-dev 100 of to_parquet.py are 200) are answered twice: by the policy that sampled,
and by the master weights, exported and decoded in fp32. Where the two differ, a part of the update was never sampled
from. `carried` is the share of the update that the rollouts had, at the first step and the last. Prints a table and
writes grpo_precision.json beside this file. What is done stays in --work. Seconds a step are this CPU's: it computes
fp16 and bf16 as it can.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.compare import read_scored
from recipe.core.files import write_json
from recipe.models.run_log import read_metrics
from recipe.train.config import compose

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
EXPERIMENT = "grpo_smollm2_135m"
ROLLOUT = "actor_rollout_ref.rollout"
MIXED = "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype"
SETTINGS = {
    "fp32": [],
    "fp16": [f"{MIXED}=fp16", f"{ROLLOUT}.dtype=float16"],
    "bf16": [f"{MIXED}=bf16", f"{ROLLOUT}.dtype=bfloat16"],
}


def run(*command: object) -> None:
    print("$", *command, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, check=True, stdout=sys.stderr)


def train(folder: Path, args: argparse.Namespace, overrides: list[str]) -> None:
    """One GRPO run, its master weights as a model, and what that model answers; nothing of what is there."""
    settings = {
        "data.train_files": args.data.absolute() / "train.parquet",
        "data.val_files": args.data.absolute() / "dev.parquet",
        "actor_rollout_ref.model.path": args.model.absolute(),
        "trainer.default_local_dir": folder,
        "trainer.total_training_steps": args.steps,
        "trainer.test_freq": args.steps,
        "trainer.save_freq": args.steps,
        "seed": 1,
    }
    if not (folder / "validation" / f"{args.steps}.jsonl").is_file():
        run("recipe.train", EXPERIMENT, *(f"{key}={value}" for key, value in settings.items()), *overrides)
    if not (folder / "master" / "config.json").is_file():
        run("recipe.merge", folder, "--out", folder / "master", "--dtype", "fp32")
    if not (folder / "scores" / "scores.json").is_file():
        told = ["--data", settings["data.val_files"], "--out", folder / "scores", "--dtype", "float32"]
        room = compose(EXPERIMENT).data.max_response_length
        run("recipe.evaluate", folder / "master", *told, "--max-new-tokens", room)


def of_validation(run: Path, step: int) -> dict[str, float]:
    """Of the policy that sampled."""
    lines = map(json.loads, (run / "validation" / f"{step}.jsonl").read_text(encoding="utf-8").splitlines())
    rows = [[row[name] for name in ("n_match", "n_pred", "n_gold", "unparsable")] for row in lines]
    return figures(np.array(rows, dtype=float))


def of_master(run: Path) -> dict[str, float]:
    """Of the weights that were trained."""
    scored = read_scored(run / "scores", "strict")
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


def measure(work: Path, args: argparse.Namespace) -> dict:
    """The figures of the runs that are done, beside those of the model that they began with."""
    done = [name for name in SETTINGS if (work / name / "scores" / "scores.json").is_file()]
    found = {"experiment": EXPERIMENT, "steps": args.steps, "start": of_validation(work / done[0], 0), "settings": {}}
    for name in done:
        steps = [step for _, step in sorted(read_metrics(work / name).items()) if "timing_s/step" in step]
        carried = [step.get("actor/update_carried", 1.0) for step in steps]
        found["settings"][name] = {
            "sampled": of_validation(work / name, args.steps),
            "master": of_master(work / name),
            "carried_first": carried[0],
            "carried_last": carried[-1],
            "reward_by_step": [step["critic/score/mean"] for step in steps],
            "names_nothing_by_step": [step["answers/names_nothing"] for step in steps],
            "seconds_a_step": float(np.median([step["timing_s/step"] for step in steps])),
            "overrides": SETTINGS[name],
        }
    return found


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
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of the fine-tuned model")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and dev.parquet")
    parser.add_argument("--work", type=Path, required=True, help="where the runs go")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, help="these precisions alone")
    args = parser.parse_args()
    for name in args.only or SETTINGS:
        train(args.work.absolute() / name, args, SETTINGS[name])
    found = measure(args.work.absolute(), args)
    print(table(found))
    write_json(HERE.with_suffix(".json"), found)


if __name__ == "__main__":
    for overrides in SETTINGS.values():
        compose(EXPERIMENT, overrides)  # a misspelt setting ends it here
    main()
