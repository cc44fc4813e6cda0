"""Files and folders as batches of named columns: names coded, numbers as float64, never more than a batch in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from fairheads.data.columns import Column, check_columns, coded, numbers_of
from fairheads.data.csv_batches import csv_batches, csv_columns
from fairheads.data.files import is_parquet, partitions, tables_in
from fairheads.data.parquet_batches import parquet_batches, parquet_columns

Progress = Callable[[int], None]
"""Called with the number of rows read so far."""


def batches_of(
    source: str | Path, *, names: Sequence[str] = (), numbers: Sequence[str] = ()
) -> Iterator[dict[str, Column]]:
    """The rows of a CSV file (also compressed), a Parquet file, or a folder of such, in batches of some columns.

    Parameters
    ----------
    source : str or Path
        Of a folder all tables below it are read in the order of their paths; files and folders whose name starts with
        ``_`` or ``.`` are left out, and a folder ``sex=F`` gives the tables in it the column ``sex``.
    names, numbers : sequence of str
        Columns to be had as `Coded`, and as float64 with NaN for what is missing. No other column is read.

    Raises
    ------
    InputError
        If there is no such file, it cannot be read, a column is not there (or twice), or numbers are none.
    """
    path = Path(source)
    for file in tables_in(path):
        fixed = {} if file == path else partitions(file.relative_to(path))
        wanted = [*names, *numbers]
        read = parquet_batches if is_parquet(file) else csv_batches
        there = parquet_columns(file) if is_parquet(file) else csv_columns(file)
        fixed = {name: value for name, value in fixed.items() if name not in there}
        check_columns(wanted, [*there, *fixed], file.name)
        own = [[name for name in some if name not in fixed] for some in (names, numbers)]
        for batch, n in read(file, *own):
            for name in set(fixed).intersection(wanted):
                column = coded([fixed[name]], np.zeros(n, np.int64))
                batch[name] = column if name in names else numbers_of(column, name, file.name)
            yield batch
