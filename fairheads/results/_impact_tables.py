"""What an impact report puts into tables and sentences, before anybody decides how these look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fairheads.results._csv import csv_text
from fairheads.results._words import NOT_ESTIMABLE, capital, clip, count, p_value

if TYPE_CHECKING:
    from fairheads.results.impact import ImpactReport, ImpactRow, ImpactTable
    from fairheads.results.number import Number

NAMED = 3
"""Categories that a sentence names before it counts the others."""

DISCLAIMER = {
    "four-fifths": (
        "Not legal advice. A ratio is no finding: these tables say neither why rates differ, nor whether a procedure is"
        " related to the job, nor whether a difference is lawful."
    ),
    "nyc-ll144": (
        "Not legal advice, and not by itself a bias audit: the law asks for an independent auditor, historical data of"
        " the tool's use or a reason for test data, an audit within the last year, and a published summary."
    ),
}
"""What the tables of a standard do not say."""


class Words(NamedTuple):
    """How one kind of rate is called."""

    rate: str
    selected: str


WORDS = {"selection": Words("selection rate", "selected"), "scoring": Words("scoring rate", "above median")}


def title(report: ImpactReport) -> str:
    """What the report is."""
    return {
        "four-fifths": "Impact ratios and the four-fifths rule",
        "nyc-ll144": "Impact ratios under New York City Local Law 144",
    }[report.standard]


def lead(report: ImpactReport) -> list[str]:
    """What was counted, and the rule."""
    people = f"{count(report.n)} people"
    if report.unknown:
        people += f", {count(report.unknown)} of them with an unknown category"
    return [f"{people}.", report.rule, f"Source: {report.source}"]


def after(table: ImpactTable) -> str:
    """Below a table: who is not in it, and who has the highest rate."""
    told = (
        f"The highest rate is that of {named(table.highest)}." if table.highest else "No category has a highest rate."
    )
    if table.unknown:
        told += f" Unknown category, not included: {count(table.unknown)} people."
    return told


def named(names: tuple[str, ...]) -> str:
    """Some names and how many more there are."""
    known = "; ".join(clip(name, 60) for name in names[:NAMED])
    return known + (f"; and {count(len(names) - NAMED)} more" if len(names) > NAMED else "")


def yes_no(value: bool | None) -> str:
    """A flag in words."""
    return "-" if value is None else "yes" if value else "no"


def whole(value: int | None) -> str:
    """A number of people, or that there is none."""
    return "-" if value is None else count(value)


def short_p(number: Number) -> str:
    """A p without more digits than it deserves."""
    return "-" if number.reason else "< 0.0001" if number.value < 1e-4 else p_value(number.value)


def remarks(report: ImpactReport) -> list[str]:
    """Why numbers are missing, table by table, then the notes; categories that share a reason share a sentence."""
    told = [f"{capital(clip(table.title, 100))}: {text}" for table in report.tables for text in _lacks(table)]
    return [*told, *report.notes]


def _lacks(table: ImpactTable) -> Iterator[str]:
    merged: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        if row.reason:
            merged.setdefault(("no impact ratio for", row.reason), []).append(row.category)
            continue
        for what, number in (
            ("rate", row.rate),
            ("impact ratio", row.impact_ratio),
            ("standard deviations", row.standard_deviations),
            ("Fisher's p", row.fisher_p),
        ):
            if number.reason:
                merged.setdefault((f"{what} {NOT_ESTIMABLE} for", number.reason), []).append(row.category)
    for (what, why), names in merged.items():
        if set(names) - set(table.highest) or len(table.rows) == 1:
            yield f"{what} {named(tuple(names))}: {why.rstrip('.')}."


HEAD = (
    "standard",
    "kind",
    "table",
    "category",
    "applicants",
    "rate",
    "impact_ratio",
    "selected",
    "share",
    "rate_low",
    "rate_high",
    "impact_ratio_low",
    "impact_ratio_high",
    "below_four_fifths",
    "shortfall",
    "standard_deviations",
    "fisher_p",
    "one_person_reverses",
    "included",
    "highest",
    "reason",
)
"""Columns of the CSV file and of the frame."""


def records(report: ImpactReport) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns and, for every table, a row a category and one for people of unknown category."""
    rows: list[tuple[Any, ...]] = []
    for table in report.tables:
        first = (report.standard, report.kind, table.title)
        rows += [(*first, *_record(table, row)) for row in table.rows]
        if table.unknown:
            blank = (None,) * (len(HEAD) - len(first) - 5)
            told = "unknown category: counted, not included"
            rows.append((*first, "(unknown)", table.unknown, *blank, False, False, told))
    return HEAD, rows


def _record(table: ImpactTable, row: ImpactRow) -> tuple[Any, ...]:
    reasons = (row.reason, row.rate.reason, row.impact_ratio.reason, row.standard_deviations.reason)
    return (
        row.category,
        row.n,
        _value(row.rate),
        _value(row.impact_ratio),
        row.selected,
        row.share,
        row.rate.low,
        row.rate.high,
        row.impact_ratio.low,
        row.impact_ratio.high,
        row.below_four_fifths,
        row.shortfall,
        _value(row.standard_deviations),
        _value(row.fisher_p),
        row.one_person_reverses,
        row.included,
        row.category in table.highest,
        next((reason for reason in reasons if reason), None),
    )


def _value(number: Number) -> float | None:
    return None if number.reason else number.value


def csv(report: ImpactReport) -> str:
    """The records as CSV text."""
    head, rows = records(report)
    return csv_text(head, rows)
