"""Comparing scores: of the same sentences alone, and with each difference split by what could be read."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe import answers
from recipe.answers.queries import split
from recipe.compare import main
from recipe.core.entities import Entity, Example
from recipe.evaluate.__main__ import main as evaluate
from recipe.evaluate.difference import PARTS, part_of, split_difference

ANN, PARIS, LYON = Entity("Ann", "person"), Entity("Paris", "place"), Entity("Lyon", "place")
TYPES = ("person", "place")
EXAMPLES = (
    Example("Ann left Paris .", TYPES, (ANN, PARIS), "news"),
    Example("Ann saw Lyon .", TYPES, (ANN, LYON), "news"),
    Example("Paris is far .", TYPES, (PARIS,), "news"),
    Example("Lyon and Paris", TYPES, (LYON, PARIS), "wiki"),
)
BROKEN = "no answer"


def write_rows(path, examples, rules=None):
    rules = rules or RowRules()
    asked = [question for example in examples for question in rules.asked(example)]
    rows = [question_row(example, i, "test", rules) for i, example in enumerate(asked)]
    write_parquet(path, rows, row_schema(sft=False))
    return path, asked


def score(folder, outputs, examples=EXAMPLES, *options, rules=None, data=None):
    """A folder of scores: for each row a list of entities, or a completion."""
    data, asked = write_rows(data or folder.with_suffix(".parquet"), examples, rules)
    texts = [
        output if isinstance(output, str) else answers.render_answer(replace(example, entities=tuple(output)))
        for example, output in zip(asked, outputs, strict=True)
    ]
    saved = folder.with_suffix(".jsonl")
    saved.write_text("".join(json.dumps({"index": i, "output": text}) + "\n" for i, text in enumerate(texts)))
    options = ["--predictions", str(saved), "--data", str(data), "--out", str(folder), *options]
    assert evaluate(options) == 0
    return str(folder)


def gold(examples=EXAMPLES):
    return [example.entities for example in examples]


def refused(capsys, *folders):
    capsys.readouterr()
    assert main(list(folders)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def shown(capsys, *folders):
    capsys.readouterr()
    assert main(list(folders)) == 0
    return capsys.readouterr().out


def row_of(text, title):
    """The cells of a line of the split."""
    line = next(line for line in text.splitlines() if line.startswith(title))
    return line.removeprefix(title).replace("|", " ").split()


# ----------------------------------------------------------------------------------------------------- same sentences


def test_other_sentences_with_as_many_entities_are_refused_by_both_names(tmp_path, capsys):
    """Index and number of gold entities agree in every row: only the data's digest tells."""
    others = tuple(replace(example, sentence=f"Then {example.sentence}") for example in EXAMPLES)
    folders = score(tmp_path / "a", gold()), score(tmp_path / "b", gold(others), others)
    line = refused(capsys, *folders)
    assert f"{tmp_path / 'a.parquet'} (sha256 " in line
    assert f"{tmp_path / 'b.parquet'} (sha256 " in line


def test_other_gold_for_the_same_sentences_is_refused(tmp_path, capsys):
    others = (replace(EXAMPLES[0], entities=(ANN, Entity("left", "place"))), *EXAMPLES[1:])
    folders = score(tmp_path / "a", gold()), score(tmp_path / "b", gold(others), others)
    assert "evaluate both on one file" in refused(capsys, *folders)


def test_another_limit_is_refused(tmp_path, capsys):
    one = EXAMPLES[:1]  # so that both have the same sentences
    data = tmp_path / "eval.parquet"
    folders = (
        score(tmp_path / "a", gold(one), one, data=data),
        score(tmp_path / "b", gold(one), one, "--limit", "1", data=data),
    )
    line = refused(capsys, *folders)
    assert f"{folders[1]}: scored with limit 1, {folders[0]} with limit None" in line


