"""What the reward functions share: their settings, a completion beside its gold, and the parts that all have."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from recipe import answers
from recipe.answers.think import OPEN
from recipe.core.align import occurs
from recipe.core.entities import Answer, DataError, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.core.metrics import Counts
from recipe.corpora.sentence_overlap import words

# verl hands these to every reward function of a run that has a reward model; these need none.
FROM_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})


# -------------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `reward_kwargs` may say to every reward. Numbers are at least 0; DataError for a value that makes no sense.

    A reward adds its own weights. Those of `COSTS` cost, every other weight pays.
    """

    format_weight: float = 0.0
    length_weight: float = 0.0
    reasoned_weight: float = 0.0
    matching: str | None = None  # the usual rule of the row's format: `strict` for names
    empty_value: float = 1.0
    repaired_value: float = 1.0
    length_target: float = 100.0
    length_limit: float = 400.0
    overlap_value: float = 0.0
    invented_weight: float = 0.0
    length_by_f1: bool = False
    COSTS: ClassVar[frozenset[str]] = frozenset({"wrong_weight", "invented_weight"})
    UNPAID: ClassVar[str]  # what is wrong and what to do where no weight pays

    def __post_init__(self) -> None:
        if self.matching is not None and self.matching not in (rules := answers.RULE_NAMES):
            raise DataError(f"reward_kwargs.matching: {self.matching!r} is no matching rule; one of {', '.join(rules)}")
        if not isinstance(self.length_by_f1, bool):
            raise DataError(f"reward_kwargs.length_by_f1: {self.length_by_f1!r} is neither true nor false")
        names = [field.name for field in fields(self) if field.name not in ("matching", "length_by_f1")]
        for name in names:
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("empty_value", "repaired_value", "overlap_value"):
            if getattr(self, name) > 1:
                raise DataError(f"reward_kwargs.{name}: {getattr(self, name)} is a share of what is paid; at most 1")
        if self.length_limit <= self.length_target:
            raise DataError(
                f"reward_kwargs.length_limit: {self.length_limit} words; must be above length_target, "
                f"which is {self.length_target}"
            )
        if not any(getattr(self, name) for name in names if name.endswith("_weight") and name not in self.COSTS):
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

    def length(self, f1: float) -> float:
        """Where `form` is, 1 up to `length_target` words, 0 from `length_limit` on, a straight line between them.

        With `length_by_f1`, that times `f1`.
        """
        target, limit = self.config.length_target, self.config.length_limit
        short = self.form * min(1.0, max(0.0, (limit - self.words) / (limit - target)))
        return short * f1 if self.config.length_by_f1 else short

    @property
    def invented(self) -> float:
        """The share of the answer's names that the sentence doesn't hold, in [0, 1]; 0 where no sentence is known.

        A share, so that a score is bounded: hundreds of invented names in one rollout would outweigh its whole group.
        """
        names = Counter(each.name for fact in self.answer.facts for each in fact.mentions)
        if not names or not self.example.sentence:
            return 0.0
        absent = sum(times for name, times in names.items() if not occurs(self.example.sentence, name))
        return absent / names.total()

    @property
    def ended(self) -> bool:
        """True if the answer keeps the layout and is the end: nothing but one line break follows.

        A reward sees the decoded text without its special tokens, not why generation stopped. White space without end
        is what such text shows of an answer that doesn't end.
        """
        return self.answer.layout and len(self.completion) - len(self.completion.rstrip()) <= 1

    def table(
        self,
        score: float,
        f1: float,
        paid: float,
        parts: Mapping[str, float],
        grounds: float,
        ended: bool,
        counts: Counts,
        credit: float,
        invented: float,
    ) -> dict[str, float | str]:
        """What verl is given: the score, `parts` that are the reward's own, and what all rewards say."""
        silent = self.answer.parsed and not self.answer.facts
        return {
            "score": score,
            "acc": f1,  # the name by which verl finds the core validation metric
            "f1": f1,
            "paid": paid,
            **parts,
            "reasoned": grounds,
            "ended": float(ended),
            "n_match": float(counts.matched),
            "n_pred": float(counts.predicted),
            "n_gold": float(counts.gold),
            "reasoning_length": float(self.words),
            "unparsable": float(not self.answer.parsed),
            "names_nothing": float(silent and counts.gold > 0),
            "right_silence": float(silent and counts.gold == 0),
            "nothing_to_find": float(counts.gold == 0),
            "overlap": credit,
            "invented": invented,
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
    try:
        answers.rule_of(example.format, settings.matching)
    except DataError as error:
        raise DataError(f"reward_kwargs.matching: {error}") from error
    return Case(settings, data_source, completion, example, answer)


def reasoned(answer: Answer) -> float:
    """The share of the answer's facts whose names and type the reasoning has, each word of them, in [0, 1].

    1 for an answer that names nothing, after any reasoning; 0 without reasoning, and for reasoning that opens a think
    block itself. In scripts without spaces a character is a word. After the rule by which ReasoningNER validates its
    data: the reasoning names what it extracts.
    """
    if not answer.layout or not answer.reasoning or OPEN in answer.reasoning:
        return 0.0
    facts, said = set(answer.facts), set(words(answer.reasoning))
    held = sum(said.issuperset(words(" ".join(fact.texts))) for fact in facts)
    return held / len(facts) if facts else 1.0
