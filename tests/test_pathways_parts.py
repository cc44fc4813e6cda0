"""The pieces of the pathway analysis: readouts, erasers, swaps and intervals, against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.data import Dataset
from fairheads.nets import MLP
from fairheads.pathways.effects import point_effects, shifts
from fairheads.pathways.fits import LayerData, erasure_direction, every_fit, fits_of
from fairheads.pathways.intervals import jackknife_se, pointwise_critical, simultaneous_critical
from fairheads.pathways.probes import readable_after_shift
from fairheads.pathways.readout import RIDGE, BinMeans, Contrast, bin_edges, logistic, logistic_without, readout
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, collect, jackknife_blocks, shifted_scores
from fairheads.planted import plant_head, synthetic
from fairheads.sums import Moments
from fairheads.training import Unconstrained, train


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return synthetic(3000, seed=3)


def sampled(net: nn.Module, data: Dataset, group: int = 1):
    network = TorchNetwork(net)
    member = data.group == group
    return network, collect(network, data, member, network.layers(), 0)


def fitted(sample, name: str):
    layer = LayerData.of(sample, name, sample.activations[name], sample.member)
    return layer, fits_of(sample, layer)


def test_a_readout_from_moments_is_ridge_regression_on_standardised_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)) * [1, 10, 0.1, 1, 5, 2] + [0, 3, 0, -1, 0, 0]
    target = x @ rng.normal(size=6) + rng.normal(size=400)
    read = readout(Moments.of(np.column_stack([x, target])), 6, 0)
    scaler = StandardScaler().fit(x)
    ridge = Ridge(alpha=RIDGE * 400).fit(scaler.transform(x), target)
    np.testing.assert_allclose(read(x), ridge.predict(scaler.transform(x)), rtol=1e-10)


def test_the_merit_readout_is_penalised_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 4))
    y = (rng.random(3000) < special.expit(x @ [1.0, -2.0, 0.5, 0.0] - 1)).astype(int)
    z = np.column_stack([x, np.ones(3000)]).astype(np.float32)
    ours = logistic(z, y)
    strength = RIDGE * y.mean() * (1 - y.mean()) * 3000
    theirs = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(ours, [*theirs.coef_[0], theirs.intercept_[0]], atol=2e-3)
    separable = logistic(z, (x[:, 0] > 0).astype(int))
    assert np.isfinite(separable).all()


def test_one_step_without_a_block_comes_as_near_as_standard_errors_need() -> None:
    """A tenth of 1,000 rows of twelve columns left out: the step ends within a tenth of the way that a fit goes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 12))
    y = (rng.random(1000) < special.expit(2 * x[:, 0] - 2 * x[:, 1] - 1)).astype(int)
    z = np.column_stack([x, np.ones(1000)]).astype(np.float32)
    block = rng.permutation(1000) % 10
    ours = logistic(z, y)
    steps = np.array(logistic_without(z, y, ours, block))
    afresh = np.array([logistic(z[block != b], y[block != b]) for b in range(10)])
    assert (np.linalg.norm(steps - afresh, axis=1) < 0.1 * np.linalg.norm(afresh - ours, axis=1)).all()
    np.testing.assert_allclose(steps.std(0), afresh.std(0), rtol=0.1)
    assert afresh.std(0).min() > 0.005  # there is something to come near to


def test_a_delete_block_fit_reuses_the_fold_that_never_saw_the_block(rows: Dataset) -> None:
    _, sample = sampled(MLP(8, hidden=(16,)), rows)
    layer, alone = fitted(sample, "backbone.1")
    full, *without = every_fit(sample, layer)
    np.testing.assert_array_equal(full[0].merit, alone[0].merit)
    for left_out, fits in enumerate(without):
        sees, never = (left_out + 1) % 2, left_out % 2
        assert fits[never] is full[never]
        kept = (sample.fold != sees) & (sample.block != left_out)
        np.testing.assert_allclose(fits[sees].mean, layer.h[kept].mean(0), rtol=1e-5)
        assert not np.array_equal(fits[sees].merit, full[sees].merit)


def test_a_dead_unit_gets_no_weight_and_breaks_nothing() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=200), np.zeros(200)])
    read = readout(Moments.of(np.column_stack([x, x[:, 0]])), 2, 0)
    assert read.weights[1] == 0
    assert np.corrcoef(read(x), x[:, 0])[0, 1] > 0.999


def test_the_contrast_is_that_of_a_regression_in_each_bin() -> None:
    """Group minus reference with merit held: least squares on group and merit, bin by bin, as a library fits it."""
    rng = np.random.default_rng(1)
    merit, member = rng.normal(size=2000), rng.random(2000) < 0.3
    which = np.searchsorted(bin_edges(merit, 4), merit)
    h = rng.normal(size=(2000, 3)) + np.outer(merit, [1, 0, -2]) + np.outer(member, [0, 1, 1])
    found = Contrast.of(h, merit, which, member, 4)
    assert found.enough.all()
    residual = np.zeros(2000)
    for b in range(4):
        rows = which == b
        both = LinearRegression().fit(np.column_stack([member, merit])[rows], h[rows])
        np.testing.assert_allclose(found.contrast[b], both.coef_[:, 0], atol=1e-12)
        share = LinearRegression().fit(merit[rows, None], member[rows])
        residual[rows] = member[rows] - share.predict(merit[rows, None])
    np.testing.assert_allclose(found.cross, (h * residual[:, None]).mean(0), atol=1e-12)


