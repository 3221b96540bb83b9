"""Settings that follow from the model and the machine: what is set, what the user's own word does, what is refused."""

from __future__ import annotations

import math
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from experiment_runs import GRPO
from omegaconf import OmegaConf
from random_model import make_random
from safetensors.torch import save_file
from test_plan import TINY, identity, settings, shape_of
from test_preflight import grpo, model, problem  # noqa: F401
from transformers import AutoConfig, AutoModelForCausalLM

from recipe.core.entities import DataError
from recipe.models import architecture, weight_bucket
from recipe.models.safetensors_header import Tensor, tensors
from recipe.models.weight_bucket import KEY as BUCKET_KEY
from recipe.models.weight_bucket import Model
from recipe.ray_cluster import placement
from recipe.ray_cluster.placement import CPUS_KEY
from recipe.train import __main__ as train
from recipe.train import checks as preflight
from recipe.train import derived, flash_attention
from recipe.train.config import compose
from recipe.train.derived import LENGTH_KEY, Derived, Machine

pytestmark = pytest.mark.usefixtures("any_vllm")
ATTENTION, FUSED = "override_config.attn_implementation", "use_fused_kernels"
BOTH_STAGES = pytest.mark.parametrize(
    ("name", "section"), [("sft_qwen3_8b", "model"), ("grpo_qwen3_8b", "actor_rollout_ref.model")]
)
NO_FLASH = Machine("flash-attn is not installed")
QWEN3_8B = Model.of(architecture.named("qwen3_8b"))


def found(name, *overrides, machine=NO_FLASH, of=QWEN3_8B):
    """What is derived for an experiment, as a dictionary."""
    return {setting.key: setting.value for setting in derived.derive(compose(name, overrides), overrides, of, machine)}


def started(name, overrides, capsys):
    """Hydra's overrides of the command that recipe.train would run."""
    assert train.train(name, overrides, dry_run=True) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("command"))
    return dict(part.lstrip("+").split("=", 1) for part in line.split() if "=" in part)


# ---------------------------------------------------------------------------------------------------- weights to vLLM
@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model whose largest tensor has 66 MiB in fp32; it isn't the embedding."""
    folder = tmp_path_factory.mktemp("wide") / "model"
    return make_random(folder, vocab_size=600, hidden_size=64, layers=1, mlp=270_000)


def test_the_bucket_holds_the_largest_tensor(grpo, wide, capsys):  # noqa: F811
    assert started("grpo_tiny", grpo(folder=wide), capsys)[BUCKET_KEY] == "128"
    assert started("grpo_tiny", grpo(), capsys)[BUCKET_KEY] == "64"


def test_a_bucket_that_is_too_small_is_refused_with_the_size_to_set(grpo, wide):  # noqa: F811
    assert problem("grpo_tiny", grpo(folder=wide, **{BUCKET_KEY: 64})) == (
        f"{BUCKET_KEY}=64: the model's largest tensor has 66 MiB; set it to 128"
    )
    preflight.check("grpo_tiny", grpo(folder=wide, **{BUCKET_KEY: 66}))


def send(weight, megabytes):
    """Send one tensor as verl does without a GPU; what arrives."""
    import asyncio
    import uuid

    from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver, BucketedWeightSender

    handle, arrived = f"ipc:///tmp/bucket-{uuid.uuid4().hex}.sock", {}
    receiver = BucketedWeightReceiver(handle, torch.device("cpu"), use_shm=True)

    def keep(weights, is_last):
        arrived.update({name: tensor.clone() for name, tensor in weights})

    thread = threading.Thread(target=lambda: receiver.receive_weights(keep), daemon=True)
    thread.start()
    asyncio.run(BucketedWeightSender(handle, megabytes, use_shm=True).async_send_weights(iter([("weight", weight)])))
    thread.join(timeout=60)
    return arrived["weight"]


