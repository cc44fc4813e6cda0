"""A map of the selection rate where two columns make the groups: one cell for every pair of values."""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from fairheads.errors import InputError
from fairheads.results._style import BAND, INK, RULE, SOFT, bare, house_style, html_figure, new_figure
from fairheads.results._words import amount, capital, clip, clip_middle, count, estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.disparity import DisparityReport

ROWS, COLUMNS = 12, 5
"""Values of the two columns that are drawn: those with the most rows."""

DARK, LIGHT = "#000000", "#ffffff"
"""Letters on a cell; unlike ink and paper they do not change with the page, since the cells do not either."""


def has_cells(report: DisparityReport) -> bool:
    """Whether two columns make the groups and a selection rate is known."""
    metric = report.metrics.get("selection_rate")
    known = metric is not None and any(not math.isnan(number.value) for number in metric.groups.values())
    return known and len(report.columns) == 2


@house_style()
def plot_heatmap(report: DisparityReport, ax: Axes | None = None) -> Axes:
    """Selection rate and rows of every intersection."""
    if not has_cells(report):
        raise InputError(
            "There is no heat map to plot: it needs selection rates of groups made by exactly two columns."
        )
    import matplotlib
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    down, across, left_out = _values(report)
    if ax is None:
        ax = new_figure(0.42 * len(down) + 1.0).add_subplot()
    cells = _cells(report)
    rates = report.metrics["selection_rate"].groups
    top = _top(report)
    colours = matplotlib.colormaps["cividis"]
    for y, below in enumerate(down):
        for x, beside in enumerate(across):
            group = cells.get((below, beside))
            value = math.nan if group is None else rates[group].value
            if group is None or math.isnan(value):
                told = "no rows" if group is None else f"not estimable\nn = {count(report.groups[group].n)}"
                box = Rectangle(
                    (x, y), 1, 1, facecolor="none" if group is None else BAND, edgecolor=RULE, linewidth=0.8
                )
                colour = SOFT if group is None else INK
            else:
                told = f"{amount(value)}\nn = {count(report.groups[group].n)}"
                fill = to_hex(colours(value / top))
                box = Rectangle((x, y), 1, 1, facecolor=fill, edgecolor=fill, linewidth=0.2)
                colour = _legible(fill)
            ax.add_patch(box)
            style = {"ha": "center", "va": "center", "fontsize": 8.0 if len(across) < 4 else 7.0, "linespacing": 1.15}
            ax.text(x + 0.5, y + 0.5, told, color=colour, parse_math=False, **style)  # type: ignore[arg-type]
    ax.set_xlim(0, len(across))
    ax.set_ylim(len(down), 0)
    ax.set_xticks(
        [x + 0.5 for x in range(len(across))],
        [clip_middle(v, min(24, 60 // len(across))) for v in across],
        parse_math=False,
    )
    ax.set_yticks([y + 0.5 for y in range(len(down))], [clip_middle(v, 18) for v in down], parse_math=False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    about = f"selection rate: dark 0, bright {amount(top)}"
    ax.set_xlabel(f"{about}\n{left_out}" if left_out else about, color=SOFT, parse_math=False)
    bare(ax)
    return ax


def _cells(report: DisparityReport) -> dict[tuple[str, str], str]:
    """Which group lies in which cell, the column with more values going down."""
    first, second = _columns(report)
    return {(group.parts[first], group.parts[second]): name for name, group in report.groups.items()}


def _columns(report: DisparityReport) -> tuple[str, str]:
    a, b = report.columns
    numbers = [len({group.parts[column] for group in report.groups.values()}) for column in (a, b)]
    return (a, b) if numbers[0] >= numbers[1] else (b, a)


def _values(report: DisparityReport) -> tuple[list[str], list[str], str]:
    """The values of both columns with the most rows, in the order of the report, and what is left out."""
    kept, rest = [], []
    for column, most in zip(_columns(report), (ROWS, COLUMNS), strict=True):
        rows: Counter[str] = Counter()
        for group in report.groups.values():
            rows[group.parts[column]] += group.n
        largest = {value for value, _ in rows.most_common(most)}
        kept.append([value for value in rows if value in largest])
        if len(rows) > most:
            rest.append(f"{count(len(rows) - most)} of {count(len(rows))} values of {clip(column, 20)}")
    return kept[0], kept[1], f"not drawn: {', '.join(rest)}" if rest else ""


def _top(report: DisparityReport) -> float:
    """The brightest value."""
    rates = report.metrics["selection_rate"].groups.values()
    return max((number.value for number in rates if not math.isnan(number.value)), default=0.0) or 1.0


def _legible(fill: str) -> str:
    """Black or white, whichever stands out more (WCAG's contrast)."""
    channels = [int(fill[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return DARK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else LIGHT


def figure(report: DisparityReport) -> str:
    """The map with its caption in HTML."""
    ax = plot_heatmap(report)
    down, across, left_out = _values(report)
    cells, rates = _cells(report), report.metrics["selection_rate"].groups
    told = [
        f"{clip(below, 30)} and {clip(beside, 30)} {estimate(rates[cells[below, beside]])}"
        for below in down
        for beside in across
        if (below, beside) in cells
    ]
    caption = "Selection rate and rows of every intersection." + (f" {capital(left_out)}." if left_out else "")
    return html_figure(ax, f"Selection rates: {'; '.join(told)}.", escape(caption))
