"""Room for columns of texts, each of which takes as much as the longest of its column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError

FREE, GROWTH = 2**29, 50
"""Bytes that columns may take whatever is in them, and how many times as much as their letters."""


class Room:
    """Counts what the columns of a table, or of a part of it, will take."""

    def __init__(self) -> None:
        self.wanted = self.letters = 0

    def take(self, column: str, texts: Sequence[str], codes: NDArray[np.int64] | None = None) -> None:
        """Makes room for a column of these texts, or of codes (n,) of them, before it is made.

        Raises
        ------
        InputError
            If one long text among short ones would fill the memory.
        """
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        longest = int(lengths.max(initial=0))
        own = lengths if codes is None else lengths[codes]
        self.wanted += 4 * longest * len(own)
        self.letters += 4 * int(own.sum())
        if self.wanted > max(FREE, GROWTH * self.letters):
            raise InputError(
                f"column {column[:60]!r} has a text of {longest:,} letters among {len(own):,} rows of few, for which"
                " there is no room; drop the column, or shorten the text."
            )
