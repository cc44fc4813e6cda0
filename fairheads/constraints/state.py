"""Modules with state whose shape depends on the data."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn


class Growing(nn.Module):
    """A module with buffers that take their shape from the data, such as one entry a group."""

    growing: ClassVar[tuple[str, ...]] = ()
    """Names of these buffers; when state is loaded they take the shape of what is loaded."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.growing:
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.zeros_like(saved, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
