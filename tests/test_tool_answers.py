"""Entities with offsets, as other tools write them, scored like a model's answers, and what of it is refused."""

import json

import pytest

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe.answers.json_answer import render_entities
from recipe.answers.queries import split
from recipe.compare import main as compare
from recipe.core.entities import DataError, Entity, Example
from recipe.evaluate.__main__ import main
from recipe.evaluate.tool_answers import read_spans
from recipe.generate.predictions import read_predictions
from recipe.overlap import main as overlap
from recipe.predict.output_formats import write
from recipe.predict.replies import Mention, Result
from recipe.report.__main__ import main as report

pytest.importorskip("pyarrow")

ANN, PARIS, LYON = Entity("Ann", "person"), Entity("Paris", "place"), Entity("Lyon", "place", 19)
TYPES = ("person", "place")
EXAMPLES = [
    Example("Ann left Paris .", TYPES, (ANN, PARIS), "news"),
    Example("Nobody came .", TYPES, (), "news"),
    Example("Lyon , the city of Lyon", TYPES, (LYON,), "wiki"),
]
GOLD = [
    [{"start": 0, "end": 3, "label": "PERSON"}, {"start": 9, "end": 14, "label": "Place"}],
    [],
    [{"start": 19, "end": 23, "label": "place"}],
]


@pytest.fixture
def data(tmp_path):
    return write_rows(tmp_path / "eval.parquet", EXAMPLES)


def write_rows(path, examples):
    write_parquet(path, [question_row(one, i, "test", RowRules()) for i, one in enumerate(examples)], row_schema(False))
    return path


def evaluate(data, lines, out, *options):
    """Exit status of the command on a file of these lines."""
    saved = data.with_name("saved.jsonl")
    saved.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return main(["--predictions", str(saved), "--data", str(data), "--out", str(out), *options])


def scores(data, lines, out, *options):
    assert evaluate(data, lines, out, *options) == 0
    return json.loads((out / "scores.json").read_text())


def refusal(capsys):
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    return captured.err


def predicts(number, spans):
    """A record as recipe.predict writes it."""
    sentence = EXAMPLES[number].sentence
    named = [Entity(sentence[span["start"] : span["end"]], span["label"].lower()) for span in spans]
    found = tuple(
        Mention(one.type, one.name, span["start"], span["end"]) for one, span in zip(named, spans, strict=True)
    )
    return json.loads("".join(write([Result(number, sentence, TYPES, "Two words.", found, answers=1)], "jsonl")))


def gliners(number, spans):
    sentence = EXAMPLES[number].sentence
    return {"entities": [{**span, "text": sentence[span["start"] : span["end"]], "score": 0.9} for span in spans]}


def prodigys(number, spans):
    return {
        "text": EXAMPLES[number].sentence,
        "spans": [{**span, "token_end": 1} for span in spans],
        "answer": "accept",
    }


def spacys(number, spans):
    return {"text": EXAMPLES[number].sentence, "ents": spans, "spans": {}, "tokens": [{"id": 0, "start": 0, "end": 3}]}


@pytest.mark.parametrize("layout", [predicts, gliners, prodigys, spacys])
def test_gold_scores_one_in_each_layout(data, tmp_path, layout):
    lines = [{"index": number, **layout(number, spans)} for number, spans in enumerate(GOLD)]
    found = scores(data, lines, tmp_path / "out")
    assert found["macro"] == {"published": 1, "strict": 1, "span": 1, "partial": 1, "type": 1}
    assert found["datasets"]["news"]["unparsable"] == 0
    assert found["datasets"]["news"]["reasoning_words"] == (2 if layout is predicts else 0)


def test_a_span_is_judged_by_the_place_that_it_says(data, tmp_path):
    lines = [{"index": number, "entities": spans} for number, spans in enumerate(GOLD)]
    lines[2]["entities"] = [{"start": 0, "end": 4, "label": "place"}]
    wiki = scores(data, lines, tmp_path / "out")["datasets"]["wiki"]
    assert (wiki["strict"]["f1"], wiki["span"]["f1"], wiki["partial"]["f1"]) == (1, 0, 0)
    assert {kind: n for kind, n in wiki["errors"].items() if n} == {"missed": 1, "spurious": 1}