def test_bin_means_equal_loops_over_bins() -> None:
    rng = np.random.default_rng(1)
    h, which, member = rng.normal(size=(500, 3)), rng.integers(0, 4, 500), rng.random(500) < 0.3
    means = BinMeans.of(h, which, member, 4)
    for b in range(4):
        for side in (0, 1):
            rows = (which == b) & (member == side)
            assert means.counts[b, side] == rows.sum()
            np.testing.assert_allclose(means.sums[b, side], h[rows].sum(0), atol=1e-12)


def test_a_bin_with_five_members_or_fewer_is_not_contrasted() -> None:
    h, which = np.ones((40, 2)), np.repeat([0, 1], 20)
    member = np.r_[np.arange(20) < 5, np.arange(20) < 6]
    found = Contrast.of(h, np.arange(40.0), which, member, 2)
    assert found.enough.tolist() == [False, True]
    assert (found.contrast == 0).all()


def test_effects_do_not_depend_on_the_number_of_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    """With plain bin means five and sixty bins differ by .06 here."""
    data = synthetic(20_000, seed=3)
    net = MLP(8, hidden=(16, 16), seed=1)
    train(net, synthetic(6000, seed=0), Unconstrained(), epochs=10, seed=1)
    network, sample = sampled(net, data)
    swaps = []
    for bins in (5, 10, 60):
        monkeypatch.setattr("fairheads.pathways.fits.BINS", bins)
        swaps.append(point_effects(network, sample, *fitted(sample, "backbone.3")).swap)
    assert np.ptp(swaps) < 0.006


@pytest.mark.parametrize("share", [0.3, 0.005])
def test_erasure_leaves_no_linear_trace_and_is_the_leace_map(share: float) -> None:
    """Also for a group of half a percent, which an absolute tolerance would leave unerased."""
    rng = np.random.default_rng(2)
    z = (rng.random(4000) < share).astype(float)
    h = rng.normal(size=(4000, 5)) @ rng.normal(size=(5, 5)) + np.outer(z, [2, 0, -1, 0, 1])
    centred, z = h - h.mean(0), z - z.mean()
    covariance, cross = centred.T @ centred / 4000, centred.T @ z / 4000
    assert np.abs(cross).max() > 0.001  # positive control: there is something to erase
    a = erasure_direction(covariance, cross)
    erased = h - np.outer(centred @ a, cross) / (a @ cross)
    np.testing.assert_allclose((erased - erased.mean(0)).T @ z / 4000, 0, atol=1e-12)
    values, vectors = np.linalg.eigh(covariance)
    whiten, colour = vectors / np.sqrt(values) @ vectors.T, vectors * np.sqrt(values) @ vectors.T
    u = whiten @ cross / np.linalg.norm(whiten @ cross)
    np.testing.assert_allclose(erased, h - centred @ (colour @ np.outer(u, u) @ whiten).T, atol=1e-9)


def test_erasure_ignores_directions_without_variance() -> None:
    rng = np.random.default_rng(3)
    h = np.column_stack([rng.normal(size=(300, 2)), np.zeros(300)])
    a = erasure_direction(np.cov(h.T), np.array([0.3, 0.1, 0.0]))
    assert np.isfinite(a).all()
    assert a[2] == 0


