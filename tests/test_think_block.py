"""Where a think block ends, and which tokens the answer goes on from."""

import pytest

from recipe.answers.think import unwrapped, with_reasoning
from recipe.generate.think_block import end_block


@pytest.fixture
def begin(tokenizer):
    """`begin("completion so far", "limit")` -> what the answer goes on from: the text, the ids decoded, `closed`."""

    def run(text, ending, constrained=True, prompt="Q", ids=None):
        ids = ids or tokenizer(text)["input_ids"]
        stop_ids = [tokenizer.eos_token_id]
        begun = end_block(tokenizer(prompt)["input_ids"], ids, ending, tokenizer, stop_ids, constrained)
        return begun and (begun.text, tokenizer.decode(begun.ids), begun.closed)

    return run


def test_an_answer_follows_a_closed_think_block(begin):
    assert begin("<think>\nWell.\n</think>", "tag") == ("<think>\nWell.\n</think>\n",) * 2 + (False,)


def test_without_a_grammar_the_model_goes_on_from_its_own_tokens_alone(begin):
    assert begin("<think>\nWell.\n</think>", "tag", constrained=False) == (None, "<think>\nWell.\n</think>", False)


@pytest.mark.parametrize("text", ["<think>\nWell, th", "<think>\nWell, th\n"])
@pytest.mark.parametrize("constrained", [False, True])
def test_a_think_block_is_closed_at_the_limit(begin, text, constrained):
    assert begin(text, "limit", constrained) == ("<think>\nWell, th\n</think>\n",) * 2 + (True,)


def test_a_think_block_that_the_prompt_opened_is_closed_too(begin):
    assert begin("Well", "limit", prompt="Q <think>\n") == ("Well\n</think>\n",) * 2 + (True,)


def test_half_a_character_at_the_limit_is_dropped(begin, tokenizer):
    ids = tokenizer("<think>\nab 北")["input_ids"]
    for length in (len(ids) - 2, len(ids) - 1):
        assert begin(None, "limit", ids=ids[:length]) == ("<think>\nab \n</think>\n",) * 2 + (True,)


def test_an_answer_within_an_open_think_block_ends_it(begin):
    closed = "<think>\nWell.\n</think>\n"
    assert begin('<think>\nWell.\n{\n  "entities":', "answer") == (closed, closed, False)


def test_without_a_think_block_a_constrained_answer_starts_over_and_another_goes_on(begin):
    assert begin("Well", "limit") == ("", "", False)
    assert begin("Well", "limit", constrained=False) == (None, "Well", False)


def test_a_completion_that_ended_by_itself_is_whole_unless_it_is_constrained(begin):
    assert begin("<think>\nWell", "turn", constrained=False) is None
    assert begin("<think>\nWell", "turn") == ("<think>\nWell\n</think>\n",) * 2 + (False,)


def test_the_end_token_is_not_gone_on_from(begin, tokenizer):
    ids = [*tokenizer("<think>\nWell")["input_ids"], tokenizer.eos_token_id]
    assert begin(None, "turn", ids=ids)[1] == "<think>\nWell\n</think>\n"


def test_the_models_own_tokens_stay_where_the_text_would_be_cut_into_others(tokenizer):
    ids = [token for part in ["<think>", *"the effect"] for token in tokenizer(part)["input_ids"]]
    assert ids != tokenizer("<think>the effect")["input_ids"]
    begun = end_block([1], ids, "limit", tokenizer, [0], constrained=True)
    assert list(begun.ids[: len(ids)]) == ids


# --------------------------------------------------------------------------------------------------------- unwrapped


@pytest.mark.parametrize(
    "reasoning",
    ["<think>\nEU is one.\n</think>", " \n<think>EU is one.</think>\n\n", "<think>\t EU is one. </think>"],
)
def test_reasoning_that_one_think_block_holds_is_taken_out_of_it(reasoning):
    assert unwrapped(reasoning) == "EU is one."
    assert with_reasoning("{}", unwrapped(reasoning)) == "<think>\nEU is one.\n</think>\n{}"


@pytest.mark.parametrize(
    "reasoning",
    [
        *("EU is one.", " EU is one.\n", "", "<think>", "</think>", "<think>EU is one.", "EU is one.</think>"),
        *("Hm. <think>EU is one.</think>", "<think>EU is one.</think> So.", "<think>a</think><think>b</think>"),
        *("<think><think>a</think></think>", "<think>a</think></think>", "</think><think>"),
    ],
)
def test_any_other_reasoning_stays_as_it_is(reasoning):
    assert unwrapped(reasoning) == reasoning


def test_an_empty_think_block_holds_nothing():
    assert unwrapped("<think>\n</think>") == ""
