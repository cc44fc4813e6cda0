"""What it takes to train one twin anywhere: the network's architecture, the recipe, and what is done to the rows."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.nets import MLP, ResNet, Transformer, TwoHeadNet
from fairheads.training import TwoHeaded, objective_from_dict, train

SEED_BASE = 1_000_000
"""Twins' seeds start here, away from the seeds that people give their networks."""

PLACEBO_BASE = 2_000_000
"""Those of placebo twins."""

NETS: Mapping[str, type[nn.Module]] = {net.__name__: net for net in (MLP, ResNet, Transformer)}
"""Networks that are built again from their ``config`` and a seed."""

Factory = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Job:
    """How to train a twin of any seed, in plain data but for a ``factory`` that only this process has.

    Attributes
    ----------
    architecture : dict or None
        ``{"kind": name in NETS, **config}``; None where a factory builds the network.
    address : str or None
        ``module:function`` of the factory, where another process can import it.
    settings : dict
        Of `fairheads.training.train`.
    objective : dict
    merge : dict or None
        ``b`` and ``t`` of two heads that are trained and then merged.
    bootstrap : bool
        Whether a twin is trained on a bootstrap sample of the rows.
    permuted : bool
        Whether groups are permuted among the rows of a label.
    """

    architecture: dict[str, Any] | None
    address: str | None
    settings: dict[str, Any]
    objective: dict[str, Any]
    merge: dict[str, Any] | None = None
    bootstrap: bool = False
    permuted: bool = False
    factory: Factory | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for another process."""
        return asdict(replace(self, factory=None))

    def fresh(self, seed: int) -> nn.Module:
        """The network before training. A factory's random numbers are torch's, from ``seed``, whatever it does."""
        if self.architecture is not None:
            config = dict(self.architecture)
            kind = NETS[config.pop("kind")]
            net: nn.Module = kind(**config, seed=seed)
            return net
        factory = self.factory or imported(self.address or "")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = factory(seed)
        if not isinstance(net, nn.Module):
            raise ConfigError(f"`factory` must return an nn.Module, got {type(net).__name__}.")
        return net

    def key(self, seed: int, data: Dataset) -> str:
        """A name for the trained twin by everything that it depends on."""
        content = hashlib.sha256()
        for array in (*data.inputs.values(), data.y, data.group, *(() if data.strata is None else (data.strata,))):
            content.update(np.ascontiguousarray(array).data)
        made_with = {"torch": torch.__version__, "fairheads": version("fairheads"), "seed": seed}
        content.update(json.dumps({**self.to_dict(), **made_with}, sort_keys=True).encode())
        return content.hexdigest()[:32]

    def train(self, data: Dataset, seed: int, file: Path) -> None:
        """Train the twin of this seed and write its weights."""
        if self.bootstrap:
            data = data.take(np.random.default_rng(seed).integers(0, len(data), len(data)))
        if self.permuted:
            data = with_group(data, permuted_within(data.y, data.group, seed))
        net, objective = self.fresh(seed), objective_from_dict(self.objective)
        if isinstance(objective, TwoHeaded) and self.merge is not None:
            from fairheads.twoheads import Coefficients, merge_net  # a third of a worker's start, and rarely needed

            two = TwoHeadNet(net, n_groups=len(data.group_names), seed=seed)
            train(two, data, objective, seed=seed, **self.settings)
            b = self.merge["b"]
            net = merge_net(two, Coefficients(b=tuple(b) if isinstance(b, list) else b, t=self.merge["t"]), data)
        else:
            train(net, data, objective, seed=seed, **self.settings)
        part = file.with_name(f"{file.name}.{os.getpid()}")
        # Clones: weights that share memory cannot be written.
        part.write_bytes(save_tensors({k: v.detach().clone().contiguous() for k, v in net.state_dict().items()}))
        part.replace(file)

    def load(self, file: Path) -> nn.Module:
        """A trained twin."""
        net = self.fresh(SEED_BASE)
        net.load_state_dict(load_tensors(file.read_bytes()))
        return net.eval()


def permuted_within(y: NDArray[np.int64], group: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Groups permuted among the rows of each label: the gap in labels stays, what the inputs say of groups goes."""
    rng, permuted = np.random.default_rng(seed), group.copy()
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        permuted[rows] = group[rng.permutation(rows)]
    return permuted


def with_group(data: Dataset, group: NDArray[np.int64]) -> Dataset:
    """The same rows with other groups."""
    return Dataset(data.inputs, data.y, group, group_names=data.group_names, strata=data.strata, name=data.name)


def address_of(factory: Factory) -> str | None:
    """``module:function`` where another process can import it; None for a lambda, an inner function or a script's."""
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", "")
    if module in (None, "__main__") or module not in sys.modules:
        return None
    found: Any = sys.modules[module]
    for step in name.split("."):
        found = getattr(found, step, None)
    return f"{module}:{name}" if found is factory else None


def imported(address: str) -> Factory:
    """The factory at ``module:function``."""
    module, _, name = address.partition(":")
    found: Any = importlib.import_module(module)
    for step in name.split("."):
        found = getattr(found, step)
    if not callable(found):
        raise ConfigError(f"`factory` must be callable, got {address!r}.")
    made: Factory = found
    return made
