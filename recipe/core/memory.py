"""How much memory is left: the machine's, or a container's where that has less."""

from __future__ import annotations

import re
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")


def memory() -> tuple[int, int]:
    """Bytes that this process and those it starts may still take, and of how many in all."""
    import psutil

    machine = psutil.virtual_memory()
    free, total = machine.available, machine.total
    for folder, limit, used, files in (
        (GROUP, "memory.max", "memory.current", "inactive_file"),
        (GROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, taken = (int((folder / name).read_text()) for name in (limit, used))
        except (OSError, ValueError):  # no such file, or no limit: "max"
            continue
        if most < total:
            total, free = most, min(free, most - taken + _counted(folder / "memory.stat", files))
    return free, total


def _counted(stat: Path, name: str) -> int:
    """Bytes under this name. Files that were read count as used memory, but are dropped where it is wanted."""
    try:
        found = re.search(rf"^{name} (\d+)$", stat.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
