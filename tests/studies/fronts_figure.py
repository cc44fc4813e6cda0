"""The picture of the study of fronts, from its means; run by itself, by `make figures`, of those in fronts.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from fairheads.results._style import BAND, INK, PALETTE, SOFT, bare, new_figure, picture

HERE = Path(__file__).parent
TITLES = {"adult": "Adult, sex", "compas": "COMPAS, race"}
GAPS = {
    "demographic_parity": "difference in selection rates (share of rows)",
    "equalized_odds": "equalized-odds difference (share of rows)",
}
PEERS = {
    "Fairlearn ExponentiatedGradient": "o",
    "Fairlearn ThresholdOptimizer": "D",
    "Fairlearn AdversarialFairness": "s",
    "The same with the paper's step": "P",
    "OxonFair": "^",
    "fairness_training": "v",
}
"""Marks of other libraries' methods; either constraint has the same."""

NAMES = {"The same with the paper's step": "the same, the paper's step"}
WITHOUT, WITH = PALETTE[0], PALETTE[1]
"""Colours of whatever decides without, or with, the recorded group."""

Row = dict[str, Any]


def front(rows: Sequence[Row], gap: str) -> list[Row]:
    """Those that no other beats in accuracy at no larger a gap, by gap."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda each: (each[gap], -each["accuracy"])):
        if not kept or row["accuracy"] > kept[-1]["accuracy"]:
            kept.append(row)
    return kept


def draw(means: Sequence[Row]) -> Axes:
    """Four panels, data by gap: our settings and their fronts, other libraries' settings as hollow marks."""
    data = list(dict.fromkeys(row["data"] for row in means))
    figure = new_figure(3.3 * len(data) + 1.0, 8.3)
    axes = figure.subplots(len(data), 2, squeeze=False)
    for line, source in zip(axes, data, strict=True):
        rows = [row for row in means if row["data"] == source]
        for ax, (gap, words) in zip(line, GAPS.items(), strict=True):
            _panel(ax, rows, gap)
            _limits(ax, rows)
            ax.set_title(TITLES.get(source, source))
            ax.set_xlabel(words)
        line[0].set_ylabel("accuracy (share of rows)")
    figure.legend(handles=_handles(), loc="outside upper center", ncols=3, frameon=False, fontsize=8.5)
    first: Axes = axes[0][0]
    return first


def _panel(ax: Axes, rows: Sequence[Row], gap: str) -> None:
    ours = [row for row in rows if row["ours"]]
    without = front([row for row in ours if not row["reads_group"]], gap)
    whole = front(ours, gap)
    right = 1.05 * max(row[gap] for row in rows)
    for line, colour, style, width in ((whole, WITH, "--", 1.4), (without, WITHOUT, "-", 1.8)):
        xs, ys = [row[gap] for row in line] + [right], [row["accuracy"] for row in line]
        ax.plot(xs, [*ys, ys[-1]], drawstyle="steps-post", color=colour, linestyle=style, linewidth=width, zorder=2)
    for row in rows:
        colour = WITH if row["reads_group"] else WITHOUT if row["ours"] else INK
        mark = {"marker": "o", "markersize": 3.2} if row["ours"] else {"marker": _mark(row), "markersize": 6.5}
        face = colour if row["ours"] else "none"
        ax.plot([row[gap]], [row["accuracy"]], color=colour, markerfacecolor=face, **mark, zorder=3)
    ax.set_xlim(-0.015 * right, right)
    ax.locator_params(nbins=6)
    ax.grid(color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "left", "bottom")


def _limits(ax: Axes, rows: Sequence[Row]) -> None:
    """The fronts of both gaps and some room; settings below are counted, with their range of accuracy."""
    ours = [row for row in rows if row["ours"] and not row["reads_group"]]
    low, high = (end(row["accuracy"] for gap in GAPS for row in front(ours, gap)) for end in (min, max))
    bottom = low - 0.35 * (high - low)
    ax.set_ylim(bottom, high + 0.1 * (high - low))
    lower = [row for row in rows if row["accuracy"] < bottom]
    if lower:
        worst, best = (end(row["accuracy"] for row in lower) for end in (min, max))
        of_ours = sum(row["ours"] for row in lower)
        told = f"below, {worst:.2f} to {best:.2f}: {of_ours} of ours, {len(lower) - of_ours} of others"
        ax.set_title(told, loc="right", fontsize=8.5, fontweight="normal", color=SOFT)


def _mark(row: Row) -> str:
    return next(mark for name, mark in PEERS.items() if row["method"].startswith(name))


def _handles() -> list[Line2D]:
    def ours(colour: str, style: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, linestyle=style, marker="o", markersize=3.2, label=label)

    peers = [
        Line2D([], [], color=INK, marker=mark, markerfacecolor="none", linestyle="none", label=NAMES.get(name, name))
        for name, mark in PEERS.items()
    ]
    reads = Line2D(
        [], [], color=WITH, marker="D", markerfacecolor="none", linestyle="none", label="orange: reads the group"
    )
    return [
        ours(WITHOUT, "-", "ours, without the group, and their front"),
        ours(WITH, "--", "ours, group an input; front of all ours"),
        reads,
        *peers,
    ]


def save(means: Sequence[Row]) -> None:
    """fronts.png, beside this file."""
    (HERE / "fronts.png").write_bytes(picture(lambda: draw(means), "png"))


if __name__ == "__main__":
    save(json.loads((HERE / "fronts.json").read_text())["settings"])
