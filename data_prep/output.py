"""Output folder: Parquet files written row group by row group, a manifest beside them, published all or nothing."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError

if TYPE_CHECKING:
    import pyarrow

MANIFEST = "manifest.json"
ROW_GROUP = 1000  # rows held in memory while writing


def write_parquet(
    path: Path,
    rows: Iterable[Mapping],
    schema: pyarrow.Schema,
    metadata: Callable[[], Mapping[bytes, bytes]] | None = None,
) -> int:
    """Write the rows, a row group at a time; the number of rows. The same rows give the same bytes.

    `metadata` is called when all rows are written, for what the file says of itself.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rows, written = iter(rows), 0
    with ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, ROW_GROUP)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            written += len(batch)
        if metadata is not None:
            writer.add_key_value_metadata(metadata())
    return written


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `out` when the block ends, and vanish when it fails."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; --out names a folder")
    # On the same file system, so that a move is a rename.
    parent = next(path for path in (out, *out.absolute().parents) if path.is_dir())
    with tempfile.TemporaryDirectory(prefix=".to_parquet-", dir=parent, ignore_cleanup_errors=True) as stage:
        yield Path(stage)
        out.mkdir(parents=True, exist_ok=True)
        # The manifest moves last: it speaks of files that are there.
        for path in sorted(Path(stage).iterdir(), key=lambda path: path.name == MANIFEST):
            path.replace(out / path.name)


def write_manifest(stage: Path, out: Path, entries: Mapping[str, Mapping]) -> None:
    """One entry for each Parquet file of `out`; entries that other runs wrote into the same folder stay."""
    old: object = None
    with contextlib.suppress(OSError, ValueError):  # none there yet, or none of ours: it is written anew
        old = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    kept = {name: entry for name, entry in (old if isinstance(old, dict) else {}).items() if (out / name).is_file()}
    text = json.dumps({**kept, **entries}, ensure_ascii=False, indent=2, sort_keys=True)
    # A file's name that is no UTF-8 becomes an escape of JSON.
    (stage / MANIFEST).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
