"""A comparison in text, Markdown, HTML and one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from fairheads.errors import InputError
from fairheads.results import _markup as html
from fairheads.results._markdown import inert, pipes
from fairheads.results._markdown import name as md_name
from fairheads.results._style import BAND, INK, PAPER, bare, house_style, html_figure, look, new_figure, spread
from fairheads.results._text import text_table, wrapped
from fairheads.results._words import (
    VERDICT_NAME,
    amount,
    capital,
    clip,
    clip_middle,
    count,
    estimate,
    interval,
    people,
)
from fairheads.results.page import html_document

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fairheads.results.audit import AuditReport
    from fairheads.results.comparison import Comparison
    from fairheads.results.pathway import PathwayReport

TITLE = "Networks side by side"

TEXT_WIDTH = 110

IN_SHORT = {"swap": "sd", "erasure": "of selection rate"}
"""The units of the two effects, which do not compare with each other."""

Box = tuple[float, float, float, float]
_CORNERS = ((1, 1), (-1, 1), (1, -1), (-1, -1))

LEGEND: dict[str, str] = {
    "parity difference": "largest gap in selection rate between two groups, 95 % interval",
    "probe": "AUC of the group read from the last layer",
    "effect": "what the internal estimate of the group does to the score (swap, sd of the logit) or to the gap "
    "(erasure), where it decided; above 0 against the gap in the labels; interval over all layers together",
    "kept": "ranking within groups, as a share of the twins', or without twins of that of a readout of the inputs",
    "flips": "people whose decision depends on which group the network takes them to be in",
}


def _last_probe(pathway: PathwayReport) -> float:
    return pathway.layers[-1].probe_auc.value if pathway.layers else math.nan


def summary_lines(comparison: Comparison) -> list[str]:
    """Two lines a model and group: the numbers, then the verdict with its effect."""
    head = ["model", "group", "accuracy", "parity difference", "probe", "kept", "flips"]
    rows: list[list[str]] = []
    verdicts: list[str] = []
    for name, report in comparison.reports.items():
        for first, pathway in _pathways(report):
            whole = [clip(name, 20), "", *_model_cells(report)] if first else ["", "", "", ""]
            whole[1] = "-" if pathway is None else clip(pathway.group, 20)
            rows.append([*whole, *_group_cells(pathway)])
            verdicts.append("" if pathway is None else _verdict(pathway))
    first_line, *lines = text_table(head, rows, right=[2, 4, 5])
    out = [first_line]
    for line, verdict in zip(lines, verdicts, strict=True):
        out += [line, *wrapped(verdict, "    ", TEXT_WIDTH)]
    return [
        *out,
        "",
        *wrapped(". ".join(f"{what}: {meaning}" for what, meaning in LEGEND.items()) + ".", "", TEXT_WIDTH),
    ]


def _pathways(report: AuditReport) -> list[tuple[bool, PathwayReport | None]]:
    """The pathways of a report, the first of them marked; one empty place where there are none."""
    return [(i == 0, pathway) for i, pathway in enumerate(report.pathways.values())] or [(True, None)]


def _model_cells(report: AuditReport) -> list[str]:
    gap = report.disparity.demographic_parity_difference
    return [amount(report.disparity.metrics["accuracy"].overall.value), estimate(gap)]


def _group_cells(pathway: PathwayReport | None) -> list[str]:
    if pathway is None:
        return ["-", "-", "-"]
    flips = "-" if pathway.flips is None else people(pathway.flips.n, pathway.flips.share)
    return [_short(_last_probe(pathway)), _short(pathway.retention.value), flips]


def _short(value: float) -> str:
    return "-" if math.isnan(value) else amount(value)


def _verdict(pathway: PathwayReport) -> str:
    told = VERDICT_NAME[pathway.verdict].lower()
    effect = pathway.effect
    if effect is None:
        return f"{told}: {clip(pathway.reason, 80)}"
    place = f"{effect.kind}@{clip_middle(effect.layer, 24)}"
    told = f"{told}: {amount(effect.value)} {interval(effect.low, effect.high)} {IN_SHORT[effect.kind]}"
    return f"{told} (margin {amount(effect.margin)}), {place}"


def markdown_page(comparison: Comparison, last: str) -> str:
    """A row a model and group as Markdown, with a title; ``last`` is what it does not say."""
    head = ["Model", "Accuracy", "Parity difference", "Group", "Verdict", "Probe", "Kept", "Flips"]
    rows = [
        [
            md_name(name),
            *_model_cells(report),
            "none" if pathway is None else md_name(pathway.group),
            "no group was put beside a reference" if pathway is None else inert(_verdict(pathway)),
            *_group_cells(pathway),
        ]
        for name, report in comparison.reports.items()
        for _, pathway in _pathways(report)
    ]
    legend = "\n".join(f"- {inert(capital(what))}: {inert(said)}" for what, said in LEGEND.items())
    return "\n\n".join([f"# {TITLE}", pipes(head, rows), legend, inert(last)]) + "\n"


def html_page(comparison: Comparison, links: Mapping[str, str]) -> str:
    """The comparison as one HTML file; ``links`` are relative paths, of which addresses are made."""
    unknown = sorted(set(links) - set(comparison.reports))
    if unknown:
        raise InputError(f"`links` must be for names among {sorted(comparison.reports)}, got {unknown}.")
    for path in links.values():
        if path.startswith(("/", "\\")) or not path:
            raise InputError(f"`links` must hold relative paths, got {path!r}.")
    # "./" before a quoted path: no path can then be read as the name of a protocol or of a host.
    addresses = {name: f"./{quote(path, safe='/')}" for name, path in links.items()}
    body = f"<h1>{TITLE}</h1>\n{comparison.html(addresses)}"
    return html_document(f"{TITLE}: audit by group", body, comparison.to_json(), "fairheads-comparison")


def table(comparison: Comparison, links: Mapping[str, str]) -> str:
    """The table in HTML; ``links`` are addresses of the models' own pages, ready for an attribute."""
    several = any(len(report.pathways) > 1 for report in comparison.reports.values())
    head = ["Model", "Accuracy", "Parity difference", *(["Group"] if several else []), "Verdict", "Effect"]
    head += ["Probe", "Kept", "Flips"]
    rows = []
    for name, report in comparison.reports.items():
        for _, pathway in _pathways(report):
            disparity = report.disparity
            numbers = (disparity.metrics["accuracy"].overall, disparity.demographic_parity_difference)
            label = html.name(name)
            label = f'<a href="{html.escape(links[name])}">{label}</a>' if name in links else label
            whole = [label, *(html.estimate(number) for number in numbers)]
            group = [] if not several else ["none" if pathway is None else html.name(pathway.group)]
            rows.append([*whole, *group, *_html_cells(pathway)])
    right = (1, 2, 6, 7, 8) if several else (1, 2, 5, 6, 7)
    return html.table(
        "Accuracy, gap, verdict and effect of every network, intervals in brackets", head, rows, right=right
    )


