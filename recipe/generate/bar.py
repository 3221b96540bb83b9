"""How far a command is that makes many answers: a bar on a terminal, elsewhere a line each half minute.

completions: 120/600 [00:30, 02:01 left, 4.0 row/s]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipe.core.console import terminal

if TYPE_CHECKING:
    from tqdm import tqdm

LINES_APART = 30.0  # seconds


class _Terminal:
    """The terminal as it is at each write: libraries may be sent to a log after the bar was made."""

    @property
    def encoding(self) -> str:
        return terminal().encoding

    def write(self, text: str) -> None:
        terminal().write(text)

    def flush(self) -> None:
        terminal().flush()

    def fileno(self) -> int:
        return terminal().fileno()


class _Lines(_Terminal):
    """A file in which what tqdm writes over a line is a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=terminal(), flush=True)


def bar(total: int, initial: int, desc: str, unit: str, disable: bool = False) -> tqdm:
    """tqdm's, on standard error; in a pipe it writes lines, where a bar would be one line without end."""
    from tqdm import tqdm

    if terminal().isatty():
        return tqdm(total=total, initial=initial, desc=desc, unit=unit, disable=disable, file=_Terminal())
    form = "{desc}: {n_fmt}/{total_fmt} [{elapsed}, {remaining} left, {rate_fmt}]"
    return tqdm(
        total=total, initial=initial, desc=desc, unit=unit, disable=disable, bar_format=form, mininterval=LINES_APART,
        miniters=1, delay=LINES_APART, file=_Lines(),
    )  # fmt: skip
