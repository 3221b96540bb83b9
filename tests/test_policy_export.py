"""Export of runs whose fp32 weights are not the policy: ten real AdamW steps in verl's FSDP engine, two learning rates.

The tiny model; and SmolLM2-135M, where NER_SMOLLM2 names its folder, which `recipe.smollm2` makes.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from fsdp_ranks import ROOT, two_ranks
from safetensors.torch import load_file, save_file

from recipe.generate.engine import vllm_dtype
from recipe.merge import __main__ as merge
from recipe.merge import fidelity
from recipe.merge.shards import load_shards
from recipe.models.checkpoints import find_checkpoint

SCRIPT, TINY = ROOT / "tests" / "fsdp_run.py", ROOT / "recipe" / "tiny_model" / "base"
FULL = ["bf16_2e-5", "bf16_1e-6", "fp32_2e-5", "fp32_1e-6"]
MORE = ["default_2e-5", "fp16_2e-5", "bf16_1e-3_8", "bf16_1e-6_8"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
pytestmark = pytest.mark.slow


def make(source, out, names):
    """A folder of real runs with these names."""
    two_ranks(SCRIPT, source, out, *names, timeout=1800)
    return out


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make(TINY, tmp_path_factory.mktemp("tiny"), FULL + MORE)


@pytest.fixture(scope="module", params=["tiny", "smollm2"])
def runs(request, tmp_path_factory):
    if request.param == "tiny":
        return request.getfixturevalue("tiny")
    if not os.environ.get("NER_SMOLLM2"):
        pytest.skip("NER_SMOLLM2 names no folder of SmolLM2-135M")
    return make(os.environ["NER_SMOLLM2"], tmp_path_factory.mktemp("smollm2"), FULL)


@pytest.fixture(scope="module")
def exported(runs):
    """Name of a run -> its folder by default, made once, and what was found."""
    made = {}

    def export(name):
        if name not in made:
            folder = runs / name / "merged" / "global_step_10"
            made[name] = folder, merge.export(find_checkpoint(runs / name), folder)
        return made[name]

    return export


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_is_the_policy(folder, run, dtype):
    """Bit for bit what the layers computed with in the run, by FSDP's own cast, stored as `dtype`."""
    ours, seen = weights(folder), load_file(run / "forward.safetensors")
    assert ours.keys() <= seen.keys()
    assert all(ours[name].dtype == dtype and torch.equal(ours[name].float(), seen[name].float()) for name in ours)
    assert json.loads((folder / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("name", FULL)
def test_the_default_is_what_the_layers_computed_with(runs, exported, name):
    folder, found = exported(name)
    assert_is_the_policy(folder, runs / name, DTYPES[name[:4]])
    assert found.exported.relative_error <= fidelity.FLOAT_TOLERANCE
    assert found.exported.agreement == 1


@pytest.mark.vllm
@pytest.mark.parametrize("name", ["bf16_2e-5", "fp32_2e-5"])
def test_evaluation_computes_in_the_precision_of_the_folder(exported, name):
    from vllm.engine.arg_utils import EngineArgs

    folder, _ = exported(name)
    chosen = EngineArgs(str(folder), dtype=vllm_dtype(folder, "auto"), max_model_len=64).create_model_config()
    assert chosen.dtype == DTYPES[name[:4]]


@pytest.mark.parametrize(("name", "dtype"), [("default_2e-5", "bf16"), ("fp16_2e-5", "fp16")])
def test_so_it_is_for_verls_default_and_for_fp16(tiny, name, dtype):
    assert merge.main([str(tiny / name), "--overwrite"]) == 0
    assert_is_the_policy(tiny / name / "merged" / "global_step_10", tiny / name, DTYPES[dtype])


def test_the_master_of_a_bf16_run_answers_otherwise_and_the_card_says_so(exported):
    folder, found = exported("bf16_2e-5")
    assert found.master.relative_error > fidelity.LOGIT_TOLERANCE
    card = (folder / "README.md").read_text()
    assert f"| fp32 master | {found.master} |" in card
    assert f"| update | {found.update} |" in card
    assert "| precision | bf16 (policy: bf16, as trained) |" in card


def test_what_bf16_keeps_of_the_update_falls_with_the_learning_rate(exported):
    large, small = (exported(name)[1].update for name in ("bf16_2e-5", "bf16_1e-6"))
    assert 0 < small.kept < large.kept / 2 < 0.5
    assert small.changed < large.changed


@pytest.mark.parametrize("name", ["fp32_2e-5", "fp32_1e-6"])
def test_fp32_keeps_all_of_it_and_the_master_is_the_policy(exported, name):
    found = exported(name)[1]
    assert (found.update.kept, found.update.lost, found.master) == (1, 0, None)


@pytest.mark.parametrize("name", ["bf16_2e-5", "bf16_1e-6"])
def test_a_bf16_policy_in_fp32_is_the_policy_not_the_master(runs, tmp_path, name):
    assert merge.main([str(runs / name), "--dtype", "fp32", "--out", str(tmp_path / "model")]) == 0
    assert_is_the_policy(tmp_path / "model", runs / name, torch.float32)


@pytest.mark.parametrize("name", ["fp32_2e-5", "fp32_1e-6"])
def test_an_fp32_policy_in_bf16_is_refused_with_the_remedy(runs, tmp_path, capsys, name):
    assert merge.main([str(runs / name), "--dtype", "bf16", "--out", str(tmp_path / "model")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("; leave --dtype out")
    assert not list(tmp_path.iterdir())


def one_ulp(state, run):
    name = "model.layers.1.mlp.up_proj.weight"
    bits = {2: torch.int16, 4: torch.int32}[state[name].element_size()]
    state[name].view(bits)[3, 5] += 1


def transposed(state, run):
    name = next(name for name, weight in state.items() if weight.dim() == 2 and weight.shape[0] == weight.shape[1])
    state[name] = state[name].T.contiguous()


def of_another_step(state, run):
    """The weights that the run began with."""
    source = Path(yaml.safe_load((run / "config.yaml").read_text())["model"]["path"])
    state.update(
        {name: weight.to(state[name].dtype) for name, weight in load_file(source / "model.safetensors").items()}
    )


def the_masters(state, run):
    state.update({name: weight.clone() for name, weight in load_shards(find_checkpoint(run)).items() if name in state})


def in_another_dtype(state, run):
    state.update({name: weight.half() for name, weight in state.items()})


@pytest.mark.parametrize("damage", [one_ulp, transposed, of_another_step, in_another_dtype])
@pytest.mark.parametrize("name", ["bf16_1e-6", "fp32_1e-6"])
def test_a_wrong_weight_is_refused_however_small_the_learning_rate(runs, exported, tmp_path, name, damage):
    folder = Path(shutil.copytree(exported(name)[0], tmp_path / "model"))
    state = weights(folder)
    damage(state, runs / name)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(merge.MergeError, match="not the policy's weight"):
        merge.check(find_checkpoint(runs / name), folder)


def test_the_master_in_place_of_the_policy_is_refused(runs, tmp_path):
    run, folder = runs / "bf16_1e-6", tmp_path / "model"
    merge.export(find_checkpoint(run), folder, dtype="fp32")
    state = weights(folder)
    the_masters(state, run)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(merge.MergeError, match="not the policy's weight in fp32"):
        merge.check(find_checkpoint(run), folder, dtype="fp32")


def test_a_dtype_that_the_configuration_does_not_say_is_refused(runs, exported, tmp_path):
    folder = Path(shutil.copytree(exported("fp32_1e-6")[0], tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    with pytest.raises(merge.MergeError, match=r"config.json: says torch.bfloat16; fp32 was to be written"):
        merge.check(find_checkpoint(runs / "fp32_1e-6"), folder)


def test_without_its_base_and_its_configuration_a_run_is_exported_and_both_are_said(tiny, tmp_path, capsys):
    run = Path(shutil.copytree(tiny / "bf16_2e-5", tmp_path / "run", ignore=shutil.ignore_patterns("merged")))
    (run / "config.yaml").unlink()
    assert merge.main([str(run)]) == 0
    said = capsys.readouterr().err
    assert "policy (bf16, no config.yaml says engine: verl's default)" in said
    assert "update: not measured: the base model is not here" in said


@pytest.mark.parametrize("name", ["bf16_1e-6_8", "bf16_1e-3_8"])
def test_a_lora_run_is_exported_whatever_its_learning_rate(tiny, tmp_path, name):
    merge.export(find_checkpoint(tiny / name), tmp_path / "model")
    assert {weight.dtype for weight in weights(tmp_path / "model").values()} == {
        torch.float32 if name == "bf16_1e-6_8" else torch.bfloat16
    }


def test_an_adapter_that_bf16_would_round_away_is_refused_in_it(tiny, tmp_path, capsys):
    command = [str(tiny / "bf16_1e-6_8"), "--out", str(tmp_path / "model")]
    assert merge.main([*command, "--dtype", "bf16"]) == 1
    assert "bf16 rounds 100% of the update away; leave --dtype out" in capsys.readouterr().err
    assert merge.main(command) == 0
    assert "folded into fp32 weights (--adapter-only is smaller)" in capsys.readouterr().err


def test_an_adapter_alone_is_the_policys_too(tiny, tmp_path):
    assert merge.main([str(tiny / "bf16_1e-6_8"), "--adapter-only", "--out", str(tmp_path / "adapter")]) == 0
    ours = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    seen = load_file(tiny / "bf16_1e-6_8" / "forward.safetensors")
    assert ours
    assert all(torch.equal(seen[name.replace(".weight", ".default.weight")], weight) for name, weight in ours.items())
