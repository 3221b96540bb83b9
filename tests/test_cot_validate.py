"""Which annotations are kept, in which order, and what an interruption changes: nothing."""

import random

import pytest
from cot_case import annotation, failure, lines, run, write

from recipe.core.entities import DataError
from recipe.cot.validate import Index, shingles

pytest.importorskip("datasketch")
pytest.importorskip("py3langid")

UNSOUND = {
    "cut_off": {"finish_reason": "length"},
    "unparsable": {"output": '<think>"Ada" is a person, and "Paris" a place.</think> none'},
    "off_schema": {"types": ["place"]},
}


def validated(work, *options):
    run("validate", work, *options)
    return lines(work, "validate")


def test_every_row_is_there_once_in_the_order_of_its_annotation(tmp_path):
    rows = [annotation(0), annotation(1, **UNSOUND["cut_off"]), failure(2), annotation(3, **UNSOUND["unparsable"])]
    found = validated(write(tmp_path, "annotate", rows))
    assert [(row["id"][-1], row["status"], row["reasons"]) for row in found] == [
        ("0", "kept", []),
        ("1", "rejected", ["cut_off"]),
        ("2", "rejected", ["not_annotated"]),
        ("3", "rejected", ["unparsable"]),
    ]


def test_a_row_as_it_is_written(tmp_path):
    (row,) = validated(write(tmp_path, "annotate", [annotation(0)]))
    assert row == {
        "id": "0" * 16, "status": "kept", "reasons": [], "sentence": "Ada met all of old Paris and more of it .",
        "source": "news", "types": ["person", "place"],
        "reasoning": '"Ada" is the one who acts, hence a person. "Paris" is a town, hence a place.',
        "entities": [{"text": "Ada", "label": "person", "start": 0, "end": 3},
                     {"text": "Paris", "label": "place", "start": 19, "end": 24}],
        "gold": None, "mode": "plain", "agrees_with_gold": None, "missed": 0, "added": 0, "repaired": False,
        "duplicate_of": None,
    }  # fmt: skip


def test_a_row_has_all_reasons(tmp_path):
    row = annotation(0, output='{"entities": {"verb": ["met"], "place": ["Nowhere"]}}')
    (found,) = validated(write(tmp_path, "annotate", [row]))
    assert found["reasons"] == ["no_think_block", "off_schema", "not_in_sentence", "undiscussed"]
    assert found["entities"][1] == {"text": "Nowhere", "label": "place", "start": None, "end": None}


def test_repaired_answers_are_marked(tmp_path):
    row = annotation(0)
    row["output"] = row["output"].replace("{", "```json\n{", 1) + "\n```"
    (found,) = validated(write(tmp_path, "annotate", [row]))
    assert (found["status"], found["repaired"]) == ("kept", True)


@pytest.mark.parametrize(
    ("gold", "figures"),
    [
        (None, (None, 0, 0)),
        ([["Ada", "person"], ["Paris", "place"]], (True, 0, 0)),
        ([["Ada", "person"]], (False, 0, 1)),
        ([["Ada", "place"], ["Paris", "place"], ["it", "thing"]], (False, 2, 1)),
    ],
)
def test_disagreement_with_the_gold_is_counted_and_rejects_nothing(tmp_path, gold, figures):
    (row,) = validated(write(tmp_path, "annotate", [annotation(0, gold=gold, mode="gold_withheld")]))
    assert (row["agrees_with_gold"], row["missed"], row["added"]) == figures
    assert (row["status"], row["gold"]) == ("kept", gold)


def test_agreement_with_the_gold_can_be_required(tmp_path):
    (row,) = validated(
        write(tmp_path, "annotate", [annotation(0, gold=[["Ada", "person"]])]), "--require-gold-agreement"
    )
    assert row["reasons"] == ["disagrees_with_gold"]


# -------------------------------------------------------------------------------------------------- near-duplicates


def test_the_first_of_near_duplicates_is_kept(tmp_path):
    again = annotation(0, id="b" * 16, sentence="Ada  met all of old PARIS and more of it!")
    again["output"] = again["output"].replace("Paris", "PARIS")
    cut = annotation(1, finish_reason="length")
    rows = [annotation(0), again, cut, annotation(1, id="c" * 16)]
    found = validated(write(tmp_path, "annotate", rows))
    assert [(row["reasons"], row["duplicate_of"]) for row in found] == [
        ([], None), (["near_duplicate"], "0" * 16), (["cut_off"], None), ([], None),
    ]  # fmt: skip


def test_near_duplicates_can_be_kept(tmp_path):
    rows = [annotation(0), annotation(0, id="b" * 16)]
    assert [row["status"] for row in validated(write(tmp_path, "annotate", rows), "--keep-duplicates")] == ["kept"] * 2


WORDS = [f"w{i}" for i in range(120)]


