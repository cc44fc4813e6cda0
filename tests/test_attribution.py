"""Signed attribution of units: complete, equal to captum's, right in sign where a single gradient is wrong."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerConductance, LayerIntegratedGradients
from layers_for_tests import Tail, attribute_layers
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.nets import MLP, ResNet
from fairheads.pathways.attribution import (
    TOLERANCE,
    attribute_units,
    attributed,
    path_gradients,
)
from fairheads.pathways.effects import point_effects, shifts
from fairheads.pathways.fits import LayerData, every_fit, fits_of
from fairheads.pathways.intervals import jackknife_se
from fairheads.pathways.response import shifted_gradients
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Sample, collect
from fairheads.planted import plant_head, synthetic
from fairheads.training import Penalized, Unconstrained, train


@cache
def trained(activation: str = "relu", weight: float = 0.0) -> MLP:
    net = MLP(8, hidden=(16, 16, 16), activation=activation, seed=3)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    train(net, synthetic(4000, seed=0), objective, epochs=10, seed=3)
    return net


def sampled(net: nn.Module, n: int = 2000, layers: list[str] | None = None) -> tuple[TorchNetwork, Sample]:
    data, network = synthetic(n, seed=1), TorchNetwork(net, layers=layers)
    return network, collect(network, data, data.group == 1, network.layers(), 0)


def layer_of(sample: Sample, name: str) -> LayerData:
    return LayerData.of(sample, name, sample.activations[name], sample.member)


@pytest.mark.parametrize(("activation", "weight"), [("relu", 0.0), ("relu", 10.0), ("gelu", 10.0), ("tanh", 10.0)])
def test_attributions_add_up_to_the_swap_effect(activation: str, weight: float) -> None:
    network, sample = sampled(trained(activation, weight))
    for found in attribute_layers(network, sample, -1, intervals=False):
        layer = layer_of(sample, found.layer)
        swap = point_effects(network, sample, layer, fits_of(sample, layer)).swap
        assert found.effect == pytest.approx(swap, abs=1e-6)  # turned by -(-1)
        assert found.value.sum() == pytest.approx(swap, abs=TOLERANCE)
        assert found.completeness == pytest.approx(found.value.sum() - swap, abs=1e-6)
        assert np.abs(found.value).max() > 10 * TOLERANCE  # there is something to add up


def test_attributions_add_up_in_a_convolutional_network() -> None:
    rng = np.random.default_rng(0)
    group = (rng.random(700) < 0.4).astype(np.int64)
    X = rng.normal(size=(700, 3, 8, 8)) + 0.2 * group[:, None, None, None]
    y = (8 * X[:, 0].mean((1, 2)) + rng.normal(size=700) > 0.5).astype(np.int64)
    data = Dataset(X.astype(np.float32), y, group, group_names=("A", "B"))
    network = TorchNetwork(ResNet(3, widths=(8, 16), seed=0))
    names = [layer.name for layer in network.survey(next(iter(data)).inputs)]
    sample = collect(network, data, group == 1, names, 0)
    for found in attribute_layers(network, sample, 1, intervals=False):
        assert found.completeness == pytest.approx(0, abs=TOLERANCE)
        assert abs(found.effect) > 10 * TOLERANCE


@pytest.mark.parametrize("activation", ["relu", pytest.param("gelu", marks=pytest.mark.slow)])
def test_attributions_are_captums_on_the_same_contrast(activation: str) -> None:
    net = trained(activation, 10.0)
    network, sample = sampled(net, 1000)
    for name in network.layers()[:2]:
        layer = layer_of(sample, name)
        made = shifts(sample, layer, fits_of(sample, layer))
        path = path_gradients(network, sample, name, made.swap)
        ours = made.swap * path.gradient
        start = torch.as_tensor(layer.h)
        end = start + torch.as_tensor(made.swap)
        tail = Tail(net, name)
        by_path = LayerIntegratedGradients(tail, tail.here).attribute(end, start, n_steps=60)
        by_conductance = LayerConductance(tail, tail.here).attribute(end, start, n_steps=60)
        toward = np.where(sample.member, -1, 1) / len(sample) / sample.score.std()
        # Conductance takes differences of activations between steps, and is the coarser of the two.
        for theirs, tolerance in ((by_path, 1e-4), (by_conductance, 5e-4)):
            np.testing.assert_allclose(toward @ ours, toward @ theirs.detach().numpy(), atol=tolerance)
        assert np.abs(toward @ ours).max() > 0.03


def test_a_smooth_path_is_integrated_row_by_row() -> None:
    net = trained("tanh", 10.0)
    network, sample = sampled(net, 600)
    name = network.layers()[0]
    shift = np.random.default_rng(0).normal(scale=0.1, size=sample.activations[name].shape).astype(np.float32)
    path = path_gradients(network, sample, name, shift)
    start, tail = torch.as_tensor(sample.activations[name]), Tail(net, name)
    theirs = IntegratedGradients(tail).attribute(start + torch.as_tensor(shift), start, n_steps=50)
    np.testing.assert_allclose(shift * path.gradient, theirs.detach().numpy(), atol=2e-4)


class Gate(nn.Module):
    """Falls slowly everywhere but at a steep step: its derivative has the wrong sign at both ends of a path across."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.units(torch.stack([x[:, :4].mean(1), 4 * x[:, 4:].mean(1)], dim=1))
        return h[:, 0] + 3 * torch.sigmoid(12 * (h[:, 1] - 2)) - 0.2 * h[:, 1]


