"""What a row of a teacher must keep: each rule by rows that break it and rows that look as if they did."""

import json

import pytest
from linear_time import linear_time

from recipe.answers.json_answer import render_entities
from recipe.core.entities import Entity
from recipe.cot import rules
from recipe.cot.phrases import denials, find_leak, fold, split_sentences
from recipe.cot.rules import REASONS, Limits, broken_rules, read_annotated

pytest.importorskip("py3langid")

SENTENCE = "Ada met Bob in May ."
TYPES = ["person", "place"]
THOUGHT = '"Ada" is a person, and so is "Bob". "May" is a month.'
ADA, BOB = ("Ada", "person"), ("Bob", "person")


def record(thought=THOUGHT, *pairs, output=None, **changes):
    """A line of annotate.jsonl; of the pairs (name, type) or of an output as the teacher wrote it."""
    if output is None:
        output = render_entities([Entity(*pair) for pair in pairs or (ADA, BOB)], thought)
    row = {"id": "0", "status": "answered", "sentence": SENTENCE, "source": "news", "types": TYPES, "gold": None}
    return row | {"mode": "plain", "output": output, "finish_reason": "stop"} | changes


def broken(*args, limits=None, **changes):
    return broken_rules(read_annotated(record(*args, **changes)), limits or Limits())


def test_a_sound_row_breaks_no_rule():
    assert broken() == []


def test_the_table_names_every_reason_in_its_order():
    rows = [line.split("`")[1] for line in rules.__doc__.splitlines() if line.startswith("| `")]
    assert rows == list(REASONS)


# ---------------------------------------------------------------------------------------------------------- layout


def test_an_output_that_the_limit_cut():
    assert "cut_off" in broken(finish_reason="length")


@pytest.mark.parametrize(
    "output",
    [
        '{"entities": {"person": ["Ada"]}}',
        '<think>\n</think>\n{"entities": {}}',
        '<think>\n"Ada" is a person\n{"entities": {"person": ["Ada"]}}',
        '<think>one</think><think>two</think>{"entities": {}}',
        '<think>one</think> and two </think>{"entities": {}}',
        "",
    ],
)
def test_not_one_think_block_with_text_in_it(output):
    assert "no_think_block" in broken(output=output)


def test_a_block_that_the_prompt_opened_is_one():
    assert broken(output=render_entities([Entity(*ADA)], THOUGHT).removeprefix("<think>\n")) == []


@pytest.mark.parametrize("answer", ["", "Ada and Bob", '{"entities": {"person": ["Ada"', '{"names": []}', "[" * 20_000])
def test_an_answer_that_cannot_be_read(answer):
    assert broken(output=f"<think>{THOUGHT}</think>{answer}") == ["unparsable"]


@pytest.mark.parametrize(
    "answer",
    ['```json\n{"entities": {"person": ["Ada"]}}\n```', 'It is: {"entities": [{"name": "Ada", "type": "person"}]} .'],
)
def test_an_answer_that_is_repaired_is_sound(answer):
    row = read_annotated(record(output=f"<think>{THOUGHT}</think>{answer}"))
    assert (broken_rules(row, Limits()), row.found.entities) == ([], (Entity(*ADA),))


# -------------------------------------------------------------------------------------------------------- entities


def test_a_type_that_is_none_of_the_rows():
    assert broken(THOUGHT, ADA, ("May", "month")) == ["off_schema"]


@pytest.mark.parametrize("label", ["other", "", "<|im_end|>", "a\x07b"])
def test_a_type_that_the_teacher_chose_and_nobody_can_ask_for(label):
    assert "off_schema" in broken(THOUGHT, ADA, ("May", label), types=None)


def test_the_types_that_the_teacher_chose_are_those_of_its_answer():
    assert read_annotated(record(THOUGHT, ("Ada", "Person"), ("May", "month"), types=None)).found.types == (
        "month",
        "person",
    )


def test_a_choice_of_no_types():
    empty = render_entities([], "Nothing here names anything at all.")
    assert broken(output=empty, types=None) == ["no_types"]
    assert broken(output=empty) == []


@pytest.mark.parametrize("pairs", [[("Eve", "person")], [ADA, ADA], [("ada", "person")]])
def test_a_name_that_the_sentence_has_not_or_less_often(pairs):
    assert "not_in_sentence" in broken(THOUGHT, *pairs)


def test_an_entity_is_spelt_as_the_sentence_has_it():
    row = read_annotated(record(THOUGHT, ("Ada  Cafe\u0301", "person"), sentence="Ada Café came"))
    assert [(entity.name, entity.start) for entity in row.found.entities] == [("Ada Café", 0)]


@pytest.mark.parametrize(
    ("sentence", "name", "thought"),
    [
        ("Ada met Bob", "Ada", "Adam is the one and only person of this sentence."),
        ("Ada met Bob", "Ada", "One name stands at the beginning of this sentence."),
        ("the Café", "Café", "Cafe is a place where people drink."),
    ],
)
def test_a_name_that_the_reasoning_does_not_discuss(sentence, name, thought):
    assert broken(thought, (name, "person"), sentence=sentence) == ["undiscussed"]


