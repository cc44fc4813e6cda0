"""What an audit does one layer at a time, for every layer of a sample: attribution, neutralisation, routing."""

from __future__ import annotations

from collections.abc import Iterator

from fairheads.activations import Network
from fairheads.pathways.attribution import UnitAttributions, attribute_units
from fairheads.pathways.fits import Fits, LayerData, every_fit, fits_of
from fairheads.pathways.neutralise import Neutralised, neutralise_units
from fairheads.pathways.routing import LayerRouting, route_layer
from fairheads.pathways.sample import Sample


def fitted(sample: Sample, intervals: bool) -> Iterator[tuple[LayerData, tuple[Fits, ...]]]:
    """Every layer with its fits; twins need no intervals."""
    for name, h in sample.activations.items():
        layer = LayerData.of(sample, name, h, sample.member)
        yield layer, every_fit(sample, layer) if intervals else (fits_of(sample, layer),)


def attribute_layers(
    network: Network, sample: Sample, sign: int, *, intervals: bool = True
) -> tuple[UnitAttributions, ...]:
    return tuple(attribute_units(network, sample, layer, fits, sign) for layer, fits in fitted(sample, intervals))


def neutralise_layers(
    network: Network, sample: Sample, sign: int, direction: int = 1, *, intervals: bool = True
) -> tuple[Neutralised, ...]:
    return tuple(
        neutralise_units(network, sample, layer, fits, sign, direction) for layer, fits in fitted(sample, intervals)
    )


def route_layers(network: Network, sample: Sample, *, intervals: bool = True) -> tuple[LayerRouting, ...]:
    return tuple(route_layer(network, sample, layer, fits) for layer, fits in fitted(sample, intervals))
