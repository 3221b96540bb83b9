"""Memory of one GPU in each phase of a step, part by part, in bytes.

What a part is follows verl 0.9.1 with FSDP2: fp32 parameters, gradients and two AdamW moments in shards (16 bytes a
parameter; Rajbhandari et al. 2020, section 3.1, ZeRO stage 3), layers gathered one after the other in the dtype of
the computation, activations by Korthikanti et al. 2022, logits of a whole micro-batch, vLLM beside it.

A phase has one row of parts, those that exist together at its worst moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recipe.plan import passes, vllm_cache
from recipe.plan.settings import GIB, Settings
from recipe.plan.vllm_cache import cache

# Assumed, not computed: a process's CUDA context with NCCL's buffers and cuBLAS' workspaces, and what the allocator
# can't use again, as a share of what comes and goes.
CONTEXT, FRAGMENTED = GIB, 0.1
_STAYS = ("parameters", "gradients", "optimizer")
# Assumed on a CPU: what the libraries' threads, kernels and buffers take once a step runs.
RUNTIME_CPU = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a step: `parts` in bytes, and the device's memory that they have to fit into."""

    name: str
    parts: dict[str, int]
    memory: int

    @property
    def need(self) -> int:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.need <= self.memory


def phases(settings: Settings) -> list[Phase]:
    """The phases of a step, each at its worst moment."""
    found = [_update(settings)]
    if settings.rollout:
        found = [_rollout(settings), _sync(settings), _scoring(settings), *found]
        if settings.reference:
            found.insert(3, _reference(settings))
    return [replace(phase, parts=_complete(settings, phase.parts)) for phase in found]


def shortfalls(settings: Settings) -> list[str]:
    """A line for each thing that does not fit; empty if all does."""
    lines = []
    for phase in phases(settings):
        if not phase.fits:
            largest = sorted(phase.parts, key=phase.parts.get, reverse=True)[:3]
            of = ", ".join(f"{name} {phase.parts[name] / GIB:.1f}" for name in largest)
            lines.append(f"{phase.name} needs {phase.need / GIB:.1f} of {phase.memory / GIB:g} GiB a GPU ({of})")
    if settings.rollout:
        found = cache(settings)
        if found.tokens < settings.rollout.length:
            lines.append(
                f"rollout: vLLM's {found.budget / GIB:.1f} GiB leave a cache of {found.tokens} tokens, "
                f"and one sequence may have {settings.rollout.length}"
            )
    return lines


def _complete(settings: Settings, parts: dict[str, int]) -> dict[str, int]:
    """The parts that are there, and what comes on top of those that were computed."""
    moving = sum(size for name, size in parts.items() if name not in _STAYS and not name.startswith("vLLM"))
    awake = "vLLM cache" in parts
    if settings.device.cpu:
        extra = {"runtime": RUNTIME_CPU}
    else:
        asleep = vllm_cache.asleep(settings) if settings.rollout and not awake else 0
        extra = {"runtime": CONTEXT + asleep + int(FRAGMENTED * moving)}
    if settings.rollout and not settings.rollout.sleeps and not awake:
        extra["vLLM, not asleep"] = cache(settings).budget
    return {name: size for name, size in {**parts, **extra}.items() if size}


def _parameters(settings: Settings, loaded: bool) -> int:
    if settings.offload_policy or (settings.param_offload and not loaded):
        return 0
    return settings.kept * settings.master // settings.shards


def _moments(settings: Settings, loaded: bool) -> int:
    if settings.offload_policy or (settings.optimizer_offload and not loaded):
        return 0
    return 2 * settings.trained * settings.master // settings.shards


def host(settings: Settings) -> int:
    """Bytes of host memory that offloading takes for one GPU."""
    shard = settings.kept * settings.master // settings.shards
    gradients = settings.trained * settings.master // settings.shards
    # verl keeps the reference model there in any case; with LoRA it is the trained one without its adapter, and vLLM's
    # sleep then moves its weights there.
    total = shard if settings.reference and not settings.lora_rank else 0
    total += cache(settings).weights if settings.rollout and settings.lora_rank else 0
    if settings.offload_policy:
        return total + shard + 3 * gradients
    return total + shard * settings.param_offload + 2 * gradients * settings.optimizer_offload


def _update(settings: Settings) -> Phase:
    """The worst of three moments of a training step: logits, the backward pass of a layer, the optimizer."""
    model, number = settings.model, settings.compute
    state = {
        "parameters": _parameters(settings, loaded=True),
        "gradients": 0 if settings.offload_policy else settings.trained * settings.master // settings.shards,
        "optimizer": _moments(settings, loaded=True),
    }
    full = 0 if settings.lora_rank else 1  # a frozen matrix has no gradient
    reduce = settings.reduce * (1 + 1 / settings.shards)
    end = model.embedding * number * full  # the output layer's gradient; tied, it waits for the embedding's
    head = {
        "gathered": passes.gathered(settings) + end,
        "activations": passes.activations(settings),
        "logits": passes.logits(settings, settings.tokens, True, settings.entropy),
    }
    layer = {
        "gathered": passes.gathered(settings) + int(model.layer * full * (2 * number + reduce)) + end * model.tied,
        "activations": passes.activations(settings)
        + passes.transient(settings, settings.tokens)
        + (passes.one_layer(settings, settings.tokens) if settings.checkpointing else 0),
    }
    last = {"gathered": int(model.embedding * full * (2 * number + reduce))}
    # AdamW's loop over all tensors at once has one more tensor of each size; on a CPU it goes one by one.
    step = {} if settings.offload_policy else {"optimizer's step": 0 if settings.device.cpu else state["gradients"]}
    moments = [{**state, **moment} for moment in (head, layer, last, step)]
    return Phase("update", max(moments, key=lambda parts: sum(parts.values())), settings.device.memory)


def _scoring(settings: Settings) -> Phase:
    """Old log-probabilities, for which verl always asks for the entropy, too."""
    state = {"parameters": _parameters(settings, loaded=True), "optimizer": _moments(settings, loaded=False)}
    return Phase(
        "log-probs", {**state, **passes.forward(settings, settings.scored_tokens, True)}, settings.device.memory
    )


def _reference(settings: Settings) -> Phase:
    """The reference model's log-probabilities; its parameters come from host memory layer by layer."""
    state = {
        "parameters": _parameters(settings, loaded=bool(settings.lora_rank)),
        "optimizer": _moments(settings, loaded=False),
    }
    return Phase(
        "reference", {**state, **passes.forward(settings, settings.scored_tokens, False)}, settings.device.memory
    )


def _rollout(settings: Settings) -> Phase:
    found = cache(settings)
    parts = {
        "parameters": _parameters(settings, loaded=False),
        "optimizer": _moments(settings, loaded=False),
        "vLLM weights": found.weights,
        "vLLM working": found.working,
        "vLLM cache": found.bytes,
    }
    return Phase("rollout", parts, settings.device.memory)


def _sync(settings: Settings) -> Phase:
    """Weights on their way to vLLM, in a bucket, each tensor gathered in fp32; the cache isn't there yet."""
    rollout = settings.rollout
    weights = cache(settings).weights
    parts = {
        "parameters": _parameters(settings, loaded=False),
        "optimizer": _moments(settings, loaded=False),
        "gathered": settings.model.embedding * settings.master + rollout.bucket,
        "vLLM weights": weights,
    }
    if not rollout.sleeps:
        parts["vLLM cache"] = cache(settings).bytes
    return Phase("weight sync", parts, settings.device.memory)
