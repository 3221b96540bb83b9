"""The command: one line and status 2 for wrong input, before anything is asked; dry runs; help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cot_server import TeacherServer

from recipe.cot.__main__ import main

pytest.importorskip("openai")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def server():
    with TeacherServer(key="right") as server:
        yield server


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("Ann left .\nBob stayed .\nAnn left .\n")
    return path


@pytest.fixture
def annotate(server, texts, tmp_path, monkeypatch):
    """`annotate({"--limit": 1}, "--dry-run")`: exit status of a sound command that has these options, too."""
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.log.clear()
    sound = {"--input": texts, "--work": tmp_path / "cot", "--teacher": "endpoint", "--model": "teacher"}
    sound["--base-url"] = server.url

    def run(changes=(), *flags):
        options = {**sound, **dict(changes)}
        pairs = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
        try:
            return main(["annotate", *pairs, *flags])
        except SystemExit as end:
            return end.code

    return run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--teacher": "oracle"}, "invalid choice: 'oracle'"),
        ({"--base-url": "http://127.0.0.1:9/v1"}, "can't be reached"),
        ({"--base-url": "localhost"}, "not a URL"),
        ({"--model": "nobody"}, "has no such model"),
        ({"--model": None}, "--model"),
        ({"--input": "missing.txt"}, "missing.txt: no such file"),
        ({"--input": ROOT / "README.md"}, "a file of texts ends with"),
        ({"--input": None, "--corpora": "missing"}, "missing: no such folder"),
        ({"--types": "nan"}, "not a type that can be asked for"),
        ({"--temperature": "3"}, "--temperature 3.0: between 0 and 2"),
        ({"--temperature": "warm"}, "--temperature"),
        ({"--concurrency": 0}, "--concurrency 0"),
        ({"--attempts": 0}, "--attempts 0"),
        ({"--timeout": "nan"}, "--timeout nan"),
        ({"--max-requests": -1}, "--max-requests -1"),
        ({"--price-input": 1}, "give both or neither"),
        ({"--api-key-env": "NOT_THERE"}, "NOT_THERE"),
        ({"--body": "[]"}, "--body"),
        ({"--limit": 0}, "--limit 0"),
        ({"--datasets": "bc5cdr"}, "--datasets"),
        ({"--teacher": "vllm"}, "--base-url: is for --teacher endpoint"),
        ({"--teacher": "vllm", "--base-url": None, "--model": "not/there"}, "neither a folder nor a model"),
        ({"--teacher": "ray", "--base-url": None, "--model": "not/there"}, "neither a folder nor a model"),
    ],
)
def test_wrong_input_is_one_line_before_anything_is_asked(annotate, server, tmp_path, capsys, options, message):
    assert annotate(options) == 2
    err = capsys.readouterr().err
    assert err.startswith("cot: ")
    assert err.count("\n") == 1
    assert message in err
    assert server.log == []
    assert not (tmp_path / "cot" / "annotate.jsonl").exists()


def test_a_wrong_key_is_one_line_without_the_key(annotate, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0123456789")
    assert annotate() == 2
    err = capsys.readouterr().err
    assert "refused the key (401)" in err
    assert "wrong-0123" not in err


def test_a_bad_record_at_the_end_costs_nothing(annotate, server, tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"Ann {i}"}) + "\n" for i in range(1000)) + "{}\n")
    assert annotate({"--input": path}) == 2
    assert "record 1001" in capsys.readouterr().err
    assert server.log == []


def test_a_dry_run_prints_a_whole_prompt_and_counts_and_asks_nothing(annotate, server, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert annotate({"--base-url": "http://127.0.0.1:9/v1", "--price-input": 1, "--price-output": 2}, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "2 rows (1 repeated ones left out), 0 done" in said
    assert "--- user ---" in said
    assert "Ann left ." in said
    assert "2 to annotate, about" in said
    assert "4 characters each" in said
    assert "input costs about" in said
    assert not (tmp_path / "cot").exists()


def test_a_dry_run_counts_with_a_tokenizer(annotate, capsys):
    pytest.importorskip("transformers")
    assert annotate({"--tokenizer": ROOT / "recipe" / "tiny_model" / "base"}, "--dry-run") == 0
    assert "counted by the tokenizer" in capsys.readouterr().out


def test_a_dry_run_knows_what_is_done(annotate, capsys):
    assert annotate({"--limit": 1}) == 0
    assert annotate({}, "--dry-run") == 0
    assert "2 rows (1 repeated ones left out), 1 done" in capsys.readouterr().out


@pytest.mark.parametrize("step", ["annotate", "validate", "judge", "export", "stats"])
def test_each_step_has_help_with_an_example(step, capsys):
    with pytest.raises(SystemExit) as end:
        main([step, "--help"])
    assert end.value.code == 0
    assert f"python -m recipe.cot {step}" in capsys.readouterr().out


def test_help_comes_at_once_and_loads_nothing_heavy():
    heavy = ["torch", "ray", "vllm", "openai", "pandas", "pyarrow", "numpy", "transformers"]
    code = "import sys; from recipe.cot.__main__ import _parser; _parser(); print({*sys.argv} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
