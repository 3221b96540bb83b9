"""Scoring of saved predictions, what is refused, and generation with a real vLLM."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from random_model import make_random

from data_prep.output import write_parquet
from data_prep.rows import RowRules, question_row, row_schema
from recipe.answers.json_answer import render_entities
from recipe.core.entities import DataError, Entity, Example
from recipe.core.files import fingerprint, sha256
from recipe.evaluate.__main__ import main
from recipe.evaluate.rows import COLUMNS, read_rows
from recipe.evaluate.scores import score
from recipe.evaluate.table import table

pytest.importorskip("pyarrow")

ROOT = Path(__file__).resolve().parent.parent
PARIS, LYON, ANN = Entity("Paris", "place"), Entity("Lyon", "place"), Entity("Ann", "person")
TYPES = ("person", "place")
EXAMPLES = [
    Example("Ann left Paris .", TYPES, (ANN, PARIS), "news"),
    Example("Nobody came .", TYPES, (), "news"),
    Example("Lyon , the city of Lyon", TYPES, (LYON, LYON), "wiki"),
]
GOLD = [render_entities(example.entities, "Two short words.") for example in EXAMPLES]


@pytest.fixture
def data(tmp_path):
    return write_rows(tmp_path / "eval.parquet", EXAMPLES)


def write_rows(path, examples):
    rows = [question_row(example, i, "test", RowRules()) for i, example in enumerate(examples)]
    write_parquet(path, rows, row_schema(sft=False))
    return path


def write_predictions(path, outputs):
    lines = [json.dumps({"index": index, "output": output}) for index, output in outputs]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def evaluate(data, outputs, out, *options):
    """Exit status of the command on predictions [(index, output)], or on a file."""
    file = outputs if isinstance(outputs, Path) else write_predictions(data.with_name("saved.jsonl"), outputs)
    return main(["--predictions", str(file), "--data", str(data), "--out", str(out), *options])


def refusal(capsys):
    """The one line that the command printed instead of a result."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("evaluate: ")
    assert captured.err.count("\n") == 1
    return captured.err


# ---------------------------------------------------------------------------------------------------------- scores


def test_gold_scores_one_everywhere(data, tmp_path):
    assert evaluate(data, list(enumerate(GOLD)), tmp_path / "out") == 0
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert scores["macro"] == {"published": 1, "strict": 1, "span": 1, "partial": 1, "type": 1}
    assert scores["datasets"]["news"]["strict"] == {"precision": 1, "recall": 1, "f1": 1, "low": 1, "high": 1}
    assert set(scores["datasets"]["news"]["errors"].values()) == {0}


def prf(figures):
    return figures["precision"], figures["recall"], figures["f1"]


