"""What preparation left out of an evaluation file: counted there, read here, and missed in the figures of the split.

An evaluation file says in its own metadata (key `left_out`), by dataset, how many sentences the split had and why some
became no row, so that the count moves with the file. `gold` counts their entities by rule and type; it is null for
records that could not be read. Where rows ask about single types, `rows` are questions.

    {"CoNLL 2003": {"sentences": 1, "of_sentences": 3,
                    "left_out": {"control_token": {"rows": 2, "gold": {"strict": {"per": 1, "loc": 3}, ...}}}}}

A figure of the split counts that gold as missed. It is a bound from below, and the one to put beside figures of systems
that were scored on all sentences.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recipe import answers
from recipe.core.entities import IGNORED_TYPES, DataError, Example
from recipe.core.metrics import Counts

KEY = b"left_out"
UNKNOWN = "sentences left out: not known"
_COUNTS = ("sentences", "of_sentences")
NOT_KNOWN = "sentences that preparation left out are not known; to_parquet.py eval writes files that say it"

Gold = Mapping[str, Mapping[str, int]]  # rule -> type -> entities


def count_gold(example: Example) -> dict[str, Counter]:
    """The gold of one row by rule and type; the papers' rule counts a name once."""
    rules = answers.rules(example.format)
    return {rule: Counter(key[-1] for key in keys(example.facts)) for rule, keys in rules.items()}


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows that were not written for one reason, and their gold; None where that could not be read."""

    rows: int
    gold: Gold | None

    def total(self, rule: str, drop_else: bool) -> int | None:
        """Gold as a rule counts it. Rules that are not in the file count all that is named, as the usual rule does."""
        if self.gold is None:
            return None
        by_type = self.gold.get(rule, _by_type(self.gold))
        return sum(n for label, n in by_type.items() if not (drop_else and label in IGNORED_TYPES))


def _by_type(gold: Gold) -> Mapping[str, int]:
    """By type, as the usual rule counts: `strict`, or `boundary` where relations have no entity types."""
    return gold["strict"] if "strict" in gold else gold["boundary"]


@dataclass(frozen=True, slots=True)
class Split:
    """One dataset's split: the sentences that it had, those that became rows, and why the others didn't."""

    sentences: int
    of_sentences: int
    left_out: Mapping[str, Reason] = field(default_factory=dict)

    def as_dict(self) -> dict:
        reasons = {name: {"rows": r.rows, "gold": r.gold} for name, r in sorted(self.left_out.items())}
        return {"sentences": self.sentences, "of_sentences": self.of_sentences, "left_out": reasons}

    def gold(self, rule: str, drop_else: bool) -> int | None:
        """Gold entities that were left out; None where some of them are not known."""
        totals = [reason.total(rule, drop_else) for reason in self.left_out.values()]
        return None if None in totals else sum(totals)


def to_metadata(splits: Mapping[str, Split]) -> dict[bytes, bytes]:
    """What goes into the metadata of a Parquet file."""
    value = {name: split.as_dict() for name, split in splits.items()}
    return {KEY: json.dumps(value, ensure_ascii=False, sort_keys=True).encode()}


def read_left_out(path: Path, rows: Mapping[str, int]) -> dict[str, Split]:
    """By dataset, what an evaluation file says of the split; other datasets are not there.

    `rows` are the sentences that the file holds by dataset. Where these are others than it says, rows were taken out or
    added since, and nothing is known of that dataset. DataError where the metadata can't be read.
    """
    from pyarrow import parquet

    text = (parquet.read_metadata(path).metadata or {}).get(KEY)
    if text is None:
        return {}
    try:
        splits = {name: _read_split(value) for name, value in json.loads(text).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "write it again with: python data_prep/to_parquet.py eval"
        raise DataError(f"{path}: its metadata {KEY.decode()!r} is not what to_parquet.py writes; {remedy}") from error
    return {name: split for name, split in splits.items() if split.sentences == rows.get(name, 0)}


def _read_split(value: dict) -> Split:
    reasons = {name: Reason(int(reason["rows"]), reason["gold"]) for name, reason in value["left_out"].items()}
    for reason in reasons.values():
        _ = None if reason.gold is None else sum(_by_type(reason.gold).values())
    return Split(int(value["sentences"]), int(value["of_sentences"]), reasons)


# ----------------------------------------------------------------------------------------------------------- scores


def with_left_out(scores: dict, splits: Mapping[str, Split], rows: Mapping[str, int], drop_else: bool) -> dict:
    """The scores (recipe.evaluate.scores.score) with what the split had, and the figures of the whole split.

    By dataset `of_sentences`, `left_out` and `of_split`, precision, recall and F1 by rule with the gold that was left
    out as missed; above them `macro_of_split`, and the datasets of which no row is left (`without_rows`). None is what
    is not known. `rows` are the sentences of the file; where a limit left some unscored, the figures of the split
    are not known either.
    """
    datasets = {}
    for name, figures in scores["datasets"].items():
        split = splits.get(name)
        datasets[name] = {**as_scored(figures["sentences"], split, drop_else), **figures, "of_split": None}
        if split is not None and figures["sentences"] == rows[name]:
            datasets[name]["of_split"] = _of_split(figures["counts"], split, drop_else)
    nothing = {rule: {"matched": 0, "predicted": 0, "gold": 0} for rule in scores["macro"]}
    without_rows = {
        name: {**as_scored(0, split, drop_else), "of_split": _of_split(nothing, split, drop_else)}
        for name, split in splits.items()
        if name not in rows and split.of_sentences
    }
    wholes = [figures["of_split"] for figures in (*datasets.values(), *without_rows.values())]
    macro = None if None in wholes else {r: sum(w[r]["f1"] for w in wholes) / len(wholes) for r in scores["macro"]}
    added = {"macro_of_split": macro} | ({"without_rows": without_rows} if without_rows else {})
    return {**scores, "datasets": datasets, **added}


def _of_split(counts: Mapping[str, Mapping[str, float]], split: Split, drop_else: bool) -> dict | None:
    """Precision, recall and F1 by rule, with the gold that was left out as missed; None where it is not known."""
    figures = {}
    for rule, of_rows in counts.items():
        if (gold := split.gold(rule, drop_else)) is None:
            return None
        whole = Counts(of_rows["matched"], of_rows["predicted"], of_rows["gold"] + gold)
        figures[rule] = {"precision": whole.precision, "recall": whole.recall, "f1": whole.f1}
    return figures


def as_scored(sentences: int, split: Split | None, drop_else: bool) -> dict:
    """What scores.json says of a dataset with so many scored sentences; None is what is not known."""
    if split is None:
        return {"sentences": sentences, "of_sentences": None, "left_out": None}
    reasons = {name: {"rows": r.rows, "gold": r.total("", drop_else)} for name, r in split.left_out.items()}
    return {"sentences": sentences, "of_sentences": split.of_sentences, "left_out": reasons}


def beside_published(figures: Mapping) -> Mapping:
    """A dataset's figures by rule to compare with systems that were scored on all sentences: the split's, if known."""
    return figures.get("of_split") or figures


def unread(scored: Mapping[str, Mapping]) -> list[str]:
    """Of datasets scored without a limit, those with records that preparation could not read.

    Nobody counted their gold, so that it isn't among what was missed.
    """
    return [name for name, d in scored.items() if d.get("of_sentences") is not None and not d.get("of_split")]


def unknown(scored: Mapping[str, Mapping]) -> list[str]:
    """The datasets with an unknown number of sentences left out."""
    return [name for name, d in scored.items() if d.get("of_sentences") is None]


# ------------------------------------------------------------------------------------------------------------- words


def of_sentences(figures: Mapping, form: str = "") -> str:
    """`"1 of 3"` for a dataset of scores.json, `"1 of ?"` where that is not known, `"3"` for a whole split."""
    scored, had = (format(figures[key], form) if figures.get(key) is not None else "?" for key in _COUNTS)
    return scored if scored == had else f"{scored} of {had}"


def part_of_sentences(scored: Mapping[str, Mapping], names: Iterable[str]) -> str:
    """`"4 of 6 sentences"`: of these datasets together."""
    names = list(names)
    some, every = (sum(scored[name][key] for name in names) for key in _COUNTS)
    return f"{some:,} of {every:,} sentences"


def in_words(scores: Mapping) -> Iterator[str]:
    """A line for each dataset of scores.json that was not scored whole, and one for the unknown ones."""
    not_known = unknown(scores["datasets"])
    for name, figures in {**scores["datasets"], **scores.get("without_rows", {})}.items():
        if name not in not_known and (figures["left_out"] or figures["sentences"] < figures["of_sentences"]):
            noun = " entities" if "span" in scores.get("macro", {"span": None}) else ""  # else of relations or events
            yield f"{name}: {_in_words(figures, noun)}"
    if not_known:
        yield f"{', '.join(not_known)}: {NOT_KNOWN}"


def _in_words(figures: Mapping, noun: str) -> str:
    reasons = figures["left_out"]
    text = f"{figures['sentences']:,} of {figures['of_sentences']:,} sentences"
    if not reasons:
        return text
    text += "; left out: " + ", ".join(f"{reason} {told['rows']:,}" for reason, told in sorted(reasons.items()))
    not_read = [reason for reason, told in sorted(reasons.items()) if told["gold"] is None]
    known = sum(told["gold"] for told in reasons.values() if told["gold"] is not None)
    text += f"; gold left out: {known:,}{noun}"
    return text + (f", and what {' and '.join(not_read)} had, which is not known" if not_read else "")
