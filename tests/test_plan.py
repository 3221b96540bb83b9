"""What an experiment needs: counted as the real model has it, measured on a CPU; what to change if it is too much."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from recipe.core.entities import DataError
from recipe.models import architecture
from recipe.plan import memory, remedies, work
from recipe.plan.__main__ import main
from recipe.plan.settings import GIB, load
from recipe.train.config import compose

ROOT = Path(__file__).resolve().parent.parent
SHAPE = {"vocab_size": 512, "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 3}
SHAPE |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
TINY = [
    kind(**SHAPE, tie_word_embeddings=tied)
    for kind in (Qwen3Config, Qwen2Config, LlamaConfig)
    for tied in (False, True)
]
PUBLISHED = {  # millions of parameters
    "Qwen/Qwen3-0.6B-Base": 596, "Qwen/Qwen3-1.7B-Base": 1721, "Qwen/Qwen3-4B-Base": 4022, "Qwen/Qwen3-8B-Base": 8191,
    "Qwen/Qwen2.5-1.5B-Instruct": 1544, "meta-llama/Llama-3.1-8B": 8030, "meta-llama/Llama-2-7b-hf": 6738,
    "internlm/internlm2-7b": 7738, "HuggingFaceTB/SmolLM2-135M-Instruct": 135, "models/smollm2_135m": 135,
}  # fmt: skip
SDPA = "+model.override_config.attn_implementation=sdpa"
OFFLOAD = "actor_rollout_ref.actor.fsdp_config.offload_policy=true"


@functools.cache
def settings(name, *overrides, **machine):
    return load(name, overrides, **machine)


def started(script, **environment):
    """Experiment and overrides that a launch script hands to recipe.train."""
    environment = {**os.environ, "NER_PYTHON": "echo", **environment}
    done = subprocess.run(
        ["bash", ROOT / "launch" / script], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()[2:]


def need(plan, phase="update"):
    return next(found.need for found in memory.phases(plan) if found.name == phase)


def identity(config):
    return f"{config.model_type}-{'tied' if config.tie_word_embeddings else 'untied'}"


def shape_of(config):
    return architecture.from_config(config.to_dict(), "tiny")


# -------------------------------------------------------------------------------------------------------- the model
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_named_model_has_the_published_number_of_parameters(name):
    assert architecture.named(name).parameters == pytest.approx(PUBLISHED[name] * 1e6, rel=0.01)


@pytest.mark.parametrize(
    "config", [*TINY, AutoConfig.from_pretrained(ROOT / "recipe" / "tiny_model" / "base")], ids=identity
)
def test_parameters_are_counted_as_the_real_model_has_them(config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert shape_of(config).parameters == sum(weight.numel() for weight in model.parameters())


def test_adapters_are_counted_as_peft_makes_them():
    from peft import LoraConfig, get_peft_model

    config = TINY[0]
    adapters = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.device("meta"):
        model = get_peft_model(AutoModelForCausalLM.from_config(config), adapters)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert shape_of(config).lora_parameters(8) == trained


def test_flops_are_those_that_pytorch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    tokens, config = 64, TINY[0]
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")  # whose products are all seen
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
    # PyTorch counts the whole square of attention scores, half of which a causal mask leaves out.
    assert shape_of(config).flops(tokens, 2 * tokens) == pytest.approx(counter.get_total_flops(), rel=1e-3)


def saved_by_autograd(config, bf16, packed, tokens=64):
    """Bytes that a forward pass keeps for its backward pass, weights left out."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    model = model.bfloat16() if bf16 else model
    weights, kept = {weight.untyped_storage().data_ptr() for weight in model.parameters()}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    positions = torch.arange(tokens) % (tokens // 2 if packed else tokens)
    precision = torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision:
        ids = torch.zeros(1, tokens, dtype=torch.long)
        out = model.model(input_ids=ids, position_ids=positions[None], use_cache=False)
    assert out.last_hidden_state.requires_grad
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("config", TINY[::2], ids=identity)
def test_activations_are_those_that_autograd_keeps(config, packed, bf16):
    deeper = type(config)(**SHAPE | {"num_hidden_layers": 4}, tie_word_embeddings=False)
    a_layer = saved_by_autograd(deeper, bf16, packed) - saved_by_autograd(config, bf16, packed)
    counted = 64 * shape_of(config).saved(2 if bf16 else 4, masked=64 if packed else 0)
    assert counted == pytest.approx(a_layer, rel=0.02)


def test_an_unknown_model_is_one_line_that_names_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"--hf-config$"):
        architecture.read("models/mine")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(DataError, match="'mamba' can't be planned"):
        architecture.read("models/mine", str(tmp_path))


