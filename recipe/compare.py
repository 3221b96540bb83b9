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
from recipe.run_log import read_metrics

REWARD, WINDOW = "critic/score/mean", 10


def read_scores(folder: Path) -> dict:
    """A folder's scores.json; DataError if there is none."""
    path = Path(folder) / "scores.json"
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        assert scores["datasets"] and scores["macro"] and scores["micro"]
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(f"{path}: no scores to read; write them with python -m recipe.evaluate --out {folder}") from error
    return scores


def score_table(folders: Sequence[Path], rule: str = "strict") -> str:
    """F1 in percent under one matching rule: a row a dataset, a column a folder, micro and macro average below."""
    scores = [read_scores(folder) for folder in folders]
    names = list(scores[0]["datasets"])
    for folder, other in zip(folders, scores, strict=True):
        if list(other["datasets"]) != names or other["rows"] != scores[0]["rows"]:
            raise DataError(f"{folder}: scored on other rows than {folders[0]}; evaluate both on one file")
    rows = [[name, *(100 * s["datasets"][name][rule]["f1"] for s in scores)] for name in names]
    rows.append(["micro", *(100 * s["micro"][rule]["f1"] for s in scores)])
    rows.append(["macro", *(100 * s["macro"][rule] for s in scores)])
    width = max(len(str(row[0])) for row in rows)
    head = f"{'F1, ' + rule:<{width}} " + " ".join(f"{Path(folder).name:>10}" for folder in folders)
    body = (f"{row[0]:<{width}} " + " ".join(f"{value:10.1f}" for value in row[1:]) for row in rows)
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
