"""Data sets, blocks, encoders, tables of every pandas type, the embedded Adult, and the record of training rows."""

import errno
import io
import json
import lzma
import os
import re
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairheads.data import BLOCK, Dataset, RowRecord, Table, TableEncoder, adult, blocks, read_table, stream_table
from fairheads.data.dataset import FEW, NARROW
from fairheads.data.files import tables_in, what_is
from fairheads.data.predictions import tally_file
from fairheads.errors import ConfigError, InputError

# --- the data set ------------------------------------------------------------------------------------------------


def small(n: int = 10, **changed: object) -> Dataset:
    X = np.arange(n * 2, dtype=np.float64).reshape(n, 2)
    settings_ = {"X": X, "y": np.arange(n) % 2, "group": np.where(np.arange(n) < 3, "b", "a")} | changed
    return Dataset(settings_.pop("X"), settings_.pop("y"), settings_.pop("group"), **settings_)


def test_a_data_set_keeps_inputs_as_float32_and_codes_groups_by_their_sorted_names() -> None:
    data = small()
    assert data.inputs["x"].dtype == np.float32 and data.inputs["x"].tolist()[1] == [2.0, 3.0]
    assert data.group_names == ("a", "b") and data.group.tolist() == [1] * 3 + [0] * 7
    assert data.y.dtype == data.group.dtype == data.row_id.dtype == np.int64
    assert data.row_id.tolist() == list(range(10))


def test_named_whole_numbers_and_truth_values_keep_their_type_and_an_unnamed_array_is_float32() -> None:
    flags, ids = np.array([True, False, True]), np.arange(3)
    kept = {"pad": flags, "pads": flags[:, None], "job": ids, "tokens": ids[:, None]}
    data = small(3, X={**kept, "x": flags[:, None], "half": ids / 2})
    types = [str(values.dtype) for values in data.inputs.values()]
    assert types == ["bool", "bool", "int64", "int64", "float32", "float32"]
    assert {str(values.dtype) for values in data.take([0, 2]).inputs.values()} == {"bool", "int64", "float32"}
    assert small(3, X=ids[:, None]).inputs["x"].dtype == np.float32


@pytest.mark.parametrize("dtype", ["str", "string", "object", "category"])
def test_groups_of_every_pandas_type_of_text_are_the_same_groups(dtype: str) -> None:
    data = small(3, group=pd.Series(["b", "a", "b"], dtype=dtype))
    assert data.group_names == ("a", "b") and data.group.tolist() == [1, 0, 1]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float64", "bool", "boolean"])
