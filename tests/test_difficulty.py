"""How hard rows are for a model, which of them are kept, and the sampling with a real vLLM."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from random_model import make_random

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.output import check_own, read_manifest
from recipe.difficulty.__main__ import main, table
from recipe.difficulty.output import Scoring, read_sampled, write_rows, write_train
from recipe.difficulty.scores import Difficulty, measure
from recipe.evaluate.rows import read_rows
from recipe.generate.samples import Sample, journal, read_samples, seed_of

pytest.importorskip("pyarrow")

ROOT = Path(__file__).resolve().parent.parent
ANN, PARIS = Entity("Ann", "person"), Entity("Paris", "place")
TYPES = ("person", "place")
EXAMPLES = [
    Example("Ann left Paris .", TYPES, (ANN, PARIS), "news"),
    Example("Nobody came .", TYPES, (), "news"),
    Example("Ann left .", TYPES, (ANN,), "wiki"),
]
BOTH, ONE, NONE, BAD = render_entities([ANN, PARIS]), render_entities([ANN]), render_entities([]), "no JSON"
SETTINGS = {"model": "m", "data": "d", "temperature": 1.0, "seed": 42}


def write_data(folder, examples=EXAMPLES):
    """A GRPO file, with the manifest that data_prep writes beside it."""
    folder.mkdir(parents=True)
    path = folder / "train.parquet"
    rows = [question_row(example, i, "train", RowRules()) for i, example in enumerate(examples)]
    write_parquet(path, rows, row_schema(sft=False))
    told = {"command": "grpo", "arguments": {"answer_format": "json"}, "wordings": {"news": {"person": "Who?"}}}
    (folder / "manifest.json").write_text(json.dumps({"train.parquet": told}))
    return path


def save(out, *outputs, settings=SETTINGS):
    """A file of samples: of each row a list of outputs."""
    with journal(out, settings, {"model": "models/sft"}) as (_, add):
        for index, of_row in enumerate(outputs):
            for number, output in enumerate(of_row):
                add(Sample(index, number, output, len(output), "stop"))
    return out


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "grpo")


def hard(*f1, **more):
    return Difficulty(0, "news", f1, **{"unreadable": 0, "silent": 0, "cut": 0, "gold_empty": False, **more})


# ---------------------------------------------------------------------------------------------------------- one row


def test_mean_and_standard_deviation_of_a_row():
    row = hard(1.0, 0.0, 0.5, 0.5)
    assert (row.mean, row.spread) == (0.5, pytest.approx(0.125**0.5))


@pytest.mark.parametrize(
    ("f1", "options", "reason"),
    [
        ((0.0, 0.0), {}, "flat at 0"),
        ((1.0, 1.0), {}, "flat at 1"),
        ((2 / 3, 2 / 3), {}, "flat between"),
        ((0.0, 2 / 3), {}, None),
        ((0.5, 0.6), {"min_spread": 0.1}, "spread too small"),
        ((0.5, 0.8), {"min_spread": 0.1}, None),
        ((1.0, 0.9), {"max_mean": 0.9}, "mean too high"),
        ((1.0, 0.8), {"max_mean": 0.9}, None),
        ((1.0, 1.0), {"max_mean": 0.9}, "flat at 1"),
    ],
)
def test_rows_without_spread_and_rows_over_a_limit_are_dropped(f1, options, reason):
    assert hard(*f1).dropped(**options) == reason


def test_samples_are_scored_as_the_reward_scores_them(data, tmp_path):
    out = save(tmp_path / "out", [BOTH, ONE], [NONE, ONE], [BAD, NONE])
    rows = measure(out, read_rows(data), 2)
    assert [row.f1 for row in rows] == [(1, 2 / 3), (1, 0), (0, 0)]
    assert [(row.unreadable, row.silent, row.gold_empty) for row in rows] == [
        (0, 0, False),
        (0, 1, True),
        (1, 1, False),
    ]


def test_the_rule_of_f1_is_the_one_that_is_asked_for(data, tmp_path):
    out = save(tmp_path / "out", [render_entities([Entity("the ann", "person"), PARIS])], [NONE], [ONE])
    rows = read_rows(data)
    assert [measure(out, rows, 1, matching)[0].f1 for matching in ("strict", "published")] == [(0.5,), (1.0,)]


def test_of_more_samples_than_are_asked_for_the_first_count(data, tmp_path):
    out = save(tmp_path / "out", [BOTH, ONE], [NONE, ONE], [ONE, NONE])
    assert [row.f1 for row in measure(out, read_rows(data), 1)] == [(1,), (1,), (1,)]


def test_samples_that_are_missing_are_counted(data, tmp_path):
    out = save(tmp_path / "out", [BOTH, ONE], [NONE, ONE], [ONE])
    with pytest.raises(DataError, match="1 of 6 samples are missing"):
        measure(out, read_rows(data), 2)


def test_a_question_about_one_type_is_a_row(tmp_path):
    asked = replace(EXAMPLES[0], types=("place",), entities=(PARIS,), format="entity_tags")
    data = write_data(tmp_path / "grpo", [asked])
    out = save(tmp_path / "out", ["<entity>Paris</entity>", "<entity></entity>"])
    assert measure(out, read_rows(data), 2)[0].f1 == (1, 0)


# ----------------------------------------------------------------------------------------------------------- folder


def written(data, out, samples=2, **options):
    """The rows that are kept, and the number that is returned."""
    rows, scoring = read_rows(data), Scoring.of(out, data, samples, "strict")
    difficulties = measure(out, rows, samples)
    write_rows(out, data, difficulties, scoring)
    return write_train(out, data, difficulties, scoring, **{"min_spread": 0.0, "max_mean": 1.0, **options})


def test_the_rows_that_are_kept_have_the_columns_of_their_file(data, tmp_path):
    from pyarrow import parquet

    out = save(tmp_path / "out", [BOTH, ONE], [NONE, NONE], [BAD, ONE])
    assert written(data, out) == 2
    given, kept = parquet.read_table(data), parquet.read_table(out / "train.parquet")
    assert kept.schema == given.schema
    assert kept.to_pylist() == given.take([0, 2]).to_pylist()
    assert [row.index for row in read_rows(out / "train.parquet")] == [0, 1], "a file that recipe.difficulty can read"


def test_the_manifest_says_how_rows_were_chosen_and_keeps_what_holds_of_the_rows(data, tmp_path):
    out = save(tmp_path / "out", [BOTH, ONE], [NONE, NONE], [BAD, ONE])
    written(data, out)
    entry = read_manifest(out)["train.parquet"]
    assert entry["rows"] == 2
    assert entry["datasets"]["news"] == {"records": 2, "written": 1, "dropped": {"flat at 1": 1}}
    assert entry["sampling"] == {**SETTINGS, "samples": 2, "matching": "strict"}
    assert (entry["arguments"], entry["wordings"]) == ({"answer_format": "json"}, {"news": {"person": "Who?"}})


def test_the_table_of_rows_has_each_sampled_row(data, tmp_path):
    from pyarrow import parquet

    out = save(tmp_path / "out", [BOTH, ONE], [NONE, NONE], [BAD, ONE])
    written(data, out)
    table = parquet.read_table(out / "rows.parquet").drop_columns(["prompt", "reward_model", "extra_info"])
    assert table.to_pylist()[1:] == [
        {"data_source": "news", "ability": "ner", "index": 1, "samples": 2, "mean_f1": 1.0, "spread": 0.0,
         "unreadable": 0.0, "names_nothing": 1.0, "gold_empty": True},
        {"data_source": "wiki", "ability": "ner", "index": 2, "samples": 2, "mean_f1": 0.5, "spread": 0.5,
         "unreadable": 0.5, "names_nothing": 0.0, "gold_empty": False},
    ]  # fmt: skip
    rows, scoring = read_sampled(out)
    assert [row.example for row in rows] == [row.example for row in read_rows(data)]
    assert (scoring.samples, scoring.matching, scoring.sampling) == (2, "strict", SETTINGS)


def test_rows_that_are_all_flat_are_refused_and_told_apart(data, tmp_path):
    out = save(tmp_path / "out", [BOTH, BOTH], [NONE, NONE], [BAD, NONE])
    with pytest.raises(DataError, match=r"no row is kept of 3 \(2 flat at 1, 1 flat at 0\)"):
        written(data, out)
    assert (out / "rows.parquet").exists()
    assert not (out / "train.parquet").exists()


def test_a_table_of_other_samples_than_the_folder_holds_is_refused(data, tmp_path):
    out = save(tmp_path / "out", [BOTH, ONE], [NONE, NONE], [BAD, ONE])
    written(data, out)
    (out / "samples.jsonl").unlink()
    save(out, [BOTH, ONE], settings={**SETTINGS, "model": "other"})
    with pytest.raises(DataError, match="of other samples than"):
        read_sampled(out)


def test_what_another_command_wrote_is_not_overwritten(data):
    with pytest.raises(DataError, match="give another --out"):
        check_own(data.parent, "train.parquet", "difficulty")


def test_the_summary_names_why_rows_are_dropped():
    rows = [hard(0.0, 0.0, unreadable=1), hard(1.0, 1.0, silent=2), hard(0.5, 1.0), hard(0.9, 1.0)]
    head, line = table(rows, max_mean=0.9).splitlines()
    assert head.split("|")[0].split("  ")[-4:] == ["flat at 0", "flat at 1", "flat between", "mean too high "]
    assert line.split() == ["news", "4", "1", "1", "1", "0", "1", "|", "67.50", "7.50", "|", "12.50", "25.00"]


# ---------------------------------------------------------------------------------------------------------- samples


def test_seeds_depend_on_seed_row_and_sample():
    seeds = {seed_of(*key) for key in [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 11, 1), (11, 1, 1), (1, 1, 11)]}
    assert len(seeds) == 7
    assert all(0 <= seed < 2**56 for seed in seeds)
    assert seed_of(1, 2, 3) == seed_of(1, 2, 3)


def test_samples_come_back_and_a_line_that_was_cut_short_does_not(tmp_path):
    out = save(tmp_path, [BOTH, "é\n"])
    path = out / "samples.jsonl"
    path.write_bytes(path.read_bytes() + b'{"index": 0, "sam')
    assert [(sample.key, sample.output) for sample in read_samples(path)] == [((0, 0), BOTH), ((0, 1), "é\n")]
    with journal(out, SETTINGS, {}) as (done, add):
        assert done == {(0, 0), (0, 1)}
        add(Sample(0, 2, "", 0, "stop"))
    assert len(list(read_samples(path))) == 3


@pytest.mark.parametrize("line", ["{}", "[]", "no JSON", '{"index": 0, "output": "", "finish_reason": null}'])
def test_a_line_that_is_no_sample_is_named(tmp_path, line):
    save(tmp_path, [BOTH])
    path = tmp_path / "samples.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match="line 2: no sample"):
        list(read_samples(path))


def test_samples_of_another_model_are_refused(tmp_path):
    save(tmp_path, [BOTH])
    with pytest.raises(DataError, match="made with other settings"), journal(tmp_path, {**SETTINGS, "model": "n"}, {}):
        pass


# ---------------------------------------------------------------------------------------------------------- command


def refusal(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("difficulty: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_what_is_no_file_for_grpo_is_refused(data, tmp_path, capsys):
    from pyarrow import parquet

    out = ["--out", str(tmp_path / "out")]
    assert main(["model", str(tmp_path / "none.parquet"), *out]) == 2
    assert "no such file; write it with: python data_prep/to_parquet.py grpo" in refusal(capsys)
    for number, dropped in enumerate(("reward_model", "extra_info")):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(parquet.read_table(data).drop_columns([dropped]), path)
        assert main(["model", str(path), *out]) == 2
        assert f"no column {dropped}" in refusal(capsys)
    assert not (tmp_path / "out").exists()


def test_a_row_without_its_ground_truth_is_named(data, tmp_path, capsys):
    import pyarrow as pa
    from pyarrow import parquet

    rows = parquet.read_table(data).to_pylist()
    rows[1]["reward_model"]["ground_truth"] = "none"
    parquet.write_table(pa.Table.from_pylist(rows), data)
    assert main(["model", str(data), "--out", str(tmp_path / "out")]) == 2
    assert "train.parquet, row 1: ground truth: 'none' is not what" in refusal(capsys)


def test_a_model_that_is_none_and_the_folder_of_the_data_are_refused(data, tmp_path, capsys):
    assert main([str(tmp_path), str(data), "--out", str(tmp_path / "out")]) == 2
    assert "no config.json" in refusal(capsys)
    assert main([str(tmp_path), str(data), "--out", str(data.parent)]) == 2
    assert "give another --out" in refusal(capsys)


@pytest.mark.parametrize("options", [("--samples", "1"), ("--temperature", "0"), ("--max-mean", "1.5")])
def test_options_out_of_range_are_refused(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["model", "data.parquet", "--out", "out", *options])
    assert stopped.value.code == 2
    assert options[0] in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- vLLM


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_random(tmp_path_factory.mktemp("model"))


def sampled(model, data, out, *options):
    """Status and output of the command in a process of its own, and its samples by key."""
    options = ["--max-new-tokens", "4", "--dtype", "float32", *options]
    command = [sys.executable, "-m", "recipe.difficulty", model, data, "--out", out, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=600, env=environment
    )
    return done, {sample.key: sample.output for sample in read_samples(out / "samples.jsonl")}


@pytest.mark.slow
@pytest.mark.vllm
def test_samples_are_drawn_once_with_a_seed_each_and_can_be_repeated(model, tmp_path):
    # More prompts than a step of vLLM takes: a part of one in a step would stop a draw with a seed on a CPU.
    long = [
        replace(EXAMPLES[0], sentence=f"Ann left Paris {number} times . " + "She left . " * 40) for number in range(12)
    ]
    data, out = write_data(tmp_path / "grpo", long), tmp_path / "out"
    done, first = sampled(model, data, out, "--samples", "3")
    assert done.returncode == 2, "a random model's answers are all unreadable"
    assert "no row is kept of 12 (12 flat at 0)" in done.stderr
    assert set(first) == {(index, number) for index in range(12) for number in range(3)}
    assert len(set(first.values())) > 12

    # After a kill the rest is drawn alike; and more are added to what is there.
    path = out / "samples.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:20]) + lines[20][:9], encoding="utf-8")
    _, again = sampled(model, data, out, "--samples", "4", "--batch", "8")
    assert {key: output for key, output in again.items() if key in first} == first
    assert path.read_text(encoding="utf-8").startswith("".join(lines[:20]))
    assert len(again) == 48
