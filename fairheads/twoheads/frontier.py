"""The accuracy-disparity front of ``1[z_y + b z_g + t > 0]``, and the point on it that a gap allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval

Floats = NDArray[np.float64]

STEPS = 201
"""Values of b that are tried between 0 and the one that reaches parity of means, times 3, on either side."""


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """The merge ``z_y + b z_g + t`` with its accuracy and signed gap (group 1 minus group 0) on validation rows."""

    b: float
    t: float
    accuracy: float
    gap: float
    n: int


@dataclass(frozen=True, eq=False)
class Frontier:
    """Every candidate (b, t) with its accuracy, signed gap and selected counts on the validation rows.

    A merge that selects at most half as many rows as the most accurate threshold of the task head alone, or refuses at
    most half as many, reaches parity by deciding everybody alike; it is no candidate.
    """

    b: Floats
    t: Floats
    accuracy: Floats
    selected: NDArray[np.int64]
    group_sizes: NDArray[np.int64]

    @property
    def gap(self) -> Floats:
        """Selection rate of group 1 minus that of group 0."""
        rates = self.selected / self.group_sizes
        return np.asarray(rates[:, 1] - rates[:, 0])

    def at(self, *, max_gap: float, confidence: float | None = 0.95) -> Coefficients:
        """The most accurate candidate whose demographic-parity gap is at most ``max_gap``.

        Parameters
        ----------
        max_gap : float
            Largest |gap| in selection rate, 0 to 1.
        confidence : float or None
            One-sided level at which the gap's Newcombe bound must stay below ``max_gap``; costs accuracy, and buys
            rows that were not seen. None asks it of these rows alone. The bound is that of one fixed candidate:
            choosing the best of many makes it slightly optimistic.

        Raises
        ------
        InputError
            If no candidate does; names the smallest gap that one can be held to.
        ConfigError
            If a setting lies outside [0, 1].
        """
        if not 0 <= max_gap <= 1 or (confidence is not None and not 0.5 <= confidence < 1):
            raise ConfigError(f"`max_gap` must lie in [0, 1] and `confidence` in [.5, 1), got {max_gap}, {confidence}.")
        bound = np.abs(self.gap)
        if confidence is not None:
            (k0, k1), (n0, n1) = self.selected.T, self.group_sizes
            low, high = difference_interval(k1, n1, k0, n0, confidence=2 * confidence - 1)
            bound = np.maximum(-low, high)
        allowed = bound <= max_gap + 1e-12
        if not allowed.any():
            smallest = float(bound.min())
            raise InputError(
                f"no merge keeps the gap at or below {max_gap:g} on {int(self.group_sizes.sum())} validation rows"
                + (f" with confidence {confidence:g}" if confidence is not None else "")
                + f"; the smallest that can be had is {smallest:.4f}."
            )
        best = int(np.where(allowed, self.accuracy, -1.0).argmax())
        return Coefficients(
            b=float(self.b[best]),
            t=float(self.t[best]),
            accuracy=float(self.accuracy[best]),
            gap=float(self.gap[best]),
            n=int(self.group_sizes.sum()),
        )


def fit_frontier(z_y: ArrayLike, z_g: ArrayLike, y: ArrayLike, group: ArrayLike) -> Frontier:
    """The front of merges of a task head and a group head, from VALIDATION rows; two groups.

    Parameters
    ----------
    z_y, z_g : array (n,)
        Task logit and raw group output.
    y, group : array (n,) of 0 and 1

    Raises
    ------
    InputError
        If a logit is not finite, the lengths differ, a label or group is not 0 or 1, a group is absent, or no
        threshold separates rows.

    Notes
    -----
    For every b the rows are sorted once and every threshold between two rows is a candidate; those that are most
    accurate at their gap (rounded up to .001) are kept. Shown is validation accuracy; a new sample gives less.

    References
    ----------
    Lohaus et al., NeurIPS 2022 (arXiv 2204.04440), section 5: b and t are chosen there on the test rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> g = rng.integers(0, 2, 2000); y = (rng.random(2000) < 0.3 + 0.3 * g) * 1
    >>> front = fit_frontier(2.0 * y - 1 + rng.normal(size=2000) + g, g, y, g)
    >>> front.at(max_gap=0.05, confidence=None).b < 0
    True
    """
    z_y, z_g = np.asarray(z_y, np.float64), np.asarray(z_g, np.float64)
    y, group = np.asarray(y), np.asarray(group)
    if not len(z_y) == len(z_g) == len(y) == len(group):
        raise InputError("`z_y`, `z_g`, `y` and `group` must have the same length.")
    if not (np.isfinite(z_y).all() and np.isfinite(z_g).all()):
        raise InputError("the logits must be finite.")
    for name, values in (("y", y), ("group", group)):
        if not np.isin(values, (0, 1)).all():
            raise InputError(f"`{name}` must be 0 or 1 in every row; a merge is of two groups.")
    group = group.astype(np.int64)
    sizes = np.bincount(group, minlength=2)
    if (sizes == 0).any():
        raise InputError(f"two groups with rows in both are needed, got counts {sizes.tolist()}.")
    contrast = z_g[group == 1].mean() - z_g[group == 0].mean()
    reach = 3 * abs((z_y[group == 1].mean() - z_y[group == 0].mean()) / contrast) if contrast else 0.0
    steps = np.linspace(-reach, reach, STEPS) if reach else np.zeros(1)
    _, accuracy, selected = _thresholds(z_y, y, group, sizes)
    usual = int(selected.sum(1)[accuracy.argmax()]) if len(accuracy) else 0
    between = usual // 2, len(y) - (len(y) - usual) // 2
    parts = [_best_at_gap(*_thresholds(z_y + b * z_g, y, group, sizes), sizes, between) for b in steps]
    slopes = np.repeat(steps, [len(t) for t, _, _ in parts])
    t, accuracy, selected = (np.concatenate([part[i] for part in parts]) for i in range(3))
    if not len(t):
        raise InputError("no threshold separates rows: the task logit has the same value in every row.")
    return Frontier(slopes, t, accuracy, selected, sizes)


def _thresholds(
    score: Floats, y: NDArray[np.int64], group: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    order = np.argsort(-score, kind="stable")
    s, positive, member = score[order], y[order] == 1, group[order]
    cut = np.flatnonzero(s[:-1] > s[1:])
    selected = np.stack([np.cumsum(member == 0), np.cumsum(member == 1)], axis=1)[cut]
    correct = 2 * np.cumsum(positive)[cut] - (cut + 1) + int((~positive).sum())
    middle = (s[cut] + s[cut + 1]) / 2
    t = -np.where(middle < s[cut], middle, s[cut + 1])  # neighbouring floats have no middle
    return t, correct / len(s), selected


def _best_at_gap(
    t: Floats, accuracy: Floats, selected: NDArray[np.int64], sizes: NDArray[np.int64], between: tuple[int, int]
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Of the thresholds that select a number of rows ``between`` two, the most accurate at each gap, rounded up."""
    count = selected.sum(1)
    useful = (count > between[0]) & (count < between[1])
    t, accuracy, selected = t[useful], accuracy[useful], selected[useful]
    rates = selected / sizes
    gap = rates[:, 1] - rates[:, 0]
    key = np.sign(gap) * np.ceil(np.abs(gap) * 1000 - 1e-9)
    by_gap = np.lexsort((-accuracy, key))
    best = by_gap[np.r_[True, np.diff(key[by_gap]) > 0]] if len(by_gap) else by_gap
    return t[best], accuracy[best], selected[best]
