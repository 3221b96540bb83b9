"""Relations through every contract: the answer, its rules, the reward, the classes of what is wrong, the commands."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_time import linear_time

from data_prep.to_parquet import main as to_parquet
from recipe import answers
from recipe.compare import score_table
from recipe.core.entities import Answer, DataError, Entity, Example, Relation
from recipe.core.ground_truth import from_ground_truth, to_ground_truth
from recipe.core.metrics import RELATION_RULES, TYPED_RELATION_RULES, count
from recipe.core.text import visible
from recipe.difficulty.scores import score
from recipe.evaluate.__main__ import main as evaluate
from recipe.evaluate.relation_disagreements import classify_relations
from recipe.evaluate.rows import Row
from recipe.evaluate.saved import write_sentences
from recipe.evaluate.scores import score as score_all
from recipe.evaluate.table import table
from recipe.evaluate.verdict import compare, scoring_of
from recipe.generate.samples import Sample
from recipe.learning.gold import sft_rows
from reward_fns.ner import compute_score

PLAIN, JOINT = answers.formats_of("re")
both_formats = pytest.mark.parametrize("name", [PLAIN, JOINT])
ADA, BOB = Entity("Ada", "person", 0), Entity("Bob", "person", 8)
ROME, ULM = Entity("Rome", "city", 15), Entity("New Ulm", "city", 24)
SENTENCE = "Ada and Bob of Rome saw New Ulm ."
TYPES = ("born in", "saw")
WHOLE = Example(
    SENTENCE, ("city", "person", *TYPES), (ADA, BOB, ROME, ULM), "toy", None, JOINT,
    (Relation(ADA, "born in", ROME), Relation(BOB, "born in", ROME), Relation(ADA, "saw", ULM)), TYPES,
)  # fmt: skip
ALONE = answers.asked_in(WHOLE, PLAIN)


def of(name):
    return WHOLE if name == JOINT else ALONE


def pair(head, label, tail, types=("", "")):
    return Relation(Entity(head, types[0]), label, Entity(tail, types[1]))


# ---------------------------------------------------------------------------------------------------------- answers


@both_formats
def test_what_is_written_is_read(name):
    answer = answers.parse(answers.render_answer(of(name)), of(name))
    assert answer.layout
    assert answers.keys(answer.facts, name) == answers.keys(of(name).facts, name)
    assert answer.entities == (() if name == PLAIN else (ROME, ULM, ADA, BOB))
    assert answers.count(answer, of(name)).f1 == 1


def test_the_layout_is_the_one_that_the_module_shows():
    assert answers.render_answer(replace(ALONE, reasoning="So.", relations=ALONE.relations[:1])) == (
        '<think>\nSo.\n</think>\n{\n  "relations": {\n    "born in": [\n      ["Ada", "Rome"]\n    ]\n  }\n}'
    )


words = st.text(st.sampled_from('ab"\\é\u200b {}[]:,北'), min_size=1, max_size=6).filter(
    lambda text: text.strip() == text
)
labels = st.sampled_from(["born in", 'a"b', "ärger", "{x}"])
relations = st.lists(st.builds(lambda h, r, t: pair(h, r, t), words, labels, words), max_size=6)


@given(relations, st.none() | st.text(st.sampled_from("abc {}"), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_names_come_back(found, reasoning):
    example = Example("x", TYPES, reasoning=reasoning, format=PLAIN, relations=tuple(found), relation_types=TYPES)
    answer = answers.parse(answers.render_answer(example), example)
    assert answer.layout
    if answers.surely_read(example):
        assert answers.count(answer, example).f1 == 1
    shown = [each for each in found if all(visible(mention.name) for mention in each.mentions)]
    assert sorted(each.texts for each in answer.relations) == sorted(each.texts for each in shown)


@given(st.lists(st.tuples(words, st.sampled_from(["a", "b"])), min_size=1, max_size=5), st.data())
@settings(max_examples=300, deadline=None)
def test_where_both_are_surely_read_both_come_back(named, data):
    entities = tuple(Entity(name, label) for name, label in named)
    one = st.builds(Relation, st.sampled_from(entities), labels, st.sampled_from(entities))
    tied = tuple(data.draw(st.lists(one, max_size=5)))
    example = Example("x", ("a", "b", *TYPES), entities, "", None, JOINT, tied, TYPES)
    answer = answers.parse(answers.render_answer(example), example)
    assert answer.layout
    if answers.surely_read(example):
        assert answers.count(answer, example).f1 == 1
        assert answers.count(answer, example, "entities").f1 == 1


PIECES = [
    '{"relations": {', '"born in": ', '[["Ada", "Rome"]]', "[", "]", "{", "}", ", ", '"', "<think>", "</think>", "null",
    '{"head": "Ada", "tail": {"name": "Rome"}, "type": "saw"}', '["Ada", "saw", "Rome"]', '"entities": {}', "```json\n",
    '{"entities": {"person": ["Ada"]}, "relations": {"saw": [["Ada", "Ada"]]}}', "\\ud800", "NaN", "1e999", "\n", "x",
]  # fmt: skip


@both_formats
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14))
@settings(max_examples=500, deadline=None)
def test_whatever_a_model_writes_is_read_or_unparsable(name, pieces):
    completion = "".join(pieces)
    answer = answers.parse(completion, of(name))
    assert answer.parsed or not answer.facts
    assert not answer.layout or answer.parsed
    json.dumps([fact.texts for fact in answer.facts]).encode()
    answers.parts(completion, of(name))
    assert answers.count(answer, of(name)).predicted <= len(answer.facts)
    compare(of(name), completion)
    score = compute_score("toy", completion, to_ground_truth(of(name)))
    assert 0 <= score["f1"] <= 1


@both_formats
@pytest.mark.parametrize(
    "piece",
    ['{"relations": {"a": [["b", "c"]]}}', '{"relations": {"a": [', '["a", "b"], ', "{", '{"relations": ', "<think>"],
)
def test_reading_takes_linear_time(name, piece):
    with linear_time():
        answers.parse(piece * (1_000_000 // len(piece)), of(name))


@pytest.mark.parametrize(
    "value",
    [
        {"saw": [["Ada", "New Ulm"]]},
        {"saw": ["Ada", "New Ulm"]},
        {"saw": [{"head": "Ada", "tail": "New Ulm"}]},
        {"saw": [{"subject": {"name": "Ada"}, "object": {"text": "New Ulm"}}], "born in": None},
        {"SAW ": [["Ada", "New Ulm"]], "born in": "None"},
        [{"head": "Ada", "type": "saw", "tail": "New Ulm"}],
        [{"subject": "Ada", "relation": "saw", "object": "New Ulm"}],
        [["Ada", "saw", "New Ulm"]],
        [{"saw": [["Ada", "New Ulm"]]}],
    ],
)
def test_a_plain_meaning_is_repaired(value):
    completion = f"Sure: {json.dumps({'relations': value})} Done."
    answer = answers.parse(completion, ALONE)
    assert (answer.parsed, answer.layout) == (True, False)
    assert answer.relations == (pair("Ada", "saw", "New Ulm"),)


@pytest.mark.parametrize(
    "value",
    [{"saw": [["Ada"]]}, {"saw": [["Ada", "saw", "Rome"]]}, {"saw": "Ada"}, [["Ada", "Rome"]], "Ada", 3, {"saw": [3]}],
)
def test_what_has_no_plain_meaning_is_not_guessed(value):
    assert not answers.parse(json.dumps({"relations": value}), ALONE).parsed


def test_an_answer_without_one_of_its_parts_is_read_and_is_not_the_layout():
    answer = answers.parse('{"relations": {"saw": [["Ada", "Rome"]]}}', WHOLE)
    assert (answer.parsed, answer.layout, answer.entities) == (True, False, ())
    assert answer.relations == (pair("Ada", "saw", "Rome"),)


def test_head_and_tail_have_the_type_that_the_answer_gives_their_name():
    told = {
        "entities": {"city": ["Rome"], "person": ["Ada", "Rome"]},
        "relations": {"saw": [["Ada", "Rome"], ["Ada", "Bob"]]},
    }
    answer = answers.parse(json.dumps(told), WHOLE)
    assert answer.relations == (
        pair("Ada", "saw", "Rome", ("person", "city")),
        pair("Ada", "saw", "Bob", ("person", "")),
    )


def test_a_format_asks_for_what_is_its_task():
    assert ALONE.types == ALONE.relation_types == TYPES
    assert ALONE.entities == ()
    names = answers.asked_in(WHOLE, "json")
    assert (names.types, names.entities, names.relations) == (("city", "person"), WHOLE.entities, ())
    with pytest.raises(DataError, match="its relations say no entity types"):
        answers.asked_in(ALONE, JOINT)


def test_the_prompt_lists_the_types_apart():
    assert '["city", "person"]\n["born in", "saw"]' in answers.render_prompt(WHOLE)
    assert '\n["born in", "saw"]\n' in answers.render_prompt(ALONE)


@both_formats
def test_a_built_rationale_names_what_it_extracts(name):
    example = replace(of(name), reasoning=answers.template_reasoning(of(name)))
    score = compute_score("toy", answers.render_answer(example), to_ground_truth(example))
    assert (score["reasoned"], score["f1"], score["schema"], score["format"]) == (1, 1, 1, 1)


# ---------------------------------------------------------------------------------------------------------- grammar


def held(example, reasoning=False):
    return answers.grammar(example.format, example.types, example.sentence, reasoning, example.relation_types)


def random_example(rng, name):
    names, kinds = ["Ada", '"C:\\t"', "北京", "x, y]", "{"], ("city", "person")
    entities = tuple(Entity(each, rng.choice(kinds)) for each in rng.sample(names, rng.randint(0, 4)))
    tied = (
        [Relation(rng.choice(entities), rng.choice(TYPES), rng.choice(entities)) for _ in range(rng.randint(0, 4))]
        if entities
        else []
    )
    whole = Example("x" * 40, (*kinds, *TYPES), entities, "", None, JOINT, tuple(tied), TYPES)
    return answers.asked_in(whole, name)


@both_formats
def test_the_grammar_allows_every_answer_and_closes_a_cut_one(allows, name):
    rng = random.Random(0)
    for _ in range(60):
        example = random_example(rng, name)
        answer = answers.render_answer(example)
        assert allows(held(example).rules, answer)
        cut = held(example).close(answer[: rng.randint(0, len(answer))])
        assert allows(held(example).rules, cut)
        assert answers.parse(cut, example).layout
    assert held(example).close(answer) == answer


@both_formats
def test_the_grammar_allows_nothing_else(allows, name):
    rules, answer = held(of(name)).rules, answers.render_answer(of(name))
    for other in (
        answer.replace("saw", "met"),
        answer.replace(", ", ","),
        answer + "\n",
        "{}",
        answer.replace('"Ada", ', ""),
    ):
        assert not allows(rules, other)
    assert allows(held(of(name), reasoning=True).rules, answers.render_answer(replace(of(name), reasoning="a < b")))


# ------------------------------------------------------------------------------------------------------------ rules


TYPED = [pair("Ada", "born in", "Rome", ("person", "city")), pair("Ada", "saw", "New Ulm", ("person", "city"))]


@pytest.mark.parametrize(
    ("found", "strict", "boundary"),
    [
        (TYPED, (2, 2, 2), (2, 2, 2)),
        ([pair("Ada", "born in", "Rome", ("person", "person"))], (0, 1, 2), (1, 1, 2)),  # a wrong entity type
        ([pair("Rome", "born in", "Ada", ("city", "person"))], (0, 1, 2), (0, 1, 2)),  # the other direction
        ([pair("Ada", "saw", "Rome", ("person", "city"))], (0, 1, 2), (0, 1, 2)),
        ([pair("Ada", "saw", "Ulm", ("person", "city"))], (0, 1, 2), (0, 1, 2)),
        ([TYPED[0], TYPED[0]], (1, 2, 2), (1, 2, 2)),  # said twice, there once
        ([pair("Ada\u200b", "born in", "Rome", ("person", "city"))], (1, 1, 2), (1, 1, 2)),
        ([], (0, 0, 2), (0, 0, 2)),
    ],
)
def test_strict_and_boundary_by_hand(found, strict, boundary):
    for rule, expected in (("strict", strict), ("boundary", boundary)):
        counts = count(found, TYPED, rule, TYPED_RELATION_RULES)
        assert (counts.matched, counts.predicted, counts.gold) == expected


def test_the_published_rule_is_a_set_without_case():
    gold = [pair("The St. Mary’s", "saw", "Rome"), pair("the st. mary's", "saw", "ROME")]
    counts = count([pair("the  ST.. {Mary}'s", "saw", "rome")], gold, "published", RELATION_RULES)
    assert (counts.matched, counts.predicted, counts.gold) == (1, 1, 1)


def test_the_entities_beside_relations_have_a_rule_of_their_own():
    counts = count((*TYPED, ADA), WHOLE.facts, "entities", TYPED_RELATION_RULES)
    assert (counts.matched, counts.predicted, counts.gold) == (1, 1, 4)


def test_rows_without_entity_types_have_no_strict_rule():
    assert scoring_of(PLAIN).rules == ("boundary", "published")
    assert scoring_of(JOINT).rules == ("strict", "boundary", "published", "entities", "joint")
    with pytest.raises(
        DataError, match=f"rule strict: answers in the format {PLAIN} are scored by boundary, published"
    ):
        answers.rule_of(PLAIN, "strict")


# ----------------------------------------------------------------------------------------------------- ground truth


@both_formats
def test_a_ground_truth_keeps_relations_and_their_places(name):
    back = from_ground_truth(to_ground_truth(of(name)))
    assert back == replace(of(name), dataset="")
    places = [[mention.start for mention in one.mentions] for one in back.relations]
    assert places == [[0, 15], [8, 15], [0, 24]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"relation_types": "saw"},
        {"relation_types": ["saw", "born in"]},
        {"relations": [{"head": {"name": "Ada"}, "type": 3, "tail": {"name": "Rome"}}]},
        {"relations": [{"head": {"name": "Ada"}, "type": "saw"}]},
        {"relations": [{"head": "Ada", "type": "saw", "tail": {"name": "Rome"}}]},
        {"relations": [{"head": {"name": "Ada", "start": 3}, "type": "saw", "tail": {"name": "Rome"}}]},
        {"relations": {}, "relation_types": None},
    ],
)
def test_a_ground_truth_that_is_none_is_refused(wrong):
    value = json.loads(to_ground_truth(ALONE)) | wrong
    with pytest.raises(DataError, match="is not what data_prep"):
        from_ground_truth(json.dumps(value))


# ----------------------------------------------------------------------------------------------------- reward, errors


@both_formats
def test_the_gold_is_worth_all_and_names_alone_nothing(name):
    truth = to_ground_truth(of(name))
    assert compute_score("toy", answers.render_answer(of(name)), truth)["score"] == 11
    assert compute_score("toy", '{"entities": {"person": ["Ada"]}}', truth)["f1"] == 0


def test_the_reward_tells_what_an_answer_lacks():
    truth = to_ground_truth(ALONE)
    half = json.dumps({"relations": {"born in": [["Ada", "Rome"]], "loves": [["Ada", "Eve"]]}})
    score = compute_score("toy", half, truth)
    assert score["f1"] == pytest.approx(2 * 1 / (2 + 3))
    assert (score["schema"], score["invented"], score["n_gold"]) == (0, 0.25, 3)
    silent = compute_score("toy", '{"relations": {}}', truth)
    assert (silent["names_nothing"], silent["f1"]) == (1, 0)


def test_a_rule_that_the_rows_have_not_is_a_wrong_setting():
    with pytest.raises(DataError, match=r"reward_kwargs\.matching: rule strict"):
        compute_score("toy", "", to_ground_truth(ALONE), matching="strict")
    assert compute_score("toy", answers.render_answer(WHOLE), to_ground_truth(WHOLE), matching="boundary")["f1"] == 1


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        (pair("Ada", "saw", "Rome", ("person", "city")), ["type", "missed", "missed"]),
        (pair("Rome", "born in", "Ada", ("city", "person")), ["direction", "missed", "missed"]),
        (pair("Ada", "saw", "Ulm", ("person", "city")), ["boundary", "missed", "missed"]),
        (pair("Ada", "born in", "Ulm", ("person", "city")), ["boundary and type", "missed", "missed"]),
        (pair("Ada", "born in", "Rome", ("person", "person")), ["mention type", "missed", "missed"]),
        (pair("Ada", "loves", "Rome"), ["off-schema", "missed", "missed", "missed"]),
        (pair("Ada", "saw", "Eve"), ["not in the text", "missed", "missed", "missed"]),
        (pair("Rome", "saw", "Rome"), ["spurious", "missed", "missed", "missed"]),
        (pair("Ada", "born in", "Rome", ("person", "city")), ["missed", "missed"]),
    ],
)
def test_what_is_wrong_has_a_class(found, kinds):
    wrong = classify_relations(WHOLE, Answer(relations=(found,), parsed=True), "strict")
    assert [one.kind for one in wrong] == kinds


@given(
    st.lists(
        st.builds(
            pair,
            st.sampled_from(["Ada", "Rome", "Ulm", "New Ulm", "Eve"]),
            st.sampled_from([*TYPES, "loves"]),
            st.sampled_from(["Ada", "Rome", "Ulm", "Bob"]),
        ),
        max_size=7,
    )
)
@settings(max_examples=300, deadline=None)
def test_each_relation_of_gold_and_answer_is_in_one_class(found):
    answer = Answer(relations=tuple(found), parsed=True)
    counts, wrong = answers.count(answer, ALONE), classify_relations(ALONE, answer, "boundary")
    assert counts.gold == counts.matched + sum(one.gold is not None for one in wrong)
    assert counts.predicted == counts.matched + sum(one.predicted is not None for one in wrong)
    shuffled = replace(answer, relations=tuple(reversed(found)))
    assert sorted(one.kind for one in classify_relations(ALONE, shuffled, "boundary")) == sorted(
        one.kind for one in wrong
    )


def test_entities_beside_relations_have_classes_of_their_own():
    told = {
        "entities": {"person": ["Ada", "Bob", "Rome"], "city": ["New Ulm"]},
        "relations": {"saw": [["Ada", "New Ulm"]]},
    }
    kinds = [one.kind for one in compare(WHOLE, json.dumps(told)).disagreements]
    assert kinds == ["type", "missed", "missed"]


# ------------------------------------------------------------------------------------------------------ other stages


@both_formats
def test_gold_rows_for_sft_reason_about_relations(name, tmp_path):
    row = Row(0, "toy", ({"role": "user", "content": "?"},), of(name))
    [made] = sft_rows([row], "template", tmp_path)
    assert made["ability"] == "re"
    assert '"Ada" stands in the relation saw to "New Ulm".' in made["messages"][1]["content"]
    read = answers.parse(made["messages"][1]["content"], of(name))
    assert answers.count(read, of(name)).f1 == 1


def test_samples_are_scored_by_the_rows_own_rule():
    half = answers.render_answer(replace(ALONE, relations=ALONE.relations[:1]))
    assert score(Sample(0, 0, half, 9, "stop"), ALONE).f1 == pytest.approx(2 * 1 / (1 + 3))
    with pytest.raises(DataError, match="rule strict"):
        score(Sample(0, 0, half, 9, "stop"), ALONE, "strict")


def test_rows_of_several_tasks_are_not_scored_together():
    rows = [Row(0, "toy", (), ALONE), Row(1, "toy", (), answers.asked_in(WHOLE, "json"))]
    with pytest.raises(DataError, match="scored in two ways"):
        score_all(rows, ["", ""])


def test_the_table_says_where_boundary_is_the_only_rule(capsys):
    for name, said in ((PLAIN, True), (JOINT, False)):
        scores, _ = score_all([Row(0, "toy", (), of(name))], [answers.render_answer(of(name))])
        assert ("boundary alone" in table(scores)) == said
        assert scores["macro"] == dict.fromkeys(scoring_of(name).rules, 1)


def test_folders_are_compared_by_the_usual_rule_of_their_rows(tmp_path):
    for folder, told in (("a", ALONE), ("b", replace(ALONE, relations=ALONE.relations[:2]))):
        scores, sentences = score_all([Row(0, "toy", (), ALONE)], [answers.render_answer(told)])
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scores.json").write_text(json.dumps(scores))
        write_sentences(tmp_path / folder / "sentences.parquet", sentences, scoring_of(PLAIN))
    shown = score_table([tmp_path / "a", tmp_path / "b"])
    assert "F1 %, boundary" in shown
    assert "80.0" in shown
    scores, _ = score_all([Row(0, "toy", (), WHOLE)], [answers.render_answer(WHOLE)])
    (tmp_path / "joint").mkdir()
    (tmp_path / "joint" / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(
        DataError, match=r"joint: scored by other rules \(strict, boundary, published, entities, joint\) than"
    ):
        score_table([tmp_path / "a", tmp_path / "joint"])
    with pytest.raises(DataError, match="no figures by the rule strict; there are boundary, published"):
        score_table([tmp_path / "a"], "strict")


def test_a_tools_entities_are_no_answer_to_a_row_of_relations(tmp_path, capsys):
    data = tmp_path / "data"
    folder = tmp_path / "RE" / "toy"
    folder.mkdir(parents=True)
    triple = {"head": {"name": "Ada"}, "type": "saw", "tail": {"name": "New Ulm"}}
    (folder / "test.jsonl").write_text(json.dumps({"sentence": SENTENCE, "relations": [triple]}))
    assert to_parquet(["eval", "--corpora", str(tmp_path / "RE"), "--out", str(data)]) == 0
    (tmp_path / "tool.jsonl").write_text('{"index": 0, "entities": [{"type": "person", "start": 0, "end": 3}]}')
    options = ["--predictions", str(tmp_path / "tool.jsonl"), "--data", str(data / "test.parquet")]
    assert evaluate([*options, "--out", str(tmp_path / "scores")]) == 2
    complaint = capsys.readouterr().err
    assert "tool.jsonl, line 1: entities of a tool, and row 0 asks for relations" in complaint
    assert complaint.count("\n") == 1