def test_long_sentences_are_near_duplicates_by_five_words_in_a_row():
    index = Index(0.9)
    index.add("a", " ".join(WORDS))
    assert index.find(" ".join([*WORDS[:60], "other", *WORDS[61:]])) == "a"  # 111 of 121 in common
    assert index.find(" ".join([*WORDS[:40], "other", *WORDS[41:80], "words", *WORDS[81:]])) is None


def test_short_sentences_are_near_duplicates_by_characters():
    index = Index(0.9)
    index.add("a", "The European Commission said on Thursday it disagreed with German advice to consumers")
    assert index.find("The European Commission said on Thursday it disagreed with German advice to consumer") == "a"
    assert index.find("The European Commission said on Thursday it agreed with French advice to consumers") is None


@pytest.mark.parametrize("sentence", ["", "!", "Ada", "🦊🦊", "北京是首都", "\ud800"])
def test_any_sentence_is_the_same_as_itself(sentence):
    index = Index(1.0)
    assert index.find(sentence) is None
    index.add("a", sentence)
    index.add("b", sentence)
    assert index.find(sentence) == "a"


def test_nearly_all_pairs_above_the_threshold_are_found():
    rng, missed, pairs = random.Random(0), 0, 0
    index, texts = Index(0.9), []
    for number in range(300):
        texts.append([f"w{rng.randrange(10_000)}" for _ in range(120)])
        index.add(str(number), " ".join(texts[-1]))
    for number, text in enumerate(texts):
        other = list(text)
        other[rng.randrange(120)] = "x"
        a, b = shingles(" ".join(text)), shingles(" ".join(other))
        if len(a & b) >= 0.9 * len(a | b):
            pairs += 1
            missed += index.find(" ".join(other)) != str(number)
    assert (pairs, missed) == (300, 0)


# ---------------------------------------------------------------------------------------------------------- resume


def mixed(count):
    """Sound, unsound, failed and repeated rows."""
    rng = random.Random(1)
    for number in range(count):
        kind = rng.random()
        if kind < 0.6:
            yield annotation(number)
        elif kind < 0.7:
            yield failure(number)
        elif kind < 0.8:
            yield annotation(rng.randrange(number + 1), id=f"f{number:015x}")
        else:
            yield annotation(number, **rng.choice(list(UNSOUND.values())))


def test_a_run_that_was_killed_anywhere_ends_like_one_that_was_not(tmp_path):
    validated(write(tmp_path, "annotate", mixed(300)))
    path = tmp_path / "validate.jsonl"
    whole, rng = path.read_bytes(), random.Random(2)
    assert b"near_duplicate" in whole
    for _ in range(20):
        path.write_bytes(whole[: rng.randrange(len(whole))])
        run("validate", tmp_path)
        assert path.read_bytes() == whole


def test_rows_that_come_later_are_added(tmp_path):
    rows = list(mixed(60))
    validated(write(tmp_path / "at_once", "annotate", rows))
    for end in (20, 20, 60):
        validated(write(tmp_path / "by_and_by", "annotate", rows[:end]))
    assert lines(tmp_path / "by_and_by", "validate") == lines(tmp_path / "at_once", "validate")


def test_other_limits_do_not_mix(tmp_path):
    validated(write(tmp_path, "annotate", [annotation(0)]))
    with pytest.raises(DataError, match=r"made with other settings \(max_words: 1500 there, 9 now\)"):
        run("validate", tmp_path, "--max-words", 9)


def test_the_table_of_reasons(tmp_path, capsys):
    validated(write(tmp_path, "annotate", [annotation(0), failure(1), annotation(2, **UNSOUND["cut_off"])]))
    assert [line.split() for line in capsys.readouterr().out.splitlines()[:3]] == [
        ["1", "of", "3", "rows", "kept"], ["1", "not_annotated"], ["1", "cut_off"],
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--language", "klingon"], "--language 'klingon': not known; give a code of ISO 639-1 such as en, or any"),
        (["--min-words", "9", "--max-words", "8"], "--min-words 9: more than --max-words 8"),
    ],
)
def test_limits_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        run("validate", write(tmp_path, "annotate", [annotation(0)]), *options)
    assert not (tmp_path / "validate.jsonl").exists()


@pytest.mark.parametrize("option", [["--similarity", "0"], ["--similarity", "1.1"], ["--min-words", "-1"]])
def test_numbers_out_of_range(tmp_path, option):
    with pytest.raises(SystemExit):
        run("validate", write(tmp_path, "annotate", [annotation(0)]), *option)


def test_nothing_to_validate(tmp_path):
    with pytest.raises(DataError, match=r"annotate.jsonl: not there; run `python -m recipe.cot annotate`"):
        run("validate", tmp_path)
    assert list(tmp_path.iterdir()) == []
