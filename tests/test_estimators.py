"""The scikit-learn classifiers: scikit-learn's own checks, groups, weights, and what is around them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fairheads.constraints import Constraint, demographic_parity, equal_opportunity, equalized_odds, mmd, wasserstein
from fairheads.data import Dataset
from fairheads.errors import ConfigError, FairheadsError, FairheadsWarning, InputError
from fairheads.estimators import ConstrainedClassifier, TwoHeadClassifier, Weighted
from fairheads.estimators.rows import folded, group_codes, held_out
from fairheads.nets import MLP, TwoHeadNet
from fairheads.training import (
    Adversarial,
    GroupDRO,
    Lagrangian,
    Massaged,
    Objective,
    Penalized,
    Reweighted,
    TwoHeaded,
    Unconstrained,
    cross_entropy,
    objective_from_dict,
    squared_error,
    train,
)

Arrays = tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]
QUICK: dict[str, Any] = {"hidden": (8,), "epochs": 10, "batch_size": 64, "learning_rate": 0.02}
LEARNT: dict[str, Any] = {"hidden": (8,), "epochs": 60, "batch_size": 32, "learning_rate": 0.02}
"""Long enough for the accuracy that scikit-learn's checks ask."""


class EverySecondRow(TwoHeadClassifier):
    """The checks call ``fit(X, y)``, but a two-headed network needs groups: here every second row is in one."""

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> EverySecondRow:
        if sensitive_features is None:
            n = X.shape[0] if hasattr(X, "shape") else len(np.asarray(X))
            sensitive_features = np.arange(n) % 2
        return super().fit(X, y, sensitive_features=sensitive_features)


ROUNDING = "training is in float32: weights and repeated rows agree to 1e-5, not to the 1e-7 that the check asks"
FAIL: dict[str, dict[str, str]] = {
    "ConstrainedClassifier": {"check_sample_weight_equivalence_on_dense_data": ROUNDING},
    "EverySecondRow": {},
}


