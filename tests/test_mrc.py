"""Reading-comprehension files: what a record says, and which record of which file is wrong."""

import json
from collections import Counter

import pytest

from recipe.core.entities import DataError, Entity, Example
from recipe.corpora import Reading
from recipe.corpora import mrc as layout
from recipe.corpora.datasets import find_datasets, read_dataset
from recipe.corpora.mrc import descriptions, questions, whole_sentences

QUERY = "organization entities are groups that act as one."


def record(**changes):
    found = {
        "context": "EU rejects German call by New Rome",
        "query": QUERY,
        "entity_label": "ORG",
        "qas_id": "0.1",
        "impossible": False,
        "start_position": [0, 5],
        "end_position": [0, 6],
        "span_position": ["0;0", "5;6"],
    }
    return {key: value for key, value in {**found, **changes}.items() if value is not ...}


def empty(**changes):
    return record(**{"impossible": True, "start_position": [], "end_position": [], "span_position": [], **changes})


@pytest.fixture
def mrc(tmp_path):
    def write(*records):
        path = tmp_path / "mrc-ner.train"
        path.write_text(json.dumps(records), encoding="utf-8")
        return path

    return write


def test_a_record_is_one_type_asked_of_one_sentence(mrc):
    assert list(questions(mrc(record()), "CoNLL 2003")) == [
        Example(
            "EU rejects German call by New Rome",
            ("organization",),
            (Entity("EU", "organization"), Entity("New Rome", "organization")),
            "CoNLL 2003",
            format="entity_tags",
        )
    ]


def test_impossible_questions_are_kept(mrc):
    examples = list(questions(mrc(record(), empty(entity_label="PER", query="person"))))
    assert [(example.types, len(example.entities)) for example in examples] == [
        (("organization",), 2),
        (("person",), 0),
    ]
    assert examples[0].dataset == "mrc-ner"


def test_the_file_describes_its_types(mrc):
    path = mrc(record(), empty(), empty(entity_label="PER", query=" person ", qas_id="0.2"))
    assert descriptions(path) == {"organization": QUERY, "person": "person"}


def test_residual_types_are_left_out_unless_they_are_wanted(mrc):
    path, noted = mrc(record(entity_label="MISC")), Counter()
    assert list(questions(path, reading=Reading(noted=noted))) == []
    assert noted["residual_entity"] == 2
    assert [example.types for example in questions(path, reading=Reading(keep_else=True))] == [("misc",)]


def test_types_may_be_called_otherwise(mrc, monkeypatch):
    monkeypatch.setattr(layout, "TYPE_NAMES", {"drug": "chemical"})
    (example,) = questions(mrc(record(entity_label="Drug")))
    assert example.types == ("chemical",)


def test_nested_entities_are_paired_by_their_spans(mrc):
    nested = record(start_position=[4, 5], end_position=[6, 6], span_position=["4;6", "5;6"])
    (example,) = questions(mrc(nested))
    assert [entity.name for entity in example.entities] == ["by New Rome", "New Rome"]


def test_span_position_may_be_missing(mrc):
    (example,) = questions(mrc(record(span_position=..., impossible=..., qas_id=...)))
    assert [entity.name for entity in example.entities] == ["EU", "New Rome"]


def test_a_no_break_space_parts_no_tokens_and_several_blanks_part_two(mrc):
    odd = record(context="5\u00a0% of  EU", start_position=[2], end_position=[2], span_position=["2;2"])
    assert [example.entities[0].name for example in questions(mrc(odd))] == ["EU"]


def test_places_are_kept_and_a_repeated_span_counts_once(mrc):
    noted = Counter()
    twice = record(context="EU left EU", start_position=[2, 2], end_position=[2, 2], span_position=["2;2", "2;2"])
    [example] = whole_sentences(mrc(twice), reading=Reading(noted=noted))
    assert [(entity.name, entity.start) for entity in example.entities] == [("EU", 8)]
    assert +noted == {"repeated_entity": 1}


@pytest.mark.parametrize("token", ["\u00a0EU", "EU\u200b", "\ufeffEU\u00a0"])
def test_invisible_ends_of_a_token_are_no_part_of_a_name(mrc, token):
    noted = Counter()
    odd = record(context=f"in {token} now", start_position=[1], end_position=[1], span_position=["1;1"])
    [example] = whole_sentences(mrc(odd), reading=Reading(noted=noted))
    assert [(entity.name, entity.start) for entity in example.entities] == [("EU", 3 + token.index("E"))]
    assert +noted == {"trimmed_name": 1}


