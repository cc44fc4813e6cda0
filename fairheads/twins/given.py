"""Twins that a caller brings: the same rows as the model's, none of them audited, no network twice."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fairheads.data import Dataset, RowRecord
from fairheads.errors import InputError
from fairheads.models import Bundle, weights_digest


def refuse_trained_on(twins: Sequence[object], data: Dataset | RowRecord) -> None:
    """Refuse rows, given as they are or by their record, that a twin was trained on, as far as bundles tell.

    Raises
    ------
    InputError
        If more of the rows equal a training row than duplicates explain.
    """
    for twin in twins:
        if isinstance(twin, Bundle) and twin.rows is not None:
            twin.rows.refuse_overlap(data, of="a twin")


def refuse_other_recipe(model: Bundle, twin: Bundle) -> None:
    """Refuse a twin whose record says another architecture or recipe than the model's, or a constraint.

    Raises
    ------
    InputError
    """
    mine, its = ({"architecture": (type(b.net), getattr(b.net, "config", None)), **b.training} for b in (model, twin))
    keys = ("architecture", "optimizer", "epochs", "batch_size", "learning_rate", "schedule")
    other = [key for key in keys if key in mine and key in its and mine[key] != its[key]]
    if other:
        raise InputError(f"twin {twin.name!r} differs from the model in {', '.join(other)}; it is no twin.")
    objective = its.get("objective", {"name": "unconstrained"})
    if objective.get("name") != "unconstrained" and objective.get("weight") != 0:
        raise InputError(f"twin {twin.name!r} was trained as {objective.get('name')!r}; twins are unconstrained.")


def same_rows(models: Sequence[object]) -> bool | None:
    """Whether all were trained on the same rows, by hash and multiplicity; None where one of them does not say."""
    rows = [model.rows if isinstance(model, Bundle) else None for model in models]
    digests = {None if record is None else record.digest for record in rows}
    return None if None in digests else len(digests) == 1


def refuse_twice(modules: Sequence[nn.Module]) -> None:
    """Refuse networks of which two have the same weights.

    Raises
    ------
    InputError
    """
    if len({weights_digest(module) for module in modules}) < len(modules):
        raise InputError("two of the twins, or a twin and the model, have the same weights; each must be trained anew.")
