"""Layouts of records: their files, types and faults, whatever the records hold."""

import json
from collections import Counter

import pyarrow as pa
import pytest
from pyarrow import parquet

from data_prep.to_parquet import main as to_parquet
from recipe.core.entities import DataError
from recipe.corpora import Reading, unknown
from recipe.corpora.annotated import Annotated, Mention
from recipe.corpora.dataset import Dataset
from recipe.corpora.record_layout import RecordLayout, first_record, records
from recipe.corpora.records import Wrong

RECORDS = [{"say": "Ulm is Ulm", "at": [7, 10, "LOC"]}, {"say": "Ada", "at": [0, 3, "PER"]}, {"say": "no", "at": None}]


def read(record, _context):
    if not isinstance(record.get("say"), str):
        raise Wrong("no_say", "lacks 'say'")
    start, end, label = record["at"] or (0, 0, "")
    return Annotated(record["say"], (Mention(label, start, end),) if label else ())


LAYOUT = RecordLayout("Sayings", '{"say", "at"}', lambda record: isinstance(record, dict) and "say" in record, read)


def write(path, rows=RECORDS):
    if path.suffix in (".json", ".jsonl"):
        text = json.dumps(rows) if path.suffix == ".json" else "\n".join(map(json.dumps, rows))
        path.write_text(text, encoding="utf-8")
        return path
    table = pa.Table.from_pylist([{**row, "at": json.dumps(row["at"])} for row in rows])
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return path


def examples(path, split="test", **reading):
    return list(LAYOUT.examples(Dataset("toy", path, LAYOUT), split, Reading(**reading)))


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".parquet", ".arrow"])
def test_records_are_the_same_from_every_kind_of_file(tmp_path, ending):
    path = write(tmp_path / f"a{ending}")
    found = [record["say"] for record in records(path)]
    assert found == [record["say"] for record in RECORDS]
    assert first_record(path)["say"] == "Ulm is Ulm"


def test_json_lines_may_be_called_json(tmp_path):
    path = write(tmp_path / "a.jsonl").rename(tmp_path / "b.json")
    assert list(records(path)) == RECORDS


def test_an_arrow_file_with_a_footer_is_read(tmp_path):
    table = pa.Table.from_pylist([{"say": "x"}] * 3)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert list(records(tmp_path / "a.arrow")) == [{"say": "x"}] * 3


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".json", ".jsonl"])
def test_a_file_that_is_not_what_it_is_called_is_named(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"no such thing")
    assert first_record(path) is None
    assert not LAYOUT.found(path)
    with pytest.raises(DataError, match=rf"a{ending}: [^\n]+$"):
        list(records(path))


def test_one_file_is_whichever_split_is_asked_for(tmp_path):
    path = write(tmp_path / "sayings.jsonl")
    assert LAYOUT.found(path)
    assert [example.sentence for example in examples(path, "train")] == ["Ulm is Ulm", "Ada", "no"]
    (entity,) = examples(path)[0].entities
    assert (entity.name, entity.type, entity.start) == ("Ulm", "loc", 7)


def test_types_are_those_of_all_splits_and_parts_come_one_after_the_other(tmp_path):
    write(tmp_path / "train-00000-of-00002.jsonl", RECORDS[:1])
    write(tmp_path / "train-00001-of-00002.jsonl", RECORDS[2:])
    write(tmp_path / "test.jsonl", RECORDS[1:2])
    (first, second) = examples(tmp_path, "train")
    assert (first.types, first.sentence, second.sentence) == (("loc", "per"), "Ulm is Ulm", "no")
    assert len(LAYOUT.label_files(tmp_path)) == 3


def test_a_list_of_labels_renames_them_and_says_all_types(tmp_path):
    write(tmp_path / "test.json", RECORDS[:1])
    (tmp_path / "labels.json").write_text('{"LOC": "place", "DAY": "day"}')
    (example,) = examples(tmp_path)
    assert (example.types, example.entities[0].type) == (("day", "place"), "place")


