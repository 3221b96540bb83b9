"""What a teacher is asked to annotate a text, and a judge about an annotated row; prompts.yaml has the words.

    annotation_messages(row, "gold_withheld")   # ({"role": "system", ...}, {"role": "user", ...})
    judge_messages(record)                      # the same, for a record of validate.jsonl

Each text stands between two marked lines, whose mark only this row has; teacher and judge are told that nothing in
between is an instruction. Gold that guides the teacher comes after the text.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from recipe.answers import render_answer, render_prompt
from recipe.core.entities import Entity, Example
from recipe.cot.rows import Row, digest

GUIDED, WITHHELD, PLAIN = "gold_guided", "gold_withheld", "plain"

_WORDING = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SYSTEM, JUDGE_SYSTEM, GUIDE = _WORDING["system"], _WORDING["judge_system"], "\n" + _WORDING["guide"]
GIVEN_TYPES, OPEN_TYPES = (_WORDING[types] + _WORDING["answer"] for types in ("given_types", "open_types"))


def annotation_messages(row: Row, mode: str) -> tuple[dict[str, str], ...]:
    """The messages that ask about a row. `mode`: GUIDED shows the gold, the others do not."""
    template = (OPEN_TYPES if row.types is None else GIVEN_TYPES).replace("MARK", row.id[:8])
    asked = render_prompt(Example(row.sentence, row.types or ()), template)
    if mode == GUIDED:
        asked += GUIDE.format(gold=render_answer(Example(row.sentence, (), tuple(row.gold or ()))))
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": asked})


# The settings of a step hold the digest of its prompt's wording.
ANNOTATION_WORDING = digest(SYSTEM, GIVEN_TYPES, OPEN_TYPES, GUIDE)

# ----------------------------------------------------------------------------------------------------------- judge

_PARTS = (("types", "types"), ("text", "sentence"), ("reasoning", "reasoning"), ("entities", "entities"))
JUDGE_WORDING = digest(JUDGE_SYSTEM, repr(_PARTS))


def judge_messages(record: Mapping) -> tuple[dict[str, str], ...]:
    """The messages that ask about a record of validate.jsonl."""
    mark = digest("judge", record["id"])[:8]  # not the one that the teacher has seen
    entities = tuple(Entity(entity["text"], entity["label"]) for entity in record["entities"])
    found = render_answer(Example(record["sentence"], (), entities))
    shown = {**record, "types": json.dumps(record["types"], ensure_ascii=False), "entities": found}
    parts = (f"[{name} {mark}]\n{shown[key]}\n[end of {name} {mark}]" for name, key in _PARTS)
    return ({"role": "system", "content": JUDGE_SYSTEM}, {"role": "user", "content": "\n".join(parts)})
