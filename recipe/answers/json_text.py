"""JSON in what a model wrote: the answer in a completion, wherever it stands and whatever is around it.

    found = Finder(("entities",), read)                 # `read` makes sense of a decoded object, or says None
    found.split('<think>\\na\\n</think>\\n{"entities": {}}')   # ("a", '{"entities": {}}', True)
    found.last('so: {"entities": {}}').value             # [("entities", [])], a Pairs

Nothing here raises, and all of it takes time linear in the length of the text.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from recipe.answers.think import CLOSE, OPEN, split_reasoning
from recipe.core.entities import Fact, has_lone_surrogate
from recipe.core.text import visible

_OBJECT_START = re.compile(r'\{\s*"')
_FENCE_OPEN = re.compile(r"```[A-Za-z]*[ \t]*\r?\n?")

# A try to decode may read to the end of the text, so their number is bounded and not a share of the text's length. Some
# from the start read all the answers of ordinary text. Where those are used up on something else, some of the last
# places decide, as the last whole answer counts.
_TRIES = 8


class Pairs(list):
    """A JSON object as its (key, value) pairs: keeps repeated keys apart from a plain list."""


class Literal(str):
    """A JSON number, NaN or Infinity as it was written: `1e999999` costs nothing and stays a name."""


_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Literal, parse_float=Literal, parse_constant=Literal, strict=False
)


def decode(text: str, start: int = 0) -> tuple[object, int]:
    """The object that begins there and its end; (None, 0) where none does."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, 0


def whole_object(text: str, keys: Sequence[str]) -> list[Pairs] | None:
    """The objects under these keys where the text is `{KEY: {...}, ...}` of all of them in order; else None.

    No key may be there twice, in it or in one of them.
    """
    value, end = decode(text) if text.startswith("{") else (None, 0)
    if end < len(text) or type(value) is not Pairs or [key for key, _ in value] != list(keys):
        return None
    inner = [each for _, each in value]
    return inner if all(type(each) is Pairs and len(dict(each)) == len(each) for each in inner) else None


def whole_list(text: str, key: str) -> list | None:
    """The list under the key where the text is `{KEY: [...]}` and no more; else None."""
    value, end = decode(text) if text.startswith("{") else (None, 0)
    if end < len(text) or type(value) is not Pairs or [each for each, _ in value] != [key]:
        return None
    return value[0][1] if type(value[0][1]) is list else None


