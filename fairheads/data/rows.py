"""Which rows a network was trained on, kept as hashes with multiplicity, and what it shares with other data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.dataset import Batch, Dataset
from fairheads.errors import InputError

if TYPE_CHECKING:
    from fairheads.data.stream import Stream

_HELD = 1 << 22
"""Bytes of rows that are held as objects at once."""

_MERGED_AT_LEAST = 1 << 16
"""Hashes that are gathered before they are merged, so that small batches do not cost a sort each."""


def row_hashes(data: Batch | Dataset) -> NDArray[np.uint64]:
    """A 64-bit hash of the content of every row (inputs as fed to the network, and label), shape (n,).

    Rows with the same content have the same hash; which rows they are, and in what order, plays no part. The group is
    left out: the same rows may be audited for another protected attribute than was in mind when training.
    """
    columns = [_bytes(values) for _, values in sorted(data.inputs.items())]
    content = np.ascontiguousarray(np.concatenate([*columns, data.y.astype(np.uint8)[:, None]], axis=1))
    whole, step = content.view(f"V{content.shape[1]}")[:, 0], max(1, _HELD // content.shape[1])
    parts = (whole[start : start + step].tolist() for start in range(0, len(whole), step))
    digests = b"".join(hashlib.blake2b(row, digest_size=8).digest() for part in parts for row in part)
    return np.frombuffer(digests, np.uint64)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The content of rows (n, bytes); truth values and single whole numbers as the float32 that they once were."""
    if values.dtype.kind == "b" or values.ndim == 1:
        values = values.astype(np.float32)
    return np.ascontiguousarray(values.reshape(len(values), -1)).view(np.uint8)


@dataclass(frozen=True, eq=False)
class RowRecord:
    """The distinct rows of a training set, as sorted hashes (u,) and how often each occurs (u,): 16 bytes a row.

    Records add up: that of some rows plus that of others is the record of all of them.

    Examples
    --------
    >>> data = Dataset([[0.0], [1.0], [0.0]], [0, 1, 0], [0, 0, 1])
    >>> parts = RowRecord.of(data.take([0, 1])) + RowRecord.of(data.take([2]))
    >>> parts.counts.sum(), parts.digest == RowRecord.of(data).digest
    (np.int64(3), True)
    """

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, data: Dataset | Stream) -> RowRecord:
        """The record of the rows of ``data``; of a stream it takes one pass, and is the same as in memory.

        While a stream is read, up to four times the 16 bytes per distinct row are held, and never all rows.
        """
        record = cls(np.zeros(0, np.uint64), np.zeros(0, np.int64))
        held: list[NDArray[np.uint64]] = []
        for batch in _batches(data):
            held.append(row_hashes(batch))
            if sum(map(len, held)) >= max(_MERGED_AT_LEAST, len(record.hashes) // 4):
                record, held = record + cls._of_hashes(held), []
        return record + cls._of_hashes(held) if held else record

    @classmethod
    def _of_hashes(cls, hashes: list[NDArray[np.uint64]]) -> RowRecord:
        distinct, counts = np.unique(np.concatenate(hashes), return_counts=True)
        return cls(distinct, counts.astype(np.int64))

    def __add__(self, other: RowRecord) -> RowRecord:
        large, small = (self, other) if len(self.hashes) >= len(other.hashes) else (other, self)
        place = np.searchsorted(large.hashes, small.hashes)
        known = np.zeros(len(place), bool)
        inside = place < len(large.hashes)
        known[inside] = large.hashes[place[inside]] == small.hashes[inside]
        counts = large.counts.copy()
        counts[place[known]] += small.counts[known]
        new = ~known
        return RowRecord(
            np.insert(large.hashes, place[new], small.hashes[new]), np.insert(counts, place[new], small.counts[new])
        )

    @property
    def n(self) -> int:
        """Number of rows, repeats included."""
        return int(self.counts.sum())

    @property
    def digest(self) -> str:
        """One hash of all rows with their multiplicity; equal for equal training sets in any order."""
        return hashlib.sha256(self.hashes.tobytes() + self.counts.tobytes()).hexdigest()

    @property
    def expected_share(self) -> float:
        """Share of NEW rows of the same population that are expected to equal a training row.

        The Good-Turing estimate ``1 - n1 / n``, with n1 the number of training rows that occur once (Good 1953,
        The population frequencies of species and the estimation of population parameters).
        """
        return 1.0 - float((self.counts == 1).sum()) / max(self.n, 1)

    def seen(self, data: Dataset | Stream | RowRecord) -> int:
        """How many rows of ``data``, which may be a record itself, equal a training row."""
        if isinstance(data, RowRecord):
            return int(data.counts[np.isin(data.hashes, self.hashes)].sum())
        return sum(int(np.isin(row_hashes(batch), self.hashes).sum()) for batch in _batches(data))

    def overlap(self, data: Dataset | Stream | RowRecord) -> tuple[float, float, bool]:
        """Share of rows of ``data`` that equal one of the record, the share that duplicates explain, and if it is more.

        More is what neither duplicates nor chance explain, by at least .02.
        """
        n = data.n if isinstance(data, RowRecord) else len(data)
        share, expected = self.seen(data) / n, self.expected_share
        chance = 3 * float(np.sqrt(max(expected * (1 - expected), 0.01) / n))
        return share, expected, share > expected + max(0.02, chance)

    def refuse_overlap(self, data: Dataset | Stream | RowRecord, *, of: str = "the model") -> tuple[float, float]:
        """Share of rows of ``data`` that equal a training row, and the share that duplicates explain.

        Raises
        ------
        InputError
            If more rows are equal than duplicates explain, beyond chance and .02: ``data`` holds training rows.
        """
        share, expected, more = self.overlap(data)
        if more:
            n = data.n if isinstance(data, RowRecord) else len(data)
            raise InputError(
                f"{share:.1%} of the {n:,} rows equal a training row of {of} and duplicates explain"
                f" {expected:.1%}: an audit needs rows that {of} was not trained on."
            )
        return share, expected


def _batches(data: Dataset | Stream) -> Iterable[Batch]:
    return [data.rows()] if isinstance(data, Dataset) else data
