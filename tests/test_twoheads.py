"""The merge is exact, the front is the brute force's, and the gap that was asked for holds on new rows."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval
from fairheads.nets import MLP, TwoHeadNet
from fairheads.twoheads import (
    Coefficients,
    Frontier,
    fit_frontier,
    merge_heads,
    merge_net,
    two_head_scores,
    unmerge_heads,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def coefficients(b: float, t: float) -> Coefficients:
    return Coefficients(b=b, t=t, accuracy=0.8, gap=0.0, n=100)


def linear(features: int, outputs: int, seed: int = 0, scale: float = 1.0) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = nn.Linear(features, outputs)
    with torch.no_grad():
        layer.weight.mul_(scale)
    return layer


# --- merging -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.floats(-20, 20), st.floats(-20, 20))
def test_the_merged_head_is_the_weighted_sum_of_the_two(seed: int, b: float, t: float) -> None:
    two = linear(6, 2, seed)
    merged = merge_heads(two, coefficients(b, t))
    assert (merged.in_features, merged.out_features) == (6, 1) and merged.weight.dtype == torch.float32
    weight, bias = two.weight.detach().double(), two.bias.detach().double()
    torch.testing.assert_close(merged.weight.detach(), (weight[0] + b * weight[1])[None].float(), rtol=0, atol=0)
    torch.testing.assert_close(merged.bias.detach(), (bias[0] + b * bias[1] + t)[None].float(), rtol=0, atol=0)
    h = torch.randn(50, 6, generator=torch.Generator().manual_seed(seed))
    z_y, z_g = two(h).detach().double().T
    torch.testing.assert_close(merged(h).detach()[:, 0].double(), z_y + b * z_g + t, rtol=1e-5, atol=1e-4)


@given(st.integers(0, 1000), st.floats(-20, 20), st.floats(-20, 20))
def test_unmerging_gives_the_two_heads_back(seed: int, b: float, t: float) -> None:
    two = linear(6, 2, seed).double()
    group_head = nn.Linear(6, 1).double()
    with torch.no_grad():
        group_head.weight[0], group_head.bias[0] = two.weight[1], two.bias[1]
    again = unmerge_heads(merge_heads(two, coefficients(b, t)), group_head, coefficients(b, t))
    torch.testing.assert_close(again.weight, two.weight, rtol=0, atol=1e-13)
    torch.testing.assert_close(again.bias, two.bias, rtol=0, atol=1e-13)
    wrong = unmerge_heads(merge_heads(two, coefficients(b, t)), group_head, coefficients(b + 1, t))
    assert (wrong.weight - two.weight).abs().max() > 1e-3


def test_heads_without_a_bias_merge_and_unmerge() -> None:
    two = nn.Linear(4, 2, bias=False)
    merged = merge_heads(two, coefficients(2.0, 0.5))
    assert merged.bias.tolist() == [0.5]
    group_head = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        group_head.weight[0] = two.weight[1]
    again = unmerge_heads(merged, group_head, coefficients(2.0, 0.5))
    assert again.bias.tolist() == [0.0, 0.0]
    torch.testing.assert_close(again.weight, two.weight, atol=1e-6, rtol=0)


def test_heads_of_the_wrong_width_are_refused() -> None:
    with pytest.raises(InputError, match="`linear` must have two outputs"):
        merge_heads(nn.Linear(4, 1), coefficients(1, 0))
    for merged, group_head in ((nn.Linear(4, 2), nn.Linear(4, 1)), (nn.Linear(4, 1), nn.Linear(3, 1))):
        with pytest.raises(InputError, match="must have one output each and the same number of inputs"):
            unmerge_heads(merged, group_head, coefficients(1, 0))


def two_headed(scale: float) -> tuple[TwoHeadNet, Dataset]:
    net = TwoHeadNet(MLP(5, hidden=(16, 8), seed=2), seed=3)
    with torch.no_grad():
        net.head.weight.mul_(scale)
    rng = np.random.default_rng(0)
    X = rng.normal(scale=3.0, size=(1300, 5))
    return net, Dataset(X, rng.integers(0, 2, 1300), rng.integers(0, 2, 1300))


@pytest.mark.parametrize(("scale", "b", "t"), [(1.0, 0.7, -0.2), (200.0, -1.5, 3.0), (2000.0, 5.0, 40.0)])
def test_a_merged_net_gives_the_logit_of_the_two_heads_on_every_row_however_large(scale, b, t) -> None:
    net, data = two_headed(scale)
    single = merge_net(net, coefficients(b, t), data)
    heads, merged = two_head_scores(net, data), two_head_scores(single, data)
    assert heads.shape == (1300, 2) and merged.shape == (1300, 1)
    wanted = heads[:, 0] + b * heads[:, 1] + t
    if scale > 1:
        assert (np.abs(wanted) > 15).sum() > 200
    size = np.abs(heads[:, 0]) + np.abs(b * heads[:, 1]) + abs(t)
    assert (np.abs(merged[:, 0] - wanted) <= 1e-5 * np.maximum(1, size if scale > 1 else np.abs(wanted))).all()
    with torch.no_grad():
        np.testing.assert_allclose(two_head_scores(net, data), net(torch.as_tensor(data.inputs["x"])), rtol=1e-4)


def test_a_merged_net_is_of_the_single_class_with_its_keys_and_shapes() -> None:
    net, data = two_headed(1.0)
    single = merge_net(net, coefficients(1.0, 0.0), data)
    plain = MLP(5, hidden=(16, 8))
    assert type(single) is MLP and not single.training
    assert {k: v.shape for k, v in single.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}


def test_a_merge_that_does_not_give_the_two_heads_logit_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    net, data = two_headed(1.0)
    right = net.single

    def slightly_wrong(head: nn.Linear) -> nn.Module:
        single = right(head)
        with torch.no_grad():
            single.backbone[0].weight[0, 0] += 0.01
        return single

    merge_net(net, coefficients(1.0, 0.0), data)
    monkeypatch.setattr(net, "single", slightly_wrong)
    with pytest.raises(InputError, match="the merged logits differ from the two heads by up to"):
        merge_net(net, coefficients(1.0, 0.0), data)


# --- the front ---------------------------------------------------------------------------------------------------


def rows_of(seed: int, n: int, ties: bool) -> tuple[Floats, Floats, Ints, Ints]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    merit = rng.normal(size=n) + 0.8 * group
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * merit))).astype(int)
    z_y, z_g = 2 * merit, group + 0.3 * rng.normal(size=n)
    return (np.round(z_y), np.round(z_g), y, group) if ties else (z_y, z_g, y, group)


def every_threshold(score: Floats, y: Ints, group: Ints) -> list[tuple[float, float, int]]:
    """Accuracy, gap and number selected of every set of rows above a score of some row but the lowest."""
    points = []
    for threshold in np.unique(score)[::-1][:-1]:
        selected = score >= threshold
        gap = selected[group == 1].mean() - selected[group == 0].mean()
        points.append((float((selected == y).mean()), float(gap), int(selected.sum())))
    return points


def brute_force(z_y: Floats, z_g: Floats, y: Ints, group: Ints, slopes: Floats, max_gap: float) -> float | None:
    """The best accuracy within the gap over every threshold for these slopes, None if no merge keeps it."""
    alone = every_threshold(z_y, y, group)
    most_accurate = max(alone, key=lambda point: point[0])
    least, most = most_accurate[2] // 2, len(y) - (len(y) - most_accurate[2]) // 2
    points = [point for b in slopes for point in every_threshold(z_y + b * z_g, y, group) if least < point[2] < most]
    return max((accuracy for accuracy, gap, _ in points if abs(gap) <= max_gap + 1e-12), default=None)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(6, 25), st.booleans(), st.sampled_from([0.0, 0.02, 0.1, 0.25, 1.0]))
def test_the_front_is_the_brute_force_over_every_threshold(seed: int, n: int, ties: bool, max_gap: float) -> None:
    z_y, z_g, y, group = rows_of(seed, n, ties)
    assume(0 < group.sum() < n and len(set(z_y)) > 1)
    front = fit_frontier(z_y, z_g, y, group)
    best = brute_force(z_y, z_g, y, group, np.unique(front.b), max_gap)
    if best is None:
        with pytest.raises(InputError, match="no merge keeps the gap"):
            front.at(max_gap=max_gap, confidence=None)
    else:
        assert front.at(max_gap=max_gap, confidence=None).accuracy == pytest.approx(best, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(6, 200), st.booleans())
def test_every_candidate_has_the_accuracy_and_the_counts_of_its_decisions(seed: int, n: int, ties: bool) -> None:
    z_y, z_g, y, group = rows_of(seed, n, ties)
    assume(0 < group.sum() < n and len(set(z_y)) > 1)
    front = fit_frontier(z_y, z_g, y, group)
    rng = np.random.default_rng(seed)
    for i in rng.choice(len(front.b), min(50, len(front.b)), replace=False):
        decision = z_y + front.b[i] * z_g + front.t[i] > 0
        assert front.accuracy[i] == pytest.approx((decision == y).mean(), abs=1e-12)
        assert front.selected[i].tolist() == [decision[group == g].sum() for g in (0, 1)]
        assert front.gap[i] == pytest.approx(decision[group == 1].mean() - decision[group == 0].mean(), abs=1e-12)


def test_scores_that_are_neighbouring_floats_are_still_told_apart() -> None:
    top, below = 1.0 + 2**-52, 1.0
    for z_y in ([top, below] * 4, [np.nextafter(below, 0), below] * 4):
        z_y, y, group = np.array(z_y), np.array([1, 0] * 4), np.array([0, 0, 1, 1] * 2)
        y = (z_y == z_y.max()).astype(int)
        best = fit_frontier(z_y, group.astype(float), y, group).at(max_gap=0.0, confidence=None)
        assert best.accuracy == 1.0
        assert ((z_y + best.b * group + best.t > 0) == y).all()


def test_a_gap_on_the_edge_of_what_is_allowed_is_not_lost_to_a_better_one_just_beyond() -> None:
    z_y, z_g, y, group = rows_of(0, 1501, ties=False)
    front = fit_frontier(z_y, z_g, y, group)
    for max_gap in (0.001, 0.002, 0.005, 0.02):
        best = brute_force(z_y, z_g, y, group, np.unique(front.b)[::20], max_gap)
        assert best is not None or max_gap < 0.02
        assert best is None or front.at(max_gap=max_gap, confidence=None).accuracy >= best


def test_the_group_head_buys_accuracy_at_parity_and_its_sign_goes_against_the_gap() -> None:
    z_y, z_g, y, group = rows_of(0, 4000, ties=False)
    free = fit_frontier(z_y, z_g, y, group)
    blind = fit_frontier(z_y, np.zeros(4000), y, group)
    assert set(blind.b) == {0.0}
    at_parity = free.at(max_gap=0.01, confidence=None)
    assert at_parity.b < 0 and at_parity.n == 4000 and abs(at_parity.gap) <= 0.01
    try:
        without = blind.at(max_gap=0.01, confidence=None).accuracy
    except InputError:
        without = 0.0
    assert at_parity.accuracy > without + 0.02
    turned = fit_frontier(z_y, z_g, y, 1 - group).at(max_gap=0.01, confidence=None)
    assert turned.gap == pytest.approx(-at_parity.gap, abs=1e-12) and turned.accuracy == at_parity.accuracy


def test_a_looser_gap_costs_no_accuracy_and_confidence_does() -> None:
    front = fit_frontier(*rows_of(1, 2000, ties=False))
    accuracy = [front.at(max_gap=gap, confidence=None).accuracy for gap in (0.005, 0.02, 0.05, 0.1, 0.3, 1.0)]
    assert accuracy == sorted(accuracy) and accuracy[-1] > accuracy[0]
    sure = front.at(max_gap=0.1, confidence=0.95)
    assert sure.accuracy <= front.at(max_gap=0.1, confidence=0.8).accuracy <= accuracy[3]
    assert abs(sure.gap) < 0.1


def test_the_confident_choice_is_held_to_newcombes_one_sided_bound() -> None:
    z_y, z_g, y, group = rows_of(2, 1500, ties=False)
    front = fit_frontier(z_y, z_g, y, group)
    chosen = front.at(max_gap=0.08, confidence=0.95)
    decision = z_y + chosen.b * z_g + chosen.t > 0
    counts = [(decision[group == g].sum(), (group == g).sum()) for g in (1, 0)]
    low, high = difference_interval(*counts[0], *counts[1], confidence=0.9)
    assert max(-low, high) <= 0.08
    (k0, k1), (n0, n1) = front.selected.T, front.group_sizes
    lows, highs = difference_interval(k1, n1, k0, n0, confidence=0.9)
    held = (highs <= 0.08) & (lows >= -0.08)
    assert chosen.accuracy == front.accuracy[held].max(), "of all that are held to it the most accurate"
    assert chosen.accuracy < front.accuracy[np.abs(front.gap) <= 0.08].max()


@pytest.mark.slow
def test_a_gap_that_no_merge_can_be_held_to_is_refused_with_the_smallest_that_one_can() -> None:
    front = fit_frontier(*rows_of(3, 300, ties=False))
    with pytest.raises(InputError, match=r"at or below 0\.01 on 300 validation rows with confidence 0\.95") as refused:
        front.at(max_gap=0.01, confidence=0.95)
    smallest = float(str(refused.value).rstrip(".").split()[-1])
    assert 0.01 < smallest < 0.3
    assert front.at(max_gap=smallest + 1e-4, confidence=0.95).n == 300
    with pytest.raises(InputError, match="smallest that can be had"):
        front.at(max_gap=smallest - 1e-4, confidence=0.95)


def test_deciding_everybody_alike_is_no_way_to_parity() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 2000)
    y = (rng.random(2000) < 0.05 + 0.3 * group).astype(int)
    z_y = 3.0 * y + 1.5 * group + rng.normal(size=2000)
    front = fit_frontier(z_y, np.zeros(2000), y, group)
    alone = max(every_threshold(z_y, y, group), key=lambda point: point[0])
    few = max((p for p in every_threshold(z_y, y, group) if abs(p[1]) <= 0.02), key=lambda point: point[0])
    assert few[2] < 0.1 * alone[2], "the most accurate threshold at parity refuses nearly everybody"
    many = [p for p in every_threshold(z_y, y, group) if abs(p[1]) <= 0.02 and p[2] > 1900]
    assert many, "so does one that selects nearly everybody"
    with pytest.raises(InputError, match=r"smallest that can be had is 0\.1\d"):
        front.at(max_gap=0.02, confidence=None)
    assert (z_y + front.at(max_gap=0.25, confidence=None).t > 0).sum() > 0.45 * alone[2]


@cache
def population() -> tuple[Floats, Floats, Ints, Ints]:
    return rows_of(10**6, 200_000, ties=False)


def true_gap(chosen: Coefficients) -> float:
    z_y, z_g, _, group = population()
    decision = z_y + chosen.b * z_g + chosen.t > 0
    return abs(float(decision[group == 1].mean() - decision[group == 0].mean()))


def violations(n: int, max_gap: float, seeds: int, confidence: float | None) -> int:
    """In how many of so many validation samples the chosen merge breaks the gap in the population."""
    chosen = [fit_frontier(*rows_of(s, n, ties=False)).at(max_gap=max_gap, confidence=confidence) for s in range(seeds)]
    return sum(true_gap(c) > max_gap for c in chosen)


@pytest.mark.slow
def test_the_bound_holds_on_new_rows_and_without_it_the_gap_does_not() -> None:
    assert violations(1000, 0.1, 30, confidence=0.95) <= 4
    assert violations(1000, 0.1, 30, confidence=None) >= 8


@pytest.mark.slow
@pytest.mark.parametrize(("n", "max_gap"), [(1000, 0.1), (20_000, 0.03)])
def test_the_bound_holds_on_new_rows_in_a_hundred_samples(n: int, max_gap: float) -> None:
    assert violations(n, max_gap, 100, confidence=0.95) <= 10


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"z_g": [0.0] * 3}, "must have the same length"),
        ({"y": [0, 1, 0]}, "must have the same length"),
        ({"z_y": [0.0, np.nan, 1.0, 2.0]}, "the logits must be finite"),
        ({"z_g": [0.0, 1.0, np.inf, 2.0]}, "the logits must be finite"),
        ({"group": [1, 1, 1, 1]}, r"two groups with rows in both are needed, got counts \[0, 4\]"),
        ({"group": [0, 0, 0, 0]}, r"two groups with rows in both are needed, got counts \[4, 0\]"),
        ({"group": [0, 1, 2, 0]}, "`group` must be 0 or 1"),
        ({"group": [-1, 1, 0, 0]}, "`group` must be 0 or 1"),
        ({"y": [0, 2, 1, 0]}, "`y` must be 0 or 1"),
        ({"z_y": [1.0] * 4, "z_g": [0.0] * 4}, "no threshold separates rows"),
        ({"z_y": [], "z_g": [], "y": [], "group": []}, "two groups with rows in both are needed"),
    ],
)
def test_rows_that_make_no_front_are_refused(changed: dict[str, list[float]], message: str) -> None:
    good = {"z_y": [0.0, 3.0, 1.0, 2.0], "z_g": [0.0, 1.0, 0.2, 0.9], "y": [0, 1, 0, 1], "group": [0, 1, 0, 1]}
    assert isinstance(fit_frontier(**good), Frontier)
    with pytest.raises(InputError, match=message):
        fit_frontier(**(good | changed))


@pytest.mark.parametrize("setting", [{"max_gap": -0.1}, {"max_gap": 1.1}, {"confidence": 0.3}, {"confidence": 1.0}])
def test_settings_of_a_gap_outside_their_range_are_refused(setting: dict[str, float]) -> None:
    front = fit_frontier(*rows_of(0, 100, ties=False))
    with pytest.raises(ConfigError, match=r"`max_gap` must lie in \[0, 1\] and `confidence` in \[.5, 1\)"):
        front.at(**({"max_gap": 0.5} | setting))
