"""What each shipped reward pays for answers that don't deserve it: nothing beats honesty, and every tie is listed."""

from __future__ import annotations

from functools import partial

import pytest
from experiment_runs import GRPO, composed

from recipe.adversarial import __main__ as adversarial
from recipe.adversarial.attacks import SILENCE, attacks, examples, finds, honest
from recipe.answers import formats_of, keys, parse
from recipe.answers.think import CLOSE
from recipe.train.reward import configured_reward
from reward_fns import entity_tags, ner

FORMATS = tuple(formats_of("ner"))
OTHER_TASKS = (*formats_of("re"), *formats_of("ee"))
every_format = pytest.mark.parametrize("answer_format", [*FORMATS, *OTHER_TASKS])

# Gaming by what stands around a right answer.
UNREASONED = {"right, no reasoning", "right, empty reasoning"}
LONG = {"right, the prompt as reasoning", "right, reasoning to the limit"}
FAKED = {"right, one word of reasoning", "right, the sentence as reasoning", "right, think tag opened twice"}
COPIED = {"right, types and sentence as reasoning"}
BLANKS = {"right, then white space to the limit"}
JUNK = {
    *("right, never closed the block", "right, think tags nested", "right, in a code fence", "right, then a remark"),
    *("right, then words to the limit", "right, again and again to the limit", "right, after a draft"),
    "right, then an answer that names nothing",
}
# Where nothing is to be found: the right answer, without reasoning or with every type and no name; and names.
SILENT, EVERY_TYPE = {"names nothing, no reasoning"}, {"every type, no name"}
NAMES = {
    "wrong names",
    "the sentence as one name",
    *(f"every {what}" for what in ("word, one type", "word, every type", "substring, every type")),
}

TAGS_PUBLISHED = FAKED | COPIED | BLANKS | {"right, reasoning to the limit"}
TINY = FAKED | COPIED | BLANKS
# Ties with the honest answer, where there are names and where there are none. No published reward looks at what the
# reasoning says. Those with 10 F1 and 1 schema don't want any; F1 alone wants no layout, either.
TIES = {
    "paper": (UNREASONED | LONG | TINY, UNREASONED | LONG | TINY | SILENT | EVERY_TYPE),
    "verl": (UNREASONED | LONG | TINY | JUNK, UNREASONED | LONG | TINY | JUNK | SILENT | EVERY_TYPE),
    # Names are a set.
    "tags": (TAGS_PUBLISHED | {"each name twice"}, TAGS_PUBLISHED),
    # No reasoning is asked for, and nothing is paid for naming nothing.
    "smollm2": (UNREASONED | LONG | TINY, UNREASONED | LONG | TINY | SILENT | EVERY_TYPE | NAMES),
    "tiny_bio": (UNREASONED | LONG | TINY, UNREASONED | LONG | TINY | SILENT | NAMES),
    # The reasoning must name what it extracts. Beyond that words can't be told from thoughts.
    "tiny_tags": (COPIED, TINY | NAMES),
    "tiny_tags_done": (
        COPIED,
        COPIED | FAKED - {"right, think tag opened twice"},
    ),  # here wrong names cost, as published
}
OTHERS = {
    "grpo_qwen3_8b": "paper",
    "grpo_qwen3_1_7b": "paper",
    "grpo_qwen3_8b_lora": "paper",
    "grpo_qwen2_5_1_5b_entity_tags": "tags",
    "grpo_tiny": "paper",
    "grpo_tiny_large_batch": "paper",
    "grpo_tiny_lora": "paper",
    "grpo_smollm2_135m": "smollm2",
    "grpo_smollm2_135m_large_batch": "paper",
    "grpo_tiny_bio": "tiny_bio",
    "grpo_tiny_bio_large_batch": "paper",
    "grpo_tiny_entity_tags": "tiny_tags",
    "grpo_tiny_entity_tags_large_batch": "tiny_tags_done",
}


def kind(name):
    return OTHERS.get(name) or {"trl": "paper"}.get(last := name.rpartition("_")[2], last)


def unlike(answer_format, named, known):
    """The ties that a format breaks."""
    if answer_format != "entity_tags":  # the last answer counts
        return {"right, then an answer that names nothing"} if named else set()
    # Tags one after the other are one answer, which has names too often.
    broken = {"right, after a draft", "right, again and again to the limit"} if named else set()
    # Its prompt holds think tags, which ends the block, so that text comes before the answer.
    return broken if known >= JUNK else broken | {"right, the prompt as reasoning"}


def tables(name):
    config = composed(name)
    wanted = ["bio"] if "bio" in name else FORMATS
    reward, limit = configured_reward(config), config.data.max_response_length
    return {each: table for each in wanted if (table := adversarial.rows(reward, each, limit))}


@pytest.mark.parametrize("name", GRPO)
def test_no_answer_beats_the_honest_one_and_every_tie_is_a_known_one(name):
    found = tables(name)
    assert list(found) == (["bio"] if "bio" in name else ["entity_tags"] if "tags" in name else list(FORMATS))
    for answer_format, table in found.items():
        assert [row.name for row in table if row.above(True) or row.above(False)] == []
        for named, known in zip((True, False), TIES[kind(name)], strict=True):
            compared = {row.name for row in table if row.gains(named)}
            known = known - unlike(answer_format, named, known)
            assert {row.name for row in table[1:] if row.ties(named)} == known & compared


@pytest.mark.parametrize("name", GRPO)
def test_silence_earns_less_than_half_of_what_honesty_earns(name):
    for table in tables(name).values():
        by_name = {row.name: row for row in table}
        assert by_name[SILENCE].mixed(0.25) < 0.5 * by_name["honest"].mixed(0.25)


