"""The first pass over a table larger than memory: types of the columns, encoder, values of label and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.outcomes import MOST_VALUES, favourable_of
from fairheads.data.preprocess import EncoderFitter, TableEncoder
from fairheads.data.room import Room
from fairheads.data.stream_files import Piece
from fairheads.data.stream_kinds import Kind, joined, kind_of, texts_of, values_of
from fairheads.data.table import MAX_GROUPS, missing_in, refuse_missing
from fairheads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table is to be read: its pieces and the parts that its columns play."""

    pieces: Sequence[Piece]
    label: str
    group: tuple[str, ...]
    drop: tuple[str, ...]
    not_inputs: tuple[str, ...]

    def parts(self, piece: Piece, kinds: dict[str, Kind]) -> Iterator[pd.DataFrame]:
        """The rows of a piece, its columns in the order of ``kinds`` where that is known."""
        texts = [name for name, kind in kinds.items() if kind == "text"]
        for frame in piece.frames(texts, self.drop, (self.label, *self.group)):
            if not kinds:
                self._check(piece, frame)
            elif list(frame.columns) != list(kinds):
                lacking, more = set(kinds).difference(frame.columns), set(frame.columns).difference(kinds)
                if lacking or more:
                    raise InputError(
                        f"{piece.file.name} must have the columns of {self.pieces[0].file.name}: it lacks"
                        f" {sorted(lacking)} and has {sorted(more)} besides."
                    )
                frame = frame[list(kinds)]
            yield frame

    def _check(self, piece: Piece, frame: pd.DataFrame) -> None:
        for name in (self.label, *self.group):
            if name not in frame.columns:  # as where Parquet says that it is no column but an index
                raise InputError(f"{piece.file.name} has no values of {name[:60]!r}; write it without an index.")
        unnamed = [name for name in frame.columns if name.startswith("Unnamed: ")]
        if unnamed:
            raise InputError(
                f"{piece.file.name} has a column without a name ({unnamed[0]!r}); drop it or write the file without it."
            )

    def columns(self, frame: pd.DataFrame, kinds: dict[str, Kind], also: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """The columns that may be inputs, and those of ``also``."""
        names = [n for n in kinds if n != self.label and (n not in self.not_inputs or n in also)]
        room = Room()
        return {name: values_of(frame[name], kinds[name], room) for name in names}

    def group_texts(self, frame: pd.DataFrame, kinds: dict[str, Kind]) -> tuple[list[str], NDArray[np.int64]]:
        """The names of the groups that occur and the code of every row; -1 where a value is missing."""
        import pandas as pd

        texts, codes = texts_of(frame[self.group[0]], kinds[self.group[0]])
        for name in self.group[1:]:
            more, others = texts_of(frame[name], kinds[name])
            both = np.where((codes < 0) | (others < 0), -1, codes * len(more) + others)
            codes, distinct = pd.factorize(both)
            codes = np.where(both < 0, -1, codes)
            texts = [f"{texts[i // len(more)]}, {more[i % len(more)]}" if i >= 0 else "" for i in distinct.tolist()]
        return texts, codes


@dataclass
class Scan:
    """What the first pass found; `rows` is the number of rows of each piece."""

    kinds: dict[str, Kind]
    rows: list[int] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    missing: dict[tuple[str, str], int] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)
    encoder: TableEncoder | None = None
    gaps: dict[str, int] = field(default_factory=dict)

    def count_gaps(self, columns: dict[str, NDArray[Any]]) -> None:
        """Counts numbers that are missing or infinite."""
        for name, values in columns.items():
            if values.dtype.kind == "f" and (bad := int((~np.isfinite(values)).sum())):
                self.gaps[name] = self.gaps.get(name, 0) + bad


def scan(how: Reading, encoder: TableEncoder | None, progress: Callable[[int], None] | None) -> Scan:
    """Reads everything once, and again from the start wherever a column turns out to be of another type.

    Raises
    ------
    InputError
        On everything that `fairheads.data.read_table` and `TableEncoder.fit` refuse, and files of different columns.
    """
    kinds: dict[str, Kind] = {}
    while True:
        found, known = _scanned(how, kinds, encoder, progress)
        if known == kinds:
            return found
        kinds = known


def _scanned(
    how: Reading, kinds: dict[str, Kind], encoder: TableEncoder | None, progress: Callable[[int], None] | None
) -> tuple[Scan, dict[str, Kind]]:
    """The scan with these types, and the same types; or other types, as soon as they show."""
    found = Scan(kinds)
    fitter = None if encoder is not None else EncoderFitter(ignore=how.not_inputs)
    for piece in how.pieces:
        found.rows.append(0)
        for frame in how.parts(piece, kinds):
            now = {str(name): kind_of(frame[name]) for name in frame.columns}
            if not kinds and encoder is not None:
                now |= dict.fromkeys(set(encoder.categories).intersection(now), "text")
            known = {name: joined(kinds.get(name, kind), kind) for name, kind in now.items()}
            if known != kinds:
                return found, known
            _take_in(found, how, frame)
            columns = how.columns(frame, kinds, encoder.inputs if encoder is not None else ())
            found.count_gaps(columns)
            if fitter is not None and not found.gaps:  # a column with gaps may yet turn out to be text
                fitter.update(columns)
            if encoder is not None:
                if len(found.rows) == 1 and not found.rows[0]:
                    encoder.transform(how.columns(frame.head(1), kinds, encoder.inputs))  # are the columns there?
                for name, count in encoder.unseen(columns).items():
                    found.unseen[name] = found.unseen.get(name, 0) + count
            found.rows[-1] += len(frame)
            if progress is not None:
                progress(sum(found.rows))
    if not sum(found.rows):
        raise InputError(f"{how.pieces[0].file.name if how.pieces else 'the table'} has no rows.")
    for (kind, column), count in found.missing.items():
        refuse_missing(kind, column, count)
    for column, count in found.gaps.items():
        raise InputError(
            f"column {column!r} has {count} missing (NaN) or infinite values; fill or drop those rows first."
        )
    found.encoder = encoder if fitter is None else fitter.encoder
    return found, kinds


def _take_in(found: Scan, how: Reading, frame: pd.DataFrame) -> None:
    for kind, column in (("label", how.label), *(("group", name) for name in how.group)):
        if missing := missing_in(frame[column]):
            found.missing[kind, column] = found.missing.get((kind, column), 0) + missing
    labels, _ = texts_of(frame[how.label], found.kinds[how.label])
    groups, _ = how.group_texts(frame, found.kinds)
    found.labels.update(labels)
    found.groups.update(groups)
    if len(found.labels) > MOST_VALUES:
        favourable_of(sorted(found.labels), how.label, None)
    if len(found.groups) > MAX_GROUPS:
        raise InputError(
            f"{', '.join(how.group)} make more than {MAX_GROUPS} groups; at most {MAX_GROUPS} can be compared."
        )
