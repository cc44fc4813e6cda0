"""The rows that are watched, and everything about them that does not depend on the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Batch, Dataset, blocks
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import difference_interval
from fairheads.pathways.effects import FINE_BINS
from fairheads.pathways.pair import MIN_CLASS, MIN_ROWS
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, jackknife_blocks

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROWS_A_BIN = 12
"""Rows of the smaller group for each merit bin, on average."""

FEWEST_BINS = 10


@dataclass(frozen=True, eq=False)
class Pair:
    """A group and the reference within the sample.

    Attributes
    ----------
    rows : int64 (n,)
        Their positions in the sample; the other arrays follow them.
    member : bool (n,)
        True for the group.
    block : int64 (n,)
        Jackknife block (0..19) of each row, with equal shares of both groups in each.
    halves : (slice, slice)
        Rows of even and of odd blocks: they lie together.
    cell : int64 (20, n)
        Twice the merit bin of the rows without each block, lowest merit first, counted on from block to block; the
        rows of the block itself come last, in a bin of their own.
    orientation, sign : int
        Sign of the gap in labels, 0 where it is not known; and the sign that effects are turned by.
    untestable : str, optional
        Why no effect can be measured, if so.
    """

    group: str
    reference: str
    rows: Ints
    member: Mask
    y: Ints
    block: Ints
    halves: tuple[slice, slice]
    cell: Ints
    orientation: int
    sign: int
    bins: int
    untestable: str | None


@dataclass(frozen=True, eq=False)
class Watched:
    """The sample: positions in the data (sorted), inputs in fixed blocks, label and group of each row; each group's
    share of the data (K,), and the pairs.
    """

    rows: Ints
    batches: tuple[Batch, ...]
    y: Ints
    group: Ints
    names: tuple[str, ...]
    share: Floats
    pairs: tuple[Pair, ...]

    @classmethod
    def of(cls, data: Dataset, most: int, seed: int) -> Watched:
        """Draw ``most`` rows of the recorded groups, in proportion, small groups a little more (see `quotas`).

        Raises
        ------
        InputError
            If fewer than two groups have rows.
        """
        sizes = np.bincount(data.group[data.group >= 0], minlength=len(data.group_names))
        present = np.flatnonzero(sizes)
        if len(present) < 2:
            there = [data.group_names[code] for code in present]
            raise InputError(f"`data` must have rows of at least two groups, got {there}.")
        if most < MIN_ROWS * len(present):
            raise ConfigError(
                f"`sample` must be at least {MIN_ROWS} rows for each of {len(present)} groups, got {most}."
            )
        rng = np.random.default_rng(seed)
        quota = quotas(sizes, most)
        drawn = [rng.choice(np.flatnonzero(data.group == code), quota[code], replace=False) for code in present]
        rows = np.sort(np.concatenate(drawn))
        part = data.take(rows)
        against = int(sizes.argmax())
        pairs = [_pair(data, part, int(code), against, seed) for code in present if code != against]
        return cls(rows, tuple(blocks(part)), part.y, part.group, part.group_names, sizes / sizes.sum(), tuple(pairs))


def quotas(sizes: Ints, most: int) -> Ints:
    """Rows to draw of each group: in proportion, but of none fewer than half of an equal share, as far as it has them.

    Half of an equal share leaves two groups of a third and two thirds as they are, so that what is measured is what an
    audit of all rows measures; a group of 3 % among five still gets a tenth of the sample.
    """
    if sizes.sum() <= most:
        return sizes
    floor = np.minimum(sizes, most // (2 * np.count_nonzero(sizes)))
    quota = np.maximum(floor, most * sizes // sizes.sum())
    room, over = quota - floor, max(int(quota.sum()) - most, 0)
    given_up = -(-room * over // max(int(room.sum()), 1))
    return np.asarray(quota - given_up, np.int64)


def _pair(data: Dataset, part: Dataset, code: int, against: int, seed: int) -> Pair:
    rows = np.flatnonzero((part.group == code) | (part.group == against))
    block = np.empty(len(rows), np.int64)
    for side in (code, against):
        mine = part.group[rows] == side
        block[mine] = jackknife_blocks(int(mine.sum()), seed)
    halved = np.argsort(block % 2, kind="stable")
    rows, block = rows[halved], block[halved]
    member, y = part.group[rows] == code, part.y[rows]
    even = int((block % 2 == 0).sum())
    gap, orientation = _gap(data, code, against)
    bins = int(np.clip(min(member.sum(), (~member).sum()) // ROWS_A_BIN, FEWEST_BINS, FINE_BINS))
    return Pair(
        group=part.group_names[code],
        reference=part.group_names[against],
        rows=rows,
        member=member,
        y=y,
        block=block,
        halves=(slice(0, even), slice(even, len(rows))),
        cell=_cells(block, bins),
        orientation=orientation,
        sign=orientation or (1 if gap >= 0 else -1),
        bins=bins,
        untestable=_too_small(part.group_names, {code: y[member], against: y[~member]}),
    )


def _cells(block: Ints, bins: int) -> Ints:
    """As `Pair.cell`: which bin the row of each rank falls into, without each block."""
    kept = len(block) - np.bincount(block, minlength=JACKKNIFE_BLOCKS)
    which = np.minimum(np.arange(len(block)) * bins // np.maximum(kept, 1)[:, None], bins)
    return np.asarray((np.arange(JACKKNIFE_BLOCKS)[:, None] * (bins + 1) + which) * 2, np.int64)


def _gap(data: Dataset, code: int, against: int) -> tuple[float, int]:
    """The gap in recorded labels over all rows, and its sign, 0 where its interval holds 0."""
    mine, theirs = data.y[data.group == code], data.y[data.group == against]
    low, high = difference_interval(int(mine.sum()), len(mine), int(theirs.sum()), len(theirs))
    return float(mine.mean() - theirs.mean()), 1 if low > 0 else -1 if high < 0 else 0


def _too_small(names: tuple[str, ...], labels: dict[int, Ints]) -> str | None:
    for code, y in labels.items():
        if len(y) < MIN_ROWS:
            return f"{names[code]!r} has {len(y)} rows in the sample; at least {MIN_ROWS} are needed"
        if min(y.sum(), len(y) - y.sum()) < MIN_CLASS:
            return f"{names[code]!r} has fewer than {MIN_CLASS} sampled rows with one of the labels"
    return None
