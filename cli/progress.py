"""How far a long command is: on a terminal a line with count, rate and time left, elsewhere the name of each step."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .verbosity import is_quiet, say

EVERY = 0.2
"""Seconds between two drawings of the line."""


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
        click.echo(f"\r\x1b[K{step}: {_so_far(done, of, what)}{self._pace(done, of, now)}", nl=False, err=True)

    def _pace(self, done: int, of: int | None, now: float) -> str:
        if done == of or done == self._before:
            return ""
        speed = (done - self._before) / max(now - self._begun, 1e-9)
        return f", {_rounded(speed)} a second" + ("" if of is None else f", {_duration((of - done) / speed)} left")

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


def _so_far(done: int, of: int | None, what: str) -> str:
    return f"{done:,} {what}" if of is None else f"{done:,} of {of:,} {what}"


def _rounded(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def _duration(seconds: float) -> str:
    """Seconds up to two minutes, minutes up to two hours, then hours."""
    for size, unit in ((1, "s"), (60, "min")):
        if seconds < 120 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"
