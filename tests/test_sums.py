"""Sums add up in any order, subtract exactly, survive JSON, and refuse what does not fit."""

import json
import random
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairheads.errors import InputError
from fairheads.sums import Cells, Moments

GROUPS = ("a", "b", "c")
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)), max_size=60)


def cells_of(rows: list[tuple[int, int, int]]) -> Cells:
    group, y, decision = ([row[i] for row in rows] for i in range(3))
    return Cells.count(group=group, y=y, decision=decision, groups=GROUPS)


@given(ROWS)
def test_cells_count_every_combination_as_a_loop_over_rows_does(rows: list[tuple[int, int, int]]) -> None:
    counts = cells_of(rows).counts
    assert counts.dtype == np.int64
    for cell in product(range(3), range(2), range(2)):
        assert counts[cell] == rows.count(cell)


@given(ROWS, st.lists(st.integers(0, 60), max_size=4), st.randoms(use_true_random=False))
def test_cells_of_shards_in_any_order_are_the_cells_of_all_rows(
    rows: list[tuple[int, int, int]], cuts: list[int], order: random.Random
) -> None:
    shuffled = rows.copy()
    order.shuffle(shuffled)
    edges = [0, *sorted(cuts), 60]
    shards = [cells_of(shuffled[a:b]) for a, b in pairwise(edges)]
    order.shuffle(shards)
    total = Cells.empty(GROUPS)
    for shard in shards:
        total = total + shard
    assert (total.counts == cells_of(rows).counts).all()


def test_an_int_of_cells_holds_more_than_32_bits() -> None:
    near = 2**40 - 1
    big = Cells(("a",), np.full((1, 2, 2), near, np.int64))
    total = big + big + big
    assert total.counts.dtype == np.int64
    assert total.counts.tolist() == [[[3 * near] * 2] * 2]
    again = Cells.from_dict(json.loads(json.dumps(total.to_dict())))
    assert again.counts.dtype == np.int64 and (again.counts == total.counts).all()


def test_cells_survive_json() -> None:
    cells = cells_of([(0, 1, 1), (2, 0, 1), (2, 0, 1)])
    again = Cells.from_dict(json.loads(json.dumps(cells.to_dict())))
    assert again.groups == cells.groups
    assert again.counts.shape == (3, 2, 2) and (again.counts == cells.counts).all()


def test_cells_of_other_groups_do_not_add() -> None:
    with pytest.raises(InputError, match="different groups"):
        Cells.empty(("a", "b")) + Cells.empty(("b", "a"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"group": [0, 3]}, "`group` must hold whole numbers from 0 to 2"),
        ({"group": [0, -1]}, "`group`"),
        ({"y": [0, 2]}, "`y` must hold whole numbers from 0 to 1"),
        ({"y": [0, 0.5]}, "`y`"),
        ({"decision": [0, np.nan]}, "`decision`"),
        ({"y": [1]}, r"`y` must have one entry per row of `group` \(2\)"),
        ({"decision": [1, 0, 1]}, "`decision` must have one entry per row"),
    ],
)
def test_cells_refuse_rows_that_are_no_codes(rows: dict[str, list[float]], message: str) -> None:
    good = {"group": [0, 1], "y": [0, 1], "decision": [1, 0]}
    assert Cells.count(**good, groups=GROUPS).counts.sum() == 2
    with pytest.raises(InputError, match=message):
        Cells.count(**(good | rows), groups=GROUPS)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 40), st.integers(0, 40))
def test_moments_of_parts_add_and_subtract_to_the_whole(seed: int, columns: int, n: int, cut: int) -> None:
    x = np.random.default_rng(seed).normal(3.0, 2.0, (n, columns))
    first, second, whole = Moments.of(x[:cut]), Moments.of(x[cut:]), Moments.of(x)
    for total in (first + second, second + first, Moments.empty(columns) + whole):
        assert total.n == n
        np.testing.assert_allclose(total.total, x.sum(0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(total.gram, x.T @ x, rtol=1e-12, atol=1e-12)
    left = whole - first
    assert left.n == second.n
    np.testing.assert_allclose(left.gram, second.gram, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(left.total, second.total, rtol=1e-9, atol=1e-9)


def test_mean_and_covariance_are_numpys_and_leaving_a_fold_out_changes_them() -> None:
    x = np.random.default_rng(0).normal([0.0, 5.0, -3.0], [1.0, 0.1, 4.0], (500, 3))
    whole, fold = Moments.of(x), Moments.of(x[:50] + 2.0)
    np.testing.assert_allclose(whole.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(whole.covariance, np.cov(x.T, bias=True), rtol=1e-10, atol=1e-12)
    polluted = whole + fold
    assert np.abs(polluted.mean - x.mean(0)).min() > 0.1
    np.testing.assert_allclose((polluted - fold).covariance, np.cov(x.T, bias=True), rtol=1e-9, atol=1e-9)


def test_moments_of_float32_rows_are_summed_in_float64() -> None:
    x = np.full((200_000, 1), 0.1, np.float32)
    exact = 200_000 * float(np.float32(0.1))
    assert Moments.of(x).total[0] == pytest.approx(exact, rel=1e-10)
    assert Moments.of(x).total.dtype == np.float64


def test_moments_of_no_rows_have_no_mean_and_no_covariance() -> None:
    nothing = Moments.empty(2)
    assert np.isnan(nothing.mean).all() and np.isnan(nothing.covariance).all()


def test_moments_survive_json_to_the_bit() -> None:
    moments = Moments.of(np.random.default_rng(0).normal(size=(10, 3)))
    again = Moments.from_dict(json.loads(json.dumps(moments.to_dict())))
    assert again.n == 10
    assert (again.total == moments.total).all() and (again.gram == moments.gram).all()


def test_moments_of_other_widths_do_not_add() -> None:
    one, two = Moments.of(np.ones((3, 1))), Moments.of(np.ones((3, 2)))
    with pytest.raises(InputError, match="1 and of 2 columns"):
        one + two
    with pytest.raises(InputError, match="2 and of 1 columns"):
        two - one
