"""Puts flash-attn into the environment: a built one if an index has it, else compiled for this machine's GPUs.

    .venv/bin/python launch/flash_attn.py flash-attn==2.8.3
    setup: flash-attn==2.8.3 is not compiled: there is no nvcc here; runs use PyTorch's SDPA attention

Runs go on without it, so the exit status is 0 either way, and the line says why. Called by launch/setup.sh. What the
environment says already (CUDA_HOME, FLASH_ATTN_CUDA_ARCHS, MAX_JOBS, ...) is not overruled.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from recipe.core.memory import memory

LOG = Path(".venv/flash-attn.log")
USUAL = Path("/usr/local/cuda")  # where PyTorch, too, looks last
JOB_BYTES = 9 << 30  # what one compiler may take, by flash-attn's setup.py
# The architectures that setup.py knows; code for the first of a generation runs on the later ones.
ARCHITECTURES = {8: "80", 9: "90", 10: "100", 12: "120"}

_KILLED = re.compile(r"\bKilled\b|signal 9|SIGKILL|Cannot allocate memory|out of memory", re.IGNORECASE)
_COMPILER = re.compile(r"(?:^|\s)(?:fatal )?error\s*: \S|^nvcc fatal")
_EXCEPTION = re.compile(r"^[\w.]*(?:Error|Exception)\b.*: \S")
# They say that something went wrong, and other lines what.
_GENERAL = re.compile(r"CalledProcessError|Error compiling objects|^error: |^hint:")


def architectures(capabilities: Sequence[str]) -> str | None:
    """FLASH_ATTN_CUDA_ARCHS for GPUs of these compute capabilities (`9.0`); None if it has no code for one of them."""
    found = {ARCHITECTURES.get(int(capability.partition(".")[0])) for capability in capabilities}
    return None if None in found else ";".join(sorted(found, key=int))


def jobs(memory: int, cores: int) -> int:
    """How many compilers fit into so many bytes of memory and so many cores."""
    return max(1, min(cores, memory // JOB_BYTES))


def reason(log: str) -> str:
    """The line of a failed build's output that says why it failed."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any(_KILLED.search(line) for line in lines):
        return "the machine ran out of memory and killed a compiler; set MAX_JOBS to a smaller number"
    telling = [line for line in lines if not _GENERAL.search(line)]
    of_compiler = [line for line in telling if _COMPILER.search(line)]
    raised = [line for line in telling if _EXCEPTION.search(line)]
    # A compiler's first complaint brings on the others; of nested exceptions the last is the outermost.
    return ([*of_compiler[:1], *raised[-1:], *telling[-1:]] or ["without a word"])[0][:300]


def capabilities() -> list[str]:
    """Compute capabilities of the GPUs here, by the driver; empty without one."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    return [line.strip() for line in said.splitlines() if re.fullmatch(r"\s*\d+\.\d+\s*", line)]


def toolkit(nvcc: str) -> str:
    """The folder of CUDA's toolkit, as nvcc says it: PyTorch guesses wrong where a link or a wrapper is on the PATH."""
    said = subprocess.run([nvcc, "--dryrun", "-E", "-x", "cu", os.devnull], capture_output=True, text=True).stderr
    top = re.search(r"^#\$ TOP=(.+)$", said, re.MULTILINE)
    return str(Path(top[1].strip()).resolve()) if top else str(Path(nvcc).resolve().parent.parent)


def find_nvcc(given: Mapping[str, str]) -> str | None:
    """Path of nvcc: CUDA_HOME's, the PATH's, or the one in the usual place."""
    if home := given.get("CUDA_HOME") or given.get("CUDA_PATH"):
        return shutil.which(f"{home}/bin/nvcc")
    return shutil.which("nvcc", path=given.get("PATH")) or shutil.which(USUAL / "bin" / "nvcc")


def environment(nvcc: str, archs: str, given: Mapping[str, str]) -> dict[str, str]:
    """What the build is started with. `archs`: empty for all that flash-attn knows."""
    found = {
        "CUDA_HOME": toolkit(nvcc),
        "FLASH_ATTENTION_FORCE_BUILD": "TRUE",  # or it asks for one that was built for another CUDA
        "MAX_JOBS": str(jobs(memory()[0], len(os.sched_getaffinity(0)))),
    }
    if archs:
        found["FLASH_ATTN_CUDA_ARCHS"] = archs
    return {**found, **given}


def works() -> bool:
    """True if this environment's flash-attn can be loaded; a folder of the name is not enough, others bring one."""
    code = "import torch, flash_attn_2_cuda; from flash_attn import flash_attn_varlen_func"
    with LOG.open("a") as log:
        return subprocess.run([sys.executable, "-c", code], stdout=log, stderr=log).returncode == 0


def put(pin: str, install: Sequence[str], say: Callable[[str], None]) -> str | None:
    """Install `pin`; None if it works, else what to say."""
    if subprocess.run([*install, "-q", "--only-binary", "flash-attn", pin], capture_output=True).returncode == 0:
        return None if works() else f"of the index does not work: {reason(LOG.read_text(errors='replace'))}"
    nvcc, cards = find_nvcc(os.environ), capabilities()
    archs = architectures(cards)
    if nvcc is None:
        return "is not compiled: there is no nvcc here (of CUDA's toolkit)"
    if archs is None:
        return f"is not compiled: it has no code for compute capability {', '.join(sorted(set(cards)))}"
    env = environment(nvcc, archs, os.environ)
    what = f"architecture {env['FLASH_ATTN_CUDA_ARCHS']}" if env.get("FLASH_ATTN_CUDA_ARCHS") else "every GPU it knows"
    say(f"is compiled for {what} with MAX_JOBS={env['MAX_JOBS']}; with few cores this takes hours (log: {LOG})")
    with LOG.open("a") as log:
        command = [*install, "--no-build-isolation", "--no-binary", "flash-attn", pin]
        done = subprocess.run(command, env=env, stdout=log, stderr=subprocess.STDOUT).returncode == 0
    return None if done and works() else f"could not be compiled: {reason(LOG.read_text(errors='replace'))}"


def main(pin: str) -> int:
    """Install `pin` or say why not; 0."""

    def say(text: str) -> None:
        print(f"setup: {pin} {text}", file=sys.stderr, flush=True)

    uv = str(Path(sys.executable).with_name("uv"))
    LOG.write_text("")
    why = put(pin, [uv, "pip", "install", "-p", sys.executable, "--no-deps"], say)
    if why:
        subprocess.run([uv, "pip", "uninstall", "-q", "-p", sys.executable, "flash-attn"], capture_output=True)
    say(f"{why}; runs use PyTorch's SDPA attention (log: {LOG})" if why else "is in place")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
