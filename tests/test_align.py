"""Names to character offsets, with the cases that real corpora hold."""

from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.core.align import Span, locate, mentions, occurs, place
from recipe.core.entities import Entity
from recipe.core.text import trimmed, visible

NFD = [unicodedata.normalize("NFD", chr(code)) for code in range(0x110000)]
MARKS = [chr(code) for code, parts in enumerate(NFD) if unicodedata.combining(parts[0])]
COMPOSED = [chr(code) for code, parts in enumerate(NFD[:0xAC00]) if len(parts) > 1 and chr(code) not in MARKS]
BASES = "aeoSAz\u0111\u03b1\u0438\u05e9\u05d1\u0627\u0644\u0645\u0915\u0e01\u1100\u1161\u11a8\ud55c\u5317C+(."
UNSEEN = "  \t\n\u00a0\u200b\u00ad\ufeff\u200e\u200c\u200d"
PIECES = [
    st.sampled_from(BASES),
    st.sampled_from(COMPOSED),
    st.sampled_from(UNSEEN),
    st.lists(st.sampled_from(MARKS), min_size=1, max_size=5).map("".join),
]


def is_mark(character):
    """True for what joins the letter before it. Some marks of Tibetan do so in their parts alone."""
    return bool(unicodedata.combining(NFD[ord(character)][0])) if character else False


def canonical(text):
    return unicodedata.normalize("NFD", visible(text))


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


@given(st.lists(st.one_of(*PIECES), max_size=16).map("".join), st.data())
def test_every_part_of_a_sentence_that_parts_no_letter_from_its_marks_is_found_in_it(sentence, data):
    start = data.draw(st.integers(0, len(sentence)))
    name = sentence[start : data.draw(st.integers(start, len(sentence)))]
    before, seen = trimmed(name)
    after = sentence[start + before + len(seen) :].lstrip("\u200b\u00ad\ufeff\u200e")
    found = places(sentence, name)[0]
    if not seen or (not is_mark(seen[0]) and not is_mark(after[:1])):
        assert (found is not None) == bool(seen)
    if found:
        text = sentence[slice(*found)]
        assert canonical(text) == canonical(name)
        assert trimmed(text) == (0, text)
        assert not is_mark(sentence[found[1] :].lstrip("\u200b\u00ad\ufeff\u200e")[:1])


@pytest.mark.parametrize(
    ("name", "letter", "one", "other"),
    [
        ("Vi{}t Nam", "e", "\u0302", "\u0323"),  # Vietnamese: circumflex and dot below
        ("\u1eccl{}runto\u0323ba", "o", "\u0323", "\u0301"),  # Yoruba: dot below and acute
        ("{}delekan", "A", "\u0323", "\u0300"),
        ("\u0645\u062d{}\u062f", "\u0645", "\u0651", "\u064e"),  # Arabic: shadda and fatha
        ("{}\u05dc\u05d5\u05dd", "\u05e9", "\u05c1", "\u05b8"),  # Hebrew: shin dot and qamats
    ],
)
def test_marks_may_stand_in_either_order(name, letter, one, other):
    spellings = {name.format(letter + one + other), name.format(letter + other + one)}
    spellings |= {unicodedata.normalize(form, written) for form in ("NFC", "NFD") for written in spellings}
    for written in spellings:
        sentence = f"x {written} y, {written}"
        for asked in spellings:
            assert texts(sentence, asked, asked) == [written, written]
        for fewer in (letter, letter + one, letter + other):
            up_to_letter = name[: name.index("{}") + 2]
            assert texts(sentence, name.format(fewer), up_to_letter.format(fewer)) == [None, None]


def test_a_place_parts_no_character():
    """Half of a Hangul syllable, and a mark out of the middle of a letter's stack, have no place of their own."""
    assert places("\ud55c\uad6d", "\u1112", "\u1161\u11ab", "\ud558") == [None, None, None]
    assert places("\u1ed9b", "\u0323", "\u0302b", "\u0323\u0302b") == [None, None, None]


