"""A disparity report as Markdown, for a model card or a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results import _disparity_tables as tables
from fairheads.results._disparity_missing import missing, missing_comparisons
from fairheads.results._disparity_tables import DISCLAIMER, Cell, Name, P, Table, Words
from fairheads.results._disparity_text import unsaid
from fairheads.results._markdown import inert, name, pipes
from fairheads.results._words import EXACT_MEANS, clip, count, estimate, sentence
from fairheads.results.number import Number

if TYPE_CHECKING:
    from fairheads.results.disparity import DisparityReport

GROUPS = 20
"""Groups in a table, beside those that make the gaps."""

METRICS = 6
"""Metrics beside each other."""

AUDITED = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")
"""Rates in the Markdown of an audit."""


def sections(report: DisparityReport) -> list[str]:
    """Everything below the title, as paragraphs."""
    further = tables.others(report)
    batches = [further[i : i + METRICS] for i in range(0, len(further), METRICS)]
    parts: list[tuple[str, list[Table]]] = [
        ("Decisions by group", [tables.rates(report, tables.core(report), GROUPS)] if tables.core(report) else []),
        ("Gaps between groups", [tables.gaps(report), tables.criteria(report)]),
        ("Beside the reference", [tables.contrasts(report, m, GROUPS) for m in tables.compared(report)]),
        ("Among rows that are alike", tables.strata(report, GROUPS)),
        ("Scores", [tables.distances(report, GROUPS)]),
        ("Further metrics", [tables.rates(report, batch, GROUPS) for batch in batches]),
    ]
    out = [" ".join(inert(told) for told in tables.lead(report))]
    for title, found in parts:
        filled = [table for table in found if table.rows]
        out += [f"## {title}", *(text for table in filled for text in _captioned(table))] if filled else []
    told = [text for text in (tables.between(report), *unsaid(report)) if text]
    told += [f"not estimable: {why}" for why in (*missing(report), *missing_comparisons(report))]
    told += [EXACT_MEANS] if any(table.marked for _, found in parts for table in found) else []
    told += report.notes
    if told:
        out += ["## Notes", _items(told)]
    return [*out, DISCLAIMER]


def core_sections(report: DisparityReport) -> list[str]:
    """Rates and gaps alone, as an audit tells them."""
    found = tables.rates(report, [rate for rate in AUDITED if rate in report.metrics], GROUPS)
    _everybody, *groups = found.rows
    found = found._replace(head=(found.head[0], tables.Head("rows"), *found.head[2:]), rows=groups)
    gaps = tables.gaps(report)
    told = [f"not estimable: {why}" for why in missing(report)]
    told += [EXACT_MEANS] if found.marked or gaps.marked else []
    parts = (_table(found), inert(found.after), *_captioned(gaps), _items(told), DISCLAIMER)
    return [part for part in parts if part]


def _items(told: Sequence[str]) -> str:
    return "\n".join(f"- {inert(clip(text, 500))}" for text in told)


def _captioned(table: Table) -> list[str]:
    return [part for part in (inert(sentence(clip(table.caption, 300))), _table(table), inert(table.after)) if part]


def _table(table: Table) -> str:
    return pipes([name(head.text, 40) for head in table.head], [[_cell(cell) for cell in row] for row in table.rows])


def _cell(cell: Cell) -> str:
    if isinstance(cell, Name | Words):
        return name(cell.text, 80)
    if isinstance(cell, Number):
        return estimate(cell)
    if isinstance(cell, P):
        return cell.text
    return count(cell) if isinstance(cell, int) else inert(cell)