@pytest.mark.cpu_platform
def test_verl_sends_a_tensor_in_the_bucket_that_is_asked_for_and_in_none_that_is_smaller(monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    weight = torch.arange(3 * 2**20, dtype=torch.float32).view(3, -1)  # 12 MiB
    need = weight_bucket.needed(compose("grpo_tiny"), Model("qwen3", (tuple(weight.shape),)))
    assert torch.equal(send(weight, need), weight)
    with pytest.raises(AssertionError, match="too large to fit in the bucket"):
        send(weight, need - 1)


@pytest.mark.parametrize("config", TINY, ids=identity)
def test_without_weights_the_architecture_tells_the_largest_tensor(config, tmp_path):
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    of_files = Model.of_folder(tmp_path, config.to_dict())
    assert max(map(math.prod, of_files.shapes)) == max(map(math.prod, Model.of(shape_of(config)).shapes))


def test_where_nothing_tells_the_shapes_nothing_follows_from_them(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    of = Model.of_folder(tmp_path, {"model_type": "gpt2"})
    assert BUCKET_KEY not in found("grpo_qwen3_8b", of=of)
    assert found("grpo_tiny", of=of)[BUCKET_KEY] == 64


def test_the_bucket_on_gpus_grows_only_where_a_tensor_is_larger():
    assert found("grpo_qwen3_8b")[BUCKET_KEY] == 2432  # 151,936 x 4,096 in fp32: 2,374 MiB
    bf16 = "actor_rollout_ref.actor.fsdp_config.model_dtype=bf16"
    assert BUCKET_KEY not in found("grpo_qwen3_8b", bf16)
    assert BUCKET_KEY not in found("grpo_qwen3_8b", f"{BUCKET_KEY}=4096")
    assert BUCKET_KEY not in found("grpo_qwen3_8b", f"{BUCKET_KEY}=2048"), "the user's, though it is verl's, too"


def test_with_lora_adapters_alone_are_sent_unless_vllm_has_no_base():
    assert BUCKET_KEY not in found("grpo_qwen3_8b_lora")
    assert found("grpo_qwen3_8b_lora", "actor_rollout_ref.rollout.load_format=dummy")[BUCKET_KEY] == 2432
    assert found("grpo_qwen3_8b_lora", "actor_rollout_ref.model.lora.merge=true")[BUCKET_KEY] == 2432


def test_an_engine_that_cuts_tensors_needs_no_larger_bucket():
    assert BUCKET_KEY not in found("grpo_qwen3_8b", f"{BUCKET_KEY.rpartition('.')[0]}.backend=nccl")


def test_verls_own_bucket_is_the_one_that_is_taken_for_nobodys():
    assert compose("grpo_qwen3_8b").actor_rollout_ref.rollout.checkpoint_engine["update_weights_bucket_megabytes"] == (
        weight_bucket.VERLS
    )


def test_shared_memory_that_is_too_small_is_told(grpo, monkeypatch):  # noqa: F811
    monkeypatch.setattr(weight_bucket.os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=4096))
    assert "--shm-size" in problem("grpo_tiny", grpo())


def test_headers_are_read_without_weights(tmp_path):
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}, tmp_path / "one.safetensors")
    assert tensors(tmp_path) == {"a": Tensor((2, 3), "F32"), "b": Tensor((4,), "BF16")}
    save_file({"old": torch.zeros(9, 9)}, tmp_path / "left_over.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "one.safetensors"}}')
    assert tensors(tmp_path).keys() == {"a", "b"}
    (tmp_path / "one.safetensors").write_bytes((tmp_path / "one.safetensors").read_bytes()[:40])
    with pytest.raises(DataError, match=r"one.safetensors: can't be read"):
        tensors(tmp_path)
    index.write_text("[]")
    with pytest.raises(DataError, match="is no index"):
        tensors(tmp_path)


# ------------------------------------------------------------------------------------------------------------- length
@pytest.mark.parametrize("name", GRPO)
def test_vllm_takes_the_prompt_and_the_response_as_the_plan_does(name):
    name, *overrides = name.split()
    config = compose(name, overrides)
    length = config.data.max_prompt_length + config.data.max_response_length
    assert found(name, *overrides)[LENGTH_KEY] == length == settings(name, *overrides).rollout.length


def test_the_run_is_started_with_it(grpo, capsys):  # noqa: F811
    assert started("grpo_tiny", grpo(), capsys)[LENGTH_KEY] == "768"  # 512 + 256
    assert started("grpo_tiny", grpo(**{LENGTH_KEY: 900}), capsys)[LENGTH_KEY] == "900"
    assert started("grpo_tiny", grpo(**{LENGTH_KEY: "null"}), capsys)[LENGTH_KEY] == "null"


def test_a_length_without_room_or_beyond_the_models_is_refused(grpo):  # noqa: F811
    assert "no room after data.max_prompt_length=512; set it to 768" in problem("grpo_tiny", grpo(**{LENGTH_KEY: 512}))
    batched = {"actor_rollout_ref.rollout.max_num_batched_tokens": 500}
    assert "set it to 768 or more" in problem("grpo_tiny", grpo(**batched))
    assert "has 4096 positions" in problem("grpo_tiny", grpo(**{LENGTH_KEY: 8192}))


def test_the_plan_takes_the_models_length_where_the_run_has_no_limit_and_whole_prompts_without_chunks(tmp_path):
    config = AutoConfig.from_pretrained(Path(train.__file__).parents[1] / "tiny_model" / "base")
    plan = settings("grpo_tiny", f"{LENGTH_KEY}=null")
    assert plan.rollout.length == config.max_position_embeddings
    whole = settings(
        "grpo_qwen3_8b",
        "actor_rollout_ref.rollout.enable_chunked_prefill=false",
        "actor_rollout_ref.rollout.max_num_batched_tokens=1024",
    )
    assert whole.rollout.batched_tokens == whole.rollout.length == 6144


# ---------------------------------------------------------------------------------------------------------- attention
@BOTH_STAGES
def test_without_flash_attn_a_run_takes_sdpa_and_the_fused_output_layer(name, section):
    key, fused = f"{section}.{ATTENTION}", f"{section}.{FUSED}"
    assert Derived(key, "sdpa", "").override == f"++{key}=sdpa"
    assert (found(name)[key], found(name)[fused]) == ("sdpa", True)
    assert {key, fused} & found(name, machine=Machine()).keys() == set()


@BOTH_STAGES
@pytest.mark.parametrize("own", ["eager", "flash_attention_3", "sdpa"])
def test_the_users_own_attention_stays(name, section, own):
    for override in (f"+{section}.{ATTENTION}={own}", f"+{section}.override_config={{attn_implementation: {own}}}"):
        assert f"{section}.{ATTENTION}" not in found(name, override)
        assert (f"{section}.{FUSED}" in found(name, override)) == (not own.startswith("flash"))


def test_so_does_his_own_word_on_the_fused_output_layer():
    assert f"model.{FUSED}" not in found("sft_qwen3_8b", f"model.{FUSED}=false")


@pytest.mark.parametrize("change", ["actor_rollout_ref.actor.calculate_sum_pi_squared=true", None])
def test_the_fused_output_layer_is_left_where_verl_has_none(change):
    of = QWEN3_8B if change else Model("gemma2", QWEN3_8B.shapes)
    assert f"actor_rollout_ref.model.{FUSED}" not in found("grpo_qwen3_8b", *filter(None, [change]), of=of)


def test_a_run_on_a_cpu_takes_sdpa_alone(grpo, capsys):  # noqa: F811
    model_file = "model@actor_rollout_ref.model=qwen3_0_6b"  # which has no word on attention
    given = started("grpo_tiny", [model_file, *grpo(), "actor_rollout_ref.model.use_liger=false"], capsys)
    assert given[f"actor_rollout_ref.model.{ATTENTION}"] == "sdpa"
    assert f"actor_rollout_ref.model.{FUSED}" not in given


def test_flash_attention_2_that_is_not_there_is_refused(grpo):  # noqa: F811
    key = f"actor_rollout_ref.model.{ATTENTION}"
    assert problem("grpo_tiny", grpo(**{key: "flash_attention_2"})).startswith(f"{key}=flash_attention_2: flash-attn")
    config = compose("sft_qwen3_8b", [f"+model.{ATTENTION}=flash_attention_2"])
    with pytest.raises(DataError, match=r"model.override_config.attn_implementation=flash_attention_2: .*installed"):
        derived.check(config, QWEN3_8B, NO_FLASH)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages that is looked at first, with `flash_attn` out of memory before and after."""

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == "flash_attn"]:
            del sys.modules[name]

    forget()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget()


def install(site, distribution, **files):
    info = site / f"{distribution.replace('-', '_')}-2.8.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.8.3\n")
    (site / "flash_attn").mkdir()
    for name, text in files.items():
        (site / "flash_attn" / f"{name}.py").write_text(text)


def test_flash_attn_4s_folder_is_not_flash_attn_2(site):
    install(site, "flash-attn-4", cute="")
    assert import_module("flash_attn.cute")
    assert flash_attention.missing() == "flash-attn is not installed"


def test_flash_attn_2_must_load(site):
    install(site, "flash-attn", __init__="", flash_attn_interface="raise ImportError('undefined symbol: _ZN3c10')")
    assert flash_attention.missing() == "flash-attn 2.8.3 can't be imported (undefined symbol: _ZN3c10)"


def test_flash_attn_2_is_found(site):
    install(site, "flash-attn", __init__="", flash_attn_interface="")
    assert flash_attention.missing() == ""


# --------------------------------------------------------------------------------------------- the fused output layer
def of_kind(kind, **more):
    sizes = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **more)).eval()


def fused_and_plain(network, monkeypatch, temperature=0.7):
    """log p of the next tokens by verl's fused output layer, and by the logits of the model's own forward pass.

    Each with the gradient of its mean at the output layer and at the first norm, which is at the network's other end.
    """
    from verl.models.transformers.monkey_patch import patch_forward_with_backends

    ids = torch.arange(600).view(1, -1) % 90
    labels = ids.roll(-1, dims=1)
    weights = [network.get_output_embeddings().weight, network.model.layers[0].input_layernorm.weight]
    logits = network(input_ids=ids).logits.float() / temperature
    plain = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    monkeypatch.setattr(type(network), "forward", type(network).forward)  # put back at the end
    patch_forward_with_backends(network, use_fused_kernels=True, fused_kernels_backend="torch")
    fused = network(input_ids=ids, shift_labels=labels, temperature=temperature, return_dict=True).log_probs
    return [(found, *torch.autograd.grad(found.mean(), weights)) for found in (fused, plain)]


@pytest.mark.parametrize("kind", [kind for kind in derived.FUSED_KINDS if kind != "internlm2"])  # converted to llama
@pytest.mark.parametrize("tied", [True, False])
def test_where_it_is_set_it_gives_the_models_own_probabilities(kind, tied, monkeypatch):
    torch.testing.assert_close(*fused_and_plain(of_kind(kind, tie_word_embeddings=tied), monkeypatch))


def test_a_model_that_scales_its_logits_would_get_others(monkeypatch):
    assert "granite" not in derived.FUSED_KINDS
    with pytest.raises(AssertionError):
        torch.testing.assert_close(*fused_and_plain(of_kind("granite", logits_scaling=8.0), monkeypatch))


# --------------------------------------------------------------------------------------------------------------- CPUs
@pytest.mark.parametrize(("hardware", "need"), [("cpu", 6), ("gpu_1", 6), ("gpu_2", 9), ("gpu_8", 34)])
def test_what_verls_actors_ask_ray_for(hardware, need):
    assert placement.cpus_needed(compose("grpo_qwen3_8b", [f"hardware={hardware}"])) == need


def test_verl_and_transfer_queue_ask_for_what_is_counted():
    import transfer_queue.controller as controller
    import transfer_queue.storage.simple_storage as storage
    from verl.single_controller.ray.base import ResourcePoolManager

    assert ResourcePoolManager({}, {}).max_colocate_count == placement.CPUS_A_SLOT
    for actor in (controller.TransferQueueController, storage.SimpleStorageUnit):
        assert actor._default_options["num_cpus"] == 1
    assert compose("grpo_qwen3_8b").transfer_queue.backend.SimpleStorage.num_data_storage_units == placement.UNITS


def test_a_machine_with_fewer_offers_logical_ones():
    assert found("grpo_qwen3_8b", machine=Machine(cpus=16))[CPUS_KEY] == 34
    assert CPUS_KEY not in found("grpo_qwen3_8b", machine=Machine(cpus=34))
    assert CPUS_KEY not in found("grpo_qwen3_8b", machine=Machine()), "a cluster has its own"
    assert CPUS_KEY not in found("sft_qwen3_8b", machine=Machine(cpus=1))


def test_one_cpu_fewer_is_refused_instead_of_waiting_for_ever(grpo):  # noqa: F811
    need = placement.cpus_needed(compose("grpo_tiny"))
    preflight.check("grpo_tiny", grpo(**{CPUS_KEY: need}))
    said = problem("grpo_tiny", grpo(**{CPUS_KEY: need - 1}))
    assert said.startswith(f"{CPUS_KEY}={need - 1}: verl's actors ask Ray for {need}")


def test_more_storage_units_and_processes_for_rewards_count(grpo):  # noqa: F811
    need = placement.cpus_needed(compose("grpo_tiny"))
    assert f"for {need + 3} " in problem("grpo_tiny", grpo(**{placement.UNITS_KEY: 4, CPUS_KEY: need}))
    remote = compose("grpo_tiny", ["reward.reward_manager.name=remote", "reward.num_workers=3"])
    assert placement.cpus_needed(remote) == need + 9


def test_storage_units_are_dealt_out_to_the_nodes():
    assert placement.cpus_needed(compose("grpo_qwen3_8b", ["trainer.nnodes=2"])) == 3 * 8 + 4 + 2


# ---------------------------------------------------------------------------------------------------------- resuming
def test_a_run_goes_on_where_the_machine_is_another(tmp_path):
    name, machine = "grpo_qwen3_8b", Machine("flash-attn is not installed", cpus=4)
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(compose(name), resolve=True))
    settings = derived.derive(compose(name), [], QWEN3_8B, machine)
    assert len(settings) == 5
    given = [setting.override for setting in settings]
    again = OmegaConf.to_container(compose(name, given), resolve=True)
    assert train.differences(tmp_path, again) == []
    other = OmegaConf.to_container(compose(name, [*given, "actor_rollout_ref.rollout.n=4"]), resolve=True)
    assert "actor_rollout_ref.rollout.n" in train.differences(tmp_path, other)


@pytest.mark.parametrize("name", ["grpo_tiny", "sft_tiny"])
def test_a_run_whose_folder_was_moved_is_the_same_run(tmp_path, name):
    def at(folder):
        return OmegaConf.to_container(compose(name, [f"trainer.default_local_dir={folder}"]), resolve=True)

    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(at("outputs/before")))
    assert train.differences(tmp_path, at(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "key"), [("grpo_tiny", "actor_rollout_ref.actor.fsdp_config.seed"), ("sft_tiny", "engine.seed")]
)
def test_a_run_from_before_adapters_had_a_seed_goes_on_but_not_with_another_seed(tmp_path, name, key):
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(compose(name, [f"{key}=42"]), resolve=True))
    assert train.differences(tmp_path, OmegaConf.to_container(compose(name), resolve=True)) == []
    other = OmegaConf.to_container(compose(name, ["seed=42"]), resolve=True)
    assert "seed" in train.differences(tmp_path, other)
