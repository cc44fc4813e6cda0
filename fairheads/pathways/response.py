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

SHORT = 1 / 256
"""Share of the way to another move that is run on for the derivative: a power of two."""

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


def has_gradients(network: Network, sample: Sample, layer: str) -> bool:
    """Whether the score's derivative by a layer can be had: networks may cut the graph behind it."""
    if not network.gradients:
        return False
    few = sample.batches[0].take(slice(0, 2))
    try:
        network.gradient(few.inputs, layer)
    except ConfigError:
        return False
    return True


def response_near(network: Network, sample: Sample, layer: str, shift: Moves) -> Response:
    """The response to moves near ``shift``: exact there, to first order around it.

    The 20 replicates of an interval refit the move, which changes little, and cost no further pass this way: standard
    errors of swap and erasure are those of running on to within 3 % (tests/test_response.py). Where the network has no
    gradients, `SHORT` of the way to the other move is run, a pass a move, and the change of the score scaled up: the
    same derivative, so that a network has the same intervals in torch and in onnxruntime.
    """
    if not has_gradients(network, sample, layer):
        there = shifted_scores(network, sample, layer, shift)

        def by_steps(moved: Moves) -> Floats:
            after = shifted_scores(network, sample, layer, shift + np.float32(SHORT) * (moved - shift))
            return there + (after - there) / SHORT

        return by_steps
    score, gradient = shifted_gradients(network, sample, layer, shift)

    def response(moved: Moves) -> Floats:
        change: Floats = np.einsum("nu,nu->n", gradient, moved - shift, dtype=np.float64)
        return score + change

    return response
