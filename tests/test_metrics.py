"""Matching rules and counts, with literals worked out by hand."""

import os
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.core.entities import Entity
from recipe.core.metrics import Counts, count, published_name

PARIS, LYON = Entity("Paris", "place"), Entity("Lyon", "place")
ENTITIES = st.lists(st.builds(Entity, st.sampled_from(["C", "C++", "the C", "D"]), st.sampled_from(["x", "y"])))


def test_one_right_of_two_predicted_and_three_gold():
    counts = count([PARIS, LYON], [PARIS, Entity("Nice", "place"), Entity("Ann", "person")])
    assert counts == Counts(matched=1, predicted=2, gold=3)
    assert (counts.precision, counts.recall, counts.f1) == (1 / 2, 1 / 3, 2 / 5)


def test_counts_add_up_to_the_micro_f1():
    pooled = Counts(1, 1, 1) + Counts(0, 3, 1)
    assert pooled == Counts(1, 4, 2)
    assert pooled.f1 == pytest.approx(1 / 3)


def test_nothing_to_find_and_nothing_found_is_right():
    assert count([], []) == Counts(0, 0, 0)
    assert (Counts().precision, Counts().recall, Counts().f1) == (1, 1, 1)


def test_nothing_to_find_but_something_found_is_wrong():
    counts = count([PARIS], [])
    assert (counts.precision, counts.recall, counts.f1) == (0, 0, 0)


def test_something_to_find_but_nothing_found_is_wrong():
    counts = count([], [PARIS])
    assert (counts.precision, counts.recall, counts.f1) == (0, 0, 0)


@pytest.mark.parametrize(("predicted", "matched"), [("Paris", 1), ("paris", 0), ("the Paris", 0), ("Paris.", 0)])
def test_strict_compares_exact_names(predicted, matched):
    assert count([Entity(predicted, "place")], [PARIS], "strict").matched == matched


@pytest.mark.parametrize(
    ("name", "other", "matched"),
    [
        ("EU ", "EU", 1),
        ("\ufeffEU\u200b", "EU", 1),
        ("co\u00adoperation", "cooperation", 1),
        ("New\u00a0York", "New York", 1),
        ("New \u200b\tYork", "New York", 1),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e", 0),  # a joiner within a name is seen
        ("NewYork", "New York", 0),
    ],
)
def test_strict_compares_names_as_they_are_seen(name, other, matched):
    there, back = Entity(name, "x"), Entity(other, "x")
    assert count([there], [back], "strict") == count([back], [there], "strict") == Counts(matched, 1, 1)
    assert count([there, back], [back], "strict") == Counts(1, 2, 1)


@pytest.mark.parametrize("predicted", ["Paris", "paris", "the Paris", " PARIS. "])
def test_published_compares_normalised_names(predicted):
    assert count([Entity(predicted, "place")], [PARIS], "published").matched == 1


@pytest.mark.parametrize("rule", ["strict", "published"])
def test_the_right_name_with_the_wrong_type_does_not_match(rule):
    assert count([Entity("Paris", "person")], [PARIS], rule) == Counts(0, 1, 1)


@pytest.mark.parametrize("rule", ["strict", "published"])
def test_half_a_name_does_not_match(rule):
    assert count([Entity("York", "place")], [Entity("New York", "place")], rule) == Counts(0, 1, 1)


def test_strict_counts_mentions():
    assert count([PARIS], [PARIS, PARIS], "strict") == Counts(1, 1, 2)
    assert count([PARIS, PARIS], [PARIS], "strict") == Counts(1, 2, 1)


def test_published_counts_each_name_and_type_of_a_sentence_once():
    assert count([PARIS, PARIS], [PARIS], "published") == Counts(1, 1, 1)
    assert count([PARIS], [PARIS, PARIS], "published") == Counts(1, 1, 1)


def test_published_merges_names_that_differ_in_punctuation_alone():
    cs = [Entity("C", "language"), Entity("C++", "language")]
    assert count(cs[:1], cs, "published") == Counts(1, 1, 1)
    assert count(cs[:1], cs, "strict") == Counts(1, 1, 2)


def test_published_keeps_a_name_that_normalises_to_nothing():
    assert count([Entity("@", "person")], [Entity("!!!", "person")], "published") == Counts(1, 1, 1)
    assert count([], [Entity("@", "person")], "published") == Counts(0, 0, 1)


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("The  C++", "c"),
        ("U.S.", "us"),
        ("An A-Team of the Year", "ateam of year"),  # punctuation goes before articles: "A-Team" keeps its a
        ("A. a", ""),
        ("Theatre", "theatre"),
        ("Île-de-France", "îledefrance"),
        ("“quoted” – dash", "“quoted” – dash"),  # only ASCII punctuation goes
        ("a\u00a0b\tc", "b c"),
        ("THE", ""),
    ],
)
def test_published_name(name, normalised):
    assert published_name(name) == normalised


@given(st.text())
def test_published_name_has_no_ascii_punctuation_and_no_outer_space(name):
    normalised = published_name(name)
    assert normalised == normalised.strip()
    assert not set(normalised) & set(string.punctuation)


@given(ENTITIES, ENTITIES, st.sampled_from(["strict", "published"]))
def test_swapping_prediction_and_gold_swaps_precision_and_recall(predicted, gold, rule):
    there, back = count(predicted, gold, rule), count(gold, predicted, rule)
    assert (there.precision, there.recall, there.f1) == (back.recall, back.precision, back.f1)
    assert there.matched <= min(there.predicted, there.gold)


@given(ENTITIES, st.sampled_from(["strict", "published"]))
def test_gold_against_itself_is_perfect(gold, rule):
    assert count(gold[::-1], gold, rule).f1 == 1


def test_an_unknown_rule_is_an_error():
    with pytest.raises(KeyError):
        count([], [], "lenient")


@pytest.mark.skipif(
    "REASONING_IE" not in os.environ, reason="REASONING_IE names no checkout of HuiResearch/ReasoningIE"
)
def test_published_f1_is_that_of_the_reference_implementation(tmp_path):
    script = Path(__file__).parent / "benchmarks" / "metrics_against_reference.py"
    options = ["--reference", os.environ["REASONING_IE"], "--out", str(tmp_path / "result.json")]
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
