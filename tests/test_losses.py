"""The recall-oriented loss: the formula, verl's way of adding it up, and which tokens hold the `B` of a tag."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recipe import answers
from recipe.answers import bio
from recipe.core.entities import DataError, Entity, Example
from sft.dataset import AnswerDataset, begins, hold
from sft.losses import configured_loss, recall_oriented_loss

ROOT = Path(__file__).resolve().parent.parent

# Every `B` that isn't a tag's: of a word, alone, in parentheses, as a whole tag that is a word of the text.
TRICKY = Example(
    "(B-person) flew a B-52 on Plan B with (B) , Zoë B. and B-place to Ōsaka (B-place)",
    ("person", "place", "air craft"),
    (Entity("B-52", "air craft"), Entity("Zoë B.", "person"), Entity("Ōsaka", "place"), Entity("B)", "person")),
    format="bio",
)
PLAIN = Example("Ada Lovelace met Bob in Paris .", TRICKY.types, (Entity("Ada Lovelace", "person"),), format="bio")


# -------------------------------------------------------------------------------------------------------- a toy model
class Bigram(torch.nn.Module):
    """Next-token logits from a table, in float64: (rows, seq) ids -> log-probabilities as verl's engine gives them."""

    def __init__(self, vocabulary=40):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(0)))
        self.double()

    def forward(self, input_ids):
        ids = input_ids.values()
        logs = self.table[ids].log_softmax(-1).gather(-1, ids.roll(-1)[:, None])[:, 0]
        return {"log_probs": torch.nested.nested_tensor_from_jagged(logs, input_ids.offsets())}


def rows(count=8, vocabulary=40):
    """Rows of several lengths: a prompt of 3 tokens, an answer of which every third token holds a `B`."""
    generator = torch.Generator().manual_seed(1)
    for i in range(count):
        answer = 5 + 2 * i
        yield {
            "input_ids": torch.randint(vocabulary, (3 + answer,), generator=generator),
            "position_ids": torch.arange(3 + answer),
            "loss_mask": torch.tensor([0] * 3 + [1] * answer),
            "begin_mask": torch.tensor([0] * 3 + [int(j % 3 == 0) for j in range(answer)]),
        }


def step(loss, some, of=None, ranks=1, **settings):
    """Loss and gradient of the rank that has `some` of the rows `of` a batch, as verl's FSDP engine computes them."""
    from verl.utils import tensordict_utils as tu
    from verl.utils.dataset.dataset_utils import SFTTensorCollator
    from verl.workers.engine.utils import prepare_micro_batches

    tokens = sum(int(row["loss_mask"].sum()) for row in of or some)
    meta = {"pad_mode": "no_padding", "dp_size": ranks, "batch_num_tokens": tokens, **settings}
    data = tu.get_tensordict(SFTTensorCollator("no_padding")(list(some)), meta)
    model, total = Bigram(), 0.0
    for micro in prepare_micro_batches(data, same_micro_num_in_dp=False)[0]:
        value, metrics = loss(model_output=model(micro["input_ids"]), data=micro, dp_group=None)
        value.backward()
        assert metrics == {}
        total += value.item()
    return total, model.table.grad


ONE = {"use_dynamic_bsz": False, "micro_batch_size_per_gpu": 8}


def by_hand(alpha, beta, confidence, detach=False):
    """The formula of the paper, a token at a time, from tokens and not from positions; 1 - p may be a constant."""
    model, total, tokens = Bigram(), 0.0, 0
    for row in rows():
        ids, begin = row["input_ids"].tolist(), row["begin_mask"].tolist()
        for place in range(3, len(ids)):
            p = model.table[ids[place - 1]].softmax(-1)[ids[place]]
            factor = 1 - (p.detach() if detach else p)
            weight = (alpha if begin[place] else beta) * (factor if confidence else 1)
            total = total + weight * -p.log()
            tokens += 1
    (total / tokens).backward()
    return total.item() / tokens, model.table.grad


# -------------------------------------------------------------------------------------------------------- the formula
@pytest.mark.parametrize(("alpha", "beta", "confidence"), [(1.2, 1.0, True), (1.2, 1.0, False), (0.5, 2.0, True)])
def test_value_and_gradient_are_those_of_the_formula(alpha, beta, confidence):
    loss = configured_loss({"name": "recall_oriented", "alpha": alpha, "beta": beta, "confidence": confidence})
    (value, gradient), (expected, by_autograd) = step(loss, list(rows()), **ONE), by_hand(alpha, beta, confidence)
    assert value == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, by_autograd, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("given", [{}, {"detach_confidence": False}, {"detach_confidence": True}])
