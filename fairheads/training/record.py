"""Objectives from the plain records that they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairheads.constraints import constraint_from_dict
from fairheads.errors import ConfigError
from fairheads.training.adversarial import Adversarial
from fairheads.training.lagrangian import Lagrangian
from fairheads.training.massaged import Massaged
from fairheads.training.objective import Objective
from fairheads.training.penalized import Penalized, Unconstrained
from fairheads.training.tasks import task_of
from fairheads.training.two_headed import TwoHeaded
from fairheads.training.weighted import GroupDRO, Reweighted

OBJECTIVES: Mapping[str, type[Objective]] = {
    "unconstrained": Unconstrained,
    "penalized": Penalized,
    "lagrangian": Lagrangian,
    "adversarial": Adversarial,
    "reweighted": Reweighted,
    "massaged": Massaged,
    "group_dro": GroupDRO,
    "two_headed": TwoHeaded,
}
"""Every objective that a training record can name."""


def objective_from_dict(plain: Mapping[str, Any]) -> Objective:
    """The objective that ``plain`` (an `Objective.to_dict`) describes.

    Raises
    ------
    ConfigError
        On a name that does not exist, settings that its objective does not take, or a task of the caller's own.
    """
    settings = dict(plain)
    name = settings.pop("name", None)
    made = OBJECTIVES.get(name) if isinstance(name, str) else None
    if made is None:
        raise ConfigError(f"unknown objective in the training record: {dict(plain)}.")
    if "constraint" in settings:
        settings["constraint"] = constraint_from_dict(settings["constraint"])
    if "task" in settings:
        settings["task"] = task_of(settings["task"])
    try:
        return made(**settings)
    except TypeError as error:
        raise ConfigError(f"the record of the objective {name!r} has settings it does not take: {error}") from None
