"""The parts of the rewards that work against the drift to silence: each by hand, bounded, and off by default."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers.entity_tags import render_answer
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import to_ground_truth
from recipe.core.metrics import Counts
from reward_fns import entity_tags, ner
from reward_fns.overlap import overlap

TYPES = ("person", "place")
SENTENCE = "Paris Hilton flew to New York City ."
HILTON, CITY = Entity("Paris Hilton", "person"), Entity("New York City", "place")
GOLD = to_ground_truth(Example(SENTENCE, TYPES, (HILTON, CITY)))
EMPTY_GOLD = to_ground_truth(Example("Nobody flew .", TYPES))
LENGTH = {"length_weight": 4, "length_target": 10, "length_limit": 20}


def person(name):
    return Entity(name, "person")


def reward(*entities, gold=GOLD, reasoning="They flew.", **reward_kwargs):
    return ner.compute_score("toy", render_entities(list(entities), reasoning), gold, {}, **reward_kwargs)


def tags(*names, gold=("Paris Hilton",), **reward_kwargs):
    asked = [
        Example(SENTENCE, TYPES[:1], tuple(map(person, these)), reasoning="They flew.", format="entity_tags")
        for these in (names, gold)
    ]
    return entity_tags.compute_score("toy", render_answer(asked[0]), to_ground_truth(asked[1]), {}, **reward_kwargs)


# ---------------------------------------------------------------------------------------------------------- overlap


@pytest.mark.parametrize(
    ("found", "gold", "credit"),
    [
        (["Hilton"], ["Paris Hilton"], 2 / 3),
        (["Miss Paris Hilton"], ["Paris Hilton"], 4 / 5),
        (["Paris Hilton"], ["Paris Hilton"], 0),  # it matches, so there is nothing to make up for
        (["Paris Hilton", "Hilton"], ["Paris Hilton"], 0),  # and nothing is left
        (["Paris", "Hilton"], ["Paris Hilton"], 2 / 3),  # one of the two
        (["Hilton"] * 9, ["Paris Hilton"] * 2, 4 / 3),
        (["Hilton"], ["Paris Hilton"] * 2, 2 / 3),
        (["New New York"], ["New York New York"], 2 * 3 / 7),  # as often as both have it
        (["paris hilton."], ["Paris Hilton"], 1),
        (["東京"], ["東京都"], 4 / 5),
        (["Nicky"], ["Paris Hilton"], 0),
        (["..."], ["!!!"], 0),  # no words
        ([], ["Paris Hilton"], 0),
        (["Paris"], [], 0),
    ],
)
def test_credit_by_hand(found, gold, credit):
    both = ([(name, "person") for name in names] for names in (found, gold))
    assert overlap(*both) == pytest.approx(credit)


def test_no_credit_between_types():
    assert overlap([("Hilton", "place")], [("Paris Hilton", "person")]) == 0


def test_the_pairing_is_the_best_and_not_the_first_come():
    # Greedy takes 4/5, then 2/4. The best leaves the heaviest pair out: 4/6 + 2/3.
    gold = [("New York City", "place"), ("New York", "place")]
    assert overlap([("York", "place"), ("New York Hall", "place")], gold) == pytest.approx(2 / 3 + 2 / 3)


KEYS = st.tuples(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(" ".join), st.sampled_from(TYPES))


def dice(one, other):
    """The credit of two names, by crossing out common words."""
    first, second = one[0].split(), other[0].split()
    total, common = len(first) + len(second), 0
    for word in first:
        if word in second:
            second.remove(word)
            common += 1
    return 2 * common / total if one[1] == other[1] else 0


@settings(deadline=None)  # SciPy may be loaded
@given(st.lists(KEYS, max_size=6), st.lists(KEYS, max_size=4))
def test_no_other_pairing_has_more_credit(found, gold):
    credit = overlap(found, gold)
    for key in list(found):
        if key in gold:
            found.remove(key)
            gold.remove(key)
    few, many = sorted((found, gold), key=len)
    sums = [sum(map(dice, few, chosen)) for chosen in permutations(many, len(few))]
    assert credit == pytest.approx(max(sums))


@settings(deadline=None)
@given(st.lists(KEYS, min_size=20, max_size=40), st.lists(KEYS, min_size=5, max_size=8))
def test_the_few_candidates_that_are_kept_are_enough(found, gold):
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    credit = overlap(found, gold)
    for key in list(found):
        if key in gold:
            found.remove(key)
            gold.remove(key)
    every = np.array([[dice(one, other) for other in found] for one in gold]).reshape(len(gold), len(found))
    assert credit == pytest.approx(every[linear_sum_assignment(every, maximize=True)].sum())


def test_a_partly_right_name_is_paid_for_its_overlap():
    scores = reward(person("Hilton"), CITY, overlap_value=0.5)
    assert scores["overlap"] == pytest.approx(2 / 3)
    assert scores["paid"] == pytest.approx(2 * (1 + 0.5 * 2 / 3) / 4)
    assert scores["score"] == pytest.approx(10 * 2 / 3 + 1)
    assert scores["f1"] == scores["acc"] == 0.5  # as validation reports it
    assert reward(person("Hilton"), CITY)["score"] == 6
    assert reward(person("Hilton"), CITY)["overlap"] == scores["overlap"]  # a curve, whether paid or not


def test_overlap_is_of_names_that_the_rule_does_not_match():
    lower = (person("paris hilton"), CITY)
    assert (reward(*lower)["overlap"], reward(*lower, matching="published")["overlap"]) == (1, 0)


def test_a_partly_right_tag_counts_as_right_for_its_overlap():
    scores = tags("Hilton", overlap_value=0.75)
    assert scores["overlap"] == pytest.approx(2 / 3)
    assert scores["score"] == pytest.approx(0.5 + 0.5 * 0.5 - 0.5 * 0.5)  # half right, half wrong
    assert (scores["f1"], scores["exact"], scores["paid"]) == (0, 0, pytest.approx(0.5))
    assert tags("Hilton")["score"] == 0.5 - 0.5


# -------------------------------------------------------------------------------------------------------------- beta


@pytest.mark.parametrize(("beta", "value"), [(1, 2 / 3), (2, 5 / 9), (0.5, 1.25 / 1.5)])
def test_f_beta_by_hand(beta, value):
    assert Counts(1, 1, 2).f_beta(beta) == pytest.approx(value)
    scores = reward(HILTON, beta=beta)
    assert scores["score"] == pytest.approx(10 * value + 1)
    assert scores["f1"] == scores["acc"] == pytest.approx(2 / 3)


def test_with_beta_above_one_a_missed_name_costs_more_than_a_wrong_one():
    missed, wrong = (HILTON,), (HILTON, CITY, person("City"))
    assert reward(*wrong)["score"] > reward(*missed)["score"]
    gain = {beta: reward(*wrong, beta=beta)["paid"] - reward(*missed, beta=beta)["paid"] for beta in (1, 2)}
    assert gain[2] > gain[1]


def test_beta_and_overlap_together():
    assert reward(person("Hilton"), beta=2, overlap_value=0.5)["paid"] == pytest.approx(5 * (1 / 3) / (4 * 2 + 1))


# ---------------------------------------------------------------------------------------------------------- invented


def test_names_that_the_sentence_does_not_hold_have_a_price():
    scores = reward(HILTON, CITY, person("Nicky"), person("Nicky"), invented_weight=3)
    assert scores["invented"] == 0.5
    assert scores["score"] == pytest.approx(10 * 4 / 6 + 1 - 3 * 0.5)
    assert tags("Paris Hilton", "Nicky", invented_weight=3)["score"] == 0.5 + 0.5 - 0.5 - 3 * 0.5
    wrong = reward(person("New York City"), invented_weight=3)  # wrong, and not invented
    assert (wrong["invented"], wrong["score"]) == (0, 1)


def test_a_name_is_compared_as_it_is_seen():
    assert reward(person("Paris\u00a0Hil\u200bton"))["invented"] == 0
    assert reward(person("paris hilton"))["invented"] == 1


def test_nothing_is_invented_where_no_sentence_is_known_or_nothing_is_named():
    nowhere = to_ground_truth(Example("", TYPES, (HILTON,)))
    assert reward(person("Nicky"), gold=nowhere, invented_weight=3)["score"] == 1
    assert reward(invented_weight=3)["invented"] == 0
    assert reward(person("Nicky"), gold="broken", invented_weight=3)["invented"] == 0


# ------------------------------------------------------------------------------------------------------ length_by_f1


def test_short_reasoning_is_paid_as_far_as_f1_is():
    half = (HILTON, person("Nicky"))
    assert reward(*half, **LENGTH)["score"] == 5 + 1 + 4
    assert reward(*half, **LENGTH, length_by_f1=True)["score"] == 5 + 1 + 4 * 0.5
    assert reward(*half, **LENGTH, length_by_f1=True, reasoning="word " * 15)["score"] == 5 + 1 + 4 * 0.5 * 0.5
    assert reward(**LENGTH, length_by_f1=True)["score"] == 1  # silence
    assert reward(gold=EMPTY_GOLD, **LENGTH, length_by_f1=True, empty_value=0.25)["score"] == 2.5 + 1 + 4 * 0.25
    assert tags("Paris Hilton", "Nicky", "City", **LENGTH, length_by_f1=True)["score"] == 0.5 + 0.5 - 1 + 4 * 0.5


# ------------------------------------------------------------------------------------------------------------ curves


def test_curves_tell_silence_from_nothing_to_find():
    def told(scores):
        return scores["names_nothing"], scores["right_silence"], scores["nothing_to_find"]

    assert told(reward()) == told(tags()) == (1, 0, 0)
    assert told(reward(gold=EMPTY_GOLD)) == told(tags(gold=())) == (0, 1, 1)
    assert told(reward(person("Nicky"))) == told(tags("Nicky")) == (0, 0, 0)
    assert told(reward(person("Nicky"), gold=EMPTY_GOLD)) == told(tags("Nicky", gold=())) == (0, 0, 1)
    for unreadable in ("", "nothing here", "<think>"):
        assert told(ner.compute_score("toy", unreadable, GOLD)) == (0, 0, 0)
        assert told(ner.compute_score("toy", unreadable, EMPTY_GOLD)) == (0, 0, 1)


def test_means_tell_f1_where_there_is_something_to_find():
    with_names = [reward(HILTON), reward(), reward(person("Nicky"))]
    rows = [*with_names, reward(gold=EMPTY_GOLD, empty_value=0.3), reward(HILTON, gold=EMPTY_GOLD, empty_value=0.3)]

    def mean(key, rows=rows):
        return sum(row[key] for row in rows) / len(rows)

    split = (mean("f1") - 0.3 * mean("right_silence")) / (1 - mean("nothing_to_find"))
    assert split == pytest.approx(mean("f1", with_names)) == pytest.approx(2 / 9)


# ------------------------------------------------------------------------------------------------ defaults and bounds

NAMES = st.sampled_from(["Paris Hilton", "Hilton", "Paris", "New York City", "York", "Nicky", "to New"])
ENTITIES = st.lists(st.builds(Entity, NAMES, st.sampled_from((*TYPES, "thing"))), max_size=6)
SETTINGS = st.fixed_dictionaries(
    {
        "beta": st.floats(0.01, 10),
        "overlap_value": st.floats(0, 1),
        "empty_value": st.floats(0, 1),
        "invented_weight": st.floats(0, 5),
        "length_weight": st.floats(0, 5),
        "length_by_f1": st.booleans(),
        "matching": st.sampled_from(["strict", "published"]),
    }
)
GOLDS = st.sampled_from([GOLD, EMPTY_GOLD])


@settings(deadline=None)
@given(ENTITIES, GOLDS)
def test_by_default_the_score_is_the_papers(entities, gold):
    scores = reward(*entities, gold=gold)
    assert scores["score"] == 10 * scores["f1"] + scores["schema"]
    assert scores["paid"] == scores["f1"]
    total = scores["n_pred"] + scores["n_gold"]
    assert scores["f1"] == (2 * scores["n_match"] / total if total else 1)


@settings(deadline=None)
@given(ENTITIES, GOLDS, SETTINGS)
def test_whatever_is_set_scores_are_bounded_and_the_gold_earns_most(entities, gold, chosen):
    scores, best = (reward(*these, gold=gold, **chosen) for these in (entities, (HILTON, CITY)))
    if gold == EMPTY_GOLD:
        best = reward(gold=gold, **chosen)
    assert 0 <= scores["paid"] <= 1
    assert 0 <= scores["overlap"] <= scores["n_gold"] - scores["n_match"]
    assert -chosen["invented_weight"] <= scores["score"] <= 11 + chosen["length_weight"]
    assert scores["score"] <= best["score"]


def test_time_is_linear_where_every_name_shares_a_word_with_every_missed_one():
    gold = [(f"the {i} of {i % 7}", "person") for i in range(50)]
    with linear_time():
        found = [(f"the {i % 90} of {i}", "person") for i in range(40_000)]
        assert 0 < overlap(found, gold) <= len(gold)
        assert 0 < overlap([("the of", "person")] * 100_000, gold) <= len(gold)
        assert 0 < overlap([("the " * 200_000, "person")], gold) <= 1
        reward(*[person(f"Hilton {i}") for i in range(20_000)], invented_weight=1)


# ----------------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize("check", [ner.check_reward_kwargs, entity_tags.check_reward_kwargs])
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"overlap_value": 1.5}, "overlap_value: 1.5 is a share"),
        ({"overlap_value": True}, "overlap_value: True is not"),
        ({"invented_weight": -1}, "invented_weight: -1 is not"),
        ({"length_by_f1": "true"}, "length_by_f1: 'true' is neither true nor false"),
        ({"length_by_f1": 1}, "length_by_f1: 1 is neither"),
        ({"length_by_f1": None}, "length_by_f1: None is neither"),
    ],
)
def test_a_wrong_configuration_is_told_before_the_run(check, kwargs, message):
    with pytest.raises(DataError, match=message) as error:
        check(kwargs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("beta", "message"), [(0, "beta: 0.0 weighs"), (11, "above 0, at most 10"), ("two", "'two'")])
def test_a_wrong_beta(beta, message):
    with pytest.raises(DataError, match=message):
        ner.check_reward_kwargs({"beta": beta})
    with pytest.raises(DataError, match="beta: no such setting"):
        entity_tags.check_reward_kwargs({"beta": beta})


def test_a_price_alone_is_no_reward():
    with pytest.raises(DataError, match="every weight is 0"):
        ner.check_reward_kwargs({"f1_weight": 0, "schema_weight": 0, "invented_weight": 1})


def test_values_may_come_from_yaml():
    omegaconf = pytest.importorskip("omegaconf")
    kwargs = omegaconf.OmegaConf.create("{beta: 2, overlap_value: '0.5', length_by_f1: true}")
    assert ner.check_reward_kwargs(kwargs) == ner.RewardConfig(beta=2, overlap_value=0.5, length_by_f1=True)
