"""What a run shows while it trains: lines from verl's metrics, in a pipe and on a terminal."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from recipe.answers import render_answer
from recipe.core.entities import Entity, Example
from recipe.generate.bar import bar
from recipe.train import progress
from recipe.train.progress import Progress, Tail, duration, step_line, validation_line

GOLD = Example("Rome hired Ann .", ("city", "person"), (Entity("Rome", "city"), Entity("Ann", "person")))
RIGHT = "<think>\nRome is a city.\n</think>\n" + render_answer(GOLD)
HALF = '<think>\nx\n</think>\n{"entities": {"city": ["Rome"]}}'


def metrics(step, **figures):
    return json.dumps({"step": step, "data": {key.replace("__", "/"): value for key, value in figures.items()}}) + "\n"


def grpo(step, reward=7.5, seconds=25.0):
    return metrics(step, critic__score__mean=reward, response_length__mean=49.4, timing_s__step=seconds)


class Watched:
    """A run whose files and clock the test moves; `said` are the lines since the last time that it was asked."""

    def __init__(self, run, stage, steps, done=0):
        self.run, self.now, self.stream = run, 0.0, io.StringIO()
        self.metrics, self.log = run / "figures.jsonl", run / "log.txt"
        self.view = Progress(stage, steps, done, run, self.metrics, self.log, self.stream, lambda: self.now)

    def write(self, text, path=None):
        with (path or self.metrics).open("a") as file:
            file.write(text)

    def said(self, seconds=0.0):
        self.now += seconds
        at = self.stream.tell()
        self.view.look()
        return self.stream.getvalue()[at:].splitlines()


def test_a_step_of_sft_has_its_loss_its_time_and_what_is_left(tmp_path):
    run = Watched(tmp_path, "sft", 80)
    run.write("")
    assert run.said() == []
    run.write(metrics(1, train__loss=2.9257, train__lr=0.1))
    assert run.said(2) == ["step  1/80  loss  2.9257  2.0 s, 2 min 38 s left"]
    run.write(metrics(2, train__loss=0.5))
    assert run.said(1) == ["step  2/80  loss  0.5000  1.0 s, 1 min 57 s left"]


def test_the_last_step_has_nothing_left(tmp_path):
    assert step_line(3, 3, {"train/loss": 1.0}, seconds=12.0, left=0.0) == "step 3/3  loss  1.0000  12 s"


def test_a_step_of_grpo_says_what_its_answers_are(tmp_path):
    run = Watched(tmp_path, "grpo", 30)
    answers = {"answers__f1": 2 / 3, "answers__names_nothing": 0.125, "answers__unparsable": 0.25}
    run.write(metrics(1, critic__score__mean=7.5, response_length__mean=49.4, timing_s__step=25.0, **answers))
    (line,) = run.said(25)
    assert line.startswith("step  1/30  reward   7.50  F1 0.667  silent 0.12  readable 0.75  answer  49 tokens  25 s")


def test_a_reward_without_these_parts_is_shown_without_them(tmp_path):
    run = Watched(tmp_path, "grpo", 30)
    run.write(grpo(1))
    (line,) = run.said()
    assert ("F1" in line, "silent" in line, "reward   7.50" in line) == (False, False, True)


def test_a_validation_has_a_line_with_f1_by_dataset(tmp_path):
    figures = {
        "val-core/Broad Tweet Corpus/acc/mean@1": 0.4, "val-aux/Broad Tweet Corpus/f1/mean@1": 0.4,
        "val-aux/a/b/f1/mean@1": 0.2, "val-aux/Broad Tweet Corpus/unparsable/mean@1": 0.1,
        "val-aux/a/b/unparsable/mean@1": 0.3, "val-aux/num_turns/mean": 2.0,
    }  # fmt: skip
    line = "step 15/30  validation F1 0.300 (Broad Tweet Corpus 0.400, a/b 0.200), readable 0.80"
    assert validation_line(15, 30, figures) == line
    run = Watched(tmp_path, "grpo", 30)
    run.write(metrics(0, **figures))
    assert run.said() == [line.replace("15/", " 0/")]
    run.write(grpo(15).replace('"data": {', f'"data": {json.dumps(figures)[:-1]}, '))
    assert [text[:22] for text in run.said()] == ["step 15/30  reward   7", "step 15/30  validation"]


def test_other_validations():
    assert validation_line(2, 9, {"val/loss": 0.25, "train/loss": 1.0}) == "step 2/9  validation loss 0.2500"
    assert validation_line(2, 9, {"val-core/x/reward/mean@1": 3.0}) == "step 2/9  validation reward 3.00"
    assert validation_line(2, 9, {"train/loss": 1.0}) is None
    many = {f"val-core/d{number}/acc/mean@1": 0.5 for number in range(9)}
    assert validation_line(2, 9, many).endswith("d3 0.500, 5 more)")


def test_a_reward_that_is_no_number_is_shown_as_such(tmp_path):
    run = Watched(tmp_path, "grpo", 30)
    run.write(metrics(1, critic__score__mean=None, response_length__mean=40))
    assert "reward    nan" in run.said()[0]


def test_a_resumed_run_begins_after_its_checkpoint(tmp_path):
    (tmp_path / progress.checkpoints.TRACKER).write_text("10")
    run = Watched(tmp_path, "sft", 20, done=10)
    run.write("")
    assert run.said(31) == ["waits      starting the processes, 31 s since the start"]
    run.write(metrics(11, train__loss=1.0))
    assert run.said(2) == ["step 11/20  loss  1.0000  2.0 s, 18 s left"]


def test_a_checkpoint_has_a_line_once(tmp_path):
    run = Watched(tmp_path, "sft", 20)
    (tmp_path / progress.checkpoints.TRACKER).write_text("10")
    assert run.said() == [f"step 10/20  saved {tmp_path}/global_step_10"]
    assert run.said() == []


def test_what_is_waited_for_has_a_line_each_half_minute_in_a_pipe(tmp_path):
    run = Watched(tmp_path, "grpo", 30)
    run.log.write_text("")
    assert run.said(29) == []
    assert run.said(1) == ["waits      starting Ray, 30 s since the start"]
    run.write("(TaskRunner pid=1) actor and ref model engine initialized\n", run.log)
    assert run.said(10) == []
    assert run.said(20) == ["waits      starting vLLM, 1 min 00 s since the start"]


def test_phases_are_those_of_this_start(tmp_path):
    (tmp_path / "log.txt").write_text("model engine initialized\n")
    assert Watched(tmp_path, "grpo", 30).said(30) == ["waits      starting Ray, 30 s since the start"]


def test_a_line_that_is_cut_off_or_broken_shows_nothing(tmp_path):
    run = Watched(tmp_path, "sft", 20)
    whole = metrics(1, train__loss=1.0)
    run.write('{"step": "x"}\nnot JSON\n[1]\n' + whole[:20])
    assert run.said() == []
    run.write(whole[20:])
    assert len(run.said()) == 1


def test_the_tail_of_a_file_that_is_not_there_is_empty(tmp_path):
    assert Tail(tmp_path / "none").lines() == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.62, "0.6 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (7620, "2 h 07 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


# ------------------------------------------------------------------------------------------------------- on a terminal
def on_a_terminal(code, *arguments):
    """What a Python program writes when its output is a terminal."""
    ours, its = pty.openpty()
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], stdout=its, stderr=its, timeout=60)
    os.close(its)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:  # Linux's end of a terminal
        pass
    os.close(ours)
    assert done.returncode == 0, text.decode()
    return text.decode()


VIEW = """
import sys
from pathlib import Path
from recipe.train.progress import Progress
run, now = Path(sys.argv[1]), [0.0]
figures = run / "figures.jsonl"
view = Progress("sft", 40, 0, run, figures, run / "log.txt", sys.stdout, lambda: now[0])
view.look()
figures.touch()
for step in range(1, 41):
    now[0] += 1
    view.look()
    with figures.open("a") as file:
        file.write('{"step": %d, "data": {"train/loss": 1.5}}\\n' % step)
    view.look()
