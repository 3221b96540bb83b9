"""The reward of entity tags: its published parts, the reference's faults that it must not have, its configuration."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers.entity_tags import render_answer
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import to_ground_truth
from reward_fns import ner
from reward_fns.entity_tags import RewardConfig, check_reward_kwargs, compute_score


def question(*names, reasoning="Two teams."):
    entities = tuple(Entity(name, "location") for name in names)
    return Example("Japan beat Syria .", ("location",), entities, reasoning=reasoning, format="entity_tags")


def answer(*names, **kwargs):
    return render_answer(question(*names, **kwargs))


def reward(completion, gold=("Japan", "Syria"), **reward_kwargs):
    truth = gold if isinstance(gold, str) or gold is None else to_ground_truth(question(*gold))
    return compute_score("CoNLL 2003", completion, truth, {"index": 0}, **reward_kwargs)


def score(*args, **kwargs):
    return reward(*args, **kwargs)["score"]


# ------------------------------------------------------------------------------------------------------ parts


def test_the_published_example():
    assert score(answer("Japan", "Syria", "Asian Cup")) == 0.5 + 0 + 2 * 0.5 - 0.5 == 1.0


def test_every_part_of_the_published_example():
    assert reward(answer("Japan", "Syria", "Asian Cup")) == {
        "score": 1.0,
        "acc": 0.8,
        "f1": 0.8,
        "paid": 0.8,
        "exact": 0.0,
        "schema": 1.0,
        "format": 1.0,
        "reasoned": 0.0,
        "ended": 1.0,
        "n_match": 2.0,
        "n_pred": 3.0,
        "n_gold": 2.0,
        "reasoning_length": 2.0,
        "unparsable": 0.0,
        "names_nothing": 0.0,
        "right_silence": 0.0,
        "nothing_to_find": 0.0,
        "overlap": 0.0,
        "invented": 1 / 3,
        "data_source": "CoNLL 2003",
    }


def test_the_exact_answer():
    assert score(answer("Japan", "Syria")) == 0.5 + 2 + 1 == 3.5
    assert score("<think>\nTwo.\n</think>\n<entity>Japan, Syria</entity>") == 3.5


def test_an_empty_answer_where_nothing_is_to_be_found():
    assert score(answer(), gold=()) == 0.5 + 2 == 2.5
    assert score(answer("Japan"), gold=()) == 0.5 - 0.5


def test_an_empty_answer_where_something_is_to_be_found():
    assert score(answer()) == 0.5


def test_half_of_the_names():
    assert score(answer("Japan")) == 0.5 + 0.5


def test_only_wrong_names():
    assert score(answer("Asian", "Cup", "Ann")) == 0.5 - 1.5


@pytest.mark.parametrize("garbage", ["", "Japan, Syria", "<think>", "<think>\nso\n</think>"])
def test_what_cannot_be_read_is_no_empty_answer(garbage):
    scores = reward(garbage, gold=())
    assert (scores["score"], scores["exact"], scores["f1"], scores["unparsable"]) == (0, 0, 0, 1)


def test_names_are_a_set():
    assert score(answer("Japan", "Syria", "Japan")) == 3.5
    assert score(answer("Japan", "Syria"), gold=("Japan", "Syria", "Japan")) == 3.5
    assert score(answer("Cup", "Cup", "Cup")) == 0.5 - 0.5


def test_the_value_of_a_right_empty_answer_is_configurable():
    assert score(answer(), gold=(), empty_value=0.25) == 0.5 + 2 * 0.25
    assert score(answer("Japan", "Syria"), empty_value=0.25) == 3.5


def test_weights():
    kwargs = {"format_weight": 1, "exact_weight": 0, "right_weight": 4, "wrong_weight": 8}
    assert score(answer("Japan", "Cup"), **kwargs) == 1 + 4 - 8


def test_matching_rule():
    assert reward(answer("the japan", "Syria!"))["n_match"] == 0
    assert score(answer("the japan", "Syria!"), matching="published") == 3.5


def test_short_reasoning_can_be_paid_for():
    kwargs = {"length_weight": 1, "length_target": 10, "length_limit": 20}
    assert score(answer("Japan", "Syria", reasoning="word " * 15), **kwargs) == 3.5 + 0.5
    assert score(answer("Japan", "Syria", reasoning=None), **kwargs) == 3


def test_an_answer_that_does_not_end_can_be_worth_less():
    right = answer("Japan", "Syria")
    for more in (right + "\nThese are all.", right + " " * 50, answer("Japan", "Syria", "Japan")):
        scores = reward(more, repaired_value=0.5)
        assert scores["score"] - 0.5 * scores["format"] == 0.5 * (2 + 2 * 0.5)
        assert score(more) == 3 + 0.5 * scores["format"]  # by default it is worth all
    assert score(right, repaired_value=0.5) == 3.5
    repeated = answer("Japan", "Japan")
    assert score(repeated, gold=("Japan", "Japan"), repaired_value=0.5) == 3


@pytest.mark.parametrize(
    "completion",
    [
        "<think>a</think><entity>Japan</entity><entity>Syria</entity>",
        "<think>a</think>First: <entity></entity> Corrected: <entity>Japan, Syria</entity>",
        "<entity>Japan</entity> is a draft</think><entity>Japan, Syria</entity>",
    ],
)
def test_two_answers_are_paid_neither_for_layout_nor_for_the_end(completion):
    scores = reward(completion)
    assert (scores["score"], scores["exact"], scores["format"], scores["ended"]) == (3, 1, 0, 0)


def test_reasoning_can_be_paid_for_what_it_names():
    reasoning = "Japan is a location. Syria, too."
    assert score(answer("Japan", "Syria", reasoning=reasoning), reasoned_weight=2) == 3.5 + 2
    assert score(answer("Japan", "Syria", reasoning="Japan is a location."), reasoned_weight=2) == 3.5 + 1
    assert score(answer("Japan", "Syria", reasoning="Done."), reasoned_weight=2) == 3.5
    assert score(answer(reasoning="None."), reasoned_weight=2) == 0.5
    assert score(answer(reasoning="None."), gold=(), reasoned_weight=2, empty_value=0) == 0.5


# ------------------------------------------------------------------------------- faults of the reference implementation


def test_a_name_with_a_comma_is_one_name():
    gold = ("Washington, D.C.", "Japan")
    assert score(answer(*gold), gold) == 3.5
    assert score("<think>a</think><entity>Washington, D.C., Japan</entity>", gold) == 0.5 + 0.5 - 1


def test_a_line_break_inside_the_tag_keeps_the_names():
    scores = reward("<think>a</think>\n<entity>Japan\nSyria</entity>")
    assert (scores["exact"], scores["format"], scores["score"]) == (1, 0, 3)


def test_text_after_the_answer_costs_the_format_reward_alone():
    assert score(answer("Japan", "Syria") + "\nThese are all.") == 3


@pytest.mark.parametrize(
    "completion",
    [
        "<entity>Japan, Syria</entity>",
        "<think>\n\n</think>\n<entity>Japan, Syria</entity>",
        "Well. <think>a</think><entity>Japan, Syria</entity>",
        "<think>a</think> So: <entity>Japan, Syria</entity>",
        "<think>never closed <entity>Japan, Syria</entity>",
        "<think>a</think><entity>Japan, Syria",
    ],
)
def test_format_takes_a_closed_block_with_reasoning_and_then_the_layout(completion):
    scores = reward(completion)
    assert (scores["format"], scores["score"]) == (0, 3)


# ---------------------------------------------------------------------------------------------------- robustness

KEYS = list(reward(""))


def test_the_keys_are_those_of_the_other_reward_but_for_a_part_that_each_has_alone():
    assert set(KEYS) ^ set(ner.compute_score("", "", to_ground_truth(question()))) == {"exact", "fidelity"}


@given(
    st.text() | st.lists(st.sampled_from(["<entity>", "</entity>", "<think>", "</think>", ",", '"', "a"])).map("".join)
)
def test_same_flat_keys_for_whatever_a_model_writes(completion):
    scores = reward(completion)
    assert list(scores) == KEYS
    assert all(type(value) is (str if key == "data_source" else float) for key, value in scores.items())
    json.dumps(scores)


@pytest.mark.parametrize("completion", [None, 7, "\ud800", "<entity>\ud800</entity>", "<entity>" * 50_000])
def test_same_keys_for_the_strangest_completions(completion):
    assert list(reward(completion)) == KEYS


@pytest.mark.parametrize(
    "broken",
    [
        *("", "not json", "[]", "{}", None),
        to_ground_truth(Example("a", ("person", "place"))),
        to_ground_truth(Example("a", ())),
        to_ground_truth(Example("a", ("person",), (Entity("a", "place"),))),
    ],
)
def test_a_broken_ground_truth_scores_zero_and_is_logged(broken, caplog):
    scores = reward(answer("Japan"), broken)
    assert list(scores) == KEYS
    assert (scores["score"], scores["exact"], scores["n_gold"], scores["reasoning_length"]) == (0, 0, 0, 2)
    assert "ground truth" in caplog.text


@pytest.mark.parametrize("unit", ["<think>", "<entity>", "Japan, ", '"', "\n", "a the "])
def test_time_is_linear(unit):
    with linear_time():
        reward("<entity>" + unit * (1_000_000 // len(unit)), matching="published")


def test_keys_that_verl_adds_for_reward_models_are_no_settings():
    assert score(answer("Japan", "Syria"), reward_router_address="localhost:1", reward_model_tokenizer=None) == 3.5


# ------------------------------------------------------------------------------------------------- configuration


def test_the_defaults_are_the_published_ones():
    published = {"format_weight": "0.5", "exact_weight": 2, "right_weight": 5e-1, "wrong_weight": 0.5}
    assert check_reward_kwargs(published) == RewardConfig()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"f1_weight": 1}, "f1_weight: no such setting"),
        ({"matching": "lenient"}, "'lenient' is no matching rule; one of strict, published"),
        ({"matching": ["strict"]}, "no matching rule"),
        ({"wrong_weight": -0.5}, "wrong_weight: -0.5 is not"),
        ({"exact_weight": None}, "exact_weight"),
        ({"length_target": 400}, "length_limit"),
        ({"empty_value": 2}, "empty_value: 2.0 is a share"),
        ({"format_weight": 0, "exact_weight": 0, "right_weight": 0}, "no weight pays"),
        (None, "not a mapping"),
    ],
)
def test_a_wrong_configuration_is_told_before_the_run(kwargs, message):
    with pytest.raises(DataError, match=message) as error:
        check_reward_kwargs(kwargs)
    assert "\n" not in str(error.value)


def test_a_wrong_configuration_is_not_trained_with():
    with pytest.raises(DataError):
        score(answer("Japan"), wrong_wieght=1)


# ------------------------------------------------------------------------------------------------- published figures


def test_the_published_run():
    pytest.importorskip("verl")
    from recipe.train.config import compose

    config = compose("grpo_qwen2_5_1_5b_entity_tags")
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert config.actor_rollout_ref.model.path == "Qwen/Qwen2.5-1.5B-Instruct"
    optim = actor.optim
    assert (optim.lr, list(optim.betas), optim.weight_decay, optim.clip_grad) == (5e-6, [0.9, 0.99], 0.1, 0.1)
    assert (optim.lr_scheduler_type, optim.lr_warmup_steps_ratio) == ("cosine", 0.1)
    assert (rollout.n, config.data.max_prompt_length, config.data.max_response_length) == (8, 2048, 2048)
    assert (config.trainer.total_epochs, config.trainer.n_gpus_per_node) == (4, 2)


@pytest.mark.parametrize("name", ["grpo_qwen2_5_1_5b_entity_tags", "grpo_tiny_entity_tags"])
def test_the_reward_settings_are_ones_that_the_reward_knows(name):
    pytest.importorskip("verl")
    from omegaconf import OmegaConf

    from recipe.train.config import compose

    function = compose(name).reward.custom_reward_function
    assert function.path == "pkg://reward_fns.entity_tags"
    check_reward_kwargs(OmegaConf.to_container(function.reward_kwargs))


def test_a_name_that_is_repeated_as_it_is_seen_is_repeated():
    once, twice = answer("Japan", "Syria"), answer("Japan", "Japan", "Syria")
    disguised = answer("Japan", "Japan\u200b", "Syria")
    assert score(once, repaired_value=0.5) > score(twice, repaired_value=0.5) == score(disguised, repaired_value=0.5)
