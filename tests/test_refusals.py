import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_corpus import TYPES, sentences

from data_prep.refusals import Refusals, refusal
from data_prep.rows import RowRules
from recipe import answers
from recipe.answers.control_tokens import THINK_TAGS, find_control_token
from recipe.answers.queries import ask
from recipe.core import ground_truth
from recipe.core.entities import DataError, Entity, Example
from recipe.core.metrics import count
from recipe.models.chat import encode_prompt

TEMPLATES = [
    None,
    "{{SCHEMA}} [{{SENTENCE}}] end",
    "{{SCHEMA}} <|{{SENTENCE}}|> x",
    "[/{{SENTENCE}}] {{SCHEMA}}",
    "{{SENTENCE}}{{SENTENCE}} {{SCHEMA}}",
    "{{SCHEMA}}{{SENTENCE}}",
    "{{SCHEMA}} {{SENTENCE}}nk> tail",
    "</think> {{SCHEMA}}\n{{SENTENCE}}",
]
_TEXT = 'Ada INST INST] im_end <|im_end|> <think> </think> <thi < [ ＜ |> EU x| " \\ { } é <s> [INST \u200b'
_PIECES = _TEXT.split(" ")
pieces = st.sampled_from([*_PIECES, " ", "\u00a0", "\t", "\n"])
types = st.sampled_from(["person", "a b", "<s>", "[MASK", "INST]"])
texts = st.lists(pieces, min_size=1, max_size=5).map("".join)
entities = st.builds(Entity, texts, st.sampled_from(["person", "Person", "a b", "<s>", "i\u0307", " x", "[MASK]"]))
examples = st.builds(
    Example,
    texts,
    st.lists(st.sampled_from(["person", "a b", "<s>", "[MASK", "INST]"]), min_size=1, max_size=2, unique=True).map(
        tuple
    ),
    st.lists(entities, max_size=3).map(tuple),
    st.sampled_from(["toy", "INST] x"]),
    st.none() | texts,
)


def tried(example, rules):
    """Why an example gets no row, found by trying."""
    own = "\n".join((example.sentence, *example.types, *(entity.name for entity in example.entities)))
    if any(find_control_token(text, rules.tokenizer) for text in (own, example.reasoning or "")):
        return "control_token"
    if find_control_token(rules.prompt(example), rules.tokenizer, THINK_TAGS):
        return "control_token"
    try:
        answer = answers.render_answer(example)
    except DataError:
        return "not_expressible"
    read = answers.parse(answer, example)
    sound = read.layout and count(read.entities, example.entities, "strict").f1 == 1
    return None if sound else "gold_not_read"


@settings(max_examples=300, deadline=None)
@given(st.lists(examples, max_size=4), st.sampled_from(TEMPLATES), st.booleans())
def test_what_is_certain_is_what_trying_finds(batch, template, add_source):
    rules = RowRules(template=template, add_source=add_source)
    assert Refusals(rules)(batch) == [tried(example, rules) for example in batch]


@settings(max_examples=100, deadline=None)
@given(st.lists(examples, max_size=4), st.sampled_from(TEMPLATES))
def test_so_it_is_with_a_tokenizer(tokenizer, batch, template):
    rules = RowRules(template=template, tokenizer=tokenizer)
    assert Refusals(rules)(batch) == [tried(example, rules) for example in batch]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(examples, max_size=4), st.sampled_from(TEMPLATES), st.none() | st.integers(20, 60), st.integers(40, 140)
)
def test_too_long_is_what_counting_the_tokens_finds(tokenizer, batch, template, most, in_all):
    rules = RowRules(template=template, tokenizer=tokenizer, max_prompt_tokens=most, max_tokens=in_all)

    def found(example):
        if reason := tried(example, rules):
            return reason
        prompt = len(encode_prompt(tokenizer, [{"role": "user", "content": rules.prompt(example)}]))
        answer = len(tokenizer(answers.render_answer(example), add_special_tokens=False)["input_ids"])
        return "too_long" if prompt > (most or prompt) or prompt + answer + 1 > in_all else None

    assert Refusals(rules)(batch) == [found(example) for example in batch]


@pytest.mark.parametrize("name", answers.formats_of("ner"))
def test_so_it_is_for_sentences_of_many_scripts_in_every_format(name):
    rules = RowRules(format=name)
    asked = [one for example in sentences(400, seed=1, nested=True) for one in ask(rules.asked(example)[0])]
    reasons = Refusals(rules)(asked)
    assert reasons == [tried(example, rules) for example in asked]
    assert [refusal(example, rules) for example in asked[:50]] == reasons[:50]


def test_most_answers_are_certain_and_these_give_back_the_gold():
    certain = [example for example in sentences(400, seed=2) if answers.surely_read(example)]
    assert len(certain) > 200
    for example in certain:
        read = answers.parse(answers.render_answer(example), example)
        assert read.layout
        assert sorted(map(str, read.entities)) == sorted(str(Entity(e.name, e.type)) for e in example.entities)


def test_a_sentence_that_is_kept_out_says_why_before_anything_else():
    from data_prep.rows import sentence_key

    rules = RowRules(keep_out={sentence_key("<s> ADA"): "overlap"})
    assert Refusals(rules)([Example("<s> Ada", ("person",)), Example("<s> Bob", ("person",))]) == [
        "overlap",
        "control_token",
    ]


def test_the_ground_truth_is_the_same_where_names_need_no_rule(monkeypatch):
    several = list(sentences(1500, seed=3, nested=True))
    several += [Example(e.sentence, TYPES, e.entities * 2) for e in several[:200]]
    quick = list(map(ground_truth.to_ground_truth, several))
    assert sum(map(ground_truth._one_place_each, several)) > 100
    monkeypatch.setattr(ground_truth, "_one_place_each", lambda example: False)
    assert quick == list(map(ground_truth.to_ground_truth, several))
    assert json.loads(quick[0])["types"] == list(TYPES)
