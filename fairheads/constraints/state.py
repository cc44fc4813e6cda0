"""Modules that are called with the rows of a batch, and those with state whose shape depends on the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fairheads.errors import InputError

BATCH = ("logits", "y", "group", "strata")
"""What a constraint or an objective is called with."""


class Growing(nn.Module):
    """A module with buffers that take their shape from the data, such as one entry a group."""

    growing: ClassVar[tuple[str, ...]] = ()
    """Names of these buffers; when state is loaded they take the shape of what is loaded."""
    passing: ClassVar[tuple[str, ...]] = ()
    """Names of buffers of what waits for the next step; where state that is loaded lacks them, nothing does."""

    @property
    def learns(self) -> bool:
        """Whether a call may change the state: in training mode, and not while gradients are off."""
        return self.training and torch.is_grad_enabled()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.passing:
            own = getattr(self, name)
            state_dict.setdefault(prefix + name, own.new_zeros(0 if name in self.growing else own.shape))
        for name in self.growing:
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.zeros_like(saved, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class OfBatch(Growing):
    """A module that is called with tensors of the rows of a batch: ``(logits, y, group, strata)``."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        refuse_other_rows({**dict(zip(BATCH, given, strict=False)), **named})
        return super().__call__(*given, **named)


def refuse_other_rows(given: Mapping[str, Any]) -> None:
    """Refuse what is no tensor, and tensors that have not one entry per row of the first of `BATCH`.

    Raises
    ------
    InputError
        Names the argument.
    """
    rows: int | None = None
    for name in BATCH:
        values = given.get(name)
        if name not in given or (values is None and name == "strata"):
            continue
        if not isinstance(values, Tensor):
            hint = (
                "give its `logits`" if name == "logits" and not hasattr(values, "__array__") else "see torch.as_tensor"
            )
            raise InputError(f"`{name}` must be a tensor, got {type(values).__name__}; {hint}.")
        n = values.shape[0] if values.ndim else 0
        rows = n if rows is None else rows
        if n != rows:
            raise InputError(f"`{name}` must have one entry per row of `logits` ({rows}), got {n}.")
