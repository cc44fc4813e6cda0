"""The study's figures: means over seeds with their intervals, the authors' own points beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from fairheads.results import _paper_tables as tables
from fairheads.results._front_labels import Label, place
from fairheads.results._style import BAND, PALETTE, PAPER, SOFT, TWIN, bare, house_style, new_figure, spread
from fairheads.results.number import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.paper import PaperPoint, PaperReport

LOOK = {
    "unconstrained": (TWIN, "o"),
    "squared": (PALETTE[0], "o"),
    "absolute": (PALETTE[5], "s"),
    "massaging": (PALETTE[2], "D"),
    "merge": (PALETTE[1], "^"),
    "thresholds": (PALETTE[3], "v"),
}
"""Colour and marker of every method, the same in all figures."""

KEPT = 0.92
"""Least share of the twins' ranking within groups with which a verdict calls it kept."""

WIDTH, HEIGHT, BELOW = 5.2, 3.9, 1.5
SHIFT = 0.09
"""Between two series at one weight, in places of the axis."""


def draw(report: PaperReport, of: str, ax: Axes | None = None) -> Axes:
    """The figure of this name; into ``ax``, or a figure of its own, where the authors' points stand below ours."""
    if ax is not None:
        return _drawn(report, of, ax)
    with house_style():
        if of not in _BESIDE:
            return _drawn(report, of, new_figure(HEIGHT, WIDTH).add_subplot())
        figure = new_figure(HEIGHT + BELOW, WIDTH)
        grid = figure.add_gridspec(2, 1, height_ratios=(HEIGHT - 0.9, BELOW))
        own = figure.add_subplot(grid[0])
        _published(figure.add_subplot(grid[1], sharex=own), *_BESIDE[of])
        own.tick_params(labelbottom=False)
        _drawn(report, of, own).set_xlabel("")
        return own


def _drawn(report: PaperReport, of: str, ax: Axes) -> Axes:
    FIGURES[of](report, ax)
    _framed(ax)
    return ax


def _framed(ax: Axes) -> None:
    ax.grid(color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "left", "bottom")


def caption(report: PaperReport, of: str) -> str:
    """What is drawn, in words; the figure's data are in the tables."""
    left_out: dict[str, list[str]] = {}
    for point in report.points:
        if of in _BESIDE and _known(point, "selection_rate") and _decides_all_alike(point):
            left_out.setdefault(tables.METHODS[point.method], []).append(tables.where(point))
    named = "; ".join(f"{method}, {', '.join(places)}" for method, places in left_out.items())
    said = f" Left out, for they decide everybody alike: {named}." if named else ""
    return _CAPTIONS[of].format(seeds=report.setting["seeds"], kept=KEPT) + said


def says(report: PaperReport, of: str) -> str:
    """The figure for who cannot see it."""
    return f"{tables.title(report)} {caption(report, of)}"


_CAPTIONS = {
    "accuracy": "Accuracy against the difference in selection rates; mean and 95 % interval of {seeds} seeds, lines"
    " join the weights of a penalty or the gaps of merges. Below: the authors' own points (CelebA, one run).",
    "probe": "Held-out AUC with which the group is read from the last layer, against the difference in selection rates;"
    " mean and 95 % interval of {seeds} seeds. Below: the authors' own points (CelebA, one run).",
    "treatment": "What the inferred group does at the last layer, in standard deviations of the logit; above 0 it"
    " raises the group with fewer favourable labels. Mean and 95 % interval of {seeds} seeds.",
    "erasure": "What erasing the group from the last layer, given merit, gives back of the difference in selection"
    " rates. Mean and 95 % interval of {seeds} seeds.",
    "agreement": "Share of decisions that the best merge of the two-headed network shares with the penalised one,"
    " beside what an offset alone and other seeds have. Mean and 95 % interval of {seeds} seeds.",
    "recovery": "Accuracy of the penalised network (squared), of the same with its group head taken out, and of the"
    " unconstrained one. Mean and 95 % interval of {seeds} seeds.",
    "retention": "How much of the twins' ranking within groups the networks keep; below {kept:g} it counts as lost."
    " Mean and 95 % interval of {seeds} seeds.",
}


# ---------------------------------------------------------------- against the gap


