"""What the units of a layer add to the score, by running on from it: for networks that have no gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import Batch, blocks
from fairheads.pathways.fits import LayerData
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Moves = NDArray[np.float32]

TURNS = 2
"""Parts of a path: units move in their order in one and in the opposite order in the next. Of two the slopes are those
of the straight path wherever the score bends as a parabola does, and attributions within a fiftieth of the largest in
networks of ReLU and Tanh (tests/test_steps.py); four are four times as near and cost twice as much."""

PASSES = 2**18
"""Most rows that run on from a layer to tell its units apart, over all units and turns, unless `FEWEST` are more."""

FEWEST = 100
"""Fewest rows whose units are told apart, however many units there are."""

OF_EACH = 20
"""Fewest of them in each group and fold, where there are so many: a spread is that of several rows."""

STEP = 0.1
"""How far a unit moves to either side for its slope, in its sd: wide enough for activations of eight bits, and the
shares of routing change by a hundredth of the largest."""

FAINT = 1e-9
"""Moves smaller than this share of the largest tell nothing of a slope."""


def walked_rows(sample: Sample, units: int) -> Mask:
    """The rows that `PASSES` lets a layer of so many units run on with, (n,): as many of every jackknife block, and
    more of a rare group, up to `OF_EACH`.

    They depend on the rows and the number of units alone: those of twins are the same.
    """
    most = -(-max(FEWEST, PASSES // (TURNS * units)) // JACKKNIFE_BLOCKS)
    rows = np.zeros(len(sample), bool)
    order = np.random.default_rng([len(sample), units]).permutation(len(sample))
    for block in range(JACKKNIFE_BLOCKS):
        rows[order[sample.block[order] == block][:most]] = True
    for fold in (0, 1):
        for side in (sample.member, ~sample.member):
            here = order[(side & (sample.fold == fold))[order]]
            more = max(0, OF_EACH - int(rows[here].sum()))
            rows[here[~rows[here]][:more]] = True
    return rows


def walked(network: Network, sample: Sample, layer: str, shift: Moves, rows: Mask) -> Moves:
    """Mean slope of the score along each unit's way, (n, units), when one unit after another goes it; 0 in other rows.

    The path ``h -> h + shift`` is gone in `TURNS` parts. In each the units go their part one by one, and the change of
    the score is that unit's. Times ``shift`` the slopes add up to the change along the whole path, whatever the
    network, but for the rounding of its scores. That is `TURNS` passes a unit over these rows, from the layer on.
    """
    slope = np.zeros_like(shift)
    for here, score in _run_on(network, sample, layer, rows):
        way = shift[here]
        moved, added, before = np.zeros_like(way), np.zeros(way.shape), score(np.zeros_like(way))
        units = np.flatnonzero(way.any(0))
        for turn in range(TURNS):
            for unit in units if turn % 2 == 0 else units[::-1]:
                moved[:, unit] = way[:, unit] * np.float32((turn + 1) / TURNS)
                after = score(moved)
                added[:, unit] += after - before
                before = after
        slope[here] = np.where(_tells(way), added / np.where(_tells(way), way, 1), 0)
    return slope


def slopes(network: Network, sample: Sample, layer: LayerData, rows: Mask) -> Moves:
    """Slope of the score by each unit, (n, units), over `STEP` sd to either side of it; 0 in other rows.

    That is two passes a unit over these rows, from the layer on.
    """
    found, wide = np.zeros_like(layer.h), np.float32(STEP) * layer.h.std(0)
    for here, score in _run_on(network, sample, layer.name, rows):
        step = np.zeros((len(here), layer.units), np.float32)
        for unit in np.flatnonzero(_tells(wide)):
            step[:, unit] = wide[unit]
            found[here, unit] = (score(step) - score(-step)) / (2 * wide[unit])
            step[:, unit] = 0
    return found


def taken(sample: Sample, rows: Ints) -> Iterator[Batch]:
    """The batches of the sample with only these rows (ascending) left."""
    start = 0
    for batch in sample.batches:
        here = rows[(rows >= start) & (rows < start + len(batch))] - start
        if len(here):
            yield batch if len(here) == len(batch) else batch.take(here)
        start += len(batch)


def _run_on(
    network: Network, sample: Sample, layer: str, rows: Mask
) -> Iterator[tuple[Ints, Callable[[Moves], Floats]]]:
    """Block by block: which rows of the sample, and their scores as a function of what is added at the layer."""
    index, start = np.flatnonzero(rows), 0
    for batch in blocks(taken(sample, index)):

        def score(moved: Moves, batch: Batch = batch) -> Floats:
            with network.edit(layer, lambda h: h + moved):
                return network.forward(batch.inputs)

        yield index[start : start + len(batch)], score
        start += len(batch)


def _tells(way: Moves) -> Mask:
    return np.asarray(np.abs(way) > FAINT * np.abs(way).max(initial=0.0))
