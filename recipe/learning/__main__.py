"""What GRPO is worth: its F1 beside SFT alone, SFT of the same time and of the same rows, and the best of its answers.

    python -m recipe.learning outputs/learning/tiny --json tests/benchmarks/learning_tiny.json

    in_domain: 600 sentences of bc5cdr, Broad Tweet Corpus
    cell      seeds |     P      R     F1   sd | unread % silent % tokens
    sft       1,2,3 |  45.1   38.0   41.2  0.6 |      6.0     20.1   62.0
    ...
    difference       points  95 % interval       p    Holm | read in both   95 % interval     P     R | repaired broken
    grpo - sft         +1.9   +0.2 to  +3.6 0.0012  0.0192 |         +0.5   -1.0 to  +2.0  +3.0  -1.9 |     +1.7   -0.2
    ...

launch/learning.sh made the folder. P, R and F1 are macro averages over a test's datasets, then means over seeds; `sd`
is F1's over seeds. `silent` is the share of sentences with entities whose answer can be read and names none, `tokens`
those of reasoning and answer. A difference is split as recipe.compare splits it. On the sentences that both could
read, F1, P and R differ by what stands under "read in both". Those that the second repaired, and those that it broke,
add to the difference what stands there. Where GRPO wasn't run, what went on from SFT is compared with
it: `best_of - sft`.

The interval is over seeds and sentences, the p-value over the sentences of these runs. Holm's p is for as many
comparisons as the table has. The JSON file holds all of it in full precision, with steps, seconds and versions of the
runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from recipe.core.command_line import command_parser, exit_status
from recipe.core.files import write_json
from recipe.evaluate.verdict import SCORED_RULES
from recipe.learning.cells import CELLS, GRPO, WITH_GRPO, WITHOUT_GRPO, Found, read
from recipe.learning.costs import Cost

PROGRAM = "learning"


def results(found: Found, rule: str) -> dict:
    """All that the table and the JSON file show."""
    from recipe.evaluate.intervals import LEVEL, RESAMPLES, holm
    from recipe.learning.figures import cell_figures, difference

    tests, compared = {}, []
    pairs = WITH_GRPO if any(GRPO in cells for cells in found.scored.values()) else WITHOUT_GRPO
    for test, cells in found.scored.items():
        differences = {}
        for before, after in pairs:
            one = difference(cells.get(before, {}), cells.get(after, {}))
            if one:
                differences[f"{after} - {before}"] = one
                compared.append(one)
        some = next(iter(next(iter(cells.values())).values()))
        tests[test] = {
            "sentences": len(some.datasets),
            "datasets": list(some.scores["datasets"]),
            "data_sha256": some.scores.get("source", {}).get("data_sha256"),
            "cells": {cell: cell_figures(by_seed, rule) for cell, by_seed in cells.items()},
            "differences": differences,
        }
    for one, p in zip(compared, holm([one["p"] for one in compared]), strict=True):
        one["p_holm"] = p
    return {
        "cells": CELLS,
        "seeds": list(found.seeds),
        "rule": rule,
        "comparisons": len(compared),
        "interval": {"level": LEVEL, "resamples": RESAMPLES},
        "versions": _versions(found.costs),
        "runs": {
            cell: {str(seed): _run(one) for seed, one in by_seed.items()}
            for cell, by_seed in found.costs.items()
            if by_seed
        },
        "sampling_seconds": {str(seed): seconds for seed, seconds in found.sampling.items()},
        "tests": tests,
        "missing": list(found.missing),
    }


def _run(one: Cost) -> dict:
    return {key: value for key, value in asdict(one).items() if key != "versions"}


def _versions(costs: Mapping[str, Mapping[int, Cost]]) -> dict[str, str | list[str]]:
    """Of the packages behind the runs; several where the runs had several."""
    seen: dict[str, set[str]] = {}
    for one in (one for by_seed in costs.values() for one in by_seed.values()):
        for name, version in one.versions.items():
            seen.setdefault(name, set()).add(version)
    return {name: sorted(all_) if len(all_) > 1 else next(iter(all_)) for name, all_ in seen.items()}


# ------------------------------------------------------------------------------------------------------------- table


def table(told: Mapping) -> str:
    """The results for people: percentages and points, a block for each test, then what the runs took."""
    lines: list[str] = []
    for test, figures in told["tests"].items():
        lines += [f"{test}: {figures['sentences']:,} sentences of {', '.join(figures['datasets'])}"]
        lines += [*_cells(figures["cells"]), *_differences(figures["differences"]), ""]
    lines += _runs(told["runs"], told["sampling_seconds"])
    number, level = told["comparisons"], 100 * told["interval"]["level"]
    if number:
        over = {one["over"] for figures in told["tests"].values() for one in figures["differences"].values()}
        lines.append(
            f"{level:g} % intervals: bootstrap over {' or over '.join(sorted(over))}"
            + ("; one seed's says nothing of other seeds" if "sentences" in over else "")
        )
        lines.append(
            "p: paired randomisation over sentences, seeds pooled; Holm: for as many comparisons as this table has, "
            f"{number}"
        )
    lines += [f"missing: {line}" for line in told["missing"]]
    return "\n".join(lines)


def _cells(cells: Mapping[str, Mapping]) -> list[str]:
    width = max(map(len, CELLS))
    lines = [f"{'cell':{width}} {'seeds':>7} |     P      R     F1    sd | unread % silent % tokens"]
    for cell, one in cells.items():
        unit = "tokens" if "answer_tokens" in one else "words"
        spread = "    -" if one["f1_sd"] is None else f"{100 * one['f1_sd']:5.1f}"
        shares = f"{100 * one['unreadable']:8.1f} {100 * one['names_nothing']:8.1f}"
        lines.append(
            f"{cell:{width}} {_numbers(one['seeds']):>7} | {_percent(one, 'precision', 'recall', 'f1')} {spread} | "
            f"{shares} {one[f'reasoning_{unit}'] + one[f'answer_{unit}']:6.1f}" + ("" if unit == "tokens" else " words")
        )
    return lines


def _differences(differences: Mapping[str, Mapping]) -> list[str]:
    if not differences:
        return []
    width = max(len(f"{after} - {before}") for before, after in WITH_GRPO + WITHOUT_GRPO)
    lines = [
        f"{'difference':{width}}   seeds  points   95 % interval      p   Holm | "
        "read in both   95 % interval     P     R | repaired broken"
    ]
    for name, one in differences.items():
        parts, both = one["parts"], one["parts"]["read in both"]
        low_high, of_both = ("{:+6.1f} to {:+6.1f}".format(*of["interval"]) for of in (one, both))
        lines.append(
            f"{name:{width}} {_numbers(one['seeds']):>7}  {one['points']:+6.1f} {low_high} {one['p']:.4f} "
            f"{one['p_holm']:.4f} | {both['f1']:+12.1f} {of_both} {both['precision']:+5.1f} "
            f"{both['recall']:+5.1f} | {parts['repaired']['points']:+8.1f} {parts['broken']['points']:+6.1f}"
        )
    return lines


def _runs(runs: Mapping[str, Mapping[str, Mapping]], sampling: Mapping[str, float]) -> list[str]:
    if not runs:
        return []
    width = max(map(len, CELLS))
    lines = [f"{'run':{width}} {'seeds':>7} | steps    rows  seconds of its steps (means over seeds)"]
    for cell, by_seed in runs.items():
        steps, seconds = (fmean(one[key] for one in by_seed.values()) for key in ("steps", "seconds"))
        known = [one["rows"] for one in by_seed.values() if one["rows"] is not None]
        rows = f"{fmean(known):7,.0f}" if known else f"{'-':>7}"
        more = f", after sampling for {fmean(sampling.values()):,.0f}" if cell == "best_of" and sampling else ""
        lines.append(f"{cell:{width}} {_numbers(by_seed):>7} | {steps:5,.0f} {rows} {seconds:8,.0f}{more}")
    return [*lines, ""]


def _numbers(seeds: Iterable[int | str]) -> str:
    return ",".join(map(str, seeds))


def _percent(one: Mapping[str, float], *names: str) -> str:
    return "  ".join(f"{100 * one[name]:5.1f}" for name in names)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is missing or wrong."""
    parser = command_parser(
        "recipe.learning",
        "What GRPO is worth: one table of launch/learning.sh's cells over seeds, and their differences.",
        "python -m recipe.learning outputs/learning/tiny --json tests/benchmarks/learning_tiny.json",
    )
    parser.add_argument("folder", type=Path, help="holds seed_N/scores/CELL/{in_domain,crossner}{,_constrained}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    parser.add_argument("--rule", choices=SCORED_RULES, default="strict", help="default: strict")
    args = parser.parse_args(argv)

    def run() -> None:
        told = results(read(args.folder, args.rule), args.rule)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.json, told)
        print(table(told))

    return exit_status(PROGRAM, run)


if __name__ == "__main__":
    sys.exit(main())
