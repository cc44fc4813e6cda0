"""The outputs of two heads on validation rows, checked once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairheads.errors import ConfigError, InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPACES = ("logit", "probability")


def combine(z_y: Floats, z_g: Floats, b: Floats, t: float) -> Floats:
    """``z_y + b . z_g + t``, added up output by output, so that a row's score does not depend on the other rows."""
    total = z_y
    for slope, output in zip(b, z_g.T, strict=True):
        total = total + slope * output
    return total + t


def in_space(z_y: Floats, z_g: Floats, space: str) -> tuple[Floats, Floats]:
    """The outputs as they are added up: as they are, or as probabilities."""
    if space not in SPACES:
        raise ConfigError(f"`space` must be one of {list(SPACES)}, got {space!r}.")
    if space == "logit":
        return z_y, z_g
    return np.asarray(special.expit(z_y)) - 0.5, np.clip(z_g, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Heads:
    """Rows as a merge sees them.

    Attributes
    ----------
    z_y : float64 (n,)
    z_g : float64 (n, m), by columns
    cell : int64 (n,)
        Twice the group's code plus the label. Rows without a recorded group have the code after the last.
    shape : (G, 2)
    groups : int
        Groups that are compared: the first of the G.
    """

    z_y: Floats
    z_g: Floats
    cell: Ints
    shape: tuple[int, int]
    groups: int

    def __len__(self) -> int:
        return len(self.z_y)

    @property
    def totals(self) -> Floats:
        """Rows of each group and label, (G, 2)."""
        return self.count(np.ones(len(self), bool)).astype(np.float64)

    @property
    def units(self) -> Floats:
        """One over the standard deviation of each group output, (m,); 0 for one that is the same in every row."""
        varies = np.ptp(self.z_g, axis=0) > 0
        return np.where(varies, 1 / np.where(varies, self.z_g.std(0), 1.0), 0.0)

    @property
    def scale(self) -> float:
        """Spread of the task logit, of which a few large logits are no measure: the quartiles' distance over 1.35."""
        low, high = np.quantile(self.z_y, (0.25, 0.75))
        return float(high - low) / 1.35 or float(self.z_y.std()) or 1.0

    def count(self, decision: NDArray[np.bool_]) -> Ints:
        """Selected rows of each group and label, (G, 2)."""
        found = np.bincount(self.cell[decision], minlength=self.shape[0] * 2)
        return np.asarray(found.reshape(self.shape), np.int64)

    def select(self, b: Floats, t: float) -> Ints:
        """Rows of each group and label that a merge selects, (G, 2)."""
        return self.count(combine(self.z_y, self.z_g, b, t) > 0)

    def take(self, rows: NDArray[np.int64]) -> Heads:
        """Some of the rows."""
        return Heads(self.z_y[rows], np.asfortranarray(self.z_g[rows]), self.cell[rows], self.shape, self.groups)


def group_codes(group: ArrayLike) -> Ints:
    """Codes of groups, (n,): whole numbers of any type, from 0; -1 where the group is not recorded.

    Raises
    ------
    InputError
        If one is not.
    """
    codes = np.asarray(group)
    if codes.ndim != 1 or codes.dtype.kind not in "iufb" or not (np.floor(codes) == codes).all():
        raise InputError(f"`group` must hold whole numbers from 0 (-1: not recorded), one a row, got {codes.dtype}.")
    if len(codes) and codes.min() < -1:
        raise InputError(f"`group` must hold codes from 0 (-1: not recorded), got {codes.min():g}.")
    return codes.astype(np.int64)


def heads_of_arrays(z_y: ArrayLike, z_g: ArrayLike, y: ArrayLike, group: ArrayLike, space: str) -> Heads:
    """The rows of arrays, checked.

    Raises
    ------
    InputError
        If lengths differ, an output is not finite, a label is not 0 or 1, or a group has no output or no rows.
    """
    task, outputs = np.asarray(z_y, np.float64), np.asarray(z_g, np.float64)
    labels, codes = np.asarray(y), np.asarray(group)
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    if task.ndim != 1 or outputs.ndim != 2 or labels.ndim != 1 or codes.ndim != 1:
        raise InputError(
            "`z_y`, `y` and `group` must be of shape (n,) and `z_g` (n,) or (n, groups), got"
            f" {task.shape}, {labels.shape}, {codes.shape} and {np.shape(z_g)}."
        )
    if not len(task) == len(outputs) == len(labels) == len(codes):
        raise InputError("`z_y`, `z_g`, `y` and `group` must have the same length.")
    for name, values in (("z_y", task), ("z_g", outputs)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise InputError(f"the logits must be finite, got {bad} NaN or infinite values in `{name}`.")
    if not np.isin(labels, (0, 1)).all():
        raise InputError("`y` must be 0 or 1 in every row (1 = favourable).")
    groups = 2 if outputs.shape[1] == 1 else outputs.shape[1]
    codes = group_codes(codes)
    if len(codes) and codes.max() >= groups:
        raise InputError(
            f"`group` must be from 0 to {groups - 1} in every row (-1: not recorded), got {codes.max()};"
            f" {outputs.shape[1]} group output{'' if outputs.shape[1] == 1 else 's'} tell {groups} groups apart."
        )
    sizes = np.bincount(codes[codes >= 0], minlength=groups)
    if (sizes == 0).any():
        raise InputError(f"every one of the {groups} groups must have rows here, got counts {sizes.tolist()}.")
    task, outputs = in_space(task, outputs, space)
    unknown = codes < 0
    cell = 2 * np.where(unknown, groups, codes) + labels.astype(np.int64)
    return Heads(task, np.asfortranarray(outputs), cell, (groups + bool(unknown.any()), 2), groups)
