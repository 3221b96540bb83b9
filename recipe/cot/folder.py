"""The folder of an exported dataset: staged, then put in place as a whole; its JSON lists are written row by row."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from recipe.core.entities import DataError

SPLITS = ("train", "dev", "test")
CARD, MANIFEST = "README.md", "manifest.json"
OURS = {CARD, MANIFEST, *(f"{split}.{ending}" for split in SPLITS for ending in ("json", "parquet"))}


def check_out(out: Path) -> None:
    """DataError unless `out` is free, or holds an earlier export and nothing else."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; --out names a folder")
    others = sorted({path.name for path in out.iterdir()} - OURS) if out.exists() else []
    if others:
        raise DataError(f"{out}: holds {others[0]!r}, which is no part of an export; name another folder")


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `out` when the block ends, and vanishes when it fails."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield stage
        stage.chmod(0o755)
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
            os.replace(out, old)
            os.replace(stage, out)
            shutil.rmtree(old)
        else:
            os.replace(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


class JsonLists(contextlib.ExitStack):
    """JSON lists under way, one for each split that has a row."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder, self._open = folder, {}

    def write(self, split: str, record: Mapping) -> None:
        """Add a record to the list of a split."""
        begun = split in self._open
        if not begun:
            file = self.enter_context((self._folder / f"{split}.json").open("w", encoding="utf-8"))
            self.callback(file.write, "\n]\n")  # called before the file is closed
            self._open[split] = file
        self._open[split].write((",\n" if begun else "[\n") + json.dumps(record, ensure_ascii=False))
