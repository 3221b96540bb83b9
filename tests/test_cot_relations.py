"""Rows of relations and of events through the steps of recipe.cot: what is read, asked, refused, kept and written."""

import argparse
import json
from pathlib import Path

import pytest
from cot_case import lines, run, write
from hypothesis import event, given, settings
from hypothesis import strategies as st

from data_prep.to_parquet import main as to_parquet
from recipe import answers
from recipe.core.entities import DataError, Entity, Example, Relation
from recipe.corpora import own_types
from recipe.corpora.datasets import dataset_of_file, find_datasets, read_dataset
from recipe.corpora.reading import Reading
from recipe.cot.export import ner_cot
from recipe.cot.facts import question
from recipe.cot.phrases import denials, denied_pairs, fold
from recipe.cot.prompts import FORMATS, GUIDED, PLAIN, WITHHELD, annotation_messages, judge_messages, wording
from recipe.cot.row import Row, unaskable
from recipe.cot.rows import add_arguments, open_rows
from recipe.cot.rules import Limits, broken_rules, read_annotated
from recipe.cot.validate import check

pytest.importorskip("datasketch")
pytest.importorskip("py3langid")

SAMPLE = Path(__file__).resolve().parent.parent / "data_prep" / "sample"
ALONE, BOTH = answers.formats_of("re")
(EVENTS,) = answers.formats_of("ee")
SENTENCE = "Ada fled Rome , where Bob was born ."
ADA, BOB, ROME = Entity("Ada", "person", 0), Entity("Bob", "person", 22), Entity("Rome", "city", 9)
FLED, BORN = Entity("fled", "flight", 4), Entity("born", "birth", 30)
BORN_IN = Relation(BOB, "born in", ROME)
TYPES = ("city", "person", "born in", "left")
EXAMPLES = {
    ALONE: Example(SENTENCE, TYPES[2:], (), "news", None, ALONE, (BORN_IN,), TYPES[2:]),
    BOTH: Example(SENTENCE, TYPES, (ADA, ROME, BOB), "news", None, BOTH, (BORN_IN,), TYPES[2:]),
    EVENTS: Example(
        SENTENCE, ("birth", "flight", "place", "who"), (FLED, BORN), "news", None, EVENTS,
        (Relation(FLED, "who", Entity("Ada", "", 0)), Relation(BORN, "place", Entity("Rome", "", 9))), ("place", "who"),
    ),
}  # fmt: skip
each_format = pytest.mark.parametrize("name", EXAMPLES)
GOLD = {
    "relations": [{"head": {"name": "Bob"}, "type": "Born in", "tail": "Rome"}],
    "events": [{"type": "flight", "trigger": "fled", "arguments": [{"name": "Ada", "role": "who"}]}],
}


def rows(*options):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return list(open_rows(parser.parse_args([str(option) for option in options]))())


def rows_of(path, records, *options):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return rows("--input", path, *options)


def row_of(name, **changes):
    example = EXAMPLES[name]
    given = {"types": example.types, "gold": example.facts, "relation_types": example.relation_types} | changes
    return Row(example.sentence, example.dataset, format=name, **given)


def annotation(name, thought=None, **changes):
    """A line of annotate.jsonl: the example, said by a teacher who thinks the template's thoughts, or this one."""
    example = EXAMPLES[name]
    thought = thought or answers.template_reasoning(example)
    row = row_of(name)
    return {
        "id": row.id, "status": "answered", "reason": None, "detail": None, "sentence": row.sentence,
        "source": row.source, "types": list(row.types), **question(name, row.relation_types), "gold": row.gold_texts,
        "mode": WITHHELD, "output": f"<think>\n{thought}\n</think>\n{answers.render_answer(example)}",
        "finish_reason": "stop", "requests": 1, "input_tokens": 1, "output_tokens": 1, "cost": None, "seconds": 1.0,
    } | changes  # fmt: skip


def said(name, answer, thought=None, **changes):
    """An annotation whose answer is this JSON."""
    output = f"<think>\n{thought or answers.template_reasoning(EXAMPLES[name])}\n</think>\n{json.dumps(answer)}"
    return annotation(name, output=output, **changes)


def broken(record):
    return broken_rules(read_annotated(record), Limits())


# ------------------------------------------------------------------------------------------------------------- rows