def test_types_that_were_not_asked_for_and_names_that_the_text_lacks_are_wrong_predictions(data, tmp_path):
    lines = [{"index": number, "entities": spans} for number, spans in enumerate(GOLD)]
    lines[0]["off_schema"] = [{"type": "verb", "name": "left"}]
    lines[0]["not_in_text"] = [{"type": "place", "name": "Rome"}]
    lines[1]["entities"] = [{"start": 7, "end": 11, "label": "DATE"}]
    news = scores(data, lines, tmp_path / "out")["datasets"]["news"]
    assert news["counts"]["strict"] == {"matched": 2, "predicted": 5, "gold": 2}
    assert {kind: n for kind, n in news["errors"].items() if n} == {"off-schema": 2, "not in the text": 1}


def test_white_space_at_the_ends_of_a_span_is_no_part_of_its_name():
    assert read_spans("an Ann \u200b", [{"start": 2, "end": 8, "label": "x"}]) == (Entity("Ann", "x"),)
    assert read_spans("an Ann \u200b", [{"start": 2, "end": 8, "label": "x"}])[0].start == 3


def test_completions_and_spans_may_stand_in_one_file(data, tmp_path):
    lines = [{"index": number, "entities": spans} for number, spans in enumerate(GOLD)]
    lines[0] = {"index": 0, "output": render_entities([ANN, PARIS])}
    assert scores(data, lines, tmp_path / "out")["macro"]["span"] == 1


def test_residual_types_of_a_tool_are_dropped_where_they_were_asked_for(tmp_path):
    example = Example("Ann left Paris .", (*TYPES, "misc"), (ANN, Entity("Paris", "misc")), "news")
    data = write_rows(tmp_path / "eval.parquet", [example])
    line = {"index": 0, "ents": [*GOLD[0][:1], {"start": 4, "end": 8, "label": "MISC"}]}
    found = [scores(data, [line], tmp_path / "out", *more)["macro"]["strict"] for more in ((), ("--keep-else",))]
    assert found == [1, 1 / 2]


def test_a_row_about_one_type_has_entities_of_that_type_alone(tmp_path, capsys):
    """Beside other types the nested name would be looked for at its second place."""
    gold = (Entity("New York Times", "person", 0), Entity("York", "place", 4))
    data = write_rows(tmp_path / "eval.parquet", split(Example("New York Times of York", TYPES, gold, "news")))
    asked = [[{"start": 0, "end": 14, "label": "person"}], [{"start": 4, "end": 8, "label": "place"}]]
    found = scores(data, [{"index": i, "entities": spans} for i, spans in enumerate(asked)], tmp_path / "out")
    assert (found["macro"]["span"], found["questions"]) == (1, {"asked": 2, "unparsable": 0})
    every = [{"index": i, "entities": [*asked[0], *asked[1]]} for i in (0, 1)]
    news = scores(data, every, tmp_path / "out")["datasets"]["news"]
    assert news["counts"]["strict"] == {"matched": 2, "predicted": 4, "gold": 2}
    assert news["errors"]["off-schema"] == 2
    assert report([str(tmp_path / "out")]) == 0
    capsys.readouterr()


def test_pages_comparisons_and_overlaps_are_made_of_them_too(data, tmp_path, capsys):
    lines = [{"index": number, **predicts(number, spans)} for number, spans in enumerate(GOLD)]
    scores(data, lines, tmp_path / "tool")
    completions = [render_entities(example.entities) for example in EXAMPLES]
    scores(data, [{"index": i, "output": text} for i, text in enumerate(completions)], tmp_path / "model")
    capsys.readouterr()
    assert compare([str(tmp_path / "model"), str(tmp_path / "tool")]) == 0
    assert "tool - model: +0.0 points" in capsys.readouterr().out
    scores(data, lines, tmp_path / "tool")
    assert report([str(tmp_path / "tool")]) == 0
    assert "Two words." in (tmp_path / "tool" / "report.html").read_text(encoding="utf-8")
    for source in (["--scores", str(tmp_path / "tool")], ["--predictions", str(tmp_path / "saved.jsonl")]):
        assert overlap([str(data), str(data), *source]) == 0


