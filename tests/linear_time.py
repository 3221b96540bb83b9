"""A limit that only a reading in more than linear time can pass. Not a test module."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 20


@contextmanager
def linear_time() -> Iterator[None]:
    """Fail where what stands inside takes the processor SECONDS.

    A megabyte takes one or two, thrice that where others' work fills the caches; in quadratic time it takes minutes.
    """
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS
