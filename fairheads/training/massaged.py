"""Training on labels that were made independent of the group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError
from fairheads.training.objective import Objective, known_groups
from fairheads.training.tasks import Task, binary_cross_entropy


class Massaged(Objective):
    """The task's loss on labels of which the least certain were flipped until all groups have one base rate.

    Rows are ranked by a logistic regression on the inputs. In every group below the base rate of everybody the highest
    ranked rows with label 0 are promoted; in every group above it the lowest ranked rows with label 1 are demoted.

    Parameters
    ----------
    share : float in [0, 1]
        How much of that to do; 0 leaves the labels.
    task : callable
        See `Objective`.

    Raises
    ------
    ConfigError
        On a share outside [0, 1].
    InputError
        If the training rows are streamed: ranking needs all of them.

    References
    ----------
    Kamiran and Calders, KAIS 2012, algorithms 1 and 2 (massaging); for two groups the number of flips is theirs.

    Notes
    -----
    In a loop of your own train on ``Massaged().labels(data)``.

    Examples
    --------
    >>> X = np.arange(8.0)[:, None]
    >>> data = Dataset(X, [0, 0, 0, 1, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1])
    >>> Massaged().labels(data).tolist()
    [0, 0, 1, 1, 0, 0, 1, 1]
    """

    def __init__(self, share: float = 1.0, *, task: Task = binary_cross_entropy) -> None:
        super().__init__(task)
        if not 0 <= share <= 1:
            raise ConfigError(f"`share` must lie in [0, 1], got {share}.")
        self.share = share

    def labels(self, data: Dataset, score: ArrayLike | None = None) -> NDArray[np.int64]:
        """The labels to train on, (n,).

        ``score`` (n,) ranks the rows in place of the logistic regression: of images, whose pixels it cannot rank, that
        of a network trained on the recorded labels.
        """
        known_groups(data)
        y = data.y.copy()
        if len(np.unique(y)) < 2:
            return y
        score = _regressed(data) if score is None else np.asarray(score, np.float64)
        if score.shape != y.shape or not np.isfinite(score).all():
            raise InputError(f"`score` must be finite, with one entry per row of `data` ({len(y)}), got {score.shape}.")
        everybody = y.mean()
        for code in np.unique(data.group):
            rows = np.flatnonzero(data.group == code)
            surplus = round(self.share * float(y[rows].sum() - everybody * len(rows)))
            side = rows[y[rows] == (1 if surplus > 0 else 0)]
            # Ties go by position, so that the same rows are flipped wherever this runs.
            least_certain = side[np.argsort(score[side] if surplus > 0 else -score[side], kind="stable")]
            flipped = least_certain[: abs(surplus)]
            y[flipped] = 1 - y[flipped]
        return y

    def start(self, net: nn.Module, data: Dataset | Stream) -> Dataset | Stream:
        if not isinstance(data, Dataset):
            raise InputError("`Massaged` ranks all training rows; streamed rows cannot be ranked.")
        return data.relabelled(self.labels(data))

    def to_dict(self) -> dict[str, Any]:
        return {"name": "massaged", "share": self.share, **super().to_dict()}


def _regressed(data: Dataset) -> NDArray[np.float64]:
    """Score of a logistic regression of the label on all inputs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.concatenate([values.reshape(len(data), -1) for values in data.inputs.values()], axis=1)
    ranker = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    score: NDArray[np.float64] = ranker.fit(X, data.y).decision_function(X)
    return score
