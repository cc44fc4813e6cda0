"""Sums add up in any order, subtract exactly, survive JSON, and refuse what does not fit."""

import json
import random
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables_for_tests import SEEDS, TABLES, Table, assert_alike, table

from fairheads.errors import InputError
from fairheads.sums import NOT_RECORDED, Cells, Membership, Moments, Tally, sum_of
from fairheads.sums import tally as sums_tally

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


def test_cells_of_other_groups_add_to_the_cells_of_both_whatever_their_order() -> None:
    one = Cells.count(y=[1, 0], decision=[1, 1], group=[0, 1], groups=("b", "a"))
    other = Cells.count(y=[1, 1], decision=[0, 0], group=[0, 1], groups=("10", "a"))
    for total in (one + other, other + one):
        assert total.groups == ("10", "a", "b")
        assert total.counts.tolist() == [[[0, 0], [1, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]]


def test_cells_of_other_classes_add_and_one_class_stands_against_the_rest() -> None:
    first = Cells.count(y=[0, 1], decision=[1, 1], group=[0, 0], groups=("a",), classes=("no", "yes"))
    second = Cells.count(y=[0, 1], decision=[1, 1], group=[0, 0], groups=("a",), classes=("maybe", "yes"))
    total = first + second
    assert total.classes == (second + first).classes == ("maybe", "no", "yes")
    assert (total.counts == (second + first).counts).all() and total.counts.sum() == 4
    against = total.against_rest("yes")
    assert against.classes == ("0", "1") and against.counts.tolist() == [[[0, 2], [0, 2]]]
    assert total.against_rest("no").counts.tolist() == [[[3, 0], [1, 0]]]
    with pytest.raises(InputError, match="`favourable` must be one of"):
        total.against_rest("never")


def test_weights_are_summed_and_squared_by_cell_and_rows_without_weights_weigh_one() -> None:
    rng = np.random.default_rng(0)
    group, y, d = (rng.integers(0, top, 200) for top in (3, 2, 2))
    w = rng.random(200)
    cells = Cells.count(y=y, decision=d, group=group, groups=GROUPS, weight=w)
    for g, label, decision in product(range(3), range(2), range(2)):
        rows = (group == g) & (y == label) & (d == decision)
        assert cells.weights[g, label, decision] == pytest.approx(w[rows].sum(), abs=1e-12)
        assert cells.squares[g, label, decision] == pytest.approx((w[rows] ** 2).sum(), abs=1e-12)
    plain = Cells.count(y=y, decision=d, group=group, groups=GROUPS)
    both = cells + plain
    np.testing.assert_allclose(both.weights, cells.weights + plain.counts, rtol=1e-12)
    np.testing.assert_allclose(both.squares, cells.squares + plain.counts, rtol=1e-12)
    everybody = both.pooled()
    assert everybody.groups == ("everybody",) and everybody.counts.sum() == 400
    np.testing.assert_allclose(everybody.weights[0], both.weights.sum(0), rtol=1e-12)


def test_memberships_are_summed_row_by_row_and_what_is_missing_to_one_is_not_recorded() -> None:
    rng = np.random.default_rng(1)
    y, d, w = rng.integers(0, 2, 80), rng.integers(0, 2, 80), rng.random(80)
    q = rng.dirichlet([1, 1, 1], 80)[:, :2]
    q[:5] = np.nan
    cells = Cells.expect(y=y, decision=d, membership=Membership(("a", "b"), q), weight=w)
    assert cells.groups == ("a", "b", NOT_RECORDED) and cells.soft and cells.rows.sum() == 80
    full = np.column_stack([np.nan_to_num(q), 1 - np.nan_to_num(q).sum(1)])
    for label, decision in product(range(2), range(2)):
        rows = (y == label) & (d == decision)
        by_row = full[rows] * w[rows, None]
        np.testing.assert_allclose(cells.weights[:, label, decision], by_row.sum(0), atol=1e-12)
        np.testing.assert_allclose(cells.squares[:, :, label, decision], by_row.T @ by_row, atol=1e-12)
        assert cells.counts[:, label, decision].tolist() == (full[rows] > 1e-12).sum(0).tolist()


@given(ROWS)
def test_certain_memberships_are_the_groups_themselves(rows: list[tuple[int, int, int]]) -> None:
    group, y, d = np.array(rows, int).reshape(-1, 3).T
    soft = Cells.expect(y=y, decision=d, membership=Membership(GROUPS, np.eye(3)[group]))
    hard = Cells.count(y=y, decision=d, group=group, groups=GROUPS)
    assert (soft.counts == hard.counts).all() and (soft.weights == hard.counts).all()
    assert (soft.pooled().counts == hard.pooled().counts).all()
    off = soft.squares.copy()
    off[np.arange(3), np.arange(3)] -= hard.counts
    assert (off == 0).all(), "no row is in two groups"


def test_cells_that_are_not_alike_do_not_add() -> None:
    labelled = Cells.count(y=[1], decision=[1], group=[0], groups=("a",))
    bare = Cells.count(y=None, decision=[1], group=[0], groups=("a",))
    soft = Cells.expect(y=[1], decision=[1], membership=Membership(("a",), np.ones((1, 1))))
    assert (bare + bare).counts.tolist() == [[[0, 2]]]
    for other in (bare, soft):
        with pytest.raises(InputError, match="do not add up"):
            labelled + other


@pytest.mark.parametrize("weight", [[1.0], [1.0, -1.0], [1.0, np.nan], [np.inf, 1.0], ["1", "2"], [[1.0], [1.0]]])
def test_weights_that_are_none_are_refused(weight: Any) -> None:
    good = {"group": [0, 1], "y": [0, 1], "decision": [1, 0], "groups": GROUPS}
    assert Cells.count(**good, weight=[0, 2]).weights.sum() == 2
    with pytest.raises(InputError, match="`sample_weight` must be"):
        Cells.count(**good, weight=weight)


# --- moments ------------------------------------------------------------------------------------------------------


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


# --- tallies ------------------------------------------------------------------------------------------------------


def plain_of(tally: Tally) -> str:
    return json.dumps(tally.to_dict())


def tally_of(rows: Table, *, weighted: bool = False, soft: bool = False, group: Any = None) -> Tally:
    """Counts, scores and strata of the rows; weights are eighths and probabilities quarters, so that sums are exact."""
    memberships = np.c_[rows.score // 0.25 / 4, 1 - rows.score // 0.25 / 4]
    return Tally.of(
        rows.y,
        rows.decision,
        sensitive_features=Membership(("x", "y"), memberships) if soft else rows.group if group is None else group,
        y_score=rows.score,
        sample_weight=np.ceil(rows.weight * 8) / 8 if weighted else None,
        control_features=rows.control,
    )


@settings(max_examples=40)
@given(TABLES, SEEDS, st.integers(1, 7), st.booleans(), st.booleans())
def test_tallies_of_shards_in_any_order_are_the_tally_of_the_whole_to_the_byte(
    rows: Table, seed: int, cuts: int, weighted: bool, soft: bool
) -> None:
    rng = np.random.default_rng(seed)
    whole = tally_of(rows, weighted=weighted, soft=soft)
    assert whole.n == len(rows) == whole.cells.rows.sum()
    parts = [p for p in np.array_split(rng.permutation(len(rows)), cuts) if len(p)]
    tallies = [tally_of(rows.take(p), weighted=weighted, soft=soft) for p in parts]
    assert plain_of(sum_of(tallies)) == plain_of(whole)
    rng.shuffle(tallies)
    assert plain_of(sum_of(tallies)) == plain_of(whole), "groups, strata and scores that one shard alone has are kept"
    nested = sum_of([tallies[0], sum_of(tallies[1:])] if len(tallies) > 1 else tallies)
    assert plain_of(nested) == plain_of(whole)
    again = Tally.from_dict(json.loads(plain_of(whole)))
    assert plain_of(again) == plain_of(whole) and plain_of(again + again) == plain_of(whole + whole)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_how_many_rows_are_counted_at_a_time_changes_nothing(
    weighted: bool, soft: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table(3, 400, 4)
    whole = plain_of(tally_of(rows, weighted=weighted, soft=soft))
    for chunk in (1, 7, 399):
        monkeypatch.setattr(sums_tally, "CHUNK", chunk)
        assert plain_of(tally_of(rows, weighted=weighted, soft=soft)) == whole


@settings(max_examples=20)
@given(TABLES, SEEDS)
def test_sums_of_weights_that_are_not_exact_agree_to_rounding(rows: Table, seed: int) -> None:
    def of(part: Table) -> Tally:
        return Tally.of(part.y, part.decision, sensitive_features=part.group, sample_weight=part.weight)

    parts = np.array_split(np.random.default_rng(seed).permutation(len(rows)), 3)
    total = sum_of(of(rows.take(p)) for p in parts if len(p))
    assert_alike(total.to_dict(), of(rows).to_dict(), 1e-12)


DTYPES: dict[str, Any] = {
    "int8": lambda g: g.astype(np.int8),
    "uint8": lambda g: g.astype(np.uint8),
    "int64": lambda g: g,
    "float": lambda g: g.astype(float),
    "str": lambda g: g.astype(str),
    "bytes": lambda g: g.astype("S"),
    "object": lambda g: g.astype(object),
    "category": lambda g: pd.Series(g).astype("category"),
    "Int64": lambda g: pd.Series(g, dtype="Int64"),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_shards_whose_groups_come_in_different_types_add_to_the_same_bytes(dtype: str) -> None:
    rows = table(4, 300, 5)
    codes = np.char.lstrip(rows.group, "g").astype(int)
    whole = plain_of(tally_of(rows, group=codes))
    make = DTYPES[dtype]
    first, second = rows.take(slice(0, 130)), rows.take(slice(130, None))
    assert plain_of(tally_of(rows, group=make(codes))) == whole
    mixed = tally_of(second, group=codes[130:].astype(str)) + tally_of(first, group=make(codes[:130]))
    assert plain_of(mixed) == whole


def test_intersections_and_missing_values_of_shards_add_up() -> None:
    rows = table(5, 200, 3)
    frame = pd.DataFrame({"who": rows.group.astype(object), "where": rows.control.astype(float)})
    frame.loc[::7, "who"] = None
    frame.loc[::11, "where"] = np.nan
    whole = tally_of(rows, group=frame)
    assert whole.columns == ("who", "where") and f"{NOT_RECORDED}, {NOT_RECORDED}" in whole.cells.groups
    parts = [tally_of(rows.take(slice(a, a + 50)), group=frame.iloc[a : a + 50]) for a in (150, 0, 100, 50)]
    assert plain_of(sum_of(parts)) == plain_of(whole)


def test_memberships_in_any_order_of_groups_add_to_the_bytes_of_the_whole() -> None:
    q = np.array([[0.5, 0.5], [0.25, 0.75], [0.25, 0.25]])

    def of(rows: slice) -> Tally:
        return Tally.of([1, 0, 1][rows], [1, 0, 0][rows], sensitive_features=Membership(("b", "a"), q[rows]))

    assert plain_of(of(slice(0, 2)) + of(slice(2, 3))) == plain_of(of(slice(0, 3)))


def test_strata_are_the_cells_of_their_rows() -> None:
    rows = table(6, 300, 3)
    tally = tally_of(rows, weighted=True)
    assert tally.controls == ("group",) and list(tally.strata) == ["0", "1", "2"]
    for value, cells in tally.strata.items():
        part = rows.take(rows.control == int(value))
        by_itself = tally_of(part, weighted=True).cells
        assert cells.groups == ("g0", "g1", "g2")
        np.testing.assert_allclose(cells.only(by_itself.groups).weights, by_itself.weights, rtol=1e-12)
        assert (cells.only(by_itself.groups).counts == by_itself.counts).all()


def test_labels_of_any_kind_are_counted_against_the_favourable_one_or_each_for_itself() -> None:
    group, y, d = ["a", "a", "b"], ["no", "yes", "maybe"], ["yes", "yes", "no"]
    one = Tally.of(y, d, sensitive_features=group, favourable="yes")
    each = Tally.of(y, d, sensitive_features=group, classes=("maybe", "no", "yes"))
    assert (each.cells.against_rest("yes").counts == one.cells.counts).all()
    assert one.cells.counts.tolist() == [[[0, 1], [0, 1]], [[1, 0], [0, 0]]]
    numbers = Tally.of([2.0, 1.0], np.array([1, 2], np.int8), sensitive_features=["a", "a"], favourable="2")
    assert numbers.cells.counts.tolist() == [[[0, 1], [1, 0]]]
    with pytest.raises(InputError, match=r"`y_true` must hold the classes \['no', 'yes'\], got 'maybe'"):
        Tally.of(y, d, sensitive_features=group, classes=("no", "yes"))
    with pytest.raises(InputError, match="`y_true` must not be missing"):
        Tally.of(["no", None, "yes"], d, sensitive_features=group, favourable="yes")


GOOD: dict[str, Any] = {
    "y_true": [0, 1, 1],
    "y_pred": [1, 0, 1],
    "sensitive_features": ["a", "b", "b"],
    "y_score": [0.1, 0.2, 0.9],
    "sample_weight": [1.0, 0.0, 2.0],
    "control_features": ["x", "x", None],
}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"y_pred": [1, 0]}, r"`y_pred` must have one entry per row of `sensitive_features` \(3\)"),
        ({"y_true": [1, 0, 1, 1]}, "`y_true` must have one entry per row"),
        ({"y_true": [[0], [1], [1]]}, "`y_true` must have one entry per row"),
        ({"y_true": 1}, "`y_true` must have one entry per row"),
        ({"y_score": [0.1]}, "`y_score` must have one entry per row"),
        ({"sample_weight": [1.0]}, "`sample_weight` must have one entry per row"),
        ({"control_features": ["x"]}, r"`control_features` must have one entry per row \(3\), got 1"),
        ({"sensitive_features": ["a"]}, "must have one entry per row"),
        ({"y_true": [0, 1, 2]}, "`y_true` must be 0 or 1"),
        ({"y_true": [0, 1, -1]}, "`y_true` must be 0 or 1"),
        ({"y_pred": [0.2, 0.7, 0.9]}, "`y_pred` must be 0 or 1"),
        ({"y_pred": [0, 1, np.nan]}, "`y_pred` must be 0 or 1"),
        ({"y_true": ["0", "1", "1"]}, "`y_true` must be 0 or 1"),
        ({"y_score": [0.1, np.nan, 0.2]}, "`y_score` must be finite"),
        ({"y_score": [0.1, np.inf, 0.2]}, "`y_score` must be finite"),
        ({"y_score": ["a", "b", "c"]}, "`y_score` must be one number per row"),
        ({"sample_weight": [1, -1, 1]}, "`sample_weight` must be finite and at least 0"),
        ({"sample_weight": [1, np.nan, 1]}, "`sample_weight` must be finite and at least 0"),
        ({"sample_weight": [1, np.inf, 1]}, "`sample_weight` must be finite and at least 0"),
        ({"y_pred": None, "y_score": None}, "either `y_pred` or `y_score` must be given"),
        ({key: [] for key in GOOD}, "at least one row"),
    ],
)
def test_a_tally_refuses_rows_that_it_cannot_count(rows: dict[str, Any], message: str) -> None:
    assert Tally.of(**GOOD).n == 3
    with pytest.raises(InputError, match=message):
        Tally.of(**(GOOD | rows))


def test_tallies_that_are_not_alike_do_not_add() -> None:
    tally = Tally.of(**GOOD)
    others = [
        {"sensitive_features": {"who": ["a", "b", "b"]}},
        {"control_features": None},
        {"y_score": None},
        {"y_pred": None},
    ]
    assert (tally + tally).n == 6
    for other in others:
        with pytest.raises(InputError, match="do not add up"):
            tally + Tally.of(**(GOOD | other))
    with pytest.raises(InputError, match="at least one row"):
        sum_of([])
