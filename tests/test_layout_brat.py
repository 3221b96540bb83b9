r"""brat's pairs of a text and its standoff annotations: splits, lines, places, and what is wrong with a document."""

import json
from collections import Counter

import layouts
import pyarrow.parquet as pq
import pytest
from linear_time import linear_time

from data_prep.to_parquet import main as to_parquet
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import Reading, brat
from recipe.corpora.datasets import dataset_at, find_datasets, read_dataset, sentence_files, sentences

TEXT = "Rome met Rome\nThe mayor of New Rome left\n\nNobody came\n"
ANN = "T1\tLOC 9 13\tRome\nT2\tLOC 27 35\tNew Rome\nT3\tLOC 31 35\tRome\n"


def pair(folder, name="a", text=TEXT, ann=ANN):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_bytes(text.encode())
    (folder / f"{name}.ann").write_bytes(ann.encode())
    return folder


def read(path, split="train", **how):
    """The examples of a dataset and what was noted."""
    noted = Counter()
    examples = list(read_dataset(dataset_at(path), split, Reading(noted=noted, **how)))
    return examples, {what: number for what, number in noted.items() if number}


def places(examples):
    return [(one.sentence, [(each.name, each.start) for each in one.entities]) for one in examples]


EXPECTED = [
    ("Rome met Rome", [("Rome", 9)]),
    ("The mayor of New Rome left", [("New Rome", 13), ("Rome", 17)]),
    ("Nobody came", []),
]


# ------------------------------------------------------------------------------------------------------------- splits


def test_each_line_is_an_example_and_places_are_those_in_the_line(tmp_path):
    examples, noted = read(pair(tmp_path / "news"))
    assert places(examples) == EXPECTED
    assert {(one.types, one.dataset) for one in examples} == {(("loc",), "news")}
    assert noted == {}


def test_folders_are_splits_and_one_dataset(tmp_path):
    for folder, text in (("train", "Ada left"), ("devel", "Bob left"), ("test", "Eve left")):
        pair(tmp_path / folder, "a", text, f"T1\tPER 0 3\t{text[:3]}\n")
    pair(tmp_path / "train", "b", "Joe left", "T1\tORG 0 3\tJoe\n")
    (dataset,), _ = find_datasets(tmp_path)
    assert (dataset.layout, dataset.folder, dataset.one_file) == (brat, tmp_path, False)
    found = {split: [one.sentence for one in read_dataset(dataset, split)] for split in ("train", "dev", "test")}
    assert found == {"train": ["Ada left", "Joe left"], "dev": ["Bob left"], "test": ["Eve left"]}
    assert next(read_dataset(dataset, "test")).types == ("org", "per")
    assert len(dataset.files("train")) == 8
    (below,), _ = find_datasets(pair(tmp_path / "corpora" / "news" / "train").parents[1])
    assert below.name == "news"


def test_pairs_in_the_folder_itself_are_any_split(tmp_path):
    pair(tmp_path, "b", "Bob left", "T1\tPER 0 3\tBob\n")
    pair(tmp_path, "a", "Ada left", "T1\tPER 0 3\tAda\n")
    dataset = dataset_at(tmp_path)
    assert dataset.one_file
    for split in ("train", "dev", "test"):
        assert dataset.file(split).is_file()
        assert [one.sentence for one in read_dataset(dataset, split)] == ["Ada left", "Bob left"]


def test_one_pair_may_be_the_dataset(tmp_path):
    pair(tmp_path)
    for name in ("a.ann", "a.txt"):
        assert places(read(tmp_path / name, "test")[0]) == EXPECTED


def test_pairs_that_are_all_called_after_splits_are_these(tmp_path):
    pair(tmp_path, "train", "Ada left", "T1\tPER 0 3\tAda\n")
    pair(tmp_path, "test", "Bob left", "T1\tPER 0 3\tBob\n")
    assert [one.sentence for one in read(tmp_path, "test")[0]] == ["Bob left"]
    assert not dataset_at(tmp_path).one_file
    pair(tmp_path, "more")
    with pytest.raises(DataError, match="is called after a split and others are not; give each split a folder"):
        read(tmp_path, "test")


