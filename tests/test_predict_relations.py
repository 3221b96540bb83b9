"""Relations and events of texts: their places, votes, windows, and what is asked for."""

import json

import pytest

from recipe import answers
from recipe.core.align import Span
from recipe.core.entities import DataError, Entity
from recipe.corpora.texts import Record
from recipe.generate.predictions import Prediction
from recipe.predict import Settings
from recipe.predict.questions import Inquiry
from recipe.predict.replies import Tie, assemble, read
from recipe.predict.windows import Window

PLAIN, JOINT = answers.formats_of("re")
[EVENTS] = answers.formats_of("ee")
TEXT = "Ada left Rome . Bob left Rome ."


def relations(**by_type):
    return json.dumps({"relations": {label.replace("_", " "): pairs for label, pairs in by_type.items()}})


def result(settings, outputs, text=TEXT, types=("left",), windows=None):
    windows = windows or (Window(0, len(text), 0, len(text)),)
    inquiry = Inquiry(Record(text, types), windows, ((1,),) * len(windows))
    return assemble(0, inquiry, [Prediction(i, output) for i, output in enumerate(outputs)], settings)


def test_a_relation_has_the_places_of_its_names():
    settings = Settings(answer_format=PLAIN)
    [asked] = settings.asked(TEXT, ("left",))
    assert asked.types == asked.relation_types == ("left",)
    reply = read(asked, relations(left=[["Ada", "Rome"], ["Bob", "Rome"]]))
    assert reply.ties == {
        Tie(Span(0, 3, ""), "left", Span(9, 13, "")), Tie(Span(16, 19, ""), "left", Span(9, 13, "")),
    }  # fmt: skip
    record = result(settings, [relations(left=[["Ada", "Rome"]])]).as_dict()
    assert record["entities"] == []
    assert record["relations"] == [
        {"head": {"name": "Ada", "start": 0, "end": 3}, "type": "left", "tail": {"name": "Rome", "start": 9, "end": 13}}
    ]


def test_what_the_text_lacks_and_what_was_not_asked_for_are_told_apart():
    found = result(Settings(answer_format=PLAIN), [relations(left=[["Ada", "Ulm"]], saw=[["Ada", "Bob"]])])
    assert found.relations == ()
    assert found.not_in_text == (Entity("Ulm", "left"),)
    assert found.off_schema == (Entity("Ada → Bob", "saw"),)


def test_entities_beside_relations_give_them_types_and_places():
    settings = Settings(answer_format=JOINT, relation_types=("left",))
    told = {"entities": {"person": ["Ada"], "place": ["Rome"]}, "relations": {"left": [["Ada", "Rome"]]}}
    record = result(settings, [json.dumps(told)], types=("person", "place")).as_dict()
    assert [entity["name"] for entity in record["entities"]] == ["Ada", "Rome"]
    assert [record["relations"][0][side]["type"] for side in ("head", "tail")] == ["person", "place"]
    assert record["off_schema"] == []


def test_an_event_is_an_entity_and_relations_from_it():
    settings = Settings(answer_format=EVENTS, relation_types=("place", "who"))
    told = {"events": [{"type": "departure", "trigger": "left", "arguments": {"who": ["Ada"], "place": ["Rome"]}}]}
    record = result(settings, [json.dumps(told)], types=("departure",)).as_dict()
    assert [(each["type"], each["start"]) for each in record["entities"]] == [("departure", 4)]
    assert [(each["head"]["name"], each["type"], each["tail"]["name"]) for each in record["relations"]] == [
        ("left", "place", "Rome"), ("left", "who", "Ada"),
    ]  # fmt: skip


def test_relations_are_voted():
    settings = Settings(answer_format=PLAIN, samples=3, temperature=1.0)
    one, both = relations(left=[["Ada", "Rome"]]), relations(left=[["Ada", "Rome"], ["Bob", "Rome"]])
    found = result(settings, [one, both, "?"])
    assert [(bond.head.name, bond.votes) for bond in found.relations] == [("Ada", 2)]
    assert found.as_dict()["relations"][0]["votes"] == 2


def test_a_relation_is_of_the_window_that_owns_its_head():
    windows = (Window(0, 20, 0, 16), Window(9, len(TEXT), 16, len(TEXT)))
    answered = [relations(left=[["Ada", "Rome"], ["Bob", "Rome"]]), relations(left=[["Bob", "Rome"]])]
    found = result(Settings(answer_format=PLAIN), answered, windows=windows)
    assert [(bond.head.name, bond.head.start, bond.tail.start) for bond in found.relations] == [
        ("Ada", 0, 9), ("Bob", 16, 9),
    ]  # fmt: skip
    assert all(TEXT[end.start : end.end] == end.name for bond in found.relations for end in (bond.head, bond.tail))


def test_names_alone_are_told_as_ever():
    told = '{"entities": {"person": ["Ada"]}}'
    assert "relations" not in result(Settings(answer_format="json"), [told], types=("person",)).as_dict()


@pytest.mark.parametrize(
    ("name", "types", "said"),
    [
        (EVENTS, (), "name types of relations, or roles, too"),
        (JOINT, (), "name types of relations, or roles, too"),
        (PLAIN, ("left",), "not of answers in this format"),
        ("json", ("left",), "not of answers in this format"),
    ],
)
def test_types_that_a_format_has_not_are_refused(name, types, said):
    with pytest.raises(DataError, match=said):
        Settings(answer_format=name, relation_types=types).asked(TEXT, ("left",))


def test_answers_are_held_to_both_kinds_of_types():
    settings = Settings(answer_format=EVENTS, relation_types=("who",), constrained=True)
    assert settings.grammar(("departure",), TEXT) is not None
    assert '\\"who\\"' in settings.grammar(("departure",), TEXT).rules
