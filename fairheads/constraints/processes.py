"""Sums over the batches of all processes under ``torch.distributed``."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def processes() -> int:
    """Number of processes that train together; 1 where ``torch.distributed`` is not in use."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def joined_sum(sums: Tensor) -> Tensor:
    """``sums`` added over all processes; no gradient."""
    if processes() == 1:
        return sums
    total = sums.clone()
    distributed.all_reduce(total)
    return total


def joined_with_gradient(sums: Tensor) -> Tensor:
    """``sums`` added over all processes, with the gradient that averaging over processes turns into the right one.

    Data-parallel training averages gradients, and every process holds the gradient of its own rows only; so that of a
    function of the global sum is that of the own part times the number of processes. No message is sent backward.
    """
    world = processes()
    if world == 1:
        return sums
    return joined_sum(sums.detach()) + world * (sums - sums.detach())


def joined_max(value: int, device: torch.device) -> int:
    """The largest ``value`` of any process."""
    if processes() == 1:
        return value
    largest = torch.tensor(value, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def joined_rows(scores: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (n,) and columns (n, k) of all processes' rows, gradients as in `joined_with_gradient`.

    Processes may hold different numbers of rows: the shorter ones are filled up with rows that belong to no group.
    """
    world = processes()
    if world == 1:
        return scores, columns
    rows = joined_max(len(scores), scores.device)
    own = torch.zeros(rows, 1 + columns.shape[1], dtype=scores.dtype, device=scores.device)
    own[: len(scores)] = torch.cat([scores.detach()[:, None], columns], dim=1)
    everybody = [torch.empty_like(own) for _ in range(world)]
    distributed.all_gather(everybody, own)
    table = torch.cat(everybody)
    start = distributed.get_rank() * rows
    gradient = torch.nn.functional.pad(scores - scores.detach(), (start, len(table) - start - len(scores)))
    return table[:, 0] + world * gradient, table[:, 1:]
