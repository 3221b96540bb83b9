"""Memory of one GPU in each phase of a step, part by part, in bytes.

What a part is follows verl 0.9.1 with FSDP2: fp32 parameters, gradients and two AdamW moments in shards (16 bytes a
parameter; Rajbhandari et al. 2020, section 3.1, ZeRO stage 3), layers gathered one after the other in the dtype of
the computation, activations by Korthikanti et al. 2022, logits of a whole micro-batch, vLLM beside it.

A phase has one row of parts, those that exist together at its worst moment.
"""

from dataclasses import dataclass

from recipe.plan.settings import GIB, Settings

# Assumed, not computed: a process's CUDA context with NCCL's buffers and cuBLAS' workspaces, and what the allocator
# can't use again, as a share of what comes and goes.
_CONTEXT, _FRAGMENTED = GIB, 0.1
# Assumed on a CPU: what the libraries' threads, kernels and buffers take once a step runs.
_RUNTIME_CPU = 64 * 2**20
# Assumed: vLLM's CUDA context, and its CUDA graphs.
_VLLM_CONTEXT, _VLLM_GRAPHS = GIB // 2, GIB
_CACHE_CPU = GIB  # VLLM_CPU_KVCACHE_SPACE of recipe/cpu.py
_FUSED_CHUNK = 512  # tokens for which verl's fused output layer has logits at a time
_STAYS = ("parameters", "gradients", "optimizer")


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
    found = {}
    if settings.rollout:
        found["rollout"], found["weight sync"] = _rollout(settings), _sync(settings)
        if settings.log_probs:  # with which verl always asks for the entropy, too
            found["log-probs"] = {**_states(settings, loaded=True), **_forward(settings, entropy=True)}
        if settings.reference:  # its parameters come from host memory layer by layer
            states = _states(settings, loaded=bool(settings.lora_rank))
            found["reference"] = {**states, **_forward(settings, entropy=False)}
    found["update"] = _update(settings)
    return [Phase(name, _complete(settings, parts), settings.device.memory) for name, parts in found.items()]


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
        extra = {"runtime": _RUNTIME_CPU}
    else:
        asleep = _asleep(settings) if settings.rollout and not awake else 0
        extra = {"runtime": _CONTEXT + asleep + int(_FRAGMENTED * moving)}
    if settings.rollout and not settings.rollout.sleeps and not awake:
        extra["vLLM, not asleep"] = cache(settings).budget
    return {name: size for name, size in {**parts, **extra}.items() if size}


def _states(settings: Settings, loaded: bool = False, training: bool = False) -> dict[str, int]:
    """What FSDP holds in shards: offloaded parameters while they are loaded, gradients and moments in training."""
    if settings.offload_policy:
        return {}
    parameters, trained = settings.kept * settings.master, settings.trained * settings.master
    return {
        "parameters": parameters // settings.shards if loaded or not settings.param_offload else 0,
        "gradients": trained // settings.shards if training else 0,
        "optimizer": 2 * trained // settings.shards if training or not settings.optimizer_offload else 0,
    }


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


def _update(settings: Settings) -> dict[str, int]:
    """The worst of four moments of a training step: logits, the backward pass of a layer or the ends, the optimizer."""
    model, number, states = settings.model, settings.compute, _states(settings, loaded=True, training=True)
    full = 0 if settings.lora_rank else 1  # a frozen matrix has no gradient
    reduce = settings.reduce * (1 + 1 / settings.shards)
    end = model.embedding * number * full  # the output layer's gradient; tied, it waits for the embedding's
    head = {
        "gathered": _gathered(settings) + end,
        "activations": _activations(settings),
        "logits": _logits(settings, settings.tokens, True, settings.entropy),
    }
    again = _one_layer(settings) * settings.checkpointing  # a layer's activations, computed anew
    layer = {
        "gathered": _gathered(settings) + int(model.layer * full * (2 * number + reduce)) + end * model.tied,
        "activations": _activations(settings) + _transient(settings, settings.tokens) + again,
    }
    last = {"gathered": int(model.embedding * full * (2 * number + reduce))}
    # AdamW's loop over all tensors at once has one more tensor of each size; on a CPU it goes one by one.
    step = {"optimizer's step": 0 if settings.device.cpu else states.get("gradients", 0)}
    return max(({**states, **moment} for moment in (head, layer, last, step)), key=lambda parts: sum(parts.values()))


def _rollout(settings: Settings) -> dict[str, int]:
    found = cache(settings)
    vllm = {"vLLM weights": found.weights, "vLLM working": found.working, "vLLM cache": found.bytes}
    return {**_states(settings), **vllm}


def _sync(settings: Settings) -> dict[str, int]:
    """Weights on their way to vLLM, in a bucket, each tensor gathered in fp32; the cache isn't there yet."""
    found, gathered = cache(settings), settings.model.embedding * settings.master + settings.rollout.bucket
    parts = {**_states(settings), "gathered": gathered, "vLLM weights": found.weights}
    return parts if settings.rollout.sleeps else {**parts, "vLLM cache": found.bytes}


# --------------------------------------------------------------------------------------- a pass over the model


