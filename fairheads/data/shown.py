"""Rows as a notebook shows them: how many of each group, and how many of these are recorded as favourable."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from fairheads.results import _tables as tables
from fairheads.results._words import clip, count, sentence
from fairheads.results.number import Number, undefined
from fairheads.results.shown import Displayed

LAST = "This does not say whether the recorded labels are right."


class ShownRows(Displayed):
    """What has a label in {0, 1} and a group for every row."""

    name: str
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    group_names: tuple[str, ...]

    @abstractmethod
    def _about(self) -> str:
        """What the rows hold, in a few words."""

    def summary(self) -> str:
        """Rows and recorded labels of every group as text of at most 100 columns."""
        return "\n".join([*tables.text_lines(self._groups()), LAST])

    def html(self) -> str:
        """The same as a table in an HTML fragment; everything that came from data is escaped."""
        table = self._groups()
        told = " ".join([f"{table.heading}.", *table.lead])
        return f"{tables.html_table(table._replace(lead=(told,)))}\n<p>{LAST}</p>"

    def _groups(self) -> tables.Table:
        title = f"{clip(self.name, 40)}: " if self.name else ""
        favourable = np.bincount(self.group, weights=self.y, minlength=len(self.group_names))
        n = np.bincount(self.group, minlength=len(self.group_names))
        rows = [
            (name, int(k), Number(value=float(f / k), n=int(k)) if k else undefined("there are no rows of the group"))
            for name, k, f in zip(self.group_names, n, favourable, strict=True)
        ]
        heading = f"{title}{count(len(self.y))} rows"
        return tables.Table(heading, (sentence(self._about()),), ("group", "rows", "favourable share"), tuple(rows))
