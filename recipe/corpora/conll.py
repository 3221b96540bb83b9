"""CoNLL column files: finds them in a dataset's folder, and reads a token and its tag from each line.

    -DOCSTART- -X- -X- O

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O
    German JJ B-NP B-MISC

    next(read_sentences(Path("train.txt"))).mentions      # (Mention(0, 1, "ORG"), Mention(2, 3, "MISC"))

Columns are set apart by tabs where a line has one, else by spaces; a line of white space, or one that begins with
-DOCSTART-, ends a sentence; a line that begins with `# ` and holds no tag at the start of a sentence is a comment.

Tags are `O` or a type behind B-, I-, E- (also L-), S- (also U-) or M-: the schemes IOB1, IOB2, BIOES, BILOU and BMES. A
mention begins and ends by the rule of conlleval, the CoNLL-2000 shared task's script: at B- and S-, after E- and S-,
at O, and wherever the type changes. So an I- that follows no tag of its type begins a mention. That is how IOB1 is
written; in a file of another scheme such a mention counts as repaired, and so does one that lacks its E-.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.corpora.json_files import read_text_lines

SPLIT_FILES: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "dev": ("dev", "valid", "validation", "devel"),
    "test": ("test",),
}
SUFFIXES = (".txt", ".conll", ".bio", ".iob", ".iob2", ".tsv")

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}_")
_TAG = re.compile(r"O|([BIESLUM])-(\S.*)", re.DOTALL)
_OPEN, _CLOSE = frozenset("BSU"), frozenset("ESLU")
_DOCUMENT = "-DOCSTART"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold token and tag: from 1, or from the end below 0."""

    token: int = 1
    tag: int = -1


FIRST_AND_LAST = Columns()


@dataclass(frozen=True, slots=True)
class Mention:
    """Tokens `start` to `end`, the end exclusive, and the type as it is written in the tags."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that begins in `line`; how many of its mentions were not written as the file's scheme has it."""

    line: int
    tokens: tuple[str, ...]
    mentions: tuple[Mention, ...]
    repaired: int = 0

    @property
    def text(self) -> str:
        return " ".join(self.tokens)

    def name(self, mention: Mention) -> str:
        return " ".join(self.tokens[mention.start : mention.end])


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
    found = _candidates(folder, split)
    if len(found) > 1:
        both = " and ".join(path.name for path in found[:2])
        raise DataError(f"{folder}: {both} both look like its {split} split; leave one of them there")
    return found[0] if found else None


def split_files(folder: Path) -> dict[str, Path]:
    """The column files of a folder by split, as far as they are there."""
    found = {split: split_file(folder, split) for split in SPLIT_FILES}
    return {split: path for split, path in found.items() if path is not None}


def has_split(folder: Path) -> bool:
    """True if the folder holds a column file of any split."""
    return any(_candidates(folder, split) for split in SPLIT_FILES)


def _candidates(folder: Path, split: str) -> list[Path]:
    """`valid.txt`, or else, behind a language, `de_dev.conll`."""
    names = SPLIT_FILES[split]
    files = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.is_file()]
    exact = [path for path in files if path.stem in names]
    return exact or [path for path in files if _LANGUAGE.sub("", path.stem, count=1) in names]


# ----------------------------------------------------------------------------------------------------------- lines


def tag_type(tag: str) -> str | None:
    """`"B-PER"` -> `"PER"`; None for `O` and for what is no tag."""
    match = _TAG.fullmatch(tag)
    return match and match[2]


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
            # In IOB1 a B- stands only where a mention follows another one of its type.
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
    for number, line in _with_end(read_text_lines(path)):
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


def _with_end(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines, and a blank one that ends the last sentence."""
    yield from lines
    yield 0, ""


def _fields(line: str) -> list[str]:
    # str.split() would split at a no-break space, which stands inside tokens.
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


def _mentions(tags: Sequence[tuple[str, str | None]], scheme: Survey) -> tuple[tuple[Mention, ...], int]:
    """The mentions in order, and how many of them are not as the scheme has it."""
    mentions: list[Mention] = []
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
            mentions.append(Mention(start, index + 1, label))
            sound = (not scheme.opens or tags[start][0] in _OPEN) and (not scheme.closes or prefix in _CLOSE)
            repaired += not sound
    return tuple(mentions), repaired