def test_labels_of_every_pandas_type_of_number_are_the_same_labels(dtype: str) -> None:
    assert small(3, y=pd.Series([1, 0, 1], dtype=dtype)).y.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": [0, 1]}, r"`y` must have one entry per row of `X` \(3\), got 2"),
        ({"y": 1}, r"`y` must have one entry per row of `X` \(3\), got a single value"),
        ({"group": ["a"] * 4}, r"`group` must have one entry per row of `X` \(3\), got 4"),
        ({"row_id": [1, 2]}, "`row_id` must have one entry per row"),
        ({"X": {"x": np.zeros((3, 1)), "z": np.zeros((2, 1))}}, "`z` must have one entry per row"),
        ({"X": np.zeros((0, 2)), "y": [], "group": []}, "`X` must have at least one row"),
        ({"X": {}}, "`X` must have at least one row"),
        ({"y": [[0], [1], [1]]}, r"`y` must be one value per row, got an array of shape \(3, 1\)"),
        ({"y": [0, 1, 2]}, "`y` must be 0 or 1 .* got values 0, 1, 2"),
        ({"y": [0, 1, np.nan]}, "`y` must be 0 or 1 .*nan"),
        ({"y": [0, None, 1]}, "`y` must be 0 or 1 .*None"),
        ({"y": ["no", "yes", "no"]}, "`y` must be 0 or 1 .*'no', 'yes'"),
        ({"y": pd.Series([0, None, 1], dtype="Int64")}, "`y` must be 0 or 1"),
        ({"X": [[1.0], [np.nan], [2.0]]}, "1 NaN or infinite values, the first in column 0"),
        ({"X": [[1.0], [1e300], [2.0]]}, "1 NaN or infinite values"),
        ({"X": [["a"], ["b"], ["c"]]}, "`x` must be numeric"),
        ({"X": np.array([[1], [None], [2]])}, "`x` must be numeric"),
        ({"group": ["a", None, "b"]}, "`group` must not be missing"),
        ({"group": ["a", np.nan, "b"]}, "`group` must not be missing"),
        ({"group": [0.0, np.nan, 1.0]}, "`group` must not be missing"),
        ({"group": pd.Series(["a", None, "b"], dtype="str")}, "`group` must not be missing"),
        ({"group": pd.Series(["a", None, "b"], dtype="string")}, "`group` must not be missing"),
        ({"group": pd.Series(["a", None, "b"], dtype="category")}, "`group` must not be missing"),
        ({"group": pd.Series([1, None, 2], dtype="Int64")}, "`group` must not be missing"),
        ({"group": [["a"], ["b"], ["a"]]}, "`group` must be one value per row"),
        ({"group": [0, 1, 2], "group_names": ["a", "b"]}, "`group` must hold codes from 0 to 1"),
        ({"group": [0, -1, 1], "group_names": ["a", "b"]}, "`group` must hold codes"),
        ({"group": ["a", "b", "a"], "group_names": ["a", "b"]}, "`group` must hold codes"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_a_data_set_refuses_what_it_cannot_use_and_says_what(changed: dict[str, object], message: str) -> None:
    assert len(small(3)) == 3
    with pytest.raises(InputError, match=message):
        small(3, **changed)


def test_an_input_that_is_not_finite_is_named() -> None:
    X = np.zeros((3, 2))
    X[2, 1] = np.inf
    with pytest.raises(InputError, match="the first in feature 'income'"):
        small(3, X=X, feature_names=["age", "income"])


def test_taken_rows_keep_their_ids_groups_and_names() -> None:
    data = small(10, row_id=np.arange(100, 110), feature_names=["u", "v"], name="n")
    for index, rows in ((np.arange(10) > 6, [7, 8, 9]), ([9, 7, 8], [9, 7, 8]), ([5, 5], [5, 5])):
        part = data.take(index)
        assert part.row_id.tolist() == [100 + r for r in rows]
        assert (part.inputs["x"] == data.inputs["x"][rows]).all() and (part.y == data.y[rows]).all()
        assert part.group_names == ("a", "b"), "a group without rows keeps its name and code"
        assert part.feature_names == ("u", "v") and part.name == "n"
    assert data.take([8]).take([0]).row_id.tolist() == [108]


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 25))
def test_blocks_are_the_same_whatever_the_batch_size(n: int, batch_size: int, rows: int) -> None:
    data = small(n, batch_size=batch_size)
    assert [len(b) for b in data] == [min(batch_size, n - start) for start in range(0, n, batch_size)]
    cut = list(blocks(data, rows))
    assert [b.row_id.tolist() for b in cut] == [list(range(s, min(s + rows, n))) for s in range(0, n, rows)]
    for batch in cut:
        assert (batch.inputs["x"] == data.inputs["x"][batch.row_id]).all()
        assert (batch.y == data.y[batch.row_id]).all() and (batch.group == data.group[batch.row_id]).all()


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 7))
def test_blocks_recut_batches_of_any_sizes(sizes: list[int], rows: int) -> None:
    whole = small(max(sum(sizes), 1)).rows()
    edges = np.cumsum([0, *sizes])
    batches = [whole.take(slice(a, b)) for a, b in pairwise(edges)]
    cut = list(blocks(batches, rows))
    assert [len(b) for b in cut[:-1]] == [rows] * (len(cut) - 1)
    assert [r for b in cut for r in b.row_id] == list(range(sum(sizes)))


@pytest.mark.parametrize(
    ("columns", "dtype", "rows"),
    [(FEW, np.float32, NARROW), (FEW + 1, np.float32, BLOCK), (3, np.int64, BLOCK), ((3, 4), np.float32, BLOCK)],
)
def test_blocks_hold_512_rows_and_more_of_a_narrow_table(columns: Any, dtype: Any, rows: int) -> None:
    n = 2 * rows + 76
    X = np.zeros((n, *np.atleast_1d(columns)), dtype)
    data = Dataset({"ids": X}, np.arange(n) % 2, np.arange(n) % 2, batch_size=100)
    assert [len(b) for b in blocks(data)] == [rows, rows, 76] and (BLOCK, NARROW) == (512, 2048)


# --- the encoder -------------------------------------------------------------------------------------------------


def some_columns() -> dict[str, NDArray]:
    rng = np.random.default_rng(0)
    return {
        "age": rng.integers(17, 90, 50),
        "work": rng.choice(["Private", "State", "?"], 50),
        "hours": rng.normal(40, 12, 50),
        "fixed": np.full(50, 7),
        "id": np.arange(50),
    }


