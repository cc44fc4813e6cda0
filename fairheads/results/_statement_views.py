"""Approximation and recovery as text, table, HTML and figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fairheads.results import _markup as markup
from fairheads.results._style import BAND, MARKERS, PALETTE, bare, house_style, html_figure, new_figure
from fairheads.results._text import text_table, wrapped
from fairheads.results.number import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class JudgedLike(Protocol):
    """What a row needs of `fairheads.results.Judged`."""

    @property
    def accuracy(self) -> Number: ...
    @property
    def selection_rate(self) -> Number: ...
    @property
    def gap(self) -> Number: ...


Lines = Sequence[tuple[str, Number, JudgedLike | None]]
Differences = Sequence[tuple[str, Number]]
HEAD = ("", "agreement", "accuracy", "gap")


def text_lines(title: str, fit: str, lines: Lines, differences: Differences) -> list[str]:
    """Title, coefficients, the table of networks and that of differences; reasons below."""
    rows = [[words, *(_short(number) for number in _cells(agreed, judged))] for words, agreed, judged in lines]
    numbers = [*(number for _, agreed, judged in lines for number in _cells(agreed, judged))]
    numbers += [number for _, number in differences]
    reasons = dict.fromkeys(n.reason for n in numbers if n is not None and n.reason is not None)
    return [
        title,
        *wrapped(fit, ""),
        "",
        *text_table(HEAD, rows),
        "",
        *text_table(("", ""), [[words, _short(number)] for words, number in differences])[1:],
        *(line for reason in reasons for line in wrapped(f"- not estimable: {reason}.", "")),
    ]


def _cells(agreed: Number, judged: JudgedLike | None) -> tuple[Number | None, ...]:
    return (agreed, *((None, None) if judged is None else (judged.accuracy, judged.gap)))


def _short(number: Number | None) -> str:
    if number is None:
        return ""
    return "-" if math.isnan(number.value) else f"{number:.3f}"


def html(title: str, fit: str, lines: Lines, differences: Differences, last: str) -> str:
    """The same as an HTML fragment, with the figure."""
    rows = [
        [words, *("" if n is None else markup.estimate(n) for n in _cells(agreed, judged))]
        for words, agreed, judged in lines
    ]
    return "\n".join(
        [
            markup.heading(3, markup.prose(title)),
            f"<p>{markup.prose(fit)}</p>",
            markup.table("Agreement, accuracy and gap of each network", ("network", *HEAD[1:]), rows),
            markup.table(
                "Differences on the same rows", ("", "value"), [[w, markup.estimate(n)] for w, n in differences]
            ),
            _figure(lines),
            f"<p>{markup.prose(last)}</p>",
        ]
    )


def records(lines: Lines, differences: Differences) -> list[dict[str, Any]]:
    """Every number of the views, a record each."""
    found = []
    for words, agreed, judged in lines:
        found.append(_record(words, "agreement", agreed))
        if judged is not None:
            found += [_record(words, of, getattr(judged, of)) for of in ("accuracy", "selection_rate", "gap")]
    return [*found, *(_record("", words, number) for words, number in differences)]


def _record(network: str, what: str, number: Number) -> dict[str, Any]:
    bounds = [math.nan if bound is None else bound for bound in (number.low, number.high)]
    return {
        "network": network,
        "number": what,
        "value": number.value,
        "low": bounds[0],
        "high": bounds[1],
        "n": number.n,
        "reason": number.reason,
    }


def _figure(lines: Lines) -> str:
    ax = plot(lines)
    says = "; ".join(f"{words}: {_short(agreed)}" for words, agreed, _ in lines)
    return html_figure(ax, f"{says}.", "Share of the rows decided alike, with intervals; further right is closer.")


@house_style()
def plot(lines: Lines, ax: Axes | None = None) -> Axes:
    """Agreement of the networks that have an interval, from top to bottom as in the table."""
    drawn = [(words, agreed) for words, agreed, _ in lines if agreed.low is not None and agreed.high is not None]
    if ax is None:
        ax = new_figure(0.9 + 0.3 * len(drawn), 5.6).add_subplot()
    for place, (_, number) in enumerate(drawn):
        colour, ends = PALETTE[place], [number.low or 0.0, number.high or 0.0]
        ax.plot(ends, [-place, -place], color=colour, linewidth=1.4)
        ax.plot([number.value], [-place], color=colour, marker=MARKERS[place], markersize=7)
    ax.set_yticks([-place for place in range(len(drawn))], [words for words, _ in drawn])
    ax.set_ylim(0.6 - len(drawn), 0.6)
    ax.set_xlabel("share of rows decided alike", parse_math=False)
    ax.locator_params(axis="x", nbins=5)
    ax.grid(color=BAND, linewidth=0.8, axis="x")
    ax.set_axisbelow(True)
    bare(ax, "bottom")
    ax.tick_params(axis="y", length=0)
    return ax
