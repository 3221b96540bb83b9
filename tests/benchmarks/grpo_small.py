"""What GRPO's settings do for a small model on little compute: one seed and few steps each, scored on the dev split.

    python tests/benchmarks/grpo_small.py models/sft --data data/grpo --work outputs/grpo_small

MODEL is the tiny model after an SFT that is done, --data a folder of to_parquet.py grpo with some hundred rows of dev.
Each setting is a GRPO run of the same number of answers; what they find of the dev split at its end is compared with
MODEL's own answers: sentences that can be read in both, with an interval by bootstrap over sentences. Prints a table
and writes grpo_small.json beside this file. What is done stays in --work, so that the same command goes on after an
interruption. Settings whose intervals overlap are not told apart by this: it is one seed, on the split that chooses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.core.files import write_json
from recipe.evaluate.intervals import f1_of, interval, resampled_sums
from recipe.models.run_log import read_metrics
from recipe.train.config import compose

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
REWARD, ACTOR, ROLLOUT = (
    "reward.custom_reward_function.reward_kwargs",
    "actor_rollout_ref.actor",
    "actor_rollout_ref.rollout",
)


def groups(prompts: int, answers: int) -> list[str]:
    """A batch of so many prompts with so many answers each."""
    batch = [f"data.train_batch_size={prompts}", f"{ACTOR}.ppo_mini_batch_size={prompts}"]
    return [*batch, f"{ROLLOUT}.n={answers}"]


def rate(lr: float) -> list[str]:
    return [f"{ACTOR}.optim.lr={lr}"]


FILTER = ["algorithm.filter_groups.enable=true", "algorithm.filter_groups.metric=f1"]
# Every setting names what differs from the first one: ReasoningNER's reward, temperature 1, 12 prompts of 8 answers.
PAPER = [
    *(f"{REWARD}.{part}_weight=0" for part in ("length", "reasoned")),
    *(f"{REWARD}.{name}=1" for name in ("repaired_value", "empty_value")),
    f"{ROLLOUT}.temperature=1.0",
    *groups(12, 8),
    *rate(1e-4),
]
SETTINGS = {
    "12 x 8": [],
    "24 x 4": groups(24, 4),
    "learning rate 3e-4": rate(3e-4),
    "learning rate 5e-5": rate(5e-5),
    "groups without spread replaced": FILTER,
    "advantage not divided by deviation": ["algorithm.norm_adv_by_std_in_grpo=false"],
    "empty_value 0.3": [f"{REWARD}.empty_value=0.3"],
    "24 x 4, overlap_value 0.5": [*groups(24, 4), f"{REWARD}.overlap_value=0.5"],
    "24 x 4, beta 2": [*groups(24, 4), f"{REWARD}.beta=2"],
    "pay for length, reasoning; temperature 0.8": [
        *(f"{REWARD}.{part}_weight=2" for part in ("length", "reasoned")),
        f"{REWARD}.repaired_value=0.5",
        f"{ROLLOUT}.temperature=0.8",
    ],
}


def folder(work: Path, name: str) -> Path:
    """Of a setting's run."""
    return work / name.replace(" ", "_").replace(",", "").replace(";", "")


def train(run: Path, model: Path, data: Path, steps: int, overrides: list[str]) -> None:
    """One GRPO run, validated before it and after its last step; nothing if that is there."""
    if (run / "validation" / f"{steps}.jsonl").is_file():
        return
    settings = {
        "data.train_files": data / "train.parquet",
        "data.val_files": data / "dev.parquet",
        "actor_rollout_ref.model.path": model,
        "trainer.default_local_dir": run,
        "trainer.total_training_steps": steps,
        "trainer.test_freq": steps,
        "trainer.save_freq": -1,
        "seed": 1,
    }
    command = [
        sys.executable,
        "-m",
        "recipe.train",
        "grpo_tiny",
        *(f"{key}={value}" for key, value in settings.items()),
    ]
    print("$", *command, *overrides, file=sys.stderr, flush=True)
    subprocess.run([*command, *overrides], cwd=ROOT, check=True, stdout=sys.stderr)


