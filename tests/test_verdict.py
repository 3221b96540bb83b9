"""Five matching rules on gold that was corrupted in known ways, against literals worked out by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers.json_answer import render_entities
from recipe.core.align import Span
from recipe.core.entities import Answer, Entity, Example
from recipe.core.text import trimmed
from recipe.evaluate import verdict as judging
from recipe.evaluate.verdict import KEYED, compare, count_overlaps

ANN, PARIS, LYON = Entity("Ann Lee", "person"), Entity("Paris", "place"), Entity("Lyon", "place")
TYPES = ("person", "place")
EXAMPLE = Example("Ann Lee left Paris for Lyon .", TYPES, (ANN, PARIS, LYON), "news")


def keys(verdict, rule):
    """What a rule compares, as multisets."""
    return tuple(map(Counter, judging.keys(verdict, rule)))


def counts(*entities, example=EXAMPLE):
    """{rule: (matched, predicted, gold)} of an answer that names these."""
    judged = compare(example, render_entities(entities))
    found = {}
    for rule in KEYED:
        predicted, gold = keys(judged, rule)
        found[rule] = ((predicted & gold).total(), predicted.total(), gold.total())
    partial, by_type = count_overlaps(judged)
    for rule, c in (("partial", partial), ("type", by_type)):
        found[rule] = (c.matched, c.predicted, c.gold)
    return found


@pytest.mark.parametrize(
    ("entities", "published", "strict", "span", "partial", "by_type"),
    [
        # nothing changed
        ([ANN, PARIS, LYON], (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
        # drop
        ([ANN, PARIS], (2, 2, 3), (2, 2, 3), (2, 2, 3), (2, 2, 3), (2, 2, 3)),
        # add a word of the sentence, and one that it lacks
        ([ANN, PARIS, LYON, Entity("left", "place")], (3, 4, 3), (3, 4, 3), (3, 4, 3), (3, 4, 3), (3, 4, 3)),
        ([ANN, PARIS, LYON, Entity("Oslo", "place")], (3, 4, 3), (3, 4, 3), (3, 4, 3), (3, 4, 3), (3, 4, 3)),
        # shift a boundary: half a match for partial, a whole one for type
        ([Entity("Ann", "person"), PARIS, LYON], (2, 3, 3), (2, 3, 3), (2, 3, 3), (2.5, 3, 3), (3, 3, 3)),
        # change a type: partial does not look at types
        ([ANN, PARIS, Entity("Lyon", "person")], (2, 3, 3), (2, 3, 3), (2, 3, 3), (3, 3, 3), (2, 3, 3)),
        # change case: only the published rule overlooks it
        ([ANN, PARIS, Entity("lyon", "place")], (3, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3)),
        # duplicate: the published rule compares sets
        ([ANN, PARIS, LYON, LYON], (3, 3, 3), (3, 4, 3), (3, 4, 3), (3, 4, 3), (3, 4, 3)),
        ([], (0, 0, 3), (0, 0, 3), (0, 0, 3), (0, 0, 3), (0, 0, 3)),
    ],
)
def test_each_corruption_under_each_rule(entities, published, strict, span, partial, by_type):
    expected = {"published": published, "strict": strict, "span": span, "partial": partial, "type": by_type}
    assert counts(*entities) == expected


def test_the_span_rule_forgives_what_offsets_do_not_see():
    example = Example("the cafe\u0301 .", TYPES, (Entity("cafe\u0301", "place"),))
    assert counts(Entity("café", "place"), example=example)["span"] == (1, 1, 1)
    assert counts(Entity("café", "place"), example=example)["strict"] == (0, 1, 1)


def test_an_unreadable_answer_names_nothing():
    judged = compare(EXAMPLE, "no JSON")
    assert [part.total() for part in keys(judged, "span")] == [0, 3]
    assert [error.kind for error in judged.disagreements] == ["unparsable"]


@pytest.mark.parametrize("completion", ["", "{", "\ud800", '{"entities": {"place": ["\ud800", ""]}}', "<think>" * 999])
def test_any_completion_is_judged(completion):
    assert count_overlaps(compare(EXAMPLE, completion))[0].gold == 3


# --------------------------------------------------------------------------------------------------------- places


def test_a_gold_entity_stands_where_its_source_says():
    example = Example("Rio , not Rio", TYPES, (Entity("Rio", "place", 10),))
    said = compare(example, Answer((Entity("Rio", "place", 0),), parsed=True))
    assert said.gold_spans == (Span(10, 13, "place"),)
    assert [part.total() for part in keys(said, "span")] == [1, 1]
    assert keys(said, "span")[0] != keys(said, "span")[1]
    assert keys(said, "strict")[0] == keys(said, "strict")[1]
    assert [one.kind for one in said.disagreements] == ["spurious", "missed"]


def test_who_names_a_text_without_its_place_is_right_about_the_place():
    example = Example("Rio , not Rio , but Rio", TYPES, (Entity("Rio", "place", 20),))
    named = compare(example, render_entities([Entity("Rio", "place")]))
    assert named.disagreements == ()
    assert named.predicted_spans == named.gold_spans


@pytest.mark.parametrize("drop_else", [True, False])
def test_the_places_of_a_row_are_those_of_all_its_types(drop_else):
    """Without the residual entity, `York` alone would be looked for at its first place."""
    gold = (Entity("New York Times", "misc"), Entity("York", "place"))
    example = Example("New York Times of York", (*TYPES, "misc"), gold)
    assert compare(example, "", drop_else).gold_spans[-1] == Span(18, 22, "place")
    right = compare(example, render_entities(gold), drop_else)
    assert right.disagreements == ()
    assert [overlap.f1 for overlap in count_overlaps(right)] == [1, 1]


# -------------------------------------------------------------------------------------------------------- pairing

WORDS = [f"w{i}" for i in range(8)]
STARTS = [sum(len(w) + 1 for w in WORDS[:i]) for i in range(len(WORDS) + 1)]
THREE = (*TYPES, "event")
PLACES = st.tuples(st.integers(0, len(WORDS) - 1), st.integers(1, 4), st.sampled_from(THREE)).map(
    lambda x: Span(STARTS[x[0]], STARTS[min(len(WORDS), x[0] + x[1])] - 1, x[2])
)
SIDES = st.lists(PLACES, max_size=5)  # the same span may be there twice


def judge(gold, predicted):
    """The verdict on entities that know their places."""
    sentence = " ".join(WORDS)
    gold, predicted = (
        tuple(Entity(sentence[span.start : span.end], span.type, span.start) for span in side)
        for side in (gold, predicted)
    )
    return compare(Example(sentence, THREE, gold), Answer(predicted, parsed=True))


def shared(one, other):
    return min(one.end, other.end) - max(one.start, other.start)


def weights(one, other):
    """What a pair is worth under partial and under type."""
    if shared(one, other) <= 0:
        return 0, 0
    return 1 if (one.start, one.end) == (other.start, other.end) else 0.5, int(one.type == other.type)


@settings(deadline=None)
@given(SIDES, SIDES)
def test_partial_and_type_are_of_the_best_of_all_pairings(gold, predicted):
    few, many = sorted((gold, predicted), key=len)
    sums = [
        [sum(pair[rule] for pair in map(weights, few, chosen)) for rule in (0, 1)]
        for chosen in itertools.permutations(many, len(few))
    ]
    found = count_overlaps(judge(gold, predicted))
    assert [overlap.matched for overlap in found] == [max(those) for those in zip(*sums, strict=True)]
    assert {(overlap.predicted, overlap.gold) for overlap in found} == {(len(predicted), len(gold))}


def nervaluates(gold, predicted):
    """What nervaluate's whole pipeline counts as matched under partial and type."""
    from nervaluate import Evaluator

    sides = (
        [[{"label": s.type, "start": s.start, "end": s.end - 1} for s in sorted(side)]] for side in (gold, predicted)
    )
    theirs = Evaluator(*sides, list(THREE), "dict").evaluate()["overall"]
    return theirs["partial"].correct + theirs["partial"].partial / 2, theirs["ent_type"].correct