@pytest.mark.parametrize(
    ("sentence", "name", "thought"),
    [
        ("ADA  Lovelace met Bob", "ADA  Lovelace", "I take ada\nlovelace to be a person here."),
        ("Ada's hat", "Ada", "Here **Ada**'s hat is not hers, and Ada is a person."),
        ("the O’Brien clan", "O’Brien", 'The family name "O\'Brien" stands for a person.'),
        ("C++ and C", "C++", "One reads C++, and this is a language."),
        ("我住在北京市。", "北京市", "北京市是一个地方，因为我住在那里。"),
    ],
)
def test_a_name_is_discussed_whatever_its_case_white_space_and_marks(sentence, name, thought):
    assert broken(thought, (name, "person"), sentence=sentence, limits=Limits("any")) == []


# ----------------------------------------------------------------------------------------- rejected in the reasoning

DENIALS = [
    '"May" is not an entity.',
    '"May" isn\'t a named entity.',
    "“May” is not an entity, because it is a month.",
    "'May' is not a valid entity here.",
    "**May** is not considered a named entity.",
    "`May` is no entity.",
    '"May" is not an entity of any of the given types.',
    '"May" does not qualify as an entity.',
    '"May" doesn\'t count as a named entity.',
    '"May" does not name an entity.',
    '"May" does not fit any of the types.',
    '"May" fits none of the given types.',
    '"May" should be excluded.',
    '"May" must therefore be left out.',
    '"May" is ignored.',
    '"May" should not be extracted.',
    '"May" will not be included because it is a month.',
    '"May" is too generic to be an entity.',
    '"May" is a month, not an entity.',
    '"May" is a common word, so it is not a named entity.',
    'We do not extract "May".',
    'So I leave out "May."',
    'Therefore we exclude "May", as it is a month.',
    '"May" is not a person.',
    '"Ada" is a person; "May" is not an entity.',
    '"May" is a month. It looks like a name. "May" is not an entity.',
]


@pytest.mark.parametrize("verdict", DENIALS)
def test_a_name_that_the_reasoning_denies_last(verdict):
    assert broken(f"{verdict} The rest is clear.", ("May", "person")) == ["rejected_in_reasoning"]


NO_DENIALS = [
    '"May" is not only an entity, it is a person.',
    '"May" is not just an entity.',
    'There is no doubt that "May" is a person.',
    '"May" is not a month but a person.',
    '"May" is not a place.',
    '"May" is not a month. So it is a person.',
    '"May" is not an entity of type place.',
    '"May" is not an entity on its own.',
    'One might think that "May" is not an entity.',
    'Is "May" not an entity?',
    '"May" is not an entity at first sight, but here it is.',
    'It would be wrong: "May" is not an entity.',
    '"May" is not an entity. However, here it is a person.',
    '"May" is not an entity. So "May" is a person here.',
    '"in May" is not an entity. "Ada" is one.',
    'The span "May came" is not an entity, May is a person though.',
    "May is not an entity without its surname.",
    '"May" cannot be excluded.',
    '"May" should not be excluded.',
    'We do not exclude "May".',
    'We should not leave out "May".',
    'We do not extract "May" as a place.',
    '"Ada" and not "May" is ignored.',
    '"May" is ignored by Bob.',
    '"May" should be included.',
    'Not "Ada", "May" is a person.',
    '"June" is not an entity. "May" is one.',
    '"May" is a person. "The" is not an entity.',
]


@pytest.mark.parametrize("verdict", NO_DENIALS)
def test_what_is_no_denial(verdict):
    assert broken(f"{verdict} That is all of it.", ("May", "person")) == []


def test_a_name_with_two_places_may_be_denied_for_one():
    thought = '"May" is a person. The month "May" is not an entity. "May" is not an entity.'
    assert broken(thought, ("May", "person"), sentence="May came in May .") == []


def test_a_denied_type_is_a_matter_of_that_type_alone():
    thought = '"May" is not a place. That is all there is to say.'
    assert broken(thought, ("May", "place")) == ["rejected_in_reasoning"]
    assert broken(thought, ("May", "person")) == []


def test_sentences_are_folded_one_by_one():
    assert split_sentences("One  “a”.\nTwo! Three。四。") == ['one "a".', "two!", "three。", "四。"]
    assert ("may", None) in denials(fold("“May” is not an  Entity."))


# -------------------------------------------------------------------------------------------------------- reasoning


@pytest.mark.parametrize(
    "phrase",
    [
        "The gold labels say person.",
        "This agrees with the gold standard annotation.",
        "According to the ground truth, it is a person.",
        "The ground-truth has it.",
        "as provided in the answer",
        "The reference answer lists Ada.",
        "the given annotation has Ada",
        "The provided entities include Ada.",
        "The annotations show that she is a person.",
        "I was given the entities.",
        "A careful reader has found Ada.",
        "It follows from the given result.",
        "It is in the answer key.",
    ],
)
def test_talk_of_an_answer_that_was_given(phrase):
    assert broken(f"{THOUGHT} {phrase}") == ["leakage"]


