"""The model and its twins as they are given, opened, and refused where a self-test of them would say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram, UnflattenedModule

from fairheads.activations import Network, TorchNetwork, as_network
from fairheads.data import Dataset, RowRecord
from fairheads.errors import ConfigError, InputError
from fairheads.models import Bundle, open_model
from fairheads.models.scikit import refuse_other_columns
from fairheads.twins import TwinRecipe
from fairheads.twins.given import refuse_trained_on, refuse_twice, same_rows

Model = Network | nn.Module | ExportedProgram | Bundle | str | Path

FEWEST = 3
"""Twins: beside each there must be two others."""


@dataclass(frozen=True, eq=False)
class Given:
    """Model and twins, opened, and what is known about their training rows."""

    model: Network | nn.Module
    name: str
    twins: Sequence[nn.Module]
    train_data: Dataset | None
    disjoint: bool | None
    matched: bool | None

    def network(self, layers: Sequence[str] | None) -> Network:
        return as_network(self.model, layers=layers)


def given_networks(
    model: Model,
    twins: Sequence[Model] | TwinRecipe,
    data: Dataset,
    train_data: Dataset | None,
    name: str = "",
) -> Given:
    """Open the model, open or train the twins, and refuse rows that they were trained on and twins that are few."""
    opened = _open(model)
    bundle = opened if isinstance(opened, Bundle) else None
    if bundle is not None and bundle.rows is not None:
        bundle.rows.refuse_overlap(data)
    matched: bool | None = None
    if isinstance(twins, TwinRecipe):
        refuse_few(twins.n)
        if isinstance(opened, Network):
            raise ConfigError("a TwinRecipe needs a bundle or an nn.Module that it can train anew; pass trained twins.")
        RowRecord.of(twins.train_data).refuse_overlap(data, of="a twin")
        matched, train_data = twins.matches(opened), twins.train_data if train_data is None else train_data
        nets: list[nn.Module] = list(twins.train(opened))
    else:
        refuse_few(len(twins))
        others = [_open(twin) for twin in twins]
        refuse_trained_on(others, data)
        matched = same_rows([opened, *others])
        nets = [_module(each) for each in others]
    refuse_other_columns(opened, data)
    own = _module_behind(opened)
    refuse_twice([*nets, *(() if own is None else (own,))])
    if train_data is not None:
        RowRecord.of(train_data).refuse_overlap(data, of="the group heads")
        if train_data.group_names != data.group_names:
            raise InputError(
                f"`train_data` must have the groups of `data`, {list(data.group_names)}, got"
                f" {list(train_data.group_names)}."
            )
    return Given(
        model=bundle.net if bundle is not None else opened if not isinstance(opened, Bundle) else opened.net,
        name=(bundle.name if bundle is not None else "")
        or name
        or (Path(model).absolute().name if isinstance(model, str | Path) else type(own or opened).__name__),
        twins=nets,
        train_data=train_data,
        disjoint=True if bundle is not None and bundle.rows is not None else None,
        matched=matched,
    )


def _open(model: Model) -> Network | nn.Module | Bundle:
    opened = open_model(model) if isinstance(model, str | Path) else model
    return as_network(opened) if isinstance(opened, ExportedProgram) else opened


def _module_behind(model: Network | nn.Module | Bundle) -> nn.Module | None:
    if isinstance(model, Bundle):
        return model.net
    module = model.module if isinstance(model, TorchNetwork) else model
    return module if isinstance(module, nn.Module) else None


def _module(twin: Network | nn.Module | Bundle) -> nn.Module:
    module = _module_behind(twin)
    if module is None or isinstance(module, UnflattenedModule):
        what = type(twin).__name__ if module is None else "an exported graph"
        raise ConfigError(f"`twins` must be torch modules, in which heads can be planted, got {what}.")
    return module


def refuse_few(n: int) -> None:
    """Refuse so few twins that not even two are left beside one; ask before they are trained."""
    if n < FEWEST:
        raise ConfigError(
            f"`twins` must be at least {FEWEST} networks (6 or more for a useful test), in each of which a head is"
            f" planted and audited beside the others, got {n}: pass trained ones, or"
            " `TwinRecipe(rows, n=6)` to train them (--twins 6)."
        )
