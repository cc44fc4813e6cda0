"""Pathways of their own: seen in a network of two experts, not in ordinary, constrained or two-headed ones."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import matplotlib
import numpy as np
import pytest
import torch
from layers_for_tests import route_layers
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.errors import ConfigError
from fairheads.nets import MLP
from fairheads.pathways import routing
from fairheads.pathways.fits import BINS, LayerData, every_fit, fits_of
from fairheads.pathways.intervals import jackknife_se
from fairheads.pathways.routes import LEAST, MARGIN, routing_report
from fairheads.pathways.routing import (
    FLOOR,
    LayerRouting,
    contribution_shares,
    dissociation,
    lost_variance,
    most_tilted,
    route_layer,
)
from fairheads.pathways.sample import Sample, collect, shifted_scores
from fairheads.planted import plant_head, synthetic
from fairheads.results import RoutingReport
from fairheads.training import Penalized, Unconstrained, train

matplotlib.use("Agg")

EXPERTS = ["first", "second", "third"]
WIDTH = 24


@cache
def trained(seed: int, weight: float = 0.0) -> MLP:
    net = MLP(8, hidden=(WIDTH, WIDTH, WIDTH), seed=seed)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    train(net, synthetic(6000, seed=0, proxy=1.5), objective, epochs=15, seed=seed)
    return net


class Experts(nn.Module):
    """Two networks side by side, of which a gate of the proxies silences one at every layer."""

    def __init__(self, group: MLP, others: MLP) -> None:
        super().__init__()
        self.group, self.others = group, others
        self.first, self.second, self.third = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        gate = ((x[:, 4:].mean(1, keepdim=True) - 0.75) * 4 + 0.5).clamp(0, 1)
        one, other = x, x
        for i, layer in enumerate((self.first, self.second, self.third)):
            one, other = (net.backbone[2 * i : 2 * i + 2](h) for net, h in ((self.group, one), (self.others, other)))
            one, other = layer(torch.cat([one * gate, other * (1 - gate)], dim=1)).split(WIDTH, dim=1)
        mixed: Tensor = self.group.head(one) * gate + self.others.head(other) * (1 - gate)
        return mixed


def sampled(net: nn.Module, layers: list[str] | None = None, n: int = 4000) -> tuple[TorchNetwork, Sample]:
    data, network = synthetic(n, seed=1, proxy=1.5), TorchNetwork(net, layers=layers)
    return network, collect(network, data, data.group == 1, network.layers(), 0)


@cache
def twins() -> tuple[tuple[LayerRouting, ...], ...]:
    return tuple(route_layers(*sampled(trained(100 + i)), intervals=False) for i in range(4))


@cache
def experts() -> tuple[LayerRouting, ...]:
    return route_layers(*sampled(Experts(trained(1), trained(2)), EXPERTS))


def judged(found: tuple[LayerRouting, ...]) -> RoutingReport:
    return routing_report(found, twins(), group="B", reference="A", n=3000)


# ---------------------------------------------------------------- known answers


def test_two_experts_are_routed_and_their_units_are_named() -> None:
    report = judged(experts())
    assert report.routed
    for layer in report.layers:
        assert layer.dissociation.value > 3
        of_group = np.array(layer.group_units) < WIDTH
        of_reference = np.array(layer.reference_units) >= WIDTH
        assert of_group.mean() > 0.9 and of_reference.mean() > 0.9
        assert min(len(layer.group_units), len(layer.reference_units)) >= 8
        assert layer.overlap < 0.75 < min(layer.twin_overlaps)
        (own, others), (of_reference_lost, own_group) = layer.matrix
        assert min(own, own_group) > 0.3 > 0.15 > max(others, of_reference_lost)


@pytest.mark.parametrize("name", ["ordinary", "penalised", "planted head"])
def test_other_networks_are_not_routed(name: str) -> None:
    net = trained(1, 10.0 if name == "penalised" else 0.0)
    if name == "planted head":
        net = plant_head(net, synthetic(6000, seed=0, proxy=1.5), group="B", strength=2.0)
    report = judged(route_layers(*sampled(net)))
    assert not report.routed
    assert all(not layer.dissociation.value > 3 for layer in report.layers)


def test_units_named_for_other_groups_swap_with_the_groups() -> None:
    data, network = synthetic(2000, seed=1, proxy=1.5), TorchNetwork(Experts(trained(1), trained(2)), layers=["second"])
    one, other = (
        route_layers(network, collect(network, data, member, ["second"], 0), intervals=False)[0]
        for member in (data.group == 1, data.group == 0)
    )
    assert one.dissociation == pytest.approx(other.dissociation, abs=1e-6)
    assert one.units == other.units[::-1]
    np.testing.assert_allclose(one.matrix, other.matrix[::-1, ::-1], atol=1e-6)


def test_the_scale_of_the_logit_does_not_matter() -> None:
    net = Experts(trained(1), trained(2))
    before = route_layers(*sampled(net, ["second"], 2000), intervals=False)[0]
    scaled = route_layers(*sampled(nn.Sequential(net, Times(5.0)), ["0.second"], 2000), intervals=False)[0]
    assert scaled.units == before.units
    np.testing.assert_allclose(scaled.matrix, before.matrix, atol=1e-4)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


# ---------------------------------------------------------------- the parts


def test_the_matrix_is_that_of_running_on_with_means_put_in_by_hand() -> None:
    network, sample = sampled(Experts(trained(1), trained(2)), ["second"])
    layer = LayerData.of(sample, "second", sample.activations["second"], sample.member)
    fits = fits_of(sample, layer)
    found = route_layer(network, sample, layer, (fits,))
    gradients = [network.gradient(batch.inputs, "second")[1] for batch in sample.batches]
    contribution = np.concatenate(gradients) * layer.h
    for a in (0, 1):
        moved, covered = layer.h.astype(np.float64), np.zeros(len(sample), bool)
        for fold, fit in enumerate(fits):
            other, rows = sample.fold != fold, sample.fold == fold
            bins = np.searchsorted(fit.edges, layer.z @ fit.merit.astype(np.float32))
            units = most_tilted(contribution_shares(contribution[other], sample.member[other]), a)
            for b in range(BINS):
                here = np.flatnonzero(rows & (bins == b))
                if fit.enough[b]:
                    sides = [layer.h[other & (bins == b) & (sample.member == g)].mean(0) for g in (False, True)]
                    moved[np.ix_(here, units)] = np.mean(sides, axis=0)[units]
                    covered[here] = True
        after = shifted_scores(network, sample, "second", (moved - layer.h).astype(np.float32))
        np.testing.assert_allclose(found.matrix[a], lost_variance(sample, after, covered), atol=2e-3)


def test_shares_are_of_the_spread_in_each_group() -> None:
    member = np.array([False, False, True, True])
    contribution = np.array([[1, 0, 5], [3, 0, 5], [0, 2, 5], [0, 8, 5]], np.float32)
    np.testing.assert_allclose(contribution_shares(contribution, member), [[1, 0, 0], [0, 1, 0]])


def test_a_pathway_is_a_quarter_of_the_units_and_only_of_tilted_ones() -> None:
    shares = np.array([[0.4, 0.3, 0.1, 0.1, 0.1, 0, 0, 0], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3]])
    assert most_tilted(shares, 0).tolist() == [0, 1]
    assert most_tilted(shares, 1).tolist() == [5, 7]
    assert most_tilted(np.full((2, 8), 0.125), 0).tolist() == []


def test_dissociation_is_zero_where_all_is_lost_alike_and_undefined_where_nothing_is() -> None:
    assert dissociation(np.full((2, 2), 0.4)) == 0
    assert dissociation(np.array([[0.5, 0.05], [0.05, 0.5]])) == pytest.approx(2 * np.log(10))
    nothing = LayerRouting("a", np.full((2, 2), FLOOR), np.full((2, 4), 0.25), 1.0, ((), ()), np.zeros(20))
    assert np.isnan(nothing.dissociation)
    report = routing_report([nothing], [[nothing]], group="B", reference="A")
    assert not report.routed
    assert report.layers[0].dissociation.reason is not None and "5%" in report.layers[0].dissociation.reason


def test_intervals_are_those_of_running_on(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sample = sampled(Experts(trained(1), trained(2)), ["third"], 2000)
    layer = LayerData.of(sample, "third", sample.activations["third"], sample.member)
    refits = every_fit(sample, layer)
    near = route_layer(network, sample, layer, refits)
    monkeypatch.setattr(routing, "response_near", lambda n, s, at, _: lambda moved: shifted_scores(n, s, at, moved))
    exact = route_layer(network, sample, layer, refits)
    np.testing.assert_allclose(near.matrix, exact.matrix, atol=1e-5)
    se = [float(jackknife_se(one.replicates[:, None])[0]) for one in (near, exact)]
    assert se[0] == pytest.approx(se[1], rel=0.25)
    assert se[1] > 0.05


# ---------------------------------------------------------------- the verdict and its report


def with_dissociation(d: float, spread: float = 0.0) -> LayerRouting:
    lost = FLOOR * float(np.exp(d / 2))
    replicates = d + spread * np.tile([-1.0, 1.0], 10)
    shares = np.full((2, 4), 0.25)
    return LayerRouting("a", np.array([[lost, FLOOR], [FLOOR, lost]]), shares, 1.0, ((0,), (1,)), replicates)


def routed_beside(twins: tuple[float, ...], d: float, spread: float = 0.0) -> bool:
    others = [[with_dissociation(each)] for each in twins]
    return routing_report([with_dissociation(d, spread)], others, group="B", reference="A").routed


def test_the_lower_bound_must_exceed_the_largest_twin_by_the_margin() -> None:
    twins = (0.5, LEAST, 1.0)
    assert routed_beside(twins, LEAST + MARGIN + 0.01)
    assert not routed_beside(twins, LEAST + MARGIN - 0.01)
    assert not routed_beside(twins, LEAST + MARGIN + 0.01, spread=0.1)


def test_beside_twins_that_part_the_groups_little_a_least_dissociation_is_asked_for() -> None:
    assert routed_beside((0.1, 0.2, 0.3), LEAST + 0.01)
    assert not routed_beside((0.1, 0.2, 0.3), LEAST - 0.01)


def test_without_twins_no_routing_is_said_and_other_layers_are_refused() -> None:
    report = routing_report(experts(), [], group="B", reference="A")
    assert not report.routed and "no twins" in report.reason
    with pytest.raises(ConfigError, match="layers"):
        routing_report(experts(), [twins()[0][:2]], group="B", reference="A")


@pytest.mark.parametrize("routed", [True, False])
def test_the_report_says_shows_and_saves_itself(routed: bool) -> None:
    report = judged(experts() if routed else twins()[0])
    text = report.summary()
    assert max(map(len, text.splitlines())) <= 100
    assert ("runs through units of its own" in text) == routed
    assert RoutingReport.from_dict(json.loads(report.to_json())).to_json() == report.to_json()
    assert report.html().count("<svg") == 2 and report.html() == report.html()
    frame = report.to_frame()
    assert len(frame) == sum(layer.units for layer in report.layers)
    np.testing.assert_allclose(frame.groupby("layer")[["A", "B"]].sum(), 1)
    assert report.plot().get_xlabel().startswith("dissociation")
    assert len(report.plot_profiles().lines) == 2
    assert "grey band" in report.html() and "grey band" not in replace(report, twins=0).html()


def test_hostile_names_are_escaped() -> None:
    html = routing_report(experts(), twins(), group="<script>x", reference="A").html()
    assert "<script>" not in html
