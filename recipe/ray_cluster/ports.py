"""The ports of a Ray node: a block of 1,000 from its first on, each used once; a batch job has its own.

first + 0 ... 5      its services: node manager, object manager, dashboard's agents, metrics, runtime environments
first + 6            a head's Ray Client
first + 7, 8         a batch job's head itself, and its dashboard (else 6379 and 8265)
first + 100 ... 999  its workers, one a process
"""

import socket
from dataclasses import dataclass

from recipe.core.entities import DataError

SIZE = 1000
_SERVICES = (
    "node-manager",
    "object-manager",
    "dashboard-agent-listen",
    "dashboard-agent-grpc",
    "metrics-export",
    "runtime-env-agent",
)
_CLIENT, _HEAD, _DASHBOARD = range(len(_SERVICES), len(_SERVICES) + 3)
_WORKERS = (100, SIZE - 1)
# Jobs' blocks lie above what services are known by (Ray's 6379, 8265 and 10001, Slurm's 6817), below torchrun's 29400
# and 29500, and below what Linux gives to whoever asks for no port in particular (32768 and more): verl, vLLM and NCCL.
_BLOCKS = range(11000, 29000, SIZE)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a node from `first` on; `head` and `dashboard` are a head's (no dashboard: 0)."""

    first: int = 20000
    head: int = 6379
    dashboard: int = 8265

    @property
    def workers(self) -> range:
        return range(self.first + _WORKERS[0], self.first + _WORKERS[1] + 1)

    def services(self, role: str) -> dict[str, int]:
        """What listens at a port of its own, by the name that `ray start` has for it."""
        found = {f"{name}-port": self.first + index for index, name in enumerate(_SERVICES)}
        if role == "head":
            found |= {"port": self.head, "ray-client-server-port": self.first + _CLIENT}
            found |= {"dashboard-port": self.dashboard} if self.dashboard else {}
        return found

    def flags(self, role: str) -> list[str]:
        """`ray start`'s. DataError for a number that is no port, or that two of them would share."""
        services = self.services(role)
        for name, port in services.items():
            if not 1024 <= port <= 65535 or self.workers[-1] > 65535:
                raise DataError(
                    f"--{name}={port}: ports are 1024 to 65535, and a node takes {SIZE:,} from --first-port on"
                )
            if port in self.workers or list(services.values()).count(port) > 1:
                raise DataError(
                    f"--{name}={port}: the node takes this port for something else, too; keep out of the {SIZE:,} from "
                    f"--first-port={self.first} on, or give another --first-port"
                )
        ends = {"min-worker-port": self.workers[0], "max-worker-port": self.workers[-1]}
        return [f"--{name}={port}" for name, port in {**services, **ends}.items()]

    def check_free(self, role: str) -> None:
        """DataError naming a service's port that somebody else has; of the workers' Ray passes over what is taken."""
        for name, port in self.services(role).items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("", port))
                except OSError as error:
                    raise DataError(
                        f"--{name}={port}: {error.strerror} on {socket.gethostname()}; end what listens there, or give "
                        "another --first-port, --port or --dashboard-port"
                    ) from error


def of_job(job: int) -> Ports:
    """The ports of a batch job's nodes: jobs whose numbers differ by less than 18 can share a machine."""
    first = _BLOCKS[job % len(_BLOCKS)]
    return Ports(first, first + _HEAD, first + _DASHBOARD)