def test_the_gold_of_a_row_says_what_it_is_asked(tmp_path):
    [tied] = rows_of(tmp_path / "a.jsonl", [{"text": SENTENCE, "relations": GOLD["relations"]}])
    assert (tied.format, tied.types, tied.relation_types) == (ALONE, ("born in",), ("born in",))
    assert tied.gold == (Relation(Entity("Bob", ""), "born in", Entity("Rome", "")),)
    [event] = rows_of(tmp_path / "b.jsonl", [{"text": SENTENCE, "events": GOLD["events"]}])
    assert (event.format, event.types, event.relation_types) == (EVENTS, ("flight", "who"), ("who",))
    assert event.gold == (FLED, Relation(FLED, "who", Entity("Ada", "")))


def test_both_kinds_of_types_of_a_row_or_of_the_command(tmp_path):
    own = {"text": SENTENCE, "schema": ["flight", "birth"], "relation_types": ["who"], "events": GOLD["events"]}
    [row] = rows_of(tmp_path / "a.jsonl", [own], "--types", "x", "--relation-types", "y")
    assert (row.types, row.relation_types) == (("birth", "flight", "who"), ("who",))
    types = ("--types", "flight,birth", "--relation-types", "who,place")
    for record in ({"text": SENTENCE}, {"text": SENTENCE, "events": GOLD["events"]}):
        [row] = rows_of(tmp_path / "b.jsonl", [record], "--task", "ee", *types)
        assert (row.types, row.relation_types) == (("birth", "flight", "place", "who"), ("place", "who"))


def test_of_relations_alone_types_are_those_of_relations(tmp_path):
    [row] = rows_of(tmp_path / "a.jsonl", [{"text": SENTENCE, "types": ["left"]}], "--task", "re")
    assert (row.types, row.relation_types, row.gold) == (("left",), ("left",), None)
    exported = {"sentence": SENTENCE, "schema": [], "relation_types": ["left"], "relations": []}
    assert rows_of(tmp_path / "b.jsonl", [exported]) == [Row(SENTENCE, "b", ("left",), (), ALONE, ("left",))]


def test_without_types_the_teacher_chooses_both_kinds(tmp_path):
    assert rows_of(tmp_path / "a.jsonl", [{"text": SENTENCE}], "--task", "ee") == [Row(SENTENCE, "a", format=EVENTS)]
    bare = [{"type": "flight", "trigger": "fled", "arguments": []}]
    [row] = rows_of(tmp_path / "a.jsonl", [{"text": SENTENCE, "events": bare}])
    assert (row.types, row.relation_types, row.gold) == (None, (), (FLED,))
    [row] = rows_of(tmp_path / "a.jsonl", [{"text": SENTENCE, "relations": []}])
    assert (row.types, row.gold, row.format) == (None, (), ALONE)


def test_of_a_record_with_names_and_relations_names_are_asked_for_unless_it_or_the_command_says_otherwise(tmp_path):
    record = {"text": SENTENCE, "entities": [{"text": "Ada", "label": "person"}], "relations": GOLD["relations"]}
    [named] = rows_of(tmp_path / "a.jsonl", [record])
    assert (named.types, named.gold) == (("person",), (ADA,))
    [tied] = rows_of(tmp_path / "a.jsonl", [record], "--task", "re")
    assert (tied.types, tied.gold) == (("born in",), (Relation(Entity("Bob", ""), "born in", Entity("Rome", "")),))
    own = {"types": ["person"], "relation_types": ["born in"]}
    assert rows_of(tmp_path / "a.jsonl", [record | own])[0].format == ALONE


def test_heads_and_tails_may_be_of_a_residual_type(tmp_path):
    entities = [{"text": "Bob", "label": "misc"}, {"text": "Rome", "label": "city"}]
    record = {"text": SENTENCE, "entities": entities, "relations": GOLD["relations"]}
    [row] = rows_of(tmp_path / "a.jsonl", [record], "--answer-format", BOTH)
    assert row.types == ("city", "misc", "born in")