def test_the_gradient_goes_through_the_confidence_unless_it_is_detached(given):
    detach = given.get("detach_confidence", False)
    loss = configured_loss({"name": "recall_oriented", **given})
    (value, gradient), (expected, by_autograd) = step(loss, list(rows()), **ONE), by_hand(1.2, 1.0, True, detach)
    assert value == pytest.approx(expected, rel=1e-12), "the value is the same"
    torch.testing.assert_close(gradient, by_autograd, rtol=1e-12, atol=1e-15)
    assert not torch.allclose(gradient, by_hand(1.2, 1.0, True, not detach)[1], rtol=1e-2)


@pytest.mark.parametrize("detach", [False, True])
def test_the_derivative_is_that_of_the_docstring(detach):
    log_prob = torch.tensor([-3.0, -0.1, -1e-9], dtype=torch.float64, requires_grad=True)
    offsets = torch.tensor([0, 3])
    jagged = torch.nested.nested_tensor_from_jagged
    data = {"batch_num_tokens": 1, "dp_size": 1, "loss_mask": jagged(torch.tensor([1, 1, 1]), offsets)}
    data["begin_mask"] = jagged(torch.tensor([0, 1, 0]), offsets)  # rolled: the first log-probability is about it
    model_output = {"log_probs": jagged(log_prob, offsets)}
    recall_oriented_loss(None, model_output, data, detach_confidence=detach)[0].backward()
    p, weight = log_prob.detach().exp(), torch.tensor([1.2, 1.0, 1.0], dtype=torch.float64)
    expected = -weight * (1 - p - (0 if detach else p * p.log()))
    torch.testing.assert_close(log_prob.grad, expected, rtol=1e-6, atol=1e-15)


def test_without_weights_it_is_verls_loss():
    from verl.workers.utils.losses import sft_loss

    ours = configured_loss({"name": "recall_oriented", "alpha": 1, "beta": 1, "confidence": False})
    for settings in (ONE, {"use_dynamic_bsz": True, "max_token_len_per_gpu": 48}):
        value, gradient = step(ours, list(rows()), **settings)
        verls, its_gradient = step(partial(sft_loss, config=None), list(rows()), **settings)
        assert value == pytest.approx(verls, abs=1e-12)
        torch.testing.assert_close(gradient, its_gradient, rtol=0, atol=1e-12)


def test_a_prompt_of_no_probability_does_not_reach_the_gradient():
    log_prob = torch.tensor([-math.inf, -1.0, -1.0], requires_grad=True)
    jagged, offsets = torch.nested.nested_tensor_from_jagged, torch.tensor([0, 3])
    data = {mask: jagged(torch.tensor([0, 0, 1]), offsets) for mask in ("loss_mask", "begin_mask")}
    model_output = {"log_probs": jagged(log_prob, offsets)}
    recall_oriented_loss(None, model_output, {**data, "batch_num_tokens": 1, "dp_size": 1})[0].backward()
    assert log_prob.grad.isfinite().all()
    assert log_prob.grad.count_nonzero() == 1


# ----------------------------------------------------------------------------------------------- ranks, micro-batches
@pytest.mark.parametrize(
    "settings",
    [
        {"use_dynamic_bsz": False, "micro_batch_size_per_gpu": 1},
        {"use_dynamic_bsz": False, "micro_batch_size_per_gpu": 2},
        {"use_dynamic_bsz": True, "max_token_len_per_gpu": 24},
        {"use_dynamic_bsz": True, "max_token_len_per_gpu": 1000},
    ],
)
@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_and_micro_batches_change_nothing(ranks, settings):
    batch, loss = list(rows()), configured_loss({"name": "recall_oriented"})
    shares = [step(loss, batch[rank::ranks], batch, ranks, **settings) for rank in range(ranks)]
    expected, its_gradient = step(loss, batch, **ONE)
    assert sum(value for value, _ in shares) / ranks == pytest.approx(expected, rel=1e-12)  # verl and FSDP average
    torch.testing.assert_close(sum(gradient for _, gradient in shares) / ranks, its_gradient, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------- settings
def test_no_loss_means_verls_own():
    assert configured_loss(None) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "recal"}, "loss.name=recal"),
        ({"alpha": 1.2}, "loss.name=None"),
        ({"name": "recall_oriented", "alfa": 1}, "loss.alfa: not known"),
        ({"name": "recall_oriented", "alpha": "high"}, "loss.alpha=high"),
        ({"name": "recall_oriented", "beta": -1}, "loss.beta=-1"),
        ({"name": "recall_oriented", "beta": math.nan}, "loss.beta=nan"),
        ({"name": "recall_oriented", "confidence": 1}, "loss.confidence=1"),
        ({"name": "recall_oriented", "detach_confidence": "yes"}, "loss.detach_confidence=yes"),
        ({"name": "recall_oriented", "detach": True}, "loss.detach: not known"),
        ({"name": "recall_oriented", "confidence": False, "detach_confidence": True}, "loss.detach_confidence=True"),
    ],
)
def test_a_setting_that_is_wrong_is_named(settings, said):
    with pytest.raises(DataError, match=said):
        configured_loss(settings)


