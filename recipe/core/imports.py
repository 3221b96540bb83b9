"""The import of packages of thousands of modules, without the garbage collector walking over them again and again."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recipe.core.garbage import uncollected


@contextmanager
def first_import_of(package: str) -> Iterator[None]:
    """No garbage collection within; afterwards the collector leaves alone what is there. Nothing for a second import.

    Modules, classes and functions stay for good, so a collection would find next to nothing among a million of them.
    """
    if package in sys.modules or not gc.isenabled():
        yield
        return
    with uncollected():
        yield
        gc.freeze()
