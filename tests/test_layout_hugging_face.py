"""Hugging Face's token classification: what is found, what names the numbers, what is read and what is refused."""

import json
import random
from collections import Counter

import layouts
import pytest

from data_prep.to_parquet import main as to_parquet
from recipe.core.entities import DataError, Entity, Example
from recipe.corpora import LAYOUTS, Reading
from recipe.corpora.datasets import find_datasets, read_dataset, sentence_files, sentences
from recipe.corpora.hugging_face import LAYOUT, fits

NAMES = ("O", "B-person", "I-person", "B-place", "I-place")
ROWS = [
    {"id": "0", "tokens": ["Ada", "Lovelace", "met", "Paris", "in", "Paris"], "ner_tags": [1, 2, 0, 0, 0, 3]},
    {"id": "1", "tokens": ["Nobody", "left"], "ner_tags": [0, 0]},
]
READ = [
    ("Ada Lovelace met Paris in Paris", [("Ada Lovelace", "person", 0), ("Paris", "place", 26)]),
    ("Nobody left", []),
]


def in_words(rows=ROWS, names=NAMES, column="ner_tags"):
    """The rows with the names of their tags."""
    return [{"tokens": row["tokens"], column: [names[tag] for tag in row["ner_tags"]]} for row in rows]


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path, split="train", **settings):
    """Sentence and entities of each example; the dataset's types must be told by all."""
    (dataset,), _ = find_datasets(path)
    assert dataset.layout is LAYOUT
    examples = list(read_dataset(dataset, split, Reading(**settings)))
    return [(one.sentence, [(entity.name, entity.type, entity.start) for entity in one.entities]) for one in examples]


def types(path, **settings):
    (dataset,), _ = find_datasets(path)
    return dataset.layout.types(dataset, Reading(**settings))


def complaint(path, **settings):
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ----------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "ndjson", "json"])
def test_a_folder_with_splits_is_read_in_every_file_format(tmp_path, ending):
    folder = tmp_path / "news"
    for split in ("train", "validation", "test"):
        path = folder / f"{split}.{ending}"
        if ending == "parquet":
            layouts.parquet(path, ROWS, NAMES)
        elif ending == "json":
            folder.mkdir(exist_ok=True)
            path.write_text(json.dumps(in_words()))
        else:
            lines(path, in_words())
    for split in ("train", "dev", "test"):
        assert read(folder, split) == READ
    assert types(folder) == ("person", "place")


def test_one_file_is_a_dataset_for_any_split(tmp_path):
    path = lines(tmp_path / "news.jsonl", in_words())
    assert read(path, "train") == read(path, "test") == READ
    assert list(sentences(path)) == [sentence for sentence, _ in READ]


@pytest.mark.parametrize("folder", ["", "data", "supervised"])
def test_the_parts_of_a_split_are_read_one_after_the_other(tmp_path, folder):
    for part in range(2):
        layouts.parquet(tmp_path / "news" / folder / f"train-0000{part}-of-00002.parquet", ROWS[part:][:1], NAMES)
    assert read(tmp_path / "news") == READ


def test_parts_may_have_the_hash_that_the_hub_once_put_behind_them(tmp_path):
    for part, digest in enumerate(("b42a775f407cee45", "0123456789abcdef")):
        name = f"validation-0000{part}-of-00002-{digest}.parquet"
        layouts.parquet(tmp_path / "data" / name, ROWS[part:][:1], NAMES)
    assert read(tmp_path / "data", "dev") == READ
    layouts.parquet(tmp_path / "data" / "validation_en-00000-of-00001-b42a775f407cee45.parquet", ROWS, NAMES)
    assert read(tmp_path / "data", "dev") == READ


def test_a_split_may_be_a_folder_of_files(tmp_path):
    for split in ("train", "validation"):
        for part in range(2):
            layouts.parquet(tmp_path / "default" / split / f"000{part}.parquet", ROWS[part:][:1], NAMES)
    assert read(tmp_path / "default", "train") == read(tmp_path / "default", "dev") == READ
    assert read(tmp_path / "default", "test") == []