def test_scores_by_hand(data):
    outputs = [
        render_entities([PARIS, Entity("ann", "person")]),  # strict: 1 of 2 and 2; published: 2 of 2 and 2
        "no JSON",
        render_entities([LYON], "One two three."),  # strict: 1 of 1 and 2; published: 1 of 1 and 1
    ]
    scores, _ = score(read_rows(data), outputs)
    news, wiki = scores["datasets"]["news"], scores["datasets"]["wiki"]
    assert prf(news["strict"]) == (1 / 2, 1 / 2, 1 / 2)
    assert prf(news["published"]) == (1, 1, 1)
    assert prf(wiki["strict"]) == (1, 1 / 2, 2 / 3)
    assert wiki["counts"]["strict"] == {"matched": 1, "predicted": 1, "gold": 2}
    assert (news["sentences"], news["unparsable"], wiki["unparsable"]) == (2, 1 / 2, 0)
    assert wiki["reasoning_words"] == 3
    assert scores["macro"]["published"] == 1
    assert scores["macro"]["strict"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert prf(scores["micro"]["strict"]) == (2 / 3, 2 / 4, 4 / 7)


def test_f1_is_micro_within_a_dataset_and_macro_over_datasets():
    """Two sentences with 1 of 1 and 0 of 3: 2 / (1 + 4), not the mean of 1 and 0."""
    rows = [Example("a", TYPES, (PARIS,), "d"), Example("b", TYPES, (PARIS, LYON, ANN), "d")]
    scores, _ = score(as_rows(rows), [render_entities([PARIS]), render_entities([])])
    assert scores["datasets"]["d"]["strict"]["f1"] == 2 / 5


def test_a_type_outside_the_schema_is_a_wrong_prediction():
    scores, _ = score(as_rows(EXAMPLES[:1]), [render_entities([ANN, PARIS, Entity("left", "verb")])])
    assert scores["datasets"]["news"]["strict"]["precision"] == 2 / 3


def test_lengths_are_in_tokens_where_a_tokenizer_counts():
    scores, _ = score(as_rows(EXAMPLES[:2]), GOLD[:2], lambda texts: [len(text) for text in texts])
    assert scores["datasets"]["news"]["reasoning_tokens"] == len("Two short words.")
    assert scores["datasets"]["news"]["answer_tokens_p95"] > len(render_entities([]))


def test_reasoning_that_never_ends_has_a_length_too():
    scores, _ = score(as_rows(EXAMPLES[:1]), ["<think>\nround and round and round"])
    assert scores["datasets"]["news"]["reasoning_words"] == 5
    assert scores["datasets"]["news"]["answer_words"] == 0


def test_residual_types_count_only_if_they_are_kept():
    example = Example("Ann left Paris .", (*TYPES, "misc"), (ANN, Entity("Paris", "misc")), "news")
    outputs = [render_entities([ANN, Entity("left", "misc")])]
    dropped, kept = (score(as_rows([example]), outputs, drop_else=drop)[0]["micro"]["strict"] for drop in (True, False))
    assert (prf(dropped), prf(kept)) == ((1, 1, 1), (1 / 2, 1 / 2, 1 / 2))


def test_as_many_outputs_as_rows_are_needed():
    with pytest.raises(DataError, match="2 for 3 rows"):
        score(as_rows(EXAMPLES), GOLD[:2])


def test_the_order_of_predictions_does_not_matter(data, tmp_path):
    assert evaluate(data, list(enumerate(GOLD))[::-1], tmp_path / "out") == 0
    assert json.loads((tmp_path / "out/scores.json").read_text())["macro"]["strict"] == 1


def test_the_table_shows_percentages_of_each_dataset_and_their_mean(data, tmp_path, capsys):
    evaluate(data, list(enumerate(GOLD)), tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["news", "wiki", "all,", "macro", "residual", "news,"]
    whole = ["100.00", "100.0", "100.0"]
    assert re.findall(r"[\w.]+", lines[2]) == [
        "news",
        "2",
        "of",  # the file doesn't say how many the split had
        *whole,
        *["100.00"] * 3,
        *whole,
        *["100.00"] * 2,
        "0.00",
        "3.0",
        "3",
    ]
    assert len({len(line) for line in lines[1:4]}) == 1


def test_the_table_says_what_went_wrong_and_how_residual_types_counted(data, tmp_path, capsys):
    evaluate(data, list(enumerate(["none", *GOLD[1:]])), tmp_path / "out", "--keep-else")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-3:]] == [["errors", "unparsable"], ["news", "1"], ["wiki", "0"]]
    assert lines[-6] == "residual types (else, misc, other, ...) are kept"
    assert lines[-5].startswith("news, wiki: sentences that preparation left out are not known; ")


def test_each_sentence_keeps_its_own_counts(data, tmp_path):
    evaluate(data, list(enumerate(GOLD)), tmp_path / "out")
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "out/sentences.parquet").to_pylist()
    assert [(row["index"], row["dataset"], row["strict_matched"]) for row in rows] == [
        (0, "news", 2), (1, "news", 0), (2, "wiki", 2),
    ]  # fmt: skip


def test_the_table_is_made_from_the_scores_alone(data, tmp_path, capsys):
    evaluate(data, list(enumerate(GOLD)), tmp_path / "out")
    assert table(json.loads((tmp_path / "out/scores.json").read_text())) + "\n" == capsys.readouterr().out


def test_limit_takes_the_first_rows_of_each_dataset(data, tmp_path):
    assert [row.index for row in read_rows(data, limit=1)] == [0, 2]
    assert evaluate(data, [(0, GOLD[0]), (2, GOLD[2])], tmp_path / "out", "--limit", "1") == 0


def test_rows_keep_the_file_order(data):
    rows = read_rows(data)
    assert [row.index for row in rows] == [0, 1, 2]
    assert [row.example.entities for row in rows] == [example.entities for example in EXAMPLES]
    assert rows[0].messages[0]["role"] == "user"


def test_rows_without_prompts_are_the_same_rows(data):
    assert read_rows(data, prompts=False) == [replace(row, messages=()) for row in read_rows(data)]


