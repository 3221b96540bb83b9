"""Results as JSON, JSON Lines, CoNLL and marked text; what can be read back is read back."""

import json
import random

import pytest
from inline_text import read_inline

from recipe.core.align import Span
from recipe.predict.output_formats import nested, tokens, write
from recipe.predict.replies import Mention, Result


def result(text, *spans, **fields):
    entities = tuple(Mention(label, text[start:end], start, end) for start, end, label in spans)
    return Result(0, text, ("x",), entities=entities, **fields)


def written(form, *results):
    return "".join(write(results, form))


# ------------------------------------------------------------------------------------------------------------- JSON


def test_json_and_json_lines_hold_the_same_records():
    results = [result("Ann", (0, 3, "x"), id=7), result("é 北京", error="why"), result("\ud800")]
    records = json.loads(written("json", *results))
    assert records == [json.loads(line) for line in written("jsonl", *results).splitlines()]
    assert records[0]["entities"] == [{"type": "x", "name": "Ann", "start": 0, "end": 3}]
    assert [record["sentence"] for record in records] == ["Ann", "é 北京", "\ud800"]
    assert ("id" in records[1], records[0]["id"], records[1]["error"]) == (False, 7, "why")
    assert written("json") == "[]\n"


# ------------------------------------------------------------------------------------------------------------ CoNLL


def test_a_token_a_line_with_its_tag():
    text = "Ann Lee's dog (Rex) ran."
    expected = "Ann B-p|Lee I-p|' O|s O|dog O|( O|Rex B-d|) O|ran O|. O||"
    assert written("conll", result(text, (0, 7, "p"), (15, 18, "d"))).replace("\t", " ").replace("\n", "|") == expected


def test_entities_side_by_side_are_two():
    assert written("conll", result("A B", (0, 1, "x"), (2, 3, "x"))) == "A\tB-x\nB\tB-x\n\n"


def test_a_word_is_cut_where_an_entity_begins_or_ends():
    assert written("conll", result("我住北京市", (2, 4, "x"))) == "我住\tO\n北京\tB-x\n市\tO\n\n"


def test_of_entities_that_overlap_the_longest_is_written():
    assert written("conll", result("New York Times", (0, 8, "x"), (0, 14, "y"), (9, 14, "x"))).count("y") == 3
    assert written("conll", result("a b c", (0, 3, "x"), (2, 5, "y"))) == "a\tB-x\nb\tI-x\nc\tO\n\n"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("e\u0301te\u0301 a\u0301", ["e\u0301te\u0301", "a\u0301"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("القَاهِرَة؟", ["القَاهِرَة", "؟"]),
        ("👩\u200d🔬👍🏽!", ["👩\u200d🔬", "👍🏽", "!"]),
        ("a_b2 3.5 `x^", ["a_b2", "3", ".", "5", "`", "x", "^"]),
        (" \n\u3000", []),
        ("", []),
    ],
)
def test_tokens_are_words_and_marks(text, pieces):
    assert [text[start:end] for start, end in tokens(text)] == pieces


# ----------------------------------------------------------------------------------------------------------- inline


def test_entities_are_marked_in_the_text():
    assert written("inline", result("Paris is big .", (0, 5, "city"))) == "[Paris](city) is big .\n"


def test_an_entity_within_another_and_one_name_with_two_types():
    text = "New York Times"
    assert written("inline", result(text, (0, 8, "city"), (0, 14, "paper"))) == "[[New York](city) Times](paper)\n"
    assert written("inline", result("Rex", (0, 3, "a"), (0, 3, "b"))) == "[[Rex](b)](a)\n"


def test_of_entities_that_cross_the_longest_stays():
    assert written("inline", result("a b c d", (0, 3, "x"), (2, 7, "y"))) == "a [b c d](y)\n"


def test_brackets_and_line_ends_of_the_text_are_escaped():
    assert written("inline", result("a[1](b)\\\n", (0, 1, "x)"))) == "[a](x\\))\\[1\\](b)\\\\\\n\n"


def test_marked_text_gives_back_text_and_entities():
    rng = random.Random(0)
    for _ in range(5000):
        text = "".join(rng.choice("ab[]()\\\n\r é北👩n") for _ in range(rng.randint(0, 20)))
        spans = {tuple(sorted(rng.sample(range(len(text) + 1), 2))) for _ in range(rng.randint(0, 5))} if text else ()
        spans = [(*span, label) for span in spans for label in rng.sample(["x", "a)b", "\\", "t (1)", "n\\n"], 2)]
        shown = result(text, *spans)
        kept = {Span(e.start, e.end, e.type) for e in nested(shown.entities)}
        line = written("inline", shown)
        assert line.count("\n") == 1
        assert read_inline(line[:-1]) == (text, kept)


@pytest.mark.parametrize("line", ["[a", "a](x)", "a]", "[a]", "a\\"])
def test_a_line_that_is_no_marked_text_is_refused(line):
    with pytest.raises(ValueError, match="not text with marked entities"):
        read_inline(line)