def test_folders_that_are_splits_are_one_dataset_however_their_files_are_called(tmp_path):
    """As in MultiNERD: train/train_en.jsonl, val/val_en.jsonl, and so on for ten languages."""
    root = tmp_path / "root"
    for split in ("train", "val", "test"):
        for part, language in enumerate(("de", "en")):
            lines(root / split / f"{split}_{language}.jsonl", in_words()[part:][:1])
    for split in ("train", "dev", "test"):
        assert read(root, split) == READ
    (dataset,), _ = find_datasets(tmp_path)
    assert dataset.folder == root
    assert [file.name for file in sentence_files(tmp_path)] == ["test_de.jsonl", "test_en.jsonl"]
    lines(root / "Validation" / "valid.jsonl", in_words())
    with pytest.raises(DataError, match=r"root: Validation/ and val/ both look like its dev split; leave one of them"):
        read(root, "dev")


def test_what_the_package_datasets_saves_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    text, tag = datasets.Value("string"), datasets.ClassLabel(names=list(NAMES))
    features = datasets.Features(id=text, tokens=datasets.Sequence(text), ner_tags=datasets.Sequence(tag))
    data = datasets.Dataset.from_list(ROWS * 2, features=features)
    datasets.DatasetDict(train=data, test=data).save_to_disk(tmp_path / "saved", num_shards={"train": 2, "test": 1})
    assert len(list((tmp_path / "saved" / "train").glob("*.arrow"))) == 2
    assert read(tmp_path / "saved") == read(tmp_path / "saved", "test") == READ * 2
    data.to_parquet(tmp_path / "train.parquet")
    assert read(tmp_path / "train.parquet") == READ * 2
    data.to_json(tmp_path / "json" / "train.jsonl")
    assert "holds numbers" in complaint(tmp_path / "json")
    assert read(tmp_path / "json", tags=NAMES) == READ * 2


@pytest.mark.parametrize(
    "record",
    [
        {"sentence": "EU", "entities": [{"name": "EU", "type": "org"}]},
        {"sentence": "EU", "schema": ["org"], "entities": [], "cot": "EU is one."},
        {"data_source": "news", "prompt": [], "reward_model": {}},
        {"data_source": "news", "messages": []},
        {"tokenized_text": ["EU"], "ner": [[0, 0, "org"]]},
        {"tokens": ["EU"], "ner": [[0, 0, "org"]]},
        {"text": "EU", "tokens": [{"text": "EU", "id": 0}], "spans": [], "labels": ["org"]},
        {"text": "EU", "label": [[0, 2, "org"]]},
        {"id": "0", "conversations": []},
        {"context": "EU", "query": "organizations", "entity_label": "org"},
        {"tokens": ["EU"]},
        {"tokens": ["EU"], "pos_tags": [22]},
        {"tokens": "EU rejects", "ner_tags": "B-ORG O"},
        {"tokens": ["EU"], "ner_tags": [0.5]},
        {"tokens": ["EU"], "ner_tags": [True]},
        {"tokens": None, "ner_tags": None},
        ["EU", "B-ORG"],
        None,
    ],
    ids=str,
)
def test_records_of_other_layouts_are_not_taken(record):
    assert not fits(record)


@pytest.mark.parametrize("tokens", ["tokens", "words"])
@pytest.mark.parametrize("tags", ["ner_tags", "tags", "labels", "ner", "fine_ner_tags"])
def test_columns_have_one_of_their_usual_names(tmp_path, tokens, tags):
    record = {tokens: ["EU", "rejects"], tags: ["B-ORG", "O"]}
    path = lines(tmp_path / "train.jsonl", [record])
    assert [layout for layout in LAYOUTS if layout.found(path)] == [LAYOUT]
    assert read(path) == [("EU rejects", [("EU", "org", 0)])]


