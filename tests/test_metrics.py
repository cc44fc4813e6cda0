"""Rates, gaps and rankings against fairlearn, scikit-learn, scipy and published figures; intervals by coverage."""

import warnings
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, roc_auc_score

from fairheads.errors import InputError
from fairheads.metrics import (
    auc,
    auc_within,
    clopper_pearson,
    difference_interval,
    disparity_of,
    disparity_report,
    merit_bins,
    rate_interval,
    ratio_interval,
    stratified_difference,
    wilson,
)
from fairheads.metrics.disparity import RATE_OF, _difference_bounds, _ratio_bounds
from fairheads.results import DisparityReport
from fairheads.sums import Cells

SEEDS = st.integers(0, 2**32 - 1)

# --- ranking -----------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(2, 80), st.sampled_from([2, 5, 1000]))
def test_auc_is_scikit_learns_ties_included(seed: int, n: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    y, score = rng.integers(0, 2, n), rng.integers(0, values, n) / 7
    assume(0 < y.sum() < n)
    assert auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert auc(1 - y, score) == pytest.approx(1 - auc(y, score), abs=1e-12)


def test_auc_of_one_class_is_undefined_and_of_perfect_scores_one() -> None:
    assert np.isnan(auc([1, 1], [0.0, 1.0])) and np.isnan(auc([0, 0], [0.0, 1.0]))
    assert auc([0, 1], [0.0, 1.0]) == 1.0 and auc([0, 1], [1.0, 0.0]) == 0.0 and auc([0, 1], [1.0, 1.0]) == 0.5


def test_auc_within_strata_is_the_pair_weighted_mean_of_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    stratum = rng.choice(4, 900, p=[0.5, 0.3, 0.15, 0.05])
    y = (rng.random(900) < 0.2 + 0.2 * stratum).astype(int)
    score = rng.normal(size=900) + 0.7 * y + 3.0 * stratum
    weight = [y[stratum == s].sum() * (1 - y[stratum == s]).sum() for s in range(4)]
    each = [roc_auc_score(y[stratum == s], score[stratum == s]) for s in range(4)]
    within = auc_within(y, score, stratum)
    assert within == pytest.approx(np.average(each, weights=weight), abs=1e-12)
    assert auc(y, score) > within + 0.05, "the stratum itself ranks here: pooled and within must differ"


def test_auc_within_leaves_out_strata_of_one_class_and_is_undefined_when_none_is_left() -> None:
    assert auc_within([0, 1, 1, 1], [0, 1, 5, 4], ["a", "a", "b", "b"]) == 1.0
    assert np.isnan(auc_within([0, 0, 1, 1], [0, 1, 2, 3], ["a", "a", "b", "b"]))


# --- differences at equal merit ----------------------------------------------------------------------------------


def test_merit_bins_hold_equal_counts_in_the_order_of_merit() -> None:
    merit = np.random.default_rng(0).permutation(1000) / 10
    bins = merit_bins(merit, 10)
    assert np.bincount(bins).tolist() == [100] * 10
    assert (np.diff(bins[np.argsort(merit)]) >= 0).all()


def test_stratified_difference_by_hand() -> None:
    merit = np.array([0.0] * 6 + [1.0] * 6)
    member = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1])
    value = np.array([1.0, 3.0, 2.0, 2.0, 4.0, 6.0, 0.0, 0.0, 3.0, 2.0, 2.0, 5.0])
    # bin of merit 0: 5 - 2 = 3 with weight 2*4/6 = 4/3; bin of merit 1: 3 - 1 = 2 with weight 3*3/6 = 3/2
    difference, n = stratified_difference(value, member, merit, bins=2, minimum=2)
    assert difference == pytest.approx((3 * 4 / 3 + 2 * 3 / 2) / (4 / 3 + 3 / 2)) and n == 12
    difference, n = stratified_difference(value, member, merit, bins=2, minimum=3)
    assert difference == pytest.approx(2.0) and n == 6, "a bin with fewer than `minimum` on a side is left out"
    nothing, n = stratified_difference(value, member, merit, bins=2, minimum=4)
    assert np.isnan(nothing) and n == 0