# -------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ({"start": 9, "end": 17, "label": "place"}, "9 to 17 is no part of the sentence of 16 characters"),
        ({"start": -7, "end": -2, "label": "place"}, "-7 to -2 is no part"),
        ({"start": 3, "end": 3, "label": "place"}, "3 to 3 is no part"),
        ({"start": 3, "end": 4, "label": "place"}, "is white space"),
        ({"start": 9.0, "end": 14, "label": "place"}, "no integers start and end"),
        ({"start": False, "end": 14, "label": "place"}, "no integers start and end"),
        ({"start": 9, "end": 14}, "no type"),
        ({"start": 9, "end": 14, "label": " "}, "no type"),
        ({"start": 9, "end": 14, "label": "place", "type": "person"}, "several types"),
        ({"start": 9, "end": 13, "label": "place", "text": "Paris"}, "its text is 'Paris', and 9 to 13"),
        ({"start": 9, "end": 14, "label": "place", "name": "paris"}, "its name is 'paris', and 9 to 14"),
    ],
)
def test_a_span_that_does_not_fit_the_sentence_is_named(data, tmp_path, capsys, span, message):
    lines = [{"index": number, "entities": spans} for number, spans in enumerate(GOLD)]
    lines[0]["entities"] = [GOLD[0][0], span]
    assert evaluate(data, lines[::-1], tmp_path / "out") == 2
    error = refusal(capsys)
    assert "saved.jsonl, line 3: entity 2: " in error
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["text", "sentence"])
def test_a_line_about_another_text_is_named(data, tmp_path, capsys, key):
    lines = [{"index": number, "spans": spans} for number, spans in enumerate(GOLD)]
    lines[1][key] = "Nobody left ."
    assert evaluate(data, lines, tmp_path / "out") == 2
    assert "line 2: its text is not the sentence of row 1: 'left .' in place of 'came .'" in refusal(capsys)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"Instance": {"sentence": "Ann"}, "Prediction": "person: Ann"}', 'no integer "index" in it'),
        ('[\n{"index": 0, "entities": []}\n]\n', "line 1: a JSON list; write an object on each line"),
        ('{"index": 0, "entities": {}}', 'no string "output" and no list "entities"'),
        ('{"index": 0, "output": 5, "entities": []}', 'no string "output" and no list "entities"'),
        ('{"index": 0, "entities": [], "ents": []}', "entities and ents in it"),
        ('{"index": 0, "entities": ["Ann"]}', "an entity that is not an object"),
        ('{"index": 0, "entities": [], "off_schema": [{"name": "Ann"}]}', "no strings type and name"),
    ],
)
def test_other_layouts_are_refused_by_both_shapes_that_are_accepted(tmp_path, line, message):
    (tmp_path / "saved.jsonl").write_text(line)
    with pytest.raises(DataError, match=message) as raised:
        read_predictions(tmp_path / "saved.jsonl")
    if "a line is" in str(raised.value):
        assert '{"index": 0, "output": completion} or {"index": 0, "entities": [{' in str(raised.value)


# ------------------------------------------------------------------------------------------------- lines of a file

WHOLE = '{"index": 0, "output": "Orl\u00e9ans \\u00e9 \\"", "output_tokens": 1.5e-3, "finish_reason": null, "x": -1}'


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_beginning_of_a_line_is_cut_short(tmp_path, end):
    path, whole = tmp_path / "saved.jsonl", WHOLE.encode()
    for length in range(1, len(whole)):
        path.write_bytes(b'{"index": 1, "output": ""}\n' + whole[:length] + end.encode())
        with pytest.raises(DataError, match=r"line 2: cut short: the file ends inside it; "):
            read_predictions(path)
    path.write_bytes(whole[:20] + b"\n" + whole)
    with pytest.raises(DataError, match=r"line 1: cut short: the line ends inside it; "):
        read_predictions(path)
    path.write_bytes(whole + end.encode())
    assert read_predictions(path)[0].output == 'Orl\u00e9ans \u00e9 "'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE.encode("utf-16"), "the file is UTF-16"),
        (WHOLE.encode("utf-16-le"), "the file is UTF-16"),
        (WHOLE.encode("utf-16-be"), "the file is UTF-16"),
        (b"\0" * 64, r"line 1: not JSON \(NUL bytes in it\)"),
        (WHOLE.encode() + b"\n" + b"\0{" + b"\0" * 9, r"line 2: not JSON \(NUL bytes in it\)"),
        (WHOLE.encode() + b" 12", r"line 1: not JSON \(Extra data\)"),
        (b'{"index": abc', r"line 1: not JSON \(Expecting value\)"),
        (b"index\n", r"line 1: not JSON \(Expecting value\)"),
    ],
)
def test_what_is_wrong_with_a_line_is_called_by_its_name(tmp_path, content, message):
    (tmp_path / "saved.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_predictions(tmp_path / "saved.jsonl")
    assert "cut short" not in str(raised.value)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (tmp_path / "saved.jsonl").write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert read_predictions(tmp_path / "saved.jsonl").keys() == {0}
