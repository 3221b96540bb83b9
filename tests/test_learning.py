"""What GRPO is worth: figures of hand-made scores, costs and budgets of hand-made runs, and the steps of the script."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from test_compare import ANN, BROKEN, LYON, score, write_rows
from test_readme import help_for, options

from recipe.answers import parse
from recipe.core.entities import DataError, Entity, Example
from recipe.evaluate.intervals import holm, interval, two_level_differences
from recipe.evaluate.rows import read_rows
from recipe.learning import budget, gold
from recipe.learning.__main__ import main
from recipe.learning.costs import cost
from recipe.train.config import compose

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = tuple(Example(f"Ann met number {i} .", ("person", "place"), (ANN,), "news") for i in range(40))


@pytest.fixture
def scored(tmp_path):
    """`scored(1, "sft", answers)`: scores of a cell and a seed, an answer for each of SENTENCES; the folder of all.

    Seed None is the base's.
    """

    def write(seed, cell, outputs, test="in_domain"):
        folder = (tmp_path / f"seed_{seed}" if seed else tmp_path) / "scores" / cell / test
        folder.parent.mkdir(parents=True, exist_ok=True)
        score(folder, outputs, SENTENCES, data=tmp_path / f"{test}.parquet")
        return tmp_path

    return write


def told(folder, capsys, *more):
    """What the JSON file and the table say."""
    capsys.readouterr()
    assert main([str(folder), "--json", str(folder / "told.json"), *more]) == 0
    return json.loads((folder / "told.json").read_text()), capsys.readouterr().out


def right(number, wrong=()):
    """Answers of which the first `number` are right and the others `wrong`, by default empty."""
    return [[ANN]] * number + [wrong] * (len(SENTENCES) - number)


# ------------------------------------------------------------------------------------------------------------ figures
def test_a_known_difference_has_its_figures(scored, capsys):
    for seed in (1, 2):
        scored(seed, "sft", right(20))
        folder = scored(seed, "grpo", right(40))
    figures, text = told(folder, capsys)
    test = figures["tests"]["in_domain"]
    sft, one = test["cells"]["sft"], test["differences"]["grpo - sft"]
    assert (sft["precision"], sft["recall"], sft["names_nothing"]) == (1, 0.5, 0.5)
    assert sft["f1"] == pytest.approx(2 / 3)
    assert one["points"] == pytest.approx(100 / 3)
    assert 0 < one["interval"][0] < 100 / 3 < one["interval"][1]
    assert one["p"] < 0.001
    assert one["parts"]["read in both"]["f1"] == pytest.approx(100 / 3)
    assert one["parts"]["read in both"]["recall"] == pytest.approx(50)
    assert one["parts"]["read in both"]["precision"] == 0
    assert one["parts"]["read in both"]["interval"] == one["interval"], "all can be read"
    line = next(line for line in text.splitlines() if line.startswith("grpo - sft "))
    assert line.split()[3:5] == ["1,2", "+33.3"]


def test_the_base_is_one_for_all_seeds_and_missing_only_where_a_test_has_it(scored, capsys):
    for seed in (1, 2):
        folder = scored(seed, "grpo", right(40))
    figures, _ = told(folder, capsys)
    assert not [line for line in figures["missing"] if "base" in line]
    scored(None, "base", right(0))
    scored(1, "grpo", right(40), "crossner")
    figures, _ = told(folder, capsys)
    one = figures["tests"]["in_domain"]["differences"]["grpo - base"]
    assert (one["seeds"], one["points"]) == ([1, 2], pytest.approx(100))
    assert [line.split(",")[0] for line in figures["missing"] if "base" in line] == ["crossner: base (seed 1"]


def test_answers_as_good_in_other_sentences_make_no_difference(scored, capsys):
    scored(1, "sft", right(20))
    folder = scored(1, "grpo", right(20)[::-1])
    one = told(folder, capsys)[0]["tests"]["in_domain"]["differences"]["grpo - sft"]
    assert one["points"] == 0
    assert one["p"] == 1
    assert one["interval"][0] < 0 < one["interval"][1]


def test_seeds_that_disagree_widen_the_interval_beyond_what_either_says(scored, capsys):
    scored(1, "sft", right(20))
    folder = scored(1, "grpo", right(40))
    alone = told(folder, capsys)[0]["tests"]["in_domain"]["differences"]["grpo - sft"]
    assert alone["interval"][0] > 0
    scored(2, "sft", right(40))
    scored(2, "grpo", right(30))
    both = told(folder, capsys)[0]["tests"]["in_domain"]["differences"]["grpo - sft"]
    assert both["interval"][0] < 0 < both["interval"][1]
    assert both["points_by_seed"] == {"1": pytest.approx(100 / 3), "2": pytest.approx(100 * (6 / 7 - 1))}


def test_more_seeds_that_agree_do_not_make_sentences_more():
    rng = np.random.default_rng(0)
    gold_ = rng.integers(1, 4, size=(50, 1))
    first, second = (np.stack([rng.binomial(gold_, 0.5), gold_, gold_], axis=-1).astype(float) for _ in "12")
    one = two_level_differences([first], [second])
    three = two_level_differences([np.repeat(first, 3, axis=1)], [np.repeat(second, 3, axis=1)])
    assert three == pytest.approx(one)


def test_the_interval_of_one_seed_is_that_of_its_sentences():
    """Of 100 sentences with one entity each, of which 50 more are found: recall is binomial."""
    first = np.array([[[0.0, 1, 1]]] * 50 + [[[1.0, 1, 1]]] * 50)
    second = np.ones((100, 1, 3))
    low, high = interval(two_level_differences([first], [second]))
    assert (low, high) == (pytest.approx(0.5 - 1.96 * 0.05, abs=0.015), pytest.approx(0.5 + 1.96 * 0.05, abs=0.015))


def test_what_became_readable_and_what_broke_are_told_apart(scored, capsys):
    for seed in (1, 2):
        scored(seed, "sft", right(30, BROKEN))
        folder = scored(seed, "grpo", [BROKEN] * 5 + [[ANN]] * 35)
    test = told(folder, capsys)[0]["tests"]["in_domain"]
    parts = test["differences"]["grpo - sft"]["parts"]
    assert {name: part["sentences"] for name, part in parts.items()} == {
        "read in both": 25, "repaired": 10, "broken": 5, "unread in both": 0
    }  # fmt: skip
    assert parts["read in both"]["points"] == parts["read in both"]["f1"] == 0
    assert parts["read in both"]["interval"] == [0, 0], "equal answers; what was repaired or broken isn't in it"
    assert parts["repaired"]["points"] > 0 > parts["broken"]["points"]
    whole = sum(part["points"] for part in parts.values())
    assert test["differences"]["grpo - sft"]["points"] == pytest.approx(whole)
    assert test["cells"]["sft"]["unreadable"] == 0.25
    assert test["cells"]["sft"]["names_nothing"] == 0  # what can't be read is told of elsewhere


def test_p_values_are_adjusted_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_every_comparison_of_the_table_is_counted(scored, capsys):
    for test in ("in_domain", "crossner_constrained"):
        for cell, number in (("sft", 20), ("best_of", 30), ("grpo", 40)):
            folder = scored(1, cell, right(number), test)
    figures, text = told(folder, capsys)
    assert figures["comparisons"] == 4
    ones = [one for test in figures["tests"].values() for one in test["differences"].values()]
    assert [one["p_holm"] for one in ones] == pytest.approx(holm([one["p"] for one in ones]))
    assert "for as many comparisons as this table has, 4" in text


def test_without_grpo_what_went_on_from_sft_is_compared_with_it(scored, capsys):
    for seed in (1, 2):
        scored(seed, "sft", right(20))
        scored(seed, "best_of", right(40))
        folder = scored(seed, "sft_rows", right(10))
    figures, text = told(folder, capsys)
    differences = figures["tests"]["in_domain"]["differences"]
    assert list(differences) == ["sft_rows - sft", "best_of - sft"]
    assert differences["best_of - sft"]["points"] == pytest.approx(100 / 3)
    assert differences["sft_rows - sft"]["points"] < 0
    assert figures["comparisons"] == 2
    assert re.search(r"^sft_rows - sft +1,2 +-", text, re.MULTILINE)
    scored(1, "grpo", right(30))
    compared = told(folder, capsys)[0]["tests"]["in_domain"]["differences"]
    assert list(compared) == ["grpo - sft", "grpo - sft_rows", "grpo - best_of"]


def test_cells_that_are_missing_are_said(scored, capsys):
    scored(1, "sft", right(20))
    scored(2, "sft", right(25))
    folder = scored(1, "grpo", right(30))
    figures, text = told(folder, capsys)
    assert figures["missing"][0] == (
        "in_domain: sft_time (seed 1, 2), sft_rows (seed 1, 2), best_of (seed 1, 2), grpo (seed 2)"
    )
    assert figures["missing"][1].startswith("crossner: sft (seed 1, 2)")
    assert "constrained" not in text, "no cell was decoded so"
    one = figures["tests"]["in_domain"]["differences"]["grpo - sft"]
    assert (one["seeds"], one["over"]) == ([1], "sentences")
    assert "one seed's says nothing of other seeds" in text
    assert list(figures["tests"]["in_domain"]["differences"]) == ["grpo - sft"]


def test_the_same_seeds_are_compared(scored, capsys):
    """Seed 2 has no GRPO, so its SFT is in no difference."""
    scored(1, "sft", right(20))
    scored(2, "sft", right(0))
    folder = scored(1, "grpo", right(20))
    assert told(folder, capsys)[0]["tests"]["in_domain"]["differences"]["grpo - sft"]["points"] == 0


def test_a_folder_without_scores_and_scores_of_other_sentences_are_one_line(scored, tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "run bash launch/learning.sh" in capsys.readouterr().err
    scored(1, "sft", right(20))
    others = [replace(one, sentence=f"Then {one.sentence}") for one in SENTENCES]
    folder = tmp_path / "seed_1" / "scores" / "grpo" / "in_domain"
    folder.parent.mkdir(parents=True)
    score(folder, right(20), others)
    capsys.readouterr()
    assert main([str(tmp_path)]) == 2
    assert "evaluate both on one file" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------------- costs
def write_run(run, stage, steps, batch, rows, times=None, clock=()):
    """A run's folder: GRPO's steps with their seconds, or SFT's with the clock of their figures, a list a start."""
    record = {"experiment": f"{stage}_tiny", "overrides": ["seed=1"], "stage": stage, "steps": steps}
    record |= {"model": "models/sft", "versions": {"verl": "0.9.1"}}
    (run / "metrics").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps(record))
    (run / "config.yaml").write_text(f"data:\n  train_batch_size: {batch}\n  train_files: data/train.parquet\n")
    (run / "manifest.json").write_text(json.dumps({"train.parquet": {"rows": rows}}))
    lines = [{"step": step, "data": {"timing_s/step": seconds}} for step, seconds in (times or {}).items()]
    (run / "metrics" / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for number, start in enumerate(clock):
        writer = EventFileWriter(str(run / "tensorboard"), filename_suffix=f".{number}")
        for step, second in start:
            value = Summary.Value(tag="train/loss", simple_value=1.0)
            writer.add_event(Event(step=step, wall_time=1e9 + second, summary=Summary(value=[value])))
        writer.close()
    return run


def test_a_run_costs_the_seconds_of_its_steps(tmp_path):
    """GRPO's steps without figures count as the others; of SFT a start's first step, and gaps between, have no time."""
    grpo = cost(write_run(tmp_path / "grpo", "grpo", 4, 12, 24, {0: 5.0, 1: 10.0, 3: 6.0}))
    assert (grpo.seconds, grpo.epochs) == (28, 2)
    clock = [[(1, 0), (2, 2), (3, 4)], [(3, 100), (4, 101)]]
    sft = cost(write_run(tmp_path / "sft", "sft", 6, 16, 96, clock=clock))
    assert sft.seconds == pytest.approx(6 * 5 / 3)


def test_the_budget_is_grpos_seconds_in_steps_of_sft(tmp_path, capsys):
    write_run(tmp_path / "grpo", "grpo", 30, 12, 120, dict.fromkeys(range(1, 31), 10.0))
    write_run(tmp_path / "sft", "sft", 100, 16, 1600, clock=[[(1, 0.0), (2, 0.5), (3, 1.0)]])
    rows = {"sft": 1600, "gold": 15}
    for name, number in rows.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "manifest.json").write_text(json.dumps({"train.parquet": {"rows": number}}))
    assert budget.main([str(tmp_path), "--rows", *(str(tmp_path / "data" / name) for name in rows)]) == 0
    assert capsys.readouterr().out == "time_steps 600 time_epochs 6 row_epochs 3\n"


