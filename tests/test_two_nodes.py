"""Two nodes on this machine: GRPO over two Ray nodes, one of which is killed and comes back, and SFT's rendezvous."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from test_loop import ROOT, data, model, processes_of, python, small_grpo, work  # noqa: F401
from test_loop import pytestmark as of_the_loop

from recipe.models.checkpoints import find_checkpoint
from recipe.models.run_log import read_metrics
from recipe.train.__main__ import newest_step

pytestmark = [*of_the_loop, pytest.mark.long]


def free_port():
    with socket.socket() as found:
        found.bind(("", 0))
        return found.getsockname()[1]


def launch(script, *arguments, **environment):
    line = ["bash", ROOT / "launch" / script, *map(str, arguments)]
    done = subprocess.run(line, env={**os.environ, "NER_PYTHON": sys.executable, **environment}, **TEXT)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


TEXT = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 600}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster whose head has one slot: its address, and `start()`, which adds, or puts back, a worker of one slot."""
    state = tmp_path_factory.mktemp("nodes")
    memory = ["--", "--object-store-memory=500000000"]
    said = launch(
        "ray_cluster.sh", "head", "--port", free_port(), "--dashboard-port", 0, "--state", state / "1", *memory
    )
    address = re.search(r"RAY_ADDRESS=(\S+)", said)[1]

    def start():
        launch("ray_cluster.sh", "stop", "--state", state / "2")
        launch("ray_cluster.sh", "worker", "--first-port", 21000, "--state", state / "2", *memory, RAY_ADDRESS=address)
        return launch("ray_cluster.sh", "wait", "--nodes", 2, "--deadline", 60, RAY_ADDRESS=address)

    yield address, start
    for folder in ("2", "1"):
        launch("ray_cluster.sh", "stop", "--state", state / folder)


def raylet_of_the_worker():
    """The process whose end is a node's end, of the node at port 21000."""
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "raylet" and "--node_manager_port=21000" in process.info["cmdline"]:
            return process
    raise AssertionError("no raylet at port 21000")


@pytest.fixture(scope="module")
def grpo(data, model, cluster):  # noqa: F811
    """Six steps on two nodes: the worker is killed after the second, comes back, and the run is resumed."""
    address, start = cluster
    run = data / "runs" / "grpo"
    length = {"trainer.total_training_steps": 6, "trainer.test_freq": -1}
    command = small_grpo(data, model, run, {"trainer.nnodes": 2, **length})
    nodes = start()
    environment = {**os.environ, "RAY_ADDRESS": address}
    with (data / "first.txt").open("w") as log:
        first = subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 500
    while 2 not in read_metrics(run) and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.5)  # into the next step: on an idle machine each takes two to three seconds
    killed_at = time.monotonic()
    raylet_of_the_worker().send_signal(signal.SIGKILL)
    status = first.wait(timeout=120)
    seconds = time.monotonic() - killed_at
    left, after_kill = processes_of(run), newest_step(run)
    start()
    last = python(*command, RAY_ADDRESS=address)
    return {
        "run": run, "nodes": nodes, "said": (data / "first.txt").read_text(), "status": status, "seconds": seconds,
        "left": left, "after_kill": after_kill, "last": last.stdout,
    }  # fmt: skip


def test_two_nodes_are_seen_with_a_slot_each(grpo):
    assert grpo["nodes"].count("1 slots") == 2
    assert grpo["said"].count("1 slots, as here") == 2


def test_a_lost_node_ends_the_run_within_a_minute_and_is_named(grpo):
    assert grpo["status"] != 0
    assert grpo["seconds"] < 60
    assert re.search(r"supervise: node \S+ \(\w{8}\) left the cluster", grpo["said"])
    assert f"resumes it after step {grpo['after_kill']}" in grpo["said"]


def test_a_lost_node_leaves_no_process(grpo):
    assert grpo["left"] == []


def test_the_run_is_resumed_from_its_last_checkpoint_on_two_nodes(grpo):
    assert 2 <= grpo["after_kill"] < 6
    assert f"goes on after step {grpo['after_kill']} of 6" in grpo["last"]
    assert newest_step(grpo["run"]) == 6
    # verl writes a step's checkpoint before its figures: between the two, the figures are lost, and nothing else
    assert {1, 2, 3, 4, 5, 6} - set(read_metrics(grpo["run"])) <= {grpo["after_kill"]}


def test_the_checkpoint_of_two_nodes_is_merged(grpo, data):  # noqa: F811
    assert find_checkpoint(grpo["run"]).world_size == 2
    python("-m", "recipe.merge", grpo["run"], "--out", data / "models" / "grpo")
    assert list((data / "models" / "grpo").glob("*.safetensors"))


def test_sft_on_two_nodes_makes_one_checkpoint(data, model):  # noqa: F811
    run = data / "runs" / "sft"
    command = ["-m", "recipe.train", "sft_tiny", "--ranks", "1", f"data.train_files={data / 'sft' / 'train.parquet'}"]
    command += [f"model.path={model}", f"trainer.default_local_dir={run}", "data.train_batch_size=4"]
    command += ["trainer.nnodes=2", "trainer.total_epochs=1", "trainer.total_training_steps=2"]
    meeting = {**os.environ, "RDZV_ENDPOINT": f"127.0.0.1:{free_port()}", "PET_LOCAL_ADDR": "127.0.0.1"}
    both = [
        subprocess.Popen([sys.executable, *command], cwd=ROOT, env=meeting | {"NODE_RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [node.wait(timeout=300) for node in both] == [0, 0]
    assert find_checkpoint(run).world_size == 2
    assert list(read_metrics(run)) == [1, 2]
    assert (run / "log.txt").is_file()
    assert (run / "log.node1.txt").is_file()
