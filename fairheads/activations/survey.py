"""What there is to see in a network: two short passes over it, and the layers an audit looks at by default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fairheads.activations.layers import Layer, is_one_of, kind_of, layer_of, width_of
from fairheads.activations.places import Path, Place, find_layer, float_tensors
from fairheads.errors import InputError

_ACTIVE = (
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
    nn.PReLU,
    nn.Mish,
    nn.CELU,
    nn.GLU,
    nn.RNNBase,
)


_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNCellBase)


def default_modules(module: nn.Module, head: str | None = None) -> tuple[str, ...]:
    """Names of the modules whose outputs an audit looks at by default, in the order of registration.

    Of a network of repeated blocks (a residual network, a transformer) the blocks but the one around the ``head``, by
    default the linear layer that was registered last; else the activation functions and recurrent layers that are
    modules; else the linear and convolutional layers and recurrent cells, among them the one that gives the output,
    which `default_layers` leaves out.
    """
    return _blocks(module, head) or _named(module, _ACTIVE) or _named(module, _WEIGHTED)


def in_functional_style(module: nn.Module) -> bool:
    """Whether no default module is an activation or a block, so that only a pass shows which comes last."""
    return all(is_one_of(find_layer(module, name), _WEIGHTED) for name in default_modules(module))


def _named(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[str, ...]:
    return tuple(name for name, part in module.named_modules() if name and is_one_of(part, kinds))


def linear_modules(module: nn.Module) -> tuple[str, ...]:
    """Names of the linear layers, in the order of registration."""
    return _named(module, (nn.Linear,))


def _blocks(module: nn.Module, head: str | None) -> tuple[str, ...]:
    """Modules with parts and parameters of a class that stands at least twice in lists, outermost first."""
    if head is None:
        head = next(reversed(linear_modules(module)), "")
    found: list[tuple[str, type | str]] = []
    for name, part in module.named_modules():
        for own, child in part.named_children():
            full = f"{name}.{own}" if name else own
            listed = is_one_of(part, (nn.Sequential, nn.ModuleList)) or (hasattr(part, "_ty") and own.isdigit())
            inside = any(full.startswith(f"{block}.") for block, _ in found)
            composite = any(True for _ in child.children()) and any(True for _ in child.parameters())
            around_head = head.startswith(f"{full}.")
            if listed and composite and not (inside or around_head or is_one_of(child, (nn.ModuleList,))):
                found.append((full, kind_of(child)))
    often = Counter(kind for _, kind in found)
    return tuple(name for name, kind in found if often[kind] > 1)


@dataclass(frozen=True)
class _Seen:
    """One call of a module: the shapes of its tensors of floats, and what gave numbers last."""

    module: str
    call: int
    shapes: Mapping[Path, torch.Size]
    hint: tuple[int, bool] | None
    ends: bool = False
    """Whether the network returns it."""


class Survey:
    """The shapes of every call of some modules, from a pass over two rows and one over three.

    Parameters
    ----------
    module : nn.Module
    modules : sequence of str
        Dotted paths.
    run : callable
        Takes a number of rows, runs so many through the module and returns its logits.
    axes : mapping of str to int
        Axes of the units by dotted path, where they are known.
    fixed : int, optional
        Rows that the module takes, whatever ``run`` is asked for: what has so many first has them in place of the rows.
    """

    def __init__(
        self,
        module: nn.Module,
        modules: Sequence[str],
        run: Callable[[int], Tensor],
        axes: Mapping[str, int],
        fixed: int | None = None,
    ) -> None:
        self._axes = axes
        self._two, self._three = (_watched(module, modules, run, rows, fixed) for rows in (2, 3))

    def places(self, modules: Sequence[str]) -> tuple[Place, ...]:
        """Every call of these modules, in the order of the pass."""
        calls = Counter(seen.module for seen in self._two)
        return tuple(
            Place(seen.module, None if calls[seen.module] == 1 else seen.call)
            for seen in self._two
            if seen.module in modules
        )

    def head(self, modules: Sequence[str]) -> Place | None:
        """The call of one of these modules that the logits are taken from; None where they are none's own."""
        return next((place for place in self.places(modules) if self._seen(place, self._two).ends), None)

    def paths(self, place: Place) -> tuple[Path, ...]:
        """Keys of all tensors of floats at a place, whatever its own."""
        return tuple(self._seen(place, self._two).shapes)

    def layer(self, place: Place) -> Layer:
        """The units at a place.

        Raises
        ------
        InputError
            If there is no such call or tensor, or it has no rows or no units.
        """
        two, three = self._seen(place, self._two), self._seen(place, self._three)
        path = place.path or next(iter(two.shapes), ())
        if path not in two.shapes or path not in three.shapes:
            raise InputError(f"layer {str(place)!r} returns no tensor of floats; choose another layer.")
        return layer_of(str(place), two.shapes[path], three.shapes[path], two.hint, self._axes.get(place.module))

    @staticmethod
    def _seen(place: Place, passes: Sequence[_Seen]) -> _Seen:
        calls = [seen for seen in passes if seen.module == place.module]
        number = place.call or 1
        if len(calls) < number:
            times = "never" if not calls else f"{len(calls)} times"
            raise InputError(f"layer {place.module!r} is called {times} in a pass; there is no {str(place)!r} to see.")
        return calls[number - 1]


