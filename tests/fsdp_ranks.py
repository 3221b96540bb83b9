"""Run a script on two ranks without a GPU, as torchrun starts them. Not a test module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from recipe import cpu

ROOT = Path(__file__).resolve().parent.parent


def two_ranks(script: Path, *arguments: object, timeout: float = 300) -> None:
    """Fail with the end of its standard error unless it succeeds within `timeout` seconds."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
    done = subprocess.run(
        [*map(str, command), *map(str, arguments)],
        env={**os.environ, **cpu.ENVIRONMENT, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
