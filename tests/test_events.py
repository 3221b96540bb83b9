"""Events through every contract: triggers and their arguments, the answer, its rules, the reward, the commands."""

import contextlib
import json
import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_time import linear_time

from data_prep.to_parquet import main as to_parquet
from recipe import answers
from recipe.core.entities import DataError, Entity, Example, Relation
from recipe.core.ground_truth import from_ground_truth, to_ground_truth
from recipe.core.metrics import EVENT_RULES, count
from recipe.corpora import Reading, casie, phee
from recipe.corpora.datasets import find_datasets, read_dataset
from recipe.corpora.records import Wrong
from recipe.evaluate.__main__ import main as evaluate
from recipe.evaluate.rows import read_rows
from recipe.evaluate.verdict import compare, scoring_of
from recipe.learning.gold import sft_rows
from recipe.report.__main__ import main as report
from reward_fns.ner import compute_score

[FORMAT] = answers.formats_of("ee")
SENTENCE = "Ada attacked Bob in Rome and Eve attacked Zoë , who fled ."
ATTACK, LATER, FLIGHT = Entity("attacked", "attack", 4), Entity("attacked", "attack", 33), Entity("fled", "flight", 52)
TYPES, ROLES = ("attack", "flight"), ("attacker", "place", "victim")


def argument(trigger, role, name):
    return Relation(trigger, role, Entity(name, "", SENTENCE.find(name)))


GOLD = Example(
    SENTENCE, (*TYPES, *ROLES), (ATTACK, LATER, FLIGHT), "toy", None, FORMAT,
    (
        argument(ATTACK, "attacker", "Ada"), argument(ATTACK, "victim", "Bob"), argument(ATTACK, "place", "Rome"),
        argument(LATER, "attacker", "Eve"), argument(LATER, "victim", "Zoë"),
    ),
    ROLES,
)  # fmt: skip
FIRST = replace(GOLD, entities=(ATTACK, FLIGHT), relations=GOLD.relations[:3])


def says(*events):
    told = [{"type": label, "trigger": trigger, "arguments": arguments} for label, trigger, arguments in events]
    return json.dumps({"events": told})


# ---------------------------------------------------------------------------------------------------------- answers


def test_what_is_written_is_read_and_events_with_one_trigger_stay_apart():
    completion = answers.render_answer(replace(GOLD, reasoning=answers.template_reasoning(GOLD)))
    assert [event["arguments"] for event in json.loads(completion.partition("</think>")[2])["events"]] == [
        {"attacker": ["Ada"], "place": ["Rome"], "victim": ["Bob"]}, {"attacker": ["Eve"], "victim": ["Zoë"]}, {},
    ]  # fmt: skip
    answer = answers.parse(completion, GOLD)
    assert answer.layout
    assert {rule: answers.count(answer, GOLD, rule).f1 for rule in EVENT_RULES} == dict.fromkeys(EVENT_RULES, 1)


def test_the_layout_is_the_one_that_the_module_shows():
    rash = Entity("developed", "adverse event")
    example = Example("x", (), (rash,), "", None, FORMAT, (Relation(rash, "effect", Entity("rash", "")),))
    shown = "\n".join(line[4:] for line in answers.json_events.__doc__.splitlines()[2:16])
    assert answers.render_answer(replace(example, reasoning=answers.template_reasoning(example))) == shown


words = st.text(st.sampled_from('ab"\\é {}[]:,北'), min_size=1, max_size=6).filter(lambda text: text.strip() == text)
kinds, roles = st.sampled_from(["attack", 'a"b', "{x}"]), st.sampled_from(["who", "the \\ role", "ärger"])