def test_a_run_without_times_and_a_folder_that_is_none_are_one_line(tmp_path):
    with pytest.raises(DataError, match="needs two steps"):
        cost(write_run(tmp_path / "sft", "sft", 1, 16, 16, clock=[[(1, 0.0)]]))
    with pytest.raises(DataError, match="no run's folder"):
        cost(tmp_path)


def test_what_the_runs_took_is_in_the_table_and_the_file(scored, tmp_path, capsys):
    folder = scored(1, "sft", right(20))
    scored(1, "best_of", right(20))
    for cell, steps in (("sft", 100), ("best_of", 8)):
        write_run(tmp_path / "seed_1" / "runs" / cell, "sft", steps, 16, 1600, clock=[[(1, 0.0), (2, 0.5)]])
    (tmp_path / "seed_1" / "data").mkdir()
    (tmp_path / "seed_1" / "data" / "sampling_seconds").write_text("77\n")
    figures, text = told(folder, capsys)
    assert figures["runs"]["sft"]["1"]["seconds"] == 50
    assert figures["versions"] == {"verl": "0.9.1"}
    line = next(line for line in text.splitlines() if line.startswith("best_of") and "sampling" in line)
    assert line.split() == ["best_of", "1", "|", "8", "1,600", "4,", "after", "sampling", "for", "77"]


