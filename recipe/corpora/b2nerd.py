"""B2NERD's layout: InstructUIE's, in {NER_en,NER_zh,NER_en_other}/<Dataset>, each for training or for testing."""

from pathlib import Path

from recipe.corpora import instructuie
from recipe.corpora.instructuie import examples, file, label_files, sentences, types

__all__ = ("MAY_LACK_SPLITS", "examples", "file", "found", "label_files", "reads", "sentences", "types")

MAY_LACK_SPLITS = True
FILES = "B2NERD (InstructUIE's files in NER_en, NER_zh or NER_en_other)"
GROUPS = ("NER_en", "NER_zh", "NER_en_other")


def found(folder: Path) -> bool:
    """True for a folder of InstructUIE's files, or of labels.json alone, in a folder of B2NERD."""
    if folder.parent.name not in GROUPS or not folder.is_dir():
        return False
    return instructuie.found(folder) or [path.name for path in folder.iterdir()] == [instructuie.LABELS]


def reads(_path: Path) -> bool:
    """False: a file of B2NERD is one of InstructUIE."""
    return False