@pytest.mark.slow
@parametrize_with_checks(
    [ConstrainedClassifier(**LEARNT), EverySecondRow(1.0, confidence=None, **LEARNT)],
    expected_failed_checks=lambda estimator: FAIL[type(estimator).__name__],
)
def test_scikit_learns_own_checks(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def rows(n: int = 600, seed: int = 0) -> Arrays:
    """Merit and a proxy of the group; women have the lower base rate."""
    rng = np.random.default_rng(seed)
    sex = rng.integers(0, 2, n)
    X = np.stack([rng.normal(size=n), sex + rng.normal(scale=0.5, size=n), rng.normal(50, 9, size=n)], axis=1)
    y = np.where(X[:, 0] + 1.2 * sex + rng.normal(scale=0.7, size=n) > 0.6, "yes", "no")
    return X, y, np.where(sex == 1, "m", "f")


def gap(decisions: NDArray[Any], sex: NDArray[Any]) -> float:
    chosen = decisions == "yes"
    return float(chosen[sex == "m"].mean() - chosen[sex == "f"].mean())


# --- what fit leaves behind ---------------------------------------------------------------------------------------


def test_a_constraint_narrows_the_gap_that_there_is_without() -> None:
    X, y, sex = rows()
    plain = ConstrainedClassifier(hidden=(16,), epochs=200, learning_rate=0.02).fit(X, y)
    held = clone(plain).set_params(objective=Lagrangian(demographic_parity(), 0.02))
    held.fit(X, y, sensitive_features=sex)
    assert gap(plain.predict(X), sex) > 0.3 and abs(gap(held.predict(X), sex)) < 0.08
    assert held.classes_.tolist() == ["no", "yes"] and held.groups_ == ("f", "m") and plain.groups_ == ("everybody",)
    assert held.n_features_in_ == 3 and len(held.history_.losses) == 200
    assert isinstance(held.objective_, Lagrangian) and held.objective_.multipliers.max() > 0
    assert isinstance(held.objective, Lagrangian) and held.objective.multipliers.numel() == 0, "what was given stays"


@pytest.mark.parametrize("made", [ConstrainedClassifier(**QUICK), TwoHeadClassifier(1.0, confidence=None, **QUICK)])
def test_the_network_takes_raw_rows_and_decides_like_the_estimator(made: ConstrainedClassifier) -> None:
    X, y, sex = rows()
    X = X * [1.0, 1000.0, 0.001] + [0.0, 5e5, 3.0]
    made = clone(made).fit(X, y, sensitive_features=sex)
    logits = made.decision_function(X)
    assert isinstance(made.network_, MLP) and logits.shape == (600,)
    with torch.no_grad():
        raw = made.network_(torch.tensor(X, dtype=torch.float32))[:, 0].numpy()
    np.testing.assert_allclose(raw, logits, atol=2e-3)
    probability = made.predict_proba(X)
    np.testing.assert_allclose(np.log(probability[:, 1] / probability[:, 0]), logits, atol=1e-9)
    assert ((logits > 0) == (made.predict(X) == "yes")).all() and 0.2 < (logits > 0).mean() < 0.9
    np.testing.assert_allclose(made.decision_function(X[:1]), logits[:1], rtol=1e-12)  # a row alone as among others


def test_folding_keeps_the_logits() -> None:
    X = np.stack([np.arange(50.0) * 3 + 1e4, np.full(50, 7.0)], axis=1)
    scaler, net = StandardScaler().fit(X), MLP(2, hidden=(4,)).double()
    before = net(torch.tensor(scaler.transform(X)))
    torch.testing.assert_close(folded(net, scaler)(torch.tensor(X)), before, rtol=1e-10, atol=1e-10)


def test_columns_that_lie_too_far_from_0_for_their_spread_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    X = np.stack([rng.normal(size=200), rng.normal(size=200) + 9e4, rng.normal(size=200) + 2e6], axis=1)
    y, sex = (X[:, 0] > 0).astype(int), np.arange(200) % 2
    for made in (ConstrainedClassifier(**QUICK), TwoHeadClassifier(max_gap=1.0, confidence=None, **QUICK)):
        made.fit(X[:, :2], y, sensitive_features=sex)
        with pytest.warns(FairheadsWarning, match=r"more than 100,000 standard deviations from 0 \(2\); .* Subtract"):
            made.fit(X, y, sensitive_features=sex)


def test_the_same_seed_gives_the_same_network_and_another_another(random_state_is_left_alone: None) -> None:
    X, y, sex = rows(200)
    first, same, other = (ConstrainedClassifier(**QUICK, random_state=s).fit(X, y) for s in (3, 3, 4))
    assert (first.decision_function(X) == same.decision_function(X)).all()
    assert (first.decision_function(X) != other.decision_function(X)).any()
    drawn = ConstrainedClassifier(**QUICK, random_state=np.random.RandomState(0)).fit(X, y)
    assert drawn.score(X, y) > 0.7
    heads = [TwoHeadClassifier(1.0, confidence=None, **QUICK).fit(X, y, sensitive_features=sex) for _ in range(2)]
    assert (heads[0].decision_function(X) == heads[1].decision_function(X)).all()


@pytest.mark.slow
def test_a_small_table_is_trained_for_500_steps_and_a_large_one_for_8_epochs() -> None:
    X, y, _ = rows(300)
    assert len(ConstrainedClassifier(hidden=(4,), batch_size=100).fit(X, y).history_.losses) == 167
    assert len(ConstrainedClassifier(hidden=(4,), batch_size=3).fit(X, y).history_.losses) == 8


def test_the_best_epoch_is_chosen_on_rows_of_their_own() -> None:
    X, y, sex = rows(300)
    made = ConstrainedClassifier(
        Penalized(demographic_parity(), 3.0), hidden=(64,), epochs=60, learning_rate=0.02, validation=0.3, patience=5
    ).fit(X, y, sensitive_features=sex)
    history = made.history_
    assert history.rows.n == 210 and history.best_epoch == int(np.argmin(history.validation)) + 1
    assert len(history.losses) < 60 and history.stopped is not None


FOLLOWED: list[Objective] = [
    Penalized(equalized_odds(), 1.0),
    Penalized(mmd(), 1.0),
    Lagrangian(equal_opportunity(memory=0.9), 0.05),
    Adversarial(1.0),
    Adversarial(1.0, layer="backbone.1"),
    Reweighted(),
    Massaged(),
]


@pytest.mark.parametrize(
    ("objective", "weighted"),
    [*((each, weighted) for each in FOLLOWED for weighted in (False, True)), (GroupDRO(), False)],
    ids=lambda value: type(value).__name__ if isinstance(value, Objective) else str(value),
)
def test_every_objective_can_be_followed(objective: Objective, weighted: bool) -> None:
    X, y, sex = rows(200)
    weight = np.linspace(0, 2, 200) if weighted else None
    made = ConstrainedClassifier(objective, hidden=(8,), epochs=20, batch_size=100, learning_rate=0.02, validation=0.2)
    made.fit(X, y, sensitive_features=sex, sample_weight=weight)
    assert made.score(X, y) > 0.7 and made.objective_.task is objective.task


# --- groups ---------------------------------------------------------------------------------------------------------


def test_groups_come_as_fairlearn_takes_them() -> None:
    sex, race = ["f", "m", "f", "m"], ["b", "b", "a", "a"]
    expected = [0, 1, 0, 1], ("f", "m")
    for given in (sex, np.array(sex), pd.Series(sex, index=[5, 6, 7, 8]), np.array(sex)[:, None], pd.Categorical(sex)):
        codes, names = group_codes(given, 4)
        assert (codes.tolist(), names) == expected
    both = pd.DataFrame({"sex": sex, "race": race})
    for frame in (both, both.to_numpy()):
        codes, names = group_codes(frame, 4)
        assert codes.tolist() == [1, 3, 0, 2] and names == ("f, a", "f, b", "m, a", "m, b")
    assert group_codes([10, 9, 10], 3)[1] == ("9", "10"), "numbers are sorted as numbers"
    assert group_codes(pd.Series([True, False]), 2)[1] == ("False", "True")
    assert group_codes([1, "a"], 2)[1] == ("1", "a")


@pytest.mark.parametrize("given", [["f", None], [1.0, float("nan")], pd.Series(["f", pd.NA]), ["f"], []])
def test_groups_that_are_missing_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match="`sensitive_features` must"):
        group_codes(given, 2)


