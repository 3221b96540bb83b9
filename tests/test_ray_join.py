"""Joining a cluster; tests/test_two_nodes.py does it with a real one that wants a token."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace

import pytest

from recipe.core.entities import DataError
from recipe.ray_cluster.join import join


def test_an_address_that_is_none_is_one_line():
    with pytest.raises(DataError, match=r"RAY_ADDRESS=nowhere:port: .*nowhere:port; start it") as error:
        join("nowhere:port")
    assert "\n" not in str(error.value)


@pytest.fixture
def cluster(monkeypatch):
    """A cluster that answers whoever shows the right token mode, and the calls it got."""
    calls = []

    def run(line, **_):
        calls.append(os.environ.get("RAY_AUTH_MODE"))
        known = calls[-1] == "token"
        return SimpleNamespace(returncode=1 - known, stderr="" if known else "ray.exceptions.AuthenticationError: no")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    return calls


def test_the_token_is_shown_where_the_cluster_asks_for_it(cluster):
    join("10.0.0.1:6379")
    assert cluster == [None, "token"]
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_mode_that_the_user_set_is_kept(cluster, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(DataError, match="auth_token"):
        join("10.0.0.1:6379")
    assert cluster == ["disabled"]


def test_no_answer_is_an_error(monkeypatch):
    def run(*_, timeout, **__):
        raise subprocess.TimeoutExpired("ray", timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DataError, match="no answer within 3 s"):
        join("10.0.0.1:6379", seconds=3)