def test_of_several_columns_of_tags_ner_tags_counts_and_that_is_noted(tmp_path):
    rows = [{"tokens": ["EU"], "fine_ner_tags": ["B-union"], "tags": ["B-NP"], "ner_tags": ["B-ORG"]}] * 3
    noted = Counter()
    assert read(lines(tmp_path / "train.jsonl", rows), noted=noted) == [("EU", [("EU", "org", 0)])] * 3
    assert noted["other_tag_column"] == 3
    noted = Counter()
    read(lines(tmp_path / "one.jsonl", [{"tokens": ["EU"], "pos_tags": ["NNP"], "ner_tags": ["B-ORG"]}]), noted=noted)
    assert not noted["other_tag_column"]


# ----------------------------------------------------------------------------------------------- the names of numbers


def infos(names, column="ner_tags"):
    feature = {"feature": {"num_classes": len(names), "names": list(names), "_type": "ClassLabel"}, "length": -1}
    return {"features": {"tokens": {"feature": {"dtype": "string"}}, column: {**feature, "_type": "Sequence"}}}


def card(*configurations, quoted=True, key="sequence"):
    """A README whose YAML block names the tags; (name of the configuration or None, names)."""
    text = "---\nlanguage: en\ndataset_info:\n"
    for name, names in configurations:
        start = f"- config_name: {name}\n  features:\n" if name else "  features:\n"
        text += f"{start}  - name: tokens\n    {key}: string\n  - name: ner_tags\n    {key}:\n      class_label:\n"
        text += "        names:\n"
        for number, tag in enumerate(names):
            text += f"          '{number}': {tag}\n" if quoted else f"          {number}: {tag}\n"
    return text + "---\n\n# Card\n---\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dataset_info.json", json.dumps(infos(NAMES))),
        ("dataset_infos.json", json.dumps({"default": {"description": "", **infos(NAMES)}})),
        ("dataset_infos.json", json.dumps({"a": infos(NAMES), "b": infos(NAMES), "c": infos(["x"], "pos_tags")})),
        ("README.md", card((None, NAMES))),
        ("README.md", card(("news", NAMES), ("plays", NAMES), quoted=False)),
        ("README.md", card((None, NAMES), key="list").replace("\n", "\r\n")),
        ("label.json", json.dumps({name: number for number, name in reversed(list(enumerate(NAMES)))})),
    ],
)
@pytest.mark.parametrize("folder", [".", "data", "data/default/train"])
def test_files_beside_and_above_name_the_numbers(tmp_path, name, text, folder):
    lines(tmp_path / "news" / folder / ("0000.jsonl" if "train" in folder else "train.jsonl"), ROWS)
    (tmp_path / "news" / name).write_text(text)
    assert read(tmp_path / "news") == READ


def test_the_first_that_names_them_counts(tmp_path):
    """--tags, the file itself, JSON, the card."""
    folder = tmp_path / "news"
    (
        lines(folder / "train.jsonl", ROWS),
        (folder / "README.md").write_text(card((None, ["O", "aa", "bb", "cc", "dd"]))),
    )
    assert types(folder) == ("aa", "bb", "cc")
    (folder / "dataset_info.json").write_text(json.dumps(infos(["O", "ee", "ff", "gg", "hh"])))
    layouts.parquet(folder.with_name("other") / "train.parquet", ROWS, ["O", "pp", "qq", "rr", "ss"])
    for name in ("README.md", "dataset_info.json"):
        (folder.with_name("other") / name).write_text((folder / name).read_text())
    lines(folder / "train.jsonl", ROWS * 2)
    assert types(folder) == ("ee", "ff", "gg")
    assert types(folder.with_name("other")) == ("pp", "qq", "rr")
    assert types(folder.with_name("other"), tags=("O", "ww", "xx", "yy", "zz")) == ("ww", "xx", "yy")


def test_the_configuration_of_the_file_s_folder_counts_where_they_differ(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "README.md").write_text(card(("inter", NAMES), ("intra", ["O", "aa", "bb", "cc", "dd"])))
    for name in ("inter", "intra"):
        lines(root / name / "train.jsonl", ROWS)
    assert types(root / "inter") == ("person", "place")
    assert types(root / "intra") == ("aa", "bb", "cc")
    lines(root / "other" / "train.jsonl", ROWS)
    line = complaint(root / "other")
    assert "README.md: its configurations name the tags of 'ner_tags' differently (inter, intra); give the" in line
    assert read(root / "other", tags=NAMES) == READ


