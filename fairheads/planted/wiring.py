"""How a planted head runs through a network: the units that hold a group's estimate at each layer, and the way out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Wiring:
    """Units ``relu(slopes * estimate + offsets)`` at the first layer, carried by ``steps`` and read by ``out``.

    Attributes
    ----------
    slopes, offsets : array (units,)
    steps : tuple of (matrix, vector)
        One for every later layer: its units are ``relu(matrix @ units + vector)``.
    out : array (units,)
        Output weights of the units of the last layer.
    constant : float
        Added to the logit.
    """

    slopes: Floats
    offsets: Floats
    steps: tuple[tuple[Floats, Floats], ...]
    out: Floats
    constant: float = 0.0

    def scaled(self, strength: float) -> Wiring:
        """The same units, read ``strength`` times as strongly."""
        return replace(self, out=strength * self.out, constant=strength * self.constant)

    def centred(self, estimate: Floats) -> Wiring:
        """With the constant that makes its mean contribution on these rows 0."""
        return replace(self, constant=self.constant - float(self.contribution(estimate).mean()))

    def contribution(self, estimate: Floats) -> Floats:
        """What it adds to the logit of rows with these estimates, (n,)."""
        units = np.maximum(estimate[:, None] * self.slopes + self.offsets, 0)
        for matrix, vector in self.steps:
            units = np.maximum(units @ matrix.T + vector, 0)
        added: Floats = units @ self.out + self.constant
        return added

    @property
    def widths(self) -> tuple[int, ...]:
        """Units at each layer."""
        return (len(self.slopes), *(len(vector) for _, vector in self.steps))


def straight(depth: int) -> Wiring:
    """The estimate itself in two units a layer: its positive and its negative part."""
    return Wiring(
        slopes=np.array([1.0, -1.0]), offsets=np.zeros(2), steps=_kept(2, depth - 1), out=np.array([1.0, -1.0])
    )


def gate(depth: int, low: float, high: float) -> Wiring:
    """0 where the estimate is below ``low``, 1 where it is above ``high``, in two units a layer."""
    slope, offset = _ramp(low, high)
    return Wiring(
        slopes=np.array([slope, slope]),
        offsets=np.array([offset, offset - 1]),
        steps=_kept(2, depth - 1),
        out=np.array([1.0, -1.0]),
    )


def either(depth: int, low: float, high: float) -> Wiring:
    """Two copies of `gate`, either of which suffices: the last layer adds them and stops at 1.

    The last layer has one unit, 1 minus what the copies say together; the layers before it have four.
    """
    if depth < 2:
        raise ConfigError(f"two redundant copies need at least 2 layers, got {depth}.")
    slope, offset = _ramp(low, high)
    join = (np.array([[-1.0, 1.0, -1.0, 1.0]]), np.ones(1))
    return Wiring(
        slopes=np.full(4, slope),
        offsets=np.array([offset, offset - 1, offset, offset - 1]),
        steps=(*_kept(4, depth - 2), join),
        out=np.array([-1.0]),
        constant=1.0,
    )


def _kept(units: int, layers: int) -> tuple[tuple[Floats, Floats], ...]:
    """Steps that leave units as they are: none is below 0."""
    return tuple((np.eye(units), np.zeros(units)) for _ in range(layers))


def _ramp(low: float, high: float) -> tuple[float, float]:
    if not low < high:
        raise ConfigError(f"`low` must lie below `high`, got {low} and {high}.")
    return 1 / (high - low), -low / (high - low)
