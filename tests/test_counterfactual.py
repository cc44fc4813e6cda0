"""Counterfactual inputs: known effects of a group column are found exactly, and bad pairs are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fairheads.activations import as_network
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP
from fairheads.pathways.counterfactual import PairGenerator, column_flip, counterfactual_effect, flipped_sample
from fairheads.pathways.fits import LayerData, every_fit
from fairheads.pathways.pair import Pair
from fairheads.pathways.sample import Sample, collect
from fairheads.planted import synthetic
from fairheads.results import CounterfactualEffect
from fairheads.training import Penalized, train

LAYER = "backbone.3"


def people(n: int = 2000, seed: int = 0) -> Dataset:
    """Group B (code 1) has the lower base rate; the group stands in two columns, one a category."""
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < 0.4).astype(np.int64)
    merit = rng.normal(size=n) - 0.8 * group
    y = rng.random(n) < 1 / (1 + np.exp(-2 * merit))
    names = ("merit", "sex=A", "sex=B")
    columns = np.column_stack([merit, 1 - group, group])
    return Dataset(columns, y, group, group_names=("A", "B"), feature_names=names)


def linear(weights: list[float]) -> nn.Module:
    net = nn.Linear(len(weights), 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([weights]))
        net.bias.fill_(0.1)
    return net


def opened(net: nn.Module, data: Dataset, layers: list[str] | None = None, group: int = 1) -> tuple[Sample, Pair]:
    pair = Pair.of(data, group, 1 - group, len(data), 0)
    return collect(as_network(net, layers=layers), pair.data, pair.member, layers or [], 0), pair


def effect_of(net: nn.Module, data: Dataset, flip: PairGenerator | None = None, group: int = 1) -> CounterfactualEffect:
    sample, pair = opened(net, data, group=group)
    made = flip or column_flip(pair.data, pair.member, ["sex=A", "sex=B"])
    return counterfactual_effect(as_network(net), sample, made, pair)


def test_the_effect_of_a_linear_network_is_its_weight() -> None:
    data = people()
    found = effect_of(linear([1.0, 0.0, 0.7]), data)
    score = data.inputs["x"] @ np.array([1.0, 0.0, 0.7]) + 0.1
    other = score + 0.7 * np.where(data.group == 1, -1, 1)
    assert found.effect.value == pytest.approx(0.7 / score.std(), rel=1e-4)
    assert found.effect.low is not None and 0 < found.effect.value - found.effect.low < 0.05
    assert list(found.row_ids) == data.row_id[(score > 0) != (other > 0)].tolist()
    as_group, as_reference = np.where(data.group == 1, score, other), np.where(data.group == 1, other, score)
    assert found.decisions.value == pytest.approx((as_group > 0).mean() - (as_reference > 0).mean())
    assert found.flips.value == pytest.approx(len(found.row_ids) / len(data))
    assert found.orientation == -1 and found.changed.value == 1


def test_a_network_that_does_not_look_at_the_group_has_no_effect() -> None:
    found = effect_of(linear([1.0, 0.3, 0.3]), people())  # a constant: every row has one of the two columns
    assert found.effect.value == pytest.approx(0, abs=1e-6)
    assert found.row_ids == () and found.flips.value == 0 and found.flips.high is not None and found.flips.high > 0
    assert found.flips.conservative, "the interval of so few is exact, and is marked as such everywhere"


def test_lowering_the_group_with_fewer_favourable_labels_is_below_0() -> None:
    assert effect_of(linear([1.0, 0.7, 0.0]), people()).effect.value < -0.3


def test_swapped_codes_leave_the_turned_effect() -> None:
    net, data = linear([1.0, 0.0, 0.7]), people()
    one, other = effect_of(net, data), effect_of(net, data, group=0)
    assert (one.orientation, other.orientation) == (-1, 1)
    assert one.effect == other.effect and one.row_ids == other.row_ids
    assert one.decisions.value == pytest.approx(other.decisions.value)


def test_a_function_of_the_caller_does_what_columns_do() -> None:
    def flip(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs["x"][:, 1:] = inputs["x"][:, :0:-1]  # its own copy: that it is changed in place does no harm
        return dict(inputs)

    net, data = linear([1.0, 0.0, 0.7]), people()
    before = data.inputs["x"].copy()
    assert replace(effect_of(net, data, flip), what="") == replace(effect_of(net, data), what="")
    assert np.array_equal(data.inputs["x"], before)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3, width=32), st.floats(-3, 3, width=32), st.integers(0, 100))
def test_flipping_twice_gives_the_rows_back(low: float, high: float, seed: int) -> None:
    group = np.random.default_rng(seed).integers(0, 2, 30)
    data = Dataset({"age": np.arange(30.0)[:, None], "sex": np.where(group == 1, high, low)}, group, group)
    if low == high or len(set(group)) < 2:
        with pytest.raises(InputError):
            column_flip(data, data.group == 1, ["sex"])
        return
    flip = column_flip(data, data.group == 1, ["sex"])
    once = flip(data.inputs)
    assert (once["sex"] != data.inputs["sex"]).all() and np.array_equal(once["age"], data.inputs["age"])
    assert np.array_equal(flip(once)["sex"], data.inputs["sex"])


@cache
def fed_the_group() -> tuple[MLP, Dataset]:
    """A network trained for parity that can read the group from one column alone."""

    def rows(n: int, seed: int) -> Dataset:
        plain = synthetic(n, seed=seed, proxy=0.0)
        return Dataset(
            np.column_stack([plain.inputs["x"], plain.group]),
            plain.y,
            plain.group,
            group_names=plain.group_names,
            feature_names=(*plain.feature_names, "group"),
        )

    net = MLP(9, hidden=(24, 24), seed=0)
    train(net, rows(6000, 0), Penalized(demographic_parity(), 10.0), epochs=15, seed=0)
    return net, rows(4000, 1)


@pytest.mark.parametrize("permuted", [False, True])
def test_the_effect_goes_through_the_group_in_the_layer_and_not_through_a_shuffled_one(permuted: bool) -> None:
    net, data = fed_the_group()
    sample, pair = opened(net, data, [LAYER])
    fitted_on = replace(sample, member=pair.control) if permuted else sample
    layer = LayerData.of(fitted_on, LAYER, sample.activations[LAYER], pair.control)
    flip = column_flip(pair.data, pair.member, ["group"])
    refits = every_fit(fitted_on, layer)
    found = counterfactual_effect(as_network(net), sample, flip, pair, layers={LAYER: refits})
    (through,) = found.layers
    assert (found.effect.low or 0) > 0.3
    if permuted:
        assert abs(through.through.value) < 0.2
    else:
        assert (through.through.low or 0) > 0.3
        assert through.remains.high is not None and through.remains.high < (found.effect.low or 0)
    assert CounterfactualEffect.from_dict(found.to_dict()) == replace(found, row_ids=())
    assert "group erased" in found.html() and found.summary().splitlines()[0].startswith("B and A exchanged")


def test_no_share_is_given_of_an_effect_that_is_not_there() -> None:
    _, data = fed_the_group()
    blind = MLP(9, hidden=(24, 24), seed=3)
    with torch.no_grad():
        blind.backbone[0].weight[:, 8] = 0
    sample, pair = opened(blind, data, [LAYER])
    layer = LayerData.of(sample, LAYER, sample.activations[LAYER], pair.control)
    flip = column_flip(pair.data, pair.member, ["group"])
    found = counterfactual_effect(as_network(blind), sample, flip, pair, layers={LAYER: every_fit(sample, layer)[:1]})
    assert found.effect.value == 0 and np.isnan(found.layers[0].through.value)
    assert "not surely different from 0" in found.summary()


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        (["sex=C"], InputError, "not in the inputs; is it one of .*sex=A"),
        (["merit"], InputError, "one value in all rows"),
        ([], ConfigError, "list of names"),
        ("sex=A", ConfigError, "list of names"),
        (["sex=A", "sex=A"], ConfigError, "differ"),
    ],
)
def test_columns_that_do_not_hold_the_group_are_refused(columns: list[str], error: type[Exception], says: str) -> None:
    data = people(200)
    with pytest.raises(error, match=says):
        column_flip(data, data.group == 1, columns)


@pytest.mark.parametrize(
    ("flip", "says"),
    [
        (lambda inputs: inputs["x"], "must return the inputs"),
        (lambda inputs: {"z": inputs["x"]}, "must return the inputs"),
        (lambda inputs: {"x": inputs["x"][:, :2]}, "of shape"),
        (lambda inputs: {"x": inputs["x"][:-1]}, "of shape"),
        (lambda inputs: {"x": inputs["x"].astype(np.float64)}, "type float32, got .* float64"),
        (lambda inputs: {"x": inputs["x"] * np.float32("nan")}, "finite"),
        (lambda inputs: inputs, "must change"),
    ],
)
def test_pairs_that_are_none_are_refused(flip: PairGenerator, says: str) -> None:
    net = linear([1.0, 0.0, 0.7])
    sample, _ = opened(net, people(200))
    with pytest.raises(InputError, match=says):
        flipped_sample(as_network(net), sample, flip)


def test_a_constant_score_is_refused() -> None:
    with pytest.raises(InputError, match="must vary"):
        effect_of(linear([0.0, 0.0, 0.0]), people(200))


def test_names_from_data_are_escaped_and_figures_are_drawn() -> None:
    found = replace(effect_of(linear([1.0, 0.0, 0.7]), people(200)), group="<script>alert(1)</script>")
    assert "<script>" not in found.html() and "&lt;script&gt;" in found.html()
    assert max(map(len, found.summary().splitlines())) <= 100
    assert [tick.get_text() for tick in found.plot().get_yticklabels()] == ["network as it is"]
    assert len(found.to_frame()) == len(found.lines())