def test_stratified_difference_is_zero_where_merit_explains_the_gap_and_finds_the_one_it_does_not() -> None:
    rng = np.random.default_rng(0)
    member = rng.integers(0, 2, 20_000)
    merit = rng.normal(size=20_000) + member
    value = merit + rng.normal(scale=0.1, size=20_000)
    assert value[member == 1].mean() - value[member == 0].mean() > 0.9
    assert abs(stratified_difference(value, member, merit, bins=100)[0]) < 0.03
    planted = stratified_difference(value + 0.5 * member, member, merit, bins=100)[0]
    assert planted == pytest.approx(0.5, abs=0.03)
    turned = stratified_difference(value + 0.5 * member, 1 - member, merit, bins=100)[0]
    assert turned == pytest.approx(-planted, abs=1e-12), "naming the other side the members turns the sign"


# --- intervals of one rate ---------------------------------------------------------------------------------------

# Newcombe (1998), Two-sided confidence intervals for the single proportion, Stat. Med. 17, table I.
PUBLISHED = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("k", "n", "by_score", "exact"), PUBLISHED)
def test_wilson_and_clopper_pearson_give_the_published_figures(k, n, by_score, exact) -> None:
    assert np.round(wilson(k, n), 4).tolist() == list(by_score)
    assert np.round(clopper_pearson(k, n), 4).tolist() == list(exact)


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.999]))
def test_wilson_and_clopper_pearson_are_scipys(n: int, share: float, confidence: float) -> None:
    k = round(share * n)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = stats.binomtest(k, n).proportion_ci(confidence, method=method)
        np.testing.assert_allclose(ours(k, n, confidence=confidence), [theirs.low, theirs.high], atol=1e-9)


def test_wilson_solves_its_equation() -> None:
    z = stats.norm.ppf(0.975)
    for k, n in ((3, 17), (40, 50), (500, 1000)):
        for p in wilson(k, n):
            assert abs(k / n - p) / np.sqrt(p * (1 - p) / n) == pytest.approx(z, abs=1e-9)


def test_clopper_pearson_by_the_beta_distribution() -> None:
    low, high = clopper_pearson([2, 10], [30, 30])
    np.testing.assert_allclose(low, [stats.beta.ppf(0.025, 2, 29), stats.beta.ppf(0.025, 10, 21)], atol=1e-12)
    np.testing.assert_allclose(high, [stats.beta.ppf(0.975, 3, 28), stats.beta.ppf(0.975, 11, 20)], atol=1e-12)


def test_rate_interval_is_exact_below_five_and_by_score_above_and_undefined_without_trials() -> None:
    low, high = rate_interval([1, 50, 0], [12, 100, 0])
    assert (low[0], high[0]) == tuple(clopper_pearson(1, 12)) and (low[0], high[0]) != tuple(wilson(1, 12))
    assert (low[1], high[1]) == tuple(wilson(50, 100)) and (low[1], high[1]) != tuple(clopper_pearson(50, 100))
    assert np.isnan(low[2]) and np.isnan(high[2])


def coverage(interval: Callable[..., tuple[NDArray, NDArray]], n: int, p: float) -> float:
    """Chance, by exact enumeration, that the interval of k ~ Binomial(n, p) holds p."""
    k = np.arange(n + 1)
    low, high = interval(k, n)
    return float(stats.binom.pmf(k, n, p)[(low <= p) & (p <= high)].sum())


@pytest.mark.parametrize("n", [30, 50, 100, 200, 500, 1000])
def test_rate_interval_covers_about_95_percent_where_it_is_used_by_score(n: int) -> None:
    rates = [p for p in np.linspace(0.001, 0.999, 400) if n * p * (1 - p) >= 5]
    covered = np.array([coverage(rate_interval, n, p) for p in rates])
    assert covered.min() >= 0.93 and covered.max() <= 0.975
    assert 0.9485 <= covered.mean() <= 0.956