@given(st.lists(st.tuples(words, kinds, st.lists(st.tuples(roles, words), max_size=4)), max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_names_come_back(events, placed):
    triggers = [Entity(name, label, at if placed else None) for at, (name, label, _) in enumerate(events)]
    tied = [
        Relation(t, role, Entity(name, "")) for t, (*_, own) in zip(triggers, events, strict=True) for role, name in own
    ]
    example = Example("x", (), tuple(triggers), format=FORMAT, relations=tuple(tied))
    answer = answers.parse(answers.render_answer(example), example)
    assert answer.layout
    if placed or answers.surely_read(example):
        assert answers.count(answer, example).f1 == answers.count(answer, example, "argument_classification").f1 == 1


def test_gold_that_rows_bring_is_written_as_the_source_has_it(tmp_path):
    """Each event keeps its arguments through a Parquet file, of triggers that are alike, too."""
    sample = Path(__file__).resolve().parent.parent / "data_prep" / "sample"
    [dataset], _ = find_datasets(sample, None, task="ee")
    alike = Example("Ada hit Bob hit Eve", ("hit", "who"), format=FORMAT, relation_types=("who",))
    triggers = Entity("hit", "hit", 4), Entity("hit", "hit", 12)
    tied = (Relation(triggers[0], "who", Entity("Ada", "", 0)), Relation(triggers[1], "who", Entity("Bob", "", 8)))
    for example in (replace(alike, entities=triggers, relations=tied), *read_dataset(dataset, "dev")):
        back = from_ground_truth(to_ground_truth(example))
        assert answers.render_answer(back) == answers.render_answer(example)
    out = tmp_path / "out"
    options = ["--corpora", str(sample), "--task", "ee", "--num-samples", "40", "--num-dev", "0"]
    assert to_parquet(["grpo", *options, "--out", str(out / "grpo")]) == 0
    of_source = {}
    for example in read_dataset(dataset, "train"):
        of_source.setdefault(example.sentence, []).append(example)  # some stand there twice, annotated otherwise
    for row in sft_rows(read_rows(out / "grpo" / "train.parquet"), "template", out):
        said = answers.parse(row["messages"][-1]["content"], GOLD)
        assert max(answers.count(said, told).f1 for told in of_source[row["extra_info"]["sentence"]]) == 1


def test_an_argument_without_its_trigger_is_no_answer():
    lost = Relation(Entity("fled", "flight", 4), "who", Entity("Ada", ""))
    with pytest.raises(DataError, match="'fled → Ada': an argument of a trigger that is none of the events"):
        answers.render_answer(Example("Ada fled", (), (Entity("fled", "flight"),), format=FORMAT, relations=(lost,)))


PIECES = [
    '{"events": [', '{"type": "attack", "trigger": "attacked", "arguments": {"victim": ["Bob"]}}', "]}", "[", "]", "{",
    "}", ", ", '"arguments": [{"name": "Bob", "role": "victim"}]', '"trigger": {"text": "fled"}', '"type": "flight"',
    ": null", "<think>", "</think>", "```json\n", "\\ud800", "NaN", "\n", '"event_type": 3', '{"events": {}}', "x",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14))
@settings(max_examples=500, deadline=None)
def test_whatever_a_model_writes_is_read_or_unparsable(pieces):
    completion = "".join(pieces)
    answer = answers.parse(completion, GOLD)
    assert answer.parsed or not answer.facts
    assert not answer.layout or answer.parsed
    json.dumps([fact.texts for fact in answer.facts]).encode()
    answers.parts(completion, GOLD)
    compare(GOLD, completion)
    assert 0 <= compute_score("toy", completion, to_ground_truth(GOLD))["f1"] <= 1


@pytest.mark.parametrize(
    "piece", ['{"events": [{"type": "a", "trigger": "b", "arguments": {}}]}', '{"events": [{"type": ', "[{"]
)
def test_reading_takes_linear_time(piece):
    with linear_time():
        answers.parse(piece * (1_000_000 // len(piece)), GOLD)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "Attack", "trigger": "attacked", "arguments": {"victim": "Bob"}},
        {"event_type": "attack", "trigger": {"text": "attacked"}, "arguments": [{"name": "Bob", "role": "victim"}]},
        {"trigger": "attacked", "type": "attack", "arguments": {"victim": ["Bob"], "place": None, "attacker": "None"}},
        {"type": "attack", "trigger": "attacked", "arguments": {"victim": [{"text": "Bob"}]}, "note": "sure"},
    ],
)
def test_a_plain_meaning_is_repaired(event):
    for value in ([event], event):
        answer = answers.parse(f"Here: {json.dumps({'events': value})}", GOLD)
        assert (answer.parsed, answer.layout) == (True, False)
        assert answer.entities == (Entity("attacked", "attack"),)
        assert answer.relations == (Relation(Entity("attacked", "attack"), "victim", Entity("Bob", "")),)


@pytest.mark.parametrize(
    "value",
    [[{"type": "attack"}], [{"trigger": "x"}], ["attack"], "attack", [{"type": "a", "trigger": "b", "arguments": [3]}]],
)
def test_what_has_no_plain_meaning_is_not_guessed(value):
    assert not answers.parse(json.dumps({"events": value}), GOLD).parsed


def test_the_prompt_lists_event_types_and_roles_apart():
    assert '["attack", "flight"]\n["attacker", "place", "victim"]' in answers.render_prompt(GOLD)


def test_a_sentence_without_roles_has_no_events():
    with pytest.raises(DataError, match="its files hold no events"):
        answers.asked_in(Example("x", ("person",), dataset="toy"), FORMAT)


# ---------------------------------------------------------------------------------------------------------- grammar


def held(reasoning=False):
    return answers.grammar(FORMAT, GOLD.types, GOLD.sentence, reasoning, GOLD.relation_types)


def test_the_grammar_allows_every_answer_and_closes_a_cut_one(allows):
    rng = random.Random(0)
    for _ in range(60):
        triggers = [
            Entity(rng.choice(["a", '"x"', "北京", "b]"]), rng.choice(TYPES), at) for at in range(rng.randint(0, 3))
        ]
        tied = [Relation(rng.choice(triggers), rng.choice(ROLES), Entity("y, z", "")) for _ in range(4) if triggers]
        example = replace(GOLD, entities=tuple(triggers), relations=tuple(tied))
        answer = answers.render_answer(example)
        assert allows(held().rules, answer)
        cut = held().close(answer[: rng.randint(0, len(answer))])
        assert allows(held().rules, cut)
        assert answers.parse(cut, GOLD).layout
        assert held().close(answer) == answer


def test_the_grammar_allows_nothing_else(allows):
    answer = answers.render_answer(GOLD)
    for other in (
        answer.replace("attack", "war", 1),
        answer.replace("victim", "hero"),
        answer + "\n",
        answer.replace('["Bob"]', "[]"),
    ):
        assert not allows(held().rules, other)
    assert allows(held(reasoning=True).rules, answers.render_answer(replace(GOLD, reasoning="a < b")))


# ------------------------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # TI, TC, AI, AC, strict: matched, predicted, gold
        ([("attack", "attacked", {"attacker": ["Ada"], "victim": ["Bob"], "place": ["Rome"]}), ("flight", "fled", {})],
         ((2, 2, 2), (2, 2, 2), (3, 3, 3), (3, 3, 3), (5, 5, 5))),
        ([("flight", "attacked", {"attacker": ["Ada"]})],  # a wrong event type takes its arguments with it
         ((1, 1, 2), (0, 1, 2), (0, 1, 3), (0, 1, 3), (0, 2, 5))),
        ([("attack", "attacked", {"victim": ["Ada"], "attacker": ["Bob"]})],  # roles the other way round
         ((1, 1, 2), (1, 1, 2), (2, 2, 3), (0, 2, 3), (1, 3, 5))),
        ([("attack", "fled", {"attacker": ["Ada"]})],  # the field's argument rules don't see the trigger, strict does
         ((1, 1, 2), (0, 1, 2), (1, 1, 3), (1, 1, 3), (0, 2, 5))),
        ([("attack", "attacked", {"attacker": ["Ada", "Ada"]})],  # said twice
         ((1, 1, 2), (1, 1, 2), (1, 1, 3), (1, 1, 3), (2, 3, 5))),
        ([], ((0, 0, 2), (0, 0, 2), (0, 0, 3), (0, 0, 3), (0, 0, 5))),
    ],
)  # fmt: skip
def test_triggers_and_arguments_by_hand(events, expected):
    answer = answers.parse(says(*events), FIRST)
    names = (
        "trigger_identification",
        "trigger_classification",
        "argument_identification",
        "argument_classification",
        "strict",
    )
    for rule, counted in zip(names, expected, strict=True):
        counts = answers.count(answer, FIRST, rule)
        assert (counts.matched, counts.predicted, counts.gold) == counted, rule


