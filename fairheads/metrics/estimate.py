"""A metric of several groups, ready to be compared: values, limits at any confidence, and what chance alone shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.intervals import SMALL, Bounds, Side, compared
from fairheads.metrics.inversion import no_less_than_drawn, p_of_limits
from fairheads.metrics.trials import Trials, holm, tested
from fairheads.results import Contrast, Gap, GapNull, Number, undefined

Floats = NDArray[np.float64]
Draws = Callable[[np.random.Generator, int], Floats]

ALPHA = 0.05
POWER = 0.8
LISTED = 3
"""Groups that a reason names; of the others it gives the number."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """A metric in G groups.

    Attributes
    ----------
    groups : tuple of str
    value, se : float64 (G,)
        Estimates, NaN where there is none, and their standard errors.
    n : int64 (G,)
        Rows each value rests on.
    limits : function of a confidence and of whether to be cautious
        Lower and upper limits (G,) at that confidence; cautious ones are for comparing small samples.
    information : float64 (G,)
        The n p (1 - p) that says whether a sample is small; infinity where limits do not depend on it.
    reasons : tuple of str or None
        Why a value is NaN.
    span : (float, float)
        What differences lie between.
    ratios : bool
        Whether 0 means none of it, so that ratios make sense.
    covariance : float64 (G, G), optional
        Where groups share rows.
    parts : tuple of Trials
        The rate, or the rates of which it is the mean: two of these are tested by their common rate, means by Welch's
        t, other metrics by their limits.
    slope : float64 (G,), optional
        How much the metric changes with its part, where it is not the part itself.
    freedom : float64 (G,), optional
        Degrees of freedom of the standard errors, where they are few.
    null_draws : function of a generator and a number, optional
        Values (draws, G) of groups that do not differ, given their sizes; by default normal ones.
    """

    groups: tuple[str, ...]
    value: Floats
    se: Floats
    n: NDArray[np.int64]
    limits: Callable[[float, bool], Bounds]
    information: Floats
    reasons: tuple[str | None, ...]
    span: tuple[float, float] = (-1.0, 1.0)
    ratios: bool = True
    covariance: Floats | None = None
    parts: tuple[Trials, ...] = ()
    slope: Floats | None = None
    freedom: Floats | None = None
    null_draws: Draws | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", cache(self.limits))  # asked for the same few confidences again and again

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Where limits are exact ones because the sample is small (G,)."""
        return np.asarray(self.information < SMALL, np.bool_)

    @property
    def side(self) -> Side:
        """The estimates as one of two that are to be compared."""
        return Side(self.value, self.information, self.limits)

    def numbers(self, confidence: float) -> dict[str, Number]:
        """The value of every group with its limits."""
        low, high = self.limits(confidence, False)
        columns = (self.groups, self.reasons, self.value, self.n, low, high, self.exact)
        return {
            group: undefined(reason, int(n))
            if reason is not None
            else with_bounds(float(v), int(n), float(lo), float(hi), conservative=bool(exact))
            for group, reason, v, n, lo, hi, exact in zip(*columns, strict=True)
        }

    def take(self, index: Sequence[int]) -> Estimate:
        """Some of the groups, to be compared with other estimates."""
        at = list(index)

        def limits(confidence: float, cautious: bool) -> Bounds:
            low, high = self.limits(confidence, cautious)
            return low[at], high[at]

        return replace(
            self,
            groups=tuple(self.groups[i] for i in at),
            value=self.value[at],
            se=self.se[at],
            n=self.n[at],
            limits=limits,
            information=self.information[at],
            reasons=tuple(self.reasons[i] for i in at),
            covariance=None,
            parts=tuple(part.take(at) for part in self.parts),
            slope=None if self.slope is None else self.slope[at],
            freedom=None if self.freedom is None else self.freedom[at],
            null_draws=None,
        )

    def pairs(self, confidence: float) -> tuple[Bounds, Bounds]:
        """Bounds (G, G) of row minus column, and of row over column."""

        def spread(confidence: float, cautious: bool) -> Bounds:
            low, high = self.limits(confidence, cautious)
            return low[:, None], high[:, None]

        rows = Side(self.value[:, None], self.information[:, None], spread)
        difference, quotient = compared(rows, self.side, confidence, _correlation(self))
        return _within(difference, self.span), quotient


