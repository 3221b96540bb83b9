"""GLiNER's files: where spans stand, which types are asked for, and which record of which file is wrong."""

from collections import Counter

import layouts
import pyarrow.parquet as pq
import pytest

from data_prep.to_parquet import main as to_parquet
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import LAYOUTS, Reading, gliner
from recipe.corpora.datasets import dataset_at, find_datasets, read_dataset, sentences


def spans(*ner, text="Ada left Rome for New Rome", **others):
    return {"tokenized_text": text.split(" "), "ner": list(ner), **others}


def read(path, split="train", **reading):
    return list(read_dataset(dataset_at(path), split, Reading(**reading)))


def placed(example):
    return [(entity.name, entity.type, entity.start) for entity in example.entities]


def test_the_end_of_a_span_is_inclusive_and_its_place_is_kept(corpus):
    [example] = read(corpus(spans([4, 5, "Place"], [5, 5, "word"], [0, 0, "person"])))
    assert placed(example) == [("Ada", "person", 0), ("New Rome", "place", 18), ("Rome", "word", 22)]
    assert (example.sentence, example.types) == ("Ada left Rome for New Rome", ("person", "place", "word"))


@pytest.mark.parametrize("key", ["label", "labels", "ner_labels", "negatives", "ner_negatives"])
def test_types_that_a_record_lists_are_asked_for_besides_those_of_its_spans(corpus, key):
    listed, other = read(corpus(spans([0, 0, "person"], **{key: ["River", "else"]}), spans([2, 2, "place"])))
    assert listed.types == ("person", "river")
    assert other.types == ("person", "place", "river")


def test_without_a_list_all_types_of_the_dataset_are_asked_for(corpus):
    corpus(spans([2, 2, "place"]), name="test.json")
    assert [example.types for example in read(corpus(spans([0, 0, "person"]), spans()).parent)] == [
        ("person", "place")
    ] * 2


def test_where_types_are_a_vocabulary_a_record_is_asked_for_its_own_and_one_without_a_span_is_counted(corpus):
    many = [spans([0, 0, f"type {number}"]) for number in range(gliner.MOST_TYPES)]
    assert {len(example.types) for example in read(corpus(*many, spans()))} == {100}
    noted = Counter()
    more = [*many, spans([0, 0, "person"], [2, 2, "place"]), spans(), spans(ner_negatives=["river"])]
    found = read(corpus(*more), noted=noted)
    assert Counter(example.types for example in found[-3:]) == Counter([("type 99",), ("person", "place"), ("river",)])
    assert +noted == {"nothing_asked": 1}


def test_a_span_that_is_there_twice_is_one_and_residual_types_are_left_out(corpus):
    noted = Counter()
    [example] = read(corpus(spans([0, 0, "person"], [0, 0, "Person"], [2, 2, "misc"])), noted=noted)
    assert placed(example) == [("Ada", "person", 0)]
    assert +noted == {"repeated_entity": 1, "residual_entity": 1}


def test_tokens_are_joined_as_their_script_or_the_user_says(corpus):
    path = corpus(spans([1, 2, "place"], text="在 北 京"))
    assert placed(read(path)[0]) == [("北京", "place", 1)]
    assert placed(read(path, join="_")[0]) == [("北_京", "place", 2)]


def test_invisible_ends_of_a_token_are_no_part_of_a_name(corpus):
    noted = Counter()
    [example] = read(corpus(spans([1, 1, "place"], text="in \u200bRome\u00a0 ,")), noted=noted)
    assert placed(example) == [("Rome", "place", 4)]
    assert +noted == {"trimmed_name": 1}


def test_a_folder_of_splits_or_one_file_is_a_dataset(corpus):
    train = corpus(spans([0, 0, "PER"]))
    corpus(spans([2, 2, "LOC"]), name="dev.jsonl")
    [dataset], _ = find_datasets(train.parent)
    assert (dataset.name, dataset.layout) == ("pile", gliner.LAYOUT)
    assert [len(read(train.parent, split)) for split in ("train", "dev", "test")] == [1, 1, 0]
    train.with_name("labels.json").write_text('{"PER": "person", "LOC": "place"}')
    assert read(train.parent, "dev")[0].types == ("person", "place")
    one = corpus(spans([0, 0, "PER"]), name="pilener_train.json")
    [dataset], _ = find_datasets(one)
    assert (dataset.one_file, len(list(read_dataset(dataset, "test")))) == (True, 1)
    assert list(sentences(one)) == ["Ada left Rome for New Rome"]


