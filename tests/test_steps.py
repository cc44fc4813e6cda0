"""Units told apart without gradients: steps add up, are the integral where that can be, and find what was planted."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from layers_for_tests import attribute_layers, fitted, route_layers
from torch import Tensor, nn

from fairheads.activations import Network, OnnxNetwork, TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.nets import MLP
from fairheads.pathways import steps
from fairheads.pathways.attribution import attribute_units, path_gradients
from fairheads.pathways.effects import shifts
from fairheads.pathways.response import shifted_gradients
from fairheads.pathways.routing import contribution_shares
from fairheads.pathways.sample import Sample, collect
from fairheads.pathways.steps import FEWEST, OF_EACH, PASSES, TURNS, slopes, walked, walked_rows
from fairheads.pathways.units import discover
from fairheads.planted import plant_head, synthetic
from fairheads.training import Penalized, Unconstrained, train

pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")

from onnx_for_tests import exported

NEAR = 0.02
"""Largest difference from the integral where units bend along the path, as a share of the largest attribution."""


class WithoutGradients(TorchNetwork):
    gradients = False


@cache
def trained(activation: str = "relu", weight: float = 0.0, seed: int = 3) -> MLP:
    net = MLP(8, hidden=(16, 16), activation=activation, seed=seed)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    train(net, synthetic(3000, seed=0), objective, epochs=8, seed=seed)
    return net


def sampled(network: Network, n: int = 1200) -> tuple[Network, Sample]:
    data = synthetic(n, seed=1)
    names = [layer.name for layer in network.survey(data.inputs)]
    return network, collect(network, data, data.group == 1, names, 0)


def as_onnx(net: nn.Module) -> OnnxNetwork:
    return OnnxNetwork(exported(net, {"x": torch.zeros(2, 8)}))


@pytest.mark.parametrize(("activation", "weight"), [("relu", 0.0), ("relu", 10.0), ("tanh", 10.0)])
def test_an_onnx_graph_has_the_unit_attributions_of_its_torch_network(activation: str, weight: float) -> None:
    """To 1e-5 in the last hidden layer, on which the score is linear: there every path has the same slopes. Before it
    units bend along the path, and steps go another way than the straight one."""
    net = trained(activation, weight)
    ours, theirs = attribute_layers(*sampled(as_onnx(net)), -1), attribute_layers(*sampled(TorchNetwork(net)), -1)
    for here, there, near in zip(ours, theirs, (NEAR * np.abs(theirs[0].value).max(), 1e-5), strict=True):
        assert abs(here.completeness) < 1e-6
        np.testing.assert_allclose(here.value, there.value, atol=near)
        np.testing.assert_allclose(
            here.se, there.se, atol=max(2 * near, 1e-4)
        )  # a still unit has no slope to refit with
        assert here.effect == pytest.approx(there.effect, abs=1e-6) and np.abs(there.value).max() > 0.02
    _, sample = sampled(TorchNetwork(net))
    (layer, (fits,)), *_ = fitted(sample, False)
    made = shifts(sample, layer, fits)
    single = shifted_gradients(TorchNetwork(net), sample, layer.name, np.zeros_like(layer.h))[1]
    change = path_gradients(TorchNetwork(net), sample, layer.name, made.swap).score - sample.score
    of_one_gradient = np.einsum("nu,nu->n", made.swap, single)
    assert np.abs(of_one_gradient - change).max() > 0.02  # what does not walk the path does not add up


class Parabola(nn.Module):
    """The score is a quadratic form of its units."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Identity()
        form = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        self.form = nn.Parameter(form + form.T)

    def forward(self, x: Tensor) -> Tensor:
        h = self.units(x[:, :4])
        return ((h @ self.form) * h).sum(1)


def test_steps_to_and_fro_are_the_integral_of_a_parabola(monkeypatch: pytest.MonkeyPatch) -> None:
    network = TorchNetwork(Parabola(), layers=["units"])
    _, sample = sampled(network)
    way = np.random.default_rng(0).normal(size=(len(sample), 4)).astype(np.float32)
    h, form = sample.activations["units"], network.module.form.detach().numpy()
    exact = 2 * (h + way / 2) @ form
    every = np.ones(len(sample), bool)

    def apart() -> float:
        return float(np.abs((walked(network, sample, "units", way, every) - exact) * way).max())

    assert apart() < 1e-3
    monkeypatch.setattr(steps, "TURNS", 1)
    assert apart() > 0.1  # one way alone gives to units that go first what is not theirs


@pytest.mark.parametrize("strength", [2.0, 0.0])
def test_planted_units_are_found_and_unused_ones_carry_nothing(strength: float) -> None:
    net = plant_head(trained(), synthetic(3000, seed=0), group="B", strength=strength)
    for found in attribute_layers(*sampled(as_onnx(net)), -1, intervals=False):
        planted, rest = found.value[-2:], found.value[:-2]
        if strength:
            assert (planted > 0).all() and planted.min() > np.abs(rest).max()
        else:
            np.testing.assert_allclose(planted, 0, atol=1e-6)
            assert np.abs(rest).max() > 0.02


