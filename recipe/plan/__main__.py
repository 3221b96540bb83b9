"""Say what an experiment needs, and whether it fits: memory a GPU by phase, work and time of a step, disk.

    python -m recipe.plan grpo_qwen3_8b --gpus 8 --memory 80

Nothing is loaded: the model's shape comes from its config.json, or by its name from recipe/models/published.yaml. The
exit status is 0 if it fits, 1 if it does not, 2 for wrong input. A row of what is printed, GiB a GPU:

    update        37.0 of 80   parameters 3.8  gradients 3.8  optimizer 7.6  gathered 3.0  activations 7.5 ...
"""

import json
import sys
from collections.abc import Sequence

from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError
from recipe.plan import remedies, work
from recipe.plan.memory import cache, host, phases, shortfalls
from recipe.plan.settings import GIB, Settings, devices, load


def as_dict(settings: Settings, rates: work.Rates) -> dict:
    """The plan as JSON: sizes in bytes, times in seconds."""
    done, missing = work.step(settings, rates), shortfalls(settings)
    plan = {
        "experiment": settings.name,
        "model": settings.model.name,
        "parameters": settings.model.parameters,
        "trained_parameters": settings.trained,
        "gpus": settings.gpus,
        "device": settings.device.name,
        "memory": settings.device.memory,
        "fits": not missing,
        "shortfalls": missing,
        "derived": {setting.key: setting.value for setting in settings.derived},
        "phases": {phase.name: {"need": phase.need, "parts": phase.parts} for phase in phases(settings)},
        "host_memory": host(settings),
        "checkpoint": settings.checkpoint,
        "disk": settings.disk,
        "steps": work.steps(settings),
        "step": {"tokens": done.tokens, "flops": done.flops, "seconds": done.seconds},
        "assumed": {name: getattr(rates, name) for name in rates.__slots__},
    }
    if settings.rollout:
        found = cache(settings)
        plan["vllm"] = {name: getattr(found, name) for name in found.__slots__}
    if missing:
        plan["change"] = remedies.suggest(settings)
        plan["enough_gpus"] = remedies.enough_gpus(settings)
    return plan


def as_text(settings: Settings, rates: work.Rates) -> str:
    """The plan for people."""
    device, model = settings.device, settings.model
    kind = "GRPO" if settings.rollout else "SFT"
    each = "CPU rank(s)" if device.cpu else f"GPU(s) ({device.name})"
    lines = [
        f"{settings.name}: {kind} of {model.name}, {model.parameters:,} parameters, "
        f"on {settings.gpus} {each} of {device.memory / GIB:g} GiB",
        f"micro-batches of {settings.tokens} tokens, {_switches(settings)}",
        *(setting.line for setting in settings.derived),
        "",
        "memory of a GPU, GiB" if not device.cpu else "memory of a rank, GiB",
    ]
    for phase in phases(settings):
        parts = "  ".join(f"{name} {size / GIB:.{_digits(size)}f}" for name, size in phase.parts.items())
        need = f"{phase.need / GIB:.{_digits(phase.need)}f}"
        lines.append(f"  {phase.name:11} {need:>6} of {phase.memory / GIB:g}   {parts}")
    if host(settings):
        lines.append(f"  in the host's memory for each: {host(settings) / GIB:.1f}")
    if settings.rollout:
        found = cache(settings)
        lines.append(
            f"vLLM       cache of {found.tokens:,} tokens on each GPU: {found.sequences} sequences of "
            f"{settings.rollout.length} at once"
        )
    done, planned = work.step(settings, rates), work.steps(settings)
    times = ", ".join(f"{name} {_seconds(value)}" for name, value in done.seconds.items())
    lines += [
        f"a step     {done.tokens:,.0f} tokens, {done.flops:.2g} FLOPs; about {_seconds(done.total)} ({times})",
        f"assumed    {rates.prompt:g} + {rates.response:g} tokens a row at most; {rates.utilization:.0%} of "
        f"{device.flops / 1e12:g} TFLOP/s, recomputation included; {rates.bandwidth:.0%} of "
        f"{device.bandwidth / 1e12:g} TB/s; {rates.link / 1e9:g} GB/s to the host",
        f"disk       {settings.checkpoint / 1e9:.1f} GB a checkpoint; with one being written and "
        f"{settings.keep.most - 1} kept {settings.disk / 1e9:.1f} GB",
    ]
    again = done.seconds.get("log-probs")
    if again and settings.mini_batch == settings.sequences and settings.passes == 1:
        lines.append(
            "could go   log-probs: with one update a batch the old policy is the one that sampled; "
            f"algorithm.rollout_correction.bypass_mode=true takes vLLM's, {again / done.total:.0%} of a step less"
        )
    if planned:
        lines.append(
            f"the run    {planned} steps, about {_seconds(planned * done.total)} without validation and saving"
        )
    return "\n".join([*lines, *_verdict(settings)])


