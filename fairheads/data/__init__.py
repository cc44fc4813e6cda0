"""Rows with a label and a protected group: in memory, streamed, from tables, counted, and the embedded Adult."""

from fairheads.data.adult import adult
from fairheads.data.dataset import BLOCK, Batch, Dataset, blocks
from fairheads.data.given import refuse_other_rows
from fairheads.data.predictions import scores_of, tally_batches, tally_file
from fairheads.data.preprocess import EncoderFitter, TableEncoder
from fairheads.data.rows import RowRecord
from fairheads.data.stream import Stream
from fairheads.data.stream_table import stream_table
from fairheads.data.table import Table, open_table, read_table

__all__ = [
    "BLOCK",
    "Batch",
    "Dataset",
    "EncoderFitter",
    "RowRecord",
    "Stream",
    "Table",
    "TableEncoder",
    "adult",
    "blocks",
    "open_table",
    "read_table",
    "refuse_other_rows",
    "scores_of",
    "stream_table",
    "tally_batches",
    "tally_file",
]
