import re

import pytest
from linear_time import linear_time

from recipe.answers import control_tokens
from recipe.answers.control_tokens import find_control_token
from recipe.core.entities import DataError
from recipe.corpora.datasets import SPLITS, find_datasets, read_dataset
from recipe.models import chat
from recipe.models.chat import encode_prompt

TOKENS = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|fim_prefix|>", "<|user|>",
    "<｜User｜>", "<｜end▁of▁sentence｜>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>",
    "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>",
    "<start_of_turn>", "<end_of_turn>", "<unused7>", "<extra_id_0>", "[CLS]", "[SEP]", "[MASK]", "[gMASK]",
]  # fmt: skip


def ask(content: str) -> list[dict]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("token", TOKENS)
def test_a_control_token_of_any_known_family_is_found_without_a_tokenizer(token):
    assert find_control_token(f"He said {token}and left .") == token


@pytest.mark.parametrize(
    "text",
    [
        "a < b | c > d", "<|", "|>", "x|y", "<a|b>", "[ 1 ]", "[Methyl-3H]", "<user>", "@USER <3 |>_<|", "<em>",
        "I think .", "|a|", "<| |>", "[inst]", "p < 0.05 | q > 0.1 |> r", "<http://t.co/x>",
    ],
)  # fmt: skip
def test_ordinary_text_is_no_control_token(text):
    assert find_control_token(text) is None


@pytest.mark.parametrize(
    "text", ["<|" * 500_000, "<" * 1_000_000, "<|" + "a" * 1_000_000, "[/" * 500_000, "<|a" * 300_000]
)
def test_the_search_takes_linear_time(text):
    with linear_time():
        assert find_control_token(text) is None


def test_the_twelve_datasets_hold_none(ner_data):
    for dataset in find_datasets(ner_data)[0]:
        for split in SPLITS:
            assert not any(find_control_token(example.sentence) for example in read_dataset(dataset, split))


def test_a_tokenizers_own_special_token_is_found_by_its_ids(tokenizer):
    import copy

    own = copy.deepcopy(tokenizer)
    own.add_special_tokens({"additional_special_tokens": ["~turn~"]})
    assert find_control_token("a ~turn~ b") is None
    assert find_control_token("a ~turn~ b", own) == "~turn~"


def test_an_added_word_is_no_control_token(tokenizer):
    import copy

    own = copy.deepcopy(tokenizer)
    own.add_tokens(["naloxone", "    ", "[domain]"])
    assert find_control_token("naloxone    x", own) is None
    assert find_control_token("[domain]", own) == "[domain]"


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_a_control_token_in_a_message_is_refused_before_it_becomes_one(tokenizer, token):
    with pytest.raises(DataError, match="control token"):
        encode_prompt(tokenizer, ask(f"Ada {token} Bob"))


@pytest.mark.parametrize("token", ["<think>", "</think>"])
def test_a_prompt_may_speak_of_the_think_block_and_a_sentence_may_not(tokenizer, token):
    assert encode_prompt(tokenizer, ask(f"Answer with {token} first"))
    assert find_control_token(f"Ada {token} Bob", tokenizer) == token
    assert find_control_token(f"Ada {token} <|im_end|>", tokenizer, [token]) == "<|im_end|>"


def test_a_prompt_has_the_templates_own_control_tokens_and_no_more(tokenizer):
    ids = encode_prompt(tokenizer, ask("Ada <| im_end |> Bob"))
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert (ids.count(start), ids.count(end)) == (2, 1)
    assert tokenizer.decode(ids) == "<|im_start|>user\nAda <| im_end |> Bob<|im_end|>\n<|im_start|>assistant\n"


def test_the_ids_are_those_of_verls_rollout(tokenizer):
    from verl.utils.tokenizer import normalize_token_ids
    from verl.utils.tokenizer.chat_template import apply_chat_template

    rollout = apply_chat_template(tokenizer, ask("Ada é ."), tokenize=True, add_generation_prompt=True, tools=None)
    assert encode_prompt(tokenizer, ask("Ada é .")) == normalize_token_ids(rollout)


def test_template_arguments_reach_the_template(tokenizer):
    ids = encode_prompt(tokenizer, ask("Ada"), enable_thinking=False)
    assert tokenizer.decode(ids).endswith("assistant\n<think>\n\n</think>\n\n")


def test_a_tokenizer_without_a_chat_template_is_an_error(tokenizer):
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(DataError, match="no chat template"):
        encode_prompt(bare, ask("Ada"))


def test_what_is_found_does_not_depend_on_how_it_is_looked_for(tokenizer, monkeypatch):
    texts = ["plain", "a <|im_end|> b", "<think>", "<|im_end", "x<|endoftext|>", "</think> and <|im_start|>"]
    assert control_tokens._verbatim(tokenizer)
    without = control_tokens.find_control_tokens(texts, tokenizer)
    monkeypatch.setattr(chat, "CONTROL_TOKEN", re.compile("(?!)"))  # what the ids alone say
    verbatim = control_tokens.find_control_tokens(texts, tokenizer)
    monkeypatch.setattr(control_tokens, "_verbatim", lambda _: False)
    assert control_tokens.find_control_tokens(texts, tokenizer) == verbatim
    assert [bool(token) for token in verbatim] == [bool(token) for token in without]


def test_an_unknown_word_that_becomes_a_control_token_is_found():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "known": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    assert control_tokens.find_control_tokens(["known", "known stranger"], tokenizer) == [None, "<unk>"]
