"""A disparity report as HTML: the sections of its page, in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fairheads.results import _disparity_curves as curves
from fairheads.results import _disparity_figures as figures
from fairheads.results import _disparity_heatmap as heatmap
from fairheads.results import _disparity_tables as tables
from fairheads.results import _markup as html
from fairheads.results._disparity_missing import missing, missing_comparisons
from fairheads.results._disparity_tables import Cell, Head, Name, P, Table, Words
from fairheads.results._words import EXACT_MEANS, capital, clip, count, minus_signs
from fairheads.results.number import Number

if TYPE_CHECKING:
    from fairheads.results.disparity import DisparityReport

GROUPS = 20
"""Groups in a table, beside those that make the gaps."""

METRICS = 6
"""Metrics beside each other."""


def title(report: DisparityReport) -> str:
    """What was counted."""
    return tables.titled(html.name(report.name, 60) if report.name else "")


def sections(report: DisparityReport, level: int) -> list[str]:
    """Everything below the title; the sections' headings are of ``level``."""
    parts = [_lead(report), *_decisions(report, level), *_gaps(report, level), *_comparisons(report, level)]
    parts += [*_strata(report, level), *_scores(report, level), *_further(report, level), *_notes(report, level)]
    return parts


def core_rates(report: DisparityReport) -> str:
    """The core rates of all groups as a table."""
    found = tables.rates(report, tables.core(report), GROUPS)
    return _table(found._replace(head=(Head("group"), Head("rows"), *found.head[2:])))


def gaps_table(report: DisparityReport) -> str:
    """The gap in each metric and the two groups that make it as a table."""
    found = tables.gaps(report)
    return _table(found) + _columns([found])


def explained(report: DisparityReport, metrics: Sequence[str]) -> str:
    """What metrics mean."""
    return html.definitions(
        [(html.name(capital(tables.label(m)), 60), html.prose(capital(report.metrics[m].meaning))) for m in metrics]
    )


def legend(report: DisparityReport) -> str:
    """What the mark of an exact interval stands for, where one is shown."""
    core = tables.rates(report, tables.core(report), GROUPS)
    return _legend([core, tables.gaps(report)])


def _legend(found: Sequence[Table]) -> str:
    return f'<p class="soft">{EXACT_MEANS}</p>' if any(table.marked for table in found) else ""


def _columns(found: Sequence[Table]) -> str:
    """What columns mean whose heads do not say it by themselves: a title cannot be read on a telephone or on paper."""
    heads = dict.fromkeys(head for table in found if table.rows for head in table.head if head.meaning)
    told = [(_title(head), html.prose(capital(head.meaning))) for head in heads]
    return html.definitions(told) if told else ""


def _lead(report: DisparityReport) -> str:
    told = f'<p class="soft">{" ".join(html.prose(text) for text in tables.lead(report))}</p>'
    gap = report.gaps.get("selection_rate")
    if gap is None:
        return told
    pair = f", {html.name(gap.highest)} above {html.name(gap.lowest)}" if tables.apart(gap) else ""
    return (
        f"{told}\n<p>Demographic-parity difference {html.strong(gap.difference)}{pair}; "
        f"ratio {html.strong(gap.ratio)}.</p>"
    )


def _decisions(report: DisparityReport, level: int) -> Iterator[str]:
    core = tables.core(report)
    if not core:
        return
    yield html.heading(level, "Decisions by group")
    yield core_rates(report)
    left = figures.figure(report) if figures.plotted(report) else ""
    right = [figures.ratio_figure(report)] if figures.has_ratios(report) else []
    right += [heatmap.figure(report)] if heatmap.has_cells(report) else []
    yield f'<div class="figures">{left}<div>{"".join(right) or explained(report, core)}</div></div>'
    yield explained(report, core) if right else ""
    yield _legend([tables.rates(report, core, GROUPS)])


