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
        with pytest.raises(DataError, match="a stands in B2NERD/NER_en and B2NERD_all/NER_en; give the folder of one"):
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


@pytest.mark.parametrize("pos", [None, "x", [5, 1], [0, 10**9], {}])
def test_pos_is_not_looked_at(instructuie, record, pos):
    entities = [{"name": "Paris", "type": "place", "pos": pos}]
    assert read(instructuie(train=[record(entities=entities)]))[0].entities == (Entity("Paris", "place"),)


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
