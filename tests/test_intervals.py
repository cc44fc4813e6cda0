"""Intervals of rates, differences and ratios against published figures, SciPy, and coverage by exact enumeration."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fairheads.metrics import (
    blaker,
    clopper_pearson,
    difference_interval,
    rate_interval,
    ratio_interval,
    weighted_rate_interval,
    wilson,
)
from fairheads.metrics.intervals import difference_of_limits, ratio_of_limits

Bounds = tuple[NDArray, NDArray]

# --- one rate -----------------------------------------------------------------------------------------------------

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


def acceptability(k: int, n: int, p: NDArray) -> NDArray:
    """Blaker (2000), p. 786: the lesser tail, and of the other tail what is no larger."""
    up, down = stats.binom.sf(k - 1, n, p), stats.binom.cdf(k, n, p)
    lesser, found = np.minimum(up, down), []
    for at, least, upper in zip(p, lesser, up < down, strict=True):
        x = np.arange(n + 1)
        other = stats.binom.cdf(x, n, at) if upper else stats.binom.sf(x - 1, n, at)
        fits = other[other <= least * (1 + 1e-12)]
        found.append(min(1.0, least + (fits.max() if len(fits) else 0.0)))
    return np.array(found)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (1, 7), (3, 10), (10, 10), (9, 40), (50, 100), (2, 200)])
def test_blakers_limits_enclose_what_his_acceptability_accepts_and_nothing_further(k: int, n: int) -> None:
    low, high = (float(x) for x in blaker(k, n))
    p = np.linspace(0.0005, 0.9995, 800)
    accepted = p[acceptability(k, n, p) > 0.05]
    assert low <= accepted.min() and accepted.max() <= high
    assert low > accepted.min() - 0.0013 and high < accepted.max() + 0.0013, "a step of the grid, no more"
    if k > 0:
        beside = acceptability(k, n, np.array([low - 1e-7, low + 1e-7]))
        assert beside[0] <= 0.05 + 1e-6 and beside[1] > 0.05 - 1e-6


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_blaker_lies_within_clopper_pearson_is_symmetric_and_monotone(confidence: float) -> None:
    for n in (1, 2, 5, 12, 37, 100, 1000):
        k = np.arange(n + 1)
        low, high = blaker(k, n, confidence=confidence)
        wide = clopper_pearson(k, n, confidence=confidence)
        assert (low >= wide[0] - 1e-12).all() and (high <= wide[1] + 1e-12).all()
        assert (low <= k / n).all() and (k / n <= high).all()
        mirrored = blaker(n - k, n, confidence=confidence)
        np.testing.assert_allclose([low, high], [1 - mirrored[1], 1 - mirrored[0]], atol=1e-12)
        assert (np.diff(low) >= -1e-12).all() and (np.diff(high) >= -1e-12).all()
        wider = blaker(k, n, confidence=(1 + confidence) / 2)
        assert (wider[0] <= low + 1e-12).all() and (wider[1] >= high - 1e-12).all()
    assert (high - low < wide[1] - wide[0] - 1e-6).any(), "and it is shorter somewhere"


def coverage(interval: Callable[..., Bounds], n: int, p: NDArray) -> NDArray:
    """Chance, by exact enumeration, that the interval of k ~ Binomial(n, p) holds p."""
    k = np.arange(n + 1)[:, None]
    low, high = interval(k, n)
    return (stats.binom.pmf(k, n, p) * ((low <= p) & (p <= high))).sum(0)


def beside_limits(interval: Callable[..., Bounds], n: int) -> NDArray:
    """Just inside and outside of every limit: where coverage jumps."""
    ends = np.concatenate(interval(np.arange(n + 1), n))
    p = np.concatenate([ends - 1e-9, ends + 1e-9])
    return p[(p > 0) & (p < 1)]


@pytest.mark.parametrize("method", [blaker, clopper_pearson])
def test_exact_intervals_cover_at_least_95_percent_even_beside_their_own_limits(method: Callable[..., Bounds]) -> None:
    least = [
        coverage(method, n, np.r_[np.linspace(0.001, 0.999, 99), beside_limits(method, n)]).min()
        for n in [*range(5, 40), 50, 63, 80, 100]
    ]
    assert min(least) >= 0.95 - 1e-9
    assert coverage(wilson, 12, np.array([0.01]))[0] == pytest.approx(0.886, abs=0.001), "the control undercovers"


@pytest.mark.parametrize("n", [5, 12, 30, 50, 100, 200, 500, 1000])
def test_rate_interval_covers_between_935_and_98_percent_and_no_less_than_95_in_small_samples(n: int) -> None:
    p = np.r_[np.linspace(0.001, 0.999, 400), beside_limits(rate_interval, n)]
    covered, small = coverage(rate_interval, n, p), n * p * (1 - p) < 5
    assert covered[small].min() >= 0.95 - 1e-9
    if not small.all():
        assert covered[~small].min() >= 0.935 and covered[~small].max() <= 0.98


def test_rate_interval_is_exact_where_rows_are_few_by_score_above_and_undefined_without_trials() -> None:
    low, high = rate_interval([1, 500, 0], [12, 1000, 0])
    assert (low[0], high[0]) == tuple(blaker(1, 12)) and (low[0], high[0]) != tuple(wilson(1, 12))
    assert (low[1], high[1]) == tuple(wilson(500, 1000)) and (low[1], high[1]) != tuple(blaker(500, 1000))
    assert np.isnan(low[2]) and np.isnan(high[2])


def test_weighted_rate_interval_takes_effective_rows_that_need_not_be_whole() -> None:
    low, high = weighted_rate_interval([0.1, 0.5, 0.3], [12.5, 400.5, 0.0])
    np.testing.assert_allclose((low[0], high[0]), clopper_pearson(1.25, 12.5))
    np.testing.assert_allclose((low[1], high[1]), wilson(200.25, 400.5))
    assert np.isnan(low[2]) and np.isnan(high[2])


@given(st.integers(1, 2**40), st.floats(0, 1))
def test_intervals_of_any_number_of_rows_hold_the_rate(n: int, share: float) -> None:
    k = round(share * n)
    for interval in (rate_interval, wilson, clopper_pearson):
        low, high = interval(k, n)
        assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1 and low < high


# --- two rates ----------------------------------------------------------------------------------------------------

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
def test_distances_of_wilsons_limits_give_newcombes_published_figures(k1, n1, k0, n0, low, high) -> None:
    bounds = difference_of_limits(np.array(k1 / n1), wilson(k1, n1), np.array(k0 / n0), wilson(k0, n0))
    assert np.round(bounds, 4).tolist() == [low, high]
    exact = difference_interval(k1, n1, k0, n0)
    if min(k1 * (1 - k1 / n1), k0 * (1 - k0 / n0)) < 5:
        assert exact[1] - exact[0] >= bounds[1] - bounds[0] - 1e-12, "few rows: no shorter than the published one"


def test_correlation_shortens_or_lengthens_the_interval_and_one_correlated_with_itself_has_no_width() -> None:
    p, bounds = np.array(0.4), (np.array(0.3), np.array(0.5))
    widths = [np.diff(difference_of_limits(p, bounds, p, bounds, r))[0] for r in (-1.0, 0.0, 0.5, 1.0)]
    np.testing.assert_allclose(widths, [0.4, 0.4 / np.sqrt(2), 0.2, 0.0], atol=1e-12)
    log = ratio_of_limits(p, bounds, p, bounds, 1.0)
    assert log[0] < 1 < log[1], "the limits are not alike on the log scale"


def test_ratio_interval_agrees_with_katz_in_large_samples_and_keeps_its_width_where_all_succeed() -> None:
    low, high = ratio_interval(300, 1000, 500, 1200)
    katz = stats.contingency.relative_risk(300, 1000, 500, 1200).confidence_interval(0.95)
    np.testing.assert_allclose([low, high], [katz.low, katz.high], rtol=3e-3)
    low, high = ratio_interval(3, 3, 3, 3)
    assert low < 0.5 and high > 2, "six rows do not show that two rates are equal"
    assert np.isinf(ratio_interval(3, 10, 0, 10)[1]) and ratio_interval(0, 10, 3, 10)[0] == 0


@settings(max_examples=50)
@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50), st.integers(0, 50))
def test_swapping_the_samples_turns_the_difference_and_inverts_the_ratio(k1, more1, k0, more0) -> None:
    n1, n0 = k1 + more1, k0 + more0
    low, high = difference_interval(k1, n1, k0, n0)
    assert low <= k1 / n1 - k0 / n0 <= high
    np.testing.assert_allclose(difference_interval(k0, n0, k1, n1), [-high, -low], atol=1e-12)
    low, high = ratio_interval(k1, n1, k0, n0)
    assert low <= (k1 / n1) / (k0 / n0) <= high
    np.testing.assert_allclose(ratio_interval(k0, n0, k1, n1), [1 / high, 1 / low], rtol=1e-9)


def coverage_of_two(interval: Callable[..., Bounds], n1: int, n0: int, p1: float, p0: float, truth: float) -> float:
    """Exact chance that the interval holds the truth."""
    k1, k0 = np.meshgrid(np.arange(n1 + 1), np.arange(n0 + 1), indexing="ij")
    weight = np.outer(stats.binom.pmf(k1[:, 0], n1, p1), stats.binom.pmf(k0[0], n0, p0))
    there = weight > 1e-7
    low, high = interval(k1[there], n1, k0[there], n0)
    return float(weight[there][(low <= truth + 1e-12) & (truth <= high + 1e-12)].sum() / weight[there].sum())


SIZES = [(20, 20), (50, 50), *(pytest.param(*n, marks=pytest.mark.slow) for n in ((30, 200), (200, 200), (1000, 60)))]
RATES = [0.02, 0.1, 0.5, 0.9, 0.97]


@pytest.mark.parametrize(("n1", "n0"), SIZES)
def test_intervals_of_a_difference_and_a_ratio_cover(n1: int, n0: int) -> None:
    large = 0
    for p1, p0 in product(RATES, RATES):
        variance = min(n1 * p1 * (1 - p1), n0 * p0 * (1 - p0))
        for interval, truth in ((difference_interval, p1 - p0), (ratio_interval, p1 / p0)):
            covered = coverage_of_two(interval, n1, n0, p1, p0, truth)
            if variance < 5:
                assert covered >= 0.95 - 1e-6, (interval.__name__, p1, p0, covered)
            else:
                # Just above 5 some samples still look small, and get the exact interval.
                assert 0.935 <= covered <= (0.98 if variance > 8 else 0.985), (interval.__name__, p1, p0, covered)
                large += 1
    assert large > 0 or n1 == 20


def test_where_one_group_is_a_twentieth_of_the_rows_intervals_cover_what_the_readme_says() -> None:
    root = Path(__file__).resolve().parent
    study = json.loads((root / "studies" / "coverage.json").read_text(encoding="utf-8"))
    rows = [dict(zip(study["columns"], row, strict=True)) for row in study["rows"]]
    found = [r["coverage"] for r in rows if r["interval"].endswith("1 to 19") and r["information"] >= 5]
    said = f"a difference or ratio covers {min(found):.3f} to {max(found):.3f}".replace("0.", ".")
    assert said in " ".join((root.parent / "README.md").read_text(encoding="utf-8").split())
    rng, times = np.random.default_rng(10), 1000
    k1, k0 = rng.binomial(100, 0.06, times), rng.binomial(1900, 0.06, times)
    low, high = difference_interval(k1, 100, k0, 1900)
    held = int(((low <= 0) & (high >= 0)).sum())
    assert stats.binom.ppf(0.001, times, 0.935) <= held <= stats.binom.ppf(0.999, times, 0.98)


def test_the_check_of_coverage_finds_an_interval_that_does_not_cover() -> None:
    def shifted(*samples: NDArray | int) -> Bounds:
        low, high = difference_interval(*samples)
        return low + 0.1, high + 0.1

    assert coverage_of_two(shifted, 200, 200, 0.2, 0.4, -0.2) < 0.75
