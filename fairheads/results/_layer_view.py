"""One layer at a time in HTML: the reader opens a layer, and the one that was open closes. No script, no style needed.

Lines that open and close (``details``) are what every notebook keeps: where a viewer drops style sheets, or the name
that ties the lines together, they open one by one, and all is still there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fairheads.results import _markup as html
from fairheads.results._words import count

if TYPE_CHECKING:
    from fairheads.results.pathway import LayerReport, PathwayReport

UNITS = 4
"""Units of a layer that are told."""


def layer_view(report: PathwayReport, what: str) -> str:
    """A line for every layer with both effects, which opens on all that was measured there; ``what`` is HTML."""
    first = report.effect.layer if report.effect is not None else report.layers[0].name
    panels = [(layer, _panel(report, layer)) for layer in report.layers]
    name = "layers-" + hashlib.sha256("".join([what, *(panel for _, panel in panels)]).encode()).hexdigest()[:8]
    lines = [
        f'<details name="{name}"{" open" if layer.name == first else ""}>'
        f"<summary>{_line(report, layer)}</summary>\n{panel}</details>"
        for layer, panel in panels
    ]
    level = f"level {report.alpha:.2g}"
    told = (
        f"{what}: open a layer to see what was measured there. Each bound of swap and erasure holds for all layers and "
        f"both effects together at {level}; other intervals hold one by one at 95 %."
    )
    return f"<p>{told}</p>\n" + '<div class="layers">' + "\n".join(lines) + "</div>"


def _line(report: PathwayReport, layer: LayerReport) -> str:
    parts = [
        html.layer(layer.name),
        f"<span>swap {html.number(layer.swap.value, layer.swap.low, layer.swap.high)}</span>",
        f"<span>erasure {html.number(layer.erasure.value, layer.erasure.low, layer.erasure.high)}</span>",
    ]
    if report.rests_on_effect and layer.name == report.emerges_at:
        parts.append("<span><strong>emerges here</strong></span>")
    return " ".join(parts)


def _panel(report: PathwayReport, layer: LayerReport) -> str:
    said = " ".join(_notes(report, layer))
    return (f"<p>{said}</p>\n" if said else "") + html.definitions(list(_facts(report, layer)))


def _notes(report: PathwayReport, layer: LayerReport) -> Iterator[str]:
    effect = report.effect
    if effect is not None and effect.layer == layer.name:
        decided = f"The verdict rests on the {effect.kind} here."
        yield decided if report.rests_on_effect else f"The {effect.kind} here is the strongest of all effects."
    if report.curve is not None and report.curve.merit and report.curve.layer == layer.name:
        yield "The scores at equal merit, in the figure, are those at the merit that this layer gives."


def _facts(report: PathwayReport, layer: LayerReport) -> Iterator[tuple[str, str]]:
    def effect(kind: str, twins: tuple[float, ...]) -> str:
        margin = report.margins.get(kind)
        known = [value for value in twins if not math.isnan(value)]
        told = [html.estimate(getattr(layer, kind))]
        told += [] if margin is None else [f"margin {html.amount(margin)}"]
        told += [f"twins' mean {html.amount(math.fsum(known) / len(known))}"] if known else []
        return ", ".join(told)

    yield "Swap, sd of the logit", effect("swap", layer.twin_swaps)
    yield "Erasure, selection rate", effect("erasure", layer.twin_erasures)
    yield "Difference at equal merit, sd of the logit", html.estimate(layer.equal_merit)
    yield "Share that flips", html.estimate(layer.flips)
    control = f"; of a shuffled group {html.amount(layer.control_auc.value)}"
    yield "Group probe, AUC", html.estimate(layer.probe_auc) + control
    after = f"; after erasure {html.amount(layer.merit_auc_after.value)}"
    yield "Label readout, AUC", html.estimate(layer.merit_auc) + after
    before = f"{html.amount(layer.group_auc_before.value)} → {html.amount(layer.group_auc_after.value)}"
    yield "Group within merit bins before → after erasure, AUC", f'<span class="n">{before}</span>'
    yield "Units", _units(report, layer)
    for routes in () if report.routing is None else report.routing.layers:
        if routes.name == layer.name:
            yield "Pathways apart, dissociation", html.estimate(routes.dissociation)


def _units(report: PathwayReport, layer: LayerReport) -> str:
    """How many there are; of a report that names units, those with the largest share of the swap effect."""
    told = count(layer.units)
    if report.units is None:
        return told
    own = sorted((unit for unit in report.units.units if unit.layer == layer.name), key=lambda unit: -abs(unit.value))
    named = sum(unit.discovered for unit in own)
    largest = ", ".join(f"unit {unit.unit} ({html.amount(unit.value)})" for unit in own[:UNITS])
    return f"{told}, {count(named) if named else 'none'} named" + (f"; largest: {largest}" if largest else "")
