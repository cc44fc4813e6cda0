"""A unit report in text and HTML."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fairheads.results import _markup as markup
from fairheads.results import _units_figure
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import (
    amount,
    clip,
    clip_middle,
    count,
    estimate,
    interval,
    p_value,
    percent,
    sentence,
    typeset,
)

if TYPE_CHECKING:
    from fairheads.results.units import Neutralisation, UnitReport

MOST = 12
"""Units listed in text."""

LISTED = 40
"""Units listed in HTML."""


def _against(report: UnitReport) -> str:
    if not report.twins:
        return "no twins to compare with"
    return f"{count(report.twins)} twins, false discovery rate {percent(report.rate)}, rank p at least " + p_value(
        report.p_min
    )


def text_lines(report: UnitReport) -> list[str]:
    """How many units are named, which, the layers, and what neutralising does."""
    named = report.discovered
    lines = [
        f"{clip(report.group, 30)} beside {clip(report.reference, 30)}: {count(len(named))} of "
        f"{count(report.total)} units named ({_against(report)})"
    ]
    if report.reason:
        lines += wrapped(sentence(report.reason))
    shown = named or sorted(report.units, key=lambda unit: -abs(unit.value))[:3]
    rows = [
        [
            clip_middle(unit.layer, 28),
            str(unit.unit),
            f"{amount(unit.value)} {interval(unit.low, unit.high)}".strip(),
            p_value(unit.p),
            p_value(unit.p_rank),
            p_value(unit.q),
        ]
        for unit in shown[:MOST]
    ]
    head = ["layer", "unit", "attribution, sd of the logit", "p", "rank p", "q"]
    lines += ["", *(f"  {line}" for line in text_table(head, rows, right=[1]))]
    if len(shown) > MOST:
        lines.append(f"  and {count(len(shown) - MOST)} more")
    if report.neutralised:
        head = ["neutralised", "units", "decision gap", "twins' mean", "logit, sd", "p"]
        rows = [
            [
                clip_middle(done.layer, 22),
                str(len(done.units)),
                estimate(done.gap),
                amount(_mean(done.twin_gaps)),
                estimate(done.logit),
                p_value(done.p),
            ]
            for done in report.neutralised
        ]
        lines += ["", *(f"  {line}" for line in text_table(head, rows, right=[1]))]
    return lines


def _mean(values: tuple[float, ...]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def html(report: UnitReport, last: str) -> str:
    """Figure, table of units and table of neutralised layers."""
    title = f"{markup.name(report.group)} beside {markup.name(report.reference)}"
    named = report.discovered
    said = f"{count(len(named))} of {count(report.total)} units named ({_against(report)})"
    parts = [markup.heading(3, f"Units: {title}"), f"<p>{said}.</p>"]
    if report.reason:
        parts.append(f"<p>{markup.prose(sentence(report.reason))}</p>")
    parts.append(_units_figure.html(report))
    listed = named or tuple(sorted(report.units, key=lambda unit: -abs(unit.value))[:3])
    rows = [
        [
            f"{markup.layer(unit.layer)}, unit {unit.unit}",
            markup.number(unit.value, unit.low, unit.high),
            *(typeset(p_value(p)) for p in (unit.p, unit.p_rank, unit.q)),
            "yes" if unit.discovered else "no",
        ]
        for unit in listed[:LISTED]
    ]
    more = f" The {LISTED} largest of {count(len(listed))}." if len(listed) > LISTED else ""
    head = ["Unit", "Attribution, sd of the logit", "p", "p by rank", "q", "Named"]
    parts.append(markup.table(f"Units that carry most of the effect.{more}", head, rows, right=(1, 2, 3, 4)))
    if report.neutralised:
        head = [
            "Layer",
            "Units",
            "Change of the decision gap",
            "Twins, mean",
            "Change of the logit, sd",
            "p",
            "p by rank",
        ]
        gap = "the gap in the labels" if report.directed else "the gap that these rows happen to have"
        caption = (
            "Pathway neutralised: units chosen on one half of the rows, changed on the other; above 0 they were pushing"
            f" against {gap}"
        )
        rows = [_row(done) for done in report.neutralised]
        parts.append(markup.table(caption, head, rows, right=range(1, 7)))
    return "\n".join([*parts, f"<p>{last}</p>"])


def _row(done: Neutralisation) -> list[str]:
    return [
        markup.layer(done.layer),
        str(len(done.units)),
        markup.estimate(done.gap),
        markup.amount(_mean(done.twin_gaps)),
        markup.estimate(done.logit),
        typeset(p_value(done.p)),
        typeset(p_value(done.p_rank)),
    ]