WRONG = {
    "a number": (7, "a number, not an object"),
    "no tokens": ({"ner": []}, "'tokenized_text' is null or missing, not a list"),
    "no spans": ({"tokenized_text": ["a"]}, "'ner' is null or missing, not a list"),
    "spans an object": ({"tokenized_text": ["a"], "ner": {}}, "'ner' is an object, not a list"),
    "a token null": ({"tokenized_text": ["a", None], "ner": []}, "token 1 is null or missing, not a string"),
    "no token": ({"tokenized_text": [], "ner": []}, "the text is empty"),
    "half a pair": ({"tokenized_text": ["\ud83d"], "ner": []}, "the text holds a lone surrogate"),
    "half a pair in a type": (spans([0, 0, "\ud83d"], negatives=["a"]), "a type holds a lone surrogate"),
    "a float": (spans([0.0, 1, "place"]), "entity 1 is not a list of first token"),
    "true": (spans([0, True, "place"]), "entity 1 is not a list of first token"),
    "no type": (spans([0, 0]), "entity 1 is not a list of first token"),
    "two types": (spans([0, 0, "a", "b"]), "entity 1 is not a list of first token"),
    "an object": (spans([0, 0, "place"], {"start": 0}), "entity 2 is not a list of first token"),
    "behind the end": (spans([0, 6, "place"]), "entity 1 is at tokens 0 to 6 of 6, counted from 0"),
    "before the start": (spans([-1, 0, "place"]), "entity 1 is at tokens -1 to 0"),
    "backwards": (spans([2, 1, "place"]), "entity 1 is at tokens 2 to 1"),
    "a blank name": ({"tokenized_text": ["a", "\u200b"], "ner": [[1, 1, "place"]]}, "a name of which nothing is seen"),
    "an empty token": (
        {"tokenized_text": ["a", ""], "ner": [[1, 1, "place"]]},
        "entity 1 is at 2 to 2 of 2 characters",
    ),
    "negatives a string": (spans(negatives="river"), "'negatives' is not a list of strings"),
    "negatives numbers": (spans(ner_negatives=[1]), "'ner_negatives' is not a list of strings"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_record_is_one_line_with_file_and_number_or_is_counted(corpus, wrong, message):
    path, skipped = corpus(spans([2, 2, "place"]), wrong, name="rows.jsonl"), Counter()
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: record 2: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(read(path, skipped=skipped)) == 1
    assert skipped.total() == 1


def test_half_a_pair_in_a_type_of_one_record_spoils_no_other(corpus):
    path, skipped = corpus(spans([0, 0, "\ud83d"]), spans([2, 2, "place"])), Counter()
    assert [example.types for example in read(path, skipped=skipped)] == [("place",)]
    assert skipped.total() == 1


def test_no_other_layout_takes_it_and_it_takes_no_other(corpus):
    path = corpus(spans([0, 0, "person"]), name="rows.jsonl")
    assert [layout for layout in LAYOUTS if layout.found(path)] == [gliner.LAYOUT]
    for record in (
        {"tokens": ["a"], "ner_tags": [0]},
        {"tokenized_text": ["a"]},
        {"sentence": "a", "entities": []},
        [],
    ):
        assert not gliner.fits(record)


def test_it_gives_evaluation_rows_with_their_places(tmp_path):
    second = Entity("Rome", "place", 16)
    examples = [Example("Ada left Rome ( Rome )", ("person", "place"), (Entity("Ada", "person", 0), second))]
    layouts.gliner(tmp_path / "pile" / "test.json", examples)
    assert to_parquet(["eval", "--corpora", str(tmp_path / "pile"), "--out", str(tmp_path / "out")]) == 0
    [row] = pq.read_table(tmp_path / "out" / "test.parquet").to_pylist()
    gold = from_ground_truth(row["reward_model"]["ground_truth"])
    assert (gold.types, placed(gold)) == (("person", "place"), [("Ada", "person", 0), ("Rome", "place", 16)])


def test_a_vocabulary_of_types_is_usable_without_skipping_and_what_is_left_out_is_told(corpus, tmp_path, capsys):
    records = [spans([0, 0, f"type {n}"], text=f"Ada is {n}") for n in range(150)]
    path = corpus(*records, spans(text="Nobody is here"))
    out = tmp_path / "out"
    assert to_parquet(["sft", "--corpora", str(path.parent), "--cot", "template", "--out", str(out)]) == 0
    assert "nothing_asked 1" in capsys.readouterr().out
    assert pq.read_table(out / "train.parquet").num_rows == 150