WRONG = [
    (7, "a number, not an object"),
    (record(context=...), "lacks 'context'"),
    (record(query=...), "lacks 'query'"),
    (record(start_position=...), "lacks 'start_position'"),
    (record(context=" "), "'context' is empty"),
    (record(context="\ud83d"), "lone surrogate"),
    (record(query=None), "'query' is null"),
    (record(entity_label=3), "'entity_label' is a number"),
    (record(start_position="0"), "'start_position' is not a list of whole numbers"),
    (record(end_position=[True, 6]), "'end_position' is not a list of whole numbers"),
    (record(span_position=["0-0", "5;6"]), "'span_position' is not a list of texts"),
    (record(span_position="0;0"), "'span_position' is not a list of texts"),
    (record(span_position=["0;0"]), "is not what 'start_position'"),
    (record(start_position=[0], span_position=...), "1 start and 2 end positions"),
    (record(end_position=[0, 7], span_position=["0;0", "5;7"]), "span 5 to 7 is none of the 7 tokens"),
    (record(start_position=[-1], end_position=[0], span_position=...), "span -1 to 0"),
    (record(start_position=[6], end_position=[5], span_position=["6;5"]), "span 6 to 5"),
    (record(impossible=True), "'impossible' is true, the record has 2 spans"),
    (empty(impossible=False), "'impossible' is false, the record has 0 spans"),
    (record(impossible="no"), "'impossible' is a string"),
    (record(context="a \u200b", start_position=[1], end_position=[1], span_position=["1;1"]), "which nothing is seen"),
    (record(query="Where is it?"), "'query' is not that of record 1"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message[:24] for _, message in WRONG])
def test_a_wrong_record_is_one_line_with_its_file_and_number(mrc, wrong, message):
    path = mrc(record(), wrong)
    with pytest.raises(DataError, match=message) as error:
        list(questions(path))
    assert str(error.value).startswith(f"{path}: record 2: ")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("correct it or skip such records")


def test_wrong_records_can_be_counted_instead(mrc):
    path, skipped = mrc(*(wrong for wrong, _ in WRONG[:-1]), record()), Counter()
    assert len(list(questions(path, reading=Reading(skipped=skipped)))) == 1
    assert skipped.total() == len(WRONG) - 1
    assert skipped["bad_positions"] == 9
    assert descriptions(path) == {"organization": QUERY}


def test_a_file_that_is_no_json_list_is_told(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text('{"context": 1}\n{"context": 2}')
    with pytest.raises(DataError, match="JSON Lines, not a list"):
        list(questions(path))


# -------------------------------------------------------------------------------------------------------- sentences


def test_the_questions_about_a_sentence_become_the_sentence(mrc):
    about_ann = {"context": "Ann left", "span_position": ["0;0"], "start_position": [0], "end_position": [0]}
    person = record(**about_ann, entity_label="PER", query="person")
    path = mrc(record(), empty(entity_label="PER", query="person"), empty(context="Ann left"), person)
    assert list(whole_sentences(path, "news")) == [
        Example(
            "EU rejects German call by New Rome",
            ("organization", "person"),
            (Entity("EU", "organization"), Entity("New Rome", "organization")),
            "news",
        ),
        Example("Ann left", ("organization", "person"), (Entity("Ann", "person"),), "news"),
    ]


def test_entities_of_a_sentence_come_by_place_the_longer_first_then_by_type(mrc):
    def asked(label, *spans):
        starts, ends = zip(*spans, strict=True)
        written = [f"{start};{end}" for start, end in spans]
        positions = {"start_position": list(starts), "end_position": list(ends), "span_position": written}
        return record(context="EU in EU law", entity_label=label, query=label, **positions)

    [example] = whole_sentences(mrc(asked("zone", (2, 2)), asked("law", (2, 3)), asked("ORG", (2, 2), (0, 0))))
    assert [(entity.name, entity.type, entity.start) for entity in example.entities] == [
        ("EU", "organization", 0),
        ("EU law", "law", 6),
        ("EU", "organization", 6),
        ("EU", "zone", 6),
    ]


def test_a_sentence_that_is_there_twice_is_two(mrc):
    assert len(list(whole_sentences(mrc(record(), record())))) == 2


def test_a_folder_of_questions_is_a_dataset(tmp_path):
    folder = tmp_path / "conll03"
    folder.mkdir()
    (folder / "mrc-ner.test").write_text(json.dumps([record()]), encoding="utf-8")
    [dataset], _ = find_datasets(tmp_path)
    [example] = read_dataset(dataset, "test")
    assert (example.dataset, example.types) == ("conll03", ("organization",))


def test_the_files_own_questions_describe_the_types(tmp_path):
    from data_prep.to_parquet import main

    folder = tmp_path / "corpora" / "conll03"
    folder.mkdir(parents=True)
    for split, sentence in (("train", "Ann Smith left"), ("dev", "Bob Jones came"), ("test", "Eve Brown stays")):
        spans = {"span_position": ["0;1"], "start_position": [0], "end_position": [1]}
        records = [record(context=sentence, **spans)]
        (folder / f"mrc-ner.{split}").write_text(json.dumps(records), encoding="utf-8")
    out = tmp_path / "out"
    command = ["eval", "--corpora", str(tmp_path / "corpora"), "--answer-format", "entity_tags", "--out", str(out)]
    assert main(command) == 0
    [template] = json.loads((out / "manifest.json").read_text())["test.parquet"]["wordings"]["conll03"].values()
    assert f"Description: {QUERY}" in template
    assert "Sentence: Bob Jones came\n" in template


def test_a_dataset_may_be_one_file(mrc):
    path = mrc(record(), empty(entity_label="PER", query="person?"))
    (dataset,), _ = find_datasets(path)
    assert dataset.one_file
    for split in ("train", "test"):
        (example,) = read_dataset(dataset, split)
        assert (example.types, example.dataset) == (("organization", "person"), "mrc-ner")
