"""Annotation against a scripted teacher: each row ends once, with its reason; kills, budgets, repeats and retries."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from cot_server import TeacherServer

from recipe.cot.__main__ import main

pytest.importorskip("openai")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def server():
    with TeacherServer() as server:
        yield server


@pytest.fixture
def work(tmp_path):
    return tmp_path / "cot"


def options(server, work, *more):
    return [
        *("--work", str(work), "--teacher", "endpoint", "--base-url", server.url, "--model", "teacher"),
        *("--backoff", "0.01", "--attempts", "4", *map(str, more)),
    ]


def annotate(server, work, texts, *more):
    """Exit status of the command on these texts, or on records that have more to them."""
    path = work.with_name("texts.jsonl")
    records = [text if isinstance(text, dict) else {"text": text, "types": ["person"]} for text in texts]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return main(["annotate", "--input", str(path), *options(server, work, *more)])


def records(work):
    lines = (work / "annotate.jsonl").read_text().splitlines()
    return {record["sentence"]: record for record in map(json.loads, lines)}


# --------------------------------------------------------------------------------------------------------- records


def test_a_record_has_the_row_the_answer_and_what_it_took(server, work):
    row = {"text": "Ann left", "types": ["person"], "entities": [{"text": "Ann", "label": "person"}], "source": "news"}
    assert annotate(server, work, [row], "--price-input", 1, "--price-output", 1) == 0
    record = records(work)["Ann left"]
    assert record.pop("seconds") < 5
    assert len(record.pop("id")) == 16
    assert record.pop("output").startswith("<think>")
    assert record == {
        "status": "answered", "reason": None, "detail": None, "sentence": "Ann left", "source": "news",
        "types": ["person"], "gold": [["Ann", "person"]], "mode": "gold_withheld", "finish_reason": "stop",
        "requests": 1, "input_tokens": 100, "output_tokens": 20, "cost": 0.00012,
    }  # fmt: skip


def test_every_row_ends_with_the_right_reason(server, work):
    expected = {
        "@slow": None, "@429": None, "@500twice": None, "@brokenjson": None, "@otherjson": None, "@html": None,
        "@cut": None, "@drop": None, "@nothink": None, "@unparsable": None, "@obey": None, "@length": None,
        "@500": "http_500", "@400": "http_400", "@413": "http_413", "@toolong": "too_long", "@refuse": "refused",
        "<|im_end|>": "control_token", "\ud800": "lone_surrogate",
    }  # fmt: skip
    assert annotate(server, work, [f"Ann {word}" for word in expected]) == 0
    found = {sentence.split()[1]: record for sentence, record in records(work).items()}
    assert {word: found["?" if word == "\ud800" else word]["reason"] for word in expected} == expected
    assert all((record["status"] == "failed") == bool(record["reason"]) for record in found.values())
    assert all((record["output"] is None) == bool(record["reason"]) for record in found.values())
    assert found["@length"]["finish_reason"] == "length"


def test_what_cannot_be_asked_is_not_sent(server, work):
    annotate(server, work, ["Ann <think> left", "Bob"])
    assert [request.sentence for request in server.log] == ["Bob"]


def test_gold_guides_only_where_it_is_said_to(server, work):
    row = {"text": "left", "types": ["person"], "entities": [{"text": "Secretname", "label": "person"}]}
    assert annotate(server, work, [row, "Ann"], "--gold", "guide") == 0
    assert [record["mode"] for record in records(work).values()] == ["gold_guided", "plain"]
    assert annotate(server, work.with_name("other"), [row], "--gold", "withhold") == 0
    assert ["Secretname" in json.dumps(request.body) for request in server.log] == [True, False, False]


def test_without_types_the_teacher_chooses(server, work):
    annotate(server, work, [{"text": "Ann left"}])
    assert records(work)["Ann left"]["types"] is None


# ----------------------------------------------------------------------------------------------------------- again


def test_what_was_answered_is_not_asked_again(server, work):
    annotate(server, work, ["Ann", "Bob @400"])
    assert annotate(server, work, ["Ann", "Bob @400", "Cid"]) == 0
    assert Counter(request.sentence for request in server.log) == {"Ann": 1, "Bob @400": 1, "Cid": 1}


def test_a_repeated_row_is_asked_about_once(server, work, capsys):
    annotate(server, work, ["Ann", "Ann", "Bob", "Ann"])
    assert len(server.log) == 2
    assert "2 repeated rows left out" in capsys.readouterr().err


def test_failed_rows_are_asked_again_where_that_is_wished(server, work):
    annotate(server, work, ["Ann @500twice", "Bob", "Cid @400"], "--attempts", 1)
    assert records(work)["Ann @500twice"]["reason"] == "http_500"
    annotate(server, work, ["Ann @500twice", "Bob", "Cid @400"], "--retry-failed")
    assert records(work)["Ann @500twice"]["status"] == "answered"
    assert len((work / "annotate.jsonl").read_text().splitlines()) == 3
    assert server.asked("Bob") == 1


def test_another_teacher_does_not_mix_in(server, work, capsys):
    annotate(server, work, ["Ann"])
    assert annotate(server, work, ["Ann", "Bob"], "--model", "other") == 2
    assert "made with other settings" in capsys.readouterr().err


def test_a_budget_stops_and_a_larger_one_goes_on(server, work, capsys):
    texts = [f"Ann {i}" for i in range(12)]
    assert annotate(server, work, texts, "--max-requests", 5, "--concurrency", 2) == 3
    assert (len(server.log), len(records(work))) == (5, 5)
    assert "larger number goes on" in capsys.readouterr().err
    assert annotate(server, work, texts, "--max-requests", 5) == 3
    assert len(server.log) == 5
    assert annotate(server, work, texts, "--max-requests", 12) == 0
    assert (len(server.log), len(records(work))) == (12, 12)


def test_a_key_that_is_refused_later_stops_with_one_line(server, work, capsys):
    assert annotate(server, work, ["Ann", "Bob @401", "Cid"], "--concurrency", 1) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("cot: http://127.0.0.1")
    assert list(records(work)) == ["Ann"]


# ----------------------------------------------------------------------------------------------------------- kills


def start(server, work, path, *more):
    command = ["-m", "recipe.cot", "annotate", "--input", path, *options(server, work, *more)]
    return subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_nothing_is_asked_again(work):
    rng = random.Random(4)
    words = ["", "", "", "@500twice", "@429", "@400", "@cut", "@unparsable"]
    texts = [f"Ann {i} met Bob {rng.choice(words)}" for i in range(900)]
    path = work.with_name("texts.jsonl")
    path.write_text("".join(json.dumps({"text": text, "types": ["person"]}) + "\n" for text in texts))
    known = []  # (when, sentences on file at that time)
    with TeacherServer(latency=0.05) as server:
        for _ in range(20):
            process, before = start(server, work, path, "--concurrency", 8), len(server.log)
            while len(server.log) == before and process.poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.4))
            process.kill()
            process.communicate()
            lines = (work / "annotate.jsonl").read_bytes().split(b"\n")[:-1]
            known.append((time.monotonic(), {json.loads(line)["sentence"] for line in lines}))
        assert 50 < len(known[-1][1]) < 900
        done = start(server, work, path, "--concurrency", 32)
        assert (done.communicate()[1] is not None, done.returncode) == (True, 0)
    lines = [json.loads(line)["sentence"] for line in (work / "annotate.jsonl").read_text().splitlines()]
    assert sorted(lines) == sorted(texts)
    for moment, there in known:
        assert not [request for request in server.log if request.arrived > moment and request.sentence in there]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interruption_is_one_line(work, number, status):
    import signal

    path = work.with_name("texts.txt")
    path.write_text("".join(f"Ann {i}\n" for i in range(5000)))
    with TeacherServer() as server:  # answers at once, so that the signal comes while the event loop is at work
        process = start(server, work, path, "--concurrency", 16)
        while len(server.log) < 100:
            time.sleep(0.01)
        process.send_signal(getattr(signal, number))
        err = process.communicate(timeout=20)[1].decode()
    assert process.returncode == status
    assert err.splitlines()[-1].endswith("the same command goes on from here")
    assert "Traceback" not in err


def test_the_key_reaches_no_file_and_no_output(server, work, capsys, monkeypatch):
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    annotate(server, work, ["Ann", "Bob @400", "Cid @401"])
    assert {request.key for request in server.log} == {key}
    said = "".join(capsys.readouterr())
    written = "".join(path.read_text() for path in work.iterdir())
    assert key not in said + written
    assert "secret" not in said + written
    assert os.environ["OPENAI_API_KEY"] == key
