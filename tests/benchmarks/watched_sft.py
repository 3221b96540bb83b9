"""One rank of the SFT trainer, watched: memory and seconds of each step, as JSON.

    python tests/benchmarks/watched_sft.py OUT.json sft_tiny data.train_files=TRAIN trainer.total_training_steps=3

Run with torchrun's variables for a single rank; `watch` sets them. Memory on a CPU is the process's resident set, on a
GPU what PyTorch has allocated; `baseline` is that before the model is built, `peak` the highest value within a step.
`derived` are the settings that recipe.train would add on this machine, and that are added here:

    {"derived": ["model.use_fused_kernels=true"], "baseline": 873000000,
     "steps": [{"peak": 1213000000, "seconds": 1.9, "tokens": 4100}], "profile": null}

With PROFILE=1 in the environment the last step is profiled and isn't among `steps`. `profile` is then what took the
device's time in it, kernels or on a CPU operators, the longest first: [{"name": ..., "calls": 56, "seconds": 0.31}].
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
PROFILE = "PROFILE"
MOST = 25  # of a profile's lines


def watch(folder: Path, experiment: str, overrides: Sequence[str], profile: bool = False) -> dict:
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
    environment[PROFILE] = str(int(profile))
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


def _longest(profiler, cuda: bool) -> list[dict]:
    """What took the time of a profiled step: self time on the device, in seconds."""
    from torch.autograd import DeviceType

    rows = [
        {"name": event.key[:120], "calls": event.count, "seconds": time_of / 1e6}
        for event in profiler.key_averages()
        # On a GPU an operator has the time of its kernels, which are events, too; and verl marks its micro-batches.
        if event.device_type == (DeviceType.CUDA if cuda else DeviceType.CPU)
        and not event.is_user_annotation
        and (time_of := event.self_device_time_total if cuda else event.self_cpu_time_total)
    ]
    return sorted(rows, key=lambda row: -row["seconds"])[:MOST]


def main(out: str, experiment: str, *overrides: str) -> None:
    import torch
    from verl.utils.device import auto_set_device
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    from recipe.train.checks import check
    from recipe.train.config import compose
    from sft.train import AnswerTrainer

    plan = check(experiment, overrides, ranks=1)
    config = compose(experiment, [*overrides, *plan.derived])
    device = str(config.trainer.device)
    memory = _Memory(device)

    class Watched(AnswerTrainer):
        def _init_engine(self) -> None:
            self.measured = {"derived": plan.derived, "baseline": memory.now(), "steps": [], "profile": None}
            super()._init_engine()
            train_batch = self.training_client.train_batch

            def watched(data):
                if os.environ.get(PROFILE) == "1" and len(self.measured["steps"]) == plan.steps - 1:
                    with torch.profiler.profile() as profiler:  # of the CPU, and of the GPU if there is one
                        output = train_batch(data=data)
                    self.measured["profile"] = _longest(profiler, device == "cuda")
                    return output
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
