"""An ONNX graph as a `Network`, run by onnxruntime itself: what is audited is what is deployed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairheads.activations.calling import refuse_unnamed
from fairheads.activations.layers import Layer, layer_of
from fairheads.activations.onnx_graph import Graph
from fairheads.activations.onnx_layers import default_tensors
from fairheads.activations.onnx_sessions import Array, Sessions, Shapes
from fairheads.activations.onnx_vetted import vetted
from fairheads.activations.outcome import Outcome
from fairheads.errors import ConfigError, InputError, LayerNotFoundError

MEMORY = 256 * 2**20
"""Bytes of one layer's values that are kept between passes over the same rows with other edits."""

_PROBABILITIES = ("Softmax", "Sigmoid")
_FLOATS = (1, 10, 11)  # float32, float16 and float64 among onnx.TensorProto.DataType


@dataclass(eq=False)
class _Edit:
    layer: str
    fn: Callable[[Array], Array]


@dataclass(eq=False)
class _Tap:
    layers: tuple[str, ...]
    seen: dict[str, Array]
    edits: int
    """Edits that were open before it."""


class OnnxNetwork:
    """An ONNX graph as a `Network` without gradients. The file is vetted before anything of it is run.

    Parameters
    ----------
    model : str, Path or bytes
        The file, or what is in it. It is read once.
    layers : sequence of str, optional
        The layers to look at, by the names of tensors in the graph. By default what residual blocks give, where there
        are two or more; else the outputs of activation functions and recurrent layers; else those of layers with
        weights but the last. All of them are tensors that the inputs' values go through to the output.
    outcome : Outcome, optional
        How the output becomes the score; by default it is one logit a row.
    output : str, optional
        The output that is scored; by default that named "logits", else the first in floating point.
    unit_axes : mapping of str to int, optional
        The axis of the units in a tensor, where it is not the one that is found: channels of images, else features.
    token_mask : str
        Input (n, tokens) that marks with 1 the tokens that count. Others are neither pooled nor edited.

    Raises
    ------
    InputError
        If there is no such file, no output that can be scored, or the extra is not installed.
    UnsafeModelError
        If the file is damaged or asks for what a network does not need; see `fairheads.activations.onnx_vetted`.
    ConfigError
        If the graph is one for training, or returns probabilities and ``outcome`` does not say so.
    LayerNotFoundError
        If a named layer does not exist.

    Attributes
    ----------
    digest : str
        SHA-256 of the file.
    parameters : int
        Numbers among the weights.
    clipped : int
        Rows of the last `forward` whose probability was clipped; see `Outcome`.

    Notes
    -----
    A tap makes tensors outputs of the graph. An edit runs the graph up to the layer, and then one in which whatever
    reads the layer reads what the edit returned; branches around it run on as they were. Scores with taps or edits that
    change nothing are those without, bit for bit. For that no nodes are fused: scores differ from those of a session
    with all optimisations in the last bits (2e-6 of a probability in a convolutional network), and a pass takes up to
    1.7 times as long. In half precision onnxruntime rounds what it hands out and not what it keeps: there a tap or edit
    changes last bits, and the report says that its check was not met.

    Inputs are taken by their names in the graph where the data have the same, else in order. A graph for batches of one
    size gets as many rows as it takes, the last batch filled up.

    Examples
    --------
    >>> network = OnnxNetwork("gender-v1.onnx", outcome=Outcome("softmax", 1))  # doctest: +SKIP
    >>> network.layers()  # doctest: +SKIP
    ('layer_17_relu', 'layer_14_relu', 'layer_10_relu', 'layer_7_relu', 'layer_3_relu')
    """

    gradients = False

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        layers: Sequence[str] | None = None,
        outcome: Outcome | None = None,
        output: str | None = None,
        unit_axes: Mapping[str, int] | None = None,
        token_mask: str = "attention_mask",
    ) -> None:
        proto, self.digest = vetted(model)
        self.parameters = sum(math.prod(each.dims) for each in proto.graph.initializer if each.data_type in _FLOATS)
        self._graph = Graph(proto)
        self._output = _scored(self._graph, output)
        self._refuse_probabilities(outcome)
        self.outcome = outcome
        self.clipped = 0
        self._sessions = Sessions(self._graph)
        self._sessions.check(self._output)
        self._axes, self._token_mask = dict(unit_axes or {}), token_mask
        between = self._graph.named(self._graph.sources(self._output))
        self._inside = [each for each in between if each in self._graph.order]
        self._given = None if layers is None else tuple(layers)
        for name in [*(self._given or ()), *self._axes]:
            self._refuse_unknown(name)
        self._known: dict[str, Layer] = {}
        self._edits: list[_Edit] = []
        self._taps: list[_Tap] = []
        self._kept: dict[bytes, Array] = {}
        self._kept_layer = ""

    def layers(self) -> tuple[str, ...]:
        return default_tensors(self._graph, self._output) if self._given is None else self._given

    def survey(self, inputs: Mapping[str, Array], layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
        refuse_unnamed(inputs)
        names = self._given if layers is None else tuple(layers)
        if names is not None:
            return self._learn(inputs, names)
        offered = self.layers()
        unknown = [name for name in offered if name not in self._known]
        if unknown:
            shapes = self._shapes(inputs, unknown)
            for name in unknown:
                try:
                    self._known[name] = self._layer(name, shapes)
                except InputError:
                    continue  # no rows, or no units
        return tuple(self._known[name] for name in offered if name in self._known)

    def forward(self, inputs: Mapping[str, Array]) -> NDArray[np.float64]:
        refuse_unnamed(inputs)
        edited = [edit.layer for edit in self._edits]
        tapped = [name for tap in self._taps for name in tap.layers]
        self._learn(inputs, [*edited, *tapped])
        mask = self._mask(inputs)
        given, fed = self._sessions.inputs(inputs), dict[str, Array]()
        rows = {name: layer.rows for name, layer in self._known.items()}
        after: dict[str, list[Array]] = {}  # values of an edited layer, before and after each of all edits
        for name in sorted(set(edited), key=lambda name: self._graph.order[name]):
            value = self._sessions.run([name], given, fed, rows)[name] if fed else self._unedited(name, given, rows)
            after[name] = [value]
            for edit in self._edits:
                if edit.layer == name:
                    value = self._known[name].edited(torch.from_numpy(value), edit.fn, mask).contiguous().numpy()
                after[name].append(value)
            fed[name] = value
        wanted = dict.fromkeys([self._output, *tapped])
        values = self._sessions.run([name for name in wanted if name not in fed], given, fed, rows) | fed
        for tap in self._taps:
            for name in tap.layers:
                value = after[name][tap.edits] if name in after else values[name]
                tap.seen[name] = self._known[name].pooled(torch.from_numpy(value), mask).numpy().copy()
        return self._score(values[self._output])

    @contextmanager
    def tap(self, layers: Sequence[str]) -> Iterator[dict[str, Array]]:
        for name in layers:
            self._refuse_unknown(name)
        tap = _Tap(tuple(layers), {}, len(self._edits))
        self._taps.append(tap)
        try:
            yield tap.seen
        finally:
            self._taps.remove(tap)

    @contextmanager
    def edit(self, layer: str, fn: Callable[[Array], Array]) -> Iterator[None]:
        self._refuse_unknown(layer)
        edit = _Edit(layer, fn)
        self._edits.append(edit)
        try:
            yield
        finally:
            self._edits.remove(edit)

    def gradient(
        self, inputs: Mapping[str, Array], layer: str, shift: Array | None = None
    ) -> tuple[NDArray[np.float64], Array]:
        """Raises `ConfigError`: onnxruntime has no derivatives of a graph for inference."""
        raise ConfigError(
            "a graph run by onnxruntime has no gradients; audit the torch module, or its .pt2, for those."
        )

    def _unedited(self, name: str, given: Mapping[str, Array], rows: Mapping[str, int]) -> Array:
        """The values of a layer, remembered by what the inputs hold: an audit edits the same rows many times over."""
        if name != self._kept_layer:
            self._kept, self._kept_layer = {}, name
        content = hashlib.blake2b()
        for key, values in given.items():
            content.update(f"{key} {values.shape} {values.dtype} ".encode())
            content.update(values.data)
        if (found := self._kept.get(content.digest())) is not None:
            return found
        value = self._sessions.run([name], given, {}, rows)[name]
        if value.nbytes + sum(each.nbytes for each in self._kept.values()) <= MEMORY:
            self._kept[content.digest()] = value
        return value

    def _mask(self, inputs: Mapping[str, Array]) -> Tensor | None:
        mask = inputs.get(self._token_mask)
        return None if mask is None else torch.from_numpy(np.asarray(mask) != 0)

    def _score(self, value: Array) -> NDArray[np.float64]:
        outputs, outcome = torch.from_numpy(value), self.outcome or Outcome()
        score: NDArray[np.float64] = outcome.score(outputs).double().numpy()
        self.clipped = outcome.clipped(outputs)
        return score

    def _learn(self, inputs: Mapping[str, Array], names: Sequence[str]) -> tuple[Layer, ...]:
        unknown = [name for name in dict.fromkeys(names) if name not in self._known]
        for name in unknown:
            self._refuse_unknown(name)
        if unknown:
            shapes = self._shapes(inputs, unknown)
            self._known |= {name: self._layer(name, shapes) for name in unknown}
        return tuple(self._known[name] for name in names)

    def _shapes(self, inputs: Mapping[str, Array], names: Sequence[str]) -> tuple[Shapes, Shapes]:
        two, three = (self._sessions.shapes(names, inputs, n) for n in (2, 3))
        return two, three

    def _layer(self, name: str, shapes: tuple[Shapes, Shapes]) -> Layer:
        two, three = (each[name] for each in shapes)
        if two is None or three is None or len(two) != len(three):
            raise InputError(f"layer {name!r} is no tensor of floats that has rows; choose another layer.")
        return layer_of(name, torch.Size(two), torch.Size(three), self._graph.hint(name), self._axes.get(name))

    def _refuse_unknown(self, name: str) -> None:
        if name in self._inside:
            return
        near = get_close_matches(name, self._inside, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        offered = self.layers() if self._given is None else default_tensors(self._graph, self._output)
        shown = list(dict.fromkeys([*offered, *self._inside]))
        raise LayerNotFoundError(
            f"the graph has no tensor {name!r} between inputs and output.{hint} It has: {', '.join(shown[:20])}"
            + (", ..." if len(shown) > 20 else ".")
        )

    def _refuse_probabilities(self, outcome: Outcome | None) -> None:
        node = self._graph.maker(self._output)
        if outcome is None and node is not None and node.op_type in _PROBABILITIES:
            kind = node.op_type.lower()
            said = kind if kind == "sigmoid" else f"{kind}:1"
            raise ConfigError(
                f"the graph returns probabilities (it ends in {node.op_type}); say so by `outcome`, as in"
                f" Outcome.parse({said!r})."
            )


def _scored(graph: Graph, output: str | None) -> str:
    """The name of the output that is scored."""
    floats = [each.name for each in graph.outputs if each.type.tensor_type.elem_type in _FLOATS]
    if output is not None:
        if output not in floats:
            raise ConfigError(
                f"`output` must be one of the graph's outputs in floating point, {floats}, got {output!r}."
            )
        return output
    if not floats:
        names = [each.name for each in graph.outputs]
        raise InputError(f"the graph has no tensor of floats among its outputs, {names}; export it without ZipMap.")
    found = "logits" if "logits" in floats else floats[0]
    if not graph.sources(found):
        raise InputError(f"output {found!r} of the graph does not depend on its inputs.")
    return found
