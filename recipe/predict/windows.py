r"""Windows of a text that is too long to be asked about at once: they overlap, and each place has one owner.

    windows = cut(text, fits=lambda part: len(part.split()) <= 200)
    [Window(start=0, end=1180, owned_from=0, owned_to=1083), Window(start=986, end=2110, owned_from=1083, ...), ...]

A window ends after a line or a sentence (Latin, Chinese, Arabic and Devanagari marks), else between two words, else
between two characters. The next one begins 200 characters before that end, or a quarter of a small window, or up to
twice as far back where a sentence begins there. An entity belongs to the window that owns its first character; the
border is the middle of the overlap. So an entity at a cut is given once, and seen whole if it is no longer than half
the overlap: 100 characters, or an eighth of a small window.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from recipe.core.entities import DataError

OVERLAP = 200  # characters

_SENTENCE_END = re.compile(
    r"[.!?…؟۔]+[\"'”’»)\]]*\s+"  # marks of scripts that write a space after them
    r"|[。！？｡]+[”’」』）】》]*\s*"
    r"|[।॥]+\s*"
    r"|\s*[\n\r\u2028\u2029]\s*"
)
_JOINER = "\u200d"  # of the parts of one emoji
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Window:
    """`text[start:end]` is asked about; entities that begin in `owned_from <= offset < owned_to` are taken from it."""

    start: int
    end: int
    owned_from: int
    owned_to: int


def cut(text: str, fits: Callable[[str], bool]) -> tuple[Window, ...]:
    """The windows of a text in its order: the text as it is if `fits` says that it fits, else parts that do.

    Every character that isn't white space at the edge of a part is in a window. A text that fits may be long; of one
    that doesn't, each part is asked for a few times. DataError if not even a character fits.
    """
    if fits(text):
        return (Window(0, len(text), 0, len(text)),)
    sentences = [match.end() for match in _SENTENCE_END.finditer(text)]
    words = [match.end() for match in _WORD_END.finditer(text)]
    parts: list[tuple[int, int]] = []
    start, last_end, length = 0, 0, 2000
    while last_end < len(text):
        furthest = _furthest(text, start, fits, length)
        if furthest <= last_end and start < last_end:  # the overlap alone fills the room
            start = last_end
            continue
        if furthest == start:
            raise DataError(f"text: not even the character at {start} fits a window; give it more room")
        end = furthest
        if furthest < len(text):
            end = _end(text, max(last_end, start + (furthest - start) // 2), furthest, sentences, words)
        parts.append((start, end))
        length, last_end = furthest - start, end
        start = _next_start(text, start, end, sentences, words)
    parts = _without_contained([_trimmed(text, *part) for part in parts])
    borders = [(end + start) // 2 for (_, end), (start, _) in pairwise(parts)]
    bounds = zip([0, *borders], [*borders, len(text)], strict=True)
    return tuple(Window(*part, *owned) for part, owned in zip(parts, bounds, strict=True))


def _furthest(text: str, start: int, fits: Callable[[str], bool], length: int) -> int:
    """An end such that text[start:end] fits and not much more would; `start` where nothing does."""
    good, bad = start, len(text) + 1
    while good < len(text) and (bad > len(text) or bad - good > max(1, (good - start) // 16)):
        probe = min(len(text), start + length) if bad > len(text) else (good + bad) // 2
        if fits(text[start:probe]):
            good = probe
        else:
            bad = probe
        length *= 2
    return good


def _end(text: str, after: int, furthest: int, sentences: list[int], words: list[int]) -> int:
    """The last place of after < place <= furthest to cut at, of the best kind that there is."""
    for places in (sentences, words):
        index = bisect_right(places, furthest) - 1
        if index >= 0 and places[index] > after:
            return places[index]
    return next((place for place in range(furthest, after, -1) if _between_characters(text, place)), furthest)


def _next_start(text: str, start: int, end: int, sentences: list[int], words: list[int]) -> int:
    """Where the next window begins: OVERLAP characters before the end or somewhat more, at a sentence or a word."""
    back = min(OVERLAP, (end - start) // 4)
    latest, earliest = end - back, end - 2 * back
    for places in (sentences, words):
        index = bisect_left(places, earliest)
        chosen = bisect_right(places, latest) - 1
        if index <= chosen and places[chosen] > start:
            return places[chosen]
    return next((place for place in range(latest, start, -1) if _between_characters(text, place)), end)


def _between_characters(text: str, place: int) -> bool:
    """False inside what a reader sees as one character: before a combining mark or around a joiner."""
    before, after = text[place - 1], text[place : place + 1]
    if not after:
        return True
    return before != _JOINER and after not in (_JOINER, "\ufe0f") and not unicodedata.combining(after)


def _without_contained(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts that hold something that their neighbours don't; some hold no more than space besides."""
    kept: list[tuple[int, int]] = []
    for start, end in parts:
        if end <= max(start, kept[-1][1] if kept else 0):
            continue
        while kept and start <= kept[-1][0]:
            kept.pop()
        kept.append((start, end))
    return kept


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))
