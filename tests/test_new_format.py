"""An answer format that no stage has heard of: one module and one line in FORMATS take it through all of them."""

import ast
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_prep.to_parquet import main as to_parquet
from recipe import answers, predict
from recipe.adversarial.__main__ import rows as attacked
from recipe.answers.think import split_reasoning, with_reasoning
from recipe.core.entities import Answer, DataError, Entity
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora.texts import Record
from recipe.evaluate.__main__ import main as evaluate
from recipe.generate.predictions import Prediction
from recipe.predict.model import MANIFEST, trained_on
from recipe.predict.questions import Inquiry
from recipe.predict.replies import assemble
from recipe.predict.windows import Window
from reward_fns import entity_tags, ner

pytest.importorskip("pyarrow")

SENTENCE = {"sentence": "Ann saw New Rome .", "entities": [("person", "Ann"), ("place", "New Rome")]}
LINE = re.compile(r"<([a-z ]+)>([^<>\n]+)</\1>")


def render_answer(example):
    """A line of `<type>name</type>` for each entity."""
    if any(set("<>\n") & set(entity.name) for entity in example.entities):
        raise DataError("a name holds what ends a line")
    lines = (f"<{entity.type}>{entity.name}</{entity.type}>" for entity in example.entities)
    return with_reasoning("\n".join(lines) or "nothing", example.reasoning)


def parse(completion, example):
    reasoning, body, closed = split_reasoning(completion)
    found = [LINE.fullmatch(line.strip()) for line in body.splitlines() if line.strip() != "nothing"]
    if not body or None in found:
        return Answer(reasoning=reasoning)
    entities = tuple(Entity(match[2], match[1]) for match in found)
    return Answer(entities, reasoning, True, closed, tuple(entity.type for entity in entities))


def put_question(template, description, worked):
    shown = "".join(f"{example.sentence} -> {render_answer(example)}\n" for example in worked)
    return f"{description}\n{shown}{template}"


XML = SimpleNamespace(
    DEFAULT_TEMPLATE="Lines of XML, types {{SCHEMA}}: {{SENTENCE}}", render_answer=render_answer, parse=parse
)
ONE_TYPE = SimpleNamespace(**vars(XML), ONE_TYPE=True, put_question=put_question)
each_kind = pytest.mark.parametrize("module", [XML, ONE_TYPE], ids=["all types", "one type a question"])


@pytest.fixture
def prepared(instructuie, monkeypatch, tmp_path):
    """`prepared(module, command)`: the rows that data preparation writes in the format, and their file."""

    def prepare(module, command, *options):
        monkeypatch.setitem(answers.FORMATS, "xml", module)  # the one line
        entities = [{"type": label, "name": name} for label, name in SENTENCE["entities"]]
        record = {"sentence": SENTENCE["sentence"], "entities": entities}
        others = [{"sentence": f"{name} is here .", "entities": [{"type": "person", "name": name}]} for name in "AB"]
        root = instructuie("toy", dev=others, train=[record], test=[record])
        out = tmp_path / command
        assert to_parquet([command, "--corpora", str(root), "--answer-format", "xml", "--out", str(out), *options]) == 0
        import pyarrow.parquet as pq

        [path] = out.glob("t*.parquet")
        return pq.read_table(path).to_pylist(), path

    return prepare


@each_kind
def test_training_rows_are_prepared_and_their_gold_is_rewarded(prepared, module):
    rows, _ = prepared(module, "grpo", "--num-samples", "1", "--num-dev", "0")
    truth = rows[0]["reward_model"]["ground_truth"]
    example = from_ground_truth(truth)
    assert "Lines of XML" in rows[0]["prompt"][0]["content"]
    assert ner.compute_score("toy", render_answer(example), truth)["score"] == 11
    assert ner.compute_score("toy", "nothing at all", truth)["unparsable"] == 1
    assert entity_tags.compute_score("toy", render_answer(example), truth)["exact"] == (module is ONE_TYPE)


@each_kind
def test_sft_rows_are_prepared(prepared, module):
    rows, _ = prepared(module, "sft", "--no-cot", "--num-dev", "0")
    told = [row["messages"][1]["content"] for row in rows]
    if module is XML:
        assert told == ["<person>Ann</person>\n<place>New Rome</place>"]
    else:
        assert told == ["<person>Ann</person>", "<place>New Rome</place>"]
        assert "A is here . -> <think>" in rows[0]["messages"][0]["content"]


@each_kind
def test_saved_predictions_are_evaluated(prepared, module, tmp_path):
    rows, path = prepared(module, "eval")
    gold = [from_ground_truth(row["reward_model"]["ground_truth"]) for row in rows]
    saved = tmp_path / "saved.jsonl"
    lines = ({"index": i, "output": render_answer(example)} for i, example in enumerate(gold))
    saved.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert evaluate(["--predictions", str(saved), "--data", str(path), "--out", str(tmp_path / "scores")]) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())["datasets"]["toy"]
    assert (scores["sentences"], scores["unparsable"]) == (1, 0)
    assert scores["strict"]["f1"] == 1


@each_kind
def test_a_prediction_is_asked_for_and_read(monkeypatch, tmp_path, module):
    monkeypatch.setitem(answers.FORMATS, "xml", module)
    manifest = {"train.parquet": {"arguments": {"answer_format": "xml"}}}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    settings, record = (
        predict.Settings(**trained_on(tmp_path)),
        Record(SENTENCE["sentence"], ("person", "place")),
    )
    asked = settings.asked(record.text, record.types)
    assert all("Lines of XML" in settings.prompt(example) for example in asked)
    assert len(asked) == (1 if module is XML else 2)
    outputs = ["<person>Ann</person>", "<place>New Rome</place>"]
    outputs = ["\n".join(outputs)] if module is XML else outputs
    plan = Inquiry(record, (Window(0, len(record.text), 0, len(record.text)),), ((1,),) * len(outputs))
    result = assemble(0, plan, [Prediction(i, text) for i, text in enumerate(outputs)], settings)
    assert [(found.type, found.name) for found in result.entities] == SENTENCE["entities"]
    assert (result.answers, result.unparsable) == (len(outputs), 0)


def test_what_the_format_lacks_is_said(monkeypatch):
    monkeypatch.setitem(answers.FORMATS, "xml", XML)
    with pytest.raises(DataError, match="--constrained: is for answers in JSON, and this model's are xml"):
        predict.Settings(constrained=True, answer_format="xml")


@each_kind
def test_its_reward_is_attacked(monkeypatch, module):
    monkeypatch.setitem(answers.FORMATS, "xml", module)
    table = attacked(ner.compute_score, "xml", limit=100)
    assert table[0].name == "honest"
    assert len(table) > 20
    assert not any(row.above(named) for row in table for named in (True, False))


def test_no_stage_names_a_format():
    root = Path(__file__).resolve().parent.parent
    files = [path for name in ("recipe", "data_prep", "reward_fns", "sft") for path in (root / name).rglob("*.py")]
    modules = {module.__name__ for module in answers.FORMATS.values()}
    named = []
    for path in files:
        if path.parent != root / "recipe" / "answers":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and node.value in answers.FORMATS.keys() - {"json"}:
                    named.append((path, node.value))
                elif isinstance(node, ast.ImportFrom):
                    whole = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                    named += [(path, name) for name in whole & modules]
    assert named == []