def test_the_published_rule_is_whole_sentences():
    right = says(
        ("flight", "FLED", {}), ("attack", "attacked", {"place": ["rome"], "victim": ["Bob"], "attacker": ["Ada"]})
    )
    assert answers.count(answers.parse(right, FIRST), FIRST, "published").f1 == 1
    wrong = says(("attack", "attacked", {"place": ["Rome"]}), ("flight", "fled", {}))
    counts = answers.count(answers.parse(wrong, FIRST), FIRST, "published")
    assert (counts.matched, counts.predicted, counts.gold) == (0, 1, 1)
    assert count((), (), "published", EVENT_RULES).f1 == 1


def test_the_reward_is_strict_and_ground_truths_keep_events():
    truth = to_ground_truth(GOLD)
    assert from_ground_truth(truth) == replace(GOLD, dataset="")
    score = compute_score(
        "toy", answers.render_answer(replace(GOLD, reasoning=answers.template_reasoning(GOLD))), truth
    )
    assert (score["score"], score["reasoned"], score["n_gold"]) == (11, 1, 8)
    assert compute_score("toy", says(("war", "attacked", {})), truth)["schema"] == 0
    assert compute_score("toy", says(("attack", "attacked", {"hero": ["Ada"]})), truth)["schema"] == 0
    invented = compute_score("toy", says(("attack", "attacked", {"victim": ["Max"]})), truth)
    assert invented["invented"] == pytest.approx(1 / 3)  # of trigger, and trigger and argument


