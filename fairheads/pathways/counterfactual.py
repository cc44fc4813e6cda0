"""Counterfactual inputs: the group flipped in what a network is fed, the rest as it was, and what then changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Network
from fairheads.data import Batch, Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.metrics.agreement import share
from fairheads.pathways.effects import FAINT
from fairheads.pathways.fits import Fits
from fairheads.pathways.intervals import jackknifed
from fairheads.pathways.pair import Pair
from fairheads.pathways.response import response_near
from fairheads.pathways.sample import JACKKNIFE_BLOCKS, Mask, Sample, scores
from fairheads.results import CounterfactualEffect, Number, ThroughLayer, undefined

Array = NDArray[Any]
Floats = NDArray[np.float64]
Moves = NDArray[np.float32]

LISTED = 20
"""Columns that an error names."""

PairGenerator = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""From the inputs of some rows to those of their counterparts in the other group, with the rest as it was."""


@dataclass(frozen=True, eq=False)
class ColumnFlip:
    """Exchanges what two groups have in the columns that hold the group; see `column_flip`.

    Attributes
    ----------
    places : tuple of (input, column)
        The column is None for an input that is one column, (n,).
    profiles : array (2, columns)
        What the reference and the group have there.
    names : tuple of str
    """

    places: tuple[tuple[str, int | None], ...]
    profiles: Array
    names: tuple[str, ...]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The inputs with the other group's values in these columns; rows of neither group stay as they are."""
        flipped = {name: values.copy() for name, values in inputs.items()}
        seen = _columns(inputs, self.places)
        is_reference, is_group = ((seen == profile).all(1) for profile in self.profiles)
        for (name, column), (reference, group) in zip(self.places, self.profiles.T, strict=True):
            values = flipped[name] if column is None else flipped[name][:, column]
            values[is_reference], values[is_group] = group, reference
        return flipped


def column_flip(data: Dataset, member: Mask, columns: Sequence[str]) -> ColumnFlip:
    """The pair generator that exchanges the values of the columns in which the group stands in the inputs.

    Parameters
    ----------
    data : Dataset
        With ``feature_names``, or with an input that is named like the column and is one column.
    member : bool array (n,)
        True for the group, False for the reference.
    columns : sequence of str
        All columns that hold the group: of the table, where ``data`` knows its encoder, or of the inputs; of these all
        that the group is encoded as, one a category.

    Raises
    ------
    InputError
        If a column is not in the inputs, a group has more than one value in it, or both groups have the same in all.
    ConfigError
        If no column is named, or one twice.

    Examples
    --------
    >>> data = Dataset([[0.0, 5.0], [1.0, 6.0]], [0, 1], ["a", "b"], feature_names=("is_b", "age"))
    >>> column_flip(data, data.group == 1, ["is_b"])(data.inputs)["x"].tolist()
    [[1.0, 5.0], [0.0, 6.0]]
    """
    encoded = () if isinstance(columns, str) else _encoded(data, columns)
    if not encoded or len(set(encoded)) != len(encoded):
        raise ConfigError(f"`columns` must be a list of names that differ from each other, got {columns!r}.")
    places = tuple(_place(data, name) for name in encoded)
    seen = _columns(data.inputs, places)
    profiles = []
    for rows, whose in ((~member, "the reference"), (member, "the group")):
        if not rows.any():
            raise InputError(f"{whose} must have rows.")
        for name, values in zip(encoded, seen[rows].T, strict=True):
            if (values != values[0]).any():
                raise InputError(
                    f"column {name!r} must have one value in all rows of {whose}, got {len(np.unique(values))} values;"
                    " where a column does not say the group, pass a function that flips it."
                )
        profiles.append(seen[rows][0])
    if np.array_equal(*profiles):
        raise InputError(f"{list(columns)} must tell the groups apart; both have the same values there.")
    return ColumnFlip(places, np.array(profiles), encoded)


def _encoded(data: Dataset, columns: Sequence[str]) -> tuple[str, ...]:
    """What the encoder made of these columns of its table: one a category for text. Other names stay."""
    categories = {} if data.preprocess is None else data.preprocess.categories
    made = ([f"{name}={value}" for value in categories[name]] if name in categories else [name] for name in columns)
    return tuple(name for names in made for name in names)