def test_the_encoder_standardises_numbers_and_one_hots_text_as_scikit_learn_does() -> None:
    columns = some_columns()
    encoder = TableEncoder.fit(columns, ignore=["id"])
    assert encoder.feature_names == ("age", "hours", "fixed", "work=?", "work=Private", "work=State")
    numbers = np.stack([columns["age"], columns["hours"], columns["fixed"]], axis=1)
    hot = OneHotEncoder(sparse_output=False).fit_transform(columns["work"][:, None])
    wanted = np.concatenate([StandardScaler().fit_transform(numbers), hot], axis=1)
    encoded = encoder.transform(columns)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, wanted, atol=1e-6)
    assert (encoded[:, 2] == 0).all(), "a constant column encodes to 0"


def test_an_encoder_from_json_gives_identical_arrays() -> None:
    columns = some_columns()
    encoder = TableEncoder.fit(columns, ignore=["id"])
    again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert (again.transform(columns) == encoder.transform(columns)).all()
    other = TableEncoder.fit({k: v[:25] for k, v in columns.items()}, ignore=["id"])
    assert not (other.transform(columns) == encoder.transform(columns)).all(), "other rows, another encoder"


def test_unknown_and_missing_columns_are_refused_in_one_message() -> None:
    columns = some_columns()
    encoder = TableEncoder.fit(columns, ignore=["id"])
    given_columns = {k: v for k, v in columns.items() if k not in ("age", "work", "id")} | {"new": columns["age"]}
    with pytest.raises(InputError, match=r"columns \['age', 'work'\] are missing; columns \['new'\] are unknown"):
        encoder.transform(given_columns)
    encoder.transform(columns | {"id": np.arange(50)})


def test_categories_that_were_not_seen_are_counted_and_encode_to_zeros() -> None:
    columns = some_columns()
    encoder = TableEncoder.fit(columns, ignore=["id"])
    assert encoder.unseen(columns) == {}
    new = columns | {"work": np.array(["Private"] * 47 + ["Abroad"] * 2 + ["private"])}
    assert encoder.unseen(new) == {"work": 3}
    encoded = encoder.transform(new)[:, 3:]
    assert encoded[:47].tolist() == [[0.0, 1.0, 0.0]] * 47 and (encoded[47:] == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_missing_is_refused_with_its_column(bad: float) -> None:
    columns = some_columns()
    encoder = TableEncoder.fit(columns)
    columns["hours"][3] = bad
    for refused in (lambda: encoder.transform(columns), lambda: TableEncoder.fit(columns)):
        with pytest.raises(InputError, match="column 'hours' has 1 missing"):
            refused()


def test_text_where_training_had_numbers_is_refused_and_so_is_a_table_without_inputs() -> None:
    columns = some_columns()
    with pytest.raises(InputError, match=r"column 'age' must be numeric.*'old'"):
        TableEncoder.fit(columns).transform(columns | {"age": np.array(["old"] * 50)})
    with pytest.raises(InputError, match="no input column is left"):
        TableEncoder.fit(columns, ignore=list(columns))


def test_missing_text_is_a_category_of_its_own_whatever_marks_it() -> None:
    for gone in (None, np.nan, pd.NA):
        encoder = TableEncoder.fit({"work": np.array(["a", gone, "b"], object)})
        assert encoder.categories == {"work": ("?", "a", "b")}


# --- tables ------------------------------------------------------------------------------------------------------


def frame() -> pd.DataFrame:
    n = 60
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "hours": rng.normal(40, 10, n).round(3),
            "member": rng.integers(0, 2, n).astype(bool),
            "city": rng.choice(["Rome", "Oslo", None], n),
            "sex": rng.choice(["F", "M"], n),
            "area": rng.choice(["N", "S"], n),
            "hired": np.arange(n) % 2,
        }
    )


