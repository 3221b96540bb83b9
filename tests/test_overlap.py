"""Overlap of evaluation sentences with training data: each kind by hand, the command, and the scores without them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema, sft_row
from recipe.answers.json_answer import render_entities
from recipe.answers.queries import split
from recipe.core.entities import Entity, Example
from recipe.core.files import sha256
from recipe.core.words import words
from recipe.corpora.sentence_overlap import Found, find_overlap
from recipe.evaluate.__main__ import main as evaluate
from recipe.evaluate.rows import read_rows
from recipe.overlap import counts, main, scores_without

TEN = "one two three four five six seven eight nine ten"


def kinds(train, *sentences):
    """The kind of overlap of each sentence, None for none."""
    found = find_overlap([("train", 0, train)], [("d", sentence) for sentence in sentences])
    return [next((item.kind for item in found if item.index == index), None) for index in range(len(sentences))]


# ------------------------------------------------------------------------------------------------------------ rules


def test_words_have_no_case_no_punctuation_and_no_compatibility_forms():
    assert words("The U.S. , too!") == ["the", "u", "s", "too"]
    assert words("ＥＵ\u00a0\ufb01le — STRASSE") == words("eu file straße")
    assert words("zero\u200bwidth") == ["zerowidth"]


def test_many_marks_on_one_letter_take_linear_time():
    marks = "\u0301\u0323" * 200_000
    with linear_time():
        assert words(f"e{marks} e") == words(f"e{''.join(sorted(marks, reverse=True))} E")


def test_a_character_is_a_word_in_scripts_without_spaces_alone():
    assert words("我爱北京 EU") == ["我", "爱", "北", "京", "eu"]
    assert words("대한민국은 नमस्ते दुनिया") == ["대한민국은", "नमस्ते", "दुनिया"]


@pytest.mark.parametrize(
    ("train", "sentence", "kind"),
    [
        ("Ada met Bob .", "Ada met Bob .", "exact"),
        ("Ada met Bob .", "ada  MET bob", "normalised"),
        ("( Ada ) met Bob", "(Ada) met Bob!", "normalised"),
        ("Ada met Bob .", "Ada met Bob again .", None),  # fewer than eight words: only as a whole
        (TEN, "then one two THREE, four five six seven eight !", "8-gram"),
        (TEN, "one two three four five six seven 8", None),  # seven in a row
        (TEN, "one two three four x five six seven eight nine ten", None),
        ("我们今天在北京见面了", "他说我们今天在北京见面", "8-gram"),
        ("我们今天在北京", "我们今天在上海", None),
        ("\U0001f600", "\U0001f600", "exact"),
        ("\U0001f600", "\U0001f602 !", None),  # nothing but symbols: not the same
        ("", "!", None),
    ],
)
def test_each_kind_of_overlap(train, sentence, kind):
    assert kinds(train, sentence) == [kind]


@given(st.text(), st.text())
def test_a_sentence_overlaps_with_itself_whatever_else_is_trained_on(one, two):
    found = find_overlap([("a", 0, two), ("a", 1, one)], [("d", one)])
    assert [item.kind for item in found] == ["exact"]


def test_the_first_place_of_the_narrowest_kind_is_told():
    train = [("a", 0, "ada"), ("a", 1, "Ada"), ("b", 0, "Ada")]
    assert find_overlap(train, [("d", "Bob"), ("d", "Ada")]) == [Found(1, "d", "exact", "a", 1)]


def test_each_kind_counts_the_narrower_ones():
    rows = [("x", "")] * 3 + [("y", "")]
    found = [Found(0, "x", "exact", "a", 0), Found(1, "x", "normalised", "a", 0), Found(3, "y", "8-gram", "a", 0)]
    assert counts(rows, found) == {
        "x": {"sentences": 3, "exact": 1, "normalised": 2, "8-gram": 2},
        "y": {"sentences": 1, "exact": 0, "normalised": 0, "8-gram": 1},
    }


# ---------------------------------------------------------------------------------------------------------- command

PARIS = Entity("Paris", "place")
ROWS = [
    Example("Paris is in the training data .", ("place",), (PARIS,), "news"),
    Example("paris is in the TRAINING data", ("place",), (PARIS,), "news"),
    Example("Paris is new here .", ("place",), (PARIS,), "news"),
    Example(f"Paris and then {TEN}", ("place",), (PARIS,), "wiki"),
]


@pytest.fixture
def files(tmp_path):
    """An SFT file, a GRPO file and the evaluation rows."""
    sft = [sft_row(Example("Paris is in the training data .", ("place",), (), "x"), 0, "train", RowRules(), "none")]
    grpo = [
        question_row(Example(text, ("place",), (), "x"), i, "train", RowRules()) for i, text in enumerate(("a", TEN))
    ]
    test = [question_row(example, i, "test", RowRules()) for i, example in enumerate(ROWS)]
    for name, rows in (("sft", sft), ("grpo", grpo), ("eval", test)):
        write_parquet(tmp_path / f"{name}.parquet", rows, row_schema(sft=name == "sft"))
    return [str(tmp_path / f"{name}.parquet") for name in ("sft", "grpo", "eval")]


@pytest.fixture
def predictions(tmp_path):
    """Right answers for the rows that overlap, wrong ones for the other."""
    outputs = [render_entities([PARIS] if index != 2 else [Entity("Rome", "place")]) for index in range(len(ROWS))]
    lines = (json.dumps({"index": index, "output": output}) for index, output in enumerate(outputs))
    (tmp_path / "saved.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path / "saved.jsonl"


def test_sft_and_grpo_rows_are_searched_and_the_report_names_the_rows(files, tmp_path, capsys):
    assert main([*files, "--out", str(tmp_path / "new" / "overlap.json")]) == 0
    report = json.loads((tmp_path / "new" / "overlap.json").read_text())
    assert report["datasets"]["news"] == {"sentences": 3, "exact": 1, "normalised": 2, "8-gram": 2}
    assert [(row["index"], row["kind"]) for row in report["rows"]] == [(0, "exact"), (1, "normalised"), (3, "8-gram")]
    assert report["rows"][2] == {"index": 3, "dataset": "wiki", "kind": "8-gram", "train": files[1], "row": 1}
    assert "2 (66.67 %)" in capsys.readouterr().out


def test_scores_with_and_without_the_overlap_stand_side_by_side(files, predictions, tmp_path, capsys):
    assert main([*files, "--predictions", str(predictions), "--out", str(tmp_path / "overlap.json")]) == 0
    scores = json.loads((tmp_path / "overlap.json").read_text())["scores"]["datasets"]
    assert (scores["news"]["rows"], scores["news"]["left"]) == (3, 1)
    assert scores["news"]["strict"] == [pytest.approx(2 / 3), 0]
    assert scores["wiki"]["strict"] == [1, None]  # nothing is left
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("macro average"))
    assert line.split()[2:5] == ["3", "1", "|"]  # of the dataset that has sentences left


def test_a_narrower_kind_leaves_more_sentences(files, predictions, capsys):
    assert main([*files, "--predictions", str(predictions), "--without", "exact"]) == 0
    news = next(line for line in capsys.readouterr().out.split("F1 %")[1].splitlines() if line.startswith("news"))
    assert news.split()[1:3] == ["3", "2"]


def test_the_scores_are_those_of_evaluate(files, predictions, tmp_path):
    assert evaluate(["--predictions", str(predictions), "--data", files[2], "--out", str(tmp_path / "scored")]) == 0
    evaluated = json.loads((tmp_path / "scored" / "scores.json").read_text())["datasets"]
    outputs = {line["index"]: line["output"] for line in map(json.loads, predictions.read_text().splitlines())}
    ours = scores_without(read_rows(tmp_path / "eval.parquet"), outputs, [])
    for name, figures in ours.items():
        for rule in ("published", "strict"):
            assert figures[rule] == [pytest.approx(evaluated[name][rule]["f1"])] * 2


def test_a_folder_of_scores_will_do_with_the_limit_they_are_of(files, predictions, tmp_path, capsys):
    lines = predictions.read_text().splitlines(keepends=True)
    predictions.write_text(lines[0] + lines[3])  # the first of each dataset
    options = ["--predictions", str(predictions), "--limit", "1", "--data", files[2], "--out", str(tmp_path / "scored")]
    assert evaluate(options) == 0
    capsys.readouterr()
    assert main([*files, "--scores", str(tmp_path / "scored")]) == 0
    news = next(line for line in capsys.readouterr().out.split("F1 %")[1].splitlines() if line.startswith("news"))
    assert news.split()[1:3] == ["1", "0"]


def test_questions_about_single_types_are_one_sentence(files, tmp_path, capsys):
    asked = [
        question_row(question, index, "test", RowRules(format="entity_tags"))
        for index, question in enumerate(
            question for row in ROWS for question in split(replace(row, types=("person", "place")))
        )
    ]
    write_parquet(tmp_path / "asked.parquet", asked, row_schema(sft=False))
    lines = [{"index": i, "output": f"<entity>{'Paris' * (i % 2)}</entity>"} for i in range(len(asked) - 1)]
    lines.append({"index": len(asked) - 1, "output": "Paris"})
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ["--predictions", str(tmp_path / "tags.jsonl"), "--out", str(tmp_path / "overlap.json")]
    assert main([*files[:2], str(tmp_path / "asked.parquet"), *options]) == 0
    report = json.loads((tmp_path / "overlap.json").read_text())
    assert report["datasets"]["news"] == {"sentences": 3, "exact": 1, "normalised": 2, "8-gram": 2}
    assert [row["index"] for row in report["rows"]] == [0, 2, 6]
    assert report["scores"]["datasets"]["news"]["strict"] == [1, 1]
    assert report["scores"]["datasets"]["wiki"]["strict"] == [0, None]

    options = ["--predictions", str(tmp_path / "tags.jsonl"), "--out", str(tmp_path / "scored")]
    assert evaluate([*options, "--data", str(tmp_path / "asked.parquet")]) == 0
    scores = json.loads((tmp_path / "scored" / "scores.json").read_text())
    assert scores["questions"] == {"asked": 8, "unparsable": 1 / 8}
    assert "8 questions about single types; 12.50 % of their answers can't be read" in capsys.readouterr().out


def refused(capsys, *args):
    assert main(list(map(str, args))) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_files_of_another_kind_are_refused_in_one_line(files, tmp_path, capsys):
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    write_parquet(tmp_path / "empty.parquet", [], row_schema(sft=False))
    assert "no such file" in refused(capsys, tmp_path / "none.parquet", files[2])
    assert "bad.parquet: has no data_source" in refused(capsys, tmp_path / "bad.parquet", files[2])
    assert "bad.parquet: has no data_source" in refused(capsys, files[0], tmp_path / "bad.parquet")
    assert "no rows in it" in refused(capsys, files[0], tmp_path / "empty.parquet")


def test_answers_that_do_not_belong_to_the_rows_are_refused_in_one_line(files, predictions, tmp_path, capsys):
    assert "no such file" in refused(capsys, *files, "--predictions", tmp_path / "none.jsonl")
    assert "no scores in it" in refused(capsys, *files, "--scores", tmp_path)
    source = {"data_sha256": "0" * 64, "limit": None, "predictions": str(predictions)}
    (tmp_path / "scores.json").write_text(json.dumps({"source": source}))
    assert "scored on other rows" in refused(capsys, *files, "--scores", tmp_path)
    (tmp_path / "scores.json").write_text(
        json.dumps({"source": source | {"data_sha256": sha256(tmp_path / "eval.parquet")}})
    )
    assert main([*files, "--scores", str(tmp_path)]) == 0
    predictions.write_text('{"index": 0, "output": "{}"}\n')
    capsys.readouterr()
    assert "1 predictions for 4 rows" in refused(capsys, *files, "--scores", tmp_path)


def test_answers_that_have_changed_since_they_were_scored_are_refused(files, predictions, tmp_path, capsys):
    assert evaluate(["--predictions", str(predictions), "--data", files[2], "--out", str(tmp_path / "scored")]) == 0
    predictions.write_text(predictions.read_text().replace("Paris", "Rome"))
    capsys.readouterr()
    line = refused(capsys, *files, "--scores", tmp_path / "scored")
    assert f"{predictions}: not the predictions that {tmp_path / 'scored' / 'scores.json'} is of" in line


# ------------------------------------------------------------------------------------------------------- real data


def test_the_twelve_datasets_overlap_as_their_sources_do(ner_data):
    from recipe.corpora.datasets import find_datasets, read_dataset

    expected = {"CrossNER_music": 6, "CrossNER_science": 1, "CrossNER_AI": 0, "mit-movie": 21}
    for dataset in find_datasets(ner_data, list(expected))[0]:
        train = (("train", i, example.sentence) for i, example in enumerate(read_dataset(dataset, "train")))
        test = [(dataset.name, example.sentence) for example in read_dataset(dataset, "test")]
        assert counts(test, find_overlap(train, test))[dataset.name]["exact"] == expected[dataset.name]
