"""The sentences of Parquet files that data_prep/to_parquet.py wrote."""

from collections.abc import Iterator
from pathlib import Path

from recipe.core.entities import DataError


def read_sentences(path: Path) -> Iterator[tuple[str, str]]:
    """(dataset, sentence) of each row, streamed. DataError for a file that data_prep/to_parquet.py did not write."""
    import pyarrow as pa
    from pyarrow import parquet

    remedy = "name a Parquet file written by data_prep/to_parquet.py"
    if not path.is_file():
        raise DataError(f"{path}: no such file; {remedy}")
    try:
        with parquet.ParquetFile(path) as file:
            row = 0
            for batch in file.iter_batches(columns=["data_source", "extra_info.sentence"]):
                names = batch.column("data_source").to_pylist()
                texts = batch.column("extra_info").field("sentence").to_pylist()
                for name, text in zip(names, texts, strict=True):
                    if not isinstance(name, str) or not isinstance(text, str):
                        raise DataError(f"{path}, row {row}: no data_source or no extra_info.sentence; {remedy}")
                    yield name, text
                    row += 1
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{path}: has no data_source and extra_info.sentence to read; {remedy}") from error
