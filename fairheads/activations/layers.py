"""Which axis of a layer's output are its rows and which its units, and how the rest is pooled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.errors import ConfigError, InputError

_CHANNELS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.modules.conv._ConvNd, "out_channels"),
    (nn.modules.batchnorm._NormBase, "num_features"),
    (nn.GroupNorm, "num_channels"),
)
_FEATURES: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.Linear, "out_features"),
    (nn.Embedding, "embedding_dim"),
    (nn.MultiheadAttention, "embed_dim"),
    (nn.LayerNorm, "normalized_shape"),
    (nn.RMSNorm, "normalized_shape"),
)


@dataclass(frozen=True)
class Layer:
    """The units of a place in a network.

    Units are channels of images and features of tokens. An activation is pooled over the positions (pixels, tokens)
    of a row, by their mean; an edit of the pooled value moves all of them alike.

    Attributes
    ----------
    name : str
        As `fairheads.activations.Place` writes it.
    units : int
    shape : tuple of int
        Of one row.
    rows, axis : int
        Axes of the rows and of the units.
    """

    name: str
    units: int
    shape: tuple[int, ...]
    rows: int = 0
    axis: int = 1

    @property
    def positions(self) -> int:
        """Positions a row has; 1 where nothing is pooled."""
        return math.prod(self.shape) // self.units

    def by_position(self, output: Tensor) -> Tensor:
        """The output as (rows, positions, units)."""
        moved = output.movedim((self.rows, self.axis), (0, -1))
        return moved.reshape(len(moved), -1, self.units)

    def pooled(self, output: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean over the positions of a row, (rows, units), in float32 at least.

        ``mask`` (rows, positions) says which positions count; one of another shape is of no position here.

        Raises
        ------
        InputError
            If the output has not the shape that the layer had before.
        """
        if output.ndim != len(self.shape) + 1 or output.shape[self.axis] != self.units:
            raise InputError(f"layer {self.name!r} changed its shape, to {tuple(output.shape)}.")
        values = output if output.dtype == torch.float64 else output.float()
        values = self.by_position(values)
        if values.shape[1] == 1:
            return values[:, 0]
        counted = self._fitting(mask, len(values))
        if counted is None:
            return values.mean(1)
        weight = counted.to(values)[:, :, None]
        return (values * weight).sum(1) / weight.sum(1).clamp(min=1)

    def moved(self, output: Tensor, by: Tensor, mask: Tensor | None = None) -> Tensor:
        """The output with ``by`` (rows, units) added at every position that counts, as `pooled` says."""
        first_last, here = (0, -1), (self.rows, self.axis)
        shape = output.movedim(here, first_last).shape
        step, counted = by.to(output.dtype)[:, None, :], self._fitting(mask, len(by))
        step = step if counted is None else step * counted.to(step)[:, :, None]
        return (self.by_position(output) + step).reshape(shape).movedim(first_last, here)

    def edited(self, output: Tensor, fn: Callable[[NDArray[Any]], NDArray[Any]], mask: Tensor | None = None) -> Tensor:
        """The output with its pooled values (rows, units) replaced by ``fn`` of them; what ``fn`` keeps keeps its bits.

        Raises
        ------
        InputError
            If ``fn`` returns another shape or type than it got.
        """
        before = self.pooled(output, mask)
        values = fn(before.cpu().numpy().copy())
        after = torch.as_tensor(values).to(output.device) if isinstance(values, np.ndarray) else values
        refuse_other_shape(self.name, after, before)
        if output.ndim == 2 and output.dtype == before.dtype:
            return after.reshape(output.shape) if self.rows == 0 else after.T
        return self.moved(output, after - before, mask)

    def _fitting(self, mask: Tensor | None, rows: int) -> Tensor | None:
        """``mask`` where it is one of this layer's positions."""
        return mask if mask is not None and mask.shape == (rows, self.positions) else None


def refuse_other_shape(name: str, after: object, before: Tensor) -> None:
    """Refuse what an edit returned, unless it is a tensor like the one that it got."""
    shape, dtype = getattr(after, "shape", None), getattr(after, "dtype", None)
    if not isinstance(after, Tensor) or shape != before.shape or dtype != before.dtype:
        got = type(after).__name__ if shape is None else f"{tuple(shape)} {dtype}"
        raise InputError(f"an edit of layer {name!r} must return {tuple(before.shape)} {before.dtype}, got {got}.")


def kind_of(module: nn.Module) -> type[nn.Module] | str:
    """The class of a module; of a module in an exported graph that of the one it was made from, or its name."""
    name = getattr(module, "_ty", None)  # torch.export keeps it so
    if not isinstance(name, str):
        return type(module)
    kind = getattr(nn, name.rpartition(".")[2], None) if name.startswith("torch.nn.") else None
    return kind if isinstance(kind, type) else name


def is_one_of(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether a module, or the one that it was exported from, is of one of these classes."""
    kind = kind_of(module)
    return isinstance(kind, type) and issubclass(kind, kinds)


def width_of(module: nn.Module) -> tuple[int, bool] | None:
    """Units that a module gives, and whether they come before the positions; None where it says nothing of it."""
    if isinstance(module, nn.RNNBase):
        return (module.proj_size or module.hidden_size) * (2 if module.bidirectional else 1), False
    for kinds, first in ((_CHANNELS, True), (_FEATURES, False)):
        for kind, name in kinds:
            if is_one_of(module, (kind,)):
                width = getattr(module, name, None)
                width = width[-1] if isinstance(width, tuple) else width
                # What an exported module has left. Of others it may be made anew on each look, and change the module.
                if width is None and isinstance(weight := getattr(module, "weight", None), Tensor):
                    width = weight.shape[1 if kind is nn.Embedding else 0]
                return None if width is None else (int(width), first)
    return None


def layer_of(
    name: str, of_two: torch.Size, of_three: torch.Size, hint: tuple[int, bool] | None, axis: int | None
) -> Layer:
    """The layer whose output has these shapes for two and for three rows.

    ``hint`` is what `width_of` says of the module that last gave numbers before it; ``axis`` overrules it.

    Raises
    ------
    InputError
        If no axis is that of the rows, or no other that of the units.
    ConfigError
        If ``axis`` is that of the rows.
    """
    changed = [i for i, (two, three) in enumerate(zip(of_two, of_three, strict=True)) if two != three]
    if len(of_two) < 2 or len(changed) != 1 or (of_two[changed[0]], of_three[changed[0]]) != (2, 3):
        raise InputError(
            f"layer {name!r} must give (rows, units), with positions of its own or without, got {tuple(of_three)} for"
            " 3 rows; choose another layer."
        )
    rows = changed[0]
    others = [i for i in range(len(of_two)) if i != rows]
    if axis is not None:
        axis = axis % len(of_two)
        if axis == rows:
            raise ConfigError(f"axis {axis} of layer {name!r} is that of the rows, not of the units.")
    else:
        axis = _unit_axis(of_two, others, hint)
    return Layer(name, of_two[axis], tuple(of_two[i] for i in others), rows, axis)


def _unit_axis(shape: torch.Size, others: list[int], hint: tuple[int, bool] | None) -> int:
    if hint is not None:
        width, first = hint
        fitting = [i for i in (others if first else reversed(others)) if shape[i] == width]
        if fitting:
            return fitting[0]
    return others[0] if len(others) >= 3 else others[-1]