@pytest.mark.parametrize("n", [5, 12, 30, 100, 1000])
def test_clopper_pearson_covers_at_least_95_percent_everywhere(n: int) -> None:
    rates = np.r_[np.linspace(0.0005, 0.9995, 300), 0.01]
    assert min(coverage(clopper_pearson, n, p) for p in rates) >= 0.95


def test_where_wilson_undercovers_the_rate_interval_does_not() -> None:
    assert coverage(wilson, 12, 0.01) == pytest.approx(0.886, abs=0.001)
    assert coverage(rate_interval, 12, 0.01) >= 0.95


@pytest.mark.parametrize("n", [12, 30, 100, 1000])
def test_rate_interval_never_falls_far_short_at_the_seam_of_its_two_methods(n: int) -> None:
    assert min(coverage(rate_interval, n, p) for p in np.linspace(0.0005, 0.9995, 400)) >= 0.92


# --- intervals of two rates --------------------------------------------------------------------------------------

# Newcombe (1998), Interval estimation for the difference between independent proportions, Stat. Med. 17, table II.
NEWCOMBE = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


@pytest.mark.parametrize(("k1", "n1", "k0", "n0", "low", "high"), NEWCOMBE)
def test_difference_interval_gives_newcombes_published_figures(k1, n1, k0, n0, low, high) -> None:
    assert np.round(difference_interval(k1, n1, k0, n0), 4).tolist() == [low, high]
    np.testing.assert_allclose(np.round(difference_interval(k0, n0, k1, n1), 4), [-high, -low], atol=1e-12)


def test_ratio_interval_agrees_with_katz_in_large_samples_and_keeps_its_width_where_all_succeed() -> None:
    low, high = ratio_interval(300, 1000, 500, 1200)
    katz = stats.contingency.relative_risk(300, 1000, 500, 1200).confidence_interval(0.95)
    np.testing.assert_allclose([low, high], [katz.low, katz.high], rtol=3e-3)
    low, high = ratio_interval(3, 3, 3, 3)
    assert low < 0.5 and high > 2, "six rows do not show that two rates are equal"


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50), st.integers(0, 50))
def test_swapping_the_groups_turns_the_difference_and_inverts_the_ratio(k1, more1, k0, more0) -> None:
    n1, n0 = k1 + more1, k0 + more0
    low, high = difference_interval(k1, n1, k0, n0)
    assert low <= k1 / n1 - k0 / n0 <= high
    np.testing.assert_allclose(difference_interval(k0, n0, k1, n1), [-high, -low], atol=1e-12)
    low, high = ratio_interval(k1, n1, k0, n0)
    assert low <= (k1 / n1) / (k0 / n0) <= high
    np.testing.assert_allclose(ratio_interval(k0, n0, k1, n1), [1 / high, 1 / low], rtol=1e-9)


def katz_interval(k1: NDArray, n1: int, k0: NDArray, n0: int) -> tuple[NDArray, NDArray]:
    half = stats.norm.ppf(0.975) * np.sqrt(1 / k1 - 1 / n1 + 1 / k0 - 1 / n0)
    log_ratio = np.log(k1 / n1) - np.log(k0 / n0)
    return np.exp(log_ratio - half), np.exp(log_ratio + half)


def coverage_of_two(interval, n1: int, n0: int, p1: float, p0: float, truth: float, least: int) -> float:
    """Exact chance that the interval holds the truth, given at least ``least`` successes in both samples."""
    k1, k0 = np.meshgrid(np.arange(least, n1 + 1), np.arange(least, n0 + 1), indexing="ij")
    low, high = interval(k1, n1, k0, n0)
    weight = np.outer(stats.binom.pmf(k1[:, 0], n1, p1), stats.binom.pmf(k0[0], n0, p0))
    return float(weight[(low <= truth + 1e-12) & (truth <= high + 1e-12)].sum() / weight.sum())


RATES = [(0.5, 0.5), (0.2, 0.4), (0.1, 0.1), (0.9, 0.9), (0.95, 0.98), (0.98, 0.98), (0.05, 0.5), (0.99, 0.7)]


