"""What an audit does one layer at a time, for every layer of a sample: attribution, neutralisation, routing."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from fairheads.activations import Network
from fairheads.nets import MLP
from fairheads.pathways.attribution import UnitAttributions, attribute_units
from fairheads.pathways.fits import Fits, LayerData, every_fit, fits_of
from fairheads.pathways.neutralise import Neutralised, neutralise_units
from fairheads.pathways.routing import LayerRouting, route_layer
from fairheads.pathways.sample import Sample


class Tail(nn.Module):
    """The network from a layer on, as captum wants it: the activation is the input, and a module of its own.

    ``summed`` gives one sum for all rows, of which captum takes one derivative, rather than one a row.
    """

    def __init__(self, net: MLP, name: str, *, summed: bool = False) -> None:
        super().__init__()
        self.summed, self.here = summed, nn.Identity()
        self.rest = nn.Sequential(*list(net.backbone)[int(name.split(".")[1]) + 1 :], net.head)

    def forward(self, h: Tensor) -> Tensor:
        logits: Tensor = self.rest(self.here(h))[:, 0]
        return logits.sum().reshape(1) if self.summed else logits


def layers_of(sample: Sample) -> Iterator[LayerData]:
    """Every layer of the sample."""
    for name, h in sample.activations.items():
        yield LayerData.of(sample, name, h, sample.member)


def fitted(sample: Sample, intervals: bool) -> Iterator[tuple[LayerData, tuple[Fits, ...]]]:
    """Every layer with its fits; twins need no intervals."""
    for layer in layers_of(sample):
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
