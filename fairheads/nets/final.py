"""Which layer of a network is its head: the linear layer whose output is the network's."""

from __future__ import annotations

from difflib import get_close_matches

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from fairheads.errors import ConfigError, InputError, LayerNotFoundError

SAME = (nn.Identity, nn.Dropout, nn.Flatten)
"""Layers that may follow the head: in eval mode they leave logits (n, outputs) as they are."""


def final_linear(net: nn.Module, name: str | None = None) -> str:
    """The dotted name of the linear layer that gives the logits of ``net``.

    Parameters
    ----------
    name : str, optional
        The layer, where it is known. Else it is ``head``, if ``net`` has a linear layer of that name, or the linear
        layer that was registered last; whether its output is that of the network only a forward pass can tell.

    Raises
    ------
    LayerNotFoundError
        If the named layer does not exist; lists the linear layers there are.
    ConfigError
        If it is not a linear layer with weights in floating point, or there is none, or a Sequential ends in another
        layer.

    Examples
    --------
    >>> final_linear(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)))
    '2'
    """
    linear = linear_layers(net)
    if name is None:
        if not linear:
            raise ConfigError(f"`net` must end in a linear layer, but {type(net).__name__} has none.")
        name = "head" if "head" in linear else list(linear)[-1]
        _refuse_more_layers(net, name)
    layers = dict(net.named_modules(remove_duplicate=False))
    if not name or name not in layers:
        near = get_close_matches(name, layers, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise LayerNotFoundError(f"the network has no layer {name!r}.{hint} Its linear layers are: {_listed(linear)}.")
    layer = layers[name]
    if not isinstance(layer, nn.Linear):
        raise ConfigError(
            f"`layer` must be a linear layer (torch.nn.Linear), but {name!r} is a {type(layer).__name__}; the linear"
            f" layers are: {_listed(linear)}."
        )
    if isinstance(layer.weight, UninitializedParameter) or not layer.weight.is_floating_point():
        raise ConfigError(f"layer {name!r} must have weights in floating point; quantised or lazy ones do not do.")
    return name


def linear_layers(net: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of a network by their dotted names, in the order in which they were registered."""
    return {name: layer for name, layer in net.named_modules() if name and isinstance(layer, nn.Linear)}


def replace_layer(net: nn.Module, name: str, new: nn.Module) -> None:
    """Put ``new`` where the layer ``name`` stands in ``net``, under every name that the layer has."""
    old = net.get_submodule(name)
    for parent in list(net.modules()):
        for own, child in list(parent._modules.items()):  # named_children() leaves second names out
            if child is old:
                setattr(parent, own, new)


def logits_of(output: object) -> Tensor:
    """The logits in what a network returns: a tensor, or the ``logits`` of what a transformer returns.

    Raises
    ------
    InputError
        If there are none.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if logits is None and isinstance(output, dict):
        logits = output.get("logits")
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise InputError(
            f"the network must return logits, or an output with `logits`, got {type(output).__name__}; wrap it in a"
            " module that does."
        )
    return logits


def refuse_other_output(
    name: str, net: nn.Module, heads: list[Tensor], output: Tensor | None, *, because: Exception | None = None
) -> None:
    """Refuse a layer that was not called once, or whose output ``heads`` is not what the network returns.

    Without an ``output`` the network failed after the layer was called, ``because`` of an error.
    """
    if len(heads) != 1:
        times = "never" if not heads else f"{len(heads)} times"
        what = f"the layer {name!r} is called {times} in a forward pass, where the head is called once"
    elif output is None or not _same(output.detach(), heads[0]):
        what = f"the output of the network is not that of its layer {name!r}"
    elif output.ndim > 2:
        what = f"the network must return logits (n, outputs), got shape {tuple(output.shape)}"
    else:
        return
    raise ConfigError(
        f"{what}. Name the final linear layer with `layer`; the linear layers are: {_listed(linear_layers(net))}."
        " A network that goes on after its last linear layer (sigmoid, softmax, scaling) must return the logits"
        " instead: only those of one linear layer can be merged."
    ) from because


def position_of(logits: Tensor, heads: Tensor) -> Tensor | None:
    """The position (n,) of a sequence at which the head gave what the network returns, None where it never did.

    Parameters
    ----------
    logits : Tensor (n, outputs)
        What a network returns that looks at one position of every row, such as the last token.
    heads : Tensor (n, positions, outputs)
        What its head gave.
    """
    alike = (heads == logits[:, None]).all(-1)
    return alike.int().argmax(1) if bool(alike.any(1).all()) else None


def _same(output: Tensor, logits: Tensor) -> bool:
    """Whether these are the same numbers, in whatever shape, or those of one position a row."""
    if output.ndim == 2 and logits.ndim == 3 and output.shape == (len(logits), logits.shape[2]):
        return position_of(output, logits) is not None
    if output.numel() != logits.numel():
        return False
    output = output.reshape(logits.shape)
    return bool(((output == logits) | (output.isnan() & logits.isnan())).all())


def _refuse_more_layers(net: nn.Module, name: str) -> None:
    """Refuse a Sequential that ends in a layer that changes logits: that much is known without running it."""
    last: nn.Module = net
    while isinstance(last, nn.Sequential):
        rest = [part for part in last if not isinstance(part, SAME)]
        if not rest:
            return
        last = rest[-1]
    if last is net or isinstance(last, nn.Linear) or any(True for _ in last.children()):
        return
    raise ConfigError(
        f"`net` must end in a linear layer, but after its last one, {name!r}, comes {last}: leave it out, so that the"
        " network returns logits."
    )


def _listed(linear: dict[str, nn.Linear]) -> str:
    names = [f"{name} ({layer.in_features} -> {layer.out_features})" for name, layer in linear.items()]
    if not names:
        return "none"
    return (f"{len(names) - 12} others, ..., " if len(names) > 12 else "") + ", ".join(names[-12:])