def test_held_out_rows_have_their_share_of_every_cell() -> None:
    cells = np.repeat([0, 1, 2], [100, 50, 10])
    assert np.bincount(cells[held_out(cells, 0.3, seed=1)]).tolist() == [30, 15, 3]
    assert not held_out(cells, 0.0, seed=1).any()
    with pytest.raises(ConfigError, match="`validation`"):
        held_out(cells, 1.0, seed=1)
    with pytest.raises(InputError, match="too few rows"):
        held_out(np.arange(3), 0.2, seed=1)


# --- weights --------------------------------------------------------------------------------------------------------


def many(n: int = 60) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(n, generator=generator, dtype=torch.float64)
    y, group = (torch.randint(0, 2, (n,), generator=generator) for _ in range(2))
    return logits, y, group, torch.randint(0, 4, (n,), generator=generator)


@pytest.mark.parametrize(
    "objective",
    [
        Unconstrained(),
        Penalized(demographic_parity(), 2.0),
        Penalized(equalized_odds(kind="absolute"), 2.0),
        Lagrangian(demographic_parity(), 0.01),
        Lagrangian(equalized_odds(), 0.01),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_a_weight_is_a_row_repeated(objective: Objective) -> None:
    logits, y, group, times = many()
    weighted = Weighted(objective, times.numpy())
    numbers = torch.arange(len(y))
    repeated = numbers.repeat_interleave(times)
    again = [part[repeated] for part in (logits, y, group)]
    torch.testing.assert_close(weighted(logits, y, group, numbers), objective(*again), rtol=1e-6, atol=1e-6)
    assert weighted.judge(logits, y, group, numbers) == pytest.approx(objective.judge(*again), abs=1e-5)
    unweighted = objective(logits, y, group)
    assert abs(float(unweighted - objective(*again))) > 1e-3, "the weights here make a difference"


@pytest.mark.parametrize("constraint", [demographic_parity(), equalized_odds(), mmd(), wasserstein()])
def test_equal_weights_are_none(constraint: Constraint) -> None:
    logits, y, group, _ = many()
    objective = Penalized(constraint, 2.0)
    equal = Weighted(objective, np.full(len(y), 7.0))(logits, y, group, torch.arange(len(y)))
    torch.testing.assert_close(equal, objective(logits, y, group), rtol=1e-6, atol=1e-6)


def test_a_weighted_fit_is_the_fit_on_repeated_rows() -> None:
    X, y, sex = rows(200)
    times = np.random.default_rng(0).integers(0, 4, 200)
    made = ConstrainedClassifier(
        Penalized(demographic_parity(), 1.0), hidden=(8,), epochs=60, batch_size=1000, learning_rate=0.02
    )
    weighted = clone(made).fit(X, y, sensitive_features=sex, sample_weight=times)
    again = np.repeat(np.arange(200), times)
    repeated = clone(made).fit(X[again], y[again], sensitive_features=sex[again])
    plain = clone(made).fit(X, y, sensitive_features=sex)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-4)
    assert np.abs(plain.predict_proba(X) - repeated.predict_proba(X)).max() > 0.01


def test_a_row_of_weight_0_is_left_out() -> None:
    X, y, sex = rows(200)
    kept = np.arange(200) % 4 > 0
    made = ConstrainedClassifier(Lagrangian(demographic_parity(), 0.05), **{**QUICK, "batch_size": 1000, "epochs": 60})
    flipped = np.where(kept, y, np.where(y == "yes", "no", "yes"))
    weighted = clone(made).fit(X, flipped, sensitive_features=sex, sample_weight=kept * 3.0)
    without = clone(made).fit(X[kept], y[kept], sensitive_features=sex[kept])
    every = clone(made).fit(X, flipped, sensitive_features=sex)
    np.testing.assert_allclose(weighted.predict_proba(X), without.predict_proba(X), atol=1e-4)
    assert np.abs(every.predict_proba(X) - without.predict_proba(X)).max() > 0.05


def test_weights_hold_in_expectation_over_batches() -> None:
    """The mean gradient of all batches of one row is that of the repeated rows together."""
    logits, y, group, times = many()
    weighted = Weighted(Unconstrained(), times.numpy())
    single = [weighted(logits[i : i + 1], y[i : i + 1], group[i : i + 1], torch.tensor([i])) for i in range(len(y))]
    again = torch.arange(len(y)).repeat_interleave(times)
    expected = Unconstrained()(logits[again], y[again], group[again])
    torch.testing.assert_close(torch.stack(single).mean(), expected, rtol=1e-6, atol=1e-6)


def test_rows_are_judged_by_their_own_weights() -> None:
    """Held-out rows that happen to be heavy do not make the task's loss larger beside the penalty."""
    logits, y, group, times = many()
    objective, chosen = Penalized(demographic_parity(), 2.0), torch.arange(len(y))[times > 0][:20]
    again = chosen.repeat_interleave(times[chosen])
    said = Weighted(objective, times.numpy()).judge(logits[chosen], y[chosen], group[chosen], chosen)
    assert said == pytest.approx(objective.judge(logits[again], y[again], group[again]), abs=1e-6)
    with pytest.raises(InputError, match="judged on"):
        Weighted(objective, [0.0, 1.0]).judge(logits[:1], y[:1], group[:1], torch.tensor([0]))


def test_weights_meet_groups_in_every_form() -> None:
    logits, y, group, _ = many()
    objective, numbers = Penalized(demographic_parity(), 2.0), torch.arange(len(y))
    weighted = Weighted(objective, np.ones(len(y)))
    for form in (
        group.where(numbers > 9, -1),
        group + (numbers > 30),
        torch.nn.functional.one_hot(group, 2).double() * 0.8 + 0.1,
    ):
        torch.testing.assert_close(weighted(logits, y, form, numbers), objective(logits, y, form))


def test_a_weighted_objective_keeps_what_the_inner_one_needs() -> None:
    adversarial = Weighted(Adversarial(1.0, groups=2), [1.0, 2.0])
    assert len(list(adversarial.parameters())) == len(list(adversarial.objective.parameters())) > 0
    with pytest.raises(ConfigError, match="unknown objective"):
        objective_from_dict(adversarial.to_dict())
    inner = Lagrangian(demographic_parity(), 0.01)
    weighted = Weighted(inner, np.ones(60))
    logits, y, group, _ = many()
    weighted(logits, y, group, torch.arange(60))
    weighted.step()
    assert inner.multipliers.max() > 0 and inner.constraint.groups is None
    data = Dataset(np.eye(4), [0, 1, 0, 1], [0, 1, 2, 0], strata=np.arange(4))
    weighted = Weighted(Penalized(demographic_parity()), [1.0, 2.0, 0.0, 1.0])
    train(MLP(4, hidden=(4,)), data, weighted, epochs=2, batch_size=2)


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [1.0, float("nan")], [1.0, float("inf")], [[1.0], [1.0]]])
def test_weights_that_are_none_are_refused(weights: Any) -> None:
    with pytest.raises(InputError, match="`weights` must be"):
        Weighted(Unconstrained(), weights)
    with pytest.raises(InputError, match="`sample_weight` must be"):
        ConstrainedClassifier(**QUICK).fit([[0.0], [1.0]], [0, 1], sample_weight=weights)


