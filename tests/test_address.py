"""The address at which others reach this machine, on machines whose names and ways are made up."""

from __future__ import annotations

import ipaddress
import socket
from types import SimpleNamespace

import psutil
import pytest

from recipe.core.entities import DataError
from recipe.ray_cluster import address

HERE = "node01"


class Machine:
    """A machine by its names (host -> addresses), its ways (network -> own address) and its interfaces."""

    def __init__(self, monkeypatch, names, ways, interfaces):
        self.names, self.ways = names, ways
        monkeypatch.setattr(socket, "gethostname", lambda: HERE)
        monkeypatch.setattr(socket, "getaddrinfo", self.lookup)
        monkeypatch.setattr(socket, "socket", lambda *_: Probe(self.ways))
        cards = {name: [SimpleNamespace(family=socket.AF_INET, address=one)] for name, one in interfaces.items()}
        state = SimpleNamespace(isup=True)
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: cards)
        monkeypatch.setattr(psutil, "net_if_stats", lambda: dict.fromkeys(cards, state))

    def lookup(self, host, port, **_):
        found = self.names.get(host, [host] if host[0].isdigit() else [])
        if not found:
            raise socket.gaierror(f"{host}: not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (one, port)) for one in found]


class Probe:
    def __init__(self, ways):
        self.ways, self.own = ways, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def connect(self, place):
        for network, own in self.ways.items():
            if ipaddress.ip_address(place[0]) in ipaddress.ip_network(network):
                self.own = own
                return
        raise OSError(101, "Network is unreachable")

    def getsockname(self):
        return self.own, 4711


LOOPBACK = {"127.0.0.0/8": "127.0.0.1"}
DEBIAN = {HERE: ["127.0.1.1"], "node02": ["10.0.0.2"]}


def test_it_is_the_one_on_the_way_to_the_first_other_machine(monkeypatch):
    """Debian's name for itself is loopback, and the default route leads out of another card than the cluster's."""
    Machine(monkeypatch, DEBIAN, {**LOOPBACK, "10.0.0.0/24": "10.0.0.1", "0.0.0.0/0": "192.168.1.5"}, {})
    assert address.reached_at([HERE, "node02"]) == "10.0.0.1"
    assert address.reached_at([HERE]) == address.reached_at() == "192.168.1.5"


def test_without_a_default_route_it_is_that_of_a_card_and_no_bridges(monkeypatch):
    cards = {"lo": "127.0.0.1", "docker0": "172.17.0.1", "br-3f2a": "172.18.0.1", "eth0": "10.0.0.1", "ib0": "10.1.0.1"}
    Machine(monkeypatch, DEBIAN, LOOPBACK, cards)
    assert address.reached_at([HERE]) == "10.0.0.1"


def test_a_machine_alone_has_loopback_and_one_of_several_needs_more(monkeypatch):
    Machine(monkeypatch, DEBIAN, LOOPBACK, {"lo": "127.0.0.1", "docker0": "172.17.0.1"})
    assert address.reached_at() == "127.0.0.1"
    with pytest.raises(DataError, match="no address but loopback; give --node-ip, one that node02 can reach"):
        address.reached_at([HERE, "node02"])


def test_a_machines_own_name_stands_for_its_cards(monkeypatch):
    Machine(monkeypatch, DEBIAN, LOOPBACK, {"lo": "127.0.0.1", "eth0": "10.0.0.1"})
    assert "10.0.0.1" in address.of(HERE)
    assert address.of("node02") == {"10.0.0.2"}
    assert address.of("node03") == set()


def test_this_machines_own_is_one_that_it_can_listen_at():
    """No machine made up."""
    with socket.socket(socket.AF_INET6 if ":" in address.reached_at() else socket.AF_INET) as listener:
        listener.bind((address.reached_at(), 0))
    assert address.joined("fd00::1", 6379) == "[fd00::1]:6379"
