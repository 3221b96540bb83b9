"""The training figures of a run, as verl's `file` logger left them.

RUN/metrics/20260102T030405.jsonl, one file a start, one line a step:
    {"step": 8, "data": {"critic/score/mean": 6.2, "val-core/bc5cdr/acc/mean@1": 0.41, ...}}

verl's GRPO writes a step's checkpoint before its figures, its rollouts and its validation. A run that is killed between
them goes on after that step, whose figures of training then stay unknown; it is validated anew. SFT's come first.
"""

import json
from collections.abc import Iterator
from pathlib import Path


def read_metrics(run: Path) -> dict[int, dict[str, float]]:
    """Step -> name -> value, ascending. A step that was done again after a resume counts as done last.

    A line that can't be read, such as the last one of a killed run, is passed over.
    """
    steps: dict[int, dict[str, float]] = {}
    for path in _files(run):
        for step, figures in _lines(path):
            steps[step] = {**steps.get(step, {}), **figures}
    return dict(sorted(steps.items()))


def lost_steps(run: Path, newest: int) -> list[int]:
    """The steps until `newest` without any figures of training: a kill came between checkpoint and figures.

    None where nothing at all is on file (another logger), and none before the first start's first line: it may have
    begun with another run's checkpoint.
    """
    figures = read_metrics(run)
    if not figures:
        return []
    first = next((step for step, _ in _lines(_files(run)[0])), 1)
    steps = range(max(1, first), newest + 1)
    return [step for step in steps if all(name.startswith("val") for name in figures.get(step, ()))]


def last_step(path: Path) -> int:
    """The newest step in one start's file, 0 without any."""
    return max((step for step, _ in _lines(path)), default=0) if path.is_file() else 0


def _files(run: Path) -> list[Path]:
    """A file for each start, oldest first."""
    return sorted([*Path(run).glob("*.jsonl"), *Path(run).glob("metrics/*.jsonl")])


def _lines(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line)
            step, data = int(record["step"]), record["data"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        yield step, {name: value for name, value in data if isinstance(value, (int, float))}
