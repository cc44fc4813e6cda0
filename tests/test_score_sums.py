"""Histograms of scores: exact, additive in any order beyond their capacity too, and through JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tables_for_tests import SEEDS

from fairheads.errors import InputError
from fairheads.sums import BINS, ScoreHistogram
from fairheads.sums import scores as sums_scores


def of(score: NDArray, y: NDArray | None, group: NDArray, weight: NDArray | None = None) -> ScoreHistogram:
    return ScoreHistogram.count(score=score, y=y, group=group, groups=("a", "b", "c"), weight=weight)


def counted(histogram: ScoreHistogram) -> str:
    """What must agree to the byte: everything but sums of floats."""
    plain = histogram.to_dict()
    return json.dumps({k: plain[k] for k in ("groups", "bits", "range", "labels", "values", "counts")})


def rows_of(seed: int, n: int = 200) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.integers(0, 2, n), rng.integers(0, 3, n), np.ceil(rng.random(n) * 8) / 8


def test_a_histogram_counts_every_score_group_and_label_as_a_loop_does() -> None:
    _, y, group, w = rows_of(0)
    score = np.random.default_rng(1).integers(0, 9, 200) / 8
    found = of(score, y, group, w)
    assert found.values.tolist() == sorted(set(score)) and found.bits == 52
    for v, g, label in np.ndindex(found.counts.shape):
        rows = (score == found.values[v]) & (group == g) & (y == label)
        assert found.counts[v, g, label] == rows.sum()
        assert found.weights[v, g, label] == w[rows].sum() and found.squares[v, g, label] == (w[rows] ** 2).sum()
    for g, label, k in np.ndindex(3, 2, 5):
        rows = (group == g) & (y == label)
        assert found.powers[0, g, label, k] == pytest.approx((w * score**k)[rows].sum(), abs=1e-12)
        assert found.powers[1, g, label, k] == pytest.approx((w**2 * score**k)[rows].sum(), abs=1e-12)
    assert found.calibration[0].sum() == 200 and found.calibration.shape == (4, 3, 2, BINS)
    assert found.only(["c", "a"]).counts.tolist() == found.counts[:, [2, 0]].tolist()
    assert found.pooled().counts[:, 0].tolist() == found.counts.sum(1).tolist()


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 6), st.sampled_from([40, 150, 600, 1 << 21]), st.booleans())
def test_shards_in_any_order_give_one_histogram_within_and_beyond_the_capacity(
    seed: int, cuts: int, cells: int, weighted: bool
) -> None:
    score, y, group, w = rows_of(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums_scores, "CELLS", cells)
        whole = of(score, y, group, w if weighted else None)
        parts = np.array_split(np.random.default_rng(seed).permutation(200), cuts)
        shards = [of(score[p], y[p], group[p], w[p] if weighted else None) for p in parts]
        for order in (shards, shards[::-1]):
            total = order[0]
            for shard in order[1:]:
                total = total + shard
            assert counted(total) == counted(whole)
            np.testing.assert_allclose(total.powers, whole.powers, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(total.mass, whole.mass, rtol=1e-12)
            assert counted(ScoreHistogram.from_dict(json.loads(json.dumps(total.to_dict())))) == counted(whole)
        assert (whole.bits == 52) == (cells >= 200 * 6) and whole.counts.sum() == 200
        if whole.bits < 52 and whole.bits > 0:
            assert len(whole.values) * 6 <= cells


def test_a_cut_score_is_near_keeps_its_sign_and_its_order() -> None:
    score = np.sort(np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-5, 5).repeat(50))
    for bits in (14, 10, 5):
        cut = sums_scores._cut(score, bits)
        assert (np.abs(cut) <= np.abs(score)).all() and (np.diff(cut) >= 0).all()
        assert (np.abs(cut - score) <= np.abs(score) * 2.0**-bits + 1e-9).all()
        assert (sums_scores._cut(sums_scores._cut(score, 14), bits) == cut).all(), "cutting twice is cutting once"
    assert str(sums_scores._cut(np.array([-0.0]), 52)[0]) == "0.0"


def test_shards_of_other_groups_are_kept_and_unlike_ones_refused() -> None:
    one = ScoreHistogram.count(score=[0.5], y=[1], group=[0], groups=("z",))
    two = ScoreHistogram.count(score=[0.25], y=[0], group=[0], groups=("b",))
    assert counted(one + two) == counted(two + one) and (one + two).groups == ("b", "z")
    assert (one + two).counts.tolist() == [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
    with pytest.raises(InputError, match="with and without labels"):
        one + ScoreHistogram.count(score=[0.5], y=None, group=[0], groups=("z",))


@pytest.mark.parametrize("size", [1e20, 1e200, 1e-300, 1e9])
def test_any_finite_score_is_counted_without_a_warning(size: float) -> None:
    found = of(np.array([-size, size]), np.array([0, 1]), np.array([0, 1]))
    assert (found.low, found.high) == (-size, size) and found.counts.sum() == 2
