"""Bootstrap intervals and the paired test, against cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from recipe.evaluate.intervals import f1_of, interval, paired_p_value, resampled_sums


def right_or_wrong(hits):
    """One entity a sentence, found or missed and something else predicted: F1 is the share of hits."""
    return np.stack([hits, np.ones_like(hits), np.ones_like(hits)], axis=1)[:, None, :].astype(float)


def test_f1_of_sums():
    assert f1_of(np.array([[1, 2, 3], [0, 0, 0], [0, 4, 0]])) == pytest.approx([0.4, 1, 0])


def test_a_resample_has_as_many_sentences():
    counts = right_or_wrong(np.arange(50) % 2)
    sums = resampled_sums(counts, np.random.default_rng(0), 20)
    assert sums.shape == (20, 1, 3)
    assert (sums[:, 0, 2] == 50).all()


def test_the_same_seed_gives_the_same_interval_and_another_a_different_one():
    counts = right_or_wrong(np.arange(100) % 3 == 0)
    a, b, c = (resampled_sums(counts, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (a == b).all()
    assert (a != c).any()


def test_the_interval_of_a_binomial_covers_at_its_nominal_rate():
    """400 samples of 300 sentences, 40 % right: 95 % of the intervals hold 0.4, within the sampling error of 400."""
    rng, covered = np.random.default_rng(7), 0
    for _ in range(400):
        counts = right_or_wrong(rng.random(300) < 0.4)
        low, high = interval(f1_of(resampled_sums(counts, rng, 400)))
        covered += low[0] <= 0.4 <= high[0]
    # Three standard deviations of 400 draws at 0.95 are 0.033; the percentile interval itself errs by about 0.01.
    assert abs(covered / 400 - 0.95) < 0.043


def test_the_interval_is_as_wide_as_the_normal_approximation():
    counts = right_or_wrong(np.arange(1000) < 400)
    low, high = interval(f1_of(resampled_sums(counts, np.random.default_rng(0), 4000)))
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * np.sqrt(0.4 * 0.6 / 1000), rel=0.06)


def test_a_model_does_not_differ_from_itself():
    counts = [right_or_wrong(np.arange(40) % 2)]
    difference, p = paired_p_value(counts, counts, 200)
    assert (difference[0], p[0]) == (0, 1)


def test_the_paired_test_has_the_exact_p_value_of_the_sign_test():
    """Five sentences differ, all one way: 2 of 32 arrangements are as extreme."""
    a = right_or_wrong(np.array([0] * 5 + [1] * 20))
    b = right_or_wrong(np.array([1] * 25))
    difference, p = paired_p_value([a], [b], 20_000)
    assert difference[0] == pytest.approx(0.2)
    assert p[0] == pytest.approx(2 / 32, abs=0.006)


def test_under_the_null_the_p_value_is_uniform():
    """Two models of the same quality: p is below 0.1 in a tenth of 300 cases, within three standard deviations."""
    rng, small = np.random.default_rng(3), 0
    for seed in range(300):
        a, b = (right_or_wrong(rng.random(120) < 0.5) for _ in range(2))
        small += paired_p_value([a], [b], 300, seed)[1][0] < 0.1
    assert abs(small / 300 - 0.1) < 3 * np.sqrt(0.09 / 300)
