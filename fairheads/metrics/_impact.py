"""Impact ratios of categories of people: counts in, rows of a table out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics.intervals import is_small, rate_interval, ratio_interval
from fairheads.results.impact import ImpactRow, ImpactTable
from fairheads.results.number import Number, undefined
from fairheads.sums import Cells, Tally, is_recorded, parts_of
from fairheads.sums.groups import in_order, name_of

FOUR_FIFTHS = Fraction(4, 5)

WEIGHTED = "rows are weighted, and the test counts people"
IS_HIGHEST = "the category has the highest rate itself"
NOBODY = "nobody was selected in any category that is compared"
NO_WEIGHT = "the weights of its rows sum to 0"
ALONE = "there is no other category to compare with"


def checked(counted: Tally | Cells, columns: Sequence[str] | None) -> tuple[Cells, tuple[str, ...]]:
    """The counts and the columns that make their groups."""
    cells = counted.cells if isinstance(counted, Tally) else counted
    if cells is None:
        raise InputError("an impact ratio needs decisions; of scores `above_median` makes them.")
    if cells.soft:
        raise InputError("an impact ratio needs recorded groups, not probabilities of membership.")
    if len(cells.classes) != 2:
        raise InputError(f"decisions must be of two classes, got {list(cells.classes)}; `against_rest` makes two.")
    if not cells.counts.sum():
        raise InputError("there must be at least one row.")
    own = counted.columns if isinstance(counted, Tally) else None
    names = tuple(columns) if columns is not None else own
    if not names:
        raise ConfigError("`columns` must name the columns that make the groups.")
    if own is not None and names != own:
        raise ConfigError(f"`columns` must be those of the tally, {list(own)}, got {list(names)}.")
    if len(set(names)) < len(names) or any(len(parts_of(group, len(names))) != len(names) for group in cells.groups):
        raise ConfigError(f"`columns` must name each column that makes the groups once, got {list(names)}.")
    return cells, names


def over(cells: Cells, columns: int, at: tuple[int, ...]) -> Cells:
    """The cells by some of the columns alone: those of groups that agree in these add up."""
    names = [name_of([parts_of(group, columns)[i] for i in at]) for group in cells.groups]
    groups = in_order(names)
    where = [groups.index(name) for name in names]

    def summed(array: NDArray[Any]) -> NDArray[Any]:
        total = np.zeros((len(groups), *array.shape[1:]), array.dtype)
        np.add.at(total, where, array)
        return total

    weights, squares = (None if a is None else summed(a) for a in (cells.weights, cells.squares))
    return replace(cells, groups=groups, counts=summed(cells.counts), weights=weights, squares=squares)


def split(cells: Cells, columns: int) -> tuple[Cells, int]:
    """The cells of recorded groups, and how many people are in the others."""
    recorded = [group for group in cells.groups if is_recorded(group, columns)]
    return cells.only(recorded), unknown(cells, columns)


def unknown(cells: Cells, columns: int) -> int:
    return sum(
        int(counts.sum())
        for group, counts in zip(cells.groups, cells.counts, strict=True)
        if not is_recorded(group, columns)
    )


@dataclass(frozen=True)
class _Category:
    """Rows, selected rows and effective counts of a category; ``k`` over ``n`` is its rate."""

    name: str
    rows: int
    selected: int
    k: float
    n: float
    mass: float
    rate: Fraction | None


def _categories(cells: Cells) -> list[_Category]:
    found = []
    for i, name in enumerate(cells.groups):
        rows, selected = (int(x) for x in (cells.counts[i].sum(), cells.counts[i, :, 1].sum()))
        if not rows and cells.weights is None:
            continue
        if cells.weights is None or cells.squares is None:
            found.append(_Category(name, rows, selected, selected, rows, rows, Fraction(selected, rows)))
            continue
        total, chosen = float(cells.weights[i].sum()), float(cells.weights[i, :, 1].sum())
        squares = float(cells.squares[i].sum())
        # Sums of weights are not exact; ties and four fifths of a rate still have to be.
        rate = Fraction(chosen / total).limit_denominator(10**9) if total else None
        effective = total * total / squares if squares else 0.0
        share = float(rate) if rate is not None else 0.0
        found.append(_Category(name, rows, selected, share * effective, effective, total, rate))
    place = {name: i for i, name in enumerate(in_order([category.name for category in found]))}
    return sorted(found, key=lambda category: place[category.name])


def table(
    title: str, columns: tuple[str, ...], cells: Cells, unknown: int, exclude_below: float, left_out: str
) -> ImpactTable:
    weighted = cells.weights is not None
    found = _categories(cells)
    total = sum(category.mass for category in found)
    compared = [c for c in found if c.rate is not None and total and c.mass / total >= exclude_below - 1e-12]
    top = max((c.rate for c in compared if c.rate is not None), default=None)
    highest = [c for c in compared if c.rate == top] if top else []
    # Of several highest the largest: their rates are the same, its interval is the narrowest.
    best = max(highest, key=lambda c: c.n, default=None)
    rows = tuple(
        _row(c, columns, total, best, weighted, None if c in compared else left_out, alone=len(compared) == 1)
        for c in found
    )
    return ImpactTable(title=title, columns=columns, highest=tuple(c.name for c in highest), unknown=unknown, rows=rows)


def _row(
    category: _Category,
    columns: tuple[str, ...],
    total: float,
    best: _Category | None,
    weighted: bool,
    left_out: str | None,
    *,
    alone: bool,
) -> ImpactRow:
    rate = category.rate
    reason = NO_WEIGHT if rate is None else left_out
    ratio = deviations = fisher = undefined(reason or NOBODY, category.rows)
    shortfall = below = reverses = None
    if reason is None and best is not None and rate is not None and best.rate is not None:
        ratio, below = _ratio(category, best), rate < FOUR_FIFTHS * best.rate
        if weighted:
            deviations = fisher = undefined(WEIGHTED, category.rows)
        else:
            deviations, fisher = _tests(category, best, alone)
            shortfall = max(math.ceil(FOUR_FIFTHS * best.rate * category.rows) - category.selected, 0)
            reverses = None if rate == best.rate else _reverses(category, best)
    parts = parts_of(category.name, len(columns))
    return ImpactRow(
        category=category.name,
        parts=dict(zip(columns, parts, strict=True)),
        n=category.rows,
        share=category.mass / total if total else 0.0,
        selected=category.selected,
        rate=_rate(category),
        impact_ratio=ratio,
        shortfall=shortfall,
        standard_deviations=deviations,
        fisher_p=fisher,
        one_person_reverses=reverses,
        included=reason is None,
        below_four_fifths=below,
        reason=reason,
    )


def _rate(category: _Category) -> Number:
    if category.rate is None:
        return undefined(NO_WEIGHT, category.rows)
    low, high = rate_interval(category.k, category.n)
    small = bool(is_small(category.k, category.n))
    return Number(value=float(category.rate), n=category.rows, low=float(low), high=float(high), conservative=small)


def _ratio(category: _Category, best: _Category) -> Number:
    """The category's rate over the highest; exactly 1, and without an interval, where it is the highest itself."""
    if category.rate is None or not best.rate:
        raise ValueError("both categories must have a rate")
    n = category.rows if category is best else category.rows + best.rows
    value = float(category.rate / best.rate)
    if category.rate == best.rate:
        return Number(value=1.0, n=n)
    low, high = (float(x) for x in ratio_interval(category.k, category.n, best.k, best.n))
    small = bool(is_small(category.k, category.n) | is_small(best.k, best.n))
    return Number(value=value, n=n, low=low, high=high if math.isfinite(high) else None, conservative=small)


def _tests(category: _Category, best: _Category, alone: bool) -> tuple[Number, Number]:
    """Standard deviations between the two rates, and Fisher's exact p."""
    if category.rate == best.rate:
        missing = undefined(ALONE if alone else IS_HIGHEST, category.rows)
        return missing, missing
    from scipy.stats import fisher_exact

    k1, n1, k0, n0 = category.selected, category.rows, best.selected, best.rows
    pooled = (k1 + k0) / (n1 + n0)
    z = (k1 / n1 - k0 / n0) / math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    p = float(fisher_exact([[k1, n1 - k1], [k0, n0 - k0]]).pvalue)
    return Number(value=z, n=n1 + n0), Number(value=min(p, 1.0), n=n1 + n0)


def _reverses(category: _Category, best: _Category) -> bool:
    """Whether one person of the category in place of one of the highest gives it the higher rate of the two."""
    if category.selected == category.rows:
        return False
    return Fraction(category.selected + 1, category.rows) > Fraction(best.selected - 1, best.rows)