# ---------------------------------------------------------------------------------------------------------- the B mask
def test_the_tags_of_the_answer_begin_and_no_b_of_the_text():
    answer = bio.render_answer(TRICKY)
    found = begins(answer, TRICKY.types)
    assert [answer[place - 1 : place + 8] for place in found] == ["(B-air cr", "(B-person", "(B-person", "(B-place)"]
    assert answer.count("B") > 2 * len(found)


def test_a_tag_in_the_reasoning_does_not_count():
    answer = f"<think>\nBob(B-person) is one.\n</think>\n{bio.render_answer(PLAIN)}\n"
    assert [answer[place - 4 : place + 8] for place in begins(answer)] == ["Ada(B-person"]


def test_a_type_with_parentheses_needs_the_types():
    answer = "p53(B-gene (human)) binds(O)"
    assert begins(answer, ["gene (human)"]) == [4]
    with pytest.raises(DataError, match=r"'p53\(B-gene' has no tag.*extra_info\.types"):
        begins(answer)


@pytest.mark.parametrize("answer", ['{"entities": {"person": ["Bob"]}}', "", "Ada(B-person) met"])
def test_what_is_not_bio_is_refused(answer):
    with pytest.raises(DataError, match="has no tag"):
        begins(answer)


def test_offsets_that_miss_a_tag_are_refused():
    with pytest.raises(DataError, match="2 tags begin in its answer, by the tokenizer's offsets 1"):
        hold([(0, 3), (3, 3), (6, 9)], [1, 4])


# Merges of several shapes, and the token that holds a tag's `B` with each.
SHAPES = {
    "byte-level, split as GPT-2's": "B",
    "byte-level, split as Qwen's": "(B",
    "byte-level, words from a vocabulary as Llama 3's": "(B",
    "byte-level, split at spaces": ")(B-person)",
    "byte-level, not split": "(B-person)Ġ",
    "metaspace, as Llama 2's": "(B-person)▁",
    "metaspace, split at spaces": "▁B)(B-person)",
    "the tiny model's": "B",
}
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(shape, chat_template):
    """A tokenizer of one of the shapes, trained on BIO answers until its merges run over the tags."""
    from tokenizers import Regex, Tokenizer, models, normalizers, trainers
    from tokenizers import pre_tokenizers as pre
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if shape == "the tiny model's":
        return AutoTokenizer.from_pretrained(ROOT / "recipe" / "tiny_model" / "base")
    texts = [bio.render_answer(TRICKY), bio.render_answer(PLAIN)] * 3 + ["Plan B or B-52 (B)"] * 5
    if shape.startswith("byte"):
        tool = Tokenizer(models.BPE(ignore_merges="Llama 3" in shape))
        pattern = QWEN_SPLIT if "Qwen" in shape or "Llama" in shape else r" ?\S+"
        split = [] if shape.endswith(("GPT-2's", "not split")) else [pre.Split(Regex(pattern), "isolated")]
        as_bytes = pre.ByteLevel(add_prefix_space=False, use_regex=shape.endswith("GPT-2's"))
        tool.pre_tokenizer = pre.Sequence([*split, as_bytes])
        trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False)
    else:
        tool = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        if "Llama 2" in shape:
            tool.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            tool.pre_tokenizer = pre.Metaspace()
        special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=350, special_tokens=special, limit_alphabet=20, show_progress=False)
    tool.train_from_iterator(texts, trainer)
    if not shape.startswith("byte"):  # the bytes are entries like others; only the trainer takes them as special
        saved = json.loads(tool.to_str())
        tool = Tokenizer.from_str(json.dumps({**saved, "added_tokens": saved["added_tokens"][:1]}))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tool, eos_token="<|end|>", additional_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def holders(tokens, answer):
    """Which tokens hold the `B` of a tag, told from their bytes one after the other and not from offsets."""
    wanted, at = set(), 0
    for start, end, tag in bio.words(TRICKY):
        at += end - start + 1  # the word and "("
        if tag.startswith("B"):
            wanted.add(len(answer[:at].encode()))
        at += len(tag) + 2  # the tag, ")" and a space
    metaspace = tokens[0].startswith("▁")
    byte, found = -1 if metaspace else 0, []  # metaspace: a space before the text
    for token in tokens:
        size = 1 if token.startswith("<0x") else len(token.replace("▁", " ").encode() if metaspace else token)
        found.append(int(any(byte <= place < byte + size for place in wanted)))
        byte += size
    assert byte == len(answer.encode())
    return found


