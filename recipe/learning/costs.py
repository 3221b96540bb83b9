"""What a training run took: its steps, its rows, and the seconds of its steps, from the run's folder.

    cost(Path("outputs/learning/tiny/seed_1/runs/grpo"))
    Cost(experiment="grpo_tiny", stage="grpo", model="...", steps=60, batch=12, rows=240, seconds=368.2, ...)

Seconds are of training steps alone, checkpoints included; start and validation are not among them. GRPO's steps tell
theirs (`timing_s/step`). verl's SFT trainer doesn't: its steps are timed by the clock of the figures that it wrote for
TensorBoard, from one step to the next within one start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.output import read_manifest
from recipe.models.run_log import read_metrics

STEP_TIME = "timing_s/step"


@dataclass(frozen=True, slots=True)
class Cost:
    """One run. `batch`: rows a step; `rows`: of its training file, None if not known; `seconds`: of all its steps."""

    experiment: str
    stage: str
    model: str
    steps: int
    batch: int
    rows: int | None
    seconds: float
    overrides: tuple[str, ...]
    versions: dict[str, str]

    @property
    def epochs(self) -> float:
        """How often the run saw each of its rows. DataError where nobody knows how many these are."""
        if not self.rows:
            raise DataError(f"{self.experiment}: how many rows it trains on is not known; its manifest.json is gone")
        return self.steps * self.batch / self.rows


def cost(run: Path) -> Cost:
    """DataError for a folder that recipe.train did not write, and for a run without the times of two steps."""
    import yaml

    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        experiment, stage, model = record["experiment"], record["stage"], record["model"]
        steps, batch = int(record["steps"]), int(settings["data"]["train_batch_size"])
        files = settings["data"]["train_files"]
        told = tuple(record["overrides"]), dict(record["versions"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{run}: no run's folder, or not whole; train it with python -m recipe.train") from error
    entry = read_manifest(run).get(Path(files).name, {}) if isinstance(files, str) else {}
    each = list(_grpo_seconds(run) if stage == "grpo" else _sft_seconds(run))
    if not each:
        where = "metrics" if stage == "grpo" else "tensorboard"
        raise DataError(f"{run}: how long its steps took is not in {where}/; it needs two steps, and verl's loggers")
    return Cost(experiment, stage, model, steps, batch, entry.get("rows"), sum(each) / len(each) * steps, *told)


def _grpo_seconds(run: Path) -> Iterator[float]:
    return (figures[STEP_TIME] for figures in read_metrics(run).values() if STEP_TIME in figures)


def _sft_seconds(run: Path) -> Iterator[float]:
    """Seconds from each step to the next one; a start's first step has none."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for path in sorted((run / "tensorboard").glob("events.out.tfevents.*")):
        before: tuple[int, float] | None = None
        for event in EventFileLoader(str(path)).Load():
            if not event.HasField("summary") or (before and event.step <= before[0]):
                continue
            if before and event.step == before[0] + 1:
                yield event.wall_time - before[1]
            before = event.step, event.wall_time
