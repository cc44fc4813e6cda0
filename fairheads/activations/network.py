"""What an audit needs of a network, whatever it is made of, and the torch module that has it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram

from fairheads.activations.calling import called, refuse_unnamed
from fairheads.activations.devices import device_of
from fairheads.activations.exports import rows_of
from fairheads.activations.hooks import edit_outputs, evaluation_state, tap_outputs
from fairheads.activations.layers import Layer, refuse_other_shape
from fairheads.activations.outcome import Outcome
from fairheads.activations.pieces import Index, Pieces, joined
from fairheads.activations.places import Place, find_layer
from fairheads.activations.survey import Survey, default_layers, default_modules, in_functional_style, linear_modules
from fairheads.errors import ConfigError, InputError
from fairheads.nets import TwoHeadNet, logits_of

Array = NDArray[Any]

TRIED = 16
"""Rows on which it is tried whether a layer reaches the output."""


@runtime_checkable
class Network(Protocol):
    """A network that can be run, looked into and edited. Arrays in, arrays out, whatever the backend."""

    gradients: bool
    """Whether gradients can be had."""

    def layers(self) -> tuple[str, ...]:
        """Names of the layers an audit looks at by default, input side first."""
        ...

    def survey(self, inputs: Mapping[str, Array], layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
        """The named layers with their units, as these inputs show them; by default those that an audit looks at."""
        ...

    def forward(self, inputs: Mapping[str, Array]) -> NDArray[np.float64]:
        """The score (logit of the favourable outcome) of each row, shape (n,)."""
        ...

    def tap(self, layers: Sequence[str]) -> AbstractContextManager[dict[str, Array]]:
        """While open, each `forward` puts every layer's output, (n, units), into the dictionary."""
        ...

    def edit(self, layer: str, fn: Callable[[Array], Array]) -> AbstractContextManager[None]:
        """While open, each `forward` goes on from ``fn(output)`` of the layer; shape and type must stay."""
        ...

    def gradient(
        self, inputs: Mapping[str, Array], layer: str, shift: Array | None = None
    ) -> tuple[NDArray[np.float64], Array]:
        """Scores (n,) when the layer's output is moved by ``shift`` (n, units), and their derivatives by it (n, units).

        Where ``gradients`` is False a `ConfigError`.
        """
        ...


