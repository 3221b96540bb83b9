"""Agreement of two judges, by hand and against the definitions."""

import random
from itertools import product

import numpy as np
import pytest

from recipe.cot.scores import agreement


def test_by_hand():
    # Deviations 5/3, 8/3, -13/3 and 2, 1, -3; the judges differ by 0, 2 and -1.
    figures = agreement([(9, 9), (10, 8), (3, 4)])
    assert figures["pearson"] == pytest.approx(19 / (258 / 9 * 14) ** 0.5)
    assert figures["weighted_kappa"] == pytest.approx(1 - 5 / 3 / by_chance([9, 10, 3], [9, 8, 4]))
    assert (figures["rows"], figures["within_one"]) == (3, 2 / 3)


def by_chance(first, second):
    return sum((a - b) ** 2 for a, b in product(first, second)) / len(first) ** 2


def test_the_kappa_is_that_of_the_table_from_0_to_10():
    rng = random.Random(0)
    pairs = [(rng.randrange(11), rng.randrange(11)) for _ in range(500)]
    observed = np.zeros((11, 11))
    for a, b in pairs:
        observed[a, b] += 1
    weights = (np.arange(11)[:, None] - np.arange(11)) ** 2
    expected = np.outer(observed.sum(1), observed.sum(0)) / len(pairs)
    assert agreement(pairs)["weighted_kappa"] == pytest.approx(
        1 - (weights * observed).sum() / (weights * expected).sum()
    )
    assert agreement(pairs)["pearson"] == pytest.approx(np.corrcoef(*zip(*pairs, strict=True))[0, 1])


def test_judges_who_agree_and_who_contradict():
    assert agreement([(0, 0), (10, 10)]) == {"rows": 2, "pearson": 1, "weighted_kappa": 1, "within_one": 1}
    assert agreement([(0, 10), (10, 0)]) == {"rows": 2, "pearson": -1, "weighted_kappa": -1, "within_one": 0}


def test_what_is_not_defined_is_none():
    assert agreement([]) == {"rows": 0, "pearson": None, "weighted_kappa": None, "within_one": None}
    assert agreement([(9, 9), (9, 9)]) == {"rows": 2, "pearson": None, "weighted_kappa": None, "within_one": 1}
    assert agreement([(9, 8), (9, 9)])["weighted_kappa"] == 0
