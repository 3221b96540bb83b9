import json
from collections import Counter

import pytest
from cot_case import read_ner_cot

from recipe.core.entities import DataError, Entity, Example
from recipe.corpora import Reading, conll, json_files
from recipe.corpora import datasets as corpora
from recipe.corpora.datasets import (
    dataset_at,
    dataset_name,
    find_datasets,
    read_dataset,
    read_names,
)
from recipe.corpora.json_files import read_lines, read_list


def read_labels(dataset):
    return dataset.layout.types(dataset, Reading())


def read(root, name="toy", split="train", **counters):
    return list(read_dataset(dataset_at(root / name), split, Reading(**counters)))


# -------------------------------------------------------------------------------------------------------- datasets


def test_a_resampled_folder_is_the_dataset_it_was_sampled_from():
    assert dataset_name("CoNLL 2003_sample_15000") == "CoNLL 2003"
    assert dataset_name("bc2gm_sample_") == "bc2gm_sample_"


def test_a_name_finds_a_resampled_folder_and_its_data_source_is_the_name(instructuie):
    root = instructuie("CoNLL 2003_sample_15000")
    (dataset,), _ = find_datasets(root, ["CoNLL 2003"])
    assert (dataset.name, dataset.folder.name) == ("CoNLL 2003", "CoNLL 2003_sample_15000")


def test_the_folder_that_is_not_resampled_is_preferred(instructuie):
    instructuie("X_sample_15000")
    root = instructuie("X")
    assert [dataset.folder.name for dataset in find_datasets(root)[0]] == ["X"]
    assert find_datasets(root, ["X_sample_15000"])[0][0].folder.name == "X_sample_15000"


def test_datasets_come_in_the_order_of_the_names_and_sorted_without(instructuie):
    for name in ("b", "a"):
        root = instructuie(name)
    assert [dataset.name for dataset in find_datasets(root, ["b", "a"])[0]] == ["b", "a"]
    assert [dataset.name for dataset in find_datasets(root)[0]] == ["a", "b"]


def test_missing_names_are_told(instructuie):
    assert find_datasets(instructuie("a"), ["b", "a", "c"])[1] == ["b", "c"]


def test_the_folder_above_will_do(instructuie):
    assert find_datasets(instructuie("a").parent)[0] == find_datasets(instructuie("a"))[0]


def test_a_dataset_named_twice_is_an_error(instructuie):
    with pytest.raises(DataError, match="named twice"):
        find_datasets(instructuie("a"), ["a", "a"])


