"""What a GRPO step's answers were like, as figures of the step: the parts of its reward, and what they hide together.

    answer_figures(scores, parts, groups)
    {"answers/f1": 0.41, "answers/f1_with_entities": 0.33, "answers/f1_without_entities": 0.71,
     "answers/precision": 0.5, "answers/recall": 0.28, "answers/names_nothing": 0.31, "answers/flat_groups": 0.25, ...}

The mean reward of a batch follows the share of its prompts that have nothing to find, and rises as a model falls
silent. So F1 is told apart for sentences with and without entities, beside precision, recall and the share of answers
that name nothing where there is something. verl's trainer logs the reward as a whole, lengths, and answers that were
cut off (`response_length/clip_ratio`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean

from recipe.core.metrics import Counts

PREFIX = "answers/"
_COUNTS = ("n_match", "n_pred", "n_gold")
_TOLD_OTHERWISE = (
    "score",
    "acc",
    *_COUNTS,
    "names_nothing",
)  # by verl, under another name, pooled, of some answers alone


def answer_figures(
    scores: Sequence[float], parts: Sequence[Mapping[str, object]], groups: Sequence[Hashable]
) -> dict[str, float]:
    """Figures of one step's answers; `parts` is what the reward returned for each, `groups` tells whose prompt it is.

    A part that every answer has, and that is a number, has its mean. Precision and recall are pooled over the answers.
    flat_groups is the share of the prompts whose answers all have one score. {} without answers.
    """
    if not parts:
        return {}
    told = {name: [part.get(name) for part in parts] for name in parts[0]}
    numbers = {
        name: [float(value) for value in values]
        for name, values in told.items()
        if all(isinstance(value, (int, float)) for value in values)
    }
    found = {name: fmean(values) for name, values in numbers.items() if name not in _TOLD_OTHERWISE}
    of_group = defaultdict(set)
    for group, score in zip(groups, scores, strict=True):
        of_group[group].add(score)
    found["flat_groups"] = fmean(len(different) == 1 for different in of_group.values())
    if all(name in numbers for name in _COUNTS):
        matched, predicted, gold = (numbers[name] for name in _COUNTS)
        pooled = Counts(*(round(sum(values)) for values in (matched, predicted, gold)))
        found |= {"precision": pooled.precision, "recall": pooled.recall}
        found |= _with_and_without(numbers, predicted, gold)
    return {f"{PREFIX}{name}": value for name, value in found.items()}


def _with_and_without(
    numbers: Mapping[str, Sequence[float]], predicted: Sequence[float], gold: Sequence[float]
) -> dict[str, float]:
    """What is told apart by whether there is something to name; a figure without answers is left out."""
    f1, unread = numbers.get("f1", ()), numbers.get("unparsable", [0.0] * len(gold))
    named = [place for place, number in enumerate(gold) if number]
    empty = [place for place, number in enumerate(gold) if not number]
    found = {}
    if f1 and named:
        found["f1_with_entities"] = fmean(f1[place] for place in named)
    if f1 and empty:
        found["f1_without_entities"] = fmean(f1[place] for place in empty)
    if named:
        found["names_nothing"] = fmean(not predicted[place] and not unread[place] for place in named)
    return found
