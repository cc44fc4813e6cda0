"""Scores by group and label: what ranking, calibration and distances of distributions are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.sums.cells import Counts, Floats, checked_weight
from fairheads.sums.groups import aligned, union

CELLS = 1 << 21
"""Most cells (scores x groups x labels) that are kept apart: 16 MB of counts."""

BINS = 15
"""Bins of equal width over [0, 1] in which calibration is measured (Guo et al. 2017)."""

EXACT = 52
LADDER = (EXACT, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1, 0)
"""Bits of a score's mantissa that are kept: all, or as many as there is room for."""

TINY = 2.0**-30
"""Below this a score counts as 0 once scores are rounded."""


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """How often every score occurs, by group and label.

    Exact while the distinct scores fit into `CELLS`; beyond, scores are cut (towards 0) to as many bits of their
    mantissa as fit. How many fit depends on all the rows together and on nothing else, so histograms of disjoint rows
    add up with ``+``, in any order, to the histogram of all the rows. Sums of powers and the calibration bins are
    always made of the scores as they came.

    Attributes
    ----------
    groups : tuple of str
    values : float64 (V,)
        The scores, ascending.
    bits : int
        Bits of the mantissa that are left: 52 is exact, 10 keeps a score to a thousandth of its size.
    counts : int64 (V, G, L)
        Rows; L is 2, or 1 without labels.
    weights, squares : float64 (V, G, L), optional
        Sums of the rows' weights and of their squares.
    powers : float64 (2, G, L, 5)
        Sum of w s^k and of w^2 s^k for k = 0 to 4.
    calibration : float64 (4, G, L, `BINS`)
        Rows and the sums of w, w^2 and w s in bins of the score between 0 and 1.
    low, high : float
        The least and the largest score.
    """

    groups: tuple[str, ...]
    values: Floats
    bits: int
    counts: Counts
    weights: Floats | None
    squares: Floats | None
    powers: Floats
    calibration: Floats
    low: float
    high: float

    @classmethod
    def count(
        cls,
        *,
        score: ArrayLike,
        y: ArrayLike | None,
        group: ArrayLike,
        groups: Sequence[str],
        weight: ArrayLike | None = None,
    ) -> ScoreHistogram:
        """The histogram of rows with a finite score, a label in {0, 1} (or none) and a group code.

        Raises
        ------
        InputError
            If a score is missing or infinite, lengths differ, or a weight is negative or not finite.
        """
        s = np.asarray(score)
        if s.ndim != 1 or s.dtype.kind not in "iufb":
            raise InputError(f"`y_score` must be one number per row, got {s.dtype} of shape {s.shape}.")
        s = s.astype(np.float64)
        if not np.isfinite(s).all():
            raise InputError("`y_score` must be finite in every row.")
        labels = 1 if y is None else 2
        label, code = (
            np.zeros(len(s), np.int64) if given is None else _codes(name, given, len(s), top)
            for name, given, top in (("y", y, 2), ("group", group, len(groups)))
        )
        w = np.ones(len(s)) if weight is None else checked_weight(weight, len(s))
        shape = (len(groups), labels)
        place = code * labels + label
        room = int(np.prod(shape))

        def by_place(x: Floats) -> Floats:
            return np.bincount(place, x, room).reshape(shape).astype(np.float64)

        with np.errstate(over="ignore"):  # of scores beyond 1e77 the fourth powers are infinite, and have no variance
            powers = np.stack([np.stack([by_place(v * s**k) for k in range(5)], -1) for v in (w, w * w)])
        values, bits, index = _fitting(s, room)
        flat = index * room + place
        tables = [np.bincount(flat, x, len(values) * room).reshape(-1, *shape).astype(np.float64) for x in (w, w * w)]
        binned = place * BINS + np.minimum((np.clip(s, 0, 1) * BINS).astype(np.int64), BINS - 1) if len(s) else place
        per_bin = [
            np.bincount(binned, x, room * BINS).reshape(*shape, BINS).astype(np.float64)
            for x in (w > 0, w, w * w, w * s)
        ]
        return cls(
            tuple(groups),
            values,
            bits,
            np.bincount(flat[w > 0], minlength=len(values) * room).astype(np.int64).reshape(-1, *shape),
            None if weight is None else tables[0],
            None if weight is None else tables[1],
            powers,
            np.stack(per_bin),
            float(s.min()) if len(s) else float("inf"),
            float(s.max()) if len(s) else float("-inf"),
        )

    @property
    def labelled(self) -> bool:
        """Whether the labels are known."""
        return bool(self.counts.shape[2] > 1)

    @property
    def probabilities(self) -> bool:
        """Whether every score lies between 0 and 1."""
        return self.low >= 0 and self.high <= 1

    @property
    def mass(self) -> Floats:
        """Sum of weights (V, G, L), or counts."""
        return self.counts.astype(np.float64) if self.weights is None else self.weights

    @property
    def square_mass(self) -> Floats:
        """Sum of squared weights (V, G, L), or counts."""
        return self.counts.astype(np.float64) if self.squares is None else self.squares

    def only(self, groups: Sequence[str]) -> ScoreHistogram:
        """The histogram of some of the groups, in that order."""
        at = [self.groups.index(name) for name in groups]
        return self._each(tuple(groups), lambda a, axis: a.take(at, axis))

    def pooled(self, name: str = "everybody") -> ScoreHistogram:
        """The histogram of all groups together, as one group."""
        return self._each((name,), lambda a, axis: a.sum(axis, keepdims=True))

    def _each(self, groups: tuple[str, ...], change: Any) -> ScoreHistogram:
        """The same with every array changed along its axis of groups."""
        return ScoreHistogram(
            groups,
            self.values,
            self.bits,
            change(self.counts, 1),
            None if self.weights is None else change(self.weights, 1),
            None if self.squares is None else change(self.squares, 1),
            change(self.powers, 1),
            change(self.calibration, 1),
            self.low,
            self.high,
        )

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        if self.labelled != other.labelled:
            raise InputError("scores with and without labels do not add up.")
        groups = union(self.groups, other.groups)
        a, b = (h._each(groups, lambda x, axis, h=h: aligned(h.groups, groups, x, axis)) for h in (self, other))
        room = len(groups) * self.counts.shape[2]
        bits = min(a.bits, b.bits)
        both = np.concatenate([_cut(a.values, bits), _cut(b.values, bits)])
        values, bits, index = _fitting(both, room, bits)
        sides = np.split(index, [len(a.values)])
        weighted = a.weights is not None or b.weights is not None

        def table(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
            total = np.zeros((len(values), *arrays[0].shape[1:]), arrays[0].dtype)
            for at, array in zip(sides, arrays, strict=True):
                _add_at(total, at, array)
            return total

        return ScoreHistogram(
            groups,
            values,
            bits,
            table([a.counts, b.counts]),
            table([a.mass, b.mass]) if weighted else None,
            table([a.square_mass, b.square_mass]) if weighted else None,
            a.powers + b.powers,
            a.calibration + b.calibration,
            min(a.low, b.low),
            max(a.high, b.high),
        )

    def to_dict(self) -> dict[str, Any]:
        optional = {"weights": self.weights, "squares": self.squares}
        return {
            "groups": list(self.groups),
            "bits": self.bits,
            "range": [self.low, self.high] if len(self.values) else None,
            "labels": self.counts.shape[2],
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
            **{name: array.tolist() for name, array in optional.items() if array is not None},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ScoreHistogram:
        groups, labels = tuple(plain["groups"]), int(plain["labels"])
        arrays: dict[str, Any] = {name: np.array(plain[name], kind) for name, kind in _ARRAYS.items()}
        arrays["counts"] = arrays["counts"].reshape(-1, len(groups), labels)
        for name in ("weights", "squares"):
            arrays[name] = np.array(plain[name], np.float64) if name in plain else None
        low, high = plain["range"] or (float("inf"), float("-inf"))
        return cls(groups=groups, bits=int(plain["bits"]), low=low, high=high, **arrays)


_ARRAYS: dict[str, Any] = {
    "values": np.float64,
    "counts": np.int64,
    "powers": np.float64,
    "calibration": np.float64,
}


def _codes(name: str, given: ArrayLike, n: int, top: int) -> NDArray[np.int64]:
    codes = np.asarray(given)
    if codes.shape != (n,):
        raise InputError(f"`{name}` must have one entry per row of `score` ({n}), got an array of shape {codes.shape}.")
    codes = codes.astype(np.int64)
    if n and (codes.min() < 0 or codes.max() >= top):
        raise InputError(f"`{name}` must hold whole numbers from 0 to {top - 1}.")
    return codes


def _cut(values: Floats, bits: int) -> Floats:
    """Scores with so many bits of their mantissa, cut towards 0; cutting twice is cutting to the fewer bits."""
    if bits == EXACT:
        return values + 0.0  # -0.0 is 0.0
    mask = np.int64(-1) << np.int64(EXACT - bits)
    kept = (np.ascontiguousarray(values).view(np.int64) & mask).view(np.float64)
    return np.where(np.abs(values) < TINY, 0.0, kept)


def _fitting(values: Floats, room: int, bits: int = EXACT) -> tuple[Floats, int, NDArray[np.int64]]:
    """Distinct scores at the finest cut that fits, that cut, and where each score is among them."""
    distinct, index = np.unique(_cut(values, bits), return_inverse=True)
    for fewer in LADDER[LADDER.index(bits) + 1 :]:
        if len(distinct) * room <= CELLS:
            break
        distinct, again = np.unique(_cut(distinct, fewer), return_inverse=True)
        index, bits = again[index], fewer
    return distinct, bits, index.astype(np.int64)


def _add_at(total: NDArray[Any], at: NDArray[np.int64], array: NDArray[Any]) -> None:
    """Add rows to places, several of which may be the same; ``at`` ascends, as cutting keeps the order."""
    if len(at):
        starts = np.flatnonzero(np.r_[True, at[1:] != at[:-1]])
        total[at[starts]] += np.add.reduceat(array, starts, axis=0)
