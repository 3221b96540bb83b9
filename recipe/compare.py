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
from typing import TYPE_CHECKING

from recipe.command_line import exit_status
from recipe.entities import DataError
from recipe.judge import SCORED_RULES
from recipe.run_log import read_metrics
from recipe.scores import PARTS

if TYPE_CHECKING:
    import numpy as np

REWARD, WINDOW = "critic/score/mean", 10


def read_scores(folder: Path) -> dict:
    """A folder's scores.json; DataError if there is none."""
    path = Path(folder) / "scores.json"
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        _ = [
            dataset[rule]["f1"] for dataset in [*scores["datasets"].values(), scores["micro"]] for rule in SCORED_RULES
        ]
        _ = [scores["macro"][rule] for rule in SCORED_RULES]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: no scores in it; write them with python -m recipe.evaluate --out {folder}") from error
    return scores


def score_table(folders: Sequence[Path], rule: str = "strict") -> str:
    """F1 in percent under one matching rule: a row a dataset, a column a folder; pooled (micro) and averaged below.

    Then, for every folder but the first, the difference of the macro averages and its p-value. DataError if the folders
    were scored on different sentences.
    """
    scores = [read_scores(folder) for folder in folders]
    counts = [_read_counts(folder, rule) for folder in folders]
    for folder, other in zip(folders, counts, strict=True):
        if [(name, gold) for name, _, gold in other] != [(name, gold) for name, _, gold in counts[0]]:
            raise DataError(f"{folder}: scored on other rows than {folders[0]}; evaluate both on one file")
    rows = {name: [other["datasets"][name][rule]["f1"] for other in scores] for name in scores[0]["datasets"]}
    rows["all, pooled"] = [other["micro"][rule]["f1"] for other in scores]
    rows["macro average"] = [other["macro"][rule] for other in scores]
    width = max(map(len, rows))
    head = f"{'F1 %, ' + rule:{width}} " + " ".join(f"{Path(folder).name:>10}" for folder in folders)
    body = (f"{name:{width}} " + " ".join(f"{100 * value:10.1f}" for value in values) for name, values in rows.items())
    tests = (
        _paired(counts[0], other, folders[0], folder) for folder, other in zip(folders[1:], counts[1:], strict=True)
    )
    return "\n".join([head, *body, *tests])


_Counts = list[
    tuple[str, "np.ndarray", list]
]  # dataset, (sentences, 1, 3) counts, what must be the same in all folders


def _read_counts(folder: Path, rule: str) -> _Counts:
    """Counts of each sentence by dataset, in the order of the rows."""
    import numpy as np
    import pandas as pd

    path = Path(folder) / "sentences.parquet"
    columns = [f"{rule}_{part}" for part in PARTS]
    try:
        table = pd.read_parquet(path, columns=["index", "dataset", *columns]).sort_values("index")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no sentences in it; write them with python -m recipe.evaluate") from error
    return [
        (
            str(name),
            part[columns].to_numpy(np.float64)[:, None, :],
            list(zip(part["index"], part[columns[-1]], strict=True)),
        )
        for name, part in table.groupby("dataset", sort=False)
    ]


def _paired(first: _Counts, second: _Counts, name: Path, other: Path) -> str:
    from recipe.intervals import paired_p_value

    difference, p = paired_p_value([counts for _, counts, _ in first], [counts for _, counts, _ in second])
    return (
        f"{Path(other).name} - {Path(name).name}: {100 * difference[0]:+.1f} points of macro F1, p = {p[0]:.4f} "
        "(paired randomisation over sentences)"
    )


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
    parser.add_argument("--rule", choices=SCORED_RULES, default="strict", help="default: strict")
    args = parser.parse_args(argv)

    def run() -> None:
        print(score_table(args.scores, args.rule))
        if args.run:
            print(f"\n{reward_line(args.run)}")

    return exit_status("compare", run)


if __name__ == "__main__":
    sys.exit(main())
