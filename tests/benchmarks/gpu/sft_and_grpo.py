"""Speed and memory on a GPU: SFT in four variants and 20 GRPO steps of a Qwen3 of 0.5B parameters made from scratch.

    python tests/benchmarks/gpu/sft_and_grpo.py --sft data/sft/train.parquet --grpo data/grpo [--work outputs/gpu]

The model has random weights, so what it answers is worth nothing; what is measured is not. SFT with and without Liger
and remove-padding: tokens a second, MFU (recipe.plan's FLOPs without recomputation, over the device's peak), PyTorch's
peak memory beside the plan's. Then a GRPO run by recipe.train: seconds a step by phase, as verl logs them. Writes
sft_and_grpo.json beside this file, also if a part fails (`failed`). `--make-only` makes the model and stops, `--tiny`
is for trying the script.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.path[:] = [str(Path(__file__).resolve().parents[n]) for n in (3, 1)] + sys.path

ROOT = Path(__file__).resolve().parents[3]
# Qwen3-0.6B's, but for heads of 64: 508M parameters.
SHAPE = {"vocab_size": 151_936, "hidden_size": 1024, "layers": 28, "heads": 16, "kv_heads": 8, "mlp": 3072}
TINY = {"vocab_size": 5_120, "hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "mlp": 128}
VARIANTS = {
    "Liger, remove-padding": (True, True),
    "remove-padding": (False, True),
    "Liger": (True, False),
    "neither": (False, False),
}
WARM_UP = 3  # steps that compile and fill caches, left out of the means


def make_model(out: Path, shape: dict) -> Path:
    """A folder with random weights, and the tiny model's tokenizer: its 4,096 ids are the first of the vocabulary."""
    from transformers import AutoTokenizer

    from recipe.tiny_model.__main__ import build_model, save

    if not (out / "config.json").is_file():
        model = build_model(**shape)
        tokenizer = AutoTokenizer.from_pretrained(ROOT / "recipe" / "tiny_model" / "base")
        model.config.eos_token_id = tokenizer.eos_token_id
        save(model, tokenizer, out)
    return out


def measure_sft(folder: Path, model: Path, data: Path, liger: bool, packed: bool, steps: int, tokens: int) -> dict:
    """One variant: tokens a second, MFU, and memory in GiB, measured and planned."""
    from watched_sft import watch

    from recipe.plan.memory import phases
    from recipe.plan.settings import GIB, load

    overrides = ["hardware=sft_gpu_1", f"model.path={model}", f"data.train_files={data}", *attention("model")]
    overrides += [f"model.use_liger={liger}", f"model.use_remove_padding={packed}", "data.max_length=2048"]
    overrides += [f"data.max_token_len_per_gpu={tokens}", "data.train_batch_size=64", "trainer.logger=[console]"]
    overrides += [f"trainer.total_training_steps={steps}", "trainer.total_epochs=100", "trainer.save_freq=-1"]
    overrides += [f"trainer.default_local_dir={folder / 'run'}"]
    name = "sft_qwen3_1_7b"  # the paper's settings; the model is ours
    measured = watch(folder, name, overrides)
    shutil.rmtree(folder / "run", ignore_errors=True)  # the last step's checkpoint: 12 bytes a parameter
    plan = load(name, overrides, device=device_name())
    timed = measured["steps"][WARM_UP:]
    seconds, done = sum(step["seconds"] for step in timed), sum(step["tokens"] for step in timed)
    flops = 3 * plan.model.flops(done, done / len(timed) / plan.batch)
    update = phases(plan)[-1]
    return {
        "tokens_per_second": round(done / seconds),
        "seconds_per_step": round(seconds / len(timed), 3),
        "mfu": round(flops / seconds / plan.device.flops, 3),
        "peak_gib": round(max(step["peak"] for step in timed) / GIB, 2),
        "planned_gib": round((update.need - update.parts["runtime"]) / GIB, 2),
        "planned_parts_gib": {part: round(size / GIB, 2) for part, size in update.parts.items()},
    }


