"""The accuracy-disparity front of ``1[z_y + b . z_g + t > 0]``, and the point on it that a gap allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics.trials import Rate
from fairheads.twoheads import plane
from fairheads.twoheads.coefficients import Coefficients
from fairheads.twoheads.criteria import TINY, Criteria, Utility, criteria_of
from fairheads.twoheads.frontier_shown import ShownFront
from fairheads.twoheads.heads import Heads, heads_of_arrays
from fairheads.twoheads.margin import around, simultaneous
from fairheads.twoheads.polish import Merge, polished
from fairheads.twoheads.relax import Relaxed, ladder

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STARTS = 3
"""Candidates from which a search starts."""

STEPS = 40
"""Lines that are searched from each start, for up to three group outputs; more take as many for each further one."""

SMALL = 20_000
"""Rows up to which a search of more than two groups starts from as many."""

MOST = 300
"""Merges whose exact bounds are compared."""

LIKE = 2.0
"""Standard errors of the objective by which a merge may lie below the best and still might have been chosen."""

FEWEST = 5
"""Merges with the smallest gaps whose intervals hold together whatever gap is asked for."""

ROUNDS = 10
"""Of the search for the smallest gap that can be had."""

Size = Callable[[Ints], Floats]
"""The gap, or its bound, from counts (c, G, 2)."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Merges: slopes (c, m), thresholds (c,) and the rows they select, (c, G, 2)."""

    slopes: Floats
    t: Floats
    counts: Ints

    def at(self, i: int) -> Merge:
        """One of them."""
        return Merge(self.slopes[i], float(self.t[i]), self.counts[i])


