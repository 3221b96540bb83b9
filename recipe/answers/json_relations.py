r"""Relations in JSON: a chain of thought, then `{"relations": {type: [[head, tail], ...]}}`.

    <think>
    "Ada" stands in the relation born in to "London".
    </think>
    {
      "relations": {
        "born in": [
          ["Ada", "London"]
        ]
      }
    }

It says no entity types, so relations are scored without them (`boundary`). recipe.answers.json_entities_relations has
both. `parse(render_answer(example))` gives back the relations, sorted by type. `parse` never raises, and its
time is linear in the length of the completion.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from recipe.answers.json_answer import is_type, plain
from recipe.answers.json_grammar import Grammar, Part, rules, whole_facts
from recipe.answers.json_text import (
    Finder,
    Pairs,
    block,
    first_of,
    layout,
    name_of,
    quote,
    that_can_be_read,
    whole_object,
)
from recipe.answers.no_name import says_none
from recipe.answers.think import with_reasoning
from recipe.core.entities import Answer, Entity, Example, Relation, normalize_type
from recipe.core.metrics import RELATION_RULES as RULES  # noqa: F401 - of the format's contract

TASK, SUBJECT = "re", "Relations"

# The wording is ours, as in recipe.answers.json_answer.
DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Find the relations between spans of the sentence below.
Use only these relation types:
{{SCHEMA}}
Answer with JSON of this form, head and tail copied exactly from the sentence, types without a relation left out:
{
  "relations": {
    "type": [["head", "tail"], ...]
  }
}
Sentence: {{SENTENCE}}"""

_HEADS, _TAILS, _TYPES = ("head", "subject", "subj"), ("tail", "object", "obj"), ("type", "relation", "label")


def of_task(example: Example) -> Example:
    """What of a sentence this format asks for: relations alone."""
    return replace(example, types=example.relation_types, entities=())


# --------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for reasoning that holds a think tag, which would end the block early."""
    return render_relations(example.relations, example.reasoning)


def surely_read(example: Example) -> bool:
    """True where names are of characters that are seen and types are normalised: JSON gives those back as they are."""
    return all(plain(each.head.name) and plain(each.tail.name) and is_type(each.type) for each in example.relations)


def render_relations(relations: Iterable[Relation], reasoning: str | None = None) -> str:
    """The completion that names these relations. Types are sorted; pairs keep their order."""
    return with_reasoning(layout(relations_block(relations)), reasoning)


def relations_block(relations: Iterable[Relation]) -> str:
    """The relations' part of an answer."""
    by_type: dict[str, list[str]] = {}
    for each in relations:
        by_type.setdefault(each.type, []).append(f"[{quote(each.head.name)}, {quote(each.tail.name)}]")
    return block("relations", sorted(by_type.items()))


def template_reasoning(example: Example) -> str:
    """A rationale built from the gold alone, for runs without chain-of-thought data. It teaches the format only."""
    if not example.relations:
        return "No two spans of the sentence stand in one of these relations."
    # Once each, in the order in which the answer has them.
    named = dict.fromkeys(
        (each.head.name, each.type, each.tail.name) for each in sorted(example.relations, key=lambda each: each.type)
    )
    return " ".join(f'"{head}" stands in the relation {label} to "{tail}".' for head, label, tail in named)


def grammar(
    types: Sequence[str], text: str | None = None, reasoning: bool = False, _relation_types: Sequence[str] = ()
) -> Grammar:
    """What holds decoding to the layout; see `recipe.answers.json_grammar.rules`."""
    parts = (Part("relations", tuple(types), pairs=True),)
    return Grammar(rules(parts, text, reasoning), '"relations":', lambda cut: render_relations(whole_facts(cut)[1]))


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example | None = None) -> Answer:
    """Read a completion: reasoning, relations, and whether it kept the layout.

    Repaired, because the meaning is plain: what recipe.answers.json_answer repairs around the JSON; under a type one
    pair alone, pairs as objects of head and tail (subject and object), null or a word for none; under `relations` a
    list of objects of head, type and tail, or of such triples. A head or tail may be an object with a name. Of several
    answers the last whole one counts. Anything else is unparsable.
    """
    reasoning, body, closed = _FINDER.split(completion)
    by_type = laid_out(whole_object(body, ("relations",))) if closed else None
    if by_type is not None:
        types = tuple([label for label, _ in by_type])
        return Answer((), reasoning, True, True, types, that_can_be_read(of_pairs(by_type), body))
    read = _FINDER.last(body)
    if read is None:
        return Answer(reasoning=reasoning)
    return Answer((), reasoning, True, relations=that_can_be_read(read.said, body))


def laid_out(whole: Sequence[Pairs] | None) -> list[tuple[str, list[list[str]]]] | None:
    """Normalised types with their pairs where the last object is `{str: [[str, str], ...]}`; else None."""
    if whole is None:
        return None
    for _, pairs in whole[-1]:
        if type(pairs) is not list or not all(
            type(pair) is list and [*map(type, pair)] == [str, str] for pair in pairs
        ):
            return None
    return [(normalize_type(label), pairs) for label, pairs in whole[-1]]


def of_pairs(by_type: Iterable[tuple[str, Iterable[Sequence[str]]]]) -> Iterator[Relation]:
    """The relations of types with pairs of names; nobody says what their mentions are."""
    return (Relation(Entity(head, ""), label, Entity(tail, "")) for label, pairs in by_type for head, tail in pairs)


def read_relations(value: Pairs) -> tuple[Relation, ...] | None:
    """All relations of a decoded answer in their order, or None where the meaning is not plain."""
    found: list[list[Relation] | None] = []
    for inner in (inner for key, inner in value if key == "relations"):
        if isinstance(inner, Pairs):
            found += [_of_type(*item) for item in inner]
        else:
            found += map(_from_item, inner) if isinstance(inner, list) else [None]
    return None if None in found else tuple(relation for each in found for relation in each)


_FINDER = Finder(("relations",), read_relations)
parts = _FINDER.parts


def _of_type(label: str, pairs: object) -> list[Relation] | None:
    """`("born in", [["Ada", "London"], {"head": "Bob", "tail": "Rome"}])`"""
    if pairs is None or (isinstance(pairs, str) and says_none(pairs)):
        pairs = []
    if not isinstance(pairs, list):
        return None
    if _pair(pairs) and not all(map(_pair, pairs)):  # one pair alone
        pairs = [pairs]
    ends = list(map(_pair, pairs))
    return None if None in ends else list(of_pairs([(normalize_type(label), ends)]))


def _pair(value: object) -> tuple[str, str] | None:
    """Head and tail of `["Ada", "London"]` or of an object that has both."""
    if isinstance(value, Pairs):
        fields = dict(value)
        ends = [name_of(first_of(fields, keys)) for keys in (_HEADS, _TAILS)]
    else:
        ends = [name_of(each) for each in value] if isinstance(value, list) and len(value) == 2 else [None]
    return None if None in ends else tuple(ends)


def _from_item(item: object) -> list[Relation] | None:
    """`{"head": "Ada", "type": "born in", "tail": "Rome"}`, `["Ada", "born in", "Rome"]` or `{"born in": [...]}`."""
    if isinstance(item, Pairs):
        label, ends = first_of(dict(item), _TYPES), _pair(item)
        if ends is None and label is None:
            found = [_of_type(*each) for each in item]
            return None if None in found else [relation for each in found for relation in each]
    elif isinstance(item, list) and len(item) == 3:
        label, ends = item[1], _pair(item[::2])
    else:
        return None
    if not isinstance(label, str) or ends is None:
        return None
    return list(of_pairs([(normalize_type(label), [ends])]))
