"""Gates: what makes a command exit with 3 after it has printed its report."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .verbosity import say

if TYPE_CHECKING:
    from fairheads.reports import Gate

EXIT_GATE = 3

UNBOUNDED = ("error_ratio", "generalized_entropy", "mean_score", "theil")
"""Metrics whose gap may be larger than 1."""

Command = TypeVar("Command", bound=Callable[..., Any])


def gap_options(command: Command) -> Command:
    """--max-gap, --gap-metric and --junit."""
    for option in (
        click.option(
            "--junit",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Gates as JUnit XML, for a CI server to show.",
        ),
        click.option(
            "--gap-metric",
            default="demographic_parity",
            show_default=True,
            help="What the gap is in: demographic_parity, equalized_odds, equal_opportunity, predictive_equality,"
            " predictive_parity, accuracy_equality, or any metric of the report.",
        ),
        click.option("--max-gap", type=float, help="Exit with 3 if the upper bound of the gap is larger."),
    ):
        command = option(command)
    return command


def check_gap(max_gap: float | None, metric: str, known: Collection[str]) -> None:
    """Whether the gate makes sense, where these metrics are ``known``.

    Raises
    ------
    ConfigError
        If not.
    """
    from fairheads.errors import ConfigError
    from fairheads.results import GAPS, gap_named

    made = GAPS.get(gap_named(metric), (metric,))
    if not set(made) <= set(known):
        names = [*known, *(name for name, metrics in GAPS.items() if set(metrics) <= set(known))]
        raise ConfigError(f"`--gap-metric` must be one of {', '.join(names)}, got {metric!r}.")
    most = math.inf if set(made) & set(UNBOUNDED) else 1.0
    if max_gap is not None and not (0 <= max_gap <= most and math.isfinite(max_gap)):
        raise ConfigError(f"`--max-gap` must lie in [0, {most:g}], got {max_gap:g}.")


def close_gates(gates: Sequence[Gate], *, any_set: bool, file: Path | None, suite: str) -> None:
    """Writes the gates as JUnit XML if asked to, says whether they were met, and exits with 3 if not."""
    from fairheads.reports import junit, save_texts

    if file is not None:
        save_texts(file.parent, {file.name: junit(gates, suite=suite)})
        say(f"wrote {file}")
    failed = [gate.short for gate in gates if not gate.met]
    if failed:
        click.echo(f"Gate not met: {'; '.join(failed)}", err=True)
        raise click.exceptions.Exit(EXIT_GATE)
    if any_set:
        say("Gates met.")
