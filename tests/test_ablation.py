"""The ablation: its table beside the published figures, and its script's steps."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from recipe import ablation
from recipe.evaluate.protocols import read_protocol
from recipe.evaluate.verdict import SCORED_RULES

ROOT = Path(__file__).resolve().parent.parent
SEVEN = read_protocol("ablation").datasets


@pytest.fixture
def scored(tmp_path):
    """`scored("base", 0.3)`: a step's scores, the same F1 on each dataset; returns the ablation's folder."""

    def write(step, f1, datasets=SEVEN, data="a" * 64, limit=None, **changes):
        cell = {rule: {"f1": f1} for rule in SCORED_RULES}
        counts = {"sentences": 100, "of_sentences": 100, "left_out": {}, "of_split": cell} | changes
        scores = {"datasets": dict.fromkeys(datasets, cell | counts), "micro": cell}
        scores |= {"macro": dict.fromkeys(SCORED_RULES, f1), "source": {"data_sha256": data, "limit": limit}}
        folder = tmp_path / "scores" / step
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text(json.dumps(scores))
        return tmp_path

    return write


def line(text, title):
    return next(line for line in text.splitlines() if line.startswith(title)).removeprefix(title).split()


def test_each_step_stands_beside_the_published_one_with_what_it_adds(scored):
    for step, f1 in (("base", 0.3), ("other", 0.4), ("no_cot", 0.55), ("cot", 0.6), ("re", 0.625)):
        folder = scored(step, f1)
    text = ablation.table(folder)
    assert "all 7 datasets" in text
    assert line(text, "base") == ["30.0", "-", "31.9", "-"]
    assert line(text, "SFT with CoT ") == ["60.0", "+5.0", "63.0", "+2.4"]
    assert line(text, "SFT with CoT, + RE") == ["62.5", "+2.5", "65.1", "+2.1"]


def test_a_step_that_was_not_scored_has_a_dash(scored):
    text = ablation.table(scored("cot", 0.6))
    assert line(text, "SFT without CoT") == ["-", "-", "60.6", "+20.3"]
    assert line(text, "SFT with CoT ")[:2] == ["60.0", "-"]


def test_a_part_of_the_datasets_is_no_match_for_the_published_figures(scored):
    text = ablation.table(scored("base", 0.3, SEVEN[2:], limit=60))
    assert "5 of the 7 datasets; the first 60 sentences of each" in text
    assert "not comparable with ours" in text


def test_gold_that_was_left_out_counts_as_missed(scored):
    lost = {"too_long": {"rows": 100, "gold": 250}}
    folder = scored("base", 0.3, of_sentences=200, left_out=lost, of_split={"published": {"f1": 0.2}})
    text = ablation.table(folder)
    assert line(text, "base")[0] == "20.0"
    assert "mit-movie: 100 of 200 sentences; left out: too_long 100; gold left out: 250 entities" in text
    assert "gold left out counts as missed in ours" in text


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"of_sentences": None, "left_out": None, "of_split": None}, "sentences left out: not known"),
        (
            {"of_sentences": 101, "left_out": {"bad_entity": {"rows": 1, "gold": None}}, "of_split": None},
            "700 of 707 sentences of ",
        ),
    ],
    ids=["an older file", "a record that could not be read"],
)
def test_gold_that_nobody_counted_keeps_ours_from_the_published_figures(scored, counts, said):
    text = ablation.table(scored("base", 0.3, **counts))
    assert said in text.splitlines()[0]
    assert "not comparable with ours" in text


def test_steps_scored_on_different_rows_are_refused(scored, capsys):
    scored("base", 0.3)
    folder = scored("cot", 0.6, data="b" * 64)
    assert ablation.main([str(folder)]) == 2
    assert "scored on other rows than base" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value"), [("limit", 60), ("drop_else", False)])
def test_steps_scored_otherwise_are_refused(scored, capsys, key, value):
    scored("base", 0.3)
    folder = scored("cot", 0.6)
    path = folder / "scores" / "cot" / "scores.json"
    scores = json.loads(path.read_text())
    scores["source"][key] = value
    path.write_text(json.dumps(scores))
    assert ablation.main([str(folder)]) == 2
    assert f"{path.parent}: scored with {key} {value}, base with {key} None" in capsys.readouterr().err


def test_nothing_scored_yet_is_one_line(tmp_path, capsys):
    assert ablation.main([str(tmp_path)]) == 2
    assert "run bash launch/ablation.sh" in capsys.readouterr().err


def test_the_script_refuses_a_step_there_is_none_of_before_it_computes(tmp_path):
    (tmp_path / "data" / "eval").mkdir(parents=True)
    (tmp_path / "data" / "eval" / "manifest.json").write_text("{}")
    command = ["bash", "launch/ablation.sh", "tiny", "sft"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "OUT": str(tmp_path)}, capture_output=True)
    assert done.returncode == 2
    assert b"sft: no such step" in done.stderr
