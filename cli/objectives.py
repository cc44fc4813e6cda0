"""What a network is trained by: the options that say so, and the objective that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from .options import Named

if TYPE_CHECKING:
    from fairheads.constraints import Constraint
    from fairheads.training import Objective

Command = TypeVar("Command", bound=Callable[..., Any])

OBJECTIVES: dict[str, tuple[str, ...]] = {
    "unconstrained": (),
    "penalized": ("constraint", "penalty", "weight", "tolerance", "memory", "control"),
    "lagrangian": ("constraint", "tolerance", "memory", "control"),
    "adversarial": ("weight", "layer", "given-label"),
    "reweighted": ("share",),
    "massaged": ("share",),
    "group-dro": ("rate",),
    "two-headed": (),
}
"""Objectives, and which of the options below each of them takes."""

CONSTRAINTS = (
    "demographic-parity",
    "equalized-odds",
    "equal-opportunity",
    "predictive-equality",
    "accuracy-equality",
    "conditional-parity",
    "mmd",
    "wasserstein",
)
DISTRIBUTIONS = ("mmd", "wasserstein")
"""Constraints that have neither a penalty of gaps nor running counts."""

NUMBERS = ("weight", "tolerance", "share", "rate")
"""Options that are numbers: a sweep may run over them."""

DEFAULTS: dict[str, dict[str, float]] = {
    "penalized": {"weight": 10.0, "tolerance": 0.0},
    "lagrangian": {"tolerance": 0.02},
    "adversarial": {"weight": 1.0},
    "reweighted": {"share": 1.0},
    "massaged": {"share": 1.0},
    "group-dro": {"rate": 0.01},
}
"""What a number is where it is not given, which need not be the same for every objective."""

OPTIONS = tuple(dict.fromkeys(option for takes in OBJECTIVES.values() for option in takes))
"""Every option that only some objectives take."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The options as they stand on the command line; a number that was not given is left to its objective."""

    objective: str
    constraint: str = "demographic-parity"
    penalty: str = "squared"
    numbers: Mapping[str, float] = field(default_factory=dict)
    memory: float | None = None
    layer: str | None = None
    given_label: bool = False

    def having(self, option: str, value: float) -> ObjectiveOptions:
        """The same with another number."""
        return replace(self, numbers={**self.numbers, option: value})

    def words(self, swept: str) -> str:
        """The objective with its options but the one that is swept."""
        takes = [option for option in OBJECTIVES[self.objective] if option in NUMBERS and option != swept]
        said = [self.constraint] if "constraint" in OBJECTIVES[self.objective] else []
        if "penalty" in OBJECTIVES[self.objective] and self.constraint not in DISTRIBUTIONS:
            said.append(self.penalty)
        said += [f"{option} {self.number(option):g}" for option in takes]
        more = {"memory": self.memory, "layer": self.layer, "given label": self.given_label or None}
        said += [f"{name} {value}" for name, value in more.items() if value is not None]
        return f"{self.objective} ({', '.join(said)})" if said else self.objective

    def number(self, option: str) -> float:
        """An option that is a number: what was given, or the objective's own default."""
        return self.numbers.get(option, DEFAULTS[self.objective].get(option, 0.0))


def objective_options(command: Command) -> Command:
    """--objective and the options of each objective."""
    for option in reversed(
        (
            click.option(
                "--objective", type=Named(tuple(OBJECTIVES)), show_default="unconstrained; penalized in a sweep"
            ),
            click.option("--constraint", type=Named(CONSTRAINTS), default="demographic-parity", show_default=True),
            click.option(
                "--penalty",
                type=click.Choice(("squared", "absolute", "log-sum-exp")),
                default="squared",
                show_default=True,
                help="What a gap costs (penalized).",
            ),
            click.option(
                "--weight",
                type=float,
                show_default="10; adversarial 1",
                help="Weight of the constraint (penalized) or of the adversary.",
            ),
            click.option(
                "--tolerance",
                type=float,
                show_default="0; lagrangian 0.02",
                help="Largest gap in decisions, or distance of scores (lagrangian); gap in mean scores that costs"
                " nothing (penalized).",
            ),
            click.option(
                "--memory",
                type=float,
                show_default="0 for demographic parity, else 0.9; lagrangian 0.5",
                help="Decay of the running counts that a constraint keeps over batches.",
            ),
            click.option(
                "--control", metavar="COL[,COL]", help="Columns whose strata conditional parity compares groups in."
            ),
            click.option("--layer", metavar="NAME", help="Layer that the adversary reads; by default the logit."),
            click.option("--given-label", is_flag=True, help="Show the adversary the label: equalized odds."),
            click.option(
                "--share", type=float, show_default="1", help="How far to reweigh or relabel, 0 to 1 (re-, massaged)."
            ),
            click.option("--rate", type=float, show_default="0.01", help="Step of the groups' weights (group-dro)."),
        )
    ):
        command = option(command)
    return command


