"""The page of a run's answers: groups with their advantages, validation over the steps, dumps that are refused."""

import json
import re

import pytest
import report_case as case

from recipe.models.rollout_dump import read_dump
from recipe.report import rollouts
from recipe.report.dumps import choose_groups, choose_prompts, evenly, scan
from recipe.report.rollouts import group_card, history_card

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@pytest.fixture
def run(tmp_path):
    return case.write_run(tmp_path / "run")


def make(run, *options):
    """The data of the page that the command wrote."""
    assert rollouts.main([str(run), *options]) == 0
    return json.loads(DATA.search((run / rollouts.FILE).read_text(encoding="utf-8"))[1])


def refusal(capsys, run):
    """The one line that the command printed instead of a page."""
    assert rollouts.main([str(run)]) == 2
    error = capsys.readouterr().err
    lines = [line for line in re.split(r"[\r\n]", error) if line.startswith("rollouts: ")]
    assert len(lines) == 1
    assert "Traceback" not in error
    return lines[0]


def uneven(data):
    """The group of the first step whose answers differ."""
    return next(group for group in data["groups"] if group["step"] == 1 and group["best"] > group["worst"])


# ----------------------------------------------------------------------------------------------------------- groups


def test_answers_of_one_prompt_and_step_make_a_group(run):
    groups = make(run)["groups"]
    assert sorted((group["step"], group["count"]) for group in groups) == [(1, 3), (1, 3), (2, 3), (2, 3)]


def test_the_advantage_is_the_score_minus_the_groups_mean(run):
    group = uneven(make(run))
    assert [(a["score"], a["advantage"]) for a in group["answers"]] == [(6.0, 3.0), (3.0, 0.0), (0.0, -3.0)]
    assert (group["mean"], group["worst"], group["best"]) == (3.0, 0.0, 6.0)


def test_equal_answers_are_shown_once(run):
    flat = next(group for group in make(run)["groups"] if group["mean"] == 11)
    assert [(answer["times"], answer["advantage"]) for answer in flat["answers"]] == [(3, 0.0)]


def test_an_answer_says_what_it_missed(run):
    missed = [answer["missed"] for answer in uneven(make(run))["answers"]]
    assert missed == [[], [{"side": "gold", "name": "Paris", "type": "place", "kind": "missed", "times": 1}], []]


def test_without_uids_the_prompt_makes_the_group(tmp_path):
    lines = [case.line(case.ROWS[0][0], case.answer(), 1, float(i), uid=None) for i in range(4)]
    case.write_lines(tmp_path / "rollouts" / "1.jsonl", lines)
    [group] = make(tmp_path)["groups"]
    assert group["count"] == 4


# ------------------------------------------------------------------------------------------------------- validation


def test_a_validation_prompt_shows_how_its_answer_changes(run):
    [history] = make(run)["histories"]
    assert [(a["from"], a["to"], a["score"], a["f1"]) for a in history["answers"]] == [(0, 0, 0, 0), (1, 2, 7, 0.7)]
    assert (history["dataset"], history["change"]) == (case.ODD, 7.0)


def test_the_page_reads_dumps_without_rollouts_or_without_validation(run):
    for name, key in (("rollouts", "groups"), ("validation", "histories")):
        (run / name).rename(run / "away")
        assert make(run)[key] == []
        (run / "away").rename(run / name)


# ----------------------------------------------------------------------------------------------------------- choice


