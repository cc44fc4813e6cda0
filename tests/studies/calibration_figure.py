"""The calibration study as a figure: what is said of every class, and what finding a head depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

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
KINDS = {"table": "tables", "image": "images", "tokens": "texts"}

WIDTH = 8.3
"""Of the figure in inches: README shows it at some 100 pixels an inch."""

SMALL = 8
"""Size of type, in points."""

FEWEST = 5
"""Data sets from which on a point of a line is drawn."""

LINES = {"unconstrained": "#888888", "half a merge": "#d98c5f", "merged_head": "#1f5f99", "parity_penalty": "#2e8b7a"}

Table = dict[str, Any]


def draw(result: Table, file: Path) -> None:
    """Write the figure of the tables, as many panels as there are results for; none where no kind of data was run."""
    kinds = [kind for kind in KINDS if kind in result]
    if not kinds:
        return
    enough = {name: bench for name, bench in result.items() if name != "alpha" and bench["data sets"] >= FEWEST}
    lines = [
        ("audited rows", {float(name.split()[0]): enough[name] for name in enough if name.endswith(" rows")}),
        ("strength of proxies (sd)", {float(name.split()[1]): enough[name] for name in enough if "proxy " in name}),
        ("gap in merit (sd)", {float(name.split()[1]): enough[name] for name in enough if name.startswith("gap ")}),
    ]
    if "table" in result:
        lines[0][1][6000.0] = lines[1][1][1.0] = lines[2][1][0.6] = result["table"]
    panels = [(title, points) for title, points in lines if len(points) > 2]
    figure = Figure(figsize=(WIDTH, 7.4 + 3.2 * bool(panels)), layout="constrained")
    rows = figure.subfigures(1 + bool(panels), 1, height_ratios=[7.4] + [3.2] * bool(panels), squeeze=False)[:, 0]
    classes = classes_of([result[kind]["classes"] for kind in kinds])
    for i, (kind, axes) in enumerate(zip(kinds, rows[0].subplots(1, len(kinds), squeeze=False)[0], strict=True)):
        _verdicts(axes, kind, result[kind], classes, named=i == 0)
    handles = [Patch(color=colour) for colour in COLOURS.values()]
    names = [word.replace("_", " ") for word in COLOURS]
    rows[0].legend(handles, names, fontsize=SMALL, loc="outside lower center", ncols=3, frameon=False)
    if panels:
        below = rows[1].subplots(1, len(panels), squeeze=False)[0]
        for (title, points), axes in zip(panels, below, strict=True):
            _power(axes, title, points)
        rows[1].legend(*below[0].get_legend_handles_labels(), fontsize=SMALL, loc="outside upper center", ncols=4)
    figure.savefig(file, dpi=200)


def classes_of(tables: list[Table]) -> dict[str, str]:
    """The classes that any kind of data has, with what is true of them, which orders them."""
    found = {name: row["truth"] for table in tables for name, row in table.items()}
    return dict(sorted(found.items(), key=lambda item: TRUTHS.index(item[1])))


def _verdicts(axes: Axes, kind: str, bench: Table, classes: dict[str, str], *, named: bool) -> None:
    for y, name in enumerate(classes):
        row, left = bench["classes"].get(name, {"n": 0, "verdicts": {}}), 0.0
        for word, colour in COLOURS.items():
            width = row["verdicts"].get(word, 0) / max(row["n"], 1)
            axes.barh(y, width, left=left, color=colour, height=0.8)
            left += width
        axes.text(1.02, y, f"{row['n'] or 'not run'}", va="center", fontsize=SMALL - 1, color="#555555")
    labels = [name.replace("_", " ") + f" ({truth})" * (truth not in name) for name, truth in classes.items()]
    axes.set_yticks(range(len(classes)), labels if named else [""] * len(classes))
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of networks; right: how many", fontsize=SMALL)
    axes.set_title(f"{KINDS[kind]}: {bench['data sets']} data sets,\n{bench['twins']} twins", fontsize=SMALL + 1)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def _power(axes: Axes, title: str, points: dict[float, Table]) -> None:
    for i, (name, colour) in enumerate(LINES.items()):
        found = [(x, bench["classes"][name]["compensating head"]) for x, bench in sorted(points.items())]
        y = [row["share"] for _, row in found]
        errors = [[row["share"] - row["low"] for _, row in found], [row["high"] - row["share"] for _, row in found]]
        x = [at * 1.03 ** (i - 1.5) for at, _ in found]  # apart, where several are all or none
        axes.errorbar(x, y, errors, fmt="o-", color=colour, label=name.replace("_", " "), ms=4, lw=1.2, capsize=2)
    if max(points) > 100:
        axes.set_xscale("log")
        axes.set_xticks(sorted(points), [f"{at:,.0f}" for at in sorted(points)])
        axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(title, fontsize=SMALL)
    axes.set_ylabel("share found to have a head", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
