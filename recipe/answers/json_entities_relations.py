r"""Entities and relations in one JSON answer: `{"entities": {type: [name]}, "relations": {type: [[head, tail]]}}`.

    {
      "entities": {
        "city": [
          "London"
        ],
        "person": [
          "Ada"
        ]
      },
      "relations": {
        "born in": [
          ["Ada", "London"]
        ]
      }
    }

Head and tail have the type that the answer gives to their name, the first of several. So relations are scored with the
types of their mentions (`strict`), which rows without entity types can't be.
"""

from collections.abc import Iterable, Sequence

from recipe.answers import json_answer, json_relations
from recipe.answers.json_answer import entities_block, is_type, plain, read_entities
from recipe.answers.json_grammar import Grammar, Part, rules, whole_facts
from recipe.answers.json_relations import of_pairs, read_relations, relations_block
from recipe.answers.json_text import Finder, Pairs, layout, that_can_be_read, whole_object
from recipe.answers.prompt import both_schemas as schema  # noqa: F401 - of the format's contract
from recipe.answers.think import template_reasoning as entities_reasoning
from recipe.answers.think import with_reasoning
from recipe.core.entities import Answer, DataError, Entity, Example, Relation
from recipe.core.metrics import TYPED_RELATION_RULES as RULES  # noqa: F401 - of the format's contract
from recipe.core.text import visible

TASK, SUBJECT = "re", "Relations"

DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Find the named entities in the sentence below, and the relations between
them. Use only these entity types and these relation types:
{{SCHEMA}}
Answer with JSON of this form, each name copied exactly from the sentence, types that nothing is of left out:
{
  "entities": {
    "type": ["name", ...]
  },
  "relations": {
    "type": [["head", "tail"], ...]
  }
}
Sentence: {{SENTENCE}}"""

_KEYS = ("entities", "relations")


def of_task(example: Example) -> Example:
    """What of a sentence this format asks for: both. DataError where its source has no entity types."""
    if not example.entity_types or any(not each.type for one in example.relations for each in one.mentions):
        raise DataError(f"{example.dataset}: its relations say no entity types; ask for relations alone")
    return example


# --------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for reasoning that holds a think tag."""
    return _render(example.entities, example.relations, example.reasoning)


def _render(entities: Iterable[Entity], tied: Iterable[Relation], reasoning: str | None = None) -> str:
    return with_reasoning(layout(entities_block(entities), relations_block(tied)), reasoning)


def surely_read(example: Example) -> bool:
    """True where each name has one type, all of it is seen, and heads and tails are among the entities."""
    types = {entity.name: entity.type for entity in example.entities}
    return (
        len(types) == len({(entity.name, entity.type) for entity in example.entities})
        and all(types.get(each.name) == each.type for one in example.relations for each in one.mentions)
        and all(plain(name) and is_type(label) for name, label in types.items())
        and json_relations.surely_read(example)
    )


def template_reasoning(example: Example) -> str:
    """A rationale built from the gold alone, for runs without chain-of-thought data. It teaches the format only."""
    return f"{entities_reasoning(example)} {json_relations.template_reasoning(example)}"


def grammar(
    types: Sequence[str], text: str | None = None, reasoning: bool = False, relation_types: Sequence[str] = ()
) -> Grammar:
    """What holds decoding to the layout; see `recipe.answers.json_grammar.rules`."""
    entity_types = tuple(types)[: len(types) - len(relation_types)]
    parts = Part("entities", entity_types), Part("relations", tuple(relation_types), pairs=True)
    return Grammar(rules(parts, text, reasoning), '"entities":', lambda cut: _render(*whole_facts(cut)))


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example | None = None) -> Answer:
    """Read a completion; what is repaired, see recipe.answers.json_answer and recipe.answers.json_relations.

    An answer without one of its two parts says that there is nothing of it, and isn't the layout.
    """
    reasoning, body, closed = _FINDER.split(completion)
    whole = whole_object(body, _KEYS) if closed else None
    named, tied = json_answer.laid_out(whole), json_relations.laid_out(whole)
    if named is not None and tied is not None:
        entities = [Entity(name, label) for label, names in named for name in names]
        types = tuple([label for label, _ in (*named, *tied)])
        return _answer(entities, of_pairs(tied), body, reasoning, True, types)
    read = _FINDER.last(body)
    if read is None:
        return Answer(reasoning=reasoning)
    return _answer(*read.said, body, reasoning)


def _answer(
    entities: Iterable[Entity],
    tied: Iterable[Relation],
    body: str,
    reasoning: str | None,
    kept: bool = False,
    types: tuple[str, ...] = (),
) -> Answer:
    entities = that_can_be_read(entities, body)
    of_name: dict[str, str] = {}
    for entity in entities:
        of_name.setdefault(visible(entity.name), entity.type)

    def typed(mention: Entity) -> Entity:
        return Entity(mention.name, of_name.get(visible(mention.name), ""))

    found = (Relation(typed(one.head), one.type, typed(one.tail)) for one in that_can_be_read(tied, body))
    return Answer(entities, reasoning, True, kept, types, tuple(found))


def _read(value: Pairs) -> tuple[tuple[Entity, ...], tuple[Relation, ...]] | None:
    named, tied = read_entities(value), read_relations(value)
    return None if named is None or tied is None else (named, tied)


_FINDER = Finder(_KEYS, _read)
parts = _FINDER.parts
