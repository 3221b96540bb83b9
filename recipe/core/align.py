"""Where in a sentence the names of an answer stand: character offsets, the end exclusive.

    locate("Paris met Paris Hilton .", [Entity("Paris Hilton", "person"), Entity("Paris", "city")])
    (Span(start=10, end=22, type="person"), Span(start=0, end=5, type="city"))

An answer names entities without saying where they stand, so the rule is part of every score by span. A name stands
where the sentence has the same characters, up to Unicode's canonical equivalence (`é` written as one character or two,
its marks in any order), the amount of white space and characters that nobody sees (recipe.core.text). Its place begins
and ends at characters that are seen. Names that differ in these alone are one name. The k-th mention of a name with one
type takes the k-th of its places, and a place comes before another

1. that doesn't end within a word (all places do so in scripts that write no spaces, such as Chinese),
2. that isn't inside a longer name of the answer (`C` is not the C of `C++` where both are named),
3. whose ends are at white space or sentence punctuation, not at another sign,
4. that comes earlier in the sentence.

It does not depend on the order in which the names are given.
"""

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, groupby
from typing import NamedTuple

from recipe.core.entities import Entity
from recipe.core.text import JOINERS, UNSPACED, seen, trimmed, visible


class Span(NamedTuple):
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
    if not {entity.start for entity in entities} - {None}:
        return locate(sentence, entities, beside)
    given = [_own_place(entity) for entity in entities]
    if None not in given:
        return tuple(given)
    unplaced = [entity for entity, span in zip(entities, given, strict=True) if span is None]
    found = iter(locate(sentence, unplaced, beside, [span for span in given if span]))
    return tuple(next(found) if span is None else span for span in given)


def _own_place(entity: Entity) -> Span | None:
    before, name = trimmed(entity.name)
    if entity.start is None or not name:
        return None
    start = entity.start + before
    return Span(start, start + len(name), entity.type)


def locate(
    sentence: str, entities: Iterable[Entity], beside: Iterable[Span | None] = (), taken: Iterable[Span] = ()
) -> tuple[Span | None, ...]:
    """A span for each entity, in the entities' order; None where the sentence has no (or no further) place for it.

    Places of `beside`, the spans of the gold that the entities are compared with, come before all others, those of the
    entity's type first: who names a text without its place can't be wrong about the place. No entity takes a span that
    is `taken`.
    """
    wanted = [(folded(entity.name), entity.type) for entity in entities]
    if not wanted:
        return ()
    beside, taken = {span for span in beside if span}, set(taken)
    if (settled := _without_choice(sentence, wanted, beside, taken)) is not None:
        return settled
    text = _folded_sentence(sentence)
    anywhere = {(span.start, span.end) for span in beside}
    mentions = Counter(wanted)
    found = {name: text.find(name) for name in {name for name, _ in mentions}}
    for at in anywhere.difference(*found.values()):  # such as a name without the mark on its last letter
        if (name := folded(sentence[slice(*at)])) in found:
            found[name][at] = text.inside(*at)
    held = {(span.start, span.end) for span in taken}
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for mention in sorted(mentions, key=lambda one: (-len(one[0]), one)):
        name, label = mention

        def rank(at: tuple[int, int], name: str = name, label: str = label) -> tuple:
            start, end = at
            inside = any(s <= start and end <= e and e - s > end - start for s, e in held)
            looseness = text.looseness(*found[name][at])
            return Span(*at, label) not in beside, at not in anywhere, looseness > 1, inside, looseness, start

        free = [at for at in found[name] if Span(*at, label) not in taken]
        chosen = sorted(free, key=rank)[: mentions[mention]] if len(free) > 1 else free
        held.update(chosen)
        places[mention] = sorted(chosen)
    given: Counter[tuple[str, str]] = Counter()
    spans: list[Span | None] = []
    for mention in wanted:
        number, chosen = given[mention], places[mention]
        given[mention] += 1
        spans.append(Span(*chosen[number], mention[1]) if number < len(chosen) else None)
    return tuple(spans)


