"""How far a long command is: on a terminal a line with count, rate and time left, elsewhere the name of each step."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fairheads.progress import EVERY, pace, so_far

from .verbosity import is_quiet, say


class Steps:
    """Called with the name of a step, how much of it is done, of how much (None: nobody knows), and of what."""

    def __init__(self, *, shown: bool) -> None:
        self.shown, self._step, self._open = shown, "", False
        self._begun, self._before, self._drawn = 0.0, 0, 0.0

    def __call__(self, step: str, done: int, of: int | None, what: str) -> None:
        now = time.monotonic()
        if step != self._step:
            self.close()
            self._step, self._begun, self._before, self._drawn = step, now, done, -math.inf
            if not self.shown:
                say(step)
        if not self.shown or (now - self._drawn < EVERY and done != of):
            return
        self._drawn, self._open = now, True
        speed = pace(done - self._before, None if of is None else of - done, now - self._begun)
        click.echo(f"\r\x1b[K{step}: {so_far(done, of, what)}{speed}", nl=False, err=True)

    def close(self) -> None:
        """Ends the line, if one is begun."""
        if self._open:
            click.echo(err=True)
        self._open = False


@contextmanager
def steps() -> Iterator[Steps]:
    """The progress of a command on standard error."""
    told = Steps(shown=sys.stderr.isatty() and not is_quiet())
    try:
        yield told
    finally:
        told.close()