def test_a_weight_needs_the_number_of_the_row() -> None:
    with pytest.raises(InputError, match="`strata`"):
        Weighted(Unconstrained(), [1.0])(torch.zeros(1), torch.zeros(1), torch.zeros(1))


# --- two heads ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_heads_are_merged_within_the_gap() -> None:
    X, y, sex = rows(4000)
    made = TwoHeadClassifier(0.05, confidence=None, hidden=(16,), epochs=30).fit(X, y, sensitive_features=sex)
    assert abs(made.gap_) <= 0.05 and made.gap_ == made.coefficients_.gap
    assert made.coefficients_.b < 0 and made.coefficients_.n == 800
    assert made.network_.head.out_features == 1 and made.two_head_.head.out_features == 2
    held = held_out((sex == "m") * 2 + (y == "yes"), 0.2, seed=0)
    assert gap(made.predict(X[held]), sex[held]) == pytest.approx(made.gap_) and held.sum() == 800
    wide = clone(made).set_params(max_gap=1.0).fit(X, y, sensitive_features=sex)
    others, labels, sexes = rows(4000, seed=1)
    assert abs(gap(made.predict(others), sexes)) < 0.12 < 0.2 < gap(wide.predict(others), sexes)
    assert 0.6 < made.score(others, labels) < wide.score(others, labels)
    sure = clone(made).set_params(confidence=0.95, max_gap=0.1).fit(X, y, sensitive_features=sex)
    assert abs(sure.gap_) < 0.1


