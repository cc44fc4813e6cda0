"""Counts of rows by group, recorded label and decision: all that a rate needs to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.sums.groups import NOT_RECORDED, Membership, aligned, in_order, union

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

Number = TypeVar("Number", np.int64, np.float64)

BINARY = ("0", "1")


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts ``n[g, y, d]`` of rows by group, label and decision, int64, of shape (groups, classes, classes).

    Cells of disjoint rows add up with ``+``, in any order, to the cells of all the rows; groups and classes that only
    one of them has are kept.

    Attributes
    ----------
    groups : tuple of str
    counts : int64 (G, C, C), or (G, 1, C) where no labels are known
        Rows, but for those of weight 0; with probabilities of membership the rows whose probability is not 0.
    weights : float64 of the same shape, optional
        Sum of the rows' weights (times their probability of membership).
    squares : float64 of the same shape, or (G, G, ., C) with probabilities of membership, optional
        Sum of squared weights; of the products of both groups' weights. Variances are made of these.
    classes : tuple of str
        What a label or decision can be; of two the second is the favourable one.
    rows : int64 (C, C) or (1, C)
        Rows of all groups together.

    Examples
    --------
    >>> a = Cells.count(y=[1, 0], decision=[1, 1], group=[0, 1], groups=["A", "B"])
    >>> b = Cells.count(y=[1], decision=[0], group=[0], groups=["A", "B"])
    >>> (a + b).counts.tolist()
    [[[0, 0], [1, 1]], [[0, 1], [0, 0]]]
    """

    groups: tuple[str, ...]
    counts: Counts
    weights: Floats | None = None
    squares: Floats | None = None
    classes: tuple[str, ...] = BINARY
    shared_rows: Counts | None = None

    @classmethod
    def empty(cls, groups: Sequence[str]) -> Cells:
        """Cells of no rows."""
        return cls(tuple(groups), np.zeros((len(groups), 2, 2), np.int64))

    @classmethod
    def count(
        cls,
        *,
        y: ArrayLike | None,
        decision: ArrayLike,
        group: ArrayLike,
        groups: Sequence[str],
        weight: ArrayLike | None = None,
        classes: Sequence[str] = BINARY,
    ) -> Cells:
        """Cells of rows with label and decision codes in 0..C-1 and group codes in 0..G-1.

        Raises
        ------
        InputError
            If the lengths differ, a label, decision or group code is not a whole number in its range, or a weight is
            negative or not finite.
        """
        codes = {"group": (group, len(groups)), "y": (y, len(classes)), "decision": (decision, len(classes))}
        flat, shape = _flat({k: v for k, v in codes.items() if v[0] is not None}, "group")
        shape = shape if y is not None else (shape[0], 1, shape[1])
        size = int(np.prod(shape))
        counts = np.bincount(flat, minlength=size).astype(np.int64).reshape(shape)
        if weight is None:
            return cls(tuple(groups), counts, classes=tuple(classes))
        w = checked_weight(weight, len(flat))
        counts = np.bincount(flat[w > 0], minlength=size).astype(np.int64).reshape(shape)
        weights, squares = (np.bincount(flat, x, minlength=size).reshape(shape).astype(np.float64) for x in (w, w * w))
        return cls(tuple(groups), counts, weights, squares, tuple(classes))

    @classmethod
    def expect(
        cls,
        *,
        y: ArrayLike | None,
        decision: ArrayLike,
        membership: Membership,
        weight: ArrayLike | None = None,
        classes: Sequence[str] = BINARY,
    ) -> Cells:
        """Cells of rows that belong to groups with probabilities: expected counts, as sums of the probabilities.

        Raises
        ------
        InputError
            As `count`.
        """
        codes = {"y": (y, len(classes)), "decision": (decision, len(classes))}
        flat, shape = _flat({k: v for k, v in codes.items() if v[0] is not None}, "decision")
        if len(flat) != len(membership):
            raise InputError(f"`membership` must have one row per row ({len(flat)}), got {len(membership)}.")
        shape = shape if y is not None else (1, *shape)
        unknown = np.isnan(membership.probabilities).any(axis=1, keepdims=True)
        known = np.where(unknown, 0.0, membership.probabilities)
        rest = np.clip(1 - known.sum(1), 0, 1)
        rest[rest < 1e-9] = 0.0
        q = np.column_stack([known, rest])
        w = q if weight is None else q * checked_weight(weight, len(flat))[:, None]
        groups, size = (*membership.groups, NOT_RECORDED), int(np.prod(shape))
        counts, weights = np.zeros((len(groups), size), np.int64), np.zeros((len(groups), size))
        squares, rows = np.zeros((len(groups), len(groups), size)), np.bincount(flat, minlength=size)
        for cell in np.flatnonzero(rows):
            here = w[flat == cell]
            counts[:, cell], weights[:, cell] = (here > 0).sum(0), here.sum(0)
            squares[:, :, cell] = here.T @ here
        cells = cls(
            groups,
            counts.reshape(-1, *shape),
            weights.reshape(-1, *shape),
            squares.reshape(len(groups), len(groups), *shape),
            tuple(classes),
            rows.astype(np.int64).reshape(shape),
        )
        return cells.only(in_order(groups if rest.any() else membership.groups))

    @property
    def labelled(self) -> bool:
        """Whether the labels are known."""
        return bool(self.counts.shape[1] > 1)

    @property
    def soft(self) -> bool:
        """Whether rows belong to groups with probabilities."""
        return self.shared_rows is not None

    @property
    def mass(self) -> NDArray[Any]:
        """What rates are made of: weights (G, ., C) where there are any, else counts."""
        return self.counts if self.weights is None else self.weights

    @property
    def rows(self) -> Counts:
        """Rows of all groups together, (., C)."""
        return self.counts.sum(0) if self.shared_rows is None else self.shared_rows

    def only(self, groups: Sequence[str]) -> Cells:
        """The cells of some of the groups, in that order."""
        at = [self.groups.index(name) for name in groups]
        squares = self.squares
        if squares is not None:
            squares = squares[np.ix_(at, at)] if self.soft else squares[at]
        weights = None if self.weights is None else self.weights[at]
        return replace(self, groups=tuple(groups), counts=self.counts[at], weights=weights, squares=squares)

    def pooled(self, name: str = "everybody") -> Cells:
        """The cells of all groups together, as one group."""
        weights = None if self.weights is None else self.weights.sum(0, keepdims=True)
        squares = self.squares
        if squares is not None:
            squares = squares.sum((0, 1))[None] if self.soft else squares.sum(0, keepdims=True)
        return Cells((name,), self.rows[None], weights, squares, self.classes)

    def rest(self) -> Cells:
        """For each group the cells of all that are not in it; of groups that share no rows.

        Raises
        ------
        InputError
            If rows belong to groups with probabilities.
        """
        if self.soft:
            raise InputError("rows that belong to several groups have no rest.")
        counts = self.counts.sum(0, keepdims=True) - self.counts
        weights, squares = (
            None if a is None else np.where(counts > 0, a.sum(0, keepdims=True) - a, 0.0)
            for a in (self.weights, self.squares)
        )
        return replace(self, counts=counts, weights=weights, squares=squares)

    def against_rest(self, favourable: str) -> Cells:
        """Cells of two classes: ``favourable`` as 1 and every other class as 0.

        Raises
        ------
        InputError
            If there is no such class.
        """
        if favourable not in self.classes:
            raise InputError(f"`favourable` must be one of {list(self.classes)}, got {favourable!r}.")
        at = self.classes.index(favourable)

        def folded(array: NDArray[Any]) -> NDArray[Any]:
            for axis in (-1, -2) if self.labelled else (-1,):
                one = array.take([at], axis)
                array = np.concatenate([array.sum(axis, keepdims=True) - one, one], axis)
            return array

        return Cells(
            self.groups,
            folded(self.counts),
            None if self.weights is None else folded(self.weights),
            None if self.squares is None else folded(self.squares),
            BINARY,
            None if self.shared_rows is None else folded(self.shared_rows),
        )

    def __add__(self, other: Cells) -> Cells:
        if self.labelled != other.labelled or self.soft != other.soft:
            raise InputError("cells with and without labels, or probabilities of membership, do not add up.")
        groups, classes = union(self.groups, other.groups), union(self.classes, other.classes)
        weighted = self.weights is not None or other.weights is not None
        a, b = (_spread(cells, groups, classes, weighted) for cells in (self, other))
        return Cells(groups, a[0] + b[0], _plus(a[1], b[1]), _plus(a[2], b[2]), classes, _plus(a[3], b[3]))

    def to_dict(self) -> dict[str, Any]:
        arrays = {"weights": self.weights, "squares": self.squares, "shared_rows": self.shared_rows}
        return {
            "groups": list(self.groups),
            "classes": list(self.classes),
            "counts": self.counts.tolist(),
            **{name: array.tolist() for name, array in arrays.items() if array is not None},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Cells:
        kinds = {"weights": np.float64, "squares": np.float64, "shared_rows": np.int64}
        arrays: dict[str, Any] = {name: np.array(plain[name], kind) for name, kind in kinds.items() if name in plain}
        groups, classes = tuple(plain["groups"]), tuple(plain.get("classes", BINARY))
        counts = np.array(plain["counts"], np.int64)
        if not groups:
            counts = np.zeros((0, len(classes), len(classes)), np.int64)
        return cls(groups, counts, classes=classes, **arrays)


def checked_weight(weight: ArrayLike, n: int) -> Floats:
    """Weights (n,) as float64.

    Raises
    ------
    InputError
        If there is not one per row, or one is negative or not finite.
    """
    w = np.asarray(weight)
    if w.shape != (n,) or w.dtype.kind not in "iufb":
        raise InputError(f"`sample_weight` must be one number per row ({n}), got {w.dtype} of shape {w.shape}.")
    w = w.astype(np.float64)
    if not np.isfinite(w).all() or (w < 0).any():
        raise InputError("`sample_weight` must be finite and at least 0 in every row.")
    return w


def _flat(codes: Mapping[str, tuple[Any, int]], first: str) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """The cell of every row, and the shape of the table of cells."""
    n = len(np.asarray(codes[first][0]))
    flat = np.zeros(n, np.min_scalar_type(int(np.prod([top for _, top in codes.values()], dtype=object)) or 1))
    for name, (given, top) in codes.items():
        values = np.asarray(given)
        if values.shape != (n,):
            raise InputError(f"`{name}` must have one entry per row of `{first}` ({n}).")
        whole = values.dtype.kind in "iub" or (values.dtype.kind == "f" and bool((values == np.floor(values)).all()))
        if not whole or (n and (values.min() < 0 or values.max() >= top)):
            raise InputError(f"`{name}` must hold whole numbers from 0 to {top - 1}.")
        flat = flat * flat.dtype.type(top) + values.astype(flat.dtype)
    return flat.astype(np.int64) if flat.dtype == np.uint64 else flat, tuple(top for _, top in codes.values())


def _plus(a: NDArray[Number] | None, b: NDArray[Number] | None) -> NDArray[Number] | None:
    return None if a is None or b is None else np.asarray(a + b, a.dtype)


def _spread(
    cells: Cells, groups: tuple[str, ...], classes: tuple[str, ...], weighted: bool
) -> tuple[Counts, Floats | None, Floats | None, Counts | None]:
    """Counts, weights, squares and shared rows over more groups and classes."""

    def classed(array: NDArray[Any]) -> NDArray[Any]:
        array = aligned(cells.classes, classes, array, array.ndim - 1)
        return aligned(cells.classes, classes, array, array.ndim - 2) if cells.labelled else array

    def grouped(array: NDArray[Any]) -> NDArray[Any]:
        return aligned(cells.groups, groups, classed(array))

    plain = cells.counts.astype(np.float64) if weighted and cells.weights is None else None
    weights, squares = (plain if a is None else a for a in (cells.weights, cells.squares))
    wide = None if squares is None else grouped(squares)
    if wide is not None and cells.soft:
        wide = aligned(cells.groups, groups, wide, 1)
    return (
        grouped(cells.counts),
        None if weights is None else grouped(weights),
        wide,
        None if cells.shared_rows is None else classed(cells.shared_rows),
    )