def test_a_run_of_unknown_cost_is_said_and_its_scores_stand(scored, tmp_path, capsys):
    for cell, number in (("sft", 20), ("sft_rows", 25), ("best_of", 30)):
        folder = scored(1, cell, right(number))
    write_run(folder / "seed_1" / "runs" / "best_of", "sft", 1, 16, 16, clock=[[(1, 0.0)]])
    write_run(folder / "seed_1" / "runs" / "sft_rows", "sft", 2, 16, 16, clock=[[(1, 0.0), (2, 1.0)]])
    (folder / "seed_1" / "runs" / "sft_rows" / "config.yaml").unlink()
    figures, text = told(folder, capsys)
    assert list(figures["tests"]["in_domain"]["differences"]) == ["sft_rows - sft", "best_of - sft"]
    assert figures["runs"] == {}
    assert re.search(r"^missing: .*runs/sft_rows: no run's folder, or not whole", text, re.MULTILINE)
    assert re.search(r"^missing: .*runs/best_of: how long its steps took .* needs two steps", text, re.MULTILINE)


# --------------------------------------------------------------------------------------------------------------- gold
def test_gold_rows_have_grpos_prompts_and_answers_that_give_the_gold_back(tmp_path):
    examples = (*SENTENCES[:2], Example("Ann left Lyon", ("person", "place"), (LYON, ANN), "news"))
    data, _ = write_rows(tmp_path / "train.parquet", examples)
    assert gold.main([str(data), "--out", str(tmp_path / "gold"), "--cot", "template"]) == 0
    asked = read_rows(data)
    rows = pq.read_table(tmp_path / "gold" / "train.parquet").to_pylist()
    assert [row["messages"][:-1] for row in rows] == [list(row.messages) for row in asked]
    for row, one in zip(rows, asked, strict=True):
        answer = parse(row["messages"][-1]["content"], one.example)
        assert answer.reasoning
        assert {(e.name, e.type) for e in answer.entities} == {(e.name, e.type) for e in one.example.entities}
    assert json.loads((tmp_path / "gold" / "manifest.json").read_text())["train.parquet"]["rows"] == 3


