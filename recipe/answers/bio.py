r"""The BIO answer format of ReCoT-NER: every word of the sentence with its tag (Fu and Zhang; GNER, Ding et al. 2024).

    Regarding(O) GERD(B-group) patients(I-group) ,(O)

A think block may come first. A word is what white space and the ends of entities leave whole, so that `Bob's` is
`Bob(B-person) 's(O)`. Nested and overlapping mentions can't be written.

`parse(render_answer(example), example)` gives back the entities in the sentence's order, each with its place. The
tagged words that a model wrote are aligned to the sentence: first by words, then, between words that agree, by
characters, so that words which it dropped, repeated, merged, split or misspelt leave the rest in place. A whole copy of
the sentence at the end counts alone, whatever draft goes before. It never raises; its time is linear in the
completion's length for a sentence of a given length.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise

from recipe.answers.subsequence import common
from recipe.answers.think import split_reasoning, with_reasoning
from recipe.core.align import place
from recipe.core.entities import Answer, DataError, Entity, Example, normalize_type

DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Tag every word of the sentence below, in two steps.
Step 1, span detection: find the words that name an entity. The first word of a name is B, its other words are I, and
words outside of names are O.
Step 2, type classification: give each name the one type among these that fits it:
{{SCHEMA}}
Write the sentence again, word by word, each followed by its tag: word(B-type), word(I-type) or word(O).
Sentence: {{SENTENCE}}"""

# Without the two steps: for the ablation of the instruction.
ONE_STEP_TEMPLATE = """\
You are an information extraction assistant. Tag every word of the sentence below with these entity types:
{{SCHEMA}}
Write the sentence again, word by word, each followed by its tag: word(B-type), word(I-type) or word(O).
Sentence: {{SENTENCE}}"""
WORDINGS = {"one_step": ONE_STEP_TEMPLATE}

Piece = tuple[int, int, int | None]  # start, end, and which word of the answer it is

# Between words that agree, characters of an answer for one of the sentence: more are not aligned by characters.
LONGEST = 20


@dataclass(frozen=True, slots=True)
class Tagged:
    """A word that an answer tags: `prefix` is O, B or I, `type` the normalised type, `mark` where the prefix stands."""

    word: str
    prefix: str
    type: str
    mark: int


_OUTSIDE = Tagged("", "O", "", -1)


# ---------------------------------------------------------------------------------------------------------- render


def words(example: Example) -> list[tuple[int, int, str]]:
    """(start, end, tag) of every word of the sentence.

    An entity is tagged where it says that it stands, else where `recipe.core.align` finds it. DataError for one that
    the sentence does not hold, or that overlaps another.
    """
    spans = place(example.sentence, example.entities)
    if None in spans:
        name = example.entities[spans.index(None)].name
        raise DataError(f"{name!r}: does not stand in the sentence, so that no word can be tagged")
    spans = sorted(spans)
    for before, after in pairwise(spans):
        if after.start < before.end:
            name = example.sentence[after.start : after.end]
            raise DataError(f"{name!r}: overlaps another entity, and a word has one tag")
    cuts = {edge for span in spans for edge in (span.start, span.end)}
    tags = {}
    for span in spans:
        tags.update(dict.fromkeys(range(span.start, span.end), f"I-{span.type}"))
        tags[span.start] = f"B-{span.type}"
    pieces = []
    for found in _WORD.finditer(example.sentence):
        edges = [found.start(), *sorted(cut for cut in cuts if found.start() < cut < found.end()), found.end()]
        pieces += [(start, end, tags.get(start, "O")) for start, end in pairwise(edges)]
    return pieces


