"""The answer formats: how a model is asked about a sentence, what it is to write, and how that is read.

    json            a think block, then {"entities": {type: [names]}}         ReasoningNER
    bio             every word of the sentence with its tag                   ReCoT-NER
    entity_tags     a think block, then <entity>a, b</entity>, a type a time  RL Meets NER

`Example.format` names the format that a sentence is asked in; these functions do what it says. Any format works with
any stage, and all are scored alike.
"""

from __future__ import annotations

from types import ModuleType

from recipe.answers import bio, entity_tags, json_answer
from recipe.answers.think import parts as _parts
from recipe.core.entities import Answer, DataError, Example

FORMATS: dict[str, ModuleType] = {"json": json_answer, "bio": bio, "entity_tags": entity_tags}


def check_format(name: str) -> str:
    """The name itself; DataError for one that is no format's."""
    if name not in FORMATS:
        raise DataError(f"answer format {name!r}: not known; name one of {', '.join(FORMATS)}")
    return name


def render_prompt(example: Example, template: str | None = None, add_source: bool = False) -> str:
    """The user message for one sentence, in the wording of `template` or, for None, the format's own."""
    module = FORMATS[example.format]
    return module.render_prompt(example, template or module.DEFAULT_TEMPLATE, add_source)


def render_answer(example: Example) -> str:
    """The completion to train on; DataError for what the format can't say."""
    if example.format == "json":
        return json_answer.render_answer(example.entities, example.reasoning)
    return FORMATS[example.format].render_answer(example)


def parse(completion: str, example: Example) -> Answer:
    """Read a completion about an example, of which the gold is not looked at. Never raises."""
    if example.format == "json":
        return json_answer.parse(completion)
    return FORMATS[check_format(example.format)].parse(completion, example)


def parts(completion: str, example: Example) -> tuple[str, str]:
    """The text of the reasoning, closed or not, and that of the answer; either may be empty. Lengths are of these."""
    return json_answer.parts(completion) if example.format == "json" else _parts(completion)