def test_what_is_wrong_has_a_class():
    told = says(("attack", "attacked", {"victim": ["Ada"], "place": ["New Rome"]}), ("flight", "fled", {}))
    kinds = Counter(one.kind for one in compare(FIRST, told).disagreements)
    assert kinds == {"not in the text": 1, "type": 1, "missed": 2}
    assert scoring_of(FORMAT).usual == "strict"


# ----------------------------------------------------------------------------------------------------------- corpora

RECORD = {
    "sentence": SENTENCE,
    "events": [
        {"type": "Attack", "trigger": "attacked", "arguments": [{"name": "Ada", "role": "Attacker"}]},
        {"type": "NA", "trigger": "fled", "arguments": []},
    ],
}


def written(folder, records, labels=None):
    folder.mkdir(parents=True)
    (folder / "test.json").write_text(json.dumps(records), encoding="utf-8")
    if labels:
        (folder / "labels.json").write_text(json.dumps(labels))
    return folder


@pytest.mark.parametrize(
    "labels", [None, [["Attack", "NA"], ["Attacker", "Victim"]], {"Attack": ["Attacker", "Victim"]}]
)
def test_instructuies_events_are_read(tmp_path, labels):
    written(tmp_path / "EE" / "toy", [RECORD], labels)
    [dataset], _ = find_datasets(tmp_path, task="ee")
    noted = Counter()
    [example] = read_dataset(dataset, "test", Reading(noted=noted))
    assert example.entity_types == ("attack",)
    assert example.relation_types == (("attacker", "victim") if labels else ("attacker",))
    assert example.relations == (Relation(Entity("attacked", "attack"), "attacker", Entity("Ada", "")),)
    assert noted["no_event"] == 1


PHEE = {
    "id": "1", "context": "A man got a rash and fever from aspirin.", "is_mult_event": False,
    "annotations": [{"events": [{
        "event_id": "E1", "event_type": "Adverse_event", "Trigger": {"text": [["got"]], "start": [[6]]},
        "Subject": {"text": [["A man"]], "start": [[0]], "Gender": {"text": [["man"]], "start": [[2]]}},
        "Effect": {"text": [["rash", "fever"]], "start": [[12, 21]], "entity_id": ["T1"]},
        "Severity": {"text": [["rash"]], "start": [[12]], "value": "High"},
    }]}],
}  # fmt: skip


