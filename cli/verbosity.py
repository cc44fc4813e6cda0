"""How much a command says on standard error: --quiet, --verbose."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import click

_LEVEL: ContextVar[int] = ContextVar("level", default=0)


def verbosity_options(command: click.Command) -> click.Command:
    """The command with --quiet and --verbose."""
    for level, name, says in (
        (-1, "quiet", "Say nothing of progress and files: errors, notes and gates that are not met alone."),
        (1, "verbose", "Say how long it took and, of an error, where it was raised."),
    ):
        command.params.append(
            click.Option(
                [f"-{name[0]}", f"--{name}"], is_flag=True, expose_value=False, help=says, callback=_setting(level)
            )
        )
    return command


def _setting(level: int) -> object:
    def chosen(context: click.Context, option: click.Parameter, value: bool) -> bool:
        if value:
            if _LEVEL.get():
                raise click.UsageError("give either --quiet or --verbose, not both.", context)
            _LEVEL.set(level)
        return value

    return chosen


def is_quiet() -> bool:
    """Whether progress is not wanted."""
    return _LEVEL.get() < 0


def say(text: str) -> None:
    """A line of progress on standard error."""
    if not is_quiet():
        click.echo(text, err=True)


@contextmanager
def measured() -> Iterator[None]:
    """One command, from its words to its end; --verbose tells how long it took, and where an error was raised."""
    token, begun = _LEVEL.set(0), time.monotonic()
    try:
        yield
    except (click.ClickException, click.Abort):
        raise
    except Exception:
        if _LEVEL.get() > 0:
            click.echo(traceback.format_exc(), err=True, nl=False)
        raise
    finally:
        if _LEVEL.get() > 0:
            click.echo(f"took {time.monotonic() - begun:.1f} s", err=True)
        _LEVEL.reset(token)