def save(table: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    table.to_csv(folder / "t.csv", index=False)
    table.to_parquet(folder / "t.parquet", index=False)
    return folder / "t.csv", folder / "t.parquet"


def same_dataset(a: Dataset, b: Dataset) -> bool:
    return (
        a.feature_names == b.feature_names
        and a.group_names == b.group_names
        and all((a.inputs[k] == b.inputs[k]).all() for k in a.inputs)
        and all((getattr(a, k) == getattr(b, k)).all() for k in ("y", "group", "row_id"))
    )


TYPES = [
    {},
    {"city": "str", "sex": "str"},
    {"city": "string", "sex": "string"},
    {"city": "object", "sex": "object"},
    {"city": "category", "sex": "category", "area": "category"},
    {"age": "Int64", "hours": "Float64", "member": "boolean", "hired": "boolean"},
    {"age": "int8", "hired": "float64"},
]


@pytest.mark.parametrize("dtypes", TYPES, ids=lambda d: "-".join(dict.fromkeys(d.values())) or "as-is")
def test_csv_and_parquet_of_every_pandas_type_give_the_same_data_set(dtypes: dict[str, str], tmp_path: Path) -> None:
    table = frame().astype(dtypes)
    read = [read_table(path, label="hired", group=["sex"]) for path in save(table, tmp_path)]
    assert [t.name for t in read] == ["t.csv", "t.parquet"] and read[0].source != read[1].source
    first, second = (t.encode(t.fit_encoder(np.ones(60, bool))) for t in read)
    assert same_dataset(first, second)
    assert first.feature_names == (
        *("age", "hours", "member"),
        *("city=?", "city=Oslo", "city=Rome", "area=N", "area=S"),
    )
    assert first.y.tolist() == frame()["hired"].tolist()
    assert [first.group_names[g] for g in first.group] == frame()["sex"].tolist()
    ages = frame()["age"].to_numpy(float)
    np.testing.assert_allclose(first.inputs["x"][:, 0], (ages - ages.mean()) / ages.std(), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "Int64", "Float64"])
def test_a_missing_number_is_refused_with_its_column_from_both_formats(dtype: str, tmp_path: Path) -> None:
    table = frame()
    table["age"] = table["age"].astype(dtype).mask(table.index == 3)
    for path in save(table, tmp_path):
        with pytest.raises(InputError, match="column 'age' has 1 missing"):
            read_table(path, label="hired", group=["sex"]).split()


@pytest.mark.parametrize("dtype", ["object", "boolean"])
def test_a_truth_value_that_is_missing_is_a_third_category_in_both_formats(dtype: str, tmp_path: Path) -> None:
    table = frame()
    table["member"] = table["member"].astype(dtype).mask(table.index == 3)
    for path in save(table, tmp_path):
        read = read_table(path, label="hired", group=["sex"])
        assert read.columns["member"][3] == "?" and set(read.columns["member"]) == {"True", "False", "?"}


@pytest.mark.parametrize("column", ["hired", "sex"])
@pytest.mark.parametrize("dtype", ["float64", "Int64", "object", "string", "category"])
def test_missing_labels_and_groups_are_refused_never_guessed(column: str, dtype: str, tmp_path: Path) -> None:
    table = frame()
    numbers = table["hired"] if dtype in ("float64", "Int64") else table["hired"].map({0: "n", 1: "y"})
    table[column] = numbers.astype(dtype).mask(table.index < 2)
    kind = "label" if column == "hired" else "group"
    for path in save(table, tmp_path):
        with pytest.raises(InputError, match=f"the {kind} column '{column}' has 2 missing values"):
            read_table(path, label="hired", group=["sex"], favourable="y" if column == "hired" else None)


