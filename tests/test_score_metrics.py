"""Metrics of scores against scikit-learn, SciPy, numpy and calculations by hand."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve
from tables_for_tests import TABLES, Table, table

from fairheads.metrics import disparity_report
from fairheads.metrics import scores as of_scores
from fairheads.metrics.curves import distances
from fairheads.metrics.inversion import p_of_limits
from fairheads.sums import BINS, ScoreHistogram, Tally

SCORED = ["mean_score", "auc", "brier", "expected_calibration_error"]


def calibration_error(y: NDArray, s: NDArray, w: NDArray) -> float:
    total = 0.0
    for b in range(BINS):
        rows = np.minimum((s * BINS).astype(int), BINS - 1) == b
        if rows.any():
            total += w[rows].sum() * abs(np.average(s[rows], weights=w[rows]) - np.average(y[rows], weights=w[rows]))
    return total / w.sum()


@settings(max_examples=30)
@given(TABLES, st.booleans())
def test_metrics_of_scores_are_scikit_learns_in_every_group_and_overall(rows: Table, weighted: bool) -> None:
    report = rows.report(scored=True, weighted=weighted, metrics=SCORED)
    w = rows.weight if weighted else np.ones(len(rows))
    for name in [*report.groups, None]:
        at = np.ones(len(rows), bool) if name is None else rows.group == name
        found = {m: x.overall if name is None else x.groups[name] for m, x in report.metrics.items()}
        y, s, v = rows.y[at], rows.score[at], w[at]
        assert found["mean_score"].value == pytest.approx(np.average(s, weights=v), abs=1e-12)
        assert found["brier"].value == pytest.approx(brier_score_loss(y, s, sample_weight=v), abs=1e-12)
        assert found["expected_calibration_error"].value == pytest.approx(calibration_error(y, s, v), abs=1e-12)
        if 0 < y.sum() < len(y):
            assert found["auc"].value == pytest.approx(roc_auc_score(y, s, sample_weight=v), abs=1e-12)
        else:
            assert np.isnan(found["auc"].value) and "no rows recorded as" in found["auc"].reason
        for number in found.values():
            if number.low is not None and number.high is not None:
                assert number.low - 1e-12 <= number.value <= number.high + 1e-12


def delong(y: NDArray, s: NDArray) -> float:
    """Standard error of the AUC from all pairs: DeLong, DeLong & Clarke-Pearson (1988)."""
    pairs = (s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0])
    return float(np.sqrt(pairs.mean(1).var(ddof=1) / (y == 1).sum() + pairs.mean(0).var(ddof=1) / (y == 0).sum()))


def test_the_standard_error_of_an_auc_is_delongs_but_for_ten_rows_of_a_model() -> None:
    rows = table(3, 6000, 2)
    scores = Tally.of(rows.y, None, sensitive_features=rows.group, y_score=rows.score).scores
    ranked = of_scores.auc(scores).groups
    for i, name in enumerate(scores.groups):
        assert ranked.se[i] == pytest.approx(delong(*(a[rows.group == name] for a in (rows.y, rows.score))), rel=0.01)


@settings(max_examples=30)
@given(TABLES)
def test_the_standard_error_of_a_mean_is_students(rows: Table) -> None:
    scores = Tally.of(rows.y, None, sensitive_features=rows.group, y_score=rows.score).scores
    means = of_scores.mean_score(scores).groups
    for i, name in enumerate(scores.groups):
        s = rows.score[rows.group == name]
        if len(s) > 1 and s.std() > 0:
            assert means.se[i] == pytest.approx(s.std(ddof=1) / np.sqrt(len(s)), rel=1e-6)


def test_brier_has_the_standard_error_of_a_mean_of_squares() -> None:
    rows = table(0, 500, 2)
    scores = Tally.of(rows.y, None, sensitive_features=rows.group, y_score=rows.score).scores
    found = of_scores.brier(scores).groups
    for i, name in enumerate(scores.groups):
        squares = (rows.y - rows.score)[rows.group == name] ** 2
        assert found.se[i] == pytest.approx(stats.sem(squares), rel=1e-9)


@settings(max_examples=30)
@given(TABLES, st.booleans())
def test_quantiles_are_numpys(rows: Table, weighted: bool) -> None:
    report = disparity_report(
        None,
        None,
        sensitive_features=rows.group,
        y_score=rows.score,
        sample_weight=rows.weight if weighted else None,
        replicates=0,
    )
    assert set(report.metrics) == {"mean_score", *(f"score_quantile_{q}" for q in (0.1, 0.25, 0.5, 0.75, 0.9))}
    for name in report.groups:
        s, w = rows.score[rows.group == name], rows.weight[rows.group == name]
        for q in (0.1, 0.25, 0.5, 0.75, 0.9):
            theirs = np.quantile(s, q, method="inverted_cdf", weights=w if weighted else None)
            assert report.metrics[f"score_quantile_{q}"].groups[name].value == theirs


@settings(max_examples=30)
@given(TABLES, st.booleans())
def test_distances_are_scipys(rows: Table, weighted: bool) -> None:
    assume(len(set(rows.group)) > 1)
    report = rows.report(scored=True, weighted=weighted, metrics=["mean_score"])
    reference = rows.group == report.reference
    assert set(report.distances) == set(report.groups) - {report.reference}
    for name, found in report.distances.items():
        there = rows.group == name
        a, b = rows.score[there], rows.score[reference]
        weights = (rows.weight[there], rows.weight[reference]) if weighted else (None, None)
        assert found.wasserstein.value == pytest.approx(stats.wasserstein_distance(a, b, *weights), abs=1e-12)
        if not weighted:
            assert found.kolmogorov_smirnov.value == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
        for number in (found.kolmogorov_smirnov, found.wasserstein):
            assert number.low <= number.value <= number.high


def test_the_test_of_two_distributions_keeps_its_level_and_finds_a_shift() -> None:
    rng = np.random.default_rng(0)
    group = np.r_[np.zeros(120, int), np.ones(200, int)]

    def p_value(shift: float) -> float:
        score = rng.normal(size=320) + shift * group
        scores = ScoreHistogram.count(score=score, y=None, group=group, groups=("a", "b"))
        return distances(scores, 1, 0.95)["a"].p.value

    assert 0.01 <= np.mean([p_value(0.0) <= 0.05 for _ in range(1000)]) <= 0.06
    assert np.mean([p_value(0.8) <= 0.05 for _ in range(50)]) == 1.0


def test_curves_are_scikit_learns_and_bins_are_shares_of_their_rows() -> None:
    rows = table(1, 300, 2)
    report = rows.report(scored=True, metrics=["auc"])
    for name, curve in report.curves.items():
        y, s = rows.y[rows.group == name], rows.score[rows.group == name]
        fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
        np.testing.assert_allclose(np.interp(fpr, curve.false_positive_rate, curve.true_positive_rate).max(), tpr.max())
        area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
        assert area == pytest.approx(report.metrics["auc"].groups[name].value, abs=1e-12)
        assert sum(b.observed.n for b in curve.calibration) == len(y)
        assert sum(b.observed.n * b.observed.value for b in curve.calibration) == pytest.approx(y.sum())
        assert sum(b.observed.n * b.score for b in curve.calibration) == pytest.approx(s.sum())


def test_scores_that_are_no_probabilities_have_a_rank_and_no_calibration() -> None:
    rows = table(2, 200, 2)
    report = rows.report(scored=True, metrics=SCORED, y_score=rows.score * 10 - 3)
    same = rows.report(scored=True, metrics=["auc"])
    assert report.metrics["auc"].gap.difference == same.metrics["auc"].gap.difference, "ranks stay"
    for name in ("brier", "expected_calibration_error"):
        assert report.metrics[name].overall.reason == "the scores are not all between 0 and 1"
    assert all(curve.calibration == () for curve in report.curves.values())


def test_the_p_value_of_an_auc_agrees_with_its_interval_where_three_positives_are_ranked_almost_perfectly() -> None:
    rng = np.random.default_rng(45)
    group = np.r_[np.ones(30, int), np.zeros(570, int)]
    y = (rng.random(600) < 0.1).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=600) + 1.2 * y)))
    settings = {"y_score": score, "sensitive_features": group, "metrics": ["auc"], "reference": "0", "replicates": 0}
    for confidence in (0.5, 0.8, 0.95):
        found = disparity_report(y, None, confidence=confidence, **settings).metrics["auc"].to_reference["1"]
        assert (found.p.value < 1 - confidence) == (found.difference.low > 0 or found.difference.high < 0)
    assert found.p.value > 0.05 and found.detectable.value > 0.1


@pytest.mark.parametrize(("positives", "shift", "most"), [((3, 57), 0.0, 0.05), ((100, 100), 1.0, 1.0)])
def test_p_values_of_aucs_keep_their_level_in_small_groups_and_find_a_difference(
    positives: tuple[int, int], shift: float, most: float
) -> None:
    rng, times, rows = np.random.default_rng(7), 200, (300, 300) if shift else (30, 570)
    estimates = []
    for n, k, more in zip(rows, positives, (shift, 0.0), strict=True):
        y = np.tile(np.r_[np.ones(k, int), np.zeros(n - k, int)], times)
        score = np.clip(np.round((rng.normal(size=len(y)) + (1.2 + more) * y) * 20) / 20, -4, 6)
        of = np.repeat(np.arange(times), n)
        names = [str(i) for i in range(times)]
        estimates.append(of_scores.auc(ScoreHistogram.count(score=score, y=y, group=of, groups=names)).groups)
    p, _ = p_of_limits(estimates[0].side, estimates[1].side, 0.95)
    found = (p <= 0.05).mean()
    assert found > 0.8 if shift else found <= stats.binom.ppf(0.999, times, most) / times
