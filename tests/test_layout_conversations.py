"""UniversalNER's files: what is asked, what is answered, and which record of which file is wrong."""

import argparse
import json
from collections import Counter

import layouts
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.to_parquet import main as to_parquet
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth
from recipe.corpora import LAYOUTS, Reading, conversations
from recipe.corpora.datasets import dataset_at, find_datasets, read_dataset, sentences
from recipe.cot.row import Row
from recipe.cot.rows import add_arguments, open_rows


def talk(*turns, text="Text: Ada left Rome for Rome"):
    values = (text, "I've read this text.", *turns)
    roles = ("human", "gpt")
    return {"id": "1", "conversations": [{"from": roles[n % 2], "value": value} for n, value in enumerate(values)]}


def asked(label, *names):
    return f"What describes {label} in the text?", json.dumps(names)


def read(path, split="train", **reading):
    return list(read_dataset(dataset_at(path), split, Reading(**reading)))


def test_a_sentence_asks_for_the_types_of_its_record_even_where_none_is_named(corpus):
    path = corpus(talk(*asked("Person", "Ada"), *asked("river"), *asked("place", "Rome", "Rome")))
    entities = (Entity("Ada", "person"), Entity("Rome", "place"), Entity("Rome", "place"))
    [example] = read(path.parent)
    assert example == Example("Ada left Rome for Rome", ("person", "place", "river"), entities, "pile")
    assert [entity.start for entity in example.entities] == [None] * 3


def test_records_in_a_row_about_one_text_are_one_sentence_until_a_type_is_asked_again(corpus):
    person, place, again = talk(*asked("person", "Ada")), talk(*asked("place", "Rome")), talk(*asked("person"))
    other = talk(*asked("place"), text="Text: Bob")
    found = read(corpus(person, place, again, other, place))
    assert [(example.sentence, example.types, len(example.entities)) for example in found] == [
        ("Ada left Rome for Rome", ("person", "place"), 2),
        ("Ada left Rome for Rome", ("person",), 0),
        ("Bob", ("place",), 0),
        ("Ada left Rome for Rome", ("place",), 1),
    ]
    assert [entity.name for entity in found[0].entities] == ["Ada", "Rome"]


def test_only_the_prefix_is_taken_off_the_text(corpus):
    [example] = read(corpus(talk(*asked("person"), text="Text: Text:  Ada\n ")))
    assert example.sentence == "Text:  Ada\n "


def test_a_type_that_is_asked_twice_in_a_record_has_each_name_as_often_as_the_answer_with_most(corpus):
    path = corpus(talk(*asked("place", "Rome"), *asked("Place ", "Rome", "Rome", "Ada")))
    [example] = read(path)
    assert Counter(entity.name for entity in example.entities) == {"Rome": 2, "Ada": 1}


def test_a_definition_may_stand_for_a_type(corpus):
    [example] = read(corpus(talk(*asked("a town, e.g. in the text?\nOr a city", "Rome"))))
    assert example.types == ("a town, e.g. in the text? or a city",)


def test_what_a_record_leaves_out_is_counted(corpus):
    noted = Counter()
    path = corpus(
        talk(*asked("misc", "Ada")), talk(), talk(*asked("other", "Ada"), *asked("place", "Oslo", " Rome\u200b"))
    )
    [example] = read(path, noted=noted)
    assert [entity.name for entity in example.entities] == ["Rome", "Oslo"]
    assert +noted == {"nothing_asked": 2, "residual_entity": 2, "name_not_in_sentence": 1, "trimmed_name": 1}


def test_a_folder_of_splits_or_one_file_is_a_dataset(corpus):
    train = corpus(talk(*asked("person", "Ada")))
    corpus(talk(*asked("place", "Rome")), name="validation.jsonl")
    [dataset], _ = find_datasets(train.parent)
    assert (dataset.name, dataset.layout) == ("pile", conversations.LAYOUT)
    assert dataset.layout.types(dataset, Reading()) == ("person", "place")
    assert [read(train.parent, split)[0].types for split in ("train", "dev")] == [("person",), ("place",)]
    [dataset], _ = find_datasets(corpus(talk(*asked("person", "Ada")), name="CrossNER_AI.json"))
    assert (dataset.name, dataset.one_file, len(list(read_dataset(dataset, "test")))) == ("CrossNER_AI", True, 1)


def test_thousands_of_types_are_in_order_and_each_record_asks_for_its_own(corpus):
    path = corpus(*(talk(*asked(f"type {n}", "Ada"), text=f"Text: {n} Ada") for n in range(3000)))
    dataset = dataset_at(path)
    assert len(dataset.layout.types(dataset, Reading())) == 3000
    assert {len(example.types) for example in read_dataset(dataset, "train")} == {1}


