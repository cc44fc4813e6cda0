"""What a table takes when it is unpacked, and text that is read no further than there is room for."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from fairheads.data.files import is_parquet, reading
from fairheads.errors import InputError

STEP = 2**20

FREE, GROWTH = 2**27, 50
"""Bytes that a packed table may unpack to whatever its size, and how many times its size, to be held in memory."""

LARGE = 2**28
"""Bytes that a column of a row group may take, whatever its packed size."""

MOST_HELD, MOST_COLUMNS = 2**30, 100_000
"""Bytes that rows which are read together may take, and columns of a CSV file."""

FIELD, FIELDS = 16, 2**24
"""Bytes that pandas takes for a field beside its letters, and fields that are read together."""


def _zipped(file: Path, mode: str) -> Any:
    archive = zipfile.ZipFile(file)
    (name,) = archive.namelist()  # more than one is no table, as pandas says too
    return archive.open(name)


OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open, ".zip": _zipped}


def unpacked_size(file: Path, most: int) -> int:
    """Bytes that a table takes unpacked; of a packed CSV file counted no further than ``most``.

    Of Parquet, whose columns may be of one value, at least two a field, which is the least that it takes in CSV.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with reading(file):
        if is_parquet(file):
            import pyarrow.parquet as pq

            about = pq.read_metadata(file)
            said = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
            return int(max(said, 2 * about.num_rows * about.num_columns))
        if file.suffix not in OPENERS:
            return file.stat().st_size
        size = 0
        with OPENERS[file.suffix](file, "rb") as opened:
            while size <= most and (part := opened.read(STEP)):
                size += len(part)
        return size


def refuse_bomb(file: Path) -> None:
    """Refuse a table that is to be held in memory and unpacks to much more than its file.

    Raises
    ------
    InputError
        If it takes more than 128 MB and fifty times its size, or cannot be read.
    """
    allowed = max(FREE, GROWTH * file.stat().st_size)
    if unpacked_size(file, allowed) > allowed:
        raise InputError(
            f"{file.name} has {file.stat().st_size:,} bytes and unpacks to more than {allowed:,}, which is too much to"
            " be held in memory; if it is what it should be, unpack it, or read it as a stream."
        )


def refuse_packed(about: Any, file: Path) -> None:
    """Refuse a Parquet file, by its metadata, whose columns unpack to much more than their bytes, even in parts.

    Raises
    ------
    InputError
        If a column of a row group takes more than 256 MB and fifty times its packed bytes.
    """
    for group in (about.row_group(i) for i in range(about.num_row_groups)):
        if group.total_byte_size <= LARGE:
            continue
        for column in (group.column(i) for i in range(group.num_columns)):
            if column.total_uncompressed_size > max(LARGE, GROWTH * column.total_compressed_size):
                raise InputError(
                    f"{file.name} has a column that unpacks to {column.total_uncompressed_size:,} bytes at once; write"
                    " it in smaller row groups, or without texts so long."
                )


class Bounded:
    """Text of a CSV file for pandas, with an error where rows that are read together take more than `MOST_HELD`.

    A field without an end, as after a quotation mark too many, would else be read until memory is full.
    """

    def __init__(self, stream: IO[str], file: Path, *, first: str = "", most: int = MOST_HELD) -> None:
        self.stream, self.name, self.first, self.most, self.held = stream, file.name, first, most, 0

    def read(self, size: int = -1) -> str:
        """The next letters, at most a million, after those that are put ``first``."""
        text, self.first = self.first or self.stream.read(min(size, STEP) if size > 0 else STEP), ""
        self.held += len(text) + FIELD * (text.count(",") + text.count("\n"))
        if self.held > self.most:
            raise InputError(
                f"{self.name} cannot be read as a table: rows that belong together take more than"
                f" {self.most // 2**20} MB; a quotation mark may be left open."
            )
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def taken(self) -> None:
        """The rows so far have been taken."""
        self.held = 0


def text_of(file: Path) -> IO[str]:
    """The text of a CSV file, also of a packed one.

    Raises
    ------
    InputError
        If it cannot be opened.
    """
    with reading(file):
        return TextIOWrapper(OPENERS.get(file.suffix, open)(file, "rb"), encoding="utf-8-sig", newline="")


def rows_together(columns: int, most: int) -> int:
    """How many rows of so many columns are read at a time."""
    return max(min(most, FIELDS // max(columns, 1)), 1)


def check_columns_few(columns: int, file: Path) -> None:
    """Whether there are no more columns than a table may have.

    Raises
    ------
    InputError
        If there are.
    """
    if columns > MOST_COLUMNS:
        raise InputError(f"{file.name} cannot be read as a table: it has more than {MOST_COLUMNS:,} columns.")
