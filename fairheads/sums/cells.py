"""Counts of rows by group, recorded label and decision: all that a rate needs to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts ``n[g, y, d]``, int64, of shape (groups, 2, 2), with the names of the groups.

    Cells of disjoint rows add up with ``+``, in any order, to the cells of all the rows.

    Examples
    --------
    >>> a = Cells.count(y=[1, 0], decision=[1, 1], group=[0, 1], groups=["A", "B"])
    >>> b = Cells.count(y=[1], decision=[0], group=[0], groups=["A", "B"])
    >>> (a + b).counts.tolist()
    [[[0, 0], [1, 1]], [[0, 1], [0, 0]]]
    """

    groups: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, groups: Sequence[str]) -> Cells:
        """Cells of no rows."""
        return cls(tuple(groups), np.zeros((len(groups), 2, 2), np.int64))

    @classmethod
    def count(cls, *, y: ArrayLike, decision: ArrayLike, group: ArrayLike, groups: Sequence[str]) -> Cells:
        """Cells of rows with labels and decisions in {0, 1} and group codes in 0..len(groups)-1.

        Raises
        ------
        InputError
            If the lengths differ, or a label, decision or group code is not a whole number in its range.
        """
        codes = [np.asarray(a) for a in (group, y, decision)]
        for name, values, top in zip(("group", "y", "decision"), codes, (len(groups), 2, 2), strict=True):
            if values.shape != (len(codes[0]),):
                raise InputError(f"`{name}` must have one entry per row of `group` ({len(codes[0])}).")
            if not np.isin(values, np.arange(top)).all():
                raise InputError(f"`{name}` must hold whole numbers from 0 to {top - 1}.")
        flat = (codes[0].astype(np.int64) * 2 + codes[1].astype(np.int64)) * 2 + codes[2].astype(np.int64)
        counts = np.bincount(flat, minlength=4 * len(groups)).reshape(len(groups), 2, 2)
        return cls(tuple(groups), counts.astype(np.int64))

    def __add__(self, other: Cells) -> Cells:
        if self.groups != other.groups:
            raise InputError(f"Cells of different groups do not add up: {self.groups} and {other.groups}.")
        return Cells(self.groups, self.counts + other.counts)

    def to_dict(self) -> dict[str, Any]:
        return {"groups": list(self.groups), "counts": self.counts.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Cells:
        return cls(tuple(plain["groups"]), np.array(plain["counts"], np.int64).reshape(-1, 2, 2))
