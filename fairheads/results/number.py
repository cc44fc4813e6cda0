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
        95 % interval.
    """

    value: float
    n: int
    low: float | None = field(default=None, metadata=OMIT)
    high: float | None = field(default=None, metadata=OMIT)
    reason: str | None = field(default=None, metadata=OMIT)

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
        text = format(self.value, spec)
        if self.low is not None and self.high is not None:
            text += f" [{format(self.low, spec)}, {format(self.high, spec)}]"
        return text

    def __str__(self) -> str:
        return format(self, "")


def undefined(reason: str, n: int = 0) -> Number:
    """A number that cannot be had, and why."""
    return Number(value=math.nan, n=n, reason=reason)