@pytest.mark.parametrize("groups", [3, 5])
def test_two_heads_are_merged_for_any_number_of_groups(groups: int) -> None:
    rng = np.random.default_rng(1)
    n = 6000
    code = rng.integers(0, groups, n)
    X = np.stack([rng.normal(size=n), code / groups + rng.normal(scale=0.1, size=n), rng.normal(size=n)], axis=1)
    y = (X[:, 0] + 2.0 * code / groups + rng.normal(scale=0.5, size=n) > 1) * 1
    names = np.array(["c", "a", "b", "e", "d"])[code]
    made = TwoHeadClassifier(0.1, confidence=None, hidden=(16,), epochs=15, batch_size=128, learning_rate=0.01)
    made.fit(X[:4000], y[:4000], sensitive_features=names[:4000])
    assert made.groups_ == tuple(sorted(set(names))) and made.two_head_.n_groups == groups
    assert isinstance(made.coefficients_.b, tuple) and len(made.coefficients_.b) == groups
    assert made.network_.head.out_features == 1 and 0 <= made.gap_ <= 0.1

    def widest(decision: NDArray[Any]) -> float:
        rates = [decision[names[4000:] == name].mean() for name in made.groups_]
        return max(rates) - min(rates)

    wide = clone(made).set_params(max_gap=1.0).fit(X[:4000], y[:4000], sensitive_features=names[:4000])
    assert widest(made.predict(X[4000:])) < 0.2 < 0.4 < widest(wide.predict(X[4000:]))
    assert 0.6 < made.score(X[4000:], y[4000:]) < wide.score(X[4000:], y[4000:])


