"""The grammar allows the answers that the model was trained on and no others, and a cut answer is closed."""

import json
import random

import pytest

from recipe import answers, constrained
from recipe.answers.json_answer import grammar, parse, render_entities
from recipe.core.entities import Entity

TYPES = ("a", 'a "quoted" \\ type', "person", "地点")
TEXT = 'Ann said "C:\\temp" in 北京 to 👩\u200d🔬 and e\u0301 [x] {y}\tz'
close = grammar(TYPES).close
NAMES = ["Ann", '"C:\\temp"', "北京", "👩\u200d🔬", "e\u0301", "[x] {y}\tz", ":", "],", '",']


def random_entities(rng):
    return [Entity(rng.choice(NAMES), rng.choice(TYPES)) for _ in range(rng.randint(0, 8))]


def test_every_answer_with_these_types_is_allowed(allows):
    rng, rules = random.Random(0), grammar(TYPES, TEXT).rules
    for _ in range(100):
        assert allows(rules, render_entities(random_entities(rng)))


@pytest.mark.parametrize(
    "answer",
    [
        render_entities([Entity("Ann", "verb")]),
        render_entities([Entity("", "person")]),
        render_entities([Entity("Ann", "person")], "Because."),
        render_entities([]) + "\n",
        render_entities([Entity("Ann", "person")]).replace("\n", " "),
        render_entities([Entity("Ann", "person"), Entity("Ann", "地点")]).replace("地点", "a"),  # not in order
        render_entities([Entity("Ann", "a"), Entity("Ann", "person")]).replace("person", "a"),  # a type twice
        '{\n  "entities": {\n    "person": []\n  }\n}',
        '{\n  "entities": {\n    "person": [\n      "\\u0041"\n    ]\n  }\n}',
        "{}",
        "",
    ],
)
def test_anything_else_is_not_allowed(allows, answer):
    assert not allows(grammar(TYPES, TEXT).rules, answer)


def test_the_number_of_names_is_bounded_by_the_text(allows):
    rules = grammar(("person",), "x" * 100).rules
    assert allows(rules, render_entities([Entity("x" * 1000, "person")] * 32))
    assert not allows(rules, render_entities([Entity("x", "person")] * 33))
    assert allows(grammar(("person",), "x").rules, render_entities([Entity("x", "person")] * 16))


def test_texts_of_like_length_share_a_grammar():
    assert grammar(TYPES, "x" * 130).rules == grammar(TYPES, "y" * 250).rules
    assert grammar(TYPES, "x" * 130).rules != grammar(TYPES, "x" * 300).rules


def test_a_think_block_may_be_part_of_the_grammar(allows):
    rules = grammar(("person",), reasoning=True).rules
    assert allows(rules, render_entities([Entity("Ann", "person")], 'x < y, <b>, "Ann" 北京'))
    assert not allows(rules, render_entities([Entity("Ann", "person")]))


def test_two_hundred_types_are_allowed(allows):
    types = tuple(sorted(f"type {i}" for i in range(200)))
    assert allows(grammar(types).rules, render_entities([Entity("x", label) for label in types]))


# ------------------------------------------------------------------------------------------------------ cut answers


def test_an_answer_cut_anywhere_is_closed_with_the_names_that_are_whole():
    rng = random.Random(0)
    for _ in range(200):
        entities = sorted(random_entities(rng), key=lambda entity: entity.type)
        whole = render_entities(entities)
        for length in range(len(whole) + 1):
            closed = close(whole[:length])
            read = parse(closed)
            assert read.layout
            assert list(read.entities) == entities[: len(read.entities)]
        assert closed == whole


def test_a_name_that_is_being_written_is_dropped():
    assert json.loads(close('{\n  "entities": {\n    "a": [\n      "Ann",\n      "Bo')) == {"entities": {"a": ["Ann"]}}


def test_the_command_prints_the_grammar(capsys):
    assert constrained.main(["--types", "b,a", "--reasoning"]) == 0
    assert capsys.readouterr().out == grammar(("a", "b"), reasoning=True).rules
    assert constrained.main(["--types", "a,,b"]) == 2
    assert capsys.readouterr().err == "constrained: --types: an empty type; take it out\n"


def test_the_command_prints_the_grammar_of_other_tasks(capsys):
    name = answers.formats_of("ee")[0]
    asked = ["--types", "flight,attack", "--answer-format", name]
    assert constrained.main([*asked, "--relation-types", "victim"]) == 0
    expected = answers.grammar(name, ("attack", "flight", "victim"), None, False, ("victim",)).rules
    assert capsys.readouterr().out == expected
    assert constrained.main(asked) == 2
    assert (
        f"--relation-types: name types of relations, or roles, too; the answer format is {name}"
        in capsys.readouterr().err
    )
    assert constrained.main(["--types", "a", "--relation-types", "b"]) == 2
    assert "--relation-types: not of answers in this format" in capsys.readouterr().err
