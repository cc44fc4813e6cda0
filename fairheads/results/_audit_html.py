"""An audit report as HTML: the sections of its page, in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairheads.results import (
    _audit_figure,
    _audit_text,
    _disparity_figures,
    _disparity_html,
    _pathway_details,
    _pathway_html,
)
from fairheads.results import _markup as html
from fairheads.results._disparity_tables import DISCLAIMER, apart
from fairheads.results._unmeasured import Bunch, bunches
from fairheads.results._words import amount, capital, count, recipe

if TYPE_CHECKING:
    from fairheads.results.audit import AuditReport, GroupShare


def title(report: AuditReport) -> str:
    """What was audited on what."""
    return f"{html.name(report.model.name)} on {html.name(report.data.name)}"


def sections(report: AuditReport, level: int) -> str:
    """Everything below the title; the sections' headings are of ``level``."""
    bunched = bunches(report.pathways.values())
    parts = [
        _lead(report),
        html.heading(level, "Does the network treat people of equal merit differently?"),
        *_verdicts(report, bunched, level + 1),
        html.heading(level, "Decisions by group"),
        _disparity_html.core_rates(report.disparity),
        f'<div class="figures">{_disparity_figures.figure(report.disparity)}<div>{_explained(report)}</div></div>',
        _disparity_html.gaps_table(report.disparity),
        _disparity_html.legend(report.disparity),
        f"<p>{DISCLAIMER}</p>",
        html.heading(level, "Layer by layer"),
        *(_pathway_html.layers(bunch) for bunch in bunched),
        *_pathway_details.sections(report.pathways.values(), level),
        html.heading(level, "Evidence"),
        *(_pathway_html.evidence_table(bunch) for bunch in bunched),
        html.heading(level, "Data and model"),
        *_data(report, level + 1),
        *_model(report, level + 1),
        *_notes(report, level),
        html.heading(level, "Method and limits"),
        *(f"<p>{html.prose(text)}</p>" for text in (*_audit_text.LIMITS, *_audit_text.method(report))),
        html.heading(level, "To do it again"),
        _origin(report),
    ]
    return "\n".join(parts)


def _lead(report: AuditReport) -> str:
    gap = report.disparity.gaps["selection_rate"]
    pair = f", {html.name(gap.highest)} above {html.name(gap.lowest)}" if apart(gap) else ""
    return (
        f'<p class="soft">{html.name(report.model.architecture, 80)}, {count(report.model.parameters)} parameters; '
        f"{_audit_text.sample(report)}.</p>\n"
        f"<p>Accuracy {html.estimate(report.disparity.metrics['accuracy'].overall)}. "
        f"Demographic-parity difference {html.estimate(gap.difference)}{pair}.</p>"
    )


def _verdicts(report: AuditReport, bunched: Sequence[Bunch], level: int) -> list[str]:
    alone = [bunch[0] for bunch in bunched if len(bunch) == 1]
    if not bunched:
        return ["<p>No group was put beside a reference.</p>"]
    parts = [_pathway_html.card(bunch, level) for bunch in bunched]
    if len(report.pathways) == 1:
        return [*parts, _pathway_html.figures(alone[0])]
    if alone:
        parts.insert(0, _audit_figure.figure(report))
    for pathway in alone:
        parts += [html.heading(level, _pathway_html.title(pathway)), _pathway_html.figures(pathway)]
    return parts


def _explained(report: AuditReport) -> str:
    return _disparity_html.explained(report.disparity, tuple(report.disparity.metrics))


def _data(report: AuditReport, level: int) -> list[str]:
    known = any(share.training_n is not None for share in report.data.groups.values())

    def row(group: str, share: GroupShare) -> list[str]:
        trained = "not known" if share.training_n is None else count(share.training_n)
        base = "not known" if share.training_base_rate is None else html.amount(share.training_base_rate)
        return [html.name(group), count(share.n), html.estimate(share.base_rate), *([trained, base] if known else [])]

    head = ["Group", "Audited rows", "Recorded favourable"]
    head += ["Training rows", "Recorded favourable in training"] if known else []
    caption = "Groups and labels, beside the training record's" if known else "Groups and labels"
    parts = [
        html.heading(level, f"Data: {html.name(report.data.name)}"),
        f"<p>{_audit_text.sample(report)}. {html.prose(_audit_text.overlap(report))}</p>",
        html.table(caption, head, [row(g, s) for g, s in report.data.groups.items()], right=range(1, len(head))),
    ]
    unseen = _audit_text.unseen(report)
    return parts if unseen is None else [*parts, f"<p>{html.prose(unseen)}</p>"]


def _model(report: AuditReport, level: int) -> list[str]:
    model = report.model
    pairs = [("Architecture", html.name(model.architecture, 80)), ("Parameters", count(model.parameters))]
    pairs.append(("Layers looked at", ", ".join(html.layer(name) for name in model.layers) or "none"))
    pairs += [(html.name(capital(what)), html.prose(how)) for what, how in recipe(model.training)]
    return [html.heading(level, f"Model: {html.name(model.name)}"), html.definitions(pairs)]


def _notes(report: AuditReport, level: int) -> list[str]:
    if not report.notes:
        return []
    items = "".join(f"<li>{html.prose(note)}</li>" for note in report.notes)
    return [html.heading(level, "Notes"), f"<ul>{items}</ul>"]


def _origin(report: AuditReport) -> str:
    pairs = [("Seed", str(report.seed))]
    pairs += [(html.name(what), html.name(version)) for what, version in report.versions.items()]
    pairs += [("Digest of the weights", html.prose(report.model.digest))]
    pairs += [("Digest of the data", html.prose(report.data.digest))]
    levels = sorted({p.alpha for p in report.pathways.values()})
    pairs.append(("Level alpha", ", ".join(f"{level:g}" for level in levels) or amount(float("nan"))))
    return html.definitions(pairs)
