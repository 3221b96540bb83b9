"""Published layouts of relations: CrossRE, SpERT and TablERT-CNN, SciER, InstructUIE; several sets in one folder."""

import contextlib
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.to_parquet import main as to_parquet
from recipe import answers
from recipe.core.entities import DataError, Entity, Relation, normalize_type
from recipe.corpora import LAYOUTS, Reading, crossre, instructuie_events, instructuie_relations, scier, spert
from recipe.corpora.annotated import example_of
from recipe.corpora.datasets import find_datasets, read_dataset, sentence_files
from recipe.corpora.record_layout import RecordLayout
from recipe.corpora.records import Wrong
from recipe.evaluate.__main__ import main as evaluate

TOKENS = ["Ada", "left", "New", "Rome", "."]
CROSSRE = {"doc_key": "a-1", "sentence": TOKENS, "ner": [[0, 0, "person"], [2, 3, "misc"]],
           "relations": [[0, 0, 2, 3, "physical", "", False, False]]}  # fmt: skip
SPERT = {"tokens": TOKENS, "orig_id": 1,
         "entities": [{"type": "person", "start": 0, "end": 1}, {"type": "misc", "start": 2, "end": 4}],
         "relations": [{"type": "physical", "head": 0, "tail": 1}]}  # fmt: skip
TABLERT = {"tokens": TOKENS, "tags": ["U-person", "O", "B-misc", "L-misc", "O"],
           "relations": [{"type": "physical", "head": 0, "tail": 1}]}  # fmt: skip
SCIER = {"doc_id": "1", "sentence": "Ada left New Rome .",
         "ner": [["Ada", "person"], ["New Rome", "misc"]],
         "rel": [["Ada", "physical", "New Rome"]],
         "rel_plus": [["Ada:person", "physical", "New Rome:misc"]]}  # fmt: skip
UIE = {"sentence": "Ada left New Rome .",
       "entities": [{"name": "Ada", "type": "person"}, {"name": "New Rome", "type": "misc"}],
       "relations": [{"head": {"name": "Ada"}, "type": "physical", "tail": {"name": "New Rome"}}]}  # fmt: skip
RECORDS = {"crossre": CROSSRE, "spert": SPERT, "tablert": TABLERT, "scier": SCIER, "instructuie": UIE}
each_layout = pytest.mark.parametrize("name", list(RECORDS))


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def read(path, split="test", task="re", **reading):
    [dataset], _ = find_datasets(path, task=task)
    return list(read_dataset(dataset, split, Reading(**reading)))


@each_layout
def test_a_sentence_with_its_relation_is_read(tmp_path, name):
    write(tmp_path / "test.json", RECORDS[name])
    [example] = read(tmp_path, format=answers.formats_of("re")[1])
    ada, rome = Entity("Ada", "person"), Entity("New Rome", "misc")
    assert example.sentence == "Ada left New Rome ."
    assert (example.entity_types, example.relation_types) == (("misc", "person"), ("physical",))
    assert example.entities == (ada, rome)
    assert example.relations == (Relation(ada, "physical", rome),)
    placed = name in ("crossre", "spert", "tablert")
    assert [each.start for each in example.relations[0].mentions] == ([0, 9] if placed else [None, None])


@each_layout
def test_without_a_format_relations_alone_are_asked_for(tmp_path, name):
    write(tmp_path / "test.json", RECORDS[name])
    [example] = read(tmp_path)
    assert example.types == ("physical",)
    assert example.format == answers.formats_of("re")[0]


@pytest.mark.parametrize("name", [name for name in RECORDS if name != "instructuie"])
def test_names_can_be_asked_for_in_place_of_relations(tmp_path, name):
    write(tmp_path / "test.json", RECORDS[name])
    [example] = read(tmp_path, task="ner", format="json", keep_else=True)
    assert [(entity.name, entity.type) for entity in example.entities] == [("Ada", "person"), ("New Rome", "misc")]
    assert example.facts == example.entities


def test_residual_types_of_names_stay_where_relations_are_asked_for(tmp_path):
    write(tmp_path / "test.json", CROSSRE)
    assert "misc" in read(tmp_path, format=answers.formats_of("re")[1])[0].types


