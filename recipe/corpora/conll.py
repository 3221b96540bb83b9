"""CoNLL's and BIO's layout: files in columns, with a token and its tag on each line.

    <Dataset>/{train,dev,test}.txt, .conll, .bio, .iob, .iob2 or .tsv
    <Dataset>/labels.json or labels.txt   perhaps: the types, or {"PER": "person"}, which renames the tags' types

    -DOCSTART- -X- -X- O

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O
    German JJ B-NP B-MISC

    next(read_sentences(Path("train.txt"))).mentions      # (Chunk(0, 1, "ORG"), Chunk(2, 3, "MISC"))

Tabs separate the columns of a line that has one, else spaces do. A blank line ends a sentence, and so does a line that
begins with -DOCSTART-. At the start of a sentence, a line that begins with `# ` and holds no tag is a comment.

Tags are `O` or a type behind B-, I-, E- (also L-), S- (also U-) or M-: the schemes IOB1, IOB2, BIOES, BILOU and BMES. A
mention begins and ends by the rule of conlleval, the CoNLL-2000 shared task's script: at B- and S-, after E- and S-,
at O, and wherever the type changes. So an I- that follows no tag of its type begins a mention. That is how IOB1 is
written; in a file of another scheme such a mention counts as repaired, and so does one that lacks its E-.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError, Example, normalize_type
from recipe.corpora.annotated import Annotated, example_of, of_tokens
from recipe.corpora.json_files import read_text_lines
from recipe.corpora.labels import labels_file, read_labels
from recipe.corpora.reading import FIRST_AND_LAST, Columns, Reading
from recipe.corpora.records import Wrong
from recipe.corpora.splits import SPLITS, split_files

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset

SUFFIXES = (".txt", ".conll", ".bio", ".iob", ".iob2", ".tsv")
FILES = "CoNLL columns ({train,dev,test}.txt, .conll, .bio, .iob2, .tsv)"

_TAG = re.compile(r"O|([BIESLUM])-(\S.*)", re.DOTALL)
_OPEN, _CLOSE = frozenset("BSU"), frozenset("ESLU")
_DOCUMENT = "-DOCSTART"


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

    @property
    def text(self) -> str:
        return self.annotated().text

    def annotated(self, join: str | None = None) -> Annotated:
        """The sentence with its mentions."""
        return of_tokens(self.tokens, ((one.start, one.end, one.label) for one in self.mentions), join)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the sentence around `line` can't be read."""

    line: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What only a whole file tells: the types in its tags; does B- (or S-) begin, and E- (or S-) end, every mention?"""

    labels: frozenset[str]
    opens: bool
    closes: bool


# ----------------------------------------------------------------------------------------------------------- files


def split_file(folder: Path, split: str) -> Path | None:
    """The column file of a split, or None. DataError where two files could be meant."""
    return next(iter(split_files(folder, split, reads)), None)


def found(folder: Path) -> bool:
    """True if the folder holds a column file of any split."""
    return folder.is_dir() and any(split_file(folder, split) for split in SPLITS)


def reads(path: Path) -> bool:
    """True for a file that ends like one in columns."""
    return path.suffix in SUFFIXES and path.name != "labels.txt"


def file(folder: Path, split: str) -> Path:
    """The split's file under its usual names, such as `valid.txt` for dev."""
    return split_file(folder, split) or folder / f"{split}.txt"


def label_files(folder: Path) -> tuple[Path, ...]:
    """A list of the types if there is one, else the files of all splits, whose tags name them."""
    listed = labels_file(folder)
    splits = (split_file(folder, split) for split in SPLITS)
    return (listed,) if listed else tuple(path for path in splits if path is not None)


# -------------------------------------------------------------------------------------------------------- examples


def types(dataset: Dataset, reading: Reading) -> tuple[str, ...]:
    """The types of the list, or of the tags, by the names that the list gives them."""
    return _labels(dataset, reading)[1]


def examples(dataset: Dataset, split: str, reading: Reading) -> Iterator[Example]:
    """The split's sentences: tokens joined by one space."""
    names, of_dataset = _labels(dataset, reading)

    def read(sentence: Sentence | Fault) -> tuple[Example, int]:
        if isinstance(sentence, Fault):
            raise Wrong(sentence.reason, sentence.message)
        example = example_of(sentence.annotated(reading.join), of_dataset, names, dataset.name, reading)
        reading.note("repaired_entity", sentence.repaired)
        return example

    path = dataset.file(split)
    numbered = ((sentence.line, sentence) for sentence in read_sentences(path, reading.columns))
    yield from reading.examples(path, numbered, read, "line")


def sentences(path: Path, reading: Reading) -> Iterator[str]:
    """The sentences of a column file."""
    for sentence in read_sentences(path, reading.columns):
        if isinstance(sentence, Fault):
            raise DataError(f"{path}: line {sentence.line}: {sentence.message}; correct it")
        yield sentence.annotated(reading.join).text