def _place(data: Dataset, name: str) -> tuple[str, int | None]:
    """The input, and the column in it, that has this name."""
    encoder = data.preprocess
    names = data.feature_names or (() if encoder is None else encoder.feature_names)
    tables = [key for key, values in data.inputs.items() if values.shape[1:] == (len(names),)]
    if name in names and len(tables) == 1:
        return tables[0], names.index(name)
    single = [key for key, values in data.inputs.items() if values.ndim == 1 or values.shape[1:] == (1,)]
    if name in single:
        return name, None if data.inputs[name].ndim == 1 else 0
    if name in names:
        raise InputError(
            f"column {name!r} is one of {len(names)} `feature_names`, and {len(tables) or 'none'} of the inputs"
            f" {list(data.inputs)} have so many columns; pass a function that flips it."
        )
    table = () if encoder is None else encoder.inputs
    known = list(dict.fromkeys([*table, *(names if len(tables) == 1 else ()), *single]))
    if not known:
        raise InputError(f"the inputs {list(data.inputs)} have no columns with names; pass a function that flips them.")
    near = get_close_matches(name, known, n=3)
    shown = [*near, *(other for other in known if other not in near)][:LISTED]
    more = f" or {len(known) - LISTED} more" if len(known) > LISTED else ""
    raise InputError(f"column {name!r} is not in the inputs; is it one of {shown}{more}?")


def _columns(inputs: Mapping[str, Array], places: Sequence[tuple[str, int | None]]) -> Array:
    return np.column_stack([inputs[name] if column is None else inputs[name][:, column] for name, column in places])


def flipped_rows(rows: Iterable[Batch], flip: PairGenerator) -> tuple[tuple[Batch, ...], Mask]:
    """The same rows with the group flipped in the inputs, and which of them changed at all.

    Raises
    ------
    InputError
        If what ``flip`` returns has other inputs, shapes or types, is not finite, or is the same in every row.
    """
    batches: list[Batch] = []
    changed: list[Mask] = []
    for batch in rows:
        before = batch.inputs
        after = flip({name: values.copy() for name, values in before.items()})
        if not isinstance(after, Mapping) or set(after) != set(before):
            got = sorted(after) if isinstance(after, Mapping) else type(after).__name__
            raise InputError(f"`flip` must return the inputs {sorted(before)}, got {got}.")
        made = {name: np.asarray(after[name]) for name in before}
        moved = np.zeros(len(batch), bool)
        for name, values in made.items():
            if values.shape != before[name].shape or values.dtype != before[name].dtype:
                raise InputError(
                    f"`flip` must return {name!r} of shape {before[name].shape} and type {before[name].dtype}, got"
                    f" {values.shape} and {values.dtype}."
                )
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise InputError(f"`flip` must return finite values, got NaN or infinite ones in {name!r}.")
            moved |= (values != before[name]).reshape(len(batch), -1).any(1)
        batches.append(replace(batch, inputs=made))
        changed.append(moved)
    if not np.concatenate(changed).any():
        raise InputError("`flip` must change the inputs of some rows, got the same inputs in all of them.")
    return tuple(batches), np.concatenate(changed)


def flipped_sample(network: Network, sample: Sample, flip: PairGenerator) -> tuple[Sample, Mask]:
    """The same rows with the group flipped in the inputs, without activations, and which rows changed at all.

    Raises
    ------
    InputError
        As `flipped_rows`.
    """
    batches, changed = flipped_rows(sample.batches, flip)
    return replace(sample, batches=batches, activations={}, score=scores(network, batches)), changed


