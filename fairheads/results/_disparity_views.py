"""A disparity report in text, HTML and one figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results._style import BAND, INK, SOFT, bare, house_style, html_figure, look, new_figure
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import amount, capital, clip, count, estimate, rate_name, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.disparity import DisparityReport, GroupRates

PLOTTED = ("selection_rate", "true_positive_rate", "false_positive_rate")
OTHER = ("accuracy", "positive_predictive_value", "base_rate")
ROW = 0.25
"""Inches for a row of the figure."""


def summary_lines(report: DisparityReport) -> list[str]:
    """Rates and gaps as tables of text, without the disclaimer."""
    lines = [f"Rates of {len(report.groups)} groups on {count(report.n)} rows, 95 % intervals in brackets"]
    rows = [("everybody", report.overall), *report.groups.items()]
    for rates in (PLOTTED, OTHER):
        head = ["group", "n", *(rate_name(rate) for rate in rates)]
        body = [[clip(g, 16), count(r.n), *(estimate(getattr(r, rate)) for rate in rates)] for g, r in rows]
        lines += ["", *text_table(head, body, right=[1])]
    gaps = [
        [rate_name(rate), estimate(gap.difference), estimate(gap.ratio), *_pair(gap.highest, gap.lowest)]
        for rate, gap in report.gaps.items()
    ]
    lines += ["", *text_table(["gap in", "difference", "ratio", "highest", "lowest"], gaps)]
    for reason in missing(report):
        lines += wrapped(f"Not estimable: {reason}.", "")
    return lines


def _pair(highest: str, lowest: str) -> tuple[str, str]:
    return (clip(highest, 14), clip(lowest, 14)) if highest else ("-", "-")


def missing(report: DisparityReport) -> list[str]:
    """Every rate and gap that could not be had, with its reason."""
    told = [
        f"{rate_name(rate)} of {clip(group, 30)}, {getattr(rates, rate).reason}"
        for group, rates in report.groups.items()
        for rate in (*PLOTTED, *OTHER)
        if getattr(rates, rate).reason
    ]
    return told + [
        f"gap in {rate_name(rate)}, {reason}"
        for rate, gap in report.gaps.items()
        for reason in dict.fromkeys((gap.difference.reason, gap.ratio.reason))
        if reason
    ]


def rates_table(report: DisparityReport, explained: dict[str, str]) -> str:
    """All rates of all groups as an HTML table."""

    def row(label: str, rates: GroupRates) -> list[str]:
        return [label, count(rates.n), *(html.estimate(getattr(rates, rate)) for rate in (*PLOTTED, *OTHER))]

    head = [
        "Group",
        "Rows",
        *(f'<abbr title="{explained[r]}">{capital(rate_name(r))}</abbr>' for r in (*PLOTTED, *OTHER)),
    ]
    rows = [row("Everybody", report.overall), *(row(html.name(g), r) for g, r in report.groups.items())]
    caption = "Rates of every group, with 95 % intervals"
    return html.table(caption, head, rows, right=range(1, 8))


def gaps_table(report: DisparityReport) -> str:
    """The gap in each rate and the two groups that make it as an HTML table."""
    rows = [
        [
            capital(rate_name(rate)),
            html.estimate(gap.difference),
            html.estimate(gap.ratio),
            html.name(gap.highest) if gap.highest else "none",
            html.name(gap.lowest) if gap.lowest else "none",
        ]
        for rate, gap in report.gaps.items()
    ]
    caption = "Gaps between groups. Both intervals hold for all pairs of groups together"
    return html.table(caption, ["Gap in", "Difference", "Ratio", "Highest", "Lowest"], rows, right=(1, 2))


def figure(report: DisparityReport) -> str:
    """The figure with its caption in HTML."""
    with house_style():
        ax = plot(report)
    caption = "Selection rate, true positive rate and false positive rate of every group, with 95 % intervals."
    return html_figure(ax, says(report), caption)


def says(report: DisparityReport) -> str:
    """What the figure shows, in words."""
    parts = [
        f"{rate_name(rate)} of {clip(group, 30)} {estimate(getattr(rates, rate))}"
        for rate in PLOTTED
        for group, rates in report.groups.items()
    ]
    return "Dots with intervals, as shares: " + "; ".join(parts) + "."


def plot(report: DisparityReport, ax: Axes | None = None) -> Axes:
    """A dot and an interval for each group in three rates, one block of rows a rate."""
    rows = len(PLOTTED) * (len(report.groups) + 1)
    if ax is None:
        with house_style():
            ax = new_figure(ROW * rows + 0.7).add_subplot()
    ticks: list[tuple[float, str]] = []
    y = 0.0
    top = max((_reach(report, rate) for rate in PLOTTED), default=1.0)
    for rate in PLOTTED:
        ax.text(0, y, rate_name(rate), va="center", ha="left", color=INK, weight="bold", parse_math=False, fontsize=9.5)
        for group, rates in report.groups.items():
            y += 1
            ticks.append((y, clip(group, 18)))
            _dot(ax, report, group, rates, rate, y)
        y += 1
    ax.set_yticks([at for at, _ in ticks], [label for _, label in ticks], parse_math=False)
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_xlim(0, min(top * 1.05, 1.0) + 0.24 * top)
    ax.set_xticks([t for t in ax.get_xticks() if 0 <= t <= 1.0001])
    ax.set_xlim(0, min(top * 1.05, 1.0) + 0.24 * top)
    ax.set_xlabel("share of the group's rows that the rate is about", parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "bottom")
    return ax


def _reach(report: DisparityReport, rate: str) -> float:
    numbers = [getattr(rates, rate) for rates in report.groups.values()]
    ends = [n.high if n.high is not None else n.value for n in numbers if not math.isnan(n.value)]
    return max(ends, default=0.0) or 0.05


def _dot(ax: Axes, report: DisparityReport, group: str, rates: GroupRates, rate: str, y: float) -> None:
    number = getattr(rates, rate)
    if math.isnan(number.value):
        ax.text(0, y, f" not estimable: {number.reason}", va="center", color=SOFT, parse_math=False, fontsize=8.5)
        return
    seen = look(group, report.groups)
    end = number.value
    if number.low is not None and number.high is not None:
        ax.plot([number.low, number.high], [y, y], color=seen.colour, linewidth=2, solid_capstyle="butt")
        end = number.high
    ax.plot([number.value], [y], color=seen.colour, marker=seen.marker, markersize=6.5, linestyle="none")
    ax.annotate(
        typeset(amount(number.value)),
        (end, y),
        (6, 0),
        textcoords="offset points",
        va="center",
        color=INK,
        fontsize=9,
        parse_math=False,
    )
