"""The CPU engine computes what verl's engine computes, on less."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from random_model import make_random

ROOT = Path(__file__).resolve().parents[1]


def jagged(*rows):
    return torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)


@pytest.fixture(scope="module")
def engine():
    from recipe.engines import cpu  # imports verl's engines

    return cpu


def test_a_prompt_that_rows_share_is_taken_once(engine):
    rows, prompts = jagged([1, 2, 3, 4], [1, 2, 5], [1, 6, 7]), jagged([1, 2], [1, 2], [1])
    layout, taken, went = engine.without_repeats(rows, prompts)
    assert layout == engine.Layout(sizes=(2, 2, 1, 1, 2), prompts=(None, 0, 0, None, 3))
    assert rows.values()[taken].tolist() == [1, 2, 3, 4, 5, 1, 6, 7]
    assert torch.equal(rows.values()[taken][went], rows.values()), "every token is still there"


def test_without_prompts_every_row_is_a_piece(engine):
    rows = jagged([1, 2], [1, 2])
    layout, taken, went = engine.without_repeats(rows, None)
    assert layout == engine.Layout(sizes=(2, 2), prompts=(None, None))
    assert taken.tolist() == went.tolist() == [0, 1, 2, 3]


def test_an_empty_answer_leaves_its_row_whole(engine):
    layout, _, _ = engine.without_repeats(jagged([1, 2], [1, 2, 3]), jagged([1, 2], [1, 2]))
    assert layout == engine.Layout(sizes=(2, 2, 1), prompts=(None, None, 1))


def test_what_a_loss_reads_are_the_positions_before_the_answers_tokens(engine):
    rows = jagged([1, 2, 3, 4], [1, 2, 5])
    assert engine.read_positions(rows, jagged([0, 0, 1, 1], [0, 0, 1])).tolist() == [1, 2, 5], "a mask of whole rows"
    assert engine.read_positions(rows, jagged([1, 1], [1])).tolist() == [1, 2, 5], "a mask of the answers"


@pytest.mark.parametrize(
    ("prompts", "limit", "size"),
    [
        ("aaaabbbb", 100, 4),
        ("aaaabbbb", 8, 2),  # four rows have twelve tokens
        ("aaaabbbb", 3, 1),
        ("aabbbb", 100, 2),
        ("aaabb", 100, 1),
        ("abab", 100, 1),
    ],
)
def test_rows_of_one_prompt_stay_together_as_far_as_they_fit(engine, prompts, limit, size):
    rows = [[ord(letter), 1, 2] for letter in prompts]
    assert engine.together(jagged(*rows), jagged(*([ord(letter)] for letter in prompts)), limit) == size


def test_groups_without_spread_are_told_by_their_advantages(engine):
    prompts = jagged([1, 2], [1, 2], [3], [3], [1, 2], [1, 2])
    advantages = jagged([0.0, 0.0], [0.0], [0.0], [-1.0, -1.0], [0.0], [0.0])
    assert engine.with_spread(prompts, advantages) == [2, 3], "and a group stays whole"


@pytest.mark.parametrize(
    ("changed", "linear"),
    [
        ({}, True),
        ({"policy_loss": {"loss_mode": "gpg"}}, True),
        ({"use_kl_loss": True}, False),
        ({"entropy_coeff": 0.01}, False),
        ({"policy_loss": {"loss_mode": "kl_cov"}}, False),
    ],
)
def test_a_loss_with_other_parts_reads_all_groups(engine, changed, linear):
    from verl.workers.config import FSDPActorConfig, PolicyLossConfig
    from verl.workers.utils.losses import ppo_loss, sft_loss

    if "policy_loss" in changed:
        changed = {"policy_loss": PolicyLossConfig(**changed["policy_loss"])}
    config = FSDPActorConfig(strategy="fsdp2", rollout_n=4, ppo_micro_batch_size_per_gpu=1, **changed)
    assert engine.linear_in_advantages(partial(ppo_loss, config=config)) is linear
    assert not engine.linear_in_advantages(partial(sft_loss, config=None))
    assert not engine.linear_in_advantages(ppo_loss)


def test_attention_by_row_is_that_of_the_whole_mask(engine):
    torch.manual_seed(0)
    layout = engine.Layout(sizes=(3, 2, 4, 5), prompts=(None, 0, 0, None))
    query, key, value = (torch.randn(1, heads, 14, 8, dtype=torch.float64) for heads in (4, 2, 2))
    piece, place = torch.tensor([0] * 3 + [1] * 2 + [2] * 4 + [3] * 5), torch.arange(14)
    sees = (piece[:, None] == piece) | ((piece == 0) & (piece[:, None] < 3))
    mask = sees & (place[:, None] >= place)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    found, _ = engine.sdpa_by_row(None, query, key, value, None, layout=layout)
    torch.testing.assert_close(found, expected.transpose(1, 2))


# ------------------------------------------------------------------------------------------------ against verl's engine
STEPS = """
import json, os, sys
from functools import partial
import torch
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.utils.distributed import initialize_global_process_group
from verl.workers.config import FSDPActorConfig, FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig, PolicyLossConfig
from verl.workers.engine import EngineRegistry
from verl.utils.device import get_torch_device
from verl.workers.utils.losses import ppo_loss, sft_loss

