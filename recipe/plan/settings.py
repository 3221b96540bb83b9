"""What a plan has to know of an experiment, flat: sizes, lengths and switches, the model's shape, the device.

load("grpo_qwen3_8b", gpus=8, memory=80).tokens     # 24576

The keys are those of verl 0.9.1's FSDP engine, SFT trainer and PPO trainer.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.core.entities import DataError
from recipe.models.architecture import Architecture, read
from recipe.models.retention import Kept, checkpoint_bytes, kept
from recipe.models.weight_bucket import Model, bytes_of
from recipe.train import config as experiment
from recipe.train.batches import batch_size
from recipe.train.derived import VERLS_ATTENTION, Derived, Machine, derive

GIB = 2**30
ROLES = "actor_rollout_ref"
ACTOR = f"{ROLES}.actor"
_GPUS_A_NODE = 8


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
    length: int  # the longest sequence
    tokens: int
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
    compiled: bool
    param_offload: bool
    optimizer_offload: bool
    offload_policy: bool
    lora_rank: int
    keep: Kept  # checkpoints
    epochs: int
    limit: int | None  # steps, where the experiment sets them
    data: str
    derived: tuple[Derived, ...]
    passes: int = 1  # over a batch
    scored_tokens: int = 0
    entropy: bool = False  # in the update
    temperature: float = 1.0
    rollout: Rollout | None = None
    reference: bool = False
    log_probs: bool = False  # the old policy's are computed anew, not taken from the rollout

    @property
    def trained(self) -> int:
        """Parameters that have a gradient."""
        return self.model.lora_parameters(self.lora_rank) if self.lora_rank else self.model.parameters

    @property
    def kept(self) -> int:
        """All parameters, adapters included."""
        return self.model.parameters + (self.trained if self.lora_rank else 0)

    @property
    def checkpoint(self) -> int:
        """Bytes of one checkpoint of all ranks together."""
        return checkpoint_bytes(self.kept, self.trained)

    @property
    def disk(self) -> int:
        """Bytes of checkpoints at their most."""
        return self.keep.most * self.checkpoint

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


def on_gpus(number: int) -> list[str]:
    """Overrides that spread a run over this many GPUs, at most 8 a node. DataError unless 1 to 512."""
    if not 1 <= number <= 512:
        raise DataError(f"--gpus {number}: plans are made for 1 to 512")
    node = next(size for size in range(min(number, _GPUS_A_NODE), 0, -1) if number % size == 0)
    return [f"trainer.nnodes={number // node}", f"trainer.n_gpus_per_node={node}"]


def load(
    name: str,
    overrides: Sequence[str] = (),
    gpus: int | None = None,
    device: str | None = None,
    memory: float | None = None,
    hf_config: str | None = None,
) -> Settings:
    """Settings of an experiment on `gpus` devices of `memory` GiB. DataError for what can't be composed or divided.

    A GPU is taken to have flash-attn, unless the overrides ask for other attention.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = [*overrides, *(on_gpus(gpus) if gpus is not None else [])]
    config = experiment.compose(name, overrides)
    try:
        section = config[ROLES].model if ROLES in config else config.model
        model = read(str(section.path), hf_config)
        machine = Machine("flash-attn needs a GPU" if config.trainer.device == "cpu" else "")
        derived = derive(config, overrides, Model.of(model), machine)
        config = experiment.compose(name, [*overrides, *(setting.override for setting in derived)])
        # One resolved dictionary: sections of verl's that are not ours may hold what only resolves in its workers.
        tree = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise DataError(f"{name}: {' '.join(str(error).split())}") from error
    trainer = tree["trainer"]
    world = int(trainer["nnodes"]) * int(trainer["n_gpus_per_node"])
    target = _device(str(trainer["device"]), device, memory)
    engine = _engine(tree, world, target.cpu)
    parallel = engine["sequence_parallel"]
    own = _grpo(tree, world, parallel, model.positions) if ROLES in tree else _sft(tree, world, parallel)
    settings = Settings(
        name=name,
        model=model,
        gpus=world,
        device=target,
        batch=batch_size(tree, world),
        keep=kept(tree),
        epochs=int(trainer["total_epochs"]),
        limit=trainer["total_training_steps"],
        data=str(tree["data"]["train_files"]),
        derived=derived,
        **engine,
        **own,
    )
    _check_divides(settings)
    return settings


def _device(kind: str, name: str | None, memory: float | None) -> Device:
    table = devices()
    if name is None:
        fitting = [device.name for device in table.values() if memory and device.memory == int(memory * GIB)]
        name = "cpu" if kind == "cpu" else (fitting or ["h100"])[0]
    if name not in table:
        raise DataError(f"--device-name {name}: known are {', '.join(table)}")
    found = table[name]
    if memory is not None and memory <= 0:
        raise DataError(f"--memory {memory:g}: GiB of a GPU, so more than 0")
    return Device(name, int(memory * GIB) if memory else found.memory, found.flops, found.bandwidth)


def _check_divides(settings: Settings) -> None:
    """DataError unless shards and sequences go evenly over the GPUs, and the longest one fits into a micro-batch."""
    world = settings.gpus
    if world % settings.shards:
        raise DataError(f"fsdp_size={settings.shards} does not divide {world} ranks")
    if world % settings.sequence_parallel:
        raise DataError(f"ulysses_sequence_parallel_size={settings.sequence_parallel} does not divide {world} ranks")
    if settings.length > settings.tokens * settings.sequence_parallel:
        raise DataError(
            f"{settings.key('tokens')}={settings.tokens}: the longest sequence has {settings.length} tokens; raise it"
        )


