"""LoRA through the real loop on the tiny model: verl's SFT, verl's GRPO with Ray and vLLM, merge and adapter export."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from random_model import make_random
from safetensors.torch import load_file

from recipe.merge import __main__ as merge
from recipe.models.run_log import read_metrics

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS"
IDS = torch.arange(30).view(1, 30)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.cpu_platform,
]


def python(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("lora")
    make_random(work / "base", hidden_size=128, layers=2)
    common = ["--corpora", SAMPLE, "--datasets", "bc5cdr", "--tokenizer", work / "base", "--num-dev", 4]
    tool = "data_prep/to_parquet.py"
    python(tool, "sft", *common, "--cot", "template", "--num-samples", 16, "--max-tokens", 448, "--out", work / "sft")
    python(tool, "grpo", *common, "--num-samples", 8, "--max-prompt-tokens", 256, "--out", work / "grpo")
    return work


def export(run, out):
    """The run as a plain model and as an adapter."""
    assert merge.main([str(run), "--out", str(out / "merged")]) == 0
    assert merge.main([str(run), "--adapter-only", "--out", str(out / "adapter")]) == 0


@pytest.fixture(scope="module")
def sft(work):
    run = work / "runs" / "sft"
    settings = [f"data.train_files={work / 'sft/train.parquet'}", f"model.path={work / 'base'}"]
    settings += [f"trainer.default_local_dir={run}", "data.train_batch_size=4", "trainer.total_epochs=1"]
    python("-m", "recipe.train", "sft_tiny_lora", "--ranks", 1, *settings)
    export(run, work / "models" / "sft")
    return work / "models" / "sft"


@pytest.fixture(scope="module")
def grpo(work, sft):
    run = work / "runs" / "grpo"
    settings = {
        "data.train_files": work / "grpo" / "train.parquet",
        "data.val_files": work / "grpo" / "dev.parquet",
        "data.train_batch_size": 4,
        "data.max_response_length": 32,
        "actor_rollout_ref.model.path": sft / "merged",
        "actor_rollout_ref.actor.ppo_mini_batch_size": 4,
        "actor_rollout_ref.actor.use_kl_loss": True,  # the reference: the actor without its adapter
        "actor_rollout_ref.rollout.n": 4,
        "actor_rollout_ref.actor.entropy_coeff": 1,  # a gradient, whatever a random model's answers are worth
        "trainer.default_local_dir": run,
        "trainer.total_training_steps": 2,
        "trainer.test_freq": -1,
        "trainer.val_before_train": False,
    }
    python("-m", "recipe.train", "grpo_tiny_lora", *(f"{key}={value}" for key, value in settings.items()))
    export(run, work / "models" / "grpo")
    return {"run": run, "out": work / "models" / "grpo"}


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def distance(merged, adapter):
    """|difference| / |logits| of a merged model and of base plus adapter, in fp32."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    plain = logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32))
    with_adapter = logits(AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32))
    return ((plain - with_adapter).norm() / with_adapter.norm()).item()


def test_sft_trains_the_adapter_and_leaves_the_base(work, sft):
    weights = load_file(sft / "adapter" / "adapter_model.safetensors")
    assert all(weight.abs().max() > 0 for name, weight in weights.items() if "lora_B" in name)
    assert json.loads((sft / "adapter" / "adapter_config.json").read_text())["r"] == 32
    losses = [figures["train/loss"] for figures in read_metrics(work / "runs" / "sft").values()]
    assert losses[-1] < losses[0]


def test_the_merged_sft_model_is_base_plus_adapter(sft):
    assert distance(sft / "merged", sft / "adapter") < 0.01  # of bf16's rounding


def test_vllm_samples_from_base_plus_adapter_as_it_is_trained(grpo):
    figures = read_metrics(grpo["run"])
    assert list(figures) == [1, 2]
    assert figures[2]["actor/kl_loss"] > 0  # by then the adapter does something
    assert all(abs(step["actor/ppo_kl"]) < 1e-6 for step in figures.values())  # of vLLM's policy to the trained one


def test_the_reference_is_the_actor_without_its_adapter(grpo):
    first, second = (step["actor/kl_loss"] for step in read_metrics(grpo["run"]).values())
    assert first == pytest.approx(0, abs=1e-6)
    assert second > 0


def test_the_merged_grpo_model_is_base_plus_adapter(grpo):
    assert distance(grpo["out"] / "merged", grpo["out"] / "adapter") < 0.01


def test_vllm_serves_the_exported_adapter_as_peft_does(grpo):
    from peft import AutoPeftModelForCausalLM

    adapter = grpo["out"] / "adapter"
    out = python("tests/vllm_adapter.py", adapter, "Naloxone reverses the effect of clonidine .").stdout
    found = json.loads(next(line for line in out.splitlines() if line.startswith('{"prompt"')))
    model = AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32)
    for name, ids in ((name, found[name]["ids"]) for name in ("with", "without")):
        with torch.inference_mode(), model.disable_adapter() if name == "without" else contextlib.nullcontext():
            logits = model(torch.tensor([found["prompt"] + ids])).logits[0, len(found["prompt"]) - 1 : -1]
        expected = logits.log_softmax(-1)[range(len(ids)), ids]
        torch.testing.assert_close(torch.tensor(found[name]["logprobs"]), expected, atol=1e-4, rtol=0)
    assert found["with"] != found["without"]