class TorchNetwork:
    """A torch module as a `Network`: eval mode, no gradients kept, and nothing left behind after a call.

    Parameters
    ----------
    module : nn.Module or torch.export.ExportedProgram
        Takes the inputs by name, where these are parameters of its ``forward``, else in order, and returns one logit a
        row, (n,) or (n, 1), or one a class, (n, classes); or what Hugging Face's classifiers return. Inputs in floating
        point take the type of its weights. An exported graph for batches of one size gets as many rows as it takes, the
        last batch filled up; each edit then costs a pass more.
    layers : sequence of str, optional
        The layers to look at, by torch's dotted paths; see `Place` for modules that are called several times or return
        several tensors. By default the blocks of a network of repeated blocks, else the activation functions (ReLU,
        GELU, Tanh ...) and recurrent layers that are modules, else (where those are functions) every linear and
        convolutional layer and recurrent cell, in the order of their calls, but the one that gives the output. A
        network without hidden layers has none, and no pathway to test.
    favourable : int, optional
        The favourable class, where there is a logit for each: the score is its logit minus the largest other one, above
        0 where it is predicted.
    outcome : Outcome, optional
        How the outputs become the score where they are no logits: probabilities, or a regression. In place of
        ``favourable``.
    unit_axes : mapping of str to int, optional
        The axis of the units in the output of a module, where it is not the one that is found: channels of
        convolutions, else features.
    token_mask : str
        Input (n, tokens) that marks with 1 the tokens that count. Others are neither pooled nor edited.

    Raises
    ------
    LayerNotFoundError
        If a named layer does not exist.
    ConfigError
        If the module cannot be looked into: TorchScript, compiled, spread over devices, or exported for inputs whose
        batches differ. If ``favourable`` and ``outcome`` are given.

    Attributes
    ----------
    clipped : int
        Rows of the last `forward` whose probability was clipped; see `Outcome`.
    pieces : Pieces
        How rows are handed to the module.

    Notes
    -----
    A unit is a channel of an image or a feature of a token; activations are pooled over pixels and tokens by their mean
    as they are seen, and edits move all positions of a row alike.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> TorchNetwork(MLP(4, hidden=(8, 8))).layers()
    ('backbone.1', 'backbone.3')
    """

    gradients = True

    def __init__(
        self,
        module: nn.Module | ExportedProgram,
        *,
        layers: Sequence[str] | None = None,
        favourable: int | None = None,
        outcome: Outcome | None = None,
        unit_axes: Mapping[str, int] | None = None,
        token_mask: str = "attention_mask",
    ) -> None:
        if favourable is not None and outcome is not None:
            raise ConfigError("`outcome` says which class is favourable; leave `favourable` out.")
        self._exported = isinstance(module, ExportedProgram)
        self.pieces = Pieces(rows_of(module) if isinstance(module, ExportedProgram) else None)
        module = _module_of(module)
        self.module, self.favourable, self.outcome = module, favourable, outcome
        self.clipped = 0
        self._given = None if layers is None else tuple(layers)
        self._axes = dict(unit_axes or {})
        for name in [*(self._given or ()), *self._axes]:
            find_layer(module, Place.parse(name).module)
        self._device, self.token_mask = device_of(module), token_mask
        self._known: dict[str, Layer] = {}
        self._open: list[str] = []
        self._mask: Tensor | None = None
        self._surveying = False

    def twin(self, module: nn.Module | ExportedProgram, layers: Sequence[str] | None = None) -> TorchNetwork:
        """Another module of the same architecture, with the same settings."""
        return TorchNetwork(
            module,
            layers=layers,
            favourable=self.favourable,
            outcome=self.outcome,
            unit_axes=self._axes,
            token_mask=self.token_mask,
        )

    def layers(self) -> tuple[str, ...]:
        if self._given is not None:
            return self._given
        names = default_modules(self.module)
        return names[:-1] if self.in_functional_style else names

    @property
    def in_functional_style(self) -> bool:
        """Whether only `survey` tells the order of the layers; that of `layers` is then the one of registration."""
        return self._given is None and in_functional_style(self.module)

    def survey(self, inputs: Mapping[str, Array], layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
        refuse_unnamed(inputs)
        names = self._given if layers is None else tuple(layers)
        if names is not None:
            return self._learn(inputs, names)
        some = _rows(inputs, TRIED)
        base = self.forward(some)

        def reaches(layer: Layer) -> bool:
            self._known[layer.name] = layer
            direction = np.random.default_rng(0).normal(size=layer.units)

            def push(h: Array) -> Array:
                pushed: Array = h + (direction * (1 + np.abs(h).mean())).astype(h.dtype)
                return pushed

            with self.edit(layer.name, push):
                return not np.array_equal(self.forward(some), base, equal_nan=True)

        linear = linear_modules(self.module)
        head = self._surveyed(some, linear).head(linear)
        modules = default_modules(self.module, None if head is None else head.module)
        return default_layers(self._surveyed(some, modules), self.module, modules, reaches)

    def forward(self, inputs: Mapping[str, Array]) -> NDArray[np.float64]:
        refuse_unnamed(inputs)
        self._learn(inputs, self._open)

        def logits(piece: Mapping[str, Array], _: Index) -> Tensor:
            with self._masked(piece):
                return logits_of(self._run(piece))

        parts = self.pieces.passed(inputs, logits)
        score = self._score(joined(parts))
        return np.asarray(score.double().cpu().numpy())

    @contextmanager
    def tap(self, layers: Sequence[str]) -> Iterator[dict[str, Array]]:
        def keep(name: str, output: Tensor) -> None:
            if not self._surveying:
                piece[name] = self._known[name].pooled(output, self._mask).cpu().numpy()

        with self._opened(layers), self.pieces.tapping() as (piece, seen), tap_outputs(self.module, layers, keep):
            yield seen

    @contextmanager
    def edit(self, layer: str, fn: Callable[[Array], Array]) -> Iterator[None]:
        def on_tensor(output: Tensor) -> Tensor:
            if self._surveying:
                return output
            return self._known[layer].edited(output, of_piece, self._mask)

        with (
            self._opened([layer]),
            self.pieces.editing(layer, fn) as of_piece,
            edit_outputs(self.module, layer, on_tensor),
        ):
            yield

    def gradient(
        self, inputs: Mapping[str, Array], layer: str, shift: Array | None = None
    ) -> tuple[NDArray[np.float64], Array]:
        refuse_unnamed(inputs)
        self._learn(inputs, [layer])

        def of_piece(piece: Mapping[str, Array], index: Index) -> tuple[Tensor, Tensor]:
            return self._gradient(piece, layer, None if shift is None else shift[index])

        parts = self.pieces.passed(inputs, of_piece)
        score, gradient = (joined([(both[i], kept) for both, kept in parts]) for i in (0, 1))
        return score.double().cpu().numpy(), gradient.float().cpu().numpy()

    def _gradient(self, inputs: Mapping[str, Array], layer: str, shift: Array | None) -> tuple[Tensor, Tensor]:
        known = self._known[layer]
        step: Tensor | None = None

        def on_tensor(output: Tensor) -> Tensor:
            nonlocal step
            step = output.new_zeros((output.shape[known.rows], known.units))
            if shift is not None:
                refuse_other_shape(layer, torch.as_tensor(shift).to(step), step)
                step = torch.as_tensor(shift).to(step)
            torch.set_grad_enabled(True)  # from here on: what comes before the layer needs no graph
            step.requires_grad_()
            return known.moved(output.detach(), step, self._mask)

        # cuDNN has no derivative of recurrent layers in eval mode
        without_cudnn = torch.backends.cudnn.flags(enabled=False)
        edited = edit_outputs(self.module, layer, on_tensor)
        with torch.inference_mode(False), torch.enable_grad(), without_cudnn, self._masked(inputs), edited:
            score = self._score(logits_of(self._run(inputs)))
            if step is None or not score.requires_grad:
                raise ConfigError(f"no gradient of the score by layer {layer!r} can be had; the network cuts it.")
            (gradient,) = torch.autograd.grad(score.sum(), step, allow_unused=True, materialize_grads=True)
        return score.detach(), gradient

    @contextmanager
    def _masked(self, inputs: Mapping[str, Array]) -> Iterator[None]:
        """While open, tokens that do not count are known."""
        mask = inputs.get(self.token_mask)
        self._mask = None if mask is None else torch.as_tensor(np.asarray(mask) != 0, device=self._device)
        try:
            yield
        finally:
            self._mask = None

    @contextmanager
    def _opened(self, names: Sequence[str]) -> Iterator[None]:
        """While open, the units of these layers are found out before a pass."""
        for name in names:
            find_layer(self.module, Place.parse(name).module)
        before = self._open
        self._open = [*before, *names]
        try:
            yield
        finally:
            self._open = before

    def _learn(self, inputs: Mapping[str, Array], names: Sequence[str]) -> tuple[Layer, ...]:
        unknown = [name for name in names if name not in self._known]
        if unknown:
            places = [Place.parse(name) for name in unknown]
            survey = self._surveyed(inputs, [place.module for place in places])
            self._known |= {name: survey.layer(place) for name, place in zip(unknown, places, strict=True)}
        return tuple(self._known[name] for name in names)

    def _surveyed(self, inputs: Mapping[str, Array], modules: Sequence[str]) -> Survey:
        self._surveying = True
        try:
            fixed = self.pieces.size

            def run(rows: int) -> Tensor:
                return logits_of(self._run(_rows(inputs, fixed or rows)))

            return Survey(self.module, modules, run, self._axes, fixed)
        finally:
            self._surveying = False

    def _run(self, inputs: Mapping[str, Array]) -> object:
        weights = (p.dtype for p in self.module.parameters() if p.is_floating_point())
        dtype = next(weights, torch.float32)
        given = {name: torch.tensor(values, device=self._device) for name, values in inputs.items()}
        given = {name: values.to(dtype) if values.is_floating_point() else values for name, values in given.items()}
        with evaluation_state(self.module), torch.autocast(self._device.type, enabled=False):
            try:
                output: object = called(self.module, given)
            except RuntimeError as error:
                if self._exported and "shape[0]" in str(error):
                    raise ConfigError(
                        "the graph was exported for batches of another size; export it with `dynamic_shapes`."
                    ) from error
                raise
        return output

    def _score(self, logits: Tensor) -> Tensor:
        if logits.ndim == 2 and logits.shape[1] == 1:
            logits = logits[:, 0]
        if logits.ndim == 1 and self.favourable is not None:
            raise InputError(f"the network must return one logit a row, got an output of shape {tuple(logits.shape)}.")
        if logits.ndim == 2 and isinstance(self.module, TwoHeadNet):
            raise InputError("the network returns two logits a row; merge its heads first (fairheads.twoheads).")
        outcome = self.outcome or Outcome("logit", self.favourable)
        score = outcome.score(logits)
        self.clipped = outcome.clipped(logits)
        return score


def _rows(inputs: Mapping[str, Array], n: int) -> dict[str, Array]:
    """The first n rows, over again where there are fewer."""
    return {name: values[np.resize(np.arange(len(values)), n)] for name, values in inputs.items()}


def _module_of(module: nn.Module | ExportedProgram) -> nn.Module:
    """The module itself, or the modules of an exported graph; refuses what cannot be looked into."""
    if isinstance(module, ExportedProgram):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own about its own
            return torch.export.unflatten(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise ConfigError("a TorchScript module cannot be looked into; pass the original nn.Module.")
    name = type(module).__name__
    if name == "OptimizedModule":
        raise ConfigError("a compiled module does not show its layers; pass the module that was compiled.")
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise ConfigError(f"a {name} runs copies of the network; pass its `module`.")
    if name == "FullyShardedDataParallel" or any(type(p).__name__ == "DTensor" for p in module.parameters()):
        raise ConfigError("the weights are spread over processes; gather them and pass the whole network.")
    if any(weights.is_inference() for weights in (*module.parameters(), *module.buffers())):
        raise ConfigError(
            "the network was made under torch.inference_mode(), and has no gradients; pass copy.deepcopy(net), made"
            " outside it."
        )
    if isinstance(module, torch.fx.GraphModule) and "eval" in vars(module):
        raise ConfigError("the module of an exported graph does not show its layers; pass the ExportedProgram itself.")
    return module


def as_network(
    model: Network | nn.Module | ExportedProgram, *, layers: Sequence[str] | None = None, like: Network | None = None
) -> Network:
    """``model`` itself if it is a `Network`, a torch module as a `TorchNetwork` with the settings of ``like``."""
    if isinstance(model, nn.Module | ExportedProgram):
        return like.twin(model, layers) if isinstance(like, TorchNetwork) else TorchNetwork(model, layers=layers)
    if isinstance(model, Network):
        return model
    raise ConfigError(f"`model` must be an nn.Module or a Network, got {type(model).__name__}.")