@pytest.mark.parametrize("name", ["README.md", "dataset_info.json", "dataset_infos.json", "label.json"])
@pytest.mark.parametrize(
    "text", ["", "---\n: [\n---\n", '{"features": 3}', "[" * 9000, "[1]", "---\n- 1\n---\n", "\xff"]
)
def test_a_file_that_names_nothing_is_passed_over(tmp_path, name, text):
    folder = tmp_path / "news"
    lines(folder / "train.jsonl", ROWS)
    (folder / name).write_bytes(text.encode("latin-1"))
    assert "'ner_tags' holds numbers" in complaint(folder)


def test_numbers_that_nothing_names_are_refused_with_the_remedy(tmp_path):
    (tmp_path / "mn").mkdir()
    for path in (tmp_path / "train.jsonl", tmp_path / "mn" / "test.parquet"):
        layouts.parquet(path, ROWS) if path.suffix == ".parquet" else lines(path, ROWS)
        line = complaint(path)
        assert line.startswith(f"{path}: 'ner_tags' holds numbers, and neither the file nor dataset_info.json")
        assert line.endswith("; give --tags FILE, a tag on each line, from 0 (the dataset's card may list them)")
        assert read(path, tags=NAMES) == READ


def test_a_labels_file_lists_and_renames_the_types(tmp_path):
    layouts.parquet(tmp_path / "news" / "train.parquet", ROWS, NAMES)
    (tmp_path / "news" / "labels.json").write_text('{"person": "human being", "place": "location", "x": "rest"}')
    assert types(tmp_path / "news") == ("human being", "location", "rest")
    assert read(tmp_path / "news")[0][1] == [("Ada Lovelace", "human being", 0), ("Paris", "location", 26)]


# ------------------------------------------------------------------------------------------------------------ tags


def one(tmp_path, tokens, tags, **settings):
    ((_, entities),) = read(lines(tmp_path / "train.jsonl", [{"tokens": tokens.split(), "ner_tags": tags}]), **settings)
    return [(name, label) for name, label, _ in entities]


def test_bare_types_are_mentions_as_long_as_they_last(tmp_path):
    """As in Few-NERD, whose numbers have the names O, art, person-actor, ..."""
    tags = ["person-actor", "person-actor", "O", "location-GPE", "art"]
    assert one(tmp_path, "Ada Lovelace in Rome Aida", tags) == [
        ("Ada Lovelace", "person-actor"),
        ("Rome", "location-gpe"),
        ("Aida", "art"),
    ]
    numbered = [{"tokens": ["Ada", "in", "Rome"], "ner_tags": [2, 0, 1]}]
    layouts.parquet(tmp_path / "fn" / "train.parquet", numbered, ["O", "location", "person"])
    assert read(tmp_path / "fn") == [("Ada in Rome", [("Ada", "person", 0), ("Rome", "location", 7)])]


def test_a_file_of_bare_and_prefixed_tags_is_refused_at_the_first_bare_one(tmp_path):
    rows = [{"tokens": ["EU", "in"], "ner_tags": ["B-ORG", "O"]}, {"tokens": ["in", "Rome"], "ner_tags": ["O", "LOC"]}]
    line = complaint(lines(tmp_path / "train.jsonl", rows))
    assert "train.jsonl: record 2: tag 2, 'LOC', is no tag (O, or a type behind B-, I-, E-, S-, L-, U- or M-)" in line
    words = [{"tokens": [word], "ner_tags": [word]} for word in ("Rome", "saw", "it")]
    assert "record 1: tag 1, 'Rome', is no tag" in complaint(lines(tmp_path / "words.jsonl", words))


