import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers import render_prompt
from recipe.answers.json_answer import DEFAULT_TEMPLATE, parse, parts, render_entities
from recipe.answers.prompt import check_template
from recipe.answers.think import template_reasoning
from recipe.core.entities import Answer, DataError, Entity, Example, normalize_type
from recipe.core.text import visible
from recipe.corpora.datasets import SPLITS, find_datasets, read_dataset

A, B, C = Entity("Ada", "person"), Entity("Bob", "person"), Entity("Paris", "place")


def layout(mapping: object) -> str:
    return json.dumps({"entities": mapping}, ensure_ascii=False)


# ---------------------------------------------------------------------------------------------------------- prompt


def test_the_prompt_holds_the_schema_as_a_json_list_and_ends_with_the_sentence():
    prompt = render_prompt(Example("Ada é .", ("person", "ünit")))
    assert '["person", "ünit"]' in prompt
    assert prompt.endswith("Sentence: Ada é .")


def test_a_placeholder_inside_a_sentence_stays_text():
    prompt = render_prompt(Example("{{SCHEMA}} {{SENTENCE}} \\1", ("a",)), "{{SENTENCE}}|{{SCHEMA}}")
    assert prompt == '{{SCHEMA}} {{SENTENCE}} \\1|["a"]'


def test_a_placeholder_inside_a_type_stays_text():
    assert render_prompt(Example("s", ("{{SENTENCE}}",)), "{{SCHEMA}} {{SENTENCE}}") == '["{{SENTENCE}}"] s'


def test_the_source_line_comes_first_and_only_on_demand():
    example = Example("s", ("a",), dataset="bc5cdr")
    assert render_prompt(example, add_source=True) == "Source: bc5cdr\n" + render_prompt(example)


@pytest.mark.parametrize("template", ["{{SCHEMA}}", "{{SENTENCE}}", "{{schema}} {{sentence}}", ""])
def test_a_template_without_both_placeholders_is_refused(template):
    with pytest.raises(DataError, match=r"no .* in it"):
        check_template(template)


def test_the_default_template_is_sound():
    assert check_template(DEFAULT_TEMPLATE) == DEFAULT_TEMPLATE


# ---------------------------------------------------------------------------------------------------------- answer


@given(st.lists(st.tuples(st.text(), st.text())))
def test_the_answer_is_json_with_indent_2_and_real_characters(pairs):
    by_type: dict = {}
    for name, label in pairs:
        by_type.setdefault(label, []).append(name)
    expected = json.dumps({"entities": dict(sorted(by_type.items()))}, ensure_ascii=False, indent=2)
    assert render_entities(Entity(name, label) for name, label in pairs) == expected


def test_reasoning_stands_in_a_think_block_before_the_answer():
    assert render_entities([], " why ") == '<think>\nwhy\n</think>\n{\n  "entities": {}\n}'


def test_no_reasoning_and_empty_reasoning_differ():
    assert parse(render_entities([])).reasoning is None
    assert parse(render_entities([], "")).reasoning == ""


@pytest.mark.parametrize("tag", ["<think>", "</think>"])
def test_a_think_tag_inside_the_reasoning_is_refused(tag):
    with pytest.raises(DataError, match="take it out"):
        render_entities([A], f"so {tag} it is")


def test_the_template_rationale_names_every_entity():
    example = Example("Ada ate an egg", ("food", "animal"), (Entity("Ada", "animal"), Entity("egg", "food")))
    assert template_reasoning(example) == '"Ada" is an animal. "egg" is a food.'
    assert template_reasoning(Example("s", ("a",)))


def test_the_template_names_entities_in_the_order_of_the_answer():
    example = Example("Oslo , Ada", ("person", "place"), (Entity("Oslo", "place"), Entity("Ada", "person")))
    assert template_reasoning(example) == '"Ada" is a person. "Oslo" is a place.'


def test_the_template_speaks_of_a_repeated_name_once():
    twice = Example("Ada met Ada .", ("person",), (Entity("Ada", "person"), Entity("Ada", "person")))
    assert template_reasoning(twice) == '"Ada" is a person.'
    assert render_entities(twice.entities, template_reasoning(twice)).count('"Ada"') == 3


