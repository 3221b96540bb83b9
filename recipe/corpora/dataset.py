"""A dataset: its name, its folder or file, and the layout that reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


def tasks_of(layout: Any) -> tuple[str, ...]:
    """What may be asked of a layout's sentences, the usual first."""
    return getattr(layout, "TASKS", ("ner",))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's folder or its one file, and its name without `_sample_15000`: resampling makes no other dataset."""

    name: str
    folder: Path
    layout: Any  # a module or an object; recipe.corpora says what it has

    def file(self, split: str) -> Path:
        """The split's file, or the one that should be there."""
        return self.layout.file(self.folder, split)

    def files(self, split: str) -> tuple[Path, ...]:
        """The files that the split's examples are read from."""
        return tuple(dict.fromkeys((self.file(split), *self.label_files)))

    @property
    def label_files(self) -> tuple[Path, ...]:
        """The files that the types are read from."""
        return self.layout.label_files(self.folder)

    @property
    def one_file(self) -> bool:
        """True where the whole dataset is one file, or files that know no splits."""
        return self.folder.is_file() or not getattr(self.layout, "knows_splits", lambda _: True)(self.folder)

    @property
    def may_lack_splits(self) -> bool:
        """True where datasets are for training or for testing."""
        return getattr(self.layout, "MAY_LACK_SPLITS", False)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What may be asked of its sentences, the usual first."""
        of_file = getattr(self.layout, "tasks", None)
        return of_file(self.folder) if of_file else tasks_of(self.layout)

    @property
    def options(self) -> tuple[str, ...]:
        """Which of a Reading's columns, join, tags and type_name its reader goes by."""
        return getattr(self.layout, "OPTIONS", ())