def _engine(tree: Mapping[str, Any], world: int, cpu: bool) -> dict[str, Any]:
    """The fields that an FSDP engine's and a model's section decide."""
    roles = tree.get(ROLES)
    engine, model = (roles["actor"]["fsdp_config"], roles["model"]) if roles else (tree["engine"], tree["model"])
    precision = engine.get("mixed_precision") or {}
    size = int(engine["fsdp_size"])
    attention = (model.get("override_config") or {}).get("attn_implementation", VERLS_ATTENTION)
    return {
        "master": bytes_of(str(engine.get("model_dtype") or "fp32"), "model_dtype"),
        "compute": bytes_of(str(precision.get("param_dtype", "bf16")), "mixed_precision.param_dtype"),
        "reduce": bytes_of(str(precision.get("reduce_dtype", "fp32")), "mixed_precision.reduce_dtype"),
        "shards": world if size < 0 or size > world else size,
        "sequence_parallel": int(engine["ulysses_sequence_parallel_size"]),
        "checkpointing": bool(model["enable_gradient_checkpointing"]),
        "liger": bool(model["use_liger"]),
        "fused": bool(model["use_fused_kernels"]),
        "flash": str(attention).startswith("flash") and not cpu,
        "packed": bool(model["use_remove_padding"]),
        "compiled": bool(engine["use_torch_compile"]),
        "param_offload": bool(engine["param_offload"]),
        "optimizer_offload": bool(engine["optimizer_offload"]),
        "offload_policy": bool(engine["offload_policy"]),
        "lora_rank": max(int(model["lora_rank"]), int((model.get("lora") or {}).get("rank", 0))),
    }


def _sft(tree: Mapping[str, Any], world: int, parallel: int) -> dict[str, Any]:
    """The fields that SFT's sections decide."""
    data = tree["data"]
    length, batch, budget = int(data["max_length"]), int(data["train_batch_size"]), int(data["max_token_len_per_gpu"])
    if not data["use_dynamic_bsz"]:
        budget = int(data["micro_batch_size_per_gpu"]) * length
    return {"mini_batch": batch, "length": length, "tokens": _tokens(budget, batch, world, length, parallel)}


def _grpo(tree: Mapping[str, Any], world: int, parallel: int, positions: int | None) -> dict[str, Any]:
    """The fields that GRPO's sections decide."""
    data, actor, rollout = tree["data"], tree[ROLES]["actor"], tree[ROLES]["rollout"]
    completions, batch = int(rollout["n"]), int(data["train_batch_size"])
    prompt, response = int(data["max_prompt_length"]), int(data["max_response_length"])
    length, mini = prompt + response, int(actor["ppo_mini_batch_size"]) * completions
    budget, scored = int(actor["ppo_max_token_len_per_gpu"]), int(rollout["log_prob_max_token_len_per_gpu"])
    if not actor["use_dynamic_bsz"]:
        budget = int(actor["ppo_micro_batch_size_per_gpu"] or 1) * length
        scored = int(rollout["log_prob_micro_batch_size_per_gpu"] or 1) * length
    # Without a limit of the run vLLM takes the model's; without chunks verl has it take a whole sequence at once.
    longest = int(rollout["max_model_len"] or positions or length)
    batched = int(rollout["max_num_batched_tokens"])
    batched = batched if rollout["enable_chunked_prefill"] else max(batched, longest)
    return {
        "mini_batch": mini,
        "passes": int(actor["ppo_epochs"]),
        "length": length,
        "tokens": _tokens(budget, mini, world, length, parallel),
        "scored_tokens": _tokens(scored, batch * completions, world, length, parallel),
        "entropy": bool(actor["calculate_entropy"] or actor["entropy_coeff"]),
        "temperature": float(rollout["temperature"]),
        "log_probs": not (tree["algorithm"].get("rollout_correction") or {}).get("bypass_mode", False),
        "reference": bool(actor["use_kl_loss"] or tree["algorithm"]["use_kl_in_reward"]),
        "rollout": Rollout(
            utilization=float(rollout["gpu_memory_utilization"]),
            tensor_parallel=int(rollout["tensor_model_parallel_size"]),
            number=bytes_of(str(rollout["dtype"]), "rollout.dtype"),
            completions=completions,
            prompt=prompt,
            response=response,
            length=longest,
            sequences=int(rollout["max_num_seqs"]),
            batched_tokens=batched,
            sleeps=bool(rollout["free_cache_engine"] and rollout.get("enable_sleep_mode", True)),
            eager=bool(rollout["enforce_eager"]),
            bucket=int(rollout["checkpoint_engine"]["update_weights_bucket_megabytes"]) * 2**20,
        ),
    }


def _tokens(budget: int, sequences: int, world: int, length: int, parallel: int) -> int:
    """Tokens of the largest micro-batch on one GPU: the budget, unless a GPU's whole share is less.

    With sequence parallelism over p GPUs, verl packs p budgets and gives each GPU its p-th part.
    """
    share = math.ceil(sequences * parallel / world) * length // parallel
    return min(budget, max(share, math.ceil(length / parallel)))
