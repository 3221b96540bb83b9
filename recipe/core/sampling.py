"""Which rows are taken: proportional quotas, a seeded choice within a dataset, and nested shares.

    quotas({"bc2gm": 12574, "CrossNER_AI": 100}, total=5000, cap=10000)   # {"bc2gm": 4950, "CrossNER_AI": 50}
    share(train, 0.01, seed=42)                                           # lies inside share(train, 0.05, seed=42)

A row is chosen by a hash of the seed and its own content, so neither the order of rows in a file nor the order of
datasets matters, and a row stays chosen when others are added or removed around it, as long as there is room.
"""

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from recipe.core.entities import DataError, Example


def row_key(seed: int, example: Example, purpose: str = "choose") -> int:
    """64 bits that depend on the seed and the content alone; each `purpose` gives keys independent of the others'."""
    parts = [example.dataset, example.sentence, example.reasoning or "", *example.types]
    for fact in example.facts:
        parts += fact.texts
    # Lengths keep ("ab", "c") apart from ("a", "bc").
    text = f"{seed}\n{purpose}\n{list(map(len, parts))}\n{''.join(parts)}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def quotas(sizes: Mapping[str, int], total: int, cap: int | None = None) -> dict[str, int]:
    """How many rows of each dataset make up exactly `total`, in proportion to its size, counted as `cap` at most.

    Largest remainders get the rows that rounding down leaves over (ReasoningNER's sampling, with totals that are
    exact). DataError if there are fewer than `total` rows.
    """
    counted = {name: size if cap is None else min(size, cap) for name, size in sizes.items()}
    available = sum(counted.values())
    if total > available:
        limited = "" if counted == dict(sizes) else f" (at most {cap} of a dataset)"
        raise DataError(f"{total} rows asked for, {available} there are{limited}; ask for {available} or fewer")
    if not available:
        return dict.fromkeys(sizes, 0)
    result = {name: total * size // available for name, size in counted.items()}
    by_remainder = sorted(counted, key=lambda name: (-(total * counted[name] % available), name))
    for name in by_remainder[: total - sum(result.values())]:
        result[name] += 1
    return result


def lowest(keyed: Iterable[tuple[int, int]], limit: int | None) -> list[int]:
    """Of pairs (key, position), the positions of the `limit` lowest keys (None: all), the lowest first.

    Memory holds `limit` pairs, however many come.
    """
    return [position for _, position in (sorted(keyed) if limit is None else heapq.nsmallest(limit, keyed))]


def share_size(size: int, fraction: float) -> int:
    """`fraction` of `size` rows, rounded half up, at least one row of any; DataError unless 0 < fraction <= 1."""
    if not 0 < fraction <= 1:
        raise DataError(f"share {fraction}: must be above 0 and at most 1, such as 0.01 for 1%")
    # Fraction(str()) is the decimal that was written: 0.05 of 30 rows is 1.5, not 1.4999...
    return max(int(Fraction(str(fraction)) * size + Fraction(1, 2)), min(size, 1))


def share(rows: Sequence[Example], fraction: float, seed: int) -> list[Example]:
    """A share of the rows in their order; with one seed, a smaller share lies inside a larger one."""
    keyed = ((row_key(seed, row), position) for position, row in enumerate(rows))
    return [rows[position] for position in sorted(lowest(keyed, share_size(len(rows), fraction)))]
