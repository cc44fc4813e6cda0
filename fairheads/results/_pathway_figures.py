"""The two figures of a pathway analysis: effects layer by layer, and scores at equal merit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from fairheads.results._markup import prose
from fairheads.results._pathway_made import emergence
from fairheads.results._style import (
    BAND,
    BELOW_NAME,
    INK,
    PAPER,
    RULE,
    SOFT,
    TWIN,
    WIDTH,
    bare,
    house_style,
    html_figure,
    look,
    new_figure,
    spread,
)
from fairheads.results._words import (
    DIRECTION,
    NO_DIRECTION,
    amount,
    clip,
    clip_middle,
    estimate,
    interval,
    sides,
    typeset,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.number import Number
    from fairheads.results.pathway import MeritCurve, PathwayReport

Kind = Literal["swap", "erasure"]

UNIT: dict[Kind, str] = {"swap": "sd of the logit", "erasure": "selection rate"}
TITLE: dict[Kind, str] = {"swap": "Group swapped", "erasure": "Group erased"}

TWINS_BELOW = 0.3
"""How far under a layer's effect its twins are drawn, in rows."""


@house_style()
def plot_layers(report: PathwayReport, ax: Axes | None = None) -> Axes:
    """Effect, interval, margin and twins per layer: both kinds side by side, or the deciding kind in ``ax``."""
    if ax is not None:
        kind: Kind = report.effect.kind if report.effect is not None else "swap"
        _draw_layers(ax, report, kind)
        return ax
    figure = new_figure(1.35 + 0.45 * max(3, len(report.layers)), WIDTH)
    first: Axes = figure.add_subplot(1, 2, 1)
    second = figure.add_subplot(1, 2, 2, sharey=first)
    figure.get_layout_engine().set(wspace=0.12)  # type: ignore[union-attr, call-arg]
    _draw_layers(first, report, "swap")
    _draw_layers(second, report, "erasure")
    second.tick_params(axis="y", labelleft=False)
    return first


def _draw_layers(ax: Axes, report: PathwayReport, kind: Kind) -> None:
    ax.set_title(TITLE[kind], parse_math=False)
    if not report.layers:
        _empty(ax, "no layer was measured")
        return
    margin = report.margins.get(kind)
    numbers: list[Number] = [getattr(layer, kind) for layer in report.layers]
    twins = [layer.twin_swaps if kind == "swap" else layer.twin_erasures for layer in report.layers]
    ax.set_xlim(_reach(numbers, twins, margin))
    if margin is not None:
        ax.axvspan(-margin, margin, color=BAND, linewidth=0, zorder=0)
        ax.text(0, -0.6, "margin", ha="center", va="center", color=SOFT, fontsize=8.5, parse_math=False)
    ax.vlines(0, BELOW_NAME, len(numbers), color=SOFT, linewidth=0.8, zorder=1)
    for y, (number, seen) in enumerate(zip(numbers, twins, strict=True)):
        ax.plot(seen, [y + TWINS_BELOW] * len(seen), "o", color=TWIN, markersize=3, markeredgewidth=0, zorder=2)
        _effect(ax, number, y)
    if any(twins):
        place = max(v for v in twins[-1] if not math.isnan(v))
        _beside(ax, "twins", place, len(twins) - 1 + TWINS_BELOW, SOFT)
    emerges = report.emerges_at if report.rests_on_effect else None
    labels = [
        clip_middle(layer.name, 18) + ("\nemerges here" if layer.name == emerges else "") for layer in report.layers
    ]
    ax.set_yticks(range(len(labels)), labels, parse_math=False)
    ax.set_ylim(len(labels) - 0.45, -0.95)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=3)
    ax.set_xlabel(f"effect, {UNIT[kind]}\n{sides(bool(report.orientation))}", parse_math=False, fontsize=8)
    bare(ax, "bottom")


def _effect(ax: Axes, number: Number, y: int) -> None:
    if math.isnan(number.value):
        ax.text(0, y, " not estimable", va="center", color=SOFT, fontsize=8.5, parse_math=False)
        return
    at = number.value
    if number.low is not None and number.high is not None:
        ax.plot([number.low, number.high], [y, y], color=INK, linewidth=2, solid_capstyle="butt", zorder=3)
        at = number.high
    ax.plot([number.value], [y], "o", color=INK, markersize=6, zorder=4)
    _beside(ax, typeset(amount(number.value)), at, y, INK)


def _beside(ax: Axes, text: str, x: float, y: float, colour: str) -> None:
    offset = {"xytext": (5, -0.5), "textcoords": "offset points"}
    ax.annotate(text, (x, y), **offset, va="center", fontsize=9, color=colour, parse_math=False)  # type: ignore[arg-type]


def _reach(numbers: list[Number], twins: list[tuple[float, ...]], margin: float | None) -> tuple[float, float]:
    """Limits that hold every mark, with room for the value written right of an interval."""
    ends = [v for n in numbers for v in (n.value, n.low, n.high) if v is not None]
    low, high = spread([0.0, *ends, *(v for seen in twins for v in seen), margin or 0.0, -(margin or 0.0)])
    return low, high + 0.34 * (high - low)


