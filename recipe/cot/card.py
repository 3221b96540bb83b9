"""The README.md of an exported dataset: what is in it, what it was made from, and what was left out on the way.

Names that come from a corpus or a model are escaped, so that none of them ends a cell of a table or becomes HTML.
"""

from __future__ import annotations

import functools
import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recipe.cot.folder import SPLITS
from recipe.cot.store import ANNOTATE, JUDGE, VALIDATE

UNSPECIFIED = "unspecified"
SHOWN, BAR = 30, 40  # types and sources that are listed; characters of the longest bar
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.-]*")
_HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass
class Contents:
    """What is counted while the rows are written."""

    rows: Counter = field(default_factory=lambda: Counter(dict.fromkeys(SPLITS, 0)))
    types: Counter = field(default_factory=Counter)
    sources: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)
    words: int = 0
    empty: int = 0
    gold: int = 0

    def add(self, split: str, row: Mapping) -> None:
        """Count a record of validate.jsonl."""
        self.rows[split] += 1
        self.types.update(entity["label"] for entity in row["entities"])
        self.sources[row["source"]] += 1
        self.modes[row["mode"]] += 1
        self.words += len(row["reasoning"].split())
        self.empty += not row["entities"]
        self.gold += row["gold"] is not None

    @property
    def total(self) -> int:
        return self.rows.total()

    @property
    def entities(self) -> int:
        return self.types.total()


def render(
    contents: Contents,
    counts: Mapping[str, dict | None],
    settings: Mapping[str, dict | None],
    files: Mapping,
    terms: str,
) -> str:
    """The card as Markdown with a YAML header.

    `counts` and `settings` of each step, None for one that has no part; `files` of the manifest; `terms`: the licence.
    """
    annotated, validated, judged = (counts[step] for step in (ANNOTATE, VALIDATE, JUDGE))
    of_judge = settings[JUDGE] or {}
    return (
        _environment()
        .get_template("card.md.jinja")
        .render(
            header=_header(contents, files, settings, terms),
            contents=contents,
            license=terms,
            unlicensed=terms == UNSPECIFIED,
            teacher=_model(settings[ANNOTATE]),
            judge=" and ".join(of_judge.get("judges") or []) or "none",
            judged=judged,
            min_score=f"{of_judge.get('min_score', 0):g}",
            files=[(name, files[name]["rows"], refused(files[name])) for name in sorted(files)],
            funnel=list(_funnel(annotated, validated, judged, contents)),
            gold=validated["gold"],
            histogram=_histogram(judged["scores"]) if judged else [],
            agreement=judged["agreement"] if judged else None,
            types=_most(contents.types),
            more_types=max(0, len(contents.types) - SHOWN),
            sources=_most(contents.sources),
            more_sources=max(0, len(contents.sources) - SHOWN),
            spent=[(step, counts[step]) for step in (ANNOTATE, JUDGE) if counts[step]],
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


def _header(contents: Contents, files: Mapping, settings: Mapping[str, dict | None], terms: str) -> str:
    import yaml

    known = terms == UNSPECIFIED or _IDENTIFIER.fullmatch(terms)
    header: dict[str, object] = {"license": "unknown" if terms == UNSPECIFIED else terms if known else "other"}
    if not known:
        header["license_name"] = terms
    language = (settings[VALIDATE] or {}).get("language")
    if language and language != "any":
        header["language"] = [language]
    header["task_categories"] = ["token-classification"]
    header["tags"] = ["named-entity-recognition", "chain-of-thought", "synthetic"]
    header["size_categories"] = [next((name for limit, name in _SIZES if contents.total < limit), "n>1M")]
    lists = [split for split in SPLITS if f"{split}.json" in files]
    if lists:
        data = [{"split": _HUB_SPLITS[split], "path": f"{split}.json"} for split in lists]
        header["configs"] = [{"config_name": "default", "data_files": data}]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True).rstrip()


def _model(settings: Mapping | None) -> str:
    settings = settings or {}
    return str(settings.get("model_name") or settings.get("model") or "not recorded")


def _funnel(
    annotated: Mapping, validated: Mapping, judged: Mapping | None, contents: Contents
) -> Iterator[tuple[str, int, int | None]]:
    yield "in", annotated["rows"], None
    for reason, number in annotated["failed"].items():
        yield f"not annotated: `{reason}`", -number, None
    yield "annotated", annotated["answered"], None
    if waiting := annotated["rows"] - validated["rows"]:
        yield "not validated", -waiting, None
    for reason, numbers in validated["rejected"].items():
        if reason != "not_annotated":
            yield f"`{reason}`", -numbers["rows"], numbers["all"]
    yield "valid", validated["kept"], None
    if judged is not None:
        if waiting := validated["kept"] - judged["rows"]:
            yield "not judged", -waiting, None
        for reason, number in judged["rejected"].items():
            yield f"`{reason}`", -number, None
    yield "in this dataset", contents.total, None


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
