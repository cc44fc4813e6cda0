"""CSV and Parquet files and folders, too large for memory, as a `Stream` of encoded rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairheads.data.columns import check_columns
from fairheads.data.dataset import Batch
from fairheads.data.outcomes import favourable_of
from fairheads.data.preprocess import TableEncoder
from fairheads.data.stream import BUFFER, Stream
from fairheads.data.stream_files import Piece, pieces_of
from fairheads.data.stream_kinds import texts_of
from fairheads.data.stream_scan import Reading, Scan, scan
from fairheads.errors import ConfigError, InputError

if TYPE_CHECKING:
    import pandas as pd


def stream_table(
    path: str | Path,
    *,
    label: str,
    group: Sequence[str],
    favourable: str | None = None,
    drop: Sequence[str] = (),
    group_in_inputs: bool = False,
    encoder: TableEncoder | None = None,
    name: str | None = None,
    buffer: int = BUFFER,
    progress: Callable[[int], None] | None = None,
) -> Stream:
    """A CSV file (also compressed), a Parquet file, or a folder of such, as a stream of encoded rows.

    A first pass learns the types of the columns, the values of label and groups, and the encoder. The rows are the
    ones that `read_table` and ``encode`` give, with the same encoder (categories to the letter, means and standard
    deviations to 1e-12), the same codes and the same row ids; of a folder, those of its files in the order of their
    paths, and a folder ``sex=F`` gives the tables in it the column ``sex``.

    Parameters
    ----------
    label, group, favourable, drop, group_in_inputs
        As `read_table`.
    encoder : TableEncoder, optional
        That of the training rows, where these are others; without it one is fitted to all rows of the table, so leave
        out of it what is held out.
    name : str, optional
        What reports call the data, by default the name of the file.
    buffer : int
        Rows that `Stream.epoch` shuffles among. Its pieces are the row groups of Parquet, and whole CSV files: a
        single CSV file in an order that matters is mixed within ``buffer`` rows only.
    progress : callable, optional
        Called with the number of rows read so far in the first pass.

    Raises
    ------
    InputError
        As `read_table`; if files of a folder have different columns; while iterating, if a file has changed.
    ConfigError
        If ``group`` is a single string.

    Notes
    -----
    A column that looks like numbers at first and turns out to be text starts the first pass again, once per change.
    """
    if isinstance(group, str):
        raise ConfigError(f"`group` must be a sequence of column names, such as [{group!r}], got a single string.")
    if not group:
        raise ConfigError("`group` must name at least one column, got none.")
    if label in group:
        raise InputError(f"column {label!r} cannot be both the label and the group.")
    file = Path(path)
    pieces = pieces_of(file)
    check_columns([*dict.fromkeys([label, *group, *drop])], pieces[0].columns(), pieces[0].file.name)
    how = Reading(
        pieces=pieces,
        label=label,
        group=tuple(group),
        drop=tuple(name for name in drop if name not in (label, *group)),
        not_inputs=tuple(drop) + (() if group_in_inputs else tuple(group)),
    )
    found = scan(how, encoder, progress)
    chosen = favourable_of(sorted(found.labels), label, favourable)
    if found.encoder is None:
        raise InputError(f"{file.name} has no rows.")
    table = _Encoded(how, found, found.encoder, chosen, tuple(sorted(found.groups)))
    starts = np.cumsum([0, *found.rows]).tolist()
    return Stream(
        [_Rows(table, piece, *ends) for piece, ends in zip(pieces, pairwise(starts), strict=True)],
        group_names=table.group_names,
        feature_names=found.encoder.feature_names,
        name=file.name if name is None else name,
        preprocess=found.encoder,
        unseen=found.unseen,
        outcome={"label": label, "favourable": chosen},
        buffer=buffer,
    )


@dataclass(frozen=True, eq=False)
class _Encoded:
    """How the parts of a table become batches."""

    how: Reading
    found: Scan
    encoder: TableEncoder
    favourable: str
    group_names: tuple[str, ...]

    def batch(self, frame: pd.DataFrame, start: int, file: str) -> Batch:
        """The rows of a part, of which the first is row ``start`` of the table."""
        kinds = self.found.kinds
        labels, y = texts_of(frame[self.how.label], kinds[self.how.label])
        names, codes = self.how.group_texts(frame, kinds)
        if set(labels) - self.found.labels or set(names) - self.found.groups or (y < 0).any() or (codes < 0).any():
            raise InputError(f"{file} has changed since it was first read: its labels or groups are others.")
        place = {name: i for i, name in enumerate(self.group_names)}
        return Batch(
            {"x": self.encoder.transform(self.how.columns(frame, kinds, self.encoder.inputs))},
            np.array([label == self.favourable for label in labels], np.int64)[y],
            np.array([place.get(name, -1) for name in names], np.int64)[codes],
            np.arange(start, start + len(frame)),
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """A piece of a table, rows ``start`` to ``end``; iterating reads and encodes them."""

    table: _Encoded
    piece: Piece
    start: int
    end: int

    def __iter__(self) -> Iterator[Batch]:
        row = self.start
        for frame in self.table.how.parts(self.piece, self.table.found.kinds):
            batch = self.table.batch(frame, row, self.piece.file.name)
            row += len(batch)
            yield batch
        if row != self.end:
            raise InputError(
                f"{self.piece.file.name} has changed since it was first read: it had {self.end - self.start:,} rows and"
                f" has {row - self.start:,}."
            )