def test_two_folders_that_could_be_a_split_are_told(tmp_path):
    pair(tmp_path / "dev")
    pair(tmp_path / "valid")
    with pytest.raises(DataError, match="dev and valid both look like its dev split"):
        read(tmp_path, "dev")


def test_all_documents_of_the_test_split_are_kept_out_and_none_of_train(tmp_path):
    pair(tmp_path / "train", "a", "Ada left", "")
    for name in "ab":
        pair(tmp_path / "test", name, f"Eve {name}\nBob {name}", "")
    texts = [text for file in sentence_files(tmp_path) for text in sentences(file)]
    assert texts == ["Eve a", "Bob a", "Eve b", "Bob b"]


# -------------------------------------------------------------------------------------------------------------- types


def test_types_are_those_of_the_documents_of_all_splits(tmp_path):
    pair(tmp_path / "train", ann="T1\tLOC 9 13\tRome\n")
    pair(tmp_path / "test", ann="T1\tOrg 9 13\tRome\n")
    assert read(tmp_path)[0][0].types == ("loc", "org")


def test_annotation_conf_lists_the_types_without_headings(tmp_path):
    pair(tmp_path)
    lines = ["# types", "[entities]", "!Named", "\tPER", "\t\tGPE", "\tLOC", "-----", "", "[relations]", "In Arg1:LOC"]
    (tmp_path / "annotation.conf").write_text("\n".join(lines))
    assert read(tmp_path)[0][0].types == ("gpe", "loc", "per")
    (tmp_path / "annotation.conf").write_text("[entities]\nPER\n")
    with pytest.raises(DataError, match="in line 1 of the text, entity 1 is of type 'loc', which is none of"):
        read(tmp_path)


def test_labels_json_may_rename_the_types(tmp_path):
    pair(tmp_path)
    (tmp_path / "annotation.conf").write_text("[entities]\nLOC\n")
    (tmp_path / "labels.json").write_text('{"LOC": "place", "PER": "person"}')
    (first, *_), _ = read(tmp_path)
    assert first.types == ("person", "place")
    assert first.entities == (Entity("Rome", "place"),)


# ------------------------------------------------------------------------------------------------------ lines, places


def test_offsets_count_carriage_returns(tmp_path):
    text = "Rome met Rome\r\nAda left\r\n"
    examples, noted = read(pair(tmp_path, text=text, ann="T1\tLOC 9 13\tRome\r\nT2\tPER 15 18\tAda\r\n"))
    assert places(examples) == [("Rome met Rome", [("Rome", 9)]), ("Ada left", [("Ada", 0)])]
    assert noted == {}


def test_offsets_count_code_points_and_a_byte_order_mark(tmp_path):
    text = "\ufeff😀 Ada left"
    assert places(read(pair(tmp_path, text=text, ann="T1\tPER 3 6\tAda\n"))[0]) == [("😀 Ada left", [("Ada", 2)])]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_mention_that_crosses_a_line_end_joins_the_lines(tmp_path, line_end, in_pieces):
    text = line_end.join(["Ada", "lives in New", "York with Bob", "Eve left"])
    new, york = text.index("New"), text.index("York")
    place = f"{new} {new + 3};{york} {york + 4}" if in_pieces else f"{new} {york + 4}"
    examples, noted = read(pair(tmp_path, text=text, ann=f"T1\tLOC {place}\tNew York\n"))
    joined = f"lives in New{line_end}York with Bob"
    assert places(examples) == [("Ada", []), (joined, [(f"New{line_end}York", 9)]), ("Eve left", [])]
    assert noted == {"respelled_name": 1}


def test_overlapping_mentions_join_all_their_lines(tmp_path):
    text = "a b\nc d\ne f\ng h"
    ann = "T1\tX 2 5\tb c\nT2\tX 6 9\td e\nT3\tX 12 13\tg\n"
    assert places(read(pair(tmp_path, text=text, ann=ann))[0]) == [
        ("a b\nc d\ne f", [("b\nc", 2), ("d\ne", 6)]),
        ("g h", [("g", 0)]),
    ]


def test_white_space_and_line_ends_around_a_mention_are_none_of_it_and_join_nothing(tmp_path):
    ann = "T1\tPER 8 13\t Bob \nT2\tPER 0 4\tAda \n"
    examples, _ = read(pair(tmp_path, text="Ada left\nBob left", ann=ann))
    assert places(examples) == [("Ada left", [("Ada", 0)]), ("Bob left", [("Bob", 0)])]