@each_format
def test_a_corpus_and_the_rows_that_data_prep_makes_of_it_are_the_same_to_a_teacher(tmp_path, corpus, name):
    pytest.importorskip("pyarrow")
    head, tail = {"name": "Bob", "type": "person"}, {"name": "Rome", "type": "city"}
    tied = {"sentence": SENTENCE, "relations": [{"head": head, "type": "born in", "tail": tail}]}
    path = corpus({"sentence": SENTENCE, "events": GOLD["events"]} if name == EVENTS else tied)
    options, out = ["--corpora", str(path.parent), "--answer-format", name], tmp_path / "out"
    assert to_parquet(["grpo", *options, "--num-dev", "0", "--out", str(out)]) == 0
    [row] = rows("--input", out / "train.parquet")
    assert [row] == rows(*options)
    assert row.format == name
    if name != BOTH:  # which is asked for by name alone
        assert [row] == rows("--corpora", path.parent)


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        ([{"text": "a", "relations": []}, {"text": "b", "events": []}], [], "record 2: has events, and relations are"),
        ([{"text": SENTENCE, **GOLD}], ["--task", "ner"], "record 1: has events, and named entities are asked for"),
        ([{"text": "a"}], ["--types", "x", "--relation-types", "y"], "--relation-types: named entities have none"),
        ([{"text": "a"}], ["--relation-types", "y"], "--relation-types: go with --types"),
        ([{"text": "a"}], ["--task", "ee", "--types", "x"], "name types of relations, or roles, too"),
        ([{"text": "a"}], ["--task", "ner", "--answer-format", ALONE], "is none of --task ner"),
        ([{"text": "a", "types": ["x"], "events": []}], [], "record 1: it needs both 'types'"),
        ([{"text": "a", "relation_types": "x", "relations": []}], [], "types are a list of strings"),
        (
            [{"text": SENTENCE, "types": ["left"], "relations": GOLD["relations"]}],
            [],
            "of type 'born in', which is none",
        ),
        ([{"text": SENTENCE, "relations": GOLD["relations"]}], ["--answer-format", BOTH], "say no entity types"),
        ([{"text": "a", "events": [{"type": "x"}]}], [], "event 1 has null or missing as 'trigger'"),
        ([{"text": "a", "relations": [{"head": "a", "type": "x"}]}], [], "tail of relation 1 is null or missing"),
    ],
)
def test_what_does_not_go_together_is_one_line(tmp_path, records, options, message):
    with pytest.raises(DataError, match=message) as error:
        rows_of(tmp_path / "a.jsonl", records, *options)
    assert "\n" not in str(error.value)


def test_a_control_token_in_an_argument_is_not_sent():
    gold = (FLED, Relation(FLED, "who", Entity("</think>", "")))
    assert unaskable(row_of(EVENTS, gold=gold))[0] == "control_token"


@each_format
def test_rows_that_ask_for_something_else_are_others(name):
    row = row_of(name)
    assert row.id == row_of(name).id
    others = [row_of(name, gold=None), row_of(name, relation_types=()), *(row_of(each) for each in EXAMPLES)]
    assert len({row.id, *(other.id for other in others)}) == 5


# ---------------------------------------------------------------------------------------------------------- prompts


@each_format
def test_a_prompt_has_all_types_and_the_gold_only_where_it_guides(name):
    row = row_of(name)
    _, asked = annotation_messages(row, WITHHELD)
    _, guided = annotation_messages(row, GUIDED)
    for label in row.types:
        assert json.dumps(label) in asked["content"]
    # The names stand in the text, and in quotation marks in the gold alone.
    assert '"Rome"' not in asked["content"]
    assert '"Rome"' in guided["content"]
    assert guided["content"].startswith(asked["content"])


@each_format
def test_of_open_types_the_prompt_names_none(name):
    _, asked = annotation_messages(row_of(name, types=None, relation_types=(), gold=None), PLAIN)
    assert "yourself" in asked["content"]
    assert "SCHEMA" not in asked["content"]


@pytest.mark.parametrize("name", FORMATS)
def test_no_placeholder_is_left(name):
    words = wording(name)
    for text in (words.system, words.judge_system, words.given_types, words.open_types):
        assert not {"FIELD", "ASKED", "FACT", "FACTS", "PARTS", "CANDIDATES", "COUNTED"} & set(text.split())


def test_each_task_has_words_and_a_format_that_has_none_is_told():
    assert {answers.task(name) for name in FORMATS} == set(answers.TASKS)
    for name in set(answers.FORMATS) - set(FORMATS):
        with pytest.raises(DataError, match=f"answer format {name}: no teacher can be asked for it; name one of json"):
            wording(name)


