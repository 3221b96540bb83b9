"""A layout that no module of the recipe knows goes from its files to scores, once it is in the list of layouts."""

import csv
import json
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from data_prep.to_parquet import main as to_parquet
from recipe import corpora
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora.records import Wrong
from recipe.evaluate.__main__ import main as evaluate

# <Dataset>/<split>.sentences.csv: sentence,entities with entities as start:end:type, set apart by blanks.
ENDING = ".sentences.csv"


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def spans(record):
    return [(int(start), int(end), label) for start, end, label in (s.split(":") for s in record["entities"].split())]


def types(dataset, reading):
    labels = {label for path in dataset.label_files for record in rows(path) for _, _, label in spans(record)}
    return reading.types(dataset.folder, labels, "tag one")


def examples(dataset, split, reading):
    path, labels = dataset.file(split), types(dataset, reading)

    def read(record):
        text = record["sentence"]
        if any(end > len(text) for _, end, _ in spans(record)):
            raise Wrong("bad_offset", "an entity ends behind its sentence")
        kept = [Entity(text[start:end], label) for start, end, label in spans(record) if label in labels]
        return Example(text, labels, tuple(kept), dataset.name), len(spans(record)) - len(kept)

    return reading.examples(path, enumerate(rows(path), 1), read, "row")


LAYOUT = SimpleNamespace(
    found=lambda folder: any(folder.glob("*" + ENDING)),
    reads=lambda path: path.name.endswith(ENDING),
    file=lambda folder, split: folder / f"{split}{ENDING}",
    label_files=lambda folder: tuple(sorted(folder.glob("*" + ENDING))),
    types=types,
    examples=examples,
    sentences=lambda path, reading: (record["sentence"] for record in rows(path)),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A corpus of the layout with 20 train, 4 dev and 3 test sentences; the third of train is in test, too."""
    monkeypatch.setattr(corpora, "LAYOUTS", (*corpora.LAYOUTS, LAYOUT))
    dataset = tmp_path / "corpus" / "plays"
    dataset.mkdir(parents=True)
    for split, numbers in (("train", range(10, 30)), ("dev", range(30, 34)), ("test", (12, 40, 41))):
        lines = (f"Ada {n} left Rome .,0:6:person 12:16:place 17:18:else" for n in numbers)
        (dataset / f"{split}{ENDING}").write_text("\n".join(["sentence,entities", *lines]) + "\n")
    return tmp_path / "corpus"


def prepare(folder, command, *options):
    out = folder.parent / command
    assert to_parquet([command, "--corpora", str(folder), "--out", str(out), *options]) == 0
    return {path.stem: pq.read_table(path).to_pylist() for path in out.glob("*.parquet")}


def test_it_gives_sft_rows(folder):
    written = prepare(folder, "sft", "--cot", "template")
    assert {split: len(rows) for split, rows in written.items()} == {"train": 20, "dev": 4}
    question, answer = written["dev"][0]["messages"]
    assert "Ada 30 left Rome ." in question["content"]
    assert answer["content"].endswith(render_entities([Entity("Ada 30", "person"), Entity("Rome", "place")]))
    entry = json.loads((folder.parent / "sft" / "manifest.json").read_text())["train.parquet"]
    assert entry["datasets"]["plays"]["noted"] == {"residual_entity": 20}
    assert len(entry["sources"]) == 3


def test_it_gives_grpo_rows_without_the_sentences_of_its_own_test_split(folder):
    options = ["--num-samples", "19", "--num-dev", "2", "--drop-overlap-with", str(folder)]
    written = prepare(folder, "grpo", *options)
    assert {split: len(rows) for split, rows in written.items()} == {"train": 19, "dev": 2}
    assert "Ada 12 left Rome ." not in [row["extra_info"]["sentence"] for row in written["train"]]


def test_a_file_of_it_can_be_kept_out(folder):
    written = prepare(folder, "sft", "--no-cot", "--drop-overlap-with", str(folder / "plays" / f"test{ENDING}"))
    assert len(written["train"]) == 19


def test_it_gives_evaluation_rows_and_these_are_scored(folder, tmp_path):
    written = prepare(folder, "eval")["test"]
    assert [row["data_source"] for row in written] == ["plays"] * 3
    gold = [from_ground_truth(row["reward_model"]["ground_truth"]) for row in written]
    answers = [render_entities(gold[0].entities), render_entities(gold[1].entities[:1]), render_entities([])]
    saved = tmp_path / "saved.jsonl"
    saved.write_text("".join(json.dumps({"index": i, "output": text}) + "\n" for i, text in enumerate(answers)))
    data = tmp_path / "eval" / "test.parquet"
    assert evaluate(["--predictions", str(saved), "--data", str(data), "--out", str(tmp_path / "scores")]) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())["datasets"]["plays"]
    assert [scores["strict"][figure] for figure in ("precision", "recall")] == [1, 0.5]


def test_a_bad_record_stops_with_its_file_and_number_or_is_counted(folder, capsys):
    with (folder / "plays" / f"test{ENDING}").open("a") as file:
        file.write("Ada .,0:9:person\n")
    command = ["eval", "--corpora", str(folder), "--out", str(folder.parent / "eval")]
    assert to_parquet(command) == 2
    assert f"test{ENDING}: row 4: an entity ends behind its sentence" in capsys.readouterr().err
    assert len(prepare(folder, "eval", "--on-error", "skip")["test"]) == 3


def test_without_the_line_nobody_reads_it(folder, monkeypatch):
    monkeypatch.setattr(corpora, "LAYOUTS", corpora.LAYOUTS[:-1])
    from recipe.corpora.datasets import find_datasets, read_dataset

    (dataset,), _ = find_datasets(folder)
    with pytest.raises(
        DataError,
        match=r"plays: no layout that is read: it holds dev\.sentences\.csv, test\.",
    ):
        list(read_dataset(dataset, "test"))
