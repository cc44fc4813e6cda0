"""People as small images: two bars as bright as the parts of merit, and dots as bright as the proxies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairheads.planted.people import SEEN_NOISE, People

SIDE, BAR = 12, 5
PIXEL_NOISE = 0.1


def inputs(
    drawn: People, shown: NDArray[np.int64], proxy: float, groups: int, rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.float32]], None]:
    """Images (n, groups + 1, 12, 12).

    Channel 0 has a horizontal bar (gapped merit), channel 1 a vertical one (even merit), and one channel for every
    group but the first has a dot, brighter for its members. Each lies at a place of its own by chance.
    """
    n = len(shown)
    # One amplitude shows as much as the mean of four columns of a table.
    noise = rng.normal(size=(2, n)) * SEEN_NOISE / 2
    dots = rng.normal(size=(groups - 1, n)) + 2 * proxy * (np.arange(1, groups)[:, None] == shown)
    amplitudes = np.concatenate([np.stack([drawn.gapped, drawn.even]) + noise, dots])
    corners = rng.integers(0, SIDE - BAR + 1, size=(len(amplitudes), 2, n))
    images = PIXEL_NOISE * rng.normal(size=(n, len(amplitudes), SIDE, SIDE))
    rows = np.arange(n)
    for channel, (height, width) in enumerate([(1, BAR), (BAR, 1), *[(2, 2)] * (groups - 1)]):
        for down in range(height):
            for right in range(width):
                top, left = corners[channel]
                images[rows, channel, top + down, left + right] += amplitudes[channel]
    return {"x": images.astype(np.float32)}, None


def gapped_inputs(groups: int) -> tuple[int, ...]:
    """Channels through which the group can be seen."""
    return (0, *range(2, groups + 1))