def test_tags_without_a_type_are_of_the_type_that_is_given(tmp_path):
    """As in species_800: O, B and I."""
    rows = [{"tokens": ["E.", "coli", "and", "man"], "ner_tags": [1, 2, 0, 1]}]
    path = tmp_path / "s800" / "test.parquet"
    layouts.parquet(path, rows, ["O", "B", "I"])
    assert read(path, "test", type_name="species") == [
        ("E. coli and man", [("E. coli", "species", 0), ("man", "species", 12)])
    ]
    assert "record 1: tag 1, 'B', has no type; name the type of all such tags with --type NAME" in complaint(path)


def test_several_labels_in_a_tag_are_refused_and_make_no_type(tmp_path):
    rows = [
        {"tokens": ["New", "York"], "ner_tags": ["B-location,B-group", "O"]},
        {"tokens": ["Rome", "Ada"], "ner_tags": ["B-location", "B-and/or"]},
    ]
    path = lines(tmp_path / "train.jsonl", rows)
    assert "record 1: tag 1, 'B-location,B-group', holds several labels; write one" in complaint(path)
    skipped = Counter()
    assert read(path, skipped=skipped)[0][1] == [("Rome", "location", 0), ("Ada", "and/or", 5)]
    assert skipped == {"several_labels": 1}


def test_suffixes_and_small_letters_are_read(tmp_path):
    assert one(tmp_path, "Ada Bo in Rome", ["PER-B", "PER-I", "O", "LOC-B"]) == [("Ada Bo", "per"), ("Rome", "loc")]
    assert one(tmp_path, "Ada Bo at Rome", ["b-per", "i-per", "o", "b-loc"]) == [("Ada Bo", "per"), ("Rome", "loc")]


def test_many_types_that_the_file_names_are_no_column_of_words(tmp_path):
    """Few-NERD names 66 bare types, of which a small part of its sentences has each once."""
    names = ["O", *(f"kind-{n}" for n in range(66))]
    rows = [{"tokens": ["Ada", "in", "Rome"], "ner_tags": [first, 0, first + 1]} for first in range(1, 65)]
    layouts.parquet(tmp_path / "train.parquet", rows, names)
    assert read(tmp_path / "train.parquet")[0][1] == [("Ada", "kind-0", 0), ("Rome", "kind-1", 7)]


def test_mentions_that_lack_their_beginning_are_counted_and_iob1_is_read(tmp_path):
    rows = [
        {"tokens": ["Ada", "Bo"], "ner_tags": ["B-PER", "I-PER"]},
        {"tokens": ["in", "Bo"], "ner_tags": ["O", "I-PER"]},
    ]
    noted = Counter()
    read(lines(tmp_path / "train.jsonl", rows), noted=noted)
    assert noted["repaired_entity"] == 1
    noted = Counter()
    first_scheme = [{"tokens": ["Ada", "Bo", "Cy"], "ner_tags": ["I-PER", "B-PER", "I-PER"]}, rows[1]]
    found = read(lines(tmp_path / "iob1.jsonl", first_scheme), noted=noted)
    assert [name for name, *_ in found[0][1]] == ["Ada", "Bo Cy"]
    assert not noted["repaired_entity"]


def test_bioes_is_read(tmp_path):
    tags = ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"]
    assert one(tmp_path, "Ada Bo in Rome Pisa", tags) == [("Ada Bo", "per"), ("Rome", "loc"), ("Pisa", "loc")]


def test_the_second_of_two_equal_names_keeps_its_place(tmp_path):
    rows = [{"tokens": ["May", "will", "see", "May", "."], "ner_tags": ["O", "O", "O", "B-PER", "O"]}]
    assert read(lines(tmp_path / "train.jsonl", rows)) == [("May will see May .", [("May", "per", 13)])]


def test_tokens_of_which_nothing_is_seen_are_left_out_and_counted(tmp_path):
    tokens = ["\xa0", "25", " ", "000", "", "EU", "\u200b"]
    rows = [{"tokens": tokens, "ner_tags": ["O", "B-N", "I-N", "I-N", "O", "B-ORG", "I-ORG"]}]
    noted = Counter()
    found = read(lines(tmp_path / "train.jsonl", rows), noted=noted)
    assert found == [("25 000 EU", [("25 000", "n", 0), ("EU", "org", 7)])]
    assert noted["dropped_token"] == 4
    assert noted["trimmed_name"] == 0


