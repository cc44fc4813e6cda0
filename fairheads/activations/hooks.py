"""Forward hooks with an owner: names resolved first, registered inside the guard, removed on every exit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fairheads.activations.layers import refuse_other_shape
from fairheads.activations.places import Place, find_layer, replaced
from fairheads.errors import InputError


@contextmanager
def _hooked(module: nn.Module, place: Place, act: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """While open, ``act`` gets the tensor at a place, once a pass; what it returns, if anything, takes its place.

    A module that is used several times has several outputs: keeping the last or editing all would be a wrong number.
    Which one is meant must be said.
    """
    layer = find_layer(module, place.module)
    calls = 0

    def new_pass(_module: nn.Module, _inputs: object) -> None:
        nonlocal calls
        calls = 0

    def hook(_module: nn.Module, _inputs: object, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if place.call is None and calls > 1:
            raise InputError(
                f"layer {str(place)!r} is called more than once a pass; say which call is meant"
                f" ('{place.module}#1', '{place.module}#2', ...), or name other layers with `layers`."
            )
        if place.call not in (None, calls):
            return None
        path, tensor = place.pick(output)
        after = act(tensor)
        return None if after is None else replaced(output, path, after)

    def passed(_module: nn.Module, _inputs: object, _output: object) -> None:
        if calls < (place.call or 1):
            times = "never" if calls == 0 else f"{calls} times"
            raise InputError(f"layer {place.module!r} is called {times} in a pass; there is no {str(place)!r} to see.")

    with ExitStack() as handles:
        handles.callback(module.register_forward_pre_hook(new_pass).remove)
        handles.callback(layer.register_forward_hook(hook).remove)
        handles.callback(module.register_forward_hook(passed).remove)
        yield


@contextmanager
def tap_outputs(
    module: nn.Module, names: Sequence[str], keep: Callable[[str, Tensor], None], *, live: bool = False
) -> Iterator[None]:
    """While open, every forward pass calls ``keep(name, copy of the output)`` for each named layer.

    The copy is cut from the graph, unless ``live``: then a loss on it reaches the network. Names are those of
    `fairheads.activations.Place`.
    """
    places = [(name, Place.parse(name)) for name in names]
    for _, place in places:
        find_layer(module, place.module)

    def keeping(name: str) -> Callable[[Tensor], None]:
        return lambda output: keep(name, (output if live else output.detach()).clone())

    with ExitStack() as taps:
        for name, place in places:
            taps.enter_context(_hooked(module, place, keeping(name)))
        yield


@contextmanager
def edit_outputs(module: nn.Module, name: str, fn: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While open, every forward pass goes on from ``fn(output)`` of the named layer instead of its output.

    ``fn`` gets a copy and must return a tensor of the same shape and type.
    """
    place = Place.parse(name)

    def edited(before: Tensor) -> Tensor:
        after = fn(before.clone())
        refuse_other_shape(name, after, before)
        return after

    with _hooked(module, place, edited):
        yield


@contextmanager
def evaluation_state(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; on exit every module's training flag and the random state are as before.

    Torch's fused attention is off: it is left as soon as a hook is there, and its numbers differ in the last bits.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    flags = [(part, part.training) for part in module.modules()]
    devices = {p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)), torch.no_grad():
        if any(flag for _, flag in flags):
            module.eval()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for part, flag in flags:
                if part.training != flag:  # setting an attribute of a module costs more than looking
                    part.training = flag
