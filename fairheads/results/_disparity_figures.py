"""Dots with intervals: three rates of every group, and selection rates over the reference's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fairheads.errors import InputError
from fairheads.results import _disparity_tables as tables
from fairheads.results._style import BAND, INK, SOFT, Look, bare, house_style, html_figure, look, new_figure
from fairheads.results._words import EXACT, amount, clip, clip_middle, count, estimate, percent, rate_name, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.disparity import DisparityReport
    from fairheads.results.number import Number

ROW = 0.25
"""Inches for a row of the figure."""

GROUPS = 12
"""Groups in a figure, beside those that make the gaps."""

FOUR_FIFTHS = 0.8

WIDEST_RATIO = 2.5
"""Ratios are drawn up to here, or to the largest of them; what reaches farther ends in an arrow."""


def plotted(report: DisparityReport) -> tuple[str, ...]:
    """The rates that there are to draw."""
    return tuple(rate for rate in tables.PLOTTED if rate in report.metrics)


def groups_of(report: DisparityReport, metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The groups to draw."""
    return tables.some(report, metrics, GROUPS)


def omitted(drawn: int, of: int) -> str:
    """How many groups a figure has no room for."""
    return f"{count(of - drawn)} of {count(of)} groups are not drawn" if drawn < of else ""


def figure(report: DisparityReport) -> str:
    """The figure with its caption in HTML."""
    ax = plot(report)
    names = [rate_name(rate) for rate in plotted(report)]
    listed = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    caption = f"{listed[:1].upper()}{listed[1:]} of every group, with {percent(report.confidence)} intervals."
    return html_figure(ax, says(report), _and(caption, report, groups_of(report, plotted(report))))


def _and(caption: str, report: DisparityReport, drawn: tuple[str, ...]) -> str:
    rest = omitted(len(drawn), len(report.groups))
    return f"{caption} {rest}." if rest else caption


def says(report: DisparityReport) -> str:
    """What the figure shows, in words."""
    parts = [
        f"{rate_name(rate)} of {clip(group, 30)} {estimate(report.metrics[rate].groups[group])}"
        for rate in plotted(report)
        for group in groups_of(report, plotted(report))
    ]
    return "Dots with intervals, as shares: " + "; ".join(parts) + "."


@house_style()
def plot(report: DisparityReport, ax: Axes | None = None) -> Axes:
    """A dot and an interval for each group in three rates, one block of rows a rate."""
    rates = plotted(report)
    if not rates:
        raise InputError("There is nothing to plot: the report has no selection rate, which needs decisions.")
    groups = groups_of(report, rates)
    rest = omitted(len(groups), len(report.groups))
    exact = exactly(report.metrics[rate].groups[group] for rate in rates for group in groups)
    if ax is None:
        lines = 0.2 * (bool(rest) + bool(exact))
        ax = new_figure(ROW * len(rates) * (len(groups) + 1) + 0.7 + lines).add_subplot()
    ticks: list[tuple[float, str]] = []
    y = 0.0
    top = max((_reach(report, rate, groups) for rate in rates), default=1.0)
    for rate in rates:
        ax.text(0, y, rate_name(rate), va="center", ha="left", color=INK, weight="bold", parse_math=False, fontsize=9.5)
        for group in groups:
            y += 1
            ticks.append((y, clip_middle(group, 18)))
            _dot(ax, report, group, report.metrics[rate].groups[group], y)
        y += 1
    ax.set_yticks([at for at, _ in ticks], [text for _, text in ticks], parse_math=False)
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_xlim(0, min(top * 1.05, 1.0) + 0.24 * top)
    ax.set_xticks([t for t in ax.get_xticks() if 0 <= t <= 1.0001])
    ax.set_xlim(0, min(top * 1.05, 1.0) + 0.24 * top)
    about = "share of the group's rows that the rate is about"
    _below(ax, groups, about, exact, rest)
    _dressed(ax)
    return ax


def _below(ax: Axes, groups: tuple[str, ...], *lines: str) -> None:
    """The label below; beside long names the axes are narrower than it, and it must not leave the figure."""
    wide = max((len(clip_middle(group, 18)) for group in groups), default=0) > 12
    ax.set_xlabel("\n".join(line for line in lines if line), loc="right" if wide else "center", parse_math=False)


def _dressed(ax: Axes) -> None:
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "bottom")


def _reach(report: DisparityReport, rate: str, groups: tuple[str, ...]) -> float:
    numbers = [report.metrics[rate].groups[group] for group in groups]
    ends = [n.high if n.high is not None else n.value for n in numbers if not math.isnan(n.value)]
    return max(ends, default=0.0) or 0.05


def _dot(ax: Axes, report: DisparityReport, group: str, number: Number, y: float) -> None:
    if math.isnan(number.value):
        why = f" not estimable: {clip(number.reason or '', 40)}"
        ax.text(0, y, why, va="center", color=SOFT, parse_math=False, fontsize=8.5)
        return
    seen = look(group, report.groups)
    end = number.value
    if number.low is not None and number.high is not None:
        ax.plot([number.low, number.high], [y, y], color=seen.colour, linewidth=2, solid_capstyle="butt")
        end = number.high
    _mark(ax, number.value, y, seen)
    _beside(ax, _marked(number), end, y)


def _mark(ax: Axes, x: float, y: float, seen: Look) -> None:
    """A dot, whole even on the edge."""
    style = {"color": seen.colour, "marker": seen.marker, "linestyle": "none", "clip_on": False}
    ax.plot([x], [y], markersize=6.5, zorder=3, **style)  # type: ignore[arg-type]


