"""Two panels: accuracy against the gap with the rules as marks, and who changes in every group."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from fairheads.results import _merge_tables as tables
from fairheads.results._style import BAND, INK, PALETTE, PAPER, SOFT, TWIN, bare, house_style, html_figure, new_figure
from fairheads.results._text import columns
from fairheads.results._words import amount, axis_name, capital, clip, count, estimate, rate_name, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.merge import GroupChange, MergeOutcome, MergePoint, MergeReport, MergeRule
    from fairheads.results.number import Number

WIDTH, HEIGHT = 5.2, 4.3
BESIDE = 4.1
"""Inches of the second panel."""

ROW = 0.42
"""Inches a group."""

SLOTS = 4
"""Groups that there is room for at least."""

NAME = 20
"""Columns of a group's name."""

LABEL = 0.5
"""Room for a label beside a bar, as a share of what the bars span."""

DRAWN = 12
"""Groups in the second panel: those of whom the largest share changes."""


class Look(NamedTuple):
    """How a rule is drawn; a hollow mark has a white middle, a large one is seen where others lie on it."""

    colour: str
    marker: str
    size: float
    hollow: bool = False


LOOKS = {
    "chosen": Look(PALETTE[0], "o", 7.5),
    "point": Look(PALETTE[0], "o", 6.5, hollow=True),
    "alone": Look(INK, "s", 6.5),
    "probability": Look(PALETTE[3], "D", 10.0, hollow=True),
    "thresholds": Look(PALETTE[1], "^", 8.5),
}
JUDGED = Look(PALETTE[0], "D", 6.0, hollow=True)
RAISED, LOWERED = PALETTE[0], PALETTE[1]


# ---------------------------------------------------------------- both


@house_style()
def plot(report: MergeReport, ax: Axes | None = None) -> Axes:
    """Accuracy against the gap; in a figure of its own with who changes beside it."""
    if ax is None:
        figure = new_figure(HEIGHT, WIDTH + BESIDE)
        ax, beside = figure.subplots(1, 2, width_ratios=(WIDTH, BESIDE))
        _changes(report, beside)
    _front(report, ax)
    return ax


@house_style()
def plot_changes(report: MergeReport, ax: Axes | None = None) -> Axes:
    """Who changes."""
    if ax is None:
        ax = new_figure(1.2 + ROW * max(len(_drawn(report)), SLOTS), WIDTH).add_subplot()
    _changes(report, ax)
    return ax


def front_figure(report: MergeReport) -> str:
    """The first panel with its caption in HTML."""
    with house_style():
        ax = new_figure(HEIGHT, WIDTH).add_subplot()
        _front(report, ax)
    caption = f"Further left is a smaller gap, further up a higher {escape(clip(rate_name(report.objective), 60))}. "
    if report.chosen.bound is not None:
        caption += "The bar of the merge ends at the upper bound of its gap, left of the line that was asked for. "
    if report.judged:
        caption += "The blue diamond is the same merge on new rows, with 95 % intervals; all else is validation rows."
    return html_figure(ax, _says(report), caption)


def changes_figure(report: MergeReport) -> str:
    """The second panel with its caption in HTML."""
    ax = plot_changes(report)
    caption = "Share of each group that the merge decides differently from the task head alone, with 95 % intervals."
    if len(report.changes) > DRAWN:
        caption += f" Drawn are the {DRAWN} groups that change most."
    told = [
        f"{clip(group, 40)}: {count(change.raised)} newly selected {estimate(change.raised_share)},"
        f" {count(change.lowered)} newly rejected {estimate(change.lowered_share)}"
        for group, change in _drawn(report)
    ]
    return html_figure(ax, "Bars of shares of groups. " + "; ".join(told) + ".", caption)


def _says(report: MergeReport) -> str:
    told = [
        f"{tables.RULES[name]}: {estimate(height(rule.validation))} at a gap of {estimate(rule.validation.gap)}"
        for name, rule in report.rules.items()
    ]
    what = f"{capital(rate_name(report.objective))} against the absolute gap in {tables.gap_rates(report)}"
    return f"{what}. {'; '.join(told)}."


