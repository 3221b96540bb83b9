"""How far the cells beside GRPO are trained: as long as GRPO took, and as often over its rows.

    python -m recipe.learning.budget outputs/learning/tiny/seed_1/runs --rows outputs/learning/tiny/data/{sft,gold}
    time_steps 594 time_epochs 3 row_epochs 3

time_steps are the steps of SFT that take as many seconds as all steps of GRPO took, time_epochs the epochs over
--rows that hold so many, row_epochs how often GRPO saw each of its rows. launch/learning.sh reads them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError
from recipe.core.output import MANIFEST, read_manifest
from recipe.learning.costs import Cost, cost


@dataclass(frozen=True, slots=True)
class Budget:
    """SFT's steps for GRPO's seconds and the epochs that hold them; the epochs over GRPO's rows."""

    time_steps: int
    time_epochs: int
    row_epochs: int


def budget(sft: Cost, grpo: Cost, rows: int) -> Budget:
    """At least one step and one epoch each. DataError for fewer `rows` to go on with than a batch of SFT has."""
    steps_an_epoch = rows // sft.batch
    if not steps_an_epoch:
        raise DataError(f"{rows} rows are no batch of {sft.batch}; take more with SFT_ROWS")
    steps = max(1, round(grpo.seconds / (sft.seconds / sft.steps)))
    return Budget(steps, math.ceil(steps / steps_an_epoch), max(1, round(grpo.epochs)))


def _rows(folder: Path) -> int:
    rows = read_manifest(folder).get("train.parquet", {}).get("rows")
    if not isinstance(rows, int):
        raise DataError(f"{folder / MANIFEST}: says no number of rows; write them with data_prep/to_parquet.py")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is missing."""
    out = "outputs/learning/tiny"
    example = f"python -m recipe.learning.budget {out}/seed_1/runs --rows {out}/data/sft {out}/data/gold"
    parser = command_parser("recipe.learning.budget", "Steps and epochs of the cells beside GRPO.", example)
    parser.add_argument("runs", type=Path, help="holds the finished runs sft and grpo")
    parser.add_argument(
        "--rows", type=Path, nargs="+", required=True, metavar="DIR", help="folders of the rows that SFT goes on with"
    )
    args = parser.parse_args(argv)

    def run() -> None:
        found = budget(cost(args.runs / "sft"), cost(args.runs / "grpo"), sum(map(_rows, args.rows)))
        print(f"time_steps {found.time_steps} time_epochs {found.time_epochs} row_epochs {found.row_epochs}")

    return exit_status("learning.budget", run)


if __name__ == "__main__":
    sys.exit(main())
