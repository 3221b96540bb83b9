"""How a command begins and ends: its parser and the numbers it takes, its exit status, and one line of complaint."""

import argparse
import atexit
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from recipe.core.entities import DataError

FAILED, WRONG_INPUT, INTERRUPTED, READER_GONE, TERMINATED = 1, 2, 130, 141, 143


class Failed(Exception):
    """Something went wrong that the input isn't to blame for. `lines`: the cause in a few lines, for people."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


def command_parser(program: str, description: str, *examples: str) -> argparse.ArgumentParser:
    """The parser of `python -m PROGRAM`; its help ends with the examples, each a whole command line."""
    listing = "\n  ".join(["examples:" if len(examples) > 1 else "example:", *examples])
    return argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=listing,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option whose value is a whole number, `least` or more."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not at least {least}")
        return int(text)

    return number


count, positive = at_least(0), at_least(1)


def between(low: float, high: float, above: bool = False) -> Callable[[str], float]:
    """The type of an option whose value is a number from `low`, or `above` it, to `high`."""

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high or (above and value == low):
            bounds = f"{'above' if above else 'at least'} {low:g}" + ("" if high == math.inf else f", at most {high:g}")
            raise argparse.ArgumentTypeError(f"{text} is not {bounds}")
        return value

    return number


def exit_status(program: str, run: Callable[[], int | None], interrupted: str = "interrupted") -> int:
    """What `run` returns, or 0; 1 where it Failed, 2 for a DataError or OSError, 130 after Ctrl-C, 141 unread."""
    try:
        return run() or 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed has no reader
        return READER_GONE
    except (DataError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return WRONG_INPUT
    except Failed as failed:
        if not _interrupted:
            print("\n".join(failed.lines), file=sys.stderr)
            return FAILED
    except Exception:
        if not _interrupted:
            raise
    except KeyboardInterrupt:
        pass
    print(f"{program}: {interrupted}", file=sys.stderr)
    return INTERRUPTED


def verbose() -> bool:
    """Whether NER_VERBOSE=1 asks for all that verl, Ray, vLLM and the installer print."""
    return os.environ.get("NER_VERBOSE", "0") not in ("", "0")


def unwind_on_sigterm() -> None:
    """Have a job scheduler's SIGTERM raise SystemExit(143), so that what is half-made is removed on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))


_is_command = _interrupted = False


def _interrupt(number: int, frame: object) -> NoReturn:
    """As Python does on Ctrl-C, but remembered: a C extension that is being loaded makes an ImportError of it."""
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def is_command() -> bool:
    """True where this process runs a command that it ends with."""
    return _is_command


def end_with(main: Callable[[], int]) -> NoReturn:
    """Run a command and end the process with its status, as soon as all is written and all exit handlers have run.

    Python would first take to pieces what is in memory, for two seconds where PyTorch and vLLM are loaded.
    """
    global _is_command
    _is_command = True
    status = [FAILED]
    atexit.register(_end, status)  # the first is called last
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        status[0] = main()
    except SystemExit as end:
        status[0] = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except KeyboardInterrupt:
        status[0] = INTERRUPTED
        raise
    sys.exit(status[0])


def _end(status: Sequence[int]) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        os._exit(READER_GONE)
    except OSError:
        os._exit(FAILED)  # a full disk
    os._exit(status[0])
