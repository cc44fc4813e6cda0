"""The two-headed network and its merge, as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from sklearn.preprocessing import StandardScaler

from fairheads.data import Dataset
from fairheads.errors import InputError
from fairheads.estimators.classifier import NetworkClassifier, epochs_of
from fairheads.estimators.rows import folded, group_codes, held_out
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import TwoHeaded, train
from fairheads.twoheads import Coefficients, Frontier, fit_frontier, heads_of, merge_net


class TwoHeadClassifier(NetworkClassifier):
    """A network with a task head and a group head, merged into one head whose selection rates differ little.

    The network learns label and group side by side, of any number of groups. On rows held out from training,
    coefficients of ``1[z_y + b . z_g + t > 0]`` are chosen that are most accurate within ``max_gap``; merged, the
    network has one logit and does not need the group of a row.

    Parameters
    ----------
    max_gap : float
        Largest difference in selection rate between two groups.
    confidence : float or None
        That the gap holds on new rows as well, see `fairheads.twoheads.Frontier.at`; None asks ``max_gap`` of the
        held-out rows alone, and small tables or groups leave no other choice.
    validation : float in (0, 1)
        Share of the rows of every class and group that is held out to choose the coefficients. More makes the gap
        more certain, and leaves fewer rows to learn from.
    hidden, epochs, batch_size, learning_rate, schedule, random_state
        As in `ConstrainedClassifier`.

    Attributes
    ----------
    network_ : MLP
        The merged network: takes X as it is, and returns (n, 1) logits of ``classes_[1]``.
    two_head_ : TwoHeadNet
        The network before it was merged; takes standardised inputs.
    coefficients_ : Coefficients
        b (a number for two groups, else one a group in the order of ``groups_``) and t, with their accuracy and gap on
        the held-out rows.
    gap_ : float
        Of two groups the selection rate of ``groups_[1]`` minus that of ``groups_[0]`` on the held-out rows; of more
        the largest rate minus the smallest.
    frontier_ : Frontier
        Every merge that could have been chosen.
    history_, classes_, groups_, n_features_in_, feature_names_in_
        As in `ConstrainedClassifier`.

    Raises
    ------
    InputError
        If there are not two classes and at least two groups, a group has too few rows for some to be held out, or no
        merge keeps the gap: then the smallest that can be had is named.
    ConfigError
        On a setting outside its range.

    References
    ----------
    Lohaus et al., Are Two Heads the Same as One?, NeurIPS 2022 (arXiv 2204.04440), section 5.

    Notes
    -----
    The merged network treats people of equal merit differently because of the group it infers; that is what the
    method is for. The choice of coefficients counts rows, so `fit` takes no ``sample_weight``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(0, 2, 2000)
    >>> X = np.stack([rng.normal(size=2000), sex + rng.normal(scale=0.5, size=2000)], axis=1)
    >>> y = (X[:, 0] + sex + rng.normal(size=2000) > 0.5) * 1
    >>> classifier = TwoHeadClassifier(0.05, confidence=None, hidden=(16,)).fit(X, y, sensitive_features=sex)
    >>> classifier.coefficients_.b < 0, abs(classifier.gap_) <= 0.05
    (True, True)
    """

    two_head_: TwoHeadNet
    coefficients_: Coefficients
    frontier_: Frontier
    gap_: float
    groups_: tuple[str, ...]

    def __init__(
        self,
        max_gap: float = 0.05,
        *,
        confidence: float | None = 0.95,
        hidden: Sequence[int] = (128, 128, 128),
        epochs: int | None = None,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        schedule: str = "cosine",
        validation: float = 0.2,
        random_state: Any = 0,
    ) -> None:
        self.max_gap = max_gap
        self.confidence = confidence
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.validation = validation
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
        """Train both heads, choose the coefficients on held-out rows, and merge.

        Arguments are those of `ConstrainedClassifier.fit`; ``sensitive_features`` must hold at least two groups.
        """
        X, codes = self._checked(X, y)
        if sensitive_features is None:
            raise InputError("`sensitive_features` must be given: one of the two heads learns the group.")
        group, self.groups_ = group_codes(sensitive_features, len(X))
        if len(self.groups_) < 2:
            raise InputError(
                f"`sensitive_features` must hold at least two groups for a merge, got {list(self.groups_)}."
            )
        seed = self._seed()
        chosen = held_out(group * 2 + codes, self.validation, seed)
        if not chosen.any():
            raise InputError(
                "`validation` must be above 0: the coefficients are chosen on rows held out from training."
            )
        for code, name in enumerate(self.groups_):
            if not (chosen & (group == code)).any() or not (~chosen & (group == code)).any():
                raise InputError(
                    f"group {name!r} has too few rows ({int((group == code).sum())}) to train on some and choose the"
                    " coefficients on others; join it with another."
                )
        scaler = StandardScaler().fit(X[~chosen])
        rows = Dataset(
            scaler.transform(X),
            codes,
            group,
            group_names=self.groups_,
            feature_names=self._names(),
            name=type(self).__name__,
        )
        net = TwoHeadNet(MLP(X.shape[1], hidden=self.hidden, seed=seed), len(self.groups_), seed=seed)
        self.history_ = train(
            net,
            rows.take(~chosen),
            TwoHeaded(),
            epochs=epochs_of(self.epochs, int((~chosen).sum()), self.batch_size),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            seed=seed,
        )
        validation = rows.take(chosen)
        self.frontier_ = fit_frontier(*heads_of(net, validation), validation.y, validation.group)
        self.coefficients_ = self.frontier_.at(max_gap=self.max_gap, confidence=self.confidence)
        self.gap_ = self.coefficients_.gap
        self.two_head_ = net
        self.network_ = folded(cast(MLP, merge_net(net, self.coefficients_, validation)), scaler)
        return self
