"""Joining a Ray cluster that others started: whether it answers, and the token that it may want."""

import os
import subprocess
import sys
import time
from pathlib import Path

from recipe.core.entities import DataError

TRY = 20  # seconds for one answer: Ray's command alone takes some to load


def join(address: str, seconds: float = 60) -> None:
    """Raise DataError unless the Ray cluster at `address` answers; take its token if it wants one.

    Since Ray 2.60 `ray start` asks for a token wherever ~/.ray/auth_token exists (any local run writes one), while
    `ray.init(address)` shows it only under RAY_AUTH_MODE=token, which is therefore set here where it is needed.
    """
    if address.startswith("ray://"):  # Ray Client: another port, another protocol
        return
    answer = _status(address, seconds)
    if "AuthenticationError" in answer and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        if "ray._raylet" in sys.modules:  # it read the mode when it was loaded
            sys.modules["ray._raylet"].Config.initialize("")
        answer = _status(address, seconds)
    if answer:
        remedy = "start it with `launch/ray_cluster.sh head`, or unset RAY_ADDRESS to have a Ray of this run's own"
        if "AuthenticationError" in answer:
            remedy = "copy its ~/.ray/auth_token to this machine, or set RAY_AUTH_TOKEN"
        raise DataError(f"RAY_ADDRESS={address}: {answer.splitlines()[-1][:200]}; {remedy}")


def join_soon(address: str, seconds: float) -> None:
    """Like `join`, of a cluster that may take up to `seconds` to be there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return join(address, TRY)
        except DataError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def _status(address: str, seconds: float) -> str:
    """What `ray status` complains of; empty if it has nothing to complain of."""
    ray = [str(Path(sys.executable).with_name("ray")), "status", "--address", address]
    try:
        done = subprocess.run(ray, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds:.0f} s"
    return "" if done.returncode == 0 else done.stderr.strip() or f"`ray status` ended with {done.returncode}"
