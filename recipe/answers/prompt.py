"""The wording of a prompt: placeholders are filled in one pass, so that text that comes in is not scanned."""

import json
import re
from functools import lru_cache

from recipe.core.entities import DataError, Example

_PLACEHOLDER = re.compile(r"\{\{(SCHEMA|SENTENCE)\}\}")


def check_template(template: str) -> str:
    """The template itself, if it holds each placeholder; DataError otherwise."""
    for name in ("{{SCHEMA}}", "{{SENTENCE}}"):
        if name not in template:
            raise DataError(f"prompt template: no {name} in it; put both {{{{SCHEMA}}}} and {{{{SENTENCE}}}} there")
    return template


def fill(example: Example, template: str, add_source: bool = False, schema: str | None = None) -> str:
    """The prompt for one sentence; with `add_source`, a line that names its dataset goes first.

    `schema` are the types as the prompt has them; None for all types in one list.
    """
    fields = {"SCHEMA": schema or types_in_json(tuple(example.types)), "SENTENCE": example.sentence}
    prompt = _PLACEHOLDER.sub(lambda match: fields[match.group(1)], template)
    return f"Source: {example.dataset}\n{prompt}" if add_source and example.dataset else prompt


def both_schemas(example: Example) -> str:
    """The types of entities or events, and those of relations or roles, a line each."""
    return f"{types_in_json(example.entity_types)}\n{types_in_json(example.relation_types)}"


@lru_cache(maxsize=1024)  # a dataset has few
def types_in_json(types: tuple[str, ...]) -> str:
    """`["city", "person"]`"""
    return json.dumps(list(types), ensure_ascii=False)