def test_gold_rows_that_sft_would_refuse_are_left_out_and_counted(tmp_path, capsys):
    names = tuple(f"Ann{number}" for number in range(40))
    full = Example(" ".join(names), ("person",), tuple(Entity(name, "person") for name in names), "news")
    data, _ = write_rows(tmp_path / "train.parquet", (SENTENCES[0], full, SENTENCES[1]))

    def gold_of(*limit):
        call = [str(data), "--out", str(tmp_path / "gold"), "--cot", "template", *limit]
        return gold.main(call), "".join(capsys.readouterr())

    limit = ("--tokenizer", str(ROOT / "recipe" / "tiny_model" / "base"), "--max-tokens")
    assert gold_of(*limit, "400") == (0, f"{tmp_path / 'gold' / 'train.parquet'}: 2 rows, 1 too long\n")
    kept = pq.read_table(tmp_path / "gold" / "train.parquet").to_pylist()
    assert [row["extra_info"]["index"] for row in kept] == [0, 2]
    entry = json.loads((tmp_path / "gold" / "manifest.json").read_text())["train.parquet"]
    assert (entry["rows"], entry["too_long"], entry["max_tokens"]) == (2, 1, 400)
    assert gold_of(*limit, "4000")[1].endswith(": 3 rows\n")
    assert gold_of(*limit, "5") == (
        2,
        f"learning.gold: {data}: each of its 3 rows has more than --max-tokens 5; raise it\n",
    )
    assert gold_of("--max-tokens", "400") == (2, "learning.gold: --max-tokens: needs --tokenizer DIR to count with\n")
    alone = "learning.gold: --tokenizer: counts for --max-tokens N, which isn't given\n"
    assert gold_of(*limit[:2]) == (2, alone)


