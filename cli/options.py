"""Options that several commands share."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .verbosity import is_quiet, say

if TYPE_CHECKING:
    from fairheads.data import Table
    from fairheads.results.shown import Report

    Choice = click.Choice[str]
else:
    Choice = click.Choice  # generic from click 8.2 on

Command = TypeVar("Command", bound=Callable[..., Any])


def table_options(command: Command) -> Command:
    """--data, --label, --group, --favourable: which table, and what in it is the outcome and the group."""
    for option in reversed(
        (
            click.option(
                "--data", "source", required=True, metavar="adult|FILE", help="Adult, or a CSV or Parquet file."
            ),
            click.option("--label", metavar="COL", help="Column of the recorded outcome (two values)."),
            click.option("--group", metavar="COL[,COL]", help="Protected column; several make intersections."),
            click.option("--drop", metavar="COL[,COL]", help="Columns that are no inputs (identifiers, weights)."),
            click.option(
                "--favourable", metavar="VALUE", help="Favourable value of the label; may be left out for 0/1."
            ),
        )
    ):
        command = option(command)
    return command


def flips_option(says: str) -> Callable[[Command], Command]:
    """--list-flips: a file of its own for people, row by row."""
    return click.option("--list-flips", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=says)


def write_list(file: Path | None, text: str) -> None:
    """Writes the list, whole or not at all, if a file was asked for."""
    from fairheads.reports import save_texts

    if file is not None:
        save_texts(file.parent, {file.name: text})
        say(f"wrote {file}")


def overwrite_option(says: str) -> Callable[[Command], Command]:
    """--overwrite: without it a report is replaced by one about the same alone."""
    return click.option("--overwrite", is_flag=True, help=says)


def keep_other(out: Path | None, kind: type[Report], subject: Mapping[str, str], *, overwrite: bool) -> None:
    """Refuses to replace a report about something else, if there is a folder for one; ask before the work."""
    from fairheads.reports import refuse_other

    if out is not None and not overwrite:
        refuse_other(out, kind, subject)


class Named(Choice):
    """One of some names, which may be written with hyphens or underscores."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(str(value).replace("_", "-"), param, ctx)


SEED = click.IntRange(0, 2**32 - 1)


def opened(
    source: str, label: str | None, group: str | None, favourable: str | None, drop: str | None, **more: Any
) -> Table:
    """The table that the options name."""
    from fairheads.data import open_table

    return open_table(source, label=label, group=names(group), favourable=favourable, drop=names(drop), **more)


def names(text: str | None) -> tuple[str, ...]:
    """A comma-separated list."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


@contextmanager
def counted(label: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar on standard error that counts to ``total``; on anything but a terminal one line that names the step."""
    if is_quiet():
        yield lambda done, *_rest: None
        return
    with click.progressbar(length=total, label=label, file=sys.stderr, width=24) as bar:

        def tell(done: int, *_rest: object) -> None:
            bar.update(done - bar.pos)

        yield tell


@contextmanager
def warnings_told() -> Iterator[None]:
    """While open, each warning of fairheads is a line on standard error."""
    from fairheads.errors import FairheadsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", FairheadsWarning)
        others = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, FairheadsWarning):
                click.echo(f"Note: {message}", err=True)
            else:
                others(message, category, *rest, **more)

        warnings.showwarning = tell
        yield


@contextmanager
def rows_read(label: str) -> Iterator[Callable[[int], None]]:
    """How many rows were read, on standard error; on anything but a terminal one line that names the step."""
    shown = sys.stderr.isatty() and not is_quiet()
    if not shown:
        say(label)

    def tell(rows: int) -> None:
        if shown:
            click.echo(f"\r{label}: {rows:,} rows", nl=False, err=True)

    try:
        yield tell
    finally:
        if shown:
            click.echo(err=True)
