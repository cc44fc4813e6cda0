"""What a finding is made of, a line each: the same words in text, Markdown and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fairheads.results._words import NOT_ESTIMABLE, amount, clip, clip_middle, count, estimate, p_value

if TYPE_CHECKING:
    from fairheads.results.functional import CounterfactualEffect, TwoHeadFit
    from fairheads.results.pathway import PathwayReport
    from fairheads.results.reads import HeadReading
    from fairheads.results.routing import RoutingReport
    from fairheads.results.statements import Recovery
    from fairheads.results.units import UnitReport

Facts = list[tuple[str, str]]

FIRST = 4
"""Columns and units that are told; `fairheads.results.HeadReading` and `UnitReport` have the others."""

TITLE = "what it is made of; this describes and decides nothing"


TERMS = {
    "recovery": "head taken out",
    "reading": "head reads first",
    "units": "units named",
    "routing": "pathways apart",
    "counterfactual": "group flipped",
}
"""What each detail is called, by its attribute."""


def facts(report: PathwayReport) -> Facts:
    """Everything that was looked at, in as few words as it takes, and why something could not be."""
    said = {
        "recovery": None if report.recovery is None else _recovery(report.recovery),
        "reading": None if report.reading is None else _reading(report.reading),
        "units": None if report.units is None else named_units(report.units),
        "routing": None if report.routing is None else routing(report.routing),
        "counterfactual": None if report.counterfactual is None else _counterfactual(report.counterfactual),
    }
    told = [] if report.two_heads is None else two_heads(report.two_heads)
    return told + [(TERMS[name], words) for name, known in said.items() if (words := known or not_shown(report, name))]


def not_shown(report: PathwayReport, name: str) -> str | None:
    """Why a detail, by its attribute, is not there; None where it is, or was not looked for."""
    why = report.missing.get(name)
    return None if why is None or getattr(report, name) is not None else f"not shown: {clip(why, 300)}"


def two_heads(fit: TwoHeadFit) -> Facts:
    """How strong the second head is, and how much better two heads do than one."""
    beside = "" if fit.beside is None else f"; twins' mean {amount(fit.beside.mean)}, p = {p_value(fit.beside.p)}"
    alike = (
        f"merit and group {amount(fit.agreement.value)}, merit alone {amount(fit.floor.value)} (floor), "
        f"two twins {amount(fit.ceiling.value)} (ceiling)"
    )
    strength = f"strength {estimate(fit.strength)} logits per unit of the group estimate"
    return [("two heads fitted", f"{strength}, at {clip_middle(fit.layer, 28)}{beside}"), ("decided alike", alike)]


def _recovery(found: Recovery) -> str:
    return (
        f"decided like a twin {amount(found.agreement.value)}, as it is {amount(found.constrained_agreement.value)} "
        f"(ceiling {amount(found.ceiling.value)}); accuracy {_signed(found.gained.value)}, the twin's "
        f"{_signed(found.cost.value)}"
    )


def _percent(value: float) -> str:
    return NOT_ESTIMABLE if math.isnan(value) else f"{value:.0%}"


def _signed(value: float) -> str:
    return NOT_ESTIMABLE if math.isnan(value) else f"{value:+z.3f}"


def _reading(reading: HeadReading) -> str:
    columns = [
        f"{clip(column.name, 24)} {_signed(column.head.contrast.value)} ({_percent(column.head.share)}, task "
        f"{_percent(column.task.share)})"
        for column in reading.columns[:FIRST]
    ]
    return ", ".join(columns) or "nothing"


def named_units(report: UnitReport) -> str:
    """How many, and the largest."""
    named = report.discovered
    if not named:
        return f"none of {count(report.total)}: {report.reason}"
    shown = ", ".join(f"{clip_middle(unit.layer, 20)} unit {unit.unit}" for unit in named[:FIRST])
    more = f" and {count(len(named) - FIRST)} more" if len(named) > FIRST else ""
    return f"{count(len(named))} of {count(report.total)}: {shown}{more}"


def routing(report: RoutingReport) -> str:
    """Whether each group has units of its own."""
    verdict = "routed" if report.routed else "not shown"
    twins = f"largest of {count(report.twins)} twins {amount(report.largest_in_twins)}" if report.twins else "no twins"
    place = clip_middle(report.layer, 28)
    return f"{verdict}; dissociation {estimate(report.strongest.dissociation)} at {place}, {twins}"


def _counterfactual(found: CounterfactualEffect) -> str:
    through = [
        f", {_percent(layer.through.value)} of it through {clip_middle(layer.layer, 24)}" for layer in found.layers[:1]
    ]
    return (
        f"effect on the score {estimate(found.effect)} sd{''.join(through)}; "
        f"{_percent(found.flips.value)} of decisions flip ({clip(found.what, 40)})"
    )


def emergence(report: PathwayReport) -> Iterator[str]:
    """A sentence on where the effect emerges, if the verdict rests on one."""
    if report.rests_on_effect and report.emerges_at is not None:
        yield f"The effect emerges at {clip_middle(report.emerges_at, 40)}: there it first lies beyond its margin."
