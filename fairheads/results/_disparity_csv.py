"""The metrics of every group as rows for a spreadsheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fairheads.results._csv import csv_text
from fairheads.results._words import printable

if TYPE_CHECKING:
    from fairheads.results.disparity import DisparityReport

HEAD = ("group", "metric", "value", "low", "high", "n", "reason")


def groups_csv(report: DisparityReport) -> str:
    """A row a group and metric; numbers are numbers, and no text can be taken for a formula."""
    rows = [
        (printable(group), printable(name), _known(x.value), _known(x.low), _known(x.high), x.n, _said(x.reason))
        for name, metric in report.metrics.items()
        for group, x in metric.groups.items()
    ]
    return csv_text(HEAD, rows)


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _said(reason: str | None) -> str | None:
    return printable(reason) if reason else None
