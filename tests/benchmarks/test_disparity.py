"""The disparity report beside Fairlearn's MetricFrame on the same arrays, CPU time of one thread (`make bench`)."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
    true_negative_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_score

from fairheads.metrics import disparity_report

METRICS = {
    "selection_rate": selection_rate,
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "true_negative_rate": true_negative_rate,
    "false_negative_rate": false_negative_rate,
    "positive_predictive_value": precision_score,
}
ROWS, REPLICATES = 1_000_000, 10_000
PEER_ROWS, PEER_REPLICATES = 100_000, 2
"""Fairlearn's bootstrap resamples rows: its time is proportional to rows times replicates, so it is extrapolated."""


def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, n), rng.integers(0, 2, n), rng.integers(0, 4, n)


def cpu(run: Callable[[], object], times: int = 1) -> float:
    """Median CPU seconds."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def test_a_report_with_ten_thousand_replicates_beside_metric_frame() -> None:
    y, decision, group = rows(ROWS)

    def report() -> object:
        return disparity_report(y, decision, sensitive_features=group, metrics=list(METRICS), replicates=REPLICATES)

    found = report()
    ours = cpu(report, 7)
    frames = []
    plain = cpu(
        lambda: frames.append(MetricFrame(metrics=METRICS, y_true=y, y_pred=decision, sensitive_features=group))
    )
    for name in METRICS:
        for g, value in frames[0].by_group[name].items():
            assert found.metrics[name].groups[str(g)].value == pytest.approx(value, abs=1e-12)
    y, decision, group = rows(PEER_ROWS)

    def bootstrap() -> object:
        return MetricFrame(
            metrics=METRICS,
            y_true=y,
            y_pred=decision,
            sensitive_features=group,
            n_boot=PEER_REPLICATES,
            ci_quantiles=[0.025, 0.975],
        )

    per_replicate = cpu(bootstrap) / PEER_REPLICATES * ROWS / PEER_ROWS
    print(
        f"\ndisparity_report, {ROWS:,} rows, 4 groups, 8 metrics, {REPLICATES:,} replicates: {ours * 1000:.0f} ms CPU;"
        f" MetricFrame without bootstrap {plain:.1f} s, {plain / ours:.0f} x as long;"
        f" with 100 bootstrap replicates (from {PEER_ROWS:,} rows) {100 * per_replicate:.0f} s,"
        f" {100 * per_replicate / ours:,.0f} x as long"
    )
    assert plain / ours >= 200
    assert 100 * per_replicate / ours >= 10_000