@each_format
def test_a_judge_sees_what_the_row_comes_to(tmp_path, name):
    run("validate", write(tmp_path, "annotate", [annotation(name)]))
    [record] = lines(tmp_path, "validate")
    _, asked = judge_messages(record)
    answer = answers.parse(answers.render_answer(EXAMPLES[name]), EXAMPLES[name])
    shown = answers.parse(asked["content"], EXAMPLES[name])
    assert answers.keys(shown.facts, name) == answers.keys(answer.facts, name)


# ------------------------------------------------------------------------------------------------------------ rules


@each_format
def test_a_sound_row_breaks_no_rule_and_is_its_gold(name):
    row = read_annotated(annotation(name))
    assert broken_rules(row, Limits(min_words=1)) == []
    assert (row.counts.f1, row.counts.gold) == (1, len(EXAMPLES[name].facts))


PAIR = {"relations": {"born in": [["Bob", "Rome"]]}}
THOUGHT = '"Bob" was born in "Rome", as the text says.'
EVENT = {"type": "birth", "trigger": "born", "arguments": {"who": ["Bob"]}}
HAPPENED = '"born" tells of a birth, and "Bob" is who was born.'


@pytest.mark.parametrize(
    ("record", "reasons"),
    [
        (said(ALONE, PAIR, THOUGHT), []),
        (said(ALONE, {"relations": {"died in": [["Bob", "Rome"]]}}, THOUGHT), ["off_schema"]),
        (said(ALONE, {"relations": {"born in": [["Bob", "Ulm"]]}}, THOUGHT + ' Or "Ulm".'), ["not_in_sentence"]),
        (said(ALONE, PAIR, 'Somebody was born in "Rome", as the text says.'), ["undiscussed"]),
        (said(ALONE, {"relations": {}}, "There is nothing of the kind in here."), []),
        (said(BOTH, {"entities": {"person": ["Bob"]}, **PAIR}, THOUGHT), ["not_an_entity"]),
        (said(BOTH, {"entities": {"person": ["Bob"], "city": ["Rome"]}, **PAIR}, THOUGHT), []),
        (said(BOTH, {"entities": {"left": ["Bob"], "city": ["Rome"]}, **PAIR}, THOUGHT), ["off_schema"]),
        (said(EVENTS, {"events": [EVENT]}, HAPPENED), []),
        (said(EVENTS, {"events": [{**EVENT, "type": "who"}]}, HAPPENED), ["off_schema"]),
        (said(EVENTS, {"events": [{**EVENT, "arguments": {"birth": ["Bob"]}}]}, HAPPENED), ["off_schema"]),
        (said(EVENTS, {"events": [EVENT | {"arguments": {"who": ["Eve"]}}]}, HAPPENED + " Eve."), ["not_in_sentence"]),
        (said(EVENTS, {"events": [EVENT, EVENT]}, HAPPENED), ["not_in_sentence"]),
        (said(EVENTS, {"events": [EVENT]}, '"born" tells of a birth, and of nothing else.'), ["undiscussed"]),
        (said(EVENTS, {"events": [EVENT]}, '"Bob" is who it is all about, I would say.'), ["undiscussed"]),
        (said(EVENTS, {"events": [EVENT]}, f'{HAPPENED} "born" is no trigger.'), ["rejected_in_reasoning"]),
        (said(EVENTS, {"events": [{"type": "birth"}]}, HAPPENED), ["unparsable"]),
    ],
)  # fmt: skip
def test_what_a_row_breaks(record, reasons):
    assert broken(record) == reasons


@each_format
def test_the_types_that_the_teacher_chose_are_those_of_its_answer(name):
    row = read_annotated(annotation(name, types=None, relation_types=[], gold=None))
    entity_types = sorted({entity.type for entity in EXAMPLES[name].entities})
    relation_types = sorted({one.type for one in EXAMPLES[name].relations})
    assert (row.found.entity_types, row.found.relation_types) == (tuple(entity_types), tuple(relation_types))
    assert broken_rules(row, Limits(min_words=1)) == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (ALONE, {"relations": {}}),
        (BOTH, {"entities": {"person": ["Bob"]}, "relations": {}}),
        (EVENTS, {"events": [EVENT | {"arguments": {}}]}),
    ],
)
def test_a_choice_of_types_of_which_one_kind_is_missing_cannot_be_asked_for(name, answer):
    chosen = {"types": None, "relation_types": [], "gold": None}
    thought = f"{HAPPENED} Nothing else is said in here."
    assert broken(said(name, answer, thought, **chosen)) == ["no_types"]
    assert broken(said(name, answer, thought, gold=None)) == []


