"""Which checkpoints of a run's folder go: all but the newest few, and the best by validation.

    removed   global_step_10: two newer ones are whole, and trainer.max_actor_ckpt_to_keep is 2
    removed   global_step_30: not whole, left by an end while it was written

`recipe.train` tidies a folder before a run resumes, and both trainers do after each new checkpoint (`AfterSave`, verl's
own hook, for GRPO; `sft.train` for SFT). verl's own removal is off then: it would take the best one, and it knows only
those written since its last start. Where no number is to be kept, nothing goes. Only what is understood goes: folders
that hold nothing but files of verl's, and only while the checkpoint that the tracker file names is whole.

GRPO writes a checkpoint before it validates it. So the newest may be the best, and the best of the others stays too.
"""

import re
import shutil
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.models.checkpoints import TRACKER, is_whole, newest, steps
from recipe.models.validation import best, early_stop, is_validated, patience_of, validation, validations

_KEYS = ("max_ckpt_to_keep", "max_actor_ckpt_to_keep")  # SFT's and GRPO's
# All that verl's FSDP trainers write into global_step_N and its actor/. What else is there, somebody put there.
_OWN = re.compile(
    r"actor|huggingface|transfer_queue|lora_adapter|data(_\d+)?\.pt|fsdp_config\.json|lora_train_meta\.json"
    r"|(model|optim|extra_state)_world_size_\d+_rank_\d+\.pt"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """How many checkpoints a configuration keeps (None: all), the setting that says so, and if one is best."""

    number: int | None
    key: str
    best: bool = False

    @property
    def most(self) -> int:
        """Checkpoints on disk at one time: those kept, and the new one, which is written before an old one goes."""
        return (self.number or 1) + 1 + (self.best and self.number is not None)


def kept(config: Mapping[str, Any]) -> Kept:
    """What the section `trainer` of a configuration keeps; the best besides, where the run is validated."""
    trainer = config["trainer"]
    key = next((key for key in reversed(_KEYS) if key in trainer), _KEYS[0])
    number = trainer.get(key)
    number = number if isinstance(number, int) and number > 0 else None
    return Kept(number, f"trainer.{key}", is_validated(config))


def checkpoint_bytes(parameters: int, trained: int) -> int:
    """Bytes of one checkpoint, all ranks together: fp32 parameters, and two AdamW moments of the trained ones."""
    return 4 * parameters + 8 * trained


def _going(run: Path, keep: Kept) -> dict[Path, str]:
    """The folders of checkpoints that the run needs no more, ascending, and why: older than those kept, or not whole.

    The best by validation of those that are whole is kept, also where no more validations come (`keep.best`).
    OSError where one can't be read: it may be whole.
    """
    if keep.number is None or not (there := steps(run)):
        return {}
    last = newest(run)
    whole = [step for step in there if is_whole(run, step)]
    if last not in whole and (whole or (run / TRACKER).exists()):
        return {}  # a run that verl can't resume, or that isn't only verl's
    known = {step: one for step, one in validations(run).items() if step in whole and step <= last}
    stay = {*[step for step in whole if step <= last][-keep.number :], best(known)}
    found = {}
    for step in there:
        folder = run / f"global_step_{step}"
        if not _is_verls(folder):
            continue
        if step not in whole:
            found[folder] = "not whole, left by an end while it was written or removed"
        elif step < last and step not in stay:
            number = f"{keep.number} newer {'one is' if keep.number == 1 else 'ones are'} there"
            found[folder] = f"{number}, and {keep.key}={keep.number}"
    return found


def tidy(run: Path, keep: Kept) -> list[str]:
    """Remove those folders; a line for each. What can't be removed stays, and its line says so.

    Nothing goes while a checkpoint can't be read, and no error of the file system ends a run.
    """
    lines = []
    try:
        found = _going(run, keep)
    except OSError as error:
        return [f"kept       {run}: all its checkpoints, since they can't be looked at ({error})"]
    for folder, why in found.items():
        try:
            shutil.rmtree(folder)
            lines.append(f"removed    {folder}: {why}")
        except OSError as error:
            lines.append(f"kept       {folder}: {why}, but it can't be removed ({error})")
    return lines


def replaced(run: Path, keep: Kept) -> int:
    """Bytes in a run's folder that make room as it resumes: what is going, and what new checkpoints will replace."""
    if keep.number is None or not run.is_dir():
        return 0
    last = newest(run)
    folders = _going(run, keep).keys() | {
        run / f"global_step_{step}"
        for step in steps(run)
        if step <= last and is_whole(run, step) and _is_verls(run / f"global_step_{step}")
    }
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def _is_verls(folder: Path) -> bool:
    """True for a folder in which everything has a name of verl's."""
    if folder.is_symlink():
        return False
    inside = [*folder.iterdir(), *(folder / "actor").glob("*")]
    return all(_OWN.fullmatch(path.name) and not path.is_symlink() for path in inside)


class AfterSave:
    """verl's hook for a new checkpoint, as `trainer.checkpoint_callback_class`; it is written and tracked by then.

    It alone removes checkpoints: the configuration's number is taken from verl as the hook is made. Where the
    configuration has `patience`, it ends verl's GRPO as well, right after the validation that exhausted it.
    """

    def __init__(self, config: MutableMapping[str, Any]) -> None:
        self.keep, self.patience = kept(config), patience_of(config)
        self.run = Path(config["trainer"]["default_local_dir"])
        if self.keep.number is not None:
            config["trainer"][self.keep.key.removeprefix("trainer.")] = None
        self._trainer: Any = None

    def on_save(self, trainer: Any = None, async_save: bool = False, **_: object) -> None:
        if not async_save:
            for line in tidy(self.run, self.keep):
                print(line, flush=True)
        if self.patience and trainer is not None:
            # verl validates after it has saved, then hands the figures to its loggers: be one of them, the last.
            self._trainer = trainer
            trainer.logger.logger[type(self).__name__] = self

    def log(self, data: Mapping[str, Any], step: int) -> None:
        """A step's figures, after verl's `file` logger wrote them: if the run ends here, make it the last step."""
        if (validation(data) or newest(self.run) == step) and (why := self.why_to_stop()):
            print(f"stops after step {step}: {why}", flush=True)
            self._trainer.total_training_steps = step

    def why_to_stop(self) -> str | None:
        """Why the run ends at its newest checkpoint, if it does. It goes on where its figures can't be read now."""
        try:
            return early_stop(self.run, self.patience)
        except OSError as error:
            print(f"goes on    {self.run}: its figures can't be read ({error})", flush=True)
            return None
