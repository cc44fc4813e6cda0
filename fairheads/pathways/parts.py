"""Attributions of rows gathered into columns, maps and tokens, and what these say of two groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Dataset
from fairheads.pathways.attributions import Attributed
from fairheads.pathways.baselines import counted_tokens
from fairheads.pathways.sample import Mask
from fairheads.results import Number, undefined
from fairheads.results.reads import Completeness, ReadColumn, ReadMap, ReadPart, ReadToken, ReadValue

Array = NDArray[Any]
Floats = NDArray[np.float64]
Reasons = tuple[str | None, ...]

SHOWN = 8
"""Columns with a bar of their own; the rest is summed."""

MOST = 200
"""Columns and tokens that a result holds."""

MOST_VALUES = 12
"""Values of a column that a result holds."""

MAP_SIDE = 32
"""Largest side of a map; larger images are summed over squares."""

Z = 1.959964

READOUTS: tuple[Literal["head", "task"], ...] = ("head", "task")


@dataclass(eq=False)
class Parts:
    """Sums of attributions by column (n, columns, 2), maps of both groups, and which value each row has.

    ``values`` maps a column to the names of its values and each row's code (-1: none of them); ``ids`` are the token
    ids that are columns, in their order, and ``tokens`` (n, tokens) the column of every token (-1: padding).
    """

    kind: str
    names: tuple[str, ...]
    member: Mask
    columns: Floats
    total: Floats
    of_element: NDArray[np.int64]
    values: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]] = field(default_factory=dict)
    maps: Floats | None = None
    ids: NDArray[np.int64] | None = None
    tokens: NDArray[np.int64] | None = None

    @classmethod
    def empty(cls, data: Dataset, kind: str, key: str, inputs: dict[str, Array], member: Mask) -> Parts:
        """Nothing yet, of rows of this kind."""
        given, n = inputs[key], len(member)
        if kind == "tokens":
            counted, tokens = counted_tokens(inputs, key), np.full(given.shape, -1)
            ids, tokens[counted] = np.unique(given[counted], return_inverse=True)
            names = tuple(f"token {i}" for i in ids)
            empty = np.zeros((n, len(ids), 2)), np.zeros((n, 2)), np.zeros(0, np.int64)
            return cls(kind, names, member, *empty, ids=ids, tokens=tokens)
        units = given.shape[1] if kind == "image" else given.shape[-1]
        word = "channel" if kind == "image" else "column"
        known = data.feature_names
        names = known if known and len(known) == units else tuple(f"{word} {i}" for i in range(units))
        of_element = np.arange(units)
        values: dict[str, tuple[tuple[str, ...], NDArray[np.int64]]] = {}
        encoder = data.preprocess
        if kind == "table" and encoder is not None and len(encoder.feature_names) == units:
            names = encoder.inputs
            sizes = [1] * len(encoder.numeric) + [len(v) for v in encoder.categories.values()]
            of_element, at = np.repeat(np.arange(len(sizes)), sizes), len(encoder.numeric)
            for name, said in encoder.categories.items():
                hot = given[..., at : at + len(said)].reshape(n, -1, len(said))[:, 0]
                values[name] = (said, np.where(hot.max(1) > 0.5, hot.argmax(1), -1))
                at += len(said)
        maps = None
        if kind == "image":
            maps = np.zeros((2, 2, *(math.ceil(side / _square(given.shape)) for side in given.shape[2:])))
        return cls(
            kind, names, member, np.zeros((n, len(names), 2)), np.zeros((n, 2)), of_element, values=values, maps=maps
        )

    def add(self, rows: NDArray[np.int64], made: Attributed) -> None:
        """Takes in the attributions of these rows."""
        self.total[rows] = made.total
        if self.tokens is not None:
            for i, row in enumerate(rows):
                counted = self.tokens[row] >= 0
                np.add.at(self.columns[row], self.tokens[row][counted], made.parts[i][counted])
            return
        if self.maps is not None:
            self.columns[rows] = made.parts.sum((2, 3))
            squares = _summed(made.parts.sum(1), _square(made.parts.shape), self.maps.shape[2:])
            for side in (0, 1):
                self.maps[side] += squares[self.member[rows] == bool(side)].sum(0)
            return
        flat = made.parts.reshape(len(rows), -1, *made.parts.shape[-2:]).sum(1)
        for column in range(len(self.names)):
            self.columns[rows, column] = flat[:, self.of_element == column].sum(1)


def _square(shape: tuple[int, ...]) -> int:
    return math.ceil(max(shape[2:4]) / MAP_SIDE)


def _summed(pixels: Floats, square: int, shape: tuple[int, ...]) -> Floats:
    """(n, height, width, 2) summed over squares, as (n, 2, rows, columns)."""
    n, height, width, _ = pixels.shape
    full = np.zeros((n, shape[0] * square, shape[1] * square, 2))
    full[:, :height, :width] = pixels
    blocks = full.reshape(n, shape[0], square, shape[1], square, 2).sum((2, 4))
    return np.moveaxis(blocks, -1, 1)


def columns_of(parts: Parts, reasons: Reasons) -> tuple[tuple[ReadColumn, ...], ReadColumn | None]:
    """Columns by their contrast in the head (in the task readout, where the head is constant), and the rest as one."""
    contrast = _contrast(parts.columns, parts.member)
    by = contrast[:, 0] if reasons[0] is None else contrast[:, 1]
    order = np.argsort(-np.abs(by), kind="stable")
    sums = np.abs(contrast).sum(0)
    shares = np.abs(contrast) / np.where(sums > 0, sums, np.nan)

    def column(name: str, which: NDArray[np.int64], values: tuple[ReadValue, ...] = ()) -> ReadColumn:
        made = parts.columns[:, which].sum(1)
        both = [_part(made[:, i], parts.member, float(shares[which, i].sum()), reasons[i]) for i in (0, 1)]
        return ReadColumn(name=name, head=both[0], task=both[1], values=values)

    found = tuple(column(parts.names[i], order[at : at + 1], _values(parts, i, reasons)) for at, i in enumerate(order))
    left = order[SHOWN:]
    return found[:MOST], column(f"{len(left)} others", left) if len(left) > 1 else None


def completeness_of(parts: Parts) -> tuple[Completeness, Completeness]:
    """How far the parts are from adding up, for the head and for the task readout."""
    off = np.abs(parts.columns.sum(1) - parts.total)
    head, task = (Completeness(mean=float(off[:, i].mean()), largest=float(off[:, i].max())) for i in (0, 1))
    return head, task


def maps_of(parts: Parts, group: str, reference: str) -> tuple[ReadMap, ...]:
    """Mean maps of both groups in both readouts; none where the input is no image."""
    if parts.maps is None:
        return ()
    sides = ((1, group, parts.member.sum()), (0, reference, (~parts.member).sum()))
    return tuple(
        ReadMap(readout=readout, group=name, values=_rounded(parts.maps[side, i] / n))
        for i, readout in enumerate(READOUTS)
        for side, name, n in sides
    )


def _rounded(values: Floats) -> tuple[tuple[float, ...], ...]:
    """Four digits are more than a map can show, and a quarter of the bytes."""
    return tuple(tuple(float(f"{v:.4g}") for v in line) for line in values)


def tokens_of(parts: Parts, columns: Sequence[ReadColumn], reasons: Reasons) -> tuple[ReadToken, ...]:
    """Count of the tokens behind these columns, padding left out, and their mean attribution at each occurrence."""
    if parts.tokens is None or parts.ids is None:
        return ()
    made = []
    counts = np.stack([np.bincount(row[row >= 0], minlength=len(parts.ids)) for row in parts.tokens])
    for column in columns:
        at = parts.names.index(column.name)
        times = counts[:, at]
        head, task = (_ratio(parts.columns[:, at, i], times, reasons[i]) for i in (0, 1))
        group, reference = int(times[parts.member].sum()), int(times[~parts.member].sum())
        token = int(parts.ids[at])
        made.append(ReadToken(token=token, group_count=group, reference_count=reference, head=head, task=task))
    return tuple(made)


def _contrast(values: Floats, member: Mask) -> Floats:
    return np.asarray(values[member].mean(0) - values[~member].mean(0))


def mean_of(values: Floats, reason: str | None = None) -> Number:
    """Mean over rows, with its interval."""
    if reason is not None:
        return undefined(reason, len(values))
    return _around(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values))


def difference_of(values: Floats, member: Mask, reason: str | None = None) -> Number:
    """Mean of the group minus mean of the reference, with its interval (unequal variances)."""
    if reason is not None:
        return undefined(reason, len(values))
    variance = sum(float(values[side].var(ddof=1)) / int(side.sum()) for side in (member, ~member))
    return _around(float(_contrast(values, member)), math.sqrt(variance), len(values))


def _ratio(sums: Floats, times: NDArray[np.int64], reason: str | None) -> Number:
    """Sum over number of occurrences; the error is linearised over rows."""
    total = int(times.sum())
    if reason is not None or total == 0:
        return undefined(reason or "the token does not occur", total)
    mean = float(sums.sum()) / total
    return _around(mean, float(np.sqrt(((sums - mean * times) ** 2).sum())) / total, total)


def _around(value: float, error: float, n: int) -> Number:
    return Number(value=value, n=n, low=value - Z * error, high=value + Z * error)


def _part(values: Floats, member: Mask, share: float, reason: str | None) -> ReadPart:
    sides = values[member], values[~member]
    group_sd, reference_sd = (math.nan if reason else float(side.std(ddof=1)) for side in sides)
    return ReadPart(
        contrast=difference_of(values, member, reason),
        share=math.nan if reason else share,
        group=mean_of(sides[0], reason),
        reference=mean_of(sides[1], reason),
        group_sd=group_sd,
        reference_sd=reference_sd,
        mean_absolute=math.nan if reason else float(sum(np.abs(side).mean() for side in sides)) / 2,
    )


def _values(parts: Parts, column: int, reasons: Reasons) -> tuple[ReadValue, ...]:
    """What people with each value add to a column's contrast; those with none of the values are left out."""
    names, codes = parts.values.get(parts.names[column], ((), np.zeros(0, np.int64)))
    made, member, of = [], parts.member, parts.columns[:, column]
    for code, name in enumerate(names):
        has = codes == code
        if not has.any():
            continue
        head, task = (difference_of(of[:, i] * has, member, reasons[i]) for i in (0, 1))
        means = [math.nan if reason else float(of[has, i].mean()) for i, reason in enumerate(reasons)]
        shares = float(has[member].mean()), float(has[~member].mean())
        made.append(
            ReadValue(
                value=name,
                group_share=shares[0],
                reference_share=shares[1],
                head=head,
                task=task,
                head_mean=means[0],
                task_mean=means[1],
            )
        )
    by_size = sorted(made, key=lambda value: -abs(value.task.value if reasons[0] else value.head.value))
    return tuple(by_size[:MOST_VALUES])
