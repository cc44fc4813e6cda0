"""Figures of the score in every group: ROC curves and calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from fairheads.errors import InputError
from fairheads.results import _disparity_tables as tables
from fairheads.results._disparity_figures import exactly, omitted
from fairheads.results._style import BAND, PAPER, SOFT, bare, house_style, html_figure, look, new_figure, spread
from fairheads.results._words import amount, clip, clip_middle, count, estimate, percent, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.disparity import DisparityReport

GROUPS = 6
"""Curves in a figure: no more than there are colours."""


def has_roc(report: DisparityReport) -> bool:
    """Whether any group has an ROC curve."""
    return bool(_with_roc(report))


def has_calibration(report: DisparityReport) -> bool:
    """Whether the calibration of any group is known."""
    return bool(_with_calibration(report))


def _with_roc(report: DisparityReport) -> dict[str, int]:
    return {g: report.groups[g].n for g, curves in report.curves.items() if curves.true_positive_rate}


def _with_calibration(report: DisparityReport) -> dict[str, int]:
    return {g: report.groups[g].n for g, curves in report.curves.items() if curves.calibration}


def _drawn(sizes: dict[str, int]) -> tuple[str, ...]:
    return tables.shown(sizes, (), GROUPS)


@house_style()
def plot_roc(report: DisparityReport, ax: Axes | None = None) -> Axes:
    """ROC curve of every group."""
    sizes = _with_roc(report)
    if not sizes:
        raise InputError("There is no ROC curve to plot: the report has no scores with labels of both kinds.")
    if ax is None:
        ax = new_figure(3.9).add_subplot()
    ax.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, zorder=1)
    auc = report.metrics.get("auc")
    for group in _drawn(sizes):
        seen, curves = look(group, report.groups), report.curves[group]
        area = f", AUC {typeset(amount(auc.groups[group].value))}" if auc is not None and group in auc.groups else ""
        ax.plot(
            curves.false_positive_rate,
            curves.true_positive_rate,
            color=seen.colour,
            linestyle=seen.line,
            linewidth=1.8,
            label=f"{clip_middle(group, 18)}{area}",
        )
    ax.set_xlabel("false positive rate (share)", parse_math=False)
    ax.set_ylabel("true positive rate (share)", parse_math=False)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    _dressed(ax, "lower right", omitted(len(_drawn(sizes)), len(sizes)))
    return ax


@house_style()
def plot_calibration(report: DisparityReport, ax: Axes | None = None) -> Axes:
    """Share recorded as favourable against the mean score of a bin, for every group."""
    sizes = _with_calibration(report)
    if not sizes:
        raise InputError("There is no calibration to plot: the report has no scores with labels.")
    if ax is None:
        ax = new_figure(3.9).add_subplot()
    drawn = _drawn(sizes)
    scores = [bin.score for group in drawn for bin in report.curves[group].calibration]
    probabilities = all(0 <= score <= 1 for score in scores)
    if probabilities:
        ax.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, zorder=1)
    for group in drawn:
        seen = look(group, report.groups)
        bins = [b for b in report.curves[group].calibration if not math.isnan(b.observed.value)]
        xs, ys = [b.score for b in bins], [b.observed.value for b in bins]
        for b in bins:
            if b.observed.low is not None and b.observed.high is not None:
                ax.plot([b.score] * 2, [b.observed.low, b.observed.high], color=seen.colour, linewidth=1.2, alpha=0.6)
        style = {"color": seen.colour, "linestyle": seen.line, "linewidth": 1.2, "marker": seen.marker}
        ax.plot(xs, ys, **style, markersize=4.5, label=clip_middle(group, 18))  # type: ignore[arg-type]
    ax.set_xlabel("mean score (0 to 1)" if probabilities else "mean score", parse_math=False)
    ax.set_ylabel("share recorded as favourable", parse_math=False)
    ax.set_xlim(*((-0.02, 1.02) if probabilities else spread(scores)))
    ax.set_ylim(-0.02, 1.02)
    _dressed(ax, "upper left", omitted(len(drawn), len(sizes)))
    return ax


def _dressed(ax: Axes, corner: Literal["lower right", "upper left"], rest: str) -> None:
    legend = ax.legend(
        loc=corner,
        facecolor=PAPER,
        edgecolor="none",
        framealpha=0.85,
        fontsize=9,
        title=rest or None,
        title_fontsize=8.5,
    )
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)
    ax.grid(color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "left", "bottom")


def roc_figure(report: DisparityReport) -> str:
    """The ROC curves with their caption in HTML."""
    ax = plot_roc(report)
    sizes = _with_roc(report)
    auc = report.metrics.get("auc")
    told = [
        clip(group, 30) + (f", AUC {estimate(auc.groups[group])}" if auc is not None and group in auc.groups else "")
        for group in _drawn(sizes)
    ]
    caption = "ROC curve of the score in every group: how well it ranks the group's own rows."
    return html_figure(ax, f"ROC curves: {'; '.join(told)}.", _and(caption, len(told), len(sizes)))


def calibration_figure(report: DisparityReport) -> str:
    """The calibration with its caption in HTML."""
    ax = plot_calibration(report)
    sizes = _with_calibration(report)
    told = [
        f"{clip(group, 30)}, {count(len(report.curves[group].calibration))} bins: "
        + ", ".join(f"{amount(b.score)} {amount(b.observed.value)}" for b in report.curves[group].calibration)
        for group in _drawn(sizes)
    ]
    caption = (
        "Share recorded as favourable among rows of similar score, with "
        f"{percent(report.confidence)} intervals. On the diagonal the score is the share."
    )
    bins = [b.observed for group in _drawn(sizes) for b in report.curves[group].calibration]
    caption += " Of bins with few rows, or near 0 or 1, they are exact, which is wider." if exactly(bins) else ""
    said = f"Mean score and share recorded as favourable by bin: {'; '.join(told)}."
    return html_figure(ax, said, _and(caption, len(told), len(sizes)))


def _and(caption: str, drawn: int, of: int) -> str:
    rest = omitted(drawn, of)
    return f"{caption} {rest}." if rest else caption
