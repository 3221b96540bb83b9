"""One rank of the SFT trainer, watched: memory and seconds of each step, as JSON.

    python tests/benchmarks/watched_sft.py OUT.json sft_tiny data.train_files=TRAIN trainer.total_training_steps=3

Run with torchrun's variables for a single rank; `watch` sets them. Memory on a CPU is the process's resident set, on a
GPU what PyTorch has allocated; `baseline` is that before the model is built, `peak` the highest value within a step:

    {"baseline": 873000000, "steps": [{"peak": 1213000000, "seconds": 1.9, "tokens": 4100}]}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def watch(folder: Path, experiment: str, overrides: Sequence[str]) -> dict:
    """Train in a process of its own; what was measured. RuntimeError with the end of its output if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    from recipe import cpu
    from recipe.train.config import compose

    on_cpu = compose(experiment, overrides).trainer.device == "cpu"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **(cpu.ENVIRONMENT if on_cpu else {}), "PYTHONPATH": path}
    if on_cpu:  # verl's engine, as on a GPU; recipe.engines.cpu takes less memory
        environment["VERL_ENGINE_VENDOR"] = "none"
    environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20_000 + os.getpid() % 10_000)}
    out, log = folder / "measured.json", folder / "log.txt"
    command = [sys.executable, __file__, str(out), experiment, *overrides]
    with log.open("w") as file:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{experiment}: the trainer ended with status {done.returncode}:\n{log.read_text()[-3000:]}")
    return json.loads(out.read_text())


class _Memory:
    """Bytes in use and their peak, of PyTorch's allocator or of the process."""

    def __init__(self, device: str) -> None:
        import torch

        self.cuda = torch.cuda if device == "cuda" else None

    def now(self) -> int:
        return self.cuda.memory_allocated() if self.cuda else self._status("VmRSS")

    def forget_peak(self) -> None:
        if self.cuda:
            self.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        return self.cuda.max_memory_allocated() if self.cuda else self._status("VmHWM")

    @staticmethod
    def _status(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(out: str, experiment: str, *overrides: str) -> None:
    from verl.utils.device import auto_set_device
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    from recipe.train.config import compose
    from sft.train import AnswerTrainer

    config = compose(experiment, overrides)
    memory = _Memory(str(config.trainer.device))

    class Watched(AnswerTrainer):
        def _init_engine(self) -> None:
            self.measured = {"baseline": memory.now(), "steps": []}
            super()._init_engine()
            train_batch = self.training_client.train_batch

            def watched(data):
                memory.forget_peak()
                began, tokens = time.perf_counter(), int(data["input_ids"].offsets()[-1])
                output = train_batch(data=data)
                seconds = time.perf_counter() - began  # a step ends with the gradient's norm on the host
                self.measured["steps"].append({"peak": memory.peak(), "seconds": seconds, "tokens": tokens})
                return output

            self.training_client.train_batch = watched

    auto_set_device(config)
    initialize_global_process_group()
    trainer = Watched(config=config)
    trainer.fit()
    Path(out).write_text(json.dumps(trainer.measured))
    destroy_global_process_group()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(*sys.argv[1:])