def test_a_table_hides_the_group_and_dropped_columns_unless_asked(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    hidden, _ = read_table(path, label="hired", group=["sex", "area"], drop=["city"]).split()
    assert hidden.feature_names == ("age", "hours", "member")
    shown, _ = read_table(path, label="hired", group=["sex", "area"], drop=["city"], group_in_inputs=True).split()
    assert shown.feature_names == ("age", "hours", "member", "sex=F", "sex=M", "area=N", "area=S")


def test_several_group_columns_make_intersections(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    table = read_table(path, label="hired", group=["sex", "area"])
    assert table.group_names == ("F, N", "F, S", "M, N", "M, S")
    wanted = (frame()["sex"] + ", " + frame()["area"]).tolist()
    assert [table.group_names[g] for g in table.group] == wanted


def test_a_seeded_split_is_repeatable_and_fits_the_encoder_on_training_rows_alone(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    table = read_table(path, label="hired", group=["sex"])
    train, test = table.split(test=0.25, seed=3)
    assert (len(train), len(test)) == (45, 15)
    assert sorted([*train.row_id, *test.row_id]) == list(range(60))
    assert same_dataset(table.split(test=0.25, seed=3)[1], test)
    assert set(table.split(test=0.25, seed=4)[1].row_id) != set(test.row_id)
    ages = frame()["age"].to_numpy(float)[train.row_id]
    assert train.preprocess is not None and train.preprocess.numeric["age"] == pytest.approx((ages.mean(), ages.std()))
    np.testing.assert_allclose(train.inputs["x"][:, 0].mean(), 0, atol=1e-6)


def test_the_parts_of_a_table_are_disjoint_and_complete_and_bad_shares_are_refused(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    table = read_table(path, label="hired", group=["sex"])
    masks = table.parts(test=0.2, validation=0.25, seed=1)
    assert (sum(m.astype(int) for m in masks.values()) == 1).all()
    assert {k: int(m.sum()) for k, m in masks.items()} == {"train": 36, "validation": 12, "test": 12}
    for shares in ({"test": 1.0}, {"test": -0.1}, {"validation": 1.5}):
        with pytest.raises(InputError, match="shares must lie in"):
            table.parts(**shares)
    with pytest.raises(InputError, match="too few rows"):
        table.parts(test=0.999)


def test_rows_with_categories_that_training_did_not_have_are_counted_on_the_data_set(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    table = read_table(path, label="hired", group=["sex"])
    in_rome = table.columns["city"] == "Rome"
    encoder = table.fit_encoder(~in_rome)
    assert table.encode(encoder).unseen == {"city": int(in_rome.sum())} != {"city": 0}
    assert table.encode(encoder, ~in_rome).unseen == {}


def test_reading_a_column_of_mixed_values_does_not_depend_on_how_the_reader_chunks_the_file(tmp_path: Path) -> None:
    n = 300_000
    mixed = ["1"] * n
    mixed[0], mixed[-1] = "1.5", "none of these"
    pd.DataFrame({"code": mixed, "y": np.arange(n) % 2, "g": "a"}).to_csv(tmp_path / "mixed.csv", index=False)
    table = read_table(tmp_path / "mixed.csv", label="y", group=["g"])
    assert np.unique(table.columns["code"]).tolist() == ["1", "1.5", "none of these"]


@pytest.mark.parametrize(
    ("values", "favourable", "wanted"),
    [
        ([0, 1], None, [0, 1]),
        ([0.0, 1.0], None, [0, 1]),
        ([0, 1], "0", [1, 0]),
        ([False, True], None, [0, 1]),
        (["no", "yes"], None, [0, 1]),
        (["deny", "grant"], "grant", [0, 1]),
        (["deny", "grant"], "deny", [1, 0]),
        ([1, 2], "2", [0, 1]),
    ],
)
def test_the_favourable_value_is_known_for_plain_labels_and_asked_for_otherwise(
    values: list, favourable: str | None, wanted: list[int], tmp_path: Path
) -> None:
    table = pd.DataFrame({"x": [1, 2, 3, 4], "g": list("abab"), "label": values * 2})
    for path in save(table, tmp_path):
        assert read_table(path, label="label", group=["g"], favourable=favourable).y.tolist() == wanted * 2


@pytest.mark.parametrize(
    ("column", "favourable", "message"),
    [
        (["a", "b", "c", "a"], "a", "must have two values, got 3: 'a', 'b', 'c'"),
        ([1, 1, 1, 1], None, "must have two values, got 1: '1'"),
        (["deny", "grant"] * 2, None, "which value of 'label' is favourable.*'deny', 'grant'"),
        ([1, 2, 1, 2], None, "which value of 'label' is favourable"),
        (["deny", "grant"] * 2, "Grant", r"`favourable` must be a value of 'label' \('deny', 'grant'\), got 'Grant'"),
    ],
)
def test_labels_that_are_not_two_known_values_are_refused(column, favourable, message: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1, 2, 3, 4], "g": list("abab"), "label": column})
    for path in save(table, tmp_path):
        with pytest.raises(InputError, match=message):
            read_table(path, label="label", group=["g"], favourable=favourable)


def test_files_and_columns_that_cannot_be_used_are_refused_in_one_line(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("x,sex,hired\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 this is no table")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "terminal.csv").write_text("x,\x1b[2J,hired\n1,2,3\n")
    texts = pa.StringArray.from_buffers(2, pa.array(["Female", "Male"]).buffers()[1], pa.py_buffer(b"\xff" * 10))
    pq.write_table(pa.table({"sex": texts, "hired": [0, 1]}), tmp_path / "letters.parquet")
    cases = [
        (tmp_path / "nothing.csv", "hired", ["sex"], "there is no file .*nothing.csv"),
        (tmp_path, "hired", ["sex"], "there is no file"),
        (tmp_path / "empty.csv", "hired", ["sex"], "empty.csv cannot be read as a table"),
        (tmp_path / "header.csv", "hired", ["sex"], "header.csv has no rows"),
        (tmp_path / "broken.parquet", "hired", ["sex"], "broken.parquet cannot be read as a table"),
        (tmp_path / "binary.csv", "hired", ["sex"], "binary.csv cannot be read as a table"),
        (tmp_path / "letters.parquet", "hired", ["sex"], "letters.parquet cannot be read as a table"),
        (tmp_path / "terminal.csv", "hired", ["sex"], r"has no column 'sex'; it has: x, \\x1b\[2J, hired"),
        (path, "fired", ["sex"], r"has no column 'fired' \(did you mean 'hired'\?\); it has: age, hours, member"),
        (path, "hired", ["gender"], "has no column 'gender'"),
        (path, "hired", ["hired"], "column 'hired' cannot be both the label and the group"),
    ]
    for file, label, group, message in cases:
        with pytest.raises(InputError, match=message) as refused:
            read_table(file, label=label, group=group)
        assert str(refused.value).isprintable()
    with pytest.raises(InputError, match="has no column 'weight'"):
        read_table(path, label="hired", group=["sex"], drop=["weight"])


@pytest.mark.parametrize("twice", ["hired", "sex", "x"])
def test_two_columns_of_one_name_are_refused_so_that_no_label_becomes_an_input(twice: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1.5, 2.5] * 4, "sex": list("ffmm") * 2, "hired": [0, 1] * 4})
    for path in save(table, tmp_path):
        assert list(read_table(path, label="hired", group=["sex"]).columns) == ["x", "sex"]
    again = pd.concat([table, table[[twice]]], axis=1)
    (tmp_path / "packed").mkdir()
    again.to_csv(tmp_path / "t.csv", index=False)
    again.to_csv(tmp_path / "packed" / "t.csv.zip", index=False)
    arrays = [pa.array(again.iloc[:, i].to_numpy()) for i in range(4)]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(again)), tmp_path / "t.parquet")
    for path in (tmp_path / "t.csv", tmp_path / "packed" / "t.csv.zip", tmp_path / "t.parquet"):
        for read in (read_table, stream_table)[: 1 if path.suffix == ".zip" else 2]:
            with pytest.raises(InputError, match=f"two columns '{twice}'|more than one column '{twice}'"):
                read(path, label="hired", group=["sex"])


