"""Parquet files written row group by row group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

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
