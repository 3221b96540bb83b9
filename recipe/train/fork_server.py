"""A process that the Python processes of a run are forked from, so that what they all import is imported once.

    with serving(GRPO) as python:
        subprocess.run([python, "-m", "verl.trainer.main_ppo", ...])

`python` is a command that takes the arguments of Python's. A GRPO run has a dozen Python processes, and each would need
ten seconds of a core to import PyTorch and vLLM. Ray starts its workers by it (`runtime_env.py_executable`), torchrun
its ranks (PYTHON_EXEC), and in a process that was forked so `multiprocessing` spawns by it, too: vLLM its engine, and
that its workers.

The command stays while the forked process lives: it passes signals on and ends with its status, and where it is killed,
so is the forked process. Without a server it becomes plain Python. Only for machines without an accelerator: what a
process has on one doesn't outlive a fork. Threads of what is imported (OpenBLAS, Arrow) do: both are made for it.
"""

import array
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# What takes the time in most processes of a run. Not Ray, nor what imports it (verl): its library reads its settings
# from the environment when it is loaded, and those are a worker's own.
SFT = (
    *("torch", "torch._dynamo", "tensordict", "transformers", "transformers.models.auto.modeling_auto", "peft"),
    *("accelerate", "datasets", "pandas", "pyarrow.parquet", "hydra.main", "torchdata.stateful_dataloader"),
)
GRPO = (
    *SFT,
    *("vllm", "vllm.engine.arg_utils", "vllm.entrypoints.openai.cli_args", "vllm.entrypoints.openai.models.serving"),
    *("vllm.v1.engine.input_processor", "vllm.v1.engine.output_processor", "vllm.v1.core.sched.scheduler"),
    *("vllm.v1.executor.multiproc_executor", "vllm.v1.worker.cpu_worker"),
)
_MOST_FILES = 253  # in one message, as Linux has it
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def serving(modules: tuple[str, ...]) -> Iterator[str | None]:
    """Serve while the block runs; gives the path of the command. The environment is the server's: set it before.

    None, and no server, where the temporary folder can't hold the command (mounted noexec) or the socket (a long path).
    """
    with tempfile.TemporaryDirectory(prefix="ner-fork-") as folder, socket.socket(socket.AF_UNIX) as listening:
        python = Path(folder) / "python"  # multiprocessing takes a path, not a command with arguments
        line = [sys.executable, "-I", "-S", __file__, f"{folder}/socket"]
        python.write_text(f'#!/bin/sh\nexec {shlex.join(line)} "$@"\n', encoding="utf-8")
        python.chmod(0o700)
        if not os.access(python, os.X_OK) or not _bound(listening, f"{folder}/socket"):
            yield None
            return
        listening.listen(64)  # who comes before the server is ready waits
        code = f"from {__name__} import serve; serve({listening.fileno()}, {str(python)!r}, {modules!r})"
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": _here_first()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # a signal to this process's group is not meant for it
            preexec_fn=_end_with_the_parent,
        )
        listening.close()  # so that without the server nobody listens
        try:
            yield str(python)
        finally:
            server.kill()
            server.wait()


def _bound(listening: socket.socket, path: str) -> bool:
    try:
        listening.bind(path)
    except OSError:
        return False
    return True


def _here_first() -> str:
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _end_with_the_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


# -------------------------------------------------------------------------------------------------------- the command
def command(path: str, arguments: list[str]) -> int:
    """Have a fork of the server at `path` do what `python ARGUMENTS` does; its exit status, as a shell gives it."""
    import json

    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    numbers = sorted(number for number in numbers if _is_open(number))[:_MOST_FILES]
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd(), "files": numbers}
    message = json.dumps(request).encode()
    child = b""
    with contextlib.suppress(OSError):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        files = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))
        connection.sendmsg([len(message).to_bytes(8, "big")], [files])
        connection.sendall(message)
        child = _exactly(connection, 8)
    if not child:  # no server, or one that ended while it imported
        os.execv(sys.executable, [sys.executable, *arguments])
    for number in numbers:  # who reads from a pipe waits for the last that could write into it
        if number > 2:
            os.close(number)
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _frame: _send(int.from_bytes(child, "big"), number))
    said = _exactly(connection, 8)
    status = int.from_bytes(said, "big", signed=True) if said else -signal.SIGKILL
    return status if status >= 0 else 128 - status


