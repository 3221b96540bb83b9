"""Gold that is corrupted in one known way is in one known error class."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.answers.json_answer import parse, render_entities
from recipe.core.align import locate
from recipe.core.entities import Answer, Entity, Example
from recipe.evaluate.disagreements import KINDS
from recipe.evaluate.disagreements import classify as classes

TYPES = ("person", "place")
ANN, PARIS = Entity("Ann Lee", "person"), Entity("Paris", "place")
EXAMPLE = Example("Ann Lee left Paris on a boat .", TYPES, (ANN, PARIS), "news")


def classify(example, answer):
    return classes(example, answer, *(locate(example.sentence, side.entities) for side in (example, answer)))


def kinds(*entities, example=EXAMPLE):
    return [error.kind for error in classify(example, Answer(entities, parsed=True))]


def test_a_right_answer_has_no_error():
    assert kinds(ANN, PARIS) == []


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        ([ANN], ["missed"]),
        ([ANN, PARIS, Entity("boat", "place")], ["spurious"]),
        ([ANN, PARIS, PARIS], ["spurious"]),
        ([Entity("Ann", "person"), PARIS], ["boundary"]),
        ([Entity("Lee left", "person"), PARIS], ["boundary"]),
        ([ANN, Entity("Paris", "person")], ["type"]),
        ([ANN, Entity("Paris on", "person")], ["boundary and type"]),
        ([ANN, PARIS, Entity("boat", "vehicle")], ["off-schema"]),
        ([ANN, Entity("paris", "place")], ["not in the text", "missed"]),
        ([ANN, PARIS, Entity("London", "place")], ["not in the text"]),
        ([], ["missed", "missed"]),
    ],
)
def test_each_corruption_has_its_class(entities, expected):
    assert kinds(*entities) == expected


def test_an_unreadable_answer_is_one_error():
    assert [error.kind for error in classify(EXAMPLE, parse("no JSON"))] == ["unparsable"]


def test_an_error_shows_both_sides():
    (error,) = classify(EXAMPLE, Answer((Entity("Ann", "person"), PARIS), parsed=True))
    assert (error.gold, error.predicted) == (ANN, Entity("Ann", "person"))
    assert (error.gold_span.end, error.predicted_span.end) == (7, 3)


def test_the_larger_overlap_is_the_pair():
    example = Example("New York City Hall", TYPES, (Entity("New York City Hall", "place"),))
    (boundary, spurious) = classify(
        example, Answer((Entity("New", "place"), Entity("York City", "place")), parsed=True)
    )
    assert (boundary.kind, boundary.predicted.name) == ("boundary", "York City")
    assert (spurious.kind, spurious.predicted.name) == ("spurious", "New")


@pytest.mark.parametrize("types", list(itertools.permutations("abc")))
def test_how_types_are_called_makes_no_difference(types):
    """Either entity of the answer may be paired with the gold at its place; one of them then leaves a boundary."""
    first, second, third = types
    example = Example("New York City", ("a", "b", "c"), (Entity("York City", third), Entity("City", first)))
    answer = Answer((Entity("York City", first), Entity("York City", second)), parsed=True)
    assert [error.kind for error in classify(example, answer)] == ["type", "boundary"]


def test_a_gold_name_that_the_sentence_lacks_can_be_right():
    example = Example("Ann left .", TYPES, (Entity("Annie", "person"),))
    assert kinds(Entity("Annie", "person"), example=example) == []


ENTITIES = st.lists(
    st.builds(
        Entity, st.sampled_from(["Ann", "Ann Lee", "Paris", "Lee left", "boat", "Oslo"]), st.sampled_from([*TYPES, "x"])
    ),
    max_size=6,
)


@given(ENTITIES, ENTITIES)
def test_every_entity_is_matched_or_in_one_class(gold, predicted):
    example = Example(EXAMPLE.sentence, TYPES, tuple(gold))
    errors = Counter(error.kind for error in classify(example, Answer(tuple(predicted), parsed=True)))
    paired = errors["boundary"] + errors["type"] + errors["boundary and type"]
    matched = len(gold) - errors["missed"] - paired
    assert matched >= 0
    assert len(predicted) == matched + paired + errors["spurious"] + errors["off-schema"] + errors["not in the text"]
    assert set(errors) <= set(KINDS)


def test_what_is_rendered_and_read_back_has_the_same_errors():
    assert classify(EXAMPLE, parse(render_entities([ANN, PARIS]))) == []
