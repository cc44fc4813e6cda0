"""What an audit needs of a network, whatever it is made of, and the torch module that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.activations.devices import device_of
from fairheads.activations.hooks import edit_outputs, evaluation_state, find_layer, tap_outputs
from fairheads.errors import ConfigError, InputError

Array = NDArray[Any]

_NONLINEARITIES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Hardswish,
    nn.Softplus,
)


@runtime_checkable
class Network(Protocol):
    """A network that can be run, looked into and edited. Arrays in, arrays out, whatever the backend."""

    gradients: bool
    """Whether gradients can be had."""

    def layers(self) -> tuple[str, ...]:
        """Names of the layers an audit looks at by default, input side first."""
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


class TorchNetwork:
    """A torch module as a `Network`: eval mode, no gradients kept, and nothing left behind after a call.

    Parameters
    ----------
    module : nn.Module
        Takes the inputs in order and returns one logit a row, shape (n,) or (n, 1).
    layers : sequence of str, optional
        Dotted paths of the layers to look at. By default the outputs of the activation functions (ReLU, GELU,
        Tanh ...) that are used as modules, else of every linear layer but the last. A network without hidden
        layers has none, and no pathway to test.

    Raises
    ------
    LayerNotFoundError
        If a named layer does not exist.
    ConfigError
        If the module is TorchScript, which cannot be looked into.

    Examples
    --------
    >>> from fairheads.nets import MLP
    >>> TorchNetwork(MLP(4, hidden=(8, 8))).layers()
    ('backbone.1', 'backbone.3')
    """

    gradients = True

    def __init__(self, module: nn.Module, *, layers: Sequence[str] | None = None) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise ConfigError("a TorchScript module cannot be looked into; pass the original nn.Module.")
        self.module = module
        names = _default_layers(module) if layers is None else tuple(layers)
        for name in names:
            find_layer(module, name)
        self._layers = names
        self._device = device_of(module)

    def layers(self) -> tuple[str, ...]:
        return self._layers

    def forward(self, inputs: Mapping[str, Array]) -> NDArray[np.float64]:
        with evaluation_state(self.module):
            output = self.module(*[torch.tensor(values, device=self._device) for values in inputs.values()])
        if not isinstance(output, Tensor):
            raise InputError(f"the network must return one logit a row, got {type(output).__name__}.")
        if output.ndim == 2 and output.shape[1] == 2:
            raise InputError("the network returns two logits a row; merge its heads first (fairheads.twoheads).")
        if output.ndim == 2 and output.shape[1] == 1:
            output = output[:, 0]
        if output.ndim != 1:
            raise InputError(f"the network must return one logit a row, got an output of shape {tuple(output.shape)}.")
        return output.double().cpu().numpy()

    @contextmanager
    def tap(self, layers: Sequence[str]) -> Iterator[dict[str, Array]]:
        seen: dict[str, Array] = {}
        with tap_outputs(self.module, layers, lambda name, output: seen.update({name: _units(name, output)})):
            yield seen

    @contextmanager
    def edit(self, layer: str, fn: Callable[[Array], Array]) -> Iterator[None]:
        def on_tensor(output: Tensor) -> Tensor:
            after = fn(_units(layer, output))
            return torch.as_tensor(after).to(output.device) if isinstance(after, np.ndarray) else after

        with edit_outputs(self.module, layer, on_tensor):
            yield


def _units(name: str, output: Tensor) -> Array:
    if output.ndim != 2:
        raise InputError(f"layer {name!r} must give (rows, units), got {tuple(output.shape)}.")
    array: Array = output.cpu().numpy()
    return array


def _default_layers(module: nn.Module) -> tuple[str, ...]:
    named = [(name, part) for name, part in module.named_modules() if name]
    active = tuple(name for name, part in named if isinstance(part, _NONLINEARITIES))
    return active or tuple(name for name, part in named if isinstance(part, nn.Linear))[:-1]


def as_network(model: Network | nn.Module, *, layers: Sequence[str] | None = None) -> Network:
    """``model`` itself if it is a `Network`, a torch module as a `TorchNetwork`."""
    if isinstance(model, nn.Module):
        return TorchNetwork(model, layers=layers)
    if isinstance(model, Network):
        return model
    raise ConfigError(f"`model` must be an nn.Module or a Network, got {type(model).__name__}.")