def test_rows_longer_than_the_header_are_refused_not_shifted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,z,sex,hired\n" + "1.5,2,f,0,\n2.5,3,m,1,\n" * 4)
    for read in (read_table, stream_table):
        with pytest.raises(InputError, match=r"more fields than its header has names"):
            read(path, label="hired", group=["sex"], drop=["x"])


def test_none_names_a_group_as_in_a_table_of_predictions_and_is_missing_among_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": range(60), "faith": ["None", "Hindu"] * 30, "hired": [0, 0, 1, 1] * 15})
    for path in save(table, tmp_path):
        assert read_table(path, label="hired", group=["faith"]).group_names == ("Hindu", "None")
        assert stream_table(path, label="hired", group=["faith"]).group_names == ("Hindu", "None")
        tally = tally_file(path, group=["faith"], label=None, prediction="hired")
        assert tally.cells is not None and tally.cells.groups == ("Hindu", "None")
    for word in ("NA", "null", "nan", "n/a", ""):
        for path in save(table.replace("None", word), tmp_path):
            for read in (read_table, stream_table):
                with pytest.raises(InputError, match=r"'faith' has 30 missing values \(empty, or a word such as NA"):
                    read(path, label="hired", group=["faith"])
            tally = tally_file(path, group=["faith"], label=None, prediction="hired")
            assert tally.cells is not None and tally.cells.groups == ("Hindu", "(not recorded)")
    path = tmp_path / "t.csv"
    for word in ("None", "NA", "-nan", "#N/A N/A"):
        table.astype({"x": object}).replace({"x": {7: word}}).to_csv(path, index=False)
        assert np.isnan(read_table(path, label="hired", group=["faith"]).columns["x"][7])
        for opened in (
            lambda: read_table(path, label="hired", group=["faith"]).split(),
            lambda: stream_table(path, label="hired", group=["faith"]),
        ):
            with pytest.raises(InputError, match="column 'x' has 1 missing"):
                opened()


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_seen(mark: str, name: str, tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False, sep=mark)
    for read in (read_table, stream_table):
        with pytest.raises(
            InputError, match=rf"It looks separated by {name}, not commas: .*sep={re.escape(repr(mark))}\)"
        ):
            read(tmp_path / "t.csv", label="hired", group=["sex"])


def test_a_table_in_another_encoding_says_how_to_get_it_into_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,sex,hired\n" + "1,Männlich,0\n2,Weiblich,1\n".encode("latin-1") * 4)
    for read in (read_table, stream_table):
        with pytest.raises(InputError, match=r"is not UTF-8 \(.*byte 0xe4\).*iconv -f LATIN1 -t UTF-8"):
            read(path, label="hired", group=["sex"])


# --- the embedded Adult ------------------------------------------------------------------------------------------


