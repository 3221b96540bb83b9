"""Where SFT's nodes meet, by the environment; tests/test_two_nodes.py has two that do."""

from __future__ import annotations

import json

import pytest

from recipe.core.entities import DataError
from recipe.train import __main__ as train
from recipe.train.checks import Plan
from recipe.train.rendezvous import rendezvous, wait_for_the_first_node

THERE = {"RDZV_ENDPOINT": "node01:29400", "NODE_RANK": "1"}


def test_a_single_node_meets_nobody(tmp_path):
    assert rendezvous(1, tmp_path, THERE) is None


def test_torchrun_is_told_where_the_nodes_meet(tmp_path):
    met = rendezvous(2, tmp_path / "sft", THERE)
    line = train.command(Plan("sft", 4, tmp_path, tmp_path, ()), "sft_tiny", [], 8, gathering=met)
    assert "--standalone" not in line
    flags = dict(zip(line[3:15:2], line[4:16:2], strict=True))
    assert flags == {
        "--nnodes": "2", "--node_rank": "1", "--rdzv_backend": "c10d", "--rdzv_endpoint": "node01:29400",
        "--rdzv_id": "sft", "--rdzv_conf": "is_host=false",
    }  # fmt: skip


def test_the_first_node_hosts_the_meeting_whatever_its_name_stands_for(tmp_path):
    """torchrun would look for the endpoint in what the host's name stands for: 127.0.1.1 on Debian, so nobody hosts."""
    from torch.distributed.run import config_from_args, parse_args

    for number, hosts in (("0", True), ("1", False)):
        environment = {"RDZV_ENDPOINT": "10.0.0.1:29400", "NODE_RANK": number}
        args = parse_args([*rendezvous(2, tmp_path, environment).flags, "train.py"])
        config = config_from_args(args)[0]
        assert config.rdzv_configs["is_host"] == str(hosts).lower()


def test_every_node_says_at_which_address_the_others_reach_it(tmp_path):
    there = {"RDZV_ENDPOINT": "127.0.0.1:29400"}
    assert rendezvous(2, tmp_path, {"RDZV_ENDPOINT": "10.0.0.1:29400", "NODE_RANK": "0"}).local == "10.0.0.1"
    assert rendezvous(2, tmp_path, {**there, "NODE_RANK": "1"}).local == "127.0.0.1"
    assert rendezvous(2, tmp_path, {**there, "NODE_RANK": "1", "PET_LOCAL_ADDR": "10.0.0.2"}).local == ""


def test_slurm_numbers_the_nodes(tmp_path):
    assert rendezvous(4, tmp_path, {"RDZV_ENDPOINT": "a:1", "SLURM_NODEID": "3"}).node == 3


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "RDZV_ENDPOINT=.not set.: set it to HOST:PORT"),
        ({"RDZV_ENDPOINT": "node01"}, "RDZV_ENDPOINT=node01: set it"),
        ({"RDZV_ENDPOINT": "a:1"}, "NODE_RANK=.not set."),
        ({"RDZV_ENDPOINT": "a:1", "NODE_RANK": "2"}, r"NODE_RANK=2: .* 0 \.\.\. 1"),
    ],
)
def test_what_is_missing_is_named(environment, said, tmp_path):
    with pytest.raises(DataError, match=said):
        rendezvous(2, tmp_path, environment)


def test_a_node_that_does_not_see_the_firsts_folder_says_so(tmp_path):
    record = {"experiment": "sft_tiny", "overrides": []}
    with pytest.raises(DataError, match="isn't there after 0 s"):
        wait_for_the_first_node(tmp_path / "run.json", record, seconds=0)
    (tmp_path / "run.json").write_text(json.dumps(record | {"overrides": ["optim.lr=1"]}))
    with pytest.raises(DataError, match="of another command"):
        wait_for_the_first_node(tmp_path / "run.json", record, seconds=0)
    (tmp_path / "run.json").write_text(json.dumps(record))
    wait_for_the_first_node(tmp_path / "run.json", record, seconds=0)