def test_names_are_spelt_as_the_sentence_has_them_and_events_keep_their_own_arguments():
    sentence = "Ada fled ; Cafe\u0301  Bob fled too"
    events = [
        {"type": "flight", "trigger": "fled", "arguments": {"who": ["Ada"]}},
        {"type": "flight", "trigger": "fled", "arguments": {"who": ["Caf\u00e9 Bob"]}},
    ]
    found = read_annotated(said(EVENTS, {"events": events}, sentence=sentence)).found
    assert [entity.start for entity in found.entities] == [4, 22]
    assert [(one.head.start, one.tail.name, one.tail.start) for one in found.relations] == [
        (4, "Ada", 0),
        (22, "Cafe\u0301  Bob", 11),
    ]


DENIED = [
    '"Bob" and "Rome" are unrelated.',
    '"Bob" and "Rome" are not related, because the text is silent.',
    'There is no relation between "Bob" and "Rome".',
    'No relation of any of the given types is stated between "Rome" and "Bob".',
    'I see no born in relation between "Bob" and "Rome".',
    '"Bob" has no relation to "Rome" here.',
    '"Bob" is not related to "Rome".',
    '"Bob" does not stand in the relation "born in" to "Rome".',
    '"Bob" and "Rome" do not stand in any relation.',
    '"Bob" and "Rome" have no relation.',
    '"Bob" was not born in "Rome".',
    "“Bob” wasn't born in “Rome.”",
]
NOT_DENIED = [
    '"Rome" was not born in "Bob".',
    '"Bob" does not stand in the relation "left" to "Rome".',
    '"Bob" was not left by "Rome".',
    'One might think that "Bob" was not born in "Rome".',
    '"Bob" was not only born in "Rome".',
    'There is no doubt of a relation between "Bob" and "Rome".',
    'There is no relation between "Bob" and "Rome". However, he was born in "Rome", and so "Bob" is tied to it.',
    'There is no relation between "Ada" and "Rome", and "Bob" is the one.',
    'Is there no relation between "Bob" and "Rome"?',
    '"Bob" is not an entity but was born in "Rome".',
    '"Bob" was not born in "Rome". So "Bob" was born in "Rome".',
]


@pytest.mark.parametrize("verdict", DENIED)
def test_a_relation_that_the_reasoning_denies_last(verdict):
    assert broken(said(ALONE, PAIR, f"{THOUGHT} {verdict} All the rest is clear.")) == ["rejected_in_reasoning"]


@pytest.mark.parametrize("verdict", NOT_DENIED)
def test_a_relation_that_is_not_denied(verdict):
    assert broken(said(ALONE, PAIR, f"{THOUGHT} {verdict}")) == []


def test_a_denial_of_one_of_several_places_says_nothing():
    sentence = SENTENCE + " Bob liked Rome ."
    verdict = 'There is no relation between "Bob" and "Rome" at the end.'
    assert broken(said(ALONE, PAIR, f"{THOUGHT} {verdict}", sentence=sentence)) == []


@pytest.mark.parametrize(
    "verdict",
    [
        '"fled" is no trigger.',
        '"fled" is not an event.',
        '"fled" does not describe an event here.',
        '"fled" triggers no event.',
    ],
)
def test_triggers_are_denied_of_events_alone(verdict):
    assert ("fled", None) in denials(fold(verdict), "ee")
    assert ("fled", None) not in denials(fold(verdict))


@pytest.mark.parametrize(
    "piece", ['"a" and "b" ', 'no relation between "a', '"a" is not "b" ', '"a" has no relation ', "'a' "]
)
def test_pairs_are_looked_for_in_linear_time(piece):
    from linear_time import linear_time

    with linear_time():
        denied_pairs(fold(piece * 20_000))


# ---------------------------------------------------------------------------------------------- validate and export


def test_a_row_as_it_is_written(tmp_path):
    run("validate", write(tmp_path, "annotate", [annotation(EVENTS)]))
    [row] = lines(tmp_path, "validate")

    def entity(name, label, start):
        return {"text": name, "label": label, "start": start, "end": start + len(name)}

    assert (row["types"], row["format"], row["relation_types"]) == (
        ["birth", "flight", "place", "who"], EVENTS, ["place", "who"],
    )  # fmt: skip
    fled, born = entity("fled", "flight", 4), entity("born", "birth", 30)
    assert row["entities"] == [fled, born]
    assert row["relations"] == [
        {"head": fled, "type": "who", "tail": entity("Ada", "", 0)},
        {"head": born, "type": "place", "tail": entity("Rome", "", 9)},
    ]
    assert (row["agrees_with_gold"], row["missed"], row["added"]) == (True, 0, 0)


