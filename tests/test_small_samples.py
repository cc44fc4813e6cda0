"""Few rows, rows without weight, and metrics that nobody can have: where approximations would say too much."""

import math

import numpy as np
import pytest
from scipy import stats

from fairheads.metrics import disparity_of, disparity_report
from fairheads.results import DisparityReport
from fairheads.sums import Cells, Membership, Tally


def report_of(*tables: list[list[int]], **settings: object) -> DisparityReport:
    """The report of groups a, b, ... with these counts of [label, decision]."""
    cells = Cells(tuple("abcdef"[: len(tables)]), np.array(tables))
    return disparity_of(Tally(n=int(cells.rows.sum()), columns=("group",), cells=cells), **settings)


def test_a_group_of_one_hit_and_one_miss_is_not_far_from_a_thousand_rows() -> None:
    metric = report_of([[400, 100], [100, 400]], [[1, 0], [0, 1]]).metrics["balanced_accuracy"]
    contrast = metric.to_reference["b"]
    assert contrast.difference.low < 0 < contrast.difference.high
    assert contrast.p.value > 0.2 and metric.to_overall["b"].p.value > 0.2 and metric.gap.null.p > 0.2
    far = report_of([[400, 100], [100, 400]], [[100, 400], [400, 100]]).metrics["balanced_accuracy"]
    assert far.to_reference["b"].p.value < 1e-6 and far.gap.null.p < 1e-3


def test_ratios_of_errors_are_tested_as_the_shares_that_they_are_made_of() -> None:
    metric = report_of([[400, 10], [30, 400]], [[50, 1], [0, 50]]).metrics["error_ratio"]
    p = stats.fisher_exact([[30, 10], [0, 1]])[1]
    assert metric.to_reference["b"].p.value == pytest.approx(p)
    assert metric.gap.null.p == pytest.approx(p, abs=0.03)


@pytest.mark.parametrize(("n", "q"), [(5, 0.9), (10, 0.5), (30, 0.9), (50, 0.1)])
def test_limits_of_quantiles_cover_however_few_the_rows(n: int, q: float) -> None:
    rng, truth, name = np.random.default_rng(n), stats.norm.ppf(q), f"score_quantile_{q:g}"
    held = []
    for _ in range(300):
        found = disparity_report(None, None, sensitive_features=["a"] * n, y_score=rng.normal(size=n), metrics=[name])
        number = found.metrics[name].groups["a"]
        held.append(number.low is None or number.low <= truth <= (number.high or math.inf))
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_limits_of_means_cover_however_few_the_rows(n: int) -> None:
    rng, held = np.random.default_rng(n), []
    for _ in range(400):
        scores = rng.beta(50, 50, n)
        found = disparity_report(None, None, sensitive_features=["a"] * n, y_score=scores, metrics=["mean_score"])
        number = found.metrics["mean_score"].groups["a"]
        held.append(number.low <= 0.5 <= number.high)
    assert np.mean(held) >= 0.92


def test_scores_without_variance_are_not_tested() -> None:
    found = disparity_report(None, None, sensitive_features=list("aaabb"), y_score=[0.5, 0.5, 0.5, 0.6, 0.6])
    assert "standard error" in found.metrics["mean_score"].to_reference["b"].p.reason


def test_rows_of_weight_0_change_nothing() -> None:
    chosen, group = np.array([1, 0] * 10), np.array(["a", "b", "b", "a"] * 5)
    more = {
        "sensitive_features": np.append(group, ["a"] * 1000),
        "sample_weight": np.append(np.ones(20), np.zeros(1000)),
    }
    few = disparity_report(None, chosen, sensitive_features=group, sample_weight=np.ones(20))
    many = disparity_report(None, np.append(chosen, np.zeros(1000, int)), **more)
    assert many.metrics["selection_rate"] == few.metrics["selection_rate"]


def test_perfect_decisions_leave_no_inequality_to_share_out() -> None:
    found = report_of([[1, 0], [0, 1]], [[20, 0], [0, 13]], [[3, 0], [0, 4]]).between_groups
    assert all(math.isnan(number.value) and number.reason for number in found.values())


def test_a_metric_that_may_be_negative_has_no_ratio() -> None:
    def informedness(tp, fp, fn, tn):  # type: ignore[no-untyped-def]
        return tp / (tp + fn) - fp / (fp + tn)

    found = report_of([[40, 10], [10, 40]], [[20, 30], [30, 20]], custom={"informedness": informedness})
    gap = found.metrics["informedness"].gap
    assert gap.difference.value == pytest.approx(0.8) and "negative" in gap.ratio.reason


def test_what_the_others_lack_is_said_of_the_others() -> None:
    found = report_of([[10, 10], [10, 10]], [[20, 5], [0, 0]]).metrics["true_positive_rate"]
    assert found.to_overall["a"].p.reason == "no rows recorded as favourable in the others"


def test_groups_that_share_rows_are_tested_as_sharers() -> None:
    """Under no difference p below .05 is no rarer and no more common for memberships than for groups."""
    rng, below = np.random.default_rng(0), []
    for _ in range(400):
        q = rng.dirichlet([2.0, 2.0], 400)
        tally = Tally.of(None, rng.random(400) < 0.3, sensitive_features=Membership(("a", "b"), q))
        metric = disparity_of(tally, replicates=0).metrics["selection_rate"]
        (contrast,) = metric.to_reference.values()
        below.append(contrast.p.value <= 0.05)
    assert 0.02 <= np.mean(below) <= 0.09


def test_a_metric_of_the_callers_is_tested_at_its_level_in_a_small_group() -> None:
    rng, times, few = np.random.default_rng(8), 150, 0
    f1 = {"f1": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn)}
    group = np.r_[np.ones(30, int), np.zeros(570, int)].astype(str)
    tested = 0
    for _ in range(times):
        y = (rng.random(600) < 0.1).astype(int)
        decision = np.where(rng.random(600) < 0.8, y, 1 - y)
        report = disparity_report(
            y, decision, sensitive_features=group, metrics=[], custom=f1, reference="0", replicates=300
        )
        p = report.metrics["f1"].to_reference["1"].p
        tested += p.reason is None
        few += p.reason is None and p.value < 0.05
    assert tested > 100 and few <= stats.binom.ppf(0.99, tested, 0.05)  # the standard error alone: .13 of them