initialize_global_process_group()
draw = lambda *sizes: [torch.randint(3, 200, (size,)) for size in sizes]
nest = lambda rows: torch.nested.as_nested_tensor(rows, layout=torch.jagged)
fp32 = dict(param_dtype="fp32", reduce_dtype="fp32", buffer_dtype="fp32")

def steps(kind, rank, vendor):
    os.environ["VERL_ENGINE_VENDOR"] = vendor
    torch.manual_seed(len(vendor))  # as processes happen to stand, each otherwise
    override = {"attn_implementation": "sdpa"}
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=sys.argv[1], lora_rank=rank, lora_alpha=16, override_config=override,
            external_lib="recipe.engines.gpu",
        ),
        engine_config=FSDPEngineConfig(strategy="fsdp2", use_torch_compile=False, mixed_precision=fp32, seed=7),
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, total_training_steps=3),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    drawn = [weight for name, weight in engine.module.named_parameters() if "lora_A" in name]
    adapter = [weight.detach().norm().item() for weight in drawn]
    torch.manual_seed(0)
    for weight in drawn:  # from here on one adapter for all, also for verl's engine
        torch.nn.init.normal_(weight, std=0.1)
    first, second = draw(11, 7)
    prompts, answers = [first] * 4 + [second] * 4, draw(5, 1, 9, 4, 6, 6, 2, 8)
    rows = [torch.cat(pair) for pair in zip(prompts, answers)]
    numbers = dict(use_dynamic_bsz=True, max_token_len_per_gpu=64, global_batch_size=8)
    fields = dict(input_ids=nest(rows), position_ids=nest([torch.arange(len(row)) for row in rows]))
    if kind != "sft":
        mode = "token-mean" if kind != "flat sequences" else "seq-mean-token-mean"
        config = dict(strategy="fsdp2", rollout_n=4, ppo_micro_batch_size_per_gpu=1, loss_agg_mode=mode)
        config["policy_loss"] = PolicyLossConfig(loss_mode="gpg" if kind == "flat, gpg" else "vanilla")
        loss = partial(ppo_loss, config=FSDPActorConfig(**config))
        ones = nest([torch.ones_like(answer) for answer in answers])
        fields |= dict(prompts=nest(prompts), responses=nest(answers), response_mask=ones, loss_mask=ones)
        fields["old_log_probs"] = nest([torch.full(answer.shape, -5.0) for answer in answers])
        spread = lambda i: kind == "grpo" or (i > 3 and kind != "all flat")  # else the first prompt's answers are alike
        of = lambda i: i - (3.5 if kind == "grpo" else 5.5) if spread(i) else 0.0
        fields["advantages"] = nest([torch.full(answer.shape, of(i)) for i, answer in enumerate(answers)])
        numbers |= dict(temperature=0.8, calculate_entropy=True)
        if kind == "flat, rows counted":  # micro-batches of so many rows, which verl has to come out even
            numbers |= dict(use_dynamic_bsz=False, micro_batch_size_per_gpu=8)
    else:
        loss = partial(sft_loss, config=None)
        fields["loss_mask"] = nest([(torch.arange(len(r)) >= len(p)).long() for r, p in zip(rows, prompts)])
        numbers |= dict(temperature=1.0)
    out = dict(engine=type(engine).__name__, adapter=adapter, losses=[], norms=[], carried=[], tokens=0, trims=0)
    batch = lambda: tu.get_tensordict(tensor_dict=dict(fields), non_tensor_dict=dict(numbers))
    def count(module, args, inputs):
        out["tokens"] += inputs["input_ids"].numel()
    def trim():
        out["trims"] += 1
    get_torch_device().empty_cache = trim
    with engine.train_mode():
        hook = engine.module.register_forward_pre_hook(count, with_kwargs=True)
        for _ in range(3):
            done = engine.train_batch(batch(), loss_function=loss)
            out["losses"].append(sum(done["loss"]))
            out["norms"].append(done["metrics"]["grad_norm"])
            out["carried"] += done["metrics"].get("update_carried", [None])
        hook.remove()
        read = engine.infer_batch(batch())["model_output"]["log_probs"]
    out["read"] = torch.cat([row[-len(answer) - 1 : -1] for row, answer in zip(read.unbind(), answers)]).tolist()
    return out

