"""Questions about a text, put together into its sentence.

together([Example("EU", ("person",)), Example("EU", ("organization",), ...)])
# Example("EU", ("organization", "person"), ...)
"""

from collections.abc import Iterable, Iterator, Sequence

from recipe.core.align import Span, place
from recipe.core.entities import Entity, Example


def together(questions: Iterable[Example]) -> Iterator[Example]:
    """The sentences in order, each with all types that are asked of it and its entities in their order.

    The questions about a sentence follow each other. A second question about a type begins a sentence of the same text.
    """
    asked: list[Example] = []
    types: set[str] = set()
    for question in questions:
        if asked and (question.sentence != asked[0].sentence or not types.isdisjoint(question.types)):
            yield _whole(asked)
            asked, types = [], set()
        asked.append(question)
        types.update(question.types)
    if asked:
        yield _whole(asked)


def _whole(asked: Sequence[Example]) -> Example:
    sentence, types = asked[0].sentence, sorted(label for question in asked for label in question.types)
    entities = [entity for question in asked for entity in question.entities]
    placed = sorted(zip(place(sentence, entities), entities, strict=True), key=_order)
    return Example(sentence, tuple(types), tuple(entity for _, entity in placed), asked[0].dataset)


def _order(placed: tuple[Span | None, Entity]) -> tuple:
    """As recipe.corpora.records.in_text_order has it, by the place where a name is found."""
    span, entity = placed
    return (True,) if span is None else (False, span.start, -span.end, entity.type)
