"""What the verdict rests on: margins, twins, retention and checks, each a pure function of a case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.pathways.beside import beside_twins
from fairheads.pathways.case import Background, Case
from fairheads.pathways.intervals import jackknife_se, pointwise_critical, simultaneous_critical
from fairheads.pathways.measure import LayerMeasure
from fairheads.pathways.sample import JACKKNIFE_BLOCKS
from fairheads.results import Evidence, Number, TwinSummary, undefined

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Kind = Literal["swap", "erasure"]

KINDS: tuple[Kind, Kind] = ("swap", "erasure")
UNITS: dict[Kind, str] = {"swap": "sd of the logit", "erasure": "difference in selection rate"}

TWINS_MATCHED = "twins trained on the model's rows"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an effect must exceed to be a head. The defaults are those that the calibration study settled on.

    Attributes
    ----------
    swap_margin : float
        Smallest swap effect worth the name, in standard deviations of the logit.
    erasure_margin, erasure_share : float
        Smallest erasure effect worth the name, in selection rate: the larger of ``erasure_margin`` and
        ``erasure_share`` of the gap to be closed. Smaller ones find no more heads (the swap does) and leave more
        networks undecided.
    beyond_mean : bool
        Whether the effect less the twins' mean must exceed the margin as well as the effect itself: what a network
        shares with its twins, such as the noise of the labels, is then no head.
    reaches_end : bool
        Whether one of the effects at the last layer must be shown to lie on the same side of 0. A mean shift of an
        early layer, above all at every position of an image, can be more than the network ever sees; what decides
        arrives at the end.
    absent_at_end : bool
        Whether the absence of an effect may be shown at the last layer alone, for the same reason: both effects there
        within their margins, and the score's difference at equal merit, as every layer reads it, within the swap's.
        That difference is of the output itself: it holds what goes round the last layer, and what a last layer of few
        units no longer tells apart.
    moved_share : float or None
        By how much of erasure's margin a compensating head must have moved the difference in selection rates from that
        of the median twin; None asks for nothing. What is done to a layer that holds more of the group than the
        network uses can be an effect of the doing alone.
    retention : float
        Share of the twins' ranking within groups that a head keeps, and suppression does not. A head of a noisy
        estimate costs some ranking too: a share nearer 1 tells such heads from suppression less often, one further
        from it takes suppression for a head more often.
    """

    swap_margin: float = 0.1
    erasure_margin: float = 0.05
    erasure_share: float = 0.25
    beyond_mean: bool = True
    reaches_end: bool = True
    absent_at_end: bool = True
    moved_share: float | None = 0.5
    retention: float = 0.92


RULE = Rule()

READABLE, READABLE_SHARE = 0.05, 0.35
"""Largest held-out AUC above one half of the group at equal merit after erasure, or share of that before.

An eraser leaves something by its own error, the more the fewer the rows; one that does not erase leaves all of it.
"""

MERIT_LOSS = 0.01
"""Largest loss of the label's held-out AUC through erasure."""

COVERED = 0.9
"""Share of rows in merit bins with rows of both groups below which the absence of an effect is not said."""

