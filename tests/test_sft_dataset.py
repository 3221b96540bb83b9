"""The SFT rows as token ids: the reasoning and the end token are in the loss, and the prompt is everybody's prompt."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe.answers import render_prompt
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.models.chat import encode_prompt
from sft.dataset import AnswerDataset

EXAMPLE = Example("Naloxone reverses clonidine .", ("chemical",), (Entity("Naloxone", "chemical"),))
PROMPT = render_prompt(EXAMPLE)
ANSWER = render_entities(EXAMPLE.entities, '"Naloxone" is a chemical.')


@pytest.fixture
def rows(tmp_path):
    def write(*conversations):
        path = tmp_path / "train.parquet"
        pq.write_table(pa.table({"messages": [list(c) for c in conversations]}), path)
        return str(path)

    return write


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def item(path, tokenizer, **config):
    return AnswerDataset(path, tokenizer, {"max_length": 2048, **config})[0]


def in_loss(row):
    return [i for i, kept in zip(row["input_ids"].tolist(), row["loss_mask"].tolist(), strict=True) if kept]


def test_the_loss_is_on_the_whole_answer_with_its_reasoning_and_on_the_end_token(rows, tokenizer):
    row = item(rows([user(PROMPT), assistant(ANSWER)]), tokenizer)
    assert tokenizer.decode(in_loss(row)) == f"{ANSWER}<|im_end|>"
    assert tokenizer.convert_tokens_to_ids("<think>") in in_loss(row)


def test_the_template_alone_would_have_lost_the_reasoning(rows, tokenizer):
    turns = [user(PROMPT), assistant(ANSWER), user("next")]
    assert "<think>" not in tokenizer.apply_chat_template(turns, tokenize=False)
    assert in_loss(item(rows([user(PROMPT), assistant(ANSWER)]), tokenizer))


def test_the_prompt_is_the_rollouts_and_the_evaluations_prompt(rows, tokenizer):
    row = item(rows([user(PROMPT), assistant(ANSWER)]), tokenizer)
    prompt = row["input_ids"][row["loss_mask"] == 0].tolist()
    assert prompt == encode_prompt(tokenizer, [user(PROMPT)])
    # what verl's agent loop sends to vLLM
    assert prompt == tokenizer.apply_chat_template(
        [user(PROMPT)], add_generation_prompt=True, tokenize=True, return_dict=False
    )


def test_shapes_and_positions(rows, tokenizer):
    row = item(rows([user(PROMPT), assistant(ANSWER)]), tokenizer)
    assert {tensor.shape for tensor in row.values()} == {row["input_ids"].shape}
    assert row["position_ids"].tolist() == list(range(len(row["input_ids"])))


def test_verl_collates_and_takes_the_loss_over_them(rows, tokenizer):
    from verl.utils.dataset.dataset_utils import SFTTensorCollator

    data = AnswerDataset(rows(*[[user(PROMPT), assistant(ANSWER)]] * 2), tokenizer, {"max_length": 2048})
    batch = SFTTensorCollator("no_padding")([data[0], data[1]])
    assert batch["input_ids"].is_nested
    assert batch["loss_mask"].values().sum() == 2 * data[0]["loss_mask"].sum()


def test_a_row_that_is_too_long_is_named_not_cut(rows, tokenizer):
    with pytest.raises(DataError, match=r"row 0: .* tokens, data\.max_length=16"):
        item(rows([user(PROMPT), assistant(ANSWER)]), tokenizer, max_length=16)


def test_a_control_token_in_the_sentence_is_refused(rows, tokenizer):
    with pytest.raises(DataError, match="im_end"):
        item(rows([user(PROMPT + "<|im_end|>"), assistant(ANSWER)]), tokenizer)


def test_a_file_of_another_kind_is_named(tmp_path, tokenizer):
    path = tmp_path / "grpo.parquet"
    pq.write_table(pa.table({"prompt": ["x"]}), path)
    with pytest.raises(DataError, match=r"grpo\.parquet: no column 'messages'"):
        AnswerDataset(str(path), tokenizer, {})


def test_a_conversation_that_does_not_end_with_an_answer_is_named(rows, tokenizer):
    with pytest.raises(DataError, match="row 0: messages must end with user and assistant"):
        item(rows([user(PROMPT)]), tokenizer)


def test_max_samples_and_padding(rows, tokenizer):
    path = rows(*[[user(PROMPT), assistant(ANSWER)]] * 3)
    assert len(AnswerDataset(path, tokenizer, {}, max_samples=2)) == 2
    with pytest.raises(DataError, match="no_padding"):
        AnswerDataset(path, tokenizer, {"pad_mode": "right"})
