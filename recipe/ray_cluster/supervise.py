"""Run a command that starts many processes, and leave none of them behind, however it ends.

    python -m recipe.ray_cluster.supervise --stall 1800 -- python -m verl.trainer.main_ppo ...

Ray and vLLM start daemons that outlive a driver that is killed. Here they become children of this process when their
parent dies (Linux's child subreaper), so that all of them, and nothing else, can be ended: when the command ends, on
Ctrl-C, on SIGTERM, and when the command has printed nothing for `stall` seconds, which is how a failed weight sync
looks. The shared memory blocks that they leave in /dev/shm go too. A watcher beside it, if there is one, ends the
command by ending itself.

Exit status: the command's own; 128 + signal; 124 after a stall; 125 after the watcher's end.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from recipe.core.command_line import command_parser

_SHM = Path("/dev/shm")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE = 20.0  # seconds for an orderly end before SIGKILL
_WORD = 30.0  # seconds in which a watcher may explain why the command failed: Ray misses a node after 17
STALLED, WATCHER_ENDED = 124, 125


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class _Family:
    """All processes below this one, and the shared memory blocks they were seen to map."""

    def __init__(self) -> None:
        self.blocks: set[Path] = set()

    def members(self) -> list:
        import psutil

        return psutil.Process().children(recursive=True)

    def look(self) -> None:
        for process in self.members():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
                    path = Path(line.partition("/")[1] + line.partition("/")[2])
                    if path.parent == _SHM and path.name.startswith(("psm_", "verl_weights_", "vllm_dist_")):
                        self.blocks.add(path)

    def end(self) -> None:
        """SIGTERM, then SIGKILL for what is left, then unlink the blocks."""
        import psutil

        self.look()
        left = self.members()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(left, timeout=_GRACE / 2)
        deadline = time.monotonic() + _GRACE / 2
        while (
            left := self.members()
        ) and time.monotonic() < deadline:  # again: one that starts as others end is missed
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)
        for block in self.blocks:
            block.unlink(missing_ok=True)


def run(
    command: Sequence[str],
    log: Path | None = None,
    stall: float = 0,
    env: dict[str, str] | None = None,
    watcher: Sequence[str] | None = None,
    look: Callable[[], None] | None = None,
) -> int:
    """Run `command`, copy what it prints to stdout and append it to `log`; `stall` seconds, 0 for no limit.

    `watcher` is a command that runs beside it; when that ends, having printed why, both end. With `look`, which is
    called five times a second and shows what is to be seen of the run, the output goes to `log` alone.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    family, asked = _Family(), []

    def ask(number: int, _frame: object) -> None:
        asked.append(number)
        if len(asked) > 1:  # asked twice: don't wait
            family.end()

    handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    child = subprocess.Popen(
        list(command),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C then reaches this process alone
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
    )
    last_output = [time.monotonic()]
    copier = threading.Thread(target=_copy, args=(child.stdout, log, last_output, look is None), daemon=True)
    copier.start()
    beside = None
    if watcher:
        beside = subprocess.Popen(list(watcher), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    stalled, asked_at, looked, warned = False, 0.0, 0.0, None
    try:
        while child.poll() is None:
            now = time.monotonic()
            if now - looked > 5:
                family.look()
                looked = now
            if asked and not asked_at:
                child.send_signal(asked[0])
                asked_at = now
            stalled = bool(stall) and now - last_output[0] > stall
            warned = None if asked else _word(beside)
            if stalled or warned or (asked_at and now - asked_at > _GRACE):
                break
            look = _looked(look)
            time.sleep(0.2)
        if not (stalled or warned or asked) and child.poll():
            warned = _word(beside, _WORD)  # the command may have known first, and say less
    finally:
        family.end()
        copier.join(timeout=5)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if stalled:
        print(f"supervise: nothing was printed for {stall:.0f} s, so the run was ended", file=sys.stderr)
        return STALLED
    if warned:
        print(f"supervise: {warned}, so the run was ended", file=sys.stderr)
        return WATCHER_ENDED
    if asked:
        return 128 + asked[0]
    status = child.wait()
    return status if status >= 0 else 128 - status


def _word(watcher: subprocess.Popen | None, seconds: float = 0) -> str | None:
    """What the watcher printed if it ends within `seconds`, else None; so one that only fails ends nothing."""
    if watcher is None or watcher.stdout.closed:
        return None
    with contextlib.suppress(subprocess.TimeoutExpired):
        watcher.wait(timeout=seconds)
        with watcher.stdout:
            return watcher.stdout.read().strip() or None
    return None


def _looked(look: Callable[[], None] | None) -> Callable[[], None] | None:
    """`look`, called; None once it failed: what can't be shown ends no run."""
    try:
        if look:
            look()
    except Exception as error:
        with contextlib.suppress(OSError):  # a closed terminal
            print(f"supervise: the run goes on, but can't be shown: {error!r}", file=sys.stderr, flush=True)
        return None
    return look


def _copy(stream, log: Path | None, last_output: list[float], shown: bool) -> None:
    with contextlib.ExitStack() as stack:
        targets = [sys.stdout.buffer] if shown else []
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            targets.append(stack.enter_context(log.open("ab", buffering=0)))
        while chunk := os.read(stream.fileno(), 65536):
            last_output[0] = time.monotonic()
            for target in targets:
                with contextlib.suppress(OSError):  # a closed terminal must not end the run
                    target.write(chunk)
                    target.flush()


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser(
        "recipe.ray_cluster.supervise",
        "Run a command and end every process it started, however it ends.",
        "python -m recipe.ray_cluster.supervise --stall 1800 -- python -m verl.trainer.main_ppo",
    )
    parser.add_argument("--log", type=Path, help="append the output to this file")
    parser.add_argument(
        "--stall", type=float, default=0, help="give up after so many seconds without output (0: never)"
    )
    parser.add_argument("command", nargs="+", help="the command, after --")
    args = parser.parse_args(argv)
    return run(args.command, args.log, args.stall)


if __name__ == "__main__":
    sys.exit(main())
