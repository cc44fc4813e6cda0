"""Rows with a label and a protected group: in memory, from tables, counted as they stream, and the embedded Adult."""

from fairheads.data.adult import adult
from fairheads.data.dataset import BLOCK, Batch, Dataset, blocks
from fairheads.data.predictions import scores_of, tally_batches, tally_file
from fairheads.data.preprocess import TableEncoder
from fairheads.data.rows import RowRecord
from fairheads.data.table import Table, open_table, read_table

__all__ = [
    "BLOCK",
    "Batch",
    "Dataset",
    "RowRecord",
    "Table",
    "TableEncoder",
    "adult",
    "blocks",
    "open_table",
    "read_table",
    "scores_of",
    "tally_batches",
    "tally_file",
]