def test_a_single_gradient_gets_the_sign_of_a_saturating_gate_wrong() -> None:
    data = synthetic(3000, seed=1, proxy=2.0)
    network = TorchNetwork(Gate(), layers=["units"])
    sample = collect(network, data, data.group == 1, ["units"], 0)
    layer = layer_of(sample, "units")
    made = shifts(sample, layer, fits_of(sample, layer))
    (found,) = attribute_layers(network, sample, -1, intervals=False)
    _, single = shifted_gradients(network, sample, "units", np.zeros_like(layer.h))
    clear = np.abs(sample.activations["units"][:, 1] - 4) > 3  # rows well on one side of the step
    by_one_gradient = attributed(sample, made, single, -1, clear)
    along = path_gradients(network, sample, "units", made.swap).gradient
    by_path = attributed(sample, made, along, -1, clear)
    assert by_path[1] > 0.5
    assert by_one_gradient[1] < 0
    assert found.completeness == pytest.approx(0, abs=TOLERANCE)


def test_planted_units_carry_the_head_and_an_unused_one_nothing() -> None:
    base = trained()
    for strength in (2.0, 0.0, -2.0):
        net = plant_head(base, synthetic(4000, seed=0), group="B", strength=strength)
        network, sample = sampled(net)
        for found in attribute_layers(network, sample, -1, intervals=False):
            planted, rest = found.value[-2:], found.value[:-2]
            if strength:
                assert (np.sign(planted) == np.sign(strength)).all()
                assert np.abs(planted).min() > np.abs(rest).max()
            else:
                np.testing.assert_allclose(planted, 0, atol=1e-9)


def test_the_order_of_units_and_the_scale_of_the_logit_do_not_matter() -> None:
    net = trained("gelu", 10.0)
    other = MLP(8, hidden=(16, 16, 16), activation="gelu")
    other.load_state_dict(net.state_dict())
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = other.backbone[0], other.backbone[2]
        first.weight.copy_(first.weight[order])
        first.bias.copy_(first.bias[order])
        second.weight.copy_(second.weight[:, order])
        other.head.weight.mul_(7)
        other.head.bias.mul_(7)
    before, after = (attribute_layers(*sampled(n), -1, intervals=False) for n in (net, other))
    np.testing.assert_allclose(after[0].value, before[0].value[order.numpy()], atol=1e-4)
    np.testing.assert_allclose(after[2].value, before[2].value, atol=1e-4)


def test_swapped_groups_leave_turned_attributions() -> None:
    net = trained("relu", 10.0)
    data, network = synthetic(2000, seed=1), TorchNetwork(net)
    one, other = (
        attribute_layers(network, collect(network, data, member, network.layers(), 0), sign, intervals=False)
        for member, sign in ((data.group == 1, -1), (data.group == 0, 1))
    )
    for here, there in zip(one, other, strict=True):
        np.testing.assert_allclose(here.value, there.value, atol=1e-6)


@pytest.mark.slow
def test_standard_errors_refit_the_contrast_and_match_whole_refits() -> None:
    network, sample = sampled(trained("relu", 10.0), 2000)
    name = network.layers()[0]
    layer = layer_of(sample, name)
    refits = every_fit(sample, layer)
    found = attribute_units(network, sample, layer, refits, -1)
    whole = []
    for left_out in range(JACKKNIFE_BLOCKS):
        made = shifts(sample, layer, refits[1 + left_out])
        gradient = path_gradients(network, sample, name, made.swap).gradient
        whole.append(attributed(sample, made, gradient, -1, sample.without(left_out)))
    exact = jackknife_se(np.array(whole))
    large = exact > 0.2 * exact.max()
    np.testing.assert_allclose(found.se[large], exact[large], rtol=0.1)
    # With the contrast held too they would be far too small.
    made = shifts(sample, layer, refits[0])
    gradient = path_gradients(network, sample, name, made.swap).gradient
    held = [attributed(sample, made, gradient, -1, sample.without(b)) for b in range(JACKKNIFE_BLOCKS)]
    assert np.median(jackknife_se(np.array(held))[large] / exact[large]) < 0.8
