"""Dissociation layer by layer, and the profiles of both groups over the units of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results._style import (
    BAND,
    BELOW_NAME,
    INK,
    SOFT,
    TWIN,
    bare,
    house_style,
    html_figure,
    look,
    new_figure,
    spread,
)
from fairheads.results._words import amount, clip, clip_middle, estimate, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.routing import RoutingReport


@house_style()
def plot_layers(report: RoutingReport, ax: Axes | None = None) -> Axes:
    """A row a layer: the interval, the twins under it, and the band in which nothing is said."""
    if ax is None:
        ax = new_figure(1.35 + 0.45 * max(2, len(report.layers))).add_subplot()
    ax.set_title("Pathways apart", parse_math=False)
    ends = [0.0]
    if report.twins:
        beyond = report.threshold
        ends.append(beyond)
        ax.axvspan(0, beyond, color=BAND, linewidth=0, zorder=0)
        ax.text(beyond / 2, -0.6, "below the threshold", ha="center", va="center", color=SOFT, fontsize=8.5)
    ax.vlines(0, BELOW_NAME, len(report.layers), color=SOFT, linewidth=0.8, zorder=1)
    for y, layer in enumerate(report.layers):
        twins = [d for d in layer.twin_dissociations if not math.isnan(d)]
        ax.plot(twins, [y + 0.3] * len(twins), "o", color=TWIN, markersize=3, markeredgewidth=0, zorder=2)
        number = layer.dissociation
        ends += [*twins, *(v for v in (number.value, number.low, number.high) if v is not None)]
        if math.isnan(number.value):
            ax.text(0, y, "  nothing lost", va="center", color=SOFT, fontsize=8.5, parse_math=False)
            continue
        if number.low is not None and number.high is not None:
            ax.plot([number.low, number.high], [y, y], color=INK, linewidth=2, solid_capstyle="butt", zorder=3)
        ax.plot([number.value], [y], "o", color=INK, markersize=6, zorder=4)
        right = number.high if number.high is not None else number.value
        ax.annotate(
            typeset(amount(number.value)),
            (right, y),
            xytext=(5, -0.5),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
            parse_math=False,
        )
    low, high = spread(ends)
    ax.set_xlim(low, high + 0.2 * (high - low))
    names = [clip_middle(layer.name, 18) for layer in report.layers]
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.set_ylim(len(names) - 0.45, -0.95)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("dissociation D (log of a ratio)", parse_math=False)
    bare(ax, "bottom")
    return ax


@house_style()
def plot_profiles(report: RoutingReport, ax: Axes | None = None, groups: Sequence[str] | None = None) -> Axes:
    """Both groups' shares of the units of the strongest layer, units in the order of their tilt."""
    if ax is None:
        ax = new_figure(2.9).add_subplot()
    layer = report.strongest
    names = {report.group, report.reference, *(groups or report.groups)}
    tilt = [g - r for g, r in zip(report.group_shares, report.reference_shares, strict=True)]
    order = sorted(range(layer.units), key=lambda unit: tilt[unit])
    for name, shares in ((report.reference, report.reference_shares), (report.group, report.group_shares)):
        seen = look(name, names)
        values = [100 * shares[unit] for unit in order]
        ax.step(
            range(len(values)),
            values,
            where="mid",
            color=seen.colour,
            linestyle=seen.line,
            linewidth=1.6,
            label=clip(name, 20),
        )
    ax.set_title(f"Contribution of the units of {clip_middle(layer.name, 20)}", parse_math=False)
    ax.set_xlabel(
        f"units, from those of {clip(report.reference, 14)} to those of {clip(report.group, 14)}", parse_math=False
    )
    ax.set_ylabel("% of the group's contribution", parse_math=False)
    ax.set_xticks([])
    ax.set_ylim(0, None)
    ax.legend(frameon=False, fontsize=9, loc="upper center")
    bare(ax, "left", "bottom")
    return ax


def html(report: RoutingReport) -> str:
    """Both figures with their captions."""
    layers, profiles = plot_layers(report), plot_profiles(report)
    says = "; ".join(f"{clip_middle(layer.name, 40)}: D {estimate(layer.dissociation)}" for layer in report.layers)
    caption = "How much more each group's score needs the units of its own pathway than those of the other's."
    if any(layer.dissociation.low is not None for layer in report.layers):
        caption += " Bars are bounds that hold for all layers together."
    if report.twins:
        caption += " Small dots are the twins; the grey band must be left behind."
    share = f"overlap of the profiles {amount(report.strongest.overlap)}"
    about = "What every unit contributes to the score of either group. Where the lines agree, there is one pathway."
    return (
        f'<div class="figures">{html_figure(layers, f"Dissociation by layer. {says}.", caption)}\n'
        f"{html_figure(profiles, f'Contribution of units, {share}.', about)}</div>"
    )
