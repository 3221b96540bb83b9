"""The BIO answer format: what is written is read back, and what a model wrote is aligned to the sentence."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from recipe import answers
from recipe.answers.bio import ONE_STEP_TEMPLATE, fidelity, parse, render_answer, tagged_words
from recipe.core.entities import DataError, Entity, Example
from recipe.corpora.datasets import SPLITS, find_datasets, read_dataset

ANN, BOB, ROME = Entity("Ann", "person"), Entity("Bob", "person"), Entity("New Rome", "place")
MEETING = Example("Ann met Bob in New Rome .", ("person", "place"), (ANN, BOB, ROME), format="bio")
WRITTEN = "Ann(B-person) met(O) Bob(B-person) in(O) New(B-place) Rome(I-place) .(O)"


def read(completion, example=MEETING):
    return parse(completion, example).entities


# ------------------------------------------------------------------------------------------------------ as it should


def test_every_word_is_written_with_its_tag():
    assert render_answer(MEETING) == WRITTEN


def test_what_is_written_is_read_back_and_is_the_layout():
    answer = parse(WRITTEN, MEETING)
    assert (answer.entities, answer.parsed, answer.layout) == (MEETING.entities, True, True)
    assert answer.types == ("person", "place")


def test_reasoning_goes_first():
    example = Example("Ann left", ("person",), (ANN,), reasoning="Ann is a person.", format="bio")
    assert render_answer(example) == "<think>\nAnn is a person.\n</think>\nAnn(B-person) left(O)"
    answer = parse(render_answer(example), example)
    assert (answer.reasoning, answer.entities, answer.layout) == ("Ann is a person.", (ANN,), True)


def test_a_name_that_ends_within_a_word_parts_it():
    example = Example("Ann's (Bob)", ("person",), (ANN, BOB), format="bio")
    assert render_answer(example) == "Ann(B-person) 's(O) ((O) Bob(B-person) )(O)"
    assert read(render_answer(example), example) == (ANN, BOB)


def test_neighbours_of_one_type_stay_apart():
    example = Example("Ann Bob", ("person",), (ANN, BOB), format="bio")
    assert read(render_answer(example), example) == (ANN, BOB)


@pytest.mark.parametrize(
    "sentence", ["plan (B) (B-52) (O) here", "((( ))) a(O)b", "日本 の 東京", "x(B-person) y", "é ö 😘"]
)
def test_words_that_look_like_tags_are_words(sentence):
    example = Example(sentence, ("person",), (Entity(sentence.split()[-1], "person"),), format="bio")
    assert read(render_answer(example), example) == example.entities


def test_a_type_may_have_spaces_and_parentheses():
    label = "person (real or not)"
    example = Example("Ann left", (label,), (Entity("Ann", label),), format="bio")
    assert read(render_answer(example), example) == example.entities


@pytest.mark.parametrize("names", [("New Rome", "Rome"), ("Ann", "Eve")])
def test_overlapping_and_absent_names_cannot_be_written(names):
    entities = tuple(Entity(name, "person") for name in names)
    with pytest.raises(DataError, match=r"overlaps|does not stand"):
        render_answer(Example(MEETING.sentence, ("person",), entities, format="bio"))


def test_an_entity_that_says_its_place_is_tagged_there():
    may = Example("May I see May ?", ("person",), (Entity("May", "person", 10),))
    assert render_answer(may) == "May(O) I(O) see(O) May(B-person) ?(O)"
    named = (Entity("Turkey", "animal", 4), Entity("Turkey", "place", 16))
    flat = Example("The Turkey left Turkey .", ("animal", "place"), named)
    assert "Turkey(B-animal) left(O) Turkey(B-place)" in render_answer(flat)
    assert [(e.type, e.start) for e in parse(render_answer(flat), flat).entities] == [("animal", 4), ("place", 16)]


def test_an_entity_that_says_its_place_may_begin_and_end_within_a_word():
    example = Example("art Cartesian art", ("stem",), (Entity("art", "stem", 5),))
    assert render_answer(example) == "art(O) C(O) art(B-stem) esian(O) art(O)"
    [read_back] = parse(render_answer(example), example).entities
    assert (read_back.name, read_back.start) == ("art", 5)


@pytest.mark.parametrize(("name", "start"), [("ay May", 1), ("May M", 0), ("y M", 2)])
def test_words_that_are_cut_are_not_taken_for_whole_ones(name, start):
    example = Example("May May", ("month",), (Entity(name, "month", start),))
    answer = parse(render_answer(example), example)
    assert (answer.entities, answer.entities[0].start, answer.layout) == (example.entities, start, True)


def test_mentions_that_overlap_by_their_own_places_cannot_be_written():
    for second in (Entity("Ann", "person", 0), Entity("Ann", "place", 0), Entity("nn left", "place", 1)):
        with pytest.raises(DataError, match="overlaps"):
            render_answer(Example("Ann left Ann", ("person", "place"), (Entity("Ann", "person", 0), second)))


def test_entities_know_their_places_whatever_was_written():
    for written in (WRITTEN, WRITTEN.replace(" met(O)", ""), WRITTEN.replace("Rome(I-place)", "Roma(I-place)")):
        assert [entity.start for entity in read(written)] == [0, 8, 15]


def test_the_prompt_names_both_steps_unless_told_otherwise():
    assert "Step 2" in answers.render_prompt(MEETING)
    assert "Step" not in answers.render_prompt(MEETING, ONE_STEP_TEMPLATE)


def test_a_tag_says_where_its_letter_stands():
    text = "B-52(B-craft) plan B(O)"
    assert [(word.word, word.prefix, word.type) for word in tagged_words(text)] == [
        ("B-52", "B", "craft"), ("plan", "O", ""), ("B", "O", ""),
    ]  # fmt: skip
    assert [text[word.mark] for word in tagged_words(text) if word.mark >= 0] == ["B", "O"]


# ------------------------------------------------------------------------------------------------- as a model writes


@pytest.mark.parametrize(
    "written",
    [
        WRITTEN.replace(" met(O)", ""),  # dropped
        WRITTEN.replace(" met(O)", " met(O) met(O) met(O)"),  # repeated
        WRITTEN.replace("met(O)", "meets(O)"),  # changed
        WRITTEN.replace("New(B-place) Rome(I-place)", "NewRome(B-place)"),  # merged
        WRITTEN.replace("Bob(B-person)", "B(B-person) obb(I-person)"),  # split
        WRITTEN.replace("Rome(I-place)", "Roma(I-place)"),  # misspelt within a name
        WRITTEN.replace("in(O)", "in"),  # no tag
        WRITTEN.replace("New(B-place)", "New(I-place)"),  # an I where a B should be
        WRITTEN.replace(" .(O)", ""),  # cut off
        "Sure: " + WRITTEN + " That is all.",
        WRITTEN.replace(" ", "\n"),
        "<think>no end " + WRITTEN,
    ],
)
def test_words_that_go_wrong_leave_the_entities_in_place(written):
    answer = parse(written, MEETING)
    assert answer.entities == MEETING.entities
    assert answer.layout == ("\n" in written)


@pytest.mark.parametrize(
    "draft",
    [
        "Ann(O) met(O) Bob(O) in(O) New(O) Rome(O) .(O)",
        "Ann(B-place) met(O) Bob(B-place)",
        "Ann met Bob in New Rome .",
        "First: Ann(B-place) met(O) Bob(O) in(O) New(B-person) Rome(O) .(O)\nCorrected:",
    ],
)
def test_of_a_draft_and_the_answer_the_last_counts(draft):
    answer = parse(f"{draft}\n{WRITTEN}", MEETING)
    assert (answer.entities, answer.parsed, answer.layout) == (MEETING.entities, True, False)


def test_of_an_answer_that_was_cut_the_words_stand_early():
    turkey = Example("The Turkey left Turkey .", ("animal",), format="bio")
    assert [entity.start for entity in read("The(O) Turkey(B-animal)", turkey)] == [4]


def test_text_after_the_answer_takes_no_word_from_it():
    assert read(f"{WRITTEN}\nSo Ann met Bob in New Rome .") == MEETING.entities


@pytest.mark.parametrize(
    ("written", "kept", "of"),
    [
        (WRITTEN, 7, 7 + 7),
        ("<think>\nAnn is a person.\n</think>\n" + WRITTEN, 7, 7 + 7),
        (WRITTEN.removesuffix(" .(O)"), 6, 6 + 7),
        (WRITTEN + " .(O)" * 7, 7, 14 + 7),
        (WRITTEN.replace("met(O)", "met"), 6, 7 + 7),
        (WRITTEN.replace("met(O)", "meets(O)"), 6, 7 + 7),
        ("Rome(O) Bob(O)", 1, 2 + 7),
        ("nothing", 0, 1 + 7),
        ("", 0, 7),
    ],
)
def test_what_is_left_out_changed_or_repeated_costs_fidelity(written, kept, of):
    assert fidelity(written, MEETING) == pytest.approx(2 * kept / of)


def test_an_i_of_another_type_begins_an_entity():
    assert read("Ann(B-person) met(I-place)") == (ANN, Entity("met", "place"))


def test_a_type_that_was_not_asked_for_is_read():
    assert read("Ann(B-animal)") == (Entity("Ann", "animal"),)


@pytest.mark.parametrize(
    "written", ["", "Ann met Bob", "Ann(B-person", "unrelated(B-person)", "<think>Ann</think>", "{}"]
)
def test_an_answer_without_a_word_of_the_sentence_and_its_tag_is_unparsable(written):
    assert not parse(written, MEETING).parsed


# ------------------------------------------------------------------------------------------------------------ always


@given(st.text(alphabet="AnBob (I-person)\n<think>/", max_size=60))
def test_whatever_is_written_is_read_and_names_stand_in_the_sentence(written):
    assert all(entity.name in MEETING.sentence for entity in read(written))


@pytest.mark.parametrize("piece", ["(B-", "Ann(B-person) ", "a", "(", ")(O) ", "A", "Ann ", "<think>", "\ud800(O) "])
def test_a_megabyte_is_read_in_linear_time(piece):
    with linear_time():
        parse(piece * (1_000_000 // len(piece)), MEETING)


def corrupted(rng, text):
    cuts = sorted(rng.choices(range(len(text) + 1), k=2))
    part = text[cuts[0] : cuts[1]]
    new = rng.choice(["", part * 2, part[::-1], "(O)", "(B-person)", " ", "B", part.upper(), "</think>"])
    return text[: cuts[0]] + new + text[cuts[1] :]


def test_a_hundred_thousand_corrupted_answers():
    rng = random.Random(0)
    for _ in range(100_000):
        text = WRITTEN
        for _ in range(rng.randrange(1, 4)):
            text = corrupted(rng, text)
        assert all(entity.name in MEETING.sentence for entity in read(text))


def test_every_sentence_of_the_datasets_that_can_be_written_is_read_back(ner_data):
    seen = Counter()
    for dataset in find_datasets(ner_data)[0]:
        for split in SPLITS:
            if not dataset.file(split).is_file():
                continue
            for number, example in enumerate(read_dataset(dataset, split)):
                if number % 5:
                    continue
                try:
                    written = render_answer(example)
                except DataError as error:
                    seen["overlap" if "overlaps" in str(error) else "absent"] += 1
                    continue
                answer = parse(written, example)
                assert Counter(answer.entities) == Counter(example.entities), example
                assert answer.layout
                seen["same"] += 1
    assert seen["same"] > 15_000
    assert seen["overlap"] + seen["absent"] < 0.1 * seen["same"]
