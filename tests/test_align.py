"""Names to character offsets, with the cases that real corpora hold."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.core.align import Span, locate, occurs
from recipe.core.entities import Entity


def places(sentence, *names):
    """(start, end) of each name, all of one type."""
    return [(span.start, span.end) if span else None for span in locate(sentence, [Entity(n, "x") for n in names])]


def texts(sentence, *names):
    return [sentence[place[0] : place[1]] if place else None for place in places(sentence, *names)]


def test_a_name_stands_where_the_text_is():
    assert locate("EU rejects call", [Entity("EU", "group")]) == (Span(0, 2, "group"),)


def test_the_same_name_three_times_takes_its_places_in_order():
    assert places("a b a b a", "a", "a", "a") == [(0, 1), (4, 5), (8, 9)]


def test_a_name_given_more_often_than_it_stands_has_no_further_place():
    assert places("a b", "a", "a") == [(0, 1), None]


def test_a_name_given_less_often_than_it_stands_takes_the_first_places():
    assert places("a b a", "a") == [(0, 1)]


def test_nested_mentions_have_their_own_places():
    """GENIA: "IL-2 gene" holds the protein "IL-2", which stands nowhere else."""
    assert places("the IL-2 gene", "IL-2 gene", "IL-2") == [(4, 13), (4, 8)]


def test_a_place_of_its_own_comes_before_one_inside_a_longer_name():
    assert places("Paris Hilton left Paris", "Paris", "Paris Hilton") == [(18, 23), (0, 12)]


def test_one_name_with_two_types_stands_in_one_place():
    spans = locate("Jordan", [Entity("Jordan", "person"), Entity("Jordan", "country")])
    assert spans == (Span(0, 6, "person"), Span(0, 6, "country"))


@pytest.mark.parametrize("sentence", ["C++ and C .", "C++, then C.", "C# or C++ (C)"])
def test_c_is_not_the_c_of_c_plus_plus(sentence):
    assert places(sentence, "C") == [(sentence.rindex("C"), sentence.rindex("C") + 1)]
    assert places(sentence, "C", "C++")[0] == (sentence.rindex("C"), sentence.rindex("C") + 1)


def test_a_word_comes_before_a_part_of_a_word():
    assert places("artist art", "art") == [(7, 10)]
    assert places("artist", "art") == [(0, 3)]
    assert places("the art school , artist", "art school", "art") == [(4, 14), (4, 7)]


def test_decomposed_and_composed_unicode_are_the_same_text():
    sentence = unicodedata.normalize("NFD", "le café noir")
    assert texts(sentence, "café") == [unicodedata.normalize("NFD", "café")]
    assert texts("le café noir", unicodedata.normalize("NFD", "café")) == ["café"]
    assert texts(unicodedata.normalize("NFD", "한국 사람"), "한국") == [unicodedata.normalize("NFD", "한국")]


def test_a_letter_is_not_the_same_letter_with_an_accent():
    assert places(unicodedata.normalize("NFD", "café"), "cafe") == [None]
    assert places(unicodedata.normalize("NFD", "café cafe"), "cafe") == [(6, 10)]


def test_white_space_may_differ():
    assert texts("New\u00a0 York\tCity", "New York City") == ["New\u00a0 York\tCity"]


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("我住在北京大学", "北京大学"),
        ("زار أحمد القاهرة أمس", "القاهرة"),
        ("I 💙 👩‍👩‍👧 and 🇫🇷 now", "👩‍👩‍👧"),
        ("naïve 𝕏 post", "𝕏"),
    ],
)
def test_scripts_without_spaces_right_to_left_and_emoji(sentence, name):
    assert texts(sentence, name) == [name]


def test_what_the_sentence_does_not_hold_has_no_place():
    assert places("EU rejects", "eu", "EU rejected", "", " ") == [None] * 4
    assert occurs("EU rejects", "EU")
    assert not occurs("EU rejects", "eu")


@given(st.lists(st.sampled_from(["a", "b", "ab", "a b", "c", "á", "a\u0301"])), st.text("ab á\u0301c+", max_size=30))
def test_the_order_of_names_makes_no_difference(names, sentence):
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(places(sentence, *names), key=str) == sorted(places(sentence, *shuffled), key=str)


@given(st.text(max_size=60), st.data())
def test_every_part_of_a_sentence_is_found_in_it(sentence, data):
    start = data.draw(st.integers(0, len(sentence)))
    name = sentence[start : data.draw(st.integers(start, len(sentence)))]
    for place in places(sentence, name):
        if place:
            found = unicodedata.normalize("NFD", sentence[place[0] : place[1]])
            assert found.split() == unicodedata.normalize("NFD", name).split()
