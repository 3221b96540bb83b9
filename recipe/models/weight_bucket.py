"""The bucket in which verl moves a policy's weights to vLLM after each step, and what it must hold.

Over shared memory, which is the way without a GPU, a tensor above the bucket ends the run in its first step; over CUDA
IPC it passes by itself. verl sends parameters whole, from every rank, in the dtype in which the actor keeps them.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipe.core.entities import DataError
from recipe.models.architecture import Architecture, from_config
from recipe.models.safetensors_header import tensors

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEY = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes"
VERLS = 2048  # verl's default
_DTYPE = "actor_rollout_ref.actor.fsdp_config.model_dtype"
_STEP, _MIB = 64, 2**20  # sizes are multiples of so many MiB
_BYTES = {"fp32": 4, "float32": 4, "fp16": 2, "float16": 2, "half": 2, "bf16": 2, "bfloat16": 2}
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Model:
    """A model's type and the shapes of its tensors: all that its files hold, else the largest by its architecture.

    No shapes where neither tells them, and nothing then follows from them.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of_folder(cls, folder: Path, config: dict[str, Any]) -> Model:
        """`config` is the language model's part of the folder's config.json."""
        if shapes := tuple(tensor.shape for tensor in tensors(folder).values()):
            return cls(str(config.get("model_type")), shapes)
        try:
            return cls.of(from_config(config, str(folder)))
        except DataError:  # another architecture, in files of PyTorch's
            return cls(str(config.get("model_type")), ())

    @classmethod
    def of(cls, shape: Architecture) -> Model:
        wide = (shape.vocabulary, shape.mlp, shape.query)
        return cls(shape.kind, tuple((width, shape.hidden) for width in wide))


def bytes_of(dtype: str, key: str) -> int:
    """Bytes of a number. DataError for a dtype that isn't known."""
    if dtype not in _BYTES:
        raise DataError(f"{key}={dtype}: known are {', '.join(_BYTES)}")
    return _BYTES[dtype]


def needed(config: DictConfig, model: Model) -> int:
    """MiB of the largest tensor that is sent; 0 where verl cuts it into pieces.

    With LoRA only adapters are sent, unless they are merged or vLLM has to get the base from the actor, too.
    """
    from omegaconf import OmegaConf

    rollout, section = config.actor_rollout_ref.rollout, config.actor_rollout_ref.model
    if rollout.checkpoint_engine.backend != "naive":
        return 0
    rank, merged = int(section.get("lora_rank") or 0), (section.get("lora") or {}).get("merge")
    if rank and not merged and "dummy" not in str(rollout.load_format):
        numbers = rank * max((max(shape) for shape in model.shapes if shape), default=0)
    else:
        numbers = max((math.prod(shape) for shape in model.shapes), default=0)
    return -(-numbers * bytes_of(str(OmegaConf.select(config, _DTYPE) or "fp32"), _DTYPE) // _MIB)


def rounded(size: int) -> int:
    """The bucket, in MiB, for a largest tensor of `size`."""
    return max(_STEP, -(-size // _STEP) * _STEP)


def check(config: DictConfig, model: Model) -> None:
    """DataError for a bucket that is too small, or one on a CPU that shared memory has no room for."""
    size = int(config.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes)
    if size < (need := needed(config, model)):
        raise DataError(f"{KEY}={size}: the model's largest tensor has {need} MiB; set it to {rounded(need)}")
    if config.trainer.device == "cpu" and _SHARED_MEMORY.is_dir():
        # A rank that writes where there is no room ends with SIGBUS, without a word.
        whole = -(-sum(math.prod(shape) for shape in model.shapes) * _BYTES["fp32"] // _MIB)
        asked = min(size, whole) * int(config.trainer.n_gpus_per_node)
        room = os.statvfs(_SHARED_MEMORY)
        free = room.f_bavail * room.f_frsize // _MIB
        if free < asked:
            raise DataError(
                f"{_SHARED_MEMORY}: {free} MiB free, and weights on their way to vLLM take {asked}; make it larger "
                "(a container's --shm-size)"
            )
