"""The report of one case: the deciding effect, the layers, and a line of evidence for every detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fairheads.pathways.case import Case
from fairheads.pathways.conditions import (
    KINDS,
    UNITS,
    Bounds,
    Rule,
    gap_of_twins,
    gap_to_reach,
    keeps_ranking,
    layer_checks,
    moved_gap,
    twin_summary,
)
from fairheads.pathways.intervals import jackknifed
from fairheads.pathways.measure import QUANTITIES, LayerMeasure
from fairheads.pathways.units import FEWEST_TWINS
from fairheads.results import (
    Effect,
    Evidence,
    Flips,
    LayerReport,
    Neutralisation,
    Number,
    PathwayReport,
    TwinSummary,
    Verdict,
    undefined,
)

Tag = Literal["causal", "functional", "descriptive", "check"]

NO_COMMON_MERIT = "no merit bin has rows of both groups"
ONE_KIND = "in each half of the rows all are of one kind"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    reason: str
    place: tuple[int, int]
    direction: int


def _causal(
    bounds: Bounds, found: Finding, layers: Sequence[LayerMeasure], twins: TwinSummary | None, alpha: float
) -> list[Evidence]:
    """The deciding effect, and the other kind where it reaches furthest in the same direction."""
    lines = []
    near = bounds.low if found.direction > 0 else -bounds.high
    furthest = np.nan_to_num(near, nan=-np.inf).argmax(0)
    for kind, name in enumerate(KINDS):
        place = found.place if kind == found.place[1] else (int(furthest[kind]), kind)
        low, high, margin = float(bounds.low[place]), float(bounds.high[place]), float(bounds.margin[kind])
        beyond = low > margin if found.direction > 0 else high < -margin
        lines.append(
            Evidence(
                detector=f"{name} at {layers[place[0]].name}",
                tag="causal",
                value=float(bounds.point[place]),
                low=low,
                high=high,
                null=found.direction * margin,
                passed=beyond,
                note=f"beyond the margin, in {UNITS[name]}; each bound holds over layers and both effects",
            )
        )
    if twins is not None:
        excess, half = (float(v[found.place]) for v in (bounds.excess, bounds.excess_critical * bounds.excess_se))
        margin = float(bounds.margin[found.place[1]])
        lines.append(
            Evidence(
                detector=f"{KINDS[found.place[1]]} less the mean of {twins.n} twins",
                tag="causal",
                value=excess,
                low=excess - half,
                high=excess + half,
                null=found.direction * margin,
                passed=None if np.isnan(excess) else found.direction * excess - half > margin,
                note=f"beyond the margin; what both share cancels; each bound at level {alpha:g}, for this place alone",
            )
        )
        lines.append(
            Evidence(
                detector=f"{KINDS[found.place[1]]} beside {twins.n} twins",
                tag="causal",
                value=float(bounds.point[found.place]),
                low=None,
                high=None,
                null=twins.mean,
                passed=None if np.isnan(twins.p) else twins.p <= alpha,
                note=f"p = {twins.p:.2g} (predictive t); by rank {twins.p_rank:.2g}, no smaller than {twins.p_min:.2g}",
            )
        )
    return lines


def _functional(detector: str, number: Number, null: float, note: str, passed: bool | None = None) -> Evidence:
    return Evidence(
        detector=detector,
        tag="functional",
        value=number.value,
        low=number.low,
        high=number.high,
        null=null,
        passed=passed,
        note=number.reason or note,
    )


def _probes(case: Case, layer: LayerReport) -> list[Evidence]:
    """The group probe of the deciding layer beside that of the inputs; the null is a shuffled label's."""

    def line(where: str, auc: Number, control: float, note: str) -> Evidence:
        return Evidence(
            detector=f"group probe at {where}",
            tag="descriptive",
            value=auc.value,
            low=auc.low,
            high=auc.high,
            null=control,
            passed=None,
            note=note,
        )

    lines = [line(layer.name, layer.probe_auc, layer.control_auc.value, "held-out AUC; encoding is no evidence of use")]
    if case.inputs is not None:
        note = "what the inputs say of the group before the network has done anything"
        lines.append(line("the inputs", _input_auc(case), case.inputs.aucs.control, note))
    return lines