# ---------------------------------------------------------------------------------------------------- round trip

text = st.text(st.characters(exclude_categories=["Cs"]))
name = text.filter(visible)  # of what nobody sees, nothing is read
entity = st.builds(Entity, name, text.map(normalize_type))


@given(st.lists(entity), st.none() | text.filter(lambda t: "think>" not in t))
def test_parsing_undoes_rendering_up_to_the_order_of_types(entities, reasoning):
    answer = parse(render_entities(entities, reasoning))
    assert answer.entities == tuple(sorted(entities, key=lambda e: e.type))
    assert answer.parsed
    assert answer.layout
    assert answer.reasoning == (None if reasoning is None else reasoning.strip())


def test_every_gold_of_the_twelve_datasets_comes_back(ner_data):
    for dataset in find_datasets(ner_data)[0]:
        for split in SPLITS:
            for i, example in enumerate(read_dataset(dataset, split)):
                if i % 10 == 0:  # every tenth is enough here: data_prep checks every row it writes
                    answer = parse(render_entities(example.entities, template_reasoning(example)))
                    assert answer.layout
                    assert answer.entities == tuple(sorted(example.entities, key=lambda e: e.type))


# ------------------------------------------------------------------------- what the reference system got wrong

KEPT = (A, B, C)


@pytest.mark.parametrize(
    "completion",
    [
        layout([{"name": "Ada", "type": "Person"}, {"text": "Bob", "label": "person"}, {"place": ["Paris"]}]),
        "```\n" + layout({"person": ["Ada", "Bob"], "place": ["Paris"]}) + "\n```",
        "```json\n" + layout({"person": ["Ada", "Bob"], "place": ["Paris"]}) + "\n```\nDone.",
        layout({"person": ["Ada", "Bob"], "place": "Paris"}),
        layout({"person": ["Ada", "Bob"], "place": ["Paris"], "group": None}),
        layout({"person": ["Ada", "Bob"], "place": ["Paris"]}) + "\nI hope this helps {:-}",
        "Here it is: " + layout({"person": ["Ada", "Bob"], "place": ["Paris"]}),
        "Here: " + json.dumps({"why": "so", "entities": {"person": ["Ada", "Bob"], "place": ["Paris"]}}),
        "<think>never closed " + layout({"person": ["Ada", "Bob"], "place": ["Paris"]}),
        '{"entities": {"person": ["Ada"], "person": ["Bob"], "place": ["Paris"]}}',
    ],
    ids=["list", "fence", "json fence", "string", "null", "after", "before", "other key", "unclosed", "repeated key"],
)
def test_an_answer_whose_meaning_is_plain_is_read_but_is_not_the_layout(completion):
    answer = parse(completion)
    assert answer.parsed
    assert not answer.layout
    assert answer.entities == KEPT


@pytest.mark.parametrize(
    "completion",
    [
        "",
        " ",
        "{}",
        "5",
        "[]",
        '"entities"',
        '{"whatever": 1}',
        '{"entities": 5}',
        '{"entities": "Ada"}',
        '{"entities": null}',
        '{"entities": {"person": {"Ada": 1}}}',
        '{"entities": {"person": [["Ada"]]}}',
        '{"entities": {"person": ["Ada", null]}}',
        '{"entities": ["Ada"]}',
        '{"entities": [{"name": "Ada"}]}',
        '{"entities": {"person": ["Ada"',
        "<think>only thought",
        "<think>thought</think>",
        "Ada is a person.",
        "{'entities': {}}",
    ],
)
def test_what_is_no_answer_is_unparsable_and_no_layout(completion):
    answer = parse(completion)
    assert not answer.parsed
    assert not answer.layout
    assert answer.entities == ()


def test_an_empty_answer_is_an_answer():
    assert parse('{"entities": {}}') == Answer(parsed=True, layout=True)


def test_names_are_not_normalised():
    names = ["C++", "C", "!!!", "The Who", "the who", " x "]
    assert [e.name for e in parse(layout({"a": names})).entities] == names


