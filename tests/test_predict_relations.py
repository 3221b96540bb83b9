"""From texts and answers to relations and events with offsets, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from recipe import answers, predict
from recipe.core.align import Span
from recipe.core.entities import DataError, Entity, Example, Relation
from recipe.corpora.texts import Record, read_records
from recipe.generate.engine import Decoding
from recipe.generate.predictions import Prediction
from recipe.predict.__main__ import _manifest, main
from recipe.predict.model import MANIFEST, trained_on
from recipe.predict.output_formats import write
from recipe.predict.questions import Inquiry
from recipe.predict.replies import Link, assemble, read
from recipe.predict.windows import Window

PLAIN, JOINT = answers.formats_of("re")
[EVENTS] = answers.formats_of("ee")
ALONE = predict.Settings(answer_format=PLAIN)
BOTH = predict.Settings(answer_format=JOINT, relation_types=("born in", "saw"))
OF_EVENTS = predict.Settings(answer_format=EVENTS, relation_types=("attacker", "victim"))
TYPES = ("city", "person")


def ask(settings, text, types, *outputs):
    """The result of a text that is asked about at once, and gets these completions."""
    plan = Inquiry(Record(text, tuple(types)), (Window(0, len(text), 0, len(text)),), ((0,),))
    return assemble(0, plan, [Prediction(i, output) for i, output in enumerate(outputs)], settings)


def tied(*triples, **named):
    """An answer: relations as (head, type, tail) and, where there are any, entities by their types."""
    relations = {}
    for head, label, tail in triples:
        relations.setdefault(label, []).append([head, tail])
    return json.dumps({"entities": named, "relations": relations} if named else {"relations": relations})


def says(*events):
    told = [{"type": label, "trigger": trigger, "arguments": arguments} for label, trigger, arguments in events]
    return json.dumps({"events": told})


def ends(result):
    return [(one.head.start, one.type, one.tail.start) for one in result.relations]


def found(result):
    """The events of the record: type, the trigger's place, and role and place of each argument."""
    return [
        (event["type"], event["trigger"]["start"], [(each["role"], each["start"]) for each in event["arguments"]])
        for event in result.as_dict()["events"]
    ]


def sampled(settings, count, share=0.5):
    return replace(settings, samples=count, temperature=1.0, min_agreement=share)


# -------------------------------------------------------------------------------------------------------- questions


def test_relations_alone_are_asked_for_by_their_types():
    [example] = ALONE.asked("Ada", ("born in", "saw"))
    assert (example.types, example.relation_types, example.entity_types) == (("born in", "saw"), ("born in", "saw"), ())


@pytest.mark.parametrize("settings", [BOTH, OF_EVENTS])
def test_types_of_relations_come_after_the_others(settings):
    [example] = settings.asked("Ada", TYPES)
    assert example.types == (*TYPES, *settings.relation_types)
    assert (example.relation_types, example.entity_types) == (settings.relation_types, TYPES)
    prompt = settings.prompt(example)
    assert json.dumps(list(TYPES)) in prompt
    assert json.dumps(list(settings.relation_types)) in prompt


@pytest.mark.parametrize("settings", [ALONE, BOTH, OF_EVENTS])
def test_grammars_know_both_kinds_of_types(settings):
    settings = replace(settings, constrained=True)
    [example] = settings.asked("Ada", TYPES)
    expected = answers.grammar(settings.answer_format, example.types, "Ada", False, example.relation_types)
    assert settings.grammar(TYPES, "Ada").rules == expected.rules


def test_types_of_relations_are_cleaned_as_types_are():
    assert (
        predict.Settings(answer_format=JOINT, relation_types=["Saw ", "born in"]).relation_types == BOTH.relation_types
    )
    with pytest.raises(DataError, match="--relation-types: type 'saw' stands there twice"):
        predict.Settings(relation_types=["saw", "Saw"])


@pytest.fixture
def predictor(tokenizer):
    """A model without its vLLM: it plans, and puts together what it is given."""

    def make(settings):
        return predict.Predictor(Path("model"), settings, Decoding(512, 128), tokenizer, [0])

    return make


def evaluation_rows(path, example):
    pytest.importorskip("pyarrow")
    from data_prep.output import write_parquet
    from data_prep.rows import RowRules, question_row, row_schema

    row = question_row(example, 0, "test", RowRules(format=example.format))
    write_parquet(path, [row], row_schema(sft=False))
    return read_records(path, None)


