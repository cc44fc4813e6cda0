"""Readings as scalars, for TensorBoard and whatever else takes them one at a time."""

from __future__ import annotations

import math
from typing import Protocol

from fairheads.monitor.reading import CURVES, Reading
from fairheads.results import Number


class Writer(Protocol):
    """Where scalars go: TensorBoard's ``SummaryWriter``, or anything with this method."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> object:
        """Take one value of one curve."""
        ...


def write(writer: Writer, reading: Reading) -> None:
    """One scalar for each value and bound of each group, and the accuracy; what is undefined is left out."""
    for g in reading.groups:
        for name in CURVES:
            number: Number = getattr(g, name)
            for tag, value in ((name, number.value), (f"{name}_low", number.low), (f"{name}_high", number.high)):
                if value is not None and math.isfinite(value):
                    writer.add_scalar(f"fairheads/{g.group}/{tag}", value, reading.step)
    if math.isfinite(reading.accuracy.value):
        writer.add_scalar("fairheads/accuracy", reading.accuracy.value, reading.step)
