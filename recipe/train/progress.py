"""What a run shows of itself while it trains: what it waits for, a line a step, validation, checkpoints, a bar.

    waits      loading the model, 30 s since the start
    step  0/30  validation F1 0.346 (Broad Tweet Corpus 0.383, bc5cdr 0.309), readable 0.84
    step  1/30  reward  7.50  F1 0.402  readable 0.93  answer  49 tokens  25 s, 12 min 05 s left
    step 10/30  saved outputs/quickstart/grpo/global_step_10

The figures are those of verl's `file` logger (recipe.models.run_log shows a line); F1 and the readable share of a GRPO
step are counted in its dump, as the reward counts them. On a terminal a bar shows every step and the time, and a line
stays every fifteen seconds at most; elsewhere every step has its line, and what is waited for has one each 30 s.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TextIO

from recipe import answers
from recipe.core.entities import DataError
from recipe.core.metrics import count
from recipe.models import checkpoints
from recipe.models.rollout_dump import Answered, read_dump
from recipe.models.validation import by_dataset, validation

if TYPE_CHECKING:
    from tqdm import tqdm

APART = 15.0  # seconds between two lines of steps that stay on a terminal
_PATIENCE = 30.0  # seconds between two lines about what is waited for, where no line can be overwritten
_DUMP = 3.0  # seconds in which a step's dump may follow its figures
_RECENT = 20  # steps, of whose time the rest of the run is judged

# What of the trainer's own output says which part of its start comes next. A text that changed costs a phase its name.
_PHASES = {
    "sft": (
        ("", "starting the processes"),
        ("Total steps:", "loading the model"),
        ("Creating file logger", "the first step"),
    ),
    "grpo": (
        ("", "starting Ray"),
        ("Ray instance", "starting the trainer"),
        ("connected to Ray", "starting the trainer"),
        ("Total training steps:", "loading the model"),
        ("model engine initialized", "starting vLLM"),
        ("Creating file logger", "the first answers"),
    ),
}


# ------------------------------------------------------------------------------------------------------------- lines


@dataclass(frozen=True, slots=True)
class Read:
    """What a step's answers say: mean F1 of a sentence, and the share that can be read, both in [0, 1]."""

    f1: float
    readable: float


def read_answers(dump: Iterable[Answered]) -> Read | None:
    """Of the answers of a dump, as the reward reads them; None without any."""
    f1, readable = [], []
    for answered in dump:
        answer = answers.parse(answered.output, answered.example)
        readable.append(answer.parsed)
        f1.append(count(answer.entities, answered.example.entities).f1 if answer.parsed else 0.0)
    return Read(fmean(f1), fmean(readable)) if f1 else None


def duration(seconds: float) -> str:
    """`"0.6 s"`, `"12 s"`, `"1 min 05 s"`, `"2 h 07 min"`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _of(step: int, steps: int) -> str:
    return f"step {step:>{len(str(steps))}}/{steps}"


def step_line(
    step: int,
    steps: int,
    figures: Mapping[str, float],
    read: Read | None = None,
    seconds: float | None = None,
    left: float | None = None,
) -> str:
    """One step of training, of what is known of it."""
    parts = [_of(step, steps)]
    for name, key, form in (("reward", "critic/score/mean", "6.2f"), ("loss", "train/loss", "7.4f")):
        if key in figures:
            parts.append(f"{name} {figures[key]:{form}}")
    if read:
        parts += [f"F1 {read.f1:.3f}", f"readable {read.readable:.2f}"]
    if "response_length/mean" in figures:
        parts.append(f"answer {figures['response_length/mean']:3.0f} tokens")
    seconds = figures.get("timing_s/step", seconds)
    times = [] if seconds is None else [duration(seconds)]
    if left is not None and step < steps:
        times.append(f"{duration(left)} left")
    return "  ".join([*parts, *([", ".join(times)] if times else [])])


def validation_line(step: int, steps: int, figures: Mapping[str, float]) -> str | None:
    """What a step's validation says: GRPO's F1 by dataset and their mean, SFT's loss; None without a validation."""
    found = validation(figures)
    if found is None:
        return None
    each = ", ".join(f"{dataset} {found.shown(value)}" for dataset, value in sorted(found.datasets.items())[:4])
    each += f", {len(found.datasets) - 4} more" if len(found.datasets) > 4 else ""
    line = f"{_of(step, steps)}  validation {found}" + (f" ({each})" if len(found.datasets) > 1 else "")
    unparsable = by_dataset(figures, "/unparsable/mean@1")
    return f"{line}, readable {1 - fmean(unparsable.values()):.2f}" if unparsable else line


# -------------------------------------------------------------------------------------------------------------- files


class Tail:
    """The whole lines that a file gained since the last call. It may not be there yet; what was cut off comes later."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path, self._at, self._rest = path, start, b""

    def lines(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                gained = file.read()
        except FileNotFoundError:
            return []
        self._at += len(gained)
        *whole, self._rest = (self._rest + gained).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]


def _record(line: str) -> tuple[int, dict[str, float]] | None:
    """Step and figures of one line of metrics; a NaN, which JSON has no word for, stays one. None for another line."""
    try:
        record = json.loads(line)
        step, data = int(record["step"]), dict(record["data"])
    except (ValueError, KeyError, TypeError):
        return None
    figures = {name: math.nan if value is None else value for name, value in data.items()}
    return step, {name: value for name, value in figures.items() if isinstance(value, (int, float))}


def _is_whole(path: Path) -> bool:
    """Whether its last line is ended; verl writes a dump beside the training."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_CUR)
        return file.read() == b"\n"


