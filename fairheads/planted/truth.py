"""The true effect of a group in a network: the same people, shown with the proxies of one group and of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fairheads.activations import Network, as_network
from fairheads.data import Dataset
from fairheads.pathways import sample
from fairheads.planted.world import World


def true_effect(
    network: Network | nn.Module, world: World, *, n: int = 4000, seed: int = 0, group: str | None = None
) -> float:
    """T*: the turned mean change of the logit when the proxies of the group are flipped and merit stays.

    ``T* = -orientation * mean(f(people shown as group) - f(the same people shown as the first group)) / sd(f)``, with
    the standard deviation over people of the world as they are. Above 0 is compensating. Where the world has no gap
    there is nothing to turn, and the change itself is returned.

    Parameters
    ----------
    network : Network or nn.Module
    world : World
    n, seed : int
        People to draw. The noise of T* falls with the square root of n and is small even at 1,000: the pairs share all
        their noise.
    group : str, optional
        By default the second.

    Returns
    -------
    float
        NaN where the logit is the same for everybody.

    Notes
    -----
    What it does not show: effects through other inputs than the proxies. A network that ignores the part of merit with
    the gap (suppression) has T* = 0.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> abs(true_effect(MLP(12, hidden=(8,)), World(proxy=0.0), n=100))
    0.0
    """
    reference, flipped = world.pair(n, seed=seed, group=group)
    change = scores(network, flipped) - scores(network, reference)
    spread = float(scores(network, world.draw(n, seed=seed)).std())
    turned = -world.orientation if world.orientation else 1
    return turned * float(change.mean()) / spread if spread > 0 else float("nan")


def scores(network: Network | nn.Module, data: Dataset) -> NDArray[np.float64]:
    """Logits (n,) of all rows, in fixed blocks."""
    return sample.scores(as_network(network), data)
