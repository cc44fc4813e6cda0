"""The figure of an audit: the deciding effect of every group, measured in margins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results._style import BAND, INK, SOFT, bare, house_style, html_figure, look, new_figure, spread
from fairheads.results._words import VERDICT_NAME, clip, count, interval, sides, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.audit import AuditReport


@house_style()
def plot(report: AuditReport, ax: Axes | None = None) -> Axes:
    """One row a group: effect and interval over its margin, the verdict in words above them."""
    if ax is None:
        ax = new_figure(1.0 + 0.55 * max(1, len(report.pathways))).add_subplot()
    ends = [0.0, -1.0, 1.0]
    for y, (group, pathway) in enumerate(report.pathways.items()):
        effect, seen = pathway.effect, look(group, report.disparity.groups | report.pathways)
        place = f"{effect.kind} at {clip(effect.layer, 24)}" if effect is not None else "no effect was measured"
        told = f"{VERDICT_NAME[pathway.verdict]}, {place}"
        ax.text(0.01, y - 0.3, told, transform=ax.get_yaxis_transform(), color=INK, fontsize=9, parse_math=False)
        ax.fill_between([-1, 1], y - 0.12, y + 0.24, color=BAND, linewidth=0, zorder=0)
        ax.plot([0, 0], [y - 0.12, y + 0.24], color=SOFT, linewidth=0.8, zorder=1)
        if effect is None:
            continue
        low, value, high = (v / effect.margin for v in (effect.low, effect.value, effect.high))
        ax.plot([low, high], [y + 0.06, y + 0.06], color=seen.colour, linewidth=2, solid_capstyle="butt", zorder=3)
        ax.plot([value], [y + 0.06], color=seen.colour, marker=seen.marker, markersize=6.5, zorder=4)
        ends += [low, high]
    ax.set_xlim(*spread(ends))
    ax.set_ylim(len(report.pathways) - 0.55, -0.75)
    ax.set_yticks(range(len(report.pathways)), [clip(g, 18) for g in report.pathways], parse_math=False)
    ax.tick_params(axis="y", length=0)
    directed = any(pathway.orientation for pathway in report.pathways.values())
    ax.set_xlabel(f"deciding effect in margins   {sides(directed)}", parse_math=False)
    bare(ax, "bottom")
    return ax


def figure(report: AuditReport) -> str:
    """The figure with its caption in HTML."""
    ax = plot(report)
    parts = [
        f"{clip(group, 30)}, {VERDICT_NAME[p.verdict]}: "
        + ("no effect" if p.effect is None else f"{p.effect.value / p.effect.margin:.1f} margins ")
        + ("" if p.effect is None else interval(p.effect.low / p.effect.margin, p.effect.high / p.effect.margin))
        for group, p in report.pathways.items()
    ]
    caption = "The deciding effect of every group, in margins. Inside the grey band it is too small to count."
    without = sum(p.orientation == 0 and p.effect is not None for p in report.pathways.values())
    if without:
        groups = f"{count(without)} of the {count(len(report.pathways))} groups"
        caption += f" For {groups} the labels show no gap, so that the sign of the effect says little."
    return html_figure(ax, typeset("; ".join(parts) + "."), caption)
