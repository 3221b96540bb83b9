"""Which settings to change, and to what, where an experiment does not fit.

suggest(settings)     # {"actor_rollout_ref.actor.fsdp_config.optimizer_offload": True}
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from recipe.plan.memory import cache, cache_bytes, phases, shortfalls
from recipe.plan.settings import Settings

_STEP = 512  # tokens by which a micro-batch is cut


def _excess(settings: Settings) -> float:
    """Bytes that are missing, over all phases, and in vLLM's cache; 0 if all fits."""
    missing = sum(max(0, phase.need - phase.memory) for phase in phases(settings))
    if settings.rollout:
        missing += max(0, settings.rollout.length - cache(settings).tokens) * cache_bytes(settings)
    return missing


def suggest(settings: Settings) -> dict[str, object]:
    """Keys and values that together make it fit, each of them needed; empty if none of those known here do.

    From cheap to dear: checkpointing and the fused output layer, states in host memory, a smaller micro-batch, another
    share for vLLM, and everything in host memory.
    """
    changes: dict[str, object] = {}
    for field, value in _candidates(settings, changes):
        if _excess(_apply(settings, {**changes, field: value})) < _excess(_apply(settings, changes)):
            changes[field] = value
        if not _excess(_apply(settings, changes)):
            break
    else:
        return {}
    for field in list(changes):
        rest = {name: value for name, value in changes.items() if name != field}
        if not _excess(_apply(settings, rest)):
            changes = rest
    return {settings.key(field): value for field, value in changes.items()}


def enough_gpus(settings: Settings, most: int = 512) -> int | None:
    """The next power of two of GPUs on which it fits as it is; None if there is none up to `most`."""
    number = settings.gpus
    while (number := number * 2) <= most:
        if settings.mini_batch % number:
            return None
        share = math.ceil(settings.mini_batch / number) * settings.length
        shards = number if settings.shards == settings.gpus else settings.shards
        if not shortfalls(replace(settings, gpus=number, shards=shards, tokens=min(settings.tokens, share))):
            return number
    return None


def _candidates(settings: Settings, changes: dict[str, object]) -> Iterator[tuple[str, object]]:
    for field in ("checkpointing", "fused", "optimizer_offload", "param_offload"):
        if not getattr(settings, field):
            yield field, True
    yield from _smaller(settings, changes)
    if not settings.offload_policy:
        yield "offload_policy", True
    yield from _smaller(settings, changes)


def _smaller(settings: Settings, changes: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The largest micro-batch, and the share for vLLM, with which all else being so it fits; else the least."""
    least = math.ceil(settings.length / settings.sequence_parallel / _STEP) * _STEP
    sizes = range(settings.tokens // _STEP * _STEP, least - 1, -_STEP)
    if sizes:
        yield "tokens", next((size for size in sizes if _passes_fit(settings, {**changes, "tokens": size})), least)
    if settings.rollout and not settings.device.cpu:
        now = _apply(settings, changes)
        shares = [share / 20 for share in range(18, 1, -1)]
        yield "utilization", min(shares, key=lambda share: _excess(_apply(now, {"utilization": share})))


def _passes_fit(settings: Settings, changes: dict[str, object]) -> bool:
    found = phases(_apply(settings, changes))
    return all(phase.fits for phase in found if phase.name in ("update", "log-probs", "reference"))


def _apply(settings: Settings, changes: dict[str, object]) -> Settings:
    changes = dict(changes)
    if "utilization" in changes:
        changes["rollout"] = replace(settings.rollout, utilization=changes.pop("utilization"))
    if changes.get("offload_policy"):  # verl then leaves the other two out of account
        changes |= {"param_offload": False, "optimizer_offload": False}
    if "tokens" in changes and settings.rollout:
        changes["scored_tokens"] = min(settings.scored_tokens, changes["tokens"])
    return replace(settings, **changes)