def _switches(settings: Settings) -> str:
    said = {
        "checkpointing": "gradient checkpointing",
        "liger": "Liger",
        "fused": "fused output layer",
        "packed": "packed without padding",
        "param_offload": "parameters offloaded",
        "optimizer_offload": "optimizer offloaded",
        "offload_policy": "all states in the host's memory",
    }
    words = ["FlashAttention" if settings.flash else "SDPA"]
    words += [text for field, text in said.items() if getattr(settings, field)]
    words += [f"LoRA of rank {settings.lora_rank}"] * bool(settings.lora_rank)
    return ", ".join(words)


def _verdict(settings: Settings) -> list[str]:
    missing = shortfalls(settings)
    if not missing:
        return ["it fits"]
    lines = [f"does not fit: {line}" for line in missing]
    if changes := remedies.suggest(settings):
        lines.append("it would with " + " ".join(f"{key}={_hydra(value)}" for key, value in changes.items()))
    if number := remedies.enough_gpus(settings):
        lines.append(f"it would on {number} such GPUs as it is")
    if not changes and not number:
        lines.append("no setting known here is enough: take a smaller model, LoRA, shorter sequences or larger GPUs")
    return lines


def _hydra(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _digits(size: int) -> int:
    return 1 if size >= GIB else 2


def _seconds(value: float) -> str:
    size, unit = (1, "s") if value < 120 else (60, "min") if value < 7200 else (3600, "h")
    return f"{value / size:.{1 if value / size < 10 else 0}f} {unit}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "recipe.plan",
        "Memory, work, time and disk of an experiment, before it is started.",
        "python -m recipe.plan grpo_qwen3_8b --gpus 8 --memory 80",
        "python -m recipe.plan sft_qwen3_8b --gpus 16 --device-name a100",
        "python -m recipe.plan grpo_qwen3_1_7b hardware=gpu_1 --memory 24 --json",
        "python -m recipe.plan sft_qwen3_1_7b model=qwen3_4b          # another model",
        "python -m recipe.plan sft_qwen3_8b +model.override_config.attn_implementation=sdpa   # without flash-attn",
    )
    rates = work.Rates()
    parser.add_argument("experiment", help="name of a file in hydra_configs, without .yaml")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, as for training")
    parser.add_argument("--gpus", type=int, help="GPUs, 8 a node (default: as configured)")
    parser.add_argument("--memory", type=float, help="GiB of a GPU (default: the device's)")
    parser.add_argument("--device-name", help=f"one of {', '.join(devices())} (default: by --memory, else h100)")
    parser.add_argument("--hf-config", help="config.json of the model, or its folder")
    parser.add_argument("--prompt-tokens", type=float, default=rates.prompt, help="mean, for the time (%(default)g)")
    parser.add_argument("--response-tokens", type=float, default=rates.response, help="mean, likewise (%(default)g)")
    parser.add_argument("--utilization", type=float, default=rates.utilization, help="of the peak rate (%(default)g)")
    parser.add_argument("--json", action="store_true", help="bytes and seconds, for programs")
    args = parser.parse_intermixed_args(argv)

    def run() -> int:
        if not 0 < args.utilization <= 1 or min(args.prompt_tokens, args.response_tokens) <= 0:
            raise DataError("--utilization is a share above 0, and lengths are above 0")
        settings = load(args.experiment, args.overrides, args.gpus, args.device_name, args.memory, args.hf_config)
        stated = work.Rates(args.utilization, prompt=args.prompt_tokens, response=args.response_tokens)
        print(json.dumps(as_dict(settings, stated), indent=2) if args.json else as_text(settings, stated))
        return 1 if shortfalls(settings) else 0

    return exit_status("plan", run)


if __name__ == "__main__":
    sys.exit(main())
