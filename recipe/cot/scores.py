"""A judge's scores of a row: how they are read from its answer, and what they say of many rows.

    {"coherence": 9, "accuracy": 10, "comment": "each name is accounted for"}

Both are whole numbers from 0 to 10. `read_scores` never raises, and its time is linear in the answer's length.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from recipe.answers.think import CLOSE

LOWEST, HIGHEST = 0, 10
LONGEST_COMMENT = 500  # characters

_START = re.compile(r'\{\s*"(?:coherence|accuracy|comment)"\s*:')
_DECODER = json.JSONDecoder(object_pairs_hook=list, strict=False)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a judge says of a row."""

    coherence: int
    accuracy: int
    comment: str = ""

    @property
    def score(self) -> int:
        """The lower of the two: an example must be both."""
        return min(self.coherence, self.accuracy)


def read_scores(answer: str) -> Scores | None:
    """The scores in a judge's answer, or None where they can't be read without guessing.

    They are in the last object that begins with one of the keys, after the think block if there is one. A score is a
    whole number from 0 to 10, `9.0` included; a string or a fraction is no score, nor is one that is given twice.
    """
    body = answer.rpartition(CLOSE)[2]
    start = max((found.start() for found in _START.finditer(body)), default=-1)
    if start < 0:
        return None
    try:
        pairs, _ = _DECODER.raw_decode(body, start)
        fields = dict(pairs)
    except (ValueError, TypeError, RecursionError):
        return None
    coherence, accuracy = _score(fields.get("coherence")), _score(fields.get("accuracy"))
    if coherence is None or accuracy is None or len(fields) != len(pairs):
        return None
    comment = fields.get("comment")
    return Scores(coherence, accuracy, comment.strip()[:LONGEST_COMMENT] if isinstance(comment, str) else "")


def _score(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not LOWEST <= value <= HIGHEST:
        return None
    return int(value) if value == int(value) else None


# ------------------------------------------------------------------------------------------------------- many rows


def agreement(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """How far two judges agree: Pearson's r, quadratically weighted kappa, and the share of pairs at most 1 apart.

        agreement([(9, 9), (10, 8), (3, 4)])
        {"rows": 3, "pearson": 0.9484, "weighted_kappa": 0.8837, "within_one": 0.6667}

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


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, JASA 1927), 95 % for z = 1.96. It never leaves 0 to 1."""
    share, width = successes / trials, z * z / trials
    centre = (share + width / 2) / (1 + width)
    half = z / (1 + width) * math.sqrt(share * (1 - share) / trials + width / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
