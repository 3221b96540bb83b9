r"""How results are written: JSON, JSON Lines, CoNLL (BIO2) and text with the entities marked in it.

    json      a list of the records of recipe.predict.replies.Result, indented
    jsonl     {"index": 0, "sentence": "Paris is big .", "reasoning": "...", "entities": [{"type": "city", ...}], ...}
    conll     Paris<TAB>B-city, a token a line, an empty line after each text
    inline    [Paris](city) is big .

conll: tokens are words and single marks, and a token is also cut where an entity begins or ends, so that none begins
inside one. A token has one tag: of entities that overlap the longest is written, of equally long ones the first. White
space between tokens is not kept.

inline: a text a line. `\`, `[` and `]` of the text, and `\` and `)` of a type, have a `\` before them; line ends are
`\n` and `\r`. One entity within another is `[[New York](city) Times](newspaper)`. Two that cross each other can't be
written so: the longest stays, of equally long ones the first. The text and these entities can be read back from the
line. A text with an error has no entities in either. Neither can show relations or events.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from recipe.core.entities import DataError, has_lone_surrogate
from recipe.predict.replies import Mention, Result

FORMATS = ("json", "jsonl", "conll", "inline")


def check_form(form: str, finds: Sequence[str]) -> None:
    """DataError for a form that can't show what is found (`Settings.finds`)."""
    if form not in ("json", "jsonl") and tuple(finds) != ("entities",):
        raise DataError(f"--format {form}: can't show {' and '.join(finds)}; take json or jsonl")


def write(results: Iterable[Result], form: str) -> Iterator[str]:
    """The text of all results, a piece for each as it comes, and what is around them."""
    if form == "json":
        separator = "[\n"
        for result in results:
            yield separator + _indented(_json(result, indent=2))
            separator = ",\n"
        yield "[]\n" if separator == "[\n" else "\n]\n"
        return
    one: Callable[[Result], str] = {"jsonl": _json, "conll": _conll, "inline": _inline}[form]
    for result in results:
        yield one(result) + "\n"


def _json(result: Result, indent: int | None = None) -> str:
    value = result.as_dict()
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Half of a surrogate pair, which JSON can say and UTF-8 can't.
    return json.dumps(value, indent=indent) if has_lone_surrogate(text) else text


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.split("\n"))


# ----------------------------------------------------------------------------------------------------------- CoNLL


def tokens(text: str, cuts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """(start, end) of every token: runs of letters and digits, single other marks; cut at `cuts` too, space left out.

    Combining marks and joiners stay with the character before them.
    """
    cuts, found, open_word, start = set(cuts), [], False, 0
    for index, character in enumerate(text):
        kind = _kind(character)
        if index > start and index not in cuts:
            joined = text[index - 1] == "\u200d" and kind != "space"
            if (kind == "mark" or joined or (kind == "word" and open_word)) and not text[index - 1].isspace():
                continue
        if index > start:
            found.append((start, index))
        start, open_word = index, kind == "word"
    found.append((start, len(text)))
    return [(start, end) for start, end in found if text[start:end].strip()]


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf" or "\U0001f3fb" <= character <= "\U0001f3ff":  # the last: skin tones
        return "mark"
    return "word" if category[0] in "LN" or character == "_" else "other"


def _without(clash: Callable[[Mention, Mention], bool], entities: Iterable[Mention]) -> list[Mention]:
    """Entities without a pair that clashes, the longest first: of two that clash the longer stays, then the earlier."""
    chosen: list[Mention] = []
    for entity in sorted(entities, key=_longest_first):
        if not any(clash(entity, other) for other in chosen):
            chosen.append(entity)
    return chosen


def _overlap(one: Mention, other: Mention) -> bool:
    return one.end > other.start and other.end > one.start


def _cross(one: Mention, other: Mention) -> bool:
    return other.start < one.start < other.end < one.end or one.start < other.start < one.end < other.end


def _longest_first(entity: Mention) -> tuple[int, int, str]:
    return entity.start - entity.end, entity.start, entity.type


def _conll(result: Result) -> str:
    entities = _without(_overlap, result.entities)
    tags = {}
    pieces = tokens(result.sentence, [place for e in entities for place in (e.start, e.end)])
    for entity in entities:
        inside = [piece for piece in pieces if entity.start <= piece[0] < entity.end]
        for number, piece in enumerate(inside):
            tags[piece] = f"{'I' if number else 'B'}-{entity.type}"
    sentence = _writable(result.sentence)
    return "".join(f"{sentence[start:end]}\t{tags.get((start, end), 'O')}\n" for start, end in pieces)


# ---------------------------------------------------------------------------------------------------------- inline


def nested(entities: Iterable[Mention]) -> list[Mention]:
    """Entities without one that crosses another, the longest first."""
    return _without(_cross, entities)


def _inline(result: Result) -> str:
    entities = nested(result.entities)  # longest first, so the outer brackets open first and close last
    opening: dict[int, int] = {}
    closing: dict[int, list[str]] = {}
    for entity in entities:
        opening[entity.start] = opening.get(entity.start, 0) + 1
        label = re.sub(r"[\\)]", r"\\\g<0>", entity.type)
        closing.setdefault(entity.end, []).insert(0, f"]({label})")
    pieces, sentence = [], _writable(result.sentence)
    for place in range(len(sentence) + 1):
        pieces += [*closing.get(place, ()), "[" * opening.get(place, 0)]
        pieces.append(_ESCAPES.get(sentence[place : place + 1], sentence[place : place + 1]))
    return "".join(pieces)


_ESCAPES = {"\\": "\\\\", "[": "\\[", "]": "\\]", "\n": "\\n", "\r": "\\r"}


def _writable(text: str) -> str:
    """A lone surrogate, which no file holds, becomes `?`."""
    return text.encode("utf-8", "replace").decode()