_WORD = re.compile(r"\S+")


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for what `words` refuses or reasoning that holds a think tag."""
    tagged = (f"{example.sentence[start:end]}({tag})" for start, end, tag in words(example))
    return with_reasoning(" ".join(tagged), example.reasoning)


# ----------------------------------------------------------------------------------------------------------- parse


def tagged_words(text: str, types: Sequence[str] = ()) -> Iterator[Tagged]:
    """The words of an answer with their tags, in order; a word without one is tagged O. Linear in the text's length."""
    end = 0
    for found in _tag(tuple(types)).finditer(text):
        untagged = text[end : found.start()].split()
        end = found.end()
        yield from (Tagged(word, "O", "", -1) for word in untagged[:-1])
        if untagged:
            prefix, _, label = found[1].partition("-")
            yield Tagged(untagged[-1], prefix, normalize_type(label), found.start(1))
    yield from (Tagged(word, "O", "", -1) for word in text[end:].split())


@lru_cache(maxsize=4096)
def _tag(types: tuple[str, ...]) -> re.Pattern[str]:
    """A tag at the end of a word. Types of the schema first: they may hold parentheses."""
    known = "|".join(re.escape(label) for label in types if "(" in label or ")" in label)
    labels = f"(?:{known}|[^()\\n]{{1,200}})" if known else "[^()\\n]{1,200}"
    return re.compile(rf"\((O|[BI]-{labels})\)(?=\s|$)")


def parse(completion: str, example: Example) -> Answer:
    """Read a completion: reasoning, entities as the sentence has them and where, and whether it kept the layout.

    A name without a B begins where its I does. Unparsable is only what holds no tagged word that the sentence has, too.
    """
    reasoning, body, closed = split_reasoning(completion)
    given = list(tagged_words(body, example.types))
    if not any(word.mark >= 0 for word in given):
        return Answer(reasoning=reasoning)
    pieces = _align_tagged(example.sentence, given)
    if all(owner is None for _, _, owner in pieces):
        return Answer(reasoning=reasoning)
    entities = tuple(_entities(example.sentence, pieces, given))
    copied = [(owner, example.sentence[start:end]) for start, end, owner in pieces]
    layout = closed and copied == [(i, word.word) for i, word in enumerate(given)] and _well_formed(given)
    types = tuple(dict.fromkeys(word.type for word in given if word.prefix != "O"))
    return Answer(entities, reasoning, parsed=True, layout=layout, types=types)


def fidelity(completion: str, example: Example) -> float:
    """How far the answer is the sentence, in [0, 1]: 1 for all of its words in order, each with a tag, and no others.

    Dice's coefficient over words, so that what is left out, comes twice or goes on without end lowers it.
    """
    given = list(tagged_words(split_reasoning(completion)[1], example.types))
    pieces = _align_tagged(example.sentence, given)
    kept = [owner is not None and given[owner].word == example.sentence[start:end] for start, end, owner in pieces]
    return 2 * sum(kept) / max(1, len(given) + len(pieces))


def _well_formed(given: Sequence[Tagged]) -> bool:
    """Every word has a tag, and an I follows a B or I of its type."""
    before = [("O", ""), *((word.prefix, word.type) for word in given)]
    return all(
        word.mark >= 0 and (word.prefix != "I" or (last[0] != "O" and last[1] == word.type))
        for last, word in zip(before, given, strict=False)
    )


def _align_tagged(sentence: str, given: Sequence[Tagged]) -> list[Piece]:
    """The sentence's pieces; only a word with a tag owns one, as text around the answer has the same words."""
    tagged = [index for index, word in enumerate(given) if word.mark >= 0]
    pieces = align(sentence, [given[index].word for index in tagged])
    return [(start, end, None if owner is None else tagged[owner]) for start, end, owner in pieces]


def _entities(sentence: str, pieces: Sequence[Piece], given: Sequence[Tagged]) -> Iterator[Entity]:
    begun, label, last = None, "", None
    for start, end, owner in [*pieces, (len(sentence), len(sentence), None)]:
        word = given[owner] if owner is not None else _OUTSIDE
        goes_on = word.prefix != "O" and begun and word.type == label and (word.prefix == "I" or owner == last)
        if begun and not goes_on:
            yield Entity(sentence[begun[0] : begun[1]], label, begun[0])
            begun = None
        if word.prefix != "O":
            begun, label = (begun[0] if goes_on else start, end), word.type
        last = owner


