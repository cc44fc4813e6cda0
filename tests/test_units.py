"""Units that make up a head: found where they were planted, at the stated false discovery rate where none were."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import matplotlib
import numpy as np
import pytest
from layers_for_tests import attribute_layers, neutralise_layers
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.errors import ConfigError
from fairheads.nets import MLP
from fairheads.pathways import neutralise as neutralising
from fairheads.pathways.attribution import UnitAttributions, attributed, path_gradients
from fairheads.pathways.effects import decision_gap, shifts
from fairheads.pathways.fits import Fits, LayerData, every_fit, fits_of
from fairheads.pathways.intervals import jackknife_se
from fairheads.pathways.neutralise import Neutralised, neutralise_units
from fairheads.pathways.sample import Sample, collect, shifted_scores
from fairheads.pathways.units import FEWEST_TWINS, Floats, discover, unit_report
from fairheads.planted import plant_head, synthetic
from fairheads.results import UnitReport
from fairheads.training import Unconstrained, train

matplotlib.use("Agg")

TWINS = 5


@cache
def ordinary(seed: int, rows: int = 0, n: int = 3000, epochs: int = 10) -> MLP:
    net = MLP(8, hidden=(32, 32, 32), seed=seed)
    train(net, synthetic(n, seed=rows), Unconstrained(), epochs=epochs, seed=seed)
    return net


def sampled(net: nn.Module, seed: int = 1, n: int = 2000) -> tuple[TorchNetwork, Sample]:
    data, network = synthetic(n, seed=seed), TorchNetwork(net)
    return network, collect(network, data, data.group == 1, network.layers(), 0)


@cache
def attributions(seed: int) -> tuple[UnitAttributions, ...]:
    return attribute_layers(*sampled(ordinary(seed)), -1, intervals=False)


@cache
def neutralisations(seed: int) -> tuple[Neutralised, ...]:
    return neutralise_layers(*sampled(ordinary(seed)), -1, intervals=False)


def planted(strength: float) -> MLP:
    return plant_head(ordinary(1), synthetic(3000, seed=0), group="B", strength=strength)


@cache
def report(strength: float) -> UnitReport:
    network, sample = sampled(planted(strength))
    twins = range(100, 100 + TWINS)
    return unit_report(
        attribute_layers(network, sample, -1),
        [attributions(seed) for seed in twins],
        group="B",
        reference="A",
        neutralised=neutralise_layers(network, sample, -1),
        neutralised_twins=[neutralisations(seed) for seed in twins],
        n=len(sample),
    )


# ---------------------------------------------------------------- discoveries


@pytest.mark.parametrize("strength", [2.0, pytest.param(-2.0, marks=pytest.mark.slow)])
def test_planted_units_are_named_with_their_sign(strength: float) -> None:
    named = report(strength).discovered
    right = [unit for unit in named if unit.unit >= 32]
    assert len(right) >= 5  # of two in each of three layers
    assert len(named) - len(right) <= 1
    assert all(np.sign(unit.value) == np.sign(strength) for unit in right)
    assert all(unit.low <= unit.value <= unit.high and unit.q <= 0.1 for unit in named)


def test_planted_units_that_are_not_used_are_not_named() -> None:
    found, used = report(0.0), report(2.0)
    unused = [unit for unit in found.every if unit.unit >= 32]
    assert len(unused) == 6 and max(abs(unit.value) for unit in unused) < 1e-6
    assert not found.discovered and "largest of a twin" in found.reason
    assert used.discovered and used.reason == ""


def made(rng: np.random.Generator, layers: int = 3, units: int = 40) -> list[np.ndarray]:
    """A network whose units share its own scale, as those of a network do: they are not exchangeable with others'."""
    scale = np.exp(rng.normal(scale=0.3))
    return [scale * rng.normal(size=units) for _ in range(layers)]


@pytest.mark.parametrize("k", [3, 5, 12])
@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_the_chance_of_any_name_in_an_ordinary_network_is_the_stated_rate(k: int, rate: float) -> None:
    rng = np.random.default_rng(k)
    tries = 1000
    any_named = sum(
        any(layer.discovered.any() for layer in discover(made(rng), [made(rng) for _ in range(k)], rate=rate))
        for _ in range(tries)
    )
    assert any_named <= rate * tries + 2.33 * np.sqrt(rate * (1 - rate) * tries)
    assert any_named > 0


