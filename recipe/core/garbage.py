"""When Python looks for garbage in cycles: not while many objects without any are made.

Each such look walks all objects that are alive, so that reading 100,000 rows takes twice as long for them.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No look for cycles within the block, or within a function that this decorates."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
