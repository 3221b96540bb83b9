"""Corpora on disk: the layouts, in the order in which a dataset's folder is tried.

A layout is a module with these names; recipe.corpora.datasets calls them and knows no layout by its name.

    found(folder)                        does the folder hold a dataset of this layout?
    reads(path)                          is the file, by its name, one of this layout?
    file(folder, split)                  the split's file, or the path where it should be
    label_files(folder)                  the files that the types are read from
    types(dataset, reading)              the types that may be asked for, sorted
    examples(dataset, split, reading)    the split's `Example`s in file order, streamed
    sentences(path, reading)             the sentences of a file alone; DataError for the first bad one

and, if need be,

    MAY_LACK_SPLITS = True               a dataset without a train or test split is in order
    descriptions(path)                   type -> what the file itself says that it means

A new layout is a module beside these and a line below. To import them takes the standard library alone.
"""

from recipe.corpora import b2nerd, conll, instructuie, mrc, ner_cot
from recipe.corpora.reading import FIRST_AND_LAST, Columns, Reading

__all__ = ("FIRST_AND_LAST", "LAYOUTS", "Columns", "Reading")

LAYOUTS = (
    b2nerd,
    instructuie,
    mrc,
    conll,
    ner_cot,
)
