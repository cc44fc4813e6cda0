"""From measurements to a word: the rule of the verdict, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairheads.pathways.case import Case
from fairheads.pathways.conditions import (
    KINDS,
    RULE,
    TWINS_MATCHED,
    Bools,
    Bounds,
    Rule,
    bounds_of,
    general_checks,
    keeps_ranking,
    layer_checks,
    moved_gap,
    retention_of,
    twin_summary,
)
from fairheads.pathways.evidence import Finding, report_of, untestable_report
from fairheads.pathways.measure import LayerMeasure
from fairheads.results import Evidence, Number, PathwayReport, Verdict

Place = tuple[int, int]
"""Layer and kind of effect."""

ABSENT_AT_END = (
    "at the last layer both effects are shown to lie within their margins, and so is the score's difference at equal"
    " merit"
)


@dataclass(frozen=True)
class Absence:
    """A way in which no head is shown: the word and its reason, the place to be shown, and the layers it rests on."""

    verdict: Verdict
    reason: str
    place: Place
    layers: tuple[LayerMeasure, ...]


def _strongest(bounds: Bounds, places: list[Place]) -> Place:
    return max(places, key=lambda place: abs(bounds.point[place]) / bounds.margin[place[1]])


def _places(found: Bools) -> list[Place]:
    return [(int(layer), int(kind)) for layer, kind in np.argwhere(found)]


def _passing(case: Case, bounds: Bounds, direction: int, rule: Rule, alpha: float) -> tuple[list[Place], str]:
    """Where an effect in one direction meets the margin and the twins; where it does so nowhere, what it fails by."""
    beyond = bounds.beyond(direction)
    if not beyond.any():
        return [], "the other effect at its layer surely has the other sign" if bounds.exceeds(direction).any() else ""
    if rule.beyond_mean:
        beyond &= bounds.beyond_mean(direction)
    if not beyond.any():
        return [], "not beyond the twins' mean by as much"
    if not case.twins:
        return _places(beyond), ""
    ps = {place: _p(case, bounds, place, direction) for place in _places(beyond)}
    alike = all(np.isnan(p) for p in ps.values())
    failed = "these twins are too few or too alike to compare with" if alike else "not beyond what the twins show"
    return [place for place, p in ps.items() if p <= alpha], failed


def _find(
    case: Case, bounds: Bounds, retention: Number, beside: str, checks: list[Evidence], alpha: float, rule: Rule
) -> Finding:
    """The rule: checks, then heads of either sign, then suppression, then neutral; else nothing is decided."""
    everywhere = [(layer, kind) for layer in range(len(case.layers)) for kind in (0, 1)]
    strongest = _strongest(bounds, everywhere)
    direction = 1 if bounds.point[strongest] >= 0 else -1
    failed = [check.detector for check in checks if check.passed is False and check.detector != TWINS_MATCHED]
    if failed:
        return Finding("inconclusive", f"a check failed: {failed[0]}", strongest, direction)
    (above, fails_above), (below, fails_below) = (_passing(case, bounds, d, rule, alpha) for d in (1, -1))
    if above and below:
        return Finding("inconclusive", "effects of both signs lie beyond their margins", strongest, direction)
    levelled = _levelled_down(case, retention, rule)
    fails = fails_above or fails_below
    passing = above or below
    if passing:
        direction = 1 if above else -1
        if not rule.reaches_end or bounds.reaches_end(direction):
            return _head(case, bounds, retention, beside, passing, direction, rule)
        strongest, fails = _strongest(bounds, passing), "is not shown to reach the last layer"
    lost = f"ranking within groups is below {rule.retention:g} of the twins' and the gap smaller than theirs"
    if not levelled:
        absences = _neutral(case, bounds, strongest, rule)
    else:
        absences = [] if passing else _levelling(case, bounds, strongest, lost)
    doubts: list[str] = []
    for absence in absences:
        found = _doubts(absence, case, bounds)
        if not found:
            sign = 1 if bounds.point[absence.place] >= 0 else -1
            return Finding(absence.verdict, absence.reason, absence.place, sign)
        doubts += found
    if doubts:
        seen = f"{lost}; no effect was seen" if levelled else "no effect was seen"
        word: Verdict = "head_or_suppression" if levelled else "inconclusive"
        return Finding(word, f"{seen}, but {doubts[0]}", strongest, direction)
    if levelled and not passing:
        open_still = f"{lost}; whether an effect exceeds its margin is open"
        return Finding("head_or_suppression", open_still, strongest, direction)
    reason = f"an effect lies beyond its margin, but {fails}" if fails else "the intervals reach across a margin"
    return Finding("inconclusive", reason, strongest, direction)


def _levelling(case: Case, bounds: Bounds, strongest: Place, lost: str) -> list[Absence]:
    """Where merit went for everybody: that no effect exceeds its margin upwards."""
    if not bounds.inside(below_only=True):
        return []
    return [Absence("suppression", f"{lost}; no effect exceeds its margin", strongest, case.layers)]


def _neutral(case: Case, bounds: Bounds, strongest: Place, rule: Rule) -> list[Absence]:
    """That no effect exceeds its margin, at any layer or at the last."""
    ways = []
    if bounds.inside():
        ways.append(Absence("neutral", _why_neutral(bounds), strongest, case.layers))
    if rule.absent_at_end and bounds.inside_at_end():
        end = len(case.layers) - 1
        place = _strongest(bounds, [(end, kind) for kind in range(len(KINDS))])
        ways.append(Absence("neutral", ABSENT_AT_END, place, case.layers[-1:]))
    return ways


def _levelled_down(case: Case, retention: Number, rule: Rule) -> bool:
    """Whether ranking within groups is lost and the gap smaller than any twin's."""
    lost = retention.high is not None and retention.high < rule.retention
    return lost and bool(case.twins) and abs(case.gap) < min(abs(t.gap) for t in case.twins)