def test_over_pooled_units_the_same_rate_would_not_hold() -> None:
    """Benjamini and Hochberg's rule with the twins' units pooled: the units of a network come up together."""
    rng, rate, tries, wrong = np.random.default_rng(0), 0.1, 2000, 0
    for _ in range(tries):
        strong = np.exp(rng.normal(size=13))
        net, *twins = (s * rng.choice([0.99, 1.0, 1.01], size=40) for s in strong)
        pool = np.concatenate(twins)
        p = np.sort([(1 + (pool >= value).sum()) / (1 + len(pool)) for value in net])
        wrong += bool((p <= rate * np.arange(1, 41) / 40).any())
    assert wrong / tries > 0.13


@pytest.mark.parametrize("k", [5, 12])
def test_few_large_units_are_found_with_few_false_ones_beside_them(k: int) -> None:
    rng, found, right = np.random.default_rng(k), 0, 0
    tries = 200
    for _ in range(tries):
        net = made(rng)
        for layer in net:
            layer[:2] = 20
        for layer in discover(net, [made(rng) for _ in range(k)]):
            found += int(layer.discovered.sum())
            right += int(layer.discovered[:2].sum())
    assert right / (6 * tries) > 0.9
    assert (found - right) / found < 0.13  # the rate is of layers with a false name: of 3 x 2 units a little more


def test_q_is_the_smallest_rate_at_which_a_unit_is_named() -> None:
    rng = np.random.default_rng(3)
    net, twins = made(rng), [made(rng) for _ in range(6)]
    for layer, size in zip(net, (6.0, 15.0, 3.5), strict=True):
        layer[:2] = size, 0.8 * size
    q = np.concatenate([layer.q for layer in discover(net, twins)])
    for rate in (0.02, 0.05, 0.1, 0.3, 0.6):
        named = np.concatenate([layer.discovered for layer in discover(net, twins, rate=rate, smallest=0.0)])
        np.testing.assert_array_equal(named, by_definition(net, twins, rate))
        np.testing.assert_array_equal(named, q <= rate)


def by_definition(net: list[np.ndarray], twins: list[list[np.ndarray]], rate: float) -> np.ndarray:
    """Benjamini and Bogomolov's two steps, as they are written."""
    ps = [layer.p for layer in discover(net, twins)]
    smallest = np.sort([p.min() for p in ps])
    selected = int(max([r + 1 for r in range(len(ps)) if smallest[r] <= rate * (r + 1) / len(ps)], default=0))
    return np.concatenate([p <= rate * selected / len(ps) if selected else np.zeros(len(p), bool) for p in ps])


def test_trifles_are_not_named_however_surprising() -> None:
    rng = np.random.default_rng(0)
    twins = [[1e-4 * layer for layer in made(rng)] for _ in range(8)]
    net = [1e-4 * layer for layer in made(rng)]
    net[0][3] = 0.005
    assert np.abs(net[1]).max() < 0.001
    (first, *_) = discover(net, twins)
    assert first.q[3] < 0.1 and not first.discovered[3]
    assert discover(net, twins, smallest=0.001)[0].discovered[3]


def test_without_enough_twins_nothing_is_named() -> None:
    rng = np.random.default_rng(0)
    net = made(rng)
    net[0][0] = 1e6
    for k in range(FEWEST_TWINS):
        found = discover(net, [made(rng) for _ in range(k)])
        assert not any(layer.discovered.any() for layer in found)
        assert np.isnan(found[0].q).all()
    assert discover(net, [made(rng) for _ in range(FEWEST_TWINS)])[0].discovered[0]


def test_rank_p_is_no_smaller_than_twins_allow() -> None:
    found = report(2.0)
    assert found.p_min == 1 / (TWINS + 1)
    assert min(unit.p_rank for unit in found.units) == found.p_min