def test_a_folder_without_datasets_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no layout that is read: it is empty"):
        find_datasets(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_datasets(tmp_path / "nowhere")


def lines(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_folder_may_hold_datasets_that_are_folders_and_some_that_are_files(tmp_path):
    record = {"text": "Ada left", "label": [[0, 3, "PER"]]}
    lines(tmp_path / "a" / "test.jsonl", record)
    lines(tmp_path / "own.jsonl", record)
    (tmp_path / "column.conll").write_text("Ada\tB-PER\n")
    (tmp_path / "README.txt").write_text("No dataset .\n")
    (tmp_path / "._own.jsonl").write_bytes(b"\0")
    assert [dataset.name for dataset in find_datasets(tmp_path)[0]] == ["a", "column", "own"]
    assert [dataset.folder.name for dataset in find_datasets(tmp_path, ["own"])[0]] == ["own.jsonl"]


def test_a_folder_with_splits_hides_no_dataset_below_it_nor_is_hidden_by_one(tmp_path):
    record = {"text": "Ada left", "label": [[0, 3, "PER"]]}
    lines(tmp_path / "news" / "test.jsonl", record)
    lines(tmp_path / "news" / "old" / "test.jsonl", record)
    assert [dataset.name for dataset in find_datasets(tmp_path / "news")[0]] == ["news", "old"]
    lines(tmp_path / "news" / "data" / "test.jsonl", record)
    with pytest.raises(DataError, match=r"news: the folder itself and data; give the path of data, or move it away"):
        find_datasets(tmp_path / "news")


@pytest.mark.parametrize("name", ["a\nb", "a\u200bb", "a\udcffb"])
def test_a_dataset_whose_name_cannot_be_printed_is_refused(tmp_path, name):
    lines(tmp_path / name / "test.jsonl", {"text": "Ada left", "label": [[0, 3, "PER"]]})
    with pytest.raises(DataError) as error:
        find_datasets(tmp_path)
    assert str(error.value).endswith(f": {name!r} holds characters that can't be printed; give it another name")


def test_the_lists_are_the_papers():
    assert [len(corpora.LISTS[name]) for name in ("in_domain", "in_domain_clean", "cross_domain")] == [20, 18, 7]
    assert not set(corpora.LISTS["in_domain_clean"]) & set(corpora.CROSS_DOMAIN)


def test_datasets_are_found_below_folders_that_only_group_them(tmp_path):
    for place in ("CrossNER/ai/train.txt", "B2NERD/NER_zh/weibo/labels.json", "d/de_test.conll"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("a O\n")
    found, _ = find_datasets(tmp_path)
    assert [(dataset.name, dataset.layout is conll) for dataset in found] == [
        ("ai", True),
        ("d", True),
        ("weibo", False),
    ]


def test_a_name_in_two_groups_is_an_error_unless_another_one_is_asked_for(tmp_path):
    for place in ("B2NERD/NER_en/a", "B2NERD_all/NER_en/a", "B2NERD_all/NER_en/b"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "labels.json").write_text("[]")
    assert find_datasets(tmp_path, ["b"])[0][0].folder.name == "b"
    for names in (None, ["a"]):
        with pytest.raises(DataError, match="two datasets are called a: B2NERD/NER_en/a and B2NERD_all/NER_en/a;"):
            find_datasets(tmp_path, names)


def test_a_list_file_has_a_name_on_each_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf# ours\r\nBroad Tweet Corpus\r\n\r\nbc5cdr\r\n")
    assert read_names(path) == ("Broad Tweet Corpus", "bc5cdr")


# ----------------------------------------------------------------------------------------------------- InstructUIE


def test_a_record_becomes_an_example_with_normalised_types(instructuie, record):
    root = instructuie(train=[record(1)], labels=["Place", "person", "else"])
    entities = (Entity("Ada 1", "person"), Entity("Paris", "place"))
    assert read(root) == [Example("Ada 1 met Bob in Paris .", ("person", "place"), entities, "toy")]


def test_an_entity_of_a_residual_type_is_left_out_and_counted(instructuie, record):
    entities = [{"name": "Bob", "type": "ELSE"}, {"name": "Paris", "type": "place"}]
    noted = Counter()
    (example,) = read(instructuie(train=[record(entities=entities)]), noted=noted)
    assert example.entities == (Entity("Paris", "place"),)
    assert noted["residual_entity"] == 1


def test_a_name_that_the_sentence_does_not_hold_is_kept_and_counted(instructuie, record):
    noted = Counter()
    (example,) = read(instructuie(train=[record(entities=[{"name": "Rome", "type": "place"}])]), noted=noted)
    assert len(example.entities) == 1
    assert noted["name_not_in_sentence"] == 1


def places(example):
    return [(entity.name, entity.start) for entity in example.entities]


TWICE = "Paris met Paris Hilton ."


def in_paris(*pos, **changes):
    entities = [{"name": "Paris", "type": "place", "pos": each} for each in pos]
    return {"sentence": TWICE, "entities": entities, **changes}


@pytest.mark.parametrize("pos", [[10, 15], [10, 14], [10, 10**9], [10, 3]])
def test_a_place_that_begins_with_the_name_is_kept_wherever_it_ends(instructuie, pos):
    noted = Counter()
    [example] = read(instructuie(train=[in_paris(pos)]), noted=noted)
    assert places(example) == [("Paris", 10)]
    assert not +noted


@pytest.mark.parametrize(
    "pos", ["x", [5, 1], [3, 10**9], {}, [0.0, 5.0], [True, 5], [0], [-24, 5], ["0", "5"]], ids=str
)
def test_where_a_place_contradicts_the_name_the_name_decides(instructuie, pos):
    noted = Counter()
    [example] = read(instructuie(train=[in_paris(pos)]), noted=noted)
    assert places(example) == [("Paris", None)]
    assert +noted == {"contradicting_place": 1}


@pytest.mark.parametrize("pos", [None, []])
def test_a_place_may_be_missing(instructuie, pos):
    noted = Counter()
    [example] = read(instructuie(train=[in_paris(pos)]), noted=noted)
    assert places(example) == [("Paris", None)]
    assert not +noted


def test_entities_come_by_their_place_a_longer_one_first_and_a_repeated_one_once(instructuie):
    noted, root = Counter(), instructuie(train=[in_paris([10, 15], [0, 5], [10, 15])])
    assert places(read(root, noted=noted)[0]) == [("Paris", 0), ("Paris", 10)]
    assert +noted == {"repeated_entity": 1}
    hilton = {"name": "Paris Hilton", "type": "person", "pos": [10, 22]}
    unplaced = {"name": "Rome", "type": "place"}
    paris = in_paris([10, 15])["entities"]
    [example] = read(instructuie(train=[in_paris(entities=[unplaced, *paris, hilton])]))
    assert places(example) == [("Paris Hilton", 10), ("Paris", 10), ("Rome", None)]


def test_entities_without_places_stay_in_their_order(instructuie):
    entities = [{"name": name, "type": "place"} for name in ("Paris", "Paris Hilton", "met")]
    [example] = read(instructuie(train=[in_paris(entities=entities)]))
    assert [entity.name for entity in example.entities] == ["Paris", "Paris Hilton", "met"]


@pytest.mark.parametrize("name", ["Paris ", "\u00a0Paris", "Paris\u200b", "\ufeffParis\u00ad\u3000"])
def test_what_nobody_sees_at_the_ends_of_a_name_is_no_part_of_it(instructuie, tmp_path, name):
    noted, before = Counter(), len(name) - len(name.lstrip("\u00a0\ufeff"))
    sentence = f"Ada in {name} ."
    entity = {"name": name, "type": "place", "pos": [7, 7 + len(name)]}
    [example] = read(instructuie(train=[{"sentence": sentence, "entities": [entity]}]), noted=noted)
    assert places(example) == [("Paris", 7 + before)]
    assert +noted == {"trimmed_name": 1}
    row = cot_row(sentence=sentence, entities=[{"text": name, "label": "place", "pos": [7, 7 + len(name)]}])
    [example] = read_ner_cot(write_rows(tmp_path / "rows.jsonl", [row]), Reading(noted=noted))
    assert places(example) == [("Paris", 7 + before)]
    assert +noted == {"trimmed_name": 2}


def test_no_place_of_the_twelve_datasets_contradicts_its_name(ner_data):
    for dataset in find_datasets(ner_data)[0]:
        for split in ("train", "dev", "test"):
            noted = Counter()
            assert all(
                None not in dict(places(example)).values()
                for example in read_dataset(dataset, split, Reading(noted=noted))
            )
            assert not +noted - Counter(residual_entity=noted["residual_entity"])


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "train.ndjson"])
def test_a_dataset_may_be_one_file_which_names_its_types(tmp_path, record, name):
    bad = {"sentence": 5, "entities": 7, "labels": [1, {"type": 2}]}
    path = write_rows(tmp_path / name, [record(1), record(2, labels=["River"], entities=[]), bad])
    [dataset], _ = find_datasets(path)
    assert read_labels(dataset) == ("person", "place", "river")
    found = list(read_dataset(dataset, "test", Reading(skipped=Counter())))
    assert [example.types for example in found] == [("person", "place", "river"), ("river",)]
    assert (found[0].dataset, dataset.one_file) == (path.stem, True)
    path.with_name("labels.json").write_text('["person", "place", "town"]')
    assert read_labels(find_datasets(path)[0][0]) == ("person", "place", "town")


def test_a_split_may_be_json_lines(instructuie, record):
    root = instructuie(train=[record(1)])
    write_rows(root / "toy" / "test.jsonl", [record(2), record(3)])
    assert len(read(root, split="test")) == 2
    assert list(corpora.sentences(root / "toy" / "test.jsonl")) == [record(n)["sentence"] for n in (2, 3)]


def test_one_file_without_an_entity_leaves_no_type_and_says_the_remedy(tmp_path):
    path = write_rows(tmp_path / "rows.json", [{"sentence": "Ada", "entities": []}])
    with pytest.raises(DataError, match=r"rows.json: leaves no type .*labels.json beside it"):
        read_labels(dataset_at(path))


def test_a_byte_order_mark_and_crlf_load(instructuie, record):
    text = "\ufeff" + json.dumps([record(1), record(2)], indent=1).replace("\n", "\r\n")
    assert len(read(instructuie(train=text.encode()))) == 2


def test_an_empty_list_has_no_records(instructuie):
    assert read(instructuie(train=b" [ ] \n")) == []


ENTITY = {"name": "Paris", "type": "place"}
BAD_RECORDS = {
    "a list": [],
    "a string": "text",
    "null": None,
    "no sentence": {"entities": []},
    "no entities": {"sentence": "Paris ."},
    "entities an object": {"sentence": "Paris .", "entities": {}},
    "entity a string": {"sentence": "Paris .", "entities": ["Paris"]},
    "entity without name": {"sentence": "Paris .", "entities": [{"type": "place"}]},
    "entity without type": {"sentence": "Paris .", "entities": [{"name": "Paris"}]},
    "name a number": {"sentence": "Paris .", "entities": [{"name": 5, "type": "place"}]},
    "type a list": {"sentence": "Paris .", "entities": [{"name": "Paris", "type": ["place"]}]},
    "type null": {"sentence": "Paris .", "entities": [{"name": "Paris", "type": None}]},
    "empty name": {"sentence": "Paris .", "entities": [{"name": "", "type": "place"}]},
    "blank name": {"sentence": "Paris .", "entities": [{"name": " \u3000", "type": "place"}]},
    "empty sentence": {"sentence": "", "entities": []},
    "sentence a number": {"sentence": 5, "entities": []},
    "surrogate in sentence": {"sentence": "Paris \ud83d", "entities": []},
    "surrogate in name": {"sentence": "Paris .", "entities": [{"name": "\udc00", "type": "place"}]},
    "surrogate in type": {"sentence": "Paris .", "entities": [{"name": "Paris", "type": "\udc00"}]},
    "type not in labels": {"sentence": "Paris .", "entities": [{"name": "Paris", "type": "city"}]},
}


@pytest.mark.parametrize("bad", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_a_bad_record_is_an_error_that_names_file_and_record(instructuie, record, bad):
    root = instructuie(train=[record(1), record(2), bad, record(4)])
    with pytest.raises(DataError, match=r"toy/train.json: record 3: [^\n]*$") as caught:
        read(root)
    str(caught.value).encode()  # and can be printed


@pytest.mark.parametrize("bad", BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_a_bad_record_can_be_skipped_and_is_counted_by_reason(instructuie, record, bad):
    skipped = Counter()
    assert len(read(instructuie(train=[record(1), bad, record(3)]), skipped=skipped)) == 2
    assert skipped.total() == 1


BAD_FILES = {
    "empty": (b"", "empty file"),
    "blank": (b" \n\xef", "0xef"),
    "only a byte-order mark": (b"\xef\xbb\xbf", "empty file"),
    "truncated in a record": (b'[{"sentence": "a", "entities": []}, {"sentence": "b', "record 2: truncated"),
    "truncated after a record": (b'[{"sentence": "a", "entities": []}', "record 1: .*truncated"),
    "truncated after a comma": (b'[{"sentence": "a", "entities": []},', "record 2: truncated"),
    "JSON Lines": (b'{"sentence": "a", "entities": []}\n{"sentence": "b", "entities": []}\n', "JSON Lines"),
    "an object": (b'{"sentence": "a", "entities": []}', "an object at the top"),
    "a string": (b'"text"', "a string at the top"),
    "a number": (b"5", "not a JSON list"),
    "no JSON": (b"Paris", "not a JSON list"),
    "UTF-16": ("[]".encode("utf-16"), "UTF-16"),
    "UTF-16 without mark": ("[]".encode("utf-16-le"), "UTF-16"),
    "Latin-1": (
        '[{"sentence": "a", "entities": []}, {"sentence": "caf\xe9"}]'.encode("latin-1"),
        "record 2: byte 0xe9 at offset 53",
    ),
    "20,000 deep": (b'[{"sentence": "a", "entities": []}, ' + b"[" * 20000, "record 2: nested too deeply"),
    "20,000 deep objects": (b'[{"sentence": ' * 20000, "record 1: nested too deeply"),
    "no comma": (b'[{"sentence": "a", "entities": []} {}]', "record 1: '{' follows"),
    "trailing comma": (b'[{"sentence": "a", "entities": []},]', "record 2: not valid JSON"),
    "two lists": (b"[] []", "more text after the end"),
    "a huge number": (b"[" + b"9" * 5000 + b"]", "record 1: a number too long"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_an_error_that_names_file_and_record_even_when_records_may_be_skipped(
    instructuie, content, message
):
    with pytest.raises(DataError, match=f"toy/train.json: [^\n]*{message}[^\n]*$"):
        read(instructuie(train=content), skipped=Counter())


@pytest.mark.parametrize("missing", ["train.json", "labels.json"])
def test_a_missing_file_is_an_error_that_names_it(instructuie, record, missing):
    root = instructuie(train=[record()])
    (root / "toy" / missing).unlink()
    with pytest.raises(DataError, match=f"toy/{missing}: cannot be read"):
        read(root)


@pytest.mark.parametrize(
    "labels", [{"person": 1}, "person", [], ["else", " "], [1], [None], ["\ud83d"]], ids=lambda labels: ascii(labels)
)
def test_labels_that_are_no_list_of_names_or_leave_no_type_are_an_error(instructuie, labels):
    with pytest.raises(DataError, match=r"toy/labels.json: "):
        read_labels(dataset_at(instructuie(labels=labels) / "toy"))


@pytest.mark.parametrize("keep_else", [False, True])
def test_residual_types_are_kept_on_demand_and_those_that_say_nothing_never(instructuie, record, keep_else):
    entities = [{"name": "Bob", "type": "Else"}, {"name": "Ada", "type": "NA"}, {"name": "Paris", "type": "place"}]
    root, noted = instructuie(train=[record(entities=entities)], labels=["place", "else", "NA"]), Counter()
    (example,) = read(root, keep_else=keep_else, noted=noted)
    assert example.types == (("else", "place") if keep_else else ("place",))
    assert [entity.name for entity in example.entities] == (["Bob", "Paris"] if keep_else else ["Paris"])
    assert noted["residual_entity"] == (1 if keep_else else 2)


# ---------------------------------------------------------------------------------------------------------- B2NERD


def test_a_record_of_b2nerd_may_bring_its_own_types_and_needs_no_pos(instructuie, record):
    paris = {"name": "Paris", "type": "city"}
    root = instructuie(train=[record(entities=[paris], labels=["City", "na"]), record(entities=[])])
    own, other = read(root)
    assert (own.types, own.entities) == (("city",), (Entity("Paris", "city"),))
    assert other.types == ("person", "place")


@pytest.mark.parametrize("labels", [{}, [], ["na"], [1], ["\ud83d"]], ids=ascii)
def test_own_types_that_are_none_are_an_error(instructuie, record, labels):
    with pytest.raises(DataError, match="record 1: 'labels' "):
        read(instructuie(train=[record(labels=labels)]))


def test_only_in_b2nerd_may_a_dataset_lack_a_split(tmp_path):
    for group in ("NER_en", "NER"):
        (tmp_path / group / "a").mkdir(parents=True)
        (tmp_path / group / "a" / "labels.json").write_text("[]")
    assert dataset_at(tmp_path / "NER_en" / "a").may_lack_splits
    assert not dataset_at(tmp_path / "NER" / "a").may_lack_splits


@pytest.mark.parametrize(
    ("name", "content"),
    [("train.txt", "Ada B-PER\n"), ("train.json", '[{"tokenized_text": ["Ada"], "ner": [[0, 0, "PER"]]}]')],
)
def test_another_layout_with_a_list_of_labels_in_a_folder_of_b2nerd_is_not_b2nerd(tmp_path, name, content):
    folder = tmp_path / "NER_en" / "a"
    folder.mkdir(parents=True)
    (folder / "labels.json").write_text('["PER"]')
    (folder / name).write_text(content)
    assert [entity.name for entity in next(read_dataset(dataset_at(folder), "train")).entities] == ["Ada"]


# --------------------------------------------------------------------------------------------------------- CoNLL/BIO

COLUMNS = "Ada B-PER\nmet O\nBob B-MISC\nin O\nNew B-LOC\nYork I-LOC\n"


@pytest.fixture
def columns(tmp_path):
    """Writes a dataset in columns: `columns({"train.txt": ...})` -> the dataset."""

    def write(files):
        folder = tmp_path / "news"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return dataset_at(folder)

    return write


def test_a_sentence_in_columns_becomes_an_example_with_the_types_of_all_splits(columns):
    noted = Counter()
    dataset = columns({"train.txt": COLUMNS, "test.tsv": "EU\tB-ORG\n"})
    entities = (Entity("Ada", "per"), Entity("New York", "loc"))
    expected = Example("Ada met Bob in New York", ("loc", "org", "per"), entities, "news")
    assert list(read_dataset(dataset, "train", Reading(noted=noted))) == [expected]
    assert noted["residual_entity"] == 1  # MISC


def test_tags_out_of_order_are_counted(columns):
    noted = Counter()
    list(read_dataset(columns({"train.txt": "Ada B-PER\n\nBob I-PER\n"}), "train", Reading(noted=noted)))
    assert noted["repaired_entity"] == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("labels.json", '["LOC", "MISC", "ORG", "PER"]'),
        ("labels.json", '["O", "B-LOC", "I-LOC", "B-ORG", "PER"]'),
        ("labels.txt", "\ufeffLOC\r\nORG\r\n\r\nPER\r\n"),
        ("labels.txt", "O\nB-LOC\nI-LOC\nB-ORG\nB-PER\n"),
    ],
)
def test_a_file_of_labels_or_of_tags_gives_the_types(columns, name, labels):
    assert read_labels(columns({"train.txt": COLUMNS, name: labels})) == ("loc", "org", "per")


def test_labels_can_be_renamed_and_a_residual_name_stays_residual(columns):
    labels = '{"PER": "Person", "LOC": "place", "MISC": "else"}'
    (example,) = read_dataset(columns({"train.txt": COLUMNS, "labels.json": labels}), "train")
    assert example.types == ("person", "place")
    assert example.entities == (Entity("Ada", "person"), Entity("New York", "place"))


@pytest.mark.parametrize("labels", ["[1]", '{"PER": 1}', '{"PER"', "[]", '["MISC"]', '{"PER": "na"}'])
def test_labels_of_columns_that_are_none_are_an_error(columns, labels):
    with pytest.raises(DataError, match=r"news/labels.json: [^\n]*$"):
        read_labels(columns({"train.txt": COLUMNS, "labels.json": labels}))


def test_tags_without_a_type_are_an_error_that_speaks_of_the_columns(columns):
    with pytest.raises(DataError, match=r"news/train.txt: leaves no type to ask for .*--columns"):
        read_labels(columns({"train.txt": "Ada O\n"}))


@pytest.mark.parametrize("bad", ["Ada", "Ada X-PER", "\u3000 O", "Ada NNP O", "Ada B-CITY"])
def test_a_bad_sentence_in_columns_is_an_error_that_names_file_and_line_or_is_skipped(columns, bad):
    dataset = columns({"train.txt": f"{COLUMNS}\n{bad}\n\n{COLUMNS}", "labels.txt": "PER\nLOC\n"})
    with pytest.raises(DataError, match=r"news/train.txt: line 8: [^\n]*$"):
        list(read_dataset(dataset, "train"))
    skipped = Counter()
    assert len(list(read_dataset(dataset, "train", Reading(skipped=skipped)))) == 2
    assert skipped.total() == 1


def test_a_bad_file_in_columns_is_an_error_even_when_sentences_may_be_skipped(columns):
    with pytest.raises(DataError, match=r"news/train.txt: line 7: byte 0xe9"):
        list(
            read_dataset(columns({"train.txt": COLUMNS.encode() + b"caf\xe9 O\n"}), "train", Reading(skipped=Counter()))
        )


def test_a_folder_with_both_layouts_is_json(instructuie, record):
    root = instructuie(train=[record(1)])
    (root / "toy" / "train.txt").write_text("Ada B-PER\n")
    assert len(list(read_dataset(dataset_at(root / "toy"), "train"))) == 1
    assert dataset_at(root / "toy").file("train").name == "train.json"


# Nested mentions (GENIA_NER) and tokens with spaces (Broad Tweet Corpus) are nothing that columns can hold.
FLAT = [*corpora.CROSS_DOMAIN, "bc5cdr", "AnatEM", "bc2gm"]


@pytest.mark.parametrize("name", FLAT)
def test_real_datasets_read_the_same_from_columns_as_from_json(ner_data, columns, name):
    lines = []
    for record in json.loads((ner_data / name / "test.json").read_text()):
        starts = {entity["pos"][0]: entity for entity in record["entities"]}
        at, end, label = 0, -1, ""
        for token in record["sentence"].split(" "):
            if at in starts:
                end, label = starts[at]["pos"][1], starts[at]["type"]
            lines.append(f"{token}\t" + (f"{'B' if at in starts else 'I'}-{label}" if at < end else "O"))
            at += len(token) + 1
        lines.append("")
    dataset = columns({"test.tsv": "\n".join(lines)})
    as_json = read_dataset(dataset_at(ner_data / name), "test", Reading(keep_else=True))
    as_columns = read_dataset(dataset, "test", Reading(keep_else=True))
    for one, two in zip(as_json, as_columns, strict=True):
        assert (one.sentence, one.entities) == (two.sentence, two.entities)


# --------------------------------------------------------------------------------------------------------- NER-CoT


def cot_row(**changes):
    row = {"sentence": "Ada lives in Paris .", "schema": ["Place", "person"], "source": "Pile-NER", "guid": "1"}
    return {**row, "cot": "Paris is a city.", "entities": [{"text": "Paris", "label": "place"}], **changes}


def write_rows(path, rows):
    text = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_a_ner_cot_row_becomes_an_example_with_reasoning(tmp_path, name):
    (example,) = read_ner_cot(write_rows(tmp_path / name, [cot_row()]))
    paris = (Entity("Paris", "place"),)
    assert example == Example("Ada lives in Paris .", ("person", "place"), paris, "Pile-NER", "Paris is a city.")


def test_without_cot_the_reasoning_may_be_missing(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [cot_row(cot=None)])
    assert next(read_ner_cot(path, Reading(cot="none"))).reasoning is None


@pytest.mark.parametrize(
    "changes",
    [
        {"cot": None},
        {"cot": " "},
        {"cot": "\ud83d"},
        {"schema": "person"},
        {"schema": []},
        {"schema": ["person"]},
        {"schema": ["person", "place", "\ud83d"]},
        {"entities": [{"name": "Paris", "type": "place"}]},
        {"source": 5},
    ],
    ids=ascii,
)
def test_a_bad_ner_cot_row_is_an_error_or_is_skipped(tmp_path, changes):
    path = write_rows(tmp_path / "rows.jsonl", [cot_row(), cot_row(**changes)])
    with pytest.raises(DataError, match=r"rows.jsonl: record 2: "):
        list(read_ner_cot(path))
    assert len(list(read_ner_cot(path, Reading(skipped=Counter())))) == 1


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
@pytest.mark.parametrize("as_text", [False, True])
def test_ner_cot_may_be_a_table_with_its_lists_as_json(tmp_path, name, as_text):
    import pyarrow as pa
    from pyarrow import ipc, parquet

    row = cot_row()
    if as_text:
        row |= {key: json.dumps(row[key]) for key in ("schema", "entities")}
    table, path = pa.Table.from_pylist([row]), tmp_path / name
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    assert list(read_ner_cot(path)) == list(read_ner_cot(write_rows(tmp_path / "rows.jsonl", [cot_row()])))
    assert list(corpora.sentences(path)) == ["Ada lives in Paris ."]


def test_a_ner_cot_row_may_name_its_dataset_as_the_released_data_do(tmp_path):
    rows = [cot_row(source=..., dataset=None), cot_row(source=..., dataset="ace")]
    rows = [{key: value for key, value in row.items() if value is not ...} for row in rows]
    assert [example.dataset for example in read_ner_cot(write_rows(tmp_path / "rows.json", rows))] == ["rows", "ace"]


def test_places_of_ner_cot_are_kept(tmp_path):
    row = cot_row(sentence=TWICE, entities=[{"text": "Paris", "label": "place", "pos": [10, 15]}])
    [example] = read_ner_cot(write_rows(tmp_path / "rows.jsonl", [row]))
    assert places(example) == [("Paris", 10)]


@pytest.mark.parametrize("cot", ["<think>It is.</think>", " <think>\nIt is.\n</think>\n", "It is."])
def test_a_think_block_around_all_of_the_reasoning_is_taken_off(tmp_path, cot):
    assert next(read_ner_cot(write_rows(tmp_path / "rows.jsonl", [cot_row(cot=cot)]))).reasoning == "It is."


@pytest.mark.parametrize(
    ("cot", "message"),
    [
        ("It <think> is.", "'cot' holds <think>; take the tags out"),
        ("<think>It is.</think> Paris", "'cot' holds <think>; take the tags out"),
        ("It is.</think>", "'cot' holds </think>; take the tags out"),
        ("<think>It</think><think>is.</think>", "'cot' holds <think>; take the tags out"),
        ("<think> </think>", "'cot' is empty"),
    ],
)
def test_a_think_tag_inside_the_reasoning_is_told_or_counted(tmp_path, cot, message):
    path, skipped = write_rows(tmp_path / "rows.jsonl", [cot_row(), cot_row(cot=cot)]), Counter()
    with pytest.raises(DataError, match=f"rows.jsonl: record 2: {message}"):
        list(read_ner_cot(path))
    assert len(list(read_ner_cot(path, Reading(skipped=skipped)))) == 1
    assert skipped.total() == 1


@pytest.mark.parametrize("name", ["rows.json", "train.json", "train.jsonl"])
def test_a_folder_or_file_of_ner_cot_among_corpora_is_told_its_option(tmp_path, name):
    path = write_rows(tmp_path / name, [cot_row()])
    for place in (path, tmp_path):
        with pytest.raises(DataError, match=rf"^[^\n]*{name} holds [^\n]* sft takes it with --ner-cot$"):
            list(read_dataset(find_datasets(place)[0][0], "train"))


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.parquet", "rows.arrow"])
def test_a_missing_file_of_ner_cot_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match=name):
        list(read_ner_cot(tmp_path / name))


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b'{"a": 1}\n{"a"', b"{}\n" + b"[" * 20000, b'{}\n"\xe9"', "{}".encode("utf-16")]
)
def test_bad_json_lines_are_an_error(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"rows.jsonl: "):
        list(read_lines(path))


# ------------------------------------------------------------------------------------------------------- streaming


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("reader", [read_list, read_lines])
def test_records_come_out_whole_wherever_a_read_ends(tmp_path, monkeypatch, chunk, reader):
    monkeypatch.setattr(json_files, "_CHUNK", chunk)
    rows = [{"a": 'é\U0001f600\\"', "b": [1, {"c": None}]}, {"a": "x" * 50}, {}]
    path = write_rows(tmp_path / ("rows.json" if reader is read_list else "rows.jsonl"), rows)
    assert list(reader(path)) == rows


def test_characters_come_out_whole_wherever_a_read_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "_CHUNK", 3)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(["é\U0001f600 ü"] * 5, ensure_ascii=False), encoding="utf-8")
    assert list(read_list(path)) == ["é\U0001f600 ü"] * 5


def test_the_first_records_come_before_the_file_is_read_to_its_end(tmp_path):
    path = tmp_path / "rows.json"
    path.write_bytes(b'[{"a": 1}, ' + b" " * (3 << 20) + b"\xff")
    assert next(read_list(path)) == {"a": 1}
