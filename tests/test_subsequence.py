"""The longest common subsequence that answers are aligned by."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from linear_time import linear_time

from recipe.answers.subsequence import common

few = st.lists(st.integers(0, 3), max_size=20)


def length(a, b):
    """By the textbook's table."""
    row = [0] * (len(b) + 1)
    for x in a:
        last = row
        row = [0]
        for j, y in enumerate(b):
            row.append(last[j] + 1 if x == y else max(last[j + 1], row[j]))
    return row[-1]


@given(few, few)
def test_it_is_common_in_order_and_as_long_as_can_be(a, b):
    pairs = list(common(a, b))
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(pairs))
    assert len(pairs) == length(a, b)


def test_a_long_sequence_beside_a_short_one_is_no_matter():
    with linear_time():
        assert len(list(common("ab" * 100_000, "ba" * 50))) == 100
