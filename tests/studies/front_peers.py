"""Two further peers of the front study, around the same network: OxonFair 0.3 and fairness_training 0.1.

Both are for this study only. ``fairness_training`` 0.1 declares no dependencies: it needs ``cvxpy``, ``cvxpylayers``
0.1.9 and ``diffcp`` beside it. The interface is that of `fairheads.estimators.Peer`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fairheads.data import Dataset
from fairheads.errors import InputError
from fairheads.estimators import Backbone, DecisionRule
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import TwoHeaded, train
from fairheads.twoheads import two_head_scores

Decisions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class OxonFairPeer:
    """OxonFair 0.3's ``DeepFairPredictor``: thresholds for the groups that a second head infers.

    The two-headed network is ours (`TwoHeaded`); OxonFair searches its coefficients on rows held out from training,
    for the best accuracy with the disparity at or below ``tolerance``. For equalized odds that disparity is the
    larger of the differences in true positive and true negative rates.

    Parameters
    ----------
    constraint : "demographic_parity" or "equalized_odds"
    tolerance : float
    known : bool
        Give it the recorded group of every row instead of the inferred one; its fast search.
    validation : float
        Share of the training rows on which it searches.
    backbone : Backbone

    References
    ----------
    Delaney et al., OxonFair: a flexible toolkit for algorithmic fairness, NeurIPS 2024.
    """

    constraint: str = "demographic_parity"
    tolerance: float = 0.02
    known: bool = False
    validation: float = 0.2
    backbone: Backbone = field(default_factory=Backbone)
    by_lot: Literal[False] = False

    @property
    def name(self) -> str:
        return "OxonFair 0.3, recorded groups" if self.known else "OxonFair 0.3"

    @property
    def reads_group(self) -> bool:
        return self.known

    def fit(self, train_rows: Dataset, seed: int = 0) -> DecisionRule:
        from oxonfair import DeepFairPredictor, group_metrics

        metric = {
            "demographic_parity": group_metrics.demographic_parity,
            "equalized_odds": group_metrics.equalized_odds_max,
        }[self.constraint]
        held = np.zeros(len(train_rows), bool)
        held[np.random.default_rng(seed).permutation(len(held))[: round(self.validation * len(held))]] = True
        rows, validation = train_rows.take(~held), train_rows.take(held)
        net = TwoHeadNet(MLP(_inputs(rows).shape[1], hidden=self.backbone.hidden, seed=seed), seed=seed)
        train(
            net,
            rows,
            TwoHeaded(),
            epochs=self.backbone.epochs,
            batch_size=self.backbone.batch_size,
            learning_rate=self.backbone.learning_rate,
            schedule=self.backbone.schedule,
            seed=seed,
        )
        logging.getLogger("oxonfair").setLevel(logging.ERROR)
        predictor = DeepFairPredictor(
            validation.y, two_head_scores(net, validation), validation.group, use_actual_groups=self.known
        )
        predictor.fit(group_metrics.accuracy, metric, self.tolerance)
        return _OxonFairRule(net, predictor)


@dataclass(frozen=True, eq=False)
class _OxonFairRule:
    net: TwoHeadNet
    predictor: Any

    def decide(self, test: Dataset, seed: int = 0) -> Decisions:
        rows = {"data": two_head_scores(self.net, test), "target": np.zeros(len(test), np.int64), "groups": test.group}
        return np.asarray(self.predictor.predict(rows)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class ProjectionPeer:
    """fairness_training 0.1: a layer that projects the probabilities of a batch onto those within the tolerance.

    What it bounds is the difference in mean probability within a batch of `Backbone.batch_size`, not that in
    decisions. The layer reads the recorded group, in training and when it decides. Its equalized odds read the label
    as well, which a row to decide does not have: there the network decides without the layer.

    Parameters
    ----------
    constraint : "demographic_parity" or "equalized_odds"
    tolerance : float
    backbone : Backbone
        Its ``schedule`` plays no part: the learning rate is constant.

    References
    ----------
    Troxell, Roemer and Montufar, Differentiable optimization layers for guaranteed fairness in deep learning, 2026.
    """

    constraint: str = "demographic_parity"
    tolerance: float = 0.02
    backbone: Backbone = field(default_factory=Backbone)
    by_lot: Literal[False] = False
    name: str = "fairness_training 0.1"

    @property
    def reads_group(self) -> bool:
        return self.constraint == "demographic_parity"

    def fit(self, train_rows: Dataset, seed: int = 0) -> DecisionRule:
        from fairness_training import FairModel, FairTrainer

        if len(train_rows.group_names) != 2:
            raise InputError(f"fairness_training takes two groups, got {list(train_rows.group_names)}.")
        X = _with_group(train_rows)
        net = nn.Sequential(MLP(X.shape[1] - 1, hidden=self.backbone.hidden, seed=seed), nn.Sigmoid())
        model = FairModel.wrap(
            net,
            protected_attr_idx=X.shape[1] - 1,
            input_dim=X.shape[1],
            fairness_tolerance=self.tolerance,
            fairness_metric={"demographic_parity": "mean_pred", "equalized_odds": "equalized_odds"}[self.constraint],
            prediction_bounds=(0.0, 1.0),
            exclude_protected_from_backbone=True,
        )
        loader = DataLoader(
            TensorDataset(X, torch.as_tensor(train_rows.y, dtype=torch.float32)[:, None]),
            batch_size=min(self.backbone.batch_size, len(X)),
            shuffle=True,
            drop_last=True,
            generator=torch.Generator().manual_seed(seed),
        )
        trainer = FairTrainer(model, _cross_entropy, torch.optim.Adam(net.parameters(), lr=self.backbone.learning_rate))
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(loader, epochs=self.backbone.epochs, verbose=0)
        return _ProjectionRule(model.eval(), self.reads_group, self.backbone.batch_size)


@dataclass(frozen=True, eq=False)
class _ProjectionRule:
    model: Any
    projected: bool
    batch_size: int

    def decide(self, test: Dataset, seed: int = 0) -> Decisions:
        X = _with_group(test)
        with torch.no_grad():
            if not self.projected:
                scores = self.model.ffnn(X)
            else:
                # A rest too small for the layer to bound joins the batch before it.
                cuts = max(1, len(X) // self.batch_size)
                parts = [self.model(part, inference=True) for part in torch.tensor_split(X, cuts)]
                scores = torch.cat(parts)
        return (scores[:, 0] > 0.5).numpy().astype(np.int64)


def _cross_entropy(p: Tensor, y: Tensor) -> Tensor:
    # The solver leaves probabilities a little outside [0, 1].
    return nn.functional.binary_cross_entropy(p.float().clamp(1e-6, 1 - 1e-6), y)


def _inputs(data: Dataset) -> NDArray[Any]:
    return next(iter(data.inputs.values()))


def _with_group(data: Dataset) -> Tensor:
    """The inputs and, as the last column, the group."""
    return torch.as_tensor(np.concatenate([_inputs(data), data.group[:, None]], axis=1), dtype=torch.float32)