def _marked(number: Number) -> str:
    return typeset(amount(number.value)) + (EXACT if number.conservative else "")


def exactly(numbers: Iterable[Number]) -> str:
    """What a figure says of exact intervals that it draws."""
    return f"{EXACT} exact interval" if any(number.conservative for number in numbers) else ""


def _beside(ax: Axes, text: str, x: float, y: float) -> None:
    offset = {"xytext": (6, 0), "textcoords": "offset points"}
    ax.annotate(text, (x, y), **offset, va="center", color=INK, fontsize=9, parse_math=False)  # type: ignore[arg-type]


# ---------------------------------------------------------------- ratios


def has_ratios(report: DisparityReport) -> bool:
    """Whether any group's selection rate was set over the reference's."""
    metric = report.metrics.get("selection_rate")
    return metric is not None and any(not math.isnan(c.ratio.value) for c in metric.to_reference.values())


@house_style()
def plot_ratios(report: DisparityReport, ax: Axes | None = None) -> Axes:
    """Every group's selection rate over the reference's, with lines at 0.8 and 1."""
    if not has_ratios(report):
        raise InputError("There are no ratios to plot: no group's selection rate could be compared with a reference.")
    groups = _ratio_groups(report)
    contrasts = report.metrics["selection_rate"].to_reference
    rest = omitted(len(groups), len(report.groups))
    numbers = {group: contrasts[group].ratio for group in groups if group in contrasts}
    exact = exactly(numbers.values())
    if ax is None:
        ax = new_figure(ROW * (len(groups) + 1) + 0.9 + 0.2 * (bool(rest) + bool(exact))).add_subplot()
    limit = _limit(list(numbers.values()))
    ax.axvspan(0, FOUR_FIFTHS, color=BAND, linewidth=0, zorder=0)
    ax.axvline(1, color=SOFT, linewidth=0.8, zorder=1)
    ax.axvline(FOUR_FIFTHS, color=SOFT, linewidth=0.8, linestyle=":", zorder=1)
    for x, told in ((FOUR_FIFTHS, "0.8"), (1.0, "1")):
        ax.text(x, -1.0, told, ha="center", va="center", color=SOFT, fontsize=8.5, parse_math=False)
    for y, group in enumerate(groups):
        _ratio(ax, report, group, numbers.get(group), y, limit)
    ax.set_yticks(range(len(groups)), [clip_middle(group, 18) for group in groups], parse_math=False)
    ax.set_ylim(len(groups) - 0.4, -0.7)
    ax.set_xlim(0, limit * 1.3)
    ax.set_xticks([t for t in ax.get_xticks() if 0 <= t <= limit])
    ax.set_xlim(0, limit * 1.3)
    about = f"selection rate over that of {clip(report.reference, 24)}"
    _below(ax, groups, about, exact, rest)
    ax.tick_params(axis="y", length=0)
    bare(ax, "bottom")
    return ax


def _ratio_groups(report: DisparityReport) -> tuple[str, ...]:
    """The groups to draw: the reference and those that are compared with it."""
    made = report.metrics["selection_rate"].to_reference
    return tuple(g for g in groups_of(report, ("selection_rate",)) if g in made or g == report.reference)


def _limit(numbers: list[Number]) -> float:
    """How far the axis goes: to the farthest bound, unless that lies beyond all reason."""
    values = [n.value for n in numbers if math.isfinite(n.value)]
    highs = [n.high for n in numbers if n.high is not None and math.isfinite(n.high)]
    return max(1.1, *values, min(max(highs, default=0.0), WIDEST_RATIO))


def _ratio(ax: Axes, report: DisparityReport, group: str, number: Number | None, y: float, limit: float) -> None:
    seen = look(group, report.groups)
    if number is None:
        _mark(ax, 1.0, y, seen)
        _told(ax, "reference", limit, y)
        return
    if math.isnan(number.value):
        why = f" not estimable: {clip(number.reason or '', 40)}"
        ax.text(0, y, why, va="center", color=SOFT, parse_math=False, fontsize=8.5)
        return
    if number.low is not None:
        open_ended = number.high is None or number.high > limit
        end = limit if number.high is None else min(number.high, limit)
        ax.plot([number.low, end], [y, y], color=seen.colour, linewidth=2, solid_capstyle="butt")
        if open_ended:
            ax.plot([end], [y], color=seen.colour, marker=">", markersize=5, linestyle="none", clip_on=False)
    _mark(ax, number.value, y, seen)
    _told(ax, _marked(number), limit, y)


def _told(ax: Axes, text: str, limit: float, y: float) -> None:
    """A value in the column right of all intervals, where no line crosses it."""
    _beside(ax, text, limit * 1.02, y)


def ratio_figure(report: DisparityReport) -> str:
    """The figure of ratios with its caption in HTML."""
    ax = plot_ratios(report)
    drawn = _ratio_groups(report)
    contrasts = report.metrics["selection_rate"].to_reference
    told = [f"{clip(group, 30)} {estimate(contrasts[group].ratio)}" for group in drawn if group in contrasts]
    caption = (
        f"Selection rate of every group over the reference's, with {percent(report.confidence)} intervals. "
        "In the grey part it is below four fifths."
    )
    said = f"Selection rates over that of {clip(report.reference, 30)}, beside 0.8 and 1: {'; '.join(told)}."
    compared = sum(group.recorded for group in report.groups.values())
    rest = omitted(len(drawn), compared)
    return html_figure(ax, said, f"{caption} {rest}." if rest else caption)
