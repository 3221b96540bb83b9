"""Lines in columns: what separates the fields, which lines are none of a sentence, and columns that only count.

    form = form_of(Path("train.tsv"))
    for number, line, fields in rows(path, form): ...       # 1, "EU\tB-ORG", ["EU", "B-ORG"]; [] ends a sentence

Tabs separate the fields of a line that has one, else spaces do. Where all lines of a file are one field by that, it may
be `;`, `|`, `,` or `/`. A first line that names its columns (`Sentence #,Word,POS,Tag`) is a header, and says them.
"""

from __future__ import annotations

import csv
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.corpora.json_files import read_text_lines
from recipe.corpora.tags import looks_like_one

SEPARATORS = (";", "|", ",", "/")
_HEAD = 200  # lines that show whether a file is in columns
_DOCUMENT = "-DOCSTART"

_TOKEN_NAMES = frozenset({"word", "words", "token", "tokens", "form"})
_TAG_NAMES = frozenset({"tag", "tags", "ner", "ner_tag", "ner_tags", "ner tag", "label", "labels", "entity"})
_SENTENCE_NAMES = frozenset({"sentence #", "sentence", "sentence_id", "sentence id", "sent_id", "sentence_idx"})

_RANGE = re.compile(r"[0-9]+-[0-9]+")
_EMPTY_NODE = re.compile(r"[0-9]+\.[0-9]+")
_NUMBER = re.compile(r"[0-9]{1,9}")
_MANY = 20  # so many numbers without an order are a column of numbers


@dataclass(frozen=True, slots=True)
class Form:
    """How the lines of a file are cut.

    `separator` is "" for tabs or spaces. `width` is the number of fields of its first line. `header` is the number of
    the line that names the columns (0: none), of which `token`, `tag` and `sentence` are then columns from 1.
    """

    separator: str = ""
    width: int = 0
    tabs: bool = False
    header: int = 0
    token: int = 0
    tag: int = 0
    sentence: int = 0


def fields_of(line: str, form: Form) -> list[str]:
    """The fields of a line; none for a blank line and one that begins a document."""
    if not form.separator:
        # str.split() would split at a no-break space, which is part of a token.
        fields = [field for field in line.split("\t" if "\t" in line else " ") if field.strip(" ")]
    else:
        fields = _separated(line, form)
        if not any(field.strip(" \t") for field in fields):
            return []
    return [] if fields and fields[0].startswith(_DOCUMENT) else fields


def _separated(line: str, form: Form) -> list[str]:
    if '"' in line and form.separator in ",;":
        try:
            fields = next(csv.reader([line], delimiter=form.separator), [])
        except csv.Error:
            fields = []
        if len(fields) == form.width and fields[max(form.token, 1) - 1].strip():
            return fields
    fields = line.split(form.separator)
    if len(fields) > form.width and not form.sentence:  # the token is the separator, or holds it
        return line.rsplit(form.separator, form.width - 1)
    return fields


def rows(path: Path, form: Form) -> Iterator[tuple[int, str, list[str]]]:
    """Number, text and fields of each line of the file but the header. The last one has no fields."""
    for number, line in read_text_lines(path):
        if number != form.header:
            yield number, line, fields_of(line, form)
    yield 0, "", []


def pick(fields: Sequence[str], column: int) -> str | None:
    """The field of a column that counts from 1, or from the end below 0."""
    index = column - 1 if column > 0 else len(fields) + column
    return fields[index].strip(" ") if 0 <= index < len(fields) else None


def is_prose(line: str, fields: Sequence[str], form: Form) -> bool:
    """True for a comment whose last word could pass for a tag: `# text = I chose O`."""
    return line.startswith("# ") and form.width > 0 and (form.tabs > ("\t" in line) or len(fields) > form.width)


def extra_node(fields: Sequence[str]) -> str | None:
    """What CoNLL-U has besides words, if the line is one: `multiword_line` (1-2) or `empty_node` (8.1)."""
    if _RANGE.fullmatch(fields[0]):
        return "multiword_line"
    return "empty_node" if _EMPTY_NODE.fullmatch(fields[0]) else None


# ------------------------------------------------------------------------------------------------------------- form


def form_of(path: Path) -> Form:
    """The form of a file by its first lines."""
    for number, line in read_text_lines(path):
        if line.strip(" \t"):
            if header := _header(number, line):
                return header
            fields = fields_of(line, Form())
            if fields and not line.startswith("#"):
                return Form(width=len(fields), tabs="\t" in line)
    return Form()


def _header(number: int, line: str) -> Form | None:
    for separator in ("\t", *SEPARATORS):
        names = [name.strip().strip('"').casefold() for name in line.split(separator)]
        token, tag, sentence = (_index(names, known) for known in (_TOKEN_NAMES, _TAG_NAMES, _SENTENCE_NAMES))
        if token and tag:
            return Form(separator, len(names), separator == "\t", number, token, tag, sentence)
    return None