def test_two_labels_at_one_place_are_two_entities_and_relations_are_about_the_first(tmp_path):
    write(tmp_path / "test.json", CROSSRE | {"ner": [*CROSSRE["ner"], [2, 3, "city"], [0, 0, "person"]]})
    noted = Counter()
    [example] = read(tmp_path, format=answers.formats_of("re")[1], noted=noted)
    assert [(each.name, each.type) for each in example.entities] == [
        ("Ada", "person"), ("New Rome", "city"), ("New Rome", "misc"),
    ]  # fmt: skip
    assert (example.relations[0].tail.type, noted["repeated_entity"]) == ("misc", 1)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (CROSSRE | {"relations": [[0, 0, 1, 1, "physical"]]}, "relation 1 is about tokens 1 to 1, which are no entity"),
        (CROSSRE | {"ner": [[0, 9, "person"]]}, "entity 1 is at tokens 0 to 9 of 5"),
        (CROSSRE | {"relations": [[0, 0]]}, "relation 1 is a list, not a list that begins [token, token,"),
        (SPERT | {"relations": [{"type": "physical", "head": 0, "tail": 7}]}, "relation 1 ties mentions 0 and 7 of 2"),
        (SPERT | {"entities": [{"type": "person", "start": 2, "end": 2}]}, "entity 1 is at tokens 2 to 2 of 5"),
        (TABLERT | {"tags": ["U-person", "O", "B-misc", "O", "O"]}, "tag 4 (O) goes on with no mention"),
        (TABLERT | {"tags": ["U-person"]}, "'tags' is no list of 5 tags"),
        (SCIER | {"rel_plus": [["Ada", "physical", "New Rome:misc"]]}, "'Ada' in 'rel_plus' has no type"),
        (UIE | {"relations": [{"head": 3, "type": "x", "tail": {"name": "x"}}]}, "head of relation 1 is a number"),
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_refused(tmp_path, capsys, record, said):
    good = next(each for each in RECORDS.values() if set(each) == set(record))
    write(tmp_path / "test.json", good, record)
    assert to_parquet(["eval", "--corpora", str(tmp_path), "--task", "re", "--out", str(tmp_path / "out")]) == 2
    complaint = capsys.readouterr().err
    assert "record 2" in complaint
    assert said in complaint
    assert complaint.count("\n") == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 6) | st.sampled_from(["Ada", "", "B-x", "x:y"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["head", "type", "tail", "name"]), inner, max_size=4)
    ),
    max_leaves=10,
)
READERS = {
    "crossre": crossre.read, "spert": spert.read, "tablert": spert.read, "scier": scier.read,
    "instructuie": instructuie_relations.read,
}  # fmt: skip


@each_layout
@given(data=st.data(), value=json_values)
@settings(max_examples=150, deadline=None)
def test_any_record_is_read_or_wrong(name, data, value):
    record = RECORDS[name] | {data.draw(st.sampled_from(sorted(RECORDS[name]))): value}
    for one in (record, value):
        with contextlib.suppress(Wrong):
            READERS[name](one, None)
    with contextlib.suppress(Wrong):
        instructuie_events.read({"sentence": "x", "events": value}, None)


@each_layout
@given(data=st.data(), value=json_values)
@settings(max_examples=150, deadline=None)
def test_what_is_read_of_any_record_is_an_example_or_wrong(name, data, value):
    record = RECORDS[name] | {data.draw(st.sampled_from(sorted(RECORDS[name]))): value}
    with contextlib.suppress(Wrong):
        annotated = READERS[name](record, None)
        types = tuple({normalize_type(mention.label) for mention in annotated.mentions})
        relation_types = tuple({normalize_type(tie.label) for tie in annotated.ties}) or ("physical",)
        example, _ = example_of(annotated, types, {}, "toy", Reading(), relation_types)
        for entity in [*example.entities, *(each for one in example.relations for each in one.mentions)]:
            assert entity.start is None or example.sentence.startswith(entity.name, entity.start)


@given(json_values)
@settings(max_examples=150, deadline=None)
def test_any_value_fits_or_does_not(value):
    for layout in LAYOUTS:
        if isinstance(layout, RecordLayout):
            for record in (value, *(each | {key: value} for each in RECORDS.values() for key in each)):
                assert layout.fits(record) in (True, False)


