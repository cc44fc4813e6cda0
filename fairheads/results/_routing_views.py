"""A routing report in text and HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results import _markup as markup
from fairheads.results import _routing_figures
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import amount, clip, clip_middle, count, estimate, p_value, sentence

if TYPE_CHECKING:
    from fairheads.results.routing import LayerRoutes, RoutingReport

MOST = 24
"""Units of a pathway that are written out."""


def _verdict(report: RoutingReport) -> str:
    return "routed: each group runs through units of its own" if report.routed else "no routing shown"


def _units(units: Sequence[int]) -> str:
    shown = ", ".join(str(unit) for unit in units[:MOST]) or "none"
    return shown if len(units) <= MOST else f"{shown} and {count(len(units) - MOST)} more"


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not math.isnan(value)]
    return math.fsum(kept) / len(kept) if kept else math.nan


def _beside(report: RoutingReport) -> str:
    if not report.twins:
        return "no twins"
    return (
        f"{count(report.twins)} twins, largest {amount(report.largest_in_twins)}; p = {p_value(report.p_rank)} by rank "
        f"(smallest possible {p_value(report.p_min)})"
    )


def text_lines(report: RoutingReport) -> list[str]:
    """Verdict, layers, and the pathways of the strongest layer."""
    groups = (clip(report.reference, 20), clip(report.group, 20))
    lines = [
        f"{clip(report.group, 30)} beside {clip(report.reference, 30)}: {_verdict(report)}",
        *wrapped(sentence(f"because {report.reason}")),
        *wrapped(_beside(report)),
        "",
    ]
    head = ["layer", "dissociation", "own", "other's", "overlap", "twins' overlap"]
    rows = [
        [
            clip_middle(layer.name, 24),
            estimate(layer.dissociation),
            *_losses(layer),
            amount(layer.overlap),
            amount(_mean(layer.twin_overlaps)),
        ]
        for layer in report.layers
    ]
    lines += [f"  {line}" for line in text_table(head, rows)]
    reasons = dict.fromkeys(layer.dissociation.reason for layer in report.layers if layer.dissociation.reason)
    lines += [line for reason in reasons for line in wrapped(f"not estimable: {reason}")]
    lines += wrapped("own, other's: share of variance lost without the own and the other pathway, reference / group")
    lines.append("")
    strongest = report.strongest
    for name, units in zip(groups, (strongest.reference_units, strongest.group_units), strict=True):
        lines += wrapped(f"units of {name} in {clip_middle(strongest.name, 30)}: {_units(units)}")
    return lines


def _losses(layer: LayerRoutes) -> tuple[str, str]:
    """What either group loses without its own pathway, and without the other's."""
    (own_reference, of_group), (of_reference, own_group) = layer.matrix
    return f"{own_reference:.2f} / {own_group:.2f}", f"{of_reference:.2f} / {of_group:.2f}"


def html(report: RoutingReport, last: str) -> str:
    """Verdict, figures, the table of layers and that of pathways."""
    title = f"{markup.name(report.group)} beside {markup.name(report.reference)}"
    parts = [
        markup.heading(3, f"Routing: {title}"),
        f"<p>{sentence(_verdict(report))} Why: {markup.prose(report.reason)}.</p>",
        f"<p>{sentence(_beside(report))}</p>",
        _routing_figures.html(report),
    ]
    head = ["Layer", "Dissociation"]
    for owner in (report.reference, report.group):
        for loser in (report.reference, report.group):
            head.append(f"Variance of {markup.name(loser)} lost without the pathway of {markup.name(owner)}")
    head += ["Overlap", "Overlap in twins, mean"]
    rows = [
        [
            markup.layer(layer.name),
            markup.estimate(layer.dissociation),
            *(markup.amount(value) for row in layer.matrix for value in row),
            markup.amount(layer.overlap),
            markup.amount(_mean(layer.twin_overlaps)),
        ]
        for layer in report.layers
    ]
    parts.append(markup.table(f"Pathways apart: {title}", head, rows, right=range(1, 8)))
    strongest = report.strongest
    pathways = [
        [markup.name(name), _units(units)]
        for name, units in (
            (report.reference, strongest.reference_units),
            (report.group, strongest.group_units),
        )
    ]
    parts.append(markup.table(f"Units in {markup.layer(strongest.name)}", ["Group", "Units of its pathway"], pathways))
    return "\n".join([*parts, f"<p>{last}</p>"])
