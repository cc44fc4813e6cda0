"""Which value of a label or decision is the favourable one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fairheads.data.columns import shown, tidy
from fairheads.errors import InputError
from fairheads.sums import Coded

PAIRS = {"0": "1", "False": "True", "false": "true", "FALSE": "TRUE", "no": "yes", "No": "Yes", "NO": "YES"}
"""Unfavourable and favourable values that need no explanation."""

MOST_VALUES = 1000
"""Values of a label or decision: a column with more holds no outcome but numbers or names."""

_TRUTH = {"False": "0", "false": "0", "FALSE": "0", "True": "1", "true": "1", "TRUE": "1"}
_CODES = {value: code for pair in PAIRS.items() for code, value in enumerate(pair)}


class Outcome:
    """A column of labels or decisions, batch by batch, as 0 and 1, with the values that it was seen to have.

    Parameters
    ----------
    column : str
    favourable : str, optional
        The value that is 1, all others being 0; without it the values must be one of `PAIRS`.
    """

    def __init__(self, column: str, favourable: str | None) -> None:
        self.column = column
        self.favourable = None if favourable is None else _plain(favourable)
        self.seen: set[str] = set()

    def codes(self, values: Coded) -> NDArray[np.uint8]:
        """The values as 0 and 1; what a missing one becomes is left open.

        Raises
        ------
        InputError
            If it cannot be told which value is favourable, or there are too many values.
        """
        self.seen.update(values.names)
        if len(self.seen) > MOST_VALUES:
            raise InputError(
                f"the column {self.column!r} has more than {MOST_VALUES:,} values ({shown(sorted(self.seen))}): it"
                " holds no labels or decisions."
            )
        if self.favourable is None:
            if not self.seen <= _CODES.keys():
                raise InputError(
                    f"which value of {self.column!r} is favourable, {shown(sorted(self.seen))}? Name it:"
                    " `favourable`, --favourable."
                )
            ones = [_CODES[name] for name in values.names]
        else:
            ones = [int(_plain(name) == self.favourable) for name in values.names]
        return np.array([*ones, 0], np.uint8)[values.codes]

    @property
    def favourable_seen(self) -> str:
        """The value that is 1, as it was written."""
        words = [yes for no, yes in PAIRS.items() if {no, yes} & self.seen]
        return self.favourable or (words[0] if words else "1")


def check_agreement(outcomes: Sequence[Outcome], favourable: str | None) -> None:
    """Whether label and decision are told in the same values, and one of them has the favourable one.

    Raises
    ------
    InputError
        If not.
    """
    values = [{_plain(v) for v in outcome.seen} for outcome in outcomes]
    together = set().union(*values)
    named = " and ".join(f"{o.column!r} ({shown(sorted(o.seen))})" for o in outcomes)
    if favourable is None:
        ends = {(_plain(no), _plain(yes)) for no, yes in PAIRS.items()}
        if not any(together <= set(pair) for pair in ends):
            raise InputError(f"{named} must hold the same two values, such as 0 and 1; else name the `favourable` one.")
        return
    if outcomes and _plain(favourable) not in together:
        raise InputError(f"`favourable` must be a value of {named}, got {favourable!r}.")
    if len(values) == 2 and values[0].isdisjoint(values[1]) and len(together) > 2:
        raise InputError(f"{named} must hold the same values, and have none in common.")


def favourable_of(distinct: Sequence[str], label: str, favourable: str | None) -> str:
    """The favourable one of two values.

    Raises
    ------
    InputError
        If there are not two, or it is neither named nor known.
    """
    values = shown(distinct)
    if len(distinct) != 2:
        raise InputError(f"the label column {label!r} must have two values, got {len(distinct)}: {values}.")
    if favourable is None:
        favourable = PAIRS.get(distinct[0])
        if favourable != distinct[1]:
            raise InputError(f"which value of {label!r} is favourable, {values}? Name it: `favourable`, --favourable.")
    if favourable is None or favourable not in distinct:
        raise InputError(f"`favourable` must be a value of {label!r} ({values}), got {favourable!r}.")
    return favourable


def _plain(value: str) -> str:
    """Words for truth as the numbers that they are elsewhere in the same table."""
    name = tidy(value)
    return value if name is None else _TRUTH.get(name, name)
