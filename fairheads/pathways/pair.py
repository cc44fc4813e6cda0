"""The rows of a group and of its reference that an analysis looks at, and what their labels say before any network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask
from fairheads.results import Number

MIN_ROWS = 2 * JACKKNIFE_BLOCKS
"""Fewest rows of either group."""

MIN_CLASS = 10
"""Fewest rows of either group with either label."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Sampled rows of a group and its reference, and the seed of every random choice about them.

    ``orientation`` is the sign of the gap in labels, 0 where its interval holds 0; ``sign`` is what effects are turned
    by, never 0. ``control`` is membership shuffled, for probes that must find nothing.
    """

    data: Dataset
    group: int
    reference: int
    seed: int
    base_rate_gap: Number
    orientation: int

    @classmethod
    def of(cls, data: Dataset, group: int, reference: int, sample: int, seed: int) -> Pair:
        """At most ``sample`` rows of these two group codes, drawn with ``seed``."""
        rows = np.flatnonzero((data.group == group) | (data.group == reference))
        drawn = data.take(at_most(sample, rows, seed))
        gap, orientation = _orientation(drawn.y, drawn.group == group)
        return cls(drawn, group, reference, seed, gap, orientation)

    def at_most(self, rows: int) -> Pair:
        """The same pair with at most so many of its rows; what the labels say stays that of all."""
        return replace(self, data=self.data.take(at_most(rows, np.arange(len(self.data)), self.seed)))

    @property
    def member(self) -> Mask:
        """True for rows of the group, False for the reference."""
        return np.asarray(self.data.group == self.group)

    @property
    def control(self) -> Mask:
        """A shuffled membership, drawn apart from the folds: where membership follows the order of rows, as in matched
        pairs, one permutation for both would make it the fold."""
        return np.random.default_rng([self.seed, 1]).permutation(self.member)

    @property
    def sign(self) -> int:
        return self.orientation or (1 if self.base_rate_gap.value >= 0 else -1)

    @property
    def names(self) -> tuple[str, str]:
        """Names of the group and of the reference."""
        return self.data.group_names[self.group], self.data.group_names[self.reference]

    @property
    def too_small(self) -> str | None:
        """Why these rows are too few to say anything, None where they are not."""
        for side, name in ((self.member, "group"), (~self.member, "reference")):
            n, favourable = int(side.sum()), int(self.data.y[side].sum())
            if n < MIN_ROWS:
                return f"the {name} has {n} rows in the sample; at least {MIN_ROWS} are needed"
            if min(favourable, n - favourable) < MIN_CLASS:
                return f"the {name} has fewer than {MIN_CLASS} rows with one of the labels"
        return None


def at_most(most: int, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """These rows, or ``most`` of them drawn with ``seed``, in their order."""
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def pairs_of(data: Dataset | Stream, reference: str | None, sample: int, seed: int) -> list[Pair]:
    """Every group that has rows beside the reference, with at most ``sample`` rows each, drawn with ``seed``.

    The rows of a stream are those that would be drawn in memory. They take a pass, where `keep_drawn` did not come
    before one.

    Raises
    ------
    ConfigError, InputError
        As `contrasts`.
    """
    if isinstance(data, Dataset):
        return [Pair.of(data, code, against, sample, seed) for code, against in contrasts(data, reference)]
    drawn = _drawn(data, reference, sample, seed)
    needed = _of_any(drawn)
    held = data.take(needed)
    return [
        Pair.of(held.take(np.searchsorted(needed, rows)), code, against, sample, seed)
        for (code, against), rows in drawn.items()
    ]


def keep_drawn(data: Dataset | Stream, reference: str | None, sample: int, seed: int) -> None:
    """Has the next pass over a stream hold the rows that `pairs_of` will ask for; refuses what it would refuse."""
    if isinstance(data, Dataset):
        contrasts(data, reference)
    else:
        data.keep(_of_any(_drawn(data, reference, sample, seed)))


Places = dict[tuple[int, int], NDArray[np.int64]]


def _of_any(drawn: Places) -> NDArray[np.int64]:
    """The rows of all contrasts, ascending and each once."""
    return np.unique(np.concatenate(list(drawn.values())))


def _drawn(data: Stream, reference: str | None, sample: int, seed: int) -> Places:
    """The places of the rows of every contrast."""
    group = data.group
    return {
        (code, against): at_most(sample, np.flatnonzero((group == code) | (group == against)), seed)
        for code, against in contrasts(data, reference)
    }


def contrasts(data: Dataset | Stream, reference: str | None) -> list[tuple[int, int]]:
    """The code of every group that has rows, beside that of the reference (by default the largest group).

    Raises
    ------
    ConfigError
        If there is no group of that name.
    InputError
        If there is one group only, or a group has one row.
    """
    names = data.group_names
    if reference is not None and reference not in names:
        raise ConfigError(f"`reference` must be one of the groups {list(names)}, got {reference!r}.")
    sizes = np.bincount(data.group, minlength=len(names))
    against = int(sizes.argmax()) if reference is None else list(names).index(reference)
    present = [code for code in range(len(sizes)) if sizes[code] > 0]
    for code in {*present, against}:
        if sizes[code] < 2:
            rows = "one row" if sizes[code] else "no rows"
            raise InputError(f"group {names[code]!r} has {rows}; nothing can be said about it.")
    if len(present) < 2:
        raise InputError(f"at least two groups are needed, got only {names[present[0]]!r}.")
    return [(code, against) for code in present if code != against]


def _orientation(y: NDArray[np.int64], member: Mask) -> tuple[Number, int]:
    """The gap in recorded labels (group minus reference), and its sign, 0 where its interval holds 0."""
    k1, n1, k0, n0 = (int(v) for v in (y[member].sum(), member.sum(), y[~member].sum(), (~member).sum()))
    low, high = (float(v) for v in difference_interval(k1, n1, k0, n0))
    gap = Number(value=k1 / n1 - k0 / n0, n=len(y), low=low, high=high)
    return gap, 1 if low > 0 else -1 if high < 0 else 0
