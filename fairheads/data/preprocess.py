"""From the columns of a table to the numbers a network is fed; fitted on training rows, saved as JSON."""

from __future__ import annotations

import math
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
        fitter = EncoderFitter(ignore=ignore)
        fitter.update(columns)
        return fitter.encoder

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
        """The encoder that `to_dict` wrote.

        Raises
        ------
        InputError
            If a mean or a standard deviation is no finite number or the latter not above 0, categories are no texts,
            or a column is both.
        """
        numeric = {str(k): tuple(map(_finite, v)) for k, v in plain["numeric"].items()}
        categories = {str(k): _texts(v, f"categories of {k!r}") for k, v in plain["categories"].items()}
        if any(len(v) != 2 or v[1] <= 0 for v in numeric.values()) or numeric.keys() & categories.keys():
            raise InputError("its encoder has numbers without a mean and a standard deviation above 0")
        return cls(
            numeric={k: (v[0], v[1]) for k, v in numeric.items()},
            categories=categories,
            ignored=_texts(plain["ignored"], "ignored columns"),
        )


class EncoderFitter:
    """Fits a `TableEncoder` batch by batch, in memory that does not grow with the rows.

    Parameters
    ----------
    ignore : sequence of str
        Columns that are no inputs.

    Notes
    -----
    Means and standard deviations are merged by the update of Chan, Golub & LeVeque (1983, Algorithms for computing
    the sample variance), with the rounding error of every batch mean carried along: however the rows are cut, they
    differ from those of all rows at once by less than 1e-12, relative to the standard deviation or, where that is
    larger, to the mean; standard deviations also where the mean is 1e9 times as large. Categories are the same to
    the letter.

    Examples
    --------
    >>> fitter = EncoderFitter()
    >>> for ages, work in (([20, 30], ["a", "b"]), ([40, 50], ["c", "a"])):
    ...     fitter.update({"age": np.array(ages), "work": np.array(work)})
    >>> fitter.encoder.numeric["age"][0], fitter.encoder.categories["work"]
    (35.0, ('a', 'b', 'c'))
    """

    def __init__(self, *, ignore: Sequence[str] = ()) -> None:
        self.ignored = tuple(ignore)
        self._numbers: dict[str, _Spread] = {}
        self._texts: dict[str, set[str]] = {}

    def update(self, columns: Columns) -> None:
        """Takes in some rows.

        Raises
        ------
        InputError
            If a number is missing or infinite, a text column has too many values, or the columns are not those of the
            rows before, of the same types.
        """
        inputs = {name: values for name, values in columns.items() if name not in self.ignored}
        known = self._numbers.keys() | self._texts.keys()
        if known and known != inputs.keys():
            raise InputError(f"every batch must have the columns {sorted(known)}, got {sorted(inputs)}.")
        for name, values in inputs.items():
            is_number = values.dtype.kind in "iufb"
            if name in (self._texts if is_number else self._numbers):
                raise InputError(f"column {name!r} must be numbers in every batch or text in every batch, got both.")
            if is_number:
                self._numbers.setdefault(name, _Spread()).add(_numbers(name, values))
                continue
            found = self._texts.setdefault(name, set())
            found.update(np.unique(_text(values)).tolist())
            if len(found) > MAX_CATEGORIES:
                raise InputError(
                    f"column {name!r} is text with {len(found):,} different values (at most"
                    f" {MAX_CATEGORIES:,}); if it is an identifier or free text, drop it."
                )

    @property
    def encoder(self) -> TableEncoder:
        """The encoder of the rows so far.

        Raises
        ------
        InputError
            If no column is left.
        """
        if not self._numbers and not self._texts:
            raise InputError(
                "no input column is left after the label, the group and the dropped columns are taken away."
            )
        return TableEncoder(
            numeric={name: spread.mean_and_sd for name, spread in self._numbers.items()},
            categories={name: tuple(sorted(found)) for name, found in self._texts.items()},
            ignored=self.ignored,
        )


@dataclass
class _Spread:
    """Number, mean (as ``near`` plus a small ``rest``), sum of squared deviations and range of some numbers."""

    n: int = 0
    parts: int = 0
    near: float = 0.0
    rest: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, values: NDArray[np.float64]) -> None:
        n = len(values)
        if n == 0:
            return
        near = float(values.mean())
        around = values - near
        rest = float(around.mean())  # what rounding took from the mean
        squares = float((around * around).sum()) - n * rest * rest
        if self.n == 0:
            self.near = near
        step = (near - self.near) + (rest - self.rest)
        total = self.n + n
        self.rest += step * (n / total)
        self.squares += squares + step * step * (self.n * (n / total))
        self.parts += 1
        self.n, self.low, self.high = total, min(self.low, float(values.min())), max(self.high, float(values.max()))

    @property
    def mean_and_sd(self) -> tuple[float, float]:
        sd = 0.0 if self.low >= self.high else math.sqrt(max(self.squares, 0.0) / self.n)
        mean = self.near if self.parts == 1 else self.near + self.rest  # of one part to the bit what numpy says
        return mean, sd if sd > 0 else 1.0


def _finite(value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) < 1e300:  # NaN is not, either
        raise InputError(f"its encoder has {str(value)[:40]!r} for a mean or a standard deviation")
    return float(value)


def _texts(values: object, what: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
        raise InputError(f"its encoder has {what[:60]} that are no texts")
    return tuple(values)


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
