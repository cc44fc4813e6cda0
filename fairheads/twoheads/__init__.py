"""The explicit two-headed baseline: coefficients on validation rows, and the exact merge."""

from fairheads.twoheads.bundle import merge_bundle
from fairheads.twoheads.frontier import Coefficients, Frontier, fit_frontier
from fairheads.twoheads.merge import merge_heads, merge_net, two_head_scores, unmerge_heads

__all__ = [
    "Coefficients",
    "Frontier",
    "fit_frontier",
    "merge_bundle",
    "merge_heads",
    "merge_net",
    "two_head_scores",
    "unmerge_heads",
]