def test_tokens_are_joined_as_the_file_s_script_has_it_or_as_asked(tmp_path):
    """By the whole of the file; words of another script keep a space between them."""
    rows = [
        {"tokens": [*"浙江省人买", "iPhone", "16"], "ner_tags": ["B-LOC", "I-LOC", "I-LOC", *"OO", "B-X", "I-X"]},
        {"tokens": ["OK", "好"], "ner_tags": ["B-X", "O"]},
        {"tokens": ["在", "东京", "去"] * 3, "ner_tags": ["O", "B-LOC", "O"] * 3},
    ]
    path = lines(tmp_path / "train.jsonl", rows)
    found = read(path)
    assert found[0] == ("浙江省人买iPhone 16", [("浙江省", "loc", 0), ("iPhone 16", "x", 5)])
    assert found[1] == ("OK好", [("OK", "x", 0)])
    assert read(path, join=" ")[0][0] == "浙 江 省 人 买 iPhone 16"
    assert read(path, join="_")[1] == ("OK_好", [("OK", "x", 0)])


# ----------------------------------------------------------------------------------------------------- bad records


GOOD = {"tokens": ["EU", "in"], "ner_tags": ["B-ORG", "O"]}
BAD = {
    "no_object": (["EU"], "not_an_object", "a list, not an object"),
    "null_tokens": ({"tokens": None, "ner_tags": ["O"]}, "bad_tokens", "'tokens' is null or missing, not a list"),
    "no_tags": ({"tokens": ["EU"]}, "bad_tag", "'ner_tags' is null or missing, not a list"),
    "text": ({"tokens": "EU in", "ner_tags": ["O"]}, "bad_tokens", "'tokens' is a string, not a list"),
    "null_token": ({"tokens": ["EU", None], "ner_tags": ["O", "O"]}, "bad_tokens", "token 2 is null or missing, not a"),
    "number": ({"tokens": [3, "EU"], "ner_tags": ["O", "O"]}, "bad_tokens", "token 1 is a number, not a string"),
    "unseen": ({"tokens": ["EU", " "], "ner_tags": ["O", "B-ORG"]}, "bad_name", "token 2 is an entity of which not"),
    "blank": ({"tokens": ["", " "], "ner_tags": ["O", "O"]}, "bad_sentence", "the text is empty"),
    "longer": ({"tokens": ["EU", "in"], "ner_tags": ["O"]}, "unequal_lengths", "2 tokens, but 1 tags"),
    "shorter": ({"tokens": ["EU"], "ner_tags": ["O", "O"]}, "unequal_lengths", "1 tokens, but 2 tags"),
    "null_tag": ({"tokens": ["EU"], "ner_tags": [None]}, "bad_tag", "tag 1 is null or missing, where the file's tags"),
    "numbered": (
        {"tokens": ["EU"], "ner_tags": [0]},
        "bad_tag",
        "tag 1 is a number, where the file's tags are",
    ),
    "no_tag": ({"tokens": ["EU"], "ner_tags": ["X-ORG"]}, "unknown_tag", "tag 1, 'X-ORG', is no tag (O, or a type beh"),
    "empty": ({"tokens": [], "ner_tags": []}, "bad_sentence", "the text is empty"),
    "surrogate": ({"tokens": ["\ud800"], "ner_tags": ["O"]}, "lone_surrogate", "the text holds a lone surrogate"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_record_is_told_with_its_number_or_counted(tmp_path, kind):
    record, reason, message = BAD[kind]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (GOOD, record, GOOD)))
    line = complaint(path)
    assert line.startswith(f"{path}: record 2: {message}")
    assert line.endswith("; correct it or skip such records")
    skipped = Counter()
    assert read(path, skipped=skipped) == [("EU in", [("EU", "org", 0)])] * 2
    assert skipped == {reason: 1}


