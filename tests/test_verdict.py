"""Five matching rules on gold that was corrupted in known ways, against literals worked out by hand."""

from __future__ import annotations

import random

import pytest

from recipe.answers.json_answer import render_entities
from recipe.core.entities import Entity, Example
from recipe.evaluate.verdict import KEYED, count_overlaps, judge, keys

ANN, PARIS, LYON = Entity("Ann Lee", "person"), Entity("Paris", "place"), Entity("Lyon", "place")
TYPES = ("person", "place")
EXAMPLE = Example("Ann Lee left Paris for Lyon .", TYPES, (ANN, PARIS, LYON), "news")


def counts(*entities, example=EXAMPLE):
    """{rule: (matched, predicted, gold)} of an answer that names these."""
    judged = judge(example, render_entities(entities))
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
    judged = judge(EXAMPLE, "no JSON")
    assert [part.total() for part in keys(judged, "span")] == [0, 3]
    assert [error.kind for error in judged.errors] == ["unparsable"]


@pytest.mark.parametrize("completion", ["", "{", "\ud800", '{"entities": {"place": ["\ud800", ""]}}', "<think>" * 999])
def test_any_completion_is_judged(completion):
    assert count_overlaps(judge(EXAMPLE, completion))[0].gold == 3


def test_partial_and_type_are_nervaluates_on_2000_random_cases():
    """Its whole pipeline, from lists of dictionaries, on offsets that were drawn, not found."""
    from nervaluate import Evaluator

    rng, words = random.Random(5), [f"w{i}" for i in range(12)]
    starts = [sum(len(w) + 1 for w in words[:i]) for i in range(len(words) + 1)]

    def draw():
        first = rng.randrange(len(words))
        return first, min(len(words), first + rng.randint(1, 4)), rng.choice(TYPES)

    for _ in range(2000):
        gold, predicted = ({draw() for _ in range(rng.randint(0, 5))} for _ in range(2))
        judged = judge(
            Example(" ".join(words), TYPES, entities(words, gold)), render_entities(entities(words, predicted))
        )
        theirs = Evaluator(
            [[located(starts, x) for x in sorted(gold)]],
            [[located(starts, x) for x in sorted(predicted)]],
            list(TYPES),
            "dict",
        ).evaluate()["overall"]
        ours = dict(zip(("partial", "ent_type"), count_overlaps(judged), strict=True))
        for scheme, found in ours.items():
            result = theirs[scheme]
            assert found.matched == result.correct + 0.5 * (result.partial if scheme == "partial" else 0)
            assert (found.predicted, found.gold) == (result.actual, result.possible)


def entities(words, spans):
    return tuple(Entity(" ".join(words[first:last]), label) for first, last, label in spans)


def located(starts, span):
    first, last, label = span
    return {"label": label, "start": starts[first], "end": starts[last] - 2}
