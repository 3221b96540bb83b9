"""How much of a run's update the sampled policy carries: what rounding to the rollouts' precision leaves of it.

    weights of 1 that went up by 0.001, rollouts in bf16, whose numbers are 0.008 apart there:
    actor/update_carried is 0, the rollouts are the first model's, and the master weights' model is another one

verl keeps a master copy of the weights in fp32, rounds it for the forward pass, and hands it to vLLM, which rounds it,
too. Where a learning rate's steps are smaller than half of a rounding step, the update is lost in both: the gradient
is taken at weights that don't move, the reward looks calm, and the master drifts. This curve shows it. It is in
metrics, TensorBoard, the step's line and the report wherever the rollouts' precision is coarser than the master's.

`Tells` is a mix-in of verl's training engines: of recipe.engines.cpu, and of recipe.engines.gpu on GPUs.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch.distributed import ProcessGroup

METRIC = "update_carried"  # verl writes it as actor/update_carried
VARIABLE = "NER_ROLLOUT_DTYPE"  # how recipe.train tells verl's workers `rollout.dtype`
DTYPES = ("bfloat16", "float16", "half")  # vLLM's names of what is coarser than fp32, which are PyTorch's, too
MOST = 16_384  # of a tensor's weights: of some millions in all, which no clock notices, a share is exact to the percent


class Carried:
    """A model's trained weights as they are now, a sample of them, to be compared with what they are later."""

    def __init__(self, model: torch.nn.Module, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self.start = [_sample(weight) for weight in _trained(model)]

    def share(self, group: ProcessGroup | None = None) -> float:
        """1 - ||rounded update - update|| / ||update||, over the ranks of `group`, each of which has to call.

        1 where all of the update arrives, 0 where none does. Below 0 where rounding changed the model more than the
        update did; 1 for no update. In units of the weights, all tensors together.
        """
        import torch

        lost = whole = 0.0
        for weight, start in zip(_trained(self.model), self.start, strict=True):
            now = _sample(weight)
            update = now - start
            seen = now.to(self.dtype).float() - start.to(self.dtype).float()
            each = _local(weight).numel() / max(1, now.numel())  # how many weights a sampled one stands for
            lost += each * (seen - update).square().sum().item()
            whole += each * update.square().sum().item()
        sums = torch.tensor([lost, whole], dtype=torch.float64)
        if group is not None and torch.distributed.get_world_size(group) > 1:
            sums = sums.to(_trained(self.model)[0].device)
            torch.distributed.all_reduce(sums, group=group)
        lost, whole = sums.tolist()
        return 1 - (lost / whole) ** 0.5 if whole else 1.0


def _trained(model: torch.nn.Module) -> list[torch.Tensor]:
    """Asked for anew each time: offloading may put others in their place."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def _local(weight: torch.Tensor) -> torch.Tensor:
    """This rank's part of a weight, (rows, columns) or as FSDP flattened it."""
    return (weight.to_local() if hasattr(weight, "to_local") else weight).detach()


def _sample(weight: torch.Tensor) -> torch.Tensor:
    """At most MOST weights of this rank's part, (sampled,), in fp32 on the CPU.

    Every so many, an odd number: it runs over all columns of a matrix, whose width is even.
    """
    import torch

    flat = _local(weight).reshape(-1)
    return flat[:: math.ceil(flat.numel() / MOST) | 1].to("cpu", torch.float32, copy=True)


class Tells:
    """A training engine of verl's that reports METRIC of every update, since the run's first or since it went on."""

    _carried: Carried | None = None

    def train_batch(self, data, loss_function):
        if self._carried is None and (dtype := coarser(self.module, os.environ.get(VARIABLE))):
            self._carried = Carried(self.module, dtype)
        outputs = super().train_batch(data, loss_function)
        if self._carried:
            share = self._carried.share(self.get_data_parallel_group())
            if self.is_mp_src_rank_with_outputs():
                outputs["metrics"][METRIC] = [share]  # verl gathers ranks' lists into one
        return outputs


def coarser(model: torch.nn.Module, name: str | None) -> torch.dtype | None:
    """The precision that vLLM calls `name`, if trained weights are kept in a finer one; None where none is rounded."""
    import torch

    dtype = getattr(torch, name) if name in DTYPES else None
    kept = [torch.finfo(weight.dtype).eps for weight in _trained(model)]
    return dtype if dtype and kept and min(kept) < torch.finfo(dtype).eps else None
