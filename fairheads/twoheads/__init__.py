"""The explicit two-headed baseline: coefficients on validation rows, and the exact merge."""

from fairheads.twoheads.attach import attach_group_head, group_readout
from fairheads.twoheads.bundle import Merge, merge_bundle
from fairheads.twoheads.coefficients import Coefficients
from fairheads.twoheads.criteria import Utility
from fairheads.twoheads.frontier import Frontier, fit_frontier
from fairheads.twoheads.merge import merge_heads, merge_net, unmerge_heads
from fairheads.twoheads.outputs import heads_of, two_head_scores
from fairheads.twoheads.statements import approximates, recovers
from fairheads.twoheads.thresholds import group_thresholds
from fairheads.twoheads.verify import Verified, verify_merge

__all__ = [
    "Coefficients",
    "Frontier",
    "Merge",
    "Utility",
    "Verified",
    "approximates",
    "attach_group_head",
    "fit_frontier",
    "group_readout",
    "group_thresholds",
    "heads_of",
    "merge_bundle",
    "merge_heads",
    "merge_net",
    "recovers",
    "two_head_scores",
    "unmerge_heads",
    "verify_merge",
]