def refuse_foreign(context: click.Context, objective: str, constraint: str) -> None:
    """Options on the command line that the objective, or its constraint, does not take.

    Raises
    ------
    ConfigError
        If there is one.
    """
    from fairheads.errors import ConfigError

    given = [
        option
        for option in OPTIONS
        if context.get_parameter_source(option.replace("-", "_")) is ParameterSource.COMMANDLINE
    ]
    for option in given:
        if option not in OBJECTIVES[objective]:
            raise ConfigError(f"`--{option}` needs {_with(option)}.")
        alone = {"penalty", "memory", *({"tolerance"} if objective == "penalized" else set())}
        if constraint in DISTRIBUTIONS and option in alone:
            raise ConfigError(f"`--{option}` is of rates; `--constraint {constraint}` compares distributions.")
    if ("control" in given) != (constraint == "conditional-parity") and "constraint" in OBJECTIVES[objective]:
        raise ConfigError("`--control COL` and `--constraint conditional-parity` go together.")


def _with(option: str) -> str:
    return " or ".join(f"`--objective {name}`" for name, takes in OBJECTIVES.items() if option in takes)


def refuse_sweep_of(option: str, options: ObjectiveOptions) -> None:
    """An option that the objective of a sweep does not take.

    Raises
    ------
    ConfigError
        If it is one.
    """
    from fairheads.errors import ConfigError

    if option not in OBJECTIVES[options.objective]:
        raise ConfigError(f"`--sweep {option}=...` needs {_with(option)}.")
    if option == "tolerance" and options.objective == "penalized" and options.constraint in DISTRIBUTIONS:
        raise ConfigError(f"`--constraint {options.constraint}` has no tolerance unless `--objective lagrangian`.")


def objective_of(options: ObjectiveOptions) -> Objective:
    """A new objective of these options; every training needs one of its own, for some have a state.

    Raises
    ------
    ConfigError
        If an option has a value that makes no sense.
    """
    from fairheads.training import (
        Adversarial,
        GroupDRO,
        Lagrangian,
        Massaged,
        Penalized,
        Reweighted,
        TwoHeaded,
        Unconstrained,
    )

    number = options.number
    made: dict[str, Callable[[], Objective]] = {
        "unconstrained": Unconstrained,
        "penalized": lambda: Penalized(_constraint(options), number("weight")),
        "lagrangian": lambda: Lagrangian(_constraint(options), number("tolerance")),
        "adversarial": lambda: Adversarial(number("weight"), layer=options.layer, given_label=options.given_label),
        "reweighted": lambda: Reweighted(number("share")),
        "massaged": lambda: Massaged(number("share")),
        "group-dro": lambda: GroupDRO(number("rate")),
        "two-headed": TwoHeaded,
    }
    return made[options.objective]()


def _constraint(options: ObjectiveOptions) -> Constraint:
    from fairheads.constraints import constraint_from_dict

    plain: dict[str, Any] = {"name": options.constraint.replace("-", "_")}
    if options.constraint not in DISTRIBUTIONS:
        memory = options.memory
        if memory is None:
            # Constraints on rows of one label see few of them in a batch; multipliers swing where rates lag far behind.
            few = options.constraint != "demographic-parity"
            memory = (0.5 if options.objective == "lagrangian" else 0.9) if few else 0.0
        plain |= {"kind": options.penalty.replace("-", "_"), "memory": memory}
        if options.objective == "penalized":
            plain["tolerance"] = options.number("tolerance")
    return constraint_from_dict(plain)