def _gathered(settings: Settings) -> int:
    """Whole layers in the dtype of the computation: the one at work, the next one, and the matrices at both ends.

    A tied embedding belongs to FSDP's root group, which stays whole from the forward to the end of the backward pass.
    Without tying, embedding and output layer are groups of their own and come and go.
    """
    return (2 * settings.model.layer + settings.model.embedding) * settings.compute


def _masked(settings: Settings, tokens: int) -> int:
    """Columns of the mask that SDPA needs; FlashAttention needs none."""
    return 0 if settings.flash else (tokens if settings.packed else settings.length)


def _one_layer(settings: Settings) -> int:
    """What autograd keeps of one layer for a micro-batch, without checkpointing."""
    tokens = settings.tokens
    return tokens * settings.model.saved(settings.compute, settings.liger, _masked(settings, tokens))


def _activations(settings: Settings) -> int:
    """What autograd keeps for the backward pass of a micro-batch: every layer, or with checkpointing its input."""
    model, tokens = settings.model, settings.tokens
    ends = tokens * model.hidden * (4 + 2 * settings.compute)  # the last norm
    if settings.checkpointing:
        return ends + model.layers * tokens * model.hidden * settings.compute
    return ends + model.layers * _one_layer(settings)


def _transient(settings: Settings, tokens: int) -> int:
    """A layer's own working memory, forward or backward: three tensors as wide as its widest product."""
    return 3 * tokens * settings.compute * max(settings.model.mlp, settings.model.query)


def _logits(settings: Settings, tokens: int, gradient: bool, entropy: bool) -> int:
    """Logits of a micro-batch and what is made of them.

    verl has Liger's fused cross entropy off, so Liger changes nothing here; its own fused kernels do, which
    have logits for 512 tokens at a time. Else there is one tensor of tokens x vocabulary, a copy where the temperature
    is not 1, and then: with flash-attn its cross entropy, which writes the gradient over the logits; without it
    PyTorch's, row by row: in fp32 three more tensors at the worst moment, in bf16 the fp32 log-softmax and two
    gradients. Entropy takes a softmax and a product in fp32 unless it is compiled.
    """
    vocabulary, number = settings.model.vocabulary, settings.compute
    if settings.fused:
        head = settings.model.embedding * 4 if gradient else 0
        return min(tokens, _FUSED_CHUNK) * vocabulary * 12 + head
    each = number * (1 if settings.temperature == 1 else 2)
    if gradient and not settings.flash:
        each += 12 if number == 4 else 8
    if entropy and not settings.compiled:
        each += 8
    return tokens * vocabulary * each


def _forward(settings: Settings, entropy: bool) -> dict[str, int]:
    """Parts of a pass without gradients: the larger of a layer's working memory and the logits."""
    tokens = settings.scored_tokens
    width = 4 * settings.model.hidden + settings.model.query + 2 * settings.model.key
    layer = tokens * settings.compute * width + _transient(settings, tokens)
    if not settings.flash:
        layer += tokens * _masked(settings, tokens) * settings.compute
    head = _logits(settings, tokens, False, entropy)
    return {
        "gathered": _gathered(settings),
        "activations": layer if layer > head else 0,
        "logits": head if head >= layer else 0,
    }


# --------------------------------------------------------------------------------------- vLLM


def _asleep(settings: Settings) -> int:
    """Bytes that vLLM keeps while it sleeps."""
    return _VLLM_CONTEXT + _VLLM_GRAPHS * (not settings.rollout.eager)


@dataclass(frozen=True, slots=True)
class Cache:
    """vLLM's memory on one GPU in bytes, and what its cache holds: `tokens`, and `sequences` of the greatest length."""

    budget: int
    weights: int
    working: int
    bytes: int
    tokens: int
    sequences: int


def cache_bytes(settings: Settings) -> int:
    """Bytes of vLLM's cache for one token on one GPU: key and value of each layer."""
    rollout, model = settings.rollout, settings.model
    heads = max(1, model.kv_heads // rollout.tensor_parallel)
    return 2 * model.layers * heads * model.head_dim * rollout.number


def cache(settings: Settings) -> Cache:
    """How vLLM divides its budget, gpu_memory_utilization of the device: weights, working memory, and the rest.

    Working memory is what its profiling run would find: a forward pass over max_num_batched_tokens, and logits in
    fp32 with a sorted copy for max_num_seqs sequences.
    """
    rollout, model = settings.rollout, settings.model
    weights = model.parameters * rollout.number // rollout.tensor_parallel
    width = 4 * model.hidden + (2 * model.query + 3 * model.mlp) // rollout.tensor_parallel
    layer = rollout.batched_tokens * rollout.number * width
    working = max(layer, rollout.sequences * model.vocabulary * 12)
    if settings.device.cpu:  # vLLM's CPU build has a cache of fixed size, and recipe/cpu.py keeps weights twice
        weights, size = 2 * weights, _CACHE_CPU
        budget = weights + working + size
    else:
        working += _asleep(settings)
        budget = int(rollout.utilization * settings.device.memory)
        size = max(0, budget - weights - working)
    tokens = size // cache_bytes(settings)
    return Cache(budget, weights, working, size, tokens, min(rollout.sequences, tokens // rollout.length))
