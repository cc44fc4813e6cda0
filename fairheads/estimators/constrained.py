"""A multi-layer perceptron trained for any objective, as a scikit-learn classifier."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.preprocessing import StandardScaler

from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.estimators.classifier import NetworkClassifier, epochs_of
from fairheads.estimators.rows import folded, group_codes, held_out
from fairheads.estimators.weighted import Weighted
from fairheads.nets import MLP
from fairheads.training import Objective, TwoHeaded, Unconstrained, cross_entropy, squared_error, train


class ConstrainedClassifier(NetworkClassifier):
    """A multi-layer perceptron for two classes, trained for an objective of `fairheads.training`.

    Parameters
    ----------
    objective : Objective, optional
        What training minimises; copied at `fit`, so that one object serves a grid search. None is `Unconstrained`.
    hidden : sequence of int
        Widths of the hidden layers.
    epochs : int, optional
        None is 8, or as many as make 500 steps where a table is small.
    batch_size, learning_rate, schedule
        See `fairheads.training.train`. Small batches make the rates of groups noisy, and a constraint with them.
    validation : float in [0, 1)
        Share of the rows of every class and group that is held out; after every epoch `Objective.judge` speaks on
        them, and the network keeps the weights of the best. 0 trains on all rows and keeps the last weights.
    patience : int, optional
        End after so many epochs without a better one; needs ``validation``.
    random_state : int, RandomState or None
        Of the weights, the order of the rows and the held-out rows.

    Attributes
    ----------
    network_ : MLP
        Takes X as it is, (n, n_features_in_) float32, and returns (n, 1) logits of ``classes_[1]``. Inputs are
        standardised for training; mean and scale are then folded into the first layer, which loses digits (and warns)
        where a column lies more than 100,000 standard deviations from 0.
    objective_ : Objective
        The copy that was trained along (multipliers, adversary).
    history_ : History
    classes_ : array (2,)
        The labels in sorted order. The second is the favourable outcome.
    groups_ : tuple of str
        Names of the groups, in the order of their codes.
    n_features_in_, feature_names_in_
        As in every scikit-learn estimator.

    Raises
    ------
    ConfigError
        On a setting outside its range (also those of `fairheads.training.train`).
    InputError
        If there are not two classes, rows do not fit together, or groups are missing that the objective compares.

    Notes
    -----
    Predictions do not read the group; `fit` does. What a constraint reaches on the training rows need not hold on
    others: measure it there, with `fairheads.metrics.disparity_report`.

    Examples
    --------
    >>> from fairheads.constraints import demographic_parity
    >>> from fairheads.training import Lagrangian
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(0, 2, 400)
    >>> X = np.stack([rng.normal(size=400), sex], axis=1)
    >>> y = np.where(X[:, 0] + X[:, 1] + rng.normal(size=400) > 0.5, "yes", "no")
    >>> classifier = ConstrainedClassifier(Lagrangian(demographic_parity(), tolerance=0.02), hidden=(16,))
    >>> selected = classifier.fit(X, y, sensitive_features=sex).predict(X) == "yes"
    >>> bool(abs(selected[sex == 1].mean() - selected[sex == 0].mean()) < 0.1)
    True
    """

    objective_: Objective
    groups_: tuple[str, ...]

    def __init__(
        self,
        objective: Objective | None = None,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        epochs: int | None = None,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        schedule: str = "cosine",
        validation: float = 0.0,
        patience: int | None = None,
        random_state: Any = 0,
    ) -> None:
        self.objective = objective
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.validation = validation
        self.patience = patience
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None, sample_weight: Any = None) -> Self:
        """Train a network of its own.

        Parameters
        ----------
        X : array or DataFrame (n, d) of numbers
        y : array (n,)
            Two distinct values; the one that sorts last is the favourable outcome.
        sensitive_features : list, array, Series or DataFrame (n,) or (n, k), optional
            The group of every row, as Fairlearn takes it; of several columns their intersection. Needed unless the
            objective is `Unconstrained`.
        sample_weight : array (n,), optional
            See `Weighted`.
        """
        X, codes = self._checked(X, y)
        objective = self._objective()
        if sensitive_features is None and not isinstance(objective, Unconstrained):
            raise InputError(f"`sensitive_features` must be given: {type(objective).__name__} compares groups.")
        none = np.zeros(len(X), np.int64), ("everybody",)
        group, self.groups_ = none if sensitive_features is None else group_codes(sensitive_features, len(X))
        weight = None if sample_weight is None else _weights(sample_weight, len(X))
        seed = self._seed()
        chosen = held_out(group * 2 + codes, self.validation, seed)
        scaler = StandardScaler().fit(X[~chosen], sample_weight=None if weight is None else weight[~chosen])
        rows = Dataset(
            scaler.transform(X),
            codes,
            group,
            group_names=self.groups_,
            feature_names=self._names(),
            name=type(self).__name__,
            strata=None if weight is None else np.arange(len(X)),
        )
        net = MLP(X.shape[1], hidden=self.hidden, seed=seed)
        self.history_ = train(
            net,
            rows.take(~chosen),
            objective if weight is None else Weighted(objective, weight),
            epochs=epochs_of(self.epochs, int((~chosen).sum()), self.batch_size),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            seed=seed,
            validation=rows.take(chosen) if chosen.any() else None,
            patience=self.patience,
        )
        self.objective_, self.network_ = objective, folded(net, scaler)
        return self

    def _objective(self) -> Objective:
        if self.objective is None:
            return Unconstrained()
        if not isinstance(self.objective, Objective):
            raise ConfigError(f"`objective` must be an Objective or None, got {type(self.objective).__name__}.")
        if isinstance(self.objective, TwoHeaded) or self.objective.task in (cross_entropy, squared_error):
            raise ConfigError(
                f"`objective` must be one for a single logit, got {type(self.objective).__name__} with"
                f" {self.objective.to_dict()}; for two heads use `TwoHeadClassifier`."
            )
        return copy.deepcopy(self.objective)


def _weights(sample_weight: Any, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    weight = np.asarray(sample_weight, np.float64)
    if weight.shape != (n,):
        raise InputError(f"`sample_weight` must be of shape ({n},), got {weight.shape}.")
    if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
        raise InputError("`sample_weight` must be finite, at least 0 and not zero in every row.")
    return weight
