"""The GRPO reward: its parts, the reference's faults that it must not have, and its configuration."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import to_ground_truth
from reward_fns.ner import RewardConfig, check_reward_kwargs, compute_score

KEYS = [
    *("score", "acc", "f1", "paid", "schema", "format", "fidelity", "reasoned", "ended", "n_match", "n_pred", "n_gold"),
    *(
        "reasoning_length",
        "unparsable",
        "names_nothing",
        "right_silence",
        "nothing_to_find",
        "overlap",
        "invented",
        "data_source",
    ),
]
TYPES = ("chemical", "disease")
NALOXONE = Entity("Naloxone", "chemical")
GOLD = to_ground_truth(Example("Naloxone .", TYPES, (NALOXONE,)))
EMPTY_GOLD = to_ground_truth(Example("No drug .", TYPES))
RIGHT = render_entities([NALOXONE])
REASONED = render_entities([NALOXONE], "Naloxone is a drug.")
EMPTY = render_entities([])


def reward(completion, gold=GOLD, **reward_kwargs):
    return compute_score("bc5cdr", completion, gold, {"index": 0}, **reward_kwargs)


# ------------------------------------------------------------------------------------------------------ parts


def test_defaults_are_ten_f1_and_one_schema():
    assert reward(RIGHT)["score"] == 11
    assert RewardConfig() == RewardConfig(f1_weight=10, schema_weight=1, format_weight=0, length_weight=0)


def test_every_part_of_a_right_answer():
    assert reward(REASONED) == {
        "score": 11.0,
        "acc": 1.0,
        "f1": 1.0,
        "paid": 1.0,
        "schema": 1.0,
        "format": 1.0,
        "fidelity": 0.0,
        "reasoned": 0.0,
        "ended": 1.0,
        "n_match": 1.0,
        "n_pred": 1.0,
        "n_gold": 1.0,
        "reasoning_length": 4.0,
        "unparsable": 0.0,
        "names_nothing": 0.0,
        "right_silence": 0.0,
        "nothing_to_find": 0.0,
        "overlap": 0.0,
        "invented": 0.0,
        "data_source": "bc5cdr",
    }


def test_f1_is_that_of_the_spans_in_the_sentence():
    half = render_entities([NALOXONE, Entity("clonidine", "chemical"), Entity("pain", "disease")])
    scores = reward(half)
    assert (scores["n_match"], scores["n_pred"], scores["n_gold"]) == (1, 3, 1)
    assert scores["f1"] == scores["acc"] == 0.5
    assert scores["score"] == 6


def test_a_wrong_answer_in_the_layout_gets_the_schema_reward_alone():
    assert reward(render_entities([Entity("pain", "disease")]))["score"] == 1


def test_a_type_outside_the_schema_costs_the_schema_reward_and_counts_as_predicted():
    scores = reward(render_entities([NALOXONE, Entity("Ann", "person")]))
    assert (scores["schema"], scores["n_pred"]) == (0, 2)


def test_a_type_outside_the_schema_costs_the_schema_reward_without_a_name_too():
    assert reward('{"entities": {"person": []}}', EMPTY_GOLD)["schema"] == 0


def test_matching_rule():
    lower = render_entities([Entity("naloxone", "chemical")])
    assert reward(lower, matching="strict")["f1"] == 0
    assert reward(lower, matching="published")["f1"] == 1


def test_weights():
    kwargs = {"f1_weight": 1, "schema_weight": 0.5, "format_weight": 0.25, "length_weight": 0.125}
    assert reward(REASONED, **kwargs)["score"] == 1.875


@pytest.mark.parametrize(("words", "bonus"), [(1, 1.0), (10, 1.0), (15, 0.5), (20, 0.0), (500, 0.0)])
def test_length_falls_from_the_target_to_the_limit(words, bonus):
    completion = render_entities([NALOXONE], "word " * words)
    kwargs = {"f1_weight": 0, "schema_weight": 0, "length_weight": 1, "length_target": 10, "length_limit": 20}
    scores = reward(completion, **kwargs)
    assert scores["score"] == bonus
    assert scores["reasoning_length"] == words


def test_a_bio_answer_is_paid_for_the_words_that_it_copies():
    gold = to_ground_truth(Example("Naloxone helps .", TYPES, (NALOXONE,), format="bio"))
    only = {"f1_weight": 0, "schema_weight": 0, "fidelity_weight": 2}
    assert reward("Naloxone(B-chemical) helps(O) .(O)", gold, **only)["score"] == 2
    assert reward("Naloxone(B-chemical) .(O)", gold, **only)["score"] == 2 * 0.8
    assert reward("Naloxone(B-chemical) helps(O) .(O)", gold)["score"] == 11  # off by default
    assert reward(RIGHT, fidelity_weight=2)["score"] == 11  # of no meaning where nothing is copied


def test_no_reasoning_is_not_short_reasoning():
    assert reward(RIGHT, length_weight=5)["score"] == 11
    assert reward(f"<think>\nendless\n{RIGHT}", length_weight=5)["score"] == 10


def test_an_answer_that_does_not_end_can_be_worth_less():
    kwargs = {"repaired_value": 0.25}
    assert reward(REASONED, **kwargs)["score"] == reward(REASONED + "\n", **kwargs)["score"] == 11
    for rest in ("\nThese are all.", "\n" * 50, " " * 50, f"\n{RIGHT}"):
        scores = reward(REASONED + rest, **kwargs)
        assert (scores["score"] - scores["schema"], scores["f1"], scores["ended"]) == (2.5, 1, 0)
        assert reward(REASONED + rest)["score"] == 10 + scores["schema"]  # by default it is worth all


@pytest.mark.parametrize(
    "draft", [f"{EMPTY} is a draft</think>\n", f"<think>so</think>{EMPTY}\n", f"<think>so</think>First: {RIGHT} "]
)
def test_two_answers_are_paid_as_the_last_and_neither_for_layout_nor_for_the_end(draft):
    scores = reward(draft + RIGHT, format_weight=1, length_weight=1, reasoned_weight=1)
    assert (scores["score"], scores["f1"], scores["schema"], scores["format"], scores["ended"]) == (10, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("reasoning", "share"),
    [
        ("Naloxone is a chemical.", 1),
        ("NALOXONE: Chemical", 1),
        ("Naloxone is a drug.", 0),
        ("A chemical.", 0),
        ("Done.", 0),
        ("<think>\nNaloxone is a chemical.", 0),
    ],
)
def test_reasoning_can_be_paid_for_what_it_names(reasoning, share):
    completion = f"<think>\n{reasoning}\n</think>\n{RIGHT}"
    assert reward(completion, reasoned_weight=3)["score"] == 11 + 3 * share
    assert reward(completion)["score"] == 11


def test_in_scripts_without_spaces_a_name_stands_between_letters():
    gold = to_ground_truth(Example("彼は東京に住む。", ("location",), (Entity("東京", "location"),)))
    for reasoning, share in (("東京はlocationです。", 1), ("京都はlocationです。", 0)):
        answer = render_entities([Entity("東京", "location")], reasoning)
        assert compute_score("toy", answer, gold, {}, reasoned_weight=3)["score"] == 11 + 3 * share


def test_reasoning_about_a_wrong_answer_or_silence_pays_nothing():
    wrong = render_entities([Entity("pain", "disease")], "pain is a disease.")
    assert reward(wrong, reasoned_weight=3)["score"] == reward(wrong)["score"] == 1
    silent = render_entities([], "No drug is named.")
    assert reward(silent, reasoned_weight=3)["score"] == 1
    assert reward(silent, EMPTY_GOLD, reasoned_weight=3)["score"] == 14


# ------------------------------------------------------------------------------- faults of the reference implementation


def test_nothing_found_where_nothing_is_to_be_found_is_right():
    assert reward(EMPTY, EMPTY_GOLD)["f1"] == 1
    assert reward(EMPTY, EMPTY_GOLD)["score"] == 11


@pytest.mark.parametrize("garbage", ["", "no entities here", "{}", '{"entities": 5}', '{"entities": {', "<think>"])
def test_garbage_is_not_an_empty_answer(garbage):
    scores = reward(garbage, EMPTY_GOLD)
    assert (scores["score"], scores["f1"], scores["unparsable"]) == (0, 0, 1)


def test_value_of_the_empty_answer_is_configurable():
    assert reward(EMPTY, EMPTY_GOLD, empty_value=0.25)["f1"] == 0.25
    assert reward(EMPTY, GOLD, empty_value=0.25)["f1"] == 0


@pytest.mark.parametrize("completion", ["{}", "5", '{"whatever": 1}', "[]", "null", '"entities"', '{"entities": 1}'])
def test_schema_is_paid_only_for_the_layout(completion):
    assert reward(completion)["schema"] == 0


@pytest.mark.parametrize(
    "completion",
    [
        f"```\n{RIGHT}\n```",
        f"```json\n{RIGHT}\n```",
        f"{RIGHT}\nThese are all.",
        '{"entities": {"chemical": "Naloxone"}}',
        '{"entities": [{"name": "Naloxone", "type": "chemical"}]}',
        f"<think>\nnever closed\n{RIGHT}",
    ],
)
def test_what_is_plain_but_not_the_layout_has_its_f1_and_no_schema_reward(completion):
    scores = reward(completion)
    assert (scores["f1"], scores["schema"], scores["unparsable"]) == (1, 0, 0)


def test_reasoning_can_be_rewarded():
    assert reward(REASONED, format_weight=2)["score"] - reward(RIGHT, format_weight=2)["score"] == 2


@pytest.mark.parametrize(
    "completion",
    [
        RIGHT,
        f"<think>\n\n</think>\n{RIGHT}",
        f"<think>\nnever closed\n{RIGHT}",
        "<think>\nno answer\n</think>",
        f"<think>\nfenced\n</think>\n```json\n{RIGHT}\n```",
    ],
)
def test_format_takes_a_closed_block_with_reasoning_and_then_the_layout(completion):
    assert reward(completion)["format"] == 0
    assert reward(REASONED)["format"] == 1


def test_strict_matching_tells_c_from_c_plus_plus():
    gold = to_ground_truth(Example("C and C++", ("language",), (Entity("C++", "language"),)))
    assert reward(render_entities([Entity("C", "language")]), gold)["f1"] == 0


# ---------------------------------------------------------------------------------------------------- robustness


@given(st.text() | st.text(alphabet='{}[]":,<>/think\\entis \n`01'))
def test_same_flat_keys_for_whatever_a_model_writes(completion):
    scores = reward(completion)
    assert list(scores) == KEYS
    assert all(type(value) is (str if key == "data_source" else float) for key, value in scores.items())
    json.dumps(scores)


@pytest.mark.parametrize(
    "completion",
    [None, 7, "\ud800", "[" * 100_000, '{"entities":' * 50_000, RIGHT[:-1], '{"entities": {"chemical": [NaN, 1e999]}}'],
)
def test_same_keys_for_the_strangest_completions(completion):
    assert list(reward(completion)) == KEYS


@pytest.mark.parametrize(
    "broken", ["", "not json", "[]", "{}", '{"types": 1, "entities": [], "sentence": ""}', None, 3]
)
def test_a_broken_ground_truth_scores_zero_and_is_logged(broken, caplog):
    scores = reward(REASONED, broken, format_weight=1)
    assert list(scores) == KEYS
    assert (scores["score"], scores["f1"], scores["n_gold"]) == (0, 0, 0)
    assert "ground truth" in caplog.text


@pytest.mark.parametrize(
    "unit",
    [
        "<think>",
        "</think>",
        '{"entities":',
        '{"entities": {}} ',
        "{ ",
        "```json\n",
        '"Naloxone", ',
        " ",
        "\\",
        "a the ",
    ],
)
def test_time_is_linear(unit):
    many = [Entity(f"Naloxone {i}", "chemical") for i in range(20_000)]
    with linear_time():
        reward(render_entities(many, "Naloxone is a chemical. " * 20_000), reasoned_weight=1)
        reward(unit * (1_000_000 // len(unit)))
        reward('{"entities": {"' + "x" * 300_000 + '": [' + '"n", ' * 60_000 + '"n"]}}', matching="published")


def test_keys_that_verl_adds_for_reward_models_are_no_settings():
    assert reward(RIGHT, reward_router_address="localhost:1", reward_model_tokenizer=None)["score"] == 11


# ------------------------------------------------------------------------------------------------- configuration


def test_values_may_come_from_yaml():
    omegaconf = pytest.importorskip("omegaconf")
    kwargs = omegaconf.OmegaConf.create("{f1_weight: '1e-1', schema_weight: 0, matching: published}")
    assert check_reward_kwargs(kwargs) == RewardConfig(f1_weight=0.1, schema_weight=0, matching="published")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"f1_wieght": 1}, "f1_wieght: no such setting"),
        ({"matching": "lenient"}, "'lenient' is no matching rule; one of strict, published"),
        ({"matching": ["strict"]}, "no matching rule"),
        ({"f1_weight": "ten"}, "f1_weight: 'ten' is not"),
        ({"f1_weight": None}, "f1_weight"),
        ({"schema_weight": True}, "schema_weight"),
        ({"format_weight": float("nan")}, "format_weight"),
        ({"length_weight": -1}, "length_weight"),
        ({"empty_value": 2}, "empty_value: 2.0 is a share"),
        ({"repaired_value": 1.5}, "repaired_value: 1.5 is a share"),
        ({"length_target": 400}, "length_limit"),
        ({"f1_weight": 0, "schema_weight": 0}, "every weight is 0"),
        (None, "not a mapping"),
    ],
)
def test_a_wrong_configuration_is_told_before_the_run(kwargs, message):
    with pytest.raises(DataError, match=message) as error:
        check_reward_kwargs(kwargs)
    assert "\n" not in str(error.value)


def test_a_wrong_configuration_is_not_trained_with():
    with pytest.raises(DataError):
        reward(RIGHT, f1_wieght=10)


@pytest.mark.slow  # for the import of verl
def test_verl_loads_it_by_its_configured_path():
    pytest.importorskip("verl")
    from verl.utils.import_utils import load_extern_object

    assert load_extern_object("pkg://reward_fns.ner", "compute_score").__name__ == "compute_score"
