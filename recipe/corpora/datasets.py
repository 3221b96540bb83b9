"""Datasets: finds them in a folder of corpora, and reads each by the layout that its files show (recipe.corpora).

    (dataset,), _ = find_datasets(Path("NER"), ["bc5cdr"])
    next(read_dataset(dataset, "train"))            # Example("Naloxone reverses ...", ("chemical", "disease"), ...)

Memory holds one record and a read buffer, whatever a file's size.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipe import answers, corpora
from recipe.answers.think import template_reasoning
from recipe.core.entities import DataError, Example
from recipe.corpora import instructuie, ner_cot, splits, unknown
from recipe.corpora.dataset import Dataset
from recipe.corpora.json_files import read_text
from recipe.corpora.parquet import read_sentences
from recipe.corpora.reading import STRICT, Reading
from recipe.corpora.record_layout import RecordLayout

# ReasoningNER, section on RL data and tables of supervised and zero-shot results; the names are InstructUIE's folders.
_LISTS = json.loads(Path(__file__).with_name("lists.json").read_text(encoding="utf-8"))
IN_DOMAIN, CROSS_DOMAIN = tuple(_LISTS["in_domain"]), tuple(_LISTS["cross_domain"])
LISTS = {
    "in_domain": IN_DOMAIN,
    # The paper trains on the two MIT sets and also calls them out of domain; this list makes the claim true.
    "in_domain_clean": tuple(name for name in IN_DOMAIN if name not in CROSS_DOMAIN),
    "cross_domain": CROSS_DOMAIN,
}
SPLITS = ("train", "dev", "test")

_SPLIT_NAMES = frozenset(name for names in splits.SPLITS.values() for name in names)
_DEEPEST = 3  # folders between the one that is named and a dataset's
_RESAMPLED = re.compile(r"_sample_\d+$")


# -------------------------------------------------------------------------------------------------------- datasets


def dataset_at(folder: Path, name: str | None = None, task: str | None = None) -> Dataset:
    """The dataset in a folder or file, called `name` or as that is; where no layout fits, reading it says so."""
    fallback = instructuie if (folder / instructuie.LABELS).is_file() else unknown
    layout = next((layout for layout in corpora.layouts_of(task) if layout.found(folder)), fallback)
    return Dataset(dataset_name(name or _called(folder)), folder, layout)


def _called(path: Path) -> str:
    """A file's name without its ending, or a folder's; one that is called `data` is a part of the one that holds it."""
    path = Path(os.path.abspath(path))  # of `.` or `..`, too
    if path.is_file():
        return path.stem
    return path.parent.name if path.name == "data" else path.name


def dataset_of_file(path: Path, name: str | None = None) -> Dataset:
    """The dataset that is one file of annotated rows with reasoning, called `name` or by its path."""
    return Dataset(name or str(path), path, ner_cot)


def dataset_name(folder: str) -> str:
    """`"CoNLL 2003_sample_15000"` -> `"CoNLL 2003"`."""
    return _RESAMPLED.sub("", folder) or folder


def find_datasets(
    root: Path, names: Sequence[str] | None = None, root_name: str | None = None, task: str | None = None
) -> tuple[list[Dataset], list[str]]:
    """The datasets of these names in their order, and the names that are not there; None for all, sorted.

    Of a `task`, those whose files hold what it asks for; None: of any.

    `root` holds a folder or a file for each dataset, or is itself a dataset, which is called `root_name` if that
    is given. Where both `X` and `X_sample_15000` are there, `X` is the dataset. DataError if `root` holds no
    dataset, one dataset is named twice, or several folders have one name.
    """
    whole = root
    part = (task or "ner").upper()
    root = next((path for path in (root / "IE_INSTRUCTIONS" / part, root / part) if path.is_dir()), root)
    if not root.exists():
        raise DataError(f"{root}: no such folder or file; give one that holds a dataset, or a folder for each")
    folders = _folders(root, task)
    by_folder: dict[str, list[Path]] = {}
    for folder in folders:
        name = root_name if root_name and folder in (whole, whole / "data") else _called(folder)
        by_folder.setdefault(name, []).append(folder)
    # The shortest name of a dataset is the one that is not resampled.
    by_name = {dataset_name(name): name for name in sorted(by_folder, key=lambda name: (-len(name), name))}

    def dataset(name: str) -> Dataset:
        first, *others = by_folder[name]
        if not name.isprintable():
            raise DataError(f"{root}: {name!r} holds characters that can't be printed; give it another name")
        if others:
            where, other = (str(path.relative_to(root)) for path in (first, others[0]))
            both = f"{'the folder itself' if first == root else where} and {other}"
            remedy = f"give the path of {other}, or move it away" if first == root else "give the path of one of them"
            raise DataError(f"{root}: two datasets are called {name}: {both}; {remedy}")
        _check_task(first, task)
        return dataset_at(first, name, task)

    if names is None:
        asked = [by_name[name] for name in sorted(by_name)]
        of_task = [name for name in asked if not _only_for(by_folder[name][0], task)]
        return list(map(dataset, of_task or asked)), []
    found: list[Dataset] = []
    missing = []
    for wanted in names:
        folder = wanted if wanted in by_folder else by_name.get(wanted)
        if folder is None:
            missing.append(wanted)
        elif any(known.name == dataset_name(folder) for known in found):
            raise DataError(f"{wanted}: named twice; name each dataset once")
        else:
            found.append(dataset(folder))
    return found, missing


def _folders(root: Path, task: str | None) -> list[Path]:
    """The folders or files of all datasets; folders in which no layout is recognised among them."""
    if root.is_file():
        return [root]
    below = _subfolders(root)
    own = _sets(root, task)
    if not own:
        # Splits that are folders would each be found as a dataset.
        if any(layout.knows_splits(root) for layout in corpora.LAYOUTS if hasattr(layout, "knows_splits")):
            return [root]
        if below and all(path.name.lower() in _SPLIT_NAMES for path in below) and _is_dataset(root, task):
            return [root]
    below = {path: _dataset_folders(path, 1, task) for path in below}
    own = own or ([root] if _is_dataset(root, task) else _dataset_files(root, task))
    if own and not any(below.values()):
        return own
    if not below:
        _check_task(root, task)
        raise DataError(unknown.describe(root))
    return own + [folder for path, folders in below.items() for folder in folders or [path]]


def _only_for(folder: Path, task: str | None) -> tuple[str, ...]:
    """The tasks that the dataset there is for, where that task is none of them; empty where it is, or nobody knows."""
    if task is None or _is_dataset(folder, task):
        return ()
    return next((corpora.tasks_of(layout) for layout in corpora.LAYOUTS if layout.found(folder)), ())


def _check_task(folder: Path, task: str | None) -> None:
    if tasks := _only_for(folder, task):
        raise DataError(f"{folder}: its files are for --task {' or '.join(tasks)}, not for --task {task}")


def _sets(folder: Path, task: str | None) -> list[Path]:
    """The sets of splits in one folder (recipe.corpora.splits.sets), of layouts whose files are lists of records."""
    layouts = [layout for layout in corpora.layouts_of(task) if isinstance(layout, RecordLayout)]
    return splits.sets(folder, lambda path: any(layout.reads(path) for layout in layouts))


def _dataset_files(folder: Path, task: str | None) -> list[Path]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in files if _is_dataset(path, task))


def _is_dataset(folder: Path, task: str | None) -> bool:
    return any(layout.found(folder) for layout in corpora.layouts_of(task))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _dataset_folders(folder: Path, depth: int, task: str | None) -> list[Path]:
    """The folder itself if it holds a dataset's files, else the folders below it that do."""
    if sets := _sets(folder, task):
        return sets
    if (folder / instructuie.LABELS).is_file() or _is_dataset(folder, task):
        return [folder]
    if depth == _DEEPEST:
        return []
    return [found for path in _subfolders(folder) for found in _dataset_folders(path, depth + 1, task)]


