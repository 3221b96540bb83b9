"""What can only be seen on a GPU: both loops on cuda, Liger against none, the merge's check there, the plan's memory.

    python -m pytest tests/gpu

Every experiment takes flash-attn where it is installed, and one test compares it with PyTorch's attention.
The tiny model is enough for all of it, minutes on any card. Speed and a larger model: tests/benchmarks/gpu.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recipe.models.run_log import read_metrics
from recipe.train.__main__ import newest_step

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and PyTorch sees none here"),
    pytest.mark.skipif(
        "vllm" not in {d.name for d in importlib.metadata.distributions()},
        reason="needs vLLM's build for GPUs: bash launch/setup.sh gpu",
    ),
]


def python(*command):
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def data(work):
    common = ["--corpora", "data_prep/sample/IE_INSTRUCTIONS", "--datasets", "bc5cdr", "CrossNER_AI"]
    common += ["--tokenizer", "recipe/tiny_model/base", "--num-samples", 32, "--num-dev", 4]
    python("data_prep/to_parquet.py", "grpo", *common, "--max-prompt-tokens", 256, "--out", work / "grpo")
    python("data_prep/to_parquet.py", "sft", *common, "--cot", "template", "--max-tokens", 448, "--out", work / "sft")
    return work


def sft(data, name, *settings):
    """A finished SFT run of two steps on the GPU."""
    run = data / "runs" / name
    command = ["-m", "recipe.train", "sft_tiny", "hardware=sft_gpu_1", "data.train_batch_size=8"]
    command += [f"data.train_files={data / 'sft' / 'train.parquet'}", f"trainer.default_local_dir={run}"]
    python(*command, "trainer.total_training_steps=2", "trainer.save_freq=2", *settings)
    return run


@pytest.fixture(scope="module")
def plain(data):
    return sft(data, "plain")


@pytest.fixture(scope="module")
def merged(plain, data):
    python("-m", "recipe.merge", plain, "--out", data / "merged", "--device", "cuda")
    return data / "merged"


def losses(run):
    return [figures["train/loss"] for figures in read_metrics(run).values()]


def test_sft_takes_its_steps(plain):
    assert newest_step(plain) == 2
    assert losses(plain)[1] < losses(plain)[0]


@pytest.mark.parametrize(
    "setting",
    [
        "model.use_liger=true",
        "model.use_remove_padding=false",
        "model.enable_gradient_checkpointing=true",
        "model.use_fused_kernels=true",
        "model.use_fused_kernels=false",  # one of the two is what recipe.train derives
        "engine.offload_policy=true",
    ],
)
def test_what_saves_memory_or_time_leaves_the_loss_as_it_is(setting, plain, data):
    # bf16: the order of a sum is worth the third digit.
    assert losses(sft(data, setting.partition("=")[0], setting)) == pytest.approx(losses(plain), rel=0.01)


def test_flash_attn_leaves_the_loss_as_it_is(data):
    pytest.importorskip("flash_attn_2_cuda", reason="flash-attn is not built here; .venv/flash-attn.log says why")
    kinds = ("flash_attention_2", "sdpa")
    runs = [sft(data, kind, f"++model.override_config.attn_implementation={kind}") for kind in kinds]
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=0.01)
    assert losses(runs[0]) != losses(runs[1])  # or both took the same one


def test_merge_checks_itself_on_the_gpu(merged):
    assert list(merged.glob("*.safetensors"))


def test_grpo_takes_its_steps_with_vllm_asleep_between_them(merged, data):
    run = data / "runs" / "grpo"
    settings = [
        f"data.train_files={data / 'grpo' / 'train.parquet'}",
        f"data.val_files={data / 'grpo' / 'dev.parquet'}",
    ]
    settings += ["data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4"]
    settings += ["actor_rollout_ref.rollout.n=4", "actor_rollout_ref.actor.use_kl_loss=true"]
    settings += [f"actor_rollout_ref.model.path={merged}", f"trainer.default_local_dir={run}"]
    settings += ["trainer.total_training_steps=2", "trainer.save_freq=2", "trainer.val_before_train=false"]
    python("-m", "recipe.train", "grpo_tiny", "hardware=gpu_1", *settings)
    assert newest_step(run) == 2
    for figures in read_metrics(run).values():  # bf16 on both sides
        assert figures["training/rollout_probs_diff_mean"] < 0.02


@pytest.mark.parametrize("case", ["tiny, 4096 tokens", "60M"])
def test_the_plan_is_within_a_quarter_of_what_pytorch_allocates(case, data, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    from plan_against_measurement import compare

    row = compare(case, data / "plan", data / "sft" / "train.parquet", ["hardware=sft_gpu_1"])
    assert abs(row["off"]) < 0.25, row