@dataclass(frozen=True, eq=False, repr=False)
class Frontier(ShownFront):
    """Merges on the front of objective and gap, counted on the validation rows.

    A merge that selects fewer than half as many rows as are recorded as favourable, or refuses fewer than half as many
    as are not, reaches parity by deciding everybody alike; it is no candidate.

    Attributes
    ----------
    b : float64 (c,) with one group output, else (c, m)
    t : float64 (c,)
    selected : int64 (c, groups)
        Rows of each group that a candidate selects.
    group_sizes : int64 (groups,)
    complete : bool
        Whether every distinct set of decisions was looked at (two groups, about 300 distinct rows at most).
    space : "logit" or "probability"
    """

    heads: Heads
    criteria: Criteria
    slopes: Floats
    t: Floats
    counts: Ints
    complete: bool
    space: str
    seed: int = 0
    search: Relaxed | None = None
    starts: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def alone(self) -> Coefficients:
        """The task head as it is: b = 0, t = 0."""
        none = np.zeros(self.slopes.shape[1])
        return self._coefficients(Merge(none, 0.0, self.heads.select(none, 0.0)))

    def at(self, *, max_gap: float, confidence: float | None = 0.95) -> Coefficients:
        """The merge with the best objective whose gap is at most ``max_gap``.

        Parameters
        ----------
        max_gap : float
            Largest size of the gap, 0 to 1.
        confidence : float or None
            With this confidence the gap is at most ``max_gap`` on new rows too, whatever else was looked at to choose
            the merge. Costs accuracy, the more the fewer rows there are: compare ``at(confidence=None)``, which asks it
            of these rows alone and is broken by about half of all new samples.

        Raises
        ------
        InputError
            If no merge does; names the smallest gap that one can be held to.
        ConfigError
            If a setting lies outside its range.

        Notes
        -----
        The bound is the limit of the difference of two rates, at a confidence that holds together for all merges that
        might have been chosen (`fairheads.twoheads.margin.simultaneous`) and for every pair of groups.
        ``minimum_rates`` hold on the validation rows only.
        """
        for name, value in (("max_gap", max_gap), ("confidence", confidence)):
            if value is not None and not isinstance(value, Real):
                raise ConfigError(f"`{name}` must be a number, got {value!r}.")
        if max_gap is None or not 0 <= max_gap <= 1 or (confidence is not None and not 0.5 <= confidence < 1):
            raise ConfigError(f"`max_gap` must lie in [0, 1] and `confidence` in [.5, 1), got {max_gap}, {confidence}.")
        return self._point(max_gap) if confidence is None else self._sure(max_gap, confidence)

    def _point(self, max_gap: float) -> Coefficients:
        chosen, _, kept = self._searched(max_gap)
        if not kept:
            raise self._refusal(max_gap, None, lambda limit: self._searched(limit)[1])
        return self._coefficients(chosen)

    def _searched(self, max_gap: float) -> tuple[Merge, float, bool]:
        merges = self._nearby(max_gap)
        if not self.complete:
            merges = [self._polished(merge, self.criteria.size, max_gap) for merge in merges]
        return self._chosen(merges, self.criteria.size, max_gap)

    def _sure(self, max_gap: float, confidence: float) -> Coefficients:
        within, eligible = self._joint(confidence, max_gap)

        def quick(counts: Ints) -> Floats:
            return self.criteria.bound(counts, within, quick=True)

        def bound(counts: Ints) -> Floats:
            return self.criteria.bound(counts, within, quick=False)

        sizes = quick(eligible.counts)
        over = self.criteria.excess(eligible.counts, sizes, max_gap)
        order = np.lexsort((-self.criteria.objective(eligible.counts), over))
        merges = [eligible.at(int(i)) for i in order[:MOST]]
        if not self.complete and sizes[order[0]] <= max_gap:
            tightest = eligible.at(int(sizes.argmin()))
            margin = float(sizes.min() - self.criteria.size(tightest.selected[None])[0])
            starts = [*merges[: self._few], *self._smooth(max(max_gap - margin, 0.0))]
            merges += [self._polished(start, quick, max_gap) for start in starts]
        chosen, size, kept = self._chosen(merges, bound, max_gap)
        if not kept:
            raise self._refusal(max_gap, confidence, lambda limit: self._bounded(limit, confidence))
        return replace(self._coefficients(chosen), bound=size, confidence=confidence)

    def _bounded(self, max_gap: float, confidence: float) -> float:
        """The smallest bound among the merges that are compared for a gap."""
        within, eligible = self._joint(confidence, max_gap)
        order = np.argsort(self.criteria.bound(eligible.counts, within, quick=True))[:MOST]
        return float(self.criteria.bound(eligible.counts[order], within, quick=False).min())

    def _joint(self, confidence: float, max_gap: float) -> tuple[float, Candidates]:
        """The merges that may be chosen for a gap, and the confidence of single intervals that gives all of them
        together ``confidence``.

        Taken one by one they keep the gap, and their objective is, but for its noise, that of the best that does; with
        them those of the front whose estimated gap is small.
        """
        known = (confidence, max_gap)
        if known not in self._confidences:
            rng = np.random.default_rng(self.seed)
            wide, criteria = self._wide, self.criteria
            single = criteria.bound(wide.counts, 2 * confidence - 1, quick=True)
            objective = criteria.objective(wide.counts)
            keeps = np.flatnonzero(single <= max(max_gap, float(single.min()) + TINY))
            best = int(keeps[objective[keeps].argmax()])
            near = keeps[objective[keeps] >= objective[best] - LIKE * criteria.noise(wide.counts[best])]
            gaps = np.abs(self.gap)
            front = np.flatnonzero(gaps <= max(max_gap, np.sort(gaps)[:FEWEST][-1]))
            some = np.union1d(front, near)  # the front comes first among the wide
            eligible = Candidates(wide.slopes[some], wide.t[some], wide.counts[some])
            slopes, t = eligible.slopes, eligible.t
            if self.search is not None:
                slopes, t = around(self.heads, slopes, t, rng)
            within = simultaneous(self.heads, criteria, slopes, t, confidence, rng)
            self._confidences[known] = within, eligible
        return self._confidences[known]

    @cached_property
    def _wide(self) -> Candidates:
        """The merges of the front and, of two groups, those all over the plane: no gap orders bounds."""
        own = Candidates(self.slopes, self.t, self.counts)
        if self.search is not None:
            return own
        more = plane.spread_out(self.heads, self.criteria, self.slopes)
        return Candidates(*(np.concatenate(pair) for pair in zip((own.slopes, own.t, own.counts), more, strict=True)))

    @property
    def _few(self) -> int:
        """How many merges a search starts from."""
        return STARTS if self.search is None or len(self.heads) <= SMALL else 1

    @cached_property
    def _confidences(self) -> dict[tuple[float, float], tuple[float, Candidates]]:
        return {}

    def _nearby(self, max_gap: float) -> list[Merge]:
        """Where to start: the best of the front that keep the gap, or the nearest, and what the smooth search finds."""
        own = Candidates(self.slopes, self.t, self.counts)
        over = self.criteria.excess(self.counts, self.criteria.size(self.counts), max_gap)
        best = np.lexsort((-self.objective, over))[: self._few]
        return [*(own.at(int(i)) for i in best), *([] if self.search is None else self._smooth(max_gap))]

    def _smooth(self, limit: float) -> list[Merge]:
        if self.search is None:
            return []
        start = self.starts[int(np.abs(self.starts[:, -1] - limit).argmin()), :-1]
        return self.search.within(limit, start, self.heads)

    def _polished(self, start: Merge, size: Size, limit: float) -> Merge:
        def excess(counts: Ints) -> Floats:
            return self.criteria.excess(counts, size(counts), limit)

        steps = STEPS * max(1, self.slopes.shape[1] - 2)
        return polished(self.heads, start, self.criteria, excess, np.random.default_rng(self.seed), steps=steps)

    def _chosen(self, merges: Sequence[Merge], size: Size, max_gap: float) -> tuple[Merge, float, bool]:
        """The merge with the best objective that keeps the gap, else the nearest; its size; whether it keeps it."""
        counts = np.stack([merge.selected for merge in merges])
        sizes = size(counts)
        over = self.criteria.excess(counts, sizes, max_gap)
        best = int(np.lexsort((sizes, -self.criteria.objective(counts), over))[0])
        return merges[best], float(sizes[best]), bool(over[best] == 0)

    def _refusal(self, max_gap: float, confidence: float | None, least: Callable[[float], float]) -> InputError:
        """Names the smallest gap that can be had: a search for another gap finds others, so it is asked for too."""
        limit = max_gap
        for _ in range(ROUNDS):
            found = _up(least(limit))
            if found <= limit:
                break
            limit = found
        sure = "" if confidence is None else f" with confidence {confidence:g}, which takes more rows or a wider gap"
        floors = " and the `minimum_rates`" if self.criteria.floors else ""
        return InputError(
            f"no merge keeps the gap at or below {max_gap:g}{floors} on {int(self.criteria.rows)} validation"
            f" rows{sure}; the smallest that can be had is {limit:.4f}."
        )

    def _plain(self, merge: Merge) -> Merge:
        """The same merge with slopes around 0, where the outputs of a row add up to the same in all rows.

        What slopes have in common is a threshold then; left in, large numbers cancel, and half precision loses them.
        """
        total = self.heads.z_g.sum(1)
        if len(merge.b) == 1 or np.ptp(total) > 1e-5:
            return merge
        common = float(merge.b.mean())
        b, t = merge.b - common, merge.t + common * float(total.mean())
        same = self.heads.select(b, t)
        return Merge(b, t, same) if (same == merge.selected).all() else merge

    def _coefficients(self, merge: Merge) -> Coefficients:
        merge = self._plain(merge)
        counts = merge.selected[None]
        chosen = merge.selected[: self.criteria.groups].sum(-1) / self.group_sizes
        slopes = [float(slope) for slope in merge.b]
        return Coefficients(
            b=slopes[0] if len(slopes) == 1 else tuple(slopes),
            t=float(merge.t),
            space=self.space,
            accuracy=float(self.criteria.accuracy(counts)[0]),
            gap=float(self.criteria.gap(counts)[0]),
            selection_rate=float(self.criteria.selection(counts)[0]),
            rates=tuple(float(rate) for rate in chosen),
            n=int(self.criteria.rows),
            objective=self.criteria.objective_name,
            gap_metric=self.criteria.gap_metric,
        )


