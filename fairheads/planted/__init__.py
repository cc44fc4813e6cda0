"""Data and networks whose answer is known: to test a detector, and to try the verdict."""

from fairheads.planted.data import synthetic
from fairheads.planted.head import plant_head
from fairheads.planted.truth import true_effect
from fairheads.planted.world import World

__all__ = ["World", "plant_head", "synthetic", "true_effect"]