def test_a_number_that_has_no_name_is_told_or_counted(tmp_path):
    rows = [*ROWS, {"id": "2", "tokens": ["EU"], "ner_tags": [5]}, {"id": "3", "tokens": ["EU"], "ner_tags": [-100]}]
    layouts.parquet(tmp_path / "train.parquet", rows, NAMES)
    assert "record 3: tag 1 is 5, which none of the 5 names is for; " in complaint(tmp_path / "train.parquet")
    skipped = Counter()
    assert read(tmp_path / "train.parquet", skipped=skipped) == READ
    assert skipped == {"unknown_tag": 2}


def test_a_text_among_numbers_is_told(tmp_path):
    rows = [ROWS[0], {"tokens": ["EU"], "ner_tags": ["B-person"]}]
    path = lines(tmp_path / "train.jsonl", rows)
    assert "record 2: tag 1 is a string, where the file's tags are numbers" in complaint(path, tags=NAMES)


def test_a_fault_in_one_split_does_not_keep_another_from_being_read(tmp_path):
    lines(tmp_path / "train.jsonl", [{"tokens": ["EU"], "ner_tags": ["O", "O"]}])
    lines(tmp_path / "test.jsonl", [GOOD])
    assert read(tmp_path, "test") == [("EU in", [("EU", "org", 0)])]
    lines(tmp_path / "test.jsonl", [{"tokens": ["EU", "in"], "ner_tags": ["O", "O"]}])
    assert "train.jsonl: record 1: 1 tokens, but 2 tags" in complaint(tmp_path)


def test_null_in_the_first_record_hides_neither_the_layout_nor_the_fault(tmp_path):
    rows = [{"tokens": None, "ner_tags": [1]}, *ROWS]
    layouts.parquet(tmp_path / "train.parquet", rows, NAMES)
    assert "record 1: 'tokens' is null or missing" in complaint(tmp_path / "train.parquet")


# ------------------------------------------------------------------------------------------------------- the whole


def test_it_gives_evaluation_rows(tmp_path, capsys):
    import pyarrow.parquet as pq

    layouts.parquet(tmp_path / "NER" / "news" / "data" / "test-00000-of-00001.parquet", ROWS, NAMES)
    assert to_parquet(["eval", "--corpora", str(tmp_path / "NER"), "--out", str(tmp_path / "out")]) == 0
    rows = pq.read_table(tmp_path / "out" / "test.parquet").to_pylist()
    assert [row["data_source"] for row in rows] == ["news", "news"]
    gold = json.loads(rows[0]["reward_model"]["ground_truth"])
    # "Paris" stands there twice, and the second is meant.
    assert [one.get("start") for one in gold["entities"]][-1] == 26
    lines(tmp_path / "NER" / "plays" / "test.jsonl", ROWS)
    assert to_parquet(["eval", "--corpora", str(tmp_path / "NER"), "--out", str(tmp_path / "out")]) == 2
    assert "plays/test.jsonl: 'ner_tags' holds numbers" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_random_examples_come_back_as_they_were_written(tmp_path, ending):
    dice = random.Random(7)
    written = []
    for _ in range(500):
        tokens = dice.choices(["Ada", "Rome", "é", "東京", "a-b", "."], k=dice.randint(1, 12))
        at, entities = 0, []
        while at < len(tokens):
            end = dice.randint(at + 1, min(at + 3, len(tokens)))
            start = len(" ".join([*tokens[:at], ""]))
            if dice.random() < 0.4:
                entities.append(Entity(" ".join(tokens[at:end]), dice.choice(["person", "place"]), start))
            at = end
        written.append(Example(" ".join(tokens), ("person", "place"), tuple(entities)))
    layouts.hugging_face(tmp_path / f"train.{ending}", written)
    expected = [(one.sentence, [(each.name, each.type, each.start) for each in one.entities]) for one in written]
    assert read(tmp_path / f"train.{ending}", join=" ") == expected
