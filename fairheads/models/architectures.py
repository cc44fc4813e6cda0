"""Architectures as plain data: what a bundle writes of a network, and how that is built again, vetted before."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP, ResNet, Transformer, TwoHeadNet

ARCHITECTURES: Mapping[str, type[nn.Module]] = {"mlp": MLP, "resnet": ResNet, "transformer": Transformer}
"""Networks that are written as their name here and their ``config``, and built again from these and a seed."""

USUAL_HEADS: Mapping[str, Any] = {"n_groups": 2, "separate": False, "favourable": 1}
"""What a two-headed architecture has where its record does not say."""


def architecture_of(net: nn.Module) -> dict[str, Any]:
    """The network without its weights: a name of `ARCHITECTURES` and its config; of a `TwoHeadNet` that of its net."""
    if isinstance(net, TwoHeadNet):
        inner = net.net
        if type(inner) not in ARCHITECTURES.values() or net.layer != "head":
            raise ConfigError(f"a bundle holds a TwoHeadNet of {_known()}, got one of {type(inner).__name__}.")
        settings = {"n_groups": net.n_groups, "separate": net.separate, "favourable": net.favourable}
        written = {name: value for name, value in settings.items() if value != USUAL_HEADS[name]}
        return {"kind": "two_head", "of": architecture_of(inner), **written}
    for kind, architecture in ARCHITECTURES.items():
        if type(net) is architecture:
            return {"kind": kind, **_config(net)}
    raise ConfigError(f"a bundle holds {_known()}, or a TwoHeadNet of one, got {type(net).__name__}.")


def _known() -> str:
    *first, last = (f"an {net.__name__}" if net is MLP else f"a {net.__name__}" for net in ARCHITECTURES.values())
    return f"{', '.join(first)} or {last}"


def _config(net: nn.Module) -> dict[str, Any]:
    config: Any = net.config
    return dict(config)


def filled(plain: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with its weights; one that the weights do not fit is refused before it takes any memory."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that weights cannot be put into a network without memory
        _build(plain, len(weights)).load_state_dict(weights)
    net = _build(plain, len(weights))
    net.load_state_dict(weights)
    return net


def _build(plain: Mapping[str, Any], tensors: int) -> nn.Module:
    kind, options = plain["kind"], {key: value for key, value in plain.items() if key != "kind"}
    if kind == "two_head":
        inner = options.pop("of")
        if inner["kind"] == "two_head" or not options.keys() <= USUAL_HEADS.keys():
            raise InputError(f"two heads have {', '.join(USUAL_HEADS)} and a network without")
        return TwoHeadNet(_build(inner, tensors), **{**USUAL_HEADS, **options})
    if kind not in ARCHITECTURES:
        raise InputError(f"unknown architecture {kind!r}")
    usual = {name: option.default for name, option in signature(ARCHITECTURES[kind]).parameters.items()}
    for name, value in options.items():
        if name == "seed" or name not in usual or not _like(value, usual[name]):
            raise InputError(f"{name!r} is no option of {kind!r}, or not of this kind")
    stages = max([len(value) for value in options.values() if isinstance(value, list)], default=1)
    if stages * options.get("depth", 1) > tensors:  # else it would be built for hours, to be refused then
        raise InputError(f"it has more layers than the weights have tensors ({tensors})")
    return ARCHITECTURES[kind](**options)


def _like(value: object, usual: object) -> bool:
    """Whether an option is a size, or sizes, or what a default that is neither is."""
    if isinstance(usual, tuple):
        return isinstance(value, list) and all(_like(size, 1) for size in value)
    if isinstance(usual, bool | str):
        return type(value) is type(usual)
    return type(value) is int and 0 < value < 2**31
