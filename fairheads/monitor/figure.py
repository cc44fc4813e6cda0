"""The curves of one group over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.errors import ConfigError, InputError
from fairheads.results._style import LINES, MARKERS, PALETTE, SOFT, bare, house_style, new_figure
from fairheads.results._words import clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.monitor.reading import GroupReading, Reading
    from fairheads.results import Number

NAMES = {
    "effect": "effect at equal merit (sd of the logit)",
    "probe_auc": "probe of the group (AUC)",
    "retention": "ranking within groups kept (share)",
    "selection_rate_difference": "difference of selection rates (share)",
}


def plot(history: Sequence[Reading], group: str | None, margin: float | None, ax: Axes | None) -> Axes:
    """The four curves of ``group``, in ``ax`` or a figure of its own."""
    if not history:
        raise InputError("There is nothing to plot: no step was measured yet.")
    name = _chosen(history, group)
    readings = [next(g for g in reading.groups if g.group == name) for reading in history]
    steps = [reading.step for reading in history]
    with house_style():
        if ax is None:
            ax = new_figure(4.0, 5.0).add_subplot()
        _curves(ax, steps, readings)
        if margin is not None:
            ax.axhline(margin, color=PALETTE[0], linewidth=0.9, linestyle=":", zorder=1)
            _name_margin(ax, margin, [g.effect for g in readings])
        ax.axhline(0, color=SOFT, linewidth=0.6, zorder=0)
        ax.set_title(f"{clip(name, 30)} against {clip(readings[0].reference, 30)}", parse_math=False)
        ax.set_xlabel("step")
        ax.set_ylabel("each curve in its own unit")
        bare(ax, "left", "bottom")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize=8.5)
    return ax


def _chosen(history: Sequence[Reading], group: str | None) -> str:
    names = [g.group for g in history[-1].groups]
    if group is not None:
        if group not in names:
            raise ConfigError(f"`group` must be one of {names}, got {group!r}.")
        return group
    for reading in reversed(history):
        measured = [g for g in reading.groups if math.isfinite(g.effect.value)]
        if measured:
            return max(measured, key=lambda g: g.effect.value).group
    return names[0]


def _name_margin(ax: Axes, margin: float, effects: list[Number]) -> None:
    """Above the margin's line, at that end where the effect leaves more room."""
    known = [n for n in effects if math.isfinite(n.value)]
    some = max(1, 2 * len(known) // 5)
    left = _room(known[:some], margin) > _room(known[-some:], margin)
    ax.annotate(
        f"margin of the effect, {margin:g}",
        (0 if left else 1, margin),
        (4 if left else -2, 2),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=8.5,
        color=PALETTE[0],
    )


def _room(effects: list[Number], margin: float) -> float:
    """How far above the margin the lowest of their intervals begins, of those that reach over it."""
    ends = [(n.value if n.low is None else n.low, n.value if n.high is None else n.high) for n in effects]
    return min((low - margin for low, high in ends if high > margin), default=math.inf)


def _curves(ax: Axes, steps: list[int], readings: list[GroupReading]) -> None:
    for at, (curve, label) in enumerate(NAMES.items()):
        numbers: list[Number] = [getattr(g, curve) for g in readings]
        look = {"color": PALETTE[at], "marker": MARKERS[at], "linestyle": LINES[at]}
        ax.plot(steps, [n.value for n in numbers], **look, markersize=3.5, linewidth=1.4, label=label)  # type: ignore[arg-type]
        if curve in ("effect", "retention"):
            low, high = ([math.nan if b is None else b for b in bounds] for bounds in _bounds(numbers))
            ax.fill_between(steps, low, high, color=PALETTE[at], alpha=0.15, linewidth=0)


def _bounds(numbers: list[Number]) -> tuple[list[float | None], list[float | None]]:
    return [n.low for n in numbers], [n.high for n in numbers]
