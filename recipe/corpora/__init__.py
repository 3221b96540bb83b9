"""Corpora on disk: the layouts, in the order in which a dataset's folder or file is tried.

A layout is a module or object with these names; recipe.corpora.datasets calls them and knows no layout by its name.
`path` is the dataset's folder or, where the whole of it is one file, that file.

    FILES                                by which files it is known, for people
    found(path)                          is a dataset of this layout there?
    reads(file)                          is the file, by its name or its first record, one of this layout?
    file(path, split)                    the split's file, or the path where it should be; the one file is any split
    label_files(path)                    the files that the types are read from
    types(dataset, reading)              the types that may be asked for, sorted
    examples(dataset, split, reading)    the split's `Example`s in file order, streamed
    sentences(path, reading)             the sentences of a file alone; DataError for the first bad one

and, if need be,

    TASKS = ("re", "ner")                what may be asked of its sentences, the usual first; default: names alone
    tasks(path)                          the same, where files differ
    MAY_LACK_SPLITS = True               a dataset without a train or test split is in order
    OPTIONS                              which of a Reading's columns, join, tags and type_name it goes by
    descriptions(path)                   type -> what the file itself says that it means
    parts(path, split)                   all files of the split, where there may be several
    knows_splits(path)                   False where all of a folder is any split; for splits that are folders

A layout whose files are lists of records, as JSON, JSON Lines, Parquet or Arrow, is a recipe.corpora.record_layout.

A new layout is a module beside these and a line below. To import them takes the standard library alone.
"""

from recipe.corpora import (
    b2nerd,
    brat,
    casie,
    conll,
    conversations,
    crossre,
    gliner,
    hugging_face,
    instructuie,
    instructuie_events,
    instructuie_relations,
    mrc,
    ner_cot,
    offsets,
    phee,
    scier,
    spert,
)
from recipe.corpora.dataset import tasks_of
from recipe.corpora.reading import FIRST_AND_LAST, Columns, Reading

__all__ = ("FIRST_AND_LAST", "LAYOUTS", "Columns", "Reading", "layouts_of", "tasks_of")

LAYOUTS = (
    b2nerd,
    hugging_face.LAYOUT,
    offsets.DOCCANO,
    offsets.PRODIGY,
    offsets.SPACY,
    offsets.LABEL_STUDIO,
    conversations.LAYOUT,
    gliner.LAYOUT,
    crossre.LAYOUT,
    spert.LAYOUT,
    scier.LAYOUT,
    instructuie_relations.LAYOUT,
    instructuie_events.LAYOUT,
    phee.LAYOUT,
    casie,
    brat,
    instructuie,
    mrc,
    conll,
    ner_cot,
    instructuie_relations.WITH_ENTITIES,  # rows of names, unless relations are asked for
)


def layouts_of(task: str | None) -> tuple:
    """The layouts whose sentences may be asked for a task, in order; None for all."""
    return tuple(layout for layout in LAYOUTS if task is None or task in tasks_of(layout))