@pytest.mark.parametrize(
    ("name", "answer", "missed", "added"),
    [
        (ALONE, {"relations": {"left": [["Bob", "Rome"]]}}, 1, 1),
        (BOTH, {"entities": {"person": ["Ada", "Bob"], "city": ["Rome"]}, "relations": {}}, 1, 0),
        (BOTH, {"entities": {"person": ["Ada"]}, "relations": {}}, 3, 0),
        (EVENTS, {"events": [EVENT]}, 3, 1),
    ],
)
def test_disagreement_with_the_gold_is_counted(tmp_path, name, answer, missed, added):
    run("validate", write(tmp_path, "annotate", [said(name, answer)]))
    [row] = lines(tmp_path, "validate")
    assert (row["agrees_with_gold"], row["missed"], row["added"]) == (False, missed, added)


def exported(work, name, *options):
    """The folder of the dataset that a folder of annotations becomes."""
    manifest = json.loads((work / "annotate.manifest.json").read_text())
    manifest["settings"]["answer_format"] = name
    (work / "annotate.manifest.json").write_text(json.dumps(manifest))
    run("validate", work, "--min-words", "1", "--language", "any", "--keep-duplicates")
    out = work.with_name("out")
    run("export", work, "--out", out, "--splits", "train=1", "--no-judge", *options)
    return out


RECORDS = {
    ALONE: {
        "schema": [],
        "relation_types": ["born in", "left"],
        "relations": [{"head": {"name": "Bob"}, "type": "born in", "tail": {"name": "Rome"}}],
    },
    BOTH: {
        "schema": ["city", "person"],
        "relation_types": ["born in", "left"],
        "entities": [
            {"text": "Ada", "label": "person"}, {"text": "Rome", "label": "city"}, {"text": "Bob", "label": "person"},
        ],
        "relations": [
            {"head": {"name": "Bob", "type": "person"}, "type": "born in", "tail": {"name": "Rome", "type": "city"}}
        ],
    },
    EVENTS: {
        "schema": ["birth", "flight"],
        "relation_types": ["place", "who"],
        "events": [
            {"type": "flight", "trigger": "fled", "arguments": [{"name": "Ada", "role": "who"}]},
            {"type": "birth", "trigger": "born", "arguments": [{"name": "Rome", "role": "place"}]},
        ],
    },
}  # fmt: skip


@each_format
def test_a_record_of_the_dataset(tmp_path, name):
    out = exported(write(tmp_path / "work", "annotate", [annotation(name)]), name, "--format", "ner-cot")
    [record] = json.loads((out / "train.json").read_text())
    thought = answers.template_reasoning(EXAMPLES[name])
    told = {"sentence": SENTENCE, "source": "news", "cot": thought, "guid": row_of(name).id}
    assert record == told | RECORDS[name]
    [back] = read_dataset(dataset_of_file(out / "train.json"), "train", Reading(format=name))
    assert (back.types, back.relation_types) == (EXAMPLES[name].types, EXAMPLES[name].relation_types)
    assert sorted(answers.keys(back.facts, name)) == sorted(answers.keys(EXAMPLES[name].facts, name))
    assert back.reasoning == thought


@each_format
def test_the_parquet_file_has_the_answer_of_the_format(tmp_path, name):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = exported(write(tmp_path / "work", "annotate", [annotation(name)]), name)
    [row] = parquet.read_table(out / "train.parquet").to_pylist()
    assert row["messages"][1]["content"] == answers.render_answer(
        Example(
            SENTENCE, EXAMPLES[name].types, EXAMPLES[name].entities, "news",
            answers.template_reasoning(EXAMPLES[name]), name, EXAMPLES[name].relations, EXAMPLES[name].relation_types,
        )
    )  # fmt: skip
    assert row["ability"] == answers.task(name)


@each_format
def test_a_row_of_types_that_the_teacher_chose_becomes_one_that_asks_for_these(tmp_path, name):
    chosen = annotation(name, types=None, relation_types=[], gold=None)
    out = exported(write(tmp_path / "work", "annotate", [chosen]), name)
    [back] = read_dataset(dataset_of_file(out / "train.json"), "train", Reading(format=name))
    assert set(back.types) == {fact.type for fact in EXAMPLES[name].facts}