@pytest.mark.parametrize("label", ["NA", "", "no_relation"])
def test_no_relation_is_none_and_is_counted(tmp_path, label):
    none = UIE | {"relations": [*UIE["relations"], UIE["relations"][0] | {"type": label}]}
    write(tmp_path / "test.json", none)
    noted = Counter()
    [example] = read(tmp_path, noted=noted)
    assert len(example.relations) == noted["no_relation"] == 1


# ------------------------------------------------------------------------------------------------------ several sets


def test_several_sets_in_one_folder_are_datasets(tmp_path):
    for name in ("ai", "music"):
        for split in ("train", "dev", "test"):
            write(tmp_path / f"{name}-{split}.json", CROSSRE | {"sentence": [name, split, "New", "Rome", "."]})
    found, _ = find_datasets(tmp_path)
    assert [dataset.name for dataset in found] == ["ai", "music"]
    assert [next(read_dataset(found[1], split)).sentence for split in ("train", "test")] == [
        "music train New Rome .", "music test New Rome .",
    ]  # fmt: skip
    assert find_datasets(tmp_path, ["music"])[0][0].file("dev") == tmp_path / "music-dev.json"
    out = tmp_path / "out"
    assert (
        to_parquet(["grpo", "--corpora", str(tmp_path), "--num-samples", "2", "--num-dev", "2", "--out", str(out)]) == 0
    )
    assert set(json.loads((out / "manifest.json").read_text())["train.parquet"]["datasets"]) == {"ai", "music"}


def test_a_set_may_lack_a_split_and_another_layout_is_no_set(tmp_path):
    for name in ("ai-train", "ai-test", "music-train"):
        write(tmp_path / f"{name}.json", CROSSRE)
    write(tmp_path / "notes-train.json", {"note": 1})
    found, _ = find_datasets(tmp_path)
    assert [dataset.name for dataset in found] == ["ai", "music"]
    assert not found[0].file("dev").is_file()


def test_two_sets_may_have_two_layouts(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"ai-{split}.json", CROSSRE)
        write(tmp_path / f"conll04_{split}.json", SPERT)
    found, _ = find_datasets(tmp_path)
    assert [(dataset.name, dataset.layout) for dataset in found] == [("ai", crossre.LAYOUT), ("conll04", spert.LAYOUT)]
    assert [len(list(read_dataset(dataset, "test"))) for dataset in found] == [1, 1]


def test_a_split_of_a_set_in_another_layout_is_refused_not_left_out(tmp_path):
    write(tmp_path / "ai-train.json", CROSSRE)
    write(tmp_path / "ai-test.json", SPERT)
    write(tmp_path / "music-train.json", CROSSRE)
    with pytest.raises(DataError, match=r"ai-test\.json: record 1: 'sentence' is null or missing"):
        list(read_dataset(find_datasets(tmp_path)[0][0], "test"))


def test_a_folder_with_files_of_its_splits_alone_is_the_dataset_as_before(tmp_path):
    for name in ("train", "test", "ai_train", "music_train"):
        write(tmp_path / "toy" / f"{name}.json", CROSSRE)
    [dataset], _ = find_datasets(tmp_path / "toy")
    assert (dataset.name, dataset.file("train").name) == ("toy", "train.json")


@pytest.mark.parametrize("other", ["ai-valid.json", "ai_dev.json", "ai-dev.jsonl"])
def test_two_files_for_one_split_of_a_set_are_told(tmp_path, other):
    for name in ("ai-train.json", "music-train.json", "ai-dev.json", other):
        write(tmp_path / name, CROSSRE)
    ai, music = find_datasets(tmp_path)[0]
    with pytest.raises(DataError, match="both look like its dev split"):
        ai.file("dev")
    assert len(list(read_dataset(music, "train"))) == 1


def test_a_folder_called_as_a_set_is_told(tmp_path):
    for name in ("ai-train.json", "music-train.json", "ai/train.json"):
        write(tmp_path / name, CROSSRE)
    with pytest.raises(DataError, match="ai and the files called ai and a split have one name"):
        find_datasets(tmp_path)


def test_datasets_below_a_folder_of_sets_are_found_too(tmp_path):
    for name in ("ai-train.json", "music-train.json", "spert/train.json"):
        write(tmp_path / name, SPERT)
    assert [dataset.name for dataset in find_datasets(tmp_path)[0]] == ["ai", "music", "spert"]


