"""Rows of a stream in pseudo-random order, through a buffer that holds some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fairheads.data.dataset import Batch, blocks


def shuffled(
    batches: Iterable[Batch], batch_size: int, *, buffer: int, rng: np.random.Generator, skip: int = 0
) -> Iterator[Batch]:
    """Batches of exactly ``batch_size`` rows; every row comes once, but for the fewer than ``batch_size`` left over.

    A buffer is filled with the first rows. Then each batch is drawn from it without replacement, and the next rows
    take the places of those drawn; when no rows are left, the buffer is emptied in random order.

    Parameters
    ----------
    batches : iterable of Batch
        Of any sizes: the result depends on the order of the rows alone.
    buffer : int
        Rows held, rounded down to whole batches, at least one. A row comes no more than ``buffer`` rows earlier than
        it was read, and mostly not much later; if it holds all rows, every order is equally likely.
    rng : Generator
        What is drawn from it depends on the number of rows, on ``batch_size`` and on ``buffer``.
    skip : int
        Batches to leave out at the start; they are drawn and read over, but not put together.
    """
    capacity = max(buffer // batch_size, 1) * batch_size
    held: _Held | None = None
    filled = step = 0
    empty: NDArray[np.int64] = np.zeros(0, np.int64)
    for block in blocks(batches, batch_size):
        if held is None:
            held = _Held(block, capacity)
        if filled + len(block) <= capacity:
            held.put(np.arange(filled, filled + len(block)), block)
            filled += len(block)
            continue
        drawn = rng.choice(capacity, batch_size, replace=False)
        step += 1
        if step > skip:
            yield held.take(drawn)
        held.put(drawn[: len(block)], block)
        empty = drawn[len(block) :]  # only the last block is shorter
    if held is None:
        return
    rest = rng.permutation(np.setdiff1d(np.arange(filled), empty))
    for start in range(0, len(rest) - batch_size + 1, batch_size):
        step += 1
        if step > skip:
            yield held.take(rest[start : start + batch_size])


class _Held:
    """Room for ``capacity`` rows like those of ``batch``; pages that are never written to take no memory."""

    def __init__(self, batch: Batch, capacity: int) -> None:
        self._rows = batch.take(np.zeros(0, np.int64))
        self._arrays = [np.empty((capacity, *a.shape[1:]), a.dtype) for a in arrays_of(batch)]

    def put(self, places: NDArray[np.int64], batch: Batch) -> None:
        for held, given in zip(self._arrays, arrays_of(batch), strict=True):
            held[places] = given

    def take(self, places: NDArray[np.int64]) -> Batch:
        taken = [held[places] for held in self._arrays]
        inputs = dict(zip(self._rows.inputs, taken, strict=False))
        return Batch(inputs, *taken[len(inputs) :])


def arrays_of(batch: Batch) -> list[NDArray[np.generic]]:
    """All arrays of a batch: the inputs, then label, group, row id and, if there are any, strata."""
    strata = [] if batch.strata is None else [batch.strata]
    return [*batch.inputs.values(), batch.y, batch.group, batch.row_id, *strata]