OVERFITTING = 0.02
"""By how much the generalisation gap (AUC within groups) may exceed the twins'; its interval must reach there.

A network that has lost merit ranks by other features than its twins, whose luck on two samples of rows is another: with
1,845 rows of COMPAS the difference was .03 with a standard error of .015, in all of five seeds.
"""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Both effects at every layer, arrays (layers, 2): point, standard error, simultaneous bounds and margin.

    ``low`` and ``high`` are bounds at level alpha each, all places together; ``critical`` is for one bound of one place
    at level alpha. ``excess`` is the effect less the twins' mean, with ``excess_se`` and ``excess_critical`` alike; NaN
    without twins that may have been trained on the same rows. ``difference`` (layers,) is the score's at equal merit
    as each layer reads it, in sd of the logit and turned, with its standard error.
    """

    point: Floats
    se: Floats
    low: Floats
    high: Floats
    margin: Floats
    critical: float
    excess: Floats
    excess_se: Floats
    excess_critical: Floats
    difference: Floats
    difference_se: Floats

    def exceeds(self, direction: int) -> Bools:
        """Places (layers, 2) beyond the margin in one direction."""
        near = self.low if direction > 0 else -self.high
        found: Bools = near > self.margin
        return found

    def beyond(self, direction: int) -> Bools:
        """Places (layers, 2) beyond the margin in one direction, not contradicted by the other effect at the layer."""
        far = self.high if direction > 0 else -self.low
        found: Bools = self.exceeds(direction) & (far[:, ::-1] >= 0)
        return found

    def beyond_mean(self, direction: int) -> Bools:
        """Places (layers, 2) where the excess over the twins' mean is beyond the margin, or cannot be had."""
        less = direction * self.excess - self.excess_critical * self.excess_se
        found: Bools = np.isnan(less) | (less > self.margin)
        return found

    def reaches_end(self, direction: int) -> bool:
        """Whether an effect at the last layer is shown to lie on this side of 0."""
        return bool((direction * self.point[-1] - self.critical * self.se[-1] > 0).any())

    def inside(self, *, below_only: bool = False, beside_twins: bool = True) -> bool:
        """Whether every effect is shown to lie within its margin: of 0, or of the twins' mean.

        Equivalence of ALL effects is an intersection-union test: it keeps its level without a correction for their
        number (Berger & Hsu 1996), so its bounds are pointwise. Each of the two tests of a place, of 0 and of the
        twins, has level alpha; that either is passed wrongly has at most twice that. An effect that lies beyond its
        margin of 0 is never within, whatever the twins show. What twins share with the network, above all the noise of
        the same labels, cancels in the excess.
        """
        return bool(self._each_inside(below_only, beside_twins).all())

    def inside_at_end(self) -> bool:
        """Whether both effects at the last layer are shown to lie within their margins, and the score's difference at
        equal merit within the swap's, whichever layer reads the merit: pointwise, as in `inside`.
        """
        half = self.critical * self.difference_se
        alike = _within(self.difference, half, self.margin[0], below_only=False)
        return bool(alike.all() and self._each_inside()[-1].all())

    def _each_inside(self, below_only: bool = False, beside_twins: bool = True) -> Bools:
        of_zero = _within(self.point, self.critical * self.se, self.margin, below_only)
        of_twins = _within(self.excess, self.excess_critical * self.excess_se, self.margin, below_only)
        of_twins &= beside_twins
        beyond = np.abs(self.point) - self.critical * self.se > self.margin
        if below_only:
            beyond &= self.point > 0
        found: Bools = (of_zero | of_twins) & ~beyond
        return found


def _within(point: Floats, half: Floats, margin: Floats | float, below_only: bool) -> Bools:
    below, above = point + half < margin, point - half > -margin
    return below if below_only else below & above


def bounds_of(case: Case, alpha: float, rule: Rule = RULE) -> Bounds:
    """Effects of the network at every layer, their bounds at level ``alpha`` and their margins."""
    replicates = np.stack([np.column_stack([m.column(k) for k in KINDS]) for m in case.layers], axis=1)
    point = np.array([[m.point[k] for k in KINDS] for m in case.layers])
    se = jackknife_se(replicates)
    half = simultaneous_critical(replicates.reshape(JACKKNIFE_BLOCKS, -1), alpha, case.seed) * se
    to_close = np.mean([t.gap for t in case.twins]) if case.twins else case.base_rate_gap.value
    margin = np.array([rule.swap_margin, max(rule.erasure_margin, rule.erasure_share * abs(float(to_close)))])
    return Bounds(
        point,
        se,
        point - half,
        point + half,
        margin,
        pointwise_critical(JACKKNIFE_BLOCKS, alpha),
        *_excess(case, point, replicates, alpha),
        difference=np.array([m.point["equal_merit"] for m in case.layers]),
        difference_se=jackknife_se(np.column_stack([m.column("equal_merit") for m in case.layers])),
    )


def keeps_ranking(retention: Number, rule: Rule = RULE) -> bool:
    """Whether the ranking within groups is shown to be kept."""
    return retention.low is not None and retention.low > rule.retention


def gap_of_twins(case: Case) -> float:
    """The median twin's difference in selection rates: one twin that learned nothing does not move it."""
    return float(np.median([twin.gap for twin in case.twins]))


def gap_to_reach(case: Case, bounds: Bounds, rule: Rule = RULE) -> float:
    """The difference in selection rates beyond which a head has moved it; NaN without twins or a direction."""
    if not case.twins or case.orientation == 0 or rule.moved_share is None:
        return float("nan")
    return gap_of_twins(case) - case.orientation * rule.moved_share * float(bounds.margin[1])


