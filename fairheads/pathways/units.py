"""Which units make up the head: those that carry more of the group than ordinary networks' largest units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import ConfigError
from fairheads.pathways.attribution import UnitAttributions
from fairheads.pathways.beside import predictive_p, rank_p
from fairheads.pathways.intervals import jackknifed, pointwise_critical
from fairheads.pathways.neutralise import Neutralised
from fairheads.pathways.sample import JACKKNIFE_BLOCKS
from fairheads.results.units import LayerUnits, Neutralisation, UnitEffect, UnitReport

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RATE = 0.05
"""False discovery rate of the units that are named."""

SMALLEST = 0.01
"""Smallest attribution worth naming, in sd of the logit: a tenth of the margin of the swap effect."""

KEPT = 20
"""Units of a layer that a report tells of, besides those that are named: a layer may have thousands."""

FEWEST_TWINS = 3
"""Twins below which no unit is named: their spread cannot be told from two."""


@dataclass(frozen=True, eq=False)
class Discoveries:
    """How surprising every unit of a layer is, (units,): see `discover`."""

    p: Floats
    p_rank: Floats
    q: Floats
    discovered: Bools


def discover(
    values: Sequence[Floats], twins: Sequence[Sequence[Floats]], *, rate: float = RATE, smallest: float = SMALLEST
) -> tuple[Discoveries, ...]:
    """The units of a network that stand out of its twins', with the false discovery rate held over layers.

    Two networks have no units in common, and the units of one network depend on each other: only whole networks are
    exchangeable. So a unit's p is that of the largest unit of its layer: log of its size beside the twins' log of the
    largest size in that layer, predictive t with K - 1 degrees of freedom. That is a family-wise p within the layer,
    whatever the dependence of its units. Over layers Benjamini and Hochberg's rule takes the smallest p of each, and in
    the R of L layers that it selects the units with ``p <= rate R / L`` are named.

    Parameters
    ----------
    values : sequence of array (units,)
        Signed attribution of every unit, layer by layer.
    twins : sequence of the same
        Of networks trained alike without the constraint, by the same procedure.
    rate : float
        In a network that is like its twins the chance of any name is about ``rate``; in others the share of layers
        with a false name among the layers with names is, on average.
    smallest : float
        Smallest size that is named.

    Returns
    -------
    tuple of Discoveries
        A layer each. Without at least `FEWEST_TWINS` twins p and q are NaN and nothing is named.

    Raises
    ------
    ConfigError
        If the twins have other layers, or ``rate`` is not between 0 and 1.

    References
    ----------
    Benjamini & Bogomolov, Selective inference on multiple families of hypotheses, JRSS B 76 (2014).

    Notes
    -----
    Benjamini and Hochberg's rule over single units with the pooled units of the twins as null does not hold its rate:
    the units of a network come up together. The predictive t supposes that the log of the largest size is normal over
    seeds; ``p_rank``, which supposes nothing, is never below 1 / (K + 1) and stands beside it. What tests/test_units.py
    asserts: where that holds, the chance of any name is at most the rate, .1 or .2, with 3, 5 and 12 twins; of 52
    ordinary MLPs of 3 x 32 units, each beside 12 others, no more have a name than the rate allows; of the names in four
    with a head planted with strength 2 (`fairheads.planted.plant_head`) .9 are right, and .8 of its units are named.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> twins = [[rng.normal(size=50)] for _ in range(8)]
    >>> found = discover([np.append(rng.normal(size=49), 30.0)], twins)
    >>> np.flatnonzero(found[0].discovered)
    array([49])
    """
    if not 0 < rate < 1:
        raise ConfigError(f"`rate` must lie between 0 and 1, got {rate}.")
    if any(len(twin) != len(values) for twin in twins):
        raise ConfigError(f"`twins` must have the {len(values)} layers of the network, got {[len(t) for t in twins]}.")
    k = len(twins)
    ps, ranks = [], []
    for layer, value in enumerate(values):
        largest = np.array([np.abs(twin[layer]).max() for twin in twins])
        ps.append(_predictive_p(np.abs(value), largest))
        above = (largest[:, None] >= np.abs(value)).sum(0) if k else np.full(len(value), np.nan)
        ranks.append((1 + above) / (k + 1))
    qs = _q_values(ps)
    return tuple(
        Discoveries(p, rank, q, (q <= rate) & (np.abs(value) >= smallest))
        for p, rank, q, value in zip(ps, ranks, qs, values, strict=True)
    )


def _predictive_p(sizes: Floats, largest: Floats) -> Floats:
    """Chance that the largest unit of another such network is this large."""
    if len(largest) < FEWEST_TWINS or not (largest > 0).all():
        return np.full(len(sizes), np.nan)
    return predictive_p(np.log(np.maximum(sizes, 1e-30)), np.log(largest))


def _q_values(ps: Sequence[Floats]) -> list[Floats]:
    """The smallest rate at which each unit is named: the layer must be selected, and ``p <= rate R / L``."""
    smallest = np.sort([np.nanmin(p) if np.isfinite(p).any() else 1.0 for p in ps])
    layers, counts = len(ps), np.arange(1, len(ps) + 1)
    # The rate at which at least r layers are selected, for r = 1..L.
    enough = np.minimum.accumulate((layers * smallest / counts)[::-1])[::-1]
    return [np.maximum(enough, layers * p[:, None] / counts).min(1) for p in ps]


def unit_report(
    found: Sequence[UnitAttributions],
    twins: Sequence[Sequence[UnitAttributions]],
    *,
    group: str,
    reference: str,
    neutralised: Sequence[Neutralised] = (),
    neutralised_twins: Sequence[Sequence[Neutralised]] = (),
    direction: int = 1,
    directed: bool = True,
    n: int = 0,
) -> UnitReport:
    """Every unit with its interval and what the twins say of it, and the neutralised layers, as a result.

    Parameters
    ----------
    found : sequence of UnitAttributions
        Of `attribute_units` at every layer, with intervals.
    twins : sequence of the same
        Of each twin on the same rows; without intervals.
    group, reference : str
    neutralised, neutralised_twins : sequences of Neutralised
        Of `neutralise_units` on the network and on each twin.
    direction : int
        That of the neutralised units.
    directed : bool
        Whether the gap in labels has a direction.
    n : int
        Rows.
    """
    judged = discover([layer.value for layer in found], [[layer.value for layer in twin] for twin in twins])
    critical = pointwise_critical(JACKKNIFE_BLOCKS, 0.025)
    units = tuple(
        UnitEffect(
            layer=layer.layer,
            unit=unit,
            value=float(layer.value[unit]),
            low=float(layer.value[unit] - critical * layer.se[unit]),
            high=float(layer.value[unit] + critical * layer.se[unit]),
            p=float(one.p[unit]),
            p_rank=float(one.p_rank[unit]),
            q=float(one.q[unit]),
            discovered=bool(one.discovered[unit]),
        )
        for layer, one in zip(found, judged, strict=True)
        for unit in range(len(layer.value))
    )
    layers = tuple(
        LayerUnits(
            name=layer.layer,
            units=len(layer.value),
            effect=layer.effect,
            completeness=layer.completeness,
            largest_in_twins=tuple(float(np.abs(twin[i].value).max()) for twin in twins),
        )
        for i, layer in enumerate(found)
    )
    reason = ""
    if len(twins) < FEWEST_TWINS:
        reason = f"no unit is named with fewer than {FEWEST_TWINS} twins"
    elif not any(unit.discovered for unit in units):
        reason = "no unit carries more than the largest of a twin is likely to"
    return UnitReport(
        group=group,
        reference=reference,
        rate=RATE,
        smallest=SMALLEST,
        twins=len(twins),
        p_min=1 / (len(twins) + 1),
        reason=reason,
        layers=layers,
        units=_kept(units),
        every=units,
        neutralised=tuple(
            _neutralisation(one, [twin[i] for twin in neutralised_twins], direction, n)
            for i, one in enumerate(neutralised)
        ),
        directed=directed,
    )


def _kept(units: Sequence[UnitEffect]) -> tuple[UnitEffect, ...]:
    """Those that are named and the `KEPT` largest of every layer, in order."""
    largest: set[tuple[str, int]] = set()
    for layer in dict.fromkeys(unit.layer for unit in units):
        ranked = sorted((unit for unit in units if unit.layer == layer), key=lambda unit: -abs(unit.value))
        largest |= {(layer, unit.unit) for unit in ranked[:KEPT]}
    return tuple(unit for unit in units if unit.discovered or (unit.layer, unit.unit) in largest)


def _neutralisation(one: Neutralised, twins: Sequence[Neutralised], direction: int, n: int) -> Neutralisation:
    """A neutralised layer beside the twins'."""
    gaps = np.array([twin.gap for twin in twins])
    turned, others = direction * one.gap, direction * gaps
    gap, logit = (
        jackknifed(value, one.replicates[:, column], n, "no row can be moved")
        for column, value in enumerate((one.gap, one.logit))
    )
    return Neutralisation(
        layer=one.layer,
        direction=direction,
        units=one.units,
        gap=gap,
        logit=logit,
        twin_gaps=tuple(gaps.tolist()),
        twin_logits=tuple(twin.logit for twin in twins),
        p=float(predictive_p(turned, others)) if len(gaps) >= FEWEST_TWINS else float("nan"),
        p_rank=rank_p(turned, others) if len(gaps) else float("nan"),
    )
