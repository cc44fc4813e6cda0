"""An effect in the twins, beside the network's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TwinSummary:
    """The same effect in the twins (their largest over layers), and how surprising the network's is beside them.

    ``p`` comes from the predictive t with K - 1 degrees of freedom, ``p_rank`` from the rank, ``p_min`` is the
    smallest value that the rank can give with this many twins.
    """

    n: int
    mean: float
    sd: float
    p: float
    p_rank: float
    p_min: float
