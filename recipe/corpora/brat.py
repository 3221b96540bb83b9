r"""brat's standoff layout: pairs of a text and its annotations, `a.txt` and `a.ann`.

    <Dataset>/{train,dev,test}/a.ann    T1\tORG 0 2\tEU
    <Dataset>/annotation.conf           the types, in its section [entities]; or labels.json

Pairs may stand in the dataset's folder itself. If some are called `train`, `dev` or `test`, these are the splits; if
not, the dataset knows no splits and is taken for whichever is asked for. One pair may be a dataset, too.

Offsets count the characters of the text as they are in the file, `\r\n` as two. Each line of the text is an example.
Lines that a mention crosses are joined: they are one example with the line ends in it. Blank lines are none.

A mention in several pieces is refused, unless only white space stands between them, as brat writes a mention that
crosses a line end. A document with a bad annotation gives no example at all: its other lines would miss that entity. So
where bad records are skipped, `skipped` counts documents. `noted` counts `other_annotation` (each line that is a
relation, event, attribute, normalisation, comment or equivalence, and each trigger of an event) and `not_annotated` (a
text without an .ann, left out).
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError, Example, normalize_type
from recipe.corpora.annotated import Annotated, Mention, example_of
from recipe.corpora.json_files import read_text, read_verbatim
from recipe.corpora.labels import labels_file, read_labels
from recipe.corpora.reading import Reading
from recipe.corpora.records import Wrong, refuse
from recipe.corpora.splits import SPLITS, closeness

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

FILES = "brat (a.txt and a.ann in train, dev, test)"
MAY_LACK_SPLITS = True

_CONF = "annotation.conf"
_TEXT_BOUND = re.compile(r"(T[^\t ]*)\t([^\t ]+) ([0-9]{1,12}) ([0-9]{1,12})((?:;[0-9]{1,12} [0-9]{1,12})*)(?:\t(.*))?")
_TRIGGER = re.compile(r"E[^\t ]*\t[^\t :]+:(T[^\t ]*)")
_LINE_END = re.compile(r"\r\n|\n|\r")


# ------------------------------------------------------------------------------------------------------- the contract


def found(path: Path) -> bool:
    """True for an .ann file, and for a folder with one in it or in a folder of any split."""
    return reads(path) if path.is_file() else bool(_annotations_in(path) or knows_splits(path))


def reads(path: Path) -> bool:
    """True for an .ann file, and for the text beside one."""
    return path.is_file() and (path.suffix == ".ann" or (path.suffix == ".txt" and path.with_suffix(".ann").is_file()))


def knows_splits(path: Path) -> bool:
    """True for a folder with a folder of pairs, or a pair, for any split."""
    return any(_split_folder(path, split) or _called(path, split) for split in SPLITS)


def file(path: Path, split: str) -> Path:
    """The annotations of the split's first document."""
    return next(iter(parts(path, split)), path / split)


def parts(path: Path, split: str) -> list[Path]:
    """The annotations of all the split's documents."""
    return [_ann(stem) for stem in _documents(path, split) if _ann(stem).is_file()]


def label_files(path: Path) -> tuple[Path, ...]:
    """The list of types or annotation.conf, and all documents."""
    listed = _types_file(path)
    stems = dict.fromkeys(stem for split in SPLITS for stem in _documents(path, split))
    files = (file for stem in stems for file in (_ann(stem), _txt(stem)) if file.is_file())
    return tuple(([listed] if listed else []) + list(files))


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types of the list or of annotation.conf, or those in the documents."""
    return _names(dataset.folder, reading)[1]


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The lines of the split's documents, which are in order of their names."""
    names, of_dataset = _names(dataset.folder, reading)
    for stem in _documents(dataset.folder, split):
        if not _ann(stem).is_file():
            reading.note("not_annotated", 1)
            continue
        noted: Counter = Counter()
        counting = replace(reading, noted=noted)
        try:
            document = _read(stem)
            found = [_example(document, line, of_dataset, names, dataset.name, counting) for line in document.lines]
        except Wrong as wrong:
            refuse(str(_ann(stem)), wrong, reading.skipped)
            continue
        noted["other_annotation"] += document.others
        reading.note_all(noted)
        yield from reading.examples(_ann(stem), enumerate(found, 1), lambda example: example, "example")


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """The lines of a document."""
    try:
        yield from (line.annotated.text for line in _read(path.with_suffix("")).lines)
    except Wrong as wrong:
        raise DataError(f"{path}: {wrong}; correct it") from wrong


