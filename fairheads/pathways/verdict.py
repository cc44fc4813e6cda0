"""From measurements to a word: the conditions of the verdict, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.pathways.intervals import jackknife_se, pointwise_critical, simultaneous_critical
from fairheads.pathways.measure import QUANTITIES, InputMeasure, LayerMeasure, TwinMeasure
from fairheads.pathways.sample import JACKKNIFE_BLOCKS
from fairheads.results import (
    Effect,
    Evidence,
    Flips,
    LayerReport,
    Number,
    PathwayReport,
    TwinSummary,
    Verdict,
    undefined,
)

Floats = NDArray[np.float64]
Kind = Literal["swap", "erasure"]

KINDS: tuple[Kind, Kind] = ("swap", "erasure")
UNITS: dict[Kind, str] = {"swap": "sd of the logit", "erasure": "difference in selection rate"}

SWAP_MARGIN = 0.1
"""Smallest swap effect worth the name, in standard deviations of the logit."""

ERASURE_MARGIN = 0.02
"""Smallest erasure effect worth the name, in selection rate; at least `ERASURE_SHARE` of the gap to be closed."""

ERASURE_SHARE = 0.15
RETENTION = 0.9
"""Share of the twins' ranking within groups that a head keeps."""

READABLE = 0.03
"""Largest held-out AUC above one half of the group within merit bins after erasure, or a quarter of that before."""

MERIT_LOSS = 0.01
"""Largest loss of the label's held-out AUC through erasure."""

OVERFITTING = 0.02
"""Largest difference of the generalisation gap (AUC within groups) from the twins'."""


@dataclass(frozen=True)
class Background:
    """What is known about training: None where it is not.

    ``rows_disjoint``: the audited rows are no training rows. ``twins_matched``: the twins were trained on the model's
    own rows. ``generalisation_gap``: the model's training minus held-out AUC within groups, and the twins' mean.
    """

    rows_disjoint: bool | None = None
    twins_matched: bool | None = None
    generalisation_gap: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One group against its reference: everything measured, nothing judged."""

    group: str
    reference: str
    n: int
    orientation: int
    base_rate_gap: Number
    gap: float
    layers: tuple[LayerMeasure, ...]
    auc_within: Floats
    inputs: InputMeasure | None
    twins: tuple[TwinMeasure, ...]
    row_id: NDArray[np.int64]
    tap_is_inert: bool
    background: Background
    untestable: str | None
    seed: int


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Point, standard error, simultaneous bounds and margin of both effects at every layer: arrays (layers, 2)."""

    point: Floats
    se: Floats
    low: Floats
    high: Floats
    margin: Floats

    def inside(self, alpha: float, *, below_only: bool = False) -> bool:
        """Whether every effect lies within its margin, each one-sided test at level ``alpha``.

        Equivalence of ALL effects is an intersection-union test: it keeps its level without a correction for their
        number (Berger & Hsu 1996), so its bounds are pointwise.
        """
        half = pointwise_critical(JACKKNIFE_BLOCKS, 2 * alpha) * self.se
        below = self.point + half < self.margin
        above = self.point - half > -self.margin
        return bool(below.all() and (below_only or above.all()))


def _bounds(case: Case, alpha: float) -> _Bounds:
    replicates = np.concatenate([np.column_stack([m.column(k) for k in KINDS]) for m in case.layers], axis=1)
    point = np.array([[m.point[k] for k in KINDS] for m in case.layers])
    se = jackknife_se(replicates).reshape(point.shape)
    half = simultaneous_critical(replicates, alpha, case.seed) * se
    to_close = np.mean([t.gap for t in case.twins]) if case.twins else case.base_rate_gap.value
    margin = np.array([SWAP_MARGIN, max(ERASURE_MARGIN, ERASURE_SHARE * abs(float(to_close)))])
    return _Bounds(point, se, point - half, point + half, margin)


def _twin_summary(case: Case, layer: int, kind: int, direction: int, value: float) -> TwinSummary | None:
    """The effect beside the twins' largest over layers; p is doubled for the choice between two kinds of effect."""
    k = len(case.twins)
    if k == 0:
        return None
    per_layer = np.array([t.swaps if kind == 0 else t.erasures for t in case.twins])
    largest = (direction * per_layer).max(1)
    mean, sd = float(largest.mean()), float(largest.std(ddof=1)) if k > 1 else float("nan")
    p = float("nan")
    if k > 1 and sd > 0:
        t = (direction * value - mean) / (sd * np.sqrt(1 + 1 / k))
        p = min(1.0, 2 * float(special.stdtr(k - 1, -t)))
    above = int((largest >= direction * value).sum())
    return TwinSummary(n=k, mean=direction * mean, sd=sd, p=p, p_rank=(1 + above) / (k + 1), p_min=1 / (k + 1))


