"""The GRPO reward of one answer: a weighted sum of its span F1, its layout, its reasoning, and more where asked for.

    reward.custom_reward_function:
      path: pkg://reward_fns.ner
      name: compute_score
      reward_kwargs: {f1_weight: 10.0, schema_weight: 1.0}

    compute_score("bc5cdr", '<think>\nIt is a drug.\n</think>\n{"entities": {"chemical": ["Naloxone"]}}', ground_truth)
    {"score": 11.0, "acc": 1.0, "f1": 1.0, "schema": 1.0, "format": 1.0, "fidelity": 0.0, "reasoned": 0.0, "ended": 1.0,
     "n_match": 1.0, "n_pred": 1.0, "n_gold": 1.0, "reasoning_length": 4.0, "unparsable": 0.0, "data_source": "bc5cdr"}

The parts, each in [0, 1] (10 F1 + 1 schema is ReasoningNER's reward, section "RE"; the others are ours, and off):

f1      span F1 of the sentence under the rule `matching` of core.metrics; `empty_value` where there was nothing to
        find and nothing was named; 0 for an answer that can't be read. An answer that is not the layout itself, or that
        something follows, has `repaired_value` of it (1: text after the answer costs `schema` alone; the reference
        reads no such answer).
schema  1 if the answer keeps the layout and names only types of the schema.
format  1 if a closed, non-empty think block comes before an answer in that layout.
length  1 up to `length_target` words of reasoning, falling linearly to 0 at `length_limit`. Paid only where `format`
        is: no reasoning is not short reasoning.
fidelity    of a BIO answer, how far its words are the sentence's (recipe.answers.bio); 0 in the other formats, which
        don't repeat the sentence. A partial credit where hardly any answer has the whole layout yet.
reasoned    what `f1` pays, times the share of the answer's entities whose name and type the reasoning has (see
        reward_fns.settings). Being a share of `f1`, it pays nothing for silence where there is something to find.

Validation averages these over sentences, which is not the micro F1 of a dataset; that is
`2 mean(n_match) / (mean(n_pred) + mean(n_gold))`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipe import answers
from recipe.core.entities import Answer, DataError, Example, from_ground_truth
from recipe.core.metrics import Counts, count
from reward_fns.settings import FROM_VERL, check_settings, check_values, ends, reasoned, shortness


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """What `reward_kwargs` may say. Raises DataError for a value that makes no sense."""

    f1_weight: float = 10.0
    schema_weight: float = 1.0
    format_weight: float = 0.0
    length_weight: float = 0.0
    fidelity_weight: float = 0.0
    reasoned_weight: float = 0.0
    matching: str = "strict"
    empty_value: float = 1.0
    repaired_value: float = 1.0
    length_target: float = 100.0
    length_limit: float = 400.0

    def __post_init__(self) -> None:
        check_values(self)
        weights = (self.f1_weight, self.schema_weight, self.format_weight, self.length_weight, self.fidelity_weight)
        if not any((*weights, self.reasoned_weight)):
            raise DataError("reward_kwargs: every weight is 0, so no answer is better than another; set f1_weight")


def check_reward_kwargs(reward_kwargs: Mapping[str, Any]) -> RewardConfig:
    """The configuration that `reward_kwargs` stands for; DataError for an unknown key or a value out of range.

    For the checks before a run: inside it an exception surfaces as a replay-buffer error far from its cause.
    """
    return check_settings(RewardConfig, reward_kwargs)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **reward_kwargs: Any,
) -> dict[str, float | str]:
    """Score and its parts for one decoded completion; the same keys from every call. Linear time, no state.

    Whatever a model writes has a score. A ground truth that can't be read is not the model's fault: the row's answers
    all get 0, so that nothing is learned from them, and the log says why. DataError only for `reward_kwargs` that are
    wrong, which would spoil the run as a whole; `check_reward_kwargs` finds that before it starts.
    """
    config = check_reward_kwargs({name: value for name, value in reward_kwargs.items() if name not in FROM_VERL})
    completion = solution_str if isinstance(solution_str, str) else ""
    try:
        example = from_ground_truth(ground_truth)
        answer = answers.parse(completion, example)
    except DataError as error:
        logging.getLogger(__name__).error("%s (data_source %s)", error, data_source)
        reasoning = answers.parts(completion, Example("", ()))[0] or None
        return _scores(config, data_source, Answer(reasoning=reasoning), Example("", ()), Counts(), 0.0, False)
    counts = count(answer.entities, example.entities, config.matching)
    fidelity = answers.fidelity(completion, example)
    return _scores(config, data_source, answer, example, counts, fidelity, ends(answer, completion))


def _scores(
    config: RewardConfig,
    data_source: str,
    answer: Answer,
    example: Example,
    counts: Counts,
    fidelity: float,
    ended: bool,
) -> dict[str, float | str]:
    words = len((answer.reasoning or "").split())
    f1 = _f1(config, answer, counts)
    schema = float(answer.layout and set(answer.types) <= set(example.types))
    form = float(answer.layout and words > 0)
    length = form * shortness(words, config.length_target, config.length_limit)
    paid = f1 if ended else f1 * config.repaired_value
    grounds = paid * reasoned(answer)
    score = (
        config.f1_weight * paid
        + config.schema_weight * schema
        + config.format_weight * form
        + config.length_weight * length
        + config.fidelity_weight * fidelity
        + config.reasoned_weight * grounds
    )
    return {
        "score": score,
        "acc": f1,  # the name by which verl finds the core validation metric
        "f1": f1,
        "schema": schema,
        "format": form,
        "fidelity": fidelity,
        "reasoned": grounds,
        "ended": float(ended),
        "n_match": float(counts.matched),
        "n_pred": float(counts.predicted),
        "n_gold": float(counts.gold),
        "reasoning_length": float(words),
        "unparsable": float(not answer.parsed),
        "data_source": str(data_source),  # verl's dumps do not say it otherwise
    }


def _f1(config: RewardConfig, answer: Answer, counts: Counts) -> float:
    if not answer.parsed:
        return 0.0
    return counts.f1 if counts.predicted or counts.gold else config.empty_value