runs = (("grpo", 0), ("grpo", 4), ("flat", 0), ("flat, gpg", 0), ("flat sequences", 0), ("all flat", 0))
runs += (("flat, rows counted", 0),)
runs += (("sft", 0),)
print(json.dumps([[steps(*run, vendor) for vendor in ("cpu", "none", "nvidia")] for run in runs]))
"""


@pytest.mark.slow
@pytest.mark.cpu_platform
def test_losses_gradients_and_log_probabilities_are_those_of_verls_engine(tmp_path):
    folder = make_random(tmp_path / "model", vocab_size=512, hidden_size=32, layers=2)
    environment = {"VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda", "RANK": "0", "WORLD_SIZE": "1"}
    environment |= {"LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "PYTHONPATH": str(ROOT)}
    environment["NER_ROLLOUT_DTYPE"] = "bfloat16"
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(folder)], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shares, adapters = [], []
    for ours, verls, for_gpus in json.loads(done.stdout.splitlines()[-1]):
        shares.append(ours["tokens"] / verls["tokens"])
        assert (ours["engine"], verls["engine"]) == ("CpuEngine", "FSDPEngineWithLMHead")
        assert (ours["trims"], verls["trims"]) == (4, 0), "else verl does it, and the engine needn't"
        assert (for_gpus["engine"], for_gpus["losses"]) == ("GpuEngine", verls["losses"]), "verl's, and a figure"
        assert ours["adapter"] == for_gpus["adapter"], "of one seed, whatever else was drawn before"
        assert not verls["adapter"] or verls["adapter"] != ours["adapter"], "else verl seeds it: seeded_adapter can go"
        adapters.append(bool(ours["adapter"]))
        assert verls["carried"] == [None] * 3
        assert ours["carried"] == pytest.approx(for_gpus["carried"], abs=1e-3)
        if any(verls["losses"]):
            assert all(0.5 < share < 1 for share in ours["carried"]), "steps of 1e-3 are above most of bf16's here"
            assert verls["losses"][0] != pytest.approx(verls["losses"][2], rel=1e-3), "the steps change the model"
        for key in ("losses", "norms"):
            assert ours[key] == pytest.approx(verls[key], rel=1e-4, abs=1e-9)
        assert ours["read"] == pytest.approx(verls["read"], abs=1e-4)
    assert any(adapters)
    shared = (11 + 7 + 41) / (4 * 11 + 4 * 7 + 41)  # the prompts once
    assert shares == pytest.approx([shared, shared, *[(7 + 22) / 113] * 3, (11 + 5) / 113, shared, 1])


@pytest.fixture
def products():
    """The precision of products as it was, whatever a test does to it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def test_products_are_made_otherwise_and_still_in_fp32(engine, products):
    assert engine.faster_products() == (torch.get_float32_matmul_precision() == "medium")
    drawn = torch.Generator().manual_seed(1)
    left, right = torch.randn(300, 700, generator=drawn), torch.randn(700, 900, generator=drawn)
    assert ((left @ right).double() - left.double() @ right.double()).abs().max() < 1e-3


def rounded(left, right):
    """A product as a CPU makes it that has taken leave to use bf16."""
    if left.dtype == torch.float32:
        return left.bfloat16().mm(right.bfloat16()).float()
    return left.mm(right)


def test_products_that_would_be_rounded_are_left_alone(engine, products, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not engine.faster_products()
    assert torch.get_float32_matmul_precision() == "highest"
