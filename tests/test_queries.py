"""A sentence as one question for each type, the sentence again from their answers, and worked examples."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.answers import entity_tags, json_answer
from recipe.answers.queries import group, in_order, merge, split, template_for, worked_examples
from recipe.answers.think import template_reasoning
from recipe.answers.type_descriptions import describe
from recipe.core.entities import DataError, Entity, Example
from recipe.core.ground_truth import from_ground_truth, to_ground_truth
from recipe.core.metrics import count
from recipe.corpora import Reading
from recipe.corpora.datasets import find_datasets, read_dataset

ANN, ROME, BOB = Entity("Ann", "person"), Entity("Rome", "place"), Entity("Bob", "person")
MEETING = Example("Ann met Bob in Rome .", ("event", "person", "place"), (ANN, BOB, ROME), "toy")


def answers_of(questions):
    return [entity_tags.render_answer(question) for question in questions]


# ------------------------------------------------------------------------------------------------------------ split


def test_there_is_a_question_for_each_type_and_those_without_an_entity_are_kept():
    questions = split(MEETING)
    assert [question.types for question in questions] == [("event",), ("person",), ("place",)]
    assert [question.entities for question in questions] == [(), (ANN, BOB), (ROME,)]
    assert {(question.sentence, question.dataset, question.format) for question in questions} == {
        (MEETING.sentence, "toy", "entity_tags")
    }


def test_built_reasoning_is_built_again_and_given_reasoning_is_kept():
    built = split(replace(MEETING, reasoning=template_reasoning(MEETING)))
    assert [question.reasoning for question in built][1:] == [
        '"Ann" is a person. "Bob" is a person.',
        '"Rome" is a place.',
    ]
    assert {question.reasoning for question in split(replace(MEETING, reasoning="I think so."))} == {"I think so."}
    assert {question.reasoning for question in split(MEETING)} == {None}


# ------------------------------------------------------------------------------------------------------------ merge


def test_merging_the_right_answers_gives_the_sentence_back():
    questions = split(replace(MEETING, reasoning=template_reasoning(MEETING)))
    merged = merge(questions, answers_of(questions))
    assert merged.example == MEETING
    answer = json_answer.parse(merged.completion)
    assert (answer.entities, answer.layout, merged.unparsable) == (MEETING.entities, True, 0)
    assert answer.reasoning.splitlines()[1:] == ['"Ann" is a person. "Bob" is a person.', '"Rome" is a place.']


def test_the_order_of_the_questions_does_not_matter():
    pairs = list(zip(split(MEETING), answers_of(split(MEETING)), strict=True))
    random.Random(1).shuffle(pairs)
    assert merge(*zip(*pairs, strict=True)) == merge(split(MEETING), answers_of(split(MEETING)))


def test_entities_stand_in_the_sentences_order_then_by_type_and_those_it_lacks_at_the_end():
    both = Entity("Ann", "actor")
    assert in_order(MEETING.sentence, [Entity("Eve", "a"), ROME, ANN, both]) == (both, ANN, ROME, Entity("Eve", "a"))


def test_entities_that_say_their_places_stand_in_that_order():
    late, early = Entity("Ann", "person", 12), Entity("Bob", "person", 4)
    assert in_order("Ann Bob met Ann", [late, early]) == (early, late)


def places(entities):
    return {(entity.name, entity.type, entity.start) for entity in entities}


def test_gold_stands_where_its_own_question_has_it():
    named = (Entity("Smith & Sons", "firm", 0), Entity("Smith", "person", 15))
    example = Example("Smith & Sons , Smith", ("firm", "person"), named)
    kept = [from_ground_truth(to_ground_truth(question)) for question in split(example)]
    merged = merge(kept, answers_of(kept)).example
    assert places(merged.entities) == {("Smith & Sons", "firm", 0), ("Smith", "person", 15)}
    # A row about one type may say its places or not: `Paris`, the first here, is right for its row alone.
    asked = (
        Example("Paris Hilton met Paris", ("place",), (Entity("Paris", "place"),), format="entity_tags"),
        Example("Paris Hilton met Paris", ("person",), (Entity("Paris Hilton", "person"),), format="entity_tags"),
    )
    merged = merge(asked, answers_of(asked)).example
    assert places(merged.entities) == {("Paris", "place", 0), ("Paris Hilton", "person", 0)}


def test_a_question_knows_the_places_that_the_whole_sentence_gives():
    names = (Entity("Paris Hilton", "person"), Entity("Paris", "place"))
    asked = split(Example("Paris Hilton met Paris", ("person", "place"), names))
    assert [entity.start for question in asked for entity in question.entities] == [0, 17]
    kept = [from_ground_truth(to_ground_truth(question)) for question in asked]
    assert places(merge(kept, answers_of(kept)).example.entities) == {
        ("Paris Hilton", "person", 0),
        ("Paris", "place", 17),
    }


def test_a_name_that_the_sentence_spells_in_another_way_says_no_place():
    [question] = split(Example("New  Rome", ("place",), (Entity("New Rome", "place"),)))
    assert question.entities[0].start is None


def test_an_answer_that_cannot_be_read_names_nothing_and_is_counted():
    event, _, place = answers_of(split(MEETING))
    merged = merge(split(MEETING), [event, "no tag", place])
    assert json_answer.parse(merged.completion).entities == (ROME,)
    assert merged.unparsable == 1


@pytest.mark.parametrize("text", ["", "no tag", '{"entities": {"person": ["Ann"]}}', "<think>\nhm\n</think>\nnothing"])
def test_a_sentence_none_of_whose_answers_could_be_read_is_unparsable(text):
    merged = merge(split(MEETING), [text] * 3)
    assert not json_answer.parse(merged.completion).parsed
    assert merged.unparsable == 3


@given(st.lists(st.text() | st.just("<think><think>a</think><entity>Ann</entity>"), min_size=3, max_size=3))
def test_merging_reads_whatever_a_model_wrote(completions):
    merged = merge(split(MEETING), completions)
    assert json_answer.parse(merged.completion).parsed == (merged.unparsable < 3)


@pytest.mark.parametrize(
    ("questions", "completions"),
    [
        ((), ()),
        (split(MEETING), ("",)),
        ((MEETING,), ("",)),
        (split(MEETING)[:1] * 2, ("", "")),
        ((split(MEETING)[0], replace(split(MEETING)[1], sentence="Other .")), ("", "")),
    ],
)
def test_questions_that_do_not_belong_together_are_refused(questions, completions):
    with pytest.raises(DataError) as error:
        merge(questions, completions)
    assert "\n" not in str(error.value)


def test_questions_of_a_sentence_are_found_wherever_they_stand():
    questions = [*split(MEETING), *split(replace(MEETING, sentence="Bob .")), *split(MEETING)]
    assert group(questions) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    order = [0, 3, 1, 6, 4, 2, 7, 5, 8]
    assert group(questions[i] for i in order) == [[0, 2, 5], [1, 4, 7], [3, 6, 8]]
    assert group([]) == []


def test_every_sentence_of_the_twelve_datasets_is_found_again(ner_data):
    for dataset in find_datasets(ner_data)[0]:
        for i, example in enumerate(read_dataset(dataset, "test")):
            if i % 20 == 0:
                merged = merge(split(example), answers_of(split(example)))
                assert merged.example.types == example.types
                assert count(merged.example.entities, example.entities).f1 == 1
                assert count(json_answer.parse(merged.completion).entities, example.entities).f1 == 1


# -------------------------------------------------------------------------------------------------- worked examples

DEV = [
    Example(f"{name} is in {place} .", ("person", "place"), (Entity(name, "person"), Entity(place, "place")))
    for name, place in (("Ada", "Rome"), ("Bo", "Oslo"), ("Cy", "Lima"), ("Di", "Bonn"))
]
NOBODY = Example("It rains .", ("person", "place"))


def test_two_examples_a_type_drawn_with_the_seed():
    worked = worked_examples([*DEV, NOBODY], seed=1)
    assert {label: len(shown) for label, shown in worked.items()} == {"person": 2, "place": 2}
    assert all(question.types == ("person",) and question.entities for question in worked["person"])
    assert worked["place"][0].reasoning.endswith("is a place.")
    assert len({str(worked_examples(DEV, seed)) for seed in range(20)}) > 1


@given(st.permutations([*DEV, *DEV, NOBODY]), st.integers(0, 3))
def test_the_order_of_the_examples_does_not_matter(examples, seed):
    assert worked_examples(examples, seed) == worked_examples([*DEV, NOBODY], seed)


def test_at_most_one_names_no_entity_and_it_comes_last():
    dry = Example("It is dry .", ("person", "place"))
    assert [bool(q.entities) for q in worked_examples([NOBODY, dry, DEV[0]], 1)["person"]] == [True, False]
    assert [q.sentence for q in worked_examples([NOBODY, dry], 1, count=3)["person"]] in (
        ["It rains ."],
        ["It is dry ."],
    )
    assert worked_examples([], 1) == {}


@pytest.mark.parametrize(
    "unfit",
    [
        Example("{{SENTENCE}} Ada", ("person",), (Entity("Ada", "person"),)),
        Example("</entity>", ("person",), (Entity("</entity>", "person"),)),
        Example("Ada", ("person",), (Entity("Bob", "person"),)),
        Example("Ada" * 100, ("person",), (Entity("Ada", "person"),)),
    ],
)
def test_what_cannot_be_shown_is_not_drawn(unfit):
    assert worked_examples([unfit], seed=1, longest=200) == {}


def test_a_template_of_a_type_is_a_template_of_the_format():
    worked = worked_examples(DEV, seed=1)
    template = template_for("person", "Somebody's name.", worked["person"])
    prompt = entity_tags.render_prompt(split(MEETING)[1], template)
    assert prompt.count("<entity>") == 3  # the form and two examples
    assert "Somebody's name." in prompt
    assert prompt.endswith("Sentence: Ann met Bob in Rome .")
    assert "An entity of the type person." in template_for("person")


def test_worked_examples_of_another_type_are_refused():
    with pytest.raises(DataError, match="another type"):
        template_for("person", "", worked_examples(DEV, seed=1)["place"])


# ---------------------------------------------------------------------------------------------------- descriptions


def test_every_type_of_the_datasets_has_a_description(ner_data):
    for dataset in find_datasets(ner_data)[0]:
        for label in dataset.layout.types(dataset, Reading(dataset.name.startswith("CrossNER"))):
            assert describe(label, dataset.name) != describe("nothing like it").replace("nothing like it", label), label


@pytest.mark.parametrize("label", ["person", "location", "organization", "misc"])
def test_so_have_those_of_conll(label):
    assert describe(label, "CoNLL 2003").endswith(".")
    assert "of the type" not in describe(label, "CoNLL 2003")


def test_a_dataset_may_mean_something_else():
    assert describe("person", "CrossNER_politics") == "A person who is not a politician."
    assert describe("Person", "elsewhere") == describe("person")
    assert describe("spaceship") == "An entity of the type spaceship."


@pytest.mark.parametrize(
    "text", ["any: [", "- a", "any: {a: b}", "any: {a: 1}\ndatasets: {}", "any: {A: b}\ndatasets: {}"]
)
def test_a_wrong_file_of_descriptions_is_one_line(tmp_path, text):
    file = tmp_path / "types.yaml"
    file.write_text(text)
    with pytest.raises(DataError) as error:
        describe("a", file=file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)