def _doubts(absence: Absence, case: Case, bounds: Bounds) -> list[str]:
    """What speaks against it: checks that did not pass at the layers that it rests on, a score that differs."""
    checks = (check for layer in absence.layers for check in layer_checks(layer))
    doubts = [f"a check did not pass: {check.detector}" for check in checks if not check.passed]
    reader = _differs(case, bounds) if absence.verdict == "neutral" else None
    if reader is not None:
        doubts.append(f"the score differs at equal merit by more than swap's margin, as {reader} reads the merit")
    return doubts


def _differs(case: Case, bounds: Bounds) -> str | None:
    """The layer that reads merit best, where the score surely differs between the groups at that merit: by more than
    any layer's effect explains, as where what adds the group to the score goes round the layers that are looked at.
    """
    best = int(np.argmax([layer.point["merit_auc"] for layer in case.layers]))
    least = abs(bounds.difference[best]) - bounds.critical * bounds.difference_se[best]
    return case.layers[best].name if least > bounds.margin[0] else None


def _why_neutral(bounds: Bounds) -> str:
    if bounds.inside(beside_twins=False):
        return "every effect is shown to lie within its margin"
    return "no effect is beyond its margin, and each is shown to lie within it, of 0 or of the twins' mean"


def _p(case: Case, bounds: Bounds, place: Place, direction: int) -> float:
    """The twins' p of the effect at one place; NaN, which no level passes, where there is nothing to compare with."""
    summary = twin_summary(case, *place, direction, float(bounds.point[place]))
    return float("nan") if summary is None else summary.p


def _head(
    case: Case, bounds: Bounds, retention: Number, beside: str, places: list[Place], direction: int, rule: Rule
) -> Finding:
    place = _strongest(bounds, places)
    effect = f"{KINDS[place[1]]} at {case.layers[place[0]].name} beyond its margin"
    failed = [check.detector for check in layer_checks(case.layers[place[0]]) if check.passed is False]
    kept = keeps_ranking(retention, rule)
    if case.orientation == 0:
        word: Verdict = "inconclusive"
        reason = f"{effect}, but the labels show no gap that would give it a direction"
    elif failed:
        word, reason = "inconclusive", f"{effect}, but a check failed: {failed[0]}"
    elif direction > 0 and moved_gap(case, bounds, rule) is False:
        word, reason = "inconclusive", f"{effect}, but the gap has hardly moved from the twins'"
    elif not case.twins and not kept:
        word = "inconclusive"
        reason = f"{effect}, but without twins the ranking within groups cannot be shown to be kept"
    elif not kept:
        # Merit that all groups have may be missing where an effect lies along the gap.
        word = "head_or_suppression" if direction > 0 else "inconclusive"
        shown = f"ranking within groups is not shown to stay above {rule.retention:g}"
        reason = f"{effect} and beyond the twins', but {shown}"
    elif not case.twins or case.background.twins_matched is False:
        why = "no twins" if not case.twins else "twins from other training rows"
        word = "consistent_with_compensating_head" if direction > 0 else "consistent_with_aligned_use"
        reason = f"{effect}, ranking within groups kept beside {beside}; {why}"
    else:
        word = "compensating_head" if direction > 0 else "aligned_use"
        reason = f"{effect} and beyond the twins', ranking within groups kept, checks passed"
    return Finding(word, reason, place, direction)


def judge(case: Case, *, alpha: float = 0.05, rule: Rule = RULE) -> PathwayReport:
    """The verdict on one case at level ``alpha`` by a rule, with its evidence.

    An intersection-union test: margin, twins, retention and checks must each hold at level ``alpha``, so the chance of
    a false head is at most ``alpha`` as far as each condition keeps its level. What is tested is whether the network
    departs, along what tells the groups apart at equal merit, from the best readout of the label. Where merit alone
    tells them apart, giving some of it less weight does so too, and is no other function than a head that reads it.
    """
    if case.untestable is not None:
        return untestable_report(case, case.untestable, alpha)
    retention, beside = retention_of(case, alpha)
    checks = general_checks(case)
    bounds = bounds_of(case, alpha, rule)
    if case.unreadable and not (_levelled_down(case, retention, rule) and bounds.inside(below_only=True)):
        return untestable_report(case, "the group cannot be read from any layer", alpha)
    found = _find(case, bounds, retention, beside, checks, alpha, rule)
    return report_of(case, bounds, found, retention, beside, checks, alpha, rule)
