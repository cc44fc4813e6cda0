"""The same values make the same groups whatever their type, and the name of an intersection comes apart again."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairheads.errors import InputError
from fairheads.sums import NOT_RECORDED, Coded, Membership, is_recorded, parts_of
from fairheads.sums.groups import code_column, group_columns, in_order, intersect, name_of

VALUES = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
AWKWARD = st.one_of(
    VALUES,
    st.sampled_from(
        [", ", '"', '""', "a, b", "a\nb", "a\r\nb", " a", "a ", '"a", "b"', "=1+1", "<b>", "\0", "a\tb", ","]
    ),
).filter(lambda text: bool(text.strip()))


def names_of(column: Coded) -> list[str | None]:
    """The name of every row."""
    return [None if code < 0 else column.names[code] for code in column.codes.tolist()]


# --- one column ---------------------------------------------------------------------------------------------------

AS: dict[str, Any] = {
    **{
        kind: np.dtype(kind).type
        for kind in ("int8", "int16", "int32", "int64", "uint8", "uint64", "float32", "float64")
    },
    "list": list,
    "text": lambda values: np.array([str(v) for v in values]),
    "list of text": lambda values: [str(v) for v in values],
    "bytes": lambda values: np.array([str(v).encode() for v in values]),
    "object": lambda values: np.array(values, object),
    "object of floats": lambda values: np.array([float(v) for v in values], object),
    "Series": lambda values: pd.Series(values),
    "string": lambda values: pd.Series([str(v) for v in values], dtype="string"),
    "Int64": lambda values: pd.Series(values, dtype="Int64"),
    "category": lambda values: pd.Series(values, dtype="category"),
    "category of text": lambda values: pd.Categorical([str(v) for v in values]),
    "coded": lambda values: code_column(np.array(values)),
}


@pytest.mark.parametrize("kind", AS)
@given(st.lists(st.integers(0, 120), min_size=1, max_size=30))
def test_the_same_values_have_the_same_names_and_codes_in_every_type(kind: str, values: list[int]) -> None:
    make = AS[kind]
    column = code_column(np.array(values, kind) if isinstance(make, type) and make is not list else make(values))
    assert column.names == tuple(str(v) for v in sorted(set(values)))
    assert column.codes.dtype == np.int64 and len(column) == len(values)
    assert names_of(column) == [str(v) for v in values]


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@settings(max_examples=25)
@given(data=st.data())
def test_integers_up_to_the_ends_of_their_type_keep_their_names(kind: str, data: st.DataObject) -> None:
    ends = np.iinfo(kind)
    values = data.draw(st.lists(st.integers(int(ends.min), int(ends.max)), min_size=1, max_size=8))
    for these in (values, [int(ends.min), int(ends.max), 0, *values]):
        column = code_column(np.array(these, kind))
        assert names_of(column) == [str(v) for v in these]
        assert len(set(column.names)) == len(set(these))


@pytest.mark.parametrize(
    "column",
    [
        ["a", None, "b"],
        ["a", float("nan"), "b"],
        ["a", pd.NA, "b"],
        ["a", pd.NaT, "b"],
        ["a", "", "b"],
        ["a", " \t", "b"],
        np.array(["a", "", "b"]),
        np.array([b"a", b"", b"b"]),
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.Series(["a", "", "b"], dtype="category"),
        pd.Categorical(["a", None, "b"], categories=["b", "unused", "a"]),
    ],
    ids=repr,
)
def test_a_missing_value_is_coded_minus_one_and_becomes_the_group_not_recorded(column: Any) -> None:
    coded = code_column(column)
    assert coded.names == ("a", "b") and coded.codes.tolist() == [0, -1, 1]
    group = intersect({"column": column})
    assert group.names == ("a", "b", NOT_RECORDED) and names_of(group) == ["a", NOT_RECORDED, "b"]


@pytest.mark.parametrize(
    "column",
    [
        [1, None, 2],
        [1.0, float("nan"), 2],
        np.array([1.0, np.nan, 2.0]),
        np.array([1.0, np.nan, 2.0], np.float32),
        pd.Series([1, None, 2], dtype="Int64"),
        pd.Series([1, None, 2], dtype="category"),
    ],
    ids=repr,
)
def test_a_missing_number_leaves_the_names_of_the_others_as_they_are(column: Any) -> None:
    assert names_of(code_column(column)) == ["1", None, "2"]


def test_booleans_have_the_names_of_python_in_every_type() -> None:
    for column in ([True, False], np.array([True, False]), np.array([True, False], object), pd.Series([True, False])):
        assert code_column(column).names == ("False", "True") and code_column(column).codes.tolist() == [1, 0]


def test_a_column_of_nothing_but_missing_values_has_no_names() -> None:
    for column in ([None, None], np.array([np.nan, np.nan]), ["", ""], pd.Series([None, None], dtype="category")):
        assert code_column(column).names == () and code_column(column).codes.tolist() == [-1, -1]
        assert intersect({"a": column}).names == (NOT_RECORDED,)


def test_categories_that_no_row_has_are_left_out_and_two_of_one_name_are_one() -> None:
    assert code_column(pd.Categorical(["b"], categories=["a", "b", "c"])).names == ("b",)
    both = code_column(pd.Categorical([1, "1", 2], categories=[2, "1", 1]))
    assert both.names == ("1", "2") and both.codes.tolist() == [0, 0, 1]


@given(st.lists(st.one_of(VALUES, st.integers(-50, 50).map(str), st.just(NOT_RECORDED)), max_size=20), st.randoms())
def test_the_order_of_names_does_not_depend_on_the_order_they_come_in(names: list[str], order: Any) -> None:
    shuffled = [*names]
    order.shuffle(shuffled)
    assert in_order(shuffled) == in_order(names) and set(in_order(names)) == set(names)


def test_numbers_come_by_size_then_texts_then_what_is_not_recorded() -> None:
    names = ["b", "10", NOT_RECORDED, "9", "-1", "a", "2.5", f"x, {NOT_RECORDED}"]
    assert in_order(names) == ("-1", "2.5", "9", "10", "a", "b", NOT_RECORDED, f"x, {NOT_RECORDED}")
    assert code_column([10, 9, -1]).names == code_column(["10", "9", "-1"]).names == ("-1", "9", "10")


@pytest.mark.parametrize("column", [[["a"], ["b"]], np.zeros((2, 2)), "a", 3, None])
def test_a_column_must_have_one_value_per_row(column: Any) -> None:
    assert len(code_column(["a", "b"])) == 2
    with pytest.raises(InputError, match="one value per row"):
        code_column(column)


def test_a_column_of_things_that_are_no_values_is_refused() -> None:
    with pytest.raises(InputError, match="must hold texts, numbers, booleans or categories"):
        code_column([{"a": 1}, {"b": 2}])


# --- several columns ----------------------------------------------------------------------------------------------


@given(st.lists(AWKWARD, min_size=1, max_size=5))
def test_the_name_of_an_intersection_comes_apart_into_its_values(parts: list[str]) -> None:
    assert parts_of(name_of(parts), len(parts)) == tuple(parts)


@given(st.lists(AWKWARD, min_size=2, max_size=3), st.lists(AWKWARD, min_size=2, max_size=3))
def test_different_values_have_different_names(one: list[str], other: list[str]) -> None:
    if len(one) == len(other):
        assert (name_of(one) == name_of(other)) == (one == other)


def test_plain_values_are_joined_as_they_are_and_ten_thousand_characters_survive() -> None:
    assert name_of(["Female", "Black"]) == "Female, Black"
    assert name_of(["a, b", "c"]) == '"a, b", c'
    parts = ("x," * 200_000, "=cmd|' /C calc'!A0", "<script>alert(1)</script>")
    assert parts_of(name_of(parts), 3) == parts


@given(st.lists(st.tuples(AWKWARD, st.one_of(st.none(), AWKWARD), st.integers(0, 3)), min_size=1, max_size=25))
def test_every_row_is_in_the_intersection_of_its_values(rows: list[tuple[str, str | None, int]]) -> None:
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("a", "b", "c"))}
    group = intersect(columns)
    for row, name in zip(rows, names_of(group), strict=True):
        assert name is not None
        assert parts_of(name, 3) == (row[0], NOT_RECORDED if row[1] is None else row[1], str(row[2]))
        assert is_recorded(name, 3) == (row[1] is not None and NOT_RECORDED not in row)
    assert len(group.names) == len(set(rows)), "only combinations that occur"
    assert set(group.codes.tolist()) == set(range(len(group.names)))


def test_a_value_that_only_looks_like_a_missing_one_within_another_is_recorded() -> None:
    assert is_recorded(name_of([f"say {NOT_RECORDED}", "b"]), 2)
    assert not is_recorded(name_of(["a", NOT_RECORDED]), 2) and not is_recorded(NOT_RECORDED, 1)


def test_columns_come_from_tables_mappings_series_and_arrays() -> None:
    frame = pd.DataFrame({"sex": ["f", "m"], "age": [1, 2]})
    assert list(group_columns(frame)) == list(group_columns(dict(frame))) == ["sex", "age"]
    assert list(group_columns(frame["sex"])) == ["sex"] and list(group_columns(["f", "m"])) == ["group"]
    assert list(group_columns([["f", 1], ["m", 2]])) == ["group_0", "group_1"]
    assert list(group_columns(pd.Series(["f"]))) == list(group_columns(pd.Series(["f"], name=0))) == ["group"]
    names = [intersect(group_columns(g)).names for g in (frame, dict(frame), frame.to_numpy())]
    assert names == [("f, 1", "m, 2")] * 3


def test_columns_of_different_lengths_or_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"columns of one length, got \{'a': 2, 'b': 1\}"):
        intersect({"a": ["x", "y"], "b": ["x"]})
    for nothing in ({}, pd.DataFrame(index=[0, 1])):
        with pytest.raises(InputError, match="at least one column"):
            group_columns(nothing)


def test_more_combinations_than_an_integer_counts_are_no_obstacle() -> None:
    rows = np.arange(100)
    group = intersect({f"column {i}": rows for i in range(10)})
    assert len(group.names) == 100 and parts_of(group.names[group.codes[7]], 10) == ("7",) * 10


def test_two_columns_of_one_name_are_not_silently_one() -> None:
    twice = pd.DataFrame([["f", "old"], ["f", "young"]], columns=["who", "who"])
    with pytest.raises(InputError, match="who"):
        group_columns(twice)


# --- memberships --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "probabilities", "message"),
    [
        (("a", "b"), [[0.5], [0.5]], "one column per group"),
        (("a", "b"), [0.5, 0.5], "one column per group"),
        (("a", "b"), [[0.7, 0.7], [0, 0]], "sum to at most 1"),
        (("a", "b"), [[-0.1, 0.5], [0, 0]], "at least 0"),
        (("a", "b"), [[np.inf, 0.5], [0, 0]], "sum to at most 1"),
        (("a", "a"), [[0.5, 0.5], [0, 0]], "every group once"),
    ],
)
def test_memberships_that_are_no_probabilities_are_refused(groups: Any, probabilities: Any, message: str) -> None:
    assert len(Membership(("a", "b"), np.array([[0.5, 0.5], [0.1, np.nan]]))) == 2
    with pytest.raises(InputError, match=message):
        Membership(groups, np.array(probabilities))
