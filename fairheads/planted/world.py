"""Populations whose truth is known: people with merit and a group, seen as tables, images or tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fairheads.data import Dataset
from fairheads.errors import ConfigError
from fairheads.planted import images, tables, tokens
from fairheads.planted.people import People, group_letters, people

KINDS = {"table": tables, "image": images, "tokens": tokens}


@dataclass(frozen=True, kw_only=True)
class World:
    """A population of two or more groups, in which the label depends on merit alone.

    Merit is the mean of two independent parts, weighted 1 and ``even``: one is lower in every group but the first, the
    other is spread evenly. The inputs show each part with noise, and proxies of the group. The label is drawn from
    merit: given merit it does not depend on the group, so that an effect of the group at equal merit is the
    network's own.

    Parameters
    ----------
    kind : "table", "image" or "tokens"
        Twelve columns; images (channels, 12, 12) with a bar, a bar and a dot; sentences of 18 to 24 tokens. What one
        sees of merit and group is about as much in each.
    gap : float
        How much lower the merit of every group but the first is on average, in standard deviations; 0 for none, below
        0 for higher merit.
    proxy : float
        How far the proxies tell the groups apart, in standard deviations of each of four; 0 hides the group.
    share : float
        Share of all groups but the first together, in equal parts.
    groups : int
        Number of groups, called A, B, C ... A is the reference. Two to six.
    even : float
        Weight of the part of merit that has no gap. 0 leaves it out: then who drops what carries the gap loses all
        ranking within the groups.

    Raises
    ------
    ConfigError
        On an unknown kind or a number out of range.

    Examples
    --------
    >>> world = World(kind="table", gap=0.8)
    >>> data = world.draw(1000, seed=0)
    >>> bool(data.y[data.group == 0].mean() > data.y[data.group == 1].mean())
    True
    >>> reference, group = world.pair(5, seed=0)
    >>> shown = reference.inputs["x"] != group.inputs["x"]
    >>> [name for name, differs in zip(reference.feature_names, shown.any(0), strict=True) if differs]
    ['proxy_0', 'proxy_1', 'proxy_2', 'proxy_3']
    """

    kind: str = "table"
    gap: float = 0.8
    proxy: float = 1.0
    share: float = 0.4
    groups: int = 2
    even: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"`kind` must be one of {sorted(KINDS)}, got {self.kind!r}.")
        if not 2 <= self.groups <= 6 or not 0 < self.share < 1 or self.even < 0:
            raise ConfigError(
                "`groups` must be from 2 to 6, `share` between 0 and 1 and `even` at least 0, got"
                f" {self.groups}, {self.share} and {self.even}."
            )

    @property
    def group_names(self) -> tuple[str, ...]:
        return group_letters(self.groups)

    @property
    def orientation(self) -> int:
        """Sign of the base rate of every other group minus that of the first: what turns an effect."""
        return -int(np.sign(self.gap))

    @cached_property
    def gapped_inputs(self) -> tuple[int, ...]:
        """Columns, channels or token ids through which the group can be seen: gapped merit, and the proxies."""
        found: tuple[int, ...] = KINDS[self.kind].gapped_inputs(self.groups)
        return found

    def draw(self, n: int, *, seed: int) -> Dataset:
        """``n`` people, each with the proxies of the own group."""
        rng = np.random.default_rng(seed)
        drawn = self._people(n, rng)
        return self._seen(drawn, drawn.group, rng)

    def pair(self, n: int, *, seed: int, group: str | None = None) -> tuple[Dataset, Dataset]:
        """The same ``n`` people twice: all with proxies of the first group, and all with those of ``group``.

        Merit, the label and all noise are the same in both; nothing but the proxies differs. The group codes are
        the people's own. By default the group is the second.
        """
        named = self.group_names[1] if group is None else group
        if named not in self.group_names:
            raise ConfigError(f"`group` must be one of {list(self.group_names)}, got {named!r}.")
        both = []
        for code in (0, self.group_names.index(named)):
            rng = np.random.default_rng(seed)
            drawn = self._people(n, rng)
            both.append(self._seen(drawn, np.full(n, code), rng))
        return both[0], both[1]

    def _people(self, n: int, rng: np.random.Generator) -> People:
        if n < self.groups:
            raise ConfigError(f"`n` must be at least one person for each of {self.groups} groups, got {n}.")
        return people(n, rng, groups=self.groups, share=self.share, gap=self.gap, even=self.even)

    def _seen(self, drawn: People, shown: NDArray[np.int64], rng: np.random.Generator) -> Dataset:
        inputs, names = KINDS[self.kind].inputs(drawn, shown, self.proxy, self.groups, rng)
        return Dataset(
            inputs, drawn.y, drawn.group, group_names=self.group_names, feature_names=names, name=f"{self.kind} world"
        )
