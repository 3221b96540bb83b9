"""Scores of several models side by side, and what a GRPO run did to its reward.

    python -m recipe.compare outputs/quickstart/scores/sft outputs/quickstart/scores/grpo --run outputs/quickstart/grpo

Each folder holds a `scores.json` of `recipe.evaluate`; all must be of the same rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.entities import DataError
from recipe.metrics import Counts
from recipe.run_log import read_metrics

REWARD, WINDOW = "critic/score/mean", 10


def read_scores(folder: Path) -> dict:
    """A folder's scores.json; DataError if there is none."""
    path = Path(folder) / "scores.json"
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        for dataset in scores["datasets"].values():
            dataset["counts"] = {rule: Counts(**counts) for rule, counts in dataset["counts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no scores in it; write them with python -m recipe.evaluate --out {folder}") from error
    return scores["datasets"]


def score_table(folders: Sequence[Path], rule: str = "strict") -> str:
    """F1 in percent under one matching rule: a row a dataset, a column a folder; pooled (micro) and averaged below."""
    scores = [read_scores(folder) for folder in folders]
    for folder, other in zip(folders, scores, strict=True):
        if {n: d["counts"][rule].gold for n, d in other.items()} != {
            n: d["counts"][rule].gold for n, d in scores[0].items()
        }:
            raise DataError(f"{folder}: scored on other rows than {folders[0]}; evaluate both on one file")
    rows = {name: [other[name][rule]["f1"] for other in scores] for name in scores[0]}
    rows["all, pooled"] = [sum((d["counts"][rule] for d in other.values()), Counts()).f1 for other in scores]
    rows["macro average"] = [sum(d[rule]["f1"] for d in other.values()) / len(other) for other in scores]
    width = max(map(len, rows))
    head = f"{'F1 %, ' + rule:{width}} " + " ".join(f"{Path(folder).name:>10}" for folder in folders)
    body = (f"{name:{width}} " + " ".join(f"{100 * value:10.1f}" for value in values) for name, values in rows.items())
    return "\n".join([head, *body])


def reward_line(run: Path) -> str:
    """Mean reward over the first and over the last steps of a GRPO run. DataError for a run without any."""
    rewards = [figures[REWARD] for figures in read_metrics(run).values() if REWARD in figures]
    if not rewards:
        raise DataError(f"{run}: no {REWARD} in its metrics; give the folder of a GRPO run")
    size = min(WINDOW, (len(rewards) + 1) // 2)
    first, last = sum(rewards[:size]) / size, sum(rewards[-size:]) / size
    return f"reward, mean of the first and the last {size} of {len(rewards)} steps: {first:.3f} -> {last:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m recipe.compare",
        description="Scores of several models side by side.",
        epilog="example:\n  python -m recipe.compare scores/sft scores/grpo --run outputs/grpo_tiny",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scores", nargs="+", type=Path, help="folders that recipe.evaluate wrote")
    parser.add_argument("--run", type=Path, help="a GRPO run, for its reward")
    parser.add_argument("--rule", choices=("strict", "published"), default="strict", help="default: strict")
    args = parser.parse_args(argv)
    try:
        print(score_table(args.scores, args.rule))
        if args.run:
            print(f"\n{reward_line(args.run)}")
    except DataError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