def _retention(case: Case) -> tuple[Number, str]:
    """Ranking within groups as a share of the twins', else of the readout of the inputs; and beside what."""
    if case.twins:
        others = np.array([t.auc_within for t in case.twins])
        beside = "the twins"
    elif case.inputs is not None:
        others, beside = case.inputs.auc_within[None], "a linear readout of the inputs"
    else:
        return undefined("no twins, and no reference can be fitted from these inputs", case.n), "nothing"
    theirs = others.mean(0) - 0.5
    if not theirs[0] > 0.01:
        return undefined(f"{beside} rank no better than chance within groups", case.n), beside
    ratios = (case.auc_within - 0.5) / theirs
    variance = float(jackknife_se(ratios[1:, None])[0]) ** 2
    if len(others) > 1:
        variance += (ratios[0] * others[:, 0].std(ddof=1) / theirs[0]) ** 2 / len(others)
    half = pointwise_critical(JACKKNIFE_BLOCKS, 0.05) * float(np.sqrt(variance))
    value = float(ratios[0])
    return Number(value=value, n=case.n, low=value - half, high=value + half), beside


def _passing(bounds: _Bounds, direction: int) -> list[tuple[int, int]]:
    """(layer, kind) beyond the margin in one direction, not contradicted by the other effect at the layer."""
    near = bounds.low if direction > 0 else -bounds.high
    far = bounds.high if direction > 0 else -bounds.low
    return [
        (layer, kind)
        for layer in range(len(bounds.point))
        for kind in (0, 1)
        if near[layer, kind] > bounds.margin[kind] and far[layer, 1 - kind] >= 0
    ]


def _strongest(bounds: _Bounds, places: list[tuple[int, int]]) -> tuple[int, int]:
    return max(places, key=lambda place: abs(bounds.point[place]) / bounds.margin[place[1]])


def _check(name: str, value: float, null: float, passed: bool | None, note: str) -> Evidence:
    return Evidence(detector=name, tag="check", value=value, low=None, high=None, null=null, passed=passed, note=note)


def _general_checks(case: Case) -> list[Evidence]:
    known = case.background
    nan = float("nan")
    checks = [
        _check(
            "tap changes nothing", float(case.tap_is_inert), 1.0, case.tap_is_inert, "tapped and plain logits are equal"
        ),
        _check(
            "identity edit changes nothing",
            float(all(m.unchanged_by_identity for m in case.layers)),
            1.0,
            all(m.unchanged_by_identity for m in case.layers),
            "at every layer, to the last bit",
        ),
        _check(
            "rows are no training rows",
            nan if known.rows_disjoint is None else float(known.rows_disjoint),
            1.0,
            known.rows_disjoint,
            "the model has no record of its training rows" if known.rows_disjoint is None else "by row hashes",
        ),
    ]
    if case.twins:
        checks.append(
            _check(
                "twins trained on the model's rows",
                nan if known.twins_matched is None else float(known.twins_matched),
                1.0,
                known.twins_matched,
                "as the caller says, not checked" if known.twins_matched is None else "by row hashes",
            )
        )
        gaps = known.generalisation_gap
        checks.append(
            _check(
                "overfitting like the twins'",
                nan if gaps is None else gaps[0] - gaps[1],
                0.0,
                None if gaps is None else abs(gaps[0] - gaps[1]) <= OVERFITTING,
                "training rows not at hand"
                if gaps is None
                else "training minus held-out AUC within groups, beside theirs",
            )
        )
    return checks


def _layer_checks(layer: LayerMeasure) -> list[Evidence]:
    allowed = 0.5 + max(READABLE, 0.25 * (layer.group_auc_before - 0.5))
    return [
        _check(
            f"group unreadable at equal merit after erasure ({layer.name})",
            layer.group_auc_after,
            0.5,
            layer.group_auc_after <= allowed,
            f"held-out AUC within merit bins, {layer.group_auc_before:.3f} before",
        ),
        _check(
            f"merit kept by erasure ({layer.name})",
            layer.merit_auc_after,
            layer.merit_auc_before,
            layer.merit_auc_after >= layer.merit_auc_before - MERIT_LOSS,
            "held-out AUC of the label",
        ),
    ]


@dataclass(frozen=True)
class _Finding:
    verdict: Verdict
    reason: str
    place: tuple[int, int]
    direction: int


