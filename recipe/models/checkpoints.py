"""Where verl puts a run's FSDP checkpoints, and which of them are whole.

RUN/latest_checkpointed_iteration.txt               "40"
RUN/global_step_40/                                  SFT: the shards stand here
RUN/global_step_40/actor/                            GRPO: the policy's shards stand here
    fsdp_config.json                                 {"FSDP_version": 2, "world_size": 2}
    model_world_size_2_rank_0.pt, ..._rank_1.pt      one file of weights a rank
    huggingface/                                     config, tokenizer, generation_config; no weights
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError

TRACKER = "latest_checkpointed_iteration.txt"
_PREFIX = "global_step_"
_END_OF_ZIP = 22 + (1 << 16)  # bytes of the end record with the longest comment


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One step's weights: `folder` holds `world_size` shards and huggingface/."""

    run: Path
    step: int
    folder: Path
    world_size: int

    @property
    def shards(self) -> list[Path]:
        """The ranks' files of weights, in order of rank."""
        return [self.folder / f"model_world_size_{self.world_size}_rank_{r}.pt" for r in range(self.world_size)]

    @property
    def huggingface(self) -> Path:
        """Folder of the model's config and tokenizer."""
        return self.folder / "huggingface"


def steps(run: Path) -> list[int]:
    """Steps that have a checkpoint folder, whole or not, ascending."""
    names = (path.name.removeprefix(_PREFIX) for path in Path(run).glob(f"{_PREFIX}*") if path.is_dir())
    return sorted(int(name) for name in names if name.isdecimal())


def newest(run: Path) -> int:
    """The step that verl's tracker file names, which it writes after a checkpoint is whole; 0 if it names none."""
    text = _tracked(run)
    return int(text) if text.isdecimal() else 0


def _tracked(run: Path) -> str:
    tracker = Path(run) / TRACKER
    return tracker.read_text(encoding="utf-8").strip() if tracker.is_file() else ""


def find_checkpoint(run: Path, step: int | None = None) -> Checkpoint:
    """The checkpoint of a step; without one, the step in verl's tracker file, else the highest whole one.

    `run` may also be a `global_step_N` folder itself. DataError says what is missing and what there is instead.
    """
    run = Path(run)
    if not run.is_dir():
        raise DataError(f"{run}: no such folder; give a run's folder (verl's trainer.default_local_dir)")
    if run.name.startswith(_PREFIX) and run.name.removeprefix(_PREFIX).isdecimal() and not steps(run):
        named = int(run.name.removeprefix(_PREFIX))
        if step not in (None, named):
            raise DataError(f"{run}: is the checkpoint of step {named}, not {step}; give the run's folder {run.parent}")
        return open_checkpoint(run.parent, named)
    there = steps(run)
    if not there:
        raise DataError(f"{run}: no checkpoint ({_PREFIX}N) in it; give the folder verl saved to")
    listing = ", ".join(map(str, there))
    if step is not None:
        if step not in there:
            raise DataError(f"{run}: no checkpoint of step {step}; there are {listing}")
        return open_checkpoint(run, step)
    tracked = newest(run)
    if not tracked and (run / TRACKER).is_file():
        raise DataError(f"{run / TRACKER}: holds {_tracked(run)[:40]!r}, not a step; remove it or give --step")
    if tracked in there:
        return open_checkpoint(run, tracked)
    problem = None
    for candidate in reversed(there):
        try:
            return open_checkpoint(run, candidate)
        except DataError as error:
            problem = problem or error
    raise DataError(f"{run}: none of its checkpoints ({listing}) is whole; the newest: {problem}")


def open_checkpoint(run: Path, step: int) -> Checkpoint:
    """The checkpoint of a step that has a folder. DataError unless all its files are there and none is cut off.

    OSError where they can't be read now, which says nothing about them.
    """
    top = Path(run) / f"{_PREFIX}{step}"
    folder = top / "actor" if (top / "actor").is_dir() else top
    config = folder / "fsdp_config.json"
    if not config.is_file():
        raise DataError(f"{config}: missing; the checkpoint was not written to its end (or isn't an FSDP one)")
    try:
        world_size = int(json.loads(config.read_text(encoding="utf-8"))["world_size"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{config}: names no world_size; use another step") from error
    checkpoint = Checkpoint(Path(run), step, folder, world_size)
    missing = [shard.name for shard in checkpoint.shards if not shard.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{folder}: {len(missing)} of {world_size} shards missing ({missing[0]}{more}); "
            "copy them from the nodes that wrote them, or use another step"
        )
    # A .pt file is a ZIP archive, whose directory stands at its end.
    for shard in checkpoint.shards:
        if not _is_zip(shard):
            raise DataError(f"{shard}: cut off or damaged; copy it again, or use another step")
    for name in ("config.json", "tokenizer_config.json"):
        if not (checkpoint.huggingface / name).is_file():
            raise DataError(
                f"{checkpoint.huggingface / name}: missing; copy it from the base model, or use another step"
            )
    return checkpoint


def is_whole(run: Path, step: int) -> bool:
    """Whether a step has a checkpoint with all its files. OSError where they can't be read now."""
    try:
        return bool(open_checkpoint(run, step))
    except DataError:
        return False


def _is_zip(path: Path) -> bool:
    """OSError for a file that can't be read now, which zipfile takes for one that is no archive."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_OF_ZIP))
        file.read()
        return zipfile.is_zipfile(file)
