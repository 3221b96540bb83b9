"""Windows of long texts: nothing is lost, nothing is given twice, none is larger than its room."""

import random
import re
from itertools import pairwise

import pytest

from recipe.core.align import Span, locate
from recipe.core.entities import DataError, Entity
from recipe.predict.replies import Reply, join, vote
from recipe.predict.windows import cut

ALPHABETS = {
    "latin": [*"abcdefgABC", "é", "e\u0301", " ", " ", " ", ". ", "! ", ", ", "\n", '" '],
    "chinese": [*"北京是中国的首都上海", "。", "，", "！", "\n"],
    "arabic": [*"مرحبابكفيالقاهرة", "\u064e", " ", " ", "؟ ", "، ", ". "],
    "emoji": ["👩\u200d🔬", "👍🏽", "❤\ufe0f", " ", "a"],
    "spaces": [" ", "\t", "\n", "\u3000", "x"],
}


def random_text(rng, alphabet, pieces):
    return "".join(rng.choice(alphabet) for _ in range(pieces))


def words_fit(limit):
    return lambda part: len(part.split()) <= limit


def bytes_fit(limit):
    return lambda part: len(part.encode()) <= limit


@pytest.mark.parametrize("script", ALPHABETS)
def test_every_character_is_in_a_window_and_no_window_exceeds_its_room(script):
    for seed in range(300):
        rng = random.Random(f"{script}/{seed}")
        text = random_text(rng, ALPHABETS[script], rng.randint(1, 600))
        fits = rng.choice([words_fit, bytes_fit])(rng.randint(16, 200))
        windows = cut(text, fits)
        assert all(fits(text[window.start : window.end]) for window in windows)
        covered = {place for window in windows for place in range(window.start, window.end)}
        assert all(place in covered for place in range(len(text)) if not text[place].isspace())


@pytest.mark.parametrize("script", ALPHABETS)
def test_every_place_has_one_owner(script):
    for seed in range(100):
        rng = random.Random(f"{script}/{seed}")
        text = random_text(rng, ALPHABETS[script], 400)
        windows = cut(text, bytes_fit(rng.randint(16, 100)))
        if windows:
            assert (windows[0].owned_from, windows[-1].owned_to) == (0, len(text))
        assert all(a.owned_to == b.owned_from for a, b in pairwise(windows))
        assert all(a.start < b.start and a.end < b.end for a, b in pairwise(windows))


def test_a_text_that_fits_stays_as_it_is():
    assert [(w.start, w.end) for w in cut("  Two lines.\n\nOf text. \n", words_fit(4))] == [(0, 24)]


@pytest.mark.parametrize(
    ("text", "room", "ends"),
    [
        ("One two. Three four five! Six seven? Eight nine ten.", 27, ("two.", "five!", "seven?", "ten.")),
        ("北京是首都。上海很大！广州在南方？深圳也在。", 14, "。！？"),
        ("هل هذا نص؟ نعم هذا نص. وهذا نص آخر؟ نعم.", 27, "؟."),
        ("first line\nsecond line\nthird line\nfourth line", 27, ("line",)),
        ('He said "no." Then he left. "Why?" she asked.', 29, ('"no."', "left.", '"Why?"', "asked.")),
    ],
)
def test_windows_end_with_sentences(text, room, ends):
    windows = cut(text, lambda part: len(part) <= room)
    assert len(windows) > 1
    assert all(text[window.start : window.end].endswith(tuple(ends)) for window in windows)


def test_a_word_longer_than_the_room_is_cut_between_its_characters():
    windows = cut("x" * 1000, bytes_fit(64))
    assert all(window.end - window.start <= 64 for window in windows)
    assert windows[-1].end == 1000


def test_no_cut_falls_before_an_accent_or_within_an_emoji():
    text = ("e\u0301" * 40 + "👩\u200d🔬" * 40) * 3
    edges = [place for window in cut(text, bytes_fit(60)) for place in (window.start, window.end)]
    assert all(text[place : place + 1] not in ("\u0301", "\u200d") for place in edges)
    assert all(place == 0 or text[place - 1] != "\u200d" for place in edges)


def test_room_for_not_even_a_character_is_refused():
    with pytest.raises(DataError, match="not even the character at 0"):
        cut("北京", bytes_fit(2))


def test_a_million_characters_take_few_questions():
    asked = 0

    def fits(part):
        nonlocal asked
        asked += 1
        return len(part) <= 2000

    windows = cut("One sentence of text. " * 45_000, fits)
    assert asked < 10 * len(windows)


# --------------------------------------------------------------------------------------------- entities at the cuts


def found_by_oracle(text, windows, names):
    """What a model that names every whole mention in each window leads to."""
    votes = []
    for window in windows:
        part = text[window.start : window.end]
        mentions = [Entity(name, "t") for name in names for _ in re.findall(rf"\b{name}\b", part)]
        votes.append(vote([Reply(frozenset(filter(None, locate(part, mentions))), parsed=True)], 0.5))
    return [Span(e.start, e.end, e.type) for e in join(text, windows, votes, 1)["entities"]]


def test_an_entity_at_a_cut_is_found_once_and_whole():
    names = ["New York", "St. Louis", "Ann", "University of California"]
    for seed in range(200):
        rng = random.Random(seed)
        words = ["the", "of", "a.", "said", "it!", "was", "\n", *names, *names]
        text = " ".join(rng.choice(words) for _ in range(400))
        limit = rng.randint(250, 900)
        windows = cut(text, lambda part, limit=limit: len(part) <= limit)
        assert len(windows) > 1
        wanted = [Span(m.start(), m.end(), "t") for m in re.finditer(r"\b(?:" + "|".join(names) + r")\b", text)]
        assert found_by_oracle(text, windows, names) == wanted
