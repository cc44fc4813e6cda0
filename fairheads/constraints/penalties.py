"""From the levels of groups to one number and its slope: every pair, squared, absolute or the smooth largest."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairheads.constraints.levels import Array
from fairheads.errors import ConfigError

KINDS = ("squared", "absolute", "log_sum_exp")


def check(kind: str, tolerance: float, smoothing: float) -> None:
    """Raise `ConfigError` on a penalty that does not exist."""
    if kind not in KINDS:
        raise ConfigError(f'`kind` must be "squared", "absolute" or "log_sum_exp", got {kind!r}.')
    if not 0 <= tolerance < float("inf"):
        raise ConfigError(f"`tolerance` must be at least 0, got {tolerance}.")
    if not 0 < smoothing < float("inf"):
        raise ConfigError(f"`smoothing` must be above 0, got {smoothing}.")


@lru_cache(maxsize=64)
def pairs(groups: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both sides of every pair of groups; the pairs of one more group come after all others."""
    second, first = torch.tril_indices(groups, groups, -1, device=device)
    return first, second


@lru_cache(maxsize=64)
def _contrasts(groups: int, like: tuple[Any, ...]) -> tuple[Array, Array, Array, Array]:
    """The matrix (groups, pairs) that takes levels to their differences, its transpose, and both sides of pairs."""
    first, second = pairs(groups, torch.device("cpu") if len(like) == 1 else like[1])
    names = torch.arange(groups, device=first.device)[:, None]
    matrix = (names == first).float() - (names == second).float()
    if len(like) == 1:
        table = matrix.numpy().astype(like[0])
        return table, np.ascontiguousarray(table.T), first.numpy(), second.numpy()
    matrix = matrix.to(like[0])
    return matrix, matrix.T.contiguous(), first, second


def penalty(levels: Array, defined: Array, kind: str, tolerance: float, smoothing: float) -> tuple[Array, Array]:
    """One number a row of ``levels`` (rows, groups), and its slope by each level; no gradient.

    At least 0, and 0 where no gap exceeds ``tolerance``. A pair with a side that is undefined adds nothing. For NumPy
    arrays and tensors alike.
    """
    xp: Any = torch if isinstance(levels, Tensor) else np
    like = (levels.dtype, levels.device) if xp is torch else (levels.dtype,)
    forth, back, one, other = _contrasts(levels.shape[1], like)
    gap, both = levels @ forth, defined[:, one] & defined[:, other]
    if kind == "log_sum_exp":
        value, slope = _log_sum_exp(xp, gap, both, tolerance, smoothing)
    else:
        value, slope = _sum(xp, gap * both, kind, tolerance)
    return value, slope @ back


def _sum(xp: Any, gap: Array, kind: str, tolerance: float) -> tuple[Array, Array]:
    if tolerance > 0:
        gap = xp.clip(abs(gap) - tolerance, 0, None) * xp.sign(gap)
    if kind == "squared":
        return (gap * gap).sum(1), gap + gap
    return abs(gap).sum(1), xp.sign(gap)


def _log_sum_exp(xp: Any, gap: Array, both: Array, tolerance: float, smoothing: float) -> tuple[Array, Array]:
    """The smooth maximum over both directions of every pair, less its own value at no gap."""
    there, gap = both.sum(1), gap * both
    top = xp.amax(abs(gap), 1)[:, None]
    up, down = xp.exp((gap - top) / smoothing) * both, xp.exp((-gap - top) / smoothing) * both
    total = (up + down).sum(1) + (there == 0)
    excess = top[:, 0] + smoothing * xp.log(total / (2 * there + 2 * (there == 0))) - tolerance
    above = (excess > 0) & (there > 0)
    return excess * above, (up - down) * (above / total)[:, None]
