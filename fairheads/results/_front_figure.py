"""Accuracy against a gap: a mark a setting, its intervals both ways, and the front as a step line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from fairheads.errors import InputError
from fairheads.results import _front_tables as tables
from fairheads.results._front_labels import Label, place
from fairheads.results._style import BAND, INK, PALETTE, PAPER, TWIN, bare, house_style, new_figure
from fairheads.results._text import columns
from fairheads.results._words import axis_name, clip, rate_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.front import Front
    from fairheads.results.front_points import FrontSetting
    from fairheads.results.number import Number

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "*")
"""Eleven, beside six colours: 66 objectives come by before a mark comes back in its colour."""

WIDTH, HEIGHT = 5.2, 3.9
LEGEND_ROW = 0.21
"""Inches."""

DRAWN = 12
"""Objectives that the legend names."""

HALF, LONGEST = 28, 42
"""Letters that fit into half the width of the legend, and into all of it."""

STEP = 3.2
"""Width of the step line in points: bars that run along it are still seen."""


class Series(NamedTuple):
    """An objective as it is drawn."""

    colour: str
    marker: str
    settings: tuple[FrontSetting, ...]
    options: tuple[str, ...]
    """What varies; the marks' labels are the values."""


@house_style()
def plot(front: Front, ax: Axes | None = None) -> Axes:
    """Marks, intervals, the step line, labels and the legend."""
    if not any(setting.known for setting in front.settings):
        raise InputError("There is nothing to plot: no setting has both an accuracy and a gap.")
    series = _series(front)
    if ax is None:
        names = len(_names(series))
        rows = names if _columns(series) == 1 else (names + 1) // 2
        ax = new_figure(HEIGHT + LEGEND_ROW * rows, WIDTH).add_subplot()
    _limits(ax, [setting for one in series.values() for setting in one.settings])
    _step(ax, front.front)
    for one in series.values():
        for setting in one.settings:
            _mark(ax, one, setting)
    ax.set_xlabel(clip(axis_name(front.gap_metric), 60), parse_math=False)
    ax.set_ylabel(clip(axis_name(front.accuracy_metric), 40), parse_math=False)
    ax.locator_params(nbins=6)
    ax.grid(color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "left", "bottom")
    _legend(ax, series)
    _labels(ax, front, series)
    return ax


def _series(front: Front) -> dict[str, Series]:
    by_objective: dict[str, list[FrontSetting]] = {}
    for setting in front.settings:
        by_objective.setdefault(setting.objective, []).append(setting)
    made = {}
    for i, (objective, settings) in enumerate(by_objective.items()):
        options = tuple(dict.fromkeys(option for setting in settings for option in setting.setting))
        known = tuple(setting for setting in settings if setting.known)
        if known:
            made[objective] = Series(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], known, options)
    return made


def _ends(number: Number) -> tuple[float, float]:
    """The ends of its bar."""
    low = number.value if number.low is None else number.low
    return low, number.value if number.high is None else number.high


def _limits(ax: Axes, settings: Sequence[FrontSetting]) -> None:
    """Around all intervals, but none may press the points together: beyond a point's reach bars leave the picture."""
    for across in (True, False):
        numbers = [setting.gap if across else setting.accuracy for setting in settings]
        values = [p.gap.value if across else p.accuracy.value for setting in settings for p in setting.points]
        low, high = min(values), max(values)
        reach = max(high - low, 0.02)
        low = max(min(end for number in numbers for end in _ends(number)), low - reach)
        high = min(max(end for number in numbers for end in _ends(number)), high + reach)
        low, high = min(low, *values), max(high, *values)
        room = 0.05 * (high - low)
        if across:
            ax.set_xlim(min(0.0, low) - 0.4 * room, high + room)
        else:
            ax.set_ylim(low - room, high + room)


def _step(ax: Axes, front: Sequence[FrontSetting]) -> None:
    """From the smallest gap to the edge: at every gap the best accuracy among settings with no more."""
    xs = [setting.gap.value for setting in front] + [ax.get_xlim()[1]]
    ys = [setting.accuracy.value for setting in front]
    ax.plot(xs, [*ys, ys[-1]], drawstyle="steps-post", color=TWIN, linewidth=STEP, alpha=0.6, zorder=1.5)


