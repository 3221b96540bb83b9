"""A difference between two sets of answers to the same sentences, split by which of them could be read.

A model that learns a format gains by answers that can be read at last, whatever it knows of entities. So there are four
parts, by what became of a sentence's answer from the first to the second: read in both, repaired, broken, unread in
both. What a part adds to the difference of the macro averages is the mean, over all orders in which the parts' answers
can be exchanged one part after another, of the change when its turn comes (Shapley 1953). These add up to the
difference, depend on no order, and change their signs when the two are swapped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from recipe.core.metrics import Counts
from recipe.evaluate.intervals import f1_of

PARTS = ("read in both", "repaired", "broken", "unread in both")


@dataclass(frozen=True, slots=True)
class Part:
    """Sentences of one kind: the counts of either side, pooled, and what they add to the macro F1, a fraction."""

    name: str
    sentences: int
    first: Counts
    second: Counts
    points: float


def part_of(first_unread: np.ndarray, second_unread: np.ndarray) -> np.ndarray:
    """The part of each sentence, a place in PARTS, from two booleans: (sentences,) each."""
    return first_unread.astype(int) + 2 * second_unread.astype(int)


def split_difference(
    datasets: Sequence[str], first: np.ndarray, second: np.ndarray, part: np.ndarray
) -> tuple[Part, ...]:
    """The parts in the order of PARTS; their `points` add up to the macro F1 of `second` minus the macro F1 of `first`.

    `first` and `second`: (sentences, 3), matched, predicted and gold; `datasets` and `part`: (sentences,).
    """
    names, place = np.unique(np.asarray(datasets, dtype=object).astype(str), return_inverse=True)
    sums = np.zeros((2, len(PARTS), len(names), 3))
    for side, counts in enumerate((first, second)):
        np.add.at(sums[side], (part, place), counts)
    points = _points(sums)
    sizes = np.bincount(part, minlength=len(PARTS))
    pooled = sums.sum(axis=2)
    return tuple(
        Part(name, int(sizes[i]), Counts(*map(float, pooled[0, i])), Counts(*map(float, pooled[1, i])), points[i])
        for i, name in enumerate(PARTS)
    )


def _points(sums: np.ndarray) -> list[float]:
    """What each part adds to the macro F1: (2, parts, datasets, 3) -> (parts,)."""
    places, orders = range(sums.shape[1]), list(permutations(range(sums.shape[1])))
    macro = {
        chosen: float(f1_of(sum(sums[int(i in chosen), i] for i in places)).mean())
        for chosen in {frozenset(order[:size]) for order in orders for size in range(len(order) + 1)}
    }
    points = [0.0] * len(places)
    for order in orders:
        for size, part in enumerate(order):
            points[part] += (macro[frozenset(order[: size + 1])] - macro[frozenset(order[:size])]) / len(orders)
    return points


# ------------------------------------------------------------------------------------------------------------- table


def table(parts: Sequence[Part], first: str, second: str) -> str:
    """The split for people, in percent: precision, recall and F1 of either side, and points of the difference."""
    whole = Part(
        "all",
        sum(part.sentences for part in parts),
        sum((part.first for part in parts), Counts()),
        sum((part.second for part in parts), Counts()),
        sum(part.points for part in parts),
    )
    width = max(len("by what could be read"), *(len(part.name) for part in parts))
    blank, names = f"{'':{width}} {'':>9}", " | ".join(f"{name[-20:]:^20}" for name in (first, second))
    columns = " | ".join(" ".join(f"{name:>6}" for name in ("P", "R", "F1")) for _ in "12")
    lines = [
        f"{blank} | {names} |",
        f"{'by what could be read':{width}} {'sentences':>9} | {columns} | points",
    ]
    lines += [_line(part, width) for part in (*parts, whole)]
    lines.append(f"repaired, broken: by {second}; an answer that can't be read names nothing")
    lines.append("P, R, F1: of the sentences of a part, pooled; points: what it adds to the difference of macro F1")
    return "\n".join(lines)


def _line(part: Part, width: int) -> str:
    head = f"{part.name:{width}} {part.sentences:>9,}"
    if not part.sentences:
        return head
    return f"{head} | {_prf(part.first)} | {_prf(part.second)} | {100 * part.points + 0.0:+6.1f}"


def _prf(counts: Counts) -> str:
    """A dash where there is nothing to be a part of: no prediction, no gold, or neither."""
    cells = (
        (counts.precision, counts.predicted),
        (counts.recall, counts.gold),
        (counts.f1, counts.predicted + counts.gold),
    )
    return " ".join(f"{100 * value:6.1f}" if total else f"{'-':>6}" for value, total in cells)
