"""Waiting for the nodes of a cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from recipe.core.entities import DataError
from recipe.ray_cluster import __main__ as ray_cluster
from recipe.ray_cluster import nodes


def test_who_is_missing_is_said_after_the_deadline(monkeypatch):
    there = nodes.Node("aaaa0000", "10.0.0.1", True, 8, 64)
    monkeypatch.setattr(ray_cluster, "join", lambda *_, **__: None)
    monkeypatch.setattr(nodes, "Cluster", lambda _: SimpleNamespace(nodes=lambda: [there]))
    assert ray_cluster.wait("10.0.0.1:6379", 1, 8, seconds=0) == [there]
    with pytest.raises(DataError, match=r"1 of 2 nodes with 8 slots after 0 s; .* missing: 10.0.0.2"):
        ray_cluster.wait("10.0.0.1:6379", 2, 8, seconds=0, expected=["10.0.0.1", "10.0.0.2"])
    with pytest.raises(DataError, match=r"10.0.0.1 \(aaaa0000\) has 8"):
        ray_cluster.wait("10.0.0.1:6379", 1, 9, seconds=0)


def test_waiting_without_an_address_is_one_line(monkeypatch, capsys):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_cluster.main(["wait"]) == 2
    assert "no address" in capsys.readouterr().err
