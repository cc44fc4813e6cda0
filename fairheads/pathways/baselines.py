"""What an input is compared with when it is attributed, and which of its elements are taken out together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Dataset
from fairheads.pathways.sample import Mask

Array = NDArray[Any]
Ints = NDArray[np.int64]
Kind = Literal["table", "image", "tokens"]

BASELINES: dict[Kind, int] = {"table": 4, "image": 1, "tokens": 4}
"""Baselines that every row is compared with, an even number where they are drawn from both groups by turns."""

PATCHES = 6
"""Squares along a side of each channel that are taken out one by one where there are no gradients."""

Draw = Callable[[Ints, int, np.random.Generator], Array]
"""The baselines of some rows at one turn."""


def token_mask(inputs: Mapping[str, Array], key: str) -> str | None:
    """The input that says which tokens count: those where it is not 0; None where there is none."""
    return next((name for name, v in inputs.items() if "mask" in name and v.shape == inputs[key].shape), None)


def counted_tokens(inputs: Mapping[str, Array], key: str) -> Mask:
    """Which tokens count, (n, tokens): others are padding."""
    mask = token_mask(inputs, key)
    return np.ones(inputs[key].shape, bool) if mask is None else np.asarray(inputs[mask] != 0)


def baseline_of(inputs: Mapping[str, Array], key: str, kind: Kind, member: Mask) -> tuple[Draw, str]:
    """Where paths begin, and that in words with the reason.

    Rows and words are drawn, from the groups by turns: no group is then the normal case, both ends of a path are
    something that exists, and no row or word has to stand for nothing. A mean of images exists as little as any on the
    way to it, but keeps maps free of the outlines of others.
    """
    values = inputs[key]
    if kind == "image":
        mean = (values[member].mean(0) + values[~member].mean(0)) / 2
        return (lambda *_: mean[None]), "the mean image of both groups, weighted alike"
    if kind == "tokens":
        counts = counted_tokens(inputs, key)
        words = [values[side][counts[side]] for side in (~member, member)]

        def some_words(rows: Ints, turn: int, rng: np.random.Generator) -> Array:
            return np.asarray(rng.choice(words[turn % 2], (len(rows), *values.shape[1:])))

        return (
            some_words,
            f"{BASELINES[kind]} texts of words drawn from both groups, so that neither is normal",
        )

    def some_people(rows: Ints, turn: int, rng: np.random.Generator) -> Array:
        return np.asarray(values[rng.choice(np.flatnonzero(member == bool(turn % 2)), len(rows))])

    return some_people, f"{BASELINES[kind]} people for each, drawn from both groups, so that neither is normal"


def patches_of(shape: tuple[int, ...], kind: Kind, data: Dataset) -> Ints:
    """Which elements of a row are occluded together: columns of the table, squares of a channel, single tokens."""
    if kind == "image":
        rows, columns = (np.arange(side) * min(PATCHES, side) // side for side in shape[1:])
        square = rows[:, None] * (columns[-1] + 1) + columns
        return np.stack([channel * (square[-1, -1] + 1) + square for channel in range(shape[0])])
    if kind == "tokens" or data.preprocess is None:
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(np.int64)
    encoder = data.preprocess
    sizes = [1] * len(encoder.numeric) + [len(values) for values in encoder.categories.values()]
    return np.broadcast_to(np.repeat(np.arange(len(sizes)), sizes), shape).astype(np.int64)
