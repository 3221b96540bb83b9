"""What a plan has to know of an experiment, flat: sizes, lengths and switches, the model's shape, the device.

`recipe.plan.reading` fills it from a configuration; `Settings.key` says how a field is called there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recipe.models.architecture import Architecture
from recipe.train.derived import Derived

GIB = 2**30
ROLES = "actor_rollout_ref"
ACTOR = f"{ROLES}.actor"


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator: `memory` in bytes, `flops` a second at its peak, `bandwidth` of its memory in bytes a second."""

    name: str
    memory: int
    flops: float
    bandwidth: float

    @property
    def cpu(self) -> bool:
        return self.name == "cpu"


@dataclass(frozen=True, slots=True)
class Rollout:
    """vLLM's part of a GRPO run. Lengths are in tokens, sizes in bytes."""

    utilization: float
    tensor_parallel: int
    number: int  # bytes of a weight and of a number in the cache
    completions: int
    prompt: int
    response: int
    length: int
    sequences: int
    batched_tokens: int
    sleeps: bool
    eager: bool
    bucket: int


@dataclass(frozen=True, slots=True)
class Settings:
    """An experiment, flat. A micro-batch has `tokens` in an update and `scored_tokens` in a pass without gradients."""

    name: str
    model: Architecture
    gpus: int
    device: Device
    batch: int  # rows or prompts a step
    mini_batch: int  # sequences an optimizer step
    passes: int  # over a batch
    length: int  # the longest sequence
    tokens: int
    scored_tokens: int
    master: int  # bytes of a parameter as it is kept
    compute: int  # bytes of a number in a forward pass
    reduce: int  # bytes of a gradient on its way to its shard
    shards: int
    sequence_parallel: int
    checkpointing: bool
    liger: bool
    fused: bool
    flash: bool
    packed: bool
    entropy: bool  # in the update
    compiled: bool
    temperature: float
    param_offload: bool
    optimizer_offload: bool
    offload_policy: bool
    lora_rank: int
    keep: int
    epochs: int
    limit: int | None  # steps, where the experiment sets them
    data: str
    derived: tuple[Derived, ...] = ()
    rollout: Rollout | None = None
    reference: bool = False

    @property
    def trained(self) -> int:
        """Parameters that have a gradient."""
        return self.model.lora_parameters(self.lora_rank) if self.lora_rank else self.model.parameters

    @property
    def kept(self) -> int:
        """All parameters, adapters included."""
        return self.model.parameters + (self.trained if self.lora_rank else 0)

    @property
    def sequences(self) -> int:
        """Sequences that a step trains on, in one pass over the batch."""
        return self.batch * (self.rollout.completions if self.rollout else 1)

    def key(self, field: str) -> str:
        """The field's name on Hydra's command line."""
        grpo = self.rollout is not None
        engine, model = (ACTOR + ".fsdp_config", ROLES + ".model") if grpo else ("engine", "model")
        names = {
            "checkpointing": f"{model}.enable_gradient_checkpointing",
            "fused": f"{model}.use_fused_kernels",
            "param_offload": f"{engine}.param_offload",
            "optimizer_offload": f"{engine}.optimizer_offload",
            "offload_policy": f"{engine}.offload_policy",
            "tokens": f"{ACTOR}.ppo_max_token_len_per_gpu" if grpo else "data.max_token_len_per_gpu",
            "utilization": f"{ROLES}.rollout.gpu_memory_utilization",
        }
        return names[field]


def devices() -> dict[str, Device]:
    """The devices whose peak rates are known, by name."""
    import yaml

    table = yaml.safe_load((Path(__file__).parent / "devices.yaml").read_text(encoding="utf-8"))
    return {
        name: Device(name, int(row["memory"] * GIB), row["tflops"] * 1e12, row["bandwidth"] * 1e12)
        for name, row in table.items()
    }