def test_types_can_be_renamed(corpus):
    path = corpus(talk(*asked("per", "Ada"), *asked("loc")))
    path.with_name("labels.json").write_text('{"PER": "person", "LOC": "place"}')
    [example] = read(path.parent)
    assert (example.types, example.entities) == (("person", "place"), (Entity("Ada", "person"),))


def test_parquet_is_read_too(tmp_path):
    path = tmp_path / "pile.parquet"
    pq.write_table(pa.Table.from_pylist([talk(*asked("person", "Ada"))]), path)
    assert read(path)[0].entities == (Entity("Ada", "person"),)


def test_the_sentences_of_a_file_come_once(corpus):
    path = corpus(talk(*asked("person")), talk(*asked("place")), talk(*asked("place"), text="Text: Bob"))
    assert list(sentences(path)) == ["Ada left Rome for Rome", "Bob"]


def turns_from(*roles):
    return {"conversations": [{"from": role, "value": "Text: Ada"} for role in roles]}


WRONG = {
    "a number": (7, 'has no "conversations", a list of'),
    "no talk": ({"id": "1"}, 'has no "conversations", a list of'),
    "a talk of texts": ({"conversations": ["Text: Ada"]}, 'has no "conversations", a list of'),
    "no turns": ({"conversations": []}, "has 0 turns"),
    "a turn without an answer": (talk("What describes person in the text?"), "has 3 turns"),
    "roles in another order": (turns_from("gpt", "human"), "turn 1 is from 'gpt', not from 'human'"),
    "a role twice": (turns_from("human", "human"), "turn 2 is from 'human', not from 'gpt'"),
    "another role": (turns_from("system", "gpt"), "turn 1 is from 'system'"),
    "another prefix": (talk(*asked("person"), text="Ada left"), "turn 1 is 'Ada left', not 'Text: ' and the text"),
    "an empty text": (talk(*asked("person"), text="Text: "), "the text is empty"),
    "another wording": (talk("Who is named?", "[]"), "turn 3 asks 'Who is named"),
    "no type": (talk("What describes   in the text?", "[]"), "turn 3 asks 'What describes"),
    "a plain answer": (talk(*asked("person"), "What describes place in the text?", "Rome"), "turn 6 is 'Rome', not a"),
    "a cut answer": (talk("What describes place in the text?", '["Rome"'), "not a JSON list of names"),
    "an object": (talk("What describes place in the text?", "{}"), "turn 4 is '{}', not a JSON list"),
    "a deep answer": (talk("What describes place in the text?", "[" * 50000), "not a JSON list of names"),
    "a number among names": (talk("What describes place in the text?", '["Rome", 5]'), "turn 4 has a number among"),
    "a list among names": (talk("What describes place in the text?", '[["Rome"]]'), "turn 4 has a list among"),
    "an empty name": (talk(*asked("place", "")), "entity 1 has a name of which nothing is seen"),
    "half a pair in a name": (talk(*asked("place", "\ud83d")), "entity 1 holds a lone surrogate"),
    "half a pair in a type": (talk(*asked("\ud83d")), "a type holds a lone surrogate"),
    "half a pair in the text": (talk(*asked("place"), text="Text: \ud83d"), "the text holds a lone surrogate"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_record_is_one_line_with_file_and_number_or_is_counted(corpus, wrong, message):
    path, skipped = corpus(talk(*asked("person", "Ada")), wrong), Counter()
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: record 2: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    str(error.value).encode()  # and can be printed
    assert len(read(path, skipped=skipped)) == 1
    assert skipped.total() == 1


def test_no_other_layout_takes_a_talk_and_other_talks_are_not_taken(corpus):
    path = corpus(talk(*asked("person", "Ada")), name="rows.jsonl")
    assert [layout for layout in LAYOUTS if layout.found(path)] == [conversations.LAYOUT]
    for record in ({"conversations": [{"role": "user", "content": "Hi"}]}, {"sentence": "a", "entities": []}, [], None):
        assert not conversations.fits(record)


def test_it_gives_evaluation_rows(corpus, tmp_path):
    examples = [Example("Ada left Rome", ("person", "place"), (Entity("Ada", "person"), Entity("Rome", "place")))]
    layouts.conversations(corpus().with_name("test.json"), examples)
    corpus().unlink()
    assert to_parquet(["eval", "--corpora", str(tmp_path / "pile"), "--out", str(tmp_path / "out")]) == 0
    [row] = pq.read_table(tmp_path / "out" / "test.parquet").to_pylist()
    gold = from_ground_truth(row["reward_model"]["ground_truth"])
    assert (gold.types, gold.entities) == (examples[0].types, examples[0].entities)
    assert row["data_source"] == "pile"


def test_a_teacher_can_be_asked_about_it(corpus):
    path = corpus(talk(*asked("person", "Ada"), *asked("place")))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    [row] = open_rows(parser.parse_args(["--corpora", str(path.parent)]))()
    assert row == Row("Ada left Rome for Rome", "pile", ("person", "place"), (Entity("Ada", "person"),))
