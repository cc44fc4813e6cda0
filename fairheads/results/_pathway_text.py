"""A pathway report in text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fairheads.results import _pathway_made
from fairheads.results._text import text_table, wrapped
from fairheads.results._unmeasured import Bunch, listed, told
from fairheads.results._words import (
    VERDICT_NAME,
    amount,
    clip,
    clip_middle,
    count,
    estimate,
    evidence_value,
    interval,
    met,
    p_value,
    people,
    percent,
    sentence,
)

if TYPE_CHECKING:
    from fairheads.results.pathway import Effect, PathwayReport
    from fairheads.results.twins import TwinSummary


def effect_text(effect: Effect) -> str:
    """An effect in a line: what, where, how much, beside which margin."""
    return (
        f"{effect.kind} at {clip_middle(effect.layer, 28)} {amount(effect.value)} "
        f"{interval(effect.low, effect.high)} {effect.unit}, margin {amount(effect.margin)}"
    )


def twins_text(twins: TwinSummary) -> str:
    """The same effect in the twins, and how surprising the network's is."""
    return (
        f"{count(twins.n)} twins: mean {amount(twins.mean)}, sd {amount(twins.sd)}; p = {p_value(twins.p)} "
        f"(predictive t), {p_value(twins.p_rank)} by rank (smallest possible {p_value(twins.p_min)})"
    )


def label_bias_text(report: PathwayReport) -> str:
    """How much bias in the labels would overturn the finding."""
    bias = report.label_bias
    if bias is None:
        return f"not estimated{_why_no_label_bias(report)}"
    undoes = "make the effect exceed its margin" if bias.creates else "take the effect back to its margin"
    of = f"the favourable labels of {clip(bias.group, 30)}, relabelled unfavourable at random,"
    if math.isnan(bias.share.value):
        return f"no share up to .9 of {of} would {undoes}"
    return f"{percent(round(bias.share.value, 2))} of {of} would {undoes}"


def _why_no_label_bias(report: PathwayReport) -> str:
    if report.effect is None:
        return ": no effect was measured"
    if report.orientation == 0:
        return ": the labels show no gap that would give it a direction"
    if not report.rests_on_effect and report.effect.value > report.effect.margin:
        return ": the effect exceeds its margin already, and the verdict lacks something else"
    return ""


def beside(report: PathwayReport) -> str:
    """Whose ranking within groups the network's is a share of."""
    return "a readout of the inputs" if report.twins is None else "the twins'"


def verdict_lines(bunch: Bunch) -> list[str]:
    """The verdict in plain words, and why."""
    report = bunch[0]
    return [
        f"{told(bunch)}: {VERDICT_NAME[report.verdict].upper()}",
        *wrapped(sentence(report.meaning)),
        *wrapped(sentence(f"because {report.reason}")),
        *(wrapped(f"{listed(bunch)}.") if len(bunch) > 1 else []),
    ]


def head_lines(report: PathwayReport) -> list[str]:
    """The verdict and what it rests on."""
    lines = verdict_lines((report,))
    effect = "none was measured" if report.effect is None else effect_text(report.effect)
    twins = "none given" if report.twins is None else twins_text(report.twins)
    flips = "not estimable"
    if report.flips is not None:
        flips = f"{people(report.flips.n, report.flips.share)} of {count(report.n)} people, swap at " + clip_middle(
            report.flips.layer, 28
        )
    facts = [
        ("effect", effect),
        ("twins", twins),
        ("ranking kept", f"{estimate(report.retention)}{_why(report.retention.reason)}"),
        ("decisions that flip", flips),
        ("gap in labels", estimate(report.base_rate_gap)),
        ("biased labels", label_bias_text(report)),
    ]
    return [*lines, *_fact_lines(facts)]


def _fact_lines(facts: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for what, said in facts:
        first, *more = wrapped(said, " " * 23)
        lines += [f"  {what:<21}{first.strip()}", *more]
    return lines


def made_lines(report: PathwayReport) -> list[str]:
    """What the finding is made of; nothing where that was not looked at."""
    facts = _pathway_made.facts(report)
    return [f"  {_pathway_made.TITLE}", *_fact_lines(facts)] if facts else []


def _why(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def layer_lines(report: PathwayReport) -> list[str]:
    """Effects and probe of every layer."""
    if not report.layers:
        return []
    rows = [
        [clip_middle(r.name, 22), estimate(r.swap), estimate(r.erasure), amount(r.probe_auc.value)]
        for r in report.layers
    ]
    head = ["layer", "swap, sd of the logit", "erasure, selection rate", "group probe AUC"]
    return [f"  {line}" for line in text_table(head, rows, right=[3])]


def evidence_lines(report: PathwayReport) -> list[str]:
    """Every line of the case."""
    rows = []
    for line in report.evidence:
        value, null = evidence_value(line.tag, line.value, line.null)
        shown = f"{value} {interval(line.low, line.high)}".strip()
        rows.append([clip_middle(line.detector, 38), line.tag, shown, null or "-", met(line.passed)])
    if not rows:
        return []
    return [f"  {line}" for line in text_table(["evidence", "kind", "value", "against", "condition"], rows)]
