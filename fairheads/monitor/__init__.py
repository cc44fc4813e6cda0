"""Watching a head emerge: what a network does with the group, measured at chosen steps of its training."""

from fairheads.monitor.head_monitor import HeadMonitor
from fairheads.monitor.reading import GroupReading, Reading

__all__ = ["GroupReading", "HeadMonitor", "Reading"]