class Readable(nn.Module):
    """A network whose only hidden layer is its input, passed through, and whose output is a fixed linear map."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.head = nn.Linear(len(weights), 1)
        self.head.weight.data[:] = self.head.weight.new_tensor([weights])
        self.head.bias.data.zero_()

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.head(self.layer(x))


def linear_case(strength: float, n: int = 8000) -> tuple[Readable, Dataset]:
    """Logit = merit + strength * group, with merit independent of the group and both plain columns of the layer."""
    rng = np.random.default_rng(4)
    merit, group = rng.normal(size=n), rng.integers(0, 2, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-3 * merit))).astype(int)
    return Readable([1.0, strength]), Dataset(np.column_stack([merit, group + 1e-3 * rng.normal(size=n)]), y, group)


@pytest.mark.parametrize("strength", [0.0, 0.5, -1.0])
def test_swap_and_erasure_recover_a_known_effect(strength: float) -> None:
    net, data = linear_case(strength)
    network = TorchNetwork(net, layers=["layer"])
    sample = collect(network, data, data.group == 1, ["layer"], 0)
    effects = point_effects(network, sample, *fitted(sample, "layer"))
    assert effects.swap == pytest.approx(strength / sample.score.std(), abs=0.03)
    assert effects.equal_merit == pytest.approx(strength / sample.score.std(), abs=0.03)
    merit = data.inputs["x"][:, 0]
    selected = [(merit + strength * 0.5 > 0)[data.group == g].mean() for g in (0, 1)]
    before = [(sample.score > 0)[data.group == g].mean() for g in (0, 1)]
    expected = (selected[1] - selected[0]) - (before[1] - before[0])
    assert effects.erasure == pytest.approx(expected, abs=0.02)
    flips_expected = ((merit + strength > 0) != (merit > 0)).mean()
    assert effects.flips.mean() == pytest.approx(flips_expected, abs=0.02)


def test_a_shift_of_zero_changes_no_bit(rows: Dataset) -> None:
    network, sample = sampled(MLP(8, hidden=(16, 16)), rows)
    for name in network.layers():
        zero = np.zeros_like(sample.activations[name])
        assert np.array_equal(shifted_scores(network, sample, name, zero), sample.score)
        assert not np.array_equal(shifted_scores(network, sample, name, zero + 1), sample.score)


def test_shifts_are_cross_fitted(rows: Dataset) -> None:
    """Rows of one fold move by what the other fold says: their own labels play no part."""
    network, sample = sampled(MLP(8, hidden=(16,)), rows)
    name = network.layers()[0]
    before = shifts(sample, *fitted(sample, name))
    shuffled = np.random.default_rng(0).permutation(sample.y)
    scrambled = np.where(sample.fold == 0, shuffled, sample.y)
    after_sample = sample.with_labels(scrambled)
    after = shifts(after_sample, *fitted(after_sample, name))
    own, other = sample.fold == 0, sample.fold == 1
    assert np.array_equal(before.swap[own], after.swap[own])
    assert np.array_equal(before.erasure[own], after.erasure[own])
    assert not np.array_equal(before.swap[other], after.swap[other])


def test_erasure_makes_the_group_unreadable_on_rows_no_eraser_saw(rows: Dataset) -> None:
    network, sample = sampled(plant_head(MLP(8, hidden=(16, 16)), rows, group="B", strength=1.0), rows)
    for name in network.layers():
        layer, fits = fitted(sample, name)
        made = shifts(sample, layer, fits)
        before, merit_before = readable_after_shift(sample, layer.h, made.merit)
        after, merit_after = readable_after_shift(sample, layer.h + made.erasure, made.merit)
        assert before > 0.8
        assert after < 0.58
        assert merit_after > merit_before - 0.01


def test_the_jackknife_of_a_mean_is_the_textbook_standard_error() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(JACKKNIFE_BLOCKS, 50))
    means = np.array([np.delete(x, b, 0).mean() for b in range(JACKKNIFE_BLOCKS)])
    expected = x.mean(1).std(ddof=1) / np.sqrt(JACKKNIFE_BLOCKS)
    assert jackknife_se(means[:, None])[0] == pytest.approx(expected, rel=1e-12)


def test_jackknife_blocks_have_equal_size_and_depend_on_the_seed_alone() -> None:
    block = jackknife_blocks(1000, 7)
    assert (np.bincount(block, minlength=JACKKNIFE_BLOCKS) == 50).all()
    assert np.array_equal(block, jackknife_blocks(1000, 7))
    assert not np.array_equal(block, jackknife_blocks(1000, 8))


def test_simultaneous_bounds_lie_between_one_effect_and_bonferroni() -> None:
    rng = np.random.default_rng(6)
    alone = rng.normal(size=(20, 1))
    same = np.repeat(alone, 6, 1)
    independent = rng.normal(size=(20, 6))
    one, many = pointwise_critical(20, 0.05), pointwise_critical(20, 0.05 / 6)
    assert simultaneous_critical(same, 0.05, 0) == pytest.approx(one, abs=0.05)
    assert one < simultaneous_critical(independent, 0.05, 0) <= many


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_simultaneous_bounds_cover_all_effects_at_their_level(correlation: float) -> None:
    """Means of six correlated columns, 2,000 samples of 200 rows: all six lower bounds hold in about 95 %."""
    rng = np.random.default_rng(7)
    draws, blocks, effects = 2000, JACKKNIFE_BLOCKS, 6
    covered = alone = 0
    for _ in range(draws):
        shared = rng.normal(size=(blocks, 1))
        block_means = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=(blocks, effects))
        replicates = (block_means.sum(0) - block_means) / (blocks - 1)
        estimate, se = block_means.mean(0), jackknife_se(replicates)
        covered += (estimate <= simultaneous_critical(replicates, 0.05, 0) * se).all()
        alone += (estimate <= pointwise_critical(blocks, 0.05) * se).all()
    assert 0.935 <= covered / draws <= 0.975
    assert alone < covered  # the control: pointwise bounds do not hold for all six at once


def test_bin_edges_cut_into_equal_counts() -> None:
    score = np.random.default_rng(8).normal(size=1000)
    counts = np.bincount(np.searchsorted(bin_edges(score, 20), score), minlength=20)
    assert counts.min() >= 49
    assert counts.max() <= 51
