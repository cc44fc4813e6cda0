"""How strong a head must be for demographic parity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError

HALVINGS, DOUBLINGS = 50, 24


def parity_strength(score: NDArray[np.float64], contribution: NDArray[np.float64], member: NDArray[np.bool_]) -> float:
    """The strength d at which ``1[score + d * contribution > 0]`` selects the group as often as the others.

    Parameters
    ----------
    score, contribution : array (n,)
        Logits without the head, and what a head of strength 1 adds to them.
    member : array (n,) of bool
        Of the group.

    Returns
    -------
    float
        Of the two directions the one that is nearer. Where both rates are the same without a head, 0.

    Raises
    ------
    InputError
        If no strength closes the gap: the contribution does not tell the groups apart.

    Examples
    --------
    >>> score, member = np.array([-1.0, 1.0, 2.0, -2.0, -1.0, 1.0]), np.array([0, 0, 0, 1, 1, 1], bool)
    >>> 1 <= parity_strength(score, member.astype(float), member) <= 1.01
    True
    """

    def gap(strength: float) -> float:
        chosen = score + strength * contribution > 0
        return float(chosen[member].mean() - chosen[~member].mean())

    before = gap(0.0)
    if before == 0:
        return 0.0
    step = 0.1 * float(score.std()) / max(float(contribution.std()), 1e-12)
    for doubling in range(DOUBLINGS):
        for far in (step * 2.0**doubling, -step * 2.0**doubling):
            if gap(far) * before <= 0:
                return _crossing(gap, far, before)
    raise InputError("no strength of this head closes the gap; it does not tell the groups apart.")


def _crossing(gap: Callable[[float], float], far: float, before: float) -> float:
    near = 0.0
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        if gap(middle) * before > 0:
            near = middle
        else:
            far = middle
    return far