def test_a_bad_record_stops_with_its_file_and_number_or_is_counted(tmp_path):
    path = write(tmp_path / "test.jsonl", [*RECORDS, {"say": 1}])
    with pytest.raises(DataError, match=r"test.jsonl: record 4: lacks 'say'; correct it or skip such records"):
        examples(path)
    skipped = Counter()
    assert len(examples(path, skipped=skipped)) == 3
    assert skipped == {"no_say": 1}
    with pytest.raises(DataError, match=r"test.jsonl: record 4: lacks 'say'"):
        list(LAYOUT.sentences(path, Reading()))


def test_a_corpus_without_an_entity_leaves_no_type(tmp_path):
    path = write(tmp_path / "a.jsonl", RECORDS[2:])
    with pytest.raises(DataError, match=r"a.jsonl: leaves no type to ask for .*labels.json"):
        examples(path)


def test_what_nothing_recognises_says_what_is_there_and_what_is_read(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    write(tmp_path / "odd.jsonl", [{"a": 1, "b": 2}])
    (tmp_path / "sub").mkdir()
    said = unknown.describe(tmp_path)
    assert (
        "it holds notes.md, odd.jsonl (records of a, b), sub/; data_prep/README.md shows those that are: B2NERD, "
        in said
    )
    assert "InstructUIE, " in said
    assert len(said.removeprefix(str(tmp_path))) < 350
    assert "\n" not in said
    assert "it is odd.jsonl (records of a, b)" in unknown.describe(tmp_path / "odd.jsonl")


def doccano(path, *texts):
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({"text": text, "label": [[0, 3, "PER"]]}) + "\n" for text in texts))
    return path.parent


UNREADABLE = {
    "test.jsonl: empty file": b"",
    "test.jsonl: record 1: the file is UTF-16": "{}".encode("utf-16"),
    "test.jsonl: record 1: truncated": b'{"text": "Ada',
    "test.jsonl: record 1: lacks 'label', 'labels' or 'entities'": b'{"text": "Ada left ."}\n',
}


@pytest.mark.parametrize("said", UNREADABLE)
def test_a_split_that_cannot_be_read_is_no_split_that_is_lacking(tmp_path, capsys, said):
    """Beside a sound train split, and beside another dataset that has a sound test split."""
    folder = doccano(tmp_path / "in" / "a" / "train.jsonl", "Ada left .")
    doccano(tmp_path / "in" / "b" / "test.jsonl", "Bob left .")
    (folder / "test.jsonl").write_bytes(UNREADABLE[said])
    assert to_parquet(["eval", "--corpora", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert to_parquet(["grpo", "--corpora", str(folder), "--num-dev", "0", "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("name", ["test.jsonl.gz", "TEST.JSONL", "test.zip"])
def test_what_is_called_like_a_lacking_split_is_named(tmp_path, capsys, name):
    folder = doccano(tmp_path / "a" / "train.jsonl", "Ada left .")
    (folder / name).write_bytes(b"x")
    assert to_parquet(["eval", "--corpora", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert (
        f"none of the datasets has one: a (its {name} is not in the layout of its other splits)"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.jsonl (empty file; JSON Lines belong here)"),
        ("{}".encode("utf-16"), "a.jsonl (record 1: the file is UTF-16; save it as UTF-8)"),
        (b'{\n  "text": "Ada"\n}\n', "a.jsonl (record 1: truncated: the file ends inside it; each line must be"),
        (b'[{"text": "Ada"}]\n', "a.jsonl (record 1: a list)"),
    ],
)
def test_a_file_of_no_layout_says_why_its_first_record_is_none(tmp_path, content, said):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    assert f"no layout that is read: it is {said}" in unknown.describe(path)


def test_a_label_with_two_names_is_refused(tmp_path):
    write(tmp_path / "test.json", RECORDS[:1])
    (tmp_path / "labels.json").write_text('{"LOC": "place", "loc": "Place "}')
    assert examples(tmp_path)[0].types == ("place",)
    (tmp_path / "labels.json").write_text('{"LOC": "place", " loc": "city"}')
    with pytest.raises(DataError, match=r"labels.json: gives ' loc' two names .*; leave one of them"):
        examples(tmp_path)
