"""What a network is trained by: the options that say so, and the objective that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from fairheads.training import Objective

Command = TypeVar("Command", bound=Callable[..., Any])

OBJECTIVES: dict[str, tuple[str, ...]] = {
    "unconstrained": (),
    "penalized": ("constraint", "penalty", "weight", "tolerance"),
    "two-headed": (),
}
"""Objectives, and which of the options below each of them takes."""

NUMBERS = ("weight", "tolerance")
"""Options that are numbers: a sweep may run over them."""

DEFAULTS: dict[str, dict[str, float]] = {"penalized": {"weight": 10.0, "tolerance": 0.0}}
"""What a number is where it is not given, which need not be the same for every objective."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The options as they stand on the command line; a number that was not given is left to its objective."""

    objective: str
    constraint: str
    penalty: str
    weight: float | None
    tolerance: float | None

    def having(self, option: str, value: float) -> ObjectiveOptions:
        """The same with another number."""
        return replace(self, weight=value) if option == "weight" else replace(self, tolerance=value)

    def words(self, swept: str) -> str:
        """The objective with its options but the one that is swept."""
        takes = [option for option in OBJECTIVES[self.objective] if option != swept]
        said = ", ".join(f"{o} {self.number(o):g}" if o in NUMBERS else f"{o} {getattr(self, o)}" for o in takes)
        return f"{self.objective} ({said})" if said else self.objective

    def number(self, option: str) -> float:
        """An option that is a number: what was given, or the objective's own default."""
        given = {"weight": self.weight, "tolerance": self.tolerance}[option]
        return DEFAULTS[self.objective][option] if given is None else given


def objective_options(command: Command) -> Command:
    """--objective and the options of each objective."""
    for option in reversed(
        (
            click.option(
                "--objective", type=click.Choice(tuple(OBJECTIVES)), show_default="unconstrained; penalized in a sweep"
            ),
            click.option(
                "--constraint",
                type=click.Choice(("demographic-parity",)),
                default="demographic-parity",
                show_default=True,
            ),
            click.option("--penalty", type=click.Choice(("squared", "absolute")), default="squared", show_default=True),
            click.option("--weight", type=float, show_default="10", help="Weight of the constraint (penalized)."),
            click.option(
                "--tolerance",
                type=float,
                show_default="0",
                help="Gap of the mean scores that costs nothing (penalized).",
            ),
        )
    ):
        command = option(command)
    return command


def refuse_foreign(context: click.Context, objective: str) -> None:
    """Options on the command line that the objective does not take.

    Raises
    ------
    ConfigError
        If there is one.
    """
    from fairheads.errors import ConfigError

    for option in (field.name for field in fields(ObjectiveOptions) if field.name != "objective"):
        if option in OBJECTIVES[objective]:
            continue
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            raise ConfigError(f"`--{option}` needs {_with(option)}.")


def _with(option: str) -> str:
    return " or ".join(f"`--objective {name}`" for name, takes in OBJECTIVES.items() if option in takes)


def refuse_sweep_of(option: str, objective: str) -> None:
    """An option that the objective of a sweep does not take.

    Raises
    ------
    ConfigError
        If it is one.
    """
    from fairheads.errors import ConfigError

    if option not in OBJECTIVES[objective]:
        raise ConfigError(f"`--sweep {option}=...` needs {_with(option)}.")


def objective_of(options: ObjectiveOptions) -> Objective:
    """A new objective of these options; every training needs one of its own, for some have a state.

    Raises
    ------
    ConfigError
        If an option has a value that makes no sense.
    """
    from fairheads.constraints import demographic_parity
    from fairheads.training import Penalized, TwoHeaded, Unconstrained

    if options.objective == "penalized":
        constraint = demographic_parity(kind=options.penalty, tolerance=options.number("tolerance"))
        return Penalized(constraint, options.number("weight"))
    if options.objective == "two-headed":
        return TwoHeaded()
    return Unconstrained()
