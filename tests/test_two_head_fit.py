"""Two heads fitted to a network, and taken out of it: known strengths are found, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import as_network
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, adult
from fairheads.errors import InputError
from fairheads.nets import MLP, TwoHeadNet
from fairheads.pathways.fits import Fits, LayerData, every_fit
from fairheads.pathways.pair import Pair
from fairheads.pathways.recovery import recovery
from fairheads.pathways.sample import Sample, collect
from fairheads.pathways.two_head_fit import strength_of, two_head_fit
from fairheads.planted import plant_head, synthetic
from fairheads.results import TwoHeadFit
from fairheads.training import Objective, Penalized, TwoHeaded, Unconstrained, train
from fairheads.twoheads import Coefficients, merge_net

Floats = NDArray[np.float64]
Seen = tuple[Sample, LayerData, tuple[Fits, ...], Pair]

LAST = "backbone.5"
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)


@cache
def rows(proxy: float = 1.0, gap: float = 0.8) -> tuple[Dataset, Dataset]:
    return tuple(synthetic(n, seed=seed, proxy=proxy, gap=gap) for n, seed in ((8000, 0), (5000, 1)))  # type: ignore[return-value]


def trained(objective: Objective, data: Dataset, seed: int = 0, epochs: int = 30) -> MLP:
    net = MLP(8, hidden=(32, 32, 32), seed=seed)
    train(net, data, objective, epochs=epochs, seed=seed)
    return net


@cache
def constrained() -> MLP:
    return trained(Penalized(demographic_parity(), 10.0), rows()[0])


@cache
def twins() -> tuple[MLP, ...]:
    return tuple(trained(Unconstrained(), rows()[0], seed=seed) for seed in (100, 101, 102))


def seen(net: nn.Module, data: Dataset, layer: str = LAST, n: int = 5000, *, point_only: bool = False) -> Seen:
    """What the fit needs, with the smaller group as the group."""
    reference = int(np.bincount(data.group).argmax())
    pair = Pair.of(data, 1 - reference, reference, n, 0)
    sample = collect(as_network(net), pair.data, pair.member, [layer], 0)
    made = LayerData.of(sample, layer, sample.activations[layer], pair.control)
    refits = every_fit(sample, made)
    return sample, made, refits[:1] if point_only else refits, pair


def fit_of(net: nn.Module, data: Dataset, layer: str = LAST, *, point_only: bool = False) -> TwoHeadFit:
    return two_head_fit(*seen(net, data, layer, point_only=point_only))


def line_of(two: TwoHeadNet, data: Dataset, layer: str, towards: int) -> tuple[float, float]:
    """Slope and start of the fitted strength over the true one, that of merges of one two-headed network."""
    found = []
    for b in STRENGTHS:
        merged = merge_net(two, Coefficients(b=b * towards, t=0.2), data.take(np.arange(600)))
        found.append(fit_of(merged, data, layer, point_only=True).strength.value)
    slope, start = np.polyfit(STRENGTHS, found, 1)
    return float(slope), float(start)


@cache
def two_heads() -> TwoHeadNet:
    two = TwoHeadNet(MLP(8, hidden=(32, 32, 32), seed=0), seed=0)
    train(two, rows()[0], TwoHeaded(), epochs=40, seed=0)
    return two


# --- the fit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["backbone.1", "backbone.3", LAST])
def test_the_strength_of_a_merge_is_found_at_every_layer(layer: str) -> None:
    slope, start = line_of(two_heads(), rows()[1], layer, towards=1)
    assert slope == pytest.approx(1, abs=0.05)
    assert abs(start) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [8, 30])
@pytest.mark.parametrize("layer", ["backbone.1", LAST])
def test_the_strength_of_a_merge_is_found_on_adult(layer: str, epochs: int) -> None:
    train_set, test_set = adult(sensitive="sex").split()
    two = TwoHeadNet(MLP(next(iter(train_set.inputs.values())).shape[1], seed=0), seed=0)
    train(two, train_set, TwoHeaded(), epochs=epochs, seed=0)
    towards = 1 if test_set.group_names[1] == "Female" else -1
    slope, start = line_of(two, test_set, layer, towards)
    assert slope == pytest.approx(1, abs=0.05)
    assert abs(start) < 0.6


def test_a_planted_head_is_found_with_its_sign() -> None:
    _, data = rows()
    net = twins()[0]
    start = fit_of(net, data, point_only=True).strength.value
    raised, lowered, unused = (
        fit_of(plant_head(net, data, group="B", strength=strength), data, point_only=True).strength.value - start
        for strength in (1.0, -1.0, 0.0)
    )
    assert (raised, lowered) == pytest.approx((1.0, -1.0), abs=0.15)
    assert abs(unused) < 0.1


def test_a_constrained_network_is_two_heads_and_an_ordinary_one_needs_none() -> None:
    _, data = rows()
    others = [seen(twin, data, point_only=True) for twin in twins()]
    scores = [sample.score for sample, *_ in others]
    strengths = [strength_of(sample, layer, refits[0], pair.sign) for sample, layer, refits, pair in others]
    found = two_head_fit(*seen(constrained(), data), twin_scores=scores, twin_strengths=strengths)
    assert (found.strength.low or 0) > 1
    assert (found.over_floor.low or 0) > 0.03
    assert found.r2.value > 0.95 > 0.9 > found.r2_floor.value
    assert abs(found.to_ceiling.value) < 0.02 < found.ceiling.value - found.floor.value
    assert found.beside is not None and found.beside.p < 0.001 and found.beside.p_min == 0.25
    ordinary = two_head_fit(*seen(twins()[0], data), twin_scores=scores[1:], twin_strengths=strengths[1:])
    assert abs(ordinary.strength.value) < 0.4
    assert ordinary.over_floor.low is not None and ordinary.over_floor.low < 0
    assert ordinary.beside is not None and ordinary.beside.p > 0.01


@pytest.mark.parametrize("gap", [0.0, 0.8])
@pytest.mark.parametrize("epochs", [3, 10])
def test_no_strength_is_given_where_the_group_cannot_be_read_but_from_merit(gap: float, epochs: int) -> None:
    train_set, data = rows(proxy=0.0, gap=gap)
    found = fit_of(trained(Unconstrained(), train_set, epochs=epochs), data)
    assert np.isnan(found.strength.value) and "do not read the same" in str(found.strength.reason)
    assert found.floor.value > 0.9
    assert "not estimable" in found.summary() and "not estimable" in found.html()


def test_swapped_codes_leave_the_strength_and_rescaled_logits_scale_it() -> None:
    _, data = rows()
    sample, layer, refits, pair = seen(constrained(), data, point_only=True)
    found = two_head_fit(sample, layer, refits, pair)
    swapped = Pair.of(data, pair.reference, pair.group, 5000, 0)
    again = collect(as_network(constrained()), swapped.data, swapped.member, [LAST], 0)
    other_layer = LayerData.of(again, LAST, again.activations[LAST], swapped.control)
    other = two_head_fit(again, other_layer, every_fit(again, other_layer)[:1], swapped)
    assert other.strength.value == pytest.approx(found.strength.value, rel=1e-3)
    assert other.b.value == pytest.approx(-found.b.value, rel=1e-3)
    louder = Sample(**{**vars(sample), "score": 3 * sample.score})
    assert two_head_fit(louder, layer, refits, pair).strength.value == pytest.approx(3 * found.strength.value)


def test_instruments_undo_what_estimated_readouts_dilute() -> None:
    """On few rows least squares of the score on the same readouts, which is what one would write first, says less."""
    two = two_heads()
    merged = merge_net(two, Coefficients(b=2.0, t=0.0), rows()[1].take(np.arange(600)))
    plain, instrumented = [], []
    for part in range(4):
        data = rows()[1].take(np.arange(1250 * part, 1250 * (part + 1)))
        sample, layer, refits, pair = seen(merged, data, point_only=True)
        instrumented.append(two_head_fit(sample, layer, refits, pair).merit.value)
        merit = np.zeros(len(sample))
        for fold, fit in enumerate(refits[0]):
            merit[sample.fold == fold] = (layer.z @ fit.merit.astype(np.float32))[sample.fold == fold]
        plain.append(np.polyfit(merit, sample.score, 1)[0])
    whole = fit_of(merged, rows()[1], point_only=True).merit.value
    assert abs(np.mean(instrumented) - whole) < 0.1 < whole - np.mean(plain)


@pytest.mark.slow
def test_intervals_of_the_strength_cover_what_many_rows_say() -> None:
    """Of 40 samples; .91 of 120 did. At a true coverage of .9 there are 32 or more with chance .98."""
    net = constrained()
    truth = two_head_fit(*seen(net, synthetic(60_000, seed=77), n=60_000, point_only=True)).strength.value
    covered = 0
    for seed in range(40):
        strength = two_head_fit(*seen(net, synthetic(3000, seed=1000 + seed), n=3000)).strength
        assert strength.low is not None and strength.high is not None
        covered += strength.low <= truth <= strength.high
    assert covered >= 32


def test_the_result_says_draws_and_saves_itself() -> None:
    found = fit_of(constrained(), rows()[1])
    assert TwoHeadFit.from_dict(found.to_dict()) == found
    assert found.summary().splitlines()[-1].startswith("This does not say")
    assert max(map(len, found.summary().splitlines())) <= 100
    assert "<svg" in found.html() and len(found.to_frame()) == len(found.lines())


# --- recovery ------------------------------------------------------------------------------------------------------


def recovered(net: nn.Module, scores: Callable[[], list[Floats]]):  # type: ignore[no-untyped-def]
    sample, layer, refits, _ = seen(net, rows()[1], point_only=True)
    return recovery(sample, layer, refits[0], scores())


def twin_scores() -> list[Floats]:
    return [seen(twin, rows()[1], point_only=True)[0].score for twin in twins()]


def test_the_decisions_of_the_twins_come_back_when_the_group_is_taken_out() -> None:
    found = recovered(constrained(), twin_scores)
    assert (found.over_floor.low or 0) > 0.05
    assert (found.gained.low or 0) > 0
    assert found.ceiling.value > found.agreement.value > found.constrained_agreement.value


def test_there_is_nothing_to_recover_from_an_ordinary_network() -> None:
    found = recovered(twins()[0], lambda: twin_scores()[1:])
    assert found.over_floor.value < 0.01
    assert found.gained.low is not None and found.gained.low < 0.005


def test_recovery_needs_a_twin() -> None:
    with pytest.raises(InputError, match="at least one twin"):
        recovered(constrained(), list)
