"""What the head reads: which parts of the input feed a layer's internal group estimate, beside its task readout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairheads.activations import Layer, Network, TorchNetwork
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.pathways.attributions import STEPS, Attributed, Inputs, integrated_gradients, occlusion, token_embedding
from fairheads.pathways.baselines import BASELINES, Draw, Kind, baseline_of, patches_of
from fairheads.pathways.effects import FAINT
from fairheads.pathways.fits import LIVE, Fits, LayerData, fits_of
from fairheads.pathways.pair import Pair, at_most
from fairheads.pathways.parts import SHOWN, Parts, columns_of, completeness_of, difference_of, maps_of, tokens_of
from fairheads.pathways.sample import Mask, Sample, collect
from fairheads.results.reads import HeadReading

Array = NDArray[Any]
Floats = NDArray[np.float64]
ROWS: dict[Kind, int] = {"table": 2_000, "image": 200, "tokens": 500}
"""Rows by default, half of each group. With a thousand of each the standard error of a contrast is the square root of
2 / 1,000, .045, of the spread of the column's attribution; images cost far more a row, and their maps are means."""

WIDEST = 2_000
"""Columns of the widest table that is attributed: every column is gathered by itself."""

CHUNK = 256
"""Rows whose attributions are held at once."""

NO_GROUP = "the layer's readout of the group, given merit, is constant"
NO_MERIT = "the layer's readout of the label is constant"


def head_reading(
    network: Network,
    pair: Pair,
    layer: str,
    *,
    rows: int | None = None,
    steps: int = STEPS,
) -> HeadReading:
    """Attributions of a layer's internal group component to columns, pixels or tokens, beside its readout of the label.

    The internal group component is what conditional erasure removes, ``reading . (h - mean) / strength``; the task
    readout is the logistic readout of the label that merit bins are made from. Both are cross-fitted: every row is read
    by what the other fold says. Both are divided by their standard deviation, so that they can be compared.

    Parameters
    ----------
    network : Network
        Torch networks are attributed by integrated gradients; others, and tokens that no embedding gets, by occlusion.
    pair : Pair
        The rows of the group and of its reference.
    layer : str
    rows : int, optional
        Rows attributed, half of each group, drawn with the pair's seed; by default 2,000 of a table, 200 images,
        500 texts. More narrow the intervals and cost time in proportion.
    steps : int
        Points on each path, up to 16 times as many for rows whose parts are more than .1 sd from adding up. The
        result says how near they come.

    Returns
    -------
    HeadReading
        Contrasts of columns: encoded columns summed to those of the table, by the data's encoder. Channels of images
        and token ids are columns as well.

    Raises
    ------
    ConfigError
        On fewer than 4 rows, or fewer than 2 steps.
    InputError
        If no input is a table, an image or tokens, or a table has more than 2,000 columns.

    Notes
    -----
    Baselines. Tables: four rows drawn for every row, two of each group, so that neither group is the normal case and
    paths begin at people that exist. Tokens: likewise four texts of drawn words, for no token stands for nothing.
    Images: the mean image of both groups, weighted alike.

    Not shown: whether the network uses the estimate (swap and erasure say that), nor what would happen to the
    input of a person whose group were another.

    References
    ----------
    Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks, ICML 2017; Erion et al., Improving performance
    of deep learning models with axiomatic attribution priors and expected gradients, 2021 (drawn baselines).

    Examples
    --------
    >>> from fairheads.activations import TorchNetwork
    >>> from fairheads.nets import MLP
    >>> from fairheads.planted import synthetic
    >>> data = synthetic(600)
    >>> pair = Pair.of(data, group=1, reference=0, sample=600, seed=0)
    >>> reading = head_reading(TorchNetwork(MLP(8, hidden=(8,))), pair, "backbone.1", rows=100)
    >>> reading.columns[0].name.split("_")[0], reading.method
    ('proxy', 'integrated gradients')
    """
    kind, key = attributed_input(pair.data)
    if kind == "table" and pair.data.inputs[key].shape[-1] > WIDEST:
        raise InputError(
            f"tables of more than {WIDEST:,} columns are not attributed, got {pair.data.inputs[key].shape[-1]:,}."
        )
    most = ROWS[kind] if rows is None else rows
    if most < 4 or steps < 2:
        raise ConfigError(f"`rows` must be at least 4 and `steps` at least 2, got {rows} and {steps}.")
    sample = collect(network, pair.data, pair.member, [layer], pair.seed)
    data = LayerData.of(sample, layer, sample.activations[layer], pair.control)
    weights, dead = readouts(sample, data, fits_of(sample, data))
    drawn = _balanced(pair.member, most, pair.seed)
    member, inputs = pair.member[drawn], {name: values[drawn] for name, values in pair.data.inputs.items()}
    (known,) = network.survey(inputs, [layer])
    way = _Way.of(network, known, inputs, key, member, pair.data, steps)
    parts = Parts.empty(pair.data, kind, key, inputs, member)
    for fold in (0, 1):
        at = np.flatnonzero(sample.fold[drawn] == fold)
        for start in range(0, len(at), CHUNK):
            some = at[start : start + CHUNK]
            parts.add(some, _averaged(way, inputs, some, weights[fold], pair.seed))
    centred = data.h[drawn] - data.h.mean(0, np.float64)  # or the folds would differ by their offsets
    values = np.einsum("nu,nur->nr", centred, weights[sample.fold[drawn]])
    reasons = (NO_GROUP if dead[0] else None, NO_MERIT if dead[1] else None)
    columns, rest = columns_of(parts, reasons)
    head_complete, task_complete = completeness_of(parts)
    return HeadReading(
        group=pair.names[0],
        reference=pair.names[1],
        layer=layer,
        kind=kind,
        input=key,
        method=way.method,
        baseline=way.said,
        baselines=way.tries,
        steps=way.steps,
        n_group=int(member.sum()),
        n_reference=int((~member).sum()),
        head_distance=difference_of(values[:, 0], member, reasons[0]),
        task_distance=difference_of(values[:, 1], member, reasons[1]),
        head_complete=head_complete,
        task_complete=task_complete,
        columns=columns,
        rest=rest,
        shown=len(columns) if rest is None else SHOWN,
        maps=maps_of(parts, *pair.names),
        tokens=tokens_of(parts, columns, reasons),
    )


