"""How pandas is asked to read a CSV file: which words stand for a missing value, and no column under another name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairheads.data.columns import MISSING_TEXTS, check_once
from fairheads.data.files import reading
from fairheads.data.unpacked import Bounded, check_columns_few, text_of
from fairheads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MISSING_INPUTS = (
    *MISSING_TEXTS,
    *("None", "#NA", "#N/A N/A", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""What is missing in an input: numbers with such a word among them would else be taken for text."""

MOST_FIRST = 2**26
"""Bytes that the first line may take."""


def csv_settings(file: Path, named: Collection[str]) -> dict[str, Any]:
    """The arguments of `pandas.read_csv`, with which ``None`` is a value of the columns ``named``: label and groups.

    Raises
    ------
    InputError
        If two columns have one name, which pandas would tell apart by an ending: the label as ``hired.1`` is an input.
    """
    import pandas as pd

    read_csv: Any = pd.read_csv
    with reading(file), text_of(file) as stream:
        text = Bounded(stream, file, most=MOST_FIRST)
        first = read_csv(text, header=None, nrows=1, dtype=object, keep_default_na=False, skipinitialspace=True)
        check_columns_few(first.shape[1], file)
        there = [str(name) for name in first.iloc[0]]
        check_once(there, file.name)
    missing = {name: list(MISSING_TEXTS if name in named else MISSING_INPUTS) for name in there}
    return {"skipinitialspace": True, "low_memory": False, "keep_default_na": False, "na_values": missing}


def check_width(frame: pd.DataFrame, file: Path) -> None:
    """Refuses rows with more fields than the header, the first of which pandas takes for names of the rows.

    Raises
    ------
    InputError
        If there are some.
    """
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(f"{file.name} cannot be read as a table: its rows have more fields than its header has names.")
