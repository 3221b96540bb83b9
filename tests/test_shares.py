"""Saved answers that several processes score give what one gives, and nothing is left running."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shortcuts import answered

from recipe.core import processes
from recipe.core.entities import Entity, Example
from recipe.core.ground_truth import to_ground_truth
from recipe.core.processes import shared_out
from recipe.evaluate import __main__ as command
from recipe.evaluate import scores, shares
from recipe.evaluate.rows import Row
from recipe.evaluate.scores import score
from recipe.evaluate.shares import score_shares

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is forked")


@pytest.fixture(autouse=True, scope="module")
def three_cores():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "may_fork", lambda: True)
        patch.setattr(shares, "cores", lambda: 3)
        yield


def write(folder: Path, pairs, order) -> tuple[Path, Path]:
    """Rows of two datasets, and their predictions in another order."""
    import pyarrow
    from pyarrow import parquet

    data, saved = folder / "data.parquet", folder / "saved.jsonl"
    rows = [
        {
            "data_source": f"set {number % 2}",
            "prompt": [{"role": "user", "content": "?"}],
            "reward_model": {"style": "rule", "ground_truth": to_ground_truth(example)},
        }
        for number, (example, _) in enumerate(pairs)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), data)
    lines = [json.dumps({"index": index, "output": pairs[index][1]}) for index in order]
    saved.write_text("\n\n".join(lines))
    return data, saved


@st.composite
def files(draw):
    pairs = draw(st.lists(answered(), min_size=3, max_size=12))
    pairs = [pair for pair in pairs if Entity("", "per") not in pair[0].entities]
    return pairs, draw(st.permutations(range(len(pairs))))


def results(out: Path) -> tuple[str, bytes]:
    scores = json.loads((out / "scores.json").read_text())
    del scores["source"]
    return json.dumps(scores), (out / "sentences.parquet").read_bytes()


@given(files(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_shares_of_a_file_give_the_same_files_as_the_whole(file, keep):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        data, saved = write(Path(folder), *file)
        arguments = ["--data", str(data), "--predictions", str(saved), *(["--keep-else"] if keep else []), "--out"]
        assert command.main([*arguments, f"{folder}/whole"]) == 0
        told = []

        def score_small(*given):
            told.append(score_shares(*given, least=1))
            return told[0]

        patch.setattr(command, "score_shares", score_small)
        assert command.main([*arguments, f"{folder}/shares"]) == 0
        assert (told[0] is not None) == (len(file[0]) > 1)
        assert results(Path(folder, "shares")) == results(Path(folder, "whole"))
    assert not multiprocessing.active_children()


ADA = Example("Ada met Bob .", ("person",), (Entity("Ada", "person"), Entity("Bob", "person")))
RIGHT = '{"entities": {"person": ["Ada", "Bob"]}}'


@pytest.fixture
def four(tmp_path):
    return write(tmp_path, [(ADA, RIGHT)] * 4, range(4))


def test_entities_of_a_tool_are_scored_in_shares(four):
    data, saved = four
    spans = [{"start": 0, "end": 3, "label": "PERSON"}]
    saved.write_text("\n".join(json.dumps({"index": index, "entities": spans}) for index in range(4)))
    scored = score_shares(data, saved, True, least=1)
    assert scored.scores["micro"]["strict"]["recall"] == 0.5
    assert [sentence.index for sentence in scored.sentences] == [0, 2, 1, 3]


@pytest.mark.parametrize(
    "lines",
    [
        ['{"index": 3, "output": ""', "no number of braces"],
        ["not JSON"],
        ['{"index": 2, "output": ""}'],
        ['{"index": 4, "output": ""}'],
        ['{"index": -1, "output": ""}'],
        ['{"index": 3, "entities": [{"start": 0, "end": 99, "label": "person"}]}'],
        [],
    ],
)
def test_a_fault_is_left_to_who_names_it(four, lines, tmp_path, capsys):
    data, saved = four
    saved.write_text("\n".join([*saved.read_text().split("\n\n")[:3], *lines]))
    assert score_shares(data, saved, True, least=1) is None
    assert command.main(["--data", str(data), "--predictions", str(saved), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"evaluate: {saved}")


def test_rows_about_single_types_are_scored_together(tmp_path):
    asked = Example("Ada met Bob .", ("person",), (Entity("Ada", "person"),), format="entity_tags")
    assert score_shares(*write(tmp_path, [(asked, "<entity>Ada</entity>")] * 4, range(4)), True, least=1) is None


def test_few_rows_need_one_process(four):
    assert score_shares(*four, True) is None


def test_results_come_in_the_order_of_the_parts():
    assert shared_out(lambda part: (part, os.getpid() == parent), [3, 1, 2]) == [(3, True), (1, False), (2, False)]


parent = os.getpid()


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("end", ["raise", "die"])
def test_there_is_no_result_where_one_part_has_none(part, end):
    def work(number):
        if number == part:
            if end == "die" and number:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("no")
        return "x" * 1_000_000  # more than a pipe holds

    assert shared_out(work, [0, 1, 2]) is None
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_ends_quietly_and_leaves_no_process(sent, status):
    code = (
        "import os, sys, time\n"
        "from recipe.core.command_line import exit_status, unwind_on_sigterm\n"
        "from recipe.core.processes import shared_out\n"
        "def work(part):\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        "    time.sleep(60)\n"
        "unwind_on_sigterm()\n"
        "sys.exit(exit_status('it', lambda: shared_out(work, [0, 1, 2])))\n"
    )
    done = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(done.stdout.readline()) for _ in range(3)]
    time.sleep(0.1)
    os.killpg(done.pid, sent)  # as a terminal does
    _, told = done.communicate(timeout=30)
    assert done.returncode == status
    assert told == ("it: interrupted\n" if status == 130 else "")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_process_is_forked_beside_a_thread(monkeypatch):
    import threading

    monkeypatch.setattr(processes.sys, "modules", {})
    waits = threading.Event()
    thread = threading.Thread(target=waits.wait)
    thread.start()
    assert not processes.may_fork()
    waits.set()
    thread.join()


@given(st.lists(answered(), min_size=3, max_size=12), st.booleans())
@settings(max_examples=10, deadline=None)
def test_rows_scored_by_three_processes_have_the_scores_of_one(pairs, drop_else):
    rows = [Row(number, f"set {number % 2}", (), example) for number, (example, _) in enumerate(pairs)]
    outputs = [output for _, output in pairs]
    alone = score(rows, outputs, drop_else=drop_else)
    with (
        mock.patch.multiple(scores, LEAST=1, cores=lambda: 3, may_fork=lambda: True),
        mock.patch.object(scores, "shared_out", wraps=shared_out) as sharing,
    ):
        assert score(rows, outputs, drop_else=drop_else) == alone
        assert len(sharing.call_args.args[1]) == 3
