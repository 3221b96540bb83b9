"""A longest common subsequence of two sequences: what an answer kept of the sentence it should have copied."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate


def common(a: Sequence[Hashable], b: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Index pairs (i, j), ascending, with a[i] == b[j], as many as can be.

    Time O(len(a) log len(a) (1 + len(b) / 64)), memory O(len(a) + len(b)): Hirschberg's division (1975), with the rows
    of Hyyro's bit-parallel algorithm (2004), 64 cells a step.
    """
    wanted = set(b)
    kept = [i for i, item in enumerate(a) if item in wanted]
    for i, j in _divide([a[i] for i in kept], b):
        yield kept[i], j


def _divide(a: Sequence[Hashable], b: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    todo = [(0, len(a), 0, len(b))]
    while todo:
        top, bottom, left, right = todo.pop()
        while top < bottom and left < right and a[top] == b[left]:
            yield top, left
            top, left = top + 1, left + 1
        if top == bottom or left == right:
            continue
        if bottom - top == 1:
            if a[top] in (part := b[left:right]):
                yield top, left + part.index(a[top])
            continue
        middle = (top + bottom) // 2
        before = _lengths(a[top:middle], b[left:right])
        after = _lengths(a[middle:bottom][::-1], b[left:right][::-1])[::-1]
        cut = left + max(range(len(before)), key=lambda j: before[j] + after[j])
        todo += [(middle, bottom, cut, right), (top, middle, left, cut)]


def _lengths(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[int]:
    """Length of a longest common subsequence of `a` and b[:j], for each j from 0 to len(b)."""
    places: dict[Hashable, int] = {}
    for j, item in enumerate(b):
        places[item] = places.get(item, 0) | 1 << j
    full = (1 << len(b)) - 1
    row = full  # a 0 at j: the length grows by one there
    for item in a:
        if match := row & places.get(item, 0):
            row = ((row + match) | (row - match)) & full
    bits = reversed(f"{row:0{len(b)}b}" if b else "")
    return list(accumulate((bit == "0" for bit in bits), initial=0))
