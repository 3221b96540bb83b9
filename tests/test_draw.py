import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.draw import Draw, at_positions, in_order
from recipe.core.sampling import lowest

few_keys = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=400)


@settings(deadline=None)
@given(few_keys, st.integers(0, 60), st.integers(0, 60), st.sampled_from([0, 30, 10**6]))
def test_a_draw_is_the_lowest_keys_however_many_rows_are_held(keys, limit, number, room):
    draw = Draw(limit, room)
    for position, key in enumerate(keys):
        draw.add(key, 3 * position, f"row {position}")
    drawn = draw.lowest(min(number, limit))
    expected = sorted(lowest(((key, at) for at, key in enumerate(keys)), min(number, limit)))
    assert list(drawn.positions) == [3 * at for at in expected]
    assert drawn.rows in (None, [f"row {at}" for at in expected])
    assert drawn.rows is not None or room < len(keys)


@settings(deadline=None)
@given(few_keys, st.integers(0, 400))
def test_a_draw_without_a_limit_gives_any_number(keys, number):
    draw = Draw(None)
    for position, key in enumerate(keys):
        draw.add(key, position, position)
    expected = sorted(lowest(((key, at) for at, key in enumerate(keys)), number))
    assert list(draw.lowest(number).positions) == draw.lowest(number).rows == expected


def test_a_draw_holds_no_more_rows_than_it_has_room_for():
    draw = Draw(1000, room=50)
    for position in range(60):
        draw.add(position, position, "row")
    assert draw.held == 0
    assert list(draw.lowest(2).positions) == [0, 1]


@given(st.sets(st.integers(0, 50)))
def test_rows_are_found_again_at_their_positions(positions):
    assert list(at_positions(range(51), sorted(positions))) == sorted(positions)


@pytest.mark.parametrize("held", [0, 1, 7, 99, 1000])
def test_rows_that_wait_in_files_have_the_same_order_and_leave_no_file(tmp_path, held):
    rng = random.Random(0)
    rows = [(rng.choice((5, rng.getrandbits(64))), at) for at in range(300)]
    ordered = list(in_order(rows, lambda row: row[0], len(rows), tmp_path, held or 1))
    assert ordered == sorted(rows, key=lambda row: row[0])
    assert list(tmp_path.iterdir()) == []