def _layer_report(case: Case, index: int, bounds: Bounds) -> LayerReport:
    layer = case.layers[index]

    def pointwise(quantity: str) -> Number:
        reason = ONE_KIND if quantity.endswith("_auc") else NO_COMMON_MERIT
        return jackknifed(layer.point[quantity], layer.column(quantity), case.n, reason)

    def simultaneous(kind: int) -> Number:
        place = (index, kind)
        low, high = float(bounds.low[place]), float(bounds.high[place])
        return Number(value=float(bounds.point[place]), n=case.n, low=low, high=high)

    effects = {kind: simultaneous(i) for i, kind in enumerate(KINDS)}
    others = {quantity: pointwise(quantity) for quantity in QUANTITIES if quantity not in KINDS}
    return LayerReport(
        name=layer.name,
        units=layer.units,
        **effects,
        **others,
        merit_auc_after=Number(value=layer.merit_auc_after, n=case.n),
        group_auc_before=Number(value=layer.group_auc_before, n=case.n),
        group_auc_after=Number(value=layer.group_auc_after, n=case.n),
        twin_swaps=tuple(float(t.effects[index, 0]) for t in case.twins),
        twin_erasures=tuple(float(t.effects[index, 1]) for t in case.twins),
    )


def _outside(case: Case) -> Number:
    if case.inputs is None:
        return undefined("the inputs are not one table of moderate width", case.n)
    difference = case.inputs.equal_merit
    return jackknifed(float(difference[0]), difference[1:], case.n, NO_COMMON_MERIT)


def _input_auc(case: Case) -> Number:
    if case.inputs is None:
        return undefined("the inputs are not one table of moderate width", case.n)
    return Number(value=case.inputs.aucs.member, n=case.n)


def _kept(retention: Number, beside: str, rule: Rule) -> Evidence:
    note, kept = f"share of that of {beside}", keeps_ranking(retention, rule)
    return _functional("ranking within groups kept", retention, rule.retention, note, kept)


def _gap(case: Case, bounds: Bounds, rule: Rule) -> list[Evidence]:
    """How far the gap has moved from the twins'."""
    moved = moved_gap(case, bounds, rule)
    if moved is None:
        return []
    note = f"{gap_of_twins(case):.3f} of the median twin; beyond it by {rule.moved_share:g} of erasure's margin"
    found = Number(value=case.gap, n=case.n)
    return [_functional("difference in selection rates", found, gap_to_reach(case, bounds, rule), note, moved)]


def report_of(
    case: Case,
    bounds: Bounds,
    found: Finding,
    retention: Number,
    beside: str,
    checks: list[Evidence],
    alpha: float,
    rule: Rule,
) -> PathwayReport:
    """The report of a case that was judged."""
    layer, kind = found.place
    measured = case.layers[layer]
    effect = Effect(
        kind=KINDS[kind],
        layer=measured.name,
        value=float(bounds.point[found.place]),
        low=float(bounds.low[found.place]),
        high=float(bounds.high[found.place]),
        margin=float(bounds.margin[kind]),
        unit=UNITS[KINDS[kind]],
    )
    twins = twin_summary(case, layer, kind, found.direction, effect.value)
    layers = tuple(_layer_report(case, i, bounds) for i in range(len(case.layers)))
    return PathwayReport(
        group=case.group,
        reference=case.reference,
        verdict=found.verdict,
        reason=found.reason,
        orientation=case.orientation,
        base_rate_gap=case.base_rate_gap,
        effect=effect,
        margins={kind: float(margin) for kind, margin in zip(KINDS, bounds.margin, strict=True)},
        layers=layers,
        twins=twins,
        retention=retention,
        flips=Flips(
            n=int(measured.flips.sum()),
            share=float(measured.flips.mean()),
            layer=measured.name,
            row_ids=tuple(case.row_id[measured.flips].tolist()),
        ),
        equal_merit_outside=_outside(case),
        input_auc=_input_auc(case),
        curve=measured.curve,
        label_bias=None,
        evidence=(
            *_causal(bounds, found, case.layers, twins, alpha),
            *_gap(case, bounds, rule),
            _kept(retention, beside, rule),
            _functional("difference at equal merit, own readout", layers[layer].equal_merit, 0.0, measured.name),
            _functional(
                "difference at equal merit, outside readout", _outside(case), 0.0, "linear readout of the inputs"
            ),
            *_probes(case, layers[layer]),
            *checks,
            *layer_checks(measured),
        ),
        n=case.n,
        alpha=alpha,
    )


