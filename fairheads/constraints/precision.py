"""Full precision for counts, whatever the network around them is trained in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")

AUTOCAST = ("cpu", "cuda", "xpu", "mps")
"""Kinds of devices on which torch may cast products to half precision by itself."""


def in_full(logits: Tensor) -> Tensor:
    """Half precision as float32: there a count of rows stops at 256 or 2,048."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def without_autocast(method: Callable[P, T]) -> Callable[P, T]:
    """The method of logits, outside automatic mixed precision, which would cast sums over rows to half precision."""

    @wraps(method)
    def full(*args: P.args, **settings: P.kwargs) -> T:
        logits = settings["logits"] if "logits" in settings else args[1]
        kind = logits.device.type if isinstance(logits, Tensor) else ""
        if kind not in AUTOCAST or not torch.is_autocast_enabled(kind):
            return method(*args, **settings)
        with torch.autocast(kind, enabled=False):
            return method(*args, **settings)

    return full
