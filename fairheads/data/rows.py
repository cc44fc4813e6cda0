"""Which rows a network was trained on, kept as hashes with multiplicity, and what it shares with other data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.data.dataset import Dataset
from fairheads.errors import InputError


def row_hashes(data: Dataset) -> NDArray[np.uint64]:
    """A 64-bit hash of the content of every row (inputs as fed to the network, and label), shape (n,).

    Rows with the same content have the same hash; which rows they are, and in what order, plays no part. The group is
    left out: the same rows may be audited for another protected attribute than was in mind when training.
    """
    columns = [np.ascontiguousarray(a.reshape(len(data), -1)).view(np.uint8) for _, a in sorted(data.inputs.items())]
    content = np.ascontiguousarray(np.concatenate([*columns, data.y.astype(np.uint8)[:, None]], axis=1))
    digests = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in content)
    return np.frombuffer(digests, np.uint64)


@dataclass(frozen=True, eq=False)
class RowRecord:
    """The distinct rows of a training set, as sorted hashes (u,) and how often each occurs (u,)."""

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, data: Dataset) -> RowRecord:
        """The record of the rows of ``data``."""
        hashes, counts = np.unique(row_hashes(data), return_counts=True)
        return cls(hashes, counts.astype(np.int64))

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

    def seen(self, data: Dataset) -> int:
        """How many rows of ``data`` equal a training row."""
        return int(np.isin(row_hashes(data), self.hashes).sum())

    def refuse_overlap(self, data: Dataset, *, of: str = "the model") -> tuple[float, float]:
        """Share of rows of ``data`` that equal a training row, and the share that duplicates explain.

        Raises
        ------
        InputError
            If more rows are equal than duplicates explain, beyond chance and .02: ``data`` holds training rows.
        """
        share, expected = self.seen(data) / len(data), self.expected_share
        chance = 3 * float(np.sqrt(max(expected * (1 - expected), 0.01) / len(data)))
        if share > expected + max(0.02, chance):
            raise InputError(
                f"{share:.1%} of the {len(data):,} rows equal a training row of {of} and duplicates explain"
                f" {expected:.1%}: an audit needs rows that {of} was not trained on."
            )
        return share, expected
