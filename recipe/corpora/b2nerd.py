"""B2NERD's layout: InstructUIE's, in {NER_en,NER_zh,NER_en_other}/<Dataset>, each for training or for testing."""

from pathlib import Path

from recipe.corpora import instructuie
from recipe.corpora.instructuie import examples, file, label_files, sentences, types

__all__ = ("MAY_LACK_SPLITS", "examples", "file", "found", "label_files", "reads", "sentences", "types")

MAY_LACK_SPLITS = True
FILES = "B2NERD (InstructUIE's files in NER_en, NER_zh or NER_en_other)"
GROUPS = ("NER_en", "NER_zh", "NER_en_other")


def found(folder: Path) -> bool:
    """True for InstructUIE's files in a folder of B2NERD."""
    return folder.parent.name in GROUPS and ((folder / instructuie.LABELS).is_file() or instructuie.found(folder))


def reads(_file: Path) -> bool:
    """False: a file alone, of this layout as well, is InstructUIE's."""
    return False