@each_format
def test_the_card_says_what_is_in_it(tmp_path, name):
    text = (exported(write(tmp_path / "work", "annotate", [annotation(name)]), name) / "README.md").read_text()
    shown = {
        ALONE: ["# Relations with reasoning", "| relations | 1 |", "| types of relations | 1 |", "- relation-ext"],
        BOTH: ["| entities | 3 |", "| relations | 1 |", "| person | 2 |", "| born in | 1 |", f"format {BOTH}`"],
        EVENTS: ["# Events with reasoning", "| events | 2 |", "| arguments | 2 |", "| roles of arguments | 2 |"],
    }  # fmt: skip
    for line in shown[name]:
        assert line in text
    rows = text.splitlines()
    assert all(rows[i - 1].startswith("|") or not rows[i - 1] for i, row in enumerate(rows) if row.startswith("|"))
    assert "\n\n\n" not in text
    [shape] = [line for line in rows if line.startswith('{"sentence"')]
    json.loads(shape.replace(", ...]", "]"))


@each_format
def test_the_funnel_counts_in_the_words_of_the_task(tmp_path, capsys, name):
    work = write(tmp_path / "work", "annotate", [said(name, {"events": [], "entities": {}, "relations": {}})])
    exported(work, name, "--format", "ner-cot")
    capsys.readouterr()
    run("stats", work)
    what = {
        ALONE: "1 relations missed",
        BOTH: "4 entities and relations missed",
        EVENTS: "4 triggers and arguments missed",
    }
    assert f"({what[name]}, 0 added)" in capsys.readouterr().out


@pytest.mark.parametrize(("task", "name"), [("re", ALONE), ("ee", EVENTS)])
def test_the_gold_of_the_sample_is_kept_and_comes_back(tmp_path, task, name):
    [dataset], _ = find_datasets(SAMPLE, None, task=task)
    annotated, gold = [], {}
    for example in read_dataset(dataset, "dev", Reading(format=name, cot="template")):
        row = Row(example.sentence, example.dataset, example.types, example.facts, name, example.relation_types)
        gold[row.id] = example
        asked = {"types": list(row.types), **question(name, row.relation_types), "gold": row.gold_texts}
        told = {"id": row.id, "sentence": row.sentence, "source": row.source, "output": answers.render_answer(example)}
        annotated.append(annotation(name) | asked | told)
    work = write(tmp_path / "work", "annotate", {record["id"]: record for record in annotated}.values())
    out = exported(work, name, "--format", "ner-cot")
    assert all((row["status"], row["agrees_with_gold"]) == ("kept", True) for row in lines(work, "validate"))
    ids = [record["guid"] for record in json.loads((out / "train.json").read_text())]
    read = list(read_dataset(dataset_of_file(out / "train.json"), "train", Reading(format=name)))
    assert len(read) == len(ids) == len(gold) > 900
    for key, example in zip(ids, read, strict=True):
        assert sorted(answers.keys(example.facts, name)) == sorted(answers.keys(gold[key].facts, name))


# ------------------------------------------------------------------------------------------- files with reasoning


def prepared(tmp_path, records, *options):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(records))
    return to_parquet(["sft", "--ner-cot", str(path), "--out", str(tmp_path / "data"), *options])


@each_format
def test_data_preparation_reads_what_a_file_has(tmp_path, name):
    parquet = pytest.importorskip("pyarrow.parquet")
    record = {"sentence": SENTENCE, "cot": "As the text says.", **RECORDS[name]}
    options = [] if name == answers.formats_of(answers.task(name))[0] else ["--answer-format", name]
    assert prepared(tmp_path, [record], *options) == 0
    [row] = parquet.read_table(tmp_path / "data" / "train.parquet").to_pylist()
    answer = answers.parse(row["messages"][1]["content"], EXAMPLES[name])
    assert sorted(answers.keys(answer.facts, name)) == sorted(answers.keys(EXAMPLES[name].facts, name))


