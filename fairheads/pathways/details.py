"""What a verdict does not rest on and its reader wants to know: units, routes, two heads, what the head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.errors import ConfigError, InputError
from fairheads.pathways.attribution import UnitAttributions, attribute_units
from fairheads.pathways.counterfactual import PairGenerator, column_flip, counterfactual_effect
from fairheads.pathways.evidence import with_details
from fairheads.pathways.fits import Fits, LayerData, every_fit, fits_of
from fairheads.pathways.neutralise import Neutralised, neutralise_units
from fairheads.pathways.pair import Pair
from fairheads.pathways.reads import head_reading
from fairheads.pathways.recovery import recovery
from fairheads.pathways.routes import routing_report
from fairheads.pathways.routing import LayerRouting, route_layer
from fairheads.pathways.sample import Sample, collect
from fairheads.pathways.two_head_fit import strength_of, two_head_fit
from fairheads.pathways.units import unit_report
from fairheads.results import CounterfactualEffect, HeadReading, PathwayReport, Recovery

Floats = NDArray[np.float64]

DETAIL_ROWS = 5_000
"""Rows that are described. The verdict has more; here half the precision is enough and costs a quarter."""


@dataclass(frozen=True, eq=False)
class _Twin:
    """What a twin shows of what is described."""

    score: Floats
    strength: float
    units: tuple[UnitAttributions, ...]
    neutralised: tuple[Neutralised, ...]
    routes: tuple[LayerRouting, ...]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A network's rows, and its layers with everything that was fitted to them."""

    network: Network
    sample: Sample
    layers: dict[str, tuple[LayerData, tuple[Fits, ...]]]

    @classmethod
    def of(cls, network: Network, pair: Pair, names: Sequence[str], *, intervals: bool) -> _Fitted:
        sample = collect(network, pair.data, pair.member, names, pair.seed)
        layers = {}
        for name in names:
            layer = LayerData.of(sample, name, sample.activations[name], pair.control)
            layers[name] = layer, every_fit(sample, layer) if intervals else (fits_of(sample, layer),)
        return cls(network, sample, layers)

    def units(self, sign: int) -> tuple[UnitAttributions, ...]:
        return tuple(attribute_units(self.network, self.sample, *layer, sign) for layer in self.layers.values())

    def neutralised(self, place: str, sign: int, direction: int) -> tuple[Neutralised, ...]:
        return (neutralise_units(self.network, self.sample, *self.layers[place], sign, direction),)

    def routes(self) -> tuple[LayerRouting, ...]:
        return tuple(route_layer(self.network, self.sample, *layer) for layer in self.layers.values())


def described(
    report: PathwayReport,
    network: Network,
    twins: Sequence[Network],
    pair: Pair,
    *,
    flip: PairGenerator | Sequence[str] | None = None,
) -> PathwayReport:
    """The report with its details: they are described beside the same in the twins, and no verdict rests on them.

    At most `DETAIL_ROWS` of the pair's rows are used. What needs gradients is left out where the network has none; a
    network that could not be judged has no details.

    Parameters
    ----------
    flip : callable or sequence of str, optional
        Exchanges the groups in the inputs: a pair generator, or the columns that hold the group.
    """
    if report.effect is None:
        return report
    few = pair.at_most(DETAIL_ROWS)
    place, names = report.effect.layer, [layer.name for layer in report.layers]
    direction = 1 if report.effect.value >= 0 else -1
    fitted = _Fitted.of(network, few, names, intervals=True)
    sample, (layer, refits) = fitted.sample, fitted.layers[place]
    others = [_twin(twin, few, names, place, direction) for twin in twins]
    scores = [twin.score for twin in others]
    found = replace(
        report,
        two_heads=two_head_fit(
            sample, layer, refits, few, twin_scores=scores, twin_strengths=[twin.strength for twin in others]
        ),
        recovery=_recovery(sample, layer, refits[0], scores),
        reading=_reading(network, few, place),
        counterfactual=_counterfactual(network, sample, flip, few, {place: refits}),
    )
    if not network.gradients:
        return with_details(found)
    group, reference = few.names
    found = replace(
        found,
        units=unit_report(
            fitted.units(few.sign),
            [twin.units for twin in others],
            group=group,
            reference=reference,
            neutralised=fitted.neutralised(place, few.sign, direction),
            neutralised_twins=[twin.neutralised for twin in others],
            direction=direction,
            n=len(sample),
        ),
        routing=routing_report(
            fitted.routes(),
            [twin.routes for twin in others],
            group=group,
            reference=reference,
            alpha=report.alpha,
            seed=few.seed,
            n=len(sample),
        ),
    )
    return with_details(found)


def _twin(twin: Network, pair: Pair, names: Sequence[str], place: str, direction: int) -> _Twin:
    fitted = _Fitted.of(twin, pair, names, intervals=False)
    layer, (fits,) = fitted.layers[place]
    return _Twin(
        score=fitted.sample.score,
        strength=strength_of(fitted.sample, layer, fits, pair.sign),
        units=fitted.units(pair.sign) if twin.gradients else (),
        neutralised=fitted.neutralised(place, pair.sign, direction) if twin.gradients else (),
        routes=fitted.routes() if twin.gradients else (),
    )


def _recovery(sample: Sample, layer: LayerData, fits: Fits, scores: Sequence[Floats]) -> Recovery | None:
    try:
        return recovery(sample, layer, fits, scores) if scores else None
    except InputError:  # all rows of a half have one label
        return None


def _reading(network: Network, pair: Pair, layer: str) -> HeadReading | None:
    try:
        return head_reading(network, pair, layer)
    except (ConfigError, InputError):  # inputs of a kind that cannot be attributed
        return None


def _counterfactual(
    network: Network,
    sample: Sample,
    flip: PairGenerator | Sequence[str] | None,
    pair: Pair,
    layers: Mapping[str, Sequence[Fits]],
) -> CounterfactualEffect | None:
    if flip is None:
        return None
    made = flip if callable(flip) else column_flip(pair.data, pair.member, flip)
    return counterfactual_effect(network, sample, made, pair, layers=layers)
