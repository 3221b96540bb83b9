"""A folder or file in which no layout was recognised: it says what is there, as soon as anything is read from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recipe.core.entities import DataError
from recipe.corpora.record_layout import ENDINGS, first_record

if TYPE_CHECKING:
    from recipe.corpora.dataset import Dataset
    from recipe.corpora.reading import Reading

MAY_LACK_SPLITS = False
_SHOWN = 3


def found(_path: Path) -> bool:
    """False: what nothing else recognises is unknown."""
    return False


def reads(_path: Path) -> bool:
    """False."""
    return False


def file(path: Path, split: str) -> Path:
    """A path where nothing is."""
    return path / f"{split}.json"


def label_files(path: Path) -> NoReturn:
    """DataError that names what is there and the layouts that are read."""
    raise DataError(describe(path))


def types(dataset: Dataset, _reading: Reading) -> NoReturn:
    """DataError, as for `label_files`."""
    raise DataError(describe(dataset.folder))


def examples(dataset: Dataset, _split: str, _reading: Reading) -> NoReturn:
    """DataError, as for `label_files`."""
    raise DataError(describe(dataset.folder))


def sentences(path: Path, _reading: Reading) -> Iterator[str]:
    """DataError, as for `label_files`."""
    raise DataError(describe(path))


def describe(path: Path) -> str:
    """One line: what is there, and which layouts are read."""
    from recipe.corpora import LAYOUTS

    if path.is_file():
        there = f"it is {_file(path)}"
    else:
        names = sorted(each for each in path.iterdir() if not each.name.startswith(".")) if path.is_dir() else []
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        there = f"it holds {', '.join(map(_file, names[:_SHOWN]))}{more}" if names else "it is empty"
    known = ", ".join(layout.FILES for layout in LAYOUTS if hasattr(layout, "FILES"))
    return f"{path}: no layout that is read: {there}; give a file or a folder of one of these: {known}"


def _file(path: Path) -> str:
    if path.is_dir():
        return f"{path.name}/"
    if path.suffix == ".spacy":
        return f'{path.name} (spaCy\'s binary DocBin, to be written as JSON Lines of {{"text", "entities"}})'
    first = first_record(path) if path.suffix in ENDINGS else None
    keys = ", ".join(list(first)[:6]) if isinstance(first, dict) else ""
    return f"{path.name} (records of {keys})" if keys else path.name
