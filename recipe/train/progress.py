"""What a run shows of itself while it trains: what it waits for, a line a step, validation, checkpoints, a bar.

    waits      loading the model, 30 s since the start
    step  0/30  validation F1 0.346 (Broad Tweet Corpus 0.383, bc5cdr 0.309), readable 0.84
    step  1/30  reward  7.50  F1 0.402  silent 0.12  readable 0.93  answer  49 tokens  25 s, 12 min 05 s left
    step 10/30  saved outputs/quickstart/grpo/global_step_10

The figures are those of verl's `file` logger (recipe.models.run_log shows a line; recipe.train.answer_figures those of
a GRPO step's answers). On a terminal a bar shows every step and the time, and a line
stays every fifteen seconds at most; elsewhere every step has its line, and what is waited for has one each 30 s.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TextIO

from recipe.models import checkpoints
from recipe.models.validation import by_dataset, validation

if TYPE_CHECKING:
    from tqdm import tqdm

APART = 15.0  # seconds between two lines of steps that stay on a terminal
_PATIENCE = 30.0  # seconds between two lines about what is waited for, where no line can be overwritten
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
    seconds: float | None = None,
    left: float | None = None,
) -> str:
    """One step of training, of what is known of it.

    `silent` is the share of the answers that name nothing where there is a name, `carried` what the rollouts have of
    the update (recipe.engines.rollout_rounding).
    """
    parts = [_of(step, steps)]
    for name, key, form in (("reward", "critic/score/mean", "6.2f"), ("loss", "train/loss", "7.4f")):
        if key in figures:
            parts.append(f"{name} {figures[key]:{form}}")
    if "answers/f1" in figures:
        parts.append(f"F1 {figures['answers/f1']:.3f}")
    if "answers/names_nothing" in figures:
        parts.append(f"silent {figures['answers/names_nothing']:.2f}")
    if "answers/unparsable" in figures:
        parts.append(f"readable {1 - figures['answers/unparsable']:.2f}")
    if "actor/update_carried" in figures:
        parts.append(f"carried {figures['actor/update_carried']:.2f}")
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

    `done` are the steps of earlier starts.
    """

    stage: str
    steps: int
    done: int
    run: Path
    metrics: Path
    log: Path
    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _times: deque = field(default_factory=lambda: deque(maxlen=_RECENT))

    def __post_init__(self) -> None:
        self._figures = Tail(self.metrics)
        self._log = Tail(self.log, self.log.stat().st_size if self.log.is_file() else 0)
        self._phase, self._begun, self._said = _PHASES[self.stage][0][1], self.clock(), self.clock()
        self._ready, self._last, self._stayed, self._drawn = None, self.clock(), -math.inf, -math.inf
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
        if (saved := checkpoints.newest(self.run)) != self._saved:
            self._saved = saved
            self._write(f"{_of(saved, self.steps)}  saved {self.run}/global_step_{saved}")
        if self._bar is not None:
            self._draw(now)

    def close(self) -> None:
        """Show the last of it."""
        self.look()
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
        self._last = self._said = now
        if trained:
            line = step_line(step, self.steps, figures, seconds, left)
            if self._bar is None or now - self._stayed >= APART or step in (self.done + 1, self.steps):
                self._write(line)
                self._stayed = now
        if line := validation_line(step, self.steps, figures):
            self._write(line)

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
