"""An impact report in text, Markdown, HTML and one figure."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from fairheads.results import _impact_tables as tables
from fairheads.results import _markup as html
from fairheads.results._markdown import inert, pipes
from fairheads.results._markdown import name as md_name
from fairheads.results._style import BAND, INK, PALETTE, SOFT, bare, house_style, html_figure, new_figure
from fairheads.results._text import WIDTH, columns, text_table, wrapped
from fairheads.results._words import EXACT_MEANS, amount, capital, clip, count, estimate, interval, typeset
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.impact import ImpactReport, ImpactRow, ImpactTable

DRAWN = 30
"""Categories of a table in the figure, those with the smallest ratios."""

ROW = 0.25
"""Inches for a row of the figure."""

NAME = 35
"""Columns of a category's name in text."""

LONG = 1200
"""Characters of a remark, which may hold an auditor's justification."""

STATISTICS = (
    ("below 4/5", "whether the impact ratio is below four fifths, without rounding"),
    ("shortfall", "how many more people of the category it would take for a ratio of 4/5, all else the same"),
    ("standard deviations", "difference to the highest rate over its standard error from the pooled rate"),
    ("Fisher's p", "Fisher's exact test beside the category with the highest rate, two-sided"),
    ("one person", "whether one person of the category in place of one of the highest gives it the higher rate"),
)
"""Columns that follow those that a rule asks for, and what they mean."""

HEADS = ("below 4/5", "shortfall", "SDs", "Fisher p", "1 person")
"""The same in text, where columns are narrow."""


def _told(report: ImpactReport, heads: tuple[str, ...], *, rates: bool = True) -> list[str]:
    """What stands below the tables: remarks and notes, and what the columns mean."""
    meanings = "; ".join(f"{head}: {means}" for head, (_, means) in zip(heads, STATISTICS, strict=True))
    rows = [row for table in report.tables for row in table.rows]
    exact = any(row.impact_ratio.conservative or (rates and row.rate.conservative) for row in rows)
    return [*tables.remarks(report), f"{capital(meanings)}.", *([EXACT_MEANS] if exact else [])]


def _ratio(row: ImpactRow) -> str:
    return "left out" if not row.included else "-" if row.impact_ratio.reason else amount(row.impact_ratio.value)


def _statistics(row: ImpactRow) -> list[str]:
    """What follows the number selected, as text; a missing number is a dash and its reason a remark."""
    z = row.standard_deviations
    return [
        tables.yes_no(row.below_four_fifths),
        tables.whole(row.shortfall),
        "-" if z.reason else f"{z.value:z.2f}",
        tables.short_p(row.fisher_p),
        tables.yes_no(row.one_person_reverses),
    ]


# ---------------------------------------------------------------- text


def text_lines(report: ImpactReport) -> list[str]:
    """Everything as text of at most 100 columns."""
    lines = [tables.title(report), clip(report.name, WIDTH), ""]
    lines += [line for told in tables.lead(report) for line in wrapped(told, "")]
    for table in report.tables:
        lines += ["", capital(clip(table.title, WIDTH)), *_text_table(report, table)]
        lines += wrapped(tables.after(table), "")
    lines += ["", *(line for text in _told(report, HEADS, rates=False) for line in _item(text)), ""]
    return [*lines, *wrapped(tables.DISCLAIMER[report.standard], "")]


def _item(text: str) -> list[str]:
    first, *rest = wrapped(clip(text, LONG), "", WIDTH - 2)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _text_table(report: ImpactReport, table: ImpactTable) -> list[str]:
    """What the rule asks for, and below it the rest."""
    words = tables.WORDS[report.kind]
    asked: list[list[str]] = []
    further: list[list[str]] = []
    for row in table.rows:
        first, *rest = _lines_of(row.category)
        asked.append([first, count(row.n), amount(row.rate.value), _ratio(row), _bounds(row)])
        further.append([first, count(row.selected), *_statistics(row)])
        for lines in (asked, further):
            lines += [[f"  {line}", *[""] * (len(lines[0]) - 1)] for line in rest]
    heads = ["category", words.selected, *HEADS]
    return [
        *text_table(["category", "# of applicants", words.rate, "impact ratio", "95 %"], asked, right=(1, 2, 3)),
        "",
        *text_table(heads, further, right=(1, 3, 4, 5)),
    ]