def test_the_quoted_name_decides_where_it_is_not_at_its_place(tmp_path):
    examples, noted = read(pair(tmp_path, text="Ada met Bob", ann="T1\tPER 0 3\tBob\nT2\tPER 0 3\n"))
    assert places(examples) == [("Ada met Bob", [("Ada", 0), ("Bob", None)])]
    assert noted == {"contradicting_place": 1}


def test_other_annotations_are_counted_and_triggers_are_no_entities(tmp_path):
    others = [
        "T1\tPER 0 3\tAda",
        "T2\tMove 4 8\tleft",
        "E1\tMove:T2 Who:T1",
        "R1\tIn Arg1:T1 Arg2:T2",
        "A1\tSure E1",
        "M1\tNegation E1",
        "N1\tReference T1 Wiki:1\tAda",
        "#1\tAnnotatorNotes T1\tsure?",
        "*\tEquiv T1 T2",
    ]
    (example,), noted = read(pair(tmp_path, text="Ada left", ann="\n".join(others)))
    assert (example.types, example.entities) == (("per",), (Entity("Ada", "per"),))
    assert noted == {"other_annotation": 8}


def test_a_text_without_annotations_is_left_out_and_counted(tmp_path):
    pair(tmp_path)
    (tmp_path / "b.txt").write_text("Ada left")
    examples, noted = read(tmp_path)
    assert places(examples) == EXPECTED
    assert noted == {"not_annotated": 1}


# ------------------------------------------------------------------------------------------------------ bad documents

BAD = [
    ("T1\tLOC 0 4;9 13\tRome Rome", "discontinuous", "line 2: T1 is in pieces .0 4;9 13., which no answer can say"),
    ("T1\tLOC 9 13;0 4\tRome Rome", "discontinuous", "line 2: T1 is in pieces"),
    ("T1\tLOC 4 4\t", "bad_place", "line 2: T1 is at 4 4, where nothing can stand"),
    ("T1\tLOC 9 4\tx", "bad_place", "line 2: T1 is at 9 4"),
    ("T1\tLOC 0 400\tRome", "bad_place", "line 2: T1 is at 0 400 of 54 characters"),
    ("T1\tLOC 40 42\t  ", "bad_place", "line 2: T1 is at 40 42, where nothing is seen"),
    ("T1\tLOC -1 4\tRome", "bad_annotation", "line 2: .* is no annotation such as"),
    ("T1\tLOC 0 4.0\tRome", "bad_annotation", "line 2: .* is no annotation"),
    ("T1 LOC 0 4 Rome", "bad_annotation", "line 2: 'T1 LOC 0 4 Rome' is no annotation"),
    ("T1\tLOC 0 99999999999999999\tRome", "bad_annotation", "line 2"),
    ("hello", "bad_annotation", "line 2: 'hello' is no annotation"),
]


@pytest.mark.parametrize(("line", "reason", "message"), BAD, ids=[f"{n}-{bad[1]}" for n, bad in enumerate(BAD)])
def test_a_bad_annotation_is_one_line_or_drops_its_document(tmp_path, line, reason, message):
    pair(tmp_path, "a", "Ada left", "T1\tPER 0 3\tAda\n")
    pair(tmp_path, "b", ann=f"#1\tNote\n{line}\n")
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'b.ann'}: line 2: ")
    assert str(error.value).endswith("; correct it or skip such records")
    assert "\n" not in str(error.value)
    skipped = Counter()
    examples, noted = read(tmp_path, skipped=skipped)
    assert places(examples) == [("Ada left", [("Ada", 0)])]
    assert (skipped, noted) == ({reason: 1}, {})


def test_a_document_without_its_text_or_with_an_empty_one_is_told_or_skipped(tmp_path):
    pair(tmp_path, "a", "Ada left", "T1\tPER 0 3\tAda\n")
    pair(tmp_path, "b", " \n", "")
    with pytest.raises(DataError, match=r"b\.ann: b\.txt is empty"):
        read(tmp_path)
    (tmp_path / "b.txt").unlink()
    with pytest.raises(DataError, match=r"b\.ann: has no b\.txt beside it"):
        read(tmp_path)
    skipped = Counter()
    assert len(read(tmp_path, skipped=skipped)[0]) == 1
    assert skipped == {"no_text": 1}


