"""How the decisions of two rules about the same rows differ: how often, and about whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairheads.metrics.intervals import is_small, rate_interval
from fairheads.metrics.paired import paired_interval
from fairheads.results import GroupChange, Number, undefined

Decision = NDArray[np.bool_]


def share(rows: Decision) -> Number:
    """The share of rows that are True, with its 95 % interval.

    Examples
    --------
    >>> first, second = np.array([True, True, False, False]), np.array([True, False, False, False])
    >>> share(first == second).value
    0.75
    """
    return rate(int(rows.sum()), len(rows), "no rows")


def rate(k: int, n: int, empty: str) -> Number:
    """k of n with its 95 % interval: Wilson's, or exact where n p (1 - p) is small; ``empty`` is why there is none."""
    if n == 0:
        return undefined(empty)
    low, high = rate_interval(k, n)
    return Number(value=k / n, n=n, low=float(low), high=float(high), conservative=bool(is_small(k, n)))


def paired(difference: NDArray[np.float64]) -> Number:
    """The mean of row-wise differences in [-1, 1] with its 95 % interval."""
    low, high = paired_interval(difference)
    return Number(value=float(difference.mean()), n=len(difference), low=low, high=high)


def changes(
    before: Decision, after: Decision, group: NDArray[np.int64], groups: Sequence[str]
) -> dict[str, GroupChange]:
    """Whom of every group two rules decide differently.

    Parameters
    ----------
    before, after : bool array (n,)
        Whether each row gets the favourable decision.
    group : array (n,) of int
        Codes from 0 into ``groups``; rows with another code are in no group.
    groups : sequence of str

    Examples
    --------
    >>> before, after = np.array([True, False, False]), np.array([False, True, False])
    >>> found = changes(before, after, np.array([0, 1, 1]), ("a", "b"))
    >>> (found["a"].lowered, found["b"].raised, found["b"].raised_share.value)
    (1, 1, 0.5)
    """
    made = {}
    for code, name in enumerate(groups):
        rows = group == code
        raised, lowered = (~before & after)[rows], (before & ~after)[rows]
        made[name] = GroupChange(
            n=int(rows.sum()),
            raised=int(raised.sum()),
            lowered=int(lowered.sum()),
            raised_share=share(raised),
            lowered_share=share(lowered),
        )
    return made
