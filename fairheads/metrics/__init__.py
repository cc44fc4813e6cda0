"""Rates, disparities and intervals as functions of sums; numpy and scipy only."""

from fairheads.metrics.auc import auc, auc_within, merit_bins, stratified_difference
from fairheads.metrics.bootstrap import replicate
from fairheads.metrics.disparity import CORE, disparity_of, disparity_report
from fairheads.metrics.intervals import (
    blaker,
    clopper_pearson,
    difference_interval,
    rate_interval,
    ratio_interval,
    weighted_rate_interval,
    wilson,
)

__all__ = [
    "CORE",
    "auc",
    "auc_within",
    "blaker",
    "clopper_pearson",
    "difference_interval",
    "disparity_of",
    "disparity_report",
    "merit_bins",
    "rate_interval",
    "ratio_interval",
    "replicate",
    "stratified_difference",
    "weighted_rate_interval",
    "wilson",
]
