"""What an audit knows about the data is a sum: accumulators that add across blocks, files and processes."""

from fairheads.sums.cells import BINARY, Cells
from fairheads.sums.groups import NOT_RECORDED, Coded, Membership, is_recorded, parts_of
from fairheads.sums.moments import Moments
from fairheads.sums.scores import BINS, EXACT, ScoreHistogram
from fairheads.sums.tally import Tally, sum_of

__all__ = [
    "BINARY",
    "BINS",
    "EXACT",
    "NOT_RECORDED",
    "Cells",
    "Coded",
    "Membership",
    "Moments",
    "ScoreHistogram",
    "Tally",
    "is_recorded",
    "parts_of",
    "sum_of",
]
