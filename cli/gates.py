"""Gates: what makes a command exit with 3 after it has printed its report."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fairheads.results import DisparityReport

EXIT_GATE = 3

UNBOUNDED = ("error_ratio", "generalized_entropy", "mean_score", "theil")
"""Metrics whose gap may be larger than 1."""

Command = TypeVar("Command", bound=Callable[..., Any])


def gap_options(command: Command) -> Command:
    """--max-gap and --gap-metric."""
    for option in (
        click.option(
            "--gap-metric", default="selection_rate", show_default=True, help="Metric whose gap --max-gap bounds."
        ),
        click.option("--max-gap", type=float, help="Exit with 3 if the upper bound of the gap is larger."),
    ):
        command = option(command)
    return command


def check_gap(max_gap: float | None, metric: str, known: Collection[str]) -> None:
    """Whether the gate makes sense.

    Raises
    ------
    ConfigError
        If not.
    """
    from fairheads.errors import ConfigError

    if metric not in known:
        raise ConfigError(f"`--gap-metric` must be one of {', '.join(known)}, got {metric!r}.")
    most = math.inf if metric in UNBOUNDED else 1.0
    if max_gap is not None and not (0 <= max_gap <= most and math.isfinite(max_gap)):
        raise ConfigError(f"`--max-gap` must lie in [0, {most:g}], got {max_gap:g}.")


def gap_not_met(report: DisparityReport, max_gap: float | None, metric: str) -> list[str]:
    """In words, if the gap may be larger. A gap that cannot be estimated does not meet the gate."""
    if max_gap is None:
        return []
    gap = report.gaps[metric].difference
    bound = gap.value if gap.high is None else gap.high
    return [] if bound <= max_gap else [f"gap in {metric} {gap}, allowed {max_gap:g}"]


def close_gates(failed: Sequence[str], *, any_set: bool) -> None:
    """Says whether the gates were met, and exits with 3 if not."""
    if failed:
        click.echo(f"Gate not met: {'; '.join(failed)}", err=True)
        raise click.exceptions.Exit(EXIT_GATE)
    if any_set:
        click.echo("Gates met.", err=True)
