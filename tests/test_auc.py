"""Ranking against scikit-learn, and differences at equal merit against a calculation by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairheads.metrics import auc, auc_within, merit_bins, stratified_difference

SEEDS = st.integers(0, 2**32 - 1)

# --- ranking -----------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(2, 80), st.sampled_from([2, 5, 1000]))
def test_auc_is_scikit_learns_ties_included(seed: int, n: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    y, score = rng.integers(0, 2, n), rng.integers(0, values, n) / 7
    assume(0 < y.sum() < n)
    assert auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    assert auc(1 - y, score) == pytest.approx(1 - auc(y, score), abs=1e-12)


def test_auc_of_one_class_is_undefined_and_of_perfect_scores_one() -> None:
    assert np.isnan(auc([1, 1], [0.0, 1.0])) and np.isnan(auc([0, 0], [0.0, 1.0]))
    assert auc([0, 1], [0.0, 1.0]) == 1.0 and auc([0, 1], [1.0, 0.0]) == 0.0 and auc([0, 1], [1.0, 1.0]) == 0.5


def test_auc_within_strata_is_the_pair_weighted_mean_of_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    stratum = rng.choice(4, 900, p=[0.5, 0.3, 0.15, 0.05])
    y = (rng.random(900) < 0.2 + 0.2 * stratum).astype(int)
    score = rng.normal(size=900) + 0.7 * y + 3.0 * stratum
    weight = [y[stratum == s].sum() * (1 - y[stratum == s]).sum() for s in range(4)]
    each = [roc_auc_score(y[stratum == s], score[stratum == s]) for s in range(4)]
    within = auc_within(y, score, stratum)
    assert within == pytest.approx(np.average(each, weights=weight), abs=1e-12)
    assert auc(y, score) > within + 0.05, "the stratum itself ranks here: pooled and within must differ"


def test_auc_within_leaves_out_strata_of_one_class_and_is_undefined_when_none_is_left() -> None:
    assert auc_within([0, 1, 1, 1], [0, 1, 5, 4], ["a", "a", "b", "b"]) == 1.0
    assert np.isnan(auc_within([0, 0, 1, 1], [0, 1, 2, 3], ["a", "a", "b", "b"]))


# --- differences at equal merit ----------------------------------------------------------------------------------


def test_merit_bins_hold_equal_counts_in_the_order_of_merit() -> None:
    merit = np.random.default_rng(0).permutation(1000) / 10
    bins = merit_bins(merit, 10)
    assert np.bincount(bins).tolist() == [100] * 10
    assert (np.diff(bins[np.argsort(merit)]) >= 0).all()


def test_stratified_difference_by_hand() -> None:
    merit = np.array([0.0] * 6 + [1.0] * 6)
    member = np.array([0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1])
    value = np.array([1.0, 3.0, 2.0, 2.0, 4.0, 6.0, 0.0, 0.0, 3.0, 2.0, 2.0, 5.0])
    # bin of merit 0: 5 - 2 = 3 with weight 2*4/6 = 4/3; bin of merit 1: 3 - 1 = 2 with weight 3*3/6 = 3/2
    difference, n = stratified_difference(value, member, merit, bins=2, minimum=2)
    assert difference == pytest.approx((3 * 4 / 3 + 2 * 3 / 2) / (4 / 3 + 3 / 2)) and n == 12
    difference, n = stratified_difference(value, member, merit, bins=2, minimum=3)
    assert difference == pytest.approx(2.0) and n == 6, "a bin with fewer than `minimum` on a side is left out"
    nothing, n = stratified_difference(value, member, merit, bins=2, minimum=4)
    assert np.isnan(nothing) and n == 0


def test_stratified_difference_is_zero_where_merit_explains_the_gap_and_finds_the_one_it_does_not() -> None:
    rng = np.random.default_rng(0)
    member = rng.integers(0, 2, 20_000)
    merit = rng.normal(size=20_000) + member
    value = merit + rng.normal(scale=0.1, size=20_000)
    assert value[member == 1].mean() - value[member == 0].mean() > 0.9
    assert abs(stratified_difference(value, member, merit, bins=100)[0]) < 0.03
    planted = stratified_difference(value + 0.5 * member, member, merit, bins=100)[0]
    assert planted == pytest.approx(0.5, abs=0.03)
    turned = stratified_difference(value + 0.5 * member, 1 - member, merit, bins=100)[0]
    assert turned == pytest.approx(-planted, abs=1e-12), "naming the other side the members turns the sign"
