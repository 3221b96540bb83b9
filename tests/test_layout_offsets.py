"""Texts with entities at character offsets: doccano, Prodigy, spaCy and Label Studio, and what is wrong with them."""

import json
from collections import Counter
from pathlib import Path

import layouts
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from linear_time import linear_time

from data_prep.to_parquet import main as to_parquet
from recipe import corpora
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import Reading, offsets
from recipe.corpora.datasets import find_datasets, read_dataset, sentence_files, sentences
from recipe.corpora.record_layout import RecordLayout

RECORD_LAYOUTS = [layout for layout in corpora.LAYOUTS if isinstance(layout, RecordLayout)]
WRITERS = {
    "doccano.jsonl": (layouts.doccano, offsets.DOCCANO),
    "prodigy.jsonl": (layouts.prodigy, offsets.PRODIGY),
    "spacy.jsonl": (layouts.spacy, offsets.SPACY),
    "spacy.json": (layouts.spacy, offsets.SPACY),
    "label_studio.json": (layouts.label_studio, offsets.LABEL_STUDIO),
}
# "Rome" stands twice and the second is annotated, "New Rome" holds another, and one text has a line end.
GOLD = [
    ("Rome met Rome .", (Entity("Rome", "place", 9),)),
    ("The mayor of New Rome left", (Entity("New Rome", "place", 13), Entity("Rome", "place", 17))),
    ("😀 Ada Lovelace\ncame", (Entity("Ada Lovelace", "person", 2),)),
    ("Nobody came", ()),
]


def gold(dataset):
    return [Example(text, ("person", "place"), entities, dataset) for text, entities in GOLD]


def places(examples):
    return [(one.sentence, [(each.name, each.type, each.start) for each in one.entities]) for one in examples]


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(records), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path, split="train", **how):
    """The examples of a dataset and what was noted."""
    (dataset,), _ = find_datasets(path)
    noted = Counter()
    examples = list(read_dataset(dataset, split, Reading(noted=noted, **how)))
    return examples, {what: number for what, number in noted.items() if number}


# ------------------------------------------------------------------------------------------------------ each layout


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_of_splits_and_a_single_file_give_the_same_examples_and_places(tmp_path, name):
    writer, layout = WRITERS[name]
    writer(tmp_path / "news" / f"train{Path(name).suffix}", gold("news"))
    writer(tmp_path / "news" / f"valid{Path(name).suffix}", gold("news")[:1])
    (dataset,), _ = find_datasets(tmp_path)
    assert dataset.layout is layout
    assert places(read_dataset(dataset, "train")) == places(gold("news"))
    assert list(read_dataset(dataset, "dev")) == gold("news")[:1]
    file = dataset.file("train")
    examples, noted = read(file, "test")
    assert examples == gold("train")
    assert places(examples) == places(gold("train"))
    assert noted == {}


@pytest.mark.parametrize("name", WRITERS)
def test_the_types_are_those_of_the_files_or_those_of_a_list_which_may_rename_them(tmp_path, name):
    writer, _ = WRITERS[name]
    writer(tmp_path / f"train{Path(name).suffix}", [Example("Ada left", (), (Entity("Ada", "PER", 0),))])
    writer(tmp_path / f"test{Path(name).suffix}", [Example("Rome fell", (), (Entity("Rome", "Loc", 0),))])
    assert read(tmp_path)[0][0].types == ("loc", "per")
    (tmp_path / "labels.json").write_text('{"PER": "person", "LOC": "place", "ORG": "organization"}')
    (example,), _ = read(tmp_path, "test")
    assert example.types == ("organization", "person", "place")
    assert example.entities == (Entity("Rome", "place"),)


@pytest.mark.parametrize("name", WRITERS)
def test_an_evaluation_file_is_made_of_it_and_keeps_the_places(tmp_path, name):
    writer, _ = WRITERS[name]
    writer(tmp_path / "corpora" / "news" / f"test{Path(name).suffix}", gold("news"))
    out = tmp_path / "out"
    assert to_parquet(["eval", "--corpora", str(tmp_path / "corpora"), "--out", str(out)]) == 0
    rows = pq.read_table(out / "test.parquet").to_pylist()
    read_back = [from_ground_truth(row["reward_model"]["ground_truth"]) for row in rows]
    assert [one.sentence for one in read_back] == [text for text, _ in GOLD]
    assert read_back[0].entities[0].start == 9


