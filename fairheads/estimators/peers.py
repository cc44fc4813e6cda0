"""Fairlearn's three methods around the network of `ConstrainedClassifier`, for comparison side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError, DivergedError, InputError
from fairheads.estimators.constrained import ConstrainedClassifier
from fairheads.nets import MLP

Decisions = NDArray[np.int64]
PARITIES = ("demographic_parity", "equalized_odds")


class DecisionRule(Protocol):
    """What a peer makes of training rows."""

    def decide(self, test: Dataset, seed: int = 0) -> Decisions:
        """Decision of every row, 0 or 1, (n,); ``seed`` is for rules that decide by lot. Labels are not read."""
        ...


class Peer(Protocol):
    """A method to compare with: `ExponentiatedGradientPeer`, `ThresholdOptimizerPeer`, `AdversarialPeer`.

    Attributes
    ----------
    name : str
    constraint : "demographic_parity" or "equalized_odds"
    reads_group : bool
        Whether a decision needs the group of the row.
    by_lot : bool
        Whether a decision is drawn: equal rows can be decided differently.
    """

    @property
    def name(self) -> str: ...
    @property
    def constraint(self) -> str: ...
    @property
    def reads_group(self) -> bool: ...
    @property
    def by_lot(self) -> bool: ...

    def fit(self, train: Dataset, seed: int = 0) -> DecisionRule:
        """Train on these rows; ``seed`` is that of weights and of the order of rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """The network and training that all peers share; see `ConstrainedClassifier`."""

    hidden: Sequence[int] = (128, 128, 128)
    epochs: int = 8
    batch_size: int = 512
    learning_rate: float = 1e-3
    schedule: str = "cosine"

    def classifier(self, seed: int) -> ConstrainedClassifier:
        """The classifier without a constraint, not fitted."""
        return ConstrainedClassifier(
            hidden=self.hidden,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            random_state=seed,
        )


@dataclass(frozen=True, kw_only=True)
class ExponentiatedGradientPeer:
    """Fairlearn's ``ExponentiatedGradient``: a lottery over networks trained on rows weighted anew in each round.

    Parameters
    ----------
    constraint : "demographic_parity" or "equalized_odds"
    tolerance : float
        How far the rate of a group may lie from that of everybody (``difference_bound``); two groups may then differ
        by up to twice that.
    rounds : int
        Most rounds. Each trains at least one network: with 50 expect fifty to a hundred times the time of one.
    backbone : Backbone

    References
    ----------
    Agarwal et al., A reductions approach to fair classification, ICML 2018.
    """

    constraint: str = "demographic_parity"
    tolerance: float = 0.01
    rounds: int = 50
    backbone: Backbone = field(default_factory=Backbone)
    name: str = "Fairlearn ExponentiatedGradient"
    reads_group: Literal[False] = False
    by_lot: Literal[True] = True

    def __post_init__(self) -> None:
        _check(self.constraint)

    def fit(self, train: Dataset, seed: int = 0) -> DecisionRule:
        """Train the networks and their odds."""
        from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient

        moment = {"demographic_parity": DemographicParity, "equalized_odds": EqualizedOdds}[self.constraint]
        model = ExponentiatedGradient(
            self.backbone.classifier(seed), moment(difference_bound=self.tolerance), max_iter=self.rounds
        )
        with warnings.catch_warnings():
            # What pandas will one day refuse is Fairlearn's to change, and nothing that a caller could.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="fairlearn")
            warnings.filterwarnings("ignore", category=FutureWarning, module="fairlearn")
            model.fit(_inputs(train), train.y, sensitive_features=train.group)
        return _Rule(model, by_lot=True)


@dataclass(frozen=True, kw_only=True)
class ThresholdOptimizerPeer:
    """Fairlearn's ``ThresholdOptimizer``: a network without a constraint, and thresholds of its score for each group.

    It reads the group of every row it decides. Network and thresholds are fitted on the same rows.

    Parameters
    ----------
    constraint : "demographic_parity" or "equalized_odds"
    tolerance : float or None
        Difference in selection rates that is allowed; None is parity on the training rows, and all there is for
        equalized odds.
    grid : int
        Points of the grid of rates on which the thresholds are sought.
    backbone : Backbone

    References
    ----------
    Hardt, Price and Srebro, Equality of opportunity in supervised learning, NeurIPS 2016.
    """

    constraint: str = "demographic_parity"
    tolerance: float | None = None
    grid: int = 1000
    backbone: Backbone = field(default_factory=Backbone)
    name: str = "Fairlearn ThresholdOptimizer"
    reads_group: Literal[True] = True
    by_lot: Literal[True] = True

    def __post_init__(self) -> None:
        _check(self.constraint)
        if self.tolerance is not None and self.constraint == "equalized_odds":
            raise ConfigError("`tolerance` must be None for equalized odds: Fairlearn has no relaxed version of it.")

    def fit(self, train: Dataset, seed: int = 0) -> DecisionRule:
        """Train the network, then choose the thresholds."""
        from fairlearn.postprocessing import ThresholdOptimizer

        # An older Fairlearn has no `tol`: it is named only where it is wanted.
        tol = {} if self.tolerance is None else {"tol": self.tolerance}
        model = ThresholdOptimizer(
            estimator=self.backbone.classifier(seed),
            constraints=self.constraint,
            grid_size=self.grid,
            predict_method="predict_proba",
            **tol,
        )
        model.fit(_inputs(train), train.y, sensitive_features=train.group)
        return _Rule(model, by_lot=True, reads_group=True)


