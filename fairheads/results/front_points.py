"""Trained networks as points of accuracy and gap, and which settings others dominate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fairheads.results.number import OMIT, Number, undefined


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One trained network on the rows that all networks of a front were judged on.

    Attributes
    ----------
    name : str
        Of this network; no other of the front has it.
    objective : str
        What it was trained by; the points of one objective are drawn as one series.
    setting : dict of str to float
        The options that differ within the objective, ``{"weight": 3.0}``; empty where there are none.
    seed : int
        Of the training; networks that differ by nothing else are judged together.
    accuracy, gap : Number
    gaps : dict of str to Number
        Other gaps by name, ``equalized_odds_difference``.
    dominated : bool
        Whether some other setting is at least as accurate with a gap at least as small, and better in one of the two;
        False where a number of this setting cannot be had.
    model : str, optional
        Path of the saved network, relative to the file of the front.
    """

    name: str
    objective: str
    setting: dict[str, float]
    seed: int
    accuracy: Number
    gap: Number
    gaps: dict[str, Number]
    dominated: bool
    model: str | None = field(default=None, metadata=OMIT)


@dataclass(frozen=True, kw_only=True)
class FrontSetting:
    """The networks of one objective and setting: one, or several that differ by their seed.

    Attributes
    ----------
    objective : str
    setting : dict of str to float
    points : tuple of FrontPoint
    accuracy, gap : Number
        Of several seeds the mean of the values, and of the bounds. All were judged on the same rows, so the standard
        error of their mean is at most the mean of theirs; how far seeds lie apart is not in the interval.
    gaps : dict of str to Number
        Those that every point has, the same way.
    dominated : bool
    """

    objective: str
    setting: dict[str, float]
    points: tuple[FrontPoint, ...]
    accuracy: Number
    gap: Number
    gaps: dict[str, Number]
    dominated: bool

    @property
    def known(self) -> bool:
        """Whether it has both an accuracy and a gap, and so a place in the picture."""
        return math.isfinite(self.accuracy.value) and math.isfinite(self.gap.value)

    @property
    def on_front(self) -> bool:
        """Whether no other setting dominates it."""
        return self.known and not self.dominated


def dominated(accuracy: Sequence[float], gap: Sequence[float]) -> tuple[bool, ...]:
    """Whether another point is at least as accurate with a gap at least as small, and better in one of the two.

    Parameters
    ----------
    accuracy, gap : sequence of float, (n,)
        More accuracy and less gap are better. A point with a NaN dominates none and is dominated by none; of equal
        points none dominates the other.

    Returns
    -------
    tuple of bool, (n,)

    Examples
    --------
    >>> dominated([0.85, 0.84, 0.83], [0.18, 0.02, 0.05])
    (False, False, True)
    """
    points = list(zip(accuracy, gap, strict=True))
    return tuple(any(a >= b and g <= h and (a, g) != (b, h) for a, g in points) for b, h in points)


def settings_of(points: Iterable[FrontPoint]) -> tuple[FrontSetting, ...]:
    """The points by objective and setting, objectives in the order they come in, settings by their values."""
    points = tuple(points)
    series = list(dict.fromkeys(point.objective for point in points))
    by_setting: dict[tuple[int, tuple[tuple[str, float], ...]], list[FrontPoint]] = {}
    for point in points:
        key = series.index(point.objective), tuple(sorted(point.setting.items()))
        by_setting.setdefault(key, []).append(point)
    return tuple(_setting(tuple(by_setting[key])) for key in sorted(by_setting))


def _setting(points: tuple[FrontPoint, ...]) -> FrontSetting:
    shared = [name for name in points[0].gaps if all(name in point.gaps for point in points)]
    return FrontSetting(
        objective=points[0].objective,
        setting=points[0].setting,
        points=points,
        accuracy=_mean([point.accuracy for point in points]),
        gap=_mean([point.gap for point in points]),
        gaps={name: _mean([point.gaps[name] for point in points]) for name in shared},
        dominated=points[0].dominated,
    )


def _mean(numbers: Sequence[Number]) -> Number:
    if len(numbers) == 1:
        return numbers[0]
    n = min(number.n for number in numbers)
    missing = [number for number in numbers if math.isnan(number.value)]
    if missing:
        return undefined(f"{len(missing)} of {len(numbers)} seeds: {missing[0].reason}", n)
    return Number(
        value=_centre([number.value for number in numbers]),
        n=n,
        low=_bound([number.low for number in numbers]),
        high=_bound([number.high for number in numbers]),
        conservative=any(number.conservative for number in numbers),
    )


def _bound(bounds: Sequence[float | None]) -> float | None:
    known = [bound for bound in bounds if bound is not None]
    return _centre(known) if len(known) == len(bounds) else None


def _centre(values: Sequence[float]) -> float:
    # An exact sum: the order of the seeds must not decide who dominates whom.
    return math.fsum(values) / len(values)


def marked(points: Iterable[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points with ``dominated`` as their settings have it."""
    points = tuple(points)
    settings = settings_of(points)
    flags = dominated([s.accuracy.value for s in settings], [s.gap.value for s in settings])
    of_point = {id(p): flag for setting, flag in zip(settings, flags, strict=True) for p in setting.points}
    return tuple(replace(point, dominated=of_point[id(point)]) for point in points)
