"""What a run's validations say: a figure each, which was the best, and whether the run has got no better for long.

    step  figure            metrics/*.jsonl, as recipe.models.run_log reads them
    0     F1 0.346          mean over the data sets of `val-core/DATASET/acc/mean@1`; without F1, the reward's
    10    F1 0.412          the best, and of equal ones the first. SFT's is `val/loss`, of which less is better
    20    F1 0.398          one validation in a row that was not better

A step may be validated without a checkpoint, as step 0 is. "The best" of `recipe.merge --step best` and of retention is
the best of the steps that have a whole checkpoint.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from recipe.core.entities import DataError
from recipe.models.checkpoints import Checkpoint, find_checkpoint, is_whole, newest, open_checkpoint, steps
from recipe.models.run_log import read_metrics

PATIENCE = "patience"  # our key at the top of a configuration, which verl doesn't read
_FORMS = {"F1": ".3f", "reward": ".2f", "loss": ".4f"}


@dataclass(frozen=True, slots=True)
class Validation:
    """One step's figure: mean F1 in [0, 1] (or mean reward) of `datasets`, or the loss, in nats a token."""

    name: str
    value: float
    datasets: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.name} {self.shown(self.value)}"

    @property
    def goodness(self) -> float:
        """More is better."""
        return -self.value if self.name == "loss" else self.value

    def shown(self, value: float) -> str:
        """A figure of this kind, as people read it."""
        return f"{value:{_FORMS[self.name]}}"


def validation(figures: Mapping[str, float]) -> Validation | None:
    """What a step's figures say of its validation, None without one."""
    if "val/loss" in figures:
        return Validation("loss", figures["val/loss"], {})
    for name, end in (("F1", "/f1/mean@1"), ("F1", "/acc/mean@1"), ("reward", "/reward/mean@1")):
        if datasets := by_dataset(figures, end):
            return Validation(name, fmean(datasets.values()), datasets)
    return None


def by_dataset(figures: Mapping[str, float], end: str) -> dict[str, float]:
    """Dataset -> the figure that `val-core/DATASET` or `val-aux/DATASET` and this end name."""
    return {
        key.removesuffix(end).partition("/")[2]: value
        for key, value in figures.items()
        if key.startswith(("val-core/", "val-aux/")) and key.endswith(end)
    }


def validations(run: Path) -> dict[int, Validation]:
    """Step -> its validation, ascending."""
    found = {step: validation(figures) for step, figures in read_metrics(run).items()}
    return {step: one for step, one in found.items() if one}


def best(found: Mapping[int, Validation]) -> int | None:
    """The step of the best one, of equal ones the first; None where none is a number."""
    numbers = [step for step, one in found.items() if math.isfinite(one.value)]
    return max(numbers, key=lambda step: (found[step].goodness, -step), default=None)


def best_checkpoint(run: Path) -> tuple[Checkpoint, list[str]]:
    """The whole checkpoint whose validation was the best, and in a line or two what it is the best of.

    DataError where no validation is on file, or none of a step that has a whole checkpoint.
    """
    if not steps(run):
        own = find_checkpoint(run)  # says what isn't a run's folder
        raise DataError(f"{run}: is one checkpoint; for the best of the run give its folder, {own.run}")
    found = validations(run)
    if (top := best(found)) is None:
        raise DataError(
            f"{run}: no validation in its metrics/*.jsonl; give --step N or latest, and for the next run set "
            "trainer.test_freq and data.val_files"
        )
    whole = {step: one for step, one in found.items() if is_whole(run, step)}
    chosen = best(whole)
    if chosen is None:
        raise DataError(
            f"{run}: validated were steps {_listed(found)}, checkpoints are of {_listed(steps(run))}; give --step N, "
            "and for the next run set trainer.save_freq to trainer.test_freq"
        )
    end = max(found)
    lines = [f"step {chosen} is the best by validation: {found[chosen]}; the last, step {end}: {found[end]}"]
    if found[top].goodness > found[chosen].goodness:
        lines.append(f"step {top} was better ({found[top]}), but has no whole checkpoint")
    return open_checkpoint(run, chosen), lines


def _listed(numbers: Mapping[int, object] | list[int]) -> str:
    return ", ".join(map(str, numbers))


def early_stop(run: Path, patience: int | None) -> str | None:
    """Why a run ends before its last step, None if it goes on: its last `patience` validations, or more, got no better.

    Those count that the newest checkpoint holds the steps of; what came later would be done again after a resume.
    """
    if patience is None or not (last := newest(run)):
        return None
    found = {step: one for step, one in validations(run).items() if step <= last}
    top = best(found)
    after = [step for step in found if top is not None and step > top]
    if len(after) < patience:
        return None
    many = f"{len(after)} validations in a row were" if len(after) > 1 else "one validation was"
    return f"{many} not better than step {top}'s {found[top]}; the last, step {after[-1]}: {found[after[-1]]}"


def is_validated(config: Mapping[str, Any]) -> bool:
    """Whether a run of this configuration is validated on its way."""
    often = config["trainer"].get("test_freq")
    return bool((config.get("data") or {}).get("val_files")) and (isinstance(often, str) or (often or 0) > 0)


def patience_of(config: Mapping[str, Any]) -> int | None:
    """After how many validations without a better one a run ends; None: never. DataError where it can't tell."""
    patience = config.get(PATIENCE)
    if patience is None:
        return None
    if not isinstance(patience, int) or isinstance(patience, bool) or patience < 1:
        raise DataError(f"{PATIENCE}={patience}: a number of validations, 1 or more")
    trainer, asked = config["trainer"], f"{PATIENCE}={patience} counts validations"
    if not is_validated(config):
        raise DataError(f"{asked}, and this run has none on its way; set data.val_files and trainer.test_freq")
    if "file" not in trainer["logger"]:
        raise DataError(f"{asked} in the run's metrics/*.jsonl; add file to trainer.logger")
    saved = trainer["save_freq"]
    if not isinstance(saved, str) and saved <= 0:
        raise DataError(f"{asked}, and ends a run at a checkpoint; set trainer.save_freq")
    return patience
