"""What only the whole of a column file tells: its separator, its column of words, the style of its tags, their types.

survey(Path("train.txt")).labels            # {"PER", "LOC"}
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from recipe.core.entities import DataError
from recipe.corpora.annotated import unspaced
from recipe.corpora.columns import SEPARATORS, Form, Numbers, extra_node, form_of, is_prose, pick, rows
from recipe.corpora.reading import FIRST_AND_LAST, Columns
from recipe.corpora.tags import OUTSIDE, Style, Tag, has_prefix, looks_like_one, style_of


@dataclass(frozen=True, slots=True)
class Survey:
    """How a file is read.

    labels    the types in its tags
    opens     does B- (or S-) begin every mention?
    closes    does E- (or S-) end every mention?
    untyped   do tags lack a type?
    columns   those of token and tag, from 1 or from the end below 0
    shifted   is the token's column another one than the usual, because that one only counts?
    numbers   what column 1 counts, where that is not the token's; None where it holds something else
    splits    do these numbers alone, with no blank line, part the sentences?
    join      what stands between tokens
    words     do letters and digits of other scripts in an unspaced file make words, with a space between them?
    refused   why the file can't be read; "" where it can
    """

    labels: frozenset[str]
    opens: bool
    closes: bool
    untyped: bool
    columns: Columns
    shifted: bool
    form: Form
    style: Style
    tags: Mapping[str, Tag]
    numbers: Numbers | None
    splits: bool
    join: str
    words: bool
    refused: str

    @property
    def tag_from_1(self) -> int:
        """The tag's column, counted from 1."""
        return _from_1(self.columns.tag, self.form.width)


