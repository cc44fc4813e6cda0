"""What is noted while rows of a stream pass by: a few numbers that any other pass must show, and the rows wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fairheads.data.dataset import Batch
from fairheads.errors import InputError

_CELLS = 1 << 18
"""Numbers hashed at a time."""


@dataclass(eq=False)
class Pass:
    """Number of rows, rows by group and label (groups, 2), and checksums of the contents in any order and in this one.

    A checksum is a sum of multilinear hashes (Carter & Wegman 1979, Universal classes of hash functions) of the
    rows, modulo 2^64: two passes that differ agree with a chance of about 2^-60. It notices accidents; it is no
    protection against somebody who chooses rows to deceive it.
    """

    counts: NDArray[np.int64]
    n: int = 0
    checksum: int = 0
    in_order: int = 0

    def add(self, batch: Batch) -> None:
        """Takes in the rows of a batch."""
        groups = len(self.counts)
        known = batch.group >= 0
        cells = np.bincount(2 * batch.group[known] + batch.y[known], minlength=2 * groups)
        self.counts += cells.reshape(groups, 2)
        hashes = _hashes(batch)
        places = np.arange(2 * self.n + 1, 2 * (self.n + len(batch)), 2, dtype=np.uint64)
        self.n += len(batch)
        self.checksum = (self.checksum + int(hashes.sum(dtype=np.uint64))) % (1 << 64)
        self.in_order = (self.in_order + int((hashes * places).sum(dtype=np.uint64))) % (1 << 64)

    def refuse_other(self, other: Pass) -> None:
        """Raises an `InputError` if the other pass, a later one, did not give the same rows."""
        if other.n != self.n:
            raise InputError(
                f"the source must give the same rows in every pass, got {other.n:,} rows after {self.n:,}; a generator"
                " can be read only once: give a function that starts a new one."
            )
        if other.checksum != self.checksum:
            changed = "" if (other.counts == self.counts).all() else ", other labels or groups among them"
            raise InputError(
                f"the source must give the same rows in every pass, got {self.n:,} rows twice, but with"
                f" other contents{changed}."
            )


@dataclass(eq=False)
class Taking:
    """The rows at some ascending places, held as they pass by; ``row`` is how many have passed."""

    places: NDArray[np.int64]
    row: int = 0
    found: list[Batch] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Takes what is wanted out of the next batch."""
        first, last = np.searchsorted(self.places, [self.row, self.row + len(batch)])
        if first < last:
            self.found.append(batch.take(self.places[first:last] - self.row))
        self.row += len(batch)


def _hashes(batch: Batch) -> NDArray[np.uint64]:
    columns = [*batch.inputs.values(), batch.y, batch.group]
    columns += [] if batch.strata is None else [batch.strata]
    words = [_words(values, len(batch)) for values in columns]
    factors = np.random.default_rng(0).integers(0, 1 << 64, 1 + sum(w.shape[1] for w in words), np.uint64)
    hashes = np.full(len(batch), factors[-1])
    start = 0
    for part in words:
        width = part.shape[1]
        rows = max(_CELLS // max(width, 1), 1)
        for row in range(0, len(batch), rows):
            some = part[row : row + rows].astype(np.uint64)
            hashes[row : row + rows] += some @ factors[start : start + width]
        start += width
    hashes ^= hashes >> np.uint64(32)  # the upper half is the well-mixed one
    hashes *= factors[-1] | np.uint64(1)
    hashes ^= hashes >> np.uint64(29)
    return hashes


def _words(values: NDArray[np.generic], n: int) -> NDArray[np.unsignedinteger]:
    """The bits of every row as unsigned numbers of at most 32 bits."""
    flat = np.ascontiguousarray(values.reshape(n, -1))
    return flat.view(f"u{min(flat.dtype.itemsize, 4)}")
