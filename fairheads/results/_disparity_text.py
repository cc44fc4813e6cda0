"""A disparity report in text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results import _disparity_tables as tables
from fairheads.results._disparity_missing import missing, missing_comparisons
from fairheads.results._disparity_tables import Cell, Name, P, Table, Words
from fairheads.results._text import WIDTH, columns, text_table, wrapped
from fairheads.results._words import EXACT_MEANS, clip, clip_middle, count, estimate, percent, sentence
from fairheads.results.number import Number

if TYPE_CHECKING:
    from fairheads.results.disparity import DisparityReport

GROUPS = 20
"""Groups in a table, beside those that make the gaps."""

LONGEST = 36
"""Columns of a terminal for a name, where shorter ones could not be told apart."""

VALUES = 3
"""Metrics beside each other."""


def summary_lines(report: DisparityReport) -> list[str]:
    """Everything that a terminal has room for, without the disclaimer."""
    lines = [clip(tables.titled(report.name), WIDTH), *(line for told in tables.lead(report) for line in wrapped(told))]
    parts = [*_rates(report, tables.core(report)), tables.gaps(report), tables.criteria(report)]
    parts += [tables.contrasts(report, metric, GROUPS) for metric in tables.compared(report)]
    parts += [*tables.strata(report, GROUPS), tables.distances(report, GROUPS)]
    parts += _rates(report, tables.others(report))
    parts = [part for part in parts if part.rows]
    for part in parts:
        lines += ["", *_captioned(part)]
    lines.append("")
    told = [tables.between(report), *unsaid(report)]
    told += [f"Not estimable: {why}." for why in (*missing(report), *missing_comparisons(report))]
    told += [EXACT_MEANS] if any(part.marked for part in parts) else []
    notes = [f"- {clip(note, 1000)}" for note in report.notes]
    for text in (*told, *notes):
        lines += wrapped(clip(text, 1000), "") if text else []
    return lines if lines[-1] else lines[:-1]


def unsaid(report: DisparityReport) -> list[str]:
    """What the saved report holds and the text does not show."""
    lacking = [name for name in report.metrics if name not in tables.compared(report)]
    lacking = [name for name in lacking if report.metrics[name].to_reference]
    if not lacking:
        return []
    return [f"Comparisons in {count(len(lacking))} more metrics, and with everybody, are in the saved report."]


def core_lines(report: DisparityReport) -> list[str]:
    """Core rates and gaps alone, as an audit tells them."""
    groups, rows = count(len(report.groups)), count(report.n)
    lines = [f"Rates of {groups} groups on {rows} rows, {percent(report.confidence)} intervals in brackets"]
    rates, gaps = _rates(report, tables.core(report)), tables.gaps(report)
    for part in rates:
        lines += ["", *_table(part)]
    lines += ["", *_captioned(gaps)]
    for reason in missing(report):
        lines += wrapped(f"Not estimable: {clip(reason, 500)}.", "")
    return lines + (wrapped(EXACT_MEANS, "") if any(part.marked for part in (*rates, gaps)) else [])


def _rates(report: DisparityReport, metrics: Sequence[str]) -> list[Table]:
    """Metrics in as many tables as their width asks for; the first has the caption."""
    batches = [metrics[i : i + VALUES] for i in range(0, len(metrics), VALUES)]
    found = [tables.rates(report, batch, GROUPS) for batch in batches]
    return [*found[:1], *(table._replace(caption="") for table in found[1:])]


def _captioned(table: Table) -> list[str]:
    return [*(wrapped(sentence(clip(table.caption, 300)), "") if table.caption else []), *_table(table)]


def _table(table: Table) -> list[str]:
    """The table, in blocks one below the other where it is wider than a terminal; its first columns head each block."""
    head = [clip(cell.text, 26) for cell in table.head]
    rooms = [_room([row[i] for row in table.rows]) for i in range(len(head))]
    rows = [[_cell(cell, room) for cell, room in zip(row, rooms, strict=True)] for row in table.rows]
    widths = [max(columns(row[i]) for row in (head, *rows)) for i in range(len(head))]
    keys = list(range(table.keys))
    blocks: list[list[int]] = [[]]
    for i in range(table.keys, len(head)):
        block = [*keys, *blocks[-1], i]
        if blocks[-1] and sum(widths[j] for j in block) + 2 * (len(block) - 1) > WIDTH:
            blocks.append([])
        blocks[-1].append(i)
    right = [i for i in range(len(head)) if all(isinstance(row[i], int | P) for row in table.rows)]
    lines: list[str] = []
    for block in blocks:
        picked = [*keys, *block]
        body = [[row[i] for i in picked] for row in rows]
        to_right = [at for at, i in enumerate(picked) if i in right]
        lines += ([""] if lines else []) + text_table([head[i] for i in picked], body, right=to_right)
    return [*lines, *(wrapped(table.after, "") if table.after else [])]


def _room(cells: Sequence[Cell]) -> int:
    """How long names of a column may be: as long as it takes to tell them apart, within reason."""
    names = {cell.text for cell in cells if isinstance(cell, Name)}
    shortest = max((cell.short for cell in cells if isinstance(cell, Name)), default=0)
    rooms = (shortest, 24, LONGEST)
    return next((room for room in rooms if len({clip_middle(name, room) for name in names}) == len(names)), LONGEST)


def _cell(cell: Cell, room: int) -> str:
    if isinstance(cell, Name):
        return clip_middle(cell.text, room)
    if isinstance(cell, Words):
        return clip(cell.text, cell.short)
    if isinstance(cell, Number):
        return estimate(cell)
    if isinstance(cell, P):
        return cell.text
    return count(cell) if isinstance(cell, int) else cell
