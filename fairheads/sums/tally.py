"""Everything a disparity report is made of, counted from rows: one value that adds up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.sums.cells import BINARY, Cells
from fairheads.sums.groups import Coded, Membership, code_column, group_columns, in_order, intersect
from fairheads.sums.scores import ScoreHistogram

CHUNK = 1 << 16
"""Rows that are counted at a time: enough for numpy, few enough for the cache."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of decisions and scores by group, and by group within strata; ``+`` adds disjoint rows.

    Attributes
    ----------
    n : int
        Rows.
    columns : tuple of str
        The columns that make the groups.
    cells : Cells, optional
        None where no decisions were given.
    scores : ScoreHistogram, optional
        None where no scores were given, or rows belong to groups with probabilities.
    controls : tuple of str
        The columns that make the strata.
    strata : dict of str to Cells

    Examples
    --------
    >>> a = Tally.of([1, 0], [1, 1], sensitive_features=["x", "y"])
    >>> b = Tally.of([1], [0], sensitive_features=["z"])
    >>> (a + b).cells.groups
    ('x', 'y', 'z')
    """

    n: int
    columns: tuple[str, ...]
    cells: Cells | None = None
    scores: ScoreHistogram | None = None
    controls: tuple[str, ...] = ()
    strata: Mapping[str, Cells] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        y_true: ArrayLike | None,
        y_pred: ArrayLike | None,
        *,
        sensitive_features: Any,
        y_score: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        control_features: Any = None,
        favourable: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> Tally:
        """The tally of rows held in arrays.

        Parameters
        ----------
        y_true : array (n,), optional
            Recorded label: 0 or 1, 1 = favourable; any value where ``favourable`` names the favourable one.
        y_pred : array (n,), optional
            Decision, in the same values.
        sensitive_features : array (n,) or (n, k), Series, DataFrame, mapping of name to column, or Membership
            Group of each row: texts, numbers, categories; several columns make intersections; a `Membership` gives
            probabilities. Missing values are a group of their own, ``(not recorded)``.
        y_score : array (n,), optional
            Score of each row, larger for the favourable outcome: a probability, or any finite number.
        sample_weight : array (n,), optional
            Weight of each row, at least 0.
        control_features : like ``sensitive_features``, optional
            Strata within which selection rates are compared too.
        favourable : str, optional
            The favourable value of label and decision; all others count as unfavourable.
        classes : sequence of str, optional
            Instead of ``favourable``: all values of label and decision, to be counted each for itself.

        Raises
        ------
        InputError
            If there are no rows, neither decisions nor scores, lengths differ, or a value is out of range.
        """
        y, decision, kinds = _outcomes(y_true, y_pred, favourable, None if classes is None else tuple(classes))
        group = _groups(sensitive_features)
        n = len(group)
        lengths = {"y_true": y, "y_pred": decision, "y_score": y_score, "sample_weight": sample_weight}
        _check_lengths({k: v for k, v in lengths.items() if v is not None}, n)
        if decision is None and y_score is None:
            raise InputError("either `y_pred` or `y_score` must be given.")
        if decision is None and isinstance(group, Membership):
            raise InputError("probabilities of membership need decisions: `y_pred`.")
        columns = ("group",) if isinstance(sensitive_features, Membership) else tuple(group_columns(sensitive_features))
        control = None if control_features is None else intersect(group_columns(control_features))
        if control is not None and len(control) != n:
            raise InputError(f"`control_features` must have one entry per row ({n}), got {len(control)}.")
        if n == 0:
            raise InputError("there must be at least one row.")
        score, weight = (None if a is None else np.asarray(a) for a in (y_score, sample_weight))
        rows = _Rows(group, y, decision, score, weight, kinds)
        controls = () if control_features is None else tuple(group_columns(control_features))

        def counted(rows_of: slice) -> Tally:
            part = rows.taken(rows_of)
            return cls(
                n=len(part.group),
                columns=columns,
                cells=part.cells(),
                scores=part.histogram(),
                controls=controls,
                strata=part.strata(None if control is None else Coded(control.names, control.codes[rows_of])),
            )

        return sum_of(counted(slice(start, start + CHUNK)) for start in range(0, n, CHUNK))

    def __add__(self, other: Tally) -> Tally:
        if (self.columns, self.controls) != (other.columns, other.controls):
            raise InputError(f"tallies of other columns do not add up: {self.columns} and {other.columns}.")
        names = in_order([*self.strata, *other.strata])
        return Tally(
            n=self.n + other.n,
            columns=self.columns,
            cells=_sum(self.cells, other.cells, "decisions"),
            scores=_sum(self.scores, other.scores, "scores"),
            controls=self.controls,
            strata={name: _either(self.strata.get(name), other.strata.get(name)) for name in names},
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "columns": list(self.columns),
            "cells": None if self.cells is None else self.cells.to_dict(),
            "scores": None if self.scores is None else self.scores.to_dict(),
            "controls": list(self.controls),
            "strata": {name: cells.to_dict() for name, cells in self.strata.items()},
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Tally:
        return cls(
            n=int(plain["n"]),
            columns=tuple(plain["columns"]),
            cells=None if plain["cells"] is None else Cells.from_dict(plain["cells"]),
            scores=None if plain["scores"] is None else ScoreHistogram.from_dict(plain["scores"]),
            controls=tuple(plain["controls"]),
            strata={name: Cells.from_dict(cells) for name, cells in plain["strata"].items()},
        )


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """The tally of all rows of some tallies of disjoint rows.

    Raises
    ------
    InputError
        If there are none, or they were made of other columns.
    """
    total: Tally | None = None
    for tally in tallies:
        total = tally if total is None else total + tally
    if total is None:
        raise InputError("there must be at least one row.")
    return total


@dataclass(frozen=True)
class _Rows:
    """Rows on their way into sums: everything checked, nothing counted."""

    group: Coded | Membership
    y: NDArray[Any] | None
    decision: NDArray[Any] | None
    score: NDArray[Any] | None
    weight: NDArray[Any] | None
    classes: tuple[str, ...]

    def taken(self, rows: slice | NDArray[Any]) -> _Rows:
        """Some of the rows."""
        group: Coded | Membership
        if isinstance(self.group, Membership):
            group = Membership(self.group.groups, self.group.probabilities[rows])
        else:
            group = Coded(self.group.names, self.group.codes[rows])
        y, decision, score, weight = (
            None if a is None else a[rows] for a in (self.y, self.decision, self.score, self.weight)
        )
        return _Rows(group, y, decision, score, weight, self.classes)

    def cells(self) -> Cells | None:
        if self.decision is None:
            return None
        if isinstance(self.group, Membership):
            return Cells.expect(
                y=self.y, decision=self.decision, membership=self.group, weight=self.weight, classes=self.classes
            )
        return Cells.count(
            y=self.y,
            decision=self.decision,
            group=self.group.codes,
            groups=self.group.names,
            weight=self.weight,
            classes=self.classes,
        )

    def histogram(self) -> ScoreHistogram | None:
        if self.score is None or isinstance(self.group, Membership):
            return None
        return ScoreHistogram.count(
            score=self.score,
            y=self.y if len(self.classes) == 2 else None,
            group=self.group.codes,
            groups=self.group.names,
            weight=self.weight,
        )

    def strata(self, control: Coded | None) -> dict[str, Cells]:
        if control is None or self.decision is None:
            return {}
        if isinstance(self.group, Membership):
            parts = {i: self.taken(control.codes == i).cells() for i in np.unique(control.codes).tolist()}
            return {control.names[i]: cells for i, cells in parts.items() if cells is not None}
        groups = len(self.group.names)
        joint = Cells.count(
            y=self.y,
            decision=self.decision,
            group=control.codes * groups + self.group.codes,
            groups=[str(i) for i in range(len(control.names) * groups)],
            weight=self.weight,
            classes=self.classes,
        )
        found = {}
        for i, name in enumerate(control.names):
            here = slice(i * groups, (i + 1) * groups)
            if joint.counts[here].any():
                weights = None if joint.weights is None else joint.weights[here]
                squares = None if joint.squares is None else joint.squares[here]
                found[name] = Cells(self.group.names, joint.counts[here], weights, squares, self.classes)
        return found


def _groups(sensitive_features: Any) -> Coded | Membership:
    if isinstance(sensitive_features, Membership):
        return sensitive_features
    return intersect(group_columns(sensitive_features))


def _check_lengths(arrays: Mapping[str, Any], n: int) -> None:
    for name, values in arrays.items():
        if np.shape(values) != (n,):
            raise InputError(
                f"`{name}` must have one entry per row of `sensitive_features` ({n}), got an array of shape"
                f" {np.shape(values)}."
            )


def _outcomes(
    y_true: ArrayLike | None, y_pred: ArrayLike | None, favourable: str | None, classes: tuple[str, ...] | None
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, tuple[str, ...]]:
    """Labels and decisions as codes of classes: 0 and 1, or one of the named classes, or favourable and the rest."""
    given = {"y_true": y_true, "y_pred": y_pred}
    if favourable is None and classes is None:
        coded: list[NDArray[Any] | None] = [None if v is None else _binary(name, v) for name, v in given.items()]
        return coded[0], coded[1], BINARY
    known = (str(favourable),) if classes is None else classes
    coded = [None if v is None else _classed(name, v, known, closed=classes is not None) for name, v in given.items()]
    return coded[0], coded[1], BINARY if classes is None else classes


def _binary(name: str, values: ArrayLike) -> NDArray[np.uint8]:
    array = np.asarray(values)
    if array.dtype.kind not in "iufb" or (array.size and not bool(((array == 0) | (array == 1)).all())):
        raise InputError(f"`{name}` must be 0 or 1 in every row; name the favourable value of other labels.")
    return array.astype(np.uint8)


def _classed(name: str, values: ArrayLike, known: tuple[str, ...], *, closed: bool) -> NDArray[np.int64]:
    """Codes of values among the known ones; where others are allowed, 1 for the known one and 0 for the rest."""
    column = code_column(values)
    if (column.codes < 0).any():
        raise InputError(f"`{name}` must not be missing in any row.")
    unknown = sorted(set(column.names) - set(known))
    if closed and unknown:
        raise InputError(f"`{name}` must hold the classes {list(known)}, got {unknown[0]!r}.")
    codes = [known.index(v) if closed else int(v in known) for v in column.names]
    return np.array(codes, np.int64)[column.codes] if len(column) else np.zeros(0, np.int64)


def _sum(a: Any, b: Any, what: str) -> Any:
    if (a is None) != (b is None):
        raise InputError(f"tallies with and without {what} do not add up.")
    return None if a is None else a + b


def _either(a: Cells | None, b: Cells | None) -> Cells:
    if a is None or b is None:
        given = a if a is not None else b
        if given is None:
            raise ValueError("one of the two must be there")
        return given
    return a + b
