"""Names of split files, as corpora are published."""

import pytest

from recipe.core.entities import DataError
from recipe.corpora.splits import SPLITS, closeness, split_files, split_folder

NAMES = {
    "train.txt": "train",
    "eng.train": "train",
    "train_en.tsv": "train",
    "en-train.conllu": "train",
    "wnut17train.conll": "train",
    "NER-de-train.tsv": "train",
    "train-00000-of-00003.parquet": "train",
    "eng.testa": "dev",
    "valid.bio": "dev",
    "de_dev.conll": "dev",
    "validation-00001-of-00002.arrow": "dev",
    "emerging.dev.conll": "dev",
    "devel.tsv": "dev",
    "eng.testb": "test",
    "test.annotated": "test",
    "TEST.json": "test",
}
NONE = ["contest.txt", "latest.json", "trainer.py", "README.txt", "my_trainset.json"]


@pytest.mark.parametrize(("name", "split"), NAMES.items())
def test_a_name_says_its_split_and_no_other(tmp_path, name, split):
    assert [each for each in SPLITS if closeness(tmp_path / name, each) is not None] == [split]


@pytest.mark.parametrize("name", NONE)
def test_a_word_that_ends_like_a_split_is_none(tmp_path, name):
    assert [each for each in SPLITS if closeness(tmp_path / name, each) is not None] == []


def make(folder, *names):
    for name in names:
        (folder / name).write_text("x")
    return folder


def files(folder, split):
    return [path.name for path in split_files(folder, split, lambda path: path.suffix != ".md")]


def test_the_name_alone_comes_before_a_name_with_more_in_it(tmp_path):
    make(tmp_path, "train.txt", "de_train.txt", "train.md", ".train.txt")
    assert files(tmp_path, "train") == ["train.txt"]


def test_parts_of_a_split_come_together_in_order(tmp_path):
    make(tmp_path, "train-00001-of-00002.parquet", "train-00000-of-00002.parquet", "test-00000-of-00001.parquet")
    assert files(tmp_path, "train") == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert files(tmp_path, "dev") == []


@pytest.mark.parametrize("names", [("dev.txt", "valid.txt"), ("de_train.tsv", "en_train.tsv"), ("test.a", "test.b")])
def test_two_files_for_one_split_are_refused_by_name(tmp_path, names):
    make(tmp_path, *names)
    split = next(each for each in SPLITS if closeness(tmp_path / names[0], each) is not None)
    with pytest.raises(DataError, match=f"{names[0]} and {names[1]} both look like its {split} split"):
        files(tmp_path, split)


def test_what_is_no_folder_has_no_splits(tmp_path):
    assert files(make(tmp_path, "a") / "a", "train") == []


def test_a_part_that_is_not_read_is_not_left_out(tmp_path):
    names = [f"train-0000{number}-of-00003.jsonl" for number in range(3)]
    for name in names:
        (tmp_path / name).touch()
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name.replace("train", "data")).touch()
    found = split_files(tmp_path, "train", lambda path: "00001" not in path.name)
    assert [path.name for path in found] == names
    assert len(split_folder(tmp_path, "dev", lambda path: "00002" not in path.name)) == 3


@pytest.mark.parametrize("parts", [["0-of-2"], ["0-of-3", "2-of-3"], [f"0-of-1-{letter * 16}" for letter in "ab"]])
def test_parts_that_are_lacking_or_there_twice_are_told(tmp_path, parts):
    for part in parts:
        (tmp_path / f"test-{part}.parquet").touch()
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / f"data_{part}.arrow").touch()
    said = rf"has {len(parts)} of {parts[0][5]} parts of {{}}; put all of them there, each once"
    with pytest.raises(DataError, match=said.format("test.parquet")):
        split_files(tmp_path, "test", lambda _: True)
    with pytest.raises(DataError, match="train: " + said.format("data.arrow")):
        split_folder(tmp_path, "train", lambda _: True)
