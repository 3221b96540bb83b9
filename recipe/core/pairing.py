"""The best pairing: which gold entity answers for which predicted one, each for one at most.

    best([(0, 0, 0.5), (0, 1, 1.0)])      # [(0, 1)]: of what gold 0 may be paired with, the heavier

The pairs that are chosen have the greatest sum of weights that any one-to-one pairing has. That sum depends on nothing
but the weights: neither on the order of the spans nor on how their types are called. The evaluation pairs by place, the
reward by common words.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import permutations

from recipe.core.align import Span

Pair = tuple[int, int, float]  # position in the gold, position in the answer, weight above 0


def overlapping(gold: Sequence[Span | None], found: Sequence[Span | None]) -> Iterator[tuple[int, int]]:
    """The positions of each gold span and each predicted one that share a character; spans may repeat."""
    if len(gold) * len(found) <= 64:
        for i, one in enumerate(gold):
            if one:
                start, end, _ = one
                for j, other in enumerate(found):
                    if other and other[0] < end and start < other[1] and start < end and other[0] < other[1]:
                        yield i, j
        return
    order = sorted((span.start, span.end, j) for j, span in enumerate(found) if span)
    starts = [start for start, _, _ in order]
    longest = max((end - start for start, end, _ in order), default=0)
    for i, span in enumerate(gold):
        if span is None:
            continue
        for start, end, j in order[bisect_left(starts, span.start - longest) : bisect_left(starts, span.end)]:
            if min(end, span.end) > max(start, span.start):
                yield i, j


def shared(found: Iterable[Hashable], gold: Iterable[Hashable]) -> list[Hashable]:
    """What two multisets have in common, in the order of `found`."""
    left: dict[Hashable, int] = {}
    for key in gold:
        left[key] = left.get(key, 0) + 1
    both = []
    for key in found:
        if times := left.get(key):
            left[key] = times - 1
            both.append(key)
    return both


def best(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """The pairs of a one-to-one pairing with the greatest sum of weights, in the order of the gold."""
    if len(pairs) < 2:
        return [(i, j) for i, j, _ in pairs]
    if len({i for i, _, _ in pairs}) == len({j for _, j, _ in pairs}) == len(pairs):  # nothing to choose
        return sorted((i, j) for i, j, _ in pairs)
    chosen = []
    for part in _apart(pairs):
        gold, found = sorted({i for i, _, _ in part}), sorted({j for _, j, _ in part})
        if len(gold) == 1 or len(found) == 1:
            chosen.append(max(part, key=lambda pair: (pair[2], -pair[0], -pair[1]))[:2])
        else:
            chosen += _assign(part, gold, found)
    return sorted(chosen)


def _apart(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """The pairs in parts that have no span in common."""
    of_gold, of_found = defaultdict(list), defaultdict(list)
    for pair in pairs:
        of_gold[pair[0]].append(pair)
        of_found[pair[1]].append(pair)
    while of_gold:
        part, open_pairs = [], of_gold.pop(next(iter(of_gold)))
        while open_pairs:
            pair = open_pairs.pop()
            part.append(pair)
            for other in of_found.pop(pair[1], ()):
                open_pairs += of_gold.pop(other[0], ())
        yield part


def _assign(part: Sequence[Pair], gold: Sequence[int], found: Sequence[int]) -> list[tuple[int, int]]:
    if len(gold) <= _FEW and len(found) <= _FEW:
        return _try_all(part, gold, found)
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    row, column = ({position: n for n, position in enumerate(side)} for side in (gold, found))
    weights = np.zeros((len(gold), len(found)))
    for i, j, weight in part:
        weights[row[i], column[j]] = weight
    chosen = zip(*linear_sum_assignment(weights, maximize=True), strict=True)
    return [(gold[i], found[j]) for i, j in chosen if weights[i, j] > 0]


_FEW = 4  # 24 ways to pair them; to load SciPy takes as long as 5,000 sentences


def _try_all(part: Sequence[Pair], gold: Sequence[int], found: Sequence[int]) -> list[tuple[int, int]]:
    weights = {(i, j): weight for i, j, weight in part}
    few, many = (gold, found) if len(gold) <= len(found) else (found, gold)
    ways = (list(zip(few, way, strict=True)) for way in permutations(many, len(few)))
    if few is found:
        ways = ([(i, j) for j, i in way] for way in ways)
    chosen = max(ways, key=lambda way: sum(weights.get(pair, 0.0) for pair in way))
    return [pair for pair in chosen if pair in weights]
