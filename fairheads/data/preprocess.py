"""From the columns of a table to the numbers a network is fed; fitted on training rows, saved as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError

MISSING = "?"
"""The category of a missing value."""

MAX_CATEGORIES = 1_000
"""Most values of a text column: more are names or free text, and one column each would fill the memory."""

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class TableEncoder:
    """One-hot for columns of text, standardised numbers for the rest.

    Attributes
    ----------
    numeric : dict of column to (mean, sd)
        Constant columns keep sd 1, so they encode to 0.
    categories : dict of column to the tuple of categories seen when fitting
        A category that was not seen encodes to all zeros and is counted by `unseen`.
    ignored : tuple of str
        Columns that may be there and are not inputs (label, group, weights).
    """

    numeric: Mapping[str, tuple[float, float]]
    categories: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...] = ()

    @classmethod
    def fit(cls, columns: Columns, *, ignore: Sequence[str] = ()) -> TableEncoder:
        """The encoder of these training rows; columns named in ``ignore`` are not inputs.

        Raises
        ------
        InputError
            If no column is left, or a number is missing or infinite.
        """
        numeric: dict[str, tuple[float, float]] = {}
        categories: dict[str, tuple[str, ...]] = {}
        for name, values in columns.items():
            if name in ignore:
                continue
            if values.dtype.kind in "iufb":
                mean, sd = float(_numbers(name, values).mean()), float(values.std())
                numeric[name] = (mean, sd if sd > 0 else 1.0)
            else:
                categories[name] = tuple(np.unique(_text(values)).tolist())
                if len(categories[name]) > MAX_CATEGORIES:
                    raise InputError(
                        f"column {name!r} is text with {len(categories[name]):,} different values (at most"
                        f" {MAX_CATEGORIES:,}); if it is an identifier or free text, drop it."
                    )
        if not numeric and not categories:
            raise InputError(
                "no input column is left after the label, the group and the dropped columns are taken away."
            )
        return cls(numeric=numeric, categories=categories, ignored=tuple(ignore))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that are encoded."""
        return (*self.numeric, *self.categories)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded columns: ``age`` for a number, ``sex=Female`` for a category."""
        shown = [f"{name}={value}" for name, values in self.categories.items() for value in values]
        return (*self.numeric, *shown)

    def transform(self, columns: Columns) -> NDArray[np.float32]:
        """The encoded rows, shape (n, number of `feature_names`).

        Raises
        ------
        InputError
            If a column is missing, is unknown, or has the wrong type; all of them in one message.
        """
        missing = [name for name in self.inputs if name not in columns]
        unknown = [name for name in columns if name not in self.inputs and name not in self.ignored]
        problems = []
        if missing:
            problems.append(f"columns {missing} are missing")
        if unknown:
            problems.append(f"columns {unknown} are unknown to the model (drop them to go on)")
        if problems:
            raise InputError(f"the table does not fit the model's encoder: {'; '.join(problems)}.")
        parts = [((_numbers(k, columns[k]) - mean) / sd)[:, None] for k, (mean, sd) in self.numeric.items()]
        parts += [_text(columns[k])[:, None] == np.array(v) for k, v in self.categories.items()]
        return np.concatenate([part.astype(np.float32) for part in parts], axis=1)

    def unseen(self, columns: Columns) -> dict[str, int]:
        """Number of rows whose category was not seen when fitting, for every column that has some."""
        counts = {k: int((~np.isin(_text(columns[k]), v)).sum()) for k, v in self.categories.items()}
        return {name: count for name, count in counts.items() if count}

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "table",
            "numeric": {k: list(v) for k, v in self.numeric.items()},
            "categories": {k: list(v) for k, v in self.categories.items()},
            "ignored": list(self.ignored),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TableEncoder:
        return cls(
            numeric={str(k): (float(v[0]), float(v[1])) for k, v in plain["numeric"].items()},
            categories={str(k): tuple(str(c) for c in v) for k, v in plain["categories"].items()},
            ignored=tuple(str(c) for c in plain["ignored"]),
        )


def _numbers(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind not in "iufb":
        raise InputError(
            f"column {name!r} must be numeric, as it was in training; got text such as {str(values[0])!r}."
        )
    numbers = values.astype(np.float64)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise InputError(f"column {name!r} has {bad} missing (NaN) or infinite values; fill or drop those rows first.")
    return numbers


def _text(values: NDArray[Any]) -> NDArray[np.str_]:
    if values.dtype.kind == "U":
        return values
    return np.array([MISSING if is_missing(v) else str(v) for v in values.tolist()])


def is_missing(value: object) -> bool:
    """Whether ``value`` is None, NaN or pandas' NA (which is neither equal nor unequal to itself)."""
    return value is None or str(value == value) != "True"
