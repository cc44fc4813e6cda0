"""What a finding is made of, in HTML: what the head reads, two heads fitted and taken out, units and routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results import _pathway_html
from fairheads.results import _pathway_made as made
from fairheads.results._words import capital

if TYPE_CHECKING:
    from fairheads.results.pathway import PathwayReport
    from fairheads.results.shown import Shown

LONG = 6
"""Rows beyond which a table is folded away: the figure says the same at a glance."""

_TABLE = re.compile(r'<div class="scroll".*?</table></div>', re.DOTALL)
_FIGURES_AND_TABLE = re.compile(rf"(<figure>.*</figure>)\s*({_TABLE.pattern})", re.DOTALL)
_HEADING = re.compile(r"<(/?)h3>")


def sections(reports: Iterable[PathwayReport], level: int) -> Iterator[str]:
    """A section for each of the three questions, for every group that was looked at; headings are of ``level``."""
    pathways = list(reports)
    for title, about, shown in SECTIONS:
        parts = [part for report in pathways for part in shown(report, level + 1)]
        if parts:
            yield "\n".join([html.heading(level, title), f"<p>{about}</p>", *parts])


def fragments(report: PathwayReport, level: int) -> Iterator[str]:
    """All of one report, without sections."""
    for _, _, shown in SECTIONS:
        yield from shown(report, level)


def _reading(report: PathwayReport, level: int) -> Iterator[str]:
    if report.reading is not None:
        # Both are narrow: side by side where there is room.
        yield _FIGURES_AND_TABLE.sub(
            r'<div class="figures"><div>\1</div><div>\2</div></div>', _placed(report.reading, level)
        )
    yield from _not_shown(report, "reading")


def _heads(report: PathwayReport, level: int) -> Iterator[str]:
    if report.two_heads is not None:
        yield html.definitions([(capital(what), html.prose(said)) for what, said in made.two_heads(report.two_heads)])
    columns = [_placed(found, level) for found in (report.two_heads, report.recovery) if found is not None]
    if columns:
        beside = "\n".join(f"<div>{column}</div>" for column in columns)
        yield f'<div class="figures">{beside}</div>'
    yield from _not_shown(report, "recovery")
    if report.counterfactual is not None:
        yield _placed(report.counterfactual, level)


def _ways(report: PathwayReport, level: int) -> Iterator[str]:
    for found in (report.units, report.routing):
        if found is not None:
            yield _placed(found, level)
    yield from _not_shown(report, "units", "routing")


def _not_shown(report: PathwayReport, *names: str) -> Iterator[str]:
    told = [(name, why) for name in names if (why := made.not_shown(report, name))]
    if told:
        yield html.definitions(
            [(f"{capital(made.TERMS[name])}, {_pathway_html.title(report)}", html.prose(why)) for name, why in told]
        )


SECTIONS: tuple[tuple[str, str, Callable[[PathwayReport, int], Iterator[str]]], ...] = (
    (
        "What the head reads",
        "The network's internal estimate of the group is a readout of a layer, like its readout of the label. This is "
        "what each of them takes from the inputs. Where both take the same, nothing but merit tells the groups apart: "
        "a second head is then the same function as less weight on some of that merit.",
        _reading,
    ),
    (
        "Two heads, fitted and taken out",
        "A network that scores merit and adds something for the group decides like two heads: one for the label, one "
        "for the group. Where that is so, two fitted heads decide like the network more often than merit alone does, "
        "and without the group head the decisions of an unconstrained network come back.",
        _heads,
    ),
    (
        "Units and routes",
        "Where in the network this happens: in a few units or spread over a layer, in the same units for both groups "
        "or in units of their own.",
        _ways,
    ),
)
"""Title, what it is about in plain words, and what shows it of one report."""


def _placed(found: Shown, level: int) -> str:
    """What a result says of itself, under a heading of ``level``; long tables folded away below the rest."""
    fragment = _HEADING.sub(rf"<\1h{level}>", found.html())
    folded = [table for table in _TABLE.findall(fragment) if table.count("rowheader") > LONG]
    for table in folded:
        fragment = fragment.replace(table, "")
    if not folded:
        return fragment
    tables = "\n".join(folded)
    return f"{fragment}\n<details><summary>In numbers</summary>\n{tables}</details>"
