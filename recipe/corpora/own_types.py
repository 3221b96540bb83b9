"""Relations or events of a record that says its own types, as rows with reasoning do and rows for a teacher may.

    {"sentence": "Ada left Rome", "schema": ["person", "city"], "relation_types": ["left"],
     "entities": [{"text": "Ada", "label": "person"}, {"text": "Rome", "label": "city"}],
     "relations": [{"head": {"name": "Ada"}, "type": "left", "tail": {"name": "Rome"}}]}
    {"sentence": "Ada fled Rome", "schema": ["flight"], "relation_types": ["who"],
     "events": [{"type": "flight", "trigger": "fled", "arguments": [{"name": "Ada", "role": "who"}]}]}

They are written as InstructUIE writes them. `schema` has the types of entities or of events, `relation_types` those of
relations or the roles of arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from recipe.core.entities import IGNORED_TYPES, Example, clean_types, normalize_type
from recipe.corpora import instructuie_events, instructuie_relations
from recipe.corpora.annotated import example_of
from recipe.corpora.reading import Reading
from recipe.corpora.records import NO_RELATION

RELATION_TYPES = "relation_types"
_LAYOUT_OF = {"events": instructuie_events.LAYOUT, "relations": instructuie_relations.LAYOUT}


def task_of(record: Mapping[str, object]) -> str:
    """What a record has: "ee" for one with events, "re" for one with relations, else "ner"."""
    key = next((key for key in _LAYOUT_OF if record.get(key) is not None), None)
    return _LAYOUT_OF[key].TASKS[0] if key else "ner"


def example_with(
    record: Mapping[str, object],
    task: str,
    types: Sequence[str] | None,
    relation_types: Sequence[str] | None,
    source: str,
    reading: Reading,
) -> Example:
    """The example of a record of relations ("re") or events ("ee"). Raises Wrong.

    `types` (of entities or events) and `relation_types` are normalised; None: those that the record's gold has, which
    may be none.
    """
    layout = next(each for each in _LAYOUT_OF.values() if task in each.TASKS)
    annotated = layout.read(record, None)
    if types is None:
        types = sorted({normalize_type(mention.label) for mention in annotated.mentions} - {""})
    if relation_types is None:
        relation_types = clean_types(tie.label for tie in annotated.ties)
    relation_types = tuple(label for label in relation_types if label not in IGNORED_TYPES | NO_RELATION)
    annotated = replace(annotated, types=tuple(types))
    example, _ = example_of(annotated, (), {}, source, reading, relation_types, tied=True)
    assert example is not None, "no record is left out of these layouts"
    return example