# ---------------------------------------------------------------------------------------------------------- documents


def _ann(stem: Path) -> Path:
    return stem.with_name(stem.name + ".ann")


def _txt(stem: Path) -> Path:
    return stem.with_name(stem.name + ".txt")


def _documents(path: Path, split: str) -> list[Path]:
    """The paths of the split's documents without their endings, sorted."""
    if path.is_file():
        return [path.with_suffix("")]
    if folder := _split_folder(path, split):
        return _stems(folder)
    if knows_splits(path):
        return _called(path, split)
    # A folder that is called `train` is no other split, wherever it is met.
    if named := next((file for file in _annotations_in(path) if _split_of(file)), None):
        raise DataError(f"{path}: {named.name} is called after a split and others are not; give each split a folder")
    return _stems(path) if _split_of(path) in (None, split) and _annotations_in(path) else []


def _split_folder(path: Path, split: str) -> Path | None:
    """The folder of a split's pairs. DataError where two could be meant."""
    if not path.is_dir():
        return None
    below = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    folders = [each for each in below if closeness(each, split) is not None and _annotations_in(each)]
    if len(folders) > 1:
        both = " and ".join(each.name for each in folders[:2])
        raise DataError(f"{path}: {both} both look like its {split} split; leave one of them there")
    return folders[0] if folders else None


def _called(path: Path, split: str) -> list[Path]:
    """The pairs whose name is the split's, where all are called after splits."""
    splits = {file: _split_of(file) for file in _annotations_in(path)}
    return [file.with_suffix("") for file, its in splits.items() if its == split and None not in splits.values()]


def _split_of(path: Path) -> str | None:
    return next((split for split in SPLITS if closeness(path, split) == 0), None)


def _annotations_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("[!.]*.ann") if file.is_file())


def _stems(folder: Path) -> list[Path]:
    files = (file for ending in ("ann", "txt") for file in folder.glob(f"[!.]*.{ending}"))
    return sorted({file.with_suffix("") for file in files if file != labels_file(folder)})


# -------------------------------------------------------------------------------------------------------------- types


def _types_file(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    conf = path / _CONF
    return labels_file(path) or (conf if conf.is_file() else None)


def _names(path: Path, reading: Reading) -> tuple[dict[str, str], tuple[str, ...]]:
    """What each normalised label is called if otherwise, and the types of the dataset."""
    listed = _types_file(path)
    if listed is None:
        files = label_files(path)
        labels, fault = _labels(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))
        if fault and not labels and reading.skipped is None:  # more to the point than that there are no types
            refuse(*fault, None)
        remedy = "annotate an entity, or list the types in labels.json"
        return {}, reading.types(path, labels, remedy)
    names = {label: label for label in _configured(listed)} if listed.name == _CONF else read_labels(listed)
    return names, reading.types(listed, names.values(), "list the types of the dataset")


