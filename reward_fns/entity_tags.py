"""The GRPO reward of one entity-tag answer: layout, the whole set, right and wrong names ("RL Meets NER").

    reward.custom_reward_function:
      path: pkg://reward_fns.entity_tags
      name: compute_score
      reward_kwargs: {format_weight: 0.5, exact_weight: 2.0, right_weight: 0.5, wrong_weight: 0.5}

    compute_score("CoNLL 2003", "<think>\nTwo teams.\n</think>\n<entity>Japan, Syria, Asian Cup</entity>", ground_truth)
    {"score": 1.0, "acc": 0.8, "f1": 0.8, "paid": 0.8, "exact": 0.0, "schema": 1.0, "format": 1.0, "reasoned": 0.0,
     "ended": 1.0, "n_match": 2.0, "n_pred": 3.0, "n_gold": 2.0, "reasoning_length": 2.0, "unparsable": 0.0,
     "names_nothing": 0.0, "right_silence": 0.0, "nothing_to_find": 0.0, "overlap": 0.0, "invented": 0.33,
     "data_source": "CoNLL 2003"}     # gold: Japan, Syria, in "Japan beat Syria ."

    score = format_weight format + exact_weight exact + right_weight right - wrong_weight (n_pred - right)
            + length_weight length + reasoned_weight reasoned - invented_weight invented
    right = n_match + overlap_value overlap

format  1 if a closed, non-empty think block comes before an answer in the layout, and nothing else.
exact   1 if the names are the gold's, not one missing and not one more; a question without an entity is answered
        so by an empty tag, which pays `empty_value` of it (1, as published). 0 for an answer that can't be read.
length  ours, off: as in reward_fns.ner, and paid only where `format` is.
reasoned    ours, off: `paid`, times the share of the names that the reasoning has, together with the type. `paid` is
        F1 with `right` for what matched, and `empty_value` where nothing is to be found.
overlap, invented   ours, off: as in reward_fns.ner. `exact` knows no overlap.

Of an answer that is not the layout itself, that something follows, or that repeats more names than the gold does,
`exact`, the right names and `reasoned` pay `repaired_value` (1; in the reference, what follows costs `exact` alone).

Names are compared as sets, so that to repeat one doesn't pay, and costs no more than that. `matching` says how:
`strict` by their exact text, as it is seen, `published` by the normalisation of recipe.core.metrics. `f1` compares
these sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from recipe import answers
from recipe.answers import one_type, parse
from recipe.answers.queries import FORMAT
from recipe.core.entities import DataError, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.core.metrics import RULES, Counts
from reward_fns.overlap import overlap
from reward_fns.scaffold import Settings, check_settings, read_case, reasoned


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig(Settings):
    """What `reward_kwargs` may say."""

    format_weight: float = 0.5
    exact_weight: float = 2.0
    right_weight: float = 0.5
    wrong_weight: float = 0.5
    UNPAID: ClassVar[str] = "no weight pays for anything, so no answer is better; set exact_weight"


check_reward_kwargs = partial(check_settings, RewardConfig)  # for the checks before a run


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **reward_kwargs: Any,
) -> dict[str, float | str]:
    """Score and its parts for one decoded completion; the same keys from every call. Linear time, no state.

    A ground truth that can't be read, or is not about one type, scores 0 and is logged. DataError for `reward_kwargs`
    that are wrong, which `check_reward_kwargs` finds before a run starts.
    """
    case = read_case(RewardConfig, reward_kwargs, data_source, solution_str, ground_truth, _question, _reasoning)
    config, answer, example = case.config, case.answer, case.example
    names, gold = (set(answers.keys(each.facts, example.format, config.matching)) for each in (answer, example))
    counts = Counts(len(names & gold), len(names), len(gold))
    repeats = (len(each.entities) - len(set(RULES["strict"](each.entities))) for each in (answer, example))
    ended = case.ended and next(repeats) <= next(repeats)
    exact = float(answer.parsed and counts.matched == counts.predicted == counts.gold)
    f1 = counts.f1 if answer.parsed else 0.0
    value = 1.0 if ended else config.repaired_value
    empty = 1.0 if counts.gold else config.empty_value
    credit, invented = overlap(names, gold), case.invented
    paid = value * empty * (counts.f_beta(credit=config.overlap_value * credit) if answer.parsed else 0.0)
    matched = counts.matched + config.overlap_value * credit
    grounds = paid * reasoned(answer)
    score = (
        config.format_weight * case.form
        + value * config.exact_weight * exact * empty
        + value * config.right_weight * matched
        - config.wrong_weight * (counts.predicted - matched)
        - config.invented_weight * invented
        + config.length_weight * case.length(paid)
        + config.reasoned_weight * grounds
    )
    # There is one type, and no answer can name another.
    parts = {"exact": exact, "schema": float(answer.layout), "format": case.form}
    return case.table(score, f1, paid, parts, grounds, ended, counts, credit, invented)


def _question(ground_truth: str) -> Example:
    example = from_ground_truth(ground_truth)
    if len(example.types) != 1 or any(entity.type != example.types[0] for entity in example.entities):
        raise DataError(f"ground truth: asks about {len(example.types)} types, not one; write rows of this format")
    return example if one_type(example.format) else replace(example, format=FORMAT)


def _reasoning(completion: str) -> str | None:
    return parse(completion, Example("", (), format=FORMAT)).reasoning
