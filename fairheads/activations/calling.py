"""How inputs with names are handed to a network: by name where its ``forward`` has these names, else in their order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from inspect import Parameter
from typing import Any

from torch import Tensor, nn
from torch.export import UnflattenedModule

from fairheads.activations.exports import names_of
from fairheads.errors import InputError
from fairheads.nets import TwoHeadNet
from fairheads.nets.heads import WithHead

_IN_ORDER = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_WRAPPERS = (
    (TwoHeadNet, "net"),
    (WithHead, "backbone"),
    (nn.DataParallel, "module"),
    (nn.parallel.DistributedDataParallel, "module"),
    (nn.Module, "_orig_mod"),  # compiled
)


def called(module: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """What a network returns for inputs with names.

    They go by name where all of them are parameters of ``forward`` and it needs no others, so that nothing hangs on the
    order in which they are given; else in their order. Of an exported graph the parameters are those of the module that
    was exported.

    Raises
    ------
    InputError
        If ``forward`` does not take so many.
    """
    speaking = _speaking(module)
    if isinstance(speaking, UnflattenedModule) and (names := names_of(speaking)) is not None:
        places, keywords = names
        given = _by_places(inputs, (*places, *keywords))
        return module(*given[: len(places)], **dict(zip(keywords, given[len(places) :], strict=True)))
    method = getattr(speaking.forward, "__func__", None)
    by_name = method is not None and _by_name(method, tuple(inputs))
    return module(**inputs) if by_name else module(*inputs.values())


def refuse_unnamed(inputs: object) -> None:
    """Refuse inputs that have no names.

    Raises
    ------
    InputError
    """
    if not isinstance(inputs, Mapping):
        kind = type(inputs).__name__
        way = "pass its `inputs`" if isinstance(getattr(inputs, "inputs", None), Mapping) else "write {'x': X}"
        raise InputError(f"`inputs` must be a mapping of names to arrays, got {kind}; {way}.")


def _speaking(module: nn.Module) -> nn.Module:
    """The module whose ``forward`` says what a network takes: wrappers take anything."""
    for kind, name in _WRAPPERS:
        if isinstance(module, kind) and (inner := module._modules.get(name)) is not None:
            return _speaking(inner)
    return module


def _by_places(inputs: Mapping[str, Tensor], names: tuple[str, ...]) -> list[Tensor]:
    """The inputs in the order of these names, if they have them, else in their own."""
    if set(inputs) == set(names):
        return [inputs[name] for name in names]
    if len(inputs) != len(names):
        raise InputError(
            f"the exported graph takes ({', '.join(names)}), but the inputs of the data are ({', '.join(inputs)}); give"
            " them these names, or export it with these inputs alone."
        )
    return list(inputs.values())


@lru_cache(maxsize=256)
def _by_name(forward: Callable[..., Any], names: tuple[str, ...]) -> bool:
    """Whether a method is called by these names; where they are its first parameters it is not, for it is the same."""
    own, *parameters = inspect.signature(forward).parameters.values()
    parameters = [own, *parameters] if own.kind is Parameter.VAR_POSITIONAL else parameters
    places = [each.name for each in parameters if each.kind in _IN_ORDER]
    needed = [each for each in parameters if each.default is Parameter.empty and each.kind in (*_IN_ORDER, *_NAMED)]
    if set(names) >= {each.name for each in needed}:
        if tuple(places[: len(names)]) == names:
            return False
        if set(names) <= {each.name for each in parameters if each.kind in _NAMED}:
            return True
    too_many = len(names) > len(places) and not any(each.kind is Parameter.VAR_POSITIONAL for each in parameters)
    if too_many or len(needed) > len(names) or any(each.kind not in _IN_ORDER for each in needed):
        given, takes = ", ".join(names), ", ".join(each.name for each in parameters)
        raise InputError(
            f"the network's forward takes ({takes}), but the inputs of the data are ({given}); give them these names,"
            f" or wrap the network in a module whose forward({given}) calls it."
        )
    return False
