"""Metrics of scores as functions of their histogram: means, ranking, calibration and quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairheads.metrics.estimate import Estimate, Measured
from fairheads.metrics.intervals import SMALL, Bounds, clopper_pearson, rising_root, weighted_rate_interval
from fairheads.sums import ScoreHistogram

Floats = NDArray[np.float64]

NO_PROBABILITY = "the scores are not all between 0 and 1"
BORROWED = 10.0
"""Rows for which the modelled variance of an AUC counts beside the measured one."""

LABELS = ("no rows recorded as unfavourable", "no rows recorded as favourable")


def mean_score(scores: ScoreHistogram) -> Measured:
    """Mean of the score."""
    return _means(scores, [scores.powers[..., k].sum(2) for k in range(3)], None, scores.low, scores.high)


def brier(scores: ScoreHistogram) -> Measured:
    """Mean squared difference of score and label.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, Mon. Weather Rev. 78.
    """
    reason = None if scores.probabilities else NO_PROBABILITY
    zero, one = scores.powers[:, :, 0], scores.powers[:, :, -1]  # sums of w s^k and w^2 s^k by group
    first = zero[..., 2] + one[..., 0] - 2 * one[..., 1] + one[..., 2]
    binomial = np.array([1.0, -4.0, 6.0, -4.0, 1.0])  # of (s - 1)^4
    second = zero[..., 4] + one @ binomial
    return _means(scores, [scores.powers[..., 0].sum(2), first, second], reason, 0.0, 1.0)


def _means(scores: ScoreHistogram, sums: list[Floats], reason: str | None, low: float, high: float) -> Measured:
    """Means of a value v from its sums of w v^k and w^2 v^k (2, G), k = 0, 1, 2, in every group and of everybody.

    Values between 0 and 1 get the limits of as many zeros and ones as would have their variance, and where these are
    too few a Bernstein bound, which holds for any such values; others get Student's.

    References
    ----------
    Maurer & Pontil (2009), Empirical Bernstein bounds and sample variance penalization, COLT, theorem 4.
    """
    rows = scores.counts.sum((0, 2))
    whole, everybody_rows = [total.sum(1, keepdims=True) for total in sums], rows.sum(keepdims=True)
    groups = _mean(scores.groups, sums, rows, reason, low, high)
    others = [
        np.maximum(total - part, 0.0) if low >= 0 else total - part for total, part in zip(whole, sums, strict=True)
    ]
    rest = _mean(scores.groups, others, everybody_rows - rows, reason, low, high)
    everybody = _mean(("everybody",), whole, everybody_rows, reason, low, high)
    with np.errstate(invalid="ignore"):
        return Measured(groups, everybody, rest=rest, share=sums[0][0] / whole[0][0])


def _mean(
    names: tuple[str, ...], sums: list[Floats], rows: NDArray[np.int64], reason: str | None, low: float, high: float
) -> Estimate:
    """Means of values between ``low`` and ``high``."""
    within, ratios = low >= 0 and high <= 1, low >= 0
    (w, w2), (v, v2), (_, vv2) = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(w > 0, v / w, np.nan)
        effective = w**2 / w2
        variance = np.maximum(vv2 - 2 * value * v2 + value**2 * w2, 0.0) / w**2
        se = np.sqrt(variance * effective / (effective - 1))
        # Rows of 0 and 1 that would have the same mean and variance: their limits know that the values end there.
        like = np.nan_to_num(np.where(se > 0, value * (1 - value) / se**2, effective))
        information = np.where(w > 0, like * value * (1 - value), np.inf) if within else np.full(len(w), np.inf)

    def limits(confidence: float, _cautious: bool) -> Bounds:
        t = special.stdtrit(np.maximum(np.nan_to_num(effective) - 1, 1e-9), 0.5 + confidence / 2)
        half = np.where(effective > 1, t * se, np.inf)
        if not within:
            return value - half, value + half
        half = _bernstein(se, effective, confidence)
        z = special.ndtri(0.5 + confidence / 2)
        low, high = weighted_rate_interval(np.nan_to_num(value), like * (z / t) ** 2, confidence=confidence)
        few = information < SMALL
        return np.where(few, np.maximum(value - half, 0.0), low), np.where(few, np.minimum(value + half, 1.0), high)

    return Estimate(
        groups=names,
        value=value,
        se=se,
        n=rows,
        limits=limits,
        information=information,
        freedom=effective - 1,
        reasons=tuple(reason or (None if total > 0 else "no rows") for total in w),
        span=(-1.0, 1.0) if within else (-np.inf, np.inf),
        ratios=ratios,
    )


def _bernstein(se: Floats, n: Floats, confidence: float) -> Floats:
    """Half the width of an interval that holds the mean of n values in [0, 1] with at least the confidence."""
    log = np.log(4 / (1 - confidence))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n > 1, se * np.sqrt(2 * log) + 7 * log / (3 * (n - 1)), 1.0)


def auc(scores: ScoreHistogram) -> Measured:
    """Area under the ROC curve; limits solve |AUC - a| = z se(a), as Wilson's do for a rate.

    The standard error is DeLong's, mixed with that of Hanley and McNeil's model as if this came from ten rows of the
    rarer class; how it depends on a is the model's. With 8 to 100 rows of the rarer class and areas of .64 to .96 the
    limits cover .93 to .97; DeLong's alone cover .80 where 10 rows are ranked almost perfectly.

    Notes
    -----
    That of everybody also ranks people of different groups against each other.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves, Biometrics 44.
    Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, Stat.
    Med. 25, method 5.
    """
    everybody, places = _auc(scores.pooled())
    groups, own = _auc(scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        mass = scores.mass.sum(0)
        whole = mass.sum(0)
        shared = sum(
            np.einsum("vg,vg,v->g", scores.square_mass[..., y], own[y], places[y][:, 0]) / mass[:, y] / whole[y]
            for y in (0, 1)
        )
    return Measured(groups, everybody, np.asarray(shared, np.float64))


def _auc(scores: ScoreHistogram) -> tuple[Estimate, tuple[Floats, Floats]]:
    """The estimate, and how far (V, G) a row's placement among the other class lies from the mean, for both labels."""
    negatives, positives = scores.mass[..., 0], scores.mass[..., -1]
    n, p = negatives.sum(0), positives.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_positive = (negatives.cumsum(0) - negatives / 2) / n
        of_negative = 1 - (positives.cumsum(0) - positives / 2) / p
        value = (positives * of_positive).sum(0) / p
        apart = np.nan_to_num(of_negative - value), np.nan_to_num(of_positive - value)
        (n_rows, n_apart), (p_rows, p_apart) = (_placed(scores, y, apart[y]) for y in (0, -1))
        half = 0.5 / (n_rows * p_rows)
        modelled = _modelled_variance(np.clip(value, half, 1 - half), p_rows, n_rows)
        # Few rows of a class say little of how their placements scatter; the model's variance counts for ten.
        few = np.maximum(np.minimum(p_rows, n_rows) - 1, 0.0)
        measured = np.nan_to_num(n_apart + p_apart)
        se = np.sqrt((few * measured + BORROWED * modelled) / (few + BORROWED))

    def limits(confidence: float, _cautious: bool) -> Bounds:
        z2 = float(special.ndtri(0.5 + confidence / 2)) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.nan_to_num(se**2 / modelled)

        def high(a: Floats) -> Floats:
            return rising_root(
                lambda t: (t - a) ** 2 - z2 * scale * _modelled_variance(t, p_rows, n_rows), a, np.ones_like(a)
            )

        known = np.nan_to_num(value)
        return 1 - high(1 - known), high(known)

    estimate = Estimate(
        groups=scores.groups,
        value=value,
        se=se,
        n=scores.counts.sum((0, 2)),
        limits=limits,
        information=np.full(len(value), np.inf),
        reasons=tuple(LABELS[0] if a == 0 else LABELS[1] if b == 0 else None for a, b in zip(n, p, strict=True)),
    )
    return estimate, apart