def test_a_list_of_types_beside_several_sets_is_of_each(tmp_path):
    for name in ("ai-train.json", "music-train.json"):
        write(tmp_path / name, CROSSRE)
    write(tmp_path / "labels.json", ["physical", "role"])
    for dataset in find_datasets(tmp_path)[0]:
        assert next(read_dataset(dataset, "train")).types == ("physical", "role")


def test_the_test_splits_of_all_sets_are_named_by_their_folder(tmp_path):
    for name in ("ai-train.json", "ai-test.json", "music-train.json", "music-test.json"):
        write(tmp_path / name, CROSSRE)
    assert [path.name for path in sentence_files(tmp_path)] == ["ai-test.json", "music-test.json"]


def test_files_of_two_splits_together_are_no_set_of_their_own(tmp_path):
    for split in ("train", "dev", "test", "train_dev"):
        write(tmp_path / f"conll04_{split}.json", TABLERT)
    [dataset], _ = find_datasets(tmp_path, task="re")
    assert (dataset.name, dataset.file("dev")) == ("conll04", tmp_path / "conll04_dev.json")


def test_one_set_alone_is_its_folder_as_before(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "wnut" / f"wnut17_{split}.json", SPERT)
    [dataset], _ = find_datasets(tmp_path / "wnut")
    assert dataset.name == "wnut"


# ------------------------------------------------------------------------------------------------------------- tasks


def test_datasets_of_two_tasks_need_a_word(tmp_path, capsys):
    write(tmp_path / "a" / "test.json", CROSSRE)
    write(tmp_path / "b" / "test.jsonl", {"sentence": "Ada", "entities": [{"name": "Ada", "type": "person"}]})
    write(tmp_path / "b" / "labels.json", ["person"])
    options = ["eval", "--corpora", str(tmp_path), "--out", str(tmp_path / "out")]
    assert to_parquet(options) == 2
    assert "a is for the task re, b for ner; say --task" in capsys.readouterr().err
    assert to_parquet([*options, "--datasets", "b"]) == 0


def test_of_a_folder_of_several_tasks_those_of_the_task_are_read(tmp_path, capsys):
    write(tmp_path / "a" / "test.json", CROSSRE)
    write(tmp_path / "b" / "test.jsonl", {"sentence": "Ada", "entities": [{"name": "Ada", "type": "person"}]})
    write(tmp_path / "b" / "labels.json", ["person"])
    assert [dataset.name for dataset in find_datasets(tmp_path, task="re")[0]] == ["a"]
    options = ["eval", "--corpora", str(tmp_path), "--out", str(tmp_path / "out"), "--task", "re"]
    assert to_parquet([*options, "--datasets", "b"]) == 2
    assert f"{tmp_path / 'b'}: its files are for --task ner, not for --task re" in capsys.readouterr().err
    options[2] = str(tmp_path / "b")
    assert to_parquet(options) == 2
    assert "its files are for --task ner" in capsys.readouterr().err


def test_a_format_of_another_task_is_refused(tmp_path, capsys):
    write(tmp_path / "test.json", CROSSRE)
    options = ["eval", "--corpora", str(tmp_path), "--out", str(tmp_path / "out"), "--task", "re"]
    assert to_parquet([*options, "--answer-format", "bio"]) == 2
    assert "--answer-format bio: is none of --task re" in capsys.readouterr().err
    with pytest.raises(DataError, match="can't be asked for the task ee"):
        read(tmp_path, format=answers.formats_of("ee")[0])


def test_rows_with_names_and_relations_are_rows_of_names_unless_relations_are_asked_for(tmp_path):
    write(tmp_path / "RE" / "toy" / "test.jsonl", UIE)
    write(tmp_path / "RE" / "toy" / "labels.json", ["person", "misc"])
    [example] = read(tmp_path / "RE", task=None)
    assert example.types == ("person",)
    (tmp_path / "RE" / "toy" / "labels.json").write_text('["physical"]')
    assert read(tmp_path)[0].types == ("physical",)


# ------------------------------------------------------------------------------------------------ the published files

PUBLISHED = pytest.mark.skipif("RELATION_CORPORA" not in os.environ, reason="RELATION_CORPORA names no checkouts")


def published(*places):
    return Path(os.environ["RELATION_CORPORA"]).joinpath(*places)