@pytest.fixture
def written(tmp_path):
    def write(*examples, answer=bio.render_answer):
        path = tmp_path / "train.parquet"
        messages = [
            [{"role": "user", "content": answers.render_prompt(e)}, {"role": "assistant", "content": answer(e)}]
            for e in examples
        ]
        pq.write_table(
            pa.table({"messages": messages, "extra_info": [{"types": list(e.types)} for e in examples]}), path
        )
        return str(path)

    return write


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mask_is_on_exactly_the_tokens_that_hold_the_b_of_a_tag(written, tokenizer, shape):
    its = trained(shape, tokenizer.chat_template)
    row = AnswerDataset(written(TRICKY), its, {"max_length": 4096, "begin_mask": True})[0]
    length, answer = int(row["loss_mask"].sum()) - 1, bio.render_answer(TRICKY)
    tokens = its.convert_ids_to_tokens(row["input_ids"][-length - 1 : -1].tolist())
    mask = row["begin_mask"].tolist()
    assert mask[-length - 1 : -1] == holders(tokens, answer)
    assert sum(mask) == sum(mask[-length - 1 : -1]), "neither the prompt nor the end token"
    assert SHAPES[shape] in [token for token, held in zip(tokens, mask[-length - 1 : -1], strict=True) if held]


def test_the_mask_is_there_only_where_the_loss_needs_it(written, tokenizer):
    path = written(PLAIN)
    assert "begin_mask" not in AnswerDataset(path, tokenizer, {"max_length": 4096})[0]
    row = AnswerDataset(path, tokenizer, {"max_length": 4096, "begin_mask": True})[0]
    assert {(tensor.shape, tensor.dtype) for tensor in row.values()} == {(row["input_ids"].shape, torch.int64)}


def test_reasoning_before_the_answer_moves_the_mask(written, tokenizer):
    path = written(PLAIN, answer=lambda e: f"<think>\nBob(B-person)?\n</think>\n{bio.render_answer(e)}")
    row = AnswerDataset(path, tokenizer, {"max_length": 4096, "begin_mask": True})[0]
    after = row["input_ids"][int(row["begin_mask"].argmax()) :]
    assert tokenizer.decode(after).startswith("B-person) Lovelace(I-person)")
    assert row["begin_mask"].sum() == 1


def test_a_row_that_is_not_bio_is_named(written, tokenizer):
    path = written(PLAIN, answer=lambda e: '{"entities": {}}')
    with pytest.raises(DataError, match=r"train\.parquet, row 0: its word .* has no tag"):
        AnswerDataset(path, tokenizer, {"max_length": 4096, "begin_mask": True})[0]


# -------------------------------------------------------------------------------------------------------- verl's loop
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.cpu_platform
def test_a_rank_with_dynamic_and_two_with_fixed_micro_batches_train_alike(written, tmp_path):
    from random_model import make_random

    from recipe.models.run_log import read_metrics

    names = ("Ada", "Bob", "Grace Hopper", "Zoë B.")
    examples = [
        Example(f"{'Then ' * i}{name} flew .", ("person",), (Entity(name, "person"),), format="bio")
        for i in range(4)
        for name in names
    ]
    model, data = make_random(tmp_path / "base", hidden_size=128, layers=2), written(*examples)
    fixed = ["data.use_dynamic_bsz=false", "data.micro_batch_size_per_gpu=2"]
    seen = {}
    for name, ranks, more in (("one", 1, []), ("two", 2, fixed), ("plain", 1, ["loss=plain"])):
        run = tmp_path / name
        given = [f"data.train_files={data}", f"model.path={model}", f"trainer.default_local_dir={run}", *more]
        given += ["data.train_batch_size=8", "data.max_token_len_per_gpu=640"]
        command = [sys.executable, "-m", "recipe.train", "sft_tiny_bio", "--ranks", str(ranks), *given]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        seen[name] = [
            [figures[f"train/{key}"] for key in ("loss", "grad_norm")] for figures in read_metrics(run).values()
        ]
    assert len(seen["one"]) == 2
    for two, one in zip(seen["two"], seen["one"], strict=True):
        assert two[0] == pytest.approx(one[0], rel=1e-6)
        assert two[1] == pytest.approx(one[1], rel=1e-4)  # FSDP's sum over ranks: verl's loss has the same 4e-5
    assert seen["plain"][0] != pytest.approx(seen["one"][0], rel=1e-3)