def test_adult_has_the_published_rows_and_rates(adult_split: tuple[Dataset, Dataset]) -> None:
    train, test = adult_split
    assert (len(train), len(test)) == (32_561, 16_281) and train.group_names == ("Female", "Male")
    y, group = np.concatenate([train.y, test.y]), np.concatenate([train.group, test.group])
    assert np.round([y[group == 0].mean(), y[group == 1].mean()], 3).tolist() == [0.109, 0.304]
    assert round(float(train.y.mean()), 4) == 0.2408 and round(float(test.y.mean()), 4) == 0.2362


def test_adult_hides_the_protected_column_unless_asked(adult_split: tuple[Dataset, Dataset]) -> None:
    sources = {name.split("=")[0] for name in adult_split[0].feature_names or ()}
    assert "relationship" in sources and "race" in sources and not sources & {"sex", "income", "fnlwgt", "split"}
    shown, _ = adult(sensitive="sex", group_in_inputs=True).split()
    assert {"sex=Female", "sex=Male"} <= set(shown.feature_names or ())
    hot = shown.inputs["x"][:, list(shown.feature_names or ()).index("sex=Male")]
    assert (hot == shown.group).all()


def test_adult_by_race_and_by_both() -> None:
    race, both = adult(sensitive="race"), adult(sensitive=("sex", "race"))
    assert race.group_names == ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White")
    assert np.bincount(race.group).tolist() == [470, 1519, 4685, 406, 41_762]
    assert len(both.group_names) == 10 and both.group_names[2] == "Female, Black"
    for code, name in enumerate(both.group_names):
        sex, of_race = name.split(", ")
        members = (both.columns["sex"] == sex) & (both.columns["race"] == of_race)
        assert ((both.group == code) == members).all()
    assert set(both.not_inputs) >= {"sex", "race"}


@pytest.mark.parametrize("sensitive", ["age", (), ("sex", "age"), ""])
def test_adult_refuses_other_attributes(sensitive: str | tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="`sensitive` must be"):
        adult(sensitive=sensitive)


def test_adult_is_small_and_is_the_table_in_its_file() -> None:
    packed = (resources.files("fairheads.data") / "adult.csv.xz").read_bytes()
    assert len(packed) < 500_000
    raw = pd.read_csv(io.BytesIO(lzma.decompress(packed)), keep_default_na=False)
    table = adult()
    assert (table.y == (raw["income"] == ">50K")).all() and (table.columns["age"] == raw["age"]).all()
    assert (table.columns["workclass"] == "?").sum() == (raw["workclass"] == "?").sum() > 2000
    assert table.test_rows is not None and (table.test_rows == (raw["split"] == "test")).all()


@pytest.mark.shared_data
def test_the_embedded_adult_is_the_raw_one(shared_data: Path) -> None:
    packed = (resources.files("fairheads.data") / "adult.csv.xz").read_bytes()
    raw = (shared_data / "adult" / "adult.csv.xz").read_bytes()
    assert lzma.decompress(packed) == lzma.decompress(raw)


@pytest.mark.shared_data
def test_compas_is_read_with_its_published_base_rate(shared_data: Path) -> None:
    path = shared_data / "compas" / "compas_two_years_deidentified.csv"
    table = read_table(path, label="two_year_recid", group=["race", "sex"], favourable="0")
    assert len(table) == 7214 and round(1 - float(table.y.mean()), 3) == 0.451
    assert "African-American, Female" in table.group_names


# --- the record of training rows ---------------------------------------------------------------------------------


def test_2586_of_adults_test_rows_equal_a_training_row_and_duplicates_explain_them() -> None:
    train, test = adult(sensitive="sex", group_in_inputs=True).split()
    record = RowRecord.of(train)
    assert record.n == 32_561
    assert record.seen(test) == 2586
    assert record.expected_share == pytest.approx(2586 / 16_281, abs=0.02)
    share, expected = record.refuse_overlap(test)
    assert (share, expected) == (2586 / 16_281, record.expected_share)
    by_race, _ = adult(sensitive="race", group_in_inputs=True).split()
    assert RowRecord.of(by_race).digest == record.digest, "which attribute is protected is no part of a row"


def test_a_digest_forgets_order_and_remembers_multiplicity_inputs_and_labels() -> None:
    data = small(12)
    digest = RowRecord.of(data).digest
    order = np.random.default_rng(0).permutation(12)
    assert RowRecord.of(data.take(order)).digest == digest
    assert RowRecord.of(small(12, row_id=np.arange(12) + 5, name="other")).digest == digest
    changed_input = np.arange(24.0).reshape(12, 2)
    changed_input[3, 1] += 1e-3
    others = [
        data.take([*range(12), 0]),
        data.take([*range(11), 0]),
        data.take(range(11)),
        small(12, X=changed_input),
        small(12, y=1 - data.y),
    ]
    digests = {RowRecord.of(other).digest for other in others}
    assert len(digests) == len(others) and digest not in digests


