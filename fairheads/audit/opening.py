"""How the models and twins of an audit, given as paths or in memory, become networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

from fairheads.activations import Network, Outcome, TorchNetwork, as_network
from fairheads.data import RowRecord
from fairheads.errors import ConfigError
from fairheads.models import Bundle, Opened, open_among, open_model
from fairheads.twins import TwinRecipe

Net = Network | nn.Module | ExportedProgram
Model = Opened | str | Path


def listed(twins: object) -> tuple[Model, ...] | TwinRecipe | None:
    """The twins one by one, whatever they come in: an iterator is used up when it is looked at once.

    Raises
    ------
    ConfigError
        If they are no list, or an empty one.
    """
    if twins is None or isinstance(twins, TwinRecipe):
        return twins
    one = isinstance(twins, str | nn.Module) and not isinstance(twins, nn.ModuleList)
    if one or not isinstance(twins, Iterable):
        raise ConfigError(f"`twins` must be a list of models or a TwinRecipe, got {type(twins).__name__}.")
    models = tuple(twins)
    if not models:
        raise ConfigError("`twins` must hold one model or more, got none; leave it out (None) where there are none.")
    return models


@dataclass(frozen=True)
class Opening:
    """How paths become models."""

    factory: str | None
    outcome: Outcome | None

    @classmethod
    def of(
        cls, factory: str | None, outcome: Outcome | None, model: Model, twins: Sequence[Model] | TwinRecipe | None
    ) -> Opening:
        """These settings, refused where there is nothing to open."""
        given = [model, *(() if twins is None or isinstance(twins, TwinRecipe) else twins)]
        if (factory is not None or outcome is not None) and not any(isinstance(each, str | Path) for each in given):
            raise ConfigError(
                "`factory` and `outcome` are for the paths of saved models, and none is given; of a network in memory"
                " say TorchNetwork(net, outcome=...)."
            )
        return cls(factory, outcome)

    def open(self, model: Model) -> Opened:
        """The model, if it is a path the one that is there."""
        if not isinstance(model, str | Path):
            return model
        return open_model(model, factory=self.factory, outcome=self.outcome)

    def open_twin(self, twin: Model) -> Opened:
        """A twin, which may be of another kind than the model."""
        if not isinstance(twin, str | Path):
            return twin
        return open_among(twin, factory=self.factory, outcome=self.outcome)

    def net(self, twin: Opened) -> Net:
        """The network of a twin; that of a bundle returns logits, whatever the outcome of others."""
        return net_of(twin) if self.outcome is None or not isinstance(twin, Bundle) else TorchNetwork(twin.net)


def net_of(model: Opened) -> Net:
    """The network of a model."""
    return model.net if isinstance(model, Bundle) else model


def module_of(model: Opened) -> nn.Module | None:
    """The torch module behind a model, where there is one."""
    network = as_network(net_of(model))
    return network.module if isinstance(network, TorchNetwork) else None


def recorded(model: Opened, twins: Sequence[Model] | TwinRecipe | None) -> Bundle | None:
    """What is known of a model's training; of a network in memory it is the record that a recipe brings."""
    if isinstance(model, Bundle) or not isinstance(twins, TwinRecipe):
        return model if isinstance(model, Bundle) else None
    module, record = module_of(model), dict(twins.record or {})
    if module is None:
        return None
    rows = RowRecord.of(twins.train_data) if twins.matches(module) else None
    return Bundle(net=module, training=record, rows=rows)