def _accuracy(report: PaperReport, ax: Axes) -> None:
    _against_gap(report, ax, "accuracy", ("squared", "absolute", "massaging", "merge", "thresholds"))
    ax.set_ylabel("accuracy (share of rows)")


def _probe(report: PaperReport, ax: Axes) -> None:
    _against_gap(report, ax, "probe_auc", ("squared", "absolute", "massaging"))
    ax.set_ylabel("AUC of the group probe (0 to 1)")


def _against_gap(report: PaperReport, ax: Axes, measure: str, methods: Sequence[str]) -> None:
    labels, segments, dots = [], [], []
    methods = [method for method in methods if method in _methods(report)]
    for method in methods:
        points = [p for p in report.of(method) if _known(p, measure) and not _decides_all_alike(p)]
        colour, marker = LOOK[method]
        at = [(p.values["gap"].value, p.values[measure].value) for p in points]
        if len(points) > 1:
            ax.plot(*zip(*at, strict=True), color=colour, linewidth=1.2, alpha=0.7, zorder=2)
            segments += list(pairwise(at))
        for point, (x, y) in zip(points, at, strict=True):
            own = LOOK["unconstrained"] if point.method == "unconstrained" else (colour, marker)
            _bars(ax, x, y, point.values["gap"], point.values[measure], own[0])
            ax.plot([x], [y], marker=own[1], color=own[0], markersize=5.5, linestyle="none", zorder=4)
            labels.append(Label(f"{point.weight:g}" if method == "squared" and point.weight else "", x, y))
            dots.append((x, y))
    for method in ("unconstrained", *methods):
        colour, marker = LOOK[method]
        ax.plot([], [], color=colour, marker=marker, linewidth=1.2, markersize=5, label=tables.METHODS[method])
    ax.set_xlabel("difference in selection rates (share of rows)")
    ax.set_xlim(left=-0.006)
    ax.locator_params(nbins=6)
    _legend(ax, 2)
    place(ax, labels, segments, dots)


_BESIDE = {
    "accuracy": ("accuracy", ("squared", "merge", "thresholds"), "accuracy (share)"),
    "probe": ("probe_auc", ("squared",), "AUC (0 to 1)"),
}
"""Figures that the authors have points for: the measure, the methods and the name of the axis."""


def _published(ax: Axes, measure: str, methods: Sequence[str], name: str) -> None:
    """The authors' points, hollow, with the weights of the penalty."""
    for method in methods:
        shown = [p for p in tables.PUBLISHED if p.method == method]
        colour, marker = LOOK[method]
        for point in shown:
            value = getattr(point, measure)
            own = LOOK["unconstrained"] if method == "squared" and not point.weight else (colour, marker)
            ax.plot([point.gap], [value], marker=own[1], color=own[0], markerfacecolor=PAPER, markersize=5, zorder=3)
    weights = [p for p in tables.PUBLISHED if p.method == "squared"]
    ax.set_title(tables.PUBLISHED_AS, fontsize=8.5, fontweight="normal", color=SOFT)
    ax.set_ylabel(name)
    ax.set_xlabel("difference in selection rates (share of rows)")
    ax.locator_params(axis="y", nbins=4)
    ax.margins(y=0.2)
    _framed(ax)
    place(ax, [Label(f"{p.weight:g}" if p.weight else "", p.gap, getattr(p, measure)) for p in weights], [], [])


# ---------------------------------------------------------------- against the weight


def _treatment(report: PaperReport, ax: Axes) -> None:
    lines = (("equal_merit", "-", "at equal merit"), ("swap", "--", "group swap"))
    _against_weight(report, ax, [(method, *line) for method in _penalties(report) for line in lines])
    ax.axhline(0, color=SOFT, linewidth=0.8)
    ax.set_ylabel("effect of the group (sd of the logit)")


def _erasure(report: PaperReport, ax: Axes) -> None:
    _against_weight(report, ax, [(method, "erasure", "-", "") for method in _penalties(report)])
    ax.axhline(0, color=SOFT, linewidth=0.8)
    ax.set_ylabel("change of the gap (share of rows)")


def _agreement(report: PaperReport, ax: Axes) -> None:
    lines = (("agreement", "-", "best merge"), ("floor", ":", "offset alone"), ("ceiling", "--", "other seeds"))
    _against_weight(report, ax, [("squared", *line) for line in lines])
    ax.set_ylabel("decisions alike (share of rows)")