def test_records_of_masks_and_categories_are_those_of_models_saved_before_they_kept_their_type() -> None:
    flags, ids = np.array([True, False, True]), np.array([[7], [300], [7]])
    now = RowRecord.of(small(3, X={"pad": flags[:, None], "job": ids[:, 0], "tokens": ids}))
    then = RowRecord.of(small(3, X={"pad": flags[:, None] * 1.0, "job": ids[:, 0] * 1.0, "tokens": ids}))
    assert now.digest == then.digest
    assert now.digest == "7c8bc69bc9b9f5dc2b0e7f68a3c0f8e3b9da1eddce45290c64650b7cdaff7ed7"


def test_seen_counts_rows_of_equal_content_however_often_they_come() -> None:
    data = small(10)
    record = RowRecord.of(data.take([0, 0, 1, 2, 3]))
    assert record.n == 5 and sorted(record.counts.tolist()) == [1, 1, 1, 2]
    assert record.seen(data) == 4
    assert record.seen(data.take([0, 0, 9])) == 2
    assert record.seen(data.take([7, 8])) == 0
    flipped = small(10, y=1 - data.y)
    assert record.seen(flipped) == 0, "the same inputs with another label are another row"


def of_types(types: NDArray) -> Dataset:
    return Dataset(types[:, None].astype(float), types % 2, types % 3)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.2])
def test_the_expected_share_of_seen_rows_is_near_the_truth(exponent: float) -> None:
    rng = np.random.default_rng(0)
    weight = 1 / np.arange(1, 5001) ** exponent
    weight /= weight.sum()
    for _ in range(5):
        train, test = rng.choice(5000, 4000, p=weight), rng.choice(5000, 4000, p=weight)
        record = RowRecord.of(of_types(train))
        truth = weight[np.unique(train)].sum()
        assert 0.3 < truth < 0.99
        assert record.expected_share == pytest.approx(truth, abs=0.03)
        assert record.seen(of_types(test)) / 4000 == pytest.approx(truth, abs=0.03)
        record.refuse_overlap(of_types(test))


def test_rows_that_never_repeat_are_expected_nowhere_and_training_rows_are_refused() -> None:
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(2000, 3)), rng.integers(0, 2, 2000), rng.integers(0, 2, 2000))
    record = RowRecord.of(data.take(np.arange(1000)))
    assert record.expected_share == 0.0
    assert record.refuse_overlap(data.take(np.arange(1000, 2000))) == (0.0, 0.0)
    for mixed in (np.arange(1000), np.arange(900, 1900)):
        with pytest.raises(InputError, match=r"rows equal a training row of the model and duplicates explain 0.0%"):
            record.refuse_overlap(data.take(mixed))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_hashes_do_not_depend_on_what_other_rows_there_are(seed: int) -> None:
    data = of_types(np.random.default_rng(seed).integers(0, 50, 30))
    whole = RowRecord.of(data)
    halves = [RowRecord.of(data.take(part)) for part in (range(15), range(15, 30))]
    assert set(whole.hashes) == set(halves[0].hashes) | set(halves[1].hashes)
    assert halves[0].seen(data) >= 15 and whole.seen(data) == 30


def test_a_table_is_read_without_changing_its_file(tmp_path: Path) -> None:
    path, _ = save(frame(), tmp_path)
    before = path.read_bytes()
    table = read_table(path, label="hired", group=["sex"])
    assert isinstance(table, Table) and len(table) == 60 and path.read_bytes() == before


# --- paths that are odd ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "circle", "long", "pipe", "null\0"])
def test_what_is_no_file_is_refused_as_not_there_and_never_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "long").symlink_to("n" * 300)
    os.mkfifo(tmp_path / "pipe")
    assert what_is(tmp_path / name) == ("other" if name == "pipe" else "nothing")
    for read in (read_table, stream_table):
        with pytest.raises(InputError, match="there is no file"):
            read(tmp_path / name, label="y", group=["g"])


def test_what_may_not_be_looked_at_is_not_called_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(PermissionError, match="denied"):
        read_table(tmp_path / "rows.csv", label="y", group=["g"])


def test_links_that_lead_nowhere_are_no_tables_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "gone.csv").symlink_to("n" * 300)
    (tmp_path / "rows.csv").write_text("y,g\n0,a\n1,b\n")
    assert what_is(tmp_path) == "folder" and what_is(tmp_path / "rows.csv") == "file"
    assert [file.name for file in tables_in(tmp_path)] == ["rows.csv"]
