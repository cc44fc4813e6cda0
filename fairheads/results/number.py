"""A number with its count, its interval and, where there is none, the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

OMIT: dict[str, Any] = {"omit": True}


@dataclass(frozen=True, kw_only=True)
class Number:
    """An estimate from ``n`` rows.

    Attributes
    ----------
    value : float
        NaN where it is undefined; then ``reason`` says why.
    n : int
        Rows the value rests on.
    low, high : float, optional
        95 % interval, unless the result that holds it says otherwise; a ``low`` without a ``high`` has no upper bound.
    conservative : bool
        Whether the interval is an exact one, taken because there are few rows or the rate is near 0 or 1: it covers
        at least its confidence, as a rule more.
    """

    value: float
    n: int
    low: float | None = field(default=None, metadata=OMIT)
    high: float | None = field(default=None, metadata=OMIT)
    reason: str | None = field(default=None, metadata=OMIT)
    conservative: bool = field(default=False, metadata=OMIT)

    _schema_rule: ClassVar[dict[str, Any]] = {
        "if": {"properties": {"value": {"type": "null"}}},
        "then": {"required": ["value", "n", "reason"]},
    }

    def __post_init__(self) -> None:
        if math.isnan(self.value) and not self.reason:
            raise ValueError("a Number without a value needs a reason")

    def __format__(self, spec: str) -> str:
        """The value, its interval in brackets; ``not estimable`` where there is none. The spec is for each float."""
        spec = spec or ".3f"
        if math.isnan(self.value):
            return f"not estimable ({self.reason})"
        text = _formatted(self.value, spec)
        if self.low is not None:
            high = "no upper bound)" if self.high is None else f"{_formatted(self.high, spec)}]"
            text += f" [{_formatted(self.low, spec)}, {high}{'†' if self.conservative else ''}"
        return text

    def __str__(self) -> str:
        return format(self, "")


def _formatted(value: float, spec: str) -> str:
    """By the spec, but never ``-0.000``."""
    text = format(value, spec)
    return format(0.0, spec) if text == format(-0.0, spec) else text


def undefined(reason: str, n: int = 0) -> Number:
    """A number that cannot be had, and why."""
    return Number(value=math.nan, n=n, reason=reason)