def _labels(dataset: Dataset, reading: Reading) -> tuple[dict[str, str], tuple[str, ...]]:
    """What each label of the dataset's files is called, both normalised; and the types that may be asked for."""
    first, *_ = files = dataset.label_files
    if first.stem == "labels":
        names = read_labels(first)
        return names, reading.types(first, names.values(), "list the types of the dataset")
    names = {normalize_type(label) for path in files for label in survey(path, reading.columns).labels}
    return {}, reading.types(first, names, "is --columns right?")


# ----------------------------------------------------------------------------------------------------------- lines


def survey(path: Path, columns: Columns = FIRST_AND_LAST) -> Survey:
    """Types and scheme of a file. Lines that can't be read don't count here."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return _survey(path, columns, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=256)  # a corpus is read several times; its files are surveyed once
def _survey(path: Path, columns: Columns, _mtime: int, _size: int) -> Survey:
    labels, opens, closes = set(), False, False
    before: tuple[str, str | None] = ("O", None)
    for _, line in read_text_lines(path):
        fields = _fields(line)
        tag = _TAG.fullmatch(_pick(fields, columns.tag) or "") if len(fields) > 1 else None
        prefix, label = ((tag[1] or "O"), tag[2]) if tag else ("O", None)
        if label is not None:
            labels.add(label)
            # In IOB1 a B- begins only a mention that follows another one of its type.
            opens = opens or prefix in "SU" or (prefix == "B" and before[1] != label)
            closes = closes or prefix in _CLOSE
        before = prefix, label
    return Survey(frozenset(labels), opens, closes)


def read_sentences(path: Path, columns: Columns = FIRST_AND_LAST) -> Iterator[Sentence | Fault]:
    """The sentences of a file in order, with a Fault in place of each that can't be read.

    DataError for a file that is not UTF-8 text or holds no sentence.
    """
    scheme = survey(path, columns)
    first: int | None = None
    tokens: list[str] = []
    tags: list[tuple[str, str | None]] = []
    fault: Fault | None = None
    width: int | None = None
    read = 0
    for number, line in itertools.chain(read_text_lines(path), [(0, "")]):  # a blank line ends the last sentence
        fields = _fields(line)
        if not fields or fields[0].startswith(_DOCUMENT):
            if first is not None:
                yield fault or Sentence(first, tuple(tokens), *_mentions(tags, scheme))
                read += 1
            first, tokens, tags, fault = None, [], [], None
            continue
        if first is None:
            if line.startswith("# ") and not _TAG.fullmatch(_pick(fields, columns.tag) or ""):
                continue
            first = number
        width = width or len(fields)
        token = fault or _token(number, fields, columns, width)
        if isinstance(token, Fault):
            fault = token
        else:
            tokens.append(token[0])
            tags.append(token[1:])
    if not read:
        raise DataError(f"{path}: holds no sentence; a token and its tag belong on each line")


def _fields(line: str) -> list[str]:
    # str.split() would split at a no-break space, which is part of a token.
    return [field for field in line.split("\t" if "\t" in line else " ") if field.strip(" ")]


def _pick(fields: Sequence[str], column: int) -> str | None:
    index = column - 1 if column > 0 else len(fields) + column
    return fields[index].strip(" ") if 0 <= index < len(fields) else None


def _token(number: int, fields: Sequence[str], columns: Columns, width: int) -> tuple[str, str, str | None] | Fault:
    """Token, prefix and type of a line."""
    token, tag = _pick(fields, columns.token), _pick(fields, columns.tag)
    if len(fields) < 2 or token is None or tag is None:
        needed = max(2, columns.token, columns.tag, -columns.token, -columns.tag)
        there = f"{len(fields)} column{'s' if len(fields) > 1 else ''}"
        message = f"{there} ({' '.join(fields)[:40]!r}), {needed} are needed: a token and its tag"
        return Fault(number, "columns", message)
    if len(fields) != width:
        return Fault(number, "columns", f"{len(fields)} columns, where the file's first line has {width}")
    if not token.strip():
        return Fault(number, "blank_token", f"the token {token!r} is blank")
    match = _TAG.fullmatch(tag)
    if match is None:
        message = f"{tag[:40]!r} is no tag (O, or a type behind B-, I-, E-, S-, L-, U- or M-; see --columns)"
        return Fault(number, "unknown_tag", message)
    return token, match[1] or "O", match[2]


def _mentions(tags: Sequence[tuple[str, str | None]], scheme: Survey) -> tuple[tuple[Chunk, ...], int]:
    """The mentions in order, and how many of them are not as the scheme has it."""
    mentions: list[Chunk] = []
    repaired = 0
    start = 0
    for index, (prefix, label) in enumerate(tags):
        if label is None:
            continue
        before, kind = tags[index - 1] if index else ("O", None)
        if prefix in _OPEN or before in _CLOSE or kind != label:
            start = index
        after, following = tags[index + 1] if index + 1 < len(tags) else ("O", None)
        if prefix in _CLOSE or after in _OPEN or following != label:
            mentions.append(Chunk(start, index + 1, label))
            sound = (not scheme.opens or tags[start][0] in _OPEN) and (not scheme.closes or prefix in _CLOSE)
            repaired += not sound
    return tuple(mentions), repaired