# ------------------------------------------------------------------------------------------------------------- script
# A Python that notes its call, and leaves what each step leaves. Asked what its vLLM is built for, it says so.
FAKE = """#!/usr/bin/env bash
[[ $1 != -c ]] || { echo "${BUILT_FOR:-cpu}"; exit; }
echo "$*" >> "$CALLS"
[[ "$2" != recipe.learning.budget ]] || echo "time_steps 594 time_epochs 3 row_epochs 2"
while (($#)); do [[ $1 != --out ]] || out=$2; shift; done
[[ -n ${out:-} ]] || exit 0
mkdir -p "$out"
touch "$out/manifest.json" "$out/config.json" "$out/scores.json"
"""


@pytest.fixture
def launch(tmp_path):
    """`launch(argument, ..., SEEDS="1")`: the script with the Python above; what it said, and its calls."""
    shutil.copytree(ROOT / "launch", tmp_path / "launch")
    (tmp_path / "hydra_configs").symlink_to(ROOT / "hydra_configs")
    for name, text in (("launch/setup.sh", "#!/usr/bin/env bash\n"), (".venv/bin/python", FAKE)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def start(*arguments, **variables):
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = {**os.environ, "CALLS": str(calls), **variables}
        line = ["bash", tmp_path / "launch" / "learning.sh", *arguments]
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        return done, [call.split() for call in calls.read_text().splitlines()]

    return start


def of(calls, module):
    return [call for call in calls if module in call]


def value(call, option):
    return call[call.index(option) + 1]


def test_each_seed_has_its_cells_trained_merged_and_scored_in_both_decodings(launch):
    done, calls = launch(SEEDS="1 2")
    assert done.returncode == 0, done.stderr
    runs = [call[2] for call in of(calls, "recipe.train")]
    assert runs == ["sft_tiny", "grpo_tiny_large_batch", "sft_tiny", "sft_tiny", "sft_tiny"] * 2
    assert [call[3] for call in of(calls, "recipe.train")] == ["seed=1"] * 5 + ["seed=2"] * 5
    scores = [value(call, "--out") for call in of(calls, "recipe.evaluate")]
    out = "outputs/learning/tiny"
    assert len(scores) == len(set(scores)) == 2 * 5 * 2 * 2
    assert f"{out}/seed_2/scores/best_of/crossner_constrained" in scores
    held = [call for call in of(calls, "recipe.evaluate") if "--constrained" in call]
    assert all(value(call, "--out").endswith("_constrained") for call in held)
    assert len(held) == len(scores) / 2
    assert calls[-1][:3] == ["-m", "recipe.learning", out]


def test_grpos_prompts_alone_may_have_fewer_with_nothing_to_find(launch):
    calls = launch("answer_format=bio", SEEDS="1", CELLS="sft grpo", KEEP_EMPTY="0.4")[1]
    kept = [call[1] for call in calls if "--keep-empty" in call and value(call, "--keep-empty") == "0.4"]
    assert kept == ["grpo"]
    assert not any("--keep-empty" in call for call in launch(SEEDS="2", CELLS="sft")[1])


def test_the_base_is_scored_once_and_not_trained(launch):
    calls = launch("model=smollm2_135m", SEEDS="1 2", CELLS="base")[1]
    scores = of(calls, "recipe.evaluate")
    assert [value(call, "--out") for call in scores] == [
        f"outputs/learning/smollm2_135m/scores/base/{test}"
        for test in ("in_domain", "in_domain_constrained", "crossner", "crossner_constrained")
    ]
    assert {call[2] for call in scores} == {"models/smollm2_135m"}
    assert not of(calls, "recipe.train")
    assert of(calls, "recipe.smollm2") == [["-m", "recipe.smollm2", "models/smollm2_135m"]]
    assert not of(launch(SEEDS="1", CELLS="base")[1], "recipe.smollm2")


def test_a_second_run_skips_what_is_done(launch):
    launch(SEEDS="1")
    done, calls = launch(SEEDS="1")
    assert done.returncode == 0
    assert {call[1] for call in calls} == {"recipe.learning", "recipe.learning.budget"}


def test_what_goes_on_from_sft_starts_from_it_with_its_budget(launch):
    trained = of(launch(SEEDS="3")[1], "recipe.train")
    first, grpo, time, rows, best = [set(call) for call in trained]
    start = "outputs/learning/tiny/seed_3/models/sft"
    assert "model.path=recipe/tiny_model/base" in first
    assert f"actor_rollout_ref.model.path={start}" in grpo
    assert all(f"model.path={start}" in cell for cell in (time, rows, best))
    assert {"trainer.total_training_steps=594", "trainer.total_epochs=3"} <= time
    assert "trainer.total_epochs=2" in rows
    assert "trainer.total_epochs=2" in best
    files = [next(word for word in cell if "train_files" in word) for cell in (first, grpo, time, rows, best)]
    folders = [re.findall(r"(\w+)/train.parquet", name) for name in files]
    assert folders == [["sft"], ["grpo"], ["sft", "gold"], ["gold"], ["best_of"]]


def test_the_cells_of_grpos_rows_need_no_grpo(launch):
    done, calls = launch(SEEDS="1", CELLS="sft sft_rows best_of")
    assert done.returncode == 0, done.stderr
    assert not of(calls, "recipe.learning.budget")
    first, *cells = of(calls, "recipe.train")
    assert first[2] == "sft_tiny"
    assert [re.findall(r"(\w+)/train.parquet", " ".join(cell)) for cell in cells] == [["gold"], ["best_of"]]
    assert all("trainer.total_epochs=2" in cell for cell in cells), "as often as grpo_tiny_large_batch would"
    calls = launch(SEEDS="2", CELLS="sft sft_rows", RL_EPOCHS="5")[1]
    assert "trainer.total_epochs=5" in of(calls, "recipe.train")[-1]


def test_no_row_is_in_two_of_the_trainings_but_grpos_in_its_own_controls(launch):
    kept_out = {}
    for call in of(launch(SEEDS="1")[1], "data_prep/to_parquet.py"):
        after = call[call.index("--drop-overlap-with") + 1 :] if "--drop-overlap-with" in call else []
        words = [word for word in after if word.endswith((".parquet", "IE_INSTRUCTIONS"))]
        kept_out[Path(value(call, "--out")).name] = {Path(word).parent.name for word in words}
    trained = {name: names - {"sample"} for name, names in kept_out.items()}
    assert trained == {
        "grpo": set(), "sft": {"grpo"}, "in_domain": set(), "crossner": set()
    }  # fmt: skip
    assert all("sample" in kept_out[name] for name in ("grpo", "sft")), "the test splits"


@pytest.mark.parametrize("name", ["json", "bio", "entity_tags"])
def test_no_row_is_longer_than_what_sft_reads(launch, name):
    calls = launch(f"answer_format={name}", SEEDS="1")[1]
    making = [call for call in calls if "data_prep/to_parquet.py" in call and "sft" in call]
    making += of(calls, "recipe.learning.gold") + of(calls, "recipe.difficulty.best_of")
    limits = [int(value(call, "--max-tokens")) for call in making]
    assert len(limits) == 3
    assert max(limits) <= compose(of(calls, "recipe.train")[0][2]).data.max_length


def test_on_a_gpu_all_of_it_runs_there(launch):
    trained = of(launch("sft.optim.lr=5e-4", SEEDS="1", BUILT_FOR="gpu_1")[1], "recipe.train")
    places = [[word for word in call if word.startswith("hardware=")] for call in trained]
    assert places == [["hardware=sft_gpu_1"], ["hardware=gpu_1"], *[["hardware=sft_gpu_1"]] * 3]
    for call in trained:
        assert compose(call[2], call[3:]).trainer.device == "cuda"
    asked = of(launch("hardware=gpu_8", SEEDS="2", CELLS="sft", BUILT_FOR="gpu_1")[1], "recipe.train")[0]
    assert "hardware=sft_gpu_8" in asked


def test_other_corpora_are_trained_on_and_scored_and_their_tests_kept_out(launch, tmp_path):
    (tmp_path / "names.txt").write_text("AnatEM\n")
    of_ones_own = {"CORPORA": str(tmp_path), "LIST": str(tmp_path / "names.txt")}
    prepared = {value(call, "--out").split("/")[-1]: call for call in of(launch(SEEDS="1", **of_ones_own)[1], "--out")
                if "to_parquet.py" in call[0]}  # fmt: skip
    assert {name for name, call in prepared.items() if "--list" in call} == {"grpo", "sft", "in_domain"}
    for name in ("grpo", "sft"):
        assert (
            f"data_prep/sample/IE_INSTRUCTIONS {tmp_path}" in " ".join(prepared[name]).split("--drop-overlap-with")[1]
        )
    for lacks in of_ones_own:
        done, calls = launch(SEEDS="1", **{**of_ones_own, lacks: ""})
        assert (done.returncode, calls) == (2, [])
        assert f"{lacks}=" in done.stderr


def test_settings_go_to_their_stage(launch):
    settings = ("method=grpo_trl", "sft.optim.lr=5e-4", "further.optim.weight_decay=0")
    trained = of(launch(*settings, SEEDS="1")[1], "recipe.train")
    assert ["method=grpo_trl" in call for call in trained] == [False, True, False, False, False]
    assert ["optim.lr=5e-4" in call for call in trained] == [True, False, True, True, True]
    assert ["optim.weight_decay=0" in call for call in trained] == [False, False, True, True, True]


def test_formats_without_a_grammar_are_not_decoded_by_one(launch):
    calls = launch("answer_format=bio", SEEDS="1")[1]
    assert not [call for call in calls if "--constrained" in call]
    assert {call[2] for call in of(calls, "recipe.train")} == {"sft_tiny_bio", "grpo_tiny_bio_large_batch"}
    assert value(of(calls, "recipe.learning.gold")[0], "--cot") == "none"
    assert calls[-1][2] == "outputs/learning/tiny_bio"


def test_a_run_after_another_begins_with_its_continued_sft_on_its_rows_and_new_prompts(launch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert launch(SEEDS="1 2", OUT=str(first), CELLS="sft grpo sft_time")[0].returncode == 0
    for seed in (1, 2):
        (first / f"seed_{seed}" / "runs" / "sft_time").mkdir(parents=True)
    done, calls = launch(SEEDS="1 2", OUT=str(second), AFTER=str(first), CELLS="sft grpo")
    assert done.returncode == 0, done.stderr
    assert [call[2] for call in of(calls, "recipe.train")] == ["grpo_tiny_large_batch"] * 2, "no SFT"
    prepared = [call for call in calls if "data_prep/to_parquet.py" in call]
    assert not [call for call in prepared if "sft" in call]
    asked = next(call for call in prepared if "grpo" in call)
    at = asked.index("--drop-overlap-with")
    assert asked[at + 2 : at + 4] == [f"{first}/data/{name}/train.parquet" for name in ("sft", "gold")]
    for seed in (1, 2):
        for kind in ("models", "runs"):
            assert (second / f"seed_{seed}/{kind}/sft").resolve() == first / f"seed_{seed}/{kind}/sft_time"
    assert (second / "data" / "sft").resolve() == first / "data" / "sft"
    scored = [call[2].removeprefix(f"{second}/") for call in of(calls, "recipe.evaluate")]
    assert scored == [f"seed_{seed}/models/{cell}" for seed in (1, 2) for cell in ("sft", "grpo") for _ in range(4)]


def test_a_run_after_another_is_not_mixed_with_an_sft_of_its_own(launch, tmp_path):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    for out in (first, second):
        assert launch(SEEDS="1", OUT=out, CELLS="sft grpo sft_time")[0].returncode == 0
    done, calls = launch(SEEDS="1", OUT=second, AFTER=first, CELLS="sft grpo")
    assert (done.returncode, of(calls, "recipe.train")) == (2, [])
    assert f"AFTER={first}: {second}/data/sft is of another SFT; set OUT to another" in done.stderr


def test_a_run_after_two_others_asks_nothing_that_either_trained_on(launch, tmp_path):
    runs = [tmp_path / name for name in ("first", "second", "third")]
    before = {}
    for run in runs:
        done, calls = launch(SEEDS="1", OUT=str(run), CELLS="sft grpo sft_time", **before)
        assert done.returncode == 0, done.stderr
        (run / "seed_1" / "runs" / "sft_time").mkdir(parents=True)
        before = {"AFTER": str(run)}
    asked = next(call for call in calls if "data_prep/to_parquet.py" in call and "grpo" in call)
    at = asked.index("--drop-overlap-with")
    had = [Path(name).resolve() for name in asked[at + 2 : asked.index("--num-samples")]]
    first, second, _ = runs
    assert had == [one / "train.parquet" for one in (first / "data/sft", second / "data/gold", first / "data/gold")]


@pytest.mark.parametrize("name", ["json", "bio", "entity_tags"])
def test_every_command_has_the_options_that_it_is_given(launch, name):
    for call in launch(f"answer_format={name}", SEEDS="1")[1]:
        command, arguments = (call[1], call[2:]) if call[0] == "-m" else (Path(call[0]).name, call[1:])
        if command == "recipe.train":
            compose(arguments[0], arguments[1:])
        else:
            given = {word for word in arguments if word.startswith("--")}
            assert given <= options(help_for(command, arguments)), command


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["answer_format=xml"], {}, "answer_format=xml: not known"),
        (["model=none"], {}, "no hydra_configs/model/none.yaml"),
        ([], {"CELLS": "sft dpo"}, "dpo: no such cell"),
        ([], {"AFTER": "outputs/none", "SEEDS": "2"}, "AFTER=outputs/none: has no sft_time of seed 2"),
        ([], {"AFTER": "launch", "OUT": "launch/"}, "AFTER=launch: is this run's own folder; set OUT to another"),
    ],
)
def test_what_there_is_none_of_is_refused_before_anything_runs(launch, arguments, variables, said):
    done, calls = launch(*arguments, **variables)
    assert (done.returncode, calls) == (2, [])
    assert said in done.stderr


def test_a_cell_whose_start_is_not_there_names_it(launch):
    done, _ = launch(SEEDS="1", CELLS="sft sft_time")
    assert done.returncode == 2
    assert 'sft_time: needs grpo of seed 1; do that first: CELLS="grpo"' in done.stderr
