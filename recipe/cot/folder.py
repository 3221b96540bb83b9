"""The folder of an exported dataset: what it may replace, and its JSON lists, which are written row by row."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
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
