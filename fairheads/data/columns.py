"""Columns of names and of numbers, the same whatever file and type they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.errors import InputError
from fairheads.sums import Coded
from fairheads.sums.groups import in_order, value_name

MISSING_TEXTS = ("", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null")
"""Texts that stand for a missing value, in every kind of file; ``None`` is not among them, for it is a religion too."""

ROWS = 1 << 16
"""Rows of a batch: as many as `fairheads.sums` counts at a time."""

Column = Coded | NDArray[np.float64]
"""Names, or numbers with NaN for what is missing."""

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What other tools put between fields."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})\.0+")
_LONGEST = 60


def tidy(value: Any) -> str | None:
    """A value as the name of a group or outcome, the same from a CSV and from typed columns; None if missing.

    Surrounding blanks fall away, and ``1.0`` is ``1``, for so a CSV writes whole numbers beside missing ones.
    """
    name = value_name(value)
    if name is None:
        return None
    name = name.strip()
    if name in MISSING_TEXTS:
        return None
    return str(int(name.split(".")[0])) if _WHOLE.fullmatch(name) else name


def coded(values: Sequence[Any], codes: NDArray[Any]) -> Coded:
    """A column of codes (n,) of ``values``, -1 for a missing one, under tidy names; values that no row has go."""
    tidied = [tidy(v) for v in values]
    present = np.unique(codes)
    names = in_order([name for i in present.tolist() if i >= 0 and (name := tidied[i]) is not None])
    place = {name: i for i, name in enumerate(names)}
    lookup = np.array([*(-1 if name is None else place.get(name, -1) for name in tidied), -1], np.int64)
    return Coded(names, lookup[codes])


def number_named(value: str, column: str, where: str) -> float:
    """The number that a text writes.

    Raises
    ------
    InputError
        If it writes none.
    """
    try:
        return float(value)
    except ValueError:
        raise InputError(f"the column {column!r} of {where} must hold numbers, got {_short(str(value))}.") from None


def numbers_of(column: Coded, name: str, where: str) -> NDArray[np.float64]:
    """The numbers that names write, NaN where they are missing.

    Raises
    ------
    InputError
        If one writes none.
    """
    return np.array([*(number_named(v, name, where) for v in column.names), np.nan])[column.codes]


def check_columns(wanted: Sequence[str], there: Sequence[str], where: str) -> None:
    """Whether every wanted column is there, once.

    Raises
    ------
    InputError
        If not, with everything that is wrong and what there is.
    """
    wrong = []
    for name in wanted:
        if name not in there:
            close = get_close_matches(name, there, 1)
            wrong.append(f"no column {_short(name)}" + (f" (did you mean {_short(close[0])}?)" if close else ""))
        elif list(there).count(name) > 1:
            wrong.append(f"more than one column {_short(name)}")
    if wrong:
        raise InputError(f"{where} has {', '.join(wrong)}; it has: {listed(there)}.{_separated(there)}")


def listed(there: Sequence[str]) -> str:
    """The columns that there are, for a message: at most twelve, none longer than sixty letters."""
    return ", ".join(name[:_LONGEST] for name in there[:12]) + (", ..." if len(there) > 12 else "") or "no columns"


def check_once(there: Sequence[str], where: str) -> None:
    """Whether no two columns have one name.

    Raises
    ------
    InputError
        If two have.
    """
    for name, count in Counter(there).items():
        if name and count > 1:
            words = "two" if count == 2 else str(count)
            raise InputError(
                f"{where} has {words} columns {_short(name)}; take the others out, or give them other names."
            )


def _separated(there: Sequence[str]) -> str:
    """What to do about a table whose one column holds them all."""
    for mark, name in SEPARATORS.items():
        if len(there) == 1 and mark in there[0]:
            return (
                f" It looks separated by {name}, not commas: write it anew, such as by"
                f" pandas.read_csv(old, sep={mark!r}).to_csv(new, index=False)"
                + (", with decimal=',' where its numbers have commas." if mark == ";" else ".")
            )
    return ""


def shown(values: Sequence[str]) -> str:
    """At most five values, for a message."""
    return ", ".join(_short(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