def test_residual_types_dropped_in_one_alone_are_refused(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    folders = (
        score(tmp_path / "a", gold(), data=data),
        score(tmp_path / "b", gold(), EXAMPLES, "--keep-else", data=data),
    )
    assert "scored with drop_else False" in refused(capsys, *folders)


@pytest.mark.parametrize("name", ["bio", "entity_tags"])
def test_the_same_sentences_asked_in_another_format_are_compared_and_that_is_said(tmp_path, capsys, name):
    rules = RowRules(name)
    right = gold(split(EXAMPLES[0]) and [question for example in EXAMPLES for question in rules.asked(example)])
    folders = score(tmp_path / "json", gold()), score(tmp_path / name, right, rules=rules)
    text = shown(capsys, *folders)
    assert f"{tmp_path / name}.parquet" in text
    assert "the same sentences and gold" in text


def test_sentences_that_are_no_longer_those_of_the_scores_are_refused(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    folders = [score(tmp_path / name, gold(), data=data) for name in ("a", "b")]
    path = tmp_path / "b" / "sentences.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("strict_matched"), "strict_matched", [[0.0] * 4]), path)
    assert f"{path}: not the sentences that" in refused(capsys, *folders)


# ------------------------------------------------------------------------------------------------------------- split


def test_a_difference_is_split_into_read_repaired_and_broken(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    first = score(tmp_path / "sft", [[ANN, PARIS], BROKEN, [PARIS], [LYON]], data=data)
    second = score(tmp_path / "grpo", [[ANN], [ANN, LYON], BROKEN, [LYON]], data=data)
    text = shown(capsys, first, second)
    # sentences, precision, recall and F1 of sft, those of grpo
    assert row_of(text, "read in both")[:7] == ["2", "100.0", "75.0", "85.7", "100.0", "50.0", "66.7"]
    assert row_of(text, "repaired")[:7] == ["1", "-", "0.0", "0.0", "100.0", "100.0", "100.0"]
    assert row_of(text, "broken")[:7] == ["1", "100.0", "100.0", "100.0", "-", "0.0", "0.0"]
    assert row_of(text, "unread in both") == ["0"]
    assert row_of(text, "all ")[:1] == ["4"]


def test_the_parts_add_up_to_the_difference_that_is_printed(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    first = score(tmp_path / "sft", [[ANN, PARIS], BROKEN, [PARIS], [LYON]], data=data)
    second = score(tmp_path / "grpo", [[ANN], [ANN, LYON], BROKEN, [LYON, PARIS]], data=data)
    text = shown(capsys, first, second)
    points = [float(row_of(text, part)[7]) for part in ("read in both", "repaired", "broken")]
    whole = float(text.split("grpo - sft: ")[1].split()[0])
    assert sum(points) == pytest.approx(whole, abs=0.1)
    assert float(row_of(text, "all ")[7]) == whole


def test_a_gain_by_readable_answers_alone_is_none_where_both_can_be_read(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    folders = [
        score(tmp_path / "sft", [[ANN, PARIS], BROKEN, BROKEN, [LYON]], data=data),
        score(tmp_path / "grpo", [[ANN, PARIS], [ANN, LYON], [PARIS], [LYON]], data=data),
    ]
    text = shown(capsys, *folders)
    assert row_of(text, "read in both")[7:] == ["+0.0"]
    assert row_of(text, "repaired")[7:] == [text.split("grpo - sft: ")[1].split()[0]]


def test_scores_that_do_not_say_what_could_be_read_are_to_be_made_again(tmp_path, capsys):
    """As recipe.evaluate wrote them before."""
    data = tmp_path / "eval.parquet"
    folders = [score(tmp_path / name, gold(), data=data) for name in ("a", "b")]
    for name in ("a", "b"):
        path, scores = tmp_path / name / "sentences.parquet", tmp_path / name / "scores.json"
        pq.write_table(pq.read_table(path).drop_columns(["unparsable", "digest"]), path)
        told = json.loads(scores.read_text())
        del told["source"]["sentences_sha256"]
        told["source"] |= {"model": "models/sft", "protocol": "zero_shot_7"}
        scores.write_text(json.dumps(told))
    text = shown(capsys, *folders)
    assert "b - a: +0.0 points" in text
    again = f"python -m recipe.evaluate models/sft --predictions {tmp_path}/a.jsonl --data {data} "
    again += f"--protocol zero_shot_7 --out {folders[0]}"
    assert again in text
    assert "read in both" not in text


def test_scores_of_other_rules_are_compared_and_that_is_said(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    folders = [score(tmp_path / name, gold(), data=data) for name in ("a", "b")]
    assert "other rules" not in shown(capsys, *folders)
    for number, name in enumerate(("a", "b")):
        path = tmp_path / name / "scores.json"
        scores = json.loads(path.read_text())
        del scores["source"]["rules"]  # as before there was a second edition
        path.write_text(json.dumps(scores))
        text = shown(capsys, *folders)
        assert (f"note: {folders[0]}: scored by other rules than these" in text) == (number == 0)
        assert f"{folders[1]}: scored by" not in text  # both of one edition: nothing to say


def test_a_sentence_of_which_one_question_could_not_be_read_is_not_read_in_both(tmp_path, capsys):
    rules, data = RowRules("entity_tags"), tmp_path / "eval.parquet"
    right = gold([question for example in EXAMPLES for question in rules.asked(example)])
    broken = [BROKEN, *right[1:]]
    folders = (
        score(tmp_path / "a", broken, rules=rules, data=data),
        score(tmp_path / "b", right, rules=rules, data=data),
    )
    text = shown(capsys, *folders)
    assert row_of(text, "repaired")[0] == "1"
    assert row_of(text, "read in both")[0] == "3"


def test_more_than_two_are_each_split_against_the_first(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    folders = [score(tmp_path / name, gold(), data=data) for name in "abc"]
    assert shown(capsys, *folders).count("\nread in both") == 2


def test_folders_of_one_name_are_told_apart(tmp_path, capsys):
    data = tmp_path / "eval.parquet"
    folders = []
    for name in ("sft", "grpo"):
        (tmp_path / name).mkdir()
        folders.append(score(tmp_path / name / "scores", gold(), data=data))
    assert f"{folders[1]} - {folders[0]}: +0.0 points" in shown(capsys, *folders)


def test_the_points_add_up_whatever_the_answers_and_depend_on_no_order():
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = int(rng.integers(1, 40))
        datasets = rng.choice(["a", "b", "c"], size)
        gold_counts = rng.integers(0, 4, size)
        unread = rng.integers(0, 2, (2, size)).astype(bool)
        sides = []
        for side in unread:
            predicted = np.where(side, 0, rng.integers(0, 4, size))
            matched = np.minimum(rng.integers(0, 4, size), np.minimum(predicted, gold_counts))
            sides.append(np.stack([matched, predicted, gold_counts], axis=1).astype(float))
        parts = split_difference(datasets, sides[0], sides[1], part_of(*unread))
        swapped = split_difference(datasets, sides[1], sides[0], part_of(*unread))
        assert sum(part.points for part in parts) == pytest.approx(
            _macro(datasets, sides[1]) - _macro(datasets, sides[0])
        )
        assert [part.points for part in parts] == pytest.approx([-part.points for part in swapped])
        assert [part.name for part in parts] == list(PARTS)
        assert sum(part.sentences for part in parts) == size
        assert parts[3].points == pytest.approx(0)  # neither side names anything


def _macro(datasets, counts):
    from recipe.evaluate.intervals import f1_of

    return np.mean([f1_of(counts[datasets == name].sum(axis=0)) for name in sorted(set(datasets))])