def test_other_layers_and_impossible_rates_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="layers"):
        discover(made(rng), [made(rng, layers=2)])
    with pytest.raises(ConfigError, match="rate"):
        discover(made(rng), [], rate=1.0)


@pytest.mark.slow
def test_on_ordinary_networks_names_stay_at_the_stated_rate_and_plants_are_found() -> None:
    """Thirteen networks a data set, each beside the twelve others; and a head planted in the first."""
    named, right, wrong, missed = [], 0, 0, 0
    for rows in range(4):
        nets = [ordinary(1000 * rows + i, rows, 6000, 15) for i in range(13)]
        all_values = [
            [layer.value for layer in attribute_layers(*sampled(net, 10_000 + rows, 6000), -1, intervals=False)]
            for net in nets
        ]
        for i, values in enumerate(all_values):
            found = discover(values, all_values[:i] + all_values[i + 1 :])
            named.append(any(layer.discovered.any() for layer in found))
        net = plant_head(nets[0], synthetic(6000, seed=rows), group="B", strength=2.0)
        values = [layer.value for layer in attribute_layers(*sampled(net, 10_000 + rows, 6000), -1, intervals=False)]
        for layer in discover(values, all_values[1:]):
            right += int(layer.discovered[-2:].sum())
            wrong += int(layer.discovered[:-2].sum())
            missed += 2 - int(layer.discovered[-2:].sum())
    assert np.mean(named) <= 0.1 + 2 * np.sqrt(0.09 / len(named))
    assert right / (right + wrong) >= 0.9
    assert right / (right + missed) >= 0.8


# ---------------------------------------------------------------- neutralisation


def test_neutralising_a_planted_pathway_undoes_more_than_choosing_does_in_twins() -> None:
    for done in report(2.0).neutralised:
        assert {32, 33} <= set(done.units)
        assert done.gap.low is not None and done.gap.low > max(done.twin_gaps)
        assert done.logit.low is not None and done.logit.low > max(done.twin_logits)
        assert done.p < 0.05


def test_choosing_alone_moves_the_gap_and_the_twins_say_so() -> None:
    for done in report(0.0).neutralised:
        assert np.mean(done.twin_gaps) > 0  # a bias of the choice, which only the same choice in twins shows
        assert min(done.twin_logits) > 0
        assert done.p > 0.02
        assert not {32, 33} & set(done.units)


def test_along_the_gap_the_units_of_an_aligned_head_are_chosen() -> None:
    network, sample = sampled(planted(-2.0))
    against, along = (neutralise_layers(network, sample, -1, way, intervals=False)[-1] for way in (1, -1))
    assert {32, 33} <= set(along.units) and not {32, 33} & set(against.units)
    assert along.gap < 0 < against.gap


def test_neutralised_units_have_the_mean_of_their_bin_in_both_groups() -> None:
    """The edit is ``h - (E[h | g, b] - E[h | b])`` at equal merit, by regressions on the other half, by hand."""
    network, sample = sampled(planted(2.0))
    name = network.layers()[0]
    layer = LayerData.of(sample, name, sample.activations[name], sample.member)
    fits = fits_of(sample, layer)
    found = neutralise_units(network, sample, layer, (fits,), -1)
    moves = np.zeros_like(layer.h)
    for fold, fit in enumerate(fits):
        other, rows = sample.fold != fold, sample.fold == fold
        units = chosen(network, sample, layer, fits, fold)
        their_bins = np.searchsorted(fit.edges, layer.z[other] @ fit.merit.astype(np.float32))
        bins = np.searchsorted(fit.edges, layer.z[rows] @ fit.merit.astype(np.float32))
        shift = np.zeros((int(rows.sum()), layer.units))
        for b in np.flatnonzero(fit.enough):
            theirs, here = np.flatnonzero(other)[their_bins == b], bins == b
            member, merit = sample.member[theirs].astype(float), layer.z[theirs] @ fit.merit.astype(np.float32)
            columns = np.column_stack([member, merit, np.ones(len(theirs))])
            contrast = np.linalg.lstsq(columns, layer.h[theirs].astype(float), rcond=None)[0][0]
            shift[here] = -np.outer(sample.member[rows][here] - member.mean(), contrast)
        moves[np.ix_(rows, units)] = shift[:, units]
    after = shifted_scores(network, sample, name, moves)
    change = decision_gap(after, sample.member) - decision_gap(sample.score, sample.member)
    assert found.gap == pytest.approx(-change, abs=1e-3)


