"""An experiment's configuration, read for a plan: keys of verl 0.9.1's FSDP engine, SFT trainer and PPO trainer.

load("grpo_qwen3_8b", gpus=8, memory=80).tokens     # 24576
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recipe.core.entities import DataError
from recipe.models.architecture import Architecture, read
from recipe.models.weight_bucket import Model, bytes_of
from recipe.plan.settings import GIB, ROLES, Device, Rollout, Settings, devices
from recipe.train import config as experiment
from recipe.train.derived import VERLS_ATTENTION, Derived, Machine, derive

_GPUS_A_NODE = 8


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
    settings = (_grpo if ROLES in tree else _sft)(name, tree, world, target, model, derived)
    check_divides(settings, tree)
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


def check_divides(settings: Settings, tree: Mapping[str, Any]) -> None:
    """DataError unless batches go evenly over the GPUs, as `recipe.preflight` demands."""
    world, rollout = settings.gpus, settings.rollout
    if rollout is None:
        if settings.batch % world:
            raise DataError(
                f"data.train_batch_size={settings.batch} does not divide by {world} ranks; change one of them"
            )
    else:
        prompts = settings.mini_batch // rollout.completions
        if settings.batch % prompts:
            raise DataError(
                f"data.train_batch_size={settings.batch} does not divide by ppo_mini_batch_size={prompts}; change one"
            )
        if settings.mini_batch % world:
            raise DataError(
                f"ppo_mini_batch_size={prompts} x rollout.n={rollout.completions} completions do not divide by "
                f"{world} ranks"
            )
        if world % rollout.tensor_parallel:
            raise DataError(
                f"rollout.tensor_model_parallel_size={rollout.tensor_parallel} does not divide {world} ranks"
            )
    if world % settings.shards:
        raise DataError(f"fsdp_size={settings.shards} does not divide {world} ranks")
    if world % settings.sequence_parallel:
        raise DataError(f"ulysses_sequence_parallel_size={settings.sequence_parallel} does not divide {world} ranks")
    if settings.length > settings.tokens * settings.sequence_parallel:
        raise DataError(
            f"{settings.key('tokens')}={settings.tokens}: the longest sequence has {settings.length} tokens; raise it"
        )


def _engine(engine: Mapping[str, Any], model: Mapping[str, Any], world: int, cpu: bool) -> dict[str, Any]:
    """The fields that an FSDP engine's and a model's section decide."""
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


def _sft(
    name: str, tree: Mapping[str, Any], world: int, device: Device, shape: Architecture, derived: tuple[Derived, ...]
) -> Settings:
    data, model, trainer = tree["data"], tree["model"], tree["trainer"]
    length, batch = int(data["max_length"]), int(data["train_batch_size"])
    budget = int(data["max_token_len_per_gpu"])
    if not data["use_dynamic_bsz"]:
        budget = int(data["micro_batch_size_per_gpu"]) * length
    engine = _engine(tree["engine"], model, world, device.cpu)
    tokens = _tokens(budget, batch, world, length, engine["sequence_parallel"])
    return Settings(
        name=name,
        model=shape,
        gpus=world,
        device=device,
        batch=batch,
        mini_batch=batch,
        passes=1,
        length=length,
        tokens=tokens,
        scored_tokens=0,
        entropy=False,
        temperature=1.0,
        keep=int(trainer.get("max_ckpt_to_keep") or 1),
        epochs=int(trainer["total_epochs"]),
        limit=trainer["total_training_steps"],
        data=str(data["train_files"]),
        derived=derived,
        **engine,
    )


def _grpo(
    name: str, tree: Mapping[str, Any], world: int, device: Device, shape: Architecture, derived: tuple[Derived, ...]
) -> Settings:
    roles, data, trainer = tree[ROLES], tree["data"], tree["trainer"]
    actor, rollout, model = roles["actor"], roles["rollout"], roles["model"]
    completions, batch = int(rollout["n"]), int(data["train_batch_size"])
    prompt, response = int(data["max_prompt_length"]), int(data["max_response_length"])
    length, mini = prompt + response, int(actor["ppo_mini_batch_size"]) * completions
    budget, scored = int(actor["ppo_max_token_len_per_gpu"]), int(rollout["log_prob_max_token_len_per_gpu"])
    if not actor["use_dynamic_bsz"]:
        budget = int(actor["ppo_micro_batch_size_per_gpu"] or 1) * length
        scored = int(rollout["log_prob_micro_batch_size_per_gpu"] or 1) * length
    # Without a limit of the run vLLM takes the model's; without chunks verl has it take a whole sequence at once.
    longest = int(rollout["max_model_len"] or shape.positions or length)
    batched = int(rollout["max_num_batched_tokens"])
    batched = batched if rollout["enable_chunked_prefill"] else max(batched, longest)
    engine = _engine(actor["fsdp_config"], model, world, device.cpu)
    parallel = engine["sequence_parallel"]
    return Settings(
        name=name,
        model=shape,
        gpus=world,
        device=device,
        batch=batch,
        mini_batch=mini,
        passes=int(actor["ppo_epochs"]),
        length=length,
        tokens=_tokens(budget, mini, world, length, parallel),
        scored_tokens=_tokens(scored, batch * completions, world, length, parallel),
        entropy=bool(actor["calculate_entropy"] or actor["entropy_coeff"]),
        temperature=float(rollout["temperature"]),
        keep=int(trainer.get("max_actor_ckpt_to_keep") or 1),
        epochs=int(trainer["total_epochs"]),
        limit=trainer["total_training_steps"],
        data=str(data["train_files"]),
        derived=derived,
        reference=bool(actor["use_kl_loss"] or tree["algorithm"]["use_kl_in_reward"]),
        rollout=Rollout(
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
        **engine,
    )


def _tokens(budget: int, sequences: int, world: int, length: int, parallel: int) -> int:
    """Tokens of the largest micro-batch on one GPU: the budget, unless a GPU's whole share is less.

    With sequence parallelism over p GPUs, verl packs p budgets and gives each GPU its p-th part.
    """
    share = math.ceil(sequences * parallel / world) * length // parallel
    return min(budget, max(share, math.ceil(length / parallel)))
