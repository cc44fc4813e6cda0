"""Twins: the same network, rows and recipe without the constraint, trained again from other seeds."""

from fairheads.twins.job import PLACEBO_BASE, SEED_BASE
from fairheads.twins.recipe import TwinRecipe, default_cache

__all__ = ["PLACEBO_BASE", "SEED_BASE", "TwinRecipe", "default_cache"]