def counterfactual_effect(
    network: Network,
    sample: Sample,
    flip: PairGenerator,
    pair: Pair,
    *,
    layers: Mapping[str, Sequence[Fits]] | None = None,
) -> CounterfactualEffect:
    """What changes when the group in the inputs is flipped: the mean score, decisions, and through which layers.

    ``T = -sigma mean(f(x as group) - f(x as reference)) / sd(f)``, each row once as it is and once flipped.

    Parameters
    ----------
    network, sample : Network, Sample
        The rows, with the activations of the ``layers``.
    flip : callable
        `column_flip`, or the caller's own: it gets the inputs of some rows by name (copies) and returns them with the
        group flipped and the rest as it was, in the same shapes and types. That the rest is as it was is its word.
    pair : Pair
        The group and its reference; gives the orientation.
    layers : mapping of layer to `every_fit`, optional
        Layers at which the group given merit is erased, in both inputs by the same map: what remains of the effect does
        not go through the layer's group direction. Costs two passes a layer, with gradients one more each; where the
        network has none, two for every replicate.

    Returns
    -------
    CounterfactualEffect
        Intervals of 95 %: of effects by the delete-block jackknife, erasers fitted again in each replicate.

    Raises
    ------
    InputError
        As `flipped_rows`, and if the scores do not vary.

    Notes
    -----
    Not shown: what the network infers of the group from other inputs; those stayed. A network that is not fed the
    group has no such effect and may have a compensating head.

    Examples
    --------
    >>> from fairheads.activations import as_network
    >>> from fairheads.nets import MLP
    >>> from fairheads.pathways.sample import collect
    >>> rng = np.random.default_rng(0)
    >>> g = rng.integers(0, 2, 400); X = np.column_stack([g, rng.normal(size=400) + g])
    >>> data = Dataset(X, X[:, 1] + rng.normal(size=400) > 0.5, g, feature_names=("g", "merit"))
    >>> pair, network = Pair.of(data, 1, 0, 400, 0), as_network(MLP(2, hidden=(8,)))
    >>> sample = collect(network, pair.data, pair.member, [], 0)
    >>> flip = column_flip(pair.data, pair.member, ["g"])
    >>> counterfactual_effect(network, sample, flip, pair).changed.value
    1.0
    """
    other, changed = flipped_sample(network, sample, flip)
    if not np.ptp(sample.score) > 0:
        raise InputError("the score must vary, got the same for every row.")
    effect = _replicated(sample, lambda _: (sample.score, other.score), pair.sign)
    base, member = sample.score > 0, sample.member
    flips = base != (other.score > 0)
    towards = np.where(member, 1, -1) * (base.astype(np.int64) - (other.score > 0))
    names = flip.names if isinstance(flip, ColumnFlip) else ("pairs that the caller made",)
    return CounterfactualEffect(
        group=pair.names[0],
        reference=pair.names[1],
        what=", ".join(names),
        orientation=pair.orientation,
        n=len(sample),
        changed=share(changed),
        effect=_number(effect, len(sample)),
        decisions=_mean(-pair.sign * towards, sample),
        flips=share(flips),
        layers=tuple(
            _through(network, sample, other, name, refits, effect, pair.sign) for name, refits in (layers or {}).items()
        ),
        row_ids=tuple(sample.row_id[flips].tolist()),
    )


def _through(
    network: Network, sample: Sample, other: Sample, name: str, refits: Sequence[Fits], effect: Floats, sign: int
) -> ThroughLayer:
    """What remains of the effect when the group given merit is erased at a layer in both inputs."""
    here = sample.activations[name]
    there = _activations(network, other, name)
    moves = [_erasure(here, sample, refits[0]), _erasure(there, sample, refits[0])]
    plain, flipped = (response_near(network, s, name, move) for s, move in zip((sample, other), moves, strict=True))

    def erased(left_out: int | None) -> tuple[Floats, Floats]:
        fits = refits[0 if left_out is None else left_out + 1]
        return plain(_erasure(here, sample, fits)), flipped(_erasure(there, sample, fits))

    remains = _replicated(sample, erased, sign, replicates=len(refits))
    n = len(sample)
    total = _number(effect, n)
    if total.low is None or total.high is None or total.low <= 0 <= total.high:
        through = undefined("the effect of the flip is not surely different from 0", n)
    else:
        through = _number(1 - remains / effect[: len(remains)], n)
    return ThroughLayer(layer=name, remains=_number(remains, n), through=through)


def _activations(network: Network, sample: Sample, layer: str) -> Moves:
    kept = []
    with network.tap([layer]) as seen:
        for batch in sample.batches:
            network.forward(batch.inputs)
            kept.append(seen[layer])
    return np.concatenate(kept)


def _erasure(h: Moves, sample: Sample, fits: Fits) -> Moves:
    """What to add to activations ``h`` (n, units) so that the group given merit is gone, by the other fold's eraser."""
    move = np.zeros_like(h)
    for fold, fit in enumerate(fits):
        rows = sample.fold == fold
        if fit.strength > FAINT:
            move[rows] = -np.outer((h[rows] - fit.mean) @ fit.reading / fit.strength, fit.cross)
    return move


def _replicated(
    sample: Sample, scored: Callable[[int | None], tuple[Floats, Floats]], sign: int, replicates: int = 21
) -> Floats:
    """The turned effect in sd of the logit, on the full sample and without each block (21,)."""
    values = []
    for left_out in (None, *range(replicates - 1)):
        keep = sample.without(left_out)
        here, there = scored(left_out)
        difference = np.where(sample.member, here - there, there - here)
        values.append(-sign * float(difference[keep].mean()) / float(sample.score[keep].std()))
    return np.array(values)


def _number(values: Floats, n: int) -> Number:
    return jackknifed(float(values[0]), values[1:], n, "the score is the same for every row")


def _mean(rows: NDArray[np.int64], sample: Sample) -> Number:
    blocks = [float(rows[sample.without(left_out)].mean()) for left_out in (None, *range(JACKKNIFE_BLOCKS))]
    return _number(np.array(blocks), len(rows))
