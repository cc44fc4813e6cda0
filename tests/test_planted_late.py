"""A planted head that enters at a chosen layer: what it adds, what stays as it was, and where an effect shows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.pathways import analyze_pathways
from fairheads.planted import (
    GroupEstimate,
    Recipe,
    Setting,
    World,
    added_head,
    gate,
    in_another_basis,
    late_head,
    plant,
    straight,
    unconstrained,
)
from fairheads.planted.truth import scores
from fairheads.planted.wired import depth_of

PLACES = [("table", 0), ("table", 1), ("table", 2), ("image", 0), ("image", 1), ("tokens", 0), ("tokens", 1)]
LATER = [(kind, layer) for kind, layer in PLACES if layer > 0]


@cache
def setting(kind: str = "table") -> Setting:
    """Trained as little as structure needs."""
    return Setting.drawn(World(kind=kind), 600, seed=1, recipe=Recipe(epochs=1, batch_size=128), n_validation=600)


@cache
def trained() -> Setting:
    """A table on which the network learns merit, so that its own effect of the group is small."""
    return Setting.drawn(World(gap=0.6), 3000, seed=0, recipe=Recipe(epochs=15, batch_size=128), n_validation=3000)


def some(kind: str) -> Dataset:
    return setting(kind).validation.take(np.arange(200))


def tapped(net: nn.Module, data: Dataset) -> dict[str, NDArray[np.float32]]:
    run = TorchNetwork(net)
    with run.tap(run.layers()) as seen:
        run.forward(data.inputs)
    return dict(seen)


def silenced(net: nn.Module, layer: str, data: Dataset) -> NDArray[np.float64]:
    """Logits when everything in a layer is 0."""
    run = TorchNetwork(net)
    with run.edit(layer, np.zeros_like):
        return run.forward(data.inputs)


@pytest.mark.parametrize(("kind", "layer"), PLACES)
def test_the_logit_is_the_old_one_plus_what_was_wired_from_that_layer_on(kind: str, layer: int) -> None:
    net, data = setting(kind).unconstrained, some(kind)
    estimate = setting(kind).estimate
    depth = depth_of(net) - layer
    for wiring in (straight(depth).scaled(2.0), gate(depth, -0.1, 0.1)):
        added = wiring.contribution(estimate.on(data))
        made = plant(net, estimate, wiring, layer=layer)
        assert added.std() > 0.1
        assert np.allclose(scores(made, data), scores(net, data) + added, atol=1e-4)


@pytest.mark.parametrize(("kind", "layer"), PLACES)
def test_layers_before_are_those_of_the_unconstrained_network_and_the_others_hold_the_estimate(
    kind: str, layer: int
) -> None:
    made = late_head(setting(kind), layer=layer, strength=2.0)
    data, net = some(kind), made.setting.unconstrained
    before, after = tapped(net, data), tapped(made.network, data)
    names = list(TorchNetwork(net).layers())
    assert list(after) == names
    assert list(made.units) == names[layer:]
    for name in names[:layer]:
        assert np.array_equal(after[name], before[name])
    for name, units in made.units.items():
        width = before[name].shape[1]
        assert units == (width, width + 1) and after[name].shape[1] == width + 2
        assert np.allclose(after[name][:, :width], before[name], atol=1e-5)
        assert np.allclose(after[name][:, width] - after[name][:, width + 1], made.setting.estimate.on(data), atol=1e-5)


@pytest.mark.parametrize(("kind", "layer"), LATER)
def test_what_is_done_to_layers_before_does_not_reach_the_head(kind: str, layer: int) -> None:
    made = late_head(setting(kind), layer=layer, strength=2.0)
    data, net = some(kind), made.setting.unconstrained
    said = scores(made.network, data) - scores(net, data)
    assert said.std() > 0.1
    names = TorchNetwork(net).layers()
    for name in names[:layer]:
        assert np.allclose(silenced(made.network, name, data) - silenced(net, name, data), said, atol=1e-4)
        assert np.abs(silenced(net, name, data) - scores(net, data)).max() > 0.01
    for name in names[layer:]:
        left = silenced(made.network, name, data) - silenced(net, name, data)
        assert np.ptp(left) < 1e-4 < np.ptp(said)


def test_the_first_layer_gives_the_planted_head() -> None:
    for kind in ("table", "image"):
        first, plain = late_head(setting(kind), layer=0, strength=2.0), added_head(setting(kind), strength=2.0)
        assert np.array_equal(scores(first.network, some(kind)), scores(plain.network, some(kind)))
        assert first.units == plain.units and first.truth == plain.truth


def test_all_layers_give_one_function_and_one_strength() -> None:
    first, *later = (late_head(trained(), layer=layer) for layer in range(3))
    assert first.strength > 1
    for made in later:
        assert made.strength == first.strength
        assert made.true_effect == pytest.approx(first.true_effect, abs=1e-4)


@pytest.mark.parametrize(("kind", "layer"), LATER)
def test_a_late_head_can_be_rotated_and_planted_beside(kind: str, layer: int) -> None:
    made, data = late_head(setting(kind), layer=layer, strength=2.0), some(kind)
    turned = in_another_basis(made)
    assert TorchNetwork(turned.network).layers() == TorchNetwork(made.network).layers()
    assert np.allclose(scores(turned.network, data), scores(made.network, data), atol=1e-3)
    estimate = GroupEstimate(setting(kind).rows, "A")
    both = plant(made.network, estimate, straight(depth_of(made.network)))
    assert np.allclose(scores(both, data), scores(made.network, data) + estimate.on(data), atol=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_an_audit_sees_the_effect_from_the_planted_layer_on(layer: int) -> None:
    made, rows = late_head(trained(), layer=layer), trained().audit_rows(3000)
    report = analyze_pathways(made.network, rows, details=False)["B"]
    swaps = [each.swap.value for each in report.layers if each.swap.value is not None]
    assert len(swaps) == 3
    assert all(abs(effect) < 0.1 for effect in swaps[:layer])
    assert all(effect > 0.3 for effect in swaps[layer:])
    assert report.emerges_at == next(iter(made.units))


def test_an_audit_sees_no_effect_emerge_where_nothing_was_planted() -> None:
    for net in (unconstrained(trained()).network, late_head(trained(), layer=1, strength=0.0).network):
        report = analyze_pathways(net, trained().audit_rows(3000), details=False)["B"]
        assert report.emerges_at is None
        assert all(each.swap.value is not None and abs(each.swap.value) < 0.1 for each in report.layers)


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_that_is_not_there_is_refused(layer: int) -> None:
    with pytest.raises(ConfigError, match=rf"`layer` must be from 0 to 2 in a network of 3 layers, got {layer}\."):
        late_head(setting(), layer=layer, strength=1.0)


def test_a_wiring_that_does_not_reach_from_the_layer_to_the_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be 2 layers deep"):
        plant(setting().unconstrained, setting().estimate, straight(3), layer=1)
