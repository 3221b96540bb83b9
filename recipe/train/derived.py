"""The settings that follow from the model and the machine, as Hydra overrides: one definition for plan, check and run.

    actor_rollout_ref.rollout.max_model_len=6144       prompt and response, not all of the model's positions
    actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=2432     the largest tensor
    ray_kwargs.ray_init.num_cpus=6                     what verl's actors ask Ray for
    model.override_config.attn_implementation=sdpa     without flash-attn
    model.use_fused_kernels=true                       with SDPA on a GPU

Each is set only where the user has not set it: neither on the command line nor, to another value than verl's, in YAML.
`check` refuses what was set and can't work.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recipe.core.entities import DataError
from recipe.models import weight_bucket
from recipe.models.weight_bucket import Model
from recipe.ray_cluster.placement import CPUS_KEY, cpus_needed
from recipe.train import flash_attention
from recipe.train.config import stage_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

LENGTH_KEY = "actor_rollout_ref.rollout.max_model_len"
_ATTENTION, _FUSED = "override_config.attn_implementation", "use_fused_kernels"
VERLS_ATTENTION = "flash_attention_2"
# Models whose logits are what verl's fused output layer computes: their head's matrix times the last state, no more.
# (Gemma caps them, Granite and Cohere scale them, Phi adds a bias, GPT-2's body has another name.)
FUSED_KINDS = ("llama", "mistral", "qwen2", "qwen3", "internlm2")


@dataclass(frozen=True, slots=True)
class Machine:
    """`lacks_flash`: why flash-attn can't be used, empty if it can. `cpus` of a Ray that is started here, else None."""

    lacks_flash: str = ""
    cpus: int | None = None

    @classmethod
    def here(cls, config: DictConfig) -> Machine:
        """This machine, for the run of a configuration."""
        lacks = "flash-attn needs a GPU" if config.trainer.device == "cpu" else flash_attention.missing()
        if stage_of(config) == "sft" or os.environ.get("RAY_ADDRESS"):
            return cls(lacks)
        from ray._private.utils import get_num_cpus

        return cls(lacks, int(get_num_cpus(override_docker_cpu_warning=True)))


@dataclass(frozen=True, slots=True)
class Derived:
    """One setting, and why it has this value."""

    key: str
    value: object
    why: str

    @property
    def override(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{'++' if self.key.endswith(_ATTENTION) else ''}{self.key}={value}"

    @property
    def line(self) -> str:
        return f"set        {self.override.lstrip('+')} ({self.why})"


def derive(config: DictConfig, overrides: Sequence[str], model: Model, machine: Machine) -> tuple[Derived, ...]:
    """The settings that an experiment, composed with these overrides, still lacks."""
    given = _keys(overrides)
    found = _attention(config, model, machine)
    if stage_of(config) == "grpo":
        found += _rollout(config, model, machine)
    return tuple(setting for setting in found if setting.key not in given)


def follows_the_machine(key: str) -> bool:
    """True for a key of these settings: they say on what a run goes, not what is learned."""
    return key in (weight_bucket.KEY, LENGTH_KEY, CPUS_KEY) or key.endswith((f".{_ATTENTION}", f".{_FUSED}"))


def check(config: DictConfig, model: Model, machine: Machine, positions: int | None = None) -> None:
    """DataError for a setting of these that can't work, naming its key and a value that would."""
    key = f"{_section(config)}.{_ATTENTION}"
    if _select(config, key) == VERLS_ATTENTION and machine.lacks_flash:
        raise DataError(f"{key}={VERLS_ATTENTION}: {machine.lacks_flash}; set it to sdpa, or leave it out")
    if stage_of(config) == "sft":
        return
    weight_bucket.check(config, model)
    _check_length(config, positions)
    cpus, need = _select(config, CPUS_KEY), cpus_needed(config)
    if machine.cpus is not None and int(cpus or machine.cpus) < need:
        raise DataError(
            f"{CPUS_KEY}={cpus or machine.cpus}: verl's actors ask Ray for {need} and would wait for ever; "
            f"set it to {need} (they are logical), or leave it out"
        )


def _attention(config: DictConfig, model: Model, machine: Machine) -> list[Derived]:
    section, found = _section(config), []
    attention = _select(config, f"{section}.{_ATTENTION}")
    if attention is None and machine.lacks_flash:
        attention = "sdpa"
        found.append(Derived(f"{section}.{_ATTENTION}", attention, machine.lacks_flash))
    if (
        not str(attention or VERLS_ATTENTION).startswith("flash")
        and config.trainer.device != "cpu"
        and not _select(config, f"{section}.{_FUSED}")
        and model.kind in FUSED_KINDS
        and not _select(config, "actor_rollout_ref.actor.calculate_sum_pi_squared")  # needs the logits
    ):
        why = "without flash-attn's cross entropy the logits would take several times the memory"
        found.append(Derived(f"{section}.{_FUSED}", True, why))
    return found


def _rollout(config: DictConfig, model: Model, machine: Machine) -> list[Derived]:
    found, prompt, response = [], int(config.data.max_prompt_length), int(config.data.max_response_length)
    if _select(config, LENGTH_KEY) is None:
        why = f"data.max_prompt_length {prompt} + data.max_response_length {response}"
        found.append(Derived(LENGTH_KEY, prompt + response, why))
    bucket, need = int(_select(config, weight_bucket.KEY)), weight_bucket.needed(config, model)
    # On a CPU weights go through shared memory, which a smaller bucket spares.
    if bucket == weight_bucket.VERLS and (need > bucket or config.trainer.device == "cpu"):
        why = f"the model's largest tensor has {need} MiB"
        found.append(Derived(weight_bucket.KEY, weight_bucket.rounded(need), why))
    need = cpus_needed(config)
    if machine.cpus is not None and _select(config, CPUS_KEY) is None and machine.cpus < need:
        why = f"verl's actors ask Ray for so many, logical ones; this machine has {machine.cpus}"
        found.append(Derived(CPUS_KEY, need, why))
    return found


def _check_length(config: DictConfig, positions: int | None) -> None:
    """verl finds both late: when its servers start, and at the first long prompt."""
    length, prompt = _select(config, LENGTH_KEY), int(config.data.max_prompt_length)
    if length is not None and int(length) <= prompt:
        total = prompt + int(config.data.max_response_length)
        raise DataError(f"{LENGTH_KEY}={length}: no room after data.max_prompt_length={prompt}; set it to {total}")
    if length is not None and positions and int(length) > positions:
        raise DataError(f"{LENGTH_KEY}={length}: the model has {positions} positions; set it to {positions} or less")
    rollout = config.actor_rollout_ref.rollout
    if length is not None and not rollout.enable_chunked_prefill and rollout.max_num_batched_tokens < int(length):
        key = "actor_rollout_ref.rollout.max_num_batched_tokens"
        raise DataError(
            f"{key}={rollout.max_num_batched_tokens}: a prompt is computed whole here (enable_chunked_prefill=false), "
            f"and {LENGTH_KEY} is {length}; set it to {length} or more"
        )


def _keys(overrides: Sequence[str]) -> set[str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return {override.key_or_group for override in OverridesParser.create().parse_overrides(list(overrides))}


def _select(config: DictConfig, key: str) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.select(config, key)


def _section(config: DictConfig) -> str:
    return "actor_rollout_ref.model" if stage_of(config) == "grpo" else "model"
