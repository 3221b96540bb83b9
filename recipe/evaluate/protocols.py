"""Evaluation protocols: which datasets make which average, and our scores beside the published scores.

    protocol = read_protocol("zero_shot_7")             # hydra_configs/protocol/zero_shot_7.yaml
    protocol.averages["CrossNER-5"]                     # ("CrossNER_AI", "CrossNER_literature", ...)
    print(comparison(protocol, json.loads(Path("scores/scores.json").read_text()), check(protocol, rows)))

A file of the folder is one protocol. A file that trains on several shares is one for each: low_resource_conll03.yaml
is low_resource_conll03_1, _5 and _10.

Figures on other names of the types have a table of their own. An average over some of its datasets is
called partial, and the systems beside it are averaged over the same datasets. Published systems were scored on all
sentences of a split; so are ours: the gold of the sentences that preparation left out counts as missed
(recipe.evaluate.left_out).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe import answers
from recipe.core.entities import DEFAULT_FORMAT, DataError
from recipe.corpora.datasets import SPLITS
from recipe.corpora.records import RESIDUAL_TYPES
from recipe.evaluate.left_out import (
    UNKNOWN,
    beside_published,
    in_words,
    of_sentences,
    part_of_sentences,
    unknown,
    unread,
)
from recipe.evaluate.published import INSTRUCTUIE, Published, instructuie_types, of_protocol
from recipe.evaluate.verdict import scoring_of

PROTOCOL_DIR = Path(__file__).resolve().parents[2] / "hydra_configs" / "protocol"
RULE = "published"


@dataclass(frozen=True, slots=True)
class Training:
    """The datasets whose train splits are trained on, and the share of each, 0 to 1; None is all of it."""

    datasets: tuple[str, ...]
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a figure is obtained. Figures of one protocol can be compared."""

    name: str
    title: str
    source: str
    labels: str  # whose names the types have
    drop_else: bool
    split: str
    datasets: tuple[str, ...]
    averages: Mapping[str, tuple[str, ...]]
    train: Training | None
    published: str  # the protocol whose published figures are shown; its averages only where it is this one
    answer_format: str | None = None  # what its rows are asked in; None: names, in whichever format
    rule: str = RULE  # by which its figures are

    @property
    def task(self) -> str | None:
        """What its rows ask for; None for names in whichever format."""
        return self.answer_format and answers.task(self.answer_format)


def protocol_names(folder: Path = PROTOCOL_DIR) -> list[str]:
    """The names of the folder's protocols, sorted."""
    return sorted(_files(folder))


def _files(folder: Path) -> dict[str, tuple[Path, float | None]]:
    """The file of each protocol, by name, and the percent of train that the name ends with, if it does."""
    found: dict[str, tuple[Path, float | None]] = {}
    for path in folder.glob("*.yaml"):
        percents = _percents(path)
        names = {path.stem: None} if percents is None else {f"{path.stem}_{percent}": percent for percent in percents}
        found |= {name: (path, percent) for name, percent in names.items()}
    return found


def _percents(path: Path) -> list[float] | None:
    """The shares in a file of several protocols; None for another file, which read_protocol checks."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if "percent" not in text:  # every command line names the protocols, and to parse YAML takes its time
            return None
        percents = yaml.safe_load(text)["train"]["percent"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return None
    sound = isinstance(percents, list) and all(type(n) in (int, float) and 0 < n <= 100 for n in percents)
    return percents if sound else None


def read_protocol(name: str, folder: Path = PROTOCOL_DIR) -> Protocol:
    """The protocol of that name. DataError for an unknown name, and for a file that is not a protocol."""
    import yaml

    files = _files(folder)
    if name not in files:
        raise DataError(f"{name}: no such protocol; there are {', '.join(sorted(files))}")
    path, percent = files[name]
    try:
        values = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        values["datasets"] = datasets = tuple(values["datasets"])
        averages = values["averages"].items()
        values["averages"] = {title: datasets if part == "all" else tuple(part) for title, part in averages}
        train = values.get("train")
        if percent is not None:
            values["title"] = values["title"].replace("{percent}", str(percent))
            train = {"datasets": train["datasets"], "share": percent / 100}
        if train is not None:
            train = Training(**{**train, "datasets": tuple(train["datasets"])})
        values |= {"name": name, "train": train, "published": values.get("published", name)}
        protocol = Protocol(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: not a protocol ({' '.join(str(error).split())}); see the others there") from error
    unknown = {dataset for part in protocol.averages.values() for dataset in part} - set(datasets)
    known = scoring_of(protocol.answer_format or DEFAULT_FORMAT).rules
    if protocol.rule not in known:
        raise DataError(f"{path}: rule {protocol.rule} is none of its answers' ({', '.join(known)}); name one")
    if unknown or protocol.split not in SPLITS:
        what = f"averages {', '.join(sorted(unknown))}, none of its datasets" if unknown else f"split {protocol.split}"
        raise DataError(f"{path}: {what}; see the others there")
    return protocol


# -------------------------------------------------------------------------------------------------- rows and protocol


@dataclass(frozen=True, slots=True)
class Coverage:
    """How evaluation rows and a protocol agree.

    `relabelled` are datasets whose types have other names than the protocol's, `unchecked` those whose names aren't
    known here.
    """

    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What doesn't agree, in lines to print."""
        lines = {
            "not among the rows": self.missing,
            "no part of the protocol, and in none of its averages": self.extra,
            "types under other names than the protocol's": self.relabelled,
            "names of the types not checked": self.unchecked,
        }
        return tuple(f"{what}: {', '.join(names)}" for what, names in lines.items() if names)


