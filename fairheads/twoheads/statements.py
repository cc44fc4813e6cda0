"""Statements 2 and 3 of the paper: a merge in place of a constrained network, and a group head taken out of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.results import Approximation, Number, Recovery, undefined
from fairheads.twoheads.rows import Rows

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def approximates(
    constrained: ArrayLike,
    z_y: ArrayLike,
    z_g: ArrayLike,
    y: ArrayLike,
    group: ArrayLike,
    *,
    fit: ArrayLike,
    repeats: Sequence[ArrayLike] = (),
    confidence: float = 0.95,
    seed: int = 0,
    name: str = "",
) -> Approximation:
    """How closely the best merge of two heads decides like a constrained network: statement 2 of the paper.

    b and t of ``z_y + b . z_g + t > 0`` maximise the number of rows of ``fit`` on which the merge decides as
    ``constrained > 0``; everything is measured on the other rows. Beside it stand what can be had without the group
    (b = 0, the floor), and what the constrained network trained again from other seeds has (the ceiling).

    Parameters
    ----------
    constrained : array (n,)
        Scores of the constrained network; it selects where they are above 0.
    z_y, z_g : array (n,), array (n,) or (n, m)
        Task logit and raw group outputs (one for two groups, else one a group) of a two-headed network on the same
        rows, which neither network was trained on.
    y : array (n,) of 0 and 1
        Labels; for the accuracy that is shown, the fit does not use them.
    group : array (n,)
        Codes from 0, -1 where not recorded; for the gap that is shown, which the fit does not limit.
    fit : bool array (n,)
        The rows that choose b and t. More of them leave fewer to measure on; a thousand are plenty for a b and a t.
    repeats : sequence of array (n,)
        Scores of constrained networks that differ from ``constrained`` by their seed alone.
    confidence : float
        Of every interval.
    seed : int
        Of the search for b and t, as in `fairheads.twoheads.fit_frontier`.
    name : str
        What was measured on, for the result's title.

    Raises
    ------
    InputError
        If lengths differ, scores are not finite, ``fit`` is no mask that leaves rows on both sides, the constrained
        network decides all rows of the fit alike, or a group has no rows or no output there.
    ConfigError
        If ``confidence`` is not between 0 and 1.

    Notes
    -----
    Not shown: that the constrained network works by an estimate of the group. Decisions that a merge can give may
    come about in another way. Intervals speak of other rows for the same networks and coefficients.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5. Theirs chooses b and t on the rows it is measured on.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> g = rng.integers(0, 2, 4000); z_y = rng.normal(size=4000) + g; z_g = g + 0.2 * rng.normal(size=4000)
    >>> constrained = z_y - 1.5 * z_g + 0.4
    >>> y = (z_y + rng.normal(size=4000) > 0) * 1
    >>> found = approximates(constrained, z_y, z_g, y, g, fit=np.arange(4000) < 2000)
    >>> found.agreement.value > 0.99 > found.floor.value
    True
    """
    rows = Rows.of(y, group, fit, confidence)
    target, task = rows.score("constrained", constrained), rows.score("z_y", z_y)
    heads, others = rows.heads("z_g", z_g), rows.repeats(repeats)
    wanted = target > 0
    if wanted[rows.fit].all() or not wanted[rows.fit].any():
        raise InputError("`constrained` must select some and refuse some of the rows of `fit`; it decides all alike.")
    b, t, offset = rows.fitted(task, heads, wanted, seed)
    merged, plain = task + heads @ b + t > 0, task + offset > 0
    found = _compared(rows, wanted, merged, plain, others, "constrained")
    return Approximation(
        name=name,
        fitted_on=int(rows.fit.sum()),
        n=rows.n,
        confidence=confidence,
        b=tuple(b.tolist()),
        t=t,
        offset=offset,
        repeats=len(others),
        agreement=found.agreement,
        floor=found.floor,
        ceiling=found.ceiling,
        over_floor=found.over_floor,
        to_ceiling=found.to_ceiling,
        share=found.share,
        constrained=rows.judged(wanted),
        merged=rows.judged(merged),
        offset_only=rows.judged(plain),
    )


def recovers(
    constrained: ArrayLike,
    ghat: ArrayLike,
    unconstrained: ArrayLike,
    y: ArrayLike,
    group: ArrayLike,
    *,
    fit: ArrayLike,
    repeats: Sequence[ArrayLike] = (),
    confidence: float = 0.95,
    seed: int = 0,
    name: str = "",
) -> Recovery:
    """How much of the unconstrained network comes back when a group head is taken out: statement 3 of the paper.

    b and t of ``constrained - b . ghat - t > 0`` maximise accuracy on the rows of ``fit``; everything is measured on
    the other rows: the accuracy of constrained, recovered, offset-only and unconstrained networks, and the share of
    rows on which each decides like the unconstrained one. The floor has b = 0, the ceiling is that of other seeds of
    the unconstrained network.

    Parameters
    ----------
    constrained, unconstrained : array (n,)
        Scores; a network selects where they are above 0.
    ghat : array (n,) or (n, m)
        Group head on the last layer of the constrained network: `fairheads.twoheads.attach_group_head`.
    y : array (n,) of 0 and 1
        Labels, which choose b and t.
    group : array (n,)
        Codes from 0, -1 where not recorded; for the gap that is shown, which the fit does not limit.
    fit : bool array (n,)
        The rows that choose b and t.
    repeats : sequence of array (n,)
        Scores of unconstrained networks that differ from ``unconstrained`` by their seed alone.
    confidence : float
        Of every interval.
    seed : int
        Of the search for b and t, as in `fairheads.twoheads.fit_frontier`.
    name : str
        What was measured on, for the result's title.

    Raises
    ------
    InputError
        If lengths differ, scores are not finite, ``fit`` is no mask that leaves rows on both sides, all rows of the
        fit have the same label, or a group has no rows or no output there.
    ConfigError
        If ``confidence`` is not between 0 and 1.

    Notes
    -----
    The sign of b is that of what is taken out: a constraint that raises group 1 (ghat near 1) has b above 0. Not
    shown: whether the constraint works by a group head; any direction of the last layer that holds what the
    constraint took away would bring it back.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> g = rng.integers(0, 2, 4000); f = rng.normal(size=4000) + g; ghat = g + 0.2 * rng.normal(size=4000)
    >>> y = (f + 0.3 * rng.normal(size=4000) > 0) * 1
    >>> found = recovers(f - ghat, ghat, f, y, g, fit=np.arange(4000) < 2000)
    >>> -1.2 < found.b[0] < -0.8, found.recovered.accuracy.value > found.constrained.accuracy.value
    (True, True)
    """
    rows = Rows.of(y, group, fit, confidence)
    before, after = rows.score("unconstrained", unconstrained), rows.score("constrained", constrained)
    heads, others = rows.heads("ghat", ghat), rows.repeats(repeats)
    labels = rows.y == 1
    if labels[rows.fit].all() or not labels[rows.fit].any():
        raise InputError("`y` must hold both labels in the rows of `fit`.")
    b, t, offset = rows.fitted(after, heads, labels, seed)
    wanted, now = before > 0, after > 0
    recovered, plain = after + heads @ b + t > 0, after + offset > 0
    found = _compared(rows, wanted, recovered, plain, others, "unconstrained")
    with_head, with_offset, goal, start = (rows.measured(d == labels) for d in (recovered, plain, wanted, now))
    gained, cost = with_head - start, goal - start
    return Recovery(
        name=name,
        fitted_on=int(rows.fit.sum()),
        n=rows.n,
        confidence=confidence,
        b=tuple((-b).tolist()),
        t=-t,
        offset=-offset,
        repeats=len(others),
        agreement=found.agreement,
        floor=found.floor,
        ceiling=found.ceiling,
        over_floor=found.over_floor,
        to_ceiling=found.to_ceiling,
        share=found.share,
        constrained_agreement=rows.rate(now == wanted),
        constrained=rows.judged(now),
        recovered=rows.judged(recovered),
        offset_only=rows.judged(plain),
        unconstrained=rows.judged(wanted),
        gained=rows.difference(gained),
        cost=rows.difference(cost),
        by_head=rows.difference(with_head - with_offset),
        accuracy_share=rows.share(gained, cost, "the constraint costs no accuracy that these rows show"),
    )


@dataclass(frozen=True)
class _Closeness:
    agreement: Number
    floor: Number
    ceiling: Number
    over_floor: Number
    to_ceiling: Number
    share: Number


def _compared(rows: Rows, wanted: Mask, found: Mask, plain: Mask, others: list[Mask], kind: str) -> _Closeness:
    """Agreement of a fit with the wanted decisions between that of an offset and that of other seeds."""
    alike, floor = (rows.measured(decided == wanted) for decided in (found, plain))
    agreement, over_floor = rows.rate(found == wanted), rows.difference(alike - floor)
    if not others:
        none = undefined(f"no other seeds of the {kind} network were given", rows.n)
        return _Closeness(agreement, rows.rate(plain == wanted), none, over_floor, none, none)
    ceiling = np.mean([rows.measured(decided == wanted) for decided in others], axis=0)
    return _Closeness(
        agreement,
        rows.rate(plain == wanted),
        rows.mean(ceiling, len(others)),
        over_floor,
        rows.difference(alike - ceiling),
        rows.share(alike - floor, ceiling - floor, "other seeds are not surely closer than the offset alone"),
    )
