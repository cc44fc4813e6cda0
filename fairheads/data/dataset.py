"""The in-memory data set, and the fixed blocks in which every pass over data runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.data.preprocess import is_missing
from fairheads.data.shown import ShownRows
from fairheads.errors import InputError

if TYPE_CHECKING:
    from fairheads.data.preprocess import TableEncoder

BLOCK = 512
"""Rows of one forward pass. Float32 results depend on the batch size, so an audit always uses the same."""

NARROW, FEW = 2048, 64
"""Rows of one pass over a table of at most so many columns, where calls cost more than rows."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows: ``inputs`` by name (first axis = rows), label, group code, row id and, if there are any, stratum."""

    inputs: dict[str, NDArray[Any]]
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    row_id: NDArray[np.int64]
    strata: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: slice | NDArray[Any]) -> Batch:
        """The rows at ``index``."""
        return Batch(
            {k: v[index] for k, v in self.inputs.items()},
            self.y[index],
            self.group[index],
            self.row_id[index],
            None if self.strata is None else self.strata[index],
        )


def joined(batches: Sequence[Batch]) -> Batch:
    """The rows of all batches in one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    return Batch(
        {k: np.concatenate([b.inputs[k] for b in batches]) for k in first.inputs},
        np.concatenate([b.y for b in batches]),
        np.concatenate([b.group for b in batches]),
        np.concatenate([b.row_id for b in batches]),
        None if first.strata is None else np.concatenate([b.strata for b in batches if b.strata is not None]),
    )


def blocks(batches: Iterable[Batch], rows: int | None = None) -> Iterator[Batch]:
    """The same rows in the same order, cut anew every ``rows`` rows, whatever the sizes of the batches.

    By default `BLOCK` rows, or `NARROW` of a table of few columns.
    """
    held: list[Batch] = []
    count = 0
    for batch in batches:
        rows = rows or (NARROW if _is_narrow(batch) else BLOCK)
        held.append(batch)
        count += len(batch)
        if count < rows:
            continue
        together = joined(held)
        whole = count - count % rows
        for start in range(0, whole, rows):
            yield together.take(slice(start, start + rows))
        held, count = [together.take(slice(whole, None))], count - whole
    if count:
        yield joined(held)


def _is_narrow(batch: Batch) -> bool:
    return all(
        v.ndim == 1 or (v.ndim == 2 and v.shape[1] <= FEW and v.dtype.kind == "f") for v in batch.inputs.values()
    )


class Dataset(ShownRows):
    """Rows held in memory: inputs, a label in {0, 1} and a protected group; iterating gives batches.

    Parameters
    ----------
    X : array (n, ...) or mapping of name to array
        What the network is fed. Floating-point inputs must be finite; they are kept as float32, and so is whatever is
        called ``x``, the name of an array without one. Under any other name whole numbers (categories of an embedding)
        and truth values (masks) keep their type.
    y : array (n,)
        Recorded label, 1 = the favourable outcome.
    group : array (n,)
        Protected group: whole numbers 0..K-1 when ``group_names`` is given, else any values; their sorted
        distinct values become the names.
    group_names, feature_names : sequences of str, optional
    name : str
        What reports call the data.
    row_id : array (n,) of int, optional
        Identity of each row, by default its position.
    strata : array (n,) of int, optional
        Codes from 0 of strata within which a conditional constraint compares groups.
    batch_size : int
        Rows a batch when the caller iterates. It never changes a result: audits cut their own blocks.
    preprocess : TableEncoder, optional
        How X was made from a table, carried along so that a saved model can keep it.
    unseen : mapping of column to count, optional
        Rows whose category the encoder had not seen, for the report.

    Raises
    ------
    InputError
        On lengths that differ, no rows, a label outside {0, 1} or in columns, or an input that is not finite.

    Examples
    --------
    >>> data = Dataset([[0.0], [1.0], [2.0]], [0, 1, 1], ["a", "b", "b"])
    >>> data.group_names, len(data), data.group.tolist()
    (('a', 'b'), 3, [0, 1, 1])
    """

    def __init__(
        self,
        X: ArrayLike | Mapping[str, ArrayLike],
        y: ArrayLike,
        group: ArrayLike,
        *,
        group_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        name: str = "",
        row_id: ArrayLike | None = None,
        strata: ArrayLike | None = None,
        batch_size: int = BLOCK,
        preprocess: TableEncoder | None = None,
        unseen: Mapping[str, int] | None = None,
    ) -> None:
        given = X if isinstance(X, Mapping) else {"x": X}
        self.feature_names = tuple(feature_names) if feature_names is not None else None
        self.inputs = {key: _finite(key, values, self.feature_names) for key, values in given.items()}
        n = len(next(iter(self.inputs.values()))) if self.inputs else 0
        if n == 0:
            raise InputError("`X` must have at least one row.")
        for key, values in self.inputs.items():
            _same_length(key, values, n)
        self.y = _binary(_same_length("y", np.asarray(y), n))
        if isinstance(group, (list, tuple)) and any(map(is_missing, group)):
            group = np.array(group, object)  # an array of text would hide a NaN
        self.group, self.group_names = _codes(_same_length("group", np.asarray(group), n), group_names)
        ids = np.arange(n) if row_id is None else np.asarray(row_id)
        self.row_id = _same_length("row_id", ids, n).astype(np.int64)
        self.strata = None if strata is None else _strata(_same_length("strata", np.asarray(strata), n))
        if batch_size < 1:
            raise InputError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.name, self.batch_size, self.preprocess = name, batch_size, preprocess
        self.unseen = dict(unseen or {})

    def __len__(self) -> int:
        return len(self.y)

    def __iter__(self) -> Iterator[Batch]:
        rows = self.rows()
        for start in range(0, len(self), self.batch_size):
            yield rows.take(slice(start, start + self.batch_size))

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key}{list(value.shape)}" for key, value in self.inputs.items())
        return f"Dataset({self.name!r}, {shapes}, groups={list(self.group_names)})"

    def _about(self) -> str:
        shapes = ", ".join(f"{key} of {'x'.join(map(str, v.shape[1:])) or 1}" for key, v in self.inputs.items())
        return f"inputs {shapes}"

    def rows(self) -> Batch:
        """All rows as one batch (no copy)."""
        return Batch(self.inputs, self.y, self.group, self.row_id, self.strata)

    def counts(self) -> NDArray[np.int64]:
        """Rows of every group (axis 0) with label 0 and 1 (axis 1), shape (groups, 2)."""
        cells = np.bincount(2 * self.group + self.y, minlength=2 * len(self.group_names))
        return cells.reshape(-1, 2).astype(np.int64)

    def take(self, index: ArrayLike) -> Dataset:
        """The data set of the rows at ``index`` (positions or a boolean mask), which keep their row ids."""
        return self._with(self.rows().take(np.asarray(index)))

    def relabelled(self, y: ArrayLike) -> Dataset:
        """The same rows with other labels, (n,)."""
        return self._with(replace(self.rows(), y=np.asarray(y)))

    def _with(self, rows: Batch) -> Dataset:
        return Dataset(
            rows.inputs,
            rows.y,
            rows.group,
            group_names=self.group_names,
            feature_names=self.feature_names,
            name=self.name,
            row_id=rows.row_id,
            strata=rows.strata,
            batch_size=self.batch_size,
            preprocess=self.preprocess,
            unseen=self.unseen,
        )


def _same_length(name: str, values: NDArray[Any], n: int) -> NDArray[Any]:
    if values.ndim == 0 or len(values) != n:
        got = "a single value" if values.ndim == 0 else str(len(values))
        raise InputError(f"`{name}` must have one entry per row of `X` ({n}), got {got}.")
    return values


def _finite(key: str, values: ArrayLike, feature_names: tuple[str, ...] | None) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"input `{key}` must be numeric, got values of type {str(array.dtype)[:60]}; encode it first.")
    if array.ndim == 0:
        raise InputError(f"input `{key}` must have one entry per row, got a single value.")
    if array.dtype.kind != "f":
        return array if array.dtype.kind in "iub" and key != "x" else array.astype(np.float32)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    bad = ~np.isfinite(array)
    if bad.any():
        where = ""
        if array.ndim == 2:
            column = int(bad.any(0).argmax())
            where = f" in feature {feature_names[column]!r}" if feature_names else f" in column {column}"
        raise InputError(
            f"input `{key}` must be finite, got {int(bad.sum())} NaN or infinite values, the first{where}."
        )
    return array


def _binary(y: NDArray[Any]) -> NDArray[np.int64]:
    if y.ndim != 1:
        raise InputError(f"`y` must be one value per row, got an array of shape {y.shape}.")
    if y.dtype.kind not in "iufb" or not np.isin(y, (0, 1)).all():
        shown = ", ".join(repr(v) for v in list(dict.fromkeys(y.tolist()))[:4])
        raise InputError(f"`y` must be 0 or 1 in every row (1 = favourable), got values {shown}.")
    return y.astype(np.int64)


def _strata(strata: NDArray[Any]) -> NDArray[np.int64]:
    if strata.ndim != 1 or strata.dtype.kind not in "iu" or (len(strata) and strata.min() < 0):
        raise InputError(f"`strata` must hold whole numbers from 0, one a row, got {strata.dtype} {strata.shape}.")
    return strata.astype(np.int64)


def _codes(group: NDArray[Any], names: Sequence[str] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if group.ndim != 1:
        raise InputError(f"`group` must be one value per row, got an array of shape {group.shape}.")
    if names is not None:
        if len(set(map(str, names))) != len(names):
            raise InputError(f"`group_names` must differ from each other, got {list(names)}.")
        if group.dtype.kind not in "iu" or group.min() < 0 or group.max() >= len(names):
            raise InputError(f"`group` must hold codes from 0 to {len(names) - 1}, one for each of `group_names`.")
        return group.astype(np.int64), tuple(str(name) for name in names)
    if group.dtype.kind == "f" and not np.isfinite(group).all():
        raise InputError("`group` must not be missing (NaN) in any row.")
    if group.dtype == object and any(map(is_missing, group.tolist())):
        raise InputError("`group` must not be missing (None or NaN) in any row.")
    values, codes = np.unique(group.astype(str) if group.dtype == object else group, return_inverse=True)
    return codes.astype(np.int64), tuple(str(v) for v in values.tolist())
