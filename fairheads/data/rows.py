"""Which rows a network was trained on, kept as hashes with multiplicity, and what it shares with other data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.data.dataset import Dataset


def row_hashes(data: Dataset) -> NDArray[np.uint64]:
    """A 64-bit hash of the content of every row (inputs as fed to the network, label, group name), shape (n,).

    Rows with the same content have the same hash; which rows they are, and in what order, plays no part.
    """
    labels = data.y.astype(np.uint8)[:, None]
    columns = [np.ascontiguousarray(a.reshape(len(data), -1)).view(np.uint8) for _, a in sorted(data.inputs.items())]
    content = np.ascontiguousarray(np.concatenate([*columns, labels], axis=1))
    keys = [name.encode() for name in data.group_names]
    digests = (
        hashlib.blake2b(row, digest_size=8, key=_key(keys[g])) for row, g in zip(content, data.group, strict=True)
    )
    return np.frombuffer(b"".join(d.digest() for d in digests), np.uint64)


def _key(name: bytes) -> bytes:
    return name if len(name) <= 64 else hashlib.blake2b(name, digest_size=32).digest()


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
