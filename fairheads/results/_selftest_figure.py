"""The figure of a self-test: how many planted heads were found, by how strong they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results._style import BAND, INK, SOFT, bare, house_style, html_figure, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.selftest import SelftestClass, SelftestReport

STEP = 0.018
"""Kinds of heads are drawn side by side, this share of the axis apart, so that no interval hides another."""


@house_style()
def plot(report: SelftestReport, ax: Axes | None = None) -> Axes:
    """Share found against strength, a line a kind of head; networks without one at 0."""
    if ax is None:
        ax = new_figure(3.2, 5.6).add_subplot()
    kinds = report.planted
    widest = max([each.strength for each in report.classes], default=1.0) or 1.0
    for place, name in enumerate(kinds):
        drawn = _drawn(report.of(name))
        colour, marker, line = look(name, kinds)
        at = [each.strength + place * STEP * widest for each in drawn]
        _intervals(ax, at, drawn, colour)
        ax.plot(at, [c.found.value for c in drawn], color=colour, marker=marker, linestyle=line, label=name)
    nulls = _drawn([each for each in report.classes if not each.head])
    at = [(place - (len(nulls) - 1) / 2) * 1.5 * STEP * widest for place in range(len(nulls))]
    _intervals(ax, at, nulls, SOFT)
    if nulls:
        shares = [each.found.value for each in nulls]
        ax.plot(at, shares, color=SOFT, marker="x", linestyle="none", label="no head")
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlabel("strength of the planted head, share of what parity needs", parse_math=False)
    ax.set_ylabel("share of runs in which a head was found", parse_math=False)
    ax.grid(color=BAND, linewidth=0.8, axis="y")
    ax.set_axisbelow(True)
    bare(ax, "bottom", "left")
    if kinds or nulls:
        ax.legend(loc="best", frameon=False, labelcolor=INK, fontsize=9)
    return ax


def html(report: SelftestReport) -> str:
    """The figure with its caption."""
    ax = plot(report)
    said = [
        f"{each.name}{f' at {each.strength:g}' if each.head else ''}: {each.heads} of {each.n}"
        for each in report.classes
        if each.n
    ]
    caption = (
        "Share of runs in which a head was found, with exact 95 % intervals: by the strength of the planted head, and"
        " at 0 where there is none. Kinds are drawn a little apart."
    )
    return html_figure(ax, f"Heads found. {'; '.join(said)}.", caption)


def _drawn(classes: Sequence[SelftestClass]) -> list[SelftestClass]:
    return [each for each in classes if not math.isnan(each.found.value)]


def _intervals(ax: Axes, at: Sequence[float], classes: Sequence[SelftestClass], colour: str) -> None:
    for x, each in zip(at, classes, strict=True):
        if each.found.low is not None and each.found.high is not None:
            ax.plot([x, x], [each.found.low, each.found.high], color=colour, linewidth=1.4)
