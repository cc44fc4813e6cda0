"""Merges of two groups and more: the front is the brute force's, every count is exact, and gaps hold on new rows."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score

from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval
from fairheads.metrics.rates import RATE_OF
from fairheads.twoheads import Coefficients, Frontier, Utility, fit_frontier, group_readout
from fairheads.twoheads.criteria import criteria_of
from fairheads.twoheads.heads import heads_of_arrays
from fairheads.twoheads.margin import simultaneous
from fairheads.twoheads.thresholds import membership

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = tuple[Floats, Floats, Ints, Ints]


def rows_of(seed: int, n: int, *, whole: bool = False) -> Rows:
    """Two groups that differ in merit, with a noisy group head; rounded to whole numbers there are ties."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    merit = rng.normal(size=n) + 0.8 * group
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * merit))).astype(int)
    z_y, z_g = 2 * merit, group + 0.3 * rng.normal(size=n)
    return (np.round(3 * z_y), np.round(3 * z_g), y, group) if whole else (z_y, z_g, y, group)


def groups_of(seed: int, n: int, k: int) -> Rows:
    """k groups of falling size whose merit rises, with one noisy output each."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(2, 1, k)
    group = rng.choice(k, n, p=sizes / sizes.sum())
    merit = rng.normal(size=n) + np.linspace(-0.6, 0.6, k)[group]
    y = (rng.random(n) < 1 / (1 + np.exp(0.5 - 2 * merit))).astype(int)
    return 2 * merit - 0.5, np.eye(k)[group] + 0.3 * rng.normal(size=(n, k)), y, group


def gap_of(decision: NDArray[np.bool_], y: Ints, group: Ints, metric: str = "demographic_parity") -> float:
    """The gap as its definition has it, without a sign."""
    among = {
        "demographic_parity": [np.ones(len(y), bool)],
        "equal_opportunity": [y == 1],
        "predictive_equality": [y == 0],
        "equalized_odds": [y == 1, y == 0],
    }
    right = {"accuracy_equality": decision == y}.get(metric, decision)
    gaps = []
    for rows in among.get(metric, [np.ones(len(y), bool)]):
        rates = [right[rows & (group == g)].mean() for g in range(group.max() + 1)]
        gaps.append(max(rates) - min(rates))
    return float(max(gaps))


def usable(decision: NDArray[np.bool_], y: Ints) -> bool:
    """Whether it selects half as many as are favourable, and refuses half as many as are not."""
    return bool(decision.mean() >= y.mean() / 2 - 1e-12 and (~decision).mean() >= (1 - y.mean()) / 2 - 1e-12)


def every_set(z_y: Floats, z_g: Floats) -> NDArray[np.bool_]:
    """Every set of rows that some line selects, (sets, n), of whole numbers: through every two points a line, and of
    the points on it those on one side of every gap."""
    found = {np.ones(len(z_y), bool).tobytes()}
    points = sorted(set(zip(z_y.tolist(), z_g.tolist(), strict=True)))
    lines = {(0.0, 1.0)}
    for i, one in enumerate(points):
        for other in points[:i]:
            if one[1] != other[1]:
                run = one[1] - other[1]
                lines.add((-(one[0] - other[0]) * np.sign(run), abs(run)))
    for rise, run in lines:
        score = run * z_y + rise * z_g  # whole numbers: exact
        for value in set(score.tolist()):
            above, on = score > value, score == value
            for edge in set(z_g[on].tolist()):
                for side in (z_g > edge, z_g >= edge, z_g < edge, z_g <= edge):
                    found.add((above | (on & side)).tobytes())
    return np.array([np.frombuffer(each, bool) for each in found])


def brute_force(rows: Rows, max_gap: float, metric: str, objective) -> float | None:
    z_y, z_g, y, group = rows
    values = [
        objective(y, decision)
        for decision in every_set(z_y, z_g)
        if usable(decision, y) and gap_of(decision, y, group, metric) <= max_gap + 1e-12
    ]
    return max(values, default=None)


def accuracy(y: Ints, decision: NDArray[np.bool_]) -> float:
    return float((decision == y).mean())


OBJECTIVES = {
    "accuracy": accuracy,
    "balanced_accuracy": lambda y, d: float(balanced_accuracy_score(y, d)),
    "f1": lambda y, d: float(f1_score(y, d)),
}


# --- exactness -----------------------------------------------------------------------------------------------------


def test_sets_that_ties_hide_at_one_slope_are_looked_at_at_the_next() -> None:
    """At b = 0 the last three rows have one score; a set that parts them is the best, and its slope comes next."""
    z_y, z_g = np.array([4.0, 12, 2, 3, 2, 2]), np.array([0.0, 2, 4, 0, 1, 3])
    chosen = fit_frontier(z_y, z_g, [1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 0, 1]).at(max_gap=0.0, confidence=None)
    assert chosen.accuracy == 1.0 and chosen.gap == 0.0


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(6, 22),
    st.sampled_from([0.0, 0.02, 0.1, 0.25, 1.0]),
    st.sampled_from(["demographic_parity", "equal_opportunity", "equalized_odds", "accuracy_equality"]),
    st.sampled_from(sorted(OBJECTIVES)),
)
def test_of_few_rows_the_front_is_the_brute_force_over_every_set_of_decisions(seed, n, max_gap, metric, objective):
    rows = rows_of(seed, n, whole=True)
    _, _, y, group = rows
    assume(len(set(zip(y.tolist(), group.tolist(), strict=True))) == 4)
    best = brute_force(rows, max_gap, metric, OBJECTIVES[objective])
    try:
        front = fit_frontier(*rows, gap_metric=metric, objective=objective)
        chosen = front.at(max_gap=max_gap, confidence=None)
    except InputError:
        assert best is None
        return
    decision = chosen.score(rows[0], rows[1]) > 0
    assert front.complete and best is not None
    assert OBJECTIVES[objective](y, decision) == pytest.approx(best, abs=1e-12)
    assert gap_of(decision, y, group, metric) <= max_gap + 1e-12 and usable(decision, y)


@pytest.mark.slow
def test_of_three_hundred_rows_too() -> None:
    rows = rows_of(5, 300, whole=True)
    keep = np.unique(np.column_stack(rows[:2]), axis=0, return_index=True)[1][:60]
    points = tuple(values[keep] for values in rows)
    more = tuple(np.concatenate([values, values, values, values, values]) for values in points)
    y = np.random.default_rng(0).permutation(more[2])
    rows = (more[0], more[1], y, more[3])
    for max_gap in (0.0, 0.02, 0.1):
        best = brute_force(rows, max_gap, "demographic_parity", accuracy)
        assert fit_frontier(*rows).at(max_gap=max_gap, confidence=None).accuracy == pytest.approx(best, abs=1e-12)
    assert fit_frontier(*rows_of(6, 300)).complete


def test_more_rows_than_can_be_enumerated_come_close_to_it() -> None:
    rows = rows_of(1, 250)
    front = fit_frontier(*rows)
    again = fit_frontier(*(np.concatenate([values, values]) for values in rows))
    assert front.complete and again.complete, "equal rows are one point"
    moved = [np.concatenate([values, values]) for values in rows]
    moved[0] = moved[0] + np.repeat([0.0, 1e-9], 250)
    near = fit_frontier(*moved)
    assert not near.complete
    for max_gap in (0.02, 0.1):
        exact = front.at(max_gap=max_gap, confidence=None).accuracy
        assert near.at(max_gap=max_gap, confidence=None).accuracy >= exact - 0.004


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", [40, 3000, 60_000])
def test_every_candidate_has_the_counts_of_its_decisions(n: int, whole: bool) -> None:
    rows = rows_of(n, n, whole=whole)
    z_y, z_g, y, group = rows
    front = fit_frontier(*rows)
    assert len(front.t) > 3
    for i in np.random.default_rng(0).choice(len(front.t), min(40, len(front.t)), replace=False):
        decision = z_y + front.b[i] * z_g + front.t[i] > 0
        assert front.selected[i].tolist() == [decision[group == g].sum() for g in (0, 1)]
        assert front.accuracy[i] == pytest.approx((decision == y).mean(), abs=1e-12)
        assert front.gap[i] == pytest.approx(decision[group == 1].mean() - decision[group == 0].mean(), abs=1e-12)
        assert front.selection_rate[i] == pytest.approx(decision.mean(), abs=1e-12) and usable(decision, y)


NAMED = ("demographic_parity", "equalized_odds", "equal_opportunity", "predictive_equality")


@pytest.mark.parametrize(
    ("k", "metric"),
    [
        *product([2], NAMED),
        *product([4], NAMED[:2]),
        *(pytest.param(4, metric, marks=pytest.mark.slow) for metric in NAMED[2:]),
    ],
)
def test_what_is_chosen_is_what_its_decisions_say(k: int, metric: str) -> None:
    n = 2500 if k == 2 else 1500
    rows = rows_of(3, n) if k == 2 else groups_of(3, n, k)
    z_y, z_g, y, group = rows
    front = fit_frontier(*rows, gap_metric=metric)
    alone = front.alone()
    assert alone.b == (0.0 if k == 2 else (0.0,) * k) and alone.t == 0.0
    for confidence, max_gap in ((None, 0.15), (0.95, 0.35)):
        chosen = front.at(max_gap=max_gap, confidence=confidence)
        decision = chosen.score(z_y, z_g) > 0
        assert chosen.n == n and chosen.gap_metric == metric and chosen.space == "logit"
        assert chosen.accuracy == pytest.approx((decision == y).mean(), abs=1e-12)
        assert abs(chosen.gap) == pytest.approx(gap_of(decision, y, group, metric), abs=1e-12)
        assert chosen.rates == pytest.approx([decision[group == g].mean() for g in range(k)], abs=1e-12)
        assert chosen.selection_rate == pytest.approx(decision.mean(), abs=1e-12)
        assert abs(chosen.gap) <= max_gap and (metric != "demographic_parity" or abs(alone.gap) > 0.15)
        assert (chosen.bound is None) == (confidence is None)
    assert chosen.bound is not None and abs(chosen.gap) < chosen.bound <= 0.35


def test_neighbouring_floats_are_told_apart() -> None:
    top, below = 1.0 + 2**-52, 1.0
    for z_y in ([top, below] * 4, [np.nextafter(below, 0), below] * 4):
        scores, group = np.array(z_y), np.array([0, 0, 1, 1] * 2)
        y = (scores == scores.max()).astype(int)
        best = fit_frontier(scores, group.astype(float), y, group).at(max_gap=0.0, confidence=None)
        assert best.accuracy == 1.0 and ((best.score(scores, group) > 0) == y).all()


# --- objectives, gaps and limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["balanced_accuracy", "f1"])
def test_an_objective_is_served_better_by_itself_than_by_accuracy(objective: str) -> None:
    z_y, z_g, y, group = rows_of(2, 6000)
    z_y = z_y - 2.0
    y = y * (np.random.default_rng(0).random(6000) < 0.4)
    rows = (z_y, z_g, y, group)
    own = fit_frontier(*rows, objective=objective).at(max_gap=0.05, confidence=None)
    other = fit_frontier(*rows).at(max_gap=0.05, confidence=None)
    mine, its = (OBJECTIVES[objective](y, c.score(z_y, z_g) > 0) for c in (own, other))
    assert own.objective == objective and mine > its and other.accuracy > own.accuracy


def test_a_utility_moves_the_threshold_its_way() -> None:
    rows = rows_of(2, 6000)
    kind = fit_frontier(*rows, objective=Utility(tp=5.0, fp=-1.0)).at(max_gap=1.0, confidence=None)
    strict = fit_frontier(*rows, objective=Utility(tp=1.0, fp=-5.0)).at(max_gap=1.0, confidence=None)
    assert kind.selection_rate > strict.selection_rate + 0.1
    decision = kind.score(rows[0], rows[1]) > 0
    worth = (
        5.0 * (decision & (rows[2] == 1)).sum() - (decision & (rows[2] == 0)).sum() + (~decision & (rows[2] == 0)).sum()
    )
    front = fit_frontier(*rows, objective=Utility(tp=5.0, fp=-1.0))
    assert front.objective.max() <= worth / 6000 + 1e-9
    assert kind.objective == "utility(5, -1, 0, 1)"


def test_a_gap_of_any_rate_of_the_cells() -> None:
    rows = rows_of(4, 5000)
    named = fit_frontier(*rows, gap_metric="predictive_parity").at(max_gap=0.02, confidence=None)
    decision = named.score(rows[0], rows[1]) > 0
    values = [rows[2][decision & (rows[3] == g)].mean() for g in (0, 1)]
    assert abs(values[1] - values[0]) <= 0.02 and named.gap == pytest.approx(values[1] - values[0])
    both = fit_frontier(*rows, gap_metric=(RATE_OF["true_positive_rate"], RATE_OF["false_positive_rate"]))
    odds = fit_frontier(*rows, gap_metric="equalized_odds")
    one, other = (front.at(max_gap=0.1, confidence=None) for front in (both, odds))
    assert (one.b, one.t) == (other.b, other.t) and (one.gap_metric, other.gap_metric) == ("custom", "equalized_odds")
    assert fit_frontier(*rows, gap_metric="equalized-odds").at(max_gap=0.1, confidence=None) == other


@pytest.mark.parametrize("k", [2, 3])
def test_minimum_rates_keep_every_group_up(k: int) -> None:
    rows = rows_of(7, 4000) if k == 2 else groups_of(7, 1200, k)
    free = fit_frontier(*rows).at(max_gap=0.02, confidence=None)
    least = min(free.rates) + 0.05
    held = fit_frontier(*rows, minimum_rates={"selection_rate": least}).at(max_gap=0.02, confidence=None)
    assert min(free.rates) < least <= min(held.rates) and abs(held.gap) <= 0.02
    assert held.accuracy <= free.accuracy + 0.002
    with pytest.raises(
        InputError, match=r"with every one of them lowered by about 0\.\d\d there may be one"
    ) as refused:
        fit_frontier(*rows, minimum_rates={"true_positive_rate": 0.999, "true_negative_rate": 0.999})
    lower = 0.999 - float(re.search(r"about (0\.\d\d)", str(refused.value)).group(1)) - 0.02
    fit_frontier(*rows, minimum_rates={"true_positive_rate": lower, "true_negative_rate": lower})


def test_a_gap_that_minimum_rates_rule_out_is_refused_beside_them() -> None:
    rows = rows_of(7, 2000)
    fit_frontier(*rows).at(max_gap=0.01, confidence=None)
    front = fit_frontier(*rows, minimum_rates={"accuracy": 0.77})
    with pytest.raises(
        InputError, match=r"at or below 0\.01 and the `minimum_rates` on 2000 validation rows;"
    ) as refused:
        front.at(max_gap=0.01, confidence=None)
    least = float(str(refused.value).rstrip(".").split()[-1])
    assert abs(front.at(max_gap=least, confidence=None).gap) > 0.01


@pytest.mark.parametrize("k", [2, 3])
def test_rows_without_a_group_count_for_the_objective_only(k: int) -> None:
    z_y, z_g, y, group = rows_of(8, 3000) if k == 2 else groups_of(8, 3000, k)
    unknown = np.where(np.random.default_rng(0).random(3000) < 0.3, -1, group)
    chosen = fit_frontier(z_y, z_g, y, unknown).at(max_gap=0.02, confidence=None)
    decision = chosen.score(z_y, z_g) > 0
    assert chosen.n == 3000 and chosen.accuracy == pytest.approx((decision == y).mean())
    known = unknown >= 0
    assert abs(chosen.gap) == pytest.approx(gap_of(decision[known], y[known], unknown[known]))
    assert fit_frontier(z_y, z_g, y, unknown).group_sizes.sum() == known.sum()


def test_deciding_everybody_alike_is_no_way_to_parity() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 2000)
    y = (rng.random(2000) < 0.05 + 0.3 * group).astype(int)
    z_y = 3.0 * y + 1.5 * group + rng.normal(size=2000)
    front = fit_frontier(z_y, np.zeros(2000), y, group)
    few = z_y > np.sort(z_y)[-20]
    assert gap_of(few, y, group) <= 0.02 and not usable(few, y)
    with pytest.raises(InputError, match=r"smallest that can be had is 0\.1\d"):
        front.at(max_gap=0.02, confidence=None)
    assert usable(front.at(max_gap=0.3, confidence=None).score(z_y, np.zeros(2000)) > 0, y)


# --- behaviour -------------------------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([30, 900]))
def test_the_order_of_rows_changes_nothing_and_the_names_of_groups_the_sign(seed: int, n: int) -> None:
    rows = rows_of(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    one = fit_frontier(*rows).at(max_gap=0.3, confidence=None)
    other = fit_frontier(*(values[order] for values in rows)).at(max_gap=0.3, confidence=None)
    assert one.accuracy == pytest.approx(other.accuracy, abs=0.0 if n == 30 else 0.004)
    z_y, z_g, y, group = rows
    turned = fit_frontier(z_y, z_g, y, 1 - group).at(max_gap=0.3, confidence=None)
    assert (turned.b, turned.t, turned.gap) == (one.b, one.t, -one.gap)


@pytest.mark.parametrize("k", [2, 4])
def test_the_same_rows_and_seed_give_the_same_digits(k: int) -> None:
    rows = rows_of(1, 3000) if k == 2 else groups_of(1, 800, k)
    confidence = 0.95 if k == 2 else None
    one, other = (fit_frontier(*rows, seed=3).at(max_gap=0.1, confidence=confidence) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("rows", "gaps"), [(rows_of(6, 600), (0.06, 0.05, 0.045, 0.04)), (groups_of(0, 400, 3), (0.045, 0.04))]
)
def test_a_front_does_not_remember_what_it_was_asked(rows: Rows, gaps: tuple[float, ...]) -> None:
    fresh = [fit_frontier(*rows).at(max_gap=gap, confidence=None) for gap in gaps]
    for order in (gaps, gaps[::-1]):
        front = fit_frontier(*rows)
        asked = {gap: front.at(max_gap=gap, confidence=None) for gap in order}
        assert [asked[gap] for gap in gaps] == fresh


@pytest.mark.slow
def test_the_smallest_gap_that_a_refusal_names_can_be_had() -> None:
    """The search for a gap that cannot be kept ends with one that a search for that gap itself does not find."""
    rows, floor = groups_of(3, 600, 3), {"accuracy": 0.72}
    with pytest.raises(InputError, match="the smallest that can be had is") as refused:
        fit_frontier(*rows, minimum_rates=floor).at(max_gap=0.0, confidence=None)
    least = float(str(refused.value).rstrip(".").split()[-1])
    assert 0 < fit_frontier(*rows, minimum_rates=floor).at(max_gap=least, confidence=None).gap <= least


def test_the_group_head_buys_accuracy_at_parity_and_its_sign_goes_against_the_gap() -> None:
    z_y, z_g, y, group = rows_of(0, 4000)
    free = fit_frontier(z_y, z_g, y, group).at(max_gap=0.01, confidence=None)
    noise = np.random.default_rng(0).normal(size=4000)
    by_lot = fit_frontier(z_y, noise, y, group).at(max_gap=0.01, confidence=None)
    assert free.b < 0 and abs(free.gap) <= 0.01 and free.accuracy > by_lot.accuracy + 0.02
    constant = fit_frontier(z_y, np.full(4000, 0.7), y, group)
    assert set(constant.b.tolist()) == {0.0}


def test_a_looser_gap_costs_no_accuracy_and_confidence_does() -> None:
    front = fit_frontier(*rows_of(1, 2000))
    found = [front.at(max_gap=gap, confidence=None).accuracy for gap in (0.005, 0.02, 0.05, 0.1, 0.3, 1.0)]
    assert found == sorted(found) and found[-1] > found[0]
    sure = front.at(max_gap=0.1, confidence=0.95)
    assert sure.accuracy <= front.at(max_gap=0.1, confidence=0.8).accuracy + 0.002 <= found[3] + 0.002
    assert abs(sure.gap) < front.at(max_gap=0.1, confidence=0.8).gap + 0.03 and sure.bound <= 0.1


def test_three_groups_come_as_close_as_a_search_by_lot_does_not() -> None:
    rows = groups_of(2, 3000, 3)
    z_y, z_g, y, group = rows
    chosen = fit_frontier(*rows).at(max_gap=0.03, confidence=None)
    rng = np.random.default_rng(0)
    best = 0.0
    for _ in range(4000):
        b, t = rng.normal(scale=1.5, size=3), rng.normal(scale=1.5)
        decision = z_y + z_g @ b + t > 0
        if usable(decision, y) and gap_of(decision, y, group) <= 0.03:
            best = max(best, accuracy(y, decision))
    assert chosen.accuracy > best > 0.6


def test_thresholds_of_true_groups_are_the_best_there_are() -> None:
    z_y, _, y, group = groups_of(3, 150, 3)
    chosen = fit_frontier(z_y, np.eye(3)[group], y, group).at(max_gap=0.1, confidence=None)
    options = []
    for g in range(3):
        mine, labels = z_y[group == g], y[group == g]
        cuts = np.sort(mine)
        options.append([((mine >= c).mean(), int(((mine >= c) == labels).sum()), (mine >= c).sum()) for c in cuts[::2]])
    best = 0
    for one, two, three in product(*options):
        rates = (one[0], two[0], three[0])
        share = (one[2] + two[2] + three[2]) / 150
        if max(rates) - min(rates) <= 0.1 and y.mean() / 2 <= share <= 1 - (1 - y.mean()) / 2:
            best = max(best, one[1] + two[1] + three[1])
    assert chosen.accuracy * 150 >= best - 3


def test_two_one_hot_outputs_are_one() -> None:
    z_y, z_g, y, group = rows_of(5, 5000)
    one = fit_frontier(z_y, z_g, y, group).at(max_gap=0.03, confidence=None)
    two = fit_frontier(z_y, np.column_stack([1 - z_g, z_g]), y, group).at(max_gap=0.03, confidence=None)
    assert len(two.b) == 2 and two.accuracy == pytest.approx(one.accuracy, abs=0.004)


def test_probabilities_are_another_family() -> None:
    rows = rows_of(6, 5000)
    front = fit_frontier(*rows, space="probability")
    chosen = front.at(max_gap=0.05, confidence=None)
    z_y, z_g, y, _ = rows
    decision = 1 / (1 + np.exp(-z_y)) - 0.5 + chosen.b * np.clip(z_g, 0, 1) + chosen.t > 0
    assert chosen.space == "probability" and chosen.accuracy == pytest.approx((decision == y).mean(), abs=1e-12)
    assert front.alone().accuracy == pytest.approx(((z_y > 0) == y).mean(), abs=1e-12)


# --- the margin ------------------------------------------------------------------------------------------------------


@cache
def population(k: int = 2) -> Rows:
    return rows_of(10**6, 1_000_000) if k == 2 else groups_of(10**6, 1_000_000, k)


def true_gap(chosen: Coefficients, k: int = 2) -> float:
    z_y, z_g, y, group = population(k)
    return gap_of(chosen.score(z_y, z_g) > 0, y, group)


def smallest(front: Frontier, max_gap: float) -> float:
    """The gap that a refusal names."""
    with pytest.raises(InputError, match=rf"at or below {max_gap:g} on \d+ validation rows with confidence") as refused:
        front.at(max_gap=max_gap)
    return float(str(refused.value).rstrip(".").split()[-1])


def test_what_cannot_be_certified_is_refused_and_what_is_named_can_be() -> None:
    for k, seed in ((2, 0), (2, 1), (3, 2)):
        rows = rows_of(seed, 1000) if k == 2 else groups_of(seed, 1000, k)
        front = fit_frontier(*rows)
        least = smallest(front, 0.02)
        chosen = front.at(max_gap=least)
        assert 0.02 < least < 0.3 and chosen.bound <= least
        assert usable(chosen.score(rows[0], rows[1]) > 0, rows[2])
        assert smallest(front, least - 0.005) > least - 0.005


def test_the_bound_is_the_interval_of_the_rates_at_a_higher_confidence() -> None:
    rows = rows_of(2, 1500)
    chosen = fit_frontier(*rows).at(max_gap=0.1, confidence=0.95)
    decision = chosen.score(rows[0], rows[1]) > 0
    counts = [(decision[rows[3] == g].sum(), (rows[3] == g).sum()) for g in (1, 0)]
    bounds = {}
    for confidence in (0.95, 0.999):
        low, high = difference_interval(*counts[0], *counts[1], confidence=confidence)
        bounds[confidence] = max(-float(low), float(high))
    assert bounds[0.95] < chosen.bound < bounds[0.999]


def test_one_merge_alone_needs_no_more_than_its_own_confidence_and_many_need_more() -> None:
    rows = rows_of(0, 3000)
    heads = heads_of_arrays(*rows, "logit")
    criteria = criteria_of(heads.totals, 2, "demographic_parity", "accuracy", None)
    rng = np.random.default_rng(0)
    one = simultaneous(heads, criteria, np.array([[-1.0]]), np.array([0.3]), 0.9, rng)
    many = simultaneous(heads, criteria, np.linspace(-3, 1, 40)[:, None], np.linspace(1.5, -1, 40), 0.9, rng)
    assert one == pytest.approx(0.9, abs=0.03) and 0.95 < many < 0.999


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["demographic_parity", "equalized_odds"])
def test_all_intervals_hold_together_as_often_as_they_say(metric: str) -> None:
    slopes, t = np.linspace(-3, 1, 25)[:, None], np.linspace(1.5, -1, 25)
    z_y, z_g, y, group = population()
    heads = heads_of_arrays(z_y, z_g, y, group, "logit")
    true = criteria_of(heads.totals, 2, metric, "accuracy", None)
    whole = np.array([heads.select(b, float(u)) for b, u in zip(slopes, t, strict=True)])
    truth = [true.values(whole, rate) for rate in true.rates]
    together = alone = 0
    for seed in range(160):
        few = heads_of_arrays(*rows_of(seed, 2000), "logit")
        criteria = criteria_of(few.totals, 2, metric, "accuracy", None)
        found = np.array([few.select(b, float(u)) for b, u in zip(slopes, t, strict=True)])
        within = simultaneous(few, criteria, slopes, t, 0.9, np.random.default_rng(seed))
        for confidence in (within, 0.9):
            held = True
            for rate, real in zip(criteria.rates, truth, strict=True):
                c = criteria.confusion(found)
                k, n = np.asarray(rate.hits(c), float), np.broadcast_to(np.asarray(rate.trials(c), float), (25, 2))
                low, high = difference_interval(k[:, 1], n[:, 1], k[:, 0], n[:, 0], confidence=confidence)
                gap = real[:, 1] - real[:, 0]
                held &= bool(((low <= gap) & (gap <= high)).all())
            together += held and confidence == within
            alone += held and confidence == 0.9
    assert 0.85 * 160 <= together <= 0.96 * 160 and alone < 0.75 * 160


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "n", "max_gap", "seeds"), [(2, 1000, 0.1, 40), (2, 20_000, 0.02, 12), (3, 2000, 0.13, 30)]
)
def test_the_bound_holds_on_new_rows_and_without_it_the_gap_does_not(
    k: int, n: int, max_gap: float, seeds: int
) -> None:
    broken, loose = 0, 0
    for seed in range(seeds):
        front = fit_frontier(*(rows_of(seed, n) if k == 2 else groups_of(seed, n, k)))
        broken += true_gap(front.at(max_gap=max_gap), k) > max_gap
        loose += true_gap(front.at(max_gap=max_gap, confidence=None), k) > max_gap
    assert broken <= 0.05 * seeds + 1 and loose >= 0.25 * seeds


@pytest.mark.slow
def test_the_smallest_gap_that_is_named_holds_on_new_rows() -> None:
    broken = 0
    for seed in range(40):
        front = fit_frontier(*rows_of(seed, 1000))
        least = smallest(front, 0.0)
        broken += true_gap(front.at(max_gap=least)) > least
    assert broken <= 3


# --- what is refused -------------------------------------------------------------------------------------------------

FOUR = {"z_y": [0.0, 3.0, 1.0, 2.0], "z_g": [0.0, 1.0, 0.2, 0.9], "y": [0, 1, 0, 1], "group": [0, 1, 0, 1]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"z_g": [0.0] * 3}, "must have the same length"),
        ({"y": [0, 1, 0]}, "must have the same length"),
        ({"z_y": [0.0, np.nan, 1.0, np.inf]}, "must be finite, got 2 NaN or infinite values in `z_y`"),
        ({"z_g": [0.0, 1.0, np.inf, 2.0]}, "must be finite, got 1 NaN or infinite values in `z_g`"),
        ({"z_y": [[0.0], [1.0], [2.0], [3.0]]}, r"must be of shape \(n,\)"),
        ({"group": [1, 1, 1, 1]}, r"every one of the 2 groups must have rows here, got counts \[0, 4\]"),
        ({"group": [0, 0, -1, 0]}, r"every one of the 2 groups must have rows here, got counts \[3, 0\]"),
        ({"group": [0, 1, 2, 0]}, "got 2; 1 group output tell 2 groups apart"),
        ({"group": [-2, 1, 0, 0]}, "got -2"),
        ({"group": [0.5, 1, 0, 0]}, "must hold whole numbers"),
        ({"group": [0, 1, 3, 2], "z_g": np.eye(4)[:, :3]}, "got 3; 3 group outputs tell 3 groups apart"),
        ({"group": [0, 1, 1, 0], "z_g": np.eye(4)[:, :3]}, r"the 3 groups must have rows here, got counts \[2, 2, 0\]"),
        ({"y": [0, 2, 1, 0]}, "`y` must be 0 or 1"),
        ({"z_y": [1.0] * 4, "z_g": [0.0] * 4}, "no threshold separates rows"),
        ({"z_y": [], "z_g": [], "y": [], "group": []}, "must have rows here"),
        ({"y": [0, 0, 0, 1], "gap_metric": "equal_opportunity"}, "group 0 has no rows recorded as favourable"),
    ],
)
def test_rows_that_make_no_front_are_refused(changed: dict, message: str) -> None:
    assert isinstance(fit_frontier(**FOUR), Frontier)
    with pytest.raises(InputError, match=message):
        fit_frontier(**(FOUR | changed))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"gap_metric": "parity"}, "`gap_metric` must be one of"),
        ({"gap_metric": ()}, "`gap_metric` must be a name or at least one Rate"),
        ({"gap_metric": None}, "`gap_metric` must be a name or at least one Rate, got None"),
        ({"objective": ["accuracy"]}, "`objective` must be one of"),
        ({"objective": "precision"}, "`objective` must be one of"),
        ({"space": "odds"}, "`space` must be one of"),
        ({"minimum_rates": {"selection": 0.1}}, "`minimum_rates` must name rates among"),
        ({"minimum_rates": {"selection_rate": 1.1}}, r"`minimum_rates` must lie in \[0, 1\], got 1.1"),
    ],
)
def test_settings_that_do_not_exist_are_refused(setting: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_frontier(**FOUR, **setting)


@pytest.mark.parametrize("setting", [{"max_gap": -0.1}, {"max_gap": 1.1}, {"confidence": 0.3}, {"confidence": 1.0}])
def test_settings_of_a_gap_outside_their_range_are_refused(setting: dict[str, float]) -> None:
    front = fit_frontier(*rows_of(0, 100))
    with pytest.raises(ConfigError, match=r"`max_gap` must lie in \[0, 1\] and `confidence` in \[.5, 1\)"):
        front.at(**({"max_gap": 0.5} | setting))


@pytest.mark.parametrize("setting", [{"max_gap": "0.1"}, {"max_gap": 0.1, "confidence": "high"}])
def test_settings_of_a_gap_that_are_no_numbers_are_refused(setting: dict) -> None:
    with pytest.raises(ConfigError, match="must be a number, got"):
        fit_frontier(*rows_of(0, 100)).at(**setting)


def test_group_codes_of_any_type_are_the_same_codes() -> None:
    z_y, z_g, y, group = rows_of(0, 500)
    wanted = fit_frontier(z_y, z_g, y, group).at(max_gap=0.1, confidence=None)
    for codes in (group.astype(bool), group.astype(float), group.astype(np.int8), list(group)):
        assert fit_frontier(z_y, z_g, y, codes).at(max_gap=0.1, confidence=None) == wanted
        assert (membership(codes) == group).all() and group_readout(z_g[:, None], codes).out_features == 1
    for wrong in (group.astype(str), group + 0.5, np.where(group, np.nan, 0.0), group - 2, group[:, None]):
        for refused in (lambda: fit_frontier(z_y, z_g, y, wrong), lambda: membership(wrong)):  # noqa: B023
            with pytest.raises(InputError, match="`group`"):
                refused()


@pytest.mark.parametrize("n", [200, 40_000])
def test_a_few_huge_logits_do_not_spoil_the_front(n: int) -> None:
    z_y, z_g, y, group = rows_of(5, n)
    wanted = fit_frontier(z_y, z_g, y, group).at(max_gap=0.05, confidence=None)
    some = np.random.default_rng(0).random(n) < 0.02
    found = fit_frontier(np.where(some, 1000 * z_y, z_y), z_g, y, group).at(max_gap=0.05, confidence=None)
    assert abs(found.gap) <= 0.05 and found.accuracy > wanted.accuracy - 0.02


def test_a_task_head_that_says_nothing_leaves_the_group_head() -> None:
    _, z_g, y, group = rows_of(3, 2000)
    front = fit_frontier(np.full(2000, 0.3), z_g, y, group)
    assert front.accuracy.max() > max(y.mean(), 1 - y.mean())
    assert front.gap.max() > 0.2


def test_what_slopes_have_in_common_is_a_threshold_where_outputs_add_up_to_a_constant() -> None:
    z_y, _, y, group = groups_of(4, 3000, 3)
    chosen = fit_frontier(z_y, np.eye(3)[group], y, group).at(max_gap=0.05, confidence=None)
    assert sum(chosen.b) == pytest.approx(0.0, abs=1e-9)
    assert chosen.gap == pytest.approx(gap_of(chosen.score(z_y, np.eye(3)[group]) > 0, y, group))


def test_a_rate_that_can_exceed_one_has_a_gap_and_no_bound() -> None:
    rows = rows_of(4, 2000)
    odds = replace(RATE_OF["selection_rate"], trials=RATE_OF["false_positive_rate"].trials)
    front = fit_frontier(*rows, gap_metric=[odds])
    assert abs(front.at(max_gap=0.5, confidence=None).gap) <= 0.5
    with pytest.raises(ConfigError, match="a rate that can exceed 1 has no bound"):
        front.at(max_gap=0.5)


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_label_are_all_decided_rightly(label: int) -> None:
    z_y, z_g, _, group = rows_of(0, 3000)
    chosen = fit_frontier(z_y, z_g, np.full(3000, label), group).at(max_gap=0.3)
    assert chosen.accuracy == 1.0 and chosen.selection_rate == label and chosen.bound < 0.01


def test_coefficients_made_by_hand_score_rows() -> None:
    merge = Coefficients(-1.5, 0.25)
    assert merge.slopes.tolist() == [-1.5] and np.isnan(merge.accuracy) and merge.bound is None
    assert merge.score([1.0, 2.0], [0.0, 1.0]).tolist() == [1.25, 0.75]
    three = Coefficients((1.0, 0.0, -1.0), 0.0)
    assert three.score([0.0], [[2.0, 5.0, 3.0]]).tolist() == [-1.0]
    with pytest.raises(InputError, match="`z_g` must have 3 group outputs a row"):
        three.score([0.0], [1.0])