@settings(deadline=None)
@given(SIDES, SIDES)
def test_partial_and_type_are_nervaluates_where_nothing_is_to_choose_and_never_less(gold, predicted):
    ours = [overlap.matched for overlap in count_overlaps(judge(gold, predicted))]
    theirs = nervaluates(gold, predicted)
    assert all(own >= other for own, other in zip(ours, theirs, strict=True))
    sides = ((gold, predicted), (predicted, gold))
    if all(sum(shared(one, other) > 0 for other in others) <= 1 for those, others in sides for one in those):
        assert ours == list(theirs)


RENAMED = {"person": "place", "place": "event", "event": "person"}


def rename(spans):
    return [Span(span.start, span.end, RENAMED[span.type]) for span in spans]


def test_the_order_of_types_makes_a_difference_to_nervaluate_and_none_here():
    gold, predicted = [Span(0, 2, "person")], [Span(0, 5, "person"), Span(0, 5, "place")]
    renamed = rename(gold), rename(predicted)
    assert (nervaluates(gold, predicted), nervaluates(*renamed)) == ((0.5, 1), (0.5, 0))
    for pair in ((gold, predicted), renamed):
        assert [overlap.matched for overlap in count_overlaps(judge(*pair))] == [0.5, 1]


@settings(deadline=None)
@given(SIDES, SIDES, st.randoms())
def test_names_of_types_and_the_order_of_entities_make_no_difference(gold, predicted, random):
    def figures(gold, predicted):
        judged = judge(gold, predicted)
        keyed = [(part & other).total() for part, other in (keys(judged, rule) for rule in KEYED)]
        return keyed, count_overlaps(judged), Counter(one.kind for one in judged.disagreements)

    before = figures(gold, predicted)
    assert figures(rename(gold), rename(predicted)) == before
    random.shuffle(gold)
    random.shuffle(predicted)
    assert figures(gold, predicted) == before