def test_two_heads_refuse_what_they_cannot_do() -> None:
    X, y, sex = rows(200)
    made = TwoHeadClassifier(**QUICK)
    with pytest.raises(InputError, match="`sensitive_features` must be given"):
        made.fit(X, y)
    with pytest.raises(InputError, match=r"at least two groups for a merge, got \['0.0'\]"):
        made.fit(X, y, sensitive_features=np.zeros(200))
    with pytest.raises(InputError, match=r"group '2' has too few rows \(1\) to train on some"):
        made.fit(X, y, sensitive_features=np.r_[2, np.arange(199) % 2])
    with pytest.raises(InputError, match="`validation` must be above 0"):
        clone(made).set_params(validation=0.0).fit(X, y, sensitive_features=sex)
    with pytest.raises(InputError, match="no merge keeps the gap"):
        clone(made).set_params(max_gap=0.0).fit(X, y, sensitive_features=sex)
    with pytest.raises(ConfigError, match="`max_gap`"):
        clone(made).set_params(max_gap=2.0).fit(X, y, sensitive_features=sex)


# --- bad settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objective": "lagrangian"}, "`objective` must be an Objective"),
        ({"objective": TwoHeaded()}, "TwoHeadClassifier"),
        ({"objective": Unconstrained(cross_entropy)}, "single logit"),
        ({"objective": Unconstrained(squared_error)}, "single logit"),
        ({"objective": Penalized(demographic_parity())}, "`sensitive_features` must be given: Penalized compares"),
        ({"epochs": 0}, "`epochs`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"schedule": "linear"}, "`schedule`"),
        ({"hidden": ()}, "widths"),
        ({"validation": -0.1}, "`validation`"),
        ({"patience": 3}, "`patience`"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], says: str) -> None:
    X, y, _ = rows(60)
    with pytest.raises(FairheadsError, match=says):
        ConstrainedClassifier(**{**QUICK, **settings}).fit(X, y)


def test_labels_that_are_not_two_are_refused() -> None:
    X = np.eye(4)
    with pytest.raises(InputError, match="Only binary classification"):
        ConstrainedClassifier().fit(X, [0, 1, 2, 0])
    with pytest.raises(InputError, match="one class: \\['a'\\]"):
        ConstrainedClassifier().fit(X, ["a"] * 4)


def test_a_group_that_is_alone_is_refused() -> None:
    X, y, _ = rows(60)
    with pytest.raises(InputError, match="at least two groups"):
        ConstrainedClassifier(Penalized(demographic_parity()), **QUICK).fit(X, y, sensitive_features=np.zeros(60))