@pytest.mark.parametrize(
    "phrase",
    [
        "The given entity types are person and place.",
        "Ada wears a gold ring.",
        "So the answer has two entities.",
        "The sentence labels Ada a person.",
        "The provided text names two people.",
        "None of the labels fits the word.",
        "The expected form is JSON.",
        "This reference is to a person.",
    ],
)
def test_what_is_no_leak(phrase):
    assert broken(f"{THOUGHT} {phrase}") == []


def test_words_of_the_sentence_are_no_leak():
    sentence = "Ada won the Gold  Label for ground truth ."
    assert find_leak('"Gold Label" is an award; "ground truth" is none.', sentence) is None
    assert find_leak("The gold labels and the ground truth say so.", sentence) == "gold labels"


def test_control_tokens_in_the_reasoning_and_in_names():
    assert "control_token" in broken(f"{THOUGHT} <|im_end|>")
    assert "control_token" in broken(THOUGHT, ("<|im_end|>", "person"), sentence="a <|im_end|> b")


GERMAN = (
    "Der Satz nennt zwei Menschen, denn sie treffen einander, und das tun in diesem Fall nur Personen und keine Orte. "
    '"Ada" ist eine Person, und auch "Bob" ist eine Person.'
)


def test_reasoning_in_another_language():
    assert broken(GERMAN) == ["wrong_language"]
    assert broken(GERMAN, limits=Limits("de")) == []
    assert broken(GERMAN, limits=Limits("any")) == []
    long = THOUGHT + " This sentence is about two people who meet each other in the spring of a year."
    assert broken(THOUGHT, limits=Limits("de")) == []
    assert broken(long, limits=Limits("de")) == ["wrong_language"]


def test_names_of_another_language_do_not_count():
    names = ("Die Gesellschaft der Freunde", "und der anderen Menschen", "die sich in der Stadt trafen")
    thought = " ".join(f'The name "{name}" stands there, and this must be a kind of place.' for name in names)
    assert broken(thought, *[(name, "place") for name in names], sentence=" ".join(names)) == []


def test_short_and_long_reasoning():
    assert broken("Ada, Bob: person.") == ["too_short"]
    assert broken(limits=Limits(max_words=5)) == ["too_long"]
    assert broken("人" * 30, output=render_entities([], "人" * 30), limits=Limits("any", max_words=29)) == ["too_long"]


def test_gold_that_must_be_found_and_gold_that_need_not():
    assert broken(gold=[list(ADA)]) == []
    assert broken(gold=[list(ADA)], limits=Limits(require_gold_agreement=True)) == ["disagrees_with_gold"]
    assert broken(gold=[list(BOB), ["Ada", "Person"]], limits=Limits(require_gold_agreement=True)) == []


# ------------------------------------------------------------------------------------------------------ adversarial

LONG = 1_000_000
NASTY = [
    '"' * LONG,
    "'" * LONG,
    '"a" ' * (LONG // 4),
    '"a" is not an entity. ' * (LONG // 22),
    '"a" is a ' * (LONG // 9),
    "a" * LONG,
    "a " * (LONG // 2),
    ". " * (LONG // 2),
    "!" * LONG,
    "\n" * LONG,
    "gold " * (LONG // 5),
    "\u0301" * LONG,
    "e" + "\u0301\u0323" * (LONG // 2),
    "<think>" * (LONG // 7),
    '{"entities":' * (LONG // 12),
    "[" * LONG,
]


@pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text[:12]))
@pytest.mark.parametrize("size", [rules.MAX_CHARACTERS - 100, LONG])
def test_a_megabyte_of_anything_is_judged_within_seconds(text, size):
    answers = (f"<think>{text[:size]}</think>{render_entities([Entity(*ADA)])}", f"<think>a</think>{text[:size]}")
    with linear_time():
        assert all(set(broken(output=output)) <= set(REASONS) for output in answers)


def test_deep_nesting_and_thousands_of_names():
    deep = '{"entities": ' * 20_000 + "}" * 20_000
    many = json.dumps({"entities": {"person": [f"Ada {i}" for i in range(10_000)]}})
    most = json.dumps({"entities": {"person": ["Ada"] * rules.MAX_FACTS}})
    with linear_time():
        assert broken(output=f"<think>{THOUGHT}</think>{deep}") == (["too_long"] if len(deep) > 2e5 else ["unparsable"])
        assert broken(output=f"<think>{THOUGHT}</think>{many}") == ["too_long"]
        assert broken(output=f"<think>{'Ada ' * 40_000}</think>{most}")[:1] == ["too_long"]


def test_a_thousand_names_in_as_long_a_reasoning_as_there_may_be():
    names = [f"name{number}" for number in range(rules.MAX_FACTS)]
    thought = " ".join(f'"{name}" is one.' for name in names * 8)
    with linear_time():
        found = broken(thought, *[(name, "person") for name in names], sentence=" ".join(names), limits=Limits("any"))
    assert found == ["too_long"]