def test_a_name_that_is_repeated_a_thousand_times_is_paired_in_no_time():
    spans = [Span(STARTS[0], STARTS[n % 8 + 1] - 1, "place") for n in range(1000)]
    with linear_time():
        partial, by_type = count_overlaps(judge(spans[:100], spans))
    assert (partial.matched, by_type.matched) == (100, 100)


@pytest.mark.parametrize("named", ["Eve\u00a0Ray", "Eve Ray\u200b", "E\u00adve Ray", "Eve  Ray"])
def test_a_name_without_a_place_is_compared_as_it_is_seen_by_every_rule(named):
    example = Example("Nobody is here .", TYPES, (Entity("Eve Ray", "person"),))
    judged = compare(example, Answer((Entity(named, "person"),), parsed=True))
    assert judged.disagreements == ()
    for rule in ("strict", "span"):
        predicted, gold = keys(judged, rule)
        assert predicted == gold


def test_gold_without_a_place_counts_under_every_rule():
    eve = Entity("Eve", "person")
    example = Example("Ann Lee left .", TYPES, (ANN, eve))
    assert set(counts(ANN, eve, example=example).values()) == {(2, 2, 2)}
    found = counts(ANN, Entity("Eve\u200b", "place"), Entity("Bob", "person"), example=example)
    assert found["partial"] == (2, 3, 2)
    assert {found[rule] for rule in ("strict", "span", "type")} == {(1, 3, 2)}


@pytest.mark.parametrize(("sentence", "name"), [("كتابٌ جديد", "كتاب"), ("cafe\u0301 bar", "cafe"), ("שלוֹם", "שלו")])
def test_gold_that_ends_before_a_mark_is_found_by_its_name(sentence, name):
    gold = Entity(name, "place", 0)
    judged = compare(Example(sentence, TYPES, (gold,)), render_entities((gold,)))
    assert judged.predicted_spans == judged.gold_spans == (Span(0, len(name), "place"),)
    assert judged.disagreements == ()


@st.composite
def corrupted(draw):
    """A sentence of awkward words, gold anywhere in it or nowhere, and an answer that differs in some of it."""
    parts = ["Paris", "C", "C++", "e\u0301", "\u00e9", "\u200bA", "\u00adB", "aaa", "a", "東京", "(", "Bob's"]
    words = st.sampled_from(parts)
    pairs = draw(st.lists(st.tuples(words, st.sampled_from([" ", "", "\u00a0", "  "])), min_size=1, max_size=8))
    sentence = "".join(map("".join, pairs))
    types = st.sampled_from(TYPES)

    def entity():
        start = draw(st.integers(0, len(sentence) - 1))
        before, name = trimmed(sentence[start : draw(st.integers(start + 1, len(sentence)))])
        return Entity(name, draw(types), start + before) if name else Entity("Nobody", draw(types))

    def once(entities):
        return tuple({(one.name, one.type, one.start): one for one in entities}.values())

    gold = once(entity() for _ in range(draw(st.integers(0, 4))))
    kept = [one for one in gold if draw(st.booleans())]
    kept = [replace(one, type=draw(types)) if draw(st.booleans()) else one for one in kept]
    return Example(sentence, TYPES, gold), once([*kept, *(entity() for _ in range(draw(st.integers(0, 2))))])


@settings(deadline=None)  # the first pairing imports SciPy
@given(corrupted(), st.randoms(use_true_random=False))
def test_what_holds_of_every_answer_beside_its_gold(case, random):
    example, named = case
    figures = {}
    for given_place in (True, False):
        answer = [one if given_place else replace(one, start=None) for one in named]
        judged = compare(example, Answer(tuple(answer), parsed=True))
        kinds = Counter(one.kind for one in judged.disagreements)
        predicted, gold = keys(judged, "span")
        matched = (predicted & gold).total()
        of_gold = ("missed", "type", "boundary", "boundary and type")
        assert len(example.entities) == matched + sum(kinds[kind] for kind in of_gold)
        assert len(answer) == matched + kinds.total() - kinds["missed"]
        partial, by_type = count_overlaps(judged)
        assert partial.matched >= matched
        assert by_type.matched >= matched
        random.shuffle(answer)
        again = compare(example, Answer(tuple(answer), parsed=True))
        assert Counter(one.kind for one in again.disagreements) == kinds
        assert count_overlaps(again) == (partial, by_type)
        predicted, gold = keys(judged, "strict")
        figures[given_place] = matched, (predicted & gold).total()
    assert figures[True][1] == figures[False][1]
    assert figures[False][0] >= max(figures[True])  # who names a text without its place is right about the place