def fit_frontier(
    z_y: ArrayLike,
    z_g: ArrayLike,
    y: ArrayLike,
    group: ArrayLike,
    *,
    gap_metric: str | Sequence[Rate] = "demographic_parity",
    objective: str | Utility = "accuracy",
    minimum_rates: Mapping[str, float] | None = None,
    space: str = "logit",
    seed: int = 0,
) -> Frontier:
    """The front of merges of a task head and a group head, from VALIDATION rows.

    Parameters
    ----------
    z_y : array (n,)
        Task logit; of more than two classes the logit of the favourable class minus the largest other one.
    z_g : array (n,) or (n, m)
        Raw outputs of the group head: one for two groups, else one for each group.
    y : array (n,) of 0 and 1
    group : array (n,) of int
        Codes from 0; -1 where the group is not recorded: such rows count for the objective only.
    gap_metric : str or sequence of Rate
        "demographic_parity", "equal_opportunity", "predictive_equality", "equalized_odds", "accuracy_equality" or
        "predictive_parity", or the rate that makes one; or any rates of the cells (`fairheads.metrics.trials.Rate`):
        the gap is the largest difference in one of them.
    objective : str or Utility
        "accuracy", "balanced_accuracy", "f1", or what each kind of decision is worth.
    minimum_rates : mapping of str to float, optional
        Least rate of every group, such as ``{"selection_rate": 0.1}``: so that no group is levelled down. The names are
        those of a disparity report.
    space : "logit" or "probability"
        Logits can be merged into one linear head. The optimal rule that does not see the group is linear in
        probabilities; the two agree where the group output is near 0 or 1.
    seed : int
        Of the samples of large data and of the search.

    Raises
    ------
    InputError
        If an output is not finite, lengths differ, a label is not 0 or 1, a group has no output or no rows, no
        threshold separates rows, or no merge keeps the minimum rates: then by how much they must be lowered is named.
    ConfigError
        If there is no such metric, objective, rate or space.

    Notes
    -----
    Two groups: of few rows every distinct set of decisions is looked at. Of more, about a hundred slopes with every
    threshold; above 30,000 rows in two rounds, on a sample and on counts of all rows in 4,096 bins of the score. More
    groups: the rates are made smooth and the problem is solved for a ladder of limits (sequential quadratic
    programming). `Frontier.at` then improves what was found step by step, each step exact. Counts are exact throughout.
    Shown is what holds on these rows; new rows give less accuracy and, without a confidence, half of the time a larger
    gap.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5: b and t are chosen there on the test rows. With the true
    group as ``z_g`` the front is that of thresholds for each group: Lipton, Chouldechova, McAuley, Does mitigating ML's
    impact disparity require treatment disparity?, NeurIPS 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> g = rng.integers(0, 2, 2000); y = (rng.random(2000) < 0.3 + 0.3 * g) * 1
    >>> front = fit_frontier(2.0 * y - 1 + rng.normal(size=2000) + g, g, y, g)
    >>> front.at(max_gap=0.05, confidence=None).b < 0
    True
    """
    heads = heads_of_arrays(z_y, z_g, y, group, space)
    criteria = criteria_of(heads.totals, heads.groups, gap_metric, objective, minimum_rates)
    if not (np.ptp(heads.z_y) > 0 or np.ptp(heads.z_g, axis=0).any()):
        raise InputError("no threshold separates rows: the task logit has the same value in every row.")
    rng = np.random.default_rng(seed)
    search, starts = None, np.zeros((0, 0))
    if heads.z_g.shape[1] == 1:
        pool, complete = plane.candidates(heads, criteria, rng)
        slopes, t, counts = pool.b[:, None], pool.t, pool.selected
    else:
        search, complete = Relaxed(heads, criteria, rng), False
        merges, starts = ladder(heads, criteria, search, rng)
        slopes = np.array([merge.b for merge in merges]).reshape(-1, heads.z_g.shape[1])
        t, counts = np.array([merge.t for merge in merges]), np.array([merge.selected for merge in merges])
    if not len(t):
        raise InputError(_infeasible(heads, criteria, rng))
    return Frontier(heads, criteria, slopes, t, counts, complete, space, seed, search, starts)


def _up(gap: float) -> float:
    """Four decimals, rounded up, so that what is printed can be asked for."""
    return math.ceil(1e4 * gap - 1e-6) / 1e4


def _infeasible(heads: Heads, criteria: Criteria, rng: np.random.Generator) -> str:
    """Why no merge may be chosen, and what can be had."""
    if not criteria.floors:
        return "no threshold selects at least half the rows recorded as favourable and refuses half of the others."
    none = np.zeros(heads.z_g.shape[1])
    start = Merge(none, 0.0, heads.select(none, 0.0))
    best = polished(heads, start, criteria, criteria.shortfall, rng, steps=10 * STEPS)
    short = math.ceil(100 * float(criteria.shortfall(best.selected[None])[0])) / 100
    return (
        "no merge gives every group the `minimum_rates` while it selects half the rows recorded as favourable and"
        f" refuses half of the others; with every one of them lowered by about {short:.2f} there may be one."
    )
