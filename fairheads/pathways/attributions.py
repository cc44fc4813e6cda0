"""What each part of an input adds to linear readouts of a layer: integrated gradients, or occlusion without them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairheads.activations import (
    Layer,
    Network,
    TorchNetwork,
    called,
    device_of,
    edit_outputs,
    evaluation_state,
    tap_outputs,
)
from fairheads.activations.layers import is_one_of

Array = NDArray[Any]
Floats = NDArray[np.float64]
Inputs = Mapping[str, Array]

STEPS = 8
"""Points on the path of integrated gradients. The error falls with their number, the cost grows with it."""

RULE = "riemann_middle"
"""Derivatives of ReLUs jump along the path: midpoints come nearer there than Gauss and Legendre's points, captum's own
choice (tests/test_reads.py), and no roots of polynomials are looked for."""

TOLERANCE, FINER = 0.1, (2, 4, 16)
"""Rows whose parts are further than this from adding up (readouts have sd 1) are done again with so many times the
steps, one after the other: where the straight path is long, the network bends often along it."""

ELEMENTS = 2**20
"""Numbers of input in one pass along the paths: bounds the memory, whatever the rows."""


@dataclass(frozen=True, eq=False)
class Attributed:
    """What an input adds to two readouts: ``parts`` (n, ..., 2) as the input is shaped, and their true sum (n, 2).

    ``total`` is the readout at the input minus the readout at the baseline. Tokens have one value each.
    """

    parts: Floats
    total: Floats


def integrated_gradients(
    network: TorchNetwork, layer: Layer, inputs: Inputs, key: str, start: Array, weights: Floats, *, steps: int = STEPS
) -> Attributed:
    """Integrated gradients of two linear readouts of a layer, of sd 1, along the straight path from a baseline.

    ``(x - b) * mean over the path of d readout / d x``, which adds up to the readout at x minus that at b. Whole
    numbers have no path: tokens are attributed at the output of their embedding, summed over its features.

    Parameters
    ----------
    layer : Layer
        Where the readouts read, as `Network.survey` says.
    inputs : mapping of name to array
        Rows as the network takes them.
    key : str
        The input that is attributed; the others stay as they are in each row.
    start : array
        The baseline: like ``inputs[key]`` or one row of it.
    weights : array (units, 2)
        Of the readouts, on pooled activations.

    References
    ----------
    Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks, ICML 2017; computed by captum.
    """
    with warnings.catch_warnings():  # captum's tqdm speaks, in a notebook, of bars that are not shown here
        warnings.filterwarnings("ignore", "IProgress not found")
        from captum.attr import IntegratedGradients

    embedding = token_embedding(network, inputs, key)
    given = _tensors(network, inputs)
    x = given[key] if embedding is None else _embedded(network, embedding, given)
    begin = torch.as_tensor(start).to(given[key]).broadcast_to(given[key].shape)
    baseline = begin if embedding is None else _embedded(network, embedding, {**given, key: begin})
    mask = given.get(network.token_mask)
    if embedding is not None and mask is not None:
        baseline = torch.where(mask[:, :, None] != 0, baseline, x)  # what does not count gets 0
    others = [values for name, values in given.items() if embedding is not None or name != key]
    with _live_readouts(network, layer, tuple(given), key, embedding, weights) as readouts:
        # Of a row each, captum takes one derivative a row, which costs ten times as much as that of their sum.
        methods = [IntegratedGradients(lambda *given, i=i: readouts(*given)[:, i].sum().reshape(1)) for i in (0, 1)]

        def along(rows: Tensor, steps: int) -> Tensor:
            rest = tuple(values[rows] for values in others) or None
            ends = x[rows], baseline[rows]
            made = [m.attribute(*ends, None, rest, n_steps=steps, method=RULE).detach().double() for m in methods]
            both = torch.stack(made, dim=-1)
            return both if embedding is None else both.sum(-2)

        def all_along(rows: Tensor, steps: int) -> Tensor:
            return torch.cat([along(some, steps) for some in rows.split(max(1, ELEMENTS // (steps * x[0].numel())))])

        with torch.no_grad():
            total = readouts(x, *others) - readouts(baseline, *others)
        every = torch.arange(len(x), device=x.device)
        parts = all_along(every, steps)
        for finer in FINER:
            rough = every[(parts.flatten(1, -2).sum(1) - total).abs().amax(1) > TOLERANCE]
            if len(rough):
                parts[rough] = all_along(rough, finer * steps)
    return Attributed(parts.cpu().numpy(), total.cpu().numpy())


def occlusion(
    network: Network, layer: Layer, inputs: Inputs, key: str, start: Array, weights: Floats, patches: Array
) -> Attributed:
    """What two linear readouts of a layer lose when one patch of the input at a time is replaced by the baseline.

    Needs no gradients. The parts do not add up to the whole where the network lets patches interact.

    Parameters
    ----------
    patches : array of int
        Number of the patch of each element of a row, from 0. Elements of a patch are replaced together and share
        what it adds in equal parts.

    Other parameters are those of `integrated_gradients`.

    References
    ----------
    Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.

    Notes
    -----
    That is a pass over the rows for every patch.
    """
    x = inputs[key]
    baseline = np.broadcast_to(start, x.shape).astype(x.dtype)

    def readouts(values: Array) -> Floats:
        with network.tap([layer.name]) as seen:
            network.forward({**inputs, key: values})
        return np.asarray(seen[layer.name].astype(np.float64) @ weights)

    whole, parts = readouts(x), np.zeros((*x.shape, weights.shape[1]))
    for patch in np.unique(patches):
        here = patches == patch
        lost = whole - readouts(np.where(here, baseline, x))
        parts[:, here] = lost[:, None] / here.sum()
    return Attributed(parts, whole - readouts(baseline))


@contextmanager
def _live_readouts(
    network: TorchNetwork, layer: Layer, order: Sequence[str], key: str, embedding: str | None, weights: Floats
) -> Iterator[Callable[..., Tensor]]:
    """While open, the readouts as a function of the attributed input (or embedding) and the others, with gradients."""
    module, seen, now = network.module, dict[str, Tensor](), dict[str, Tensor]()
    matrix = torch.as_tensor(weights, dtype=torch.float64, device=device_of(module))

    def readouts(x: Tensor, *others: Tensor) -> Tensor:
        names = [name for name in order if embedding is not None or name != key]
        given = dict(zip(names, others, strict=True)) | ({} if embedding is not None else {key: x})
        made = []
        for index, kept in network.pieces.of(len(x)):
            now["x"] = x[index]
            called(module, {name: given[name][index] for name in order})
            mask = given.get(network.token_mask)
            pooled = layer.pooled(seen[layer.name], None if mask is None else mask[index] != 0)
            made.append(pooled[:kept].double() @ matrix)
        return torch.cat(made)

    with ExitStack() as open_:
        open_.enter_context(evaluation_state(module))
        open_.enter_context(torch.enable_grad())
        open_.enter_context(torch.autocast(device_of(module).type, enabled=False))
        open_.enter_context(torch.backends.cudnn.flags(enabled=False))  # it has no derivative of recurrent layers
        if embedding is not None:
            open_.enter_context(edit_outputs(module, embedding, lambda _: now["x"]))
        open_.enter_context(tap_outputs(module, [layer.name], seen.__setitem__, live=True))
        yield readouts


def token_embedding(network: TorchNetwork, inputs: Inputs, key: str) -> str | None:
    """Name of the embedding that gets the tokens; None where the input is in floating point, or none gets them."""
    if inputs[key].dtype.kind == "f":
        return None
    index, _ = next(network.pieces.of(2))
    given = _tensors(network, {name: values[:2][index] for name, values in inputs.items()})
    found: list[str] = []
    with ExitStack() as hooks:
        for name, part in network.module.named_modules():
            if is_one_of(part, (torch.nn.Embedding,)):

                def gets(_module: object, args: tuple[object, ...], name: str = name) -> None:
                    if args and isinstance(args[0], Tensor) and torch.equal(args[0], given[key]):
                        found.append(name)

                hooks.callback(part.register_forward_pre_hook(gets).remove)
        with evaluation_state(network.module):
            called(network.module, given)
    return found[0] if found else None


def _embedded(network: TorchNetwork, embedding: str, given: Mapping[str, Tensor]) -> Tensor:
    """The output of the embedding for these rows, (n, tokens, features)."""
    seen, made = dict[str, Tensor](), []
    with evaluation_state(network.module), tap_outputs(network.module, [embedding], seen.__setitem__):
        for index, kept in network.pieces.of(len(next(iter(given.values())))):
            called(network.module, {name: values[index] for name, values in given.items()})
            made.append(seen[embedding][:kept])
    return torch.cat(made)


def _tensors(network: TorchNetwork, inputs: Inputs) -> dict[str, Tensor]:
    """The inputs as the network gets them: on its device, floats of the type of its weights."""
    weights = (p.dtype for p in network.module.parameters() if p.is_floating_point())
    dtype, device = next(weights, torch.float32), device_of(network.module)
    given = {name: torch.tensor(values, device=device) for name, values in inputs.items()}
    return {name: v.to(dtype) if v.is_floating_point() else v for name, v in given.items()}
