"""Short labels beside points, none over another label or a point."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairheads.results._style import INK, PAPER, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT = 8.5
MARK = 4.2
"""Half the side of the square that a mark fills, in points (1/72 inch)."""

GAP = 2.0
"""Least distance between a label and what must not be under it, in points."""

RADII = (5.5, 9.0, 14.0, 20.0, 28.0)
"""How far from its mark a label may stand, in points; farther than `LEAD`, or where another mark is as
near, a thin line leads to it."""

LEAD = 14.0
ANGLES = 16

Box = tuple[float, float, float, float]
Segment = tuple[tuple[float, float], tuple[float, float]]


class Label(NamedTuple):
    """A text at a point, in data coordinates; an empty text only keeps others away."""

    text: str
    x: float
    y: float


def place(ax: Axes, labels: Sequence[Label], segments: Sequence[Segment], dots: Sequence[tuple[float, float]]) -> int:
    """Write each label where it hides nothing that matters, the first ones first; how many found no place.

    Labels and marks never overlap and labels stay inside the axes; of the places left the nearest that crosses the
    fewest ``segments`` and ``dots`` (all in data coordinates) is taken.
    """
    from matplotlib.patheffects import withStroke

    figure = ax.figure.canvas.figure
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever draws the figure hears of letters that the font lacks
        figure.draw_without_rendering()  # the layout decides where the axes lie
    unit = figure.dpi / 72

    def points(data: object) -> NDArray[np.float64]:
        return np.asarray(ax.transData.transform(np.array(data, dtype=np.float64).reshape(-1, 2)) / unit)

    at = points([(label.x, label.y) for label in labels])
    marks = [_square(x, y, MARK + GAP) for x, y in at]
    small = [_square(x, y, 1.5) for x, y in points(dots)]
    lines = points(segments).reshape(-1, 2, 2)
    frame = ax.get_window_extent()
    inside = (frame.x0 / unit, frame.y0 / unit, frame.x1 / unit, frame.y1 / unit)
    taken: list[Box] = []
    without = 0
    for i, label in enumerate(labels):
        if not label.text:
            continue
        text = ax.annotate(
            label.text,
            (label.x, label.y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            color=INK,
            fontsize=FONT,
            parse_math=False,
            zorder=4,
            path_effects=[withStroke(linewidth=2.0, foreground=PAPER)],
        )
        text.set_in_layout(False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            extent = text.get_window_extent()
        half = (extent.width / unit / 2, extent.height / unit / 2)
        found = _best((at[i, 0], at[i, 1]), half, [*marks[:i], *marks[i + 1 :]], taken, inside, lines, small)
        if found is None:
            text.remove()
            without += 1
            continue
        dx, dy, box, lead = found
        text.set_position((dx, dy))
        taken.append(box)
        if lead:
            _lead(ax, label, (dx, dy), half)
    return without


def _square(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half


def _best(
    at: tuple[float, float],
    half: tuple[float, float],
    marks: Sequence[Box],
    taken: Sequence[Box],
    inside: Box,
    lines: NDArray[np.float64],
    dots: Sequence[Box],
) -> tuple[float, float, Box, bool] | None:
    """Offset and box of the cheapest place, if any is free, and whether it needs a line to its mark."""
    best: tuple[float, float, Box, bool] | None = None
    least = math.inf
    for radius in RADII:
        for k in range(ANGLES):
            angle = 2 * math.pi * (k + 1) / ANGLES
            # The nearest edge of the label, not its middle, keeps the distance.
            dx = math.cos(angle) * (radius + half[0])
            dy = math.sin(angle) * (radius + half[1] - 1.0)
            box = (at[0] + dx - half[0], at[1] + dy - half[1], at[0] + dx + half[0], at[1] + dy + half[1])
            wide = (box[0] - GAP, box[1], box[2] + GAP, box[3])
            if not (inside[0] <= box[0] and box[2] <= inside[2] and inside[1] <= box[1] and box[3] <= inside[3]):
                continue
            if any(_overlap(wide, other) for other in (*marks, *taken)):
                continue
            cost = 0.12 * radius + 0.8 * _crossed(box, lines) + 0.25 * sum(_overlap(box, dot) for dot in dots)
            cost += 0.01 * k  # of equal places always the same one
            lead = radius >= LEAD or _nearer(box, marks, at)
            cost += 1.5 * lead
            if cost < least:
                least, best = cost, (dx, dy, box, lead)
    return best


def _nearer(box: Box, marks: Sequence[Box], at: tuple[float, float]) -> bool:
    """Whether a reader could take the label for that of another mark, which is not much farther from it."""
    own = _distance(box, at) + MARK
    return any(_distance(box, ((mark[0] + mark[2]) / 2, (mark[1] + mark[3]) / 2)) < own for mark in marks)


def _distance(box: Box, point: tuple[float, float]) -> float:
    across = max(box[0] - point[0], point[0] - box[2], 0.0)
    return math.hypot(across, max(box[1] - point[1], point[1] - box[3], 0.0))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _crossed(box: Box, ends: NDArray[np.float64]) -> int:
    """How many of the lines, each level or upright, run through the box."""
    if not len(ends):
        return 0
    low, high = ends.min(axis=1), ends.max(axis=1)
    through = (low[:, 0] < box[2]) & (high[:, 0] > box[0]) & (low[:, 1] < box[3]) & (high[:, 1] > box[1])
    return int(through.sum())


def _lead(ax: Axes, label: Label, offset: tuple[float, float], half: tuple[float, float]) -> None:
    """A thin line from the mark to the edge of its label."""
    dx, dy = offset
    share = min(half[0] / abs(dx) if dx else math.inf, half[1] / abs(dy) if dy else math.inf)
    line = ax.annotate(
        "",
        (label.x, label.y),
        xytext=(dx * (1 - share), dy * (1 - share)),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": MARK},
        zorder=2.8,
    )
    line.set_in_layout(False)