def test_phees_events_are_read(tmp_path):
    written(tmp_path / "PHEE", [PHEE])
    [dataset], _ = find_datasets(tmp_path / "PHEE")
    noted = Counter()
    [example] = read_dataset(dataset, "test", Reading(noted=noted))
    assert example.entities == (Entity("got", "adverse_event"),)
    found = [(one.head.start, one.type, one.tail.name, one.tail.start) for one in example.relations]
    assert found == [
        (6, "subject", "A man", 0), (6, "subject.gender", "man", 2), (6, "effect", "rash", 12),
        (6, "effect", "fever", 21),
    ]  # fmt: skip
    assert noted["argument_in_pieces"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": 3}, "'annotations' is a number, not a list"),
        ({"annotations": [{"events": [3]}]}, "an annotation has no list of events"),
        ({"annotations": [{"events": [{"event_type": "A"}]}]}, "trigger of event 1 is null or missing"),
        (
            {"annotations": [{"events": [{"event_type": "A", "Trigger": {"text": [["x"]], "start": []}}]}]},
            "other numbers of texts",
        ),
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path, capsys, change, said):
    written(tmp_path / "PHEE", [PHEE, PHEE | change])
    assert to_parquet(["eval", "--corpora", str(tmp_path / "PHEE"), "--out", str(tmp_path / "out")]) == 2
    complaint = capsys.readouterr().err
    assert "record 2" in complaint
    assert said in complaint
    assert complaint.count("\n") == 1


CASIE = {
    "sourcefile": "1.txt", "content": "Ada was hacked and paid. </text>",
    "cyberevent": {"hopper": [{"events": [{
        "subtype": "Databreach", "nugget": {"startOffset": 4, "endOffset": 14, "text": "was hacked"},
        "argument": [{"startOffset": 0, "endOffset": 3, "text": "Ada", "role": {"type": "Victim"}, "type": "Person"}],
    }]}, {"events": [{"subtype": "Ransom", "nugget": {"startOffset": 99, "endOffset": 103, "text": "paid"}}]}]},
}  # fmt: skip


