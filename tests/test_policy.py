"""The precision of a run's policy, and what rounding leaves of an update."""

import pytest
import torch
from safetensors.torch import save_file

from recipe.core.entities import DataError
from recipe.merge import policy
from recipe.models.card import RunRecord


def precision(config, grpo=False):
    return policy.read_precision(RunRecord(config=config, config_file="config.yaml"), grpo)


def sft(dtype):
    return {"engine": {"mixed_precision": {"param_dtype": dtype}}}


def grpo(trained, sampled):
    fsdp = {"mixed_precision": trained and {"param_dtype": trained}}
    return {"actor_rollout_ref": {"actor": {"fsdp_config": fsdp}, "rollout": {"dtype": sampled}}}


@pytest.mark.parametrize(("named", "name"), [("fp32", "fp32"), ("float32", "fp32"), (16, "fp16"), ("bfloat16", "bf16")])
def test_an_sft_policy_has_the_precision_of_its_forward_pass(named, name):
    assert precision(sft(named)).name == name


@pytest.mark.parametrize("config", [{"engine": {}}, {"engine": {"mixed_precision": None}}, sft(None)])
def test_where_none_is_configured_it_is_verls(config):
    assert precision(config).name == "bf16"


@pytest.mark.parametrize("config", [{}, {"experiment": "sft_tiny"}])
def test_a_run_without_its_configuration_is_taken_for_verls_default_and_says_so(config):
    found = precision(config)
    assert (found.name, found.source) == ("bf16", "no config.yaml says engine: verl's default")


@pytest.mark.parametrize(
    ("trained", "sampled", "name"),
    [
        ("fp32", "float32", "fp32"),
        (None, "bfloat16", "bf16"),
        ("fp32", "bfloat16", "fp32"),
        (None, "float32", "fp32"),
        ("bf16", "half", "fp16"),
        ("fp32", "auto", "fp32"),
    ],
)
def test_a_grpo_policy_has_the_wider_of_its_two_precisions(trained, sampled, name):
    assert precision(grpo(trained, sampled), grpo=True).name == name


def test_two_precisions_are_both_named():
    assert precision(grpo("fp32", "bfloat16"), grpo=True).source == "trained in fp32, sampled in bf16: the wider"


@pytest.mark.parametrize("config", [sft("fp8"), sft(True)])
def test_a_precision_that_is_not_known_is_refused_by_file_and_key(config):
    with pytest.raises(DataError, match=r"^config\.yaml: engine\.mixed_precision\.param_dtype is .*; known are bf16"):
        precision(config)


def in_bf16(weight):
    return policy.rounded(weight, "bf16")


def test_an_update_on_the_grid_is_kept_whole():
    start = torch.ones(4)
    update = policy.measure([(start, start + 2.0**-7)], in_bf16)
    assert (update.changed, update.kept, update.lost) == (1, 1, 0)


def test_an_update_below_the_grid_is_lost_whole():
    start = torch.ones(4)
    update = policy.measure([(start, start + 2.0**-9)], in_bf16)
    assert (update.changed, update.kept, update.lost) == (0, 0, 1)
    assert update.norm == 2 * 2.0**-9


def test_an_update_that_rounding_doubles_is_lost_as_much():
    start = torch.tensor([1 + 2.0**-7])  # odd, so that half a step goes up
    update = policy.measure([(start, start + 2.0**-8)], in_bf16)
    assert (update.changed, update.kept, update.lost) == (1, 2, 1)


def test_no_update_loses_nothing():
    update = policy.measure([(torch.ones(2), torch.ones(2))], in_bf16)
    assert (update.norm, update.lost) == (0, 0)


@pytest.fixture
def base(tmp_path):
    save_file({policy.EMBEDDING: torch.ones(3, 2), "norm": torch.zeros(2)}, tmp_path / "model.safetensors")
    return str(tmp_path)


def state(**changed):
    return {policy.EMBEDDING: torch.ones(3, 2), "norm": torch.ones(2), **changed}


def test_a_base_that_is_there_gives_the_pairs(base):
    assert [(a.sum().item(), b.sum().item()) for a, b in policy.beside_base(state(), base)] == [(6, 6), (0, 2)]


def test_an_output_layer_counts_once_tied_and_is_compared_with_the_embedding_untied(base):
    tied, untied = ({policy.TIED: torch.full((3, 2), value)} for value in (1.0, 2.0))
    assert len(list(policy.beside_base(state(**tied), base))) == 2
    assert [(a.sum().item(), b.sum().item()) for a, b in policy.beside_base(state(**untied), base)][-1] == (6, 12)


@pytest.mark.parametrize("other", [{"bias": torch.ones(2)}, {"norm": torch.ones(3)}])
def test_another_model_under_the_bases_name_counts_as_gone(base, other):
    assert policy.beside_base(state(**other), base) is None


@pytest.mark.parametrize("gone", [None, "/no/such/folder", "nobody/no-such-model"])
def test_a_base_that_is_gone_gives_none(gone):
    assert policy.beside_base(state(), gone) is None
