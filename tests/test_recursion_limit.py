"""What the garbage collector meets at the recursion limit fails no test: see conftest.py."""

import gc
import json
import sys

import pytest
from recursion_limit import unless_too_deep


class Left:
    """What only the collector can end, and not near the limit: its end takes a few calls, one within the other."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        sorted([3, 1, 2], key=lambda first: sum(first * second for second in sorted([2, 1], key=lambda one: -one)))


def test_what_others_left_does_not_fail_a_test_of_text_nested_too_deeply():
    usual = gc.get_threshold()
    try:
        for allocations in range(700, 1000):  # somewhere among them the collector runs at the very end
            Left()
            gc.set_threshold(allocations, 1000, 1000)
            with pytest.raises(RecursionError):
                json.loads("[" * 20_000)
    finally:
        gc.set_threshold(*usual)


@pytest.mark.parametrize(("error", "told"), [(RecursionError, 0), (ValueError, 1)])
def test_every_other_fault_is_told(error, told, monkeypatch):
    class Faulty:
        def __del__(self):
            raise error

    heard = []
    monkeypatch.setattr(sys, "unraisablehook", unless_too_deep(lambda one: heard.append(one.exc_type)))
    Faulty()
    assert len(heard) == told
