"""Passes over any number of rows by a network that takes a fixed number: piece by piece, the last filled up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairheads.activations.layers import refuse_other_shape

Array = NDArray[Any]
Index = NDArray[np.int64] | slice
Result = TypeVar("Result")
Fn = Callable[[Array], Array]


@dataclass(eq=False)
class _Edit:
    layer: str
    fn: Fn
    before: list[Array] = field(default_factory=list)
    after: Array | None = None

    def resolve(self) -> None:
        """What all rows become, now that all are known."""
        before = np.concatenate(self.before)
        after = self.fn(before.copy())
        seen = torch.from_numpy(after) if isinstance(after, np.ndarray) else after
        refuse_other_shape(self.layer, seen, torch.from_numpy(before))
        self.after = np.asarray(after)


@dataclass(eq=False)
class _Tap:
    piece: dict[str, Array] = field(default_factory=dict)
    parts: dict[str, list[Array]] = field(default_factory=dict)
    whole: dict[str, Array] = field(default_factory=dict)


class Pieces:
    """Hands rows to a network as many at a time as it takes, and shows taps and edits all rows at once.

    An edit is a function of all rows, so they must all have come to its layer before any goes on: with pieces of a
    fixed size each open edit costs one more pass over the rows.

    Parameters
    ----------
    size : int, optional
        Rows that the network takes at a time. By default any number: then all rows are one piece, and no pass is added.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = size
        self._edits: list[_Edit] = []
        self._taps: list[_Tap] = []
        self._asked: _Edit | None = None
        self._index: Index = slice(None)
        self._kept = 0

    def of(self, n: int) -> Iterator[tuple[Index, int]]:
        """The rows of each piece among n, the last row over again in the last piece, and how many of them count."""
        if self.size is None:
            yield slice(None), n
            return
        for start in range(0, n, self.size):
            yield np.minimum(np.arange(start, start + self.size), n - 1), min(self.size, n - start)

    def passed(
        self, inputs: Mapping[str, Array], run: Callable[[Mapping[str, Array], Index], Result]
    ) -> list[tuple[Result, int | None]]:
        """What ``run`` returns for the inputs and rows of each piece, and how many of its rows count; None for all."""
        if self.size is None:
            return [(run(inputs, slice(None)), None)]
        try:
            while True:
                made = self._once(inputs, run)
                if self._asked is None:
                    break
                self._asked.resolve()
                self._asked = None
        finally:
            self._asked = None
            for edit in self._edits:
                edit.before, edit.after = [], None
        for tap in self._taps:
            tap.whole |= {name: np.concatenate(parts) for name, parts in tap.parts.items()}
        return made

    @contextmanager
    def tapping(self) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
        """Where a pass puts what it sees of a piece, and where all rows are to be had after it."""
        tap = _Tap()
        if self.size is None:
            tap.whole = tap.piece
        self._taps.append(tap)
        try:
            yield tap.piece, tap.whole
        finally:
            self._taps.remove(tap)

    @contextmanager
    def editing(self, layer: str, fn: Fn) -> Iterator[Fn]:
        """The function as an edit of one piece."""
        if self.size is None:
            yield fn
            return
        edit = _Edit(layer, fn)

        def of_piece(h: Array) -> Array:
            if edit.after is not None:
                return np.asarray(edit.after[self._index])
            if self._asked in (None, edit):
                self._asked = edit
                edit.before.append(h[: self._kept])
            return h

        self._edits.append(edit)
        try:
            yield of_piece
        finally:
            self._edits.remove(edit)

    def _once(
        self, inputs: Mapping[str, Array], run: Callable[[Mapping[str, Array], Index], Result]
    ) -> list[tuple[Result, int | None]]:
        made: list[tuple[Result, int | None]] = []
        for tap in self._taps:
            tap.parts = {}
        for index, kept in self.of(len(next(iter(inputs.values())))):
            self._index, self._kept = index, kept
            made.append((run({name: values[index] for name, values in inputs.items()}, index), kept))
            for tap in self._taps:
                for name, values in tap.piece.items():
                    tap.parts.setdefault(name, []).append(values[:kept])
        return made


def joined(parts: Sequence[tuple[Tensor, int | None]]) -> Tensor:
    """The rows that count of what the pieces gave."""
    (first, kept), *_ = parts
    return first if kept is None else torch.cat([part[:kept] for part, kept in parts])
