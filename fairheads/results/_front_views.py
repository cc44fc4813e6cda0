"""A front in text, Markdown and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _front_figure
from fairheads.results import _front_tables as tables
from fairheads.results import _markup as html
from fairheads.results._markdown import inert, pipes
from fairheads.results._markdown import name as md_name
from fairheads.results._style import html_figure
from fairheads.results._text import WIDTH, columns, text_table, wrapped
from fairheads.results._words import capital, clip, clip_middle, count, estimate, rate_name
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from fairheads.results.front import Front
    from fairheads.results.front_points import FrontSetting

LONG = 600
"""Characters of a note."""

LISTED = 12
"""Settings of the front beside the figure."""

SAID = 30
"""Settings that the words of a figure name before they count the others."""


# ---------------------------------------------------------------- text


def text_lines(front: Front) -> list[str]:
    """Everything as text of at most 100 columns."""
    lines = [clip(tables.title(front), WIDTH), *wrapped(tables.lead(front), ""), ""]
    further = tables.others(front)[:1]
    table = _text_table(front, further)
    if max(columns(line) for line in table) > WIDTH:
        further = ()
        table = _text_table(front, further)
    lines += [*table, ""]
    gap = rate_name(front.gap_metric)
    legend = f"gap: {gap}." if gap != "gap" else ""
    if further:
        legend += f" {tables.gap_name(further[0])}: the difference in it."
    lines += wrapped(f"*: on the front: {tables.MEANS}.", "")
    lines += wrapped(legend, "")
    for remark in tables.remarks(front, further):
        lines += wrapped(clip(remark, LONG), "")
    return [*lines, ""]


def _text_table(front: Front, further: tuple[str, ...]) -> list[str]:
    settings = front.settings
    several = any(len(setting.points) > 1 for setting in settings)
    head = ["", *(["seeds"] if several else []), clip_middle(rate_name(front.accuracy_metric), 20), "gap"]
    head += [clip_middle(tables.gap_name(name), 20) for name in further]
    rows: list[list[str]] = []
    for objective in dict.fromkeys(setting.objective for setting in settings):
        own = [setting for setting in settings if setting.objective == objective]
        named = clip(rate_name(objective), 26)
        alone = len(own) == 1 and not own[0].setting
        if not alone:
            rows.append([named, *[""] * (len(head) - 1)])
        for setting in own:
            words = named if alone else clip(tables.setting_words(setting.setting) or "no setting", 34)
            first = f"{'' if alone else '  '}{'*' if setting.on_front else ' '} {words}"
            numbers = [setting.accuracy, setting.gap, *(setting.gaps[name] for name in further)]
            rows.append([first, *([count(len(setting.points))] if several else []), *(estimate(x) for x in numbers)])
    return text_table(head, rows, right=(1,) if several else ())


# ---------------------------------------------------------------- Markdown


def markdown_page(front: Front) -> str:
    """The front as Markdown, with a title."""
    further = tables.others(front)
    several = any(len(setting.points) > 1 for setting in front.settings)
    head = ["network", "on the front", *(["seeds"] if several else [])]
    head += [rate_name(metric) for metric in (front.accuracy_metric, front.gap_metric, *further)]
    rows = [
        [
            md_name(tables.label(setting), 80),
            _place(setting),
            *([count(len(setting.points))] if several else []),
            *(estimate(x) for x in (setting.accuracy, setting.gap, *(setting.gaps[name] for name in further))),
        ]
        for setting in front.settings
    ]
    parts = [
        f"# {md_name(tables.title(front), 100)}",
        inert(tables.lead(front)),
        pipes([md_name(text) for text in head], rows),
        f"On the front: {inert(tables.MEANS)}.",
    ]
    notes = tables.remarks(front, further)
    if notes:
        parts.append("\n".join(f"- {inert(clip(text, LONG))}" for text in notes))
    return "\n\n".join([*parts, inert(tables.DISCLAIMER)]) + "\n"


def _place(setting: FrontSetting) -> str:
    return "yes" if setting.on_front else "no" if setting.known else "not known"


# ---------------------------------------------------------------- HTML


def html_page(front: Front) -> str:
    """The front as one HTML file."""
    title = clip(tables.title(front), 100)
    shown = f"{title}: {clip(front.data, 60)}" if front.data else title
    body = f"<h1>{html.name(title, 100)}</h1>\n{html_sections(front, level=2)}"
    return html_document(shown, body, front.to_json(), "fairheads-front")


def html_sections(front: Front, level: int) -> str:
    """Everything below the title; headings are of ``level``."""
    parts = [f"<p>{_inline(tables.lead(front))}</p>"]
    if any(setting.known for setting in front.settings):
        parts.append(f'<div class="figures">{figure(front)}\n<div>{_listed(front)}</div></div>')
    parts += [html.heading(level, "Every setting"), _table(front)]
    parts.append(f'<p class="soft">On the front: {_inline(tables.MEANS)}.</p>')
    notes = tables.remarks(front, tables.others(front))
    if notes:
        parts.append(f"<ul>{''.join(f'<li>{_inline(text)}</li>' for text in notes)}</ul>")
    return "\n".join([*parts, f"<p>{_inline(tables.DISCLAIMER)}</p>"])


def _inline(text: str) -> str:
    return f"<bdi>{html.escape(clip(text, LONG))}</bdi>"


def _table(front: Front) -> str:
    further = tables.others(front)
    several = any(len(setting.points) > 1 for setting in front.settings)
    metrics = [front.accuracy_metric, front.gap_metric, *further]
    head = ["Network", "On the front", *(["Seeds"] if several else [])]
    first = len(head)
    rows = [
        [
            html.name(tables.label(setting), 80),
            '<span class="met">yes</span>' if setting.on_front else _place(setting),
            *([count(len(setting.points))] if several else []),
            *(html.estimate(x) for x in (setting.accuracy, setting.gap, *(setting.gaps[name] for name in further))),
        ]
        for setting in front.settings
    ]
    head += [html.name(capital(rate_name(metric))) for metric in metrics]
    right = (*([2] if several else []), *range(first, len(head)))
    return html.table("Accuracy and gaps, with their intervals", head, rows, right=right)


def _listed(front: Front) -> str:
    """The front itself, from the smallest gap to the largest."""
    accuracy, gap = (html.escape(clip(rate_name(m), 60)) for m in (front.accuracy_metric, front.gap_metric))
    told = [
        f"{html.name(tables.label(s), 80)}: {html.amount(s.accuracy.value)} at {html.amount(s.gap.value)}"
        for s in front.front[:LISTED]
    ]
    rest = len(front.front) - len(told)
    told += [f"and {count(rest)} more in the table"] if rest > 0 else []
    listed = "".join(f"<li>{text}</li>" for text in told)
    return f"<p><strong>The front</strong>, {accuracy} at {gap}:</p><ul>{listed}</ul>"


def figure(front: Front) -> str:
    """The figure with its caption in HTML."""
    ax = _front_figure.plot(front)
    several = any(len(setting.points) > 1 for setting in front.settings)
    caption = (
        "Further left is a smaller gap, further up more accurate; bars are intervals. The line is the best accuracy"
        " here at no more than that gap; hollow marks are dominated."
    )
    if several:
        caption += " A small dot is one seed, a large mark the mean of its setting."
    return html_figure(ax, _says(front), caption)


def _says(front: Front) -> str:
    """What the figure shows, in words."""
    told = [
        f"{clip(tables.label(setting), 60)}: {estimate(setting.accuracy)} at {estimate(setting.gap)}"
        f"{', on the front' if setting.on_front else ''}"
        for setting in front.settings
        if setting.known
    ]
    rest = f"; and {count(len(told) - SAID)} more" if len(told) > SAID else ""
    return f"{tables.title(front)}. {'; '.join(told[:SAID])}{rest}."
