"""The GRPO reward of one answer: a weighted sum of its span F1, its layout, its reasoning, and more where asked for.

    reward.custom_reward_function:
      path: pkg://reward_fns.ner
      name: compute_score
      reward_kwargs: {f1_weight: 10.0, schema_weight: 1.0}

    compute_score("bc5cdr", '<think>\nIt is a drug.\n</think>\n{"entities": {"chemical": ["Naloxone"]}}', ground_truth)
    {"score": 11.0, "acc": 1.0, "f1": 1.0, "paid": 1.0, "schema": 1.0, "format": 1.0, "fidelity": 0.0, "reasoned": 0.0,
     "ended": 1.0, "n_match": 1.0, "n_pred": 1.0, "n_gold": 1.0, "reasoning_length": 4.0, "unparsable": 0.0,
     "names_nothing": 0.0, "right_silence": 0.0, "nothing_to_find": 0.0, "overlap": 0.0, "invented": 0.0,
     "data_source": "bc5cdr"}

The parts, each in [0, 1] (10 F1 + 1 schema is ReasoningNER's reward, section "RE"; the others are ours, and off):

f1      F1 of the sentence under the rule `matching` of core.metrics: `strict` by default, or `boundary` where a row
        asks for relations without entity types. `empty_value` where there was nothing to find and nothing was named; 0
        for an answer that can't be read. An answer that is not the layout itself, or that something follows, has
        `repaired_value` of it (1: text after the answer costs `schema` alone; the reference reads no such answer). The
        key `paid` is what is paid for: with `beta` F-beta, in which `overlap_value` of `overlap` (reward_fns.overlap)
        is matched, too. The keys `f1` and `acc` are F1, as validation reports it.
schema  1 if the answer keeps the layout and names only types of the schema.
format  1 if a closed, non-empty think block comes before an answer in that layout.
length  1 up to `length_target` words of reasoning, falling linearly to 0 at `length_limit`. Paid only where `format`
        is: no reasoning is not short reasoning. With `length_by_f1`, that times `paid`.
fidelity    where the answer format repeats the sentence, how far the answer's words are the sentence's; else 0. A
        partial credit where hardly any answer has the whole layout yet.
reasoned    `paid`, times the share of the answer's entities whose name and type the reasoning has (see
        reward_fns.scaffold). Being a share of `paid`, it pays nothing for silence where there is something to find.
invented    a cost: the share of the answer's names that the sentence doesn't hold.

Told, and not paid: `names_nothing`, 1 for a readable answer without a name where there is something to find;
`right_silence`, 1 for one where there is nothing; `nothing_to_find`, 1 where the gold is empty.

Validation averages these over sentences, which is not the micro F1 of a dataset; that is
`2 mean(n_match) / (mean(n_pred) + mean(n_gold))`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from recipe import answers
from recipe.core.entities import DataError
from reward_fns.overlap import overlap
from reward_fns.scaffold import Settings, check_settings, read_case, reasoned


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig(Settings):
    """What `reward_kwargs` may say."""

    f1_weight: float = 10.0
    schema_weight: float = 1.0
    fidelity_weight: float = 0.0
    beta: float = 1.0
    UNPAID: ClassVar[str] = "every weight is 0, so no answer is better than another; set f1_weight"

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        if not 0 < self.beta <= 10:
            raise DataError(f"reward_kwargs.beta: {self.beta} weighs recall against precision; above 0, at most 10")


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
    counts = answers.count(answer, example, config.matching)
    credit = overlap(*(answers.keys(side.facts, example.format, config.matching) for side in (answer, example)))
    invented = case.invented
    if not answer.parsed:
        f1 = worth = 0.0
    elif counts.predicted or counts.gold:
        f1, worth = counts.f1, counts.f_beta(config.beta, config.overlap_value * credit)
    else:
        f1 = worth = config.empty_value
    schema = float(answer.layout and set(answer.types) <= set(example.types))
    fidelity = answers.fidelity(case.completion, example)
    paid = worth if case.ended else worth * config.repaired_value
    grounds = paid * reasoned(answer)
    score = (
        config.f1_weight * paid
        + config.schema_weight * schema
        + config.format_weight * case.form
        + config.length_weight * case.length(paid)
        + config.fidelity_weight * fidelity
        + config.reasoned_weight * grounds
        - config.invented_weight * invented
    )
    parts = {"schema": schema, "format": case.form, "fidelity": fidelity}
    return case.table(score, f1, paid, parts, grounds, case.ended, counts, credit, invented)
