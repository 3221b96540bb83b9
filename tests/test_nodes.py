"""Nodes compared and watched, without a cluster; tests/test_two_nodes.py has a real one."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from recipe.core.entities import DataError
from recipe.ray_cluster import nodes
from recipe.ray_cluster.placement import cpus_a_node

ONE, TWO = nodes.Node("aaaa0000", "10.0.0.1", True, 8, 64), nodes.Node("bbbb0000", "10.0.0.2", True, 8, 64)
GONE = dataclasses.replace(TWO, alive=False, why_dead="health check failed.")


@pytest.fixture
def view(tmp_path):
    """What a node sees that shares everything with this one."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"1234")
    (tmp_path / "train.parquet").write_bytes(b"12")
    (tmp_path / "token").touch()
    paths = [str(tmp_path / "model"), str(tmp_path / "train.parquet")]
    return nodes.look(paths, ("ray",), str(tmp_path), "token")


def test_a_node_that_sees_the_same_differs_in_nothing(view):
    assert nodes.differences(view, copy.deepcopy(view), "run") == []


@pytest.mark.parametrize("size", [None, 3])
def test_a_file_that_is_missing_or_another_is_named(view, size):
    other, path = copy.deepcopy(view), list(view["paths"])[1]
    other["paths"][path] = size
    assert nodes.differences(view, other, "run")[0].startswith(f"{path}: {'not there' if size is None else 'another'}")


def test_a_run_folder_of_the_nodes_own_is_named(view):
    assert "outputs/grpo: not the folder" in nodes.differences(view, view | {"run": False}, "outputs/grpo")[0]


def test_another_version_and_other_code_are_named(view):
    other = view | {"versions": view["versions"] | {"ray": "2.1.0"}, "code": "0"}
    found = nodes.differences(view, other, "run")
    assert found[0].startswith(f"ray 2.1.0, and {view['versions']['ray']} here")
    assert "other code" in found[1]


def test_a_cluster_that_is_too_small_says_what_it_has_and_where_more_comes_from():
    need = cpus_a_node(8, nodes=2)
    assert nodes.check_size([ONE, TWO], 2, 8, need) == [ONE, TWO]
    few = dataclasses.replace(TWO, cpus=3 * 8)  # enough for the ranks; then verl would wait for ever
    with pytest.raises(
        DataError, match=rf"1 of 2 nodes with 8 slots and {need} CPUs.*10.0.0.2 \(bbbb0000\) 8 slots, 24 CPUs.*num-cpus"
    ):
        nodes.check_size([ONE, few], 2, 8, need)
    with pytest.raises(DataError, match="1 of 2 nodes"):
        nodes.check_size([ONE, GONE], 2, 8, need)


class Told:
    """A cluster whose head answers with these lists of nodes, one after the other; None is silence."""

    address = "10.0.0.1:6379"

    def __init__(self, *answers, hosts=()):
        self.answers, self.of_the_run = list(answers), set(hosts)

    def nodes(self, timeout):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise ConnectionError("nobody there")
        return answer

    def hosts(self, run, timeout):
        return self.of_the_run


def test_a_node_that_goes_is_told_with_the_reason():
    said = nodes.watch(Told([ONE, TWO], [ONE, GONE]), "run", every=0)
    assert said == "node 10.0.0.2 (bbbb0000) left the cluster: health check failed"


def test_a_node_that_the_run_is_not_on_may_go():
    third = dataclasses.replace(ONE, id="cccc0000")
    end = [dataclasses.replace(third, alive=False), GONE]
    told = Told([ONE, TWO, third], [ONE, GONE, third], [ONE, GONE, third], end, hosts={"aaaa0000", "cccc0000"})
    assert "cccc0000" in nodes.watch(told, "run", every=0)


def test_a_node_that_was_dead_before_is_no_loss():
    assert "10.0.0.1" in nodes.watch(Told([ONE, GONE], [dataclasses.replace(ONE, alive=False), GONE]), "run", every=0)


def test_a_silent_head_is_told_after_a_while():
    said = nodes.watch(Told([ONE], None), "run", every=0, patience=0.1)
    assert said == "the head node at 10.0.0.1:6379 has not answered for 0 s (nobody there)"