def _find(
    case: Case, bounds: _Bounds, retention: Number, beside: str, checks: list[Evidence], alpha: float
) -> _Finding:
    """The rule. Every sentence here has a test on networks whose answer is known."""
    everywhere = [(layer, kind) for layer in range(len(case.layers)) for kind in (0, 1)]
    strongest = _strongest(bounds, everywhere)
    direction = 1 if bounds.point[strongest] >= 0 else -1
    passing = {d: _passing(bounds, d) for d in (1, -1)}
    if case.twins:
        passing = {
            d: [place for place in places if _p(case, bounds, place, d) <= alpha] for d, places in passing.items()
        }
    failed = [check.detector for check in checks if check.passed is False and check.detector != _TWINS_MATCHED]
    if failed:
        return _Finding("inconclusive", f"a check failed: {failed[0]}", strongest, direction)
    if passing[1] and passing[-1]:
        return _Finding("inconclusive", "effects of both signs lie beyond their margins", strongest, direction)
    for d in (1, -1):
        if passing[d]:
            return _head(case, bounds, retention, beside, passing[d], d)
    lost = retention.high is not None and retention.high < RETENTION
    levelled = bool(case.twins) and abs(case.gap) < min(abs(t.gap) for t in case.twins)
    if lost and levelled and bounds.inside(alpha, below_only=True):
        return _Finding(
            "suppression",
            f"ranking within groups is below {RETENTION:g} of the twins', the gap is smaller than theirs, no effect"
            " exceeds its margin",
            strongest,
            direction,
        )
    if bounds.inside(alpha):
        return _Finding("neutral", "every effect is shown to lie within its margin", strongest, direction)
    beyond = _passing(bounds, 1) + _passing(bounds, -1)
    reason = (
        "an effect lies beyond its margin, but not beyond what the twins show"
        if case.twins and beyond
        else "the intervals reach across a margin"
    )
    return _Finding("inconclusive", reason, strongest, direction)


_TWINS_MATCHED = "twins trained on the model's rows"


def _p(case: Case, bounds: _Bounds, place: tuple[int, int], direction: int) -> float:
    summary = _twin_summary(case, *place, direction, float(bounds.point[place]))
    return 1.0 if summary is None or np.isnan(summary.p) else summary.p


def _head(
    case: Case, bounds: _Bounds, retention: Number, beside: str, places: list[tuple[int, int]], direction: int
) -> _Finding:
    place = _strongest(bounds, places)
    effect = f"{KINDS[place[1]]} at {case.layers[place[0]].name} beyond its margin"
    failed = [check.detector for check in _layer_checks(case.layers[place[0]]) if not check.passed]
    kept = retention.low is not None and retention.low > RETENTION
    if case.orientation == 0:
        word: Verdict = "inconclusive"
        reason = f"{effect}, but the labels show no gap that would give it a direction"
    elif failed:
        word, reason = "inconclusive", f"{effect}, but a check failed: {failed[0]}"
    elif not case.twins and not kept:
        word = "inconclusive"
        reason = f"{effect}, but without twins the ranking within groups cannot be shown to be kept"
    elif not kept:
        word = "head_or_suppression"
        reason = f"{effect} and beyond the twins', but ranking within groups is not shown to stay above {RETENTION:g}"
    elif not case.twins or case.background.twins_matched is False:
        why = "no twins" if not case.twins else "twins from other training rows"
        word = "consistent_with_compensating_head" if direction > 0 else "consistent_with_aligned_use"
        reason = f"{effect}, ranking within groups kept beside {beside}; {why}"
    else:
        word = "compensating_head" if direction > 0 else "aligned_use"
        reason = f"{effect} and beyond the twins', ranking within groups kept, checks passed"
    return _Finding(word, reason, place, direction)


