"""The address at which other machines reach this one: neither loopback, which Debian gives to a host's own name, nor a
bridge of containers.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence

from recipe.core.entities import DataError

# In RFC 5737's range for documentation, so that nobody has it: the way to it is the default route.
_NOWHERE = "203.0.113.1"
# Interfaces between this machine and its own containers and virtual machines.
_INSIDE = re.compile(r"(lo|docker|podman|br-|cni|veth|virbr|lxc|lxd|flannel|cali|tunl|cilium|kube|nerdctl)")


def towards(host: str) -> str:
    """This machine's address on its way to `host`; nothing is sent. Empty where there is no way, or no such host."""
    try:
        # IPv4 first, which Ray and NCCL take by default.
        found = sorted(socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM), key=lambda item: item[0] != socket.AF_INET)
    except OSError:
        return ""
    for family, kind, protocol, _, place in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(place)
                return probe.getsockname()[0]
        except OSError:
            continue
    return ""


def own() -> list[str]:
    """This machine's addresses that another could reach, IPv4 first, in the order of its interfaces."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if name in up and not _INSIDE.match(name) and entry.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return sorted(filter(_leads_out, found), key=lambda address: ":" in address)


def reached_at(others: Sequence[str] = ()) -> str:
    """The address at which `others`, host names or addresses of machines, reach this one.

    It is the one from which this machine goes to the first of them that isn't itself, else the default route's, else
    the first interface's. DataError if there is none but loopback; without `others`, that is then the answer.
    """
    for host in (*others, _NOWHERE):
        if _leads_out(address := towards(host)):
            return address
    if found := own():
        return found[0]
    if others:
        raise DataError(
            f"{socket.gethostname()}: no address but loopback; give --node-ip, one that {others[-1]} can reach"
        )
    return "127.0.0.1"


def of(host: str) -> set[str]:
    """The addresses that a host's name stands for; this machine's own where it stands for loopback."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
    return found | set(own()) if any(not _leads_out(address) for address in found) else found


def joined(address: str, port: int) -> str:
    """HOST:PORT."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _leads_out(address: str) -> bool:
    if not address:
        return False
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified)
