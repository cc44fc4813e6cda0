"""Files and folders of tables in pieces that can be read in any order: row groups of Parquet, whole CSV files."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairheads.data.columns import check_once
from fairheads.data.csv_batches import csv_columns
from fairheads.data.csv_frames import check_width, csv_settings
from fairheads.data.files import is_parquet, partitions, reading, tables_in
from fairheads.data.parquet_batches import parquet_columns
from fairheads.data.unpacked import Bounded, refuse_packed, rows_together, text_of

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1 << 14
"""Rows of a part: encoded, a table of 1,000 columns takes 64 MB."""


@dataclass(frozen=True)
class Piece:
    """A CSV file, or a row group of a Parquet file, with the columns that the folders' names give."""

    file: Path
    row_group: int | None = None
    fixed: dict[str, str | None] = field(default_factory=dict)

    def columns(self) -> list[str]:
        """The names of its columns."""
        there = csv_columns(self.file) if self.row_group is None else parquet_columns(self.file)
        return [*there, *(name for name in self.fixed if name not in there)]

    def frames(self, texts: Collection[str], drop: Collection[str], named: Collection[str]) -> Generator[pd.DataFrame]:
        """The rows in parts, without the columns ``drop``; a CSV's columns ``texts`` as they are written.

        ``named`` are label and groups, whose missing values are as in `csv_settings`.
        """
        check_once(self.columns(), self.file.name)
        parts = self._csv(texts, drop, named) if self.row_group is None else self._parquet(texts, drop, self.row_group)
        with closing(parts):
            while True:
                with reading(self.file):
                    frame = next(parts, None)
                if frame is None:
                    return
                frame.columns = frame.columns.astype(str)
                for name, value in self.fixed.items():
                    if name not in frame.columns and name not in drop:
                        frame[name] = value
                if len(frame):
                    yield frame

    def _csv(self, texts: Collection[str], drop: Collection[str], named: Collection[str]) -> Generator[pd.DataFrame]:
        import pandas as pd

        read_csv: Any = pd.read_csv
        settings = csv_settings(self.file, named)
        with text_of(self.file) as stream:
            text = Bounded(stream, self.file)
            frames = read_csv(
                text,
                **settings,
                chunksize=rows_together(len(settings["na_values"]), ROWS),
                usecols=lambda name: name not in drop,
                dtype=dict.fromkeys(texts, object),
            )
            with frames:
                for frame in frames:
                    text.taken()
                    check_width(frame, self.file)
                    yield frame

    def _parquet(self, texts: Collection[str], drop: Collection[str], row_group: int) -> Generator[pd.DataFrame]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pq.read_schema(self.file)
        dictionaries = [name for name in schema.names if pa.types.is_string(schema.field(name).type)]
        with pq.ParquetFile(self.file, read_dictionary=dictionaries, pre_buffer=False) as opened:
            wanted = [name for name in schema.names if name not in drop]
            for batch in opened.iter_batches(ROWS, row_groups=[row_group], columns=wanted):
                yield batch.to_pandas()


def pieces_of(source: Path) -> list[Piece]:
    """The pieces of a file, or of all tables in a folder, in the order of their paths.

    Raises
    ------
    InputError
        If there is none, or one cannot be read.
    """
    pieces: list[Piece] = []
    for file in tables_in(source):
        fixed = {} if file == source else partitions(file.relative_to(source))
        if is_parquet(file):
            with reading(file):
                import pyarrow.parquet as pq

                about = pq.read_metadata(file)
                refuse_packed(about, file)
            pieces += [Piece(file, group, fixed) for group in range(about.num_row_groups)]
        else:
            pieces.append(Piece(file, None, fixed))
    return pieces