def test_groups_are_chosen_evenly_over_the_steps():
    keys = [(step, f"{step}-{i}") for step in range(100) for i in range(12)]
    assert [step // 10 for step, _ in choose_groups(keys, 10, seed=0)] == list(range(10))
    assert choose_groups(keys, 10, seed=0) == choose_groups(keys[::-1], 10, seed=0) != choose_groups(keys, 10, seed=1)


def test_prompts_that_were_answered_at_every_step_come_first():
    assert choose_prompts([(0, "a"), (0, "b"), (0, "c"), (5, "b")], 1, seed=0) == ["b"]


def test_evenly():
    assert evenly(range(10), 5) == [1, 3, 5, 7, 9]
    assert evenly("ab", 5) == ["a", "b"]


def test_fewer_prompts_on_demand(run):
    data = make(run, "--prompts", "1")
    assert (len(data["groups"]), len(data["histories"])) == (1, 1)


def test_curves_are_of_all_dumps(run):
    scores = scan({int(path.stem): path for path in (run / "rollouts").iterdir()}, by_input=False)
    lines = {curve.title: curve.lines[0].points for curve in rollouts.step_curves(scores, ({}, {}))}
    assert lines["Score"] == ((1, 7.0), (2, 7.0))
    assert lines["Spread"] == ((1, 3.0), (2, 3.0))
    assert lines["Groups without spread"] == ((1, 0.5), (2, 0.5))
    assert "Validation F1" not in lines


# ------------------------------------------------------------------------------------------------------------ dumps


def test_a_last_line_that_was_cut_off_is_passed_over(run):
    path = run / "rollouts" / "2.jsonl"
    whole = path.read_bytes()
    for end in range(1, 200, 7):  # within a character of several bytes, too
        path.write_bytes(whole[:-end])
        assert len(list(read_dump(path))) == (6 if end == 1 else 5)


def test_a_bad_line_in_the_middle_is_named(run, capsys):
    path = run / "rollouts" / "2.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2][:40] + "\n", *lines[3:]]), encoding="utf-8")
    assert refusal(capsys, run).startswith(f"rollouts: {path}, line 3: not JSON")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gts": None}, "no gts in it"),
        ({"gts": "gold"}, "is not what data_prep/to_parquet.py writes"),
        ({"output": 3}, "no output in it"),
        ({"score": float("nan")}, "no score in it that is a number"),
    ],
)
def test_a_line_that_is_no_answer_is_named(run, capsys, change, said):
    path = run / "validation" / "1.jsonl"
    record = {**json.loads(path.read_text(encoding="utf-8")), **change}
    case.write_lines(path, [json.dumps(record)])
    error = refusal(capsys, run)
    assert f"{path}, line 1: " in error
    assert said in error


def test_a_folder_without_dumps(tmp_path, capsys):
    assert "no rollouts/STEP.jsonl or validation/STEP.jsonl" in refusal(capsys, tmp_path)
    assert "give the folder of a GRPO run" in refusal(capsys, tmp_path / "none")


def test_dumps_with_nothing_in_them_yet(tmp_path, capsys):
    case.write_lines(tmp_path / "rollouts" / "1.jsonl", [])
    assert "dumps are empty" in refusal(capsys, tmp_path)


def test_long_answers_are_cut_and_the_page_says_so(tmp_path):
    long = case.answer(reasoning="so on " * 2000)
    for step in range(40):
        lines = [case.line(case.ROWS[0][0], f"{long} {i}", step, float(i), f"p_{i}_0") for i in range(12)]
        case.write_lines(tmp_path / "rollouts" / f"{step}.jsonl", lines)
    make(tmp_path)
    page = (tmp_path / rollouts.FILE).read_text(encoding="utf-8")
    assert len(page.encode()) < 5_000_000
    assert "are cut after 4,000 characters" in page


def test_cards_keep_what_a_model_wrote_as_text(run):
    answers = list(read_dump(run / "rollouts" / "1.jsonl"))[:3]
    assert case.ATTACK in group_card(answers)["answers"][-1]["raw"]
    assert case.ATTACK in history_card(answers)["answers"][-1]["raw"]
    make(run)
    assert case.ATTACK not in (run / rollouts.FILE).read_text(encoding="utf-8")


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        rollouts.main(["--help"])
    assert "python -m recipe.rollouts outputs/grpo_qwen3_8b_paper" in capsys.readouterr().out
