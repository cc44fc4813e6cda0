"""The numbers that merge two heads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairheads.errors import InputError
from fairheads.twoheads.heads import combine, in_space

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coefficients:
    """A merge ``z_y + b . z_g + t``, with what is known of it on validation rows.

    Attributes
    ----------
    b : float or tuple of float
        A float where there is one group output (two groups), else one for each output.
    t : float
    space : "logit" or "probability"
        What is added up: the outputs as they are, or ``sigmoid(z_y) - 1/2 + b . clip(z_g, 0, 1) + t``, which no single
        linear head can give.
    accuracy : float
        On the validation rows, as all that follows; NaN where the coefficients were not chosen on rows.
    gap : float
        Two groups: signed, group 1 minus group 0, of equalized odds the difference of the larger size. More groups: the
        largest difference between two.
    selection_rate : float
        Of all rows.
    rates : tuple of float
        Selection rate of each group.
    n : int
        Validation rows.
    objective, gap_metric : str
        What was maximised, and which gap was limited.
    bound : float, optional
        Upper bound of the gap on new rows, at ``confidence``.
    confidence : float, optional
    """

    b: float | tuple[float, ...]
    t: float
    space: str = field(default="logit", kw_only=True)
    accuracy: float = field(default=math.nan, kw_only=True)
    gap: float = field(default=math.nan, kw_only=True)
    selection_rate: float = field(default=math.nan, kw_only=True)
    rates: tuple[float, ...] = field(default=(), kw_only=True)
    n: int = field(default=0, kw_only=True)
    objective: str = field(default="accuracy", kw_only=True)
    gap_metric: str = field(default="demographic_parity", kw_only=True)
    bound: float | None = field(default=None, kw_only=True)
    confidence: float | None = field(default=None, kw_only=True)

    @property
    def slopes(self) -> Floats:
        """b as an array (m,)."""
        return np.atleast_1d(np.asarray(self.b, np.float64))

    def score(self, z_y: ArrayLike, z_g: ArrayLike) -> Floats:
        """``z_y + b . z_g + t`` of rows, (n,); the decision is whether it is above 0.

        Raises
        ------
        InputError
            If ``z_g``, (n,) or (n, m), has not as many outputs as there are slopes.
        """
        outputs = np.asarray(z_g, np.float64)
        outputs = outputs[:, None] if outputs.ndim == 1 else outputs
        if outputs.ndim != 2 or outputs.shape[1] != len(self.slopes):
            raise InputError(f"`z_g` must have {len(self.slopes)} group outputs a row, got shape {np.shape(z_g)}.")
        task = np.asarray(z_y, np.float64)
        if task.shape != (len(outputs),):
            raise InputError(f"`z_y` must have one value per row of `z_g` ({len(outputs)}), got shape {task.shape}.")
        task, outputs = in_space(task, outputs, self.space)
        return combine(task, outputs, self.slopes, self.t)
