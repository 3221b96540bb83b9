"""A hook for what can't be raised that passes the recursion limit over in silence. Not a test module."""

from __future__ import annotations

import sys
from collections.abc import Callable

Hook = Callable[["sys.UnraisableHookArgs"], object]


def unless_too_deep(complain: Hook) -> Hook:
    """Calls `complain` for every fault in an object's end but that there was no stack left for it."""

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not RecursionError:
            complain(unraisable)

    return hook
