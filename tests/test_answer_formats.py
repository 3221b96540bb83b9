"""Any answer format with any stage: rows say which one they are asked in, and the scoring is one."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.to_parquet import main as to_parquet
from recipe import answers, predict
from recipe.answers import queries
from recipe.core.align import place
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth, to_ground_truth
from recipe.corpora.texts import Record
from recipe.evaluate.__main__ import main as evaluate
from recipe.evaluate.rows import read_rows
from recipe.generate.predictions import Prediction
from recipe.predict.model import MANIFEST, trained_on
from recipe.predict.questions import Inquiry
from recipe.predict.replies import assemble, read
from recipe.predict.windows import Window
from reward_fns.ner import compute_score

pytest.importorskip("pyarrow")

SAMPLE = Path(__file__).resolve().parent.parent / "data_prep" / "sample" / "IE_INSTRUCTIONS"
ANN, ROME = Entity("Ann", "person"), Entity("New Rome", "place")
MEETING = Example("Ann saw New Rome .", ("person", "place"), (ANN, ROME))
NAMES = answers.formats_of("ner")
each_format = pytest.mark.parametrize("name", NAMES)


def meeting(name):
    """The sentence as it is asked about in a format."""
    return queries.split(MEETING)[0] if name == "entity_tags" else replace(MEETING, format=name)


@st.composite
def sentences(draw, nested):
    """A sentence with few words, so that they come again, and entities that say their places."""
    words = draw(
        st.lists(st.sampled_from(["May", "Turkey", "the", "New", "None", "C", "C++", "Zoë,", "-"]), min_size=1)
    )
    sentence = draw(st.sampled_from([" ", "  ", ""])).join(words)
    ends = st.integers(0, len(sentence))
    spans = draw(st.sets(st.tuples(ends, ends, st.sampled_from(["a", "b"])), max_size=6))
    entities, last = [], 0
    for start, end, label in sorted(spans):
        name = sentence[start:end]
        if name.strip() == name != "" and (nested or start >= last):
            entities.append(Entity(name, label, start))
            last = end
    return Example(sentence, ("a", "b"), tuple(draw(st.permutations(entities))))


def spans_of(example, entities, beside=()):
    return Counter(place(example.sentence, entities, beside))


@given(sentences(nested=True))
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_where_the_gold_stands(example):
    gold = place(example.sentence, example.entities)
    for name in ("json", "entity_tags"):
        found = []
        for asked in queries.ask(replace(example, format=name)):
            answer = answers.parse(answers.render_answer(asked), asked)
            assert answer.layout
            found += answer.entities
        assert spans_of(example, found, beside=gold) == Counter(gold)


@given(sentences(nested=False))
@settings(max_examples=300, deadline=None)
def test_tagged_words_are_read_where_the_gold_stands(example):
    asked = replace(example, format="bio")
    answer = answers.parse(answers.render_answer(asked), asked)
    assert answer.layout
    assert spans_of(example, answer.entities) == Counter(place(example.sentence, example.entities))


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
    with pytest.raises(DataError, match=r"'xml': not known; name one of json, bio, entity_tags, json_relations"):
        answers.check_format("xml")


@each_format
def test_the_gold_is_worth_all_and_another_formats_nothing(name):
    truth = to_ground_truth(meeting(name))
    other = next(one for one in NAMES if one != name)
    gold, wrong = (answers.render_answer(meeting(one)) for one in (name, other))
    assert compute_score("news", gold, truth)["score"] == 11
    assert compute_score("news", wrong, truth)["score"] == 0


@each_format
def test_sft_rows_are_in_the_format(tmp_path, name):
    out = prepared("sft", tmp_path, "--cot", "template", "--answer-format", name, "--num-dev", "0")
    for row in rows(out / "train.parquet"):
        prompt, answer = (message["content"] for message in row["messages"])
        types = json.loads(re.search(r"^(?:Type: )?(\[.*\])$", prompt, re.MULTILINE)[1])
        read = answers.parse(answer, Example(row["extra_info"]["sentence"], tuple(types), format=name))
        assert read.layout
        assert read.reasoning
        assert row["extra_info"]["types"] == types
        assert prompt.endswith(f"Sentence: {row['extra_info']['sentence']}")


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
    example = meeting(name)
    found = read(example, answers.render_answer(example))
    assert {(MEETING.sentence[span.start : span.end], span.type) for span in found.spans} == {
        (entity.name, entity.type) for entity in example.entities
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"answer_format": "json"}),
        ({"answer_format": "bio"}, {"answer_format": "bio"}),
        (
            {"answer_format": "bio", "one_step": True},
            {"answer_format": "bio", "template": answers.bio.ONE_STEP_TEMPLATE},
        ),
    ],
)
def test_a_model_folder_says_what_it_was_trained_on(tmp_path, arguments, expected):
    (tmp_path / MANIFEST).write_text(json.dumps({"train.parquet": {"arguments": arguments}}))
    assert {name: value for name, value in trained_on(tmp_path).items() if value} == expected


def test_a_model_of_single_questions_asks_about_each_type_as_in_training(tmp_path):
    amounts = ("--num-samples", "20", "--num-dev", "0")
    out = prepared("sft", tmp_path, "--cot", "template", "--answer-format", "entity_tags", *amounts)
    (tmp_path / MANIFEST).write_bytes((out / "manifest.json").read_bytes())
    settings = predict.Settings(**trained_on(tmp_path))
    for row in rows(out / "train.parquet"):
        asked = [settings.prompt(one) for one in settings.asked(row["extra_info"]["sentence"], ("person", "task"))]
        assert len(asked) == 2
        [label] = re.findall(r'^Type: \["(.*)"\]$', row["messages"][0]["content"], re.MULTILINE)
        [question] = settings.asked(row["extra_info"]["sentence"], (label,))
        assert settings.prompt(question) == row["messages"][0]["content"]


def test_a_prediction_puts_the_answers_about_the_types_together():
    settings = predict.Settings(answer_format="entity_tags", samples=2, temperature=1.0)
    record = Record(MEETING.sentence, MEETING.types)
    plan = Inquiry(record, (Window(0, len(record.text), 0, len(record.text)),), ((1,), (2,)))
    told = ["<entity>Ann</entity>", "<entity>Ann</entity>", "<entity>New Rome</entity>", "?"]
    result = assemble(0, plan, [Prediction(i, output) for i, output in enumerate(told)], settings)
    assert [(found.name, found.type, found.votes) for found in result.entities] == [
        ("Ann", "person", 2), ("New Rome", "place", 1),
    ]  # fmt: skip
    assert (result.answers, result.unparsable) == (4, 1)


def test_a_folder_that_says_nothing_answers_in_json(tmp_path):
    assert trained_on(tmp_path)["answer_format"] == "json"


def test_constrained_decoding_is_for_json():
    with pytest.raises(DataError, match="--constrained: is for answers in JSON"):
        predict.Settings(constrained=True, answer_format="bio")


# ------------------------------------------------------------------------------------------------- one type a question


def test_a_sentence_gets_a_row_for_each_type_and_one_score(tmp_path):
    out = prepared("eval", tmp_path / "data", "--answer-format", "entity_tags")
    asked = [from_ground_truth(row["reward_model"]["ground_truth"]) for row in rows(out / "test.parquet")]
    sentences = len(asked) // 13  # CrossNER_AI has so many types, of which most sentences have few
    assert len(asked) == 13 * sentences
    saved = tmp_path / "saved.jsonl"
    lines = ({"index": i, "output": "<entity></entity>" if i < 26 else "?"} for i in range(len(asked)))
    saved.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    options = ["--predictions", str(saved), "--data", str(out / "test.parquet"), "--out", str(tmp_path / "scores")]
    assert evaluate([*options, "--limit", "3"]) == 2  # one prediction too many
    assert evaluate(options) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())["datasets"]["CrossNER_AI"]
    assert scores["sentences"] == sentences
    assert scores["unparsable"] == pytest.approx(1 - 2 / sentences)


def test_limit_counts_sentences(tmp_path):
    out = prepared("eval", tmp_path, "--answer-format", "entity_tags")
    kept = read_rows(out / "test.parquet", 2)
    assert (len(kept), len({row.example.sentence for row in kept})) == (26, 2)


def test_prompts_show_two_examples_that_no_question_is_about(tmp_path):
    amounts = ("--num-samples", "200", "--num-dev", "0")
    out = prepared("grpo", tmp_path, "--answer-format", "entity_tags", *amounts)
    wordings = json.loads((out / "manifest.json").read_text())["train.parquet"]["wordings"]["CrossNER_AI"]
    for row in rows(out / "train.parquet"):
        prompt, example = row["prompt"][0]["content"], from_ground_truth(row["reward_model"]["ground_truth"])
        assert prompt == answers.render_prompt(example, wordings[example.types[0]])
        assert prompt.count(example.sentence) == 1
    assert all(template.count("Sentence: ") == 3 for template in wordings.values())


def test_training_and_evaluation_ask_in_the_same_words(tmp_path):
    train = prepared("sft", tmp_path / "a", "--cot", "template", "--answer-format", "entity_tags", "--seed", "7")
    test = prepared("eval", tmp_path / "b", "--answer-format", "entity_tags")
    first, second = (
        json.loads((out / "manifest.json").read_text())[name]["wordings"]
        for out, name in ((train, "train.parquet"), (test, "test.parquet"))
    )
    assert first == second