@pytest.mark.parametrize("settings", [ALONE, BOTH, OF_EVENTS])
def test_evaluation_rows_are_asked_about_as_they_are(tmp_path, predictor, settings):
    [example] = settings.asked("Ada saw Rome .", TYPES)
    [record] = evaluation_rows(tmp_path / "eval.parquet", example)
    assert predictor(settings).inquiry(record).record.types == TYPES


def test_evaluation_rows_with_other_types_of_relations_are_refused(tmp_path, predictor):
    [record] = evaluation_rows(tmp_path / "eval.parquet", BOTH.asked("Ada saw Rome .", TYPES)[0])
    with pytest.raises(DataError, match="its types of relations aren't those of --relation-types"):
        predictor(replace(BOTH, relation_types=("saw",))).inquiry(record)


def test_a_run_keeps_to_its_types_of_relations(predictor):
    assert _manifest(predictor(BOTH), [])["relation_types"] == ("born in", "saw")
    assert "relation_types" not in _manifest(predictor(ALONE), [])  # as in runs that were begun before there were any


# -------------------------------------------------------------------------------------------------------- relations


def test_a_relation_ties_two_places():
    example = ALONE.asked("Ada saw Rome .", ("saw",))[0]
    reply = read(example, tied(("Ada", "saw", "Rome")))
    assert reply.links == {Link(Span(0, 3, ""), "saw", Span(8, 12, ""))}
    assert reply.parsed


def test_a_record_of_relations_alone_has_no_entities():
    record = ask(ALONE, "Ada saw Rome .", ["saw"], tied(("Ada", "saw", "Rome"))).as_dict()
    assert record == {
        "index": 0, "sentence": "Ada saw Rome .", "reasoning": None,
        "relations": [
            {"head": {"name": "Ada", "start": 0, "end": 3}, "type": "saw",
             "tail": {"name": "Rome", "start": 8, "end": 12}},
        ],
        "not_in_text": [], "off_schema": [], "answers": 1, "unparsable": 0, "cut": 0,
    }  # fmt: skip


def test_a_record_of_both_has_the_types_of_heads_and_tails():
    output = tied(("Ada", "saw", "Rome"), ("Ada", "saw", "home"), person=["Ada"], city=["Rome"])
    record = ask(BOTH, "Ada saw Rome , her home", TYPES, output).as_dict()
    assert [entity["name"] for entity in record["entities"]] == ["Ada", "Rome"]
    ada = {"name": "Ada", "start": 0, "end": 3, "type": "person"}
    assert record["relations"] == [
        {"head": ada, "type": "saw", "tail": {"name": "Rome", "start": 8, "end": 12, "type": "city"}},
        {"head": ada, "type": "saw", "tail": {"name": "home", "start": 19, "end": 23}},
    ]


def test_a_name_has_one_place_in_all_relations():
    output = tied(("Rio", "saw", "Ada"), ("Ada", "saw", "Rio"), ("Rio", "born in", "Rio"))
    assert ends(ask(ALONE, "Rio , Rio and Ada", ["born in", "saw"], output)) == [
        (0, "born in", 0), (0, "saw", 14), (14, "saw", 0),
    ]  # fmt: skip


def test_the_place_is_that_of_the_entity_with_the_name():
    output = tied(("York", "saw", "Ada"), person=["Ada"], city=["New York", "York"])
    assert ends(ask(BOTH, "New York , York , Ada", TYPES, output)) == [(11, "saw", 18)]


@pytest.mark.parametrize("named", [{}, {"language": ["C++"]}])
def test_c_is_not_the_c_of_c_plus_plus(named):
    settings = BOTH if named else ALONE
    result = ask(settings, "C++ and C .", ["language"] if named else ["saw"], tied(("C", "saw", "C++"), **named))
    assert ends(result) == [(8, "saw", 0)]


def test_a_relation_with_a_name_that_the_text_lacks_is_left_out():
    result = ask(ALONE, "Ada saw Rome .", ["saw"], tied(("Ada", "saw", "Ulm"), ("Eve", "saw", "Rome")))
    assert result.relations == ()
    assert result.not_in_text == (Entity("Eve", "saw"), Entity("Ulm", "saw"))


