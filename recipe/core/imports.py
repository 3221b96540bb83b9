"""The import of large packages: without the garbage collector walking over them again and again, or not at all."""

import atexit
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

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


class Changed:
    """A finder for the front of `sys.meta_path`: `change` gets a module as soon as its own code was run."""

    def __init__(self, module: str, change: Callable[[ModuleType], None]) -> None:
        self.module, self.change = module, change

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module's spec, as it is found on disk; None, so that others are asked, for all else."""
        spec = PathFinder.find_spec(name, path) if name == self.module else None
        if spec is not None:
            spec.loader = _Changing(spec.loader, self.change)
        return spec


class _Changing(Loader):
    def __init__(self, loader: Loader, change: Callable[[ModuleType], None]) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self._loader  # sources and data are asked of it
        self._loader.exec_module(module)
        self._change(module)
