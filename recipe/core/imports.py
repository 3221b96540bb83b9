"""The import of large packages: without the garbage collector walking over them again and again, or not at all."""

import atexit
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
        atexit.register(gc.unfreeze)  # or Triton's C++ tells at the end of all that was never collected


class Without:
    """A finder for the front of `sys.meta_path`, to which a package is as good as not installed.

    None in `sys.modules` says so too, but code that Cython compiled, as pyarrow's, takes it for the package.
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """ModuleNotFoundError for the package; None, so that others are asked, for all else."""
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}: left out", name=name)
