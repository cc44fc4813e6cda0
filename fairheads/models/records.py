"""What a bundle says of itself, vetted as it is read: whoever uses it later takes it as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.data import RowRecord
from fairheads.data.preprocess import TableEncoder
from fairheads.errors import InputError

DEEPEST = 32
"""Most levels of lists and objects inside one another."""

SPLIT: Mapping[str, type | tuple[type, ...]] = {
    "source": str,
    "test": (int, float),
    "validation": (int, float),
    "seed": int,
}
OUTCOME: Mapping[str, type | tuple[type, ...]] = {"label": str, "favourable": str}


def vetted(record: Any, what: str) -> dict[str, Any]:
    """The training record of a bundle, or its merge, as a dictionary of which every later reader can be sure.

    Raises
    ------
    InputError
        If it is no object, is nested deeper than `DEEPEST`, or has a ``split``, ``outcome``, ``objective`` or
        ``shares`` that is none.
    """
    if not isinstance(record, dict):
        raise InputError(f"its {what} record is no object")
    _refuse_deep(record, what, DEEPEST)
    for part, kinds in (("split", SPLIT), ("outcome", OUTCOME)):
        if record.get(part) is not None:
            _refuse_other(record[part], kinds, f"{part!r} of its {what} record")
    split = record.get("split")
    if split is not None and not (0 <= split["test"] < 1 and 0 <= split["validation"] < 1 and split["seed"] >= 0):
        raise InputError(f"'split' of its {what} record has shares that are none")
    # Of a training it is the objective with its settings, of a merge the name of what was made best.
    if "objective" in record and not isinstance(record["objective"], str if what == "merge" else dict):
        raise InputError(f"'objective' of its {what} record is none")
    shares = record.get("shares", {})
    for share in shares.values() if isinstance(shares, dict) else [shares]:
        _refuse_other(share, {"n": int}, f"'shares' of its {what} record")
        if not isinstance(share.get("base_rate", 0.0), int | float):
            raise InputError(f"'shares' of its {what} record has a base rate that is no number")
    return record


def refuse_other_width(architecture: Mapping[str, Any], encoder: TableEncoder | None) -> None:
    """Whether the network of a bundle, whose description has been vetted, takes what its encoder makes.

    Raises
    ------
    InputError
        If it takes more columns or fewer.
    """
    while "of" in architecture:
        architecture = architecture["of"]
    wanted = architecture.get("in_features")
    if encoder is not None and wanted is not None and len(encoder.feature_names) != wanted:
        raise InputError(f"its encoder makes {len(encoder.feature_names):,} columns, and its network takes {wanted:,}")


def vetted_rows(arrays: Mapping[str, NDArray[Any]]) -> RowRecord:
    """The record of training rows in these arrays.

    Raises
    ------
    InputError
        If they are not distinct sorted hashes (uint64) with a count of at least 1 (int64) for each.
    """
    hashes, counts = arrays["hashes"], arrays["counts"]
    fit = hashes.dtype == np.uint64 and counts.dtype == np.int64 and hashes.ndim == 1 and hashes.shape == counts.shape
    if not fit or (hashes[1:] <= hashes[:-1]).any() or (counts < 1).any() or counts.sum(dtype=float) > 2**62:
        raise InputError("its record of training rows holds no distinct sorted hashes with their counts")
    return RowRecord(hashes, counts)


def _refuse_deep(value: Any, what: str, left: int) -> None:
    if left == 0:
        raise InputError(f"its {what} record is nested more than {DEEPEST} levels deep")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_deep(each, what, left - 1)


def _refuse_other(value: Any, kinds: Mapping[str, type | tuple[type, ...]], what: str) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{what} is none")
    for name, kind in kinds.items():
        if name not in value or not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise InputError(f"{what} is none: {name!r} is missing or of another kind")