@pytest.mark.parametrize("name", WRITERS)
def test_the_sentences_of_a_split_can_be_kept_out(tmp_path, name):
    writer, _ = WRITERS[name]
    writer(tmp_path / f"test{Path(name).suffix}", gold(""))
    (file,) = sentence_files(tmp_path)
    assert list(sentences(file)) == [text for text, _ in GOLD]


def test_all_parts_of_a_test_split_are_kept_out(tmp_path):
    for number in range(2):
        write(tmp_path / f"test-0000{number}-of-00002.jsonl", {"text": f"Ada {number}", "label": []})
    files = sentence_files(tmp_path)
    assert [text for file in files for text in sentences(file)] == ["Ada 0", "Ada 1"]


# ---------------------------------------------------------------------------------------------------- what they write

SAME = [
    {"text": "Ada left", "label": [[0, 3, "PER"]]},
    {"data": "Ada left", "labels": [[0, 3, "PER"]]},
    {"id": 1, "text": "Ada left", "entities": [{"id": 4, "label": "PER", "start_offset": 0, "end_offset": 3}]},
    {"text": "Ada left", "entities": [{"start": 0, "end": 3, "label": "PER"}]},
    {"text": "Ada left", "label": None, "entities": [{"start": 0, "end": 3, "label": "PER"}]},
    {"text": "Ada left", "label": [{"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}], "annotator": 1},
]


@pytest.mark.parametrize("record", SAME, ids=lambda record: "+".join(record))
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_the_list_of_spans_is_written_in_many_ways(tmp_path, record, ending):
    path = write(tmp_path / f"train.{ending}", record)
    assert offsets.DOCCANO.reads(path)
    assert places(read(path)[0]) == [("Ada left", [("Ada", "per", 0)])]


def test_spans_may_be_rows_of_parquet(tmp_path):
    spans = [{"start": 0, "end": 3, "label": "PER"}]
    pq.write_table(pa.table({"text": ["Ada left", "No"], "entities": [spans, []]}), tmp_path / "train.parquet")
    assert places(read(tmp_path)[0]) == [("Ada left", [("Ada", "per", 0)]), ("No", [])]


def test_relations_are_not_read_and_are_counted(tmp_path):
    related = {"text": "Ada left", "entities": [{"start_offset": 0, "end_offset": 3, "label": "PER"}]}
    related["relations"] = [{"from_id": 1, "to_id": 2, "type": "x"}, {"from_id": 2, "to_id": 1, "type": "x"}]
    assert read(write(tmp_path / "train.jsonl", related))[1] == {"other_annotation": 2}


def test_only_accepted_records_of_prodigy_count(tmp_path):
    span = {"start": 0, "end": 3, "label": "PER", "token_start": 0, "token_end": 0}
    first = {"text": "Ada left", "spans": [span], "tokens": [{"text": "Ada"}], "answer": "accept"}
    others = [{**first, "text": f"Ada {answer}", "answer": answer} for answer in ("reject", "ignore")]
    without = [{"text": "Eve left", "spans": [span], "answer": None}, {"text": "Nobody", "answer": "accept"}]
    path = write(tmp_path / "train.jsonl", first, *others, *without)
    examples, noted = read(path)
    assert [one.sentence for one in examples] == ["Ada left", "Eve left", "Nobody"]
    assert noted == {"not_accepted": 2}
    assert list(sentences(path)) == ["Ada left", "Eve left", "Nobody"]


def task(*results, data=None, **more):
    annotations = [{"was_cancelled": False, "result": list(result)} for result in results]
    return {"id": 1, "data": data or {"text": "Ada left Rome"}, "annotations": annotations, "predictions": [], **more}


def region(start, end, *labels, text=None):
    value = {"start": start, "end": end, "labels": list(labels)}
    return {"id": "x", "type": "labels", "value": {**value, "text": text} if text is not None else value}


def test_the_first_annotation_of_a_task_that_was_not_cancelled_counts(tmp_path):
    cancelled = task([region(0, 3, "LOC")], [region(0, 3, "PER")], [region(4, 8, "PER")])
    cancelled["annotations"][0]["was_cancelled"] = True
    nothing = task()
    none_left = task([region(0, 3, "LOC")])
    none_left["annotations"][0]["was_cancelled"] = True
    examples, noted = read(write(tmp_path / "train.json", cancelled, nothing, none_left))
    assert places(examples) == [("Ada left Rome", [("Ada", "per", 0)])]
    assert noted == {"further_annotation": 1, "not_annotated": 2}


def test_a_region_with_several_labels_is_several_mentions_and_a_choice_is_none(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    examples, noted = read(write(tmp_path / "train.json", task([region(0, 3, "PER", "ORG", text="Ada"), choice])))
    assert sorted(each.type for each in examples[0].entities) == ["org", "per"]
    assert noted == {"other_annotation": 1}


def test_a_region_whose_type_is_left_out_is_a_mention_all_the_same(tmp_path):
    bare = {"value": region(9, 13, "LOC")["value"]}
    relation = {"from_id": "x", "to_id": "y", "type": "relation"}
    examples, noted = read(write(tmp_path / "train.json", task([bare, relation])))
    assert places(examples) == [("Ada left Rome", [("Rome", "loc", 9)])]
    assert noted == {"other_annotation": 1}


def test_the_text_of_a_task_may_be_called_as_one_likes(tmp_path):
    first = task([region(0, 3, "PER")], data={"body": "Ada left", "number": 3})
    assert read(write(tmp_path / "train.json", first))[0][0].sentence == "Ada left"
    two = task([region(0, 3, "PER")], data={"body": "Ada left", "title": "Ada"})
    with pytest.raises(DataError, match="record 2: 'data' has no 'text', and 2 other strings"):
        read(write(tmp_path / "train.json", first, two))


def test_white_space_at_the_ends_of_a_span_is_none_of_the_name(tmp_path):
    path = write(tmp_path / "train.jsonl", {"text": "by New Rome .", "label": [[2, 12, "LOC"]]})
    examples, noted = read(path)
    assert places(examples) == [("by New Rome .", [("New Rome", "loc", 3)])]
    assert noted == {"trimmed_name": 1}


# --------------------------------------------------------------------------------------------------- offsets that lie


def test_a_name_decides_where_its_place_counts_utf16_units(tmp_path):
    text = "😀😀 Rome met Rome"
    (example,), noted = read(
        write(tmp_path / "train.json", task([region(14, 18, "LOC", text="Rome")], data={"t": text}))
    )
    assert [each.start for each in example.entities] == [12]
    assert noted == {"utf16_place": 1}


def test_a_name_that_does_not_stand_at_its_place_is_counted(tmp_path):
    (example,), noted = read(write(tmp_path / "train.json", task([region(1, 4, "LOC", text="Rome")])))
    assert [(each.name, each.start) for each in example.entities] == [("Rome", None)]
    assert noted == {"contradicting_place": 1}


CUT = {
    "UTF-16 units": ("😀 Ada met Bob at home", [[3, 6, "PER"], [11, 14, "PER"]]),
    "bytes": ("Zoë Łuk met Bob at home", [[14, 17, "PER"]]),
    "the end inclusive": ("Ada met Bobby", [[0, 2, "PER"], [8, 12, "PER"]]),
}


@pytest.mark.parametrize("kind", CUT)
def test_offsets_that_cut_words_are_counted_if_another_reading_would_not(tmp_path, kind):
    text, spans = CUT[kind]
    noted = read(write(tmp_path / "train.jsonl", {"text": text, "label": spans}))[1]
    assert noted["offsets_within_a_word"] == 1


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("😀 Ada met Bob", [[2, 5, "PER"], [10, 13, "PER"]]),  # right as they are
        ("antibodies of Ada", [[0, 4, "PRE"], [14, 17, "PER"]]),  # one part of a word among whole ones
        ("张三说你好。", [[0, 2, "PER"]]),  # no spaces, so no word ends
    ],
)
def test_right_offsets_are_not_counted(tmp_path, text, spans):
    assert read(write(tmp_path / "train.jsonl", {"text": text, "label": spans}))[1] == {}


# ------------------------------------------------------------------------------------------------------- bad records

GOOD = {"text": "Ada left", "label": [[0, 3, "PER"]]}


def spans(*found):
    return {**GOOD, "label": list(found)}


BAD_DOCCANO = [
    (7, "not_an_object", "a number, not an object"),
    ({"text": "Ada left"}, "no_entities", "lacks 'label', 'labels' or 'entities'"),
    ({**GOOD, "text": None}, "bad_sentence", "the text is null or missing"),
    ({**GOOD, "text": " \n"}, "bad_sentence", "the text is empty"),
    ({**GOOD, "text": "Ada \ud83d"}, "lone_surrogate", "lone surrogate"),
    ({**GOOD, "label": "PER"}, "bad_entities", "the list of entities is a string"),
    ({"text": "Ada left", "labels": ["PER"]}, "bad_entity", "entity 1 is a string, not"),
    (spans([0, 3, "PER"], [0, 3]), "bad_entity", "entity 2 is a list of 2, not"),
    (spans([3, 3, "PER"]), "bad_place", "entity 1 is at 3 to 3"),
    (spans([5, 3, "PER"]), "bad_place", "entity 1 is at 5 to 3"),
    (spans([-3, 3, "PER"]), "bad_place", "entity 1 is at -3 to 3"),
    (spans([0, 3.0, "PER"]), "bad_place", "entity 1 has a fraction as an offset"),
    (spans([True, 3, "PER"]), "bad_place", "entity 1 has true or false as an offset"),
    (spans(["0", 3, "PER"]), "bad_place", "entity 1 has a string as an offset"),
    (spans([0, 9, "PER"]), "bad_place", "entity 1 is at 0 to 9 of 8 characters"),
    (spans({"start": 0, "label": "PER"}), "bad_place", "entity 1 has null or missing as an offset"),
    (spans([3, 4, "PER"]), "bad_name", "nothing is seen"),
    (spans([0, 3, None]), "bad_type", "the label of entity 1 is null"),
    (spans([0, 3, " "]), "bad_type", "the label of entity 1 is empty"),
    (spans({"start": 0, "end": 3, "labels": []}), "bad_type", "entity 1 has no label"),
    (spans({"start": 0, "end": 3, "label": "PER", "text": 3}), "bad_name", "'text' of entity 1 is a number"),
    (
        spans({"start": 0, "end": 3, "label": "PER", "text": "\ud83d"}),
        "lone_surrogate",
        "of entity 1 holds a lone",
    ),
    (spans([0, 3, "\udc00"]), "lone_surrogate", "the label of entity 1 holds a lone surrogate"),
]
BAD_PRODIGY = [
    ([], "not_an_object", "a list, not an object"),
    ({"spans": []}, "no_text", "lacks 'text'"),
    ({"text": "Ada", "spans": [{"start": 0, "end": 9, "label": "PER"}]}, "bad_place", "0 to 9 of 3 characters"),
]
BAD_SPACY = [
    (None, "not_a_pair", "not a pair"),
    (["Ada", {"entities": []}, 3], "not_a_pair", "not a pair"),
    (["Ada", {"cats": {}}], "no_entities", "lacks 'entities'"),
    ([3, {"entities": []}], "bad_sentence", "the text is a number"),
    (["Ada", {"entities": [[0, 4, "PER"]]}], "bad_place", "0 to 4 of 3 characters"),
]
BAD_LABEL_STUDIO = [
    ("Ada", "not_an_object", "a string, not an object"),
    ({"annotations": []}, "no_data", "'data' is null or missing"),
    ({"data": {"text": "Ada"}, "annotations": [3]}, "bad_annotations", "not a list of objects"),
    ({"data": {"text": "Ada"}, "annotations": [{"result": 3}]}, "bad_entities", "'result' is not a list"),
    (task([{"type": "labels"}]), "bad_entity", "entity 1 is null or missing, not"),
    (task([region(-1, 2, "PER", text="Ada")]), "bad_place", "entity 1 is at -1 to 2"),
]
BAD = [
    *((GOOD, *bad) for bad in BAD_DOCCANO),
    *(({"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "PER"}]}, *bad) for bad in BAD_PRODIGY),
    *((["Ada", {"entities": [[0, 3, "PER"]]}], *bad) for bad in BAD_SPACY),
    *((task([region(0, 3, "PER")]), *bad) for bad in BAD_LABEL_STUDIO),
]


@pytest.mark.parametrize(("good", "bad", "reason", "message"), BAD, ids=[f"{n}-{bad[2]}" for n, bad in enumerate(BAD)])
def test_a_bad_record_is_one_line_with_file_and_number_or_is_counted(tmp_path, good, bad, reason, message):
    path = write(tmp_path / "train.json", good, bad, good)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: record 2: ")
    assert str(error.value).endswith("; correct it or skip such records")
    assert "\n" not in str(error.value)
    skipped = Counter()
    assert len(read(path, skipped=skipped)[0]) == 2
    assert skipped == {reason: 1}


def test_a_label_that_the_list_of_types_lacks_is_told(tmp_path):
    write(tmp_path / "train.jsonl", GOOD)
    (tmp_path / "labels.json").write_text('["ORG"]')
    with pytest.raises(DataError, match="record 1: entity 1 is of type 'per', which is none of the 1 types"):
        read(tmp_path)


def test_a_bad_record_is_said_by_the_command_too(tmp_path, capsys):
    write(tmp_path / "corpora" / "news" / "test.jsonl", GOOD, spans([0, 99, "PER"]))
    command = ["eval", "--corpora", str(tmp_path / "corpora"), "--out", str(tmp_path / "out")]
    assert to_parquet(command) == 2
    assert "test.jsonl: record 2: entity 1 is at 0 to 99 of 8 characters" in capsys.readouterr().err
    assert to_parquet([*command, "--on-error", "skip"]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["test.parquet"]["datasets"]["news"]["skipped"] == {"bad_place": 1}


# ------------------------------------------------------------------------------------------------------- which layout

FIRST = [
    ({"sentence": "Ada left", "entities": [{"name": "Ada", "type": "person"}]}, None),
    ({"sentence": "Ada left", "entities": []}, None),
    ({"sentence": "Ada", "schema": ["person"], "entities": [{"text": "Ada", "label": "person"}], "cot": "Ada"}, None),
    ({"tokens": ["Ada"], "ner_tags": [1]}, None),
    ({"text": "Ada left", "tokens": ["Ada", "left"], "labels": [1, 0]}, None),
    ({"text": "Ada left", "tokens": ["Ada", "left"], "labels": []}, None),
    ({"tokenized_text": ["Ada"], "ner": [[0, 0, "person"]]}, None),
    ({"id": "1", "conversations": [{"from": "human", "value": "Text: Ada"}]}, None),
    ({"data_source": "news", "prompt": [], "ability": "ner", "reward_model": {}, "extra_info": {}}, None),
    ({"data_source": "news", "messages": [{"role": "user", "content": "Ada"}]}, None),
    ({"context": "Ada left", "query": "persons", "entity_label": "PER"}, None),
    ({"text": "Ada left", "labels": ["news"]}, None),  # a classified text
    ({"text": "Ada left", "label": "news"}, None),
    ({"text": "Ada left", "label": 1}, None),
    ({"text": "Ada left", "entities": [{"name": "Ada", "type": "person"}]}, None),
    ({"text": "Ada left", "types": ["person"], "id": 3}, None),
    (["Ada left", {"cats": {"NEWS": 1}}], None),
    (["Ada", "left"], None),
    ({"data": [{"text": "Ada"}], "version": 1}, None),
    ({"data": {"text": "Ada"}}, None),
    ("Ada left", None),
    (None, None),
    *((record, offsets.DOCCANO) for record in SAME),
    ({"id": 1, "text": "Ada left", "label": [], "Comments": []}, offsets.DOCCANO),
    (spans([0, 99.5, "PER"]), offsets.DOCCANO),  # a bad record of the layout is told when it is read
    ({"text": "Ada left", "label": [[0, 3, "PER"]], "spans": None, "tokens": None}, offsets.DOCCANO),
    ({"text": "Ada", "spans": []}, offsets.PRODIGY),
    ({"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "PER"}], "tokens": [{"text": "Ada"}]}, offsets.PRODIGY),
    (["Ada", {"entities": []}], offsets.SPACY),
    (["Ada", {"entities": [[0, 3, "PER"]]}], offsets.SPACY),
    ({"classes": ["PER"], "annotations": [["Ada", {"entities": [[0, 3, "PER"]]}]]}, offsets.SPACY),
    (task([region(0, 3, "PER")]), offsets.LABEL_STUDIO),
    (task(), offsets.LABEL_STUDIO),
]


@pytest.mark.parametrize(("record", "layout"), FIRST)
def test_a_first_record_is_of_one_layout_at_most(record, layout):
    ours = {offsets.DOCCANO.name, offsets.PRODIGY.name, offsets.SPACY.name, offsets.LABEL_STUDIO.name}
    fitting = [each.name for each in RECORD_LAYOUTS if each.fits(record)]
    assert len(fitting) <= 1
    assert [name for name in fitting if name in ours] == ([layout.name] if layout else [])


def test_an_annotators_export_for_spacy_is_refused_by_name(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"classes": ["PER"], "annotations": [["Ada", {"entities": [[0, 3, "PER"]]}]]}))
    with pytest.raises(DataError, match='an object of "classes" and "annotations"; save its list'):
        read(path)


def test_spacys_binary_files_are_refused_by_name(tmp_path):
    (tmp_path / "train.spacy").write_bytes(b"\x78\x9c")
    for path in (tmp_path, tmp_path / "train.spacy"):
        with pytest.raises(DataError, match="spaCy's binary DocBin, to be written as JSON Lines"):
            read(path)


def test_a_long_text_with_many_spans_is_read_in_linear_time(tmp_path):
    text, found = "Zoë met Bob\n" * 50_000, [[12 * n, 12 * n + 2, "PER"] for n in range(50_000)]
    with linear_time():
        (example,), noted = read(write(tmp_path / "train.jsonl", {"text": text, "label": found}))
    assert (len(example.entities), noted) == (50_000, {"offsets_within_a_word": 1})


def test_an_empty_list_hides_no_other_and_two_that_differ_are_refused(tmp_path):
    spans = [{"start_offset": 0, "end_offset": 3, "label": "PER"}]
    same = {"text": "Ada left", "label": [], "entities": spans}
    (example,), _ = read(write(tmp_path / "a.jsonl", same))
    assert [entity.name for entity in example.entities] == ["Ada"]
    two = {"text": "Ada left", "label": [[4, 8, "VERB"]], "labels": [], "entities": spans}
    with pytest.raises(DataError, match=r"b.jsonl: record 2: has two of 'label', 'labels' and 'entities'; leave one;"):
        read(write(tmp_path / "b.jsonl", same, two))


@pytest.mark.parametrize("text", ["\u200b\ufeff", "\u00ad \u200d", "\u2060\n"])
def test_a_text_of_which_nothing_is_seen_is_bad(tmp_path, text):
    sound = {"text": "Ada left", "label": [[0, 3, "PER"]]}
    with pytest.raises(DataError, match=r"a.jsonl: record 2: the text has nothing that is seen; correct it"):
        read(write(tmp_path / "a.jsonl", sound, {"text": text, "label": []}))


@pytest.mark.parametrize(
    "first", [{"answer": "accept"}, {"answer": "reject", "_task_hash": 7}, {"answer": "ignore", "spans": None}]
)
def test_a_prodigy_file_may_begin_with_a_text_without_spans(tmp_path, first):
    sound = {"text": "Ada left", "spans": [{"start": 0, "end": 3, "label": "PER"}], "answer": "accept"}
    examples, _ = read(write(tmp_path / "a.jsonl", {"text": "Nobody", **first}, sound))
    assert [len(example.entities) for example in examples] == ([0, 1] if first["answer"] == "accept" else [1])


def test_prodigys_labels_of_whole_texts_are_no_entities(tmp_path):
    for number, record in enumerate(({"label": "NEWS"}, {"options": [{"id": 1}], "accept": [1]})):
        path = write(tmp_path / f"{number}.jsonl", {"text": "Ada left", "answer": "accept", **record})
        with pytest.raises(DataError, match="no layout that is read"):
            read(path)
