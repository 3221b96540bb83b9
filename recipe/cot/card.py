"""The README.md of an exported dataset: what is in it, what it was made from, and what was left out on the way.

Names that come from a corpus or a model are escaped, so that none of them ends a cell of a table or becomes HTML.
"""

import functools
import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recipe import answers
from recipe.core.entities import DEFAULT_FORMAT
from recipe.cot.funnel import stages
from recipe.cot.prompts import wording
from recipe.cot.rules import ANY_LANGUAGE
from recipe.cot.store import ANNOTATE, JUDGE, VALIDATE

SPLITS = ("train", "dev", "test")
UNSPECIFIED = "unspecified"
SHOWN, BAR = 30, 40  # types and sources that are listed; characters of the longest bar
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.-]*")
_HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

# How the card names a stage of the funnel; `{}` is the reason that a row was lost for.
_STAGES = {
    "in": "in", "failed": "not annotated: `{}`", "annotated": "annotated",
    "to_validate": "not validated", "rejected": "`{}`", "valid": "valid",
    "to_judge": "not judged", "turned_down": "`{}`",
}  # fmt: skip


@dataclass
class Contents:
    """What is counted while the rows are written."""

    rows: Counter = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    types: Counter = field(default_factory=Counter)
    relation_types: Counter = field(default_factory=Counter)
    sources: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    words: int = 0
    empty: int = 0
    gold: int = 0

    def add(self, split: str, row: Mapping) -> None:
        """Count a record of validate.jsonl."""
        self.rows[split] += 1
        relations = row.get("relations", ())
        self.types.update(entity["label"] for entity in row["entities"])
        self.relation_types.update(relation["type"] for relation in relations)
        self.sources[row["source"]] += 1
        self.modes[row["mode"]] += 1
        self.words += len(row["reasoning"].split())
        self.empty += not row["entities"] and not relations
        self.gold += row["gold"] is not None

    @property
    def total(self) -> int:
        return self.rows.total()


@dataclass(frozen=True)
class Card:
    """What the card is about. `files`: of the manifest; `license`: the user's words; `format`: that of the answers.

    `counts` and `settings` are of each step, None for one that has no part in the dataset.
    """

    contents: Contents
    counts: Mapping[str, dict | None]
    settings: Mapping[str, dict | None]
    files: Mapping[str, Mapping]
    license: str
    format: str = DEFAULT_FORMAT


_TAGS = {"ner": "named-entity-recognition", "re": "relation-extraction", "ee": "event-extraction"}


@dataclass(frozen=True)
class _Kind:
    """What rows name, in the plural; what its type is called; and how often each type is there."""

    facts: str
    type: str
    counts: Counter

    @property
    def most(self) -> list[tuple[str, int]]:
        """The types that are there most often."""
        return _most(self.counts)

    @property
    def more(self) -> int:
        """How many others there are."""
        return max(0, len(self.counts) - SHOWN)


def _kinds(name: str, contents: Contents) -> list[_Kind]:
    """What rows in an answer format name: of entities or events, and of relations or arguments."""
    of_events = answers.task(name) == "ee"
    alone = _Kind("events" if of_events else "entities", "type", contents.types)
    tied = _Kind("arguments" if of_events else "relations", "role" if of_events else "type", contents.relation_types)
    if answers.two_kinds(name):
        return [alone, tied]
    return [tied if answers.task(name) == "re" else alone]


def render(card: Card) -> str:
    """The card as Markdown with a YAML header."""
    contents, settings, files, judged = card.contents, card.settings, card.files, card.counts[JUDGE]
    of_judge = settings[JUDGE] or {}
    return (
        _environment()
        .get_template("card.md.jinja")
        .render(
            header=_header(card),
            card=card,
            contents=contents,
            unlicensed=card.license == UNSPECIFIED,
            teacher=_model(settings[ANNOTATE]),
            judge=" and ".join(of_judge.get("judges") or []) or "none",
            judged=judged,
            min_score=f"{of_judge.get('min_score', 0):g}",
            files=[(name, files[name]["rows"], refused(files[name])) for name in sorted(files)],
            funnel=list(_funnel(card.counts, contents.total)),
            histogram=_histogram(judged["scores"]) if judged else [],
            kinds=_kinds(card.format, contents),
            task=answers.task(card.format),
            subject=answers.subject(card.format),
            counted=wording(card.format).counted,
            sources=_most(contents.sources),
            more_sources=max(0, len(contents.sources) - SHOWN),
            spent=[(step, card.counts[step]) for step in (ANNOTATE, JUDGE) if card.counts[step]],
            settings=[
                (step, name, _plain(value))
                for step, one in settings.items()
                for name, value in sorted((one or {}).items())
            ],
        )
    )


def refused(entry: Mapping) -> dict[str, int]:
    """Why rows of a file were left out by data preparation, and how many."""
    facts = entry.get("datasets", {}).values()
    return {reason: n for one in facts for kind in ("skipped", "dropped") for reason, n in one[kind].items()}


def _header(card: Card) -> str:
    import yaml

    terms = card.license
    known = terms == UNSPECIFIED or _IDENTIFIER.fullmatch(terms)
    header: dict[str, object] = {"license": "unknown" if terms == UNSPECIFIED else terms if known else "other"}
    if not known:
        header["license_name"] = terms
    language = (card.settings[VALIDATE] or {}).get("language")
    if language and language != ANY_LANGUAGE:
        header["language"] = [language]
    header["task_categories"] = ["token-classification"]
    header["tags"] = [_TAGS[answers.task(card.format)], "chain-of-thought", "synthetic"]
    header["size_categories"] = [next((name for limit, name in _SIZES if card.contents.total < limit), "n>1M")]
    lists = [split for split in SPLITS if f"{split}.json" in card.files]
    if lists:
        data = [{"split": _HUB_SPLITS[split], "path": f"{split}.json"} for split in lists]
        header["configs"] = [{"config_name": "default", "data_files": data}]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True).rstrip()


def _model(settings: Mapping | None) -> str:
    settings = settings or {}
    return str(settings.get("model_name") or settings.get("model") or "not recorded")


def _funnel(counts: Mapping[str, dict | None], total: int) -> Iterator[tuple[str, int, int | None]]:
    for stage, reason, rows, every in stages(counts):
        if stage != "kept":
            lost = reason or stage.startswith("to_")
            yield _STAGES[stage].format(reason), -rows if lost else rows, every
    yield "in this dataset", total, None


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _histogram(scores: Mapping[str, int]) -> list[tuple[str, int, str]]:
    most = max(scores.values(), default=0) or 1
    return [(score, rows, "█" * -(-rows * BAR // most)) for score, rows in scores.items()]


def _most(counts: Counter) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]


# ---------------------------------------------------------------------------------------------------------- template


@functools.cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown; what goes into a cell is escaped by `cell`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": cell, "number": _number, "figure": _figure, "counts": _counts}
    return environment


def cell(value: object) -> str:
    r"""A value as text in a Markdown table: `a|b <c>` -> `a\|b &lt;c&gt;`."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.4g}"


def _counts(values: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {cell(name)}" for name, number in sorted(values.items()))