def judge(case: Case, *, alpha: float = 0.05) -> PathwayReport:
    """The verdict on one case at level ``alpha``, with its evidence.

    An intersection-union test: margin, twins, retention and checks must each hold at level ``alpha``, so the chance of
    a false head is at most ``alpha`` as far as each condition keeps its level.
    """
    if case.untestable is not None:
        return _untestable(case, case.untestable, alpha)
    retention, beside = _retention(case)
    checks = _general_checks(case)
    bounds = _bounds(case, alpha)
    found = _find(case, bounds, retention, beside, checks, alpha)
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
    twins = _twin_summary(case, layer, kind, found.direction, effect.value)
    layers = tuple(_layer_report(case, i, bounds) for i in range(len(case.layers)))
    return PathwayReport(
        group=case.group,
        reference=case.reference,
        verdict=found.verdict,
        reason=found.reason,
        orientation=case.orientation,
        base_rate_gap=case.base_rate_gap,
        effect=effect,
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
        evidence=tuple(
            [
                *_causal(bounds, found, measured.name, twins, alpha),
                _functional("ranking within groups kept", retention, RETENTION, f"share of that of {beside}"),
                _functional("difference at equal merit, own readout", layers[layer].equal_merit, 0.0, measured.name),
                _functional(
                    "difference at equal merit, outside readout", _outside(case), 0.0, "linear readout of the inputs"
                ),
                _descriptive(layers[layer]),
                *checks,
                *_layer_checks(measured),
            ]
        ),
        n=case.n,
        alpha=alpha,
    )


def _causal(bounds: _Bounds, found: _Finding, layer: str, twins: TwinSummary | None, alpha: float) -> list[Evidence]:
    lines = []
    for kind, name in enumerate(KINDS):
        place = (found.place[0], kind)
        low, high, margin = float(bounds.low[place]), float(bounds.high[place]), float(bounds.margin[kind])
        beyond = low > margin if found.direction > 0 else high < -margin
        lines.append(
            Evidence(
                detector=f"{name} at {layer}",
                tag="causal",
                value=float(bounds.point[place]),
                low=low,
                high=high,
                null=found.direction * margin,
                passed=beyond,
                note=f"beyond the margin, in {UNITS[name]}; interval simultaneous over layers and both effects",
            )
        )
    if twins is not None:
        lines.append(
            Evidence(
                detector=f"{KINDS[found.place[1]]} beside {twins.n} twins",
                tag="causal",
                value=float(bounds.point[found.place]),
                low=None,
                high=None,
                null=twins.mean,
                passed=None if np.isnan(twins.p) else twins.p <= alpha,
                note=f"p = {twins.p:.2g} (predictive t), {twins.p_rank:.2g} by rank, at least {twins.p_min:.2g}",
            )
        )
    return lines


def _functional(detector: str, number: Number, null: float, note: str) -> Evidence:
    passed = number.low is not None and number.low > null if null == RETENTION else None
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


def _descriptive(layer: LayerReport) -> Evidence:
    return Evidence(
        detector=f"group probe at {layer.name}",
        tag="descriptive",
        value=layer.probe_auc.value,
        low=layer.probe_auc.low,
        high=layer.probe_auc.high,
        null=layer.control_auc.value,
        passed=None,
        note="held-out AUC; the null is that of a shuffled label. Encoding is no evidence of use",
    )


def _layer_report(case: Case, index: int, bounds: _Bounds) -> LayerReport:
    layer = case.layers[index]

    def pointwise(quantity: str) -> Number:
        value = layer.point[quantity]
        if np.isnan(value):
            return undefined("no merit bin has rows of both groups", case.n)
        half = pointwise_critical(JACKKNIFE_BLOCKS, 0.05) * float(jackknife_se(layer.column(quantity)[:, None])[0])
        return Number(value=value, n=case.n, low=value - half, high=value + half)

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
        twin_swaps=tuple(t.swaps[index] for t in case.twins),
        twin_erasures=tuple(t.erasures[index] for t in case.twins),
    )


def _outside(case: Case) -> Number:
    if case.inputs is None:
        return undefined("the inputs are not one table of moderate width", case.n)
    value = float(case.inputs.equal_merit[0])
    if np.isnan(value):
        return undefined("no merit bin has rows of both groups", case.n)
    half = pointwise_critical(JACKKNIFE_BLOCKS, 0.05) * float(jackknife_se(case.inputs.equal_merit[1:, None])[0])
    return Number(value=value, n=case.n, low=value - half, high=value + half)


def _input_auc(case: Case) -> Number:
    if case.inputs is None:
        return undefined("the inputs are not one table of moderate width", case.n)
    return Number(value=case.inputs.aucs.member, n=case.n)


def _untestable(case: Case, reason: str, alpha: float) -> PathwayReport:
    return PathwayReport(
        group=case.group,
        reference=case.reference,
        verdict="not_testable",
        reason=reason,
        orientation=case.orientation,
        base_rate_gap=case.base_rate_gap,
        effect=None,
        layers=(),
        twins=None,
        retention=undefined(reason, case.n),
        flips=None,
        equal_merit_outside=_outside(case),
        input_auc=_input_auc(case),
        curve=None,
        evidence=(),
        n=case.n,
        alpha=alpha,
    )
