"""A Ray cluster's nodes: started alike with known ports, waited for, joined, and only what was started here stopped.

    python -m recipe.ray_cluster head --slots 8
    export RAY_ADDRESS=10.0.0.1:6379
    python -m recipe.ray_cluster worker --address 10.0.0.1:6379 --slots 8         # on every other machine
    python -m recipe.ray_cluster wait --nodes 2 --slots 8
    10.0.0.1 (5f0c1d2e)  8 slots, 96 CPUs
    10.0.0.2 (a7b1e93c)  8 slots, 96 CPUs
    python -m recipe.ray_cluster stop                                              # on every machine

The workers of a run have the environment that their node was started with, so what they need on every node (NCCL_*,
GLOO_SOCKET_IFNAME, HF_HOME, ...) must be set before. What was started is recorded in a folder of this machine.

Ports: --port for the head (6379); from --first-port on (20000), seven for the node's services and, a hundred later, its
workers'; 8265 for the dashboard, where jobs are submitted (`ports.py`). verl, NCCL and vLLM choose free
ones of the system's. --job, a batch job's number, gives a job ports of its own, also the head's and the dashboard's:

    python -m recipe.ray_cluster address --job 4711 --expect node01,node02       # on the machine where the head will be
    10.0.0.1:24007
    python -m recipe.ray_cluster head --job 4711
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from recipe.core.command_line import exit_status
from recipe.core.entities import DataError
from recipe.ray_cluster import address, nodes
from recipe.ray_cluster import node as ray_node
from recipe.ray_cluster import ports as ray_ports
from recipe.ray_cluster.join import TRY, join, join_soon

_REMEDY = "see that machine's log in its state folder, or raise --deadline"


def wait(head: str, wanted: int, slots: int, seconds: float, expected: Sequence[str] = ()) -> list[nodes.Node]:
    """The live nodes with `slots` slots, once they are `wanted`; after `seconds` a DataError that says who isn't there.

    `expected` are host names or addresses of the machines that are to come.
    """
    deadline, problem, found, cluster = time.monotonic() + seconds, "", [], None
    while True:
        try:
            if cluster is None:
                join(head, seconds=TRY)
                cluster = nodes.Cluster(head)
            found = [node for node in cluster.nodes() if node.alive]
            problem = ""
        except DataError as error:
            problem = str(error)
        except nodes.silence() as error:
            problem = " ".join(str(error).split())[:120] or type(error).__name__
        able = [node for node in found if node.slots >= slots]
        if len(able) >= wanted and not problem:
            return able
        if time.monotonic() > deadline:
            raise DataError(f"{head}: {_shortage(able, found, wanted, slots, seconds, expected)}; {problem or _REMEDY}")
        time.sleep(1)


def _shortage(able, found, wanted: int, slots: int, seconds: float, expected: Sequence[str]) -> str:
    text = f"{len(able)} of {wanted} nodes with {slots} slots after {seconds:.0f} s"
    few = [f"{node.name} has {node.slots}" for node in found if node not in able]
    there = {node.ip for node in able}
    missing = [name for name in expected if name not in there and not address.of(name) & there]
    text += f"; there are {', '.join(node.name for node in able) or 'none'}"
    return text + "".join(f"; {word}" for word in few) + (f"; missing: {', '.join(missing)}" if missing else "")


def status(head: str | None, state: Path) -> int:
    """Print what was started here and, if there is an address, the cluster's live nodes."""
    for record in sorted(state.glob("*.json")):
        node = ray_node.read(record)
        life = "runs" if ray_node.is_running(node) else "is gone"
        print(f"{node.role} on {node.host}, pid {node.pid}: {life}; {node.log}")
        head = head or node.address
    if not head:
        raise DataError("no address: set RAY_ADDRESS, or give --address")
    join(head)
    _print([node for node in nodes.Cluster(head).nodes() if node.alive])
    return 0


def _print(found: Sequence[nodes.Node]) -> None:
    for node in found:
        print(f"{node.name}  {node.slots} slots, {node.cpus} CPUs")


