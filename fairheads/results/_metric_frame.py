"""A disparity report's counts as fairlearn's ``MetricFrame``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from fairheads.errors import InputError

if TYPE_CHECKING:
    from fairlearn.metrics import MetricFrame

    from fairheads.results.disparity import DisparityReport

CELLS: dict[str, tuple[int, int]] = {
    "true_positives": (1, 1),
    "false_positives": (0, 1),
    "false_negatives": (1, 0),
    "true_negatives": (0, 0),
}
"""Label and decision of every count."""


def metric_frame(report: DisparityReport) -> MetricFrame[Any]:
    """One row for every group, label and decision, with the count as its weight."""
    import pandas as pd
    from fairlearn.metrics import MetricFrame

    rows = [
        {**{("part", c): group.parts[c] for c in report.columns}, "y": y, "decision": decision, "n": group.counts[cell]}
        for group in report.groups.values()
        if group.recorded and CELLS.keys() <= group.counts.keys()
        for cell, (y, decision) in CELLS.items()
        if group.counts[cell] > 0
    ]
    if not rows:
        raise InputError("There are no counts of labels and decisions: a `MetricFrame` needs `y_true` and `y_pred`.")
    metrics = _metrics()
    weight = [row["n"] for row in rows]
    with warnings.catch_warnings():
        # Rates that are undefined in a group come out as fairlearn has them; the report itself says which they are.
        warnings.simplefilter("ignore")
        return MetricFrame(
            metrics=metrics,
            y_true=[row["y"] for row in rows],
            y_pred=[row["decision"] for row in rows],
            sensitive_features=pd.DataFrame({c: [row["part", c] for row in rows] for c in report.columns}),
            sample_params={name: {"sample_weight": weight} for name in metrics},
        )


def _metrics() -> dict[str, Any]:
    from fairlearn import metrics as fairlearn
    from sklearn import metrics as sklearn

    return {
        "selection_rate": fairlearn.selection_rate,
        "accuracy": sklearn.accuracy_score,
        "balanced_accuracy": sklearn.balanced_accuracy_score,
        "true_positive_rate": fairlearn.true_positive_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
        "true_negative_rate": fairlearn.true_negative_rate,
        "false_negative_rate": fairlearn.false_negative_rate,
        "positive_predictive_value": sklearn.precision_score,
    }