def _placed(scores: ScoreHistogram, y: int, apart: Floats) -> tuple[Floats, Floats]:
    """Effective rows (G,) of a class, and what their placements add to the variance."""
    total, squares = scores.mass[..., y].sum(0), scores.square_mass[..., y].sum(0)
    rows = total**2 / squares
    return rows, (scores.square_mass[..., y] * apart**2).sum(0) / total**2 * rows / (rows - 1)


def _modelled_variance(a: Floats, positives: Floats, negatives: Floats) -> Floats:
    """Variance of an AUC of a when scores are exponential in both classes (Hanley & McNeil 1982; Newcombe 2006)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        n = (positives + negatives) / 2 - 1
        return np.asarray(
            a * (1 - a) / (positives * negatives) * (1 + n * ((1 - a) / (2 - a) + a / (1 + a))), np.float64
        )


def expected_calibration_error(scores: ScoreHistogram) -> Measured:
    """Mean over 15 bins of equal width of |mean score - share favourable|, by the rows in them.

    It is never below 0 and grows with fewer rows, by chance alone. Its interval puts every bin at its exact
    limits, at Bonferroni's confidence for the bins that have rows: conservative.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks, ICML, eq. 3.
    """
    reason = None if scores.probabilities else NO_PROBABILITY
    groups, everybody = (_calibration_error(s, reason) for s in (scores, scores.pooled()))
    return Measured(groups, everybody)


def _calibration_error(scores: ScoreHistogram, reason: str | None) -> Estimate:
    _, weight, squares, score = scores.calibration.sum(2)  # (G, bins) each
    favourable = scores.calibration[1][:, -1]
    total = weight.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, mean = np.nan_to_num(favourable / weight), np.nan_to_num(score / weight)
        value = np.where(total > 0, (weight * np.abs(share - mean)).sum(1) / total, np.nan)
        effective = np.nan_to_num(weight**2 / squares)
        part = np.nan_to_num(weight / total[:, None])
    bins = np.maximum((weight > 0).sum(1, keepdims=True), 1)

    def limits(confidence: float, _cautious: bool) -> Bounds:
        # Given the scores, the favourable labels of a bin are as spread as equal chances would make them, or less.
        each = 1 - (1 - confidence) / bins
        low, high = clopper_pearson(share * effective, np.maximum(effective, 1e-9), confidence=each)
        near = np.maximum(np.maximum(low - mean, mean - high), 0.0)
        far = np.maximum(mean - low, high - mean)
        return (part * near).sum(1), (part * far).sum(1)

    return Estimate(
        groups=scores.groups,
        value=value,
        se=np.full(len(value), np.nan),
        n=scores.counts.sum((0, 2)),
        limits=limits,
        information=np.where(np.isnan(value), np.inf, 0.0),
        reasons=tuple(reason or (None if t > 0 else "no rows") for t in total),
    )


def quantile(scores: ScoreHistogram, q: float) -> Measured:
    """The q-quantile of the score: the least score that a share q of the rows does not exceed.

    Limits are order statistics, by the binomial distribution of the rows below it: they cover at least their confidence
    and are unbounded where there are too few rows.
    """
    groups, everybody = (_quantile(s, q) for s in (scores, scores.pooled()))
    return Measured(groups, everybody)


def _quantile(scores: ScoreHistogram, q: float) -> Estimate:
    mass = scores.mass.sum(2)
    total = mass.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = mass.cumsum(0) / total
        effective = total**2 / scores.square_mass.sum((0, 2))

    def at(shares: Floats) -> Floats:
        places = (share < shares - 1e-12).sum(0)
        return np.asarray(scores.values[np.minimum(places, len(scores.values) - 1)], np.float64)

    def limits(confidence: float, _cautious: bool) -> Bounds:
        """Order statistics that the quantile lies between; unbounded where there are too few rows."""
        rows = np.nan_to_num(effective)
        tail = (1 - confidence) / 2
        low = np.floor(special.bdtrik(tail, np.maximum(rows, 1e-9), q))
        high = np.ceil(special.bdtrik(1 - tail, np.maximum(rows, 1e-9), q)) + 1
        with np.errstate(divide="ignore", invalid="ignore"):
            bottom, top = at(np.nan_to_num(low / rows)), at(np.nan_to_num(high / rows))
        return np.where(low >= 1, bottom, -np.inf), np.where(high <= rows, top, np.inf)

    value = at(np.full(len(total), q))
    low, high = limits(0.95, False)
    return Estimate(
        groups=scores.groups,
        value=np.where(total > 0, value, np.nan),
        se=np.where(np.isfinite(high - low), (high - low) / (2 * special.ndtri(0.975)), np.nan),
        n=scores.counts.sum((0, 2)),
        limits=limits,
        information=np.full(len(total), np.inf),
        reasons=tuple(None if t > 0 else "no rows" for t in total),
        span=(-np.inf, np.inf),
        ratios=scores.low >= 0,
    )