def test_rows_are_as_many_as_the_passes_allow_and_those_of_every_block_alike() -> None:
    _, sample = sampled(TorchNetwork(trained()), 3000)
    assert walked_rows(sample, 16).all()
    for units in (200, 5000):
        rows = walked_rows(sample, units)
        most = max(FEWEST, PASSES // (TURNS * units))
        assert most <= rows.sum() < most + 20 + 2 * OF_EACH
        assert units == 5000 or np.ptp(np.bincount(sample.block[rows])) == 0
        assert np.array_equal(rows, walked_rows(sample, units))


def test_of_a_rare_group_there_are_several_rows_in_every_fold() -> None:
    data = synthetic(3000, seed=1)
    rare = np.zeros(len(data), bool)
    rare[np.flatnonzero(data.group == 1)[:60]] = True
    network = WithoutGradients(trained())
    sample = collect(network, data, rare, network.layers(), 0)
    rows = walked_rows(sample, 5000)
    for fold in (0, 1):
        assert (rows & rare & (sample.fold == fold)).sum() == min(OF_EACH, (rare & (sample.fold == fold)).sum())
    assert FEWEST < rows.sum() <= FEWEST + 2 * OF_EACH


def test_some_rows_tell_what_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sample = sampled(WithoutGradients(trained("relu", 10.0)), 2000)
    layer, refits = next(iter(fitted(sample, True)))
    whole = attribute_units(network, sample, layer, refits, -1)
    monkeypatch.setattr(steps, "PASSES", 500 * TURNS * layer.units)
    part = attribute_units(network, sample, layer, refits, -1)
    assert walked_rows(sample, layer.units).sum() == 500 and abs(part.completeness) < 1e-6
    assert not np.array_equal(part.value, whole.value)
    large = np.abs(whole.value) > 0.01
    assert (np.abs(part.value - whole.value)[large] < 4 * part.se[large]).all()
    assert np.corrcoef(part.value, whole.value)[0, 1] > 0.95


def test_rows_that_no_full_fit_moves_have_slopes_for_the_refits() -> None:
    network, sample = sampled(WithoutGradients(trained()), 600)
    (name, *_), rows = sample.activations, sample.member & (sample.y == 1)
    shift = np.full(sample.activations[name].shape, 0.1, np.float32)
    shift[rows] = 0
    found = path_gradients(network, sample, name, shift)
    assert np.abs(found.error).max() < 1e-5 and found.rows.all()
    there = shifted_gradients(TorchNetwork(trained()), sample, name, np.zeros_like(shift))[1][rows]
    assert np.corrcoef(found.gradient[rows].ravel(), there.ravel())[0, 1] > 0.95


def test_slopes_have_the_shares_of_gradients() -> None:
    net = trained("relu", 10.0)
    network, sample = sampled(as_onnx(net))
    _, same = sampled(TorchNetwork(net))
    for (layer, _), name in zip(fitted(sample, False), same.activations, strict=True):
        slope = slopes(network, sample, layer, np.ones(len(sample), bool))
        gradient = shifted_gradients(TorchNetwork(net), same, name, np.zeros_like(layer.h))[1]
        here, there = (contribution_shares(each * layer.h, sample.member) for each in (slope, gradient))
        np.testing.assert_allclose(here, there, atol=0.03 * there.max())
        assert np.ptp(there) > 0.1


def test_routes_are_those_of_the_torch_network() -> None:
    net = trained("relu", 10.0)
    ours, theirs = (route_layers(*sampled(network), intervals=False) for network in (as_onnx(net), TorchNetwork(net)))
    for here, there in zip(ours, theirs, strict=True):
        assert here.units == there.units and here.units != ((), ())
        np.testing.assert_allclose(here.matrix, there.matrix, atol=1e-4)
        assert here.overlap == pytest.approx(there.overlap, abs=5e-3)


@pytest.mark.slow
def test_of_ordinary_networks_no_more_have_a_name_than_the_rate_allows() -> None:
    values = [
        [
            layer.value
            for layer in attribute_layers(*sampled(WithoutGradients(trained(seed=100 + i))), -1, intervals=False)
        ]
        for i in range(16)
    ]
    named = [
        any(layer.discovered.any() for layer in discover(own, [other for other in values if other is not own]))
        for own in values
    ]
    assert sum(named) <= 3  # of 16 at a rate of .05: more come up once in a hundred times
    head = plant_head(trained(), synthetic(3000, seed=0), group="B", strength=2.0)
    found = [layer.value for layer in attribute_layers(*sampled(as_onnx(head)), -1, intervals=False)]
    names = [np.flatnonzero(layer.discovered) for layer in discover(found, values)]
    assert all(set(layer) <= {16, 17} for layer in names) and sum(map(len, names)) >= 3
