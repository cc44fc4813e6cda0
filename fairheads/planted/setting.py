"""Rows, a recipe and a seed: what all networks of a study share, each trained once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.nets import TwoHeadNet
from fairheads.planted.estimate import GroupEstimate
from fairheads.planted.recipe import Recipe
from fairheads.planted.truth import scores, true_effect
from fairheads.planted.world import World
from fairheads.training import Objective, TwoHeaded, Unconstrained

TWIN_SEEDS = 500_000
"""Twins' seeds start here, away from those of the networks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What a planted network is made from. Networks that several classes start from are trained once and kept.

    Parameters
    ----------
    rows : Dataset
        To train on.
    validation : Dataset
        To find out how strong a head must be for parity.
    group : str
        The group that heads are planted for, compared with all others.
    recipe : Recipe
    seed : int
        Of the networks.
    world : World, optional
        Where the rows come from. Classes that ask for other rows, or for what the inputs mean, need it.

    Raises
    ------
    ConfigError
        If there is no such group.

    Examples
    --------
    >>> setting = Setting.drawn(World(), 600, seed=3)
    >>> len(setting.rows), setting.group
    (600, 'B')
    """

    rows: Dataset
    validation: Dataset
    group: str
    recipe: Recipe
    seed: int = 0
    world: World | None = None

    def __post_init__(self) -> None:
        if self.group not in self.rows.group_names:
            raise ConfigError(f"`group` must be one of {list(self.rows.group_names)}, got {self.group!r}.")

    @classmethod
    def drawn(
        cls, world: World, n: int, *, seed: int, recipe: Recipe | None = None, n_validation: int = 6000
    ) -> Setting:
        """``n`` rows of a world, validation rows beside them, and the usual recipe unless another is given.

        Each ``seed`` is an independent data set. The group is the second, B.
        """
        rows = world.draw(n, seed=_seed(seed, 0))
        return cls(
            rows=rows,
            validation=world.draw(n_validation, seed=_seed(seed, 1)),
            group=world.group_names[1],
            recipe=Recipe.usual(rows) if recipe is None else recipe,
            seed=seed,
            world=world,
        )

    def moved(
        self,
        *,
        gap: float | None = None,
        proxy: float | None = None,
        share: float | None = None,
        groups: int | None = None,
    ) -> Setting:
        """As many rows of a world that differs in these settings; itself where none differs.

        Raises
        ------
        ConfigError
            If the rows do not come from a world.
        """
        known = self.known_world
        world = replace(
            known,
            gap=known.gap if gap is None else gap,
            proxy=known.proxy if proxy is None else proxy,
            share=known.share if share is None else share,
            groups=known.groups if groups is None else groups,
        )
        if world == known:
            return self
        return Setting.drawn(
            world, len(self.rows), seed=self.seed, recipe=self.recipe, n_validation=len(self.validation)
        )

    @property
    def known_world(self) -> World:
        """The world, where there is one."""
        if self.world is None:
            raise ConfigError("this class needs rows of a World; make the setting with Setting.drawn.")
        return self.world

    def audit_rows(self, n: int) -> Dataset:
        """New rows of the world, on which nothing was trained or chosen."""
        return self.known_world.draw(n, seed=_seed(self.seed, 2))

    def true_effect_of(self, network: nn.Module, *, n: int = 4000) -> float:
        """T* of a network in the world, on new people."""
        return true_effect(network, self.known_world, n=n, seed=_seed(self.seed, 3), group=self.group)

    def trained(self, objective: Objective, rows: Dataset | None = None, *, net: nn.Module | None = None) -> nn.Module:
        """A network of the recipe and the setting's seed; by default on the setting's rows."""
        return self.recipe.train(self.rows if rows is None else rows, objective, seed=self.seed, net=net)

    @cached_property
    def unconstrained(self) -> nn.Module:
        """The network that heads are planted in."""
        return self.trained(Unconstrained())

    @cached_property
    def two_headed(self) -> TwoHeadNet:
        """A network trained for the task and the groups side by side."""
        groups = len(self.rows.group_names)
        two = TwoHeadNet(self.recipe.network(self.rows, self.seed), n_groups=groups, seed=self.seed)
        self.trained(TwoHeaded(), net=two)
        return two

    @cached_property
    def estimate(self) -> GroupEstimate:
        """Of the group, from the inputs of the training rows."""
        return GroupEstimate(self.rows, self.group)

    @property
    def validation_member(self) -> NDArray[np.bool_]:
        """Who of the validation rows is in the group."""
        member: NDArray[np.bool_] = self.validation.group == self.validation.group_names.index(self.group)
        return member

    @cached_property
    def validation_scores(self) -> NDArray[np.float64]:
        """Logits of the unconstrained network on the validation rows."""
        return scores(self.unconstrained, self.validation)


def twins_of(setting: Setting, n: int) -> tuple[nn.Module, ...]:
    """``n`` unconstrained networks of the same architecture, rows and recipe, from other seeds.

    Examples
    --------
    >>> setting = Setting.drawn(World(), 600, seed=0, recipe=Recipe(epochs=1))
    >>> len(twins_of(setting, 2))
    2
    """
    seeds = (_seed(setting.seed, TWIN_SEEDS + i) for i in range(n))
    return tuple(setting.recipe.train(setting.rows, Unconstrained(), seed=seed) for seed in seeds)


def _seed(seed: int, purpose: int) -> int:
    """A seed for one purpose, independent of the others."""
    return int(np.random.SeedSequence((seed, purpose)).generate_state(1)[0])
