"""What a teacher is asked to annotate a text, and a judge about an annotated row; prompts.yaml has the words.

    annotation_messages(row, "gold_withheld")   # ({"role": "system", ...}, {"role": "user", ...})
    judge_messages(record)                      # the same, for a record of validate.jsonl

Each text stands between two marked lines, whose mark only this row has; teacher and judge are told that nothing in
between is an instruction. Gold that guides the teacher comes after the text. The words for an answer format are its
own, so names, relations and events are asked about in what the field calls them.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from recipe.answers import render_answer, render_prompt
from recipe.core.entities import DataError
from recipe.cot.facts import asked, of_fields
from recipe.cot.row import Row, digest

GUIDED, WITHHELD, PLAIN = "gold_guided", "gold_withheld", "plain"

_WORDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
FORMATS = tuple(_WORDS["formats"])  # those that a row can be annotated in
_GUIDE = "\n" + _WORDS["guide"]


@dataclass(frozen=True, slots=True)
class Wording:
    """The prompts for an answer format, and what that finds (`facts`) and compares with gold (`counted`), in words."""

    system: str
    given_types: str
    open_types: str
    judge_system: str
    facts: str
    counted: str

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """What a judge sees: the name of each part, and the field that it is from."""
        return ("types", "types"), ("text", "sentence"), ("reasoning", "reasoning"), (self.facts, "entities")

    # The settings of a step hold the digest of its prompt's wording.

    @property
    def of_annotation(self) -> str:
        """The digest of what a teacher is asked."""
        return digest(self.system, self.given_types, self.open_types, _GUIDE)

    @property
    def of_judge(self) -> str:
        """The digest of what a judge is asked."""
        return digest(self.judge_system, repr(self.parts))


@functools.cache
def wording(name: str) -> Wording:
    """The prompts for an answer format. DataError for one that prompts.yaml has no words for."""
    own = _WORDS["formats"].get(name)
    if own is None:
        raise DataError(f"answer format {name}: no teacher can be asked for it; name one of {', '.join(FORMATS)}")

    def said(text: str) -> str:
        return re.sub("[A-Z]+", lambda word: own.get(word[0], word[0]), text)

    return Wording(
        said(_WORDS["system"]),
        own["given_types"] + own["answer"] + _WORDS["text"],
        own["open_types"] + own["answer"] + _WORDS["text"],
        said(_WORDS["judge_system"]),
        own["FACTS"],
        own["COUNTED"],
    )


def annotation_messages(row: Row, mode: str) -> tuple[dict[str, str], ...]:
    """The messages that ask about a row. `mode`: GUIDED shows the gold, the others do not."""
    words, example = wording(row.format), row.example
    template = (words.open_types if row.types is None else words.given_types).replace("MARK", row.id[:8])
    prompt = render_prompt(replace(example, entities=(), relations=()), template)
    if mode == GUIDED:
        prompt += _GUIDE.format(gold=render_answer(example))
    return ({"role": "system", "content": words.system}, {"role": "user", "content": prompt})


def judge_messages(record: Mapping) -> tuple[dict[str, str], ...]:
    """The messages that ask about a record of validate.jsonl."""
    mark = digest("judge", record["id"])[:8]  # not the one that the teacher has seen
    example = asked(record)
    words, (entities, relations) = wording(example.format), of_fields(record)
    found = render_answer(replace(example, entities=entities, relations=relations))
    shown = {**record, "types": render_prompt(example, "{{SCHEMA}}"), "entities": found}
    parts = (f"[{name} {mark}]\n{shown[key]}\n[end of {name} {mark}]" for name, key in words.parts)
    return ({"role": "system", "content": words.judge_system}, {"role": "user", "content": "\n".join(parts)})
