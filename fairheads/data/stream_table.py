"""CSV and Parquet files and folders, too large for memory, as a `Stream` of encoded rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
    numbers: bool = False,
    order: Sequence[str] = (),
    rows: Callable[[int], NDArray[np.bool_]] | None = None,
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
    numbers : bool
        Whether all inputs are fed as the numbers they are, in the order of the columns, without an encoder.
    order : sequence of str
        With ``numbers``: another order of the inputs, where it names them all and no others.
    rows : callable, optional
        Gets the number of rows of the table and returns a mask of those that the stream has, by default all. Their row
        ids are their places in the table.
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
        If ``group`` is a single string, or ``numbers`` stands beside an ``encoder``.

    Notes
    -----
    A column that looks like numbers at first and turns out to be text starts the first pass again, once per change.
    """
    if isinstance(group, str):
        raise ConfigError(f"`group` must be a sequence of column names, such as [{group!r}], got a single string.")
    if not group:
        raise ConfigError("`group` must name at least one column, got none.")
    if numbers and encoder is not None:
        raise ConfigError("`numbers` are fed without an `encoder`; give one of the two.")
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
    made_by = _as_they_are(found.encoder, file.name, order) if numbers else found.encoder
    table = _Encoded(how, found, made_by, chosen, tuple(sorted(found.groups)))
    starts = np.cumsum([0, *found.rows]).tolist()
    mask = None if rows is None else rows(starts[-1])
    parts = [_Rows(table, piece, *ends, mask) for piece, ends in zip(pieces, pairwise(starts), strict=True)]
    return Stream(
        parts,
        group_names=table.group_names,
        feature_names=made_by.feature_names,
        name=file.name if name is None else name,
        preprocess=None if numbers else made_by,
        unseen=found.unseen if mask is None or mask.all() or not found.unseen else _unseen(parts),
        outcome={"label": label, "favourable": chosen},
        buffer=buffer,
    )


def _as_they_are(fitted: TableEncoder, name: str, order: Sequence[str]) -> TableEncoder:
    """The encoder that changes no number of these columns."""
    for column in fitted.categories:
        raise InputError(
            f"{name} has the column {column!r}, which is text; without an encoder inputs must be numbers: drop it, or"
            " write words such as yes and no as the numbers that the model was trained on."
        )
    inputs = order if set(order) == set(fitted.numeric) else fitted.numeric
    return TableEncoder(numeric=dict.fromkeys(inputs, (0.0, 1.0)), categories={}, ignored=fitted.ignored)


def _unseen(parts: Sequence[_Rows]) -> dict[str, int]:
    """Rows of the stream whose category the encoder had not seen, for every column that has some."""
    counts: Counter[str] = Counter()
    for part in parts:
        for frame, _ in part.frames():
            how, encoder = part.table.how, part.table.encoder
            counts.update(encoder.unseen(how.columns(frame, part.table.found.kinds, encoder.inputs)))
    return dict(counts)


@dataclass(frozen=True, eq=False)
class _Encoded:
    """How the parts of a table become batches."""

    how: Reading
    found: Scan
    encoder: TableEncoder
    favourable: str
    group_names: tuple[str, ...]

    def batch(self, frame: pd.DataFrame, row_id: NDArray[np.int64], file: str) -> Batch:
        """Some rows of a file, with their places in the table."""
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
            row_id,
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """A piece of a table, rows ``start`` to ``end``, or those of a mask; iterating reads and encodes them."""

    table: _Encoded
    piece: Piece
    start: int
    end: int
    mask: NDArray[np.bool_] | None = None

    def __iter__(self) -> Iterator[Batch]:
        for frame, row_id in self.frames():
            yield self.table.batch(frame, row_id, self.piece.file.name)

    def frames(self) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
        """The rows in parts, as they stand in the file, with their places in the table."""
        if self.mask is not None and not self.mask[self.start : self.end].any():
            return
        row = self.start
        for frame in self.table.how.parts(self.piece, self.table.found.kinds):
            places = np.arange(row, row + len(frame))
            row += len(frame)
            if row > self.end:
                continue
            here = slice(None) if self.mask is None or self.mask[places].all() else self.mask[places]
            if len(kept := places[here]):
                yield frame[here], kept
        if row != self.end:
            raise InputError(
                f"{self.piece.file.name} has changed since it was first read: it had {self.end - self.start:,} rows and"
                f" has {row - self.start:,}."
            )