def test_canonically_the_same_names_are_one_name():
    assert places("caf\u00e9 cafe\u0301", "cafe\u0301", "caf\u00e9", "caf\u00e9") == [(0, 4), (5, 10), None]
    assert places("EU, EU", "EU", "EU\u200b", " EU") == [(0, 2), (4, 6), None]


@pytest.mark.parametrize(
    ("sentence", "name", "found"),
    [
        ("in New\u00a0York\u200b.", "New York", "New\u00a0York"),
        ("in New York.", "\ufeffNew\u00a0York\u200b", "New York"),
        ("a co\u00adoperate b", "cooperate", "co\u00adoperate"),
        ("a cooperate b", "co\u00adoperate", "cooperate"),
        ("New \u200b\u00a0 York", "New York", "New \u200b\u00a0 York"),
        ("\u200fEU\u200e\u061c call", "EU\u2069", "EU"),
        ("cafe\u200b\u0301 noir", "caf\u00e9", "cafe\u200b\u0301"),
        ("ab\u200b", "a", "a"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e", None),
        ("\u0645\u06cc\u062e", "\u0645\u06cc\u200c\u062e", None),
        ("cafe\u200b\u0301 noir", "cafe", None),
        ("\u200b \u00ad", "\u200b", None),
    ],
)
def test_characters_that_nobody_sees_make_no_difference_to_a_place(sentence, name, found):
    assert texts(sentence, name) == [found]
    assert occurs(sentence, name) == (found is not None)


@pytest.mark.parametrize(
    ("sentence", "name", "start"),
    [
        ("EU\u00adRO or +EU+", "EU", 10),
        ("+EU+ or \ufeffEU\u200b.", "EU", 9),
        ("cafe\u0301noir +noir+", "noir", 11),
        ("cafe\u0301s +cafe\u0301+", "cafe\u0301", 8),
        ("\u0915\u093e +\u0915+", "\u0915", 4),  # a vowel sign of Devanagari is part of the word
        ("\u0645\u06cc\u200c\u062e +\u0645\u06cc+", "\u0645\u06cc", 6),  # so is what a joiner joins
        ("a\u2764\ufe0fNY +NY+", "NY", 3),  # an emoji is not
    ],
)
def test_a_word_ends_where_its_last_visible_character_does(sentence, name, start):
    assert places(sentence, name) == [(start, start + len(name))]


def test_an_entitys_own_place_begins_and_ends_at_characters_that_are_seen():
    entities = [Entity(" EU\u200b", "x", 3), Entity("EU", "x"), Entity("\u200b", "x", 6)]
    assert place("EU\u200b EU\u200b", entities) == (Span(4, 6, "x"), Span(0, 2, "x"), None)


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("a" + "\u0301\u0323" * 500_000 + " b", ["a" + "\u0323\u0301" * 500_000, "a", "b"]),
        ("\u0301\u0323" * 500_000, ["\u0301", "\u0323" * 400_000]),
        ("a b", ["a" + "\u0301\u0323" * 500_000]),
        ("a\u200b" * 500_000, ["ab", "a a", "a" * 400_000]),
        (" \u200b" * 500_000 + "a", ["a"]),
        ("a" * 1_000_000, ["a" * 500_000]),
        ("ab" * 500_000, ["ab" * 250_000, "ba" * 200_000 + "b"]),
    ],
)
def test_a_megabyte_is_searched_in_linear_time(sentence, names):
    with linear_time():
        places(sentence, *names)


@given(st.text("ab", max_size=40), st.text("ab", min_size=1, max_size=4), st.integers(1, 4))
def test_all_places_are_found_of_a_name_that_overlaps_with_itself(sentence, piece, times):
    name = piece * times
    sentence += name * 2 + sentence
    every = [(start, start + len(name)) for start in range(len(sentence)) if sentence.startswith(name, start)]
    assert places(sentence, *[name] * (len(every) + 1)) == [*every, None]


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
    found = {span for span in place(sentence, named) if span}
    every = mentions(sentence, named)
    assert found <= set(every)
    assert len(set(every)) == len(every)
    for span in set(every) - found:
        longer = [one for one in every if one.start <= span.start and span.end <= one.end and one != span]
        assert not longer
