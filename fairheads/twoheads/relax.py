"""Merges of any number of groups: soft decisions make the search smooth, from no limit on the gap to a tight one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.twoheads.criteria import Criteria
from fairheads.twoheads.heads import Heads
from fairheads.twoheads.polish import Merge, polished

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROWS = 100_000
"""Rows of the smooth search; what it finds is counted, and improved, on all of them."""

WIDTHS = (0.5, 0.15, 0.04)
"""Width of the soft step, in standard deviations of the task logit: wide first, to see far."""

CORRECTIONS = 3
"""Times that a limit is corrected for the difference between soft and counted gaps."""

LIMITS = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.12, 0.06, 0.0)
"""Limits of the gap that make the front of more than two groups, as shares of the gap without a limit."""

STEPS = 16
"""Lines that are searched for each merge of the ladder."""

REACH = 1.0
"""How far a standardised slope may move in one search: far from the data every decision is the same, for good."""

BROKEN = 0.05
"""A search that ends with a limit broken by more is forgotten."""

MOST = 1e3
"""Of any value: where next to nothing is counted, ratios have no bounds."""

RIDGE = 1e-6
"""On squared standardised slopes: outputs that add up to 1 leave one direction without effect."""


class Relaxed:
    """The smooth problem: soft counts of standardised heads, solved for one limit after the other."""

    def __init__(self, heads: Heads, criteria: Criteria, rng: np.random.Generator) -> None:
        few = heads if len(heads) <= ROWS else heads.take(np.sort(rng.choice(len(heads), ROWS, replace=False)))
        self.whole, self.criteria = criteria, criteria.on(few.totals)
        self.cell, self.cells = few.cell, few.shape[0] * 2
        self.scale = few.scale
        self.centre, self.units = few.z_g.mean(0), few.units
        self.task = few.z_y / self.scale
        self.columns = np.column_stack([(few.z_g - self.centre) * self.units, np.ones(len(few))])
        self.x = np.zeros(self.columns.shape[1] + len(criteria.rates))
        self.width = WIDTHS[0]
        self._last: tuple[bytes, Floats, Floats] | None = None

    def solve(self, limit: float) -> tuple[Floats, float]:
        """Slopes (m,) and threshold for one limit of the gap, from where the last search ended.

        Each width starts where the wider one ended, and the next limit where the widest did: there every row has a say,
        while a rare group may have no row within a narrow step.
        """
        m = self.columns.shape[1]
        x = self.x
        for width in WIDTHS:
            self.width, self._last = width, None
            found = self._minimised(x, limit)
            if np.isfinite(found).all() and self._room(found, limit)[0].min() > -BROKEN:
                x = found
            if width == WIDTHS[0]:
                self.x = x
        slopes = x[: m - 1] * self.scale * self.units
        return slopes, float(x[m - 1] * self.scale - slopes @ self.centre)

    def _minimised(self, x: Floats, limit: float) -> Floats:
        from scipy import optimize  # a fifth of a second to load, and few commands search

        m = self.columns.shape[1]
        rates = self._at(x)[0][1 : 1 + self._rates].reshape(len(self.criteria.rates), -1)
        start = np.append(x[:m], np.clip(rates.mean(1) - limit / 2, 0.0, 1.0))
        found = optimize.minimize(
            lambda x: -self._at(x)[0][0] + RIDGE * x[: m - 1] @ x[: m - 1],
            start,
            jac=lambda x: np.append(2 * RIDGE * np.append(x[: m - 1], 0.0) - self._at(x)[1][0], np.zeros(len(x) - m)),
            constraints={
                "type": "ineq",
                "fun": lambda x: self._room(x, limit)[0],
                "jac": lambda x: self._room(x, limit)[1],
            },
            bounds=[(v - REACH, v + REACH) for v in start[:m]] + [(-1.0, 1.0)] * (len(x) - m),
            method="SLSQP",
            options={"maxiter": 60, "ftol": 1e-7},
        )
        return np.asarray(found.x, np.float64)

    def within(self, limit: float, start: Floats, heads: Heads) -> list[Merge]:
        """Merges near one limit, counted on all rows: soft gaps and counted ones differ, and the limit is corrected."""
        found, asked = [], limit
        self.x = start.copy()
        for _ in range(CORRECTIONS):
            b, t = self.solve(asked)
            found.append(Merge(b, t, heads.select(b, t)))
            gap = float(np.nan_to_num(np.abs(self.whole.gap(found[-1].selected[None]))[0], nan=1.0))
            asked = max(asked + limit - gap, 0.0)
        return found

    @property
    def _rates(self) -> int:
        return len(self.criteria.rates) * self.criteria.groups

    def _values(self, counts: Floats) -> Floats:
        """Objective, the rates of every group, selection, and every floor's rates, (candidates, values)."""
        criteria = self.criteria
        parts = [criteria.objective(counts)[:, None]]
        parts += [criteria.values(counts, rate) for rate in criteria.rates]
        parts += [criteria.selection(counts)[:, None]]
        parts += [criteria.values(counts, rate) for rate, _ in criteria.floors]
        return np.clip(np.nan_to_num(np.concatenate(parts, axis=1)), -MOST, MOST)

    def _at(self, x: Floats) -> tuple[Floats, Floats]:
        """Values and their derivatives by slopes and threshold, (values, m)."""
        m = self.columns.shape[1]
        theta = np.ascontiguousarray(x[:m])
        if self._last is not None and self._last[0] == theta.tobytes():
            return self._last[1], self._last[2]
        soft = special.expit((self.task + self.columns @ theta) / self.width)
        counts = np.bincount(self.cell, soft, minlength=self.cells).reshape(-1, 2)
        slope = soft * (1 - soft) / self.width
        by_theta = np.stack(
            [np.bincount(self.cell, slope * column, minlength=self.cells) for column in self.columns.T], axis=1
        )
        step = 1e-3 * np.eye(self.cells).reshape(self.cells, *counts.shape)
        around = self._values(np.concatenate([counts[None], counts + step, counts - step]))
        by_count = (around[1 : 1 + self.cells] - around[1 + self.cells :]) / 2e-3
        self._last = theta.tobytes(), around[0], by_count.T @ by_theta
        return self._last[1], self._last[2]

    def _room(self, x: Floats, limit: float) -> tuple[Floats, Floats]:
        """What must not be negative: rates within ``limit`` of each other, selection within reason, floors."""
        m, criteria = self.columns.shape[1], self.criteria
        values, slopes = self._at(x)
        rooms, rows = [], []

        def add(value: float, by_theta: Floats, by_low: tuple[int, float] | None = None) -> None:
            row = np.zeros(len(x))
            row[:m] = by_theta
            if by_low is not None:
                row[m + by_low[0]] = by_low[1]
            rooms.append(value)
            rows.append(row)

        for i in range(self._rates):
            which = i // criteria.groups
            low = float(x[m + which])
            add(values[1 + i] - low, slopes[1 + i], (which, -1.0))
            add(low + limit - values[1 + i], -slopes[1 + i], (which, 1.0))
        at = 1 + self._rates
        add(values[at] - 0.55 * criteria.base_rate, slopes[at])
        add(1 - 0.55 * (1 - criteria.base_rate) - values[at], -slopes[at])
        for f, (_, floor) in enumerate(criteria.floors):
            for k in range(criteria.groups):
                i = at + 1 + f * criteria.groups + k
                add(values[i] - floor, slopes[i])
        return np.array(rooms), np.array(rows)


def ladder(heads: Heads, criteria: Criteria, search: Relaxed, rng: np.random.Generator) -> tuple[list[Merge], Floats]:
    """A merge for every limit from none to 0, each from the last; and where each search ended, with its limit."""
    merges, starts, widest = [], [], 1.0
    for share in LIMITS:
        limit = widest * share
        b, t = search.solve(limit)
        starts.append(np.append(search.x, limit))
        merge = Merge(b, t, heads.select(b, t))
        if share == 1.0:
            widest = min(float(criteria.size(merge.selected[None])[0]), 1.0)

        def excess(counts: Ints, limit: float = limit) -> Floats:
            return criteria.excess(counts, criteria.size(counts), limit)

        merge = polished(heads, merge, criteria, excess, rng, steps=STEPS)
        if criteria.shortfall(merge.selected[None])[0] == 0:
            merges.append(merge)
    return merges, np.array(starts)
