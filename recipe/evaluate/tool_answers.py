"""What a tool found in a row, as offsets, read against the row's sentence into an answer that knows its places.

    read_spans("Ada met Bob .", [{"start": 0, "end": 3, "label": "PERSON"}])
    (Entity("Ada", "person", start=0),)

A span's type is its `type` or `label`; its `name` or `text`, where it has one, must be what stands there. Other keys,
such as a score, are not read. Of what recipe.predict writes, the names that a text lacks and the entities of a type
that wasn't asked for are predictions, too.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from recipe.core.entities import Answer, DataError, Entity, normalize_type
from recipe.core.text import trimmed
from recipe.generate.predictions import Prediction

_TYPE, _NAME = ("type", "label"), ("name", "text")
_COUNTING = "count characters, not bytes or tokens, from 0, the end exclusive"


def read_answer(sentence: str, prediction: Prediction) -> Answer:
    """The answer of a prediction that has `entities`. DataError for one that doesn't fit the sentence."""
    for told in prediction.sentences:
        if told != sentence:
            place = next((n for n, pair in enumerate(zip_longest(told, sentence)) if len(set(pair)) > 1))
            raise DataError(
                f"its text is not the sentence of row {prediction.index}: {told[place : place + 20]!r} in place of "
                f"{sentence[place : place + 20]!r} at character {place}; give each line the index of its row"
            )
    entities = read_spans(sentence, prediction.entities or ())
    return Answer((*entities, *prediction.unplaced), prediction.output or None, parsed=True)


def read_spans(sentence: str, spans: Sequence[Mapping]) -> tuple[Entity, ...]:
    """The entities of spans, in their order. DataError says which span, by its number from 1, and what to do."""
    entities = []
    for number, span in enumerate(spans, 1):
        try:
            entities.append(_entity(sentence, span))
        except DataError as error:
            raise DataError(f"entity {number}: {error}") from error
    return tuple(entities)


def _entity(sentence: str, span: Mapping) -> Entity:
    labels = {normalize_type(span[key]) for key in _TYPE if isinstance(span.get(key), str)} - {""}
    if len(labels) != 1:
        raise DataError(f"{'several types' if labels else 'no type'}; name one as type or label")
    start, end = span.get("start"), span.get("end")
    if type(start) is not int or type(end) is not int:
        raise DataError(f"no integers start and end; {_COUNTING}")
    if not 0 <= start < end <= len(sentence):
        raise DataError(f"{start} to {end} is no part of the sentence of {len(sentence)} characters; {_COUNTING}")
    text = sentence[start:end]
    for key in _NAME:
        if (told := span.get(key)) is not None and told != text:
            there = f"{start} to {end} of the sentence is {text[:40]!r}"
            raise DataError(f"its {key} is {str(told)[:40]!r}, and {there}; {_COUNTING}")
    skipped, name = trimmed(text)
    if not name:
        raise DataError(f"{start} to {end} of the sentence is white space; leave the entity out")
    return Entity(name, labels.pop(), start + skipped)