# --- inside scikit-learn --------------------------------------------------------------------------------------------


def test_clones_and_pickles_predict_the_same() -> None:
    X, y, sex = rows(200)
    for made in (
        ConstrainedClassifier(Lagrangian(demographic_parity(memory=0.5)), **QUICK),
        TwoHeadClassifier(0.3, confidence=None, **QUICK),
    ):
        made.fit(X, y, sensitive_features=sex)
        back = pickle.loads(pickle.dumps(made))
        assert (back.decision_function(X) == made.decision_function(X)).all()
        copied = clone(made)
        assert not hasattr(copied, "network_") and copied.get_params().keys() == made.get_params().keys()
        copied.fit(X, y, sensitive_features=sex)
        assert (copied.decision_function(X) == made.decision_function(X)).all()


def test_a_grid_search_hands_groups_to_every_fold() -> None:
    X, y, sex = rows(400)
    frame = pd.DataFrame(X, columns=["merit", "proxy", "age"])
    objectives = [Penalized(demographic_parity(), weight) for weight in (0.0, 30.0)]
    search = GridSearchCV(ConstrainedClassifier(**QUICK), {"objective": objectives}, cv=2)
    search.fit(frame, y, sensitive_features=sex)
    assert search.best_params_["objective"].weight == 0.0, "accuracy alone is best without a constraint"
    assert search.best_estimator_.feature_names_in_.tolist() == ["merit", "proxy", "age"]
    heads = GridSearchCV(TwoHeadClassifier(confidence=None, **QUICK), {"max_gap": [0.2, 0.9]}, cv=2)
    assert heads.fit(X, y, sensitive_features=pd.Series(sex)).best_score_ > 0.6


def test_a_pipeline_hands_groups_on() -> None:
    X, y, sex = rows(200)
    last = ConstrainedClassifier(Penalized(demographic_parity(), 30.0), **QUICK)
    pipeline = make_pipeline(FunctionTransformer(lambda Z: Z[:, :2]), last)
    pipeline.fit(X, y, constrainedclassifier__sensitive_features=sex)
    assert pipeline[-1].n_features_in_ == 2 and abs(gap(pipeline.predict(X), sex)) < 0.25


def test_metadata_are_routed() -> None:
    X, y, sex = rows(200)
    last = ConstrainedClassifier(Penalized(demographic_parity(), 1.0), **QUICK)
    with sklearn.config_context(enable_metadata_routing=True):
        last.set_fit_request(sensitive_features=True, sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), last)
        scores = cross_val_score(
            pipeline, X, y, cv=2, params={"sensitive_features": sex, "sample_weight": np.ones(200)}
        )
        assert scores.mean() > 0.6
        heads = TwoHeadClassifier(confidence=None, max_gap=0.9, **QUICK).set_fit_request(sensitive_features=True)
        assert cross_val_score(heads, X, y, cv=2, params={"sensitive_features": sex}).mean() > 0.6


def test_two_heads_learn_from_weighted_rows() -> None:
    X, y, sex = rows(200)
    data = Dataset(X, (y == "yes") * 1, (sex == "m") * 1, strata=np.arange(200))
    nets = [TwoHeadNet(MLP(3, hidden=(4,), seed=1), seed=1) for _ in range(3)]
    for net, weights in zip(nets, (np.ones(200), np.full(200, 2.0), 1.0 + data.y), strict=True):
        objective = Weighted(TwoHeaded(), weights)
        train(net, data, objective, epochs=1, batch_size=50)
        assert objective.outputs == 2
    assert torch.equal(nets[0].head.weight, nets[1].head.weight) and not torch.equal(
        nets[0].head.weight, nets[2].head.weight
    )


def test_weights_beside_group_dro_are_refused() -> None:
    with pytest.raises(ConfigError, match="`GroupDRO` weighs rows"):
        Weighted(GroupDRO(), [1.0, 2.0])
