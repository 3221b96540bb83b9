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
fidelity    where the answer format repeats the sentence, how far the answer's words are the sentence's; else 0. A
        partial credit where hardly any answer has the whole layout yet.
reasoned    what `f1` pays, times the share of the answer's entities whose name and type the reasoning has (see
        recipe.answers.think). Being a share of `f1`, it pays nothing for silence where there is something to find.

Validation averages these over sentences, which is not the micro F1 of a dataset; that is
`2 mean(n_match) / (mean(n_pred) + mean(n_gold))`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from recipe import answers
from recipe.answers.think import reasoned
from recipe.core.metrics import count
from reward_fns.scaffold import Settings, check_settings, read_case


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig(Settings):
    """What `reward_kwargs` may say."""

    f1_weight: float = 10.0
    schema_weight: float = 1.0
    fidelity_weight: float = 0.0
    UNPAID: ClassVar[str] = "every weight is 0, so no answer is better than another; set f1_weight"


check_reward_kwargs = partial(check_settings, RewardConfig)  # for the checks before a run


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **reward_kwargs: Any,
) -> dict[str, float | str]:
    """Score and its parts for one decoded completion; the same keys from every call. Linear time, no state.

    A ground truth that can't be read scores 0 and is logged. DataError for `reward_kwargs` that are wrong, which
    `check_reward_kwargs` finds before a run starts.
    """
    case = read_case(RewardConfig, reward_kwargs, data_source, solution_str, ground_truth)
    config, answer, example = case.config, case.answer, case.example
    counts = count(answer.entities, example.entities, config.matching)
    f1 = counts.f1 if counts.predicted or counts.gold else config.empty_value
    f1 = f1 if answer.parsed else 0.0
    schema = float(answer.layout and set(answer.types) <= set(example.types))
    fidelity = answers.fidelity(case.completion, example)
    paid = f1 if case.ended else f1 * config.repaired_value
    grounds = paid * reasoned(answer)
    score = (
        config.f1_weight * paid
        + config.schema_weight * schema
        + config.format_weight * case.form
        + config.length_weight * case.length
        + config.fidelity_weight * fidelity
        + config.reasoned_weight * grounds
    )
    parts = {"schema": schema, "format": case.form, "fidelity": fidelity}
    return case.table(score, f1, parts, grounds, case.ended, counts)
