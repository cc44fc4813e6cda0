"""From the levels of groups to one number and its slope: every pair, squared, absolute or the smooth largest."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

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
    """Both sides of every pair of groups."""
    first, second = torch.triu_indices(groups, groups, 1, device=device)
    return first, second


@lru_cache(maxsize=64)
def contrasts(groups: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The matrix (groups, pairs) that takes levels to their differences, and its transpose."""
    first, second = pairs(groups, device)
    names = torch.arange(groups, device=device)[:, None]
    matrix = (names == first).to(dtype) - (names == second).to(dtype)
    return matrix, matrix.T.contiguous()


def penalty(levels: Tensor, defined: Tensor, kind: str, tolerance: float, smoothing: float) -> tuple[Tensor, Tensor]:
    """One number a row of ``levels`` (rows, groups), and its slope by each level; no gradient.

    At least 0, and 0 where no gap exceeds ``tolerance``. A pair with a side that is undefined adds nothing.
    """
    groups = levels.shape[1]
    forth, back = contrasts(groups, levels.device, levels.dtype)
    gap = levels @ forth
    if groups == 2:
        both = defined.all(1, keepdim=True)
    else:
        one, other = pairs(groups, levels.device)
        both = defined[:, one] & defined[:, other]
    if kind == "log_sum_exp":
        value, slope = _log_sum_exp(gap, both, tolerance, smoothing)
    else:
        value, slope = _sum(gap * both, kind, tolerance)
    return value, slope @ back


def _sum(gap: Tensor, kind: str, tolerance: float) -> tuple[Tensor, Tensor]:
    if tolerance > 0:
        gap = (gap.abs() - tolerance).clamp_(min=0) * gap.sign()
    if kind == "squared":
        return (gap * gap).sum(1), gap + gap
    return gap.abs().sum(1), gap.sign()


def _log_sum_exp(gap: Tensor, both: Tensor, tolerance: float, smoothing: float) -> tuple[Tensor, Tensor]:
    """The smooth maximum over both directions of every pair, less its own value at no gap."""
    signed = torch.cat([gap, -gap], 1).div_(smoothing).masked_fill_(~torch.cat([both, both], 1), -torch.inf)
    there = both.sum(1)
    largest = torch.logsumexp(signed, 1)
    excess = smoothing * (largest - (2 * there).clamp(min=1).log()) - tolerance
    above = (excess > 0) & (there > 0)
    share = torch.where(above[:, None], (signed - largest[:, None]).exp(), 0.0)
    forward, backward = share.chunk(2, 1)
    return torch.where(above, excess, 0.0), forward - backward