# ---------------------------------------------------------------- accuracy against the gap


def _front(report: MergeReport, ax: Axes) -> None:
    known = {name: rule for name, rule in report.rules.items() if _drawable(rule.validation)}
    if report.front:
        gaps, heights = [p.gap for p in report.front], [_of_point(p) for p in report.front]
        ax.plot(gaps, heights, color=TWIN, linewidth=3.0, alpha=0.6, zorder=1.5, label="best merges found")
    ax.axvline(report.max_gap, color=SOFT, linestyle="--", linewidth=1.2, zorder=1)
    for name, rule in known.items():
        done = rule.validation
        _mark(ax, LOOKS[name], abs(done.gap.value), height(done).value, tables.RULES[name], top=name == "chosen")
    chosen = report.chosen
    if chosen.bound is not None and math.isfinite(chosen.bound) and "chosen" in known:
        ends, y = [abs(chosen.validation.gap.value), chosen.bound], height(chosen.validation).value
        ax.plot(ends, [y, y], color=PALETTE[0], linewidth=2.2, solid_capstyle="butt", zorder=3.4)
        ax.plot(ends[1:], [y], color=PALETTE[0], marker="|", markersize=10, markeredgewidth=2.2, zorder=3.4)
    if chosen.judged is not None and _drawable(chosen.judged):
        _cross(ax, chosen.judged.gap, height(chosen.judged))
        x, y = abs(chosen.judged.gap.value), height(chosen.judged).value
        _mark(ax, JUDGED, x, y, "the merge on new rows", top=True)
    _limits(report, ax, known)
    _asked(report, ax)
    ax.set_xlabel(clip(f"absolute gap in {tables.gap_rates(report)} (share)", 60), parse_math=False)
    ax.set_ylabel(clip(axis_name(report.objective), 40), parse_math=False)
    ax.locator_params(nbins=6)
    ax.grid(color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "left", "bottom")
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=2,
        frameon=False,
        fontsize=9,
        markerscale=0.85,
        handletextpad=0.5,
        columnspacing=1.4,
        borderaxespad=0.2,
        labelcolor=INK,
    )


def height(outcome: MergeOutcome) -> Number:
    """What was maximised."""
    return outcome.accuracy if outcome.objective is None else outcome.objective


def _of_point(point: MergePoint) -> float:
    return point.accuracy if point.objective is None else point.objective


def _number(number: Number) -> bool:
    return math.isfinite(number.value)


def _drawable(outcome: MergeOutcome) -> bool:
    return _number(outcome.gap) and _number(height(outcome))


def _mark(ax: Axes, look: Look, x: float, y: float, label: str, *, top: bool) -> None:
    ax.plot(
        [x],
        [y],
        marker=look.marker,
        markersize=look.size,
        color=look.colour,
        markerfacecolor=PAPER if look.hollow else look.colour,
        markeredgewidth=1.5,
        linestyle="none",
        zorder=3.6 if top else 3.2 - look.size / 100,
        label=label,
        clip_on=False,
    )


def _cross(ax: Axes, gap: Number, accuracy: Number) -> None:
    """Thin bars of two intervals; a signed one that holds 0 begins at 0."""
    x, y = abs(gap.value), accuracy.value
    bar = {"color": PALETTE[0], "linewidth": 1.0, "alpha": 0.8, "zorder": 2.5}
    ax.plot(tables.absolute(gap), [y, y], **bar)  # type: ignore[arg-type]
    ax.plot([x, x], _ends(accuracy), **bar)  # type: ignore[arg-type]


def _ends(number: Number) -> tuple[float, float]:
    low = number.value if number.low is None else number.low
    return low, number.value if number.high is None else number.high


