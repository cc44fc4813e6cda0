"""Where the rows of a training run come from: memory, a stream, or a draw in which no group is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from fairheads.activations import called
from fairheads.data import Batch, Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.nets import logits_of

SLAB = 16
"""Batches that are copied out of the permuted rows at once."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Tensors of some rows: inputs in the order of the data set, label, group and, if there are any, stratum."""

    inputs: Mapping[str, Tensor]
    y: Tensor
    group: Tensor
    strata: Tensor | None

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> Rows:
        """The rows of a batch, on a device."""

        def moved(values: ArrayLike) -> Tensor:
            return torch.as_tensor(np.asarray(values)).to(device)

        strata = None if batch.strata is None else moved(batch.strata)
        inputs = {name: moved(values) for name, values in batch.inputs.items()}
        return cls(inputs, moved(batch.y), moved(batch.group), strata)

    def __len__(self) -> int:
        return self.y.shape[0]

    def take(self, index: Tensor | slice) -> Rows:
        """The rows at ``index``."""
        strata = None if self.strata is None else self.strata[index]
        inputs = {name: values[index] for name, values in self.inputs.items()}
        return Rows(inputs, self.y[index], self.group[index], strata)

    def followed_by(self, other: Rows) -> Rows:
        """These rows and then the others."""
        both = None if self.strata is None or other.strata is None else torch.cat([self.strata, other.strata])
        inputs = {name: torch.cat([values, other.inputs[name]]) for name, values in self.inputs.items()}
        return Rows(inputs, torch.cat([self.y, other.y]), torch.cat([self.group, other.group]), both)

    def through(self, net: nn.Module) -> Tensor:
        """The logits of these rows, (n,) or (n, outputs); inputs in floating point take the type of the weights.

        Raises
        ------
        InputError
            If the network returns neither logits nor an output that has them, or does not take these inputs.
        """
        weights = (values.dtype for values in net.parameters() if values.is_floating_point())
        kind = next(weights, None)
        given = {name: v.to(kind) if v.is_floating_point() else v for name, v in self.inputs.items()}
        return logits_of(called(net, given))


class InMemory:
    """All rows on the device; an epoch is a permutation cut into batches, and what does not fill one is left out."""

    def __init__(self, data: Dataset, batch_size: int, seed: int, device: torch.device) -> None:
        self.all = Rows.of(data.rows(), device)
        self.batch_size = min(batch_size, len(data))
        self.steps = len(data) // self.batch_size
        self._order = torch.Generator().manual_seed(seed)
        self._device = device

    def epoch(self, skip: int = 0) -> Iterator[Rows]:
        """The batches of the next epoch after the first ``skip``."""
        order = torch.randperm(len(self.all), generator=self._order).to(self._device)
        for first in range(skip, self.steps, SLAB):
            # One gather for many batches, which are then views: half the time of a gather for each.
            last = min(first + SLAB, self.steps)
            slab = self.all.take(order[first * self.batch_size : last * self.batch_size])
            for start in range(0, len(slab), self.batch_size):
                yield slab.take(slice(start, start + self.batch_size))

    def pass_over(self, epochs: int) -> None:
        """Leave out whole epochs."""
        for _ in range(epochs):
            torch.randperm(len(self.all), generator=self._order)


class Streamed:
    """Rows read anew in every epoch and shuffled through a buffer."""

    def __init__(self, data: Stream, batch_size: int, seed: int, device: torch.device) -> None:
        self.batch_size = min(batch_size, len(data))
        self.steps = len(data) // self.batch_size
        self._data, self._seed, self._device, self._epoch = data, seed, device, 0

    def epoch(self, skip: int = 0) -> Iterator[Rows]:
        """The batches of the next epoch after the first ``skip``."""
        seed = int(np.random.SeedSequence((self._seed, self._epoch)).generate_state(1)[0])
        self._epoch += 1
        for batch in self._data.epoch(seed, self.batch_size, skip=skip):
            yield Rows.of(batch, self._device)

    def pass_over(self, epochs: int) -> None:
        """Leave out whole epochs."""
        self._epoch += epochs


class BalancedRows:
    """Draws of rows in which all groups, or all groups and labels, have the same number: a side batch.

    A constraint taken on such a draw never lacks a group, at the cost of running the network on these rows too. Rates
    of groups stay what they are, because each is a mean over its own rows.

    Parameters
    ----------
    group : array (n,) of codes
    label : array (n,), optional
        Balance labels within groups as well. Only for statistics within one label (true or false positive rates):
        others depend on the mix of labels.
    size : int
        Rows of a draw; rounded up to fill every group alike.
    seed : int

    Raises
    ------
    InputError
        If a group, or a group and label, has no rows to draw from.

    Examples
    --------
    >>> draws = BalancedRows([0, 0, 0, 0, 0, 1], size=4)
    >>> np.array([0, 0, 0, 0, 0, 1])[draws.draw()].tolist()
    [0, 0, 1, 1]
    """

    def __init__(self, group: ArrayLike, label: ArrayLike | None = None, *, size: int, seed: int = 0) -> None:
        if size < 1:
            raise ConfigError(f"`size` must be at least 1, got {size}.")
        groups = np.asarray(group)
        cells = groups * 2 + np.asarray(label) if label is not None else groups
        wanted = np.arange(2 * (groups.max() + 1) if label is not None else groups.max() + 1)
        self._cells = [np.flatnonzero(cells == code) for code in wanted]
        for code, rows in zip(wanted, self._cells, strict=True):
            if len(rows) == 0:
                what = f"group {code // 2} with label {code % 2}" if label is not None else f"group {code}"
                raise InputError(f"a side batch needs rows of every group to draw from, got none of {what}.")
        self._each = -(-size // len(self._cells))
        self._rng = np.random.default_rng(seed)

    def draw(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Positions of the rows of the next draw, with replacement, groups one after the other."""
        return np.concatenate([rows[self._rng.integers(0, len(rows), self._each)] for rows in self._cells])

    def state(self) -> dict[str, object]:
        """Where the draws stand, as plain JSON."""
        return dict(self._rng.bit_generator.state)

    def restore(self, state: dict[str, object]) -> None:
        """Go on from `state`."""
        self._rng.bit_generator.state = state
