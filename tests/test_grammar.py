"""The grammar allows the answers that the model was trained on and no others, and a cut answer is closed."""

import json
import random

import pytest

from recipe.answers.json_answer import parse, render_answer
from recipe.core.entities import Entity
from recipe.generate import grammar as constrained

TYPES = ("a", 'a "quoted" \\ type', "person", "地点")
TEXT = 'Ann said "C:\\temp" in 北京 to 👩\u200d🔬 and e\u0301 [x] {y}\tz'
NAMES = ["Ann", '"C:\\temp"', "北京", "👩\u200d🔬", "e\u0301", "[x] {y}\tz", ":", "],", '",']


@pytest.fixture(scope="module")
def allows(tokenizer):
    """`allows(grammar, answer)`: True if the grammar allows the answer and nothing is missing at its end."""
    xgrammar = pytest.importorskip("xgrammar")
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer), max_threads=1)
    end = tokenizer.eos_token_id

    def check(grammar, answer):
        matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(grammar), override_stop_tokens=[end])
        return matcher.accept_string(answer) and matcher.accept_token(end)

    return check


def random_entities(rng):
    return [Entity(rng.choice(NAMES), rng.choice(TYPES)) for _ in range(rng.randint(0, 8))]


def test_every_answer_with_these_types_is_allowed(allows):
    rng, grammar = random.Random(0), constrained.grammar(TYPES, TEXT)
    for _ in range(100):
        assert allows(grammar, render_answer(random_entities(rng)))


@pytest.mark.parametrize(
    "answer",
    [
        render_answer([Entity("Ann", "verb")]),
        render_answer([Entity("", "person")]),
        render_answer([Entity("Ann", "person")], "Because."),
        render_answer([]) + "\n",
        render_answer([Entity("Ann", "person")]).replace("\n", " "),
        render_answer([Entity("Ann", "person"), Entity("Ann", "地点")]).replace("地点", "a"),  # not in order
        render_answer([Entity("Ann", "a"), Entity("Ann", "person")]).replace("person", "a"),  # a type twice
        '{\n  "entities": {\n    "person": []\n  }\n}',
        '{\n  "entities": {\n    "person": [\n      "\\u0041"\n    ]\n  }\n}',
        "{}",
        "",
    ],
)
def test_anything_else_is_not_allowed(allows, answer):
    assert not allows(constrained.grammar(TYPES, TEXT), answer)


def test_the_number_of_names_is_bounded_by_the_text(allows):
    grammar = constrained.grammar(("person",), "x" * 100)
    assert allows(grammar, render_answer([Entity("x" * 1000, "person")] * 32))
    assert not allows(grammar, render_answer([Entity("x", "person")] * 33))
    assert allows(constrained.grammar(("person",), "x"), render_answer([Entity("x", "person")] * 16))


def test_texts_of_like_length_share_a_grammar():
    assert constrained.grammar(TYPES, "x" * 130) == constrained.grammar(TYPES, "y" * 250)
    assert constrained.grammar(TYPES, "x" * 130) != constrained.grammar(TYPES, "x" * 300)


def test_a_think_block_may_be_part_of_the_grammar(allows):
    grammar = constrained.grammar(("person",), reasoning=True)
    assert allows(grammar, render_answer([Entity("Ann", "person")], 'x < y, <b>, "Ann" 北京'))
    assert not allows(grammar, render_answer([Entity("Ann", "person")]))


def test_two_hundred_types_are_allowed(allows):
    types = tuple(sorted(f"type {i}" for i in range(200)))
    assert allows(constrained.grammar(types), render_answer([Entity("x", label) for label in types]))


# ------------------------------------------------------------------------------------------------------ cut answers


def test_an_answer_cut_anywhere_is_closed_with_the_names_that_are_whole():
    rng = random.Random(0)
    for _ in range(200):
        entities = sorted(random_entities(rng), key=lambda entity: entity.type)
        whole = render_answer(entities)
        for length in range(len(whole) + 1):
            closed = constrained.close(whole[:length])
            read = parse(closed)
            assert read.layout
            assert list(read.entities) == entities[: len(read.entities)]
        assert closed == whole


def test_a_name_that_is_being_written_is_dropped():
    assert json.loads(constrained.close('{\n  "entities": {\n    "a": [\n      "Ann",\n      "Bo')) == {
        "entities": {"a": ["Ann"]}
    }


def test_the_command_prints_the_grammar(capsys):
    assert constrained.main(["--types", "b,a", "--reasoning"]) == 0
    assert capsys.readouterr().out == constrained.grammar(("a", "b"), reasoning=True)
    assert constrained.main(["--types", "a,,b"]) == 2
    assert capsys.readouterr().err == "constrained: --types: an empty type; take it out\n"
