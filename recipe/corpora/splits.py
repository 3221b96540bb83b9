"""Which file of a folder is a split, by its name: `dev.txt`, `eng.testa`, `train_en.tsv`, `train-00000-of-2.arrow`.

split_files(folder, "dev", is_columns)      # [folder / "valid.txt"]; several where a split is in numbered parts
sets(folder, is_records)                    # [folder / "ai", folder / "music"], of ai-train.json, music-train.json, ...

A path below a folder that is no path there stands for the files whose names begin with it: `folder / "ai"`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from recipe.core.entities import DataError

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "development", "valid", "validation", "val", "testa"),
    "test": ("test", "testb"),
}
_PART = re.compile(r"[-_]\d+[-_]of[-_](\d+)(?:-[0-9a-f]{16})?$")  # the hub once put a hash behind it
_BEHIND_A_DIGIT = re.compile(r"(?<=\d)[a-z]+$")  # wnut17train


def closeness(path: Path, split: str) -> int | None:
    """How surely a name says that its file is the split: 0 for the name alone, 1 for a part of it, None if it isn't."""
    names = SPLITS[split]
    name = path.name.lower()
    stem = _PART.sub("", name.rpartition(".")[0] or name)
    if stem in names:
        return 0
    words = [word for word in re.split(r"[-_. ]", _PART.sub("", name)) if word]
    words = words if words[-1:] and words[-1] in names else re.split(r"[-_. ]", stem)
    if words[-1] in names or words[0] in names:
        return 1
    glued = _BEHIND_A_DIGIT.search(words[-1])
    return 1 if glued and glued[0] in names else None


def split_files(folder: Path, split: str, is_ours: Callable[[Path], bool]) -> list[Path]:
    """The files of a split that are `is_ours`, sorted: one, the numbered parts of one, or none.

    A part that isn't `is_ours` comes, too, for its reader to say why. DataError where two files could be meant, and
    where a part is lacking.
    """
    if not folder.is_dir():
        return _of_set(folder, split, is_ours)
    ranked = [(closeness(path, split), path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    ranked = [(rank, path) for rank, path in ranked if rank is not None and path.is_file() and is_ours(path)]
    best = min((rank for rank, _ in ranked), default=None)
    found = [path for rank, path in ranked if rank == best]
    if len({_PART.sub("", path.stem) + path.suffix for path in found}) > 1:
        raise _two(folder, split, [path.name for path in found])
    return _whole(found)


def _two(folder: Path, split: str, names: list[str]) -> DataError:
    both = " and ".join(names[:2])
    return DataError(f"{folder}: {both} both look like its {split} split; leave one of them there, or name one file")


def sets(folder: Path, is_ours: Callable[[Path], bool]) -> list[Path]:
    """The sets of splits in a folder that holds several, sorted: what their files' names begin with.

    Empty where a split is in one file of its name alone, such as `train.json`: then the folder is the dataset.
    DataError where a file or folder is called as a set is.
    """
    found: dict[str, set[str]] = {}
    alone = False
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = _IN_SET.fullmatch(path.stem)
        is_alone = path.stem.lower() in _NAMES
        if (name or is_alone) and not path.name.startswith(".") and path.is_file() and is_ours(path):
            alone |= is_alone
            if name:
                split = next(split for split, names in SPLITS.items() if name["split"].lower() in names)
                found.setdefault(name["set"], set()).add(split)
    # `conll04_train_dev.json` is train and dev of `conll04` together, not the dev split of another set.
    own = {name: splits for name, splits in found.items() if not _IN_SET.fullmatch(name)}
    several = any(sum(split in splits for splits in found.values()) > 1 for split in SPLITS)
    if alone or not several:
        return []
    if taken := next((name for name in own if (folder / name).exists()), None):
        raise DataError(
            f"{folder}: {taken} and the files called {taken} and a split have one name; move one of them away"
        )
    return [folder / name for name in own]


_NAMES = tuple(name for names in SPLITS.values() for name in names)
_IN_SET = re.compile(rf"(?P<set>.+)[-_](?P<split>{'|'.join(_NAMES)})", re.IGNORECASE)


def _of_set(prefix: Path, split: str, is_ours: Callable[[Path], bool]) -> list[Path]:
    """The file of a split of one of a folder's `sets`."""
    if not prefix.parent.is_dir() or prefix.exists():
        return []
    names = ((path, _IN_SET.fullmatch(path.stem)) for path in sorted(prefix.parent.iterdir()) if path.is_file())
    own = [
        path for path, name in names if name and name["set"] == prefix.name and name["split"].lower() in SPLITS[split]
    ]
    found = [path for path in own if not path.name.startswith(".") and is_ours(path)]
    if len(found) > 1:
        raise _two(prefix, split, [path.name for path in found])
    return found


def split_folder(folder: Path, split: str, is_ours: Callable[[Path], bool]) -> list[Path]:
    """The files in a folder of the split's name that are `is_ours`, sorted: `train/data-00000-of-00002.arrow`.

    Numbered parts as for `split_files`. DataError where two folders could be meant.
    """
    if not folder.is_dir():
        return []
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.lower() in SPLITS[split])
    shown = ([path for path in sorted(below.iterdir()) if not path.name.startswith(".")] for below in folders)
    found = [files for paths in shown if (files := [path for path in paths if path.is_file() and is_ours(path)])]
    if len(found) > 1:
        raise _two(folder, split, [f"{files[0].parent.name}/" for files in found])
    return _whole(found[0]) if found else []


def _whole(files: list[Path]) -> list[Path]:
    """The files, with all the parts of those that are numbered."""
    whole: dict[Path, None] = {}
    for path in files:
        parts = [path]
        if part := _PART.search(path.stem):
            parts = [other for other in sorted(path.parent.iterdir()) if _is_part(other, path)]
            if len(parts) != int(part[1]):
                there = f"has {len(parts)} of {int(part[1])} parts of {_PART.sub('', path.stem)}{path.suffix}"
                raise DataError(f"{path.parent}: {there}; put all of them there, each once")
        whole |= dict.fromkeys(parts)
    return list(whole)


def _is_part(other: Path, path: Path) -> bool:
    mine, own = _PART.search(path.stem), _PART.search(other.stem)
    called = (path.stem[: mine.start()], mine[1], path.suffix)
    return own is not None and (other.stem[: own.start()], own[1], other.suffix) == called