def _index(names: Sequence[str], known: frozenset[str]) -> int:
    return next((number for number, name in enumerate(names, 1) if name in known), 0)


def looks_like_columns(path: Path, with_tags: bool = False) -> bool:
    """True if the first lines have as many fields each, or most do and there are tags; or if no line can be read.

    `with_tags`: not without tags, or a header.
    """
    try:
        status = path.stat()
    except OSError:
        return False
    return _looks_like_columns(path, with_tags, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1024)
def _looks_like_columns(path: Path, with_tags: bool, _mtime: int, _size: int) -> bool:
    lines: list[str] = []
    try:
        for _, line in read_text_lines(path):
            if line.strip(" \t") and not line.startswith(("#", _DOCUMENT)):
                lines.append(line)
            if len(lines) == _HEAD:
                break
    except DataError:
        pass  # is told when the file is read
    if not lines or _header(1, lines[0]):
        return True
    if lines[0].lstrip().startswith(('{"', "[{")):
        return False  # JSON, such as mrc-ner.test
    if path.suffix != ".csv":
        table = [fields_of(line, Form()) for line in lines]
        widths = [len(fields) for fields in table]
        width = max(set(widths), key=widths.count)
        share = widths.count(width) / len(widths)
        tags = any(_says_more(field) for fields in table for field in fields[1:])
        if width > 1 and ((share > 0.5 and tags) or (share > 0.9 and not with_tags)):
            return True
    return any(_has_tags_behind(separator, lines) for separator in SEPARATORS)


def _has_tags_behind(separator: str, lines: Sequence[str]) -> bool:
    """True if each line has the separator, and a tag is behind it in a fourth of them: the rest may be types alone."""
    tags = sum(_says_more(line.rpartition(separator)[2]) for line in lines)
    return 4 * tags >= len(lines) and all(separator in line for line in lines)


def _says_more(field: str) -> bool:
    """A tag that is no word, as I is."""
    return field.strip(" ") == "O" or (len(field) > 1 and looks_like_one(field.strip(" ")))


def tag_column(path: Path, form: Form) -> int:
    """The column, from 1, that holds tags in the first lines; 0 for none."""
    head = itertools.islice(rows(path, form), _HEAD)
    table = [fields for _, line, fields in head if len(fields) == form.width and not line.startswith("#")]
    for column in range(2, form.width + 1):
        values = [pick(fields, column) or "" for fields in table]
        if values and all(map(_says_more, values)):
            return column
    return 0


# ---------------------------------------------------------------------------------------------------------- numbers


class Numbers:
    """Says of a column whether it only counts: tokens (0 1 2, 1-1 1-2), characters (0 4 9) or sentences (1 1 1 2 2)."""

    def __init__(self) -> None:
        self.pairs = 0  # two numbers in one field
        self.fields = self.numbers = self.up = self.same = self.starts = self.restarts = self.falls = 0
        self.first: int | None = None
        self.before: int | None = None

    def add(self, field: str | None, begins: bool) -> None:
        """The next line's field; `begins` where it is the first of a sentence."""
        if field is not None and extra_node([field]):
            self.pairs += 1
            return  # neither a number nor a word
        self.fields += 1
        before, self.before = self.before, None
        if field is None or not _NUMBER.fullmatch(field):
            return
        self.before = number = int(field)
        self.numbers += 1
        self.first = number if self.first is None else self.first
        if begins or before is None:
            self.starts += number in (0, 1) or (before is not None and before <= number <= before + 1)
        elif number < before:
            self.restarts += number == self.first
            self.falls += number != self.first
        else:
            self.up += number > before
            self.same += number == before

    @property
    def runs(self) -> bool:
        """True if the numbers of most lines go up."""
        return 2 * (self.up + self.starts + self.restarts) > self.fields

    @property
    def ordered(self) -> bool:
        """True if most lines go on counting: this is no column of words."""
        return 2 * (self.up + self.same + self.starts + self.restarts) > self.fields or self.paired

    @property
    def paired(self) -> bool:
        """True if most fields are two numbers, of the sentence and of the token, or of a token's characters."""
        return self.pairs > self.fields

    @property
    def many(self) -> bool:
        """True if there are so many numbers, and nothing else, that this is hardly a column of words."""
        return self.numbers == self.fields >= _MANY

    @property
    def tells_sentences(self) -> bool:
        """True if the numbers say where a sentence begins, should no blank line do so."""
        return not self.falls and not (self.same and (self.restarts or self.numbers < self.fields))

    def begins(self, before: str, field: str) -> bool:
        """True if, of two lines with these numbers, the second begins a sentence."""
        if self.same:
            return before != field
        return field.isdecimal() and before.isdecimal() and int(field) < int(before)