def articles(folder, *records):
    folder.mkdir()
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_casies_articles_are_one_dataset_without_splits(tmp_path):
    [dataset], _ = find_datasets(articles(tmp_path / "annotation", CASIE, CASIE))
    assert dataset.one_file
    noted = Counter()
    first, _ = read_dataset(dataset, "test", Reading(noted=noted))
    assert first.sentence == "Ada was hacked and paid."
    assert (first.entity_types, first.relation_types) == (("databreach", "ransom"), ("victim",))
    assert [(entity.name, entity.type, entity.start) for entity in first.entities] == [
        ("was hacked", "databreach", 4), ("paid", "ransom", None),
    ]  # fmt: skip
    assert [(one.head.name, one.type, one.tail.name) for one in first.relations] == [("was hacked", "victim", "Ada")]
    assert noted["contradicting_place"] == 2  # one an article
    out = tmp_path / "out"
    options = ["--cot", "template", "--num-dev", "1", "--out", str(out)]
    other = articles(tmp_path / "more", CASIE, CASIE | {"content": "Ada was hacked and paid twice."})
    assert to_parquet(["sft", "--corpora", str(other), *options]) == 0
    assert {path.name for path in out.iterdir()} == {"train.parquet", "dev.parquet", "manifest.json"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cyberevent": 3}, "'cyberevent' has no list 'hopper'"),
        ({"cyberevent": {"hopper": [{}]}}, "a hopper has no list of events"),
        ({"cyberevent": {"hopper": [{"events": [{"subtype": "A"}]}]}}, "nugget of event 1 is without a type, text"),
    ],
)
def test_an_article_that_is_none_is_refused(tmp_path, capsys, change, said):
    folder = articles(tmp_path / "annotation", CASIE, CASIE | change)
    assert to_parquet(["eval", "--corpora", str(folder), "--out", str(tmp_path / "out")]) == 2
    complaint = capsys.readouterr().err
    assert f"{folder / '1.json'}: record 1: {said}" in complaint
    assert complaint.count("\n") == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 60) | st.sampled_from(["got", "", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "start", "event_type", "Trigger", "Effect", "Drug", "events"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values, json_values)
@settings(max_examples=300, deadline=None)
def test_any_record_is_read_or_wrong(annotations, event):
    for value in (
        annotations,
        [{"events": [event]}],
        [{"events": [{"event_type": "A", "Trigger": event, "Effect": annotations}]}],
    ):
        with contextlib.suppress(Wrong):
            casie.read(CASIE | {"cyberevent": {"hopper": value}})
        try:
            phee.read(PHEE | {"annotations": value}, None)
        except Wrong:
            continue


# ---------------------------------------------------------------------------------------------------------- commands


def test_events_go_through_preparation_scores_and_report(tmp_path, capsys):
    written(tmp_path / "EE" / "toy", [RECORD, {"sentence": "Nothing .", "events": []}])
    data, out = tmp_path / "data", tmp_path / "scores"
    assert to_parquet(["eval", "--corpora", str(tmp_path), "--task", "ee", "--out", str(data)]) == 0
    manifest = json.loads((data / "manifest.json").read_text())["test.parquet"]
    assert (manifest["arguments"]["task"], manifest["arguments"]["answer_format"]) == ("ee", FORMAT)
    told = [says(("attack", "attacked", {"attacker": ["Bob"]})), says()]
    lines = "".join(json.dumps({"index": i, "output": output}) + "\n" for i, output in enumerate(told))
    (tmp_path / "saved.jsonl").write_text(lines)
    options = ["--data", str(data / "test.parquet"), "--out", str(out)]
    assert evaluate(["--predictions", str(tmp_path / "saved.jsonl"), *options]) == 0
    figures = json.loads((out / "scores.json").read_text())["datasets"]["toy"]
    assert tuple(figures[rule]["f1"] for rule in EVENT_RULES) == (0.5, 1, 1, 0, 0, 0.5)
    assert (figures["errors"]["missed"], figures["errors"]["spurious"]) == (1, 1)
    assert set(figures["types"]) == {"attack", "attacker"}
    assert "trigger_classification" in capsys.readouterr().out
    assert report([str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "attacked → Bob" in page
    assert "Events: scores on 2 sentences" in page


# ------------------------------------------------------------------------------------------------ the published files


@pytest.mark.skipif("RELATION_CORPORA" not in os.environ, reason="RELATION_CORPORA names no checkouts")
def test_casies_counts_are_the_sources():
    folder = Path(os.environ["RELATION_CORPORA"], "CASIE", "data", "annotation")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    events = [event for record in records for hopper in record["cyberevent"]["hopper"] for event in hopper["events"]]
    [dataset], _ = find_datasets(folder)
    noted = Counter()
    examples = list(read_dataset(dataset, "test", Reading(noted=noted)))
    assert (len(examples), sum(len(one.entities) for one in examples)) == (len(records), len(events))
    arguments = sum(len(one.relations) for one in examples) + noted["repeated_relation"]
    assert arguments == sum(len(event.get("argument", ())) for event in events)


def test_phees_counts_are_the_sources_and_gold_against_itself_is_perfect():
    folder = Path(__file__).resolve().parent.parent / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "EE" / "PHEE"
    [dataset], _ = find_datasets(folder)
    for split in ("dev", "test"):
        lines = [json.loads(line) for line in dataset.file(split).read_text(encoding="utf-8").splitlines()]
        noted = Counter()
        examples = list(read_dataset(dataset, split, Reading(noted=noted)))
        events = sum(len(each["events"]) for line in lines for each in line["annotations"])
        assert (len(examples), sum(len(one.entities) for one in examples) + noted["repeated_entity"]) == (
            len(lines),
            events,
        )
        for example in examples:
            answer = answers.parse(answers.render_answer(example), example)
            assert {answers.count(answer, example, rule).f1 for rule in EVENT_RULES} == {1}
