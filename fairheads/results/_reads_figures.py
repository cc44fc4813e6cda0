"""Figures of what the head reads: bars for columns, maps for images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from fairheads.errors import InputError
from fairheads.results._reads_text import share
from fairheads.results._style import BAND, INK, PALETTE, SOFT, bare, house_style, html_figure, new_figure, spread
from fairheads.results._words import amount, clip, clip_middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.reads import HeadReading, ReadColumn

Readout = Literal["head", "task"]

TITLE: dict[Readout, str] = {"head": "Group head", "task": "Task readout"}
COLOUR: dict[Readout, str] = {"head": PALETTE[1], "task": PALETTE[0]}
WIDTH = 5.6

ROOM = 0.3
"""For the shares, left and right of the bars."""


@house_style()
def plot_bars(reading: HeadReading, ax: Axes | None = None) -> Axes:
    """Both readouts side by side, or the head in ``ax``."""
    if ax is not None:
        _draw(ax, reading, "head")
        return ax
    figure = new_figure(1.25 + 0.34 * max(3, len(reading.bars)), WIDTH)
    first: Axes = figure.add_subplot(1, 2, 1)
    second = figure.add_subplot(1, 2, 2, sharey=first, sharex=first)
    _draw(first, reading, "head")
    _draw(second, reading, "task")
    second.tick_params(axis="y", labelleft=False)
    figure.supxlabel(_axis(reading), fontsize=9.5, x=0.99, ha="right")
    return first


def _axis(reading: HeadReading) -> str:
    return f"{clip(reading.group, 24)} minus {clip(reading.reference, 24)}, sd of the readout"


def _draw(ax: Axes, reading: HeadReading, readout: Readout) -> None:
    ax.set_title(TITLE[readout], parse_math=False)
    bars = reading.bars
    rest = len(bars) - 1 if reading.rest is not None else None
    for place, column in enumerate(bars):
        part = column.head if readout == "head" else column.task
        number = part.contrast
        if math.isnan(number.value):
            ax.annotate("not estimable", (0, -place), ha="center", va="center", color=SOFT, fontsize=8.5)
            continue
        ax.barh(-place, number.value, height=0.62, color=COLOUR[readout], alpha=0.45 if place == rest else 0.9)
        if number.low is not None and number.high is not None:
            ax.plot([number.low, number.high], [-place, -place], color=INK, linewidth=1.2)
        reach = [v for v in (number.value, number.low, number.high) if v is not None]
        left = number.value < 0
        ax.annotate(
            share(part.share),
            (min(reach) if left else max(reach), -place),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            color=SOFT,
            fontsize=8.5,
        )
    ax.set_yticks([-place for place in range(len(bars))], [_label(column) for column in bars], parse_math=False)
    ax.set_ylim(0.6 - len(bars), 0.6)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_xlim(*spread(_reach(reading), ROOM))
    ax.locator_params(axis="x", nbins=5)
    ax.grid(color=BAND, linewidth=0.8, axis="x")
    ax.set_axisbelow(True)
    bare(ax, "bottom")
    ax.tick_params(axis="y", length=0)


def _reach(reading: HeadReading) -> list[float]:
    """Everything that is drawn in either panel, and 0."""
    numbers = [part.contrast for column in reading.bars for part in (column.head, column.task)]
    return [0.0, *(v for n in numbers for v in (n.value, n.low, n.high) if v is not None)]


def _label(column: ReadColumn) -> str:
    """The name, and the value that adds most to the head's contrast."""
    if not column.values:
        return clip(column.name, 22)
    return f"{clip(column.name, 16)} ({clip(column.values[0].value, 12)})"


def bars_figure(reading: HeadReading) -> str:
    """The bars with their caption in HTML."""
    ax = plot_bars(reading)
    says = "; ".join(
        f"{clip(c.name, 40)}: group head {amount(c.head.contrast.value)}, task {amount(c.task.contrast.value)}"
        for c in reading.bars
    )
    caption = (
        "What separates the groups in the layer's internal estimate of the group, and in its readout of the label. "
        "Percentages are shares of all columns, lines are intervals over people"
    )
    values = any(column.values for column in reading.bars)
    caption += "; in brackets the value that adds most to the group head." if values else "."
    where = f"At {clip_middle(reading.layer, 60)}, {_axis(reading)}"
    return html_figure(ax, f"{where}. {says}.", caption)


@house_style()
def plot_maps(reading: HeadReading) -> Axes:
    """Two rows (head, task) of group, reference and their difference; one scale a row for the means, one for both."""
    if not reading.maps:
        raise InputError("there are maps of images only; this reading is of " + f"{reading.kind}.")
    figure = new_figure(4.3, WIDTH)
    axes = figure.subplots(2, 3)
    readouts: tuple[Readout, Readout] = ("head", "task")
    for row, readout in enumerate(readouts):
        group, reference = (
            next(m.values for m in reading.maps if (m.readout, m.group) == (readout, name))
            for name in (reading.group, reading.reference)
        )
        difference = [[g - r for g, r in zip(*lines, strict=True)] for lines in zip(group, reference, strict=True)]
        shown = (group, reference, difference)
        top = max((abs(v) for each in shown for line in each for v in line if v == v), default=0.0) or 1.0
        names = (clip(reading.group, 16), clip(reading.reference, 16), "difference")
        for ax, values, name in zip(axes[row], shown, names, strict=True):
            image = ax.imshow(values, cmap="PuOr_r", vmin=-top, vmax=top)
            ax.set_title(f"{TITLE[readout]}: {name}" if name == names[0] else name, fontsize=9, parse_math=False)
            ax.set_xticks([])
            ax.set_yticks([])
        bar = figure.colorbar(image, ax=axes[row].tolist(), shrink=0.85, label="sd of the readout")
        bar.ax.locator_params(axis="y", nbins=4)
    first: Axes = axes[0, 0]
    return first


def maps_figure(reading: HeadReading) -> str:
    """The maps with their caption in HTML."""
    ax = plot_maps(reading)
    caption = (
        "Where in the image each readout looks: mean over the people of a group, summed over channels. Orange adds to "
        "the readout, purple takes from it."
    )
    return html_figure(ax, f"Mean maps of {clip(reading.group, 40)} and {clip(reading.reference, 40)}.", caption)