def _empty(ax: Axes, why: str) -> None:
    ax.text(0.5, 0.5, why, ha="center", va="center", color=SOFT, transform=ax.transAxes, parse_math=False)
    ax.set_xticks([])
    ax.set_yticks([])
    bare(ax)


@house_style()
def plot_curve(report: PathwayReport, ax: Axes | None = None, groups: Sequence[str] | None = None) -> Axes:
    """Mean score of both groups against merit as the layer reads it; the gap between the lines is the head."""
    if ax is None:
        ax = new_figure(3.3).add_subplot()
    ax.set_title("Score at equal merit", parse_math=False)
    curve = report.curve
    if curve is None or not curve.merit:
        _empty(ax, "no merit bin has rows of both groups")
        return ax
    names = {report.group, report.reference, *(groups or report.groups)}
    ax.fill_between(curve.merit, curve.group, curve.reference, color=BAND, linewidth=0, zorder=0)
    ax.axhline(0, color=RULE, linewidth=0.8, zorder=1)
    for name, scores in ((report.reference, curve.reference), (report.group, curve.group)):
        seen = look(name, names)
        ax.plot(
            curve.merit,
            scores,
            color=seen.colour,
            linestyle=seen.line,
            marker=seen.marker,
            markersize=4.5,
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            linewidth=1.8,
        )
    ax.set_xlim(*spread(curve.merit, 0.04))
    ax.set_ylim(*spread([*curve.group, *curve.reference, 0.0], 0.1))
    _label_lines(ax, curve, (report.group, report.reference))
    ax.set_xlabel(f"merit read from {clip_middle(curve.layer, 20)} (log-odds of the label)", parse_math=False)
    ax.set_ylabel("mean score (logit, favourable above 0)", parse_math=False)
    bare(ax, "left", "bottom")
    return ax


def _label_lines(ax: Axes, curve: MeritCurve, names: tuple[str, str]) -> None:
    """Names beside their lines where these lie far apart and the name has room: the upper above, the lower below."""
    gaps = [abs(g - r) for g, r in zip(curve.group, curve.reference, strict=True)]
    low, high = ax.get_xlim()
    at = [(m - low) / (high - low) for m in curve.merit]
    lines = [(clip(name, 20), line) for name, line in zip(names, (curve.group, curve.reference), strict=True)]
    lines.sort(key=lambda line: sum(line[1]))
    for (name, line), above in zip(lines, (False, True), strict=True):
        wide = 0.026 * len(name) + 0.03
        first, last = (max(wide, 0.3), 0.8) if above else (0.25, 1 - wide)
        roomy = [i for i, x in enumerate(at) if first <= x <= last] or [len(at) // 2]
        best = max(roomy, key=lambda i: gaps[i])
        ax.annotate(
            name,
            (curve.merit[best], line[best]),
            xytext=(-6, 5) if above else (6, -5),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
            color=INK,
            weight="bold",
            parse_math=False,
        )


def curve_figure(report: PathwayReport) -> str:
    """The curve with its caption in HTML."""
    ax = plot_curve(report)
    caption = (
        "People to whom the network gives the same merit, by its own reading. Where one line lies above the other, "
        "that group is scored higher at equal merit."
    )
    return html_figure(ax, _curve_says(report), _with_emergence(caption, report))


def _curve_says(report: PathwayReport) -> str:
    curve = report.curve
    if curve is None or not curve.merit:
        return "No curve: no merit bin has rows of both groups."
    gaps = [g - r for g, r in zip(curve.group, curve.reference, strict=True)]
    return (
        f"Mean score against merit as read from {clip_middle(curve.layer, 60)}, {len(gaps)} bins. "
        f"{clip(report.group, 40)} minus {clip(report.reference, 40)} at equal merit: from {amount(min(gaps))} to "
        f"{amount(max(gaps))}, on average {amount(sum(gaps) / len(gaps))} (logit)."
    )


def layers_figure(report: PathwayReport) -> str:
    """The layer profile with its caption in HTML."""
    ax = plot_layers(report)
    caption = (
        "Effect of the internal group estimate at every layer, first layer on top. Each end of a bar is a bound that "
        "holds for all layers and both effects together; inside the grey band an effect is too small to count."
    )
    caption += f" {DIRECTION if report.orientation else NO_DIRECTION}"
    if any(layer.twin_swaps for layer in report.layers):
        caption += " Small dots are the twins."
    return html_figure(ax, _layers_say(report), _with_emergence(caption, report))


def _with_emergence(caption: str, report: PathwayReport) -> str:
    return " ".join([caption, *(prose(sentence) for sentence in emergence(report))])


def _layers_say(report: PathwayReport) -> str:
    if not report.layers:
        return "No layer was measured."
    parts = [
        f"{clip_middle(layer.name, 40)}: swap {estimate(layer.swap)}, erasure {estimate(layer.erasure)}"
        for layer in report.layers
    ]
    margins = ", ".join(f"{kind} {interval(-m, m)}" for kind, m in report.margins.items())
    return (
        f"{clip(report.group, 40)} beside {clip(report.reference, 40)}, effects by layer. "
        + "; ".join(parts)
        + "."
        + (f" Margins: {margins}." if margins else "")
    )
