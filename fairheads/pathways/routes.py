"""Routed or not: the dissociation of the groups' pathways beside that of the twins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import ConfigError
from fairheads.pathways.beside import rank_p
from fairheads.pathways.intervals import jackknife_se, simultaneous_critical
from fairheads.pathways.routing import FLOOR, LayerRouting
from fairheads.results import Number, undefined
from fairheads.results.routing import LayerRoutes, RoutingReport

Floats = NDArray[np.float64]

MARGIN, LEAST = 0.25, 2.0
"""How far the lower bound of the dissociation must lie above the largest twin's, and above what in any case: odds of
seven. Twins that happen to part the groups little would else make a network that was trained otherwise look routed."""


def routing_report(
    found: Sequence[LayerRouting],
    twins: Sequence[Sequence[LayerRouting]],
    *,
    group: str,
    reference: str,
    alpha: float = 0.05,
    seed: int = 0,
    n: int = 0,
) -> RoutingReport:
    """Whether the groups run through separate pathways, and the units of each.

    Routed is a network one of whose layers has a dissociation D with its lower bound, simultaneous over the layers,
    more than `MARGIN` above the largest D of any twin at any layer, and above `LEAST`.

    Parameters
    ----------
    found : sequence of LayerRouting
        Of `route_layer` at every layer, with intervals.
    twins : sequence of the same
        Of each twin on the same rows; without intervals.
    group, reference : str
    alpha : float
        Level of each bound, all layers together.
    seed : int
        Of the draws behind the simultaneous intervals.
    n : int
        Rows.

    Raises
    ------
    ConfigError
        If there is no layer, or the twins have others.
    """
    if not found or any(len(twin) != len(found) for twin in twins):
        raise ConfigError(f"`twins` must have the {len(found)} layers of the network, at least one of them.")
    numbers = _numbers(found, alpha, seed, n)
    others = [[layer.dissociation for layer in twin] for twin in twins]
    largest = max([0.0, *(d for twin in others for d in twin if np.isfinite(d))])
    lows = [number.value if number.low is None else number.low for number in numbers]
    best = int(np.argmax([low if np.isfinite(low) else -np.inf for low in lows]))
    threshold = threshold_beside(largest)
    routed, reason = _judged(numbers[best], lows[best], threshold, len(twins))
    highest = _highest([number.value for number in numbers])
    return RoutingReport(
        group=group,
        reference=reference,
        routed=routed,
        reason=reason,
        layer=found[best].layer,
        threshold=threshold,
        largest_in_twins=largest if twins else float("nan"),
        twins=len(twins),
        p_rank=rank_p(highest, [_highest(twin) for twin in others]),
        p_min=1 / (len(twins) + 1),
        layers=tuple(
            _layer(one, number, [twin[i] for twin in twins])
            for i, (one, number) in enumerate(zip(found, numbers, strict=True))
        ),
        reference_shares=tuple(found[best].shares[0].tolist()),
        group_shares=tuple(found[best].shares[1].tolist()),
    )


def threshold_beside(largest: float) -> float:
    """What the lower bound of a dissociation must exceed beside twins whose largest is this."""
    return max(largest + MARGIN, LEAST)


def _numbers(found: Sequence[LayerRouting], alpha: float, seed: int, n: int) -> list[Number]:
    """The dissociation of every layer with bounds that hold for all layers together."""
    columns = [layer.replicates for layer in found]
    refitted = all(len(column) for column in columns)
    half = np.full(len(found), np.nan)
    if refitted:
        replicates = np.column_stack(columns)
        half = simultaneous_critical(replicates, alpha, seed) * jackknife_se(replicates)
    numbers = []
    for layer, width in zip(found, half.tolist(), strict=True):
        d = layer.dissociation
        if not np.isfinite(d):
            numbers.append(undefined(f"neither group loses {FLOOR:.0%} of its variance without either pathway", n))
        elif refitted:
            numbers.append(Number(value=d, n=n, low=d - width, high=d + width))
        else:
            numbers.append(Number(value=d, n=n))
    return numbers


def _highest(values: Sequence[float]) -> float:
    """The largest dissociation over layers; 0 where nothing is lost."""
    return max((v for v in values if np.isfinite(v)), default=0.0)


def _judged(number: Number, low: float, threshold: float, twins: int) -> tuple[bool, str]:
    if not twins:
        return False, "there are no twins, and ordinary networks part the groups to some degree"
    if not np.isfinite(low):
        return False, f"{number.reason}, at any layer"
    if number.low is None:
        return False, "nothing was refitted, and without an interval no dissociation is shown"
    beside = f"the lower bound {low:.2f} of the dissociation"
    word = "exceeds" if low > threshold else "does not exceed"
    rule = f"{MARGIN} more than any twin, and at least {LEAST}"
    return low > threshold, f"{beside} {word} the threshold of {threshold:.2f} ({rule})"


def _layer(one: LayerRouting, number: Number, twins: Sequence[LayerRouting]) -> LayerRoutes:
    return LayerRoutes(
        name=one.layer,
        units=one.shares.shape[1],
        dissociation=number,
        matrix=tuple(tuple(row) for row in one.matrix.tolist()),
        overlap=one.overlap,
        reference_shares=tuple(one.shares[0].tolist()),
        group_shares=tuple(one.shares[1].tolist()),
        reference_units=one.units[0],
        group_units=one.units[1],
        twin_dissociations=tuple(twin.dissociation for twin in twins),
        twin_overlaps=tuple(twin.overlap for twin in twins),
    )
