"""Where in a sentence the names of an answer stand: character offsets, the end exclusive.

    locate("Paris met Paris Hilton .", [Entity("Paris Hilton", "person"), Entity("Paris", "city")])
    (Span(start=10, end=22, type="person"), Span(start=0, end=5, type="city"))

An answer names entities without saying where they stand, so the rule is part of every score by span. A name stands
where the sentence has the same characters, up to Unicode's canonical equivalence (`é` written as one character or two)
and the amount of white space. The k-th mention of a name with one type takes the k-th of its places, and a place comes
before another

1. that doesn't end within a word (all places do so in scripts that write no spaces, such as Chinese),
2. that isn't inside a longer name of the answer (`C` is not the C of `C++` where both are named),
3. whose ends are at white space or sentence punctuation, not at another sign,
4. that comes earlier in the sentence.

It does not depend on the order in which the names are given.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from recipe.core.entities import Entity


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`sentence[start:end]` is a mention of an entity of this type."""

    start: int
    end: int
    type: str


# What may stand right before and after a name that is set off by punctuation alone. No `+`, `#`, `-`, `/` or `'`: they
# are parts of names as often as not.
_OPENING = frozenset('([{"“‘«‹<¿¡（「『【《、，。：；！？')
_CLOSING = frozenset(')]}"”’»›>.,;:!?…。，、；：！？）」』】》،؛؟।')


def place(sentence: str, entities: Iterable[Entity], beside: Iterable[Span | None] = ()) -> tuple[Span | None, ...]:
    """A span for each entity: where it says that it stands, else where `locate` finds it, which gets `beside`."""
    entities = tuple(entities)
    given = [
        None if entity.start is None else Span(entity.start, entity.start + len(entity.name), entity.type)
        for entity in entities
    ]
    if None not in given:
        return tuple(given)
    unplaced = [entity for entity in entities if entity.start is None]
    found = iter(locate(sentence, unplaced, beside, [span for span in given if span]))
    return tuple(next(found) if span is None else span for span in given)


def locate(
    sentence: str, entities: Iterable[Entity], beside: Iterable[Span | None] = (), taken: Iterable[Span] = ()
) -> tuple[Span | None, ...]:
    """A span for each entity, in the entities' order; None where the sentence has no (or no further) place for it.

    Places of `beside`, the spans of the gold that the entities are compared with, come before all others, those of the
    entity's type first: who names a text without its place can't be wrong about the place. No entity takes a span that
    is `taken`.
    """
    entities = tuple(entities)
    if not entities:
        return ()
    text = _Folded(sentence)
    beside, taken = {span for span in beside if span}, set(taken)
    anywhere = {(span.start, span.end) for span in beside}
    mentions: dict[Entity, int] = defaultdict(int)
    for entity in entities:
        mentions[entity] += 1
    found = {name: text.find(name) for name in {entity.name for entity in entities}}
    held = {(span.start, span.end) for span in taken}
    places: dict[Entity, list[tuple[int, int]]] = {}
    for entity in sorted(mentions, key=lambda one: (-len(_fold(one.name)), one.name, one.type)):

        def rank(at: tuple[int, int], label: str = entity.type) -> tuple:
            start, end = at
            inside = any(s <= start and end <= e and e - s > end - start for s, e in held)
            looseness = _looseness(sentence, start, end)
            return Span(*at, label) not in beside, at not in anywhere, looseness > 1, inside, looseness, start

        free = [at for at in found[entity.name] if Span(*at, entity.type) not in taken]
        chosen = sorted(free, key=rank)[: mentions[entity]] if len(free) > 1 else free
        held.update(chosen)
        places[entity] = sorted(chosen)
    given: dict[Entity, int] = defaultdict(int)
    spans: list[Span | None] = []
    for entity in entities:
        number, chosen = given[entity], places[entity]
        given[entity] += 1
        spans.append(Span(*chosen[number], entity.type) if number < len(chosen) else None)
    return tuple(spans)


def occurs(sentence: str, name: str) -> bool:
    """True if the name stands in the sentence at all."""
    return bool(_Folded(sentence).find(name))