@pytest.mark.parametrize(("n1", "n0"), [(20, 20), (50, 50), (30, 200), (200, 200), (500, 100)])
@pytest.mark.parametrize(("p1", "p0"), RATES)
def test_intervals_of_a_difference_and_a_ratio_cover(n1: int, n0: int, p1: float, p0: float) -> None:
    assert coverage_of_two(difference_interval, n1, n0, p1, p0, p1 - p0, 0) >= 0.94
    assert coverage_of_two(ratio_interval, n1, n0, p1, p0, p1 / p0, 1) >= 0.93


def test_intervals_of_two_rates_are_not_needlessly_wide() -> None:
    for p1, p0 in RATES[:3]:
        assert coverage_of_two(difference_interval, 200, 200, p1, p0, p1 - p0, 0) <= 0.96
        assert coverage_of_two(ratio_interval, 200, 200, p1, p0, p1 / p0, 1) <= 0.96


def test_the_check_of_coverage_finds_an_interval_that_does_not_cover() -> None:
    assert coverage_of_two(katz_interval, 30, 200, 0.98, 0.98, 1.0, 1) < 0.75
    shifted = lambda *a: tuple(bound + 0.1 for bound in difference_interval(*a))  # noqa: E731
    assert coverage_of_two(shifted, 200, 200, 0.2, 0.4, -0.2, 0) < 0.75


# --- the largest gap of several groups ---------------------------------------------------------------------------


def drawn(rng: np.random.Generator, rates: list[float], sizes: list[int]) -> list[tuple[int, int]]:
    return [(int(rng.binomial(n, p)), n) for p, n in zip(rates, sizes, strict=True)]


def naive_bounds(groups: list[tuple[int, int]]) -> tuple[float, float]:
    """What not to do: the interval of the pair that happens to differ most, as if it had been chosen beforehand."""
    high, low = max(groups, key=lambda g: g[0] / g[1]), min(groups, key=lambda g: g[0] / g[1])
    bounds = difference_interval(*high, *low)
    return float(bounds[0]), float(bounds[1])


@pytest.mark.parametrize(("k", "naive_fails"), [(2, False), (3, True), (8, True)])
def test_the_interval_of_the_largest_gap_covers_a_true_gap_of_zero(k: int, naive_fails: bool) -> None:
    rng = np.random.default_rng(k)
    sizes = [80, 300, 150, 1000, 60, 200, 120, 500][:k]
    draws = [drawn(rng, [0.3] * k, sizes) for _ in range(2500)]
    ours = np.array([_difference_bounds(groups) for groups in draws])
    assert (ours[:, 0] <= 0).mean() >= 0.94
    assert (ours[:, 0] >= 0).all() and (ours[:, 1] > 0).all()
    assert ((np.array([naive_bounds(groups)[0] for groups in draws]) <= 0).mean() < 0.93) == naive_fails


@pytest.mark.parametrize("rates", [[0.2, 0.4], [0.2, 0.4, 0.3], [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.45]])
def test_the_interval_of_the_largest_gap_covers_a_true_gap(rates: list[float]) -> None:
    rng = np.random.default_rng(len(rates))
    truth = max(rates) - min(rates)
    bounds = np.array([_difference_bounds(drawn(rng, rates, [250] * len(rates))) for _ in range(2500)])
    assert ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean() >= 0.94


@pytest.mark.parametrize("rates", [[0.3] * 2, [0.3] * 8, [0.2, 0.4, 0.3]])
def test_the_interval_of_the_smallest_ratio_covers_the_true_one(rates: list[float]) -> None:
    rng = np.random.default_rng(len(rates))
    truth = min(rates) / max(rates)
    bounds = np.array([_ratio_bounds(drawn(rng, rates, [200] * len(rates))) for _ in range(2500)])
    assert ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean() >= 0.94
    assert (bounds[:, 0] < bounds[:, 1]).all()
    assert (bounds[:, 1] <= 1).all()
    assert (bounds[:, 0] > truth * 0.3).mean() > 0.9  # the control: a wrong ratio is not covered


