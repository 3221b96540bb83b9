"""Which ports a node takes, as Ray reads them from its command line."""

from __future__ import annotations

import socket

import pytest

from recipe.core.entities import DataError
from recipe.ray_cluster import __main__ as ray_cluster
from recipe.ray_cluster import node as ray_node
from recipe.ray_cluster.ports import Ports, of_job

EPHEMERAL = 32768  # from here on Linux hands ports to whoever asks for none in particular
OTHERS = {6379, 8265, 10001, 6817, 6818, 6819, 29400, 29500}  # Ray's, Slurm's and torchrun's own


def ports_of(line: list[str]) -> list[int]:
    """The ports that a `ray start` names."""
    flags = dict(word[2:].split("=") for word in line if "port=" in word)
    workers = range(int(flags.pop("min-worker-port")), int(flags.pop("max-worker-port")) + 1)
    return [*map(int, flags.values()), *workers]


def taken(*words: str) -> list[int]:
    """The ports of the `ray start` that a command line of ours leads to."""
    args = ray_cluster.parse([*words, "--node-ip", "10.0.0.1"])
    return ports_of(ray_node.command(args.action, args))


def test_every_port_of_a_node_is_its_own():
    head, worker = taken("head"), taken("worker", "--first-port", "21000")
    assert len(set(head)) == len(head)
    assert not set(head) & set(worker)


def test_ray_finds_no_port_twice():
    from ray._private.parameter import RayParams

    ports = of_job(4711)
    found = {name.replace("-", "_"): port for name, port in ports.services("head").items()}
    workers = {"min_worker_port": ports.workers[0], "max_worker_port": ports.workers[-1]}
    renamed = {"metrics_agent_port": found.pop("dashboard_agent_grpc_port"), "redis_port": found.pop("port")}
    RayParams(**found, **workers, **renamed).update_pre_selected_port()
    with pytest.raises(ValueError, match="used by other components"):
        RayParams(**found, **workers, **renamed | {"redis_port": ports.workers[7]}).update_pre_selected_port()


def test_no_job_takes_a_port_twice_or_a_known_one():
    """By number; tests/test_launch_scripts.py has the batch script say it."""
    for job in range(10_000):
        ports = ports_of(of_job(job).flags("head"))
        assert len(set(ports)) == len(ports), job
        assert set(ports_of(of_job(job).flags("worker"))) < set(ports), job
        assert max(ports) < EPHEMERAL, job
        assert not OTHERS & set(ports), job


def test_jobs_with_numbers_close_together_can_share_a_machine():
    blocks = [set(taken("head", "--job", str(job))) for job in range(994, 1012)]
    assert len(set().union(*blocks)) == sum(map(len, blocks))


def test_what_is_given_besides_a_job_holds():
    assert 8265 in taken("head", "--job", "3", "--dashboard-port", "8265")


@pytest.mark.parametrize(
    "words",
    [
        ("--port", "20500"),  # a worker's
        ("--port", "20003"),  # the dashboard agent's
        ("--first-port", "8000"),  # its workers take the dashboard's 8265
        ("--port", "8265"),
        ("--port", "80"),
        ("--first-port", "65000"),
    ],
)
def test_ports_that_collide_are_one_line(words):
    with pytest.raises(DataError, match=r"--[a-z-]+=\d+: "):
        taken("head", *words)


def test_a_port_that_somebody_has_is_named_before_ray_starts():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DataError, match=rf"--port={port}: .*in use"):
            Ports(head=port).check_free("head")
    Ports(head=port).check_free("worker")
