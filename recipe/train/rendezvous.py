"""Where the nodes of an SFT run meet: torchrun's rendezvous, told by the environment.

    RDZV_ENDPOINT=node01:29400 NODE_RANK=0 python -m recipe.train sft_qwen3_8b trainer.nnodes=2      # on node01
    RDZV_ENDPOINT=node01:29400 NODE_RANK=1 python -m recipe.train sft_qwen3_8b trainer.nnodes=2      # on node02

In a Slurm batch script, which runs on the first node; NODE_RANK is Slurm's SLURM_NODEID there:

    export RDZV_ENDPOINT=$(bash launch/ray_cluster.sh address --job "$SLURM_JOB_ID")
    srun --ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" bash launch/train.sh sft_qwen3_8b trainer.nnodes=2

Every node checks its own view of data and model (`recipe.preflight`); the run's folder must be one that all share.
verl's SFT trainer on Ray has neither our dataset's settings nor our losses, so that torchrun it is.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.ray_cluster.address import towards


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Where the nodes of an SFT run meet: `endpoint` is HOST:PORT of the first, `node` this one's number.

    `local` is the address at which the others reach this one; empty if that is not known.
    """

    nodes: int
    node: int
    endpoint: str
    run: str
    local: str = ""

    @property
    def flags(self) -> list[str]:
        """torchrun's; its other settings may be given as PET_*, for instance PET_LOCAL_ADDR.

        Who hosts the meeting and which address is whose torchrun would guess by the host's own name, which on Debian
        stands for loopback: then nobody hosts it, or the others look for the first rank on themselves.
        """
        flags = ["--nnodes", str(self.nodes), "--node_rank", str(self.node), "--rdzv_backend", "c10d"]
        flags += ["--rdzv_endpoint", self.endpoint, "--rdzv_id", self.run]
        flags += ["--rdzv_conf", f"is_host={str(self.node == 0).lower()}"]
        return [*flags, "--local_addr", self.local] if self.local else flags


def rendezvous(nodes: int, run: Path, environment: Mapping[str, str]) -> Rendezvous | None:
    """The meeting of an SFT run's `nodes` nodes, by RDZV_ENDPOINT and NODE_RANK (or Slurm's SLURM_NODEID).

    None for a single node. DataError where one of the two is missing or wrong.
    """
    if nodes == 1:
        return None
    endpoint = environment.get("RDZV_ENDPOINT", "")
    node = environment.get("NODE_RANK", environment.get("SLURM_NODEID", ""))
    if not endpoint.rpartition(":")[2].isdecimal():
        raise DataError(
            f"trainer.nnodes={nodes}, RDZV_ENDPOINT={endpoint or '(not set)'}: set it to HOST:PORT of the first node, "
            f"and NODE_RANK to 0 ... {nodes - 1}, and give this command on each"
        )
    if not node.isdecimal() or int(node) >= nodes:
        raise DataError(f"NODE_RANK={node or '(not set)'}: set it to this node's number, 0 ... {nodes - 1}")
    host = endpoint.rpartition(":")[0].strip("[]")
    local = host if int(node) == 0 else towards(host)
    return Rendezvous(nodes, int(node), endpoint, run.name, "" if environment.get("PET_LOCAL_ADDR") else local)


def wait_for_the_first_node(path: Path, record: dict, seconds: float = 120) -> None:
    """DataError unless the first node's run.json, which must say what this node's would, comes into sight."""
    deadline = time.monotonic() + seconds
    while not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != record:
        if time.monotonic() > deadline:
            there = "is of another command or other versions" if path.is_file() else "isn't there"
            raise DataError(
                f"{path}: {there} after {seconds:.0f} s; give the same command on every node, with the same versions "
                "and trainer.default_local_dir on storage that they share"
            )
        time.sleep(0.5)
