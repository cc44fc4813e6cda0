"""What people of a world are before anything of it is seen: group, merit and label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARPNESS = 2.5
"""Log-odds of the favourable label per standard deviation of merit."""

SEEN_NOISE = 0.7
"""Noise of each of four sights of a part of merit, in standard deviations of the part."""


@dataclass(frozen=True)
class People:
    """Group codes, both parts of merit (the second without a gap) and labels, each (n,)."""

    group: NDArray[np.int64]
    gapped: NDArray[np.float64]
    even: NDArray[np.float64]
    y: NDArray[np.int64]


def people(n: int, rng: np.random.Generator, *, groups: int, share: float, gap: float, even: float) -> People:
    """Draw them."""
    shares = np.array([1 - share, *[share / (groups - 1)] * (groups - 1)])
    group = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right").astype(np.int64)
    scale = np.hypot(1, even)
    gapped = rng.normal(size=n) - gap * scale * (group > 0)  # the gap of merit as a whole is then `gap`
    evenly = rng.normal(size=n)
    merit = (gapped + even * evenly) / scale
    y = (rng.random(n) < 1 / (1 + np.exp(-SHARPNESS * merit))).astype(np.int64)
    return People(group, gapped, evenly, y)


def group_letters(groups: int) -> tuple[str, ...]:
    """A, B, C ..."""
    return tuple("ABCDEF"[:groups])