def read_names(path: Path) -> tuple[str, ...]:
    """Dataset names from a text file: one on a line; blank lines and lines that begin with # do not count."""
    lines = (line.strip() for line in read_text(path).splitlines())
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise DataError(f"{path}: names no dataset; write one name on each line")
    return names


# --------------------------------------------------------------------------------------------------------- records


def read_dataset(dataset: Dataset, split: str, reading: Reading = STRICT) -> Iterator[Example]:
    """The examples of one split in file order. DataError for a bad file, and for a bad record unless it is skipped.

    They are in `reading.format` where a dataset has more than names; a format of names is left to who asks.
    """
    examples = dataset.layout.examples(dataset, split, reading)
    if dataset.tasks != ("ner",):
        name = format_of(dataset, reading.format)
        examples = (answers.asked_in(example, name) for example in examples)
    elif reading.format is not None:
        format_of(dataset, reading.format)
    if reading.cot == "template":
        return map(_with_template_reasoning, examples)
    return examples


def format_of(dataset: Dataset, name: str | None) -> str:
    """The answer format itself or, for None, that of the dataset's usual task. DataError for one of no task of it."""
    if name is None:
        return answers.formats_of(dataset.tasks[0])[0]
    if (task := answers.task(name)) not in dataset.tasks:
        may = " or ".join(f"--task {each}" for each in dataset.tasks)
        raise DataError(f"{dataset.folder}: can't be asked for the task {task}; its files are for {may}")
    return name


