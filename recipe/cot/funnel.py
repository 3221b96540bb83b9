"""What became of the rows: how many each step let through, why it rejected the others, and what was spent.

    python -m recipe.cot stats --work cot/
    python -m recipe.cot stats --work cot/ --json cot/stats.json

Works at any stage; a step that wasn't run is said to be so. A rejected row counts once, under the first rule that it
breaks, in the column `rows`, and under each in the column `all`. The JSON file begins

    {"annotate": {"rows": 200, "answered": 196, "failed": {"http_400": 4}, "modes": {"plain": 196}, "requests": 203,
     "input_tokens": 91234, "output_tokens": 40321, "cost": 0.41, "seconds": 512.3},
     "validate": {"rows": 200, "kept": 120, "rejected": {"unparsable": {"rows": 40, "all": 52}, ...}, ...}, ...

and has null for a step that wasn't run and for a figure that nobody told (tokens, cost).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from recipe.core.entities import DataError
from recipe.cot.agreement import agreement
from recipe.cot.rules import REASONS
from recipe.cot.store import ANNOTATE, JUDGE, VALIDATE, path_of, read

SPENT = ("requests", "input_tokens", "output_tokens", "cost", "seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the step."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")


def run(args: argparse.Namespace) -> None:
    """Print the funnel of a folder."""
    from recipe.core.files import write_json

    if not path_of(args.work, ANNOTATE).is_file():
        raise DataError(f"{args.work}: nothing was annotated there; run `python -m recipe.cot annotate` first")
    funnel = read_funnel(args.work)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.json, funnel)
    print(table(funnel))


def read_funnel(work: Path) -> dict[str, dict | None]:
    """The figures of each step; None for one that wasn't run. Memory does not grow with the rows."""
    steps = ((ANNOTATE, _annotated), (VALIDATE, _validated), (JUDGE, _judged))
    return {step: figures(read(work, step)) if path_of(work, step).is_file() else None for step, figures in steps}


class _Spent:
    """Sums of what rows took; None where no row says anything."""

    def __init__(self) -> None:
        self.sums: dict[str, float | None] = dict.fromkeys(SPENT)

    def add(self, record: Mapping) -> None:
        for name in SPENT:
            if (value := record.get(name)) is not None:
                self.sums[name] = (self.sums[name] or 0) + value

    def as_dict(self) -> dict[str, float | None]:
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in self.sums.items()}


def _annotated(records: Iterable[Mapping]) -> dict:
    rows, answered, failed, modes, spent = 0, 0, Counter(), Counter(), _Spent()
    for record in records:
        rows += 1
        spent.add(record)
        if record["status"] == "answered":
            answered += 1
            modes[record["mode"]] += 1
        else:
            failed[str(record["reason"])] += 1
    return {"rows": rows, "answered": answered, "failed": _sorted(failed), "modes": _sorted(modes), **spent.as_dict()}


def _validated(records: Iterable[Mapping]) -> dict:
    rows, kept, first, every, gold = 0, 0, Counter(), Counter(), Counter()
    for record in records:
        rows += 1
        kept += record["status"] == "kept"
        every.update(record["reasons"])
        first.update(record["reasons"][:1])
        gold["repaired"] += record["repaired"]
        if record["agrees_with_gold"] is not None:
            gold["compared"] += 1
            gold["disagree"] += not record["agrees_with_gold"]
            gold["kept_and_disagree"] += record["status"] == "kept" and not record["agrees_with_gold"]
            gold["missed"] += record["missed"]
            gold["added"] += record["added"]
    reasons = [*REASONS, *sorted(set(every) - set(REASONS))]
    compared = ("compared", "disagree", "kept_and_disagree", "missed", "added")
    return {
        "rows": rows,
        "kept": kept,
        "rejected": {reason: {"rows": first[reason], "all": every[reason]} for reason in reasons if every[reason]},
        "repaired": gold["repaired"],
        "gold": {name: gold[name] for name in compared},
    }