# ----------------------------------------------------------------------------------------------------------- the view


def _bar(steps: int, done: int, stream: TextIO) -> tqdm:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # without its thread
    form = "{percentage:3.0f}% |{bar:20}| {n}/{total}{postfix}"
    width = os.get_terminal_size(stream.fileno()).columns
    size = {"dynamic_ncols": True} if width else {"ncols": 80, "nrows": 20}  # some terminals don't say theirs
    return tqdm(total=steps, initial=done, file=stream, bar_format=form, leave=False, **size)


@dataclass
class Progress:
    """The view of one start of a run: `look` shows what is new, `close` what is left and the end of the bar.

    `done` are the steps of earlier starts. `dumps` is the folder of the rollouts, None where the run leaves none.
    """

    stage: str
    steps: int
    done: int
    run: Path
    metrics: Path
    log: Path
    dumps: Path | None
    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _pending: deque = field(default_factory=deque)
    _times: deque = field(default_factory=lambda: deque(maxlen=_RECENT))

    def __post_init__(self) -> None:
        self._figures = Tail(self.metrics)
        self._log = Tail(self.log, self.log.stat().st_size if self.log.is_file() else 0)
        self._phase, self._begun, self._said = _PHASES[self.stage][0][1], self.clock(), self.clock()
        self._ready, self._last, self._stayed, self._drawn = None, self.clock(), -math.inf, -math.inf
        self._since = time.time() - 1  # a file's time may be coarse
        self._saved, self._step = checkpoints.newest(self.run), self.done
        self._bar = _bar(self.steps, self.done, self.stream) if self.stream.isatty() else None

    def look(self) -> None:
        """Show what is new. Cheap: called several times a second."""
        now = self.clock()
        for line in self._figures.lines():
            if record := _record(line):
                self._take(*record, now)
        if self._ready is None and self.metrics.is_file():
            self._ready = self._last = now  # the logger's file is made right before the first step
        if self._step == self.done:
            self._wait(now)
        self._show(now)
        if (saved := checkpoints.newest(self.run)) != self._saved:
            self._saved = saved
            self._write(f"{_of(saved, self.steps)}  saved {self.run}/global_step_{saved}")
        if self._bar is not None:
            self._draw(now)

    def close(self) -> None:
        """Show the last of it; a dump that hasn't come is not waited for."""
        self.look()
        self._show(math.inf)
        if self._bar is not None:
            self._bar.close()

    def _take(self, step: int, figures: dict[str, float], now: float) -> None:
        trained = any(not name.startswith("val") for name in figures)
        seconds = left = None
        if trained:
            if self._ready is not None or self._step > self.done:
                seconds = now - self._last
                self._times.append(seconds)
                left = fmean(self._times) * (self.steps - step)
            self._step = step
        self._last = now
        self._pending.append((now, step, figures, seconds, left, trained))

    def _show(self, now: float) -> None:
        """The steps whose dumps are there, or will not come, in their order."""
        while self._pending:
            came, step, figures, seconds, left, trained = self._pending[0]
            read = None
            if trained and self.dumps is not None:
                read = self._read(self.dumps / f"{step}.jsonl")
                if read is None and now - came < _DUMP:
                    return
            self._pending.popleft()
            if trained:
                line = step_line(step, self.steps, figures, read, seconds, left)
                if self._bar is None or now - self._stayed >= APART or step in (self.done + 1, self.steps):
                    self._write(line)
                    self._stayed = now
            if line := validation_line(step, self.steps, figures):
                self._write(line)

    def _read(self, dump: Path) -> Read | None:
        """None for a dump that isn't whole yet, or is of an earlier start, which ended before the step's figures."""
        try:
            if dump.stat().st_mtime < self._since or not _is_whole(dump):
                return None
            return read_answers(read_dump(dump))
        except (OSError, DataError):
            return None

    def _wait(self, now: float) -> None:
        for line in self._log.lines():
            for text, phase in _PHASES[self.stage]:
                if text and text in line:
                    self._phase = phase
        if self._bar is None and now - self._said >= _PATIENCE:
            self._said = now
            self._write(f"waits      {self._phase}, {duration(now - self._begun)} since the start")

    def _draw(self, now: float) -> None:
        if now - self._drawn < 0.5:
            return
        self._drawn = now
        if self._step == self.done:
            text = f"{self._phase}, {duration(now - self._begun)}"
        else:
            text = f"step {min(self._step + 1, self.steps)} for {duration(now - self._last)}"
            if self._times:
                left = fmean(self._times) * (self.steps - self._step) - (now - self._last)
                text += f", {duration(max(left, 0))} left"
        self._bar.n = self._step
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.refresh()

    def _write(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)
