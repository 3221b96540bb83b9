"""An output folder for data: its files are published all or nothing, with a manifest that describes the Parquet files.

    {"train.parquet": {"command": "grpo", "rows": 5000, "arguments": {"answer_format": "json", ...}, ...}}

The manifest goes with the data: a run copies it, an export keeps it, and prediction finds the answer format in it.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from recipe.core.entities import DataError

MANIFEST = "manifest.json"


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `out` when the block ends, and vanish when it fails."""
    check_folder(out)
    # On the same file system, so that a move is a rename.
    parent = next(path for path in (out, *out.absolute().parents) if path.is_dir())
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=parent, ignore_cleanup_errors=True) as stage:
        yield Path(stage)
        out.mkdir(parents=True, exist_ok=True)
        # The manifest moves last: it speaks of files that are there.
        for path in sorted(Path(stage).iterdir(), key=lambda path: path.name == MANIFEST):
            path.replace(out / path.name)


def check_folder(out: Path) -> None:
    """DataError where --out names a file."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; --out names a folder")


def check_own(out: Path, name: str, command: str) -> None:
    """DataError where `out` is a file, or its file `name` is not, by the manifest, the command's own to replace."""
    check_folder(out)
    if (out / name).exists() and read_manifest(out).get(name, {}).get("command") != command:
        raise DataError(f"{out / name}: is there and not of recipe.{command}; give another --out")


def write_manifest(stage: Path, out: Path, entries: Mapping[str, Mapping]) -> None:
    """One entry for each Parquet file of `out`; entries that other runs wrote into the same folder stay."""
    kept = {name: entry for name, entry in read_manifest(out).items() if (out / name).is_file()}
    text = json.dumps({**kept, **entries}, ensure_ascii=False, indent=2, sort_keys=True)
    # A file's name that is no UTF-8 becomes an escape of JSON.
    (stage / MANIFEST).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def read_manifest(folder: Path) -> dict[str, Mapping]:
    """The entries of a folder's manifest by file; none where there is no manifest, or another program's."""
    entries: object = None
    with contextlib.suppress(OSError, ValueError):
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    entries = entries if isinstance(entries, dict) else {}
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
