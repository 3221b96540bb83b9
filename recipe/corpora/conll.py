"""CoNLL's and BIO's layout: files in columns, with a token and its tag on each line.

    <Dataset>/{train,dev,test}.txt, .conll, .conllu, .bio, .iob, .iob2, .tsv or .csv; eng.testa; emerging.test.annotated
    <Dataset>/labels.json or labels.txt   perhaps: the types, or {"PER": "person"}, which renames the tags' types
    <Dataset>.conll                       the same in one file, which is any split

    -DOCSTART- -X- -X- O

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O
    German JJ B-NP B-MISC

    next(read_sentences(Path("train.txt"))).mentions      # (Chunk(0, 1, "ORG"), Chunk(2, 3, "MISC"))

recipe.corpora.columns says how lines are cut, recipe.corpora.tags how tags are written. A blank line ends a sentence,
and so does a line that begins with -DOCSTART-. At the start of a sentence, a line that begins with # and holds no tag
is a comment. Where the first column only counts (tokens or sentences) and the user names no columns, the words are in
the next one; and where the file has no blank line, these numbers part its sentences. Of several columns of tags, as in
GermEval 2014, the last counts, which is noted (`other_tag_column`). Of CoNLL-U, lines such as 1-2 and 8.1, which are no
words, are passed over and counted.

A mention begins and ends by the rule of conlleval, the CoNLL-2000 shared task's script: at B- and S-, after E- and S-,
at O, and wherever the type changes. So an I- that follows no tag of its type begins a mention. That is how IOB1 is
written; in a file of another scheme such a mention counts as repaired, and so does one that lacks its E-.

Tokens are joined by one space; by nothing if most letters of the file are of a script without spaces, so that all its
sentences are joined alike. In such a file, neighbours that end and begin with a letter or digit of another script keep
a space between them ("iPhone 6"), if such tokens are words. In a file that has them character by character ("i", "P",
"h") nobody can tell where a space was, and they are joined as they are, as the readers of such files usually do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError, Example, normalize_type
from recipe.corpora.annotated import Annotated, Mention, example_of, of_tokens, unspaced
from recipe.corpora.column_survey import Survey, survey, tag_of
from recipe.corpora.columns import extra_node, is_prose, looks_like_columns, pick, rows, tag_column
from recipe.corpora.labels import labels_file, read_labels
from recipe.corpora.reading import FIRST_AND_LAST, Columns, Reading
from recipe.corpora.records import Wrong
from recipe.corpora.splits import SPLITS, split_files
from recipe.corpora.tags import OUTSIDE, Tag, looks_like_one, untyped_fault

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

__all__ = ("FILES", "SUFFIXES", "Chunk", "Columns", "Fault", "Sentence", "Survey", "read_sentences", "survey")

_OF_COLUMNS = (".conll", ".conllu", ".bio", ".iob", ".iob2")
_OF_SPLITS = tuple(f".{name}" for names in SPLITS.values() for name in names)
SUFFIXES = (*_OF_COLUMNS, ".txt", ".tsv", ".csv", ".annotated", *_OF_SPLITS)
OPTIONS = ("columns", "join", "tags", "type_name")
FILES = "CoNLL columns ({train,dev,test}.txt, .conll, .conllu, .bio, .iob2, .tsv, .csv)"

_OPEN, _CLOSE = frozenset("BSU"), frozenset("ESLU")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start` to `end`, the end exclusive, and the type as it is written in the tags."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that begins in `line`; how many of its mentions were not written as the file's scheme has it."""

    line: int
    tokens: tuple[str, ...]
    mentions: tuple[Chunk, ...]
    repaired: int = 0
    passed_over: tuple[str, ...] = ()  # what recipe.corpora.columns.extra_node calls the lines that are no words

    @property
    def text(self) -> str:
        return self.annotated().text

    def annotated(self, join: str | None = None, words: bool = False) -> Annotated:
        """The sentence with its mentions. `words`: a space stands between words of a spaced script whatever `join`."""
        chunks = ((one.start, one.end, one.label) for one in self.mentions)
        if not words:
            return of_tokens(self.tokens, chunks, join)
        parts, starts, at, before = [], [], 0, ""
        for token in self.tokens:
            gap = " " if before and _spaced(before) and _spaced(token[0]) else join or ""
            gap = gap if before else ""
            starts.append(at + len(gap))
            parts += gap, token
            at, before = starts[-1] + len(token), token[-1]
        ends = [start + len(token) for start, token in zip(starts, self.tokens, strict=True)]
        mentions = (Mention(label, starts[first], ends[end - 1]) for first, end, label in chunks)
        return Annotated("".join(parts), tuple(mentions))


def _spaced(character: str) -> bool:
    return character.isalnum() and not unspaced(character)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the sentence around `line` can't be read."""

    line: int
    reason: str
    message: str


