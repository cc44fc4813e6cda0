"""Data and networks whose answer is known: to test a detector, and to try the verdict."""

from fairheads.planted.data import synthetic
from fairheads.planted.head import plant_head

__all__ = ["plant_head", "synthetic"]