def test_mentions_are_counted_not_merged():
    assert parse(layout({"person": ["Ada", "Ada"]})).entities == (A, A)


def test_types_are_read_like_those_of_the_schema():
    assert parse(layout({" Person ": ["Ada"]})).entities == (A,)


# ------------------------------------------------------------------------------------------------- think block


def test_a_block_that_the_prompt_opened_keeps_the_layout():
    answer = parse("why\n</think>\n" + layout({"person": ["Ada"]}))
    assert answer.reasoning == "why"
    assert answer.layout
    assert answer.entities == (A,)


def test_text_before_the_opening_tag_breaks_the_layout():
    answer = parse('Well. <think>why</think>{"entities": {}}')
    assert answer.reasoning == "why"
    assert answer.parsed
    assert not answer.layout


def test_json_inside_the_reasoning_is_not_the_answer():
    draft, final = layout({"person": ["Bob"]}), layout({"person": ["Ada"]})
    assert parse(f"<think>maybe {draft}?</think>{final}").entities == (A,)


def test_of_drafts_in_an_unclosed_block_the_last_counts():
    draft, final = layout({"person": ["Bob"]}), layout({"person": ["Ada"]})
    assert parse(f"<think>maybe {draft}? No: {final}").entities == (A,)


# ------------------------------------------------------------------------------------------------- several answers

ADA, BOB, NOBODY = layout({"person": ["Ada"]}), layout({"person": ["Bob"]}), layout({})


@pytest.mark.parametrize(
    "completion",
    [
        f"<think>x</think>First: {NOBODY} Corrected: {ADA}",
        f"<think>x</think>{BOB}\n{ADA}",
        f"First: {BOB} Second: {NOBODY} Third: {ADA}. That is it {{:-}}",
        f'<think>x</think>In the form {{"entities": {{"type": ["name", ...]}}}}: {ADA}',
        f"{NOBODY} is a draft</think>\n{ADA}",
        f"```json\n{BOB}\n```\nA draft.</think>\n{ADA}",
        f"{BOB}\n<think>why</think>\n{ADA}",
        f"```json\n{BOB}\n```\nor better\n```json\n{ADA}\n```",
        f"<think>first {BOB}, then {ADA}",
        f'{ADA} or {{"entities": {{"person": ["Bob"',
        f'{ADA} or {{"entities": 5}}',
        f'<think>first {ADA}, then {{"entities": {{"per',
        f'{BOB} Corrected: {{"why": "so", "entities": {{"person": ["Ada"]}}}}',
        f'{{"answer": {ADA}}}',
        "{a} {b} " * 20 + ADA,
        '{"a": ' * 20 + ADA,
        '{"entities": {"person": [oops' * 20 + f"{BOB} {ADA}",
        f"{BOB} " * 50 + ADA,
        f"{ADA} </think>",
    ],
)
def test_of_several_answers_the_last_whole_one_counts_and_is_not_the_layout(completion):
    answer = parse(completion)
    assert (answer.entities, answer.parsed, answer.layout, answer.types) == ((A,), True, False, ())


def test_a_draft_that_the_block_begins_with_is_reasoning():
    answer = parse(f"{NOBODY} is a draft</think>\n{ADA}")
    assert answer.reasoning == f"{NOBODY} is a draft"
    assert parts(f"{NOBODY} is a draft</think>\n{ADA}") == (f"{NOBODY} is a draft", ADA)


def test_a_brace_that_begins_no_answer_may_begin_the_reasoning():
    answer = parse(f"{{Ada}} is named</think>\n{ADA}")
    assert (answer.entities, answer.reasoning, answer.layout) == ((A,), "{Ada} is named", True)


@pytest.mark.parametrize("odd", ["a</think>b", '{"entities": {}}', '</think>{"entities": {}}', "```", "<think>"])
def test_an_answer_may_name_what_looks_like_the_beginning_of_another(odd):
    for start in ("", "<think>x</think>"):
        answer = parse(start + layout({"person": [odd]}))
        assert (answer.entities, answer.layout) == ((Entity(odd, "person"),), True)
    remarked = parse(layout({"person": [odd]}) + "\nThese are all.")
    assert (remarked.entities, remarked.layout) == ((Entity(odd, "person"),), False)


