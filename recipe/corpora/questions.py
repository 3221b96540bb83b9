"""Questions about a text, put together into its sentence.

together([Example("EU", ("person",)), Example("EU", ("organization",), ...)])
# Example("EU", ("organization", "person"), ...)
"""

from collections.abc import Iterable, Iterator, Sequence

from recipe.answers.queries import in_order
from recipe.core.entities import Example


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
    entities = in_order(sentence, (entity for question in asked for entity in question.entities))
    return Example(sentence, tuple(types), entities, asked[0].dataset)
