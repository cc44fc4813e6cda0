"""The bounded sample: rows whose activations are kept, in fixed blocks, with the folds that fits are crossed over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import Batch, Dataset, blocks
from fairheads.errors import InputError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

JACKKNIFE_BLOCKS = 20


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of one group and its reference: inputs in blocks, label, membership, score, activations by layer.

    ``member`` is True for the group, False for the reference. ``block`` (0..19) is the jackknife block of a row
    and ``fold`` (0 or 1) the half it is fitted in: fits on one fold are used on the other.
    """

    batches: tuple[Batch, ...]
    y: NDArray[np.int64]
    member: Mask
    row_id: NDArray[np.int64]
    score: Floats
    activations: dict[str, NDArray[np.float32]]
    block: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def with_labels(self, y: NDArray[np.int64]) -> Sample:
        """The same rows with other recorded labels."""
        return replace(self, y=y)

    def without(self, left_out: int | None) -> Mask:
        """Mask of the rows outside jackknife block ``left_out``; of all rows for None."""
        return np.ones(len(self), bool) if left_out is None else self.block != left_out

    @property
    def fold(self) -> NDArray[np.int64]:
        return self.block % 2


def jackknife_blocks(n: int, seed: int) -> NDArray[np.int64]:
    """A random block number (0..19) for each of n rows, in blocks of equal size."""
    return np.random.default_rng(seed).permutation(n) % JACKKNIFE_BLOCKS


def collect(network: Network, data: Dataset, member: Mask, layers: Sequence[str], seed: int) -> Sample:
    """Run the rows of ``data`` once and keep what the interventions need.

    Raises
    ------
    InputError
        If a score or an activation is not finite (names the layer), or the scores are probabilities.
    """
    batches = tuple(blocks(data))
    scores: list[Floats] = []
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in layers}
    with network.tap(layers) as seen:
        for batch in batches:
            scores.append(network.forward(batch.inputs))
            for name in layers:
                kept[name].append(seen[name])
    activations = {name: np.concatenate(parts) for name, parts in kept.items()}
    score = np.concatenate(scores)
    finite = {name: bool(np.isfinite(values).all()) for name, values in activations.items()}
    for name, good in {**finite, "output": bool(np.isfinite(score).all())}.items():
        if not good:
            raise InputError(f"layer {name!r} has NaN or infinite activations on these rows.")
    if 0 <= score.min() < 0.2 and 0.8 < score.max() <= 1:
        raise InputError(
            "all scores lie between 0 and 1, as probabilities do; the network must return logits"
            " (if these are logits, every row is selected, and there is nothing to compare); of probabilities say"
            " TorchNetwork(net, outcome=Outcome('sigmoid'))."
        )
    return Sample(batches, data.y, member, data.row_id, score, activations, jackknife_blocks(len(data), seed))


def scores(network: Network, data: Iterable[Batch]) -> Floats:
    """The score of every row, in fixed blocks."""
    return np.concatenate([network.forward(batch.inputs) for batch in blocks(data)])


def shifted_scores(network: Network, sample: Sample, layer: str, shift: NDArray[np.float32]) -> Floats:
    """Scores when every row's activation at ``layer`` is moved by its row of ``shift`` (n, units)."""
    start = 0
    scores = []
    for batch in sample.batches:
        part = shift[start : start + len(batch)]
        with network.edit(layer, lambda h, part=part: h + part):  # type: ignore[misc]
            scores.append(network.forward(batch.inputs))
        start += len(batch)
    return np.concatenate(scores)
