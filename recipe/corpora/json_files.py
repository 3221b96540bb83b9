"""JSON lists, JSON Lines and text lines read piece by piece, and what is wrong with a file said by file and record.

    for record in read_list(Path("train.json")): ...            # [{"sentence": "..."}, ...]
    for record in read_lines(Path("rows.jsonl")): ...           # {"sentence": "..."} on each line
    for number, line in read_text_lines(Path("train.txt")): ... # EU B-ORG

Time is linear in the file's size; memory holds one record and a read buffer.
"""

import codecs
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from recipe.core.entities import DataError

_FIRST, _CHUNK = 1 << 16, 1 << 20  # bytes read at first, where the first record may be all that is asked for, and then
_LONGEST = 1 << 26  # characters a single record may take
_SPACE = re.compile(r"[ \t\r\n]*")


def read_list(path: Path) -> Iterator[object]:
    """The items of a JSON list, one after the other. DataError, with the record's number, where it is no such list."""
    window = _Window(path)
    start = window.peek()
    if not start:
        raise DataError(f"{path}: empty file; a JSON list of records belongs here")
    if start != "[":
        raise DataError(f"{window.where()}: {window.describe()}; a JSON list of records belongs here")
    window.at += 1
    if window.peek() != "]":
        while True:
            yield window.value()
            mark = window.peek()
            if mark == "]":
                break
            if mark != ",":
                what = f"{mark!r} follows it in place of a comma" if mark else "the file ends after it: truncated"
                raise DataError(f"{window.where()}: {what}; the list must be complete JSON")
            window.at += 1
            window.number += 1
    window.at += 1
    if window.peek():
        raise DataError(f"{window.where()}: more text after the end of the list; a file holds one JSON list")


def read_lines(path: Path) -> Iterator[object]:
    """The items of a JSON Lines file; blank lines do not count. DataError, with the record's number, for a bad one."""
    number = 0
    for number, line in _lines(path, "record", "JSON Lines", blank=False):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            message = f"{_json_fault(error)}; each line must be complete JSON"
            raise DataError(f"{path}: record {number}: {message}") from error
        yield value
    if not number:
        raise DataError(f"{path}: empty file; JSON Lines belong here")


def read_text_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a UTF-8 file with their numbers from 1, without `\n` or `\r\n`; no byte-order mark.

    DataError, with the line's number, where it is not UTF-8 or has a carriage return inside.
    """
    for number, line in _lines(path, "line", "text in lines"):
        line = line.removesuffix("\r")
        if "\r" in line:
            message = "a carriage return inside it; save the file with line feeds as line ends"
            raise DataError(f"{path}: line {number}: {message}")
        yield number, line


def _lines(path: Path, unit: str, kind: str, blank: bool = True) -> Iterator[tuple[int, str]]:
    """The text between line feeds with its number; without `blank`, blank lines neither come nor count.

    The last piece is "" for a file that ends with a line feed.
    """
    number, rest = 1, ""

    def where() -> str:
        return f"{path}: {unit} {number}"

    for chunk in itertools.chain(_decode(path, where), ["\n"]):
        *lines, rest = (rest + chunk).split("\n")
        if len(rest) > _LONGEST:
            raise DataError(f"{where()}: longer than {_LONGEST:,} characters; is this {kind}?")
        for line in lines:
            if blank or line.strip(" \t\r"):
                yield number, line
                number += 1


def read_text(path: Path) -> str:
    r"""A whole UTF-8 file, without a byte-order mark and with `\n` as its line end."""
    return "".join(_decode(path, lambda: str(path))).replace("\r\n", "\n")


def read_verbatim(path: Path) -> str:
    """A whole UTF-8 file, character by character: with its byte-order mark and its line ends, which offsets count."""
    text = "".join(_decode(path, lambda: str(path)))
    with path.open("rb") as file:
        return "\ufeff" + text if file.read(3) == codecs.BOM_UTF8 else text


class _Window:
    """The part of a file that is being read: `text` from `at` on is not consumed yet."""

    def __init__(self, path: Path) -> None:
        self.path, self.number, self.text, self.at = path, 1, "", 0
        self._chunks = _decode(path, self.where)

    def where(self) -> str:
        return f"{self.path}: record {self.number}"

    def _more(self) -> bool:
        chunk = next(self._chunks, "")
        self.text, self.at = self.text[self.at :] + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end of the file."""
        if (mark := self.text[self.at : self.at + 1]) and mark not in " \t\r\n":
            return mark
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def value(self) -> object:
        """The JSON value that begins here. A value that the window cuts off is tried again with twice the text."""
        self.peek()
        while True:
            try:
                value, self.at = _DECODER.raw_decode(self.text, self.at)
            except RecursionError as error:
                raise DataError(f"{self.where()}: {_json_fault(error)}; the list must be complete JSON") from error
            except ValueError as error:
                size = len(self.text) - self.at
                if size > _LONGEST or not self._more():
                    raise DataError(f"{self.where()}: {_json_fault(error)}; the list must be complete JSON") from error
                while len(self.text) < 2 * size and self._more():
                    pass
            else:
                return value

    def describe(self) -> str:
        """What is here instead of a list."""
        if self.text[self.at] == "{":
            self.value()
            return "JSON Lines, not a list" if self.peek() == "{" else "an object at the top, not a list"
        return "a string at the top, not a list" if self.text[self.at] == '"' else "not a JSON list"


_DECODER = json.JSONDecoder()


def _json_fault(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if not isinstance(error, json.JSONDecodeError):  # an integer of more digits than Python converts
        return "a number too long to read"
    cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    return "truncated: the file ends inside it" if cut else f"not valid JSON ({error.msg})"


def _decode(path: Path, where: Callable[[], str]) -> Iterator[str]:
    """The text of a UTF-8 file in pieces, none empty, without a byte-order mark.

    All text before a bad byte comes first, so that `where`, which is asked only then, knows the record.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            data = file.read(min(_FIRST, _CHUNK))
            if encoding := _other_encoding(data):
                raise DataError(f"{where()}: the file is {encoding}; save it as UTF-8")
            read = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
            data = data[read:]
            while True:
                begin = read - len(decoder.getstate()[0])
                fault = None
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeDecodeError as error:
                    text, bad = error.object[: error.start].decode("utf-8"), error.object[error.start]
                    fault = f"byte {bad:#04x} at offset {begin + error.start:,} is not UTF-8 (Latin-1?)"
                    fault += "; save the file as UTF-8"
                if "\0" in text:
                    text = text[: text.index("\0")]
                    fault = f"byte 0x00 at offset {begin + len(text.encode()):,}; this is no text file"
                if text:
                    yield text
                if fault:
                    raise DataError(f"{where()}: {fault}")
                if not data:
                    return
                read += len(data)
                data = file.read(_CHUNK)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _other_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, by the mark, or by zeros at all but the first or last byte of each character (ASCII's)."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # one begins with UTF-16's
        return "UTF-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    first = data[:64]
    for encoding, width in (("UTF-16", 2), ("UTF-32", 4)):
        for own in (0, width - 1):
            others = [first[at::width] for at in range(width) if at != own]
            if len(first) >= width and all(first[own::width]) and not any(map(any, others)):
                return encoding
    return None