@pytest.mark.parametrize("ending", ["txt", "ann"])
def test_a_file_that_is_not_utf8_is_told(tmp_path, ending):
    pair(tmp_path)
    (tmp_path / f"a.{ending}").write_bytes("T1\tPER 0 3\tZoë\n".encode("latin-1"))
    with pytest.raises(DataError, match=rf"a\.{ending}.*: byte 0xeb at offset 13 is not UTF-8"):
        read(tmp_path)


def test_a_corpus_without_a_type_is_told(tmp_path):
    with pytest.raises(DataError, match=r"leaves no type to ask for .0 labels.; annotate an entity, or list"):
        read(pair(tmp_path, ann=""))


def test_what_is_wrong_is_told_before_that_nothing_else_names_a_type(tmp_path):
    pair(tmp_path, ann="T1\tLOC 0 400\tRome\n")
    with pytest.raises(DataError, match=r"a\.ann: line 1: T1 is at 0 400 of 54 characters; correct it or skip"):
        read(tmp_path)
    with pytest.raises(DataError, match="leaves no type to ask for"):
        read(tmp_path, skipped=Counter())


# -------------------------------------------------------------------------------------------------------- the command


def test_an_evaluation_file_is_made_of_it_and_keeps_the_places(tmp_path, capsys):
    corpora = tmp_path / "corpora"
    pair(corpora / "news" / "test")
    pair(corpora / "news" / "train")
    command = ["eval", "--corpora", str(corpora), "--out", str(tmp_path / "out")]
    assert to_parquet(command) == 0
    rows = pq.read_table(tmp_path / "out" / "test.parquet").to_pylist()
    gold = [from_ground_truth(row["reward_model"]["ground_truth"]) for row in rows]
    assert [one.sentence for one in gold] == [text for text, _ in EXPECTED]
    assert gold[0].entities[0].start == 9
    pair(corpora / "news" / "test", "b", ann="T1\tLOC 0 4;9 13\tRome Rome\n")
    assert to_parquet(command) == 2
    assert "b.ann: line 1: T1 is in pieces" in capsys.readouterr().err
    assert to_parquet([*command, "--on-error", "skip"]) == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["test.parquet"]["datasets"]["news"]["skipped"] == {"discontinuous": 1}


def test_what_is_written_is_read_back(tmp_path):
    gold = [
        Example("Rome met Rome", ("loc", "per"), (Entity("Rome", "loc", 9),), "train"),
        Example("😀 Ada\nLovelace left", ("loc", "per"), (Entity("Ada\nLovelace", "per", 2),), "train"),
        Example("Nobody came", ("loc", "per"), (), "train"),
    ]
    layouts.brat(tmp_path / "train", gold, lines=2)
    examples, _ = read(tmp_path / "train")
    assert examples == gold
    assert places(examples) == places(gold)


def test_a_large_document_is_read_in_linear_time(tmp_path):
    text = "Ada met Bob\n" * 50_000
    names = (f"T{n}\tPER {12 * n} {12 * n + 3}\tAda\n" for n in range(50_000))
    joining = (f"T{n}\tX {12 * n + 8} {12 * n + 15}\tBob Ada\n" for n in range(40_000))
    with linear_time():
        examples, _ = read(pair(tmp_path, text=text, ann="".join([*names, *joining])))
    assert len(examples) == 10_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("utf-16"), r"a.txt: the file is UTF-16; save it as UTF-8"),
        (b"Rome\0met", r"a.txt: byte 0x00 at offset 4; this is no text file"),
        (b"Rome m\xe9t", r"a.txt: byte 0xe9 at offset 6 is not UTF-8"),
    ],
)
def test_a_text_in_another_encoding_is_refused(tmp_path, content, said):
    (pair(tmp_path) / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_the_list_of_types_beside_documents_is_none_of_them(tmp_path):
    (pair(tmp_path) / "labels.txt").write_text("LOC\nPER\n")
    examples, noted = read(tmp_path)
    assert (examples[0].types, noted) == (("loc", "per"), {})
