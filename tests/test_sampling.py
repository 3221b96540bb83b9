import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.core.entities import DataError, Entity, Example
from recipe.core.sampling import lowest, quotas, row_key, share, share_size

ROWS = [Example(f"sentence {i}", ("a",), dataset="toy") for i in range(1000)]
sizes = st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), min_size=1, max_size=20)


def positions(rows, seed, limit):
    return lowest(((row_key(seed, row), i) for i, row in enumerate(rows)), limit)


# ---------------------------------------------------------------------------------------------------------- quotas


@given(sizes, st.integers(1, 10**6), st.floats(0, 1))
def test_totals_are_exact_and_no_dataset_gives_more_than_it_has(sizes, cap, part):
    total = int(part * sum(min(size, cap) for size in sizes.values()))
    result = quotas(sizes, total, cap)
    assert sum(result.values()) == total
    assert all(result[name] <= min(size, cap) for name, size in sizes.items())


@given(sizes, st.floats(0, 1))
def test_each_quota_is_the_proportional_share_within_one_row(sizes, part):
    available = sum(sizes.values())
    total = int(part * available)
    for name, quota in quotas(sizes, total).items():
        assert abs(quota - total * sizes[name] / max(available, 1)) < 1


def test_a_dataset_counts_as_at_most_the_cap():
    assert quotas({"big": 10**6, "small": 10000}, 100, cap=10000) == {"big": 50, "small": 50}


@given(sizes)
def test_the_order_of_datasets_does_not_matter(sizes):
    total = sum(sizes.values()) // 3
    assert quotas(sizes, total) == quotas(dict(reversed(sizes.items())), total)


def test_more_rows_than_there_are_is_an_error_that_says_how_many_there_are():
    with pytest.raises(DataError, match="11 rows asked for, 10 there are"):
        quotas({"a": 4, "b": 6}, 11)


def test_the_error_names_the_cap_where_it_is_what_limits():
    with pytest.raises(DataError, match="10 there are; ask for 10 or fewer"):  # the cap took nothing away
        quotas({"a": 6, "b": 4}, 11, cap=6)
    with pytest.raises(DataError, match="8 there are \\(at most 4 of a dataset\\)"):
        quotas({"a": 4, "b": 6}, 11, cap=4)


# ---------------------------------------------------------------------------------------------------------- choice


def test_the_seed_decides():
    assert positions(ROWS, 1, 50) == positions(ROWS, 1, 50)
    assert set(positions(ROWS, 1, 50)) != set(positions(ROWS, 2, 50))


def test_the_order_of_rows_does_not_matter():
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    assert {ROWS[i] for i in positions(ROWS, 1, 50)} == {shuffled[i] for i in positions(shuffled, 1, 50)}


def test_a_row_that_is_taken_away_changes_one_row_of_the_sample():
    chosen = [ROWS[i] for i in positions(ROWS, 1, 50)]
    rest = [row for row in ROWS if row != chosen[0]]
    assert set(chosen[1:]) < {rest[i] for i in positions(rest, 1, 50)}


def test_the_choice_is_uniform():
    hits = Counter(i // 100 for seed in range(200) for i in positions(ROWS, seed, 50))
    assert all(850 < hits[tenth] < 1150 for tenth in range(10))  # 1000 +- 5 standard deviations


@pytest.mark.parametrize(
    "other",
    [
        Example("ab c", ("t",), (Entity("x", "t"),), "d"),
        Example("ab", ("t",), (Entity("x", "t"),), "e"),
        Example("ab", ("t", "u"), (Entity("x", "t"),), "d"),
        Example("ab", ("t",), (Entity("x", "u"),), "d"),
        Example("ab", ("t",), (), "d"),
        Example("abx", ("t",), (Entity("", "t"),), "d"),
        Example("ab", ("t",), (Entity("x", "t"),), "d", "why"),
    ],
)
def test_the_key_depends_on_all_of_the_content(other):
    row = Example("ab", ("t",), (Entity("x", "t"),), "d")
    assert row_key(1, row) != row_key(1, other)


def test_purposes_give_independent_keys():
    assert row_key(1, ROWS[0]) != row_key(1, ROWS[0], "order")


def test_keys_stay_the_same_from_version_to_version():
    assert row_key(42, Example("Ada", ("person",), (Entity("Ada", "person"),), "toy")) == 14808540076480787846


# ---------------------------------------------------------------------------------------------------------- shares


def test_shares_are_nested():
    one, five, ten = (set(share(ROWS, fraction, seed=3)) for fraction in (0.01, 0.05, 0.10))
    assert one < five < ten
    assert (len(one), len(five), len(ten)) == (10, 50, 100)


@given(st.lists(st.sampled_from([0.01, 0.05, 0.1, 0.3, 1]), min_size=2, max_size=2), st.integers(0, 2**32))
def test_shares_are_nested_whatever_the_seed(fractions, seed):
    small, large = (share(ROWS[:200], fraction, seed) for fraction in sorted(fractions))
    assert set(small) <= set(large)


def test_another_seed_is_another_share():
    assert set(share(ROWS, 0.1, seed=42)) != set(share(ROWS, 0.1, seed=43))


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 140), (0.05, 702), (0.1, 1404)])
def test_the_low_resource_shares_of_conll_2003s_train_split_are_exact(fraction, count):
    assert share_size(14041, fraction) == count


def test_a_share_keeps_the_order_of_the_rows():
    chosen = share(ROWS, 0.1, seed=3)
    assert chosen == sorted(chosen, key=ROWS.index)


def test_the_whole_is_a_share():
    assert share(ROWS, 1, seed=3) == ROWS


@pytest.mark.parametrize(("size", "fraction", "count"), [(30, 0.05, 2), (10, 0.01, 1), (0, 0.5, 0), (14041, 0.01, 140)])
def test_a_share_is_rounded_half_up_and_never_empty(size, fraction, count):
    assert share_size(size, fraction) == count


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
def test_a_share_lies_above_0_and_at_most_at_1(fraction):
    with pytest.raises(DataError, match="at most 1"):
        share_size(10, fraction)