def _mark(ax: Axes, series: Series, setting: FrontSetting) -> None:
    """The mark with its bars; where there are several seeds, a dot for each."""
    x, y = setting.gap, setting.accuracy
    bar = {"color": series.colour, "linewidth": 0.9, "alpha": 0.9 if setting.on_front else 0.5, "zorder": 2}
    ax.plot(_ends(x), [y.value] * 2, marker="|", markersize=4, markeredgewidth=0.9, **bar)  # type: ignore[arg-type]
    ax.plot([x.value] * 2, _ends(y), marker="_", markersize=4, markeredgewidth=0.9, **bar)  # type: ignore[arg-type]
    if len(setting.points) > 1:
        ax.plot(
            [point.gap.value for point in setting.points],
            [point.accuracy.value for point in setting.points],
            color=series.colour,
            marker=series.marker,
            markersize=2.6,
            markeredgewidth=0,
            linestyle="none",
            alpha=0.7,
            zorder=2.5,
        )
    ax.plot(
        [x.value],
        [y.value],
        marker=series.marker,
        markersize=_size(series.marker),
        color=series.colour,
        markerfacecolor=series.colour if setting.on_front else PAPER,
        markeredgewidth=1.3,
        linestyle="none",
        zorder=3.2 if setting.on_front else 3,
    )


def _size(marker: str) -> float:
    """Marks of about one area."""
    return {"s": 5.6, "D": 5.2, "*": 8.6}.get(marker, 6.4)


def _names(series: Mapping[str, Series]) -> list[str]:
    """What the legend says of each objective, and last of the line."""
    drawn = list(series.items())[:DRAWN]
    by = [f" (by {', '.join(map(rate_name, one.options))})" if one.options else "" for _, one in drawn]
    rest = len(series) - len(drawn)
    return [
        *(_short(rate_name(objective) + options) for (objective, _), options in zip(drawn, by, strict=True)),
        f"front; {rest} more objectives are not listed" if rest else "front",
    ]


def _short(name: str) -> str:
    """No wider than the legend may be; East Asian letters are twice as wide as others."""
    name = clip(name, LONGEST)
    while columns(name) > LONGEST:
        name = f"{name.rstrip('…')[:-1]}…"
    return name


def _columns(series: Mapping[str, Series]) -> int:
    """Of the legend; a long name must not press the axes together."""
    return 2 if max(map(columns, _names(series))) <= HALF else 1


def _legend(ax: Axes, series: Mapping[str, Series]) -> None:
    from matplotlib.lines import Line2D

    *names, last = _names(series)
    handles = []
    for name, one in zip(names, series.values(), strict=False):
        style = {"marker": one.marker, "markersize": _size(one.marker), "color": one.colour, "linestyle": "none"}
        handles.append(Line2D([], [], label=name, **style))  # type: ignore[arg-type]
    handles.append(Line2D([], [], color=TWIN, linewidth=STEP, alpha=0.6, label=last))
    legend = ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=_columns(series),
        frameon=False,
        fontsize=9,
        handletextpad=0.5,
        columnspacing=1.5,
        borderaxespad=0.2,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _labels(ax: Axes, front: Front, series: Mapping[str, Series]) -> None:
    """Those on the front first: they have the first choice of place."""
    labels, bars, dots = [], [], []
    for one in series.values():
        for setting in one.settings:
            x, y = setting.gap, setting.accuracy
            words = ", ".join(tables.exactly(setting.setting[o]) for o in one.options if o in setting.setting)
            labels.append((not setting.on_front, Label(clip(words, 18) if words else "", x.value, y.value)))
            bars += [((low, y.value), (high, y.value)) for low, high in (_ends(x),)]
            bars += [((x.value, low), (x.value, high)) for low, high in (_ends(y),)]
            if len(setting.points) > 1:
                dots += [(point.gap.value, point.accuracy.value) for point in setting.points]
    steps = [(setting.gap.value, setting.accuracy.value) for setting in front.front]
    steps.append((ax.get_xlim()[1], steps[-1][1]))
    for (x0, y0), (x1, y1) in pairwise(steps):
        bars += [((x0, y0), (x1, y0)), ((x1, y0), (x1, y1))]
    place(ax, [label for _, label in sorted(labels, key=lambda pair: pair[0])], bars, dots)
