"""A pathway report in HTML: the card, the figures and the tables, for a page to put in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results._layer_view import layer_view
from fairheads.results._pathway_figures import curve_figure, layers_figure
from fairheads.results._pathway_text import beside, label_bias_text
from fairheads.results._unmeasured import Bunch
from fairheads.results._words import (
    EFFECT_MEANS,
    NOT_ESTIMABLE,
    TAG_MEANS,
    VERDICT_NAME,
    amount,
    count,
    evidence_value,
    met,
    p_value,
    sentence,
    typeset,
)

if TYPE_CHECKING:
    from fairheads.results.pathway import Effect, Evidence, LayerReport, PathwayReport

_UNDECIDED = ("inconclusive", "not_testable")


def title(report: PathwayReport) -> str:
    """Which group beside which."""
    return f"{html.name(report.group)} beside {html.name(report.reference)}"


def bunch_title(bunch: Bunch) -> str:
    """The same of several groups of which nothing was measured."""
    return title(bunch[0]) if len(bunch) == 1 else f"{len(bunch):,} groups beside {html.name(bunch[0].reference)}"


def card(bunch: Bunch, level: int) -> str:
    """The verdict in plain words with the numbers that it rests on, or the groups that it is said of."""
    report = bunch[0]
    kind = "none" if report.verdict == "neutral" else "open" if report.verdict in _UNDECIDED else "found"
    rests = _facts(report) if len(bunch) == 1 else f"<p>{'; '.join(html.name(each.group) for each in bunch)}.</p>"
    return (
        f'<section class="card {kind}">{html.heading(level, bunch_title(bunch))}\n'
        f'<p class="verdict">{VERDICT_NAME[report.verdict]}</p>\n'
        f"<p>{html.escape(sentence(report.meaning))}</p>\n"
        f"<p>Why: {html.prose(report.reason)}.</p>\n{rests}</section>"
    )


def _facts(report: PathwayReport) -> str:
    ranking = f"Ranking within groups, as a share of {beside(report)}"
    facts = [
        ("Effect of the internal group estimate", _effect(report.effect)),
        ("The same in twins, trained alike but unconstrained", _twins(report)),
        (ranking, html.strong(report.retention)),
        ("People whose decision flips", _flips(report)),
        ("Gap in recorded labels, group minus reference", html.strong(report.base_rate_gap)),
        ("If the labels were biased", html.prose(label_bias_text(report))),
    ]
    return html.definitions(facts)


def _effect(effect: Effect | None) -> str:
    if effect is None:
        return "none was measured"
    return (
        f"<strong>{html.number(effect.value, effect.low, effect.high)}</strong> {html.prose(effect.unit)}, "
        f"margin {html.amount(effect.margin)}; {effect.kind} at {html.layer(effect.layer)}: {EFFECT_MEANS[effect.kind]}"
    )


def _twins(report: PathwayReport) -> str:
    twins = report.twins
    if twins is None:
        return "no twins were given"
    return (
        f"<strong>{html.amount(twins.mean)}</strong> on average, sd {html.amount(twins.sd)}, {count(twins.n)} twins; "
        f'<span class="n">p = {typeset(p_value(twins.p))}</span> (predictive t), {p_value(twins.p_rank)} by rank, '
        f"which can be no smaller than {p_value(twins.p_min)}"
    )


def _flips(report: PathwayReport) -> str:
    if report.flips is None:
        return NOT_ESTIMABLE
    return (
        f"<strong>{count(report.flips.n)}</strong> of {count(report.n)} ({html.amount(report.flips.share)}), when "
        f"{html.layer(report.flips.layer)} is moved to where the other group lies at equal merit"
    )


def figures(report: PathwayReport) -> str:
    """Curve and layer profile side by side."""
    return f'<div class="figures">{curve_figure(report)}\n{layers_figure(report)}</div>'


def layers(bunch: Bunch) -> str:
    """Everything measured at every layer: one at a time, and all in a table that is folded away."""
    report = bunch[0]
    if not report.layers:
        return f"<p>{bunch_title(bunch)}: no layer was measured.</p>"
    return (
        f"{layer_view(report, title(report))}\n"
        f"<details><summary>All layers in one table</summary>\n{_layer_table(report)}</details>"
    )


def _layer_table(report: PathwayReport) -> str:

    def row(layer: LayerReport) -> list[str]:
        both = (layer.swap, layer.erasure, layer.equal_merit, layer.flips, layer.probe_auc, layer.merit_auc)
        after = f"{html.amount(layer.group_auc_before.value)} → {html.amount(layer.group_auc_after.value)}"
        cells = [html.layer(layer.name), count(layer.units), *(html.estimate(number) for number in both)]
        return [*cells, html.amount(layer.control_auc.value), f'<span class="n">{after}</span>']

    head = ["Layer", "Units", "Swap, sd of the logit", "Erasure, selection rate", "Difference at equal merit, sd"]
    head += ["Share that flips", "Group probe, AUC", "Label readout, AUC", "Shuffled group, AUC"]
    head += ["Group within merit bins before → after erasure, AUC"]
    caption = f"{title(report)}, layer by layer"
    return html.table(caption, head, [row(layer) for layer in report.layers], right=range(1, 10))


def evidence_table(bunch: Bunch) -> str:
    """Every line of the case; whether a condition is met is said in words."""
    report = bunch[0]

    def row(line: Evidence) -> list[str]:
        value, null = evidence_value(line.tag, line.value, line.null)
        shown = html.number(line.value, line.low, line.high) if value == amount(line.value) else value
        state = f'<span class="met">{met(line.passed)}</span>' if line.passed is not None else met(line.passed)
        kind = f'<abbr title="{TAG_MEANS[line.tag]}">{line.tag}</abbr>'
        return [html.prose(line.detector), kind, shown, typeset(null) or "nothing", state, html.prose(line.note or "-")]

    head = ["Evidence", "Kind", "Value", "Compared with", "Condition", "Note"]
    if not report.evidence:
        return f"<p>{bunch_title(bunch)}: no evidence was gathered, because {html.prose(report.reason)}.</p>"
    caption = f"{title(report)}: what speaks for and against the verdict"
    return html.table(caption, head, [row(line) for line in report.evidence], right=(2, 3))
