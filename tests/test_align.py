"""Names to character offsets, with the cases that real corpora hold."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.core.align import Span, locate, mentions, occurs
from recipe.core.align import place as placed
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


# --------------------------------------------------------------------------------------------------------- mentions


def everywhere(sentence, *names):
    """(start, end) of every mention of the names, all of one type."""
    return [(span.start, span.end) for span in mentions(sentence, [Entity(n, "x") for n in names])]


@pytest.mark.parametrize(
    ("sentence", "names", "expected"),
    [
        ("Rio , Rio and Rio", ["Rio"], [(0, 3), (6, 9), (14, 17)]),
        ("Rio-based (Rio) Rios xRio", ["Rio"], [(0, 3), (11, 14)]),
        ("New York Times of New York , York", ["York", "New York Times"], [(0, 14), (22, 26), (29, 33)]),
        ("New York Times", ["New York", "New York Times"], [(0, 14), (0, 8)]),  # that it was named there says more
        ("NewYork", ["York"], [(3, 7)]),  # as does a name that stands nowhere else
        ("\u6211\u5728\u5317\u4eac\uff0c\u5317\u4eac\u5e02", ["\u5317\u4eac"], [(2, 4), (5, 7)]),
        ("5G\u7f51 a5G 5G", ["5G"], [(0, 2), (8, 10)]),
        ("\u54c8\u54c8\u54c8", ["\u54c8\u54c8"], [(0, 2)]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 \u0926\u0940", ["\u0926\u0940"], [(7, 9)]),
        ("\u0e19\u0e49\u0e33\u0e14\u0e35 \u0e14", ["\u0e14"], [(6, 7)]),
        ("Cafe\u0301 Caf\u00e9 Cafe", ["Caf\u00e9"], [(0, 5), (6, 10)]),
        ("New  York New\u00a0York", ["New York"], [(0, 9), (10, 18)]),
        ("Rome", ["Oslo", ""], []),
    ],
)
def test_every_mention_that_is_a_word_of_its_own_is_found(sentence, names, expected):
    assert everywhere(sentence, *names) == expected


def test_a_name_has_each_place_with_each_type_that_it_was_given():
    named = [Entity("Rio", "city"), Entity("Rio", "state")]
    assert mentions("Rio Rio", named) == tuple(Span(at, at + 3, t) for at in (0, 4) for t in ("city", "state"))


def test_a_place_that_an_entity_says_is_among_its_mentions():
    assert [span.start for span in mentions("Rios Rio", [Entity("Rio", "x", 0)])] == [0, 5]


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "a b", "\u5317", "c+", "\u00e1"])),
    st.text("ab \u00e1\u0301c+\u5317", max_size=30),
)
def test_mentions_are_the_places_found_and_others_that_are_no_part_of_a_longer_one(names, sentence):
    named = [Entity(name, "x") for name in names]
    found = {span for span in placed(sentence, named) if span}
    every = mentions(sentence, named)
    assert found <= set(every)
    assert len(set(every)) == len(every)
    for span in set(every) - found:
        longer = [one for one in every if one.start <= span.start and span.end <= one.end and one != span]
        assert not longer
