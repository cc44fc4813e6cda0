"""What both estimators share: checks of X and y, the network's settings, predictions."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from fairheads.errors import InputError
from fairheads.nets import MLP
from fairheads.training import History

EPOCHS, STEPS = 8, 500
"""Without a number of epochs: so many, and at least so many steps."""

Floats = NDArray[np.float64]


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A binary classifier whose fitted state is ``network_``, which takes X as it is and returns one logit a row."""

    network_: MLP
    history_: History
    classes_: NDArray[Any]
    n_features_in_: int
    random_state: Any

    def decision_function(self, X: Any) -> Floats:
        """Logit of ``classes_[1]`` for every row, (n,); above 0 it is the decision.

        Computed in float64, so that which rows are passed together changes it by no more than rounding, some 1e-15.
        """
        check_is_fitted(self, "network_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        net = copy.deepcopy(self.network_).double()
        with torch.no_grad():
            logits: Floats = net(torch.tensor(X))[:, 0].numpy()
        return logits

    def predict_proba(self, X: Any) -> Floats:
        """Probability of both classes in the order of ``classes_``, (n, 2)."""
        logits = torch.from_numpy(self.decision_function(X))
        return np.asarray(torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).numpy())

    def predict(self, X: Any) -> NDArray[Any]:
        """The decision for every row, a value of ``classes_``, (n,)."""
        decisions = self.decision_function(X) > 0
        return np.asarray(self.classes_[decisions.astype(np.int64)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _checked(self, X: Any, y: Any) -> tuple[Floats, NDArray[np.int64]]:
        """X as numbers and y as 0 and 1; sets ``classes_`` and what scikit-learn keeps of X."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise InputError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"`y` must hold two classes, got one class: {self.classes_.tolist()}.")
        return X, codes.astype(np.int64)

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]


def epochs_of(epochs: int | None, rows: int, batch_size: int) -> int:
    """``epochs``, or where none are given as many as make a run of a small table long enough."""
    if epochs is not None or batch_size < 1:
        return EPOCHS if epochs is None else epochs
    return max(EPOCHS, math.ceil(STEPS / (rows // min(batch_size, rows))))
