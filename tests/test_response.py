"""Intervals by the derivative of the response are those of running on from every refitted move."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.nets import MLP
from fairheads.pathways import measure
from fairheads.pathways.effects import shifts
from fairheads.pathways.fits import LayerData, fits_of
from fairheads.pathways.intervals import jackknife_se
from fairheads.pathways.measure import LayerMeasure, measure_layer
from fairheads.pathways.response import response_near, shifted_gradients
from fairheads.pathways.sample import collect, shifted_scores
from fairheads.planted import synthetic
from fairheads.training import Penalized, Unconstrained, train


class WithoutGradients(TorchNetwork):
    gradients = False


@cache
def trained(activation: str, weight: float) -> MLP:
    net = MLP(8, hidden=(32, 32, 32), activation=activation, seed=3)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    train(net, synthetic(6000, seed=0), objective, epochs=15, seed=3)
    return net


def measured(network: TorchNetwork, rows: int, names: tuple[str, ...], name: str) -> LayerMeasure:
    data = synthetic(rows, seed=1)
    member = data.group == 1
    return measure_layer(network, collect(network, data, member, names, 0), name, member, -1)


def run_on(network: TorchNetwork, *at: object) -> LayerMeasure:
    """With every replicate run on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_by_derivative", lambda *_: None)
        return measured(network, *at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("activation", "weight"),
    [
        ("relu", 10.0),
        pytest.param("relu", 0.0, marks=pytest.mark.slow),
        pytest.param("gelu", 10.0, marks=pytest.mark.slow),
    ],
)
def test_standard_errors_are_those_of_running_on(activation: str, weight: float) -> None:
    net = trained(activation, weight)
    names = TorchNetwork(net).layers()
    for name in names:
        near, exact = measured(TorchNetwork(net), 4000, names, name), run_on(TorchNetwork(net), 4000, names, name)
        assert near.point == pytest.approx(exact.point, abs=1e-6)
        for quantity in ("swap", "erasure", "flips"):
            here, there = (m.column(quantity) for m in (near, exact))
            np.testing.assert_allclose(here, there, atol=0.003)
            np.testing.assert_allclose(jackknife_se(here[:, None]), jackknife_se(there[:, None]), rtol=0.03)
            assert jackknife_se(there[:, None])[0] > 0.002  # there is something to compare


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_short_steps_are_the_derivative_where_there_are_no_gradients(activation: str) -> None:
    net = trained(activation, 10.0)
    names = TorchNetwork(net).layers()
    for name in names[:2]:
        near, steps, exact = (
            way(kind(net), 2000, names, name)
            for way, kind in ((measured, TorchNetwork), (measured, WithoutGradients), (run_on, TorchNetwork))
        )
        assert steps.point == pytest.approx(near.point, abs=1e-6)
        apart = [np.abs(near.column("swap") - other.column("swap")).max() for other in (steps, exact)]
        assert apart[0] < 2e-5 < 1e-4 < apart[1]


def test_a_response_is_exact_at_its_move_and_of_first_order_around_it() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))
    network, data = TorchNetwork(net.double()), synthetic(1100, seed=0)
    sample = collect(network, data, data.group == 1, ["1"], 0)
    sample = replace(sample, activations={"1": sample.activations["1"]})
    layer = LayerData.of(sample, "1", sample.activations["1"], sample.member)
    made = shifts(sample, layer, fits_of(sample, layer))
    response = response_near(network, sample, "1", made.swap)
    np.testing.assert_allclose(response(made.swap), shifted_scores(network, sample, "1", made.swap), atol=1e-12)
    direction = np.random.default_rng(0).normal(size=made.swap.shape).astype(np.float32)
    errors = [
        np.abs(
            response(made.swap + size * direction) - shifted_scores(network, sample, "1", made.swap + size * direction)
        ).max()
        for size in (np.float32(0.1), np.float32(0.01))
    ]
    assert errors[1] < errors[0] / 50  # of second order: a tenth of the way, a hundredth of the error
    assert errors[0] > 1e-3


def test_gradients_of_all_blocks_are_in_the_order_of_the_rows() -> None:
    net, data = MLP(8, hidden=(6,), seed=0), synthetic(1100, seed=0)
    network = TorchNetwork(net)
    sample = collect(network, data, data.group == 1, ["backbone.1"], 0)
    still = np.zeros((len(data), 6), np.float32)
    score, gradient = shifted_gradients(network, sample, "backbone.1", still)
    np.testing.assert_array_equal(score, sample.score)
    np.testing.assert_allclose(gradient, np.broadcast_to(net.head.weight.detach().numpy(), gradient.shape), atol=1e-7)


class Steps(nn.Module):
    """A network that rounds what a layer gives: the derivative is 0 everywhere and says nothing."""

    def __init__(self, net: MLP) -> None:
        super().__init__()
        self.first, self.act, self.rest = net.backbone[0], net.backbone[1], nn.Sequential(*net.backbone[2:], net.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(torch.round(4 * self.act(self.first(x))) / 4)


class Cut(Steps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.act(self.first(x)).detach())


@pytest.mark.parametrize("kind", [Steps, Cut])
def test_where_the_derivative_is_no_guide_every_replicate_is_run_on(kind: type[Steps]) -> None:
    net = kind(trained("relu", 10.0))
    near, exact = (way(TorchNetwork(net), 2000, ("act",), "act") for way in (measured, run_on))
    np.testing.assert_array_equal(near.replicates, exact.replicates)
    assert jackknife_se(exact.replicates).min() >= 0 and jackknife_se(near.column("swap")[:, None])[0] > 0.005


def test_where_short_steps_are_no_guide_every_replicate_is_run_on() -> None:
    net = Steps(trained("relu", 10.0))
    steps, exact = (way(WithoutGradients(net), 2000, ("act",), "act") for way in (measured, run_on))
    np.testing.assert_array_equal(steps.replicates, exact.replicates)
