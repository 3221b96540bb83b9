"""A sentence as the questions that its format asks, and the sentence again from their answers.

A format of whole sentences asks one question. One with `ONE_TYPE` asks about each type of the schema.

questions = ask(example)                                     # one Example a type, those without an entity too
merge(questions, completions).completion                     # '{"entities": {"person": ["Ada"]}}', to be scored

worked = worked_examples(dev, seed=42)                       # {"person": (Example, Example), "place": ...}
template_for("person", "A person's name.", worked["person"]) # the prompt's wording, {{SENTENCE}} still open
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from recipe import answers
from recipe.answers.think import CLOSE, OPEN, template_reasoning, with_reasoning
from recipe.answers.type_descriptions import describe, plain_description
from recipe.core.align import place
from recipe.core.entities import DEFAULT_FORMAT, DataError, Entity, Example
from recipe.core.sampling import row_key

FORMAT = "entity_tags"  # asks about one type, where no such format is named


# --------------------------------------------------------------------------------------------------- split and merge


def ask(example: Example) -> tuple[Example, ...]:
    """The questions about a sentence in its format: itself, or one for each type."""
    return split(example, example.format) if answers.one_type(example.format) else (example,)


def split(example: Example, answer_format: str = FORMAT) -> tuple[Example, ...]:
    """A question for each type of the schema, in its order; where the sentence names none, the answer is empty.

    Reasoning that was built from the sentence's gold is built again from the question's. A teacher's stays as it is.
    Entities say where they stand among all of the sentence, as a question alone doesn't know the names of other types.
    """
    placed = _placed(example.sentence, example.entities)
    built = example.reasoning is not None and example.reasoning == template_reasoning(example)
    questions = []
    for label in example.types:
        entities = tuple(entity for entity in placed if entity.type == label)
        question = replace(example, types=(label,), entities=entities, format=answer_format)
        questions.append(replace(question, reasoning=template_reasoning(question)) if built else question)
    return tuple(questions)


def group(questions: Iterable[Example]) -> list[list[int]]:
    """The positions of the questions of each sentence, sentences and positions in the order in which they come.

    A question about all types is a sentence of its own. Those about one type needn't stand together. A sentence that a
    dataset holds twice is two groups: the second question about a type belongs to the second.
    """
    asked: Counter = Counter()
    groups: dict[object, list[int]] = {}
    for position, question in enumerate(questions):
        if not answers.one_type(question.format):
            groups[position] = [position]
            continue
        sentence = question.dataset, question.sentence
        groups.setdefault((*sentence, asked[sentence, question.types]), []).append(position)
        asked[sentence, question.types] += 1
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class Merged:
    """One sentence from the answers about its types: its example and a completion, both in the default format.

    `unparsable` of the answers could not be read; they name nothing.
    """

    example: Example
    completion: str
    unparsable: int


def merge(questions: Sequence[Example], completions: Sequence[str]) -> Merged:
    """The sentence's example, with all types and entities, and what the completions say of it.

    Entities are in the sentence's order, then by type; those of the example stand where their own question has them.
    Where no answer could be read, the completion is unparsable, too. DataError for questions that are not about the
    types of one sentence.
    """
    _check_questions(questions, completions)
    pairs = sorted(zip(questions, completions, strict=True), key=lambda pair: pair[0].types)
    read = [answers.parse(completion, question) for question, completion in pairs]
    sentence, dataset = questions[0].sentence, questions[0].dataset
    types = tuple(question.types[0] for question, _ in pairs)
    gold = in_order(sentence, (entity for question, _ in pairs for entity in _placed(sentence, question.entities)))
    example = Example(sentence, types, gold, dataset, format=DEFAULT_FORMAT)
    thoughts = [answer.reasoning for answer in read if answer.reasoning is not None]
    # A think block that was read may hold a second opening tag, which no completion can be written with.
    reasoning = "\n".join(filter(None, thoughts)).replace(OPEN, " ").replace(CLOSE, " ") if thoughts else None
    unparsable = sum(not answer.parsed for answer in read)
    if unparsable == len(read):
        return Merged(example, with_reasoning("", reasoning), unparsable)
    found = in_order(sentence, (entity for answer in read for entity in answer.entities))
    completion = answers.render_answer(replace(example, entities=found, reasoning=reasoning))
    return Merged(example, completion, unparsable)


def _check_questions(questions: Sequence[Example], completions: Sequence[str]) -> None:
    if not questions or len(questions) != len(completions):
        raise DataError(f"{len(questions)} questions, {len(completions)} answers: each question has one answer")
    where = f"{questions[0].sentence[:40]!r}"
    if len({(question.dataset, question.sentence) for question in questions}) > 1:
        raise DataError(f"{where}: among its questions is one about another sentence; group them first")
    types = [question.types for question in questions]
    if any(len(labels) != 1 for labels in types) or len(set(types)) < len(types):
        raise DataError(f"{where}: each question asks about one type, and no two about the same; group them first")


def _placed(sentence: str, entities: Sequence[Entity]) -> tuple[Entity, ...]:
    """The entities with their places, but for those that the sentence lacks or spells in another way."""
    return tuple(
        replace(entity, start=span.start) if span and sentence[span.start : span.end] == entity.name else entity
        for entity, span in zip(entities, place(sentence, entities), strict=True)
    )


def in_order(sentence: str, entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """The entities by their place in the sentence, then by type; at the end, those that it doesn't hold."""
    entities = tuple(entities)
    placed = zip(place(sentence, entities), entities, strict=True)
    ordered = sorted(placed, key=lambda pair: (pair[0] is None, pair[0] and (pair[0].start, pair[0].end), pair[1].type))
    return tuple(entity for _, entity in ordered)