def _gaps(report: DisparityReport, level: int) -> Iterator[str]:
    yield html.heading(level, "Gaps between groups")
    found = [tables.gaps(report), tables.criteria(report)]
    yield from (_table(table) for table in found if table.rows)
    yield _columns(found)
    if report.between_groups:
        yield f"<p>{html.prose(tables.between(report))}</p>"
    yield _legend(found)


def _comparisons(report: DisparityReport, level: int) -> Iterator[str]:
    first = tables.compared(report)
    found = [tables.contrasts(report, metric, GROUPS) for metric in first]
    further = [tables.contrasts(report, metric, GROUPS) for metric in report.metrics if metric not in first]
    further += [tables.contrasts(report, metric, GROUPS, overall=True) for metric in report.metrics]
    further = [table for table in further if table.rows]
    if not any(table.rows for table in (*found, *further)):
        return
    yield html.heading(level, f"Every group beside {html.name(report.reference)}")
    yield from (_table(table) for table in found if table.rows)
    if further:
        inside = "\n".join(_table(table) for table in further)
        yield f"<details><summary>In other metrics, and beside everybody</summary>\n{inside}</details>"
    yield _columns([*found, *further])
    yield _legend([*found, *further])


def _strata(report: DisparityReport, level: int) -> Iterator[str]:
    found = [table for table in tables.strata(report, GROUPS) if table.rows]
    if found:
        yield html.heading(level, "Among rows that are alike")
        yield from (_table(table) for table in found)
        yield _columns(found)
        yield _legend(found)


def _scores(report: DisparityReport, level: int) -> Iterator[str]:
    drawn = [curves.roc_figure(report)] if curves.has_roc(report) else []
    drawn += [curves.calibration_figure(report)] if curves.has_calibration(report) else []
    found = tables.distances(report, GROUPS)
    if drawn or found.rows:
        yield html.heading(level, "Scores by group")
        yield f'<div class="figures">{"".join(drawn)}</div>' if drawn else ""
        yield _table(found) if found.rows else ""
        yield _columns([found])
        yield _legend([found])


def _further(report: DisparityReport, level: int) -> Iterator[str]:
    names = tables.others(report)
    if not names:
        return
    yield html.heading(level, "Further metrics")
    found = [tables.rates(report, names[i : i + METRICS], GROUPS) for i in range(0, len(names), METRICS)]
    yield from (_table(table) for table in found)
    yield _legend(found)
    yield explained(report, names)


def _notes(report: DisparityReport, level: int) -> Iterator[str]:
    told = [*report.notes, *(f"Not estimable: {why}." for why in (*missing(report), *missing_comparisons(report)))]
    if told:
        yield html.heading(level, "Notes")
        yield f"<ul>{''.join(f'<li>{html.prose(text)}</li>' for text in told)}</ul>"


def _table(table: Table) -> str:
    heads = [_head(cell) for cell in table.head]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    right = [i for i in range(1, len(heads)) if any(isinstance(row[i], int | Number | P) for row in table.rows)]
    after = f'\n<p class="soft">{html.prose(table.after)}</p>' if table.after else ""
    return html.table(html.prose(capital(table.caption)), heads, rows, right=right) + after


def _title(cell: Head) -> str:
    return html.escape(clip(capital(cell.text) if len(cell.text) > 1 else cell.text, 40))


def _head(cell: Head) -> str:
    text = _title(cell)
    return f'<abbr title="{html.escape(clip(cell.meaning, 300))}">{text}</abbr>' if cell.meaning else text


def _cell(cell: Cell) -> str:
    if isinstance(cell, Name):
        return html.name(cell.text)
    if isinstance(cell, Words):
        return html.name(capital(cell.text), 60)
    if isinstance(cell, Number):
        return f'<span title="n = {count(cell.n)}">{html.estimate(cell)}</span>'
    if isinstance(cell, P):
        return f'<span class="n">{html.escape(minus_signs(cell.text))}</span>'
    return count(cell) if isinstance(cell, int) else html.escape(cell)
