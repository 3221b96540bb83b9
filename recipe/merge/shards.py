"""A checkpoint's weights, made whole: the ranks' shards put together, without verl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.models.checkpoints import Checkpoint

if TYPE_CHECKING:
    import torch


def weight_names(checkpoint: Checkpoint) -> list[str]:
    """Names of the parameters in a checkpoint; no weight is read."""
    import torch

    return list(torch.load(checkpoint.shards[0], map_location="cpu", weights_only=False, mmap=True))


def load_shards(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Parameter name -> whole tensor, in the run's own precision, on the CPU. Reads the shards without verl.

    With replicas (HSDP) the first one is read. DataError if the shards don't make up the shapes that they declare.
    """
    import torch
    from torch.distributed.tensor import DTensor
    from tqdm import tqdm

    pieces: dict[str, list[torch.Tensor]] = {}
    declared: dict[str, DTensor | torch.Tensor] = {}
    shards = checkpoint.shards
    for rank, path in enumerate(tqdm(shards, desc="reading shards", unit="rank", leave=False, disable=None)):
        for name, value in torch.load(path, map_location="cpu", weights_only=False, mmap=True).items():
            if isinstance(value, DTensor):
                if rank < value.device_mesh.mesh.shape[-1]:  # the rest are replicas
                    pieces.setdefault(name, []).append(value.to_local())
            elif rank == 0:
                pieces[name] = [value]
            declared.setdefault(name, value)
    whole = {}
    for name, value in declared.items():
        placement = value.placements[-1] if isinstance(value, DTensor) else None
        parts = pieces[name]
        whole[name] = torch.cat(parts, dim=placement.dim) if placement and placement.is_shard() else parts[0]
        if whole[name].shape != value.shape:
            raise DataError(
                f"{checkpoint.folder}: the shards of {name} make up {tuple(whole[name].shape)}, not "
                f"{tuple(value.shape)}; they are not of the same run"
            )
    return whole
