"""The calibration study as a figure: what is said of every class, and what finding a head depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {
    "neutral": "#b8c4cf",
    "not_testable": "#e4e4e4",
    "inconclusive": "#d0d0d0",
    "aligned_use": "#9e7bb5",
    "suppression": "#e3b04b",
    "head_or_suppression": "#d98c5f",
    "consistent_with_compensating_head": "#7aa6c9",
    "compensating_head": "#1f5f99",
}
TRUTHS = ("no head", "aligned", "suppression", "head", "routed")
LINES = {"unconstrained": "#888888", "half a merge": "#d98c5f", "merged_head": "#1f5f99", "parity_penalty": "#2e8b7a"}

Table = dict[str, Any]


def draw(result: Table, file: Path) -> None:
    """Write the figure of the tables, as many panels as there are results for; none where no kind of data was run."""
    kinds = [kind for kind in ("table", "image", "tokens") if kind in result]
    if not kinds:
        return
    lines = [
        ("audited rows", {float(name.split()[0]): result[name] for name in result if name.endswith(" rows")}),
        ("strength of proxies (sd)", {float(name.split()[1]): result[name] for name in result if "proxy " in name}),
    ]
    if "table" in result:
        lines[0][1][6000.0] = lines[1][1][1.0] = result["table"]
    panels = [(title, points) for title, points in lines if len(points) > 2]
    figure = Figure(figsize=(4.0 * len(kinds) + 3.4 * bool(panels), 8.2), layout="constrained")
    grid = figure.add_gridspec(max(len(panels), 1), len(kinds) + bool(panels))
    for i, kind in enumerate(kinds):
        _verdicts(figure.add_subplot(grid[:, i]), kind, result[kind])
    for i, (title, points) in enumerate(panels):
        _power(figure.add_subplot(grid[i, -1]), title, points)
    figure.savefig(file, dpi=120)


def _verdicts(axes: Axes, kind: str, bench: Table) -> None:
    classes = sorted(bench["classes"].items(), key=lambda item: TRUTHS.index(item[1]["truth"]))
    for y, (_, row) in enumerate(classes):
        left = 0.0
        for word, colour in COLOURS.items():
            width = row["verdicts"].get(word, 0) / row["n"]
            axes.barh(y, width, left=left, color=colour, height=0.8)
            left += width
    axes.set_yticks(range(len(classes)), [f"{name.replace('_', ' ')} ({row['truth']})" for name, row in classes])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of networks")
    axes.set_title(f"{kind}: {bench['data sets']} data sets, {bench['twins']} twins", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [axes.barh(0, 0, color=colour) for colour in COLOURS.values()]
    names = [word.replace("_", " ") for word in COLOURS]
    axes.legend(handles, names, fontsize=7, loc="upper center", bbox_to_anchor=(0.3, -0.07), ncols=2, frameon=False)


def _power(axes: Axes, title: str, points: dict[float, Table]) -> None:
    for name, colour in LINES.items():
        found = [(x, bench["classes"][name]["compensating head"]) for x, bench in sorted(points.items())]
        x = [at for at, _ in found]
        axes.plot(x, [row["share"] for _, row in found], "o-", color=colour, label=name.replace("_", " "), ms=4)
        axes.fill_between(
            x, [r["low"] for _, r in found], [r["high"] for _, r in found], color=colour, alpha=0.15, lw=0
        )
    if max(points) > 100:
        axes.set_xscale("log")
        axes.set_xticks(sorted(points), [f"{at:,.0f}" for at in sorted(points)])
        axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(title)
    axes.set_ylabel("share found to have a head")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