def _looseness(sentence: str, start: int, end: int) -> int:
    """0 for a place between word ends, 1 for one between other characters than letters and digits, 2 for any other."""
    before, after = sentence[start - 1 : start], sentence[end : end + 1]
    clean = (not before or before.isspace() or before in _OPENING) and (
        not after or after.isspace() or after in _CLOSING
    )
    if clean:
        return 0
    glued = (before.isalnum() and sentence[start].isalnum()) or (after.isalnum() and sentence[end - 1].isalnum())
    return 2 if glued else 1


class _Folded:
    """A sentence in canonical decomposition with single spaces, and where each of its characters came from."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        if sentence.isascii() and "  " not in sentence and not _ODD_SPACE.search(sentence):
            self.text, self.origin = sentence, range(len(sentence) + 1)
            return
        text, origin = [], []
        for index, character in enumerate(sentence):
            if character.isspace():
                if text and text[-1] == " ":
                    continue
                text.append(" ")
                origin.append(index)
                continue
            for part in unicodedata.normalize("NFD", character):
                text.append(part)
                origin.append(index)
        self.text, self.origin = "".join(text), [*origin, len(sentence)]

    def find(self, name: str) -> list[tuple[int, int]]:
        """(start, end) of every place of the name, in order; overlapping ones too. Linear in the sentence's length."""
        wanted = _fold(name)
        if not wanted or len(wanted) > len(self.text):
            return []
        found, at = [], self.text.find(wanted)
        while at >= 0:
            last = at + len(wanted)
            start, end = self.origin[at], self.origin[last - 1] + 1
            # Neither half of a character that canonical decomposition took apart, nor a letter without its accent.
            whole = (at == 0 or self.origin[at - 1] < start) and (
                last == len(self.text) or (self.origin[last] >= end and not unicodedata.combining(self.text[last]))
            )
            if whole:
                found.append((start, end))
            at = self.text.find(wanted, at + 1)
        return found


_ODD_SPACE = re.compile(r"[^\S ]")


def _fold(name: str) -> str:
    if name.isascii() and "  " not in name and not _ODD_SPACE.search(name):
        return name.strip()
    return " ".join(unicodedata.normalize("NFD", name).split())


# ---------------------------------------------------------------------------------------------------- every mention

# Letters of scripts that write no spaces, beside which a name may stand: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def mentions(sentence: str, entities: Iterable[Entity]) -> tuple[Span, ...]:
    """Every mention of the entities, in sentence order: the places that `place` finds, and all others of their names.

    Such another place neither ends within a word nor is inside a longer name of these entities, nor does it overlap an
    earlier one of its name. A name has each place with each type that it was given.
    """
    entities = tuple(entities)
    spans = {span for span in place(sentence, entities) if span}
    text = _Folded(sentence)
    labels: dict[str, set[str]] = defaultdict(set)
    for entity in entities:
        labels[_fold(entity.name)].add(entity.type)
    names = {at: name for name in labels for at in text.find(name) if not _within_words(sentence, *at)}
    places = sorted({*names, *((span.start, span.end) for span in spans)}, key=lambda at: (at[0], -at[1]))
    furthest, ends = 0, dict.fromkeys(labels, 0)
    for start, end in places:
        name = names.get((start, end))
        if name is not None and end > furthest and start >= ends[name]:
            spans.update(Span(start, end, label) for label in labels[name])
            ends[name] = end
        furthest = max(furthest, end)
    return tuple(sorted(spans, key=lambda span: (span.start, -span.end, span.type)))


def _within_words(sentence: str, start: int, end: int) -> bool:
    before, after = sentence[start - 1 : start], sentence[end : end + 1]
    if _is_mark(after):  # a vowel sign belongs to the letter before it, in every script
        return True
    borders = ((before, sentence[start]), (sentence[end - 1], after))
    return any(_is_letter(a) and _is_letter(b) and not _UNSPACED.search(a + b) for a, b in borders)


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] == "M"


def _is_letter(character: str) -> bool:
    return character.isalnum() or _is_mark(character)