def attributed_input(data: Dataset) -> tuple[Kind, str]:
    """What kind of input is attributed, and its name: the first in floating point, else the first of whole numbers."""
    for name, values in data.inputs.items():
        if values.dtype.kind == "f" and values.ndim in (2, 3, 4):
            return ("image" if values.ndim == 4 else "table"), name
    for name, values in data.inputs.items():
        if values.ndim == 2 and values.dtype.kind != "b" and "mask" not in name:
            return "tokens", name
    raise InputError(
        "an input must be a table (n, columns), images (n, channels, height, width) or tokens (n, tokens)."
    )


def readouts(sample: Sample, layer: LayerData, fits: Fits) -> tuple[Floats, tuple[bool, bool]]:
    """Weights (folds, units, 2) of group component and task readout on raw activations, and whether each is constant.

    Scaled so that both have standard deviation 1 over the sample, each row read by the fit for its fold.
    """
    h = layer.h.astype(np.float64)
    sd = h.std(0)
    live = sd > LIVE * max(sd.max(initial=0.0), 1e-30)
    weights = np.zeros((2, layer.units, 2))
    for fold, fit in enumerate(fits):
        weights[fold, :, 0] = fit.reading / fit.strength if fit.strength > FAINT else 0.0
        weights[fold, live, 1] = fit.merit[:-1] / sd[live]
    values = np.einsum("nu,nur->nr", h - h.mean(0), weights[sample.fold])
    spread = values.std(0)
    dead = spread <= 1e-9
    return weights / np.where(dead, 1.0, spread), (bool(dead[0]), bool(dead[1]))


@dataclass(frozen=True, eq=False)
class _Way:
    """How rows are attributed: by which method, from which baselines."""

    method: Literal["integrated gradients", "occlusion"]
    steps: int
    said: str
    tries: int
    start: Draw
    run: Callable[[Inputs, Array, Floats], Attributed]

    @classmethod
    def of(
        cls, network: Network, layer: Layer, inputs: Inputs, key: str, member: Mask, data: Dataset, steps: int
    ) -> _Way:
        kind, _ = attributed_input(data)
        start, said = baseline_of(inputs, key, kind, member)
        if (
            isinstance(network, TorchNetwork)
            and network.gradients
            and (kind != "tokens" or token_embedding(network, inputs, key))
        ):
            run = partial(integrated_gradients, network, layer, steps=steps)
            return cls("integrated gradients", steps, said, BASELINES[kind], start, lambda i, b, w: run(i, key, b, w))
        patches = patches_of(inputs[key].shape[1:], kind, data)
        take_out = partial(occlusion, network, layer, patches=patches)
        return cls("occlusion", 0, said, BASELINES[kind], start, lambda i, b, w: take_out(i, key, b, w))


def _averaged(way: _Way, inputs: Inputs, some: NDArray[np.int64], weights: Floats, seed: int) -> Attributed:
    """Attributions of some rows, averaged over their baselines; baselines depend on the rows and the seed alone."""
    here = {name: values[some] for name, values in inputs.items()}
    rng = np.random.default_rng([seed, int(some[0])])
    made = [way.run(here, way.start(some, turn, rng), weights) for turn in range(way.tries)]
    return Attributed(np.mean([m.parts for m in made], axis=0), np.mean([m.total for m in made], axis=0))


def _balanced(member: Mask, most: int, seed: int) -> NDArray[np.int64]:
    """At most half of ``most`` rows of each group, in their order."""
    sides = [at_most(max(most // 2, 2), np.flatnonzero(side), seed) for side in (member, ~member)]
    return np.sort(np.concatenate(sides))
