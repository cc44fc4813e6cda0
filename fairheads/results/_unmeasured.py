"""Groups that nothing was measured of, for one reason: told once, however many they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fairheads.results._words import clip, count

if TYPE_CHECKING:
    from fairheads.results.pathway import PathwayReport

Bunch = tuple["PathwayReport", ...]
"""One report, or several that differ in the group alone."""


def bunches(reports: Iterable[PathwayReport]) -> list[Bunch]:
    """The reports in their order, but those of which nothing was measured for one reason together."""
    found: dict[tuple[str, ...], list[PathwayReport]] = {}
    for report in reports:
        measured = report.layers or report.evidence or report.effect is not None
        key = ("", report.group) if measured else (report.reason, report.reference)
        found.setdefault(key, []).append(report)
    return [tuple(bunch) for bunch in found.values()]


def told(bunch: Bunch, length: int = 30) -> str:
    """Which group beside which, or how many."""
    who = clip(bunch[0].group, length) if len(bunch) == 1 else f"{count(len(bunch))} groups"
    return f"{who} beside {clip(bunch[0].reference, length)}"


def listed(bunch: Bunch, length: int = 40) -> str:
    """The groups by name; names of intersections hold commas."""
    return "; ".join(clip(report.group, length) for report in bunch)
