"""People as rows of a table: four columns for each part of merit, four proxies of the group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairheads.planted.people import SEEN_NOISE, People

COLUMNS = 4


def inputs(
    drawn: People, shown: NDArray[np.int64], proxy: float, groups: int, rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """The columns and their names; the proxies are those of the groups ``shown``."""
    noise = rng.normal(size=(3, len(shown), COLUMNS))
    # The proxies take turns where there are several groups to tell from the first.
    raised = (np.arange(COLUMNS) % (groups - 1) + 1) == shown[:, None]
    columns = (
        drawn.gapped[:, None] + SEEN_NOISE * noise[0],
        drawn.even[:, None] + SEEN_NOISE * noise[1],
        proxy * raised + noise[2],
    )
    names = tuple(f"{part}_{i}" for part in ("merit", "even", "proxy") for i in range(COLUMNS))
    return {"x": np.concatenate(columns, axis=1)}, names


def gapped_inputs(groups: int) -> tuple[int, ...]:
    """Columns through which the group can be seen."""
    return (*range(COLUMNS), *range(2 * COLUMNS, 3 * COLUMNS))
