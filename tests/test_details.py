"""What a finding is made of, beside twins that are odd: no detail costs the verdict, and none is made up."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fairheads.activations import Network, TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.nets import MLP
from fairheads.pathways import analyze_pathways
from fairheads.planted import synthetic
from fairheads.results import PathwayReport
from fairheads.training import Penalized, Unconstrained, train


class WithoutGradients(TorchNetwork):
    gradients = False


@cache
def trained(seed: int, weight: float = 0.0) -> MLP:
    net = MLP(8, hidden=(16, 16), seed=seed)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    train(net, synthetic(4000, seed=0), objective, epochs=12, batch_size=64, seed=seed)
    return net


def dead() -> MLP:
    """A twin whose first layer never fires, so that its score is the same for everybody."""
    net = MLP(8, hidden=(16, 16), seed=9)
    with torch.no_grad():
        net.backbone[0].weight.zero_()
        net.backbone[0].bias.fill_(-1)
    return net


@cache
def rows() -> Dataset:
    return synthetic(1800, seed=1)


def described(net: nn.Module | Network, *twins: nn.Module | Network, **settings: object) -> PathwayReport:
    return analyze_pathways(net, rows(), twins=twins, **settings)["B"]  # type: ignore[arg-type]


@cache
def whole() -> PathwayReport:
    return described(trained(1, 10.0), *(trained(100 + i) for i in range(3)))


def test_every_detail_is_there_and_no_verdict_rests_on_one() -> None:
    report = whole()
    assert report.units is not None and report.routing is not None and report.two_heads is not None
    assert report.recovery is not None and report.reading is not None and report.counterfactual is None
    assert report.two_heads.strength.low is not None and report.two_heads.strength.low > 0
    assert report.reading.columns[0].name.startswith("proxy")
    assert [layer.name for layer in report.units.layers] == [layer.name for layer in report.layers]
    plain = described(trained(1, 10.0), *(trained(100 + i) for i in range(3)), details=False)
    assert (plain.verdict, plain.effect, plain.units) == (report.verdict, report.effect, None)


def test_a_dead_twin_costs_no_detail() -> None:
    report = described(trained(1, 10.0), trained(100), trained(101), dead())
    assert report.two_heads is not None and np.isfinite(report.two_heads.strength.value)
    assert report.two_heads.beside is not None and report.two_heads.beside.n == 2  # the dead one has no strength
    assert report.units is not None and report.routing is not None


@pytest.mark.slow
def test_a_network_without_gradients_is_described_alike() -> None:
    twins = [WithoutGradients(trained(100 + i)) for i in range(3)]
    report = described(WithoutGradients(trained(1, 10.0)), *twins)
    assert report.missing == {} and report.reading is not None and report.reading.method == "occlusion"
    assert report.verdict == whole().verdict
    assert report.units is not None and whole().units is not None
    named, wanted = ({(u.layer, u.unit) for u in each.units.discovered} for each in (report, whole()))
    assert named == wanted and named
    np.testing.assert_allclose(
        [unit.value for unit in report.units.every], [unit.value for unit in whole().units.every], atol=0.003
    )
    assert report.routing is not None and whole().routing is not None
    assert report.routing.routed == whole().routing.routed


@pytest.mark.slow
def test_twins_without_gradients_are_twins_all_the_same() -> None:
    report = described(trained(1, 10.0), trained(100), trained(101), trained(102), WithoutGradients(trained(103)))
    other = described(trained(1, 10.0), trained(100), trained(101), trained(102), trained(103))
    assert report.units is not None and report.units.twins == 4 and report.routing is not None
    for here, there in zip(report.units.layers, other.units.layers, strict=True):
        np.testing.assert_allclose(here.largest_in_twins, there.largest_in_twins, atol=0.003)
    assert report.twins == other.twins


def test_a_table_too_wide_to_attribute_has_no_reading_and_all_else() -> None:
    class Wide(nn.Module):
        def __init__(self, net: MLP) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x[:, :8])

    data = rows()
    wide = np.concatenate([data.inputs["x"], np.zeros((len(data), 2000), np.float32)], axis=1)
    report = analyze_pathways(
        Wide(trained(1, 10.0)), Dataset(wide, data.y, data.group, group_names=data.group_names), sample=1500
    )["B"]
    assert report.reading is None and report.two_heads is not None


@pytest.mark.parametrize("flip", [["proxy_0"], lambda inputs: {"x": inputs["x"] + 1}])
def test_a_flip_of_the_inputs_is_reported_or_refused(flip: object) -> None:
    if callable(flip):
        report = described(trained(1, 10.0), flip=flip)
        assert report.counterfactual is not None and report.counterfactual.changed.value == 1
    else:
        with pytest.raises(Exception, match="must have one value in all rows"):
            described(trained(1, 10.0), flip=flip)