def begins(answer: str, types: Sequence[str] = ()) -> list[int]:
    """The places of the `B` of each tag in an answer, in characters, ascending; no `B` of a word or the reasoning.

    DataError for a word without a tag: a loss with a wrong mask would go unnoticed.
    """
    _, body, _ = split_reasoning(answer)
    start = len(answer.rstrip()) - len(body)  # it ends where the answer does, but for white space
    words = list(tagged_words(body, tuple(types)))
    untagged = next((word.word for word in words if word.mark < 0), None if words else "")
    if untagged is not None:
        raise DataError(
            f"its word {untagged[:40]!r} has no tag, and the loss is for BIO answers; set loss=plain for others, and "
            "give types with parentheses in extra_info.types"
        )
    return [start + word.mark for word in words if word.prefix == "B"]


# ----------------------------------------------------------------------------------------------------------- align


def align(sentence: str, given: Sequence[str]) -> list[Piece]:
    """(start, end, index of the given word or None) for each piece of the sentence's words, in order.

    Where the given words end with the sentence, however they cut it, those are its words.
    Else, time O(g log g (1 + s / 64)) and memory O(g + s) for g and s characters of both: `common`, over words and then
    over the characters between words that agree.
    """
    places = [found.span() for found in _WORD.finditer(sentence)]
    words = [sentence[start:end] for start, end in places]
    owner: list[int | None] = [None] * len(sentence)
    if copy := _copy("".join(words), given):
        owners = (index for index in copy for _ in given[index])
        for at, index in zip(_characters(places), owners, strict=True):
            owner[at] = index
        return [piece for start, end in places for piece in _pieces(owner, start, end)]
    done_given = done_places = 0
    for i, j in [*common(given, words), (len(given), len(places))]:
        _align_characters(sentence, places[done_places:j], given, range(done_given, i), owner)
        if j < len(places):
            start, end = places[j]
            owner[start:end] = [i] * (end - start)
        done_given, done_places = i + 1, j + 1
    return [piece for start, end in places for piece in _pieces(owner, start, end)]


def _copy(text: str, given: Sequence[str]) -> range:
    """The given words at the end that together are the text; empty if none are."""
    left = len(text)
    for index in range(len(given) - 1, -1, -1):
        left -= len(given[index])
        if left < 0 or not text.startswith(given[index], left):
            break
        if not left:
            return range(index, len(given))
    return range(0)


def _characters(places: Sequence[tuple[int, int]]) -> list[int]:
    return [place for start, end in places for place in range(start, end)]


def _align_characters(sentence: str, places, given: Sequence[str], indices: range, owner: list[int | None]) -> None:
    ours = _characters(places)
    theirs = [(i, character) for i in indices for character in given[i]] if ours else []
    if len(theirs) > LONGEST * len(ours):
        return
    pairs = list(common([character for _, character in theirs], [sentence[place] for place in ours]))
    kept = Counter(theirs[p][0] for p, _ in pairs)
    for p, q in pairs:
        i = theirs[p][0]
        if 2 * kept[i] >= len(given[i]):  # else it is another word, with some letters in common
            owner[ours[q]] = i


def _pieces(owner: list[int | None], start: int, end: int) -> Iterator[Piece]:
    """One word of the sentence, in parts of one owner each; of none, if less than half of it is in the answer."""
    mine = owner[start:end]
    if 2 * sum(who is not None for who in mine) < len(mine):
        yield start, end, None
        return
    last = next(who for who in mine if who is not None)
    filled = [last := last if who is None else who for who in mine]
    for who, group in groupby(range(end - start), key=filled.__getitem__):
        found = list(group)
        yield start + found[0], start + found[-1] + 1, who