def _lines_of(name: str) -> list[str]:
    """A name in lines of at most `NAME` columns, the second and later ones indented: a table to hand in names all."""
    lines, line, room = [], "", NAME - 2
    for word in re.split(r"(?<=[ /-])", clip(name, 3 * NAME)):
        pieces = [word] if columns(word.rstrip()) <= room else list(word)
        for piece in pieces:
            if line and columns((line + piece).rstrip()) > room:
                lines.append(line.rstrip())
                line = ""
            line += piece
    return [*lines, line.rstrip()]


def _bounds(row: ImpactRow) -> str:
    return estimate(row.impact_ratio).removeprefix(amount(row.impact_ratio.value)).strip() or "-"


# ---------------------------------------------------------------- Markdown


def markdown_page(report: ImpactReport) -> str:
    """The report as Markdown, with a title."""
    words = tables.WORDS[report.kind]
    head = ["category", "# of applicants", words.rate, "impact ratio", words.selected, *(h for h, _ in STATISTICS)]
    parts = [f"# {tables.title(report)}", md_name(report.name), *(inert(told) for told in tables.lead(report))]
    for table in report.tables:
        rows = [
            [
                md_name(row.category, 80),
                count(row.n),
                estimate(row.rate),
                estimate(row.impact_ratio) if not row.impact_ratio.reason else _ratio(row),
                count(row.selected),
                *(inert(cell) for cell in _statistics(row)),
            ]
            for row in table.rows
        ]
        parts += [f"## {md_name(capital(table.title), 100)}", pipes([inert(h) for h in head], rows)]
        parts.append(inert(tables.after(table)))
    told = _told(report, tuple(head for head, _ in STATISTICS))
    parts += ["## Notes", "\n".join(f"- {inert(clip(text, LONG))}" for text in told)]
    return "\n\n".join([*parts, inert(tables.DISCLAIMER[report.standard])]) + "\n"


# ---------------------------------------------------------------- HTML


def html_page(report: ImpactReport) -> str:
    """The report as one HTML file."""
    body = f"<h1>{tables.title(report)}</h1>\n{html_sections(report, level=2)}"
    return html_document(f"{clip(report.name, 60)}: impact ratios", body, report.to_json(), "fairheads-report")


def html_sections(report: ImpactReport, level: int) -> str:
    """Everything below the title; the tables' headings are of ``level``."""
    people, rule, source = tables.lead(report)
    parts = [f"<p><strong>{html.name(report.name, 100)}</strong>: {html.prose(people)}</p>"]
    parts += [_prose(rule), f'<p class="soft">{_inline(source)}</p>']
    for table in report.tables:
        parts += [html.heading(level, html.name(capital(table.title), 100)), _html_table(report, table)]
    if any(_drawable(table) for table in report.tables):
        parts += [html.heading(level, "Impact ratios and the line of four fifths"), figure(report)]
    told = _told(report, tuple(head for head, _ in STATISTICS))
    parts += [html.heading(level, "Notes"), f"<ul>{''.join(f'<li>{_inline(text)}</li>' for text in told)}</ul>"]
    return "\n".join([*parts, _prose(tables.DISCLAIMER[report.standard])])


def _inline(text: str) -> str:
    return f"<bdi>{html.escape(clip(text, LONG))}</bdi>"


def _prose(text: str) -> str:
    return f"<p>{_inline(text)}</p>"


def _html_table(report: ImpactReport, table: ImpactTable) -> str:
    words = tables.WORDS[report.kind]
    head = ["Category", "# of applicants", capital(words.rate), "Impact ratio", capital(words.selected)]
    head += [f'<abbr title="{html.escape(means)}">{capital(text)}</abbr>' for text, means in STATISTICS]
    rows = [
        [
            html.name(row.category, 80),
            count(row.n),
            html.estimate(row.rate),
            html.estimate(row.impact_ratio) if not row.impact_ratio.reason else _ratio(row),
            count(row.selected),
            '<span class="met">yes</span>' if row.below_four_fifths else _cell(_statistics(row)[0]),
            *(_cell(cell) for cell in _statistics(row)[1:]),
        ]
        for row in table.rows
    ]
    shown = html.table("Rates and ratios, with 95 % intervals", head, rows, right=(1, 2, 3, 4, 6, 7, 8))
    return f'{shown}\n<p class="soft">{_inline(tables.after(table))}</p>'


