"""Rates, disparities and intervals as functions of sums; numpy and scipy only."""

from fairheads.metrics.auc import auc, auc_within, merit_bins, stratified_difference
from fairheads.metrics.disparity import disparity_of, disparity_report
from fairheads.metrics.intervals import clopper_pearson, difference_interval, rate_interval, ratio_interval, wilson

__all__ = [
    "auc",
    "auc_within",
    "clopper_pearson",
    "difference_interval",
    "disparity_of",
    "disparity_report",
    "merit_bins",
    "rate_interval",
    "ratio_interval",
    "stratified_difference",
    "wilson",
]