def _ports(args: argparse.Namespace) -> ray_ports.Ports:
    """The job's or the usual ports, but for those that are given."""
    usual = ray_ports.Ports() if args.job is None else ray_ports.of_job(args.job)
    given = {"first": args.first_port, "head": args.port, "dashboard": args.dashboard_port}
    return dataclasses.replace(usual, **{name: port for name, port in given.items() if port is not None})


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line's settings; `extra` is what follows `--`."""
    parser = argparse.ArgumentParser(
        prog="python -m recipe.ray_cluster",
        description="Start, wait for and stop the nodes of a Ray cluster. What follows `--` goes to `ray start`.",
        epilog="examples:\n"
        "  python -m recipe.ray_cluster head --slots 8\n"
        "  python -m recipe.ray_cluster worker --address 10.0.0.1:6379 --slots 8 -- --object-store-memory=8000000000\n"
        "  python -m recipe.ray_cluster wait --nodes 2 --slots 8 --deadline 300 --expect node01,node02\n"
        "two nodes on one machine, without a GPU:\n"
        "  python -m recipe.ray_cluster head --slots 1\n"
        "  python -m recipe.ray_cluster worker --address HOST:6379 --slots 1 --first-port 21000\n"
        "a batch job's, on the machine of its head (launch/slurm_grpo.sbatch):\n"
        "  python -m recipe.ray_cluster address --job 4711 --expect node01,node02\n"
        "  python -m recipe.ray_cluster head --job 4711 --expect node01,node02 --block",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = Path(tempfile.gettempdir()) / f"reasoning-ner-ray-{os.getuid()}"
    parser.add_argument("action", choices=("head", "worker", "wait", "status", "stop", "address"))
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS"), help="the head's HOST:PORT (RAY_ADDRESS)")
    parser.add_argument("--state", type=Path, default=folder, help=f"this machine's records and logs ({folder})")
    parser.add_argument("--deadline", type=float, default=300, help="seconds to be up, or to wait (300)")
    parser.add_argument("--expect", default="", help="host names of all machines, comma-separated: `wait` says who is "
        "missing, `head` and `address` take the address that they reach this one at")  # fmt: skip
    node = parser.add_argument_group("head, worker and address")
    node.add_argument("--slots", type=int, help="GPUs to offer (default: those there are; 1 logical one on a CPU)")
    node.add_argument("--cpus", type=int, help="CPUs to offer (default: the cores; on a CPU what verl asks for)")
    node.add_argument(
        "--node-ip", help="the address that others reach this machine at (default: found by the way to them)"
    )
    node.add_argument("--job", type=int, help="a batch job's number: ports of its own in place of those below")
    node.add_argument("--port", type=int, help="the head's port (6379)")
    node.add_argument("--first-port", type=int, help="first of this node's block of 1,000 ports (20000)")
    node.add_argument("--dashboard-host", default="127.0.0.1", help="0.0.0.0: jobs may be submitted from elsewhere")
    node.add_argument("--dashboard-port", type=int, help="head: 0 for no dashboard (8265)")
    node.add_argument("--block", action="store_true", help="stay until the node ends (for srun)")
    waiting = parser.add_argument_group("wait")
    waiting.add_argument("--nodes", type=int, default=1, help="nodes to wait for")
    given = list(argv)
    cut = given.index("--") if "--" in given else len(given)
    args = parser.parse_args(given[:cut])
    args.extra, args.expected = given[cut + 1 :], [name for name in args.expect.split(",") if name]
    args.ports = _ports(args)
    if args.action in ("head", "address"):
        args.node_ip = args.node_ip or address.reached_at(args.expected)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    def run() -> int:
        args = parse(sys.argv[1:] if argv is None else argv)
        if args.action in ("worker", "wait") and not args.address:
            raise DataError(f"{args.action}: no address; set RAY_ADDRESS, or give --address HOST:PORT of the head")
        if args.action == "address":
            print(address.joined(args.node_ip, args.ports.head))
            return 0
        if args.action == "wait":
            _print(wait(args.address, args.nodes, args.slots or 1, args.deadline, args.expected))
            return 0
        if args.action == "status":
            return status(args.address, args.state)
        if args.action == "stop":
            return ray_node.stop(args.state)
        if args.action == "worker":
            join_soon(args.address, args.deadline)  # for the token, which its `ray start` must show
        return ray_node.start(args.action, args, args.extra)

    return exit_status("ray_cluster", run)


if __name__ == "__main__":
    sys.exit(main())