def measure_grpo(folder: Path, model: Path, data: Path, steps: int) -> dict:
    """A GRPO run: mean seconds by phase after the warm-up, and the highest memory that verl logged, in GiB."""
    from recipe.models.run_log import read_metrics
    from recipe.plan.memory import phases
    from recipe.plan.settings import GIB, load

    run, name = folder / "run", "grpo_qwen3_1_7b"
    overrides = ["hardware=gpu_1", f"actor_rollout_ref.model.path={model}", *attention("actor_rollout_ref.model")]
    overrides += [f"data.train_files={data / 'train.parquet'}", f"data.val_files={data / 'dev.parquet'}"]
    overrides += ["data.max_prompt_length=1024", "data.max_response_length=1024", "trainer.save_freq=-1"]
    overrides += [
        f"trainer.default_local_dir={run}",
        f"trainer.total_training_steps={steps}",
        "trainer.total_epochs=100",
    ]
    overrides += ["trainer.val_before_train=false", "trainer.test_freq=-1", "trainer.experiment_name=gpu_benchmark"]
    subprocess.run([sys.executable, "-m", "recipe.train", name, *overrides], cwd=ROOT, check=True)
    figures = list(read_metrics(run).values())[WARM_UP:]
    timed = sorted({key for row in figures for key in row if key.startswith("timing_s/")})
    peaks = [value for row in figures for key, value in row.items() if "max_memory_allocated_gb" in key]
    plan = load(name, overrides, device=device_name())
    return {
        "seconds": {key.partition("/")[2]: round(mean(figures, key), 3) for key in timed},
        "response_length": round(mean(figures, "response_length/mean"), 1),
        "tokens_per_second": round(mean(figures, "perf/throughput"), 1),
        "peak_allocated_gib": round(max(peaks), 2) if peaks else None,
        "planned_gib": {phase.name: round(phase.need / GIB, 2) for phase in phases(plan)},
    }


def mean(figures: list[dict], key: str) -> float:
    return statistics.fmean(row[key] for row in figures if key in row) if any(key in row for row in figures) else 0.0


def attention(section: str) -> list[str]:
    """PyTorch's attention where flash-attn isn't installed, as recipe.train chooses it."""
    from recipe.train import flash_attention

    return [f"++{section}.override_config.attn_implementation=sdpa"] if flash_attention.missing() else []


def device_name() -> str | None:
    """The plan's name of this machine's GPU; None, which is an H100 for the plan, if it isn't in devices.yaml."""
    import torch

    from recipe.plan.settings import devices

    if not torch.cuda.is_available():
        return None
    told = torch.cuda.get_device_name().lower().replace(" ", "_")
    return next((name for name in devices() if name in told), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sft", type=Path, help="Parquet of data_prep/to_parquet.py sft")
    parser.add_argument("--grpo", type=Path, help="folder of data_prep/to_parquet.py grpo")
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "gpu_benchmark")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--sft-steps", type=int, default=20)
    parser.add_argument("--grpo-steps", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=16_384, help="a micro-batch of SFT (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="a model of 0.4M parameters")
    parser.add_argument("--make-only", action="store_true", help="make the model and stop")
    args = parser.parse_args()
    model = make_model(args.work / ("tiny" if args.tiny else "model"), TINY if args.tiny else SHAPE)
    print(f"model      {model}", flush=True)
    if args.make_only:
        return 0
    from recipe.core.files import write_json

    result: dict = {"device": device_name(), "sft": {}, "grpo": None, "failed": {}}
    for name, (liger, packed) in VARIANTS.items() if args.sft else ():
        folder = args.work / "sft" / name.replace(", ", "_")
        try:
            row = measure_sft(folder, model, args.sft, liger, packed, args.sft_steps, args.tokens)
        except (RuntimeError, OSError) as error:  # a variant that doesn't run is a result, too
            result["failed"][name] = str(error)[-500:]
            continue
        result["sft"][name] = row
        print(
            f"SFT, {name:24}{row['tokens_per_second']:>9} tokens/s  MFU {row['mfu']:.1%}  {row['peak_gib']} GiB",
            flush=True,
        )
    if args.grpo:
        try:
            result["grpo"] = measure_grpo(args.work / "grpo", model, args.grpo, args.grpo_steps)
            print(f"GRPO       seconds a step: {result['grpo']['seconds']}")
        except (subprocess.CalledProcessError, OSError) as error:
            result["failed"]["grpo"] = str(error)
    write_json(args.out, result)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
