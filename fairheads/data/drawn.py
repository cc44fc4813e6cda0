"""Some rows instead of all: which ones depends on the seed and on how many there are, on nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STREAM = 7
"""Keeps the draw apart from other draws with the same seed."""


def drawn(rows: NDArray[np.bool_], most: int | None, seed: int) -> NDArray[np.bool_]:
    """A mask of at most ``most`` of the rows of a mask, drawn without replacement; of all of them where it is None.

    Examples
    --------
    >>> mask = np.array([True, False, True, True])
    >>> drawn(mask, 2, seed=0).sum(), (drawn(mask, 2, seed=0) & ~mask).any(), drawn(mask, 3, seed=0).tolist()
    (np.int64(2), np.False_, [True, False, True, True])
    """
    places = np.flatnonzero(rows)
    if most is None or len(places) <= most:
        return rows
    chosen = np.zeros(len(rows), bool)
    chosen[np.random.default_rng([seed, STREAM]).choice(places, most, replace=False)] = True
    return chosen


def drawn_in_words(words: str, had: int, most: int | None, seed: int) -> str:
    """What `drawn` took, where ``words`` are those of the ``had`` rows it took them from.

    Examples
    --------
    >>> drawn_in_words("all 600 rows of a.csv", 600, 400, seed=0)
    '400 rows, drawn with seed 0 for a quick look, of all 600 rows of a.csv'
    >>> drawn_in_words("all 600 rows of a.csv", 600, 1000, seed=0)
    'all 600 rows of a.csv (1,000 were asked for)'
    """
    if most is None or most == had:
        return words
    if most > had:
        return f"{words} ({most:,} were asked for)"
    return f"{most:,} rows, drawn with seed {seed} for a quick look, of {words}"
