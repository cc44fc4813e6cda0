"""How the scores respond when the activations at a layer are moved: by running on, or to first order about a move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.errors import ConfigError
from fairheads.pathways.sample import Sample, shifted_scores

Floats = NDArray[np.float64]
Moves = NDArray[np.float32]

Response = Callable[[Moves], Floats]
"""Scores (n,) when every row's activation at a layer is moved by its row of the argument (n, units)."""


def shifted_gradients(network: Network, sample: Sample, layer: str, shift: Moves) -> tuple[Floats, Moves]:
    """Scores (n,) when every row's activation is moved, and their derivatives by that move (n, units)."""
    scores, gradients, start = [], [], 0
    for batch in sample.batches:
        score, gradient = network.gradient(batch.inputs, layer, shift[start : start + len(batch)])
        scores.append(score)
        gradients.append(gradient)
        start += len(batch)
    return np.concatenate(scores), np.concatenate(gradients)


def no_gradients(network: Network, sample: Sample, layer: str) -> str | None:
    """Why the score's derivative by a layer cannot be had, None where it can: networks may cut the graph behind it."""
    if not network.gradients:
        return "the network has no gradients"
    few = sample.batches[0].take(slice(0, 2))
    try:
        network.gradient(few.inputs, layer)
    except ConfigError as error:
        return str(error).removesuffix(".")
    return None


def response_near(network: Network, sample: Sample, layer: str, shift: Moves) -> Response:
    """The response to moves near ``shift``: exact there, to first order around it; exact everywhere, at the price of a
    pass a move, where the network has no gradients.

    The 20 replicates of an interval refit the move, which changes little, and cost no further pass this way: standard
    errors of swap and erasure are those of running on to within 3 % (tests/test_response.py).
    """
    if not network.gradients:
        return lambda moved: shifted_scores(network, sample, layer, moved)
    score, gradient = shifted_gradients(network, sample, layer, shift)

    def response(moved: Moves) -> Floats:
        change: Floats = np.einsum("nu,nu->n", gradient, moved - shift, dtype=np.float64)
        return score + change

    return response
