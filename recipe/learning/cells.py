"""What launch/learning.sh left: the scores of each cell and seed on each test, and what is not there.

OUT/seed_N/scores/CELL/TEST holds what recipe.evaluate wrote, OUT/seed_N/runs/CELL the run behind it. The model before
SFT has no run, and is scored once for all seeds, in OUT/scores/base/TEST. A test that ends in `_constrained` has
answers that keep to their layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from recipe.compare import ScoredFolder, check_same, read_scored
from recipe.core.entities import DataError
from recipe.evaluate.saved import FILE
from recipe.evaluate.scores import SENTENCES
from recipe.learning.costs import Cost, cost

BASE, SFT, GRPO = "base", "sft", "grpo"
CELLS = {
    BASE: "the model before SFT",
    SFT: "SFT until it is done",
    "sft_time": "SFT goes on, on its own and GRPO's rows with their gold, for as long as GRPO took",
    "sft_rows": "SFT goes on, on GRPO's rows with their gold, as often as GRPO saw them",
    "best_of": "SFT goes on, on the best of eight answers of its own to GRPO's prompts",
    GRPO: "GRPO",
}
# Which cells are compared, (before, after): GRPO with all others; where it wasn't run, what went on from SFT with SFT.
WITH_GRPO = tuple((cell, GRPO) for cell in CELLS if cell != GRPO)
WITHOUT_GRPO = tuple((SFT, cell) for cell in CELLS if cell not in (BASE, SFT, GRPO))
SETS, CONSTRAINED = ("in_domain", "crossner"), "_constrained"
TESTS = tuple(name + ending for name in SETS for ending in ("", CONSTRAINED))

# Test -> cell -> seed -> what was scored; without the tests that nobody was scored on.
Scored = Mapping[str, Mapping[str, Mapping[int, ScoredFolder]]]


@dataclass(frozen=True, slots=True)
class Found:
    """All of a folder.

    `sampling`: seconds that drawing the answers of best_of took, by seed, where they were drawn in one go.
    `missing`: the cells without scores and the runs without a known cost, in words.
    """

    seeds: tuple[int, ...]
    scored: Scored
    costs: Mapping[str, Mapping[int, Cost]]
    sampling: Mapping[int, float]
    missing: tuple[str, ...]


def read(out: Path, rule: str) -> Found:
    """DataError for a folder without scores, and for scores of other sentences than the test's first."""
    folders = {int(number): path for path in out.glob("seed_*") if (number := path.name[5:]).isdecimal()}
    seeds = tuple(sorted(folders))
    scored = {test: one for test in TESTS if (one := _scored(out, folders, test, rule))}
    if not scored:
        raise DataError(f"{out}: no cell was scored; run bash launch/learning.sh")
    costs: dict[str, dict[int, Cost]] = {cell: {} for cell in CELLS}
    untold = []
    for cell, seed in product(CELLS, seeds):
        run = folders[seed] / "runs" / cell
        try:
            if (run / "run.json").is_file():
                costs[cell][seed] = cost(run)
        except DataError as error:  # a run of one step has no time, but its scores are as good as others
            untold.append(str(error))
    sampling = {seed: seconds for seed in seeds if (seconds := _seconds(folders[seed] / "data" / "sampling_seconds"))}
    return Found(seeds, scored, costs, sampling, (*_missing(seeds, scored), *untold))


def _scored(out: Path, folders: Mapping[int, Path], test: str, rule: str) -> dict[str, dict[int, ScoredFolder]]:
    cells: dict[str, dict[int, ScoredFolder]] = {}
    first = None
    for cell in CELLS:
        for seed in sorted(folders):
            folder = (out if cell == BASE else folders[seed]) / "scores" / cell / test
            if not (folder / FILE).is_file():
                continue
            one = read_scored(folder, rule)
            if one.unread is None:
                raise DataError(f"{folder / SENTENCES}: which answers could be read is not kept there; score again")
            first = first or one
            check_same(first, one)
            cells.setdefault(cell, {})[seed] = one
    return cells


def _missing(seeds: tuple[int, ...], scored: Scored) -> list[str]:
    """The cells without scores, one line for each test. Constrained decoding and the base only where some are there."""
    held = any(test.endswith(CONSTRAINED) for test in scored)
    wanted = [cell for cell in CELLS if cell != BASE or any(BASE in cells for cells in scored.values())]
    lines = []
    for test in TESTS:
        if test.endswith(CONSTRAINED) and not held:
            continue
        gone = [
            f"{cell} (seed {', '.join(map(str, lacking))})"
            for cell in wanted
            if (lacking := [seed for seed in seeds if seed not in scored.get(test, {}).get(cell, {})])
        ]
        lines += [f"{test}: {', '.join(gone)}"] if gone else []
    return lines


def _seconds(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