def _without_choice(
    sentence: str, wanted: Sequence[tuple[str, str]], beside: Collection[Span], taken: Collection[Span]
) -> tuple[Span | None, ...] | None:
    """What `locate` gives where no name has to choose among places, as in most sentences; else None.

    A name has no choice for which `beside` has as many places of its type as it has mentions, and none that has no
    more places than mentions. `wanted` are folded names and types.
    """
    if not _as_folded(sentence):
        return None
    own: dict[tuple[str, str], list[Span]] = {}
    for span in beside:
        text = sentence[span[0] : span[1]]
        if text.strip() != text:  # it is a place of what stands within it
            return None
        own.setdefault((text, span[2]), []).append(span)
    marked = not sentence.isascii()
    places: dict[tuple[str, str], list[Span]] = {}
    mentions = dict.fromkeys(wanted, 1)
    if len(mentions) < len(wanted):
        mentions = Counter(wanted)
    for mention, times in mentions.items():
        name, label = mention
        found = own.get(mention, ())
        if len(found) != times:
            found, at = [], sentence.find(name) if name else -1
            while at >= 0:
                end = at + len(name)
                if len(found) == times or (marked and end < len(sentence) and unicodedata.combining(sentence[end])):
                    return None
                found.append(Span(at, end, label))
                at = sentence.find(name, at + 1)
        if taken and not taken.isdisjoint(found):
            return None
        places[mention] = sorted(found, reverse=True) if times > 1 else found
    return tuple([places[mention].pop() if places[mention] else None for mention in wanted])


def _as_folded(sentence: str) -> bool:
    """True if folding would change nothing."""
    return (
        sentence.isprintable()
        and "  " not in sentence
        and sentence[:1] != " " != sentence[-1:]
        and (sentence.isascii() or unicodedata.is_normalized("NFD", sentence))
    )


Placed = Sequence[tuple[Entity, Span | None]]


def place_ends(sentence: str, placed: Placed, ends: Iterable[Entity]) -> Callable[[Entity], Span | None]:
    """Where each of the heads and tails of an answer's relations stands. `placed`: its entities with their spans.

    A name has one place in all relations of an answer: that of the entity that has its name and type, or its name, the
    first of several; else where it is found. Two events may have triggers that are alike. The head of an argument is
    then the very object that is its trigger.
    """
    own = {id(entity): span for entity, span in placed if span}
    typed: dict[tuple[str, str], Span] = {}
    named: dict[str, Span | None] = {}
    for entity, span in placed:
        if span:
            typed.setdefault((folded(entity.name), entity.type), span)
            named.setdefault(folded(entity.name), span)
    others = {name: end for end in ends if (name := folded(end.name)) not in named}
    spans = locate(sentence, [Entity(end.name, "") for end in others.values()], taken=own.values())
    named |= zip(others, spans, strict=True)

    def find(end: Entity) -> Span | None:
        name = folded(end.name)
        return own.get(id(end)) or typed.get((name, end.type)) or named[name]

    return find


def occurs(sentence: str, name: str) -> bool:
    """True if the name stands in the sentence at all."""
    wanted = folded(name)
    if wanted not in sentence and _as_folded(sentence):
        return False
    return bool(_folded_sentence(sentence).find(wanted))


class _Folded:
    """A sentence as names are compared with it, and which of its characters each character of that came from."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        text, places = seen(sentence)
        self.text, origin = _decomposed(text)
        origin = places if isinstance(origin, range) else [places[index] for index in origin]
        # Canonical order may put a character's parts among those of others. What is folded before a place comes from
        # the sentence up to `upto`, what is folded from there on comes from the sentence since `since`.
        self.since = self.upto = origin
        if not isinstance(origin, range) and origin != sorted(origin):
            self.upto = list(accumulate(origin, max))
            self.since = list(accumulate(reversed(origin), min))[::-1]

    def find(self, wanted: str) -> dict[tuple[int, int], tuple[int, int]]:
        """Every place of a folded name, in order, overlapping ones too: (start, end) there -> (start, end) in here.

        Linear in the sentence's length: where a name overlaps with itself by half or more, as `aaa` does in `aaaa`, the
        next place is told by the few characters that are new.
        """
        found: dict[tuple[int, int], tuple[int, int]] = {}
        at, step = self.text.find(wanted) if wanted else -1, 0
        while at >= 0:
            end = at + len(wanted)
            if self._parted(at) and self._parted(end) and not unicodedata.combining(self.text[end : end + 1] or " "):
                found[self.since[at], self.upto[end - 1] + 1] = at, end
            if step and self.text.startswith(wanted[-step:], end):
                at += step
                continue
            following = self.text.find(wanted, at + 1)
            if 0 < 2 * (following - at) <= len(wanted):
                step = following - at
            at = following
        return found

    def _parted(self, at: int) -> bool:
        """True if no character of the sentence has parts on both sides."""
        return at in (0, len(self.text)) or self.upto[at - 1] < self.since[at]

    def inside(self, start: int, end: int) -> tuple[int, int]:
        """The place in here of one in the sentence."""
        return bisect_left(self.since, start), bisect_left(self.since, end)

    def looseness(self, at: int, end: int) -> int:
        """0 for a place between word ends, 1 for one that is within no word, 2 for any other. At and end in here."""
        first, last = self.sentence[self.since[at]], self.sentence[self.upto[end - 1]]
        before = self.sentence[self.upto[at - 1]] if at else " "
        after = self.sentence[self.since[end]] if end < len(self.text) else " "
        if (before.isspace() or before in _OPENING) and (after.isspace() or after in _CLOSING):
            return 0
        return 2 if (_in_word(before) and _in_word(first)) or (_in_word(after) and _in_word(last)) else 1


@lru_cache(maxsize=2)  # gold and answer are placed in one sentence
def _folded_sentence(sentence: str) -> _Folded:
    return _Folded(sentence)


def _in_word(character: str) -> bool:
    """True for letters, digits, their marks and their joiners; marks that choose an emoji's looks are none of them."""
    return (
        character.isalnum()
        or character in JOINERS
        or (unicodedata.category(character) in ("Mn", "Mc") and not "\ufe00" <= character <= "\ufe0f")
    )