def _within(bounds: Bounds, span: tuple[float, float]) -> Bounds:
    return np.maximum(bounds[0], span[0]), np.minimum(bounds[1], span[1])


@dataclass(frozen=True, eq=False)
class Measured:
    """A metric in every group and of everybody.

    Attributes
    ----------
    groups, everybody : Estimate
    shared : float64 (G,), optional
        Covariance of each group's value with everybody's, of whom the group is a part; NaN where it is not known.
    rest : Estimate, optional
        Of all that are not in each group and share no rows with it: a group is tested against these.
    share : float64 (G,), optional
        The weight of the group, where everybody's value is the mean of the group's and the rest's: then the difference
        to everybody is that to the rest, made smaller.
    """

    groups: Estimate
    everybody: Estimate
    shared: Floats | None = None
    rest: Estimate | None = None
    share: Floats | None = None


def _correlation(estimate: Estimate) -> Floats:
    if estimate.covariance is None:
        return np.zeros(())
    sd = np.sqrt(np.diag(estimate.covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nan_to_num(estimate.covariance / np.outer(sd, sd)), np.float64)


def with_bounds(value: float, n: int, low: float, high: float, *, conservative: bool = False) -> Number:
    """A number with the bounds that are finite; without a lower one it has no interval."""
    if not np.isfinite(low):
        return Number(value=float(value), n=n)
    top = float(high) if np.isfinite(high) else None
    return Number(value=float(value), n=n, low=float(low), high=top, conservative=conservative)


def gap_of(estimate: Estimate, confidence: float, null: GapNull | None = None) -> Gap:
    """Largest difference and smallest ratio over all pairs, with bounds that hold for all pairs together.

    Every pair gets bounds at Bonferroni's confidence. When all are covered so is the largest difference: it is at
    least the largest lower bound, and at most the largest upper one. A percentile bootstrap of the largest difference
    never covers a true one of 0.
    """
    lacking = [group for group, reason in zip(estimate.groups, estimate.reasons, strict=True) if reason is not None]
    if len(estimate.groups) < 2 or lacking:
        why = f"{next(r for r in estimate.reasons if r)} in {listed(lacking)}" if lacking else "one group only"
        return Gap(difference=undefined(why), ratio=undefined(why), highest="", lowest="")
    top, bottom = int(np.argmax(estimate.value)), int(np.argmin(estimate.value))
    differ = estimate.value[top] > estimate.value[bottom]
    n = int(estimate.n[top] + estimate.n[bottom])
    above = np.triu_indices(len(estimate.groups), 1)
    each = 1 - (1 - confidence) / len(above[0])
    differences, quotients = estimate.pairs(each)
    low, high = (bound[above] for bound in differences)
    nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    difference = with_bounds(
        float(estimate.value[top] - estimate.value[bottom]),
        n,
        float(nearest.max()),
        float(np.maximum(np.abs(low), np.abs(high)).max()),
        conservative=bool(estimate.exact.any()),
    )
    return Gap(
        difference=difference,
        ratio=_least_ratio(estimate, top, bottom, (quotients[0][above], quotients[1][above])),
        highest=estimate.groups[top] if differ else "",
        lowest=estimate.groups[bottom] if differ else "",
        null=null,
    )


def _least_ratio(estimate: Estimate, top: int, bottom: int, quotients: Bounds) -> Number:
    """The lowest value over the highest, with the bounds of the smallest ratio of any pair."""
    n = int(estimate.n[top] + estimate.n[bottom])
    if (reason := _no_ratio(estimate, estimate.value[bottom], estimate.value[top])) is not None:
        return undefined(reason, n)
    low, high = np.nan_to_num(quotients[0], nan=0.0), np.nan_to_num(quotients[1], nan=np.inf, posinf=np.inf)
    with np.errstate(divide="ignore"):
        nearest = np.where((low <= 1) & (high >= 1), 1.0, np.minimum(high, 1 / low))
        least = np.minimum(low, 1 / high)
    return with_bounds(
        float(estimate.value[bottom] / estimate.value[top]),
        n,
        float(least.min()),
        float(nearest.min()),
        conservative=bool(estimate.exact.any()),
    )


def _no_ratio(estimate: Estimate, of: float, to: float) -> str | None:
    """Why there is no ratio of two values, if there is none."""
    if not estimate.ratios:
        return "it may be negative"
    if to == 0:
        return "the rate is 0 in every group" if of == 0 else "it is 0 in the reference"
    return None


def to_reference(
    estimate: Estimate, reference: int, confidence: float, drawn: Floats | None = None
) -> dict[str, Contrast]:
    """Every other group against one of them; ``drawn`` are values (R, G) of groups that do not differ."""
    other = estimate.take([reference])
    shared = np.zeros(len(estimate.groups)) if estimate.covariance is None else estimate.covariance[:, reference]
    null = None if drawn is None else drawn - drawn[:, [reference]]
    return contrasts(estimate, other, shared, confidence, skip=reference, drawn=null)


def to_everybody(
    measured: Measured, groups: int, confidence: float, drawn: Floats | None = None
) -> dict[str, Contrast]:
    """Each of the first so many groups against everybody, of whom it is a part; nothing where there is but one."""
    some = list(range(groups))
    if groups < 2:
        return {}
    one = measured.groups.take(some)
    if measured.rest is None or measured.share is None:
        shared = np.full(groups, np.nan) if measured.shared is None else measured.shared[some]
        p = None if measured.rest is None else _tested(one, measured.rest.take(some), np.zeros(groups), confidence)[0]
        null = None if drawn is None else drawn - measured.everybody.value
        return contrasts(one, measured.everybody, shared, confidence, p=p, drawn=null)
    found = contrasts(one, measured.rest.take(some), np.zeros(groups), confidence)
    whole = measured.everybody.value[0]
    return {
        group: _as_part(contrast, float(share), float(value), float(whole))
        for (group, contrast), share, value in zip(found.items(), measured.share[some], one.value, strict=True)
    }


def _as_part(contrast: Contrast, share: float, value: float, whole: float) -> Contrast:
    """A contrast with the rest as one with everybody, who are the group by ``share`` and the rest."""

    def smaller(number: Number) -> Number:
        if number.reason is not None:
            return number
        low, high = (None if bound is None else (1 - share) * bound for bound in (number.low, number.high))
        return replace(number, value=(1 - share) * number.value, low=low, high=high)

    def of_everybody(ratio: float) -> float:
        return 0.0 if ratio == 0 else 1 / (share + (1 - share) / ratio)

    ratio = contrast.ratio
    if ratio.reason is not None and whole > 0 and contrast.difference.reason is None:
        ratio = Number(value=value / whole, n=ratio.n)  # nobody in the rest has it: the ratio to them is undefined
    elif ratio.reason is None:
        low = high = None
        if ratio.low is not None:
            low, high = of_everybody(ratio.low), 1 / share if ratio.high is None else of_everybody(ratio.high)
        ratio = replace(ratio, value=value / whole, low=low, high=high)
    return replace(
        contrast, difference=smaller(contrast.difference), ratio=ratio, detectable=smaller(contrast.detectable)
    )


def contrasts(
    estimate: Estimate,
    other: Estimate,
    covariance: Floats,
    confidence: float,
    *,
    skip: int | None = None,
    p: Floats | None = None,
    drawn: Floats | None = None,
) -> dict[str, Contrast]:
    """Every group against one other estimate, with Holm's correction of the p-values over the groups.

    Parameters
    ----------
    estimate, other : Estimate
        Of the groups, and of what each is compared with: one value, or one for each group.
    covariance : float64 (G,)
        Of each group's value with the other's; where it is NaN there are only intervals that do without.
    skip : int, optional
        The group that ``other`` is.
    p : float64 (G,), optional
        p-values from elsewhere, before Holm's correction.
    drawn : float64 (R, G), optional
        Differences of groups that do not differ: no p is less than they say.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6.
    """
    among = [i for i in range(len(estimate.groups)) if i != skip]
    own, spread = _tested(estimate, other, covariance, confidence)
    p = no_less_than_drawn(own if p is None else p, estimate.value, other.value, drawn)
    shared = _correlated(estimate, other, covariance)
    difference, quotient = compared(estimate.side, other.side, confidence, shared)
    bounds = np.stack([*_within(difference, estimate.span), *quotient], 1)
    its = [i if len(other.groups) > 1 else 0 for i in range(len(estimate.groups))]
    known = [estimate.reasons[i] is None and other.reasons[its[i]] is None for i in among]
    adjusted = holm(np.where(known, p[among], np.nan))
    found: dict[str, Contrast] = {}
    for i, p_value in zip(among, adjusted.tolist(), strict=True):
        n = int(estimate.n[i] + other.n[its[i]])
        reason = estimate.reasons[i] or (other.reasons[its[i]] and f"{other.reasons[its[i]]} in {other.groups[its[i]]}")
        if reason is not None:
            nothing = undefined(reason, n)
            found[estimate.groups[i]] = Contrast(difference=nothing, ratio=nothing, p=nothing, detectable=nothing)
            continue
        exact = bool(estimate.exact[i] or other.exact[its[i]])
        of, to = float(estimate.value[i]), float(other.value[its[i]])
        why = _no_ratio(estimate, of, to)
        low, high, least, most = bounds[i].tolist()
        found[estimate.groups[i]] = Contrast(
            difference=with_bounds(of - to, n, low, high, conservative=exact),
            ratio=undefined(why, n) if why else with_bounds(of / to, n, least, most, conservative=exact),
            p=undefined("it has no standard error to test with", n)
            if math.isnan(p_value)
            else Number(value=p_value, n=n),
            detectable=_detectable(float(spread[i]), n, estimate.span[1]),
        )
    return found


def _tested(one: Estimate, other: Estimate, covariance: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Two-sided p (G,) of no difference, and the standard error that the difference has then; NaN where there is none.

    Rates that share no rows are tested by their common rate, means by Welch's t, others by the difference's limits.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.abs(one.value - other.value)
        spread = np.sqrt(np.maximum(one.se**2 + other.se**2 - 2 * covariance, 0.0))
        if one.freedom is not None and other.freedom is not None:
            few = (one.se**2 + other.se**2) ** 2 / (one.se**4 / one.freedom + other.se**4 / other.freedom)
            spread = np.where(spread > 0, spread, np.nan)
            return np.asarray(2 * special.stdtr(few, -difference / spread), np.float64), spread
        if not one.parts or not other.parts:
            found = p_of_limits(one.side, other.side, confidence, _correlated(one, other, covariance))
            return np.where(spread > 0, found[0], np.nan), np.where(spread > 0, found[1], np.nan)
        if not np.any(covariance):
            tests = [tested(a, b) for a, b in zip(one.parts, other.parts, strict=True)]
            spread = np.sqrt(np.sum([each**2 for _, each in tests], axis=0)) / len(tests)
            if len(tests) == 1:
                return tests[0][0], spread if other.slope is None else spread * other.slope
        spread = np.where(spread > 0, spread, np.nan)
        return np.asarray(2 * special.ndtr(-difference / spread), np.float64), spread


def _correlated(one: Estimate, other: Estimate, covariance: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(covariance == 0, 0.0, np.clip(covariance / (one.se * other.se), -1, 1))


def _detectable(spread: float, n: int, most: float) -> Number:
    """The difference that a two-sided test at .05 finds with power .8, given its standard error without one."""
    size = float(special.ndtri(1 - ALPHA / 2) + special.ndtri(POWER)) * spread
    if not np.isfinite(size) or size == 0:
        return undefined("it has no standard error to reckon with", n)
    return undefined("no difference can be found with so few rows", n) if size > most else Number(value=size, n=n)


def listed(names: list[str]) -> str:
    """Some names, and how many more there are; names of intersections hold commas."""
    more = len(names) - LISTED
    return "; ".join(names[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
