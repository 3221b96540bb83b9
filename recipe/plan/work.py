"""Work of a step, tokens and FLOPs, and the time that it takes at stated rates; what a run leaves on disk.

An estimate from rates, no measurement: `Rates` holds every assumption, and a plan prints them.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from recipe.plan.memory import cache, cache_bytes
from recipe.plan.settings import Settings


@dataclass(frozen=True, slots=True)
class Rates:
    """What is assumed: shares of the device's peaks, the host link in bytes a second, mean lengths in tokens."""

    utilization: float = 0.4
    bandwidth: float = 0.6
    link: float = 25e9
    prompt: float = 500
    response: float = 500


@dataclass(frozen=True, slots=True)
class Work:
    """One step: `tokens` trained on, `flops` of all GPUs, `seconds` by phase."""

    tokens: float
    flops: float
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def step(settings: Settings, rates: Rates) -> Work:
    """Work and time of one step.

    Training costs three forward passes (Kaplan et al. 2020: 6N a token), two where the weights are frozen (LoRA), and
    checkpointing one more. Generating a token reads the weights and the cache of all sequences that are generated
    together: it is bounded by memory's bandwidth.
    """
    prompt, response = _lengths(settings, rates)
    length, model, rollout = prompt + response, settings.model, settings.rollout
    tokens = settings.sequences * length
    forward = model.flops(tokens, length)
    passes = ((2 if settings.lora_rank else 3) + settings.checkpointing) * settings.passes
    flops = {"update": passes * forward}
    if rollout:
        if settings.log_probs:
            flops["log-probs"] = forward
        if settings.reference:
            flops["reference"] = forward
    rate = settings.gpus * settings.device.flops * rates.utilization
    seconds = {name: amount / rate for name, amount in flops.items()}
    for name, size in _moved(settings, tokens).items():
        if name in seconds:
            seconds[name] += size / rates.link
    if rollout:
        generated = settings.sequences * response
        flops["rollout"] = model.flops(settings.batch * prompt + generated, length)
        replicas = settings.gpus // rollout.tensor_parallel
        share = math.ceil(settings.sequences / replicas)
        # A group's prompt is read once (prefix caching); how many go together is bounded by the cache, too.
        together = max(1, min(share, rollout.sequences, cache(settings).tokens // math.ceil(length)))
        read = model.parameters * rollout.number / rollout.tensor_parallel
        read += together * (prompt + response / 2) * cache_bytes(settings)
        decode = math.ceil(share / together) * response * read / (settings.device.bandwidth * rates.bandwidth)
        seconds = {"rollout": decode + model.flops(settings.batch * prompt, prompt) / rate, **seconds}
    return Work(tokens * settings.passes, sum(flops.values()), seconds)


def _lengths(settings: Settings, rates: Rates) -> tuple[float, float]:
    """Mean prompt and response, no longer than the experiment allows."""
    if settings.rollout:
        return min(rates.prompt, settings.rollout.prompt), min(rates.response, settings.rollout.response)
    scale = min(1.0, settings.length / (rates.prompt + rates.response))
    return rates.prompt * scale, rates.response * scale


def _moved(settings: Settings, tokens: float) -> dict[str, float]:
    """Bytes between host and device of one GPU in each phase, there and back."""
    shard, trained = settings.kept / settings.shards, settings.trained / settings.shards
    micro_batches = math.ceil(tokens / settings.gpus / settings.tokens)
    layers = shard * settings.compute  # what the offload policy sends for each pass over the model
    moved = {"update": 0.0, "log-probs": 0.0, "reference": 0.0 if settings.lora_rank else micro_batches * layers}
    if settings.offload_policy:
        moved["update"] += micro_batches * (2 * layers + trained * settings.master)
        moved["log-probs"] += micro_batches * layers
        return moved
    if settings.param_offload:
        moved["update"] += 2 * shard * settings.master
        moved["log-probs"] += 2 * shard * settings.master
    if settings.optimizer_offload:
        moved["update"] += 4 * trained * settings.master
    return moved


def steps(settings: Settings) -> int | None:
    """Steps of the whole run; None where neither the experiment nor a data file that is here says it."""
    if settings.limit:
        return int(settings.limit)
    file = Path(settings.data).expanduser()
    if not file.is_file():
        return None
    import pyarrow.parquet as pq

    return pq.read_metadata(file).num_rows // settings.batch * settings.epochs