@dataclass(frozen=True, slots=True)
class Read:
    """An object of a text, `text[start:end]`, that can be read as an answer, and what it says."""

    start: int
    end: int
    value: object
    said: object


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds objects with one of `keys`; `read` gives what one says, or None where the meaning is not plain."""

    keys: tuple[str, ...]
    read: Callable[[Pairs], object | None]
    _answer_start: re.Pattern = field(init=False)

    def __post_init__(self) -> None:
        start = re.compile(rf'\{{\s*"(?:{"|".join(self.keys)})"\s*:')
        object.__setattr__(self, "_answer_start", start)

    def split(self, text: str) -> tuple[str | None, str, bool]:
        """Reasoning, the rest, and whether the think block, if any, is well-formed and begins with no answer."""
        text = text.strip()
        if text.startswith(OPEN) and CLOSE not in text:
            # Never closed: what comes before the answer, if there is one, is reasoning. A cut answer is one, too.
            starts = [found.start() for found in self._answer_start.finditer(text)]
            read = self.last(text)
            return None, text[read.start if read else max(starts, default=len(text)) :], False
        if CLOSE not in text or not text.startswith(("{", "```")):
            return split_reasoning(text)
        # A name may hold a think tag. One after the object that comes first makes that a draft, if an answer follows.
        found = _OBJECT_START.match(text, _lead(text))
        value, end = decode(text, found.start()) if found else (None, 0)
        if text.find(CLOSE, end) >= 0:
            reasoning, body, closed = split_reasoning(text, end)
            if self.last(body):
                return reasoning, body, closed and self.said(value) is None
        return None, text, True

    def parts(self, completion: str) -> tuple[str, str]:
        """The texts of the reasoning, closed or not, and of the answer; either may be empty. Lengths are of these."""
        reasoning, body, _ = self.split(completion)
        if reasoning is None and (text := completion.strip()).startswith(OPEN):
            return text[len(OPEN) : len(text) - len(body)].strip(), body
        return reasoning or "", body

    def last(self, text: str) -> Read | None:
        """The last whole object that can be read as an answer, those within another left out."""
        last = None
        for last in self._all(text):  # noqa: B007
            pass
        return last

    def said(self, value: object) -> object | None:
        """What a decoded object says; None where it is no answer, or its meaning is not plain."""
        return self.read(value) if self._is_answer(value) else None

    def _is_answer(self, value: object) -> bool:
        return isinstance(value, Pairs) and any(key in self.keys for key, _ in value)

    def _all(self, text: str) -> Iterator[Read]:
        at, tries = 0, _TRIES
        while tries and (found := _OBJECT_START.search(text, at)):
            read, at = self._read(text, found.start())
            tries -= read is None
            if read:
                yield read
        if tries:
            return
        for start in [found.start() for found in self._answer_start.finditer(text, at)][-_TRIES:]:
            if start >= at:
                read, at = self._read(text, start)
                if read:
                    yield read

    def _read(self, text: str, start: int) -> tuple[Read | None, int]:
        """The answer that begins there, if one does, and where to look for the next."""
        value, end = decode(text, start)
        if (said := self.said(value)) is not None:
            return Read(start, end, value, said), end
        # Whatever stands within an object that is no answer, such as {"answer": {"entities": {}}}, may be one.
        return None, end if self._is_answer(value) else start + 1


def _lead(text: str) -> int:
    """Where what a code fence at the start of the text holds begins; 0 without one."""
    fence = _FENCE_OPEN.match(text)
    return fence.end() if fence else 0


def first_of(fields: dict, keys: Iterable[str]) -> object:
    """What is under the first of the keys that is there; None without any."""
    return next((fields[key] for key in keys if key in fields), None)


_NAMES = ("name", "text", "argument", "span")


def name_of(value: object) -> str | None:
    """`"Ada"` of itself or of an object with a name, such as `{"text": "Ada"}`."""
    if isinstance(value, Pairs):
        value = first_of(dict(value), _NAMES)
    return str(value) if isinstance(value, str) else None


_F = TypeVar("_F", bound=Fact)


def that_can_be_read(facts: Iterable[_F], body: str) -> tuple[_F, ...]:
    """Those whose names are seen and whose texts can be written to a file."""
    facts = [fact for fact in facts if all(visible(mention.name) for mention in fact.mentions)]
    if "\\" in body or not body.isascii():  # a lone surrogate can't be in a sentence
        broken = {label for label in {fact.type for fact in facts} if has_lone_surrogate(label)}
        facts = [
            fact
            for fact in facts
            if fact.type not in broken and not any(has_lone_surrogate(each.name) for each in fact.mentions)
        ]
    return tuple(facts)


# ---------------------------------------------------------------------------------------------------------- writing

quote = json.encoder.encode_basestring  # what json.dumps(..., ensure_ascii=False) has for text


def block(key: str, by_type: Iterable[tuple[str, list[str]]]) -> str:
    """A key and its types with a line for each of their items, which are JSON already.

    As json.dumps(..., ensure_ascii=False, indent=2) writes it, which takes ten times as long over it.
    """
    blocks = [
        f"    {quote(label)}: [\n" + ",\n".join(f"      {item}" for item in items) + "\n    ]"
        for label, items in by_type
    ]
    inner = "{\n" + ",\n".join(blocks) + "\n  }" if blocks else "{}"
    return f'  "{key}": {inner}'


def layout(*blocks: str) -> str:
    """The answer of these blocks."""
    return "{\n" + ",\n".join(blocks) + "\n}"
