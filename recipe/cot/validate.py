"""Step 2: which annotations are sound, by rules that no model is asked for (recipe.cot.rules has the table).

    python -m recipe.cot validate --work cot/
    python -m recipe.cot validate --work cot/ --language de --max-words 800 --require-gold-agreement

A line of WORK/validate.jsonl for each of annotate.jsonl, in its order; entities stand as the sentence spells them:
    {"id": "9f2c51d07a3be846", "status": "kept", "reasons": [], "sentence": "Ada met Bob .", "source": "news",
     "types": ["person"], "reasoning": "\\"Ada\\" is ...", "entities": [{"text": "Ada", "label": "person", "start": 0,
     "end": 3}], "gold": [["Ada", "person"]], "mode": "gold_withheld", "agrees_with_gold": false, "missed": 0,
     "added": 1, "repaired": false, "duplicate_of": null}

Running it again goes on with the rows that have come since. Disagreement with the gold is counted and rejects nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from recipe.core.command_line import count
from recipe.core.entities import DataError
from recipe.cot.rules import (
    ANY_LANGUAGE,
    NEAR_DUPLICATE,
    NOT_ANNOTATED,
    REASONS,
    Annotated,
    Limits,
    broken_rules,
    languages,
    read_annotated,
)
from recipe.cot.store import ANNOTATE, VALIDATE, open_store, path_of, read

KEPT, REJECTED = "kept", "rejected"
SIMILARITY = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the step."""
    default, add = Limits(), parser.add_argument
    add(
        "--language",
        default=default.language,
        metavar="CODE",
        help="of the reasoning, ISO 639-1; any: not looked at (default: %(default)s)",
    )
    words = "fewest words of a reasoning (default: %(default)s)"
    add("--min-words", type=count, default=default.min_words, metavar="N", help=words)
    words = "most words of a reasoning (default: %(default)s)"
    add("--max-words", type=count, default=default.max_words, metavar="N", help=words)
    add("--similarity", type=_share, default=SIMILARITY, metavar="X", help="Jaccard similarity at which a sentence is "
        "a near-duplicate of one kept before (default: %(default)s)")  # fmt: skip
    add("--keep-duplicates", action="store_true", help="don't look for near-duplicates")
    add("--require-gold-agreement", action="store_true", help="reject rows that don't find exactly their gold")


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def run(args: argparse.Namespace) -> None:
    """Validate what annotate has written so far, and say why rows were rejected."""
    from tqdm import tqdm

    limits = Limits(args.language, args.min_words, args.max_words, args.require_gold_agreement)
    check_limits(limits)
    work, similarity = args.work, None if args.keep_duplicates else args.similarity
    next(read(work, ANNOTATE), None)  # before anything is written
    total = _lines(path_of(work, ANNOTATE))
    with open_store(work, VALIDATE, asdict(limits) | {"similarity": similarity}) as store:
        index = _index(work, similarity)
        with tqdm(total=total, initial=len(store.done), unit=" rows", disable=None, leave=False) as bar:
            for record in read(work, ANNOTATE):
                if record["id"] in store.done:
                    continue
                checked = check_row(record, limits, index)
                store.add(checked)
                if index is not None and checked["status"] == KEPT:
                    index.add(checked["id"], checked["sentence"])
                bar.update()
    print(summary(read(work, VALIDATE)))


def check_limits(limits: Limits) -> None:
    """DataError for limits that no reasoning can keep, or a language that isn't known."""
    if limits.max_words < limits.min_words:
        raise DataError(f"--min-words {limits.min_words}: more than --max-words {limits.max_words}; lower it")
    if limits.language != ANY_LANGUAGE and limits.language not in languages().labels:
        raise DataError(f"--language {limits.language!r}: not known; give a code of ISO 639-1 such as en, or any")


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _index(work: Path, similarity: float | None):
    """The sentences that were kept so far; None where near-duplicates are kept."""
    if similarity is None:
        return None
    from recipe.cot.duplicates import Index

    index = Index(similarity)
    for record in read(work, VALIDATE):
        if record["status"] == KEPT:
            index.add(record["id"], record["sentence"])
    return index


def check_row(record: dict, limits: Limits, index=None) -> dict:
    """The record of validate.jsonl for one of annotate.jsonl. `index`: the sentences kept before."""
    taken_over = {key: record[key] for key in ("id", "sentence", "source", "gold", "mode")}
    if record["status"] != "answered":
        row = {"reasons": [NOT_ANNOTATED], "types": record["types"] or [], "reasoning": "", "entities": []}
        return _in_order(taken_over | row | _against_gold(None) | {"repaired": False, "duplicate_of": None})
    row = read_annotated(record)
    reasons = broken_rules(row, limits)
    duplicate_of = index.find(row.sentence) if index is not None else None
    if duplicate_of is not None:
        reasons.append(NEAR_DUPLICATE)
    return _in_order(
        taken_over
        | {
            "reasons": reasons,
            "types": list(row.types),
            "reasoning": row.reasoning.strip(),
            "entities": list(_entities(row)),
            "repaired": row.answer.parsed and not row.answer.layout,
            "duplicate_of": duplicate_of,
        }
        | _against_gold(row)
    )


def _entities(row: Annotated) -> Iterator[dict]:
    for entity, span in zip(row.entities, row.spans, strict=True):
        start, end = (None, None) if span is None else (span.start, span.end)
        yield {"text": entity.name, "label": entity.type, "start": start, "end": end}


def _against_gold(row: Annotated | None) -> dict:
    if row is None or row.counts is None:
        return {"agrees_with_gold": None, "missed": 0, "added": 0}
    counts = row.counts
    missed, added = counts.gold - counts.matched, counts.predicted - counts.matched
    return {"agrees_with_gold": not missed and not added, "missed": missed, "added": added}


_FIELDS = (
    "id", "status", "reasons", "sentence", "source", "types", "reasoning", "entities", "gold", "mode",
    "agrees_with_gold", "missed", "added", "repaired", "duplicate_of",
)  # fmt: skip


def _in_order(fields: dict) -> dict:
    fields["status"] = REJECTED if fields["reasons"] else KEPT
    return {name: fields[name] for name in _FIELDS}


def summary(records: Iterator[dict]) -> str:
    """For people: how many rows are kept, and how many break each rule."""
    rows, kept, reasons = 0, 0, Counter()
    for record in records:
        rows += 1
        kept += record["status"] == KEPT
        reasons.update(record["reasons"])
    lines = [f"{kept:,} of {rows:,} rows kept"]
    lines += [f"  {reasons[reason]:>9,}  {reason}" for reason in REASONS if reasons[reason]]
    return "\n".join([*lines, "  (a row counts under each rule that it breaks)"] if len(lines) > 1 else lines)
