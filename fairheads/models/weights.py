"""Plain weights (safetensors, npz, checkpoints of tensors), and the user's own code that builds their network."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from fairheads.errors import ConfigError, FairheadsWarning, InputError, UnsafeModelError, first_line
from fairheads.models.archives import without_root
from fairheads.models.named import failing_in_one_line, function_named
from fairheads.models.pickles import scan

SAFE = "save its weights with `safetensors.torch.save_file(net.state_dict(), 'net.safetensors')` and pass a factory"

INSIDE = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which checkpoints of a training hold the weights."""


def from_safetensors(content: bytes, *, what: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises
    ------
    UnsafeModelError
        If it is truncated or damaged.
    """
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
        line = first_line(error)
        raise UnsafeModelError(f"{what} is no safetensors file, or damaged ({line[:120]}); get it again.") from error


def from_npz(members: Mapping[str, bytes], *, what: str) -> dict[str, Tensor]:
    """The arrays of an ``.npz`` file of these members, as tensors.

    Raises
    ------
    UnsafeModelError
        If it is damaged, or an array in it is one of Python objects.
    """
    made: dict[str, Tensor] = {}
    for name, member in members.items():
        try:
            array = np.load(io.BytesIO(member), allow_pickle=False)
            made[name.removesuffix(".npy")] = torch.tensor(array)
        except Exception as error:  # numpy parses the header as Python: even its tokenizer may complain
            line = first_line(error)
            raise UnsafeModelError(
                f"{what} holds {name[:60]!r}, no plain array ({line[:100]}); save numbers."
            ) from error
    return made


def from_checkpoint(content: bytes, archive: Mapping[str, bytes], *, what: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of torch.save, read by torch with ``weights_only``.

    Raises
    ------
    UnsafeModelError
        If it holds anything else, or is damaged.
    """
    members = without_root(archive, what=what)
    found = scan(members.get("data.pkl", b""))
    try:
        held: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on files that are no checkpoints
        raise UnsafeModelError(f"{what} is {found.words()}, not weights alone; {SAFE}.") from error
    for key in INSIDE:
        if isinstance(held, Mapping) and isinstance(held.get(key), Mapping):
            held = held[key]
            break
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise UnsafeModelError(f"{what} holds no weights by name (a state dict); {SAFE}.")
    return {str(name): value for name, value in held.items()}


def built(factory: str, weights: Mapping[str, Tensor], *, what: str) -> nn.Module:
    """The network that the user's own function ``pkg.mod:function`` builds, with these weights.

    A function without parameters returns the network, and the weights are put into it by name; one with a parameter
    gets them as a dictionary and returns the finished network. Modules are looked for as Python does, then in the
    current folder.

    Raises
    ------
    ConfigError
        If there is no such function, it fails or returns no module.
    InputError
        If the weights do not fit.

    Warns
    -----
    FairheadsWarning
        That this function was run: unlike a model file, it is code.
    """
    function = function_named(factory, "factory")
    warnings.warn(f"ran {factory!r}, code of your own, to build the network of {what}.", FairheadsWarning, stacklevel=2)
    takes = _takes_weights(factory, function)
    with failing_in_one_line(factory, "factory", what):
        net = function(dict(weights)) if takes else function()
    if not isinstance(net, nn.Module):
        raise ConfigError(f"`factory` {factory!r} must return an nn.Module, got {type(net).__name__}.")
    if not takes:
        try:
            net.load_state_dict(dict(weights))
        except RuntimeError as error:
            line = " ".join(" ".join(str(error).split()).split(": ", 1)[-1:])
            raise InputError(f"the weights of {what} do not fit the network of {factory!r}: {line[:200]}") from error
    return net.eval()


def _takes_weights(factory: str, function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    open_ones = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(open_ones) > 1 or any(p.kind is p.KEYWORD_ONLY for p in open_ones):
        raise ConfigError(f"`factory` {factory!r} must take nothing, or the weights alone.")
    return len(open_ones) == 1