def _cell(text: str) -> str:
    return "–" if text == "-" else typeset(html.escape(text))


# ---------------------------------------------------------------- figure


def figure(report: ImpactReport) -> str:
    """The figure with its caption in HTML."""
    ax = plot(report)
    caption = "Impact ratio of every category with its 95 % interval; the dashed line is at four fifths."
    if any(len(_included(table)) > DRAWN for table in report.tables):
        caption += f" Of more than {DRAWN} categories those with the smallest ratios are drawn."
    return html_figure(ax, says(report), caption)


def says(report: ImpactReport) -> str:
    """What the figure shows, in words."""
    parts = [
        f"{clip(row.category, 40)} {estimate(row.impact_ratio)}" for table in report.tables for row in _drawable(table)
    ]
    return "Dots with intervals beside a line at 0.8, impact ratios: " + "; ".join(parts) + "."


def _included(table: ImpactTable) -> list[ImpactRow]:
    return [row for row in table.rows if not row.impact_ratio.reason]


def _drawable(table: ImpactTable) -> list[ImpactRow]:
    rows = _included(table)
    if len(rows) > DRAWN:
        limit = sorted(row.impact_ratio.value for row in rows)[DRAWN - 1]
        rows = [row for row in rows if row.impact_ratio.value <= limit][:DRAWN]
    return rows


@house_style()
def plot(report: ImpactReport, ax: Axes | None = None) -> Axes:
    """A dot and an interval for each category, one block of rows a table, and the line of four fifths."""
    blocks = [(table, _drawable(table)) for table in report.tables]
    blocks = [(table, rows) for table, rows in blocks if rows]
    if ax is None:
        ax = new_figure(ROW * sum(len(rows) + 1.4 for _, rows in blocks) + 0.8, width=5.2).add_subplot()
    ends = [x.high for _, rows in blocks for row in rows if (x := row.impact_ratio).high is not None]
    right = min(max([1.0, *ends]), 1.6) + 0.04
    ticks: list[tuple[float, str]] = []
    y = -0.6
    for table, rows in blocks:
        y += 0.6
        title = clip(capital(table.title), 60)
        told = ax.annotate(
            title,
            (0.01, y),
            xycoords=("figure fraction", "data"),
            va="center",
            color=INK,
            weight="bold",
            fontsize=9.5,
            parse_math=False,
            annotation_clip=False,
        )
        told.set_in_layout(False)
        line = [y + 0.5, y + len(rows) + 0.5]
        ax.plot([report.threshold] * 2, line, color=SOFT, linestyle="--", linewidth=1.2, zorder=0.5)
        for row in rows:
            y += 1
            ticks.append((y, clip(row.category, 28)))
            _dot(ax, row, y, right)
        y += 0.8
    ax.set_yticks([at for at, _ in ticks], [label for _, label in ticks], parse_math=False)
    ax.set_ylim(max(y, 1.0), -0.6)
    ax.set_xlim(0, right)
    ax.set_xlabel(f"impact ratio: {tables.WORDS[report.kind].rate} over the highest", parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "bottom")
    return ax


def _dot(ax: Axes, row: ImpactRow, y: float, right: float) -> None:
    """Below the line another colour and another mark; an interval that leaves the picture ends in an arrow."""
    number = row.impact_ratio
    colour, mark = (PALETTE[1], "s") if row.below_four_fifths else (PALETTE[0], "o")
    if number.low is not None:
        high = math.inf if number.high is None else number.high
        ax.plot([number.low, min(high, right)], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
        if high > right:
            ax.plot([right], [y], color=colour, marker=">", markersize=6, linestyle="none", clip_on=False)
    ax.plot([number.value], [y], color=colour, marker=mark, markersize=6.5, linestyle="none", clip_on=False)
    shown = typeset(f"{amount(number.value)} {interval(number.low, number.high)}".strip())
    ax.annotate(
        shown.split(" [")[0],
        (1.0, y),
        (10, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=INK,
        fontsize=9,
        parse_math=False,
    )
