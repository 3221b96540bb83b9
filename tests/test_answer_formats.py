"""Any answer format with any stage: rows say which one they are asked in, and the scoring is one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_prep.to_parquet import main as to_parquet
from recipe import answers, predict
from recipe.entities import DataError, Entity, Example, from_ground_truth, to_ground_truth
from recipe.evaluate import main as evaluate
from recipe.predict.readings import read
from reward_fns.ner import compute_score

pytest.importorskip("pyarrow")

SAMPLE = Path(__file__).resolve().parent.parent / "data_prep" / "sample" / "IE_INSTRUCTIONS"
ANN, ROME = Entity("Ann", "person"), Entity("New Rome", "place")
MEETING = Example("Ann saw New Rome .", ("person", "place"), (ANN, ROME))
each_format = pytest.mark.parametrize("name", [name for name in answers.FORMATS if name != "entity_tags"])


def rows(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def prepared(command, out, *options):
    common = ("--corpora", str(SAMPLE), "--datasets", "CrossNER_AI", "--out", str(out))
    assert to_parquet([command, *common, *options]) == 0
    return out


@each_format
def test_a_ground_truth_says_its_format(name):
    example = replace(MEETING, format=name)
    assert from_ground_truth(to_ground_truth(example)) == example


def test_a_ground_truth_of_json_is_what_it_always_was():
    assert set(json.loads(to_ground_truth(MEETING))) == {"types", "entities", "sentence"}


def test_an_unknown_format_is_named():
    with pytest.raises(DataError, match=r"'xml': not known; name one of json, bio"):
        answers.check_format("xml")


@each_format
def test_the_gold_is_worth_all_and_another_formats_nothing(name):
    truth = to_ground_truth(replace(MEETING, format=name))
    other = next(one for one in answers.FORMATS if one != name)
    gold, wrong = (answers.render_answer(replace(MEETING, format=one)) for one in (name, other))
    assert compute_score("news", gold, truth)["score"] == 11
    assert compute_score("news", wrong, truth)["score"] == 0


@each_format
def test_sft_rows_are_in_the_format(tmp_path, name):
    out = prepared("sft", tmp_path, "--cot", "template", "--answer-format", name, "--num-dev", "0")
    for row in rows(out / "train.parquet"):
        prompt, answer = (message["content"] for message in row["messages"])
        types = json.loads(next(line for line in prompt.splitlines() if line.startswith("[")))
        example = Example(row["extra_info"]["sentence"], tuple(types), format=name)
        read = answers.parse(answer, example)
        assert read.layout
        assert prompt == answers.render_prompt(example)
        assert read.reasoning


def test_what_a_format_cannot_say_is_refused_and_counted(tmp_path, instructuie, record):
    nested = {
        "sentence": "New Rome",
        "entities": [{"name": "New Rome", "type": "place"}, {"name": "Rome", "type": "place"}],
    }
    root = instructuie("toy", test=[nested, {"sentence": "Rome", "entities": nested["entities"][1:]}])
    common = ["eval", "--corpora", str(root), "--out", str(tmp_path / "out"), "--answer-format", "bio"]
    assert to_parquet(common) == 0
    entry = json.loads((tmp_path / "out" / "manifest.json").read_text())["test.parquet"]
    assert entry["datasets"]["toy"]["dropped"] == {"not_expressible": 1}
    assert entry["arguments"]["answer_format"] == "bio"


def test_one_step_is_a_wording_of_bio_alone(tmp_path, capsys):
    out = prepared(
        "grpo", tmp_path / "a", "--answer-format", "bio", "--one-step", "--num-samples", "2", "--num-dev", "0"
    )
    assert "Step 2" not in rows(out / "train.parquet")[0]["prompt"][0]["content"]
    common = ["grpo", "--corpora", str(SAMPLE), "--out", str(tmp_path / "b")]
    assert to_parquet([*common, "--one-step"]) == 2
    assert "--one-step: is a wording of --answer-format bio" in capsys.readouterr().err


@each_format
def test_the_gold_is_evaluated_as_right(tmp_path, name):
    out = prepared("eval", tmp_path / "data", "--answer-format", name)
    gold = [from_ground_truth(row["reward_model"]["ground_truth"]) for row in rows(out / "test.parquet")]
    saved = tmp_path / "saved.jsonl"
    lines = ({"index": i, "output": answers.render_answer(example)} for i, example in enumerate(gold))
    saved.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    options = ["--predictions", str(saved), "--data", str(out / "test.parquet"), "--out", str(tmp_path / "scores")]
    assert evaluate(options) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert set(scores["macro"].values()) == {1}
    assert set(scores["datasets"]["CrossNER_AI"]["errors"].values()) == {0}


@each_format
def test_a_prediction_is_read_in_the_models_format(name):
    example = replace(MEETING, format=name)
    found = read(example, answers.render_answer(example))
    assert {MEETING.sentence[span.start : span.end] for span in found.spans} == {"Ann", "New Rome"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"answer_format": "json", "template": None}),
        ({"answer_format": "bio"}, {"answer_format": "bio", "template": None}),
        (
            {"answer_format": "bio", "one_step": True},
            {"answer_format": "bio", "template": answers.bio.ONE_STEP_TEMPLATE},
        ),
    ],
)
def test_a_model_folder_says_what_it_was_trained_on(tmp_path, arguments, expected):
    (tmp_path / predict.MANIFEST).write_text(json.dumps({"train.parquet": {"arguments": arguments}}))
    assert predict.trained_on(tmp_path) == expected


def test_a_folder_that_says_nothing_answers_in_json(tmp_path):
    assert predict.trained_on(tmp_path)["answer_format"] == "json"


def test_constrained_decoding_is_for_json():
    with pytest.raises(DataError, match="--constrained: is for answers in JSON"):
        predict.Settings(constrained=True, answer_format="bio")
