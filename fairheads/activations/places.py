"""Where an activation is taken: a module, which of its calls in a pass, and which part of what it returns."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from fairheads.errors import ConfigError, InputError, LayerNotFoundError

Path = tuple[int | str, ...]
"""Keys that lead from an output to one of its tensors."""

_NAME = re.compile(r"(?P<module>[^#\[\]]*)(?:#(?P<call>[1-9]\d*))?(?P<path>(?:\[[^\[\]]+\])*)")


@dataclass(frozen=True)
class Place:
    """A place in a network where activations are seen and edited.

    Written ``module``, with ``#2`` behind it for the second call of a module that a pass calls several times, and
    ``[key]`` for a part of an output that is a tuple, a dict or a dataclass: ``encoder.layer.3``, ``relu#2``,
    ``lstm[1][0]``, ``encoder[last_hidden_state]``.

    Attributes
    ----------
    module : str
        Torch's dotted path.
    call : int, optional
        From 1; without it the module is called once a pass.
    path : tuple of int and str
        Without keys it is the first tensor of floats in the output.
    """

    module: str
    call: int | None = None
    path: Path = ()

    def __str__(self) -> str:
        call = "" if self.call is None else f"#{self.call}"
        return f"{self.module}{call}" + "".join(f"[{key}]" for key in self.path)

    @classmethod
    def parse(cls, name: str) -> Place:
        """The place that a name stands for.

        Raises
        ------
        ConfigError
            If it is no such name.

        Examples
        --------
        >>> Place.parse("decoder.lstm#2[1][0]")
        Place(module='decoder.lstm', call=2, path=(1, 0))
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ConfigError(f"a layer must be named like 'encoder.0', 'relu#2' or 'lstm[0]', got {name!r}.")
        keys = re.findall(r"\[([^\[\]]+)\]", found["path"])
        path = tuple(int(key) if key.isdigit() else key for key in keys)
        return cls(found["module"], None if found["call"] is None else int(found["call"]), path)

    def pick(self, output: object) -> tuple[Path, Tensor]:
        """The tensor of floats at this place, and the keys that lead to it.

        Raises
        ------
        InputError
            If there is none.
        """
        floats = dict(float_tensors(output))
        path = self.path or next(iter(floats), ())
        if path not in floats:
            kinds = ", ".join("".join(f"[{key}]" for key in keys) for keys in floats if keys)
            what = f"{type(output).__name__}, with floats at {kinds}" if kinds else type(output).__name__
            raise InputError(f"layer {str(self)!r} returns {what}, not a tensor of floats; choose another layer.")
        return path, floats[path]


def find_layer(module: nn.Module, name: str) -> nn.Module:
    """The submodule at torch's dotted path ``name``.

    Raises
    ------
    LayerNotFoundError
        If there is none; the message lists the layers there are, the nearest names first.
    """
    layers: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    layers.pop("", None)
    if name in layers:
        return layers[name]
    near = get_close_matches(name, layers, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(list(layers)[:20]) + (", ..." if len(layers) > 20 else "")
    raise LayerNotFoundError(f"the network has no layer {name!r}.{hint} It has: {shown}.")


def float_tensors(output: object, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Every tensor of floats in an output, with the keys that lead to it, in order."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield path, output
        return
    for key, value in _parts(output):
        yield from float_tensors(value, (*path, key))


def _parts(output: object) -> Iterator[tuple[int | str, Any]]:
    if isinstance(output, Mapping):
        yield from ((str(key), value) for key, value in output.items())
    elif isinstance(output, tuple | list):
        yield from enumerate(output)
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        yield from ((field.name, getattr(output, field.name)) for field in dataclasses.fields(output))


def replaced(output: Any, path: Path, new: Tensor) -> Any:
    """The same output with another tensor at ``path``; what the network returned stays as it was."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(output, Mapping):
        other: Any = copy.copy(output)
        own = next(each for each in output if str(each) == str(key))
        other[own] = replaced(output[own], rest, new)
        return other
    if isinstance(output, tuple | list):
        items = [replaced(item, rest, new) if i == key else item for i, item in enumerate(output)]
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    return dataclasses.replace(output, **{str(key): replaced(getattr(output, str(key)), rest, new)})