def check(protocol: Protocol, rows: Iterable) -> Coverage:
    """Compare the datasets of rows (`dataset`, `example`; see rows.Row) and their types with the protocol.

    Residual types don't count: the scores say whether they were kept.
    """
    types: dict[str, set[str]] = {}
    for row in rows:
        types.setdefault(row.dataset, set()).update(row.example.types)
    present = tuple(name for name in protocol.datasets if name in types)
    known = instructuie_types() if protocol.labels == INSTRUCTUIE else {}
    return Coverage(
        present,
        tuple(name for name in protocol.datasets if name not in types),
        tuple(name for name in types if name not in protocol.datasets),
        tuple(name for name in present if name in known and types[name] - RESIDUAL_TYPES != set(known[name])),
        tuple(name for name in present if name not in known),
    )


# --------------------------------------------------------------------------------------------------------- comparison


@dataclass(frozen=True, slots=True)
class _Column:
    """A system in the table; figures in percent. `average` is the published one, of the protocol's first average."""

    head: str
    figures: Mapping[str, float]
    average: float | None = None
    own: bool = False


def comparison(protocol: Protocol, scores: Mapping, coverage: Coverage | None = None) -> str:
    """Tables of our F1 (`scores` as in scores.json) and the published one, in percent, by dataset and on average.

    `coverage` is what `check` says of the rows that were scored; without it their names of the types are taken to be
    the protocol's. DataError if none of the protocol's datasets was scored.
    """
    try:
        # Of a dataset without rows, some of whose records could not be read, there is no figure.
        without = {name: d for name, d in scores.get("without_rows", {}).items() if d["of_split"]}
        scored = {**scores["datasets"], **without}
        scored = {name: scored[name] for name in protocol.datasets if name in scored}
        rule = protocol.rule
        if lacking := next((name for name, d in scored.items() if rule not in beside_published(d)), None):
            rows = f"--answer-format {protocol.answer_format}"
            raise DataError(f"{protocol.name}: {lacking} has no figures by the rule {rule}; prepare rows with {rows}")
        ours = {name: 100 * beside_published(d)[rule]["f1"] for name, d in scored.items()}
        rows_alone = {name: 100 * d[rule]["f1"] for name, d in scored.items() if rule in d}
        source = scores.get("source", {})
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"scores: not what recipe.evaluate writes ({error!r}); score the predictions again") from error
    if not ours:
        raise DataError(f"{protocol.name}: none of its datasets was scored: {', '.join(protocol.datasets)}")
    labels = protocol.labels
    coverage = coverage or Coverage()
    if coverage.relabelled:
        labels = f"other names than {protocol.labels}'s in {', '.join(coverage.relabelled)}"
    if source.get("drop_else") is False and protocol.drop_else:
        labels += ", residual types kept"
    limit = f"first {source['limit']} rows of a dataset" if source.get("limit") else ""
    if rows_alone == ours:
        rows_alone = None
    groups: dict[str, list[Published]] = {labels: []}
    for row in of_protocol(protocol.published):
        groups.setdefault(row.labels, []).append(row)
    told = f"rule of the papers ({RULE})" if protocol.rule == RULE else f"rule {protocol.rule}"
    parts = [f"{protocol.name}: {protocol.title}; F1 in percent, {told}"]
    parts += [f"note: {note}" for note in (*coverage.notes, *in_words({"datasets": scored}))]
    if rows_alone is not None:
        parts.append("note: ours counts the gold left out as missed, as for systems scored on all sentences")
    for number, (group, rows) in enumerate(groups.items()):
        columns = [_Column("ours", ours, own=True)] if number == 0 else []
        if columns and rows_alone is not None:
            columns.append(_Column("rows alone", rows_alone, own=True))
        for row in rows:
            if row.figures:
                printed = row.average if row.protocol == protocol.name else None
                columns.append(_Column(row.system, row.figures, printed))
        lines = _grid(protocol, columns, scored if number == 0 else None, limit) if columns else []
        alone = [f"{row.system} {row.average:.1f}" for row in rows if not row.figures and protocol.name == row.protocol]
        if alone:
            size = len(protocol.averages[_first(protocol)])
            lines.append(f"published averages of all {size}, nothing by dataset: {'; '.join(alone)}")
        if lines:
            parts += [f"\nlabel names: {group}" + ("" if number == 0 else " - not comparable with ours"), *lines]
    return "\n".join(parts)


