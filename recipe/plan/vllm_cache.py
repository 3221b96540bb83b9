"""vLLM's memory on a GPU: its budget, and how many tokens and sequences are left room for in the cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recipe.plan.settings import GIB, Settings

# Assumed: vLLM's CUDA context, and its CUDA graphs.
CONTEXT, GRAPHS = GIB // 2, GIB
_CACHE_CPU = GIB  # VLLM_CPU_KVCACHE_SPACE of recipe/cpu.py


def asleep(settings: Settings) -> int:
    """Bytes that vLLM keeps while it sleeps."""
    return CONTEXT + GRAPHS * (not settings.rollout.eager)


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
        return Cache(2 * weights + working + _CACHE_CPU, 2 * weights, working, *_holds(settings, _CACHE_CPU))
    working += asleep(settings)
    budget = int(rollout.utilization * settings.device.memory)
    return Cache(budget, weights, working, *_holds(settings, max(0, budget - weights - working)))


def _holds(settings: Settings, size: int) -> tuple[int, int, int]:
    tokens = size // cache_bytes(settings)
    return size, tokens, min(settings.rollout.sequences, math.floor(tokens / settings.rollout.length))
