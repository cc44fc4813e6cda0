"""What the long calls share: one thread for torch and BLAS, and gradients that can be had whoever calls.

One thread gives the same bits on every machine size, and no stalls on a busy one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """While open, torch and BLAS of this process use one thread; on exit the numbers are as before.

    Torch's inference mode, in which an effect would have no derivative, is off.
    """
    before = torch.get_num_threads()
    with threadpool_limits(limits=1), torch.inference_mode(False):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