def _limits(report: MergeReport, ax: Axes, known: dict[str, MergeRule]) -> None:
    """Around all marks and the bars; of the front only what lies beside them."""
    xs = [abs(rule.validation.gap.value) for rule in known.values()] + [report.max_gap]
    ys = [height(rule.validation).value for rule in known.values()]
    chosen = report.chosen
    xs += [chosen.bound] if chosen.bound is not None and math.isfinite(chosen.bound) else []
    if chosen.judged is not None and _drawable(chosen.judged):
        xs += tables.absolute(chosen.judged.gap)
        ys += _ends(height(chosen.judged))
    if not ys:
        return
    beside = [_of_point(point) for point in report.front if point.gap <= 1.05 * max(xs)]
    ys += [value for value in beside if value >= min(ys) - (max(ys) - min(ys))]
    room = max(max(ys) - min(ys), 0.01)
    ax.set_xlim(0.0, 1.06 * max(*xs, 0.01))
    ax.set_ylim(min(ys) - 0.08 * room, max(ys) + 0.08 * room)


def _asked(report: MergeReport, ax: Axes) -> None:
    """What the upright line is, at its lower end."""
    left = report.max_gap > 0.6 * ax.get_xlim()[1]
    words = f"asked for: {report.max_gap:g}"
    words += "" if report.confidence is None else f",\n{100 * report.confidence:g} % confidence"
    ax.annotate(
        words,
        (report.max_gap, 0.02),
        (-5 if left else 5, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        color=SOFT,
        fontsize=8.5,
        parse_math=False,
    )


# ---------------------------------------------------------------- who changes


def _drawn(report: MergeReport) -> list[tuple[str, GroupChange]]:
    """The groups that are drawn, in their order."""
    most = sorted(report.changes.values(), key=lambda change: -_share(change))[:DRAWN]
    kept = [(group, change) for group, change in report.changes.items() if change in most]
    return kept[:DRAWN]


def _short(name: str) -> str:
    """Of at most `NAME` columns; East Asian letters are twice as wide as others."""
    length = NAME
    while columns(clip(name, length)) > NAME:
        length -= 1
    return clip(name, length)


def _share(change: GroupChange) -> float:
    return (change.raised + change.lowered) / max(change.n, 1)


def _changes(report: MergeReport, ax: Axes) -> None:
    """To the right the newly selected, to the left the newly rejected, one row a group."""
    drawn = _drawn(report)
    ends = [-0.002, 0.002]
    for at, (_, change) in enumerate(drawn):
        for turn, colour, number, people in (
            (1, RAISED, change.raised_share, change.raised),
            (-1, LOWERED, change.lowered_share, change.lowered),
        ):
            if not _number(number):
                continue
            low, high = (turn * end for end in _ends(number))
            ax.barh(at, turn * number.value, height=0.5, color=colour, alpha=0.85, linewidth=0, zorder=2)
            ax.plot([low, high], [at, at], color=INK, linewidth=1.1, zorder=3)
            ax.annotate(
                f"{typeset(amount(number.value))}\n{count(people)} row{'' if people == 1 else 's'}",
                (high, at),
                (4 * turn, 0),
                textcoords="offset points",
                ha="left" if turn > 0 else "right",
                va="center",
                color=INK,
                fontsize=8.5,
                linespacing=1.1,
                parse_math=False,
            )
            ends.append(high)
    ax.axvline(0, color=SOFT, linewidth=0.8, zorder=2.5)
    room = LABEL * (max(ends) - min(ends))
    ax.set_xlim(min(ends) - room, max(ends) + room)
    air = max(SLOTS - len(drawn), 0) / 2  # few groups do not get bars as tall as the panel
    ax.set_ylim(len(drawn) - 0.4 + air, -0.6 - air)
    names = [_short(group) for group, _ in drawn]
    ax.set_yticks(range(len(drawn)), names, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=6)
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.grid(axis="x", color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlabel(f"share of the group, on {'new' if report.judged else 'validation'} rows")
    bare(ax, "bottom")
    words = {"left": "← newly rejected", "right": "newly selected →"}
    for side, colour in (("left", LOWERED), ("right", RAISED)):
        ax.annotate(
            words[side],
            (float(side == "right"), 1.0),
            (0, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=side,
            va="bottom",
            color=colour,
            fontsize=9.5,
            weight="bold",
        )
