"""What a column of a table is when it is read in parts: numbers, truth values or text, as if it were read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairheads.data.preprocess import MISSING
from fairheads.data.room import Room

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["empty", "number", "bool", "truth", "text"]
"""``bool`` encodes as a number; with missing values among it, it is ``truth``: the texts True, False and `MISSING`."""


def kind_of(series: pd.Series[Any]) -> Kind:
    """What some rows of a column are taken for."""
    import pandas as pd

    kind = series.dtype.kind
    if kind in "iu":
        return "number"
    if kind == "f":
        return "number" if bool(series.notna().any()) else "empty"
    if kind == "b":
        return "truth" if bool(series.isna().any()) else "bool"
    found = pd.api.types.infer_dtype(series, skipna=True) if series.dtype == object else ""
    if found == "boolean":
        return "truth"
    return "text" if bool(series.notna().any()) else "empty"


def joined(a: Kind, b: Kind) -> Kind:
    """What a column is of which some rows are one and others the other; the order plays no part."""
    if a == b:
        return a
    if "empty" in (a, b):
        other = b if a == "empty" else a
        return "truth" if other == "bool" else other
    return "truth" if {a, b} == {"bool", "truth"} else "text"


def texts_of(series: pd.Series[Any], kind: Kind) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct values as text and the code of every row, -1 for a missing one; 1.0 is ``1``, as a label."""
    import pandas as pd

    codes, values = pd.factorize(series)
    if kind == "text":
        return [str(v) for v in values], codes.astype(np.int64)
    return [_plain(v) for v in values.tolist()], codes.astype(np.int64)


def values_of(series: pd.Series[Any], kind: Kind, room: Room) -> NDArray[Any]:
    """The column as an encoder takes it: numbers (NaN where missing), or text (`MISSING` where missing)."""
    import pandas as pd

    native = series.dtype.kind
    if native in "iufb" and kind in ("number", "bool", "empty"):
        if bool(series.isna().any()):
            return series.to_numpy(np.float64, na_value=np.nan)
        return series.to_numpy(series.dtype.type)
    if kind == "number" and not bool(series.notna().any()):  # numbers elsewhere, none of them here
        return np.full(len(series), np.nan)
    codes, values = pd.factorize(series)
    texts = [*map(str, values.tolist()), MISSING]
    room.take(str(series.name), texts, codes)
    return np.array(texts)[codes]


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