@lru_cache(maxsize=4096)  # gold and answer have most names in common
def folded(name: str) -> str:
    """The name as names are compared: what is seen of it (recipe.core.text), in canonical decomposition.

    In linear time, as `unicodedata.normalize` is not where many marks are on one letter.
    """
    name = visible(name)
    return name if name.isascii() else _decomposed(name)[0]


def _decomposed(text: str) -> tuple[str, Sequence[int]]:
    """The text in canonical decomposition, and the index in the text of the character that each one came from.

    Source: the Unicode Standard, section 3.11, D68 and D109. `unicodedata.normalize` says no origins, and takes
    quadratic time for many marks on one letter.
    """
    if unicodedata.is_normalized("NFD", text):
        return text, range(len(text))
    parts = [character if character.isascii() else unicodedata.normalize("NFD", character) for character in text]
    text, origin = "".join(parts), [index for index, part in enumerate(parts) for _ in part]
    if unicodedata.is_normalized("NFD", text):
        return text, origin
    classes = [unicodedata.combining(character) for character in text]
    runs = groupby(range(len(text)), key=lambda index: classes[index] > 0)
    order = [index for _, run in runs for index in sorted(run, key=classes.__getitem__)]
    return "".join(text[index] for index in order), [origin[index] for index in order]


# ---------------------------------------------------------------------------------------------------- every mention

_UNSPACED = re.compile(f"[{UNSPACED}]")  # beside such a letter a name may stand


def mentions(sentence: str, entities: Iterable[Entity]) -> tuple[Span, ...]:
    """Every mention of the entities, in sentence order: the places that `place` finds, and all others of their names.

    Such another place neither ends within a word nor is inside a longer name of these entities, nor does it overlap an
    earlier one of its name. A name has each place with each type that it was given.
    """
    entities = tuple(entities)
    spans = {span for span in place(sentence, entities) if span}
    text = _folded_sentence(sentence)
    labels: dict[str, set[str]] = {}
    for entity in entities:
        labels.setdefault(folded(entity.name), set()).add(entity.type)
    found = ((name, *item) for name in labels for item in text.find(name).items())
    names = {at: name for name, at, there in found if not _within_words(text, *there)}
    places = sorted({*names, *((span.start, span.end) for span in spans)}, key=lambda at: (at[0], -at[1]))
    furthest, ends = 0, dict.fromkeys(labels, 0)
    for start, end in places:
        name = names.get((start, end))
        if name is not None and end > furthest and start >= ends[name]:
            spans.update(Span(start, end, label) for label in labels[name])
            ends[name] = end
        furthest = max(furthest, end)
    return tuple(sorted(spans, key=lambda span: (span.start, -span.end, span.type)))


def _within_words(text: _Folded, at: int, end: int) -> bool:
    before = text.sentence[text.upto[at - 1]] if at else " "
    after = text.sentence[text.since[end]] if end < len(text.text) else " "
    if _in_word(after) and unicodedata.category(after)[0] == "M":  # it belongs to the letter before, in every script
        return True
    borders = ((before, text.sentence[text.since[at]]), (text.sentence[text.upto[end - 1]], after))
    return any(_in_word(a) and _in_word(b) and not _UNSPACED.search(a + b) for a, b in borders)
