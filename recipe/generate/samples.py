"""The file of samples: several completions of each row, one a line, written as they arrive and in any order.

    {"index": 0, "sample": 3, "output": "{\\"entities\\": {}}", "output_tokens": 9, "finish_reason": "stop"}

`index` is the row of the Parquet file, `sample` counts its completions from 0. More samples, and samples of more rows,
may be added at any time. The manifest beside the file (samples.manifest.json) says how they are made.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from recipe.core.entities import DataError
from recipe.core.files import append_to
from recipe.generate.predictions import check_manifest, read_manifest

FILE = "samples.jsonl"


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of a row. `finish_reason` is "stop", or "length" where the token limit cut it off."""

    index: int
    sample: int
    output: str
    output_tokens: int
    finish_reason: str | None

    @property
    def key(self) -> tuple[int, int]:
        return self.index, self.sample


def seed_of(seed: int, index: int, sample: int) -> int:
    """The seed of one sample of one row: 56 bits that depend on the three alone."""
    digest = hashlib.blake2b(f"{seed} {index} {sample}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a file; a last line that a kill cut short is none. DataError names a line that holds no sample."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                sample = Sample(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}, line {number}: no sample; delete the line, and it is made again") from error
            if not type(sample.index) is type(sample.sample) is int or not isinstance(sample.output, str):
                raise DataError(f"{path}, line {number}: no sample; delete the line, and it is made again")
            yield sample


def settings_of(folder: Path) -> tuple[dict, dict]:
    """How a folder's samples were made, and by which model and packages; DataError for a folder without samples."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder}: no {FILE} in it; make samples with: python -m recipe.difficulty ... --out {folder}")
    return read_manifest(path, f"delete {path} to start anew")


@contextlib.contextmanager
def journal(
    out: Path, settings: Mapping[str, object], versions: Mapping[str, str]
) -> Iterator[tuple[set[tuple[int, int]], Callable[[Sample], None]]]:
    """The keys of the samples that `out` already holds, and a function that adds one, on disk at once.

    DataError if the samples there were made with other settings, or if another process is adding some.
    """
    path = out / FILE
    with append_to(path, "give another --out") as file:
        check_manifest(path, settings, versions, started=file.tell() > 0, elsewhere="give another --out")

        def save(sample: Sample) -> None:
            file.write(json.dumps(asdict(sample), ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            file.flush()

        yield {sample.key for sample in read_samples(path)}, save
