"""A threshold for each group, by the recorded group of every row: what a merge is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.metrics.trials import Rate
from fairheads.twoheads.criteria import Utility
from fairheads.twoheads.frontier import Frontier, fit_frontier
from fairheads.twoheads.heads import group_codes


def group_thresholds(
    z_y: ArrayLike,
    y: ArrayLike,
    group: ArrayLike,
    *,
    gap_metric: str | Sequence[Rate] = "demographic_parity",
    objective: str | Utility = "accuracy",
    minimum_rates: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Frontier:
    """The front of thresholds of the task logit that differ by the TRUE group of a row; from VALIDATION rows.

    Group k is selected above ``-(b_k + t)``: the merge with the recorded group in place of a group head, with one b a
    group (for two groups a single b, of group 1). It says what a merge could reach if its group head never erred; it
    needs the group of everybody it decides about, in the open.

    Parameters
    ----------
    z_y : array (n,)
        Task logit.
    y : array (n,) of 0 and 1
    group : array (n,)
        Codes from 0; a row with -1 (not recorded) is decided at ``z_y + t > 0``.
    gap_metric, objective, minimum_rates, seed
        As in `fit_frontier`.

    Raises
    ------
    InputError
        If the group codes are no whole numbers, or as `fit_frontier`.

    References
    ----------
    Lipton, Chouldechova & McAuley, Does mitigating ML's impact disparity require treatment disparity?, NeurIPS 2018
    (arXiv 1711.07076), section 4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> g = rng.integers(0, 2, 2000); y = (rng.random(2000) < 0.3 + 0.3 * g) * 1
    >>> front = group_thresholds(2.0 * y - 1 + rng.normal(size=2000) + g, y, g)
    >>> front.at(max_gap=0.05, confidence=None).b < 0
    True
    """
    return fit_frontier(
        z_y,
        membership(group),
        y,
        group,
        gap_metric=gap_metric,
        objective=objective,
        minimum_rates=minimum_rates,
        seed=seed,
    )


def membership(group: ArrayLike, groups: int | None = None) -> NDArray[np.float64]:
    """What a group head that never errs would give: (n,) for two groups, else one column a group; 0 where unknown.

    ``groups`` is by default the largest code and one more.

    Raises
    ------
    InputError
        If ``group`` is not one whole number from -1 a row, or holds fewer than two groups.
    """
    codes = group_codes(group)
    groups = int(codes.max(initial=-1)) + 1 if groups is None else groups
    if groups < 2:
        raise InputError(f"`group` must hold at least two groups to compare, got {max(groups, 0)}.")
    columns: NDArray[np.float64] = (codes[:, None] == np.arange(groups)).astype(np.float64)
    return columns[:, 1] if groups == 2 else columns
