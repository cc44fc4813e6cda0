"""How far something long is, in one line that is drawn anew: a terminal's last line, or one display of a notebook.

Functions that take long have a parameter ``progress``, and say nothing unless one is given. Of a program whose errors
go to a file, nothing is drawn.
"""

from __future__ import annotations

import itertools
import math
import sys
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any

EVERY = 0.2
"""Seconds between two drawings of the line."""

Draw = Callable[[str, int, int], None]
"""Called with what the line says, how much is done and of how much."""

_IDS = itertools.count()


class _Line:
    """A line that is drawn anew; may be called from several threads, and out of order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._draw: Draw | None = None
        self._begun, self._before, self._drawn, self._last = 0.0, 0, -math.inf, 0

    def _tell(self, done: int, of: int, told: str) -> None:
        with self._lock:
            now = time.monotonic()
            if self._draw is None:
                self._draw = surface()
                self._begun, self._before, self._drawn, self._last = now, done, -math.inf, done
            if self._draw is None or done < self._last or (now - self._drawn < EVERY and done < of):
                return
            self._drawn, self._last = now, done
            self._draw(told + pace(done - self._before, of - done, now - self._begun), done, of)
            if done >= of:
                self._draw = None


class Bar(_Line):
    """What functions that count call: ``bar(done, of)``. When all is done, the next call begins a new line.

    Parameters
    ----------
    what : str
        What is counted, such as "twins trained".

    Examples
    --------
    Two lines, one after the other; on a terminal and in a notebook they move:

    >>> from fairheads.audit import audit
    >>> from fairheads.nets import MLP
    >>> from fairheads.planted import synthetic
    >>> report = audit(MLP(8, hidden=(8,)), synthetic(400), progress=Bar("rows counted"))

    With ``twins=TwinRecipe(rows, progress=Bar("twins trained"))`` the training of twins, which takes longest, is told.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def __call__(self, done: int, of: int) -> None:
        """``done`` of ``of`` are done."""
        self._tell(done, of, f"{self.what}: {so_far(done, of)}")


class Epochs(_Line):
    """What functions that train call after each epoch: ``epochs(epoch, loss)``.

    Parameters
    ----------
    of : int
        Epochs that there will be, as the training was told.

    Examples
    --------
    >>> import numpy as np
    >>> from fairheads.data import Dataset
    >>> from fairheads.nets import MLP
    >>> from fairheads.training import Unconstrained, train
    >>> data = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    >>> history = train(MLP(4, hidden=(8,)), data, Unconstrained(), epochs=3, batch_size=2, progress=Epochs(3))
    """

    def __init__(self, of: int) -> None:
        super().__init__()
        self.of = of

    def __call__(self, epoch: int, loss: float) -> None:
        """``epoch`` is over, with this mean loss."""
        self._tell(epoch, self.of, f"epoch {epoch:,} of {self.of:,}, loss {loss:.4g}")


# ---------------------------------------------------------------- in words


def so_far(done: int, of: int | None, what: str = "") -> str:
    """How much is done, of how much where that is known."""
    told = f"{done:,}" if of is None else f"{done:,} of {of:,}"
    return f"{told} {what}".rstrip()


def pace(done: int, left: int | None, seconds: float) -> str:
    """How many a second, and the time left where it is known how many are left; nothing where none is done yet.

    Examples
    --------
    >>> pace(50, 100, 10.0), pace(3, None, 60.0), pace(0, 5, 1.0)
    (', 5 a second, 20 s left', ', 0.05 a second', '')
    """
    if done <= 0 or left == 0:
        return ""
    speed = done / max(seconds, 1e-9)
    rate = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    return f", {rate} a second" + ("" if left is None else f", {duration(left / speed)} left")


def duration(seconds: float) -> str:
    """Seconds up to two minutes, minutes up to two hours, then hours."""
    for size, unit in ((1, "s"), (60, "min")):
        if seconds < 120 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"


# ---------------------------------------------------------------- where it is drawn


def surface() -> Draw | None:
    """Where a line can be drawn anew: a display of the running notebook, or the terminal; None where neither is."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is not None:
        return _notebook()
    return _terminal if sys.stderr.isatty() else None


def _terminal(told: str, done: int, of: int) -> None:
    sys.stderr.write(f"\r\x1b[K{told}" + ("\n" if done >= of else ""))
    sys.stderr.flush()


def _notebook() -> Draw:
    """A display that is made with the first line and holds the newest."""
    from IPython.display import display, update_display

    publish: list[Any] = [display]
    name = f"fairheads-progress-{next(_IDS)}"

    def draw(told: str, done: int, of: int) -> None:
        drawn = f'<progress max="{of}" value="{done}" aria-label="progress"></progress> {escape(told)}'
        publish[0]({"text/plain": told, "text/html": drawn}, raw=True, display_id=name)
        publish[0] = update_display

    return draw
