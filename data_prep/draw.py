"""A draw of rows by their keys: the lowest keys win, and among equal keys the row that came first.

    draw = Draw(limit=2)
    for position, (key, row) in enumerate([(30, "a"), (10, "b"), (20, "c")]):
        draw.add(key, position, row)
    draw.lowest(2)                              # Drawn(array("Q", [1, 2]), ["b", "c"])
    list(in_order("cab", ord, 3, Path("spare")))    # ["a", "b", "c"]

Rows are held while they are few. Of any more, memory holds 16 bytes for each that may still win.
"""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.core.entities import Example

HELD = 50_000  # rows in memory at most, about 100 MB
_BELOW = 1 << 64  # all keys are


@dataclass(frozen=True, slots=True)
class Drawn:
    """Ascending positions of the rows that were drawn, and the rows where they were held."""

    positions: Sequence[int]
    rows: list[Example] | None


class Draw:
    """The rows of the `limit` lowest keys (None: any number of them) of those that are added, by ascending position."""

    def __init__(self, limit: int | None, room: int = HELD) -> None:
        self._limit, self._room = limit, room
        self._keys, self._positions = array("Q"), array("Q")
        self._rows: list[Example] | None = []
        self._below = _BELOW  # no other key can win any more

    def add(self, key: int, position: int, row: Example) -> None:
        if key >= self._below:
            return
        self._keys.append(key)
        self._positions.append(position)
        if self._rows is not None:
            self._rows.append(row)
            if len(self._rows) > self._room:
                self._rows = None
        if self._limit is not None and len(self._keys) >= 2 * self._limit + 100:
            self._keep(self._limit)
            self._below = max(self._keys, default=0)

    def lowest(self, number: int) -> Drawn:
        """The rows of the `number` lowest keys, at most `limit` of them. All others are given up."""
        self._keep(number)
        return Drawn(self._positions, self._rows)

    @property
    def held(self) -> int:
        """How many rows memory holds."""
        return len(self._rows or ())

    def _keep(self, number: int) -> None:
        if number >= len(self._keys):
            return
        import numpy

        keys = numpy.frombuffer(self._keys, dtype=numpy.uint64)
        # Stable: of equal keys the earlier position, as these ascend.
        kept = numpy.sort(numpy.argsort(keys, kind="stable")[:number])
        self._keys = array("Q", keys[kept].tobytes())
        self._positions = array("Q", numpy.frombuffer(self._positions, dtype=numpy.uint64)[kept].tobytes())
        if self._rows is not None:
            self._rows = [self._rows[at] for at in kept.tolist()]


def at_positions(rows: Iterable[Any], positions: Sequence[int]) -> Iterator[Any]:
    """The rows at ascending positions."""
    wanted = iter(positions)
    following = next(wanted, None)
    for position, row in enumerate(rows):
        if following is None:
            return
        if position == following:
            following = next(wanted, None)
            yield row


def in_order(
    rows: Iterable[Any], key: Callable[[Any], int], number: int, folder: Path, held: int = HELD
) -> Iterator[Any]:
    """The rows by their keys of 64 bits, equal ones as they come. More than `held` of them wait in files of `folder`.

    `number` is how many there are; keys are spread evenly, as hashes are.
    """
    if number <= held:
        yield from sorted(rows, key=key)
        return
    parts = min(2 * number // max(held, 1) + 1, 500)  # a process may open 1,024 files
    with tempfile.TemporaryDirectory(dir=folder) as spare, ExitStack() as stack:
        files = [stack.enter_context((Path(spare) / str(part)).open("w+b")) for part in range(parts)]
        for row in rows:
            pickle.dump(row, files[key(row) * parts >> 64], protocol=pickle.HIGHEST_PROTOCOL)
        for file in files:
            file.seek(0)
            yield from sorted(_unpickled(file), key=key)
            file.truncate(0)


def _unpickled(file: Any) -> Iterator[Any]:
    while True:
        try:
            yield pickle.load(file)  # written above
        except EOFError:
            return
