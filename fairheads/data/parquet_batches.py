"""Batches of columns of a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data.columns import ROWS, Column, coded, numbers_of
from fairheads.data.files import reading
from fairheads.data.unpacked import refuse_packed
from fairheads.sums import Coded


def parquet_columns(file: Path) -> list[str]:
    """The names of the columns."""
    with reading(file):
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)


def parquet_batches(
    file: Path, names: Sequence[str], numbers: Sequence[str]
) -> Iterator[tuple[dict[str, Column], int]]:
    """Batches of some columns, and how many rows each has."""
    with reading(file):
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pq.read_schema(file)
        texts = [n for n in names if pa.types.is_string(schema.field(n).type)]
        opened = pq.ParquetFile(file, read_dictionary=texts, pre_buffer=False)
        refuse_packed(opened.metadata, file)
    with opened:
        batches = opened.iter_batches(ROWS, columns=[*names, *numbers])
        while True:
            with reading(file):
                batch = next(batches, None)
                if batch is None:
                    return
                columns: dict[str, Column] = {n: _arrow_names(batch.column(n)) for n in names}
            for name in numbers:
                with reading(file):
                    columns[name] = _arrow_numbers(batch.column(name), name, file)
            yield columns, batch.num_rows


def _arrow_names(column: Any) -> Coded:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = column.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return coded(column.dictionary.to_pylist(), codes)


def _arrow_numbers(column: Any, name: str, file: Path) -> NDArray[np.float64]:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(column.type):
        return numbers_of(_arrow_names(column), name, file.name)
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