def _judged(records: Iterable[Mapping]) -> dict:
    rows, status, reasons, scores, spent = 0, Counter(), Counter(), Counter(), _Spent()
    pairs: Counter[tuple[int, int]] = Counter()
    for record in records:
        rows += 1
        spent.add(record)
        status[record["status"]] += 1
        if record["status"] != "kept":
            reasons[str(record["reason"])] += 1
        if record["score"] is not None:
            scores[int(record["score"])] += 1
        if len(given := [min(score["coherence"], score["accuracy"]) for score in record["scores"]]) == 2:
            pairs[tuple(given)] += 1
    return {
        "rows": rows,
        "kept": status["kept"],
        "rejected": _sorted(reasons),
        # A score of 8.5 stands under 8.
        "scores": {str(score): scores[score] for score in range(11)},
        "agreement": agreement(list(pairs.elements())) if pairs else None,
        **spent.as_dict(),
    }


def _sorted(counts: Counter) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


# ------------------------------------------------------------------------------------------------------------- table


def table(funnel: Mapping[str, Mapping | None]) -> str:
    """The figures for people, a step after the other."""
    return "\n".join(line.rstrip() for line in _lines(funnel))


def _lines(funnel: Mapping[str, Mapping | None]) -> Iterator[str]:
    annotated, validated, judged = (funnel[step] for step in (ANNOTATE, VALIDATE, JUDGE))
    yield f"{'':26}{'rows':>10}{'all':>10}"
    if annotated is None:
        yield _not_run(ANNOTATE)
        return
    yield _row("in", annotated["rows"])
    for reason, number in annotated["failed"].items():
        yield _row(f"  not annotated: {reason}", -number)
    yield _row("annotated", annotated["answered"])
    if validated is None:
        yield _not_run(VALIDATE)
    else:
        if waiting := annotated["rows"] - validated["rows"]:
            yield _row("  to be validated", waiting)
        for reason, numbers in validated["rejected"].items():
            if reason != "not_annotated":
                yield _row(f"  {reason}", -numbers["rows"], numbers["all"])
        yield _row("validated", validated["kept"])
        if judged is None:
            yield _not_run(JUDGE)
        else:
            if waiting := validated["kept"] - judged["rows"]:
                yield _row("  to be judged", waiting)
            for reason, number in judged["rejected"].items():
                yield _row(f"  {reason}", -number)
            yield _row("kept", judged["kept"])
    yield ""
    yield f"{'':10}{'requests':>10}{'tokens in':>14}{'tokens out':>14}{'cost':>12}"
    for name, figures in ((ANNOTATE, annotated), (JUDGE, judged)):
        if figures is not None:
            tokens = "".join(f"{_known(figures[key]):>14}" for key in ("input_tokens", "output_tokens"))
            yield f"{name:10}{_known(figures['requests']):>10}{tokens}{_known(figures['cost']):>12}"
    yield from _remarks(annotated, validated, judged)


def _remarks(annotated: Mapping, validated: Mapping | None, judged: Mapping | None) -> Iterator[str]:
    yield ""
    modes = ", ".join(f"{number:,} {mode}" for mode, number in annotated["modes"].items())
    yield f"annotated by mode: {modes or 'none'}"
    if validated is not None and validated["repaired"]:
        yield f"answers that were repaired: {validated['repaired']:,}"
    if validated is not None and (gold := validated["gold"])["compared"]:
        yield (
            f"against gold: {gold['disagree']:,} of {gold['compared']:,} rows disagree ({gold['missed']:,} entities "
            f"missed, {gold['added']:,} added), {gold['kept_and_disagree']:,} of them are valid"
        )
    if judged is not None and (figures := judged["agreement"]):
        named = (("r", "pearson"), ("weighted kappa", "weighted_kappa"), ("within 1", "within_one"))
        shown = ", ".join(f"{name} {_known(figures[key])}" for name, key in named)
        yield f"two judges on {figures['rows']:,} rows: {shown}"


def _row(name: str, number: int, every: int | None = None) -> str:
    return f"{name:26} {number:>9,}{'' if every is None else format(every, '>10,')}"


def _not_run(step: str) -> str:
    return f"({step}: not run)"


def _known(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