def _recovery(report: PaperReport, ax: Axes) -> None:
    lines = (("accuracy", "-", "as trained"), ("recovered_accuracy", "--", "group head taken out"))
    _against_weight(report, ax, [("squared", *line) for line in lines])
    free = report.of("unconstrained")
    if free and _known(free[0], "accuracy"):
        number = free[0].values["accuracy"]
        ax.axhline(number.value, color=TWIN, linewidth=1.2, label="unconstrained")
        if number.low is not None and number.high is not None:
            ax.axhspan(number.low, number.high, color=BAND, zorder=0)
        _legend(ax, 2)
    ax.set_ylabel("accuracy (share of rows)")


def _retention(report: PaperReport, ax: Axes) -> None:
    _against_weight(report, ax, [(method, "retention", "-", "") for method in _penalties(report)])
    ax.axhline(KEPT, color=SOFT, linewidth=0.8, linestyle=":", label=f"counts as lost below {KEPT:g}")
    _legend(ax, 3)
    ax.set_ylabel("ranking within groups (share of the twins')")


def _against_weight(report: PaperReport, ax: Axes, series: Sequence[tuple[str, str, str, str]]) -> None:
    """Lines of (method, measure, style, words) over the weights, which stand at even distances."""
    weights = sorted({p.weight for method, of, *_ in series for p in report.of(method) if _known(p, of)})
    seen: list[float] = []
    for i, (method, measure, style, words) in enumerate(series):
        colour, marker = LOOK[method]
        points = [p for p in report.of(method) if _known(p, measure)]
        shift = SHIFT * (i - (len(series) - 1) / 2)
        xs = [weights.index(p.weight) + shift for p in points]
        ys = [p.values[measure].value for p in points]
        name = method if not words or len({m for m, *_ in series}) > 1 else ""
        label = ", ".join(filter(None, (words, name)))
        several = len({m for _, m, *_ in series}) > 1
        ax.plot(
            xs, ys, color=colour, linestyle=style, linewidth=1.4, marker=marker, markersize=5,
            markerfacecolor=colour if style == "-" or not several else PAPER, label=label, zorder=3,
        )  # fmt: skip
        for x, y, point in zip(xs, ys, points, strict=True):
            _bars(ax, x, y, None, point.values[measure], colour)
            seen += [y, *(b for b in (point.values[measure].low, point.values[measure].high) if b is not None)]
    ax.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    ax.set_xlabel("weight of the penalty on demographic parity")
    if seen:
        ax.set_ylim(*spread(seen))
    ax.locator_params(axis="y", nbins=6)
    _legend(ax, 2)


# ---------------------------------------------------------------- marks


def _methods(report: PaperReport) -> set[str]:
    """Those that the study trained."""
    return {point.method for point in report.points}


def _penalties(report: PaperReport) -> list[str]:
    """Those that the study trained; a penalty's points hold the unconstrained one, so that none is never empty."""
    return [method for method in ("squared", "absolute") if method in _methods(report)] or ["squared"]


def _known(point: PaperPoint, measure: str) -> bool:
    number = point.values.get(measure)
    return number is not None and not math.isnan(number.value)


def _decides_all_alike(point: PaperPoint) -> bool:
    """Whether every seed selects nobody, or everybody."""
    rate = point.values.get("selection_rate")
    return rate is None or rate.value in (0.0, 1.0) or math.isnan(rate.value)


def _bars(ax: Axes, x: float, y: float, across: Number | None, up: Number, colour: str) -> None:
    style = {"color": colour, "linewidth": 0.9, "alpha": 0.8, "zorder": 2.5}
    if across is not None and across.low is not None and across.high is not None:
        ax.plot([across.low, across.high], [y, y], **style)  # type: ignore[arg-type]
    if up.low is not None and up.high is not None:
        ax.plot([x, x], [up.low, up.high], **style)  # type: ignore[arg-type]


def _legend(ax: Axes, columns: int) -> None:
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, fontsize=8.5, handlelength=2.2,
        columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip


FIGURES: dict[str, Callable[[PaperReport, Axes], None]] = {
    "accuracy": _accuracy,
    "probe": _probe,
    "treatment": _treatment,
    "erasure": _erasure,
    "agreement": _agreement,
    "recovery": _recovery,
    "retention": _retention,
}
"""Figures by name."""
