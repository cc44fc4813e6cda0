"""Batches of columns of a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fairheads.data.columns import MISSING_TEXTS, ROWS, Column, coded, number_named
from fairheads.data.files import reading
from fairheads.data.unpacked import Bounded, check_columns_few, rows_together, text_of
from fairheads.errors import InputError

MOST_HEAD = 2**24
"""Letters of the first line."""


def csv_columns(file: Path) -> list[str]:
    """The names of the columns, from the first line."""
    with reading(file), text_of(file) as stream:
        return _header(stream, file)


def csv_batches(file: Path, names: Sequence[str], numbers: Sequence[str]) -> Iterator[tuple[dict[str, Column], int]]:
    """Batches of some columns, and how many rows each has."""
    import pandas as pd

    rows = 0
    with _frames(file, names, numbers) as chunks:
        while True:
            with reading(file):
                try:
                    chunk = next(chunks.frames, None)
                except ValueError:
                    _refuse_text(file, numbers)
                    raise
            if chunk is None:
                return
            chunks.text.taken()
            surplus = chunk[chunks.width].notna().to_numpy()
            if surplus.any():
                raise InputError(
                    f"{file.name} cannot be read as a table: row {rows + int(surplus.argmax()) + 1:,} has more fields"
                    f" than the header, which has {chunks.width}."
                )
            rows += len(chunk)
            batch: dict[str, Column] = {n: chunk[chunks.places[n]].to_numpy(np.float64) for n in numbers}
            for name in names:
                codes, values = pd.factorize(chunk[chunks.places[name]])
                batch[name] = coded(values.tolist(), codes.astype(np.int64))
            yield batch, len(chunk)


@dataclass(frozen=True)
class _Rows:
    """Frames whose columns are called by their places, with one after the last, where surplus fields come to light."""

    frames: Any
    places: dict[str, int]
    width: int
    text: Bounded


@contextmanager
def _frames(file: Path, names: Sequence[str], numbers: Sequence[str]) -> Iterator[_Rows]:
    import pandas as pd

    with text_of(file) as stream:
        with reading(file):
            there = _header(stream, file)
            places = {name: there.index(name) for name in (*names, *numbers)}
            # Names as objects: pandas' categories would read 007 as the number 7.
            kinds = {**dict.fromkeys(places.values(), object), **{places[n]: np.float64 for n in numbers}}
            rest = stream.read(1 << 12)
            if not rest.strip():
                yield _Rows(iter(()), places, len(there), Bounded(stream, file))
                return
            # Until pandas 3.1 read every number exactly, it had to be asked to.
            exact = {} if version_of(pd.__version__) >= (3, 1) else {"float_precision": "round_trip"}
            read_csv: Any = pd.read_csv
            # Under another first line, which says how many fields pandas has to expect.
            first = ",".join(map(str, range(len(there) + 1))) + "\n" + rest
            text = Bounded(stream, file, first=first)
            frames = read_csv(
                text,
                header=0,
                names=list(range(len(there) + 1)),
                usecols=[*kinds, len(there)],
                dtype={**kinds, len(there): object},
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=list(MISSING_TEXTS),
                chunksize=rows_together(len(there), ROWS),
                **exact,
            )
        with frames:
            yield _Rows(frames, places, len(there), text)


def version_of(text: str) -> tuple[int, int]:
    """Major and minor version."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def _header(stream: IO[str], file: Path) -> list[str]:
    """The names in the first line that is not empty; the stream then stands behind it."""
    for row in csv.reader(_lines(stream, file), skipinitialspace=True, strict=True):
        check_columns_few(len(row), file)
        if row:
            return [name.strip() for name in row]
    raise InputError(f"{file.name} cannot be read as a table: it is empty.")


def _lines(stream: IO[str], file: Path) -> Iterator[str]:
    while line := stream.readline(MOST_HEAD):
        if len(line) == MOST_HEAD:
            raise InputError(f"{file.name} cannot be read as a table: its first line does not end.")
        yield line


def _refuse_text(file: Path, numbers: Sequence[str]) -> None:
    """Names the first text where a number should be."""
    with _frames(file, numbers, ()) as again:
        for chunk in again.frames:
            for name in numbers:
                for value in chunk[again.places[name]].dropna().unique().tolist():
                    number_named(value, name, file.name)
