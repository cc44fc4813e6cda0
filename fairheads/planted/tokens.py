"""People as short sentences: words of praise for each part of merit, words that groups prefer, and filling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fairheads.planted.people import People

EACH, FILLING, FILLERS = 6, 6, 4
"""Words for each part of merit and for the group, most words of filling in a sentence, and how many there are."""

LENGTH = 3 * EACH + FILLING
PAD, GAPPED, EVEN, PROXY = 0, 1, 3, 5
"""Ids: padding; good and bad for each part of merit; from 5 on a word for every group, then the filling."""


def vocabulary(groups: int) -> int:
    """Number of token ids."""
    return PROXY + groups + FILLERS


def inputs(
    drawn: People, shown: NDArray[np.int64], proxy: float, groups: int, rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.int64]], None]:
    """``tokens`` (n, 24), in any order, and ``attention_mask``; sentences have 18 to 24 tokens.

    A word of merit is good with the probability that a normal number lies below that part of merit, so that six of
    them show it with noise. A word of the group is the own one with odds of e^proxy against each other one.
    """
    n = len(shown)
    chances = rng.random((3, n, EACH))
    praise = [(chances[i] >= ndtr(part)[:, None]) for i, part in enumerate((drawn.gapped, drawn.even))]
    weights = np.exp(proxy * (np.arange(groups) == shown[:, None]))
    bounds = np.cumsum(weights / weights.sum(1, keepdims=True), axis=1)[:, None, :-1]
    preferred = (chances[2][:, :, None] >= bounds).sum(2)
    filling = PROXY + groups + rng.integers(0, FILLERS, size=(n, FILLING))
    filling[np.arange(FILLING) >= rng.integers(0, FILLING + 1, size=(n, 1))] = PAD
    words = np.concatenate([GAPPED + praise[0], EVEN + praise[1], PROXY + preferred, filling], axis=1)
    order = rng.random(words.shape) + 2 * (words == PAD)  # padding stays last
    words = np.take_along_axis(words, np.argsort(order, axis=1), axis=1).astype(np.int64)
    return {"tokens": words, "attention_mask": (words != PAD).astype(np.int64)}, None


def gapped_inputs(groups: int) -> tuple[int, ...]:
    """Token ids through which the group can be seen."""
    return (GAPPED, GAPPED + 1, *range(PROXY, PROXY + groups))
