r"""The JSON answer format of ReasoningNER: a chain of thought, then `{"entities": {type: [names]}}`.

    <think>
    "Naloxone" is a chemical.
    </think>
    {
      "entities": {
        "chemical": [
          "Naloxone"
        ]
      }
    }

`parse(render_answer(example))` gives back the entities, sorted by type. `parse` reads what a model wrote: it never
raises, and its time is linear in the length of the completion.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

from recipe.answers.json_grammar import Grammar, Part, rules, whole_facts
from recipe.answers.json_text import Finder, Pairs, block, first_of, layout, quote, that_can_be_read, whole_object
from recipe.answers.no_name import says_none
from recipe.answers.think import with_reasoning
from recipe.core.entities import Answer, Entity, Example, normalize_type

# The wording is ours; a checkpoint trained on another wording brings its own with --prompt-template. It does not ask
# for reasoning: SFT teaches that, so that the runs with and without a chain of thought differ in the answers alone.
DEFAULT_TEMPLATE = """\
You are an information extraction assistant. Find the named entities in the sentence below.
Use only these entity types:
{{SCHEMA}}
Answer with JSON of this form, each name copied exactly from the sentence, types without an entity left out:
{
  "entities": {
    "type": ["name", ...]
  }
}
Sentence: {{SENTENCE}}"""


# --------------------------------------------------------------------------------------------------------- answer


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for reasoning that holds a think tag, which would end the block early."""
    return render_entities(example.entities, example.reasoning)


def surely_read(example: Example) -> bool:
    """True where names are of characters that are seen and types are normalised: JSON gives those back as they are."""
    return all(plain(entity.name) and is_type(entity.type) for entity in example.entities)


def plain(name: str) -> bool:
    """True for a name of characters that are seen."""
    return name.isprintable() and bool(name.strip())


@lru_cache(maxsize=1024)
def is_type(label: str) -> bool:
    """True for a type that is normalised and of characters that are seen."""
    return label.isprintable() and normalize_type(label) == label


def render_entities(entities: Iterable[Entity], reasoning: str | None = None) -> str:
    """The completion that names these entities. Types are sorted; names keep their order."""
    return with_reasoning(layout(entities_block(entities)), reasoning)


def entities_block(entities: Iterable[Entity]) -> str:
    """The entities' part of an answer."""
    by_type: dict[str, list[str]] = {}
    for entity in entities:
        by_type.setdefault(entity.type, []).append(quote(entity.name))
    return block("entities", sorted(by_type.items()))


def grammar(
    types: Sequence[str], text: str | None = None, reasoning: bool = False, _relation_types: Sequence[str] = ()
) -> Grammar:
    """What holds decoding to the layout; see `recipe.answers.json_grammar.rules`."""
    parts = (Part("entities", tuple(types)),)
    return Grammar(rules(parts, text, reasoning), '"entities":', lambda cut: render_entities(whole_facts(cut)[0]))


def bare_types(example: Example) -> str:
    """An answer of every type and no name."""
    return json.dumps({"entities": {label: [] for label in example.types}}, indent=2)


# ---------------------------------------------------------------------------------------------------------- parse


def parse(completion: str, example: Example | None = None) -> Answer:
    """Read a completion: reasoning, entities, and whether it kept the layout.

    Repaired, because the meaning is plain: a code fence, text around the JSON, a think block that was opened by the
    prompt or never closed, a string or null for a list of names, a word for none, a list under `entities` with a name
    and a type in each item, a number as a name, a repeated key. Of several answers the last whole one counts. Anything
    else is unparsable.
    """
    reasoning, body, closed = _FINDER.split(completion)
    by_type = laid_out(whole_object(body, ("entities",))) if closed else None
    if by_type is not None:
        entities = [Entity(name, label) for label, names in by_type for name in names]
        types = tuple([label for label, _ in by_type])
        return Answer(that_can_be_read(entities, body), reasoning, parsed=True, layout=True, types=types)
    read = _FINDER.last(body)
    if read is None:
        return Answer(reasoning=reasoning)
    return Answer(that_can_be_read(read.said, body), reasoning, parsed=True)


def laid_out(whole: Sequence[Pairs] | None) -> list[tuple[str, list[str]]] | None:
    """Normalised types with their names where the first object is `{str: [str, ...]}`; else None."""
    if whole is None:
        return None
    for _, names in whole[0]:
        if type(names) is not list or not {*map(type, names)} <= {str}:
            return None
    return [(normalize_type(label), names) for label, names in whole[0]]


def read_entities(value: Pairs) -> tuple[Entity, ...] | None:
    """All entities of a decoded answer in their order, or None where the meaning is not plain."""
    parts: list[list[Entity] | None] = []
    for inner in (inner for key, inner in value if key == "entities"):
        if isinstance(inner, Pairs):
            parts.append(_from_mapping(inner))
        else:
            parts += map(_from_item, inner) if isinstance(inner, list) else [None]
    return None if None in parts else tuple(entity for part in parts for entity in part)


_FINDER = Finder(("entities",), read_entities)
parts = _FINDER.parts


def _from_mapping(pairs: Sequence[tuple[str, object]]) -> list[Entity] | None:
    """`{"person": ["A", "B"], "place": "C", "group": null, "event": "None"}`"""
    found = []
    for label, names in pairs:
        if names is None or (isinstance(names, str) and says_none(names)):
            names = []
        elif isinstance(names, str):
            names = [names]
        if not isinstance(names, list) or isinstance(names, Pairs) or not all(isinstance(n, str) for n in names):
            return None
        label = normalize_type(label)  # once, or a long type with many names would cost the square of its length
        found += [Entity(str(name), label) for name in names]
    return found


def _from_item(item: object) -> list[Entity] | None:
    """`{"name": "A", "type": "person"}`, `{"text": "A", "label": "person"}` or `{"person": ["A"]}` in a list."""
    if not isinstance(item, Pairs):
        return None
    fields = dict(item)
    name, label = first_of(fields, ("name", "text", "entity")), first_of(fields, ("type", "label"))
    if isinstance(name, str) and isinstance(label, str):
        return [Entity(str(name), normalize_type(label))]
    return _from_mapping(item) if name is None and label is None else None