def with_details(report: PathwayReport) -> PathwayReport:
    """The report with a line of evidence for each of its details, every line among those of its kind."""
    order = ("causal", "functional", "descriptive", "check")
    lines = [*report.evidence, *_detail_lines(report)]
    return replace(report, evidence=tuple(sorted(lines, key=lambda line: order.index(line.tag))))


def _detail_lines(report: PathwayReport) -> Iterator[Evidence]:
    """They are told beside what decided; none of them did."""
    if report.units is not None and report.effect is not None:
        yield from (
            _neutralised(done, report) for done in report.units.neutralised if done.layer == report.effect.layer
        )
    if report.counterfactual is not None:
        found = report.counterfactual
        yield _beside("counterfactual inputs", "causal", found.effect, 0.0, f"{found.what}; in sd of the logit")
    if report.two_heads is not None:
        fit = report.two_heads
        note = f"as the network at {fit.layer}, beside merit alone; strength {fit.strength}"
        yield _beside("two heads fitted: decided alike", "functional", fit.agreement, fit.floor.value, note)
    if report.recovery is not None:
        back = report.recovery
        note = f"group head taken out, beside an offset alone; accuracy {back.gained} beside the network's"
        yield _beside("recovery: decided like a twin", "functional", back.agreement, back.floor.value, note)
    if report.routing is not None:
        routes = report.routing
        yield _beside(
            f"routing at {routes.layer}",
            "descriptive",
            routes.strongest.dissociation,
            routes.largest_in_twins,
            f"dissociation beside the largest of {routes.twins} twins: {routes.reason}",
        )
    if report.units is not None:
        units = report.units
        named = len(units.discovered)
        note = units.reason or f"{named} of {units.total}, at a false discovery rate of {units.rate:g}"
        known = units.twins >= FEWEST_TWINS
        share = Number(value=named / units.total, n=report.n) if known else undefined(units.reason, report.n)
        yield _beside("units named, share", "descriptive", share, None, note)


def _neutralised(done: Neutralisation, report: PathwayReport) -> Evidence:
    """Choosing units moves the gap in ordinary networks too: the twins' mean is the null."""
    gaps = done.twin_gaps
    p = f"p = {done.p:.2g} (predictive t), {done.p_rank:.2g} by rank"
    note = f"{p}; units chosen on the other half of the rows; the verdict does not rest on it"
    line = _beside(
        f"pathway neutralised at {done.layer}",
        "causal",
        done.gap,
        float(np.mean(gaps)) if gaps else None,
        note if gaps else "without twins it is not known how much choosing moves the gap",
    )
    return replace(line, passed=None if np.isnan(done.p) else done.p <= report.alpha)


def _beside(detector: str, tag: Tag, number: Number, null: float | None, note: str) -> Evidence:
    return Evidence(
        detector=detector,
        tag=tag,
        value=number.value,
        low=number.low,
        high=number.high,
        null=None if null is None or np.isnan(null) else null,
        passed=None,
        note=number.reason or note,
    )


def untestable_report(case: Case, reason: str, alpha: float) -> PathwayReport:
    """The report of a case that could not be judged."""
    return PathwayReport(
        group=case.group,
        reference=case.reference,
        verdict="not_testable",
        reason=reason,
        orientation=case.orientation,
        base_rate_gap=case.base_rate_gap,
        effect=None,
        margins={},
        layers=(),
        twins=None,
        retention=undefined(reason, case.n),
        flips=None,
        equal_merit_outside=_outside(case),
        input_auc=_input_auc(case),
        curve=None,
        label_bias=None,
        evidence=(),
        n=case.n,
        alpha=alpha,
    )
