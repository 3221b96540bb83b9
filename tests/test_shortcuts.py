"""Shortcuts of scoring give what the plain definitions give, to the last bit."""

from __future__ import annotations

import json
from collections import Counter
from unittest import mock

import numpy as np
from hypothesis import example as with_example
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.answers.json_answer import render_entities
from recipe.core import align, pairing
from recipe.core.align import Span, locate
from recipe.core.entities import Entity, Example
from recipe.core.metrics import published_name
from recipe.core.text import visible
from recipe.evaluate import verdict
from recipe.evaluate.intervals import resampled_sums
from recipe.evaluate.rows import Row
from recipe.evaluate.scores import digest, score
from recipe.evaluate.verdict import compare, count_overlaps

WORDS = [
    "C",
    "C++",
    "a",
    "aa",
    "aaa",
    "The",
    "EU",
    "EU.",
    "é",
    "e\u0301",
    "\u0301",
    "“x”",
    "東京",
    " ",
    "\u200b",
    "\u00a0",
    "x-a",
]
TYPES = ("per", "loc", "misc")
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)


@st.composite
def entities(draw, sentence: str, placed: bool) -> tuple[Entity, ...]:
    """Parts of the sentence and other names; some gold says where it stands."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        if sentence and draw(st.integers(0, 3)):
            start = draw(st.integers(0, len(sentence) - 1))
            end = draw(st.integers(start + 1, len(sentence)))
            own = start if placed and draw(st.booleans()) else None
            found.append(Entity(sentence[start:end], draw(st.sampled_from(TYPES)), own))
        else:
            found.append(Entity(draw(st.sampled_from(WORDS)), draw(st.sampled_from((*TYPES, "odd")))))
    return tuple(found)


@st.composite
def answered(draw) -> tuple[Example, str]:
    sentence = draw(SENTENCES)
    gold = draw(entities(sentence, placed=True))
    said = draw(st.sampled_from([gold, gold[1:], gold[::-1], gold + gold[:1]])) + draw(
        st.one_of(st.just(()), entities(sentence, placed=False))
    )
    output = render_entities(said, draw(st.sampled_from([None, "It is so."])))
    types = draw(st.sampled_from([TYPES, TYPES[:2]]))
    return Example(sentence, types, gold), draw(st.sampled_from([output, output, output, output[:-3], "no", ""]))


@st.composite
def searches(draw) -> tuple[str, tuple[Entity, ...], tuple[Span | None, ...]]:
    sentence = draw(SENTENCES)
    starts = st.integers(0, max(0, len(sentence) - 1))
    spans = st.builds(lambda start, size, label: Span(start, start + size, label), starts, st.integers(1, 5), TYPE)
    beside = [span for span in draw(st.lists(spans, max_size=4)) if span.end <= len(sentence)]
    beside = [span for span in beside if visible(sentence[span.start : span.end])]
    return sentence, draw(entities(sentence, placed=False)), tuple(beside)


TYPE = st.sampled_from(TYPES)


@given(searches())
@settings(max_examples=500)
@with_example(("aaa", (Entity("a", "per"), Entity("a", "per")), ()))
@with_example(("a a", (Entity("a", "per"),), (Span(2, 3, "per"),)))
@with_example(("a EU a", (Entity("EU", "per"),), (Span(1, 4, "per"),)))
def test_a_name_without_a_choice_of_places_stands_where_it_would_be_put_among_several(search):
    sentence, names, beside = search
    quick = locate(sentence, names, beside)
    with mock.patch.object(align, "_without_choice", return_value=None):
        assert quick == locate(sentence, names, beside)


def plain_counts(example: Example, output: str, drop_else: bool) -> tuple[float, ...]:
    """The counts of one sentence, rule by rule, as their definitions say."""
    judged = compare(example, output, drop_else)
    sides = ((judged.answer.entities, judged.predicted_spans), (judged.example.entities, judged.gold_spans))
    published = [Counter({(published_name(e.name), e.type) for e in entities}) for entities, _ in sides]
    strict = [Counter((visible(e.name), e.type) for e in entities) for entities, _ in sides]
    span = [Counter((at[:2] if at else visible(e.name), e.type) for e, at in zip(*side, strict=True)) for side in sides]
    keyed = ((found & gold, found, gold) for found, gold in (published, strict, span))
    return (
        *(part.total() for parts in keyed for part in parts),
        *(number for each in count_overlaps(judged) for number in (each.matched, each.predicted, each.gold)),
    )


@given(st.lists(answered(), min_size=1, max_size=5), st.booleans())
@settings(max_examples=200, deadline=None)
def test_scores_are_those_of_whole_verdicts(pairs, drop_else):
    rows = [Row(number, f"set {number % 2}", (), example) for number, (example, _) in enumerate(pairs)]
    outputs = [output for _, output in pairs]
    quick, sentences = score(rows, outputs, drop_else=drop_else)
    for sentence in sentences:
        assert sentence.counts == plain_counts(*pairs[sentence.index], drop_else)
    with (
        mock.patch.object(align, "_without_choice", return_value=None),
        mock.patch.object(verdict, "_surely_agreed", return_value=(set(), set())),
    ):
        whole, _ = score(rows, outputs, drop_else=drop_else)
    assert json.dumps(quick) == json.dumps(whole)


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_resampled_sums_are_those_of_the_sentences_drawn(sentences, rules, seed):
    counts = np.random.default_rng(seed).integers(0, 5, size=(sentences, rules, 3)) / 2
    drawn = np.random.default_rng(seed).integers(sentences, size=(50, sentences))
    assert (resampled_sums(counts, np.random.default_rng(seed), 50) == counts[drawn].sum(axis=1)).all()


@given(answered())
def test_a_digest_is_of_the_json_text(pair):
    import hashlib

    example = pair[0]
    gold = sorted([entity.name, entity.type] for entity in example.entities)
    text = json.dumps([example.sentence, sorted(example.types), gold])
    assert digest(example) == hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


PAIRS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.5, 1.0, 2.0])), unique_by=lambda p: p[:2]
)


@given(PAIRS)
@settings(deadline=None)  # SciPy is loaded
def test_few_spans_are_paired_as_well_as_by_scipy(pairs):
    def worth(chosen):
        return sum(weight for i, j, weight in pairs if (i, j) in chosen)

    tried = pairing.best(pairs)
    assert len({i for i, _ in tried}) == len({j for _, j in tried}) == len(tried)
    with mock.patch.object(pairing, "_FEW", 0):
        assert worth(tried) == worth(pairing.best(pairs))