def test_each_of_two_events_with_triggers_that_are_alike_keeps_its_arguments(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    record = {"sentence": "Ada fled and Bob fled", "cot": "Both did.", "schema": ["flight"], "relation_types": ["who"]}
    record["events"] = [
        {"type": "flight", "trigger": "fled", "arguments": [{"name": name, "role": "who"}]} for name in ("Ada", "Bob")
    ]
    assert prepared(tmp_path, [record]) == 0
    [row] = parquet.read_table(tmp_path / "data" / "train.parquet").to_pylist()
    told = json.loads(row["messages"][1]["content"].partition("</think>")[2])
    assert [each["arguments"] for each in told["events"]] == [{"who": ["Ada"]}, {"who": ["Bob"]}]


def test_lists_may_be_text_as_in_tables(tmp_path):
    pytest.importorskip("pyarrow")
    lists = {key: json.dumps(value) for key, value in RECORDS[EVENTS].items()}
    assert prepared(tmp_path, [{"sentence": SENTENCE, "cot": "So.", **lists}]) == 0


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, ["--task", "ner"], "can't be asked for the task ner; its files are for --task ee"),
        ({"relation_types": []}, [], "'relation_types' leaves no type to ask for"),
        ({"relation_types": ["who"]}, [], "of type 'place', which is none of the 1 types"),
        ({"schema": ["flight"]}, [], "of type 'birth', which is none of the 1 types"),
        ({"events": [{"type": "birth", "trigger": "born", "arguments": 3}]}, [], "event 1 has a number as 'arguments'"),
        ({"cot": " "}, [], "'cot' is empty"),
    ],
)
def test_a_file_with_a_mistake_is_told_in_a_line(tmp_path, capsys, change, options, message):
    pytest.importorskip("pyarrow")
    record = {"sentence": SENTENCE, "cot": "So.", **RECORDS[EVENTS]} | change
    assert prepared(tmp_path, [record], *options) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in told
    assert not (tmp_path / "data").exists()


def test_files_of_two_tasks_are_told_apart(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    other = tmp_path / "b.json"
    other.write_text(json.dumps([{"sentence": SENTENCE, "cot": "So.", **RECORDS[ALONE]}]))
    assert (
        prepared(tmp_path, [{"sentence": SENTENCE, "cot": "So.", **RECORDS[EVENTS]}], "--dev-ner-cot", str(other)) == 2
    )
    assert "can't be asked for the task ee; its files are for --task re" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------- any answer

WORDS = ["Ada", "fled", "Rome", "Bob", "born", "ada", "Rome , where", "Eve", "\u200bBob", "Bob "]
word = st.sampled_from(WORDS)
label = st.sampled_from(["person", "city", "Flight"]) | st.sampled_from(["person", "city", "flight", "misc"])
tie = st.sampled_from(["born in", "Left", "who"]) | st.sampled_from(["born in", "left", "who", "x"])
pairs = st.dictionaries(tie, st.lists(st.tuples(word, word), max_size=2), max_size=2)
arguments = st.dictionaries(tie, st.lists(word, min_size=1, max_size=2), max_size=2)
happening = st.fixed_dictionaries({"type": label, "trigger": word, "arguments": arguments})
ANSWERS = {
    ALONE: st.fixed_dictionaries({"relations": pairs}),
    BOTH: st.fixed_dictionaries(
        {"entities": st.dictionaries(label, st.lists(word, max_size=4), max_size=2), "relations": pairs}
    ),
    EVENTS: st.fixed_dictionaries({"events": st.lists(happening, max_size=2)}),
}


@each_format
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_kept_is_exported_and_comes_back_whatever_the_teacher_wrote(name, data):
    types = data.draw(st.none() | st.just(("city", "flight", "person", "born in", "left", "who")))
    ties = () if types is None else types[3:]
    asked = {"types": types and list(types[3:] if name == ALONE else types), "relation_types": list(ties), "gold": None}
    thought = " ".join(f'"{each}" is one.' for each in WORDS)
    record = said(name, data.draw(ANSWERS[name]), thought, **asked)
    checked = check(record, Limits("any", min_words=1), None)
    event("kept" if checked["status"] == "kept" else checked["reasons"][0])
    if checked["status"] != "kept":
        return
    told = ner_cot(checked)
    task, reading = answers.task(name), Reading(format=name)
    example = own_types.example_with(told, task, told["schema"], told["relation_types"], "news", reading)
    back = answers.asked_in(example, name)
    answer = answers.parse(record["output"], back)
    assert sorted(answers.keys(back.facts, name)) == sorted(answers.keys(answer.facts, name))
    assert answers.count(answers.parse(answers.render_answer(back), back), back).f1 == 1