def chosen(network: TorchNetwork, sample: Sample, layer: LayerData, fits: Fits, fold: int) -> np.ndarray:
    """The units that push most on the other half, by that half's own fits."""
    own = shifts(sample, layer, (fits[1], fits[0]))
    gradient = path_gradients(network, sample, layer.name, own.swap).gradient
    pushes = attributed(sample, own, gradient, -1, sample.fold != fold)
    return np.argsort(-pushes)[: -(-layer.units // 4)]


def test_intervals_of_neutralisation_are_those_of_running_on(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sample = sampled(planted(2.0), n=2000)
    name = network.layers()[0]
    layer = LayerData.of(sample, name, sample.activations[name], sample.member)
    refits = every_fit(sample, layer)
    near = neutralise_units(network, sample, layer, refits, -1)
    monkeypatch.setattr(
        neutralising, "response_near", lambda n, s, at, _: lambda moved: shifted_scores(n, s, at, moved)
    )
    exact = neutralise_units(network, sample, layer, refits, -1)
    assert (near.gap, near.logit) == pytest.approx((exact.gap, exact.logit), abs=1e-6)
    np.testing.assert_allclose(jackknife_se(near.replicates), jackknife_se(exact.replicates), rtol=0.15)


# ---------------------------------------------------------------- the result


@pytest.mark.parametrize("strength", [2.0, 0.0])
def test_the_report_says_shows_and_saves_itself(strength: float) -> None:
    found = report(strength)
    text = found.summary()
    assert max(map(len, text.splitlines())) <= 100
    assert f"{len(found.discovered)} of 102 units named" in text
    assert UnitReport.from_dict(json.loads(found.to_json())).to_json() == found.to_json()
    assert len(found.to_frame()) == 102
    assert "<svg" in found.html() and found.html() == found.html()
    axes = found.plot()
    written = {t.get_text() for t in axes.texts}
    assert {"32", "33"} <= written if strength else not {"32", "33"} & written


def test_without_a_gap_in_the_labels_no_side_is_called_compensating() -> None:
    found = report(1.0)
    assert "compensating" in found.plot().get_xlabel() and "against the gap in the labels" in found.html()
    undirected = replace(found, directed=False)
    assert "compensating" not in undirected.plot().get_xlabel()
    assert "against the gap in the labels" not in undirected.html() and "The labels show no gap" in undirected.html()
    assert UnitReport.from_dict(undirected.to_dict()) == replace(undirected, every=())


def test_the_report_without_twins_names_nothing_and_says_why() -> None:
    found = unit_report(attributions(1), [], group="<b>", reference="A")
    assert not found.discovered and "fewer than" in found.reason
    assert "<b>" not in found.html().replace("<bdi>", "")
    assert "no twins" in found.summary()


def test_a_report_of_a_wide_layer_writes_what_is_named_and_the_largest() -> None:
    rng = np.random.default_rng(0)

    def layer(values: Floats) -> UnitAttributions:
        return UnitAttributions("wide", values, np.full(len(values), 0.01), values.sum(), 0.0)

    values = rng.normal(size=768) * 0.001
    values[700:730] = 0.5  # more than are kept for their size
    twins = [[layer(rng.normal(size=768) * 0.01)] for _ in range(6)]
    found = unit_report([layer(values)], twins, group="a", reference="b")
    assert len(found.every) == found.total == len(found.to_frame()) == 768
    assert {unit.unit for unit in found.units} == set(range(700, 730))
    none = unit_report([layer(values)], [], group="a", reference="b")
    assert {unit.unit for unit in none.units} == set(range(700, 720))
    read = UnitReport.from_dict(none.to_dict())
    assert (read.total, len(read.every), len(read.to_frame())) == (768, 0, 20)
    assert read.summary() == none.summary()
    assert "of 768 units" in none.summary()
    assert len(none.to_json()) < 10_000
