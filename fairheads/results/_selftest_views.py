"""A self-test in text, Markdown and HTML."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from fairheads.results import _markup as markup
from fairheads.results import _selftest_figure
from fairheads.results._markdown import inert, pipes
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import VERDICT_NAME, capital, clip, count, interval, percent, printable
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from fairheads.results.selftest import SelftestClass, SelftestReport

ABOUT = {
    "MERGE": "a group head on the last layer of a twin, merged into its task head",
    "PLANT": "two units in every layer of a twin that carry an estimate of the group from the inputs to the logit",
    "U": "the twins as they are",
    "UNUSED": "the same units in the twins, and nothing reads them",
    "PERM": "the twins and the model as they are; groups dealt out anew among the rows of each label",
}
IN_WORDS = {"MERGE": "Heads merged at the last layer (MERGE)", "PLANT": "Heads in units of every layer (PLANT)"}

MOST = 3
"""Reasons that are told."""

LAST = "This does not say that trained heads are found as planted ones are, nor that the model has none."
HEADS = ("planted head", "strength", "adds", "runs", "found", "suspected", "denied", "undecided", "share found")
NULLS = ("no head", "runs", "false heads", "suspected", "undecided", "share false")


def _title(report: SelftestReport) -> str:
    return f"Self-test of {clip(report.model, 40)} on {clip(report.data, 40)}"


def _about(report: SelftestReport) -> list[str]:
    """How it was done, in sentences."""
    others = report.twins - 1
    where = (
        "rows of the audit itself, which has so many fewer: no training rows were given"
        if report.split
        else "training rows"
    )
    plan = (
        f"{printable(report.group)} beside {printable(report.reference)}, {count(report.n)} rows. Heads were fitted on"
        f" {count(report.fitted_on)} {where}."
    )
    few = "" if others >= 5 else " So few are compared with little power: train more twins."
    twins = (
        f"Each of {report.twins} twins was planted in and audited beside the other {others}, one fewer than the audit"
        f" of the model has.{few}"
    )
    own = (
        f"The model itself, beside all {report.twins}: {VERDICT_NAME[report.verdict].lower()}. Level of every audit:"
        f" {percent(report.alpha)}."
    )
    return [plan, twins, own]


def _findings(report: SelftestReport) -> list[str]:
    heads = [f"{IN_WORDS.get(name, name)}: {_least(report, name)}." for name in report.planted]
    return [*heads, *_why(report), f"False heads: {report.false_heads} in {report.nulls} runs without a head."]


def _why(report: SelftestReport) -> list[str]:
    """Why planted heads were not found, the commonest reasons."""
    reasons: Counter[str] = Counter()
    for each in report.classes:
        reasons.update(each.reasons if each.head else {})
    said = [
        f"{printable(reason)} ({count(n)} {'run' if n == 1 else 'runs'})" for reason, n in reasons.most_common(MOST)
    ]
    return [f"Where a planted head was not found: {'; '.join(said)}."] if said else []


def _least(report: SelftestReport, name: str) -> str:
    least = report.smallest(name)
    if least is None:
        return "not found in every run at any strength"
    missed = [
        f"{each.strength:g}" for each in report.of(name) if each.strength > least.strength and each.heads < each.n
    ]
    but = f"; not in every run at {', '.join(missed)}" if missed else ", and all stronger ones"
    return f"the smallest strength found in every run is {least.strength:g} (adds {_added(report, least)} margins){but}"


def _meanings(report: SelftestReport) -> dict[str, str]:
    """What the names and the words of the tables mean."""
    classes = dict.fromkeys(each.name for each in report.classes)
    return {name: ABOUT[name] for name in classes if name in ABOUT} | {
        "strength": "share of what demographic parity needs",
        "adds": "difference that the head makes between the groups at equal score without it, in margins of"
        f" {report.margin:g} sd of the logit, mean of the runs; below 1 it is none worth the name",
        "found": "the verdict is compensating_head, or consistent_with_compensating_head",
        "suspected": "the verdict is head_or_suppression, neither found nor denied",
        "denied": "a verdict that says there is no head",
    }


def _limits(report: SelftestReport) -> list[str]:
    """What could not be planted, what the intervals leave out, and what it cost."""
    shared = (
        "Exact 95 % intervals of independent runs; these share their rows and twins, so that other rows and twins may"
        " differ by more."
    )
    failed = [
        f"{each.name} at {each.strength:g} could not be planted in {len(each.failed)} of the twins:"
        f" {printable(each.failed[0])}"
        for each in report.classes
        if each.failed
    ]
    return [*failed, shared, _cost(report)]


def _legend(report: SelftestReport) -> list[str]:
    return [*(f"{word}: {said}." for word, said in _meanings(report).items()), *_limits(report)]


def _cost(report: SelftestReport) -> str:
    took = "" if math.isnan(report.seconds) else f" in {report.seconds:,.0f} seconds"
    return f"{count(report.measured)} networks were measured{took}."


def _added(report: SelftestReport, each: SelftestClass) -> str:
    return "-" if math.isnan(each.mean_added) else f"{each.mean_added / report.margin:.1f}"


def _share(each: SelftestClass) -> str:
    if math.isnan(each.found.value):
        return "-"
    return f"{each.found.value:.2f} {interval(each.found.low, each.found.high)}"


def _head_rows(report: SelftestReport) -> list[list[str]]:
    return [
        [
            each.name,
            f"{each.strength:g}",
            _added(report, each),
            str(each.n),
            str(each.heads),
            str(each.suspected),
            str(each.denied),
            str(each.undecided),
            _share(each),
        ]
        for each in report.classes
        if each.head
    ]


def _null_rows(report: SelftestReport) -> list[list[str]]:
    return [
        [each.name, str(each.n), str(each.heads), str(each.suspected), str(each.undecided), _share(each)]
        for each in report.classes
        if not each.head
    ]


def _verdict_rows(report: SelftestReport) -> list[list[str]]:
    return [
        [
            f"{each.name}{f' {each.strength:g}' if each.head else ''}",
            ", ".join(f"{VERDICT_NAME[verdict].lower()} {n}" for verdict, n in each.verdicts.items()) or "none",
        ]
        for each in report.classes
    ]


def text_lines(report: SelftestReport) -> list[str]:
    """How it was done, what was found of planted heads and of none, and what the words mean."""
    return [
        *wrapped(_title(report), ""),
        *(line for sentence in _about(report) for line in wrapped(sentence)),
        "",
        *text_table(HEADS, _head_rows(report), right=range(1, 8)),
        "",
        *text_table(NULLS, _null_rows(report), right=range(1, 5)),
        "",
        *(line for sentence in _findings(report) for line in wrapped(sentence, "")),
        "",
        *(line for sentence in _legend(report) for line in wrapped(sentence)),
        "",
        LAST,
    ]


def markdown_page(report: SelftestReport) -> str:
    """The same as Markdown, with a title."""
    parts = [
        f"# {inert(_title(report))}",
        *map(inert, (*_findings(report), *_about(report))),
        "## Planted heads",
        pipes(HEADS, _inert(_head_rows(report))),
        "## Networks without a head",
        pipes(NULLS, _inert(_null_rows(report))),
        "## Verdicts and their number",
        pipes(("class", "verdicts"), _inert(_verdict_rows(report))),
        "## What the words mean",
        "\n".join(f"- {inert(sentence)}" for sentence in _legend(report)),
        LAST,
    ]
    return "\n\n".join(parts) + "\n"


def html_sections(report: SelftestReport, level: int) -> str:
    """The same with the figure, as an HTML fragment."""
    verdicts = [[markup.name(name), markup.prose(told)] for name, told in _verdict_rows(report)]
    return "\n".join(
        [
            markup.heading(level, markup.prose(_title(report))),
            *(f"<p>{markup.prose(sentence)}</p>" for sentence in (*_findings(report), *_about(report))),
            _selftest_figure.html(report),
            markup.definitions([(word, markup.prose(capital(said))) for word, said in _meanings(report).items()]),
            markup.table("Planted heads", HEADS, _escaped(_head_rows(report)), right=range(1, 8)),
            markup.table("Networks without a head", NULLS, _escaped(_null_rows(report)), right=range(1, 5)),
            markup.table("Verdicts and their number", ("class", "verdicts"), verdicts),
            *(f"<p>{markup.prose(sentence)}</p>" for sentence in _limits(report)),
            f"<p>{LAST}</p>",
        ]
    )


def _escaped(rows: list[list[str]]) -> list[list[str]]:
    return [[markup.escape(cell) for cell in row] for row in rows]


def _inert(rows: list[list[str]]) -> list[list[str]]:
    return [[inert(cell) for cell in row] for row in rows]


def html_page(report: SelftestReport) -> str:
    """One HTML file that needs nothing else; the report is inside as JSON, in the element ``fairheads-selftest``."""
    return html_document(_title(report), html_sections(report, level=1), report.to_json(), "fairheads-selftest")
