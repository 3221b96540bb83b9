"""What became of the rows: how many each step let through, why it rejected the others, and what was spent.

    python -m recipe.cot stats --work cot/
    python -m recipe.cot stats --work cot/ --json cot/stats.json

It works at any stage and names the step that wasn't run. A rejected row counts once, under the first rule that it
breaks, in the column `rows`, and under each in the column `all`. The JSON file begins

    {"annotate": {"rows": 200, "answered": 196, "failed": {"http_400": 4}, "modes": {"plain": 196}, "requests": 203,
     "input_tokens": 91234, "output_tokens": 40321, "cost": 0.41, "seconds": 512.3},
     "validate": {"rows": 200, "kept": 120, "rejected": {"unparsable": {"rows": 40, "all": 52}, ...}, ...}, ...

and has null for a step that wasn't run, and for tokens and cost that nobody told.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from recipe.core.entities import DataError
from recipe.cot.prompts import wording
from recipe.cot.questions import SPENT, add_spent
from recipe.cot.rules import NOT_ANNOTATED, REASONS
from recipe.cot.scores import agreement
from recipe.cot.store import ANNOTATE, JUDGE, KEPT, VALIDATE, answer_format, path_of, read


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
    counted = wording(answer_format(args.work)).counted
    print(*(line.rstrip() for line in table(funnel, counted)), sep="\n")


def read_funnel(work: Path) -> dict[str, dict | None]:
    """The figures of each step, rounded; None for a step that wasn't run. Memory does not grow with the rows."""
    steps = ((ANNOTATE, _annotated), (VALIDATE, validated), (JUDGE, judged))
    return {
        step: _rounded(figures(read(work, step))) if path_of(work, step).is_file() else None for step, figures in steps
    }


def _rounded(figures: dict) -> dict:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}


def _annotated(records: Iterable[Mapping]) -> dict:
    rows, modes, failed, spent = 0, Counter(), Counter(), dict.fromkeys(SPENT)
    for record in records:
        rows += 1
        add_spent(spent, record)
        if record["status"] == "answered":
            modes[record["mode"]] += 1
        else:
            failed[str(record["reason"])] += 1
    return {"rows": rows, "answered": modes.total(), "failed": _sorted(failed), "modes": _sorted(modes), **spent}


def validated(records: Iterable[Mapping]) -> dict:
    """The figures of records of validate.jsonl."""
    rows, kept, repaired, first, every = 0, 0, 0, Counter(), Counter()
    gold = dict.fromkeys(("compared", "disagree", "kept_and_disagree", "missed", "added"), 0)
    for record in records:
        rows += 1
        kept += record["status"] == KEPT
        repaired += record["repaired"]
        every.update(record["reasons"])
        first.update(record["reasons"][:1])
        if record["agrees_with_gold"] is not None:
            gold["compared"] += 1
            gold["disagree"] += not record["agrees_with_gold"]
            gold["kept_and_disagree"] += record["status"] == KEPT and not record["agrees_with_gold"]
            gold["missed"] += record["missed"]
            gold["added"] += record["added"]
    reasons = [*REASONS, *sorted(set(every) - set(REASONS))]
    rejected = {reason: {"rows": first[reason], "all": every[reason]} for reason in reasons if every[reason]}
    return {"rows": rows, "kept": kept, "rejected": rejected, "repaired": repaired, "gold": gold}


def judged(records: Iterable[Mapping]) -> dict:
    """The figures of records of judge.jsonl."""
    rows, kept, reasons, scores, pairs, spent = 0, 0, Counter(), Counter(), Counter(), dict.fromkeys(SPENT)
    for record in records:
        rows += 1
        add_spent(spent, record)
        kept += record["status"] == KEPT
        if record["status"] != KEPT:
            reasons[str(record["reason"])] += 1
        if record["score"] is not None:
            scores[int(record["score"])] += 1  # one of 8.5 counts as 8
        if len(record["scores"]) == 2:
            pairs[tuple(min(score["coherence"], score["accuracy"]) for score in record["scores"])] += 1
    return {
        "rows": rows,
        "kept": kept,
        "rejected": _sorted(reasons),
        "scores": {str(score): scores[score] for score in range(11)},
        "agreement": agreement(list(pairs.elements())) if pairs else None,
        **spent,
    }


