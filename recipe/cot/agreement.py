"""How far two judges agree on the same rows.

    agreement([(9, 9), (10, 8), (3, 4)])
    {"rows": 3, "pearson": 0.9484, "weighted_kappa": 0.8837, "within_one": 0.6667}

Figures are fractions; None where one is not defined.
"""

from __future__ import annotations

from collections.abc import Sequence


def agreement(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """Of pairs of scores: Pearson's r, quadratically weighted kappa, and the share of pairs at most 1 apart.

    The kappa is 1 - sum((a - b)^2) / expected sum of independent judges with these marginals (Cohen, Psychological
    Bulletin 70, 1968), for scores of any range; on 0..10 it is the one over the 11 x 11 table. A figure that is not
    defined is None: all without pairs, r where a judge gives one score only, kappa where both give the same one.
    """
    import numpy as np

    if not pairs:
        return {"rows": 0, "pearson": None, "weighted_kappa": None, "within_one": None}
    first, second = np.asarray(pairs, dtype=np.float64).T
    (mean_a, mean_b), (var_a, var_b) = (first.mean(), second.mean()), (first.var(), second.var())
    # The mean of (a - b)^2 over all pairs of one judge's scores with the other's.
    by_chance = var_a + var_b + (mean_a - mean_b) ** 2
    covariance = ((first - mean_a) * (second - mean_b)).mean()
    return {
        "rows": len(pairs),
        "pearson": float(covariance / np.sqrt(var_a * var_b)) if var_a and var_b else None,
        "weighted_kappa": float(1 - ((first - second) ** 2).mean() / by_chance) if by_chance else None,
        "within_one": float((np.abs(first - second) <= 1).mean()),
    }