def common_format(datasets: Sequence[Dataset]) -> str:
    """The answer format of the datasets' usual task. DataError where they are of several."""
    first, *others = datasets
    for other in others:
        if other.tasks[0] != first.tasks[0]:
            both = f"{first.name} is for the task {first.tasks[0]}, {other.name} for {other.tasks[0]}"
            raise DataError(f"{both}; say --task, or name those of one alone")
    return format_of(first, None)


def _with_template_reasoning(example: Example) -> Example:
    if example.relation_types:
        return replace(example, reasoning=answers.template_reasoning(example))
    one = example  # dataclasses.replace takes thrice the time
    return Example(one.sentence, one.types, one.entities, one.dataset, template_reasoning(one), one.format)


def read_descriptions(dataset: Dataset, split: str) -> dict[str, str]:
    """Type -> what the dataset's own file of the split says that it means; empty where no file says it."""
    describe = getattr(dataset.layout, "descriptions", None)
    return describe(dataset.file(split)) if describe else {}


# ------------------------------------------------------------------------------------------------------- sentences


def sentence_files(path: Path) -> list[Path]:
    """The file itself, or each test split in a folder and below. DataError for a folder that holds none."""
    if not path.is_dir():
        return [path]
    folders = [path, *(folder for folder in sorted(path.rglob("*")) if folder.is_dir())]
    files: dict[Path, None] = {}
    for folder in folders:
        if not any(file.parent == folder for file in files):  # else it is a split of the folder above
            files |= dict.fromkeys(_test_files(folder))
    if not files:
        raise DataError(f"{path}: no test split in it or below; name a file or a folder that holds one")
    return list(files)


def _test_files(folder: Path) -> list[Path]:
    """All files of the test split of the folder, or of each of the sets in it, by the first layout that has any."""
    found = []
    for place in _sets(folder, None) or [folder]:
        for layout in corpora.LAYOUTS:
            parts = getattr(layout, "parts", lambda path, split, file=layout.file: [file(path, split)])
            if files := [file for file in parts(place, "test") if file.is_file()]:
                found += files
                break
    return found


def sentences(path: Path, reading: Reading = STRICT) -> Iterator[str]:
    """The sentences of a file of any layout, or of a Parquet file that data_prep/to_parquet.py wrote."""
    layout = _layout_of(path)
    if layout is None and path.suffix == ".parquet":
        return (sentence for _, sentence in read_sentences(path))
    return (layout or instructuie).sentences(path, reading)


def options_of(path: Path) -> tuple[str, ...]:
    """Which of a Reading's columns, join, tags and type_name `sentences` goes by for that file."""
    return getattr(_layout_of(path), "OPTIONS", ())


def _layout_of(path: Path) -> Any:
    return next((layout for layout in corpora.LAYOUTS if layout.reads(path)), None)
