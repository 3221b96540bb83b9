"""The ablation's table: what each part of the recipe adds, ours beside the published figures.

    python -m recipe.ablation outputs/ablation              # made by launch/ablation.sh
    ours: macro F1 in percent of seven datasets, rule of the papers (published)
    step                   ours  change  published  change
    base                   31.5       -       31.9       -
    SFT on another corpus  39.8    +8.3       40.3    +8.4
    ...

Each step's scores stand in `scores/STEP/scores.json` (recipe.evaluate); a step without any has a dash. Averages over
some of the protocol's datasets, or over some of their sentences, say so and are no match for the published ones. The
gold of sentences that preparation left out counts as missed (recipe.evaluate.left_out).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.compare import check_settings, read_scores, same_file
from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError
from recipe.evaluate.left_out import UNKNOWN, beside_published, in_words, part_of_sentences, unknown, unread
from recipe.evaluate.protocols import RULE, read_protocol
from recipe.evaluate.published import of_protocol

PROTOCOL = "ablation"
# Folder of a step's scores -> what it is; in the order of the published figures.
STEPS = {
    "base": "base",
    "other": "SFT on another corpus",
    "no_cot": "SFT without CoT",
    "cot": "SFT with CoT",
    "re": "SFT with CoT, + RE",
}


def figures(folder: Path) -> tuple[dict[str, float], list[str], list[str]]:
    """Step -> macro F1 in percent, of those that were scored; notes on what keeps them from the published ones; and a
    line for each dataset of which preparation left sentences out.

    The gold of those counts as missed. DataError where none was scored, or two were scored on different rows.
    """
    scores = {step: read_scores(path) for step in STEPS if (path := folder / "scores" / step).is_dir()}
    if not scores:
        raise DataError(f"{folder / 'scores'}: no step of the ablation was scored; run bash launch/ablation.sh")
    first, *others = scores
    for step in others:
        name = folder / "scores" / step
        check_settings(scores[first], scores[step], first, name)
        if not same_file(scores[first], scores[step]):
            raise DataError(f"{name}: scored on other rows than {first}; use one file")
    wanted = read_protocol(PROTOCOL).datasets
    there = [name for name in wanted if name in scores[first]["datasets"]]
    if not there:
        raise DataError(f"{folder / 'scores' / first}: none of the ablation's datasets: {', '.join(wanted)}")
    notes = [f"{len(there)} of the {len(wanted)} datasets"] if len(there) < len(wanted) else []
    scored = {name: scores[first]["datasets"][name] for name in there}
    if limit := scores[first].get("source", {}).get("limit"):
        notes.append(f"the first {limit} sentences of each")
    elif names := unread(scored):
        notes.append(f"{part_of_sentences(scored, names)} of {', '.join(names)}")
    notes += [UNKNOWN] if unknown(scored) else []
    means = {
        step: sum(100 * beside_published(each["datasets"][name])[RULE]["f1"] for name in there) / len(there)
        for step, each in scores.items()
    }
    return means, notes, list(in_words({"datasets": scored}))


def table(folder: Path) -> str:
    """Our steps and the published ones, each with the difference to the step before it."""
    ours, notes, left_out = figures(folder)
    theirs = dict(zip(STEPS, (row.average for row in of_protocol(PROTOCOL)), strict=True))
    over = "; ".join(notes) or f"all {len(read_protocol(PROTOCOL).datasets)} datasets"
    width = max(map(len, STEPS.values()))
    lines = [f"ours: macro F1 in percent, {over}; rule of the papers ({RULE})"]
    lines += ["published: Qwen3-1.7B-Base on seven datasets" + (" - not comparable with ours" if notes else "")]
    lines += [f"{'step':{width}}   ours  change  published  change"]
    before = None
    for step, title in STEPS.items():
        cells = (_cell(ours, step, before), _cell(theirs, step, before))
        lines.append(f"{title:{width}}  {cells[0][0]:>5}  {cells[0][1]:>6}  {cells[1][0]:>9}  {cells[1][1]:>6}")
        before = step
    lines += left_out
    if left_out and not notes:
        lines.append("gold left out counts as missed in ours")
    return "\n".join(lines)


def _cell(values: dict[str, float], step: str, before: str | None) -> tuple[str, str]:
    if step not in values:
        return "-", "-"
    change = f"{values[step] - values[before]:+.1f}" if before in values else "-"
    return f"{values[step]:.1f}", change


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is missing."""
    parser = command_parser(
        "recipe.ablation",
        __doc__.split("\n", 1)[0],
        "python -m recipe.ablation outputs/ablation",
    )
    parser.add_argument("folder", type=Path, help="holds scores/{base,other,no_cot,cot,re}")
    args = parser.parse_args(argv)
    return exit_status("ablation", lambda: print(table(args.folder)))


if __name__ == "__main__":
    sys.exit(main())