def test_relations_that_were_not_asked_for_are_listed_apart():
    result = ask(ALONE, "Ada saw Rome .", ["born in"], tied(("Ada", "saw", "Rome"), ("Ada", "left", "Ulm")))
    assert (result.relations, result.not_in_text) == ((), ())
    assert result.as_dict()["off_schema"] == [
        {"type": "left", "name": "Ada → Ulm"}, {"type": "saw", "name": "Ada → Rome"},
    ]  # fmt: skip


def test_entities_have_no_type_of_relations():
    result = ask(BOTH, "Ada saw Rome .", TYPES, tied(("Ada", "saw", "Rome"), saw=["Ada"], city=["Rome"]))
    assert [entity.name for entity in result.entities] == ["Rome"]
    assert result.off_schema == (Entity("Ada", "saw"),)
    [one] = result.relations
    assert (one.head.name, one.head.type, one.tail.type) == ("Ada", "", "city")


def test_an_answer_that_cannot_be_read_is_counted():
    result = ask(ALONE, "Ada saw Rome .", ["saw"], "I don't know")
    assert (result.relations, result.unparsable) == ((), 1)


def test_a_text_that_was_not_asked_about_has_a_record_of_the_same_keys():
    record = assemble(0, Inquiry(Record("", ("saw",)), error="why"), [], ALONE).as_dict()
    assert (record["relations"], record["error"], "entities" in record) == ([], "why", False)


# ------------------------------------------------------------------------------------------------------------ votes


def votes(*outputs, share=0.5):
    result = ask(sampled(ALONE, len(outputs), share), "Ada saw Rome and Ulm", ["saw"], *outputs)
    return {one.tail.name: one.votes for one in result.relations}


ROME, ULM = tied(("Ada", "saw", "Rome")), tied(("Ada", "saw", "Ulm"))


def test_a_relation_needs_its_share_of_the_answers():
    assert votes(ROME, ROME, ULM) == {"Rome": 2}
    assert votes(ROME, ROME, ULM, share=0.3) == {"Rome": 2, "Ulm": 1}
    assert votes(ROME, ROME, "?", share=1.0) == {}


def test_a_repeated_relation_is_one_vote():
    assert votes(tied(*[("Ada", "saw", "Rome")] * 2), ULM, ULM) == {"Ulm": 2}


def test_votes_are_in_the_record():
    record = ask(sampled(BOTH, 2), "Ada saw Rome", TYPES, *[tied(("Ada", "saw", "Rome"), person=["Ada"])] * 2).as_dict()
    assert [one["votes"] for one in (*record["relations"], *record["entities"])] == [2, 2]
    assert "votes" not in record["relations"][0]["head"]


def test_the_reasoning_is_that_of_the_answer_closest_to_the_vote():
    outputs = [f"<think>\n{thought}\n</think>\n{output}" for thought, output in (("far", ULM), ("close", ROME))]
    result = ask(sampled(ALONE, 3), "Ada saw Rome and Ulm", ["saw"], *outputs, ROME)
    assert result.reasoning == "close"


# ---------------------------------------------------------------------------------------------------------- windows

TEXT = "Ada saw Rome . Bob saw Ulm ."
FIRST, SECOND = Window(0, 22, 0, 14), Window(8, 28, 14, 28)  # "Ada saw Rome . Bob saw" and "Rome . Bob saw Ulm ."


def in_windows(settings, types, *outputs):
    plan = Inquiry(Record(TEXT, types), (FIRST, SECOND), ((0,), (0,)))
    return assemble(0, plan, [Prediction(i, output) for i, output in enumerate(outputs)], settings)


def test_a_relation_is_taken_from_the_window_that_owns_its_head():
    first = tied(("Ada", "saw", "Rome"), ("Bob", "saw", "Rome"))
    second = tied(("Bob", "saw", "Ulm"), ("Rome", "saw", "Bob"))
    result = in_windows(ALONE, ("saw",), first, second)
    assert ends(result) == [(0, "saw", 8), (15, "saw", 23)]
    assert all(TEXT[end.start : end.end] == end.name for one in result.relations for end in (one.head, one.tail))


def test_a_tail_may_stand_in_the_next_windows_part():
    assert ends(in_windows(ALONE, ("saw",), tied(("Ada", "saw", "Bob")), tied())) == [(0, "saw", 15)]