def _watched(
    module: nn.Module, modules: Sequence[str], run: Callable[[int], Tensor], rows: int, fixed: int | None
) -> list[_Seen]:
    seen: list[_Seen] = []
    made: list[list[Tensor]] = []  # kept while the pass runs, or another tensor would come to lie in their place
    hint: tuple[int, bool] | None = None

    def shaped(shape: torch.Size) -> torch.Size:
        return torch.Size((rows, *shape[1:])) if fixed is not None and shape[:1] == (fixed,) else shape

    def hinting(width: tuple[int, bool]) -> Callable[..., None]:
        def hook(*_args: object) -> None:
            nonlocal hint
            hint = width

        return hook

    def seeing(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            call = 1 + sum(each.module == name for each in seen)
            tensors = dict(float_tensors(output))
            made.append(list(tensors.values()))
            shapes = {path: shaped(tensor.shape) for path, tensor in tensors.items()}
            seen.append(_Seen(name, call, shapes, hint))

        return hook

    with ExitStack() as handles:
        for part in module.modules():
            width = width_of(part)
            if width is not None:
                handles.callback(part.register_forward_hook(hinting(width)).remove)
        for name in dict.fromkeys(modules):
            handles.callback(find_layer(module, name).register_forward_hook(seeing(name)).remove)
        memory = run(rows).untyped_storage().data_ptr()
    return [
        replace(each, ends=any(tensor.untyped_storage().data_ptr() == memory for tensor in tensors))
        for each, tensors in zip(seen, made, strict=True)
    ]


def default_layers(
    survey: Survey, module: nn.Module, modules: Sequence[str], reaches: Callable[[Layer], bool]
) -> tuple[Layer, ...]:
    """The layers at the default modules in the order of a pass: every call of each, of several tensors the first that
    reaches the output.

    Left out are modules that a pass never calls, those that give no units, and layers that change nothing in the output
    while others do; of linear and convolutional layers and recurrent cells the one that gives the output.
    """
    found: list[Layer] = []
    idle: list[Layer] = []
    places = survey.places(modules)
    head = survey.head(modules) or next(reversed(places), None) if in_functional_style(module) else None
    for place in places:
        if place == head:
            continue
        paths = survey.paths(place)
        offered = [place] if len(paths) < 2 else [Place(place.module, place.call, path) for path in paths]
        layers = [layer for each in offered if (layer := _tried(survey, each)) is not None]
        reaching = [layer for layer in layers if reaches(layer)]
        found += reaching[:1]
        idle += layers[:1] if not reaching else []
    return tuple(found or idle)


def _tried(survey: Survey, place: Place) -> Layer | None:
    try:
        return survey.layer(place)
    except InputError:
        return None