def survey(path: Path, columns: Columns = FIRST_AND_LAST, names: tuple[str, ...] | None = None) -> Survey:
    """What the file tells; lines that can't be read don't count here. `names` are those of numbered tags."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return _survey(path, columns, columns.chosen, names, status.st_mtime_ns, status.st_size)


def tag_of(fields: list[str], columns: Columns, names: tuple[str, ...] | None) -> str | None:
    """The tag of a line as it is written; by its name where it is a number that has one."""
    tag = pick(fields, columns.tag)
    if names and tag is not None and tag.isdecimal() and len(tag) < 9 and int(tag) < len(names):
        return names[int(tag)]
    return tag


@dataclass(slots=True)
class _Tally:
    """What is counted in one pass over the lines."""

    tags: Counter = field(default_factory=Counter)
    pairs: set[tuple[str | None, str]] = field(default_factory=set)  # a tag and the one before it in its sentence
    first: Numbers = field(default_factory=Numbers)  # column 1
    token: Numbers = field(default_factory=Numbers)
    lines: int = 0
    narrow: int = 0  # lines of a single field
    prefixed: bool = False  # a tag with a prefix stands alone in a line
    sentences: int = 0
    letters: int = 0
    unspaced: int = 0
    words: int = 0  # tokens of several letters or digits of a script with spaces
    characters: int = 0  # tokens of one such
    least: dict[str, int] = field(default_factory=dict)  # how often each separator stands in a line, at least


_MOST_PAIRS = 100_000  # a column of tags has far fewer


@functools.lru_cache(maxsize=256)  # a corpus is read several times; its files are surveyed once
def _survey(
    path: Path, columns: Columns, chosen: bool, names: tuple[str, ...] | None, _mtime: int, _size: int
) -> Survey:
    form = form_of(path)
    if form.header and not chosen:
        columns = Columns(form.token, form.tag)
    tally = _count(path, form, columns, names)
    if not form.header and tally.lines and (tally.narrow == tally.lines or path.suffix == ".csv"):
        form, tally = _separated(path, form, columns, names, tally)
    nodes = not tally.first.paired
    if not nodes and columns.token != 1:
        tally = _count(path, form, columns, names, nodes)
    usual, refused = columns, ""
    while tally.token.ordered or (tally.token.many and not chosen):
        if chosen or columns.token < 1 or columns.token + 1 >= _from_1(columns.tag, form.width):
            what = "running numbers" if tally.token.runs or tally.token.paired else "numbers only"
            columns = usual
            refused = f"the token column holds {what}; give --columns 2,-1, or where the words are"
            break
        columns = Columns(columns.token + 1, columns.tag)
        tally = _count(path, form, columns, names, nodes)
    numbers = tally.first if nodes and tally.first.ordered and _from_1(columns.token, form.width) != 1 else None
    splits = numbers is not None and tally.sentences == 1 and not form.sentence
    if splits and not refused and not numbers.tells_sentences:
        refused = "the numbers in column 1 don't say where a sentence ends; put a blank line after each"
    style = style_of(tally.tags, tally.prefixed)
    tags = {tag: parsed for tag in tally.tags if (parsed := style.parse(tag)) is not None}
    return Survey(
        frozenset(label for _, label in tags.values() if label),
        *scheme_of(tally.pairs, tags),
        any(label == "" for _, label in tags.values()),
        columns,
        columns != usual,
        form,
        style,
        tags,
        numbers,
        splits,
        "" if 2 * tally.unspaced > tally.letters > 0 else " ",
        tally.words >= tally.characters,
        refused,
    )


def _from_1(column: int, width: int) -> int:
    return column if column > 0 else width + 1 + column


def scheme_of(pairs: set[tuple[str | None, str]], tags: Mapping[str, Tag]) -> tuple[bool, bool]:
    """Does B- or S- begin, and E- or S- end, every mention?"""
    opens = closes = False
    for before, tag in pairs:
        prefix, label = tags.get(tag, OUTSIDE)
        if label is not None:
            # In IOB1 a B- begins only a mention that follows another one of its type.
            opens = opens or prefix in "SU" or (prefix == "B" and tags.get(before, OUTSIDE)[1] != label)
            closes = closes or prefix in "ESLU"
    return opens, closes


def _separated(
    path: Path, form: Form, columns: Columns, names: tuple[str, ...] | None, tally: _Tally
) -> tuple[Form, _Tally]:
    """Another separator, if it is in every line and most last fields are then tags; else what is given."""
    for separator in SEPARATORS:
        if tally.least.get(separator):
            other = replace(form, separator=separator, width=tally.least[separator] + 1)
            counted = _count(path, other, columns, names)
            style = style_of(counted.tags, counted.prefixed)
            tags = sum(number for tag, number in counted.tags.items() if style.parse(tag) is not None)
            if 2 * tags >= counted.lines:
                return other, counted
    return form, tally


def _count(path: Path, form: Form, columns: Columns, names: tuple[str, ...] | None, nodes: bool = True) -> _Tally:
    """One pass. `nodes`: lines that CoNLL-U has besides words don't count where column 1 is not the token's."""
    tally = _Tally()
    begins, before = True, None
    separators = SEPARATORS if not form.separator else ()
    for _, line, fields in rows(path, form):
        if not fields:
            begins, before = True, None
            continue
        tag = tag_of(fields, columns, names)
        if begins and fields[0][0:1] == "#" and _is_comment(line, fields, tag, form):
            continue
        token = pick(fields, columns.token)
        tally.lines += 1
        tally.sentences += begins
        tally.first.add(fields[0].strip(" "), begins)
        tally.token.add(token, begins)
        begins = False
        if len(fields) < 2:
            tally.narrow += 1
            tally.prefixed = tally.prefixed or has_prefix(fields[0])
        if separators and (tally.narrow == tally.lines or path.suffix == ".csv"):
            for separator in separators:
                tally.least[separator] = min(line.count(separator), tally.least.get(separator, len(line)))
        if len(fields) < 2 or tag is None or token is None or (nodes and columns.token != 1 and extra_node(fields)):
            continue
        tally.tags[tag] += 1
        if len(tally.pairs) < _MOST_PAIRS:
            tally.pairs.add((before, tag))
        before = tag
        tally.letters += sum(map(str.isalpha, token))
        foreign = 0 if token.isascii() else unspaced(token)
        tally.unspaced += foreign
        if not foreign and token.isalnum():
            tally.words += len(token) > 1
            tally.characters += len(token) == 1
    return tally


def _is_comment(line: str, fields: list[str], tag: str | None, form: Form) -> bool:
    return tag is None or len(fields) < 2 or is_prose(line, fields, form) or not looks_like_one(tag)
