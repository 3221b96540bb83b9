"""What the reward functions share: how `reward_kwargs` are checked, and the parts about reasoning and ending."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from recipe.answers.think import OPEN
from recipe.core.entities import Answer, DataError
from recipe.core.metrics import RULES
from recipe.corpora.sentence_overlap import words

Config = TypeVar("Config")

# verl hands these to every reward function of a run that has a reward model; these need none.
FROM_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})


def check_settings(config: type[Config], reward_kwargs: Mapping[str, Any]) -> Config:
    """The dataclass that `reward_kwargs` stand for; DataError for an unknown key or what the class itself refuses."""
    if not isinstance(reward_kwargs, Mapping):
        raise DataError(f"reward_kwargs: {reward_kwargs!r} is not a mapping; leave the key out to use the defaults")
    known = [field.name for field in fields(config)]
    for name in reward_kwargs:
        if name not in known:
            raise DataError(f"reward_kwargs.{name}: no such setting; there are {', '.join(known)}")
    return config(**reward_kwargs)


def check_values(config: object) -> None:
    """Make the numbers of a reward's dataclass floats; DataError for a value that no reward can have."""
    if not isinstance(config.matching, str) or config.matching not in RULES:
        raise DataError(f"reward_kwargs.matching: {config.matching!r} is no matching rule; one of {', '.join(RULES)}")
    for name in (field.name for field in fields(config) if field.name != "matching"):
        object.__setattr__(config, name, number(name, getattr(config, name)))
    for name in ("empty_value", "repaired_value"):
        if getattr(config, name) > 1:
            raise DataError(f"reward_kwargs.{name}: {getattr(config, name)} is a share of what is paid; at most 1")
    if config.length_limit <= config.length_target:
        raise DataError(
            f"reward_kwargs.length_limit: {config.length_limit} words; must be above length_target, "
            f"which is {config.length_target}"
        )


def number(name: str, value: object) -> float:
    """The value as a finite number of at least 0, also where YAML that another program wrote holds it as a string."""
    try:
        converted = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        converted = math.nan
    if not math.isfinite(converted) or converted < 0:
        raise DataError(f"reward_kwargs.{name}: {value!r} is not a finite number of at least 0")
    return converted


def shortness(words: int, target: float, limit: float) -> float:
    """1 up to `target`, 0 from `limit` on, a straight line between them."""
    return min(1.0, max(0.0, (limit - words) / (limit - target)))


def ends(answer: Answer, completion: str) -> bool:
    """True if the answer keeps the layout and is the end: nothing but one line break follows.

    A reward sees the decoded text without its special tokens, not why generation stopped. White space without end is
    what such text shows of an answer that doesn't end.
    """
    return answer.layout and len(completion) - len(completion.rstrip()) <= 1


def reasoned(answer: Answer) -> float:
    """The share of the answer's entities of which the reasoning has all words of the name and of the type, in [0, 1].

    1 for an answer that names nothing, after any reasoning; 0 without reasoning, and for reasoning that opens a think
    block itself. In scripts without spaces a character is a word. After the rule by which ReasoningNER validates its
    data: the reasoning names what it extracts.
    """
    if not answer.layout or not answer.reasoning or OPEN in answer.reasoning:
        return 0.0
    entities, said = set(answer.entities), set(words(answer.reasoning))
    held = sum(said.issuperset(words(f"{entity.name} {entity.type}")) for entity in entities)
    return held / len(entities) if entities else 1.0
