"""Which group every row is in, whatever the type of the columns that say so."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError

NOT_RECORDED = "(not recorded)"
"""The value of rows whose group is missing: None, NaN, NA or an empty text."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Coded:
    """A column as codes (n,) of ``names``; -1 is a missing value. What `code_column` returns, and takes as it is."""

    names: tuple[str, ...]
    codes: Codes

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Membership:
    """Probabilities (n, groups) with which each row belongs to each group, as a model of the group gives them.

    A row's probabilities are at least 0 and sum to at most 1; what is missing to 1, or all of it where they are NaN,
    counts as not recorded.

    Notes
    -----
    A rate over such memberships is that of the groups only if decisions depend on the group through the estimate
    alone; where they depend on the group given the estimate, it is biased.
    """

    groups: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.probabilities), len(self.groups))
        given = np.asarray(self.probabilities, np.float64)
        if given.shape != shape:
            raise InputError(f"`probabilities` must have one column per group ({shape[1]}), got {given.shape}.")
        known = given[~np.isnan(given).any(1)]
        if (known < 0).any() or (known.sum(1) > 1 + 1e-6).any():
            raise InputError("`probabilities` must be at least 0 and sum to at most 1 in every row.")
        if len({*self.groups, NOT_RECORDED}) != len(self.groups) + 1:
            raise InputError(f"`groups` must name every group once, and none of them {NOT_RECORDED!r}.")
        object.__setattr__(self, "probabilities", given)

    def __len__(self) -> int:
        return len(self.probabilities)


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names: numbers by size, then texts by alphabet, last whatever is not recorded."""

    def key(name: str) -> tuple[bool, int, float, str]:
        try:
            number = float(name)
        except ValueError:
            number = math.nan
        return NOT_RECORDED in name, int(math.isnan(number)), 0.0 if math.isnan(number) else number, name

    return tuple(sorted(set(names), key=key))


def code_column(values: Any) -> Coded:
    """Names of the distinct values and the code of every row, for text, numbers, booleans and categoricals.

    The same values get the same names in any type: ``1``, ``1.0``, ``"1"`` and a category ``1`` are all ``1``.

    Raises
    ------
    InputError
        If the column does not have one value per row.
    """
    if isinstance(values, Coded):
        return values
    values = getattr(values, "array", values) if hasattr(values, "cat") else values
    if hasattr(values, "codes") and hasattr(values, "categories"):
        kinds = code_column(np.asarray(values.categories, object))
        lookup = np.append(kinds.codes, -1)
        return _present(kinds.names, lookup[np.asarray(values.codes, np.int64)])
    try:
        array = np.asarray(values, object) if isinstance(values, (list, tuple)) else np.asarray(values)
    except ValueError as error:
        raise InputError("a group column must have one value per row, got rows of several lengths.") from error
    if array.dtype.kind in "mM":
        array = array.astype(str)
    if array.ndim != 1:
        raise InputError(f"a group column must have one value per row, got an array of shape {array.shape}.")
    if array.dtype.kind in "iu" and len(array) and int(array.max()) - int(array.min()) < 1 << 16:
        low = int(array.min())
        # The difference may not fit into a small signed type: it wraps, and read as unsigned it is right again.
        codes = (array - array.dtype.type(low)).view(f"u{array.dtype.itemsize}").astype(np.int64)
        return _present([str(low + i) for i in range(int(codes.max()) + 1)], codes)
    if array.dtype.kind in "iufb":
        distinct, codes = np.unique(array, return_inverse=True)
        return _named(distinct.tolist(), codes)
    seen: dict[Any, int] = {}
    try:
        codes = np.array([seen.setdefault(v, len(seen)) for v in array.tolist()], np.int64)
    except TypeError:
        raise InputError("a group column must hold texts, numbers, booleans or categories.") from None
    return _named(list(seen), codes)


def _named(distinct: list[Any], codes: NDArray[Any]) -> Coded:
    """Codes of names; values that have the same name, such as 1 and 1.0, become one."""
    texts = [value_name(v) for v in distinct]
    names = in_order([t for t in texts if t is not None])
    place = {name: i for i, name in enumerate(names)}
    lookup = np.array([-1 if t is None else place[t] for t in texts], np.int64)
    return Coded(names, lookup[codes] if len(codes) else np.zeros(0, np.int64))


def _present(names: Sequence[str], codes: Codes) -> Coded:
    """The same without names that no row has."""
    rows = np.bincount(codes + 1, minlength=len(names) + 1)[1:]
    if rows.all():
        return Coded(tuple(names), codes)
    found = np.flatnonzero(rows)
    lookup = np.full(len(names) + 1, -1, np.int64)
    lookup[found] = np.arange(len(found))
    return Coded(tuple(names[i] for i in found.tolist()), lookup[codes])


def value_name(value: Any) -> str | None:
    """A value as the name of a group or a class; None where it is missing."""
    if value is None or str(value == value) != "True":  # NaN and NaT differ from themselves, NA does not answer
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value)
    return text if text.strip() else None


def group_columns(sensitive_features: Any) -> dict[str, Any]:
    """The columns that make the groups by name: of a table, a mapping, a series or one or two-dimensional array."""
    if isinstance(sensitive_features, Mapping):
        columns = dict(sensitive_features)
    elif hasattr(sensitive_features, "columns") and hasattr(sensitive_features, "iloc"):
        names = [str(c) for c in sensitive_features.columns]
        if len(set(names)) < len(names):
            raise InputError(f"`sensitive_features` must name every column once, got {names}.")
        columns = {name: sensitive_features.iloc[:, i] for i, name in enumerate(names)}
    elif isinstance(sensitive_features, Coded) or np.ndim(sensitive_features) < 2:
        columns = {str(getattr(sensitive_features, "name", None) or "group"): sensitive_features}
    else:
        array = np.asarray(sensitive_features)
        columns = {f"group_{i}": array[:, i] for i in range(array.shape[1])}
    if not columns:
        raise InputError("`sensitive_features` must have at least one column.")
    return {str(name): column for name, column in columns.items()}


def intersect(columns: Mapping[str, Any]) -> Coded:
    """The groups that one or several columns make; of several, each combination that occurs, ``Female, Black``.

    Missing values are the group `NOT_RECORDED`, so the codes have no -1. `parts_of` takes a name apart again.

    Raises
    ------
    InputError
        If the columns differ in length.
    """
    coded = [_with_missing(code_column(column)) for column in columns.values()]
    if len({len(c) for c in coded}) > 1:
        lengths = {name: len(c) for name, c in zip(columns, coded, strict=True)}
        raise InputError(f"`sensitive_features` must have columns of one length, got {lengths}.")
    first, *others = coded
    codes = first.codes
    parts: list[tuple[str, ...]] = [(name,) for name in first.names]
    for column in others:  # one at a time, for the product of all would not fit into 64 bits
        width = max(len(column.names), 1)
        distinct, codes = np.unique(codes * width + column.codes, return_inverse=True)
        parts = [(*parts[i // width], column.names[i % width]) for i in distinct.tolist()]
    return _named([name_of(combination) for combination in parts], codes) if others else first


def _with_missing(column: Coded) -> Coded:
    if not (column.codes < 0).any():
        return column
    codes = np.where(column.codes < 0, len(column.names), column.codes)
    return _named([*column.names, NOT_RECORDED], codes)


def name_of(parts: Sequence[str]) -> str:
    """The name of a group made of these values; a value that would not come out of it whole is put in quotes."""
    if len(parts) == 1:
        return parts[0]
    return ", ".join(_quoted(p) if p != p.strip() or set(p) & set(',"\r\n\0') else p for p in parts)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def parts_of(name: str, columns: int) -> tuple[str, ...]:
    """The values that `name_of` made a name of."""
    if columns == 1:
        return (name,)
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(name) + 1))
    try:
        return tuple(next(csv.reader([name], skipinitialspace=True, strict=True)))
    finally:
        csv.field_size_limit(limit)


def is_recorded(name: str, columns: int) -> bool:
    """Whether no part of the group is missing."""
    return NOT_RECORDED not in parts_of(name, columns)


def aligned(names: Sequence[str], to: Sequence[str], array: NDArray[Any], axis: int = 0) -> NDArray[Any]:
    """An array whose ``axis`` runs over ``names``, spread over the names ``to``, with 0 where there was none."""
    if tuple(names) == tuple(to):
        return array
    place = {name: i for i, name in enumerate(to)}
    wide = np.zeros((*array.shape[:axis], len(to), *array.shape[axis + 1 :]), array.dtype)
    wide[(slice(None),) * axis + ([place[name] for name in names],)] = array
    return wide


def union(a: Sequence[str], b: Sequence[str]) -> tuple[str, ...]:
    """The names of both: as they are if they are the same, else `in_order`, so that no order of adding matters."""
    return tuple(a) if tuple(a) == tuple(b) else in_order([*a, *b])
