"""What the command leaves out of the packages that it loads: a tokenizer and Parquet files need little of them.

    leave_out()     # before any of them is imported

None of it changes what a tokenizer or a file does. Elsewhere, where models are loaded, these packages stay as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from types import ModuleType

from recipe.core.imports import Changed, Without


def leave_out() -> None:
    """From now on, transformers and pyarrow load without what they would use elsewhere."""
    # transformers would load torch for a tokenizer's sake, pyarrow pandas to see that a list is none of its series, and
    # httpx, which transformers brings, the packages that colour its own command's output.
    sys.modules.setdefault("torch", None)
    sys.meta_path[:0] = [Without("pandas"), Without("httpx._main"), Changed("transformers.utils.import_utils", _faster)]
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it would miss torch aloud
    metadata.packages_distributions = _Distributions  # transformers looks through all that is installed at its import


def _faster(module: ModuleType) -> None:
    """transformers' list of its classes, read from each of its 2,800 files: from the lines that say them alone."""
    if read := getattr(module, "fetch__all__", None):
        # It goes by the last line that begins with `__all__`, so what stands before such a line makes no difference.
        module.fetch__all__ = lambda text: read(text[text.rfind("\n__all__") + 1 :])


class _Distributions(Mapping):
    """The distributions of each package that can be imported, looked up when one is asked for."""

    @cached_property
    def _all(self) -> Mapping[str, list[str]]:
        return _packages_distributions()

    def __getitem__(self, package: str) -> list[str]:
        return self._all[package]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


_packages_distributions = metadata.packages_distributions
