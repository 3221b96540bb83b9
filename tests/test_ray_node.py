"""A node's command, environment and end; tests/test_two_nodes.py starts real ones."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import socket
import subprocess
import sys

import psutil
import pytest

from recipe.core.entities import DataError
from recipe.ray_cluster import node as ray_node
from recipe.ray_cluster.ports import Ports


def settings(**changes):
    given = {
        "address": "10.0.0.1:6379", "ports": Ports(), "slots": 8, "cpus": None, "node_ip": "10.0.0.2",
        "dashboard_host": "127.0.0.1",
    }  # fmt: skip
    return argparse.Namespace(**(given | changes))


def test_a_worker_is_told_its_head_and_its_address():
    line = ray_node.command("worker", settings(), ["--labels=a=b"])
    assert {"--address=10.0.0.1:6379", "--node-ip-address=10.0.0.2", "--num-gpus=8", "--labels=a=b"} <= set(line)
    assert "--head" not in line


def test_a_node_without_a_gpu_is_started_for_verls_cpu_platform():
    found = ray_node.environment(True, "m", {"RAY_ADDRESS": "x", "NCCL_DEBUG": "INFO", "VLLM_CPU_KVCACHE_SPACE": "2"})
    assert found["VERL_PLATFORM"] == "cpu"
    assert (found["NCCL_DEBUG"], found["VLLM_CPU_KVCACHE_SPACE"]) == ("INFO", "2"), "what was given stays"
    assert "RAY_ADDRESS" not in found
    assert "VERL_PLATFORM" not in ray_node.environment(False, "m", {})


@pytest.fixture
def started(tmp_path):
    """A recorded node, which is a sleeping bash here, and a process of somebody else's."""
    command = ["bash", "-c", "(setsid sleep 43210 &); sleep 43211"]
    environment = {**os.environ, ray_node.MARK: "mine"}
    node = subprocess.Popen([sys.executable, "-m", "recipe.ray_cluster.supervise", "--", *command], env=environment)
    other = subprocess.Popen(["sleep", "43212"], env={**os.environ, ray_node.MARK: "another's"})
    created = psutil.Process(node.pid).create_time()
    record = ray_node.Started("worker", "10.0.0.1:6379", node.pid, created, "mine", socket.gethostname(), "log")
    (tmp_path / "worker-20000.json").write_text(json.dumps(dataclasses.asdict(record)))
    while not sleeping("43211"):
        assert node.poll() is None
    yield node, tmp_path
    ray_node.stop(tmp_path)  # with what a killed node would leave
    for process in (node, other):
        process.kill()
        process.wait()


def sleeping(seconds):
    return [p.pid for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[:2] == ["sleep", seconds]]


def test_stop_ends_a_node_and_what_it_started_and_nothing_else(started):
    ray_node.stop(started[1])
    assert started[0].wait(timeout=30) is not None
    assert sleeping("43210") == sleeping("43211") == []
    assert len(sleeping("43212")) == 1
    assert list(started[1].iterdir()) == []


def test_stop_finds_what_a_killed_node_left(started):
    started[0].kill()
    started[0].wait()
    ray_node.stop(started[1])
    assert sleeping("43210") == sleeping("43211") == []


def test_a_process_that_got_the_number_of_a_dead_node_is_left_alone(started):
    record = ray_node.read(started[1] / "worker-20000.json")
    assert not ray_node.is_running(dataclasses.replace(record, created=record.created - 60))


def test_stop_says_that_there_is_nothing(tmp_path, capsys):
    assert ray_node.stop(tmp_path) == 0
    assert "nothing was started" in capsys.readouterr().out


def test_a_broken_record_is_one_line(tmp_path):
    (tmp_path / "head-6379.json").write_text("{")
    with pytest.raises(DataError, match=r"head-6379.json: not a record"):
        ray_node.stop(tmp_path)