def counted(dataset, split):
    noted = Counter()
    examples = list(read_dataset(dataset, split, Reading(noted=noted)))
    for example in examples:
        assert answers.count(answers.parse(answers.render_answer(example), example), example).f1 == 1
    return len(examples), sum(len(example.relations) for example in examples) + noted["repeated_relation"]


@PUBLISHED
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_counts_are_the_sources(split):
    found, _ = find_datasets(published("CrossRE", "crossre_data"))
    assert len(found) == 6
    for dataset in found:
        lines = dataset.file(split).read_text().splitlines()
        assert counted(dataset, split) == (len(lines), sum(len(json.loads(line)["relations"]) for line in lines))
    [conll04], _ = find_datasets(published("TablERT-CNN", "data", "datasets", "conll04"), task="re")
    rows = json.loads(conll04.file(split).read_text())
    assert counted(conll04, split) == (len(rows), sum(len(row["relations"]) for row in rows))
    [dataset], _ = find_datasets(published("SciER", "SciER", "LLM"))
    lines = dataset.file(split).read_text().splitlines()
    assert counted(dataset, split) == (len(lines), sum(len(json.loads(line)["rel"]) for line in lines))


@PUBLISHED
def test_the_second_test_split_of_scier_is_one_file():
    path = published("SciER", "SciER", "LLM", "test_ood.jsonl")
    lines = path.read_text().splitlines()
    [dataset], _ = find_datasets(path)
    assert counted(dataset, "test") == (len(lines), sum(len(json.loads(line)["rel"]) for line in lines))


@PUBLISHED
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_joint_answer_says_all_but_two_types_of_a_name_that_a_relation_has(split):
    places = ("CrossRE", "crossre_data"), ("SciER", "SciER", "LLM"), ("TablERT-CNN", "data", "datasets", "conll04")
    found = [dataset for place in places for dataset in find_datasets(published(*place), task="re")[0]]
    for dataset in found:
        for example in read_dataset(dataset, split, Reading(format=answers.formats_of("re")[1])):
            typed = {(entity.name, entity.type) for entity in example.entities}
            tied = {each.name for one in example.relations for each in one.mentions}
            if all(sum(name == other for other, _ in typed) == 1 for name in tied):
                assert answers.count(answers.parse(answers.render_answer(example), example), example).f1 == 1


# --------------------------------------------------------------------------------------------------------- protocols


def test_a_protocol_of_relations_says_format_and_rule(tmp_path, capsys):
    for split in ("train", "dev", "test"):
        write(tmp_path / "files" / f"conll04_{split}.json", TABLERT)
    write(tmp_path / "files" / "conll04_train_dev.json", TABLERT)
    data, out = tmp_path / "data", tmp_path / "scores"
    common = ["eval", "--corpora", str(tmp_path / "files"), "--protocol", "conll04"]
    assert to_parquet([*common, "--out", str(data)]) == 0
    [example] = read(tmp_path / "files", format=answers.formats_of("re")[1])
    saved = tmp_path / "saved.jsonl"
    saved.write_text(json.dumps({"index": 0, "output": answers.render_answer(example)}))
    options = ["--predictions", str(saved), "--data", str(data / "test.parquet"), "--protocol", "conll04"]
    assert evaluate([*options, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "conll04: supervised, CoNLL04; F1 in percent, rule strict" in shown
    assert re.search(r"conll04 +100\.00 +71\.5", shown)


def test_a_protocol_whose_rule_the_rows_have_not_says_the_remedy(tmp_path, capsys):
    write(tmp_path / "files" / "conll04" / "test.json", SPERT)
    data = tmp_path / "data"
    common = ["eval", "--corpora", str(tmp_path / "files"), "--protocol", "conll04", "--out", str(data)]
    assert to_parquet([*common, "--answer-format", answers.formats_of("re")[0]]) == 0
    saved = tmp_path / "saved.jsonl"
    saved.write_text(json.dumps({"index": 0, "output": '{"relations": {}}'}))
    options = ["--predictions", str(saved), "--data", str(data / "test.parquet"), "--protocol", "conll04"]
    assert evaluate([*options, "--out", str(tmp_path / "scores")]) == 2
    assert f"prepare rows with --answer-format {answers.formats_of('re')[1]}" in capsys.readouterr().err
