"""What the reward functions share: their settings, a completion beside its gold, and the parts that all have."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from recipe import answers
from recipe.core.entities import Answer, DataError, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.core.metrics import RULES, Counts

# verl hands these to every reward function of a run that has a reward model; these need none.
FROM_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})


# -------------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `reward_kwargs` may say to every reward. Numbers are at least 0; DataError for a value that makes no sense.

    A reward adds its own weights. `wrong_weight` costs, every other weight pays.
    """

    format_weight: float = 0.0
    length_weight: float = 0.0
    reasoned_weight: float = 0.0
    matching: str = "strict"
    empty_value: float = 1.0
    repaired_value: float = 1.0
    length_target: float = 100.0
    length_limit: float = 400.0
    UNPAID: ClassVar[str]  # what is wrong and what to do where no weight pays

    def __post_init__(self) -> None:
        if not isinstance(self.matching, str) or self.matching not in RULES:
            raise DataError(f"reward_kwargs.matching: {self.matching!r} is no matching rule; one of {', '.join(RULES)}")
        names = [field.name for field in fields(self) if field.name != "matching"]
        for name in names:
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("empty_value", "repaired_value"):
            if getattr(self, name) > 1:
                raise DataError(f"reward_kwargs.{name}: {getattr(self, name)} is a share of what is paid; at most 1")
        if self.length_limit <= self.length_target:
            raise DataError(
                f"reward_kwargs.length_limit: {self.length_limit} words; must be above length_target, "
                f"which is {self.length_target}"
            )
        if not any(getattr(self, name) for name in names if name.endswith("_weight") and name != "wrong_weight"):
            raise DataError(f"reward_kwargs: {self.UNPAID}")


def _number(name: str, value: object) -> float:
    """The value as a float, also where YAML that another program wrote holds it as a string."""
    try:
        converted = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        converted = math.nan
    if not math.isfinite(converted) or converted < 0:
        raise DataError(f"reward_kwargs.{name}: {value!r} is not a finite number of at least 0")
    return converted


def check_settings(config: type[Settings], reward_kwargs: Mapping[str, Any]) -> Settings:
    """The settings that `reward_kwargs` stand for; DataError for an unknown key or a value out of range.

    For the checks before a run: inside it an exception surfaces as a replay-buffer error far from its cause.
    """
    if not isinstance(reward_kwargs, Mapping):
        raise DataError(f"reward_kwargs: {reward_kwargs!r} is not a mapping; leave the key out to use the defaults")
    known = [field.name for field in fields(config)]
    for name in reward_kwargs:
        if name not in known:
            raise DataError(f"reward_kwargs.{name}: no such setting; there are {', '.join(known)}")
    return config(**reward_kwargs)


# ------------------------------------------------------------------------------------------------------------ case


@dataclass(frozen=True, slots=True)
class Case:
    """One completion beside its gold, and the parts that every reward has."""

    config: Settings
    data_source: str
    completion: str
    example: Example
    answer: Answer

    @property
    def words(self) -> int:
        """Of the reasoning."""
        return len((self.answer.reasoning or "").split())

    @property
    def form(self) -> float:
        """1 for a closed, non-empty think block and then an answer in the layout."""
        return float(self.answer.layout and self.words > 0)

    @property
    def length(self) -> float:
        """Where `form` is, 1 up to `length_target` words, 0 from `length_limit` on, a straight line between them."""
        target, limit = self.config.length_target, self.config.length_limit
        return self.form * min(1.0, max(0.0, (limit - self.words) / (limit - target)))

    @property
    def ended(self) -> bool:
        """True if the answer keeps the layout and is the end: nothing but one line break follows.

        A reward sees the decoded text without its special tokens, not why generation stopped. White space without end
        is what such text shows of an answer that doesn't end.
        """
        return self.answer.layout and len(self.completion) - len(self.completion.rstrip()) <= 1

    def table(
        self, score: float, f1: float, parts: Mapping[str, float], grounds: float, ended: bool, counts: Counts
    ) -> dict[str, float | str]:
        """What verl is given: the score, `parts` that are the reward's own, and what all rewards say."""
        return {
            "score": score,
            "acc": f1,  # the name by which verl finds the core validation metric
            "f1": f1,
            **parts,
            "reasoned": grounds,
            "ended": float(ended),
            "n_match": float(counts.matched),
            "n_pred": float(counts.predicted),
            "n_gold": float(counts.gold),
            "reasoning_length": float(self.words),
            "unparsable": float(not self.answer.parsed),
            "data_source": str(self.data_source),  # verl's dumps do not say it otherwise
        }


def read_case(
    config: type[Settings],
    reward_kwargs: Mapping[str, Any],
    data_source: str,
    solution_str: object,
    ground_truth: object,
    read: Callable[[str], Example] = from_ground_truth,
    reasoning: Callable[[str], str | None] = lambda completion: answers.parts(completion, Example("", ()))[0],
) -> Case:
    """A completion as a reward looks at it; `read` makes the example of a ground truth.

    Whatever a model writes can be scored. A ground truth that can't be read is not the model's fault: the row's answers
    all name nothing and are unparsable, so that nothing is learned from them, and the log says why; of the completion
    the `reasoning` alone is known. DataError only for `reward_kwargs` that are wrong, which would spoil the run as a
    whole.
    """
    settings = check_settings(config, {name: value for name, value in reward_kwargs.items() if name not in FROM_VERL})
    completion = solution_str if isinstance(solution_str, str) else ""
    try:
        example = read(ground_truth)
        answer = answers.parse(completion, example)
    except DataError as error:
        logging.getLogger(__name__).error("%s (data_source %s)", error, data_source)
        example, answer = Example("", ()), Answer(reasoning=reasoning(completion) or None)
    return Case(settings, data_source, completion, example, answer)