def _configured(path: Path) -> set[str]:
    """The entity types of annotation.conf. `!` marks a heading, which is no type; `<` and `-` begin no type either."""
    section, labels = "", set()
    for line in map(str.strip, read_text(path).splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip().lower()
        elif section == "entities" and line and line[0] not in "#!<-":
            labels.add(normalize_type(line.split()[0]))
    return labels


@functools.lru_cache(maxsize=32)  # a corpus is read several times; its documents are surveyed once
def _labels(files: tuple[tuple[Path, int, int], ...]) -> tuple[frozenset[str], tuple[str, Wrong] | None]:
    """The labels of all documents, and what is wrong with the first bad one."""
    labels: set[str] = set()
    fault = None
    for path in (path for path, *_ in files if path.suffix == ".ann"):
        try:
            lines = _read(path.with_suffix("")).lines
        except Wrong as wrong:  # counted, if it is, when the document is read for its examples
            fault = fault or (str(path), wrong)
            continue
        labels.update(normalize_type(mention.label) for line in lines for mention in line.annotated.mentions)
    return frozenset(labels), fault


# ----------------------------------------------------------------------------------------------------------- the pair


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, or lines that a mention joins; `number` is that of the first."""

    number: int
    annotated: Annotated


@dataclass(frozen=True, slots=True)
class _Document:
    lines: list[_Line]
    others: int  # annotations that are no mention


def _example(
    document: _Document,
    line: _Line,
    of_dataset: tuple[str, ...],
    names: Mapping[str, str],
    dataset: str,
    reading: Reading,
) -> tuple[Example | None, int]:
    try:
        return example_of(line.annotated, of_dataset, names, dataset, reading)
    except Wrong as wrong:
        raise Wrong(wrong.reason, f"in line {line.number} of the text, {wrong}") from wrong


def _read(stem: Path) -> _Document:
    """The lines of a document. Wrong for a bad annotation; DataError for a file that can't be read."""
    if not _txt(stem).is_file():
        raise Wrong("no_text", f"has no {_txt(stem).name} beside it")
    text = read_verbatim(_txt(stem))
    if not text.strip():
        raise Wrong("bad_sentence", f"{_txt(stem).name} is empty")
    mentions, others = _mentions(_ann(stem), text)
    return _Document(_lines(text, mentions), others)


def _mentions(path: Path, text: str) -> tuple[list[Mention], int]:
    """The mentions of an .ann file, and how many of its annotations are something else."""
    found: list[tuple[str, Mention]] = []
    triggers: set[str] = set()
    others = 0
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        if line[0] in "REAMN#*":
            others += 1
            if trigger := _TRIGGER.match(line):
                triggers.add(trigger[1])
        elif match := _TEXT_BOUND.fullmatch(line):
            found.append((match[1], _mention(match, text, number)))
        else:
            raise Wrong("bad_annotation", f"line {number}: {line[:40]!r} is no annotation such as 'T1\\tORG 0 2\\tEU'")
    mentions = [mention for name, mention in found if name not in triggers]
    return mentions, others + len(found) - len(mentions)


def _mention(match: re.Match, text: str, number: int) -> Mention:
    name, label, start, end, more, quoted = match.groups()
    start, end, given = int(start), int(end), f"{match[3]} {match[4]}{more}"
    if not start < end:
        raise Wrong("bad_place", f"line {number}: {name} is at {given}, where nothing can stand")
    for piece in more.split(";")[1:]:
        further, end_of_piece = map(int, piece.split())
        if not end <= further < end_of_piece or text[end:further].strip():
            raise Wrong("discontinuous", f"line {number}: {name} is in pieces ({given[:60]}), which no answer can say")
        end = end_of_piece
    if end > len(text):
        raise Wrong("bad_place", f"line {number}: {name} is at {given[:60]} of {len(text)} characters")
    if not text[start:end].strip():
        raise Wrong("bad_place", f"line {number}: {name} is at {given[:60]}, where nothing is seen")
    return Mention(label, start, end, quoted if quoted is not None and quoted.strip() else text[start:end])


def _lines(text: str, mentions: list[Mention]) -> list[_Line]:
    """The lines that aren't blank, with the mentions in them at their places there."""
    ends = [match.span() for match in _LINE_END.finditer(text)]
    starts = [int(text.startswith("\ufeff")), *(end for _, end in ends)]  # a byte-order mark counts, but isn't text
    stops = [*(start for start, _ in ends), len(text)]
    # A mention opens a join at its first line and closes it at its last.
    opened = [0] * (len(starts) + 1)
    placed = []
    for mention in mentions:
        seen = text[mention.start : mention.end].strip()
        start = text.index(seen, mention.start)
        first, last = (max(bisect_right(starts, at) - 1, 0) for at in (start, start + len(seen) - 1))
        opened[first] += 1
        opened[last] -= 1
        if mention.start < starts[first]:  # a line end before the mention was annotated with it
            mention = replace(mention, start=start, name=mention.name.lstrip())
        placed.append((first, mention))
    whole: list[tuple[int, int]] = []  # first and last line
    depth = 0
    for line, change in enumerate(opened[:-1]):
        if depth:
            whole[-1] = whole[-1][0], line
        else:
            whole.append((line, line))
        depth += change
    firsts = [first for first, _ in whole]
    inside_of: list[list[Mention]] = [[] for _ in whole]
    for first, mention in placed:
        index = bisect_right(firsts, first) - 1
        at = starts[firsts[index]]
        inside_of[index].append(replace(mention, start=mention.start - at, end=mention.end - at))
    lines = []
    for (first, last), inside in zip(whole, inside_of, strict=True):
        there = text[starts[first] : stops[last]]
        if there.strip():
            lines.append(_Line(first + 1, Annotated(there, tuple(inside))))
    return lines