@pytest.mark.parametrize(
    "broken",
    [
        {"prompt": None},
        {"prompt": []},
        {"prompt": [None]},
        {"prompt": [{"role": "user", "content": None}]},
        {"data_source": None},
        {"reward_model": None},
        {"reward_model": {"style": "rule", "ground_truth": None}},
        {"reward_model": {"style": "rule", "ground_truth": "[]"}},
    ],
)
def test_a_broken_row_is_refused_with_the_same_words_with_and_without_prompts(data, tmp_path, broken):
    import pyarrow
    from pyarrow import parquet

    whole = [{name: record[name] for name in COLUMNS} for record in parquet.read_table(data).to_pylist()]
    path = tmp_path / "broken.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([*whole, whole[0] | broken]), path)
    told = []
    for prompts in (True, False):
        with pytest.raises(DataError, match=r"broken.parquet, row 3: ") as refused:
            read_rows(path, prompts=prompts)
        told.append(str(refused.value))
    assert told[0] == told[1]


def test_a_completion_that_no_tokenizer_could_have_made_is_scored(data, tmp_path):
    lone = '<think>\n\ud800\n</think>\n{"entities": {}}'
    assert evaluate(data, [(0, lone), (1, lone), (2, "")], tmp_path / "out") == 0


def as_rows(examples):
    from recipe.evaluate.rows import Row

    return [Row(i, example.dataset, ({"role": "user", "content": "?"},), example) for i, example in enumerate(examples)]


# ------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (list(enumerate(GOLD[:2])), "2 predictions for 3 rows"),
        ([], "0 predictions for 3 rows"),
        ([*enumerate(GOLD), (0, "")], "line 4: index 0 a second time (first in line 1)"),
        ([*enumerate(GOLD), (3, "")], "index 3 is not among the 3 rows"),
        ([(-1, ""), (0, ""), (1, "")], "index -1 is not among the 3 rows"),
    ],
)
def test_predictions_that_do_not_fit_the_rows(data, tmp_path, capsys, outputs, message):
    assert evaluate(data, outputs, tmp_path / "out") == 2
    assert message in refusal(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line",
    ['{"index": 1, "outp', "[]", '{"index": 1}', '{"index": "1", "output": ""}', '{"index": true, "output": ""}'],
)
def test_a_broken_line_is_named(data, tmp_path, capsys, line):
    file = write_predictions(tmp_path / "saved.jsonl", [(0, GOLD[0])])
    file.write_text(file.read_text() + line + "\n")
    assert evaluate(data, file, tmp_path / "out") == 2
    assert "saved.jsonl, line 2: " in refusal(capsys)


def test_a_line_that_is_not_utf8_is_named(data, tmp_path, capsys):
    (tmp_path / "saved.jsonl").write_bytes(b'{"index": 0, "output": "\xff"}\n')
    assert evaluate(data, tmp_path / "saved.jsonl", tmp_path / "out") == 2
    assert "line 1: not JSON (UnicodeDecodeError)" in refusal(capsys)


def test_missing_files_are_named(data, tmp_path, capsys):
    assert evaluate(tmp_path / "none.parquet", [], tmp_path / "out") == 2
    assert "none.parquet: no such file" in refusal(capsys)
    assert evaluate(data, tmp_path / "none.jsonl", tmp_path / "out") == 2
    assert "none.jsonl: no such file" in refusal(capsys)


def test_data_that_is_no_parquet_file(tmp_path, capsys):
    (tmp_path / "eval.parquet").write_text("text")
    assert evaluate(tmp_path / "eval.parquet", [], tmp_path / "out") == 2
    assert "not a Parquet file" in refusal(capsys)


def test_data_with_other_columns(tmp_path, capsys):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"data_source": ["news"], "messages": ["x"]}), tmp_path / "sft.parquet")
    assert evaluate(tmp_path / "sft.parquet", [], tmp_path / "out") == 2
    assert "no column prompt, reward_model; write it with: python data_prep/to_parquet.py eval" in refusal(capsys)


def test_data_without_rows(tmp_path, capsys):
    assert evaluate(write_rows(tmp_path / "eval.parquet", []), [], tmp_path / "out") == 2
    assert "no rows" in refusal(capsys)


def test_a_row_with_a_broken_ground_truth_is_named(tmp_path, capsys):
    rows = [question_row(example, 0, "test", RowRules()) for example in EXAMPLES]
    rows[1]["reward_model"]["ground_truth"] = "{}"
    write_parquet(tmp_path / "eval.parquet", rows, row_schema(sft=False))
    assert evaluate(tmp_path / "eval.parquet", list(enumerate(GOLD)), tmp_path / "out") == 2
    assert "eval.parquet, row 1: ground truth" in refusal(capsys)


