"""Which column of a table of predictions plays which part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fairheads.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The columns to be counted, checked to make sense together; `tally_file` says what each means.

    Raises
    ------
    ConfigError
        With everything that does not.
    """

    group: Sequence[str]
    label: str | None = None
    prediction: str | None = None
    score: str | None = None
    threshold: float | None = None
    weight: str | None = None
    control: Sequence[str] = ()
    favourable: str | None = None
    memberships: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("group", self.group), ("control", self.control)):
            if isinstance(value, str):
                raise ConfigError(f"`{name}` must be a sequence of column names, such as [{value!r}].")
        rules = {
            "at least one `group` column must be named": not self.group and not self.memberships,
            "give either `group` or `memberships`": bool(self.group and self.memberships),
            "name the column of the `prediction` or of the `score`": self.prediction is None and self.score is None,
            "`threshold` needs a `score`": self.threshold is not None and self.score is None,
            "give either `prediction` or `threshold`": self.threshold is not None and self.prediction is not None,
            "`threshold` must be a finite number": self.threshold is not None and not math.isfinite(self.threshold),
            "`favourable` is a value of label or prediction, and none of them is named": self.favourable is not None
            and self.label is None
            and self.prediction is None,
            "`memberships` need decisions: a `prediction`, or a `threshold`": bool(self.memberships)
            and self.prediction is None
            and self.threshold is None,
            "`control` compares decisions: name a `prediction`, or a `threshold`": bool(self.control)
            and self.prediction is None
            and self.threshold is None,
        }
        wrong = [rule for rule, broken in rules.items() if broken]
        wrong += [f"the column {name!r} is named {n} times" for name, n in Counter(self.all).items() if n > 1]
        if wrong:
            raise ConfigError(f"{'; '.join(wrong)}.")

    @property
    def names(self) -> list[str]:
        """Columns that hold names: groups, strata, label and prediction."""
        return [c for c in (*self.group, *self.control, self.label, self.prediction) if c is not None]

    @property
    def numbers(self) -> list[str]:
        """Columns that hold numbers: score, weight and memberships."""
        return [c for c in (self.score, self.weight, *self.memberships.values()) if c is not None]

    @property
    def all(self) -> list[str]:
        """All of them."""
        return [*self.names, *self.numbers]
