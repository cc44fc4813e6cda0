"""Constraints on the whole distribution of scores: maximum mean discrepancy and the Wasserstein distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairheads.constraints import penalties
from fairheads.constraints.constraint import Constraint, Violations
from fairheads.constraints.precision import without_autocast
from fairheads.constraints.processes import joined_rows, joined_with_gradient
from fairheads.errors import ConfigError, InputError

NODES, REACH = 48, 7.0
"""Nodes of the quadrature of the kernel, and the bandwidths up to which its error stays below 1e-6."""


class DistributionConstraint(Constraint):
    """Equal distributions of scores in all groups, summed over pairs of groups.

    Parameters
    ----------
    given_label : bool
        Compare the scores of rows with the same label: equalized odds of distributions.
    groups, favourable, link, temperature
        See `Constraint`.
    """

    name: str

    def __init__(
        self,
        *,
        given_label: bool = False,
        groups: int | None = None,
        favourable: int | None = None,
        link: str = "sigmoid",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(groups=groups, favourable=favourable, link=link, temperature=temperature)
        self.by_label = self.within_label = given_label

    @without_autocast
    def forward(self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None) -> Tensor:
        return self._distances(self.scores(logits), y, group, strata).sum()

    @without_autocast
    def violations(
        self, logits: Tensor, y: Tensor, group: Tensor, strata: Tensor | None = None, *, tolerance: float
    ) -> Violations:
        """Distance of every pair of groups less ``tolerance``, (labels, pairs). A distribution has no hard version."""
        distances = self._distances(self.scores(logits), y, group, strata) - tolerance
        return Violations(distances, distances.detach())

    def to_dict(self) -> dict[str, Any]:
        given = {"given_label": True} if self.by_label else {}
        return {"name": self.name, **given, **super().to_dict()}

    def _distances(self, scores: Tensor, y: Tensor, group: Tensor, strata: Tensor | None) -> Tensor:
        """Distance of every pair of groups, (labels, pairs); 0 where a group has too few rows."""
        raise NotImplementedError


class mmd(DistributionConstraint):  # noqa: N801
    """Squared maximum mean discrepancy of scores under the Gaussian kernel ``exp(-d^2 / (2 bandwidth^2))``.

    The kernel is written as a sum of 48 cosines, so that an estimate takes time linear in the rows and is a function
    of sums. It is unbiased, so that it can fall below 0 near parity, and training does not shrink the spread of
    scores inside a group only to lower the noise of the estimate.

    Parameters
    ----------
    bandwidth : float
        In units of the score. Wide sees means, narrow sees shapes and needs more rows. Scores of the identity link may
        span 7 bandwidths (checked on the CPU); beyond, 48 cosines are no Gaussian kernel.
    given_label, groups, favourable, link, temperature
        See `DistributionConstraint`.

    References
    ----------
    Gretton et al., JMLR 2012, lemma 6; Rahimi and Recht, NeurIPS 2007; Zhao and Meng, Neural Computation 2015.

    Examples
    --------
    >>> import torch
    >>> p = torch.tensor([0.1, 0.2, 0.8, 0.9])
    >>> float(mmd(link="identity")(p, torch.zeros(4), torch.tensor([0, 0, 1, 1]))) > 1
    True
    """

    name = "mmd"

    def __init__(
        self,
        *,
        bandwidth: float = 0.2,
        given_label: bool = False,
        groups: int | None = None,
        favourable: int | None = None,
        link: str = "sigmoid",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(
            given_label=given_label, groups=groups, favourable=favourable, link=link, temperature=temperature
        )
        if not 0 < bandwidth < float("inf") or (link == "sigmoid" and bandwidth < 0.15):
            raise ConfigError(f"`bandwidth` must be above 0, and at least 0.15 for scores in [0, 1], got {bandwidth}.")
        self.bandwidth = bandwidth
        self._frequency, self._scale = self._nodes(torch.zeros((), dtype=torch.float64))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "bandwidth": self.bandwidth}

    def _nodes(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss-Hermite: the kernel is the mean of cos(w d) over w ~ N(0, 1 / bandwidth^2); nodes are pairs +-w."""
        nodes, weights = np.polynomial.hermite.hermgauss(NODES)
        frequency = torch.as_tensor(nodes[NODES // 2 :] * np.sqrt(2) / self.bandwidth)
        scale = torch.as_tensor(np.sqrt(2 * weights[NODES // 2 :] / np.sqrt(np.pi)))
        return frequency.to(like), scale.to(like)

    def _distances(self, scores: Tensor, y: Tensor, group: Tensor, strata: Tensor | None) -> Tensor:
        columns = self.assignment(y, group, strata, scores).matrix(scores)
        if scores.is_cpu and self.link == "identity" and len(scores):
            lowest, highest = (float(end) for end in torch.aminmax(scores.detach()))
            if highest - lowest > REACH * self.bandwidth:
                raise InputError(
                    f"the scores span {highest - lowest:.3g}, more than {REACH:g} times `bandwidth` ="
                    f" {self.bandwidth:g}, up to which the kernel holds; take a wider one."
                )
        if self._frequency.dtype != scores.dtype or self._frequency.device != scores.device:
            self._frequency, self._scale = self._nodes(scores)
        angle, scale = scores[:, None] * self._frequency, self._scale
        features = torch.cat([angle.cos() * scale, angle.sin() * scale, torch.ones_like(scores)[:, None]], dim=1)
        sums = joined_with_gradient(torch.cat([features.T @ columns, (columns * columns).sum(0)[None]]))
        total, rows, squares = sums[:-2], sums[-2], sums[-1]
        mean = total / rows.clamp(min=1e-12)
        # Pairs of a row with itself have kernel 1; without them the estimate is unbiased.
        others = rows * rows - squares
        defined = others > 1e-9
        within = ((total * total).sum(0) - squares) / torch.where(defined, others, 1.0)
        blocks = 2 if self.by_label else 1
        mean = mean.reshape(len(mean), blocks, -1)
        within, defined = within.reshape(blocks, -1), defined.reshape(blocks, -1)
        first, second = penalties.pairs(within.shape[1], within.device)
        cross = (mean[:, :, first] * mean[:, :, second]).sum(0)
        distance = within[:, first] + within[:, second] - 2 * cross
        return torch.where(defined[:, first] & defined[:, second], distance, 0.0)


class wasserstein(DistributionConstraint):  # noqa: N801
    """Wasserstein-1 distance of scores: the area between the distribution functions of two groups.

    Settings are those of `DistributionConstraint`. 0 demands equal selection rates at every threshold. A batch sorts
    its scores once; chance keeps the distance above 0 in small batches.

    References
    ----------
    Jiang et al., Wasserstein fair classification, UAI 2019 (arXiv 1907.12059).

    Examples
    --------
    >>> import torch
    >>> p = torch.tensor([0.1, 0.2, 0.8, 0.9])
    >>> wasserstein(link="identity")(p, torch.zeros(4), torch.tensor([0, 0, 1, 1]))
    tensor(0.7000)
    """

    name = "wasserstein"

    def _distances(self, scores: Tensor, y: Tensor, group: Tensor, strata: Tensor | None) -> Tensor:
        scores, columns = joined_rows(scores, self.assignment(y, group, strata, scores).matrix(scores))
        order = scores.detach().argsort()
        scores, columns = scores[order], columns[order]
        total = columns.sum(0)
        blocks = 2 if self.by_label else 1
        defined = (total > 0).reshape(blocks, -1)
        share = (columns.cumsum(0) / total.clamp(min=1e-12)).reshape(len(scores), *defined.shape)[:-1]
        first, second = penalties.pairs(share.shape[2], share.device)
        apart = (share[:, :, first] - share[:, :, second]).abs()
        distance = torch.einsum("n,nbp->bp", scores[1:] - scores[:-1], apart)
        return torch.where(defined[:, first] & defined[:, second], distance, 0.0)
