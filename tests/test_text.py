"""What counts as text in a name: the characters that nobody sees, and that they are left out everywhere alike."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.core.text import INVISIBLE, JOINERS, seen, trimmed, visible

FORMATS = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"]
SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()]
TEXTS = st.text(st.one_of(st.sampled_from(FORMATS), st.sampled_from(SPACES), st.sampled_from("abC+ "), st.characters()))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("New\u00a0York\u200b ", "New York"),
        ("\ufeff\u200eEU\u00ad", "EU"),
        ("co\u00adop", "coop"),
        ("a \u200b\t b", "a b"),
        ("\u061cx\u2069", "x"),
        ("\u200c\u0645\u06cc\u200c\u062e\u200d", "\u0645\u06cc\u200c\u062e"),  # a joiner counts within a name alone
        ("a \u200d\u200b b", "a \u200d b"),
        ("\u200d \u200b", ""),
        ("", ""),
        (" ", ""),
        ("EU ", "EU"),
        (" EU", "EU"),
    ],
)
def test_a_name_as_it_is_seen(written, shown):
    assert visible(written) == shown


@pytest.mark.parametrize(
    "drawn",
    [
        "\u0600\u0661",  # ARABIC NUMBER SIGN
        "\u06dd",
        "\U000110bd",  # KAITHI NUMBER SIGN
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England's flag, told by tags
        "\ufff9x\ufffby",
        "\u2764\ufe0f",
        "a\u0301",
    ],
)
def test_signs_that_are_drawn_or_change_what_is_drawn_count(drawn):
    assert visible(drawn) == drawn
    assert trimmed(drawn) == (0, drawn)


def test_what_nobody_sees_is_of_the_category_format():
    assert set(INVISIBLE) < set(FORMATS) - set(JOINERS)
    assert len(set(INVISIBLE)) == len(INVISIBLE)


@pytest.mark.parametrize("unseen", [*INVISIBLE, *SPACES])
def test_what_nobody_sees_makes_no_difference_at_the_ends_and_is_nothing_or_a_space_within(unseen):
    assert visible(f"{unseen}a{unseen}") == "a"
    assert visible(f"a{unseen}b") == ("a b" if unseen.isspace() else "ab")
    assert trimmed(f"{unseen}a{unseen}{unseen}") == (1, "a")


@given(TEXTS)
def test_what_is_seen_is_seen_again(text):
    assert visible(visible(text)) == visible(text)
    assert trimmed(visible(text)) == (0, visible(text))


@given(TEXTS)
def test_the_ends_that_nobody_sees_are_no_part_of_what_is_seen(text):
    before, middle = trimmed(text)
    assert visible(middle) == visible(text)
    assert text.startswith(middle, before)
    assert visible(text[:before]) == visible(text[before + len(middle) :]) == ""
    assert bool(middle) == bool(visible(text))


@given(TEXTS)
def test_each_character_that_is_seen_knows_its_place(text):
    shown, places = seen(text)
    assert shown == visible(text)
    assert len(places) == len(shown)
    assert list(places) == sorted(set(places))
    for character, place in zip(shown, places, strict=True):
        assert text[place].isspace() if character == " " else text[place] == character


@given(TEXTS)
def test_within_its_ends_a_name_loses_invisible_characters_and_then_white_space(text):
    shown = "".join(character for character in trimmed(text)[1] if character not in INVISIBLE)
    assert visible(text) == " ".join(shown.split())


@pytest.mark.parametrize("piece", [" ", "\u200b", " \u200b", "a ", "a\u200b", "a\u200d", "\n", "\u200d ", "a  "])
@pytest.mark.parametrize("end", ["", "a"])
def test_a_megabyte_is_read_in_linear_time(piece, end):
    text = end + piece * (1_000_000 // len(piece)) + end
    with linear_time():
        visible(text)
        trimmed(text)
