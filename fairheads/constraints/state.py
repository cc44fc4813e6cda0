"""Modules with state whose shape depends on the data."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn


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
