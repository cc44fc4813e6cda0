"""An audit report as Markdown, for a model card or a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairheads.results import _audit_text, _disparity_markdown, _pathway_made, _pathway_text
from fairheads.results._markdown import inert, name, pipes
from fairheads.results._reads_text import share
from fairheads.results._unmeasured import Bunch, bunches, listed
from fairheads.results._unmeasured import told as told_of
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
    people,
    recipe,
    sentence,
)

if TYPE_CHECKING:
    from fairheads.results.audit import AuditReport
    from fairheads.results.number import Number
    from fairheads.results.pathway import PathwayReport
    from fairheads.results.reads import HeadReading, ReadPart


def told(number: Number) -> str:
    """A number with its interval, or the reason why there is none."""
    return estimate(number) if number.reason is None else f"{estimate(number)} ({name(number.reason, 300)})"


def sections(report: AuditReport) -> list[str]:
    """Everything below the title, as paragraphs."""
    gap = report.disparity.gaps["selection_rate"]
    parts = [
        f"{name(report.model.architecture)}, {count(report.model.parameters)} parameters; "
        f"{_audit_text.sample(report)}. "
        f"Accuracy {told(report.disparity.metrics['accuracy'].overall)}. "
        f"Demographic-parity difference {told(gap.difference)}.",
        "## Does the network treat people of equal merit differently?",
        *(paragraph for bunch in bunches(report.pathways.values()) for paragraph in _verdict(bunch)),
        "## Decisions by group",
        *_disparity_markdown.core_sections(report.disparity),
        *_made(report),
        "## Evidence",
        *(_evidence(bunch) for bunch in bunches(report.pathways.values())),
        "## Data and model",
        *_data(report),
        "## Method and limits",
        *(inert(text) for text in (*_audit_text.LIMITS, *_audit_text.method(report))),
        _origin(report),
    ]
    return parts


def _verdict(bunch: Bunch) -> list[str]:
    report = bunch[0]
    lead = [
        f"### {inert(told_of(bunch, 60))}: {VERDICT_NAME[report.verdict]}",
        f"{sentence(report.meaning)} Why: {inert(clip(report.reason, 500))}.",
    ]
    return [*lead, *(_facts(report) if len(bunch) == 1 else [f"{inert(listed(bunch, 60))}."])]


def _facts(report: PathwayReport) -> list[str]:
    effect = "none was measured"
    if report.effect is not None:
        bounds = f"{amount(report.effect.value)} {interval(report.effect.low, report.effect.high)}"
        place = f"{report.effect.kind} at {inert(clip_middle(report.effect.layer, 60))}"
        effect = f"{place} {bounds} {name(report.effect.unit)}, margin {amount(report.effect.margin)}"
    twins = "none given" if report.twins is None else _pathway_text.twins_text(report.twins)
    flips = "not estimable" if report.flips is None else people(report.flips.n, report.flips.share)
    facts = [
        f"effect: {effect}",
        f"twins: {twins}",
        f"ranking within groups, as a share of {_pathway_text.beside(report)}: {told(report.retention)}",
        f"people whose decision flips: {flips} of {count(report.n)}",
        f"gap in the recorded labels: {told(report.base_rate_gap)}",
        f"if the labels were biased: {inert(_pathway_text.label_bias_text(report))}",
    ]
    rows = [
        [inert(clip_middle(r.name, 40)), *(estimate(n) for n in (r.swap, r.erasure, r.probe_auc))]
        for r in report.layers
    ]
    said = "\n".join(f"- {fact}" for fact in facts)
    head = ["layer", "swap, sd of the logit", "erasure, selection rate", "group probe AUC"]
    return [said, pipes(head, rows)] if rows else [said]


def _made(report: AuditReport) -> list[str]:
    """What every finding is made of, and what its head reads; nothing where that was not looked at."""
    parts = []
    for pathway in report.pathways.values():
        facts = _pathway_made.facts(pathway)
        if facts:
            title = f"{name(pathway.group)} beside {name(pathway.reference)}"
            parts += [f"### {title}", "\n".join(f"- {what}: {inert(said)}" for what, said in facts)]
        if pathway.reading is not None:
            parts.append(_reading(pathway.reading))
    return ["## What it is made of", *parts] if parts else []


def _reading(reading: HeadReading) -> str:
    rows = [
        [name(column.name, 40), *(cell for part in (column.head, column.task) for cell in _part(part))]
        for column in reading.bars
    ]
    return pipes(["column", "group head, sd", "share", "task readout, sd", "share"], rows)


def _part(part: ReadPart) -> tuple[str, str]:
    return estimate(part.contrast), share(part.share)


def _evidence(bunch: Bunch) -> str:
    report, rows = bunch[0], []
    for line in report.evidence:
        value, null = evidence_value(line.tag, line.value, line.null)
        shown = f"{value} {interval(line.low, line.high)}".strip()
        rows.append([name(line.detector, 80), line.tag, shown, null or "nothing", met(line.passed)])
    if not rows:
        return f"{inert(told_of(bunch, 60))}: no evidence was gathered, because {inert(clip(report.reason, 500))}."
    head = [f"{name(report.group)} beside {name(report.reference)}", "kind", "value", "compared with", "condition"]
    return pipes(head, rows)


def _data(report: AuditReport) -> list[str]:
    rows = [
        [
            name(group, 40),
            count(share.n),
            estimate(share.base_rate),
            "not known" if share.training_n is None else count(share.training_n),
            "not known" if share.training_base_rate is None else amount(share.training_base_rate),
        ]
        for group, share in report.data.groups.items()
    ]
    head = ["group", "audited rows", "recorded favourable", "training rows", "recorded favourable in training"]
    told = [_audit_text.overlap(report), _audit_text.unseen(report), *(clip(note, 500) for note in report.notes)]
    lines = [f"- {inert(text)}" for text in told if text]
    lines += [f"- {name(what)}: {name(how, 300)}" for what, how in recipe(report.model.training)]
    return [pipes(head, rows), "\n".join(lines)]


def _origin(report: AuditReport) -> str:
    versions = ", ".join(f"{name(what)} {name(version)}" for what, version in report.versions.items())
    return (
        f"Seed {report.seed}; {versions}. Digest of the weights {name(report.model.digest, 128)}, "
        f"of the data {name(report.data.digest, 128)}."
    )
