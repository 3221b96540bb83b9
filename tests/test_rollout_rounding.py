"""What of an update the rollouts have, where they are rounded."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from recipe.engines.rollout_rounding import MOST, Carried, coarser
from recipe.train.progress import step_line


def model(*shapes, at=1.0, dtype=torch.float32):
    held = torch.nn.Module()
    for number, shape in enumerate(shapes):
        held.register_parameter(f"w{number}", torch.nn.Parameter(torch.full(shape, at, dtype=dtype)))
    return held


def moved(held, by):
    with torch.no_grad():
        for weight in held.parameters():
            weight.add_(by)


@pytest.mark.parametrize(
    ("dtype", "by", "share"),
    [
        (torch.bfloat16, 0.001, 0.0),  # between 1 and 2 its numbers are 1/128 apart
        (torch.bfloat16, 1 / 128, 1.0),
        (torch.bfloat16, 0.006, 1 - (1 / 128 - 0.006) / 0.006),  # rounded up to the next
        (torch.float16, 0.001, 1 - (0.001 - 1 / 1024) / 0.001),  # 1/1024
        (torch.float16, 0.0004, 0.0),
    ],
)
def test_an_update_below_half_of_a_rounding_step_is_lost(dtype, by, share):
    held = model((8, 6))
    carried = Carried(held, dtype)
    moved(held, by)
    assert carried.share() == pytest.approx(share, abs=1e-3)


def test_small_updates_arrive_together_once_they_are_a_rounding_step():
    held = model((4,))
    carried = Carried(held, torch.bfloat16)
    shares = []
    for _ in range(8):
        moved(held, 1 / 1024)
        shares.append(carried.share())
    assert shares[:4] == [0.0] * 4, "of the whole update since the start, not of the last step"
    assert shares[7] == pytest.approx(1.0)


def test_a_model_that_is_rounded_from_the_start_has_no_loss_by_that():
    held = model((5,), at=1.003)
    carried = Carried(held, torch.bfloat16)
    assert carried.share() == 1.0, "nothing was updated"
    moved(held, 1 / 128)
    assert carried.share() == pytest.approx(1.0, abs=1e-4), "both round the same way"


def test_large_tensors_weigh_as_much_as_they_have_weights():
    held = model((3 * MOST, 2), (10,))
    carried = Carried(held, torch.bfloat16)
    assert all(start.numel() <= MOST for start in carried.start)
    with torch.no_grad():
        held.w0.add_(1 / 128)  # arrives
        held.w1.add_(0.001)  # is lost
    of_all = (10 * 0.001**2 / (6 * MOST / 128**2)) ** 0.5
    assert carried.share() == pytest.approx(1 - of_all, abs=1e-6)


def test_all_columns_of_a_matrix_are_sampled():
    held = model((4096, 64))
    with torch.no_grad():
        held.w0.copy_(torch.arange(64.0).expand(4096, 64))
    assert len(set(Carried(held, torch.bfloat16).start[0].tolist())) == 64


def test_weights_that_are_not_trained_are_left_out():
    held = model((4,), (4,))
    held.w0.requires_grad_(False)
    assert len(Carried(held, torch.bfloat16).start) == 1


@pytest.mark.parametrize(
    ("kept", "name", "expected"),
    [
        (torch.float32, "bfloat16", torch.bfloat16),
        (torch.float32, "half", torch.float16),
        (torch.float32, "float32", None),
        (torch.float32, "auto", None),
        (torch.float32, None, None),
        (torch.bfloat16, "bfloat16", None),
        (torch.float16, "bfloat16", torch.bfloat16),
    ],
)
def test_nothing_is_told_where_nothing_is_rounded(kept, name, expected):
    assert coarser(model((2,), dtype=kept), name) is expected


RANKS = """
import torch
from recipe.engines.rollout_rounding import Carried
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
held = torch.nn.Linear(4, 1, bias=False)
torch.nn.init.ones_(held.weight)
carried = Carried(held, torch.bfloat16)
with torch.no_grad():
    held.weight.add_([0.001, 1 / 128][rank])  # lost on the first, there on the second
print(f"share={carried.share(torch.distributed.group.WORLD):.4f}", flush=True)
"""


def test_ranks_that_hold_a_part_each_tell_the_share_of_the_whole():
    def rank(number, port):
        told = {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return subprocess.Popen(
            [sys.executable, "-c", RANKS], env={**os.environ, **told}, stdout=subprocess.PIPE, text=True
        )

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = [process.communicate(timeout=120)[0].strip() for process in [rank(0, port), rank(1, port)]]
    expected = 1 - (0.001**2 / (0.001**2 + 1 / 128**2)) ** 0.5
    assert said == [f"share={expected:.4f}"] * 2


def test_the_share_is_in_a_steps_line():
    assert "carried 0.08" in step_line(3, 10, {"actor/update_carried": 0.0812, "critic/score/mean": 2.0})
    assert "carried" not in step_line(3, 10, {"critic/score/mean": 2.0})