def answers(run: Path, step: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Of a validation, in one order for all runs: each sentence's dataset, its counts (sentences, 3), unread or not."""
    lines = map(json.loads, (run / "validation" / f"{step}.jsonl").read_text(encoding="utf-8").splitlines())
    rows = sorted(lines, key=lambda row: (row["data_source"], row["input"], row["gts"]))
    counts = np.array([[row[name] for name in ("n_match", "n_pred", "n_gold")] for row in rows])
    return [row["data_source"] for row in rows], counts, np.array([row["unparsable"] for row in rows]) > 0


def difference(
    datasets: list[str], first: np.ndarray, second: np.ndarray, resamples: int = 1000
) -> tuple[float, list[float]]:
    """`second` minus `first` in points of macro F1, and its 95 % interval by bootstrap over sentences."""
    rng, names, drawn, seen = np.random.default_rng(0), np.array(datasets), 0.0, 0.0
    for dataset in dict.fromkeys(datasets):
        both = np.stack([first, second], axis=1)[names == dataset]
        f1 = f1_of(resampled_sums(both, rng, resamples))
        drawn, seen = drawn + f1[:, 1] - f1[:, 0], seen + np.diff(f1_of(both.sum(axis=0)))[0]
    number = len(dict.fromkeys(datasets))
    low, high = interval(100 * drawn / number)
    return 100 * seen / number, [float(low), float(high)]


def figures(datasets: list[str], counts: np.ndarray, unread: np.ndarray) -> dict[str, float]:
    """Strict macro F1, pooled precision and recall, and shares of the answers, in percent."""
    names, sums = np.array(datasets), counts.sum(axis=0)
    named = counts[:, 2] > 0
    return {
        "f1": 100 * float(np.mean([f1_of(counts[names == one].sum(axis=0)) for one in dict.fromkeys(datasets)])),
        "precision": 100 * float(sums[0] / max(1, sums[1])),
        "recall": 100 * float(sums[0] / max(1, sums[2])),
        "unreadable": 100 * float(unread.mean()),
        "names_nothing": 100 * float(((counts[:, 1] == 0) & ~unread & named).sum() / max(1, named.sum())),
    }


def measure(work: Path, steps: int) -> dict:
    """The figures of all runs in --work that are done, beside those of the model that they began with."""
    runs = {name: folder(work, name) for name in SETTINGS}
    done = {name: run for name, run in runs.items() if (run / "validation" / f"{steps}.jsonl").is_file()}
    datasets, before, unread = answers(next(run for run in done.values() if (run / "validation/0.jsonl").is_file()), 0)
    found = {"steps": steps, "sentences": len(datasets), "start": figures(datasets, before, unread), "settings": {}}
    for name, run in done.items():
        same, after, missing = answers(run, steps)
        if same != datasets or (after[:, 2] != before[:, 2]).any():
            raise SystemExit(f"{run}: validated on other sentences; give another --work")
        both = ~unread & ~missing
        points, bounds = difference(
            [d for d, here in zip(datasets, both, strict=True) if here], before[both], after[both]
        )
        seconds = [one["timing_s/step"] for one in read_metrics(run).values() if "timing_s/step" in one]
        found["settings"][name] = {
            **figures(datasets, after, missing),
            "read_in_both_points": points,
            "interval": bounds,
            "seconds_a_step": float(np.median(seconds)),
            "overrides": SETTINGS[name],
        }
    return found


def table(found: dict) -> str:
    """For people; of the differences, those of sentences that could be read before and after."""
    lines = [f"{'':44} {'F1':>5} {'P':>5} {'R':>5} {'unread':>6} {'silent':>6} {'read in both':>22}"]
    for name, row in {"before": found["start"], **found["settings"]}.items():
        shown = " ".join(f"{row[key]:5.1f}" for key in ("f1", "precision", "recall"))
        line = f"{name:44} {shown} {row['unreadable']:6.1f} {row['names_nothing']:6.1f}"
        if "interval" in row:
            low, high = row["interval"]
            line += f" {row['read_in_both_points']:+7.1f} ({low:+5.1f} to {high:+5.1f})"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder of the fine-tuned tiny model")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and dev.parquet")
    parser.add_argument("--work", type=Path, required=True, help="where the runs go")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, help="these settings alone")
    args = parser.parse_args()
    for name in args.only or SETTINGS:
        train(
            folder(args.work, name), args.model.absolute(), args.data.absolute(), args.steps, [*PAPER, *SETTINGS[name]]
        )
    found = measure(args.work, args.steps)
    print(table(found))
    write_json(HERE.with_suffix(".json"), found)


if __name__ == "__main__":
    compose("grpo_tiny", PAPER)  # a misspelt setting ends it here
    main()