def test_out_that_is_a_file(data, tmp_path, capsys):
    assert evaluate(data, list(enumerate(GOLD)), data) == 2
    assert "--out names a folder" in refusal(capsys)


@pytest.mark.parametrize("make", [False, True])
def test_a_model_that_is_none(data, tmp_path, capsys, make):
    if make:
        (tmp_path / "model").mkdir()
    model = str(tmp_path / "model")
    assert main([model, "--data", str(data), "--out", str(tmp_path / "out")]) == 2
    assert model in refusal(capsys)
    assert not (tmp_path / "out").exists()


def test_neither_model_nor_predictions(data, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["--data", str(data), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2


# ------------------------------------------------------------------------------------------- predictions and origin


def write_manifest(saved, data, model="m" * 64):
    """The manifest that recipe.evaluate leaves beside predictions of those rows."""
    settings = {"model": model, "data": sha256(data), "decoding": "greedy"}
    made = {"settings": settings, "versions": {"model": "outputs/model", "data": str(data)}}
    saved.with_name(f"{saved.stem}.manifest.json").write_text(json.dumps(made), encoding="utf-8")


def test_predictions_of_another_file_are_refused_by_their_manifest(data, tmp_path, capsys):
    """As many rows in both, so that nothing but the manifest tells: F1 would be 0."""
    other = write_rows(tmp_path / "other.parquet", EXAMPLES[::-1])
    saved = write_predictions(tmp_path / "saved.jsonl", enumerate(GOLD[::-1]))
    write_manifest(saved, other)
    assert evaluate(data, saved, tmp_path / "out") == 2
    line = refusal(capsys)
    assert f"made from {other} " in line
    assert f"not from {data} " in line
    assert not (tmp_path / "out").exists()
    assert evaluate(other, saved, tmp_path / "out") == 0


def test_the_scores_without_overlap_refuse_them_too(data, tmp_path, capsys):
    from recipe.overlap import main as overlap

    other = write_rows(tmp_path / "other.parquet", EXAMPLES[::-1])
    saved = write_predictions(tmp_path / "saved.jsonl", enumerate(GOLD[::-1]))
    write_manifest(saved, other)
    assert overlap([str(data), str(data), "--predictions", str(saved)]) == 2
    assert f"made from {other} " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": 5}'])
def test_a_manifest_that_can_not_be_read_is_no_permission(data, tmp_path, capsys, text):
    saved = write_predictions(tmp_path / "saved.jsonl", enumerate(GOLD))
    (tmp_path / "saved.manifest.json").write_text(text)
    assert evaluate(data, saved, tmp_path / "out") == 2
    assert "saved.manifest.json: does not say how saved.jsonl was made" in refusal(capsys)


def test_a_manifest_of_another_tool_says_nothing_of_the_rows(data, tmp_path):
    saved = write_predictions(tmp_path / "saved.jsonl", enumerate(GOLD))
    (tmp_path / "saved.manifest.json").write_text('{"settings": {"temperature": 0}}')
    assert evaluate(data, saved, tmp_path / "out") == 0


def test_scores_are_not_said_to_be_of_a_model_that_did_not_make_the_predictions(data, tmp_path, capsys):
    """The model named beside --predictions counts their tokens, and stands in scores.json and in the report's title."""
    tiny = ROOT / "recipe" / "tiny_model" / "base"
    saved = write_predictions(tmp_path / "saved.jsonl", enumerate(GOLD))
    write_manifest(saved, data)
    assert evaluate(data, saved, tmp_path / "out", str(tiny)) == 2
    assert f"made by outputs/model, not by {tiny}" in refusal(capsys)
    write_manifest(saved, data, fingerprint(tiny))
    assert evaluate(data, saved, tmp_path / "out", str(tiny)) == 0


def test_saved_answers_can_not_be_constrained(data, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--constrained", "--predictions", str(tmp_path / "x.jsonl"), "--data", str(data), "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert "those of --predictions are as they are" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ with vLLM

OPTIONS = ("--max-new-tokens", "24", "--dtype", "float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_random(tmp_path_factory.mktemp("tiny") / "model", hidden_size=128, layers=2)


def start(model, data, out, *options):
    command = [sys.executable, "-m", "recipe.evaluate", str(model), "--data", str(data), "--out", str(out), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)


def run(*arguments):
    process = start(*arguments)
    try:
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    return process.returncode, out, err


def saved(out):
    path = out / "predictions.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def group_members(group):
    """Processes, zombies apart, of a process group or session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if str(group) in (pgrp, session) and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.vllm
def test_generated_predictions_are_saved_scored_and_resumed(model, data, tmp_path, capsys):
    out = tmp_path / "out"
    status, printed, err = run(model, data, out, *OPTIONS)
    assert status == 0, err
    whole = sorted(saved(out), key=lambda line: line["index"])
    assert [line["index"] for line in whole] == [0, 1, 2]
    assert all(1 <= line["output_tokens"] <= 24 for line in whole)
    assert "\nmacro average " in printed
    scores = json.loads((out / "scores.json").read_text())
    assert "reasoning_tokens" in scores["datasets"]["news"]

    # A kill in the middle of a line: what stands whole is kept, the rest is made again, alike.
    path = out / "predictions.jsonl"
    first, second = path.read_text(encoding="utf-8").splitlines(keepends=True)[:2]
    path.write_text(first + second[:20], encoding="utf-8")
    status, printed_again, err = run(model, data, out, *OPTIONS)
    assert status == 0, err
    assert path.read_text(encoding="utf-8").startswith(first)
    assert sorted(saved(out), key=lambda line: line["index"]) == whole
    assert printed_again == printed

    # The saved file alone gives the same table, and other settings do not mix with it.
    shared = [str(model), "--data", str(data), "--out"]
    assert main([*shared, str(tmp_path / "again"), "--predictions", str(path)]) == 0
    assert capsys.readouterr().out == printed
    before = path.read_bytes()
    assert main([*shared, str(out), "--max-new-tokens", "25", "--dtype", "float32"]) == 2
    refused = capsys.readouterr()
    assert refused.out == ""
    assert "made with other settings (max_new_tokens: 24 there, 25 now)" in refused.err
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.vllm
def test_constrained_answers_of_a_random_model_can_be_read_and_do_not_mix_with_free_ones(model, data, tmp_path):
    out = tmp_path / "out"
    status, _, err = run(model, data, out, "--constrained", "--max-new-tokens", "200", "--dtype", "float32")
    assert status == 0, err
    scores = json.loads((out / "scores.json").read_text())
    assert scores["source"]["constrained"] is True
    assert [one["unparsable"] for one in scores["datasets"].values()] == [0] * len(scores["datasets"])
    status, _, err = run(model, data, out, "--max-new-tokens", "200", "--dtype", "float32")
    assert status == 2
    assert "decoding: 'greedy, constrained' there, 'greedy' now" in err


@pytest.mark.slow
@pytest.mark.vllm
def test_ctrl_c_keeps_what_is_there_and_leaves_no_process(model, tmp_path):
    data, out = write_rows(tmp_path / "many.parquet", EXAMPLES * 300), tmp_path / "out"
    process = start(model, data, out, "--batch", "4", *OPTIONS)
    try:
        deadline = time.monotonic() + 600
        while len(saved(out)) < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, printed) == (130, ""), err
    assert "the same command goes on from here" in err
    assert [line for line in err.splitlines() if not line.startswith(("completions: ", "evaluate: "))] == []
    assert (out / "log.txt").read_text().startswith("$ ")
    assert group_members(process.pid) == []
    assert 5 <= len(saved(out)) < 900
    assert max(Counter(line["index"] for line in saved(out)).values()) == 1
    assert not (out / "scores.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-model-len", "100000"), "tokens at most"),
        (("--max-model-len", "64", "--max-new-tokens", "64"), "leaves no room for a prompt"),
        (("--max-model-len", "40"), "eval.parquet, row 0: its prompt of "),
    ],
)
def test_lengths_that_do_not_fit_are_refused_before_vllm_starts(model, data, tmp_path, capsys, options, message):
    assert main([str(model), "--data", str(data), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_runs_do_not_write_one_file(model, data, tmp_path, capsys):
    import fcntl

    (tmp_path / "out").mkdir()
    with (tmp_path / "out/predictions.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main([str(model), "--data", str(data), "--out", str(tmp_path / "out"), *OPTIONS]) == 2
    assert "another process is writing it" in capsys.readouterr().err


def test_imports_nothing_heavy_to_score_a_file():
    code = "import sys, recipe.evaluate; print([m for m in ('torch', 'vllm', 'verl', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_shows_examples():
    environment = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "recipe.evaluate", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    assert "python -m recipe.evaluate --predictions saved.jsonl" in done.stdout