view.close()
print("done")
"""


def test_on_a_terminal_a_bar_shows_every_step_and_few_lines_stay(tmp_path):
    text = on_a_terminal(VIEW, tmp_path)
    assert "starting the processes, 0.0 s" in text
    assert all(f"{step}/40" in text for step in range(2, 40))
    # What a terminal shows at the end: of each line what was written last.
    lines = [line.rstrip("\r").rpartition("\r")[2].strip() for line in text.split("\n")]
    stayed = [line for line in lines if line.startswith("step")]
    assert [int(line.split()[1].partition("/")[0]) for line in stayed] == [1, 16, 31, 40]
    assert "|" not in "".join(lines)
    assert lines[-2:] == ["done", ""]


def test_in_a_pipe_every_step_has_a_line_and_nothing_else(tmp_path):
    done = subprocess.run([sys.executable, "-c", VIEW, tmp_path], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["step"] * 40 + ["done"]
    assert ("\r" in done.stdout, done.stderr) == (False, "")


BAR = """
from recipe.generate import bar
bar.LINES_APART = 0
with bar.bar(3, 1, "completions", "row") as shown:
    for _ in range(2):
        shown.update()
"""


def test_a_bar_of_answers_is_lines_in_a_pipe():
    done = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1].startswith("completions: 3/3 [00:00, 00:00 left")
    assert ("\r" in done.stderr, "\r" in on_a_terminal(BAR)) == (False, True)


def test_a_bar_of_a_short_time_is_silent_in_a_pipe(capsys):
    with bar(2, 0, "completions", "row") as shown:
        shown.update(2)
    assert capsys.readouterr().err == ""


def test_a_validation_before_the_first_step_is_not_of_its_time(tmp_path):
    run = Watched(tmp_path, "grpo", 3)
    run.write("")
    run.said()
    run.write(metrics(0, **{"val-core/x/acc/mean@1": 0.5}))
    assert run.said(60)[-1] == "step 0/3  validation F1 0.500"
    run.write(grpo(1))
    assert run.said(10)[0].endswith("25 s, 20 s left")