def _sorted(counts: Counter) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


# ------------------------------------------------------------------------------------------------------------ stages

# How the table names a stage; `{}` is the reason that a row was lost for.
_NAMES = {
    "in": "in", "failed": "  not annotated: {}", "annotated": "annotated",
    "to_validate": "  to be validated", "rejected": "  {}", "valid": "validated",
    "to_judge": "  to be judged", "turned_down": "  {}", "kept": "kept",
}  # fmt: skip


def stages(funnel: Mapping[str, Mapping | None]) -> Iterator[tuple[str, str, int, int | None]]:
    """From all rows to those that were kept, as far as steps were run: a stage, a reason or "", rows, and all rows.

    The stages are "in", "annotated", "valid" and "kept"; between them come the rows that were lost to each reason
    ("failed", "rejected" by a rule, "turned_down" by a judge), and those that the next step has not seen
    ("to_validate", "to_judge"). All rows are the ones that break a rule, whichever they break first.
    """
    annotate, validate, judge = (funnel[step] for step in (ANNOTATE, VALIDATE, JUDGE))
    yield "in", "", annotate["rows"], None
    yield from (("failed", reason, number, None) for reason, number in annotate["failed"].items())
    yield "annotated", "", annotate["answered"], None
    if validate is None:
        return
    if waiting := annotate["rows"] - validate["rows"]:
        yield "to_validate", "", waiting, None
    for reason, numbers in validate["rejected"].items():
        if reason != NOT_ANNOTATED:
            yield "rejected", reason, numbers["rows"], numbers["all"]
    yield "valid", "", validate["kept"], None
    if judge is None:
        return
    if waiting := validate["kept"] - judge["rows"]:
        yield "to_judge", "", waiting, None
    yield from (("turned_down", reason, number, None) for reason, number in judge["rejected"].items())
    yield "kept", "", judge["kept"], None


def table(funnel: Mapping[str, Mapping | None], counted: str = "entities") -> Iterator[str]:
    """The lines of the figures for people, a step after the other. `counted`: what is compared with gold."""
    yield f"{'':26}{'rows':>10}{'all':>10}"
    for stage, reason, rows, every in stages(funnel):
        number = f"{-rows if reason else rows:>9,}"
        yield f"{_NAMES[stage].format(reason):26} {number}{'' if every is None else format(every, '>10,')}"
    yield from (f"({step}: not run)" for step in [step for step in funnel if funnel[step] is None][:1])
    yield ""
    yield f"{'':10}{'requests':>10}{'tokens in':>14}{'tokens out':>14}{'cost':>12}"
    for name in (ANNOTATE, JUDGE):
        if (figures := funnel[name]) is not None:
            tokens = "".join(f"{_known(figures[key]):>14}" for key in ("input_tokens", "output_tokens"))
            yield f"{name:10}{_known(figures['requests']):>10}{tokens}{_known(figures['cost']):>12}"
    yield from _remarks(**funnel, counted=counted)


def _remarks(annotate: Mapping, validate: Mapping | None, judge: Mapping | None, counted: str) -> Iterator[str]:
    yield ""
    modes = ", ".join(f"{number:,} {mode}" for mode, number in annotate["modes"].items())
    yield f"annotated by mode: {modes or 'none'}"
    if validate is not None and validate["repaired"]:
        yield f"answers that were repaired: {validate['repaired']:,}"
    if validate is not None and (gold := validate["gold"])["compared"]:
        yield (
            f"against gold: {gold['disagree']:,} of {gold['compared']:,} rows disagree ({gold['missed']:,} {counted} "
            f"missed, {gold['added']:,} added), {gold['kept_and_disagree']:,} of them are valid"
        )
    if judge is not None and (figures := judge["agreement"]):
        named = (("r", "pearson"), ("weighted kappa", "weighted_kappa"), ("within 1", "within_one"))
        shown = ", ".join(f"{name} {_known(figures[key])}" for name, key in named)
        yield f"two judges on {figures['rows']:,} rows: {shown}"


def _known(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