def _is_open(number: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(number)
        return True
    return False


def _send(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes; none where the other side has ended."""
    got = b""
    while len(got) < size:
        try:
            part = connection.recv(size - len(got))
        except ConnectionError:
            return b""
        if not part:
            return b""
        got += part
    return got


# --------------------------------------------------------------------------------------------------------- the server
def serve(listening: int, python: str, modules: tuple[str, ...]) -> None:
    """Import `modules`, then fork for every command that comes to the socket `listening`, for ever."""
    import gc
    import importlib
    import selectors

    from recipe.core.garbage import uncollected

    accepts = socket.socket(fileno=listening)
    with uncollected():
        for module in modules:
            importlib.import_module(module)
        gc.freeze()  # no collection in a fork writes on, and so copies, what is shared
    assert "ray" not in sys.modules, "Ray would keep this process's settings"

    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ready = selectors.DefaultSelector()
    ready.register(accepts, selectors.EVENT_READ)
    ready.register(woken, selectors.EVENT_READ)
    asked: dict[int, socket.socket] = {}  # by the process that was forked for it
    while True:
        for key, _ in ready.select():
            if key.fileobj is accepts:
                connection, _ = accepts.accept()
                files, request = _request(connection)
                process = os.fork() if request else 0
                if request and not process:
                    signal.set_wakeup_fd(-1)
                    ready.close()
                    for each in (woken, wakes, accepts.detach(), *(other.detach() for other in asked.values())):
                        os.close(each)
                    connection.close()
                    _become(request, files, python)
                for file in files:
                    os.close(file)
                if not process:
                    connection.close()
                    continue
                asked[process] = connection
                ready.register(connection, selectors.EVENT_READ, process)
                with contextlib.suppress(OSError):
                    connection.sendall(process.to_bytes(8, "big"))
            elif key.fileobj == woken:
                os.read(woken, 4096)
            elif not _exactly(key.fileobj, 1):  # the command was killed
                ready.unregister(key.fileobj)
                key.fileobj.close()
                del asked[key.data]
                _send(key.data, signal.SIGKILL)
        while ended := _ended():
            process, status = ended
            if connection := asked.pop(process, None):
                ready.unregister(connection)
                with connection, contextlib.suppress(OSError):
                    connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))


def _ended() -> tuple[int, int] | None:
    """A forked process that has ended, and its status as `os.waitpid` has it."""
    with contextlib.suppress(ChildProcessError):
        process, status = os.waitpid(-1, os.WNOHANG)
        return (process, status) if process else None
    return None


def _request(connection: socket.socket) -> tuple[list[int], dict]:
    """What a command asks for, and its open files; nothing where it is gone."""
    import json

    files = array.array("i")
    try:
        head, sent, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(_MOST_FILES * files.itemsize))
    except ConnectionError:
        return [], {}
    for _, _, data in sent:
        files.frombytes(data[: len(data) - len(data) % files.itemsize])
    message = _exactly(connection, int.from_bytes(head, "big"))
    return list(files), json.loads(message) if message else {}


# ------------------------------------------------------------------------------------------------- the forked process
def _become(request: dict, files: list[int], python: str) -> None:
    """Be the process that was asked for, to its end."""
    import multiprocessing
    import traceback

    _end_with_the_parent()
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _renumber(files, request["files"])
    os.chdir(request["folder"])
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ.clear()
    os.environ.update(request["environment"])
    if threads != (asked := os.environ.get("OMP_NUM_THREADS")) and asked and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(
            int(asked)
        )  # OpenMP read it as it was loaded; vLLM gives its workers fewer
    multiprocessing.set_executable(python)
    status = 1
    try:
        _run(request["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        _end(status)


def _renumber(files: list[int], numbers: list[int]) -> None:
    """Give each of these open files the number that it has in the command."""
    import fcntl

    above = max([2, *numbers, *files]) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, above) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(moved, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def _run(arguments: list[str]) -> None:
    """What `python ARGUMENTS` does: a module, a line of code, or a script; options are the server's."""
    import runpy
    import types

    rest = list(arguments)
    while rest[0].startswith("-") and rest[0] not in ("-c", "-m"):
        del rest[: 2 if rest[0] in ("-X", "-W") else 1]
    kind = rest.pop(0) if rest[0] in ("-c", "-m") else ""
    what = rest.pop(0)
    sys.orig_argv = [sys.executable, *arguments]
    sys.argv = [kind or what, *rest]
    if kind == "-m":
        sys.path.insert(0, os.getcwd())
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if kind:
        sys.path.insert(0, "")
    else:
        sys.path.insert(0, str(Path(what).resolve().parent))
        main.__file__ = what
    source = what if kind else Path(what).read_bytes()
    exec(compile(source, main.__dict__.get("__file__", "<string>"), "exec"), main.__dict__)


def _end(status: int) -> None:
    """End as Python does, but without taking apart what the server imported."""
    import atexit
    import threading

    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1], sys.argv[2:]))