# ---------------------------------------------------------------------------------------------------- worked examples


def worked_examples(
    examples: Iterable[Example], seed: int, count: int = 2, longest: int | None = None, answer_format: str = FORMAT
) -> dict[str, tuple[Example, ...]]:
    """At most `count` questions for each type, answered, to be shown in the prompts of that type.

    Those that name an entity of the type come first, and at most one names none. The choice depends on seed and content
    alone, not on the order of the examples. Left out are sentences longer than `longest` characters, those that lack a
    name of their gold, and those that no template can hold. Reasoning is the example's own or built from the gold.

    Keep these sentences out of what is asked: a prompt that shows one holds its answer.
    """
    chosen: dict[str, tuple[list, list]] = {}
    for example in examples:
        if longest is not None and len(example.sentence) > longest:
            continue
        for question in split(example, answer_format):
            if question.reasoning is None:
                question = replace(question, reasoning=template_reasoning(question))
            naming, empty = chosen.setdefault(question.types[0], ([], []))
            if _can_be_shown(question):
                key = row_key(seed, question, "worked example"), question.sentence
                _keep_lowest(naming if question.entities else empty, key, question, count)
    shown = {label: (naming + empty[:1])[:count] for label, (naming, empty) in chosen.items()}
    return {label: tuple(question for _, question in kept) for label, kept in sorted(shown.items()) if kept}


def _can_be_shown(question: Example) -> bool:
    if any(map(question.lacks, question.entities)):
        return False
    try:
        template_for(question.types[0], "", (question,), answer_format=question.format)
    except DataError:
        return False
    return True


def _keep_lowest(kept: list, key: tuple[int, str], question: Example, count: int) -> None:
    """Put the question among the `count` of lowest key, unless its sentence is there."""
    if all(question.sentence != other.sentence for _, other in kept):
        insort(kept, (key, question), key=lambda pair: pair[0])
        del kept[count:]


def template_for(
    label: str,
    description: str = "",
    worked: Sequence[Example] = (),
    template: str | None = None,
    answer_format: str = FORMAT,
) -> str:
    """The wording of the prompts about one type; `answers.render_prompt(question, template_for(...))` fills it.

    `template` holds {{SCHEMA}} and {{SENTENCE}}, and {{DESCRIPTION}} and {{EXAMPLES}} where it shows those. DataError
    for worked examples of another type and for text with a placeholder in it.
    """
    if any(example.types != (label,) for example in worked):
        raise DataError(f"{label!r}: a worked example is about another type; give those of this type")
    module = answers.FORMATS[answer_format]
    return module.put_question(template or module.DEFAULT_TEMPLATE, description or plain_description(label), worked)


def wording(question: Example, template: str | None = None, known: Mapping[str, str] | None = None) -> str | None:
    """The template of a question: `template` in a format of whole sentences, else `known` for its type.

    A type that is not known is described, without worked examples, in the wording of `template`.
    """
    if not answers.one_type(question.format):
        return template
    [label] = question.types
    return (known or {}).get(label) or template_for(label, describe(label), (), template, question.format)


@dataclass(frozen=True, slots=True)
class Wordings:
    """Dataset -> type -> template, and the sentences that the templates show."""

    templates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shown: frozenset[str] = frozenset()

    def of(self, example: Example) -> str | None:
        """The template of a question, None where nothing is known of its type."""
        by_type = self.templates.get(example.dataset)
        return by_type and by_type.get(example.types[0])
