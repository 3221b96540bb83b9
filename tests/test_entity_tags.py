"""The entity-tag answer format: what is written is read back, by a quoting rule, and what a model wrote is read."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers.entity_tags import (
    CLOSE,
    DEFAULT_TEMPLATE,
    OPEN,
    parse,
    put_question,
    render_answer,
    render_prompt,
)
from recipe.answers.prompt import check_template
from recipe.answers.queries import split
from recipe.core.entities import Answer, DataError, Entity, Example
from recipe.core.text import visible
from recipe.corpora.datasets import SPLITS, find_datasets, read_dataset

QUESTION = Example("Japan met Syria in Washington, D.C.", ("place",), format="entity_tags")


def question(*names, reasoning=None):
    entities = tuple(Entity(name, "place") for name in names)
    return Example("Japan met Syria in Washington, D.C.", ("place",), entities, reasoning=reasoning)


def names(completion):
    answer = parse(completion, QUESTION)
    return [entity.name for entity in answer.entities] if answer.parsed else None


# ---------------------------------------------------------------------------------------------------------- answer


def test_the_layout():
    written = render_answer(question("Japan", "Syria", reasoning="Two teams."))
    assert written == "<think>\nTwo teams.\n</think>\n<entity>Japan, Syria</entity>"
    read = parse(written, QUESTION)
    assert (read.entities, read.reasoning) == (question("Japan", "Syria").entities, "Two teams.")
    assert (read.parsed, read.layout, read.types) == (True, True, ("place",))


def test_no_entity_is_an_empty_tag_and_not_a_missing_one():
    assert render_answer(question()) == "<entity></entity>"
    assert parse("<entity></entity>", QUESTION) == Answer(parsed=True, layout=True)
    assert not parse("", QUESTION).parsed


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Washington, D.C.", '"Washington, D.C."'),
        ('Dwayne "Rock" Johnson', '"Dwayne ""Rock"" Johnson"'),
        ("two\nlines", '"two\nlines"'),
        (" edge", '" edge"'),
        ("C++", "C++"),
        ("O'Brien & Co.", "O'Brien & Co."),
    ],
)
def test_the_quoting_rule(name, written):
    assert render_answer(question(name)) == f"<entity>{written}</entity>"
    assert names(f"<entity>x, {written}, y</entity>") == ["x", name, "y"]


def test_mentions_are_counted_not_merged():
    assert names(render_answer(question("Japan", "Japan"))) == ["Japan", "Japan"]


name = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(',"\n \u2028<>')).filter(visible)
reasons = st.none() | st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: "think>" not in t)


@given(st.lists(name | st.sampled_from(["<entity>", "</think>", "<think>", "</entity", '""', '","'])), reasons)
@settings(max_examples=300)
def test_parsing_undoes_rendering(found, reasoning):
    example = question(*(name for name in found if CLOSE not in name), reasoning=reasoning)
    answer = parse(render_answer(example), QUESTION)
    assert (answer.entities, answer.parsed, answer.layout) == (example.entities, True, True)
    assert answer.reasoning == (None if reasoning is None else reasoning.strip())


def test_every_gold_of_the_twelve_datasets_comes_back(ner_data):
    read = 0
    for dataset in find_datasets(ner_data)[0]:
        for part in SPLITS:
            for i, example in enumerate(read_dataset(dataset, part)):
                for asked in split(example) if i % 10 == 0 else ():
                    answer = parse(render_answer(asked), asked)
                    assert (answer.entities, answer.layout) == (asked.entities, True)
                    read += 1
    assert read > 30_000


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (question("a</entity>b"), "would end the answer"),
        (Example("Ada in Rome", ("person", "place")), "asked about 2 types"),
        (Example("Ada", ()), "asked about 0 types"),
        (Example("Ada", ("place",), (Entity("Ada", "person"),)), "is of type 'person'"),
        (question(reasoning="<think>"), "take it out"),
    ],
)
def test_what_the_format_cannot_say_is_refused_in_one_line(example, message):
    with pytest.raises(DataError, match=message) as error:
        render_answer(example)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------------------- prompt


def test_the_prompt_names_the_type_and_ends_with_the_sentence():
    prompt = render_prompt(QUESTION)
    assert 'Type: ["place"]\nDescription: An entity of the type place.\n' in prompt
    assert prompt.endswith("</entity>\nSentence: " + QUESTION.sentence)
    assert check_template(DEFAULT_TEMPLATE)


def test_description_and_worked_examples_stand_in_the_template_of_a_type():
    worked = Example("Rome .", ("place",), (Entity("Rome", "place"),), reasoning="Rome is a place.")
    prompt = render_prompt(QUESTION, put_question(DEFAULT_TEMPLATE, "Where things are.", [worked]))
    assert "Description: Where things are.\n" in prompt
    shown = "Sentence: Rome .\n<think>\nRome is a place.\n</think>\n<entity>Rome</entity>\n"
    assert prompt.endswith(f"{shown}Sentence: {QUESTION.sentence}")


def test_a_template_may_show_neither():
    assert render_prompt(QUESTION, "{{SCHEMA}}: {{SENTENCE}}") == f'["place"]: {QUESTION.sentence}'


def test_a_placeholder_inside_a_sentence_stays_text():
    odd = Example("{{EXAMPLES}} {{SCHEMA}}", ("a",))
    assert render_prompt(odd).endswith("Sentence: {{EXAMPLES}} {{SCHEMA}}")


def test_a_placeholder_inside_what_goes_into_a_template_is_refused():
    with pytest.raises(DataError, match="SENTENCE"):
        put_question(DEFAULT_TEMPLATE, "see {{SENTENCE}}")
    with pytest.raises(DataError, match="SCHEMA"):
        put_question(DEFAULT_TEMPLATE, "", [Example("{{SCHEMA}}", ("a",))])


# --------------------------------------------------------------------------------------- what a model may have written


@pytest.mark.parametrize(
    ("completion", "found"),
    [
        ("<entity>Japan\nSyria</entity>", ["Japan", "Syria"]),
        ("<entity>Japan,\nSyria,\n</entity>", ["Japan", "Syria"]),
        ("<entity>Japan, , Syria</entity>", ["Japan", "Syria"]),
        ("<entity>Japan, Syria</entity>\nI hope this helps.", ["Japan", "Syria"]),
        ("The answer: <entity>Japan, Syria</entity>", ["Japan", "Syria"]),
        ("Names go in <entity> tags: <entity>Japan</entity>", ["Japan"]),
        ("<entity>Japan, Syria", ["Japan", "Syria"]),
        ("<think>\nnever closed <entity>Japan</entity> or <entity>Syria</entity>", ["Syria"]),
        ("<think>\nnever closed <entity>Japan", ["Japan"]),
        ('<entity>"Japan, Syria</entity>', ['"Japan', "Syria"]),
        ('<entity>"Big" Japan, Syria</entity>', ['"Big" Japan', "Syria"]),
        ('<entity>""</entity>', []),
        ("Hm. <think>so</think><entity>Japan</entity>", ["Japan"]),
        ("<entity>Japan</entity><entity>Syria</entity>", ["Japan", "Syria"]),
        ("<think>x</think><entity>Japan</entity>\n\n<entity>Syria, Iran</entity>", ["Japan", "Syria", "Iran"]),
        ("<entity></entity> <entity>Japan</entity>", ["Japan"]),
        ("<entity>Japan</entity> and <entity>Syria</entity> <entity>Iran</entity>", ["Syria", "Iran"]),
        ("<entity>Japan</entity></entity><entity>Syria</entity>", ["Syria"]),
        ("First: <entity>Syria</entity> Corrected: <entity>Japan</entity>", ["Japan"]),
        ("<think>x</think><entity></entity> No: <entity>Japan</entity>", ["Japan"]),
        ("<entity>Japan</entity> No: <entity>Syria", ["Japan"]),
        ("<think>\nnever closed <entity>Japan</entity> or <entity>Syr", ["Japan"]),
        ("<think>\n<entity> tags hold names: <entity>Japan</entity>", ["Japan"]),
        ("<entity>Syria</entity> is a draft</think>\n<entity>Japan</entity>", ["Japan"]),
        ("<entity>Japan</entity></think>", ["Japan"]),
        ("</entity> <entity>Japan</entity>", ["Japan"]),
    ],
)
def test_an_answer_whose_meaning_is_plain_is_read_but_is_not_the_layout(completion, found):
    assert names(completion) == found
    assert not parse(completion, QUESTION).layout


@pytest.mark.parametrize(
    "completion",
    ["<entity>Japan,Syria</entity>", "<entity>\nJapan , Syria\n</entity>", '<entity>"Japan",Syria</entity>'],
)
def test_white_space_around_names_and_quotes_that_are_not_needed_keep_the_layout(completion):
    assert names(completion) == ["Japan", "Syria"]
    assert parse(completion, QUESTION).layout


@pytest.mark.parametrize(
    "completion",
    ["", " ", "Japan, Syria", "<think>Japan</think>", "<think>Japan", "</entity>", "<Entity>Japan</Entity>"],
)
def test_without_a_tag_it_is_unparsable(completion):
    answer = parse(completion, QUESTION)
    assert (answer.parsed, answer.layout, answer.entities) == (False, False, ())


def test_a_block_that_the_prompt_opened_keeps_the_layout():
    answer = parse("so\n</think>\n<entity>Japan</entity>", QUESTION)
    assert (answer.reasoning, answer.layout, len(answer.entities)) == ("so", True, 1)


def test_a_draft_inside_the_reasoning_is_not_the_answer():
    assert names("<think>maybe <entity>Syria</entity>?</think><entity>Japan</entity>") == ["Japan"]


@pytest.mark.parametrize("word", ["None", "none", "null", "N/A", "nothing", "No entities.", " - ", "Null,"])
def test_a_word_for_none_names_nothing_and_is_not_the_layout(word):
    answer = parse(f"<think>x</think><entity>{word}</entity>", QUESTION)
    assert (answer.entities, answer.parsed, answer.layout) == ((), True, False)


@pytest.mark.parametrize("word", ["None", "NULL", "n/a", "Nothing", "None.", "-"])
def test_a_name_that_reads_like_none_is_written_in_quotes(word):
    assert render_answer(question(word)) == f'<entity>"{word}"</entity>'
    answer = parse(render_answer(question("Japan", word)), QUESTION)
    assert (answer.entities, answer.layout) == (question("Japan", word).entities, True)


def test_a_name_may_hold_a_word_for_none():
    assert names("<entity>None of the Above, -1, nullify</entity>") == ["None of the Above", "-1", "nullify"]


def test_a_name_may_hold_a_think_tag_before_a_second_answer():
    assert names("<entity>a</think>b</entity> or <entity>Japan</entity>") == ["Japan"]
    assert names("<entity>a</think>b</entity>") == ["a</think>b"]


def test_a_draft_before_the_end_of_the_block_is_reasoning_and_no_layout():
    answer = parse("<entity>Syria</entity> is a draft</think>\n<entity>Japan</entity>", QUESTION)
    assert (answer.reasoning, answer.layout) == ("<entity>Syria</entity> is a draft", False)


def test_a_name_that_no_sentence_can_hold_is_left_out():
    assert names("<entity>\ud83d, Japan</entity>") == ["Japan"]


def test_an_example_without_a_type_is_no_reason_to_fail():
    assert parse("<entity>Japan</entity>", Example("", ())).entities == (Entity("Japan", ""),)


@given(
    st.text() | st.lists(st.sampled_from([OPEN, CLOSE, "<think>", "</think>", ",", '"', "\n", " ", "a"])).map("".join)
)
@settings(max_examples=500)
def test_parse_reads_any_text_without_an_exception(completion):
    answer = parse(completion, QUESTION)
    assert answer.parsed or answer.entities == ()
    assert all(entity.name.strip() for entity in answer.entities)


def test_corrupted_answers_are_read_without_an_exception():
    rng, written = random.Random(0), render_answer(question("Japan", 'a "b", c', "two\nlines", reasoning="Because."))
    for _ in range(20_000):
        at, size = rng.randrange(len(written)), rng.randrange(1, 12)
        kept = (
            written[:at] + rng.choice(["", '"', ",", "<entity>", "</entity>", "</think>", "\n"]) + written[at + size :]
        )
        parse(kept[: rng.randrange(len(kept) + 1)] if rng.random() < 0.2 else kept, QUESTION)


MEGABYTE = 1 << 20
UNITS = [
    *(OPEN, CLOSE, OPEN + CLOSE, "<think>", "</think>", "<", "</", "a", ",", "\n", "\n ", " ", "\u3000", "a, "),
    *("<entity>a</entity> x ", "<entity>a</entity>\n", "</entity><entity>", "</think><entity>a</entity>", "None,"),
    *('"', '""', '",', ',"', '"a,', ',""b', '"""x,', ' "', ' ",', '"\n', '"x",'),
]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("start", [OPEN, f"x {OPEN}", f"<think>{OPEN}", f'{OPEN}"'])
def test_half_a_megabyte_of_anything_is_read_in_linear_time(unit, start):
    completion = start + unit * (MEGABYTE // 2 // len(unit))
    with linear_time():
        parse(completion, QUESTION)


@pytest.mark.parametrize("blank", ["\u200b", '"\u200b"', '" "', "\u00ad\u00a0", "None\u200b", "\ufeff\u200d"])
def test_a_name_of_which_nothing_is_seen_is_none(blank):
    answer = parse(f"{OPEN}Japan, {blank}{CLOSE}", QUESTION)
    assert answer.entities == (Entity("Japan", "place"),)
    assert not answer.layout