def test_what_silence_is_worth_as_published():
    shares = {}
    for name, answer_format in (("grpo_qwen3_8b", "json"), ("grpo_qwen2_5_1_5b_entity_tags", "entity_tags")):
        shares[answer_format] = adversarial.break_even(tables(name)[answer_format], 0.25)
    assert shares["json"] == pytest.approx(1 / 3)  # an F1: 3/4 of 10 F1 against 1/4 of 10
    assert 0.5 < shares["entity_tags"] < 1


AGAINST_SILENCE = {
    "beta": 2.0,
    "empty_value": 0.3,
    "overlap_value": 0.5,
    "invented_weight": 1.0,
    "length_weight": 2.0,
    "length_by_f1": True,
}


@pytest.mark.parametrize("answer_format", FORMATS)
def test_with_all_that_works_against_silence_honesty_still_wins_and_silence_earns_less(answer_format):
    today, against = (
        adversarial.rows(partial(ner.compute_score, **settings), answer_format, 1000)
        for settings in ({}, AGAINST_SILENCE)
    )
    assert [row.name for row in against if row.above()] == []
    silence = [{row.name: row for row in table}[SILENCE].mixed(0.25) for table in (today, against)]
    assert silence[1] < 0.6 * silence[0]
    assert adversarial.break_even(against, 0.25) < 0.5 * adversarial.break_even(today, 0.25)


def test_entity_tags_with_all_that_works_against_silence():
    against = {name: value for name, value in AGAINST_SILENCE.items() if name != "beta"}
    table = adversarial.rows(partial(entity_tags.compute_score, **against), "entity_tags", 1000)
    assert [row.name for row in table if row.above()] == []


# The reward of the format that has entities and relations is by default that of its relations alone: where there are
# none, names may be wrong, or there twice.
@pytest.mark.parametrize("answer_format", OTHER_TASKS)
@pytest.mark.parametrize("name", ["grpo_qwen3_8b", "grpo_tiny", "grpo_tiny_large_batch"])
def test_no_answer_about_relations_or_events_beats_the_honest_one(name, answer_format):
    config = composed(name)
    table = adversarial.rows(configured_reward(config), answer_format, config.data.max_response_length)
    assert [row.name for row in table if row.above(True) or row.above(False)] == []
    names = {"each name twice", "wrong types"} if answer_format == formats_of("re")[1] else set()
    for named, known in ((True, TIES["paper"][0]), (False, TIES["paper"][1] | names | {SILENCE})):
        compared = {row.name for row in table if row.gains(named)}
        assert {row.name for row in table[1:] if row.ties(named)} == known & compared
    by_name = {row.name: row for row in table}
    assert by_name[SILENCE].mixed(0.25) < 0.5 * by_name["honest"].mixed(0.25)
    assert by_name["all but the relations or arguments"].mean(True) < by_name["honest"].mean(True)
    assert ("heads and tails in each other's place" in by_name) == (answer_format in formats_of("re"))


def test_a_reward_for_both_pays_nothing_for_wrong_entities_either():
    name = formats_of("re")[1]
    table = adversarial.rows(partial(ner.compute_score, matching="joint"), name, 1000)
    by_name = {row.name: row for row in table}
    assert [row.name for row in table if row.above()] == []
    assert not by_name["wrong types"].ties()
    assert not by_name["each name twice"].ties()


@every_format
def test_the_honest_answer_is_the_gold_and_those_that_are_right_hold_it(answer_format):
    for example in examples(answer_format):
        text = honest(example)
        answer = parse(text, example)
        assert answer.layout
        assert sorted(keys(answer.facts, answer_format)) == sorted(keys(example.facts, answer_format))
        found = attacks(example, 100)
        assert len(found) >= 24
        for name, completion in found.items():
            if name.startswith("right"):
                body = text.partition(f"{CLOSE}\n")[2].split("\n", 1)[0]
                assert body in completion, name


@every_format
def test_the_examples_have_sentences_with_nothing_to_find_and_with_a_fact_twice(answer_format):
    golds = examples(answer_format)
    assert {finds(example) for example in golds} == {True, False}
    found = [keys(example.facts, answer_format) for example in golds]
    assert any(len(set(each)) < len(each) for each in found)


def test_a_reward_that_can_be_gamed_is_found(capsys):
    kwargs = "reward.custom_reward_function.reward_kwargs"
    gamed = [
        f"{kwargs}.f1_weight=0",
        f"{kwargs}.schema_weight=0",
        f"{kwargs}.format_weight=1",
        f"{kwargs}.length_weight=1",
    ]
    limits = [f"+{kwargs}.length_target=1", f"+{kwargs}.length_limit=5"]
    assert adversarial.main(["grpo_qwen3_8b", *gamed, *limits, "--answer-format", "json"]) == 1
    said = capsys.readouterr().out
    assert "ABOVE in" in said
    assert "right names earn no more than wrong ones" in said


def test_the_command_prints_a_table_a_format(capsys):
    assert adversarial.main(["grpo_tiny_entity_tags"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0].startswith("entity_tags ")
    assert lines[1].startswith("honest ")
    assert any(line.startswith("names nothing ") for line in lines)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["sft_tiny"], "is no GRPO experiment"),
        (["grpo_tiny_entity_tags", "--answer-format", "json"], "can't read json"),
        (["grpo_tiny", "--empty-share", "1"], "not a share"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(capsys, argv, said):
    assert adversarial.main(argv) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