def _html_cells(pathway: PathwayReport | None) -> list[str]:
    if pathway is None:
        return ["no group was put beside a reference", *["none"] * 4]
    effect, flips, retention = pathway.effect, pathway.flips, pathway.retention
    told = "none was measured"
    if effect is not None:
        place = f"{effect.kind} at {html.layer(effect.layer, 28)}"
        amounts = html.number(effect.value, effect.low, effect.high)
        told = f'<span class="n">{amounts}<br>{IN_SHORT[effect.kind]}, {place}</span>'
    return [
        f"<strong>{VERDICT_NAME[pathway.verdict]}</strong>",
        told,
        html.amount(_last_probe(pathway)),
        html.number(retention.value, retention.low, retention.high),
        "not estimable" if flips is None else f'{count(flips.n)} <span class="n i">({html.amount(flips.share)})</span>',
    ]


def legend() -> str:
    """What the columns mean, as HTML."""
    return html.definitions([(html.escape(capital(what)), html.escape(capital(said))) for what, said in LEGEND.items()])


def figure(comparison: Comparison) -> str:
    """The figure with its caption in HTML."""
    ax = plot(comparison)
    caption = "Accuracy against demographic-parity difference, with 95 % intervals. Further left is a smaller gap."
    parts = [
        f"{clip(name, 40)}: accuracy {estimate(report.disparity.metrics['accuracy'].overall)}, "
        f"demographic-parity difference {estimate(report.disparity.demographic_parity_difference)}"
        for name, report in comparison.reports.items()
    ]
    return html_figure(ax, "; ".join(parts) + ".", caption)