def test_an_answer_within_one_that_cannot_be_read_is_none():
    assert not parse('{"entities": {"person": {"entities": {}}}}').parsed


@pytest.mark.parametrize("word", ["None", "null", "N/A", "no entities", "-", "Nothing."])
def test_a_word_for_none_in_place_of_a_list_names_nothing(word):
    answer = parse(layout({"person": word, "place": ["Paris"]}))
    assert (answer.entities, answer.parsed, answer.layout) == ((C,), True, False)
    assert parse(layout({"person": [word]})).entities == (Entity(word, "person"),)


# ------------------------------------------------------------------------------------------------- total and linear


@given(st.text() | st.text(st.sampled_from('{}[]":,<think>/entities`\\ \n')))
@settings(max_examples=300)
def test_parse_reads_any_text_without_an_exception(completion):
    answer = parse(completion)
    assert answer.parsed or answer.entities == ()


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "completion",
    [
        "[" * 20000,
        "{" * MEGABYTE,
        '{"entities":' * (MEGABYTE // 12),
        '{"entities":[' * 20000,
        "<think>" * (MEGABYTE // 7),
        "</think>" * (MEGABYTE // 8),
        "<think>" + '{"entities": {"a": ["' * (MEGABYTE // 21),
        "x" + "{ " * (MEGABYTE // 2),
        "x{" + " " * MEGABYTE,
        "```" + "a" * MEGABYTE,
        "```json" + " " * MEGABYTE,
        '{"entities": {}} ' * (MEGABYTE // 17),
        '{"entities": {}}</think>' * (MEGABYTE // 24),
        '{"entities": 5} ' * (MEGABYTE // 16),
        '{"a": ' * (MEGABYTE // 6),
        '{"entities": {"a": ["' * 30 + "b" * MEGABYTE,
        '{"entities": {"a": [' * 30 + '"b", ' * (MEGABYTE // 5),
        '{"a": 1} ' * 30 + '{"entities": {"a": ["b"]}} ' * (MEGABYTE // 27),
        '{"a": {"entities": {}}} ' * (MEGABYTE // 24),
        '{"entities": {"a": [' + "9" * MEGABYTE + "]}}",
        '{"entities": {"a": ["' + "\\" * MEGABYTE + '"]}}',
        '{"entities": {' + '"a": ["b"],' * (MEGABYTE // 11) + '"a": []}}',
        "\u3000" * MEGABYTE + "{",
    ],
    ids=lambda text: f"{text[:24]}...{text[-4:]}",
)
def test_a_megabyte_of_anything_is_read_in_linear_time(completion):
    with linear_time():
        parse(completion)


@pytest.mark.parametrize("number", ["9" * 10000, "1e999999", "NaN", "-Infinity", "1.50"])
def test_a_number_is_a_name_as_it_was_written(number):
    answer = parse('{"entities": {"year": [' + number + "]}}")
    assert [e.name for e in answer.entities] == [number]
    assert not answer.layout


@pytest.mark.parametrize("bad", ['"\\ud83d"', '"  "', '""', '"\\u3000"'])
def test_a_name_that_no_sentence_can_hold_is_left_out(bad):
    assert parse('{"entities": {"person": [' + bad + ', "Ada"]}}').entities == (A,)


def test_a_type_with_a_lone_surrogate_is_left_out():
    assert parse('{"entities": {"\\ud83d": ["x"], "person": ["Ada"]}}').entities == (A,)


@pytest.mark.parametrize("blank", ["", " ", "\u200b", "\u00a0\u00ad", "\u200d", "\ufeff\n"])
def test_a_name_of_which_nothing_is_seen_is_none(blank):
    answer = parse(layout({"person": ["Ada", blank], "place": [blank]}))
    assert answer.parsed
    assert answer.entities == (A,)


def test_a_word_for_none_is_one_as_it_is_seen():
    assert parse(layout({"person": "None\u200b", "place": "\ufeffN/A"})).entities == ()
