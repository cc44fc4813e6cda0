"""Merges of two groups: every slope b with every threshold t, exactly, from sorted scores or from sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.twoheads.criteria import Criteria
from fairheads.twoheads.heads import Heads

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EVERY = 50_000
"""Slopes at which two rows change places, up to which every distinct set of decisions is looked at."""

SORTED = 30_000
"""Rows up to which scores are sorted; more are counted in bins whose edges are exact thresholds."""

SAMPLE = 5_000
"""Rows of the first look, where there are more than are sorted."""

BINS, FAR = 4096, 9.0
"""Bins of a score, and how far from its median they reach at most, in distances of its quartiles."""

ANGLES = 96
"""Slopes of the first look: equal angles in the plane of the standardised heads."""

SECOND = 97
"""Slopes of the second look, over the range that was best at some gap at the first."""

ACROSS = 400
"""Thresholds for each slope where no gap orders them."""

WIDTH = 5e-4
"""Gaps closer than this are one: of its candidates the best is kept."""


class Pool:
    """Candidates, of which those are kept that are best at their gap, and in the end those on the front."""

    def __init__(self, criteria: Criteria, width: float) -> None:
        self.criteria, self.width = criteria, width
        self.b, self.t = np.zeros(0), np.zeros(0)
        self.selected = np.zeros((0, *criteria.totals.shape), np.int64)

    def offer(self, b: Floats | float, t: Floats, selected: Ints) -> None:
        """Add candidates (c,); a slope may be one for all."""
        kept = self._best(t, selected)
        self.b = np.append(self.b, np.broadcast_to(b, t.shape)[kept])
        self.t = np.append(self.t, t[kept])
        self.selected = np.concatenate([self.selected, selected[kept]])

    def close(self) -> Pool:
        """Keep, by the size of the gap, what is better than everything with a smaller gap."""
        kept = self._best(self.t, self.selected)
        gap, objective = np.abs(self.criteria.gap(self.selected[kept])), self.criteria.objective(self.selected[kept])
        order = np.lexsort((-objective, gap))
        best = np.maximum.accumulate(np.r_[-np.inf, objective[order]])[: len(order)]
        kept = kept[order[objective[order] > best]]
        self.b, self.t, self.selected = self.b[kept], self.t[kept], self.selected[kept]
        return self

    def _best(self, t: Floats, selected: Ints) -> Ints:
        gap, objective = self.criteria.gap(selected), self.criteria.objective(selected)
        may = (self.criteria.shortfall(selected) == 0) & np.isfinite(gap) & np.isfinite(objective)
        rows = np.flatnonzero(may)
        key = np.sign(gap[rows]) * np.ceil(np.abs(gap[rows]) / self.width - 1e-6)
        order = np.lexsort((-objective[rows], key))
        kept: Ints = rows[order[np.r_[True, np.diff(key[order]) != 0][: len(order)]]]
        return kept


def candidates(heads: Heads, criteria: Criteria, rng: np.random.Generator) -> tuple[Pool, bool]:
    """The best merge at every gap, and whether every distinct set of decisions was looked at."""
    crossings = _crossings(heads)
    if crossings is not None:
        return _every(heads, criteria, crossings), True
    few = heads
    if len(heads) > SORTED:
        few = heads.take(np.sort(rng.choice(len(heads), SAMPLE, replace=False)))
    unit = float(few.units[0])
    if not unit:
        return _swept(heads, criteria, [0.0]), False
    scale, step = few.scale * unit, np.pi / (ANGLES + 1)
    if few is heads:
        pool = _swept(heads, criteria, _slopes(np.arange(1 - ANGLES // 2, ANGLES // 2) * step, scale))
        for part in (2, 4):  # half and a quarter of a step beside what is best at some gap
            angles = np.arctan(np.unique(pool.b) / scale)
            for b in _slopes(np.concatenate([angles - step / part, angles + step / part]), scale):
                pool.offer(b, *thresholds(heads, b))
            pool.close()
        return pool, False
    first = _swept(few, criteria.on(few.totals), _slopes(np.arange(1 - ANGLES // 2, ANGLES // 2) * step, scale), 20)
    angles = np.arctan(np.append(first.b, 0.0) / scale)
    pool = Pool(criteria, WIDTH)
    for b in _slopes(np.linspace(angles.min() - step, angles.max() + step, SECOND), scale):
        pool.offer(b, *binned(heads, b, criteria.base_rate))
    return pool.close(), False


def spread_out(heads: Heads, criteria: Criteria, slopes: Floats) -> tuple[Floats, Floats, Ints]:
    """Usable merges all over the plane, whatever their gap: b (c, 1), t (c,) and selected (c, G, 2).

    For what a gap does not order, such as bounds: slopes at equal angles and ``slopes``, each with `ACROSS` thresholds.
    """
    unit = float(heads.units[0])
    all_slopes = np.unique(slopes[:, 0])
    if unit:
        angles = np.arange(1 - ANGLES // 2, ANGLES // 2) * np.pi / (ANGLES + 1)
        some = all_slopes[np.unique(np.linspace(0, len(all_slopes) - 1, ANGLES).round().astype(int))]
        all_slopes = np.union1d(some, _slopes(angles, heads.scale * unit))
    parts = []
    for b in all_slopes.tolist():
        t, selected = thresholds(heads, b) if len(heads) <= SAMPLE else binned(heads, b, criteria.base_rate)
        usable = np.flatnonzero(criteria.shortfall(selected) == 0)
        at = usable[np.unique(np.linspace(0, len(usable) - 1, ACROSS).round().astype(int))] if len(usable) else usable
        parts.append((np.full((len(at), 1), b), t[at], selected[at]))
    b_all, t_all, counts = zip(*parts, strict=True)
    return np.concatenate(b_all), np.concatenate(t_all), np.concatenate(counts)


def _slopes(angles: NDArray[Any], scale: float) -> list[float]:
    inside = angles[np.abs(angles) < np.pi / 2 - 1e-6]
    return [float(slope) for slope in scale * np.tan(np.unique(inside.round(12)))]


def _swept(heads: Heads, criteria: Criteria, slopes: Iterable[float], wider: float = 1.0) -> Pool:
    pool = Pool(criteria, WIDTH * wider)
    for b in slopes:
        pool.offer(b, *thresholds(heads, b))
    return pool.close()


def _crossings(heads: Heads) -> Floats | None:
    """Slopes at which two rows have the same score, sorted; None where there are too many."""
    if len(heads) > SAMPLE:
        return None
    points = np.unique(np.column_stack([heads.z_y, heads.z_g[:, 0]]), axis=0)
    if len(points) * (len(points) - 1) // 2 > EVERY:
        return None
    one, other = np.triu_indices(len(points), 1)
    rise, run = points[one, 0] - points[other, 0], points[one, 1] - points[other, 1]
    with np.errstate(divide="ignore", over="ignore"):
        slopes = -rise[run != 0] / run[run != 0]
    return np.unique(slopes[np.isfinite(slopes)])


def _every(heads: Heads, criteria: Criteria, crossings: Floats) -> Pool:
    """One slope between every two neighbouring crossings: a set of decisions that a slope shares with the last is not
    looked at again, known by the sum of random numbers of its rows."""
    pool = Pool(criteria, 1e-9)
    ends = [crossings[0] - 1 - abs(crossings[0]), crossings[-1] + 1 + abs(crossings[-1])] if len(crossings) else []
    slopes = np.unique(np.r_[0.0, ends, crossings[:-1] + np.diff(crossings) / 2])
    names = np.random.default_rng(0).integers(0, 2**62, len(heads)).astype(np.uint64)
    cells = np.eye(heads.shape[0] * 2, dtype=np.int64)[heads.cell]
    last = np.zeros((1, len(heads)), np.uint64)
    for start in range(0, len(slopes), 256):
        b = slopes[start : start + 256]
        score = heads.z_y + b[:, None] * heads.z_g[:, 0]
        order = np.argsort(-score, axis=1)
        s = np.take_along_axis(score, order, 1)
        below = np.column_stack([s[:, 1:], np.nextafter(s[:, -1], -np.inf)])
        with np.errstate(over="ignore"):
            name = np.cumsum(names[order], axis=1)
        cut = s > below
        offered = np.where(cut, name, 0)  # rows with one score are not parted: what they would part was not looked at
        at, k = np.nonzero((name != np.concatenate([last, offered[:-1]])) & cut)
        last = offered[-1:]
        counts = np.cumsum(cells[order], axis=1)[at, k].reshape(-1, *heads.shape)
        pool.offer(b[at], between(s[at, k], below[at, k]), counts)
    return pool.close()


def between(above: Floats, below: Floats) -> Floats:
    """t that selects what is at or ``above``, and not what is ``below``; neighbouring floats have no middle."""
    middle = below + (above - below) / 2
    return -np.where(middle < above, middle, below)


def thresholds(heads: Heads, b: float) -> tuple[Floats, Ints]:
    """t (c,) below every score, with the rows it selects, (c, G, 2)."""
    score = heads.z_y + b * heads.z_g[:, 0]
    order = np.argsort(-score)
    s, cell = score[order], heads.cell[order]
    below = np.append(s[1:], np.nextafter(s[-1], -np.inf))
    cut = np.flatnonzero(s > below)
    selected = np.stack([np.cumsum(cell == each)[cut] for each in range(heads.shape[0] * 2)], axis=1)
    return between(s[cut], below[cut]), selected.reshape(-1, *heads.shape)


def binned(heads: Heads, b: float, base_rate: float) -> tuple[Floats, Ints]:
    """t (`BINS`,) and the rows they select, from counts of rows in bins of the score; exact at these thresholds."""
    score = heads.z_y + b * heads.z_g[:, 0]
    some = np.sort(score[:: max(len(score) // 4096, 1)])
    # From a little beyond what may be selected or refused, but not as far as a few large logits lie.
    tail = int(len(some) * min(0.005, base_rate / 4, (1 - base_rate) / 4))
    quarter, half, last = some[len(some) // 4], some[len(some) // 2], some[-1 - len(some) // 4]
    reach = FAR * (last - quarter) if last > quarter else np.inf
    low, high = max(some[tail], half - reach), min(some[-1 - tail], half + reach)
    if not high > low:
        return thresholds(heads, b)
    scale = (BINS - 1) / (high - low)
    score -= low
    score *= scale
    np.floor(score, out=score)
    np.clip(score, -1.0, BINS - 1.0, out=score)
    score += 1.0  # 0: below the first edge
    cells = heads.shape[0] * 2
    at = score.astype(np.int64)
    at *= cells
    at += heads.cell
    counts = np.bincount(at, minlength=(BINS + 1) * cells).reshape(BINS + 1, cells)
    selected = counts[::-1].cumsum(0)[::-1][1:]
    return -_just_below(low, scale), selected.reshape(-1, *heads.shape)


def _just_below(low: float, scale: float) -> Floats:
    """The largest number that falls below each edge of the bins: rounding is monotone, so that there is one."""
    edge = np.arange(BINS, dtype=np.float64)
    guess = low + edge / scale
    reach = 8 * np.finfo(np.float64).eps * (np.abs(guess) + abs(low) + 1 / scale)
    below, above = guess - reach, guess + reach
    for _ in range(24):
        middle = below + (above - below) / 2
        under = (middle - low) * scale < edge
        below, above = np.where(under, middle, below), np.where(under, above, middle)
    return below