# ----------------------------------------------------------------------------------------------------------- files


def split_file(folder: Path, split: str) -> Path | None:
    """The column file of a split, or None. DataError where two files could be meant, and for one in numbered parts."""
    files = split_files(folder, split, reads)
    if len(files) > 1:
        raise DataError(f"{folder}: its {split} split is in {len(files)} parts; join them in one file")
    return files[0] if files else None


def found(path: Path) -> bool:
    """True for a column file with tags, and for a folder that holds a column file of any split."""
    if path.is_file():
        return reads(path) and (path.suffix in _OF_COLUMNS or looks_like_columns(path, with_tags=True))
    return any(split_file(path, split) for split in SPLITS)


def reads(path: Path) -> bool:
    """True for a file that ends like one in columns and, where the ending is others' too, begins like one."""
    if path.suffix not in SUFFIXES or path.name == "labels.txt":
        return False
    return path.suffix in _OF_COLUMNS or (not path.with_suffix(".ann").exists() and looks_like_columns(path))


def file(path: Path, split: str) -> Path:
    """The split's file under its usual names, such as `valid.txt` for dev; the one file."""
    return path if path.is_file() else split_file(path, split) or path / f"{split}.txt"


def label_files(path: Path) -> tuple[Path, ...]:
    """A list of the types if there is one, else the files of all splits, whose tags name them."""
    if path.is_file():
        return (path,)
    listed = labels_file(path)
    splits = (split_file(path, split) for split in SPLITS)
    return (listed,) if listed else tuple(split for split in splits if split is not None)


# -------------------------------------------------------------------------------------------------------- examples


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types of the list, or of the tags, by the names that the list gives them."""
    return _labels(dataset, reading)[1]


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The split's sentences."""
    names, of_dataset = _labels(dataset, reading)
    path = dataset.file(split)
    scheme = survey(path, reading.columns, reading.tags)
    reading.note("index_column", scheme.shifted)
    if not reading.columns.chosen and tag_column(path, scheme.form) not in (0, scheme.tag_from_1):
        reading.note("other_tag_column", 1)

    def read(sentence: Sentence | Fault) -> tuple[Example, int]:
        if isinstance(sentence, Fault):
            raise Wrong(sentence.reason, sentence.message)
        example = example_of(_annotated(sentence, scheme, reading), of_dataset, names, dataset.name, reading)
        reading.note("repaired_entity", sentence.repaired)
        for kind in sentence.passed_over:
            reading.note(kind, 1)
        return example

    numbered = ((sentence.line, sentence) for sentence in _read(path, scheme, reading))
    yield from reading.examples(path, numbered, read, "line")


def sentences(path: Path, reading: Reading) -> Iterator[str]:
    """The sentences of a column file."""
    scheme = survey(path, reading.columns, reading.tags)
    for sentence in _read(path, scheme, reading):
        if isinstance(sentence, Fault):
            raise DataError(f"{path}: line {sentence.line}: {sentence.message}; correct it")
        yield _annotated(sentence, scheme, reading).text


def _annotated(sentence: Sentence, scheme: Survey, reading: Reading) -> Annotated:
    if reading.join is not None:
        return sentence.annotated(reading.join)
    return sentence.annotated(scheme.join, words=not scheme.join and scheme.words)


def _labels(dataset: Dataset, reading: Reading) -> tuple[dict[str, str], tuple[str, ...]]:
    """What each label of the dataset's files is called, both normalised; and the types that may be asked for."""
    first, *_ = files = dataset.label_files
    if first.stem == "labels" and first != dataset.folder:
        names = read_labels(first)
        if not names and reading.type_name:  # a list of B, I and O
            return {}, reading.types(first, {normalize_type(reading.type_name)}, "name another type")
        return names, reading.types(first, names.values(), "list the types of the dataset")
    schemes = {path: survey(path, reading.columns, reading.tags) for path in files}
    labels = {normalize_type(label) for scheme in schemes.values() for label in scheme.labels}
    if reading.type_name and any(scheme.untyped for scheme in schemes.values()):
        labels.add(normalize_type(reading.type_name))
    if not labels:
        for path, scheme in schemes.items():
            _refuse_the_first_fault(path, scheme, reading)
    only_residual = "rename its labels in labels.json, or keep such types"
    return {}, reading.types(first, labels, only_residual if labels else "every tag is O; is --columns right?")


def _refuse_the_first_fault(path: Path, scheme: Survey, reading: Reading) -> None:
    """DataError for the first line that can't be read; no type is to be had from such a file."""
    fault = next((item for item in _read(path, scheme, reading) if isinstance(item, Fault)), None)
    if fault is not None:
        column = tag_column(path, scheme.form) if fault.reason == "unknown_tag" and not scheme.untyped else 0
        remedy = (
            f"column {column} holds tags: give --columns {scheme.columns.token},{column}" if column else "correct it"
        )
        raise DataError(f"{path}: line {fault.line}: {fault.message}; {remedy}")