def moved_gap(case: Case, bounds: Bounds, rule: Rule = RULE) -> bool | None:
    """Whether the gap has moved far enough from the twins' in favour of the group; None where that cannot be said."""
    least = gap_to_reach(case, bounds, rule)
    return None if np.isnan(least) else bool(-case.orientation * (case.gap - least) > 0)


def _excess(case: Case, point: Floats, replicates: Floats, alpha: float) -> tuple[Floats, Floats, Floats]:
    """The effects less the twins' mean, their standard errors, and the critical value of one bound.

    Two sources of error add: of the rows, by the replicates of the difference, and of the training of K twins. The
    degrees of freedom are Satterthwaite's.
    """
    k = len(case.twins)
    if k < 2 or case.background.twins_matched is False:
        undefined = np.full_like(point, np.nan)
        return undefined, undefined, undefined
    effects = np.array([t.effects for t in case.twins])
    of_rows = jackknife_se(replicates - np.mean([t.replicates for t in case.twins], axis=0)) ** 2
    of_training = effects.var(0, ddof=1) / k
    variance = np.maximum(of_rows + of_training, np.finfo(float).tiny)
    freedom = variance**2 / (of_rows**2 / (JACKKNIFE_BLOCKS - 1) + of_training**2 / (k - 1) + np.finfo(float).tiny)
    return point - effects.mean(0), np.sqrt(variance), special.stdtrit(np.maximum(freedom, 1), 1 - alpha)


def twin_summary(case: Case, layer: int, kind: int, direction: int, value: float) -> TwinSummary | None:
    """The effect beside the twins' largest over layers; p is doubled for the choice between two kinds of effect."""
    if not case.twins:
        return None
    largest = (direction * np.array([t.effects[:, kind] for t in case.twins])).max(1)
    found = beside_twins(direction * value, largest)
    # np.minimum: a p that is NaN must stay so
    return replace(found, mean=direction * found.mean, p=float(np.minimum(1.0, 2 * found.p)))


def retention_of(case: Case, alpha: float) -> tuple[Number, str]:
    """Ranking within groups as a share of the twins', else of the readout of the inputs; and beside what.

    The interval is of 95 %, wider where Holm's correction asks for a one-sided level below .025.
    """
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
    half = pointwise_critical(JACKKNIFE_BLOCKS, min(0.025, alpha)) * float(np.sqrt(variance))
    value = float(ratios[0])
    return Number(value=value, n=case.n, low=value - half, high=value + half), beside


def _check(name: str, value: float, null: float, passed: bool | None, note: str) -> Evidence:
    return Evidence(detector=name, tag="check", value=value, low=None, high=None, null=null, passed=passed, note=note)


def general_checks(case: Case) -> list[Evidence]:
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
                TWINS_MATCHED,
                nan if known.twins_matched is None else float(known.twins_matched),
                1.0,
                known.twins_matched,
                "as the caller says, not checked" if known.twins_matched is None else "by row hashes",
            )
        )
        checks.append(_overfitting(known))
    return checks


def _overfitting(known: Background) -> Evidence:
    """Not met where the network's generalisation gap surely lies more than `OVERFITTING` above the twins', else open.

    One that overfits less is at no risk of a false head; a constraint that costs merit does that to most networks.
    """
    name = "overfitting like the twins'"
    if known.generalisation_gap is None:
        return _check(name, float("nan"), 0.0, None, "training rows not at hand")
    own, theirs = known.generalisation_gap
    half = pointwise_critical(JACKKNIFE_BLOCKS, 0.025) * known.generalisation_error
    low, high = own - theirs - half, own - theirs + half
    passed = True if high <= OVERFITTING else False if low > OVERFITTING else None
    words = f"training minus held-out AUC within groups, beside theirs; open where the interval holds {OVERFITTING:g}"
    found = _check(name, own - theirs, 0.0, passed, words)
    return replace(found, low=low, high=high)


def layer_checks(layer: LayerMeasure) -> list[Evidence]:
    allowed = 0.5 + max(READABLE, READABLE_SHARE * (layer.group_auc_before - 0.5))
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
        _check(
            f"rows with both groups at equal merit ({layer.name})",
            layer.covered,
            COVERED,
            None if layer.covered < COVERED else True,
            "the swap is of these rows; below, no effect cannot be told from none seen",
        ),
    ]