def test_a_gap_that_is_there_is_found_and_the_report_gives_that_interval() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 3000)
    decision = rng.random(3000) < np.array([0.3, 0.3, 0.6])[group]
    difference = disparity_report(decision, decision, sensitive_features=group).demographic_parity_difference
    pairs = [(int(decision[group == g].sum()), int((group == g).sum())) for g in range(3)]
    assert (difference.low, difference.high) == _difference_bounds(pairs)
    assert 0.2 < difference.low < 0.3 < difference.high < 0.4


# --- the report --------------------------------------------------------------------------------------------------


def table(seed: int, n: int, groups: int, skew: float) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    group = rng.choice(groups, n, p=np.arange(1, groups + 1) / (groups * (groups + 1) / 2))
    y = (rng.random(n) < 0.3 + skew * group / groups).astype(int)
    decision = (rng.random(n) < 0.25 + 0.4 * y + skew * group / groups).astype(int)
    return y, decision, np.array([f"g{g}" for g in group])


TABLES = st.builds(table, SEEDS, st.integers(1, 120), st.integers(1, 5), st.floats(0, 0.3))


def precision(y_true: NDArray, y_pred: NDArray) -> float:
    return float(y_true[y_pred == 1].mean())


FAIRLEARN = {
    "selection_rate": (selection_rate, lambda y, d: np.ones(len(y), bool)),
    "accuracy": (accuracy_score, lambda y, d: np.ones(len(y), bool)),
    "true_positive_rate": (true_positive_rate, lambda y, d: y == 1),
    "false_positive_rate": (false_positive_rate, lambda y, d: y == 0),
    "positive_predictive_value": (precision, lambda y, d: d == 1),
    "base_rate": (lambda y_true, y_pred: y_true.mean(), lambda y, d: np.ones(len(y), bool)),
}


@settings(max_examples=60)
@given(TABLES)
def test_rates_and_gaps_are_fairlearns_wherever_they_are_defined_and_undefined_elsewhere(rows) -> None:
    y, decision, group = rows
    report = disparity_report(y, decision, sensitive_features=group)
    assert set(FAIRLEARN) == set(RATE_OF) == set(report.gaps)
    names = sorted(set(group))
    assert list(report.groups) == names and report.n == len(y)
    for rate, (metric, counted) in FAIRLEARN.items():
        trials = {g: int(counted(y, decision)[group == g].sum()) for g in names}
        gap = report.gaps[rate]
        for g in names:
            number = getattr(report.groups[g], rate)
            assert number.n == trials[g]
            if trials[g]:
                rows_of = group == g
                assert number.value == pytest.approx(float(metric(y[rows_of], decision[rows_of])), abs=1e-12)
                assert number.low <= number.value <= number.high
            else:
                assert np.isnan(number.value) and number.reason
        if len(names) < 2 or not all(trials.values()):
            assert np.isnan(gap.difference.value) and np.isnan(gap.ratio.value)
            assert gap.difference.reason and all(g in gap.difference.reason for g in names if not trials[g])
            continue
        theirs = MetricFrame(metrics=metric, y_true=y, y_pred=decision, sensitive_features=group)
        difference = float(theirs.difference(method="between_groups"))
        assert gap.difference.value == pytest.approx(difference, abs=1e-12)
        assert gap.difference.low <= difference <= gap.difference.high
        assert theirs.by_group[gap.highest] - theirs.by_group[gap.lowest] == pytest.approx(difference, abs=1e-12)
        if theirs.by_group.max() > 0:
            assert gap.ratio.value == pytest.approx(float(theirs.ratio(method="between_groups")), abs=1e-12)
        else:
            assert np.isnan(gap.ratio.value) and gap.ratio.reason