# ----------------------------------------------------------------------------------------------------------- lines


def read_sentences(
    path: Path, columns: Columns = FIRST_AND_LAST, reading: Reading | None = None
) -> Iterator[Sentence | Fault]:
    """The sentences of a file in order, with a Fault in place of each that can't be read.

    DataError for a file that is not UTF-8 text, holds no sentence, or has numbers where the tokens should be.
    """
    reading = reading or Reading(columns=columns)
    return _read(path, survey(path, reading.columns, reading.tags), reading)


def _read(path: Path, scheme: Survey, reading: Reading) -> Iterator[Sentence | Fault]:
    if scheme.refused:
        raise DataError(f"{path}: {scheme.refused}")
    first: int | None = None
    tokens: list[str] = []
    tags: list[Tag] = []
    passed_over: list[str] = []
    fault: Fault | None = None
    width, key, read = scheme.form.width, "", 0
    for number, line, fields in rows(path, scheme.form):
        before, key = key, _key(fields, scheme) or key
        if not fields or (before != key and _begins(before, key, scheme)):
            if first is not None:
                yield fault or Sentence(first, tuple(tokens), *mentions_of(tags, scheme), tuple(passed_over))
                read += 1
            first, tokens, tags, passed_over, fault = None, [], [], [], None
            if not fields:
                continue
        tag = tag_of(fields, scheme.columns, reading.tags)
        if first is None and fields[0].startswith("#") and _is_comment(line, fields, tag, scheme):
            continue
        first = first or number
        if scheme.numbers and (kind := extra_node(fields)):
            passed_over.append(kind)
            continue
        width = width or len(fields)
        token = fault or _token(number, fields, tag, width, scheme, reading.type_name)
        if isinstance(token, Fault):
            fault = token
        else:
            tokens.append(token[0])
            tags.append(token[1])
    if not read:
        raise DataError(f"{path}: holds no sentence; a token and its tag belong on each line")


def _key(fields: Sequence[str], scheme: Survey) -> str:
    """What a file without blank lines says of a line's sentence: its number, or the token's; "" for nothing."""
    if scheme.form.sentence:
        return (pick(fields, scheme.form.sentence) or "").strip()
    return fields[0] if scheme.splits and fields and not extra_node(fields) else ""


def _begins(before: str, key: str, scheme: Survey) -> bool:
    return bool(before) and (scheme.form.sentence > 0 or scheme.numbers.begins(before, key))


def _is_comment(line: str, fields: Sequence[str], tag: str | None, scheme: Survey) -> bool:
    if tag is None or len(fields) < 2 or is_prose(line, fields, scheme.form):
        return True
    return tag not in scheme.tags and not looks_like_one(tag)


def _token(
    number: int, fields: Sequence[str], tag: str | None, width: int, scheme: Survey, type_name: str | None
) -> tuple[str, Tag] | Fault:
    """Token and tag of a line."""
    columns = scheme.columns
    token = pick(fields, columns.token)
    if len(fields) < 2 or token is None or tag is None:
        needed = max(2, columns.token, columns.tag, -columns.token, -columns.tag)
        there = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
        message = f"{there} ({' '.join(fields)[:40]!r}), {needed} are needed: a token and its tag"
        return Fault(number, "columns", message)
    if len(fields) != width:
        return Fault(number, "columns", f"{len(fields)} columns, where the file's first line has {width}")
    if not token.strip():
        return Fault(number, "blank_token", f"the token {token[:40]!r} is blank")
    parsed = scheme.tags.get(tag)
    if parsed is None:
        return Fault(number, *scheme.style.fault(tag))
    if parsed[1] == "":
        if not type_name:
            return Fault(number, *untyped_fault(tag))
        parsed = parsed[0], type_name
    return token, parsed


def mentions_of(tags: Sequence[Tag], scheme: Survey) -> tuple[tuple[Chunk, ...], int]:
    """The mentions in order, and how many of them are not as the scheme has it."""
    mentions: list[Chunk] = []
    repaired = 0
    start = 0
    for index, (prefix, label) in enumerate(tags):
        if label is None:
            continue
        before, kind = tags[index - 1] if index else OUTSIDE
        if prefix in _OPEN or before in _CLOSE or kind != label:
            start = index
        after, following = tags[index + 1] if index + 1 < len(tags) else OUTSIDE
        if prefix in _CLOSE or after in _OPEN or following != label:
            mentions.append(Chunk(start, index + 1, label))
            sound = (not scheme.opens or tags[start][0] in _OPEN) and (not scheme.closes or prefix in _CLOSE)
            repaired += not sound
    return tuple(mentions), repaired
