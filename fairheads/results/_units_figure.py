"""The largest units of every layer in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results._style import BAND, INK, PALETTE, SOFT, TWIN, bare, house_style, html_figure, new_figure, spread
from fairheads.results._words import DIRECTION, NO_DIRECTION, amount, clip, clip_middle, sides

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.units import UnitEffect, UnitReport

NAMED = 4
"""Most numbers written in a layer: the largest."""


@house_style()
def plot(report: UnitReport, ax: Axes | None = None) -> Axes:
    """A row of dots a layer, the band of the twins behind it, named units in colour and with their number."""
    if ax is None:
        ax = new_figure(1.35 + 0.62 * max(2, len(report.layers))).add_subplot()
    ax.set_title("Units that the group runs through", parse_math=False)
    ax.vlines(0, -0.3, max(len(report.layers), 1), color=SOFT, linewidth=0.8, zorder=1)
    for y, layer in enumerate(report.layers):
        units = [unit for unit in report.units if unit.layer == layer.name]
        if layer.largest_in_twins:
            most = max(layer.largest_in_twins)
            ax.fill_betweenx([y - 0.3, y + 0.3], -most, most, color=BAND, linewidth=0, zorder=0)
            if y == 0:
                ax.text(most, y - 0.36, "largest in the twins", color=SOFT, fontsize=8.5, ha="center", parse_math=False)
        rest = [unit.value for unit in units if not unit.discovered]
        ax.plot(rest, [y] * len(rest), "o", color=TWIN, markersize=4, markeredgewidth=0, alpha=0.7, zorder=2)
        _named(ax, [unit for unit in units if unit.discovered], y)
    names = [clip_middle(layer.name, 18) for layer in report.layers]
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.75)
    twins = [value for layer in report.layers for most in layer.largest_in_twins for value in (most, -most)]
    ax.set_xlim(*spread([0.0, *twins, *(unit.value for unit in report.units)]))
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel(f"signed attribution, sd of the logit\n{sides(report.directed)}", parse_math=False)
    bare(ax, "bottom")
    return ax


def _named(ax: Axes, units: list[UnitEffect], y: float) -> None:
    ax.plot([unit.value for unit in units], [y] * len(units), "D", color=PALETTE[1], markersize=5.5, zorder=3)
    largest = sorted(units, key=lambda unit: -abs(unit.value))[:NAMED]
    for place, unit in enumerate(sorted(largest, key=lambda unit: unit.value)):
        above = place % 2 == 0
        ax.annotate(
            str(unit.unit),
            (unit.value, y),
            xytext=(0, 5 if above else -5),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=8.5,
            color=INK,
            parse_math=False,
        )


def html(report: UnitReport) -> str:
    """The figure with its caption in HTML."""
    ax = plot(report)
    caption = (
        "Every dot is a unit, the largest of each layer: what it adds to the effect of moving people to the other group"
        f" at equal merit. {DIRECTION if report.directed else NO_DIRECTION}"
    )
    if report.discovered:
        caption += " Diamonds are the units that are named, the largest with their number."
    if report.twins:
        caption += " The grey band holds the largest unit of every twin."
    return html_figure(ax, _says(report), caption)


def _says(report: UnitReport) -> str:
    named = ", ".join(f"unit {u.unit} of {clip_middle(u.layer, 40)} {amount(u.value)}" for u in report.discovered[:12])
    return (
        f"{clip(report.group, 40)} beside {clip(report.reference, 40)}: {len(report.discovered)} units of "
        f"{report.total} named{': ' + named if named else ''}."
    )