@settings(max_examples=40)
@given(TABLES)
def test_named_disparities_are_fairlearns(rows) -> None:
    y, decision, group = rows
    cells = pd.crosstab(group, y)
    assume(cells.shape[0] > 1 and cells.shape[1] == 2 and (cells > 0).all(axis=None) and decision.any())
    report = disparity_report(y, decision, sensitive_features=group)
    given_rows = {"y_true": y, "y_pred": decision, "sensitive_features": group}
    parity = report.demographic_parity_difference.value
    assert parity == pytest.approx(demographic_parity_difference(**given_rows), abs=1e-12)
    assert report.gaps["selection_rate"].ratio.value == pytest.approx(demographic_parity_ratio(**given_rows), abs=1e-12)
    odds = max(report.gaps[rate].difference.value for rate in ("true_positive_rate", "false_positive_rate"))
    assert odds == pytest.approx(equalized_odds_difference(**given_rows), abs=1e-12)


def test_a_group_without_positives_has_no_true_positive_rate_where_fairlearn_says_zero() -> None:
    y, decision, group = np.array([1, 1, 0, 0]), np.array([1, 1, 0, 1]), np.array(["a", "a", "b", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = MetricFrame(metrics=true_positive_rate, y_true=y, y_pred=decision, sensitive_features=group)
    assert theirs.by_group["b"] == 0.0 and theirs.difference() == 1.0
    report = disparity_report(y, decision, sensitive_features=group)
    number = report.groups["b"].true_positive_rate
    assert np.isnan(number.value) and number.n == 0 and number.reason == "no rows recorded as favourable"
    gap = report.gaps["true_positive_rate"].difference
    assert np.isnan(gap.value) and gap.reason == "no rows recorded as favourable in b"
    assert report.groups["a"].true_positive_rate.value == 1.0


def values_of(report: DisparityReport) -> dict[str, float]:
    return {rate: gap.difference.value for rate, gap in report.gaps.items()}


@settings(max_examples=40)
@given(TABLES, SEEDS, st.integers(2, 4))
def test_neither_row_order_nor_names_nor_repeats_nor_cuts_change_a_disparity(rows, seed: int, times: int) -> None:
    y, decision, group = rows
    report = disparity_report(y, decision, sensitive_features=group)
    order = np.random.default_rng(seed).permutation(len(y))
    assert disparity_report(y[order], decision[order], sensitive_features=group[order]).to_dict() == report.to_dict()
    renamed = np.char.add("z", np.char.replace(group, "g", ""))
    again = disparity_report(y, decision, sensitive_features=renamed)
    np.testing.assert_equal(values_of(again), values_of(report))
    repeated = disparity_report(
        *(np.repeat(a, times) for a in (y, decision)), sensitive_features=np.repeat(group, times)
    )
    for rate, value in values_of(report).items():
        np.testing.assert_allclose(values_of(repeated)[rate], value, atol=1e-12)
    names, codes = np.unique(group, return_inverse=True)
    parts = [
        Cells.count(y=y[k], decision=decision[k], group=codes[k], groups=names.tolist())
        for k in np.array_split(order, 3)
    ]
    assert disparity_of(parts[2] + parts[0] + parts[1]).to_dict() == report.to_dict()


def test_more_rows_narrow_the_intervals() -> None:
    y, decision, group = table(0, 100, 2, 0.2)
    wide = disparity_report(y, decision, sensitive_features=group).demographic_parity_difference
    narrow = disparity_report(
        np.repeat(y, 25), np.repeat(decision, 25), sensitive_features=np.repeat(group, 25)
    ).demographic_parity_difference
    assert (narrow.high - narrow.low) < 0.3 * (wide.high - wide.low)


def test_counts_of_the_report_are_the_confusion_matrix_and_add_up_to_everybody() -> None:
    y, decision, group = table(1, 400, 3, 0.2)
    report = disparity_report(y, decision, sensitive_features=group)
    for name in report.groups:
        rows = group == name
        counted = report.groups[name]
        assert counted.true_positives == (y[rows] & decision[rows]).sum()
        assert counted.false_positives == ((1 - y[rows]) & decision[rows]).sum()
        assert counted.false_negatives == (y[rows] & (1 - decision[rows])).sum()
        assert counted.true_negatives == ((1 - y[rows]) & (1 - decision[rows])).sum()
    assert sum(rates.n for rates in report.groups.values()) == report.overall.n == 400
    assert report.overall.selection_rate.value == pytest.approx(decision.mean())


def test_groups_without_rows_are_left_out_of_a_report_of_cells() -> None:
    cells = Cells.count(y=[1, 0, 1], decision=[1, 0, 0], group=[0, 0, 2], groups=["a", "nobody", "c"])
    assert list(disparity_of(cells).groups) == ["a", "c"]


def test_one_group_has_no_gap_and_nobody_selected_no_ratio() -> None:
    alone = disparity_report([1, 0], [1, 0], sensitive_features=["a", "a"])
    assert alone.demographic_parity_difference.reason == "one group only"
    none = disparity_report([1, 0], [0, 0], sensitive_features=["a", "b"]).gaps["selection_rate"]
    assert none.difference.value == 0.0 and none.ratio.reason == "the rate is 0 in every group"
    half = disparity_report([1, 0], [1, 0], sensitive_features=["a", "b"]).gaps["selection_rate"]
    assert half.ratio.value == 0.0 and half.ratio.low is None


@pytest.mark.parametrize("dtype", ["str", "string", "object", "category"])
def test_groups_of_every_pandas_type_give_the_same_report(dtype: str) -> None:
    y, decision, group = table(2, 60, 3, 0.2)
    plain = disparity_report(y, decision, sensitive_features=group).to_dict()
    assert disparity_report(y, decision, sensitive_features=pd.Series(group, dtype=dtype)).to_dict() == plain


GOOD = {"y_true": [0, 1, 1], "y_pred": [1, 0, 1], "sensitive_features": ["a", "b", "b"]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"y_pred": [1, 0]}, r"`y_pred` must have one entry per row of `y_true` \(3\)"),
        ({"sensitive_features": ["a"]}, "`sensitive_features` must have one entry per row"),
        ({"sensitive_features": [["a", "b"]] * 3}, "`sensitive_features` must have one entry per row"),
        ({"y_true": [[0], [1], [1]]}, "`y_true` must be one value per row"),
        ({"y_true": 1}, "`y_true` must be one value per row"),
        ({"y_true": [0, 1, 2]}, "`y_true` must be 0 or 1"),
        ({"y_pred": [0.2, 0.7, 0.9]}, "`y_pred` must be 0 or 1"),
        ({"y_pred": [0, 1, np.nan]}, "`y_pred` must be 0 or 1"),
        ({"y_true": ["0", "1", "1"]}, "`y_true` must be 0 or 1"),
        ({"sensitive_features": ["a", None, "b"]}, "must not be missing"),
        ({"sensitive_features": ["a", np.nan, "b"]}, "must not be missing"),
        ({"sensitive_features": [1.0, np.nan, 2.0]}, "must not be missing"),
        ({"sensitive_features": pd.Series(["a", None, "b"], dtype="string")}, "must not be missing"),
        ({"sensitive_features": pd.Series(["a", None, "b"], dtype="category")}, "must not be missing"),
        ({"sensitive_features": pd.Series([1, None, 2], dtype="Int64")}, "must not be missing"),
        ({"y_true": [], "y_pred": [], "sensitive_features": []}, "at least one row"),
    ],
)
def test_disparity_report_refuses_what_it_cannot_count(rows, message: str) -> None:
    def report(given_rows) -> DisparityReport:
        return disparity_report(
            given_rows["y_true"], given_rows["y_pred"], sensitive_features=given_rows["sensitive_features"]
        )

    assert report(GOOD).n == 3
    with pytest.raises(InputError, match=message):
        report(GOOD | rows)


def test_every_pair_of_groups_is_within_the_interval_of_the_largest_gap() -> None:
    groups = [(30, 100), (45, 100), (12, 60), (80, 150)]
    low, high = _difference_bounds(groups)
    pairwise = [difference_interval(*a, *b, confidence=1 - 0.05 / 6) for a, b in combinations(groups, 2)]
    assert high == max(max(abs(a), abs(b)) for a, b in pairwise)
    assert low == max(0.0 if a <= 0 <= b else min(abs(a), abs(b)) for a, b in pairwise)
