"""What an audit knows about the data is a sum: accumulators that add across blocks, files and processes."""

from fairheads.sums.cells import Cells
from fairheads.sums.moments import Moments

__all__ = ["Cells", "Moments"]
