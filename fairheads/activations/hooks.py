"""Forward hooks with an owner: names resolved first, registered inside the guard, removed on every exit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from fairheads.errors import InputError, LayerNotFoundError


def find_layer(module: nn.Module, name: str) -> nn.Module:
    """The submodule at torch's dotted path ``name``.

    Raises
    ------
    LayerNotFoundError
        If there is none; the message lists the layers there are, the nearest names first.
    """
    layers: dict[str, nn.Module] = dict(module.named_modules())
    layers.pop("", None)
    if name in layers:
        return layers[name]
    near = get_close_matches(name, layers, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(list(layers)[:20]) + (", ..." if len(layers) > 20 else "")
    raise LayerNotFoundError(f"the network has no layer {name!r}.{hint} It has: {shown}.")


def _tensor(name: str, output: object) -> Tensor:
    if not isinstance(output, Tensor) or not output.is_floating_point():
        raise InputError(
            f"layer {name!r} returns {type(output).__name__}, not a tensor of floats; choose another layer."
        )
    return output


class _OncePerPass:
    """Counts the calls of a layer in a forward pass of the whole network, and refuses a second one.

    A module that is used twice has two outputs: keeping the last or editing both would be a wrong number.
    """

    def __init__(self, name: str) -> None:
        self.name, self.calls = name, 0

    def new_pass(self, _module: nn.Module, _inputs: object) -> None:
        self.calls = 0

    def called(self) -> None:
        self.calls += 1
        if self.calls > 1:
            raise InputError(
                f"layer {self.name!r} is called more than once a pass; give each use a module of its own, or name other"
                " layers (the linear ones) with `layers`."
            )


@contextmanager
def _hooked(module: nn.Module, layer: nn.Module, name: str, act: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """While open, ``act`` gets the output of the layer, once a pass; what it returns, if anything, takes its place."""
    once = _OncePerPass(name)

    def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
        once.called()
        return act(_tensor(name, output))

    with ExitStack() as handles:
        handles.callback(module.register_forward_pre_hook(once.new_pass).remove)
        handles.callback(layer.register_forward_hook(hook).remove)
        yield


@contextmanager
def tap_outputs(
    module: nn.Module, names: Sequence[str], keep: Callable[[str, Tensor], None], *, live: bool = False
) -> Iterator[None]:
    """While open, every forward pass calls ``keep(name, copy of the output)`` for each named layer.

    The copy is cut from the graph, unless ``live``: then a loss on it reaches the network. A layer that a pass calls
    more than once is refused.
    """
    found = [(name, find_layer(module, name)) for name in names]

    def keeping(name: str) -> Callable[[Tensor], None]:
        return lambda output: keep(name, (output if live else output.detach()).clone())

    with ExitStack() as taps:
        for name, layer in found:
            taps.enter_context(_hooked(module, layer, name, keeping(name)))
        yield


@contextmanager
def edit_outputs(module: nn.Module, name: str, fn: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While open, every forward pass goes on from ``fn(output)`` of the named layer instead of its output.

    ``fn`` gets a copy and must return a tensor of the same shape and type. A layer that a pass calls more than once is
    refused.
    """
    layer = find_layer(module, name)

    def edited(before: Tensor) -> Tensor:
        after = fn(before.clone())
        shape, dtype = getattr(after, "shape", None), getattr(after, "dtype", None)
        if not isinstance(after, Tensor) or shape != before.shape or dtype != before.dtype:
            got = type(after).__name__ if shape is None else f"{tuple(shape)} {dtype}"
            raise InputError(f"an edit of layer {name!r} must return {tuple(before.shape)} {before.dtype}, got {got}.")
        return after

    with _hooked(module, layer, name, edited):
        yield


@contextmanager
def evaluation_state(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; on exit every module's training flag and the random state are as before."""
    flags = [(part, part.training) for part in module.modules()]
    devices = {p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)), torch.no_grad():
        module.eval()
        try:
            yield
        finally:
            for part, flag in flags:
                part.training = flag
