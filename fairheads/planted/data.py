"""Synthetic rows: a group, proxies of it, and merit that differs between the groups."""

from __future__ import annotations

import numpy as np

from fairheads.data import Dataset
from fairheads.errors import ConfigError

MERIT_COLUMNS, PROXY_COLUMNS = 4, 4


def synthetic(n: int, *, seed: int = 0, gap: float = 0.8, proxy: float = 1.0, share: float = 0.4) -> Dataset:
    """Rows of two groups A (the larger) and B with four columns of merit and four proxies of the group.

    Parameters
    ----------
    n, seed : int
    gap : float
        How much lower the merit of B is on average, in standard deviations.
    proxy : float
        Distance of the groups in each proxy column, in standard deviations; 0 hides the group.
    share : float
        Share of group B.

    Returns
    -------
    Dataset
        Given merit, the label does not depend on the group: an ordinary network has no reason to use the
        proxies, and any effect of the group at equal merit is the network's own.

    Examples
    --------
    >>> data = synthetic(1000)
    >>> bool(data.y[data.group == 0].mean() > data.y[data.group == 1].mean())
    True
    """
    if n < 2 or not 0 < share < 1:
        raise ConfigError(f"`n` must be at least 2 and `share` lie between 0 and 1, got {n} and {share}.")
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < share).astype(np.int64)
    merit = rng.normal(size=n) - gap * group
    columns = [merit + rng.normal(scale=0.7, size=n) for _ in range(MERIT_COLUMNS)]
    columns += [proxy * group + rng.normal(size=n) for _ in range(PROXY_COLUMNS)]
    y = (rng.random(n) < 1 / (1 + np.exp(-2.5 * merit))).astype(np.int64)
    names = [f"merit_{i}" for i in range(MERIT_COLUMNS)] + [f"proxy_{i}" for i in range(PROXY_COLUMNS)]
    return Dataset(np.column_stack(columns), y, group, group_names=("A", "B"), feature_names=names, name="synthetic")
