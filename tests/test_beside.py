"""A number with its jackknife interval, and beside the twins': known answers, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fairheads.pathways.beside import beside_twins, predictive_p, rank_p
from fairheads.pathways.intervals import half_width, jackknifed


def test_the_interval_of_a_mean_is_that_of_students_t() -> None:
    x = np.random.default_rng(0).normal(size=20)
    without = (x.sum() - x) / 19
    t = stats.t(19).ppf(0.975) * x.std(ddof=1) / np.sqrt(20)
    assert half_width(without) == pytest.approx(t, rel=1e-12)
    found = jackknifed(float(x.mean()), without, 300, "none")
    assert (found.low, found.high, found.n) == (
        pytest.approx(x.mean() - t),
        pytest.approx(x.mean() + t),
        300,
    )


def test_an_interval_ends_at_the_largest_value_that_makes_sense() -> None:
    spread = np.linspace(0.9, 1.0, 20)
    assert (jackknifed(0.95, spread, 10, "none").high or 0) > 1
    assert jackknifed(0.95, spread, 10, "none", most=1.0).high == 1.0
    assert jackknifed(0.95, spread, 10, "none", most=0.9).high == 0.95  # never below the value
    assert jackknifed(0.95, spread / 100, 10, "none", most=1.0) == jackknifed(0.95, spread / 100, 10, "none")


def test_without_replicates_there_is_no_interval_and_without_a_value_a_reason() -> None:
    assert jackknifed(0.5, np.zeros(0), 10, "none").low is None
    assert jackknifed(math.nan, np.zeros(20), 10, "no rows").reason == "no rows"


def test_the_predictive_p_is_uniform_where_the_network_is_one_of_the_twins() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 6))
    p = np.array([float(predictive_p(row[0], row[1:])) for row in draws])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    far = np.array([float(predictive_p(row[0] + 20, row[1:])) for row in draws[:200]])
    assert np.median(far) < 0.01  # the control: another network than the twins is seen
    plug_in = stats.norm.sf((draws[:, 0] - draws[:, 1:].mean(1)) / draws[:, 1:].std(1, ddof=1))
    assert stats.kstest(plug_in, "uniform").pvalue < 1e-6  # a normal with the twins' mean and sd would not do


@pytest.mark.parametrize("twins", [[], [1.0], [1.0, 1.0, 1.0], [1.0, math.nan, 2.0]])
def test_too_few_or_too_alike_twins_give_no_p(twins: list[float]) -> None:
    assert np.isnan(predictive_p([0.0, 5.0], twins)).all()


def test_the_rank_counts_those_as_large() -> None:
    assert rank_p(2.0, [1.0, 2.0, 3.0]) == 3 / 4
    assert rank_p(4.0, [1.0, 2.0, 3.0]) == 1 / 4
    found = beside_twins(4.0, [1.0, 2.0, 3.0])
    assert (found.n, found.mean, found.sd, found.p_rank, found.p_min) == (3, 2.0, 1.0, 0.25, 0.25)
    assert found.p == pytest.approx(stats.t(2).sf(2 / np.sqrt(4 / 3)))
