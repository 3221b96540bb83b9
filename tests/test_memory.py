"""Memory that is left, of a machine and of a container."""

import psutil
import pytest

from recipe.core import memory as told


@pytest.fixture(params=["", "memory"])
def group(request, tmp_path, monkeypatch):
    """`group(limit, used, files)` writes what the kernel says, in its second version and in its first."""
    monkeypatch.setattr(told, "GROUP", tmp_path)
    folder = tmp_path / request.param
    folder.mkdir(exist_ok=True)
    old = bool(request.param)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")

    def write(limit, used, files=None):
        for name, value in zip(names, (limit, used), strict=True):
            (folder / name).write_text(f"{value}\n")
        if files is not None:
            name = "total_inactive_file" if old else "inactive_file"
            (folder / "memory.stat").write_text(f"anon 7\n{name} {files}\nunevictable 0\n")

    return write


def test_without_a_limit_it_is_the_machines(group):
    machine = psutil.virtual_memory().total
    for limit in ("max", 1 << 62):  # as the two versions say it
        group(limit, 1000)
        free, total = told.memory()
        assert total == machine
        assert machine / 20 < free < machine


def test_a_containers_limit_is_less(group):
    group(5000, 1000)
    assert told.memory() == (4000, 5000)


def test_files_that_were_read_are_no_memory_that_is_gone(group):
    group(5000, 4500, files=3000)
    assert told.memory() == (3500, 5000)