# ------------------------------------------------------------------------------------------------------ does it fit
@pytest.mark.parametrize("name", ["sft_qwen3_8b", "grpo_qwen3_8b"])
def test_the_8b_experiments_fit_on_8_gpus_of_80_gb(name):
    assert memory.shortfalls(settings(name, gpus=8, memory=80)) == []


@pytest.mark.parametrize("name", ["sft_qwen3_8b", "grpo_qwen3_8b"])
def test_they_do_not_on_one_of_24_because_of_16_bytes_a_parameter(name):
    plan = settings(name, gpus=1, memory=24)
    states = sum(memory.phases(plan)[-1].parts[part] for part in ("parameters", "gradients", "optimizer"))
    assert states == 16 * plan.model.parameters
    assert any("update needs" in line and "of 24 GiB" in line for line in memory.shortfalls(plan))


@pytest.mark.parametrize("name", ["sft_qwen3_8b", "grpo_qwen3_8b"])
def test_the_keys_that_are_named_make_it_fit(name):
    changes = remedies.suggest(settings(name, gpus=1, memory=24))
    overrides = [f"{key}={value}" for key, value in changes.items()]
    assert overrides
    assert memory.shortfalls(settings(name, *overrides, gpus=1, memory=24)) == []


def test_so_does_the_number_of_gpus():
    number = remedies.enough_gpus(settings("sft_qwen3_8b", gpus=1, memory=24))
    assert memory.shortfalls(settings("sft_qwen3_8b", gpus=number, memory=24)) == []
    assert memory.shortfalls(settings("sft_qwen3_8b", gpus=number // 2, memory=24))


@pytest.mark.parametrize(
    ("script", "offload"), [("grpo_1gpu.sh", OFFLOAD), ("sft_1gpu.sh", "engine.offload_policy=true")]
)
def test_one_gpu_of_24_gb_takes_the_small_models(script, offload):
    for model, more in (("qwen3_0_6b", []), ("qwen3_1_7b", [offload])):
        plan = settings(*started(script, MODEL=model), *more, memory=24)
        assert (plan.gpus, plan.model.name) == (1, model)
        assert memory.shortfalls(plan) == []


def test_one_gpu_uses_what_saves_memory_and_time():
    name, *overrides = started("grpo_1gpu.sh")
    config = compose(name, overrides).actor_rollout_ref
    assert config.model.use_liger
    assert config.model.use_remove_padding
    assert config.actor.use_dynamic_bsz
    assert config.rollout.free_cache_engine
    assert config.rollout.enable_prefix_caching


# --------------------------------------------------------------------------------------------------------- settings
def test_states_are_sharded_over_1_to_512_gpus():
    needs = [need(settings("grpo_qwen3_8b", "method=grpo_verl", gpus=number)) for number in (1, 2, 8, 64, 512)]
    assert needs == sorted(needs, reverse=True)


@pytest.mark.parametrize("number", [0, 7, 513])
def test_gpus_that_the_batch_does_not_divide_by_are_refused(number):
    with pytest.raises(DataError, match=r"divide|1 to 512"):
        load("sft_qwen3_8b", gpus=number)


def test_what_saves_memory_is_seen_to():
    base = need(settings("sft_qwen3_8b"))
    assert need(settings("sft_qwen3_8b", "model.enable_gradient_checkpointing=false")) > 2 * base
    assert need(settings("sft_qwen3_8b", "model.use_fused_kernels=true")) < base
    assert need(settings("sft_qwen3_8b", "data.max_token_len_per_gpu=8192")) < base
    assert need(settings("sft_qwen3_8b", "model.lora_rank=16")) < base
    assert need(settings("sft_qwen3_8b", SDPA, "model.use_fused_kernels=false")) > base


@pytest.mark.parametrize("script", ["sft_1gpu.sh", "grpo_1gpu.sh"])
def test_without_flash_attn_the_fused_output_layer_makes_the_small_model_fit(script):
    name, *overrides = started(script, MODEL="qwen3_0_6b")
    section = "" if script.startswith("sft") else "actor_rollout_ref."
    sdpa = f"+{section}{SDPA[1:]}"
    assert memory.shortfalls(settings(name, *overrides, sdpa, f"{section}model.use_fused_kernels=false", memory=24))
    plan = settings(name, *overrides, sdpa, memory=24)
    assert plan.fused
    assert memory.shortfalls(plan) == []


def test_an_offloaded_optimizer_is_away_but_for_the_update():
    kept = settings("grpo_qwen3_8b")
    away = settings("grpo_qwen3_8b", "actor_rollout_ref.actor.fsdp_config.optimizer_offload=true")
    assert need(away, "rollout") < need(kept, "rollout")
    assert need(away) == need(kept)
    assert memory.host(away) - memory.host(kept) == 8 * kept.model.parameters // 8


def test_vllm_takes_its_share_of_the_gpu_and_the_rest_is_cache():
    plan = settings("grpo_qwen3_8b")
    found = memory.cache(plan)
    assert found.budget == int(0.6 * 80 * GIB)
    assert found.weights == 2 * plan.model.parameters
    assert memory.cache_bytes(plan) == 2 * 2 * 36 * 8 * 128
    assert found.sequences == found.tokens // 6144


def test_work_is_6n_a_token_and_2n_more_for_checkpointing():
    plan = settings("sft_qwen3_8b")
    done = work.step(plan, work.Rates(prompt=500, response=500))
    assert done.tokens == 256 * 1000
    assert done.flops == pytest.approx(8 * plan.model.matrices * done.tokens, rel=0.05)


def test_a_checkpoint_is_12_bytes_a_parameter():
    plan = settings("sft_qwen3_8b")
    assert plan.disk == 3 * 12 * plan.model.parameters


def test_a_run_that_is_validated_keeps_the_best_checkpoint_besides():
    validated = settings("sft_qwen3_8b", "data.val_files=dev.parquet", "trainer.test_freq=after_each_epoch")
    for plan in (validated, settings("grpo_qwen3_8b")):
        assert (plan.keep.number, plan.disk) == (2, 4 * plan.checkpoint)
    assert settings("grpo_qwen3_8b", "trainer.test_freq=-1").disk == 3 * plan.checkpoint


# ---------------------------------------------------------------------------------------------------------- command
@pytest.mark.parametrize(("gpus", "status", "end"), [("8", 0, "it fits"), ("1", 1, "does not fit: update needs")])
def test_the_command_says_whether_it_fits(gpus, status, end, capsys):
    assert main(["sft_qwen3_8b", "--gpus", gpus, "--memory", "80"]) == status
    assert end in capsys.readouterr().out


def test_the_command_writes_json(capsys):
    assert main(["grpo_tiny", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["parameters"] == 4_197_120
    assert set(plan["phases"]) == {"rollout", "weight sync", "update"}


BYPASS = "algorithm.rollout_correction.bypass_mode=true"


def test_log_probs_from_the_rollout_are_no_work_and_no_memory():
    plan, less = settings("grpo_qwen3_8b"), settings("grpo_qwen3_8b", BYPASS)
    assert "log-probs" in work.step(plan, work.Rates()).seconds
    assert "log-probs" not in work.step(less, work.Rates()).seconds
    assert {phase.name for phase in memory.phases(plan)} - {phase.name for phase in memory.phases(less)} == {
        "log-probs"
    }


@pytest.mark.parametrize(
    ("overrides", "said"), [([], True), ([BYPASS], False), (["actor_rollout_ref.actor.ppo_epochs=2"], False)]
)
def test_the_command_says_what_one_update_a_batch_could_save(overrides, said, capsys):
    main(["grpo_qwen3_8b", "--gpus", "8", *overrides])
    assert (BYPASS in capsys.readouterr().out) is said


@pytest.mark.parametrize("wrong", [["sft_qwen9"], ["sft_tiny", "--device-name", "abacus"], ["sft_tiny", "--memory=-1"]])
def test_wrong_input_is_one_line(wrong, capsys):
    assert main(wrong) == 2
    assert capsys.readouterr().err.count("\n") == 1


# ------------------------------------------------------------------------------------------------------ measurement
@pytest.mark.slow
@pytest.mark.long
def test_the_memory_of_a_real_step_is_predicted_within_a_quarter(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    sys.modules.pop("plan_against_measurement", None)
    from plan_against_measurement import compare, prepare

    row = compare("tiny", tmp_path, prepare(tmp_path / "data"))
    assert abs(row["off"]) < 0.25, row