@house_style()
def plot(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Accuracy against demographic-parity difference, one labelled point a model."""
    if ax is None:
        ax = new_figure(3.6).add_subplot()
    points: dict[str, tuple[float, float]] = {}
    xs: list[float] = [0.0]
    ys: list[float] = []
    for name, report in comparison.reports.items():
        gap, accuracy = report.disparity.demographic_parity_difference, report.disparity.metrics["accuracy"].overall
        if math.isnan(gap.value) or math.isnan(accuracy.value):
            continue
        seen = look(name, comparison.reports)
        for number, other, across in ((gap, accuracy, True), (accuracy, gap, False)):
            ends = [number.low, number.high] if number.low is not None and number.high is not None else []
            along = [other.value] * len(ends)
            ax.plot(*((ends, along) if across else (along, ends)), color=seen.colour, linewidth=1.4)
            (xs if across else ys).extend([number.value, *ends])
        ax.plot([gap.value], [accuracy.value], color=seen.colour, marker=seen.marker, markersize=7)
        points[name] = (gap.value, accuracy.value)
    low, high = spread(xs, 0.04)
    ax.set_xlim(min(low, 0.0), high + 0.12 * (high - low))
    ax.set_ylim(*spread(ys, 0.15))
    _label_points(ax, points)
    ax.set_xlabel("demographic-parity difference (share)", parse_math=False)
    ax.set_ylabel("accuracy (share)", parse_math=False)
    ax.locator_params(nbins=5)
    ax.grid(color=BAND, linewidth=0.8)
    ax.set_axisbelow(True)
    bare(ax, "left", "bottom")
    return ax


def _label_points(ax: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Names in the first of four corners that keeps clear of other points and names; intervals stop short of it."""
    from matplotlib.patheffects import withStroke

    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    taken = [((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)) for x, y in points.values()]
    boxes: list[Box] = [(x - 0.02, y - 0.03, x + 0.02, y + 0.03) for x, y in taken]
    for (name, point), (x, y) in zip(points.items(), taken, strict=True):
        label = clip(name, 24)
        places = {corner: _box(x, y, corner, 0.021 * len(label)) for corner in _CORNERS}
        best = min(_CORNERS, key=lambda corner: _crowding(places[corner], boxes))
        boxes.append(places[best])
        ax.annotate(
            label,
            point,
            xytext=(5 * best[0], 5 * best[1]),
            textcoords="offset points",
            ha="left" if best[0] > 0 else "right",
            va="bottom" if best[1] > 0 else "top",
            color=INK,
            weight="bold",
            fontsize=9.5,
            parse_math=False,
            path_effects=[withStroke(linewidth=4, foreground=PAPER)],
        )


def _box(x: float, y: float, corner: tuple[int, int], wide: float) -> Box:
    """Where a name beside a point comes to lie, in shares of the axes."""
    left = x + 0.015 if corner[0] > 0 else x - 0.015 - wide
    middle = y + corner[1] * 0.05
    return left, middle - 0.03, left + wide, middle + 0.03


def _crowding(a: Box, boxes: list[Box]) -> float:
    outside = max(0.0, a[2] - 1.02) + max(0.0, -a[0])
    return outside * 20 + sum(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes)
