"""From one merge to a better one nearby: slopes by lot, and along a line the best, exactly; any number of groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.twoheads.criteria import Criteria
from fairheads.twoheads.heads import Heads, combine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Excess = Callable[[Ints], Floats]
"""By how much candidates break what is asked of them, 0 where they keep it, from counts (c, G, 2)."""

EVENTS = 2_000
"""Rows that may change sides along one line, at most."""

NEAR = 20_000
"""Rows nearest to the boundary that may change sides in all; the others stay where they are."""

JUMP, SHRINK, USUAL = 0.2, 0.93, 40
"""First size of a jump in standardised slopes; what is left of it after one that gained nothing, when so many lines are
searched: of more lines each shrinks it less."""


@dataclass(frozen=True, eq=False)
class Merge:
    """A merge and the rows it selects, (G, 2)."""

    b: Floats
    t: float
    selected: Ints


def better(one: Ints, other: Ints, criteria: Criteria, excess: Excess) -> bool:
    """Whether counts (G, 2) are better than others: less in excess, or as little and more of the objective."""
    both = np.stack([one, other])
    over, objective = excess(both), criteria.objective(both)
    return bool(over[0] < over[1] or (over[0] == over[1] and objective[0] > objective[1]))


def polished(
    heads: Heads, start: Merge, criteria: Criteria, excess: Excess, rng: np.random.Generator, *, steps: int
) -> Merge:
    """A merge at least as good as ``start``; ``steps`` is how many lines are searched."""
    score = combine(heads.z_y, heads.z_g, start.b, start.t)
    rows, reach = np.arange(len(heads)), np.inf
    if len(heads) > NEAR:
        distance = np.abs(score)
        reach = float(np.partition(distance, NEAR)[NEAR])
        rows = np.flatnonzero(distance < reach)
    close = heads.take(rows)
    fixed = start.selected - close.count(score[rows] > 0)
    centre, unit = close.z_g.mean(0), close.units
    # Slopes and threshold may move so far that no row of the others changes sides: weighed by the widest outputs.
    widest = np.append(np.abs(heads.z_g - centre).max(0), 1.0) if np.isfinite(reach) else np.ones(len(centre) + 1)
    best, moved, jump = start, np.zeros(len(centre) + 1), JUMP
    shrink = SHRINK ** (USUAL / steps)
    ahead = np.append(np.zeros(len(centre)), 1.0)
    for step in range(steps):
        leap = np.zeros(len(centre) + 1)
        way = ahead
        if step % 4 == 3:
            way = np.append(rng.normal(size=len(centre)) * unit, rng.normal())
        elif step % 4 == 1 and len(centre) > 1:
            slope = step // 4 % len(centre)
            way = np.append(np.where(np.arange(len(centre)) == slope, unit, 0.0), 0.0)
        elif step:
            leap[:-1] = jump * rng.normal(size=len(centre)) * unit
        speed = float(np.abs(way) @ widest)
        far = (reach - float(np.abs(moved + leap) @ widest)) / speed if speed else 0.0
        if not far > 0:
            jump *= shrink
            continue
        found = _along(close, fixed, _moved(best, leap, centre), way, centre, far, criteria, excess)
        if found is not None and better(found[0].selected, best.selected, criteria, excess):
            best, moved = found[0], moved + leap + found[1] * way
        else:
            jump *= shrink
    return best


def _moved(at: Merge, way: Floats, centre: Floats) -> tuple[Floats, float]:
    """Slopes and threshold after a step in the centred outputs."""
    return at.b + way[:-1], at.t + float(way[-1]) - float(way[:-1] @ centre)


def _along(
    close: Heads,
    fixed: Ints,
    origin: tuple[Floats, float],
    way: Floats,
    centre: Floats,
    far: float,
    criteria: Criteria,
    excess: Excess,
) -> tuple[Merge, float] | None:
    """The best merge on a line through ``origin``, counted anew, and how far along it lies."""
    b, t = origin
    score = combine(close.z_y, close.z_g, b, t)
    velocity = np.full(len(close), way[-1])
    if way[:-1].any():
        velocity = combine(velocity, close.z_g, way[:-1], -float(way[:-1] @ centre))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        event = -score / velocity
    distance = np.abs(event)
    meets = np.flatnonzero(distance < far)
    if len(meets) > EVENTS:
        far = float(np.partition(distance[meets], EVENTS)[EVENTS])
        meets = np.flatnonzero(distance < far)
    if not len(meets):
        return None
    meets = meets[np.argsort(event[meets])]
    place, rises = event[meets], velocity[meets] > 0
    change = np.zeros((len(meets) + 1, close.shape[0] * 2), np.int64)
    change[np.arange(len(meets)) + 1, close.cell[meets]] = np.where(rises, 1, -1)
    # Left of all events the rows that fall are still selected, and those that rise are not yet.
    still = score > 0
    still[meets] = ~rises
    selected = (fixed + close.count(still))[None] + np.cumsum(change, axis=0).reshape(-1, *close.shape)
    edges = np.concatenate([[max(-far, place[0] - 1.0)], place, [min(far, place[-1] + 1.0)]])
    open_ = np.flatnonzero(edges[1:] > edges[:-1])
    where = edges[open_] + (edges[open_ + 1] - edges[open_]) / 2
    over, objective = excess(selected[open_]), criteria.objective(selected[open_])
    alpha = float(where[np.lexsort((np.abs(where), -objective, over))[0]])
    b, t = _moved(Merge(b, t, fixed), alpha * way, centre)
    return Merge(b, t, fixed + close.count(combine(close.z_y, close.z_g, b, t) > 0)), alpha