def _first(protocol: Protocol) -> str:
    return next(iter(protocol.averages))


def _grid(
    protocol: Protocol, columns: Sequence[_Column], scored: Mapping[str, Mapping] | None, limit: str
) -> list[str]:
    """A line for each dataset and each average. The averages of a line are over the same datasets.

    `scored` are our figures by dataset as in scores.json; None where the table is without them.
    """
    lines: list[tuple[str, list[float | None]]] = [
        (_titled(name, (scored or {}).get(name)), [column.figures.get(name) for column in columns])
        for name in protocol.datasets
    ]
    for title, part in protocol.averages.items() if len(protocol.datasets) > 1 else ():
        there = list(part) if scored is None else [name for name in part if name in scored]
        means = [_mean(column.figures, there) for column in columns]
        whole = [_whole(protocol, title, column) for column in columns]
        partial, unsure = ([], []) if scored is None else _marks(part, there, scored, limit)
        if partial:
            ours = sum(column.own for column in columns)
            lines.append((f"{title}, partial ({'; '.join(partial + unsure)})", means))
            lines.append((f"{title}, all {len(part)}, published", [*[None] * ours, *whole[ours:]]))
        else:
            lines.append((f"{title} ({'; '.join(unsure)})" if unsure else title, whole))
    lines = [(title, values) for title, values in lines if any(value is not None for value in values)]
    width = max(len(title) for title, _ in lines)
    sizes = [max(len(column.head), 7) for column in columns]
    head = "  ".join(f"{column.head:>{size}}" for column, size in zip(columns, sizes, strict=True))
    body = (
        "  ".join(f"{_cell(value, c.own):>{size}}" for value, c, size in zip(values, columns, sizes, strict=True))
        for _, values in lines
    )
    return [f"{'':{width}}  {head}", *(f"{title:{width}}  {row}" for (title, _), row in zip(lines, body, strict=True))]


def _titled(name: str, figures: Mapping | None) -> str:
    """A dataset's name; with `"1 of 3 sentences"` where ours were scored on a part of them."""
    whole = figures is None or figures.get("sentences") == figures.get("of_sentences")
    return name if whole else f"{name} ({of_sentences(figures)} sentences)"


def _marks(
    part: Sequence[str], there: Sequence[str], scored: Mapping[str, Mapping], limit: str
) -> tuple[list[str], list[str]]:
    """Why our average covers a part alone, and what is unknown about it."""
    partial = [f"{len(there)} of {len(part)}"] if len(there) < len(part) else []
    if limit:
        partial.append(limit)
    elif names := unread({name: scored[name] for name in there}):
        partial.append(f"{part_of_sentences(scored, names)} of {', '.join(names)}")
    return partial, [UNKNOWN] if unknown({name: scored[name] for name in there}) else []


def _whole(protocol: Protocol, title: str, column: _Column) -> float | None:
    """A published average as it was printed, else the mean of the column's figures."""
    printed = column.average if title == _first(protocol) else None
    return _mean(column.figures, protocol.averages[title]) if printed is None else printed


def _mean(figures: Mapping[str, float], names: Sequence[str]) -> float | None:
    """The plain mean over the datasets, or None where one of them has no figure."""
    if not names or any(name not in figures for name in names):
        return None
    return sum(figures[name] for name in names) / len(names)


def _cell(value: float | None, own: bool) -> str:
    """Published figures have one decimal."""
    return "-" if value is None else f"{value:.{2 if own else 1}f}"