@dataclass(frozen=True, kw_only=True)
class AdversarialPeer:
    """Fairlearn's ``AdversarialFairnessClassifier``: the network against one that reads the group from its output.

    Parameters
    ----------
    constraint : "demographic_parity" or "equalized_odds"
    weight : float
        Fairlearn's ``alpha``: of the adversary's gradient.
    adversary : sequence of int
        Hidden widths of the adversary.
    published : bool
        Replace Fairlearn's training step by that of the paper, where the task's gradient loses its projection on
        the adversary's. For a weight matrix Fairlearn 0.15 takes the inner products of all pairs of rows in place
        of those of equal rows; on Adult 3 x 128 networks then collapse or diverge at nearly every weight.
    backbone : Backbone
        Its ``schedule`` plays no part: Fairlearn keeps the learning rate constant.

    Raises
    ------
    DivergedError
        By `fit`, when training reaches values that are not finite.

    References
    ----------
    Zhang, Lemoine and Mitchell, Mitigating unwanted biases with adversarial learning, AIES 2018, equation 1.
    """

    constraint: str = "demographic_parity"
    weight: float = 1.0
    adversary: Sequence[int] = (32,)
    published: bool = False
    backbone: Backbone = field(default_factory=Backbone)
    reads_group: Literal[False] = False
    by_lot: Literal[False] = False

    def __post_init__(self) -> None:
        _check(self.constraint)

    @property
    def name(self) -> str:
        return "Fairlearn AdversarialFairness" + (", step of the paper" if self.published else "")

    def fit(self, train: Dataset, seed: int = 0) -> DecisionRule:
        """Train both networks."""
        from fairlearn.adversarial import AdversarialFairnessClassifier

        X, groups = _inputs(train), len(train.group_names)
        width = 1 + (self.constraint == "equalized_odds")
        predictor = nn.Sequential(MLP(X.shape[1], hidden=self.backbone.hidden, seed=seed), nn.Sigmoid())
        # Two groups are one output, a probability; more are one logit each.
        # Tanh, because Fairlearn divides by the norm of the adversary's gradient, and dead units make that 0.
        outputs = 1 if groups == 2 else groups
        reader: nn.Module = MLP(width, hidden=self.adversary, activation="tanh", outputs=outputs, seed=seed + 1)
        model = AdversarialFairnessClassifier(
            backend=_published_step() if self.published else "torch",
            predictor_model=predictor,
            adversary_model=nn.Sequential(reader, nn.Sigmoid()) if groups == 2 else reader,
            constraints=self.constraint,
            learning_rate=self.backbone.learning_rate,
            alpha=self.weight,
            epochs=self.backbone.epochs,
            batch_size=min(self.backbone.batch_size, len(train)),
            shuffle=True,
            random_state=seed,
        )
        # Fairlearn seeds torch with 0 whatever `random_state` says; the order in which rows come carries our seed.
        order = np.random.default_rng(seed).permutation(len(train))
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            try:
                model.fit(X[order], train.y[order], sensitive_features=train.group[order])
            except RuntimeError as error:
                # What torch says of a probability that is not a number.
                if "between 0 and 1" not in str(error):
                    raise
                raise DivergedError(f"{self.name} diverged at weight {self.weight:g}; try another.") from error
        if not all(bool(p.isfinite().all()) for p in predictor.parameters()):
            raise DivergedError(f"{self.name} diverged at weight {self.weight:g}; try another.")
        return _Rule(model)


@dataclass(frozen=True, eq=False)
class _Rule:
    """A fitted Fairlearn model."""

    model: Any
    by_lot: bool = False
    reads_group: bool = False

    def decide(self, test: Dataset, seed: int = 0) -> Decisions:
        settings: dict[str, Any] = {"random_state": seed} if self.by_lot else {}
        if self.reads_group:
            settings["sensitive_features"] = test.group
        return np.asarray(self.model.predict(_inputs(test), **settings)).reshape(-1).astype(np.int64)


def _published_step() -> type:
    """Fairlearn's torch engine with the training step of the paper."""
    from fairlearn.adversarial._pytorch_engine import PytorchEngine

    class PublishedStep(PytorchEngine):  # type: ignore[misc]
        def train_step(self, X: Tensor, Y: Tensor, A: Tensor) -> tuple[float, float]:
            self.predictor_model.train()
            self.adversary_model.train()
            parameters = list(self.predictor_model.parameters())
            guess = self.predictor_model(X)
            task = self.predictor_loss(guess, Y)
            shown = torch.cat([guess, Y], dim=1) if self.base.pass_y_ else guess
            reading = self.adversary_loss(self.adversary_model(shown), A)
            wanted = torch.autograd.grad(task, parameters, retain_graph=True)
            self.adversary_optimizer.zero_grad()
            reading.backward()
            for parameter, gradient in zip(parameters, wanted, strict=True):
                helpful = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                along = (gradient * helpful).sum() / helpful.square().sum().clamp(min=1e-30)
                parameter.grad = gradient - (along + self.base.alpha) * helpful
            self.predictor_optimizer.step()
            self.adversary_optimizer.step()
            self.predictor_optimizer.zero_grad()
            return task.item(), reading.item()

    return PublishedStep


def _check(constraint: str) -> None:
    if constraint not in PARITIES:
        raise ConfigError(f"`constraint` must be one of {list(PARITIES)}, got {constraint!r}.")


def _inputs(data: Dataset) -> NDArray[Any]:
    if len(data.inputs) != 1 or (X := next(iter(data.inputs.values()))).ndim != 2:
        raise InputError(f"a peer takes rows of numbers (n, d), got {data!r}.")
    return X
