"""An audit report in text, and the sentences that text, Markdown and HTML share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _disparity_text, _pathway_text
from fairheads.results._disparity_tables import apart
from fairheads.results._text import wrapped
from fairheads.results._unmeasured import Bunch, bunches, told
from fairheads.results._words import amount, clip, count, rate_name

if TYPE_CHECKING:
    from fairheads.results.audit import AuditReport

DISCLAIMER = "A verdict is about a network, not about law; merit is the recorded label, whether right or not."

LIMITS: tuple[str, ...] = (
    "A verdict is about a network, not about law: it does not say whether a difference is lawful, justified or wanted.",
    "Merit means the recorded label and no more. Labels that are biased, or rows that were chosen by outcome, create "
    "or hide every effect shown here.",
    "Probes describe, interventions decide. That a group can be read from a layer is true of almost every network and "
    "is no evidence that the network uses it.",
)


def method(report: AuditReport) -> list[str]:
    """How the verdicts were reached: sentences with this report's own numbers."""
    sentences = [
        "The layers were changed in two ways. Swap moves each person's activation to the other group's at equal merit "
        "and takes the change of the score, in standard deviations of the logit. Erasure removes the group, given "
        "merit, and takes the change of the gap in decisions.",
        "Effects are turned so that above 0 works against the gap in the recorded labels (compensating) and below 0 "
        "along it (aligned).",
    ]
    sentences += [f"{told(bunch)}: {_level(bunch)}." for bunch in bunches(report.pathways.values())]
    sentences.append(
        "A verdict needs its conditions together: a bound of an effect beyond its margin, an effect beyond what "
        "networks trained alike without the constraint (twins) show, the ranking within groups kept, and every check "
        "passed. Where twins are missing the strongest word is 'consistent with'."
    )
    return sentences


def _level(bunch: Bunch) -> str:
    report, sizes = bunch[0], [p.n for p in bunch]
    margins = {"swap": "sd of the logit", "erasure": "selection rate"}
    named = [f"{kind} {amount(report.margins[kind])} {margins[kind]}" for kind in report.margins]
    told = ", ".join(named) or "none was set, since nothing was measured"
    n = count(min(sizes)) + (f" to {count(max(sizes))}" if min(sizes) < max(sizes) else "")
    return f"n = {n}, level alpha = {report.alpha:g}; margins: {told}"


def overlap(report: AuditReport) -> str:
    """How many of the audited rows the model may have been trained on."""
    found, chance = report.data.overlap, report.data.expected_overlap
    if found.reason is not None:
        return f"Overlap with the training rows is not known: {found.reason}."
    told = f"A share of {amount(found.value)} of the audited rows equals a training row"
    if chance.reason is not None:
        return f"{told}; what duplicates explain is not known: {chance.reason}."
    return f"{told}; duplicates explain {amount(chance.value)}."


def sample(report: AuditReport) -> str:
    """Rows audited, and rows that interventions ran on."""
    data = report.data
    if not any(pathway.layers for pathway in report.pathways.values()):
        return f"{count(data.n)} rows"
    if data.sampled >= data.n:
        return f"{count(data.n)} rows, all used for the interventions"
    return f"{count(data.n)} rows, {count(data.sampled)} of them drawn for the interventions"


def unseen(report: AuditReport) -> str | None:
    """Values of categories that training never saw."""
    seen = report.data.unseen_categories
    if not seen:
        return None
    told = ", ".join(f"{clip(rate_name(column), 30)} {count(n)}" for column, n in seen.items())
    return f"Values that training never saw, by column: {told}."


def gate(report: AuditReport) -> str:
    """Accuracy and demographic-parity difference in a line."""
    gap = report.disparity.gaps["selection_rate"]
    pair = f" ({clip(gap.highest, 24)} above {clip(gap.lowest, 24)})" if apart(gap) else ""
    return f"demographic-parity difference {gap.difference}{pair}"


def summary_lines(report: AuditReport, evidence: bool = False) -> list[str]:
    """Model, data, verdicts, on request their evidence, and rates; without the disclaimer."""
    model, data = report.model, report.data
    lines = [
        f"{clip(model.name, 40)} on {clip(data.name, 40)}",
        *wrapped(f"{clip(model.architecture, 60)}, {count(model.parameters)} parameters; {sample(report)}"),
        *wrapped(f"accuracy {report.disparity.metrics['accuracy'].overall}; {gate(report)}"),
    ]
    for bunch in bunches(report.pathways.values()):
        if len(bunch) > 1:
            lines += ["", *_pathway_text.verdict_lines(bunch)]
            continue
        (pathway,) = bunch
        lines += ["", *_pathway_text.head_lines(pathway)]
        tables = [_pathway_text.layer_lines(pathway), _pathway_text.evidence_lines(pathway) if evidence else []]
        tables.append(_pathway_text.made_lines(pathway))
        lines += [line for table in tables if table for line in ("", *table)]
    lines += ["", *_disparity_text.core_lines(report.disparity)]
    told = [overlap(report), unseen(report), *(clip(note, 500) for note in report.notes)]
    notes = [line for note in told if note for line in wrapped(f"- {note}", "")]
    return [*lines, "", *notes]
