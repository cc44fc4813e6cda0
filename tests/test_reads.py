"""What the head reads: known answers for tables, images and tokens, linear networks by hand, nothing left behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import Layer, TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, TableEncoder, adult
from fairheads.errors import ConfigError, InputError
from fairheads.models import fit_table
from fairheads.nets import MLP, ResNet, Transformer
from fairheads.pathways import attributions
from fairheads.pathways.attributions import integrated_gradients, occlusion
from fairheads.pathways.effects import merit_of, shifts
from fairheads.pathways.fits import LayerData, fits_of
from fairheads.pathways.pair import Pair
from fairheads.pathways.reads import head_reading, readouts
from fairheads.pathways.sample import collect
from fairheads.planted import World, plant_head, synthetic
from fairheads.results._text import columns
from fairheads.results.reads import HeadReading
from fairheads.training import Penalized, Unconstrained, train

Array = NDArray[Any]


class WithoutGradients:
    """A network that shows what the protocol asks for and no more."""

    gradients = False

    def __init__(self, module: nn.Module) -> None:
        self.inner = TorchNetwork(module)

    def layers(self) -> tuple[str, ...]:
        return self.inner.layers()

    def survey(self, inputs: Mapping[str, Array], layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
        return self.inner.survey(inputs, layers)

    def forward(self, inputs: Mapping[str, Array]) -> NDArray[np.float64]:
        return self.inner.forward(inputs)

    def tap(self, layers: Sequence[str]) -> AbstractContextManager[dict[str, Array]]:
        return self.inner.tap(layers)

    def edit(self, layer: str, fn: Callable[[Array], Array]) -> AbstractContextManager[None]:
        return self.inner.edit(layer, fn)

    def gradient(self, inputs: Mapping[str, Array], layer: str, shift: Array | None = None) -> tuple[Array, Array]:
        raise ConfigError("there are none.")


def pair_of(data: Dataset) -> Pair:
    return Pair.of(data, group=1, reference=0, sample=len(data), seed=0)


@cache
def planted() -> tuple[TorchNetwork, Pair]:
    net = MLP(8, hidden=(16, 16), seed=0)
    train(net, synthetic(4000, seed=0), Unconstrained(), epochs=5, seed=0)
    net = plant_head(net, synthetic(4000, seed=0), group="B", strength=2.0)
    return TorchNetwork(net), pair_of(synthetic(2000, seed=1))


@cache
def planted_reading() -> HeadReading:
    network, pair = planted()
    return head_reading(network, pair, network.layers()[-1], rows=600)


def share(reading: HeadReading, prefix: str, readout: str) -> float:
    parts = [getattr(c, readout) for c in reading.columns if c.name.startswith(prefix)]
    return sum(part.share for part in parts)


def test_a_planted_head_reads_the_proxies_and_the_task_readout_the_merit() -> None:
    reading = planted_reading()
    assert share(reading, "proxy", "head") > 0.8
    assert share(reading, "merit", "task") > 0.8
    assert all(c.head.contrast.low > 0 for c in reading.columns if c.name.startswith("proxy"))  # towards the group
    assert all(c.task.contrast.high < 0 for c in reading.columns if c.name.startswith("merit"))  # B has less merit


def test_where_the_group_is_hidden_the_head_tells_nobody_apart() -> None:
    pair = pair_of(synthetic(3000, seed=1, proxy=0.0))
    network = TorchNetwork(MLP(8, hidden=(16,), seed=0))
    reading = head_reading(network, pair, "backbone.1", rows=600)
    columns_of_proxies = [c for c in reading.columns if c.name.startswith("proxy")]
    assert all(abs(c.head.contrast.value) < 0.15 for c in columns_of_proxies)
    assert planted_reading().head_distance.value > reading.head_distance.value + 0.5


def test_the_readouts_are_the_merit_that_is_binned_and_what_erasure_removes() -> None:
    network, pair = planted()
    name = network.layers()[-1]
    sample = collect(network, pair.data, pair.member, [name], 0)
    layer = LayerData.of(sample, name, sample.activations[name], pair.control)
    fits = fits_of(sample, layer)
    weights, dead = readouts(sample, layer, fits)
    values = np.einsum("nu,nur->nr", layer.h.astype(float), weights[sample.fold])
    made, merit = shifts(sample, layer, fits), merit_of(sample, layer, fits)
    for fold, fit in enumerate(fits):
        rows = sample.fold == fold
        removed = -made.erasure[rows] @ fit.cross / (fit.cross @ fit.cross)
        for mine, theirs in ((values[rows, 0], removed), (values[rows, 1], merit[rows])):
            assert np.corrcoef(mine, theirs)[0, 1] == pytest.approx(1, abs=1e-6)
            assert np.ptp(mine) > 0
    assert dead == (False, False)


def test_integrated_gradients_of_a_linear_network_are_weights_times_steps() -> None:
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1)).double()
    x, start, weights = rng.normal(size=(7, 5)), rng.normal(size=(7, 5)), rng.normal(size=(3, 2))
    network = TorchNetwork(net, layers=["0"])
    (layer,) = network.survey({"x": x})
    made = integrated_gradients(network, layer, {"x": x}, "x", start, weights, steps=3)
    slope = net[0].weight.detach().numpy().T @ weights
    np.testing.assert_allclose(made.parts, (x - start)[:, :, None] * slope, atol=1e-12)
    np.testing.assert_allclose(made.total, (x - start) @ slope, atol=1e-12)
    taken = occlusion(network, layer, {"x": x}, "x", start, weights, np.arange(5))
    np.testing.assert_allclose(taken.parts, made.parts, atol=1e-6)


def test_integrated_gradients_of_a_square_by_hand() -> None:
    """d/dx of x^2 along the path from b is 2 (b + a (x - b)); its mean is x + b."""

    class Square(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x**2

    network = TorchNetwork(nn.Sequential(Square(), nn.Linear(2, 1)).double(), layers=["0"])
    x, start = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    (layer,) = network.survey({"x": x})
    made = integrated_gradients(network, layer, {"x": x}, "x", start, np.eye(2), steps=8)
    np.testing.assert_allclose(made.parts[0], np.diag((x - start)[0] * (x + start)[0]), atol=1e-9)


def test_midpoints_come_nearer_than_captums_own_points_where_derivatives_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """How far parts are from adding up, on the same paths through a trained network of ReLUs, none refined."""
    net = MLP(8, hidden=(64, 64, 64), seed=0)
    train(net, synthetic(4000, seed=0), Unconstrained(), epochs=5, seed=0)
    network, x = TorchNetwork(net), synthetic(1000, seed=1).inputs["x"]
    layer = network.survey({"x": x})[-1]
    weights = np.random.default_rng(0).normal(size=(64, 2)) / 8
    monkeypatch.setattr(attributions, "FINER", ())
    missed = {}
    for rule in ("riemann_middle", "gausslegendre"):
        monkeypatch.setattr(attributions, "RULE", rule)
        made = integrated_gradients(network, layer, {"x": x}, "x", x[::-1].copy(), weights)
        missed[rule] = np.abs(made.parts.sum(1) - made.total).mean()
    assert 0 < missed["riemann_middle"] < 0.95 * missed["gausslegendre"]


def test_parts_add_up_to_the_distance_of_the_groups() -> None:
    reading = planted_reading()
    assert reading.head_complete.mean < 0.03
    assert reading.task_complete.mean < 0.03
    for readout, distance in (("head", reading.head_distance), ("task", reading.task_distance)):
        total = sum(getattr(c, readout).contrast.value for c in reading.columns)
        assert total == pytest.approx(distance.value, abs=0.1)  # baselines of both groups are alike up to chance
        assert sum(getattr(c, readout).share for c in reading.columns) == pytest.approx(1)


def test_occlusion_finds_the_same_head_without_gradients() -> None:
    network, pair = planted()
    layer = network.layers()[-1]
    reading = head_reading(WithoutGradients(network.module), pair, layer, rows=600)
    assert (reading.method, reading.steps) == ("occlusion", 0)
    assert share(reading, "proxy", "head") > 0.8
    assert share(reading, "merit", "task") > 0.8
    by_gradients = {c.name: c.head.contrast.value for c in planted_reading().columns}
    assert all(abs(by_gradients[c.name] - c.head.contrast.value) < 0.1 for c in reading.columns)


def test_the_network_is_left_as_it_was_even_after_an_error() -> None:
    network, pair = planted()
    module = network.module.train()

    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled():
                raise RuntimeError("broken")
            return x

    broken = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), Broken(), nn.Linear(4, 1))
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    head_reading(network, pair, "backbone.1", rows=20)
    with pytest.raises(RuntimeError, match="broken"):
        head_reading(TorchNetwork(broken), pair, "1", rows=20)
    for each in (module, broken):
        assert all(part.training for part in each.modules())
        assert all(p.grad is None and p.requires_grad for p in each.parameters())
        assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in each.modules())
    module.eval()
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_the_same_call_gives_the_same_bytes() -> None:
    network, pair = planted()
    assert head_reading(network, pair, network.layers()[-1], rows=600).to_json() == planted_reading().to_json()


@cache
def image_reading(gradients: bool = True) -> HeadReading:
    world = World(kind="image", proxy=1.5)
    net = ResNet(3, widths=(12, 12), seed=0).eval()
    network = TorchNetwork(net) if gradients else WithoutGradients(net)
    return head_reading(network, pair_of(world.draw(1200, seed=0)), "blocks", rows=80)  # type: ignore[arg-type]


@pytest.mark.parametrize("gradients", [True, False])
def test_the_head_of_an_image_looks_at_the_dot(gradients: bool) -> None:
    reading = image_reading(gradients)
    by_name = {c.name: c for c in reading.columns}
    dot, even = by_name["channel 2"], by_name["channel 1"]
    assert reading.columns[0].name == "channel 2"
    assert dot.head.share > 2 * even.head.share
    if gradients:
        assert reading.head_complete.mean < 0.05
    maps = {(m.readout, m.group): np.array(m.values) for m in reading.maps}
    assert maps["head", "B"].shape == (12, 12)
    difference = float(sum(c.head.contrast.value for c in reading.columns))
    assert (maps["head", "B"] - maps["head", "A"]).sum() == pytest.approx(difference, abs=1e-3)


@pytest.mark.parametrize("gradients", [True, False])
def test_the_head_of_a_text_reads_the_words_of_the_groups(gradients: bool) -> None:
    world = World(kind="tokens", proxy=1.5)
    net = Transformer(11, width=16, depth=1, length=24, seed=0).eval()
    network = TorchNetwork(net) if gradients else WithoutGradients(net)
    reading = head_reading(network, pair_of(world.draw(1200, seed=0)), "blocks.0", rows=120)  # type: ignore[arg-type]
    assert reading.kind == "tokens"
    words_of_groups, words_of_merit = (
        sum(share(reading, f"token {i}", "head") for i in ids) for ids in ((5, 6), (1, 2, 3, 4))
    )
    assert words_of_groups > 1.5 * words_of_merit
    by_id = {t.token: t for t in reading.tokens}
    assert by_id[6].group_count > by_id[5].group_count  # token 6 is the word of B
    assert by_id[6].head.value > by_id[5].head.value
    assert 0 not in by_id  # padding does not count
    if gradients:
        assert reading.head_complete.mean < 0.05


@pytest.mark.parametrize("gradients", [True, False])
def test_padding_is_no_occurrence_of_the_word_that_fills_it(gradients: bool) -> None:
    """Sentences are padded with word 1, which the mask tells from the same word where it was said."""
    data = World(kind="tokens", proxy=1.5).draw(1200, seed=0)
    said, counted = data.inputs["tokens"], data.inputs["attention_mask"] != 0
    filled = Dataset(
        {**data.inputs, "tokens": np.where(counted, said, 1)}, data.y, data.group, group_names=data.group_names
    )
    net = Transformer(11, width=16, depth=1, length=24, seed=0).eval()
    network = TorchNetwork(net) if gradients else WithoutGradients(net)
    plain, padded = (head_reading(network, pair_of(rows), "blocks.0", rows=60) for rows in (data, filled))  # type: ignore[arg-type]
    assert not counted.all()
    assert padded.tokens == plain.tokens and padded.columns == plain.columns
    token = next(t for t in padded.tokens if t.token == 1)
    assert 0 < token.group_count + token.reference_count <= (said == 1).sum()


def table_pair() -> Pair:
    rng = np.random.default_rng(0)
    n = 1500
    member = rng.random(n) < 0.5
    job = np.where(rng.random(n) < 0.8, np.where(member, "<b>nurse", "smith"), "clerk")
    merit = rng.normal(size=n)
    encoder = TableEncoder.fit({"merit": merit, "job": job})
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * merit))).astype(int)
    X = encoder.transform({"merit": merit, "job": job})
    data = Dataset(X, y, np.where(member, "F", "M"), feature_names=encoder.feature_names, preprocess=encoder)
    return Pair.of(data, group=data.group_names.index("F"), reference=data.group_names.index("M"), sample=n, seed=0)


@pytest.mark.parametrize("gradients", [True, False])
def test_encoded_columns_are_summed_to_those_of_the_table(gradients: bool) -> None:
    net = MLP(4, hidden=(16,), seed=0)
    network = TorchNetwork(net) if gradients else WithoutGradients(net)
    reading = head_reading(network, table_pair(), "backbone.1", rows=400)  # type: ignore[arg-type]
    job, merit = reading.columns
    assert (job.name, merit.name, merit.values) == ("job", "merit", ())
    assert job.head.share > 0.9
    assert merit.task.share > job.task.share
    assert {v.value for v in job.values[:2]} == {"<b>nurse", "smith"}
    assert sum(v.head.value for v in job.values) == pytest.approx(job.head.contrast.value)
    means = {v.value: v.head_mean for v in job.values}
    assert means["<b>nurse"] > means["clerk"] > means["smith"]
    assert "<b>" not in reading.html()


def test_a_constant_layer_is_not_estimable_and_says_why() -> None:
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        net[0].weight.zero_()
    reading = head_reading(TorchNetwork(net), planted()[1], "1", rows=40)
    assert math.isnan(reading.head_distance.value)
    assert all(math.isnan(c.head.contrast.value) and c.head.contrast.reason for c in reading.columns)
    assert "not estimable" in reading.summary()
    assert "not estimable" in reading.html()


@pytest.mark.parametrize("make", [planted_reading, image_reading])
def test_views_say_the_same(make: Callable[[], HeadReading]) -> None:
    reading = make()
    long = replace(reading, columns=tuple(replace(c, name="c" * 90) for c in reading.columns), group="g" * 90)
    assert all(columns(line) <= 100 for line in long.summary().splitlines())
    assert HeadReading.from_dict(reading.to_dict()) == reading
    frame = reading.to_frame()
    first = frame[(frame.readout == "head") & (frame.value == "")].iloc[0]
    assert first.contrast == reading.columns[0].head.contrast.value
    assert f"{first.contrast:.3f}" in reading.summary()
    widths = [bar.get_width() for bar in reading.plot().patches]
    assert widths == [c.head.contrast.value for c in reading.bars]


def test_only_images_have_maps() -> None:
    assert len(image_reading().plot_maps().figure.axes) == 8  # six maps, two scales
    with pytest.raises(InputError, match="images only"):
        planted_reading().plot_maps()


def test_many_columns_leave_a_rest_that_adds_up() -> None:
    data = World(kind="table").draw(1000, seed=0)
    reading = head_reading(TorchNetwork(MLP(12, hidden=(16,))), pair_of(data), "backbone.1", rows=100)
    assert reading.rest is not None
    assert (reading.shown, reading.rest.name, len(reading.bars)) == (8, "4 others", 9)
    left = reading.columns[8:]
    assert reading.rest.task.contrast.value == pytest.approx(sum(c.task.contrast.value for c in left))
    assert reading.rest.head.share == pytest.approx(sum(c.head.share for c in left))


@pytest.mark.parametrize("settings", [{"rows": 3}, {"steps": 1}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    network, pair = planted()
    with pytest.raises(ConfigError, match="must be at least"):
        head_reading(network, pair, "backbone.1", **settings)


@pytest.mark.slow
def test_on_adult_the_relationship_feeds_the_head_more_than_the_task() -> None:
    table = adult(sensitive="sex")
    model = fit_table(table, Penalized(demographic_parity(), weight=10.0))
    rows, _ = model.encode(table, "test")
    female, male = (rows.group_names.index(name) for name in ("Female", "Male"))
    reading = head_reading(TorchNetwork(model.net), Pair.of(rows, female, male, 20_000, 0), "backbone.1")
    first = reading.columns[0]
    assert first.name == "relationship"
    assert first.head.share > 0.5 > 0.2 > first.task.share
    assert {v.value for v in first.values[:2]} == {"Husband", "Wife"}
