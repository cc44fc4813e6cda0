"""What a verdict does not rest on and its reader wants to know: units, routes, two heads, what the head reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import blocks
from fairheads.errors import ConfigError, InputError
from fairheads.pathways.attribution import UnitAttributions, attribute_units
from fairheads.pathways.counterfactual import PairGenerator, column_flip, counterfactual_effect, flipped_rows
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
from fairheads.results import HeadReading, PathwayReport, Recovery

Floats = NDArray[np.float64]

DETAIL_ROWS = 5_000
"""Rows that are described. The verdict has more; here half the precision is enough and costs a quarter."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """What a network shows of what is described: its score, units and routes of every layer, the pathway neutralised at
    one, and that layer with its fits."""

    sample: Sample
    layer: LayerData
    fits: tuple[Fits, ...]
    units: tuple[UnitAttributions, ...]
    neutralised: tuple[Neutralised, ...]
    routes: tuple[LayerRouting, ...]

    @classmethod
    def of(
        cls, network: Network, pair: Pair, names: Sequence[str], place: str, direction: int, *, intervals: bool
    ) -> _Shown:
        """Layer by layer, so that the products of one layer's units are held at a time."""
        sample = collect(network, pair.data, pair.member, names, pair.seed)
        units, routes, neutralised = [], [], []
        for name in names:
            layer = LayerData.of(sample, name, sample.activations[name], pair.control)
            fits = every_fit(sample, layer) if intervals else (fits_of(sample, layer),)
            units.append(attribute_units(network, sample, layer, fits, pair.sign))
            routes.append(route_layer(network, sample, layer, fits))
            if name == place:
                chosen = layer, fits
                neutralised.append(neutralise_units(network, sample, layer, fits, pair.sign, direction))
        return cls(sample, *chosen, tuple(units), tuple(neutralised), tuple(routes))


def checked_flip(flip: PairGenerator | Sequence[str], pair: Pair) -> PairGenerator:
    """The function that flips the group in the inputs, tried on the rows that are described. No network is run.

    Parameters
    ----------
    flip : callable or sequence of str
        A pair generator, or the columns that hold the group: see `column_flip`.

    Raises
    ------
    ConfigError, InputError
        As `column_flip`, and `flipped_rows`.
    """
    made = flip if callable(flip) else column_flip(pair.data, pair.member, flip)
    flipped_rows(blocks(pair.at_most(DETAIL_ROWS).data), made)
    return made


def described(
    report: PathwayReport,
    network: Network,
    twins: Sequence[Network],
    pair: Pair,
    *,
    flip: PairGenerator | None = None,
) -> PathwayReport:
    """The report with its details: they are described beside the same in the twins, and no verdict rests on them.

    At most `DETAIL_ROWS` of the pair's rows are used. A detail that cannot be had is left out, and ``missing`` says
    why. A network that could not be judged has no details.

    Parameters
    ----------
    flip : callable, optional
        Exchanges the groups in the inputs: see `checked_flip`.
    """
    if report.effect is None:
        return report
    few = pair.at_most(DETAIL_ROWS)
    place, names = report.effect.layer, [layer.name for layer in report.layers]
    direction = 1 if report.effect.value >= 0 else -1
    own = _Shown.of(network, few, names, place, direction, intervals=True)
    strengths, scores, others = [], [], []
    for twin in twins:
        shown = _Shown.of(twin, few, names, place, direction, intervals=False)
        strengths.append(strength_of(shown.sample, shown.layer, shown.fits[0], few.sign))
        scores.append(shown.sample.score)
        others.append(shown)
    sample = own.sample
    head_taken_out, reading = _recovery(sample, own.layer, own.fits[0], scores), _reading(network, few, place)
    told = {"recovery": head_taken_out, "reading": reading}
    group, reference = few.names
    found = replace(
        report,
        two_heads=two_head_fit(sample, own.layer, own.fits, few, twin_scores=scores, twin_strengths=strengths),
        recovery=None if isinstance(head_taken_out, str) else head_taken_out,
        reading=None if isinstance(reading, str) else reading,
        counterfactual=None
        if flip is None
        else counterfactual_effect(network, sample, flip, few, layers={place: own.fits}),
        missing={name: why for name, why in told.items() if isinstance(why, str)},
        units=unit_report(
            own.units,
            [twin.units for twin in others],
            group=group,
            reference=reference,
            neutralised=own.neutralised,
            neutralised_twins=[twin.neutralised for twin in others],
            direction=direction,
            directed=few.orientation != 0,
            n=len(sample),
        ),
        routing=routing_report(
            own.routes,
            [twin.routes for twin in others],
            group=group,
            reference=reference,
            alpha=report.alpha,
            seed=few.seed,
            n=len(sample),
        ),
    )
    return with_details(found)


def _recovery(sample: Sample, layer: LayerData, fits: Fits, scores: Sequence[Floats]) -> Recovery | str:
    """What is recovered, or why nothing can be: a half of the rows may have one label alone."""
    if not scores:
        return "there are no twins, whose decisions could be recovered"
    try:
        return recovery(sample, layer, fits, scores)
    except InputError as error:
        return str(error).removesuffix(".")


def _reading(network: Network, pair: Pair, layer: str) -> HeadReading | str:
    """What is read, or why that cannot be seen: inputs may be of a kind, or a width, that is not attributed."""
    try:
        return head_reading(network, pair, layer)
    except (ConfigError, InputError) as error:
        return str(error).removesuffix(".")
