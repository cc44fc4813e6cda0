"""Tests of differences: by hand, against SciPy and published figures, and by their level where nothing differs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairheads.metrics import disparity_of, disparity_report, trials
from fairheads.metrics.nulls import gap_null
from fairheads.metrics.rates import RATE_OF, rate
from fairheads.metrics.stratified import difference_over_strata, ratio_over_strata
from fairheads.metrics.trials import Trials, exact_p, fisher, holm
from fairheads.sums import Cells, Tally

SELECTION = RATE_OF["selection_rate"]


def cells_of(hits: list[int], rows: list[int]) -> Cells:
    counts = np.array([[[n - k, k]] for k, n in zip(hits, rows, strict=True)], np.int64)
    return Cells(tuple(f"g{i}" for i in range(len(rows))), counts)


def selection(hits: list[int], rows: list[int], **settings: object):
    cells = cells_of(hits, rows)
    tally = Tally(n=sum(rows), columns=("group",), cells=cells)
    return disparity_of(tally, replicates=0, **settings).metrics["selection_rate"]


def test_holms_correction_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, np.nan, 0.6])), [1.0, np.nan, 1.0])
    assert holm(np.array([])).tolist() == [] and np.isnan(holm(np.array([np.nan]))).all()


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
def test_fishers_p_is_scipys(n1: int, n0: int, share1: float, share0: float) -> None:
    k1, k0 = round(n1 * share1), round(n0 * share0)
    theirs = stats.fisher_exact([[k1, n1 - k1], [k0, n0 - k0]])[1]
    assert fisher(k1, n1, k0, n0) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_the_p_value_is_pearsons_in_large_samples_and_fishers_in_small_ones_holm_corrected() -> None:
    metric = selection([60, 90, 3], [200, 220, 9], reference="g0")
    raw = [
        stats.chi2_contingency([[60, 140], [90, 130]], correction=False)[1],
        stats.fisher_exact([[60, 140], [3, 6]])[1],
    ]
    adjusted = holm(np.array(raw))
    assert [metric.to_reference[g].p.value for g in ("g1", "g2")] == pytest.approx(adjusted.tolist(), abs=1e-12)
    pooled = 150 / 420
    spread = math.sqrt(pooled * (1 - pooled) * (1 / 200 + 1 / 220))
    size = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * spread
    assert metric.to_reference["g1"].detectable.value == pytest.approx(size, rel=1e-9)


def test_each_group_is_tested_against_all_others_where_it_is_set_against_everybody() -> None:
    metric = selection([60, 90, 70], [200, 220, 300])
    raw = [
        stats.chi2_contingency([[k, n - k], [220 - k, 720 - 220 - (n - k)]], correction=False)[1]
        for k, n in ((60, 200), (90, 220), (70, 300))
    ]
    found = [metric.to_overall[f"g{i}"].p.value for i in range(3)]
    assert found == pytest.approx(holm(np.array(raw)).tolist(), rel=1e-9)


# Agresti, Categorical Data Analysis, table 6.9: success with drug and control in eight centres; CMH = 6.38.
CENTRES = [
    (11, 36, 10, 37),
    (16, 20, 22, 32),
    (14, 19, 7, 19),
    (2, 16, 1, 17),
    (6, 17, 0, 12),
    (1, 11, 0, 10),
    (1, 5, 1, 9),
    (4, 6, 6, 7),
]
# Rothman, Modern Epidemiology: deaths with tolbutamide and placebo below and above 55; RD = .035, RR = 1.33.
DEATHS = [(8, 106, 5, 120), (22, 98, 16, 85)]


def mantel_haenszel(tables: list[tuple[int, int, int, int]]):
    decision, group, control = [], [], []
    for i, (k1, n1, k0, n0) in enumerate(tables):
        decision += [1] * k1 + [0] * (n1 - k1) + [1] * k0 + [0] * (n0 - k0)
        group += ["drug"] * n1 + ["control"] * n0
        control += [i] * (n1 + n0)
    report = disparity_report(
        None, decision, sensitive_features=group, control_features=control, reference="control", replicates=0
    )
    return report.conditional.to_reference["drug"]


def test_mantel_and_haenszels_test_gives_the_published_statistic() -> None:
    found = mantel_haenszel(CENTRES)
    assert stats.chi2.isf(found.p.value, 1) == pytest.approx(6.38, abs=0.006)


def test_mantel_and_haenszels_difference_and_ratio_give_the_published_figures_and_nearly_walds_limits() -> None:
    found = mantel_haenszel(DEATHS)
    assert round(found.difference.value, 3) == 0.035 and round(found.ratio.value, 2) == 1.33
    weight = sum(n1 * n0 / (n1 + n0) for _, n1, _, n0 in DEATHS)
    rd, p_term, q_term = found.difference.value, 0.0, 0.0
    above = below = spread = 0.0
    for a, n1, c, n0 in DEATHS:
        n = n1 + n0
        p_term += (n1**2 * c - n0**2 * a + n1 * n0 * (n0 - n1) / 2) / n**2
        q_term += (a * (n0 - c) + c * (n1 - a)) / (2 * n)
        above, below = above + a * n0 / n, below + c * n1 / n
        spread += ((a + c) * n1 * n0 - a * c * n) / n**2
    half = 1.959963984540054 * math.sqrt(rd * p_term + q_term) / weight  # Sato's variance
    assert (found.difference.low, found.difference.high) == pytest.approx((rd - half, rd + half), abs=0.005)
    factor = math.exp(1.959963984540054 * math.sqrt(spread / (above * below)))  # Greenland and Robins's
    assert (found.ratio.low, found.ratio.high) == pytest.approx(
        (found.ratio.value / factor, found.ratio.value * factor), rel=0.03
    )


def test_limits_of_one_stratum_are_miettinen_and_nurminens_published_ones_and_turn_with_the_groups() -> None:
    # Newcombe (1998), Stat. Med. 17, 873-890, table II, method 6: 56/70 - 48/80.
    counts = tuple(np.array([x], np.float64) for x in (56, 70, 48, 80))
    assert difference_over_strata(*counts) == pytest.approx((0.0528, 0.3382), abs=5e-5)
    low, high = ratio_over_strata(*counts)
    turned = (*counts[2:], *counts[:2])
    assert difference_over_strata(*turned) == pytest.approx((-0.3382, -0.0528), abs=5e-5)
    assert ratio_over_strata(*turned) == pytest.approx((1 / high, 1 / low), rel=1e-6)


@pytest.mark.parametrize("everybody", [0, 1])
def test_strata_in_which_all_decisions_are_alike_have_an_interval_with_a_width(everybody: int) -> None:
    group, control = ["a"] * 20 + ["b"] * 20, ["x", "y"] * 20
    report = disparity_report(
        None, [everybody] * 40, sensitive_features=group, control_features=control, reference="a", replicates=0
    )
    found = report.conditional.to_reference["b"]
    assert found.difference.value == 0 and found.difference.low < -0.15 and found.difference.high > 0.15
    assert (found.ratio.low < 0.9 and found.ratio.high > 1.1) if everybody else found.ratio.reason is not None


@pytest.mark.parametrize(("sizes", "rates"), [((30, 600), (0.02, 0.05)), ((30, 600), (0.98, 0.95))])
def test_limits_over_strata_cover_where_few_decisions_differ(
    sizes: tuple[int, int], rates: tuple[float, float]
) -> None:
    rng, inside, times = np.random.default_rng(5), 0, 120
    n1, n0 = (rng.multinomial(n, [0.5, 0.5], times).astype(np.float64) for n in sizes)
    for one, other in zip(n1, n0, strict=True):
        k1, k0 = (rng.binomial(n.astype(int), p).astype(np.float64) for n, p in zip((one, other), rates, strict=True))
        low, high = difference_over_strata(k1, one, k0, other)
        inside += low <= rates[0] - rates[1] <= high
    assert inside >= stats.binom.ppf(0.001, times, 0.95)  # Wald limits hold .64 and .67 of them


def test_the_exact_test_over_strata_is_fishers_in_one_and_adds_up_all_tables_in_two() -> None:
    one, two = (3, 9, 4, 40), (2, 7, 1, 30)
    assert exact_p(*(np.array([x]) for x in one)) == pytest.approx(fisher(*one), rel=1e-12)
    laws = [stats.hypergeom(n1 + n0, k1 + k0, n1) for k1, n1, k0, n0 in (one, two)]
    chance = np.zeros(40)
    for i in range(20):
        for j in range(20):
            chance[i + j] += laws[0].pmf(i) * laws[1].pmf(j)
    together = chance[chance <= chance[5] * (1 + 1e-7)].sum()
    assert exact_p(*(np.array(x) for x in zip(one, two, strict=True))) == pytest.approx(together, rel=1e-9)


def test_the_test_over_strata_keeps_its_level_where_few_are_selected() -> None:
    rng, times = np.random.default_rng(6), 1000
    hits = rng.binomial([[15, 15], [300, 300]], 0.05, (times, 2, 2))
    p = [exact_p(k[0], np.array([15, 15]), k[1], np.array([300, 300])) for k in hits]
    assert np.mean(np.array(p) <= 0.05) <= stats.binom.ppf(0.999, times, 0.05) / times


def test_a_gap_that_strata_explain_vanishes_within_them() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 8000)
    stratum = (rng.random(8000) < 0.2 + 0.6 * group).astype(int)
    decision = (rng.random(8000) < 0.2 + 0.5 * stratum).astype(int)
    report = disparity_report(None, decision, sensitive_features=group, control_features=stratum, reference="0")
    assert report.metrics["selection_rate"].to_reference["1"].difference.low > 0.2
    within = report.conditional.to_reference["1"].difference
    assert within.low < 0 < within.high and abs(within.value) < 0.04


# --- where nothing differs ----------------------------------------------------------------------------------------

SIZES = [150, 300, 90, 400]


def simulated(rates: list[float], times: int, seed: int) -> list[Cells]:
    hits = np.random.default_rng(seed).binomial(SIZES, rates, (times, len(SIZES)))
    return [cells_of(k.tolist(), SIZES) for k in hits]


def test_the_p_value_of_the_gap_is_uniform_where_there_is_none_and_finds_one() -> None:
    rng = np.random.default_rng(1)

    def p_values(rates: list[float], times: int) -> np.ndarray:
        tables = simulated(rates, times, 2)
        return np.array([gap_null(rate(c, SELECTION).groups, 199, rng).p for c in tables])

    p = p_values([0.3] * 4, 2000)
    assert 0.035 <= (p <= 0.05).mean() <= 0.065 and 0.45 <= (p <= 0.5).mean() <= 0.55
    assert p.min() >= 1 / 200
    assert (p_values([0.3, 0.3, 0.3, 0.5], 50) <= 0.05).mean() > 0.9


@pytest.mark.parametrize("common", [0.3, 0.02])
def test_p_values_of_contrasts_keep_their_level_together_and_find_a_difference(common: float) -> None:
    def found(cells: Cells) -> bool:
        each = Trials.of(cells, SELECTION)
        p, _ = trials.tested(each, each.take([3]))
        return bool((holm(p[:3]) <= 0.05).any())

    level = np.mean([found(c) for c in simulated([common] * 4, 2000, 3)])
    assert level <= 0.065 and (common < 0.1 or level >= 0.03)
    assert np.mean([found(c) for c in simulated([0.3, 0.55, 0.3, 0.3], 50, 4)]) > 0.9
