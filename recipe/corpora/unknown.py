"""A folder or file in which no layout was recognised: it says what is there, as soon as anything is read from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from recipe.core.entities import DataError
from recipe.corpora.record_layout import ENDINGS, first_record, records
from recipe.corpora.records import kind_of

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
    from recipe.corpora import LAYOUTS, ner_cot

    if reasoned := next(filter(ner_cot.holds, [path] if path.is_file() else sorted(path.glob("*"))), None):
        return f"{path}: {reasoned.name} holds sentences with reasoning (NER-CoT); sft takes it with --ner-cot"
    if path.is_file():
        there = f"it is {_file(path, why=True)}"
    else:
        names = sorted(each for each in path.iterdir() if not each.name.startswith(".")) if path.is_dir() else []
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        there = f"it holds {', '.join(map(_file, names[:_SHOWN]))}{more}" if names else "it is empty"
    names = dict.fromkeys(layout.FILES.partition(" (")[0] for layout in LAYOUTS if hasattr(layout, "FILES"))
    # `InstructUIE` says enough of `InstructUIE relations`.
    known = ", ".join(name for name in names if not any(name.startswith(f"{other} ") for other in names))
    return f"{path}: no layout that is read: {there}; data_prep/README.md shows those that are: {known}"


def _file(path: Path, why: bool = False) -> str:
    """What a file or folder is called, and what is in it; `why` its first record can't be read."""
    if path.is_dir():
        return f"{path.name}/"
    if path.suffix == ".spacy":
        return f'{path.name} (spaCy\'s binary DocBin, to be written as JSON Lines of {{"text", "entities"}})'
    if path.suffix not in ENDINGS:
        return path.name
    try:
        first = next(iter(records(path)), None) if why else first_record(path)
    except DataError as error:
        return f"{path.name} ({str(error).removeprefix(f'{path}: ')})"
    if isinstance(first, dict):
        keys = ", ".join(key[:20] for key in list(first)[:6])
        return f"{path.name} (records of {keys})" if keys else path.name
    return f"{path.name} (record 1: {kind_of(first)})" if why and first is not None else path.name
