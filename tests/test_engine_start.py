"""The start of vLLM: the collector during imports, and the engine that vLLM's own `LLM` would make."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe import cpu
from recipe.core.entities import DataError
from recipe.core.imports import first_import_of
from recipe.generate import engine as generate

TINY = Path(__file__).resolve().parent.parent / "recipe" / "tiny_model" / "base"


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
from recipe.core.entities import DataError
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