def test_a_name_that_another_window_has_is_in_the_text():
    result = in_windows(ALONE, ("saw",), tied(("Ada", "saw", "Ulm")), tied(("Bob", "saw", "Eve")))
    assert (result.relations, result.not_in_text) == ((), (Entity("Eve", "saw"),))


def test_samples_of_two_windows_vote_on_each():
    outputs = tied(("Ada", "saw", "Rome")), tied(), tied(("Bob", "saw", "Ulm")), tied(("Bob", "saw", "Ulm"))
    result = in_windows(sampled(ALONE, 2, 1.0), ("saw",), *outputs)
    assert [(one.head.name, one.votes) for one in result.relations] == [("Bob", 2)]


def test_an_event_is_taken_with_its_arguments_from_the_window_of_its_trigger():
    first = says(("attack", "saw", {"attacker": ["Ada"], "victim": ["Rome"]}))
    second = says(("attack", "saw", {"attacker": ["Bob"], "victim": ["Ulm"]}))
    assert found(in_windows(OF_EVENTS, ("attack",), first, second)) == [
        ("attack", 4, [("attacker", 0), ("victim", 8)]), ("attack", 19, [("attacker", 15), ("victim", 23)]),
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- events

FIGHT = "Ada attacked Bob and Eve attacked Zoë , who fled ."
KINDS = ("attack", "flight")


def test_a_record_of_events_has_triggers_with_their_arguments():
    output = says(("flight", "fled", {}), ("attack", "attacked", {"victim": ["Bob"], "attacker": ["Ada"]}))
    record = ask(OF_EVENTS, FIGHT, KINDS, output).as_dict()
    assert record == {
        "index": 0, "sentence": FIGHT, "reasoning": None,
        "events": [
            {"type": "attack", "trigger": {"name": "attacked", "start": 4, "end": 12}, "arguments": [
                {"role": "attacker", "name": "Ada", "start": 0, "end": 3},
                {"role": "victim", "name": "Bob", "start": 13, "end": 16},
            ]},
            {"type": "flight", "trigger": {"name": "fled", "start": 44, "end": 48}, "arguments": []},
        ],
        "not_in_text": [], "off_schema": [], "answers": 1, "unparsable": 0, "cut": 0,
    }  # fmt: skip


def test_events_with_triggers_that_are_alike_keep_their_arguments():
    output = says(("attack", "attacked", {"victim": ["Bob"]}), ("attack", "attacked", {"victim": ["Zoë"]}))
    assert found(ask(OF_EVENTS, FIGHT, KINDS, output)) == [
        ("attack", 4, [("victim", 13)]), ("attack", 25, [("victim", 34)]),
    ]  # fmt: skip


def test_an_event_that_is_told_in_two_parts_is_one():
    output = says(("flight", "fled", {"victim": ["Zoë"]}), ("flight", "fled", {"attacker": ["Eve"]}))
    assert found(ask(OF_EVENTS, FIGHT, KINDS, output)) == [("flight", 44, [("attacker", 21), ("victim", 34)])]


def test_one_trigger_of_two_types_is_two_events():
    output = says(("attack", "fled", {"victim": ["Zoë"]}), ("flight", "fled", {"attacker": ["Eve"]}))
    assert found(ask(OF_EVENTS, FIGHT, KINDS, output)) == [
        ("attack", 44, [("victim", 34)]), ("flight", 44, [("attacker", 21)]),
    ]  # fmt: skip


def test_what_the_text_lacks_of_an_event_is_listed_apart():
    output = says(("attack", "stabbed", {"victim": ["Bob"]}), ("flight", "fled", {"attacker": ["Tom"]}))
    result = ask(OF_EVENTS, FIGHT, KINDS, output)
    assert found(result) == [("flight", 44, [])]
    assert result.not_in_text == (Entity("stabbed", "attack"), Entity("Tom", "attacker"))


def test_events_and_roles_that_were_not_asked_for_are_listed_apart():
    output = says(("escape", "fled", {"victim": ["Bob"]}), ("attack", "attacked", {"place": ["Zoë"]}))
    result = ask(OF_EVENTS, FIGHT, KINDS, output)
    assert found(result) == [("attack", 4, [])]
    assert [(one.type, one.name) for one in result.off_schema] == [
        ("escape", "fled"), ("place", "attacked → Zoë"), ("victim", "fled → Bob"),
    ]  # fmt: skip


def test_triggers_and_arguments_are_voted_on():
    outputs = (
        says(("attack", "attacked", {"victim": ["Bob"]})),
        says(("attack", "attacked", {"victim": ["Bob"], "attacker": ["Eve"]})),
        says(("attack", "attacked", {})),
    )
    [event] = ask(sampled(OF_EVENTS, 3), FIGHT, KINDS, *outputs).as_dict()["events"]
    assert (event["votes"], [(each["role"], each["votes"]) for each in event["arguments"]]) == (3, [("victim", 2)])


def test_gold_is_found_where_it_stands():
    attack, flight = Entity("attacked", "attack", 4), Entity("fled", "flight", 44)
    gold = Example(
        FIGHT, (*KINDS, "attacker", "victim"), (attack, flight), format=EVENTS,
        relations=(Relation(attack, "victim", Entity("Bob", "")),), relation_types=("attacker", "victim"),
    )  # fmt: skip
    reply = read(gold, answers.render_answer(gold))
    assert reply.spans == {Span(4, 12, "attack"), Span(44, 48, "flight")}
    assert reply.links == {Link(Span(4, 12, "attack"), "victim", Span(13, 16, ""))}


# ------------------------------------------------------------------------------------------------- output and README


def test_json_lines_hold_relations():
    result = ask(ALONE, "Ada saw Rome .", ["saw"], ROME)
    assert json.loads("".join(write([result], "jsonl"))) == result.as_dict()


def test_the_records_that_the_readme_shows_are_written():
    readme = (Path(predict.__file__).parent / "README.md").read_text(encoding="utf-8")
    both, events = (json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", readme, re.MULTILINE | re.DOTALL))
    thought = "<think>\n...\n</think>\n"
    output = thought + tied(("Ada", "born in", "London"), person=["Ada"], city=["London"])
    assert ask(BOTH, both["sentence"], TYPES, output).as_dict() == both
    output = thought + says(("attack", "stabbed", {"attacker": ["Eve"], "victim": ["Bob"]}))
    assert ask(OF_EVENTS, events["sentence"], ["attack"], output).as_dict() == events


# ---------------------------------------------------------------------------------------------------- wrong options


@pytest.fixture
def folder(tmp_path):
    """A model folder that says its format, and has no more than it takes to get there."""

    def make(name):
        for file in ("config.json", "tokenizer_config.json", "model.safetensors"):
            (tmp_path / file).write_text("{}")
        (tmp_path / MANIFEST).write_text(json.dumps({"train.parquet": {"arguments": {"answer_format": name}}}))
        assert trained_on(tmp_path)["answer_format"] == name
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (JOINT, (), "--relation-types: name types of relations"),
        (EVENTS, (), "--relation-types: name types of relations, or roles"),
        (PLAIN, ("--relation-types", "saw"), "--relation-types: not of answers in this format, --types are all"),
        ("json", ("--relation-types", "saw"), "--relation-types: not of answers in this format"),
        (JOINT, ("--relation-types", "saw,,left"), "--relation-types: an empty type"),
        (JOINT, ("--relation-types", ""), "--relation-types: an empty type"),
        (PLAIN, ("--all-mentions",), "--all-mentions: is for entities alone"),
    ],
)
@pytest.mark.parametrize("said", ["in the folder", "as an option"])
def test_wrong_options_are_one_line(folder, capfd, name, options, message, said):
    more = ("--answer-format", name) if said == "as an option" else ()
    model = folder("json" if more else name)
    assert main([str(model), "--types", "a", "--text", "x", *options, *more]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n"), err.startswith("predict: ")) == ("", 1, True), err
    assert message in err


@pytest.mark.parametrize("form", ["conll", "inline"])
@pytest.mark.parametrize(
    ("settings", "what"), [(ALONE, "relations"), (BOTH, "entities and relations"), (OF_EVENTS, "events")]
)
def test_text_with_marks_cannot_show_relations(predictor, monkeypatch, capfd, form, settings, what):
    monkeypatch.setattr("recipe.predict.__main__.load", lambda *_, **__: predictor(settings))
    assert main(["model", "--types", "a", "--text", "x", "--format", form]) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"predict: --format {form}: can't show {what}; take json or jsonl\n")
