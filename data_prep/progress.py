"""How far long work is: a bar on a terminal, a line now and then in a pipe or a file, nothing where it is soon done."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

SOON, LINES = 3.0, 15.0  # seconds until a bar is shown; seconds between lines


class Progress:
    """Counts records on stderr. A line reads `train: bc2gm: 120,000 records, 31,000 a second`."""

    def __init__(self, name: str) -> None:
        self._name, self._what, self._done = name, "", 0
        self._bar = tqdm(desc=name, unit=" records", disable=None, leave=False, delay=SOON)
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.close()

    def about(self, what: str) -> None:
        """From here on the records are of `what`, and are counted anew."""
        self._what, self._done, self._began = what, 0, time.monotonic()
        self._bar.set_description(f"{self._name}: {what}", refresh=False)

    def update(self, number: int) -> None:
        """So many records more are done."""
        self._done += number
        self._bar.update(number)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= LINES:
            self._said = now
            rate = self._done / max(now - self._began, 1e-9)
            line = f"{self._name}: {self._what}: {self._done:,} records, {rate:,.0f} a second"
            print(line, file=sys.stderr, flush=True)
