"""The differentiable constraints against their formulas, independent implementations and numerical gradients."""

import gc
import json
import math
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from constraints_for_tests import (
    CASES,
    CONSTRAINTS,
    KINDS,
    RATES,
    Case,
    case,
    confusion,
    levels_by_hand,
    of_predictions,
    penalty_by_hand,
    ratio,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor

from fairheads.constraints import (
    CONSTRAINTS as RECORDED,
)
from fairheads.constraints import (
    Constraint,
    Statistic,
    accuracy_equality,
    conditional_parity,
    constraint_from_dict,
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    linear_fractional,
    mmd,
    predictive_equality,
    wasserstein,
)
from fairheads.constraints.statistics import ERROR_RATIO, F1, POSITIVE_PREDICTIVE_VALUE, SELECTION_RATE
from fairheads.errors import ConfigError, InputError
from fairheads.metrics import disparity_report

SIMPLE = st.sampled_from(["squared", "absolute"])
SCORES = {"link": "identity"}


def batch(seed: int, n: int, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, generator=generator, dtype=torch.float64)
    y, group = torch.randint(0, 2, (n,), generator=generator), torch.randint(0, groups, (n,), generator=generator)
    return logits, y, group


def by_hand(logits: Tensor, group: Tensor, kind: str, tolerance: float) -> float:
    """A loop over pairs of the groups that are there."""
    rates = {}
    for logit, g in zip(logits.tolist(), group.tolist(), strict=True):
        rates.setdefault(g, []).append(1 / (1 + pow(2.718281828459045, -logit)))
    means = [sum(p) / len(p) for p in rates.values()]
    total = 0.0
    for i in range(len(means)):
        for j in range(i):
            gap = max(abs(means[i] - means[j]) - tolerance, 0.0)
            total += gap * gap if kind == "squared" else gap
    return total


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 4), SIMPLE, st.sampled_from([0.0, 0.05, 0.3]))
def test_the_constraint_is_the_sum_over_pairs_by_hand(seed, n, groups, kind, tolerance) -> None:
    logits, y, group = batch(seed, n, groups)
    value = demographic_parity(kind=kind, tolerance=tolerance)(logits, y, group)
    assert value.shape == () and float(value) == pytest.approx(by_hand(logits, group, kind, tolerance), abs=1e-12)


def test_two_and_three_groups_with_round_numbers() -> None:
    logits = torch.tensor([0.2, 0.2, 0.5, 0.9], dtype=torch.float64).logit()
    y = torch.zeros(4)
    two, three = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 2])
    assert float(demographic_parity(kind="absolute")(logits, y, two)) == pytest.approx(0.5)
    assert float(demographic_parity()(logits, y, two)) == pytest.approx(0.25)
    assert float(demographic_parity(kind="absolute")(logits, y, three)) == pytest.approx(0.3 + 0.7 + 0.4)
    assert float(demographic_parity()(logits, y, three)) == pytest.approx(0.09 + 0.49 + 0.16)


def test_on_scores_of_zero_and_one_the_soft_gap_is_the_gap_of_decisions() -> None:
    _, y, group = batch(0, 200, 2)
    decision = torch.randint(0, 2, (200,), generator=torch.Generator().manual_seed(1))
    logits = torch.where(decision == 1, 100.0, -100.0)
    gap = decision[group == 1].double().mean() - decision[group == 0].double().mean()
    soft = float(demographic_parity(kind="absolute")(logits, y, group))
    assert soft == pytest.approx(abs(float(gap)), abs=1e-6) and soft > 0.005


@given(st.integers(0, 10_000), SIMPLE, st.sampled_from([0.0, 0.1]), st.integers(1, 3))
@settings(max_examples=40)
def test_the_gradient_is_the_numerical_one(seed: int, kind: str, tolerance: float, groups: int) -> None:
    logits, y, group = batch(seed, 12, groups)
    constraint = demographic_parity(kind=kind, tolerance=tolerance)
    assert torch.autograd.gradcheck(lambda z: constraint(z, y, group), (logits.requires_grad_(),))


@pytest.mark.parametrize("kind", ["squared", "absolute"])
def test_a_descent_on_the_constraint_closes_the_gap(kind: str) -> None:
    logits, y, group = batch(0, 100, 2)
    logits = (logits + 2.0 * group).requires_grad_()
    constraint = demographic_parity(kind=kind)
    first = float(constraint(logits.detach(), y, group))
    optimizer = torch.optim.SGD([logits], lr=20.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss = constraint(logits, y, group)
        loss.backward()
        optimizer.step()
    assert first > 0.03 and float(constraint(logits.detach(), y, group)) < 0.2 * first


@pytest.mark.parametrize("kind", ["squared", "absolute"])
@pytest.mark.parametrize("group", [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
def test_a_batch_of_one_group_costs_nothing_and_has_a_finite_gradient_of_zero(kind: str, group: list[int]) -> None:
    logits = torch.tensor([-1.0, 0.5, 60.0], requires_grad=True)
    value = demographic_parity(kind=kind)(logits, torch.zeros(3), torch.tensor(group))
    value.backward()
    assert float(value.detach()) == 0.0 and logits.grad is not None and logits.grad.tolist() == [0.0, 0.0, 0.0]


def test_a_pair_with_a_missing_group_adds_nothing_and_the_others_still_count() -> None:
    logits, y = torch.tensor([0.2, 0.9], dtype=torch.float64).logit(), torch.zeros(2)
    assert float(demographic_parity(kind="absolute")(logits, y, torch.tensor([0, 2]))) == pytest.approx(0.7)
    assert float(demographic_parity(kind="absolute")(logits, y, torch.tensor([1, 3]))) == pytest.approx(0.7)


@given(st.integers(0, 10_000), SIMPLE, st.randoms(use_true_random=False))
def test_neither_row_order_nor_codes_nor_repeats_change_it_and_labels_play_no_part(seed, kind, random) -> None:
    logits, y, group = batch(seed, 20, 3)
    constraint = demographic_parity(kind=kind)
    value = float(constraint(logits, y, group))
    order = list(range(20))
    random.shuffle(order)
    assert float(constraint(logits[order], y[order], group[order])) == pytest.approx(value, abs=1e-12)
    assert float(constraint(logits, y, torch.tensor([2, 0, 1])[group])) == pytest.approx(value, abs=1e-12)
    assert float(constraint(logits.repeat(2), y.repeat(2), group.repeat(2))) == pytest.approx(value, abs=1e-12)
    assert float(constraint(logits, 1 - y, group)) == value


def test_within_the_tolerance_nothing_costs_and_beyond_it_the_excess_does() -> None:
    logits = torch.tensor([0.3, 0.4], dtype=torch.float64).logit().requires_grad_()
    y, group = torch.zeros(2), torch.tensor([0, 1])
    inside = demographic_parity(kind="absolute", tolerance=0.15)(logits, y, group)
    inside.backward()
    assert float(inside.detach()) == 0.0 and logits.grad is not None and logits.grad.abs().sum() == 0
    plain = logits.detach()
    assert float(demographic_parity(kind="absolute", tolerance=0.04)(plain, y, group)) == pytest.approx(0.06)
    assert float(demographic_parity(kind="squared", tolerance=0.04)(plain, y, group)) == pytest.approx(0.0036)


def test_the_constraint_describes_itself_in_json() -> None:
    plain = demographic_parity(kind="absolute", tolerance=0.1).to_dict()
    assert json.loads(json.dumps(plain)) == {"name": "demographic_parity", "kind": "absolute", "tolerance": 0.1}


def soft(found: Case, constraint: Constraint) -> Tensor:
    return constraint(found.logits, found.y, found.group, found.strata)


def gradcheck(function: Callable[[Tensor], Tensor], z: Tensor) -> bool:
    """Along random directions; every entry is checked by `test_the_gradient_is_the_numerical_one`."""
    return torch.autograd.gradcheck(function, (z,), fast_mode=True)


@pytest.mark.parametrize("tolerance", [0.0, 0.005])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", CASES)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_gradients_of_rates_are_the_numerical_ones(name: str, which: str, kind: str, tolerance: float) -> None:
    found = case(which)
    constraint = CONSTRAINTS[name](kind=kind, tolerance=tolerance, smoothing=0.01, **found.settings)
    assert float(soft(found, constraint)) > 0
    z = found.logits.requires_grad_()
    assert gradcheck(lambda z: constraint(z, found.y, found.group, found.strata), z)


@pytest.mark.parametrize("which", CASES)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_gradients_of_violations_and_rates_are_the_numerical_ones(name: str, which: str) -> None:
    found = case(which)
    constraint = CONSTRAINTS[name](temperature=0.7, **found.settings)
    rows = found.y, found.group, found.strata
    z = found.logits.requires_grad_()
    assert gradcheck(lambda z: constraint.violations(z, *rows, tolerance=0.1).soft, z)
    assert gradcheck(lambda z: constraint.rates(z, *rows), z)


@pytest.mark.parametrize("given_label", [False, True])
@pytest.mark.parametrize("which", ["codes", "unrecorded", "membership", "classes", "identity"])
@pytest.mark.parametrize("made", [mmd, wasserstein])
def test_gradients_of_distributions_are_the_numerical_ones(made: Callable[..., Constraint], which, given_label) -> None:
    found = case(which)
    constraint = made(given_label=given_label, **found.settings)
    z, rows = found.logits.requires_grad_(), (found.y, found.group)
    assert gradcheck(lambda z: constraint(z, *rows), z)
    assert gradcheck(lambda z: constraint.violations(z, *rows, tolerance=0.1).soft, z)


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_second_derivative_is_refused_and_not_wrong(name: str) -> None:
    """Also beside a term that has one, where what is missing would be taken for 0."""
    found = case("codes")
    z = found.logits.requires_grad_()
    loss = soft(found, CONSTRAINTS[name]()) + torch.nn.functional.softplus(z).sum()
    (slope,) = torch.autograd.grad(loss, z, create_graph=True)
    torch.testing.assert_close(slope, torch.autograd.grad(loss, z)[0])
    with pytest.raises(ConfigError, match="second derivatives of a constraint on rates are not there"):
        slope.square().sum().backward()


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_second_derivatives_of_levels_are_right_or_refused(name: str) -> None:
    found, constraint = case("codes"), CONSTRAINTS[name]()
    z = found.logits.requires_grad_()

    def spread(z: Tensor) -> Tensor:
        soft = constraint.violations(z, found.y, found.group, tolerance=0.1).soft
        return torch.square(soft).sum() + torch.square(constraint.rates(z, found.y, found.group)).sum()

    if name == "of_predictions":
        (slope,) = torch.autograd.grad(spread(z), z, create_graph=True)
        with pytest.raises(ConfigError, match="second derivatives"):
            slope.sum().backward()
    else:
        assert torch.autograd.gradgradcheck(spread, (z,), fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tolerance", [0.0, 0.07])
@pytest.mark.parametrize("groups", [2, 3, 5])
def test_every_statistic_and_penalty_is_the_one_written_out_row_by_row(kind: str, tolerance: float, groups) -> None:
    draw = torch.Generator().manual_seed(groups)
    scores, group = torch.rand(60, generator=draw, dtype=torch.float64), torch.arange(60) % groups
    y = (torch.rand(60, generator=draw) < 0.3 + 0.4 * scores).long()
    total = 0.0
    for statistic in RATES:
        constraint = linear_fractional([statistic], kind=kind, tolerance=tolerance, smoothing=0.05, **SCORES)
        levels = levels_by_hand(statistic, scores, y, group)
        assert constraint.rates(scores, y, group)[0, 0].tolist() == pytest.approx(levels, abs=1e-12)
        wanted = penalty_by_hand(levels, kind, tolerance, 0.05)
        assert float(constraint(scores, y, group)) == pytest.approx(wanted, rel=1e-10, abs=1e-12)
        total += wanted
    together = linear_fractional(RATES, kind=kind, tolerance=tolerance, smoothing=0.05, **SCORES)
    assert float(together(scores, y, group)) == pytest.approx(total, rel=1e-10)


def test_the_smooth_largest_gap_lies_between_the_mean_and_the_largest_and_nears_it() -> None:
    found = case("codes")
    levels = demographic_parity().rates(found.logits, found.y, found.group)[0, 0]
    largest = float(levels.max() - levels.min())
    values = [
        float(soft(found, demographic_parity(kind="log_sum_exp", smoothing=width))) for width in (1.0, 0.1, 0.01, 1e-4)
    ]
    assert 0 < values[0] < values[1] < values[2] < values[3] < largest
    assert values[3] == pytest.approx(largest - 1e-4 * math.log(6), abs=1e-9)


TABLES = st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=2, max_size=4)


def rows_of(table: list[tuple[int, int, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Decisions, labels and groups with (tp, fp, fn, tn) rows of each kind in every group."""
    counts = torch.tensor(table).flatten()
    decision, y = (torch.tensor(values).repeat(len(table)) for values in ((1.0, 1.0, 0.0, 0.0), (1, 0, 1, 0)))
    group = torch.arange(len(table)).repeat_interleave(4)
    return tuple(values.repeat_interleave(counts) for values in (decision.double(), y, group))


@given(TABLES)
@settings(max_examples=200)
def test_on_scores_of_0_and_1_a_soft_statistic_is_the_hard_rate_exactly(table) -> None:
    scores, y, group = rows_of(table)
    constraint = linear_fractional(RATES, groups=len(table), **SCORES)
    found = constraint.rates(scores, y, group)[:, 0]
    for statistic, row in zip(RATES, found.tolist(), strict=True):
        wanted = [ratio(statistic, [float(n) for n in cells]) for cells in table]
        assert np.array_equal(row, wanted, equal_nan=True), statistic.name
    assert torch.equal(found.nan_to_num(-1), constraint.rates(scores, y, group, hard=True)[:, 0].nan_to_num(-1))
    logits = torch.where(scores == 1, 800.0, -800.0).double()
    by_logit = linear_fractional(RATES, groups=len(table)).rates(logits, y, group)[:, 0]
    assert torch.equal(by_logit.nan_to_num(-1), found.nan_to_num(-1))


@given(TABLES)
@settings(max_examples=10)
def test_the_hard_rates_are_those_of_the_disparity_report(table) -> None:
    scores, y, group = rows_of([tuple(n + 1 for n in cells) for cells in table])
    report = disparity_report(
        y.numpy(),
        scores.numpy().astype(int),
        sensitive_features=group.numpy(),
        metrics=[statistic.name for statistic in RATES[:8]],
        replicates=0,
    )
    rates = linear_fractional(RATES[:8], **SCORES).rates(scores, y, group)[:, 0]
    for statistic, row in zip(RATES[:8], rates.tolist(), strict=True):
        assert row == [report.metrics[statistic.name].groups[str(k)].value for k in range(len(table))], statistic.name


def test_the_hard_rates_are_those_of_fairlearn() -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    from sklearn.metrics import accuracy_score, f1_score, precision_score

    scores, y, group = rows_of([(13, 4, 7, 49), (3, 11, 5, 29), (8, 2, 17, 6)])
    peers = {
        "selection_rate": metrics.selection_rate,
        "accuracy": accuracy_score,
        "true_positive_rate": metrics.true_positive_rate,
        "false_positive_rate": metrics.false_positive_rate,
        "true_negative_rate": metrics.true_negative_rate,
        "false_negative_rate": metrics.false_negative_rate,
        "positive_predictive_value": precision_score,
        "f1": f1_score,
    }
    frame = metrics.MetricFrame(
        metrics=peers, y_true=y.numpy(), y_pred=scores.long().numpy(), sensitive_features=group.numpy()
    )
    for statistic in RATES:
        if statistic.name in peers:
            found = linear_fractional([statistic], **SCORES).rates(scores, y, group)[0, 0].tolist()
            assert found == pytest.approx(frame.by_group[statistic.name].tolist(), abs=1e-15), statistic.name


def test_treatment_equality_f1_and_precision_with_round_numbers() -> None:
    scores, y, group = rows_of([(6, 2, 3, 9), (4, 4, 1, 1)])
    wanted = {ERROR_RATIO: 3 / 2 - 1 / 4, F1: 12 / 17 - 8 / 13, POSITIVE_PREDICTIVE_VALUE: 6 / 8 - 4 / 8}
    for statistic, gap in wanted.items():
        value = linear_fractional([statistic], kind="absolute", **SCORES)(scores, y, group)
        assert float(value) == pytest.approx(gap, abs=1e-15)


@pytest.mark.parametrize("which", ["codes", "unrecorded", "membership", "strata", "classes"])
def test_towards_temperature_0_soft_rates_become_those_of_decisions(which: str) -> None:
    found = case(which)
    rows = found.logits, found.y, found.group, found.strata
    apart = []
    for temperature in (1.0, 0.1, 1e-4):
        constraint = equalized_odds(temperature=temperature, **found.settings)
        apart.append(float((constraint.rates(*rows) - constraint.rates(*rows, hard=True)).abs().max()))
    assert apart[0] > apart[1] > apart[2] and apart[2] < 1e-9


@pytest.mark.parametrize("which", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_statistic_of_ones_own_equals_the_named_constraint(kind: str, which: str) -> None:
    found = case(which)
    named = {
        demographic_parity: [((1, 1, 0, 0), (1, 1, 1, 1))],
        equal_opportunity: [((1, 0, 0, 0), (1, 0, 1, 0))],
        predictive_equality: [((0, 1, 0, 0), (0, 1, 0, 1))],
        equalized_odds: [((1, 0, 0, 0), (1, 0, 1, 0)), ((0, 1, 0, 0), (0, 1, 0, 1))],
        accuracy_equality: [((1, 0, 0, 1), (1, 1, 1, 1))],
    }
    for made, weights in named.items():
        own = linear_fractional(
            [Statistic(name="mine", numerator=above, denominator=below) for above, below in weights],
            kind=kind,
            **found.settings,
        )
        assert float(soft(found, own)) == float(soft(found, made(kind=kind, **found.settings))) > 0
    # The same rate by a multiple of its weights, and by what it leaves.
    double = Statistic(name="twice", numerator=(2, 2, 0, 0), denominator=(2, 2, 2, 2))
    rest = Statistic(name="rest", numerator=(0, 0, 1, 1), denominator=(1, 1, 1, 1))
    for same in (double, rest):
        value = soft(found, linear_fractional([same], kind=kind, **found.settings))
        assert float(value) == pytest.approx(float(soft(found, demographic_parity(kind=kind, **found.settings))))


@pytest.mark.slow  # not for its time: `make test` has no fairret
def test_statistics_are_those_of_fairret() -> None:
    statistics = pytest.importorskip("fairret.statistic")
    found = case("codes")
    p, y = found.logits.sigmoid()[:, None], found.y[:, None].double()
    sens = torch.nn.functional.one_hot(found.group, 3).double()
    membership = case("membership").group
    peers = {
        "selection_rate": (statistics.PositiveRate(), ()),
        "accuracy": (statistics.Accuracy(), (y,)),
        "true_positive_rate": (statistics.TruePositiveRate(), (y,)),
        "false_positive_rate": (statistics.FalsePositiveRate(), (y,)),
        "positive_predictive_value": (statistics.PositivePredictiveValue(), (y,)),
        "f1": (statistics.FScore(), (y,)),
        "error_ratio": (statistics.FalseNegativeFalsePositiveFraction(), (y,)),
    }
    compared = 0
    for statistic in RATES:
        if statistic.name not in peers:
            continue
        peer, more = peers[statistic.name]
        constraint = linear_fractional([statistic])
        for group, columns in ((found.group, sens), (membership, membership)):
            wanted = peer(p, columns, *more)
            torch.testing.assert_close(constraint.rates(found.logits, found.y, group)[0, 0], wanted, rtol=0, atol=1e-12)
            gaps = wanted[:, None] - wanted[None, :]
            assert float(constraint(found.logits, found.y, group)) == pytest.approx(float(gaps.square().sum() / 2))
        compared += 1
    assert compared == 7


@pytest.mark.parametrize("given_label", [False, True])
def test_wasserstein_is_scipys_summed_over_pairs_and_labels(given_label: bool) -> None:
    found = case("codes")
    p = found.logits.sigmoid()
    cells = [found.y == label for label in (0, 1)] if given_label else [found.y >= 0]
    wanted = 0.0
    for rows in cells:
        parts = [p[rows & (found.group == k)].numpy() for k in range(3)]
        wanted += sum(wasserstein_distance(parts[i], parts[j]) for i in range(3) for j in range(i))
    assert float(soft(found, wasserstein(given_label=given_label))) == pytest.approx(wanted, abs=1e-12)


def test_wasserstein_of_shared_rows_is_scipys_with_weights() -> None:
    found = case("membership")
    p = found.logits.sigmoid().numpy()
    w = found.group.numpy()
    wanted = sum(wasserstein_distance(p, p, w[:, i], w[:, j]) for i in range(3) for j in range(i))
    assert float(soft(found, wasserstein())) == pytest.approx(wanted, abs=1e-12)


def mmd_by_hand(a: Tensor, b: Tensor, bandwidth: float) -> float:
    """The unbiased estimate of lemma 6, every pair of rows."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-((x[:, None] - y[None, :]) ** 2) / (2 * bandwidth**2))

    within = [(kernel(x, x).sum() - len(x)) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return float(within[0] + within[1] - 2 * kernel(a, b).mean())


@pytest.mark.parametrize("given_label", [False, True])
@pytest.mark.parametrize("bandwidth", [0.15, 0.2, 1.0])
def test_mmd_is_the_unbiased_estimate_over_all_pairs_of_rows(bandwidth: float, given_label: bool) -> None:
    found = case("codes", seed=3)
    p = found.logits.sigmoid()
    cells = [found.y == label for label in (0, 1)] if given_label else [found.y >= 0]
    wanted = sum(
        mmd_by_hand(p[rows & (found.group == i)], p[rows & (found.group == j)], bandwidth)
        for rows in cells
        for i in range(3)
        for j in range(i)
    )
    found_value = float(soft(found, mmd(bandwidth=bandwidth, given_label=given_label)))
    assert found_value == pytest.approx(wanted, abs=2e-6)


def test_mmd_of_shared_rows_weighs_pairs_of_different_rows() -> None:
    found = case("membership")
    p, w = found.logits.sigmoid(), found.group
    kernel = torch.exp(-((p[:, None] - p[None, :]) ** 2) / (2 * 0.2**2))
    wanted = 0.0
    for i in range(3):
        for j in range(i):
            for k in (i, j):
                both = torch.outer(w[:, k], w[:, k]).fill_diagonal_(0)
                wanted += float((both * kernel).sum() / both.sum())
            cross = torch.outer(w[:, i], w[:, j])
            wanted -= 2 * float((cross * kernel).sum() / cross.sum())
    assert float(soft(found, mmd())) == pytest.approx(wanted, abs=2e-6)


def test_mmd_is_0_in_the_mean_where_distributions_are_equal_and_not_where_they_differ_in_shape_only() -> None:
    draw = torch.Generator().manual_seed(0)
    y, group = torch.zeros(40), torch.arange(40) % 2
    same, other = [], []
    for _ in range(200):
        p = torch.rand(40, generator=draw, dtype=torch.float64)
        same.append(float(mmd(**SCORES)(p, y, group)))
        narrow = torch.where(group == 1, 0.5 + 0.2 * (p - 0.5), p)
        other.append(float(mmd(**SCORES)(narrow, y, group)))
    noise = np.std(same) / math.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * noise and min(same) < 0
    assert np.mean(other) > 20 * noise


@pytest.mark.parametrize("which", ["codes", "unrecorded", "membership", "classes", "identity"])
@pytest.mark.parametrize("name", [*CONSTRAINTS, "mmd", "wasserstein"])
def test_neither_the_order_of_rows_nor_the_names_of_groups_nor_repeats_play_a_part(name: str, which: str) -> None:
    found = case(which)
    made = {**CONSTRAINTS, "mmd": mmd, "wasserstein": wasserstein}[name]
    constraint = made(**found.settings)
    value = float(soft(found, constraint))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    assert float(constraint(found.logits[order], found.y[order], found.group[order])) == pytest.approx(value, abs=1e-12)
    other = torch.tensor([2, 0, 1])
    if found.group.is_floating_point():
        renamed = found.group[:, other]
    else:
        renamed = torch.where(found.group < 0, -1, other[found.group])
    assert float(constraint(found.logits, found.y, renamed)) == pytest.approx(value, abs=1e-12)
    twice = [torch.cat([values, values]) for values in (found.logits, found.y, found.group)]
    if name == "mmd":
        assert float(constraint(*twice)) != pytest.approx(value, abs=1e-6), "pairs of equal rows count as evidence"
    else:
        assert float(constraint(*twice)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("made", [demographic_parity, of_predictions, mmd, wasserstein])
def test_half_precision_loses_no_rows(made: Callable[..., Constraint], dtype: torch.dtype) -> None:
    logits = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    group = torch.arange(5000) % 2
    y = (torch.arange(5000) % 3 == 0).long()
    value = made()(logits, y, group)
    value.backward()
    full = logits.detach().float().requires_grad_()
    wanted = made()(full, y, group)
    wanted.backward()
    assert float(value.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5) and float(wanted.detach()) != 0
    assert logits.grad is not None and full.grad is not None and logits.grad.dtype == dtype
    torch.testing.assert_close(logits.grad.float(), full.grad, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("membership", [False, True])
@pytest.mark.parametrize("name", [*CONSTRAINTS, "mmd", "wasserstein"])
def test_inside_automatic_mixed_precision_counts_stay_whole(name: str, membership: bool, dtype: torch.dtype) -> None:
    constraint = {**CONSTRAINTS, "mmd": mmd, "wasserstein": wasserstein}[name]()
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3000, 1, generator=draw).to(dtype)
    group = torch.randint(0, 3, (3000,), generator=draw)
    y = torch.randint(0, 2, (3000,), generator=draw)
    if membership:
        group = torch.nn.functional.one_hot(group, 3).float()
    found = []
    for mixed in (False, True):
        z = logits.clone().requires_grad_()
        with torch.autocast("cpu", dtype=dtype, enabled=mixed):
            value = constraint(logits=z, y=y, group=group)
            violations = constraint.violations(z, y, group, tolerance=0.01)
            assert mixed == torch.is_autocast_enabled("cpu")
        (value + violations.soft.square().sum()).backward()
        found.append((value.detach(), violations.soft.detach(), violations.hard, z.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)) and float(found[0][0]) != 0


def test_nothing_of_a_batch_outlives_its_graph() -> None:
    """A context that held its own output would keep every batch until the garbage collector comes."""
    gc.collect()
    gc.disable()
    try:
        for made in (demographic_parity, equalized_odds, mmd, wasserstein):
            constraint = made()
            logits, group = torch.randn(8, requires_grad=True), torch.arange(8) % 2
            y = torch.arange(8) // 2 % 2
            seen = weakref.ref(logits), weakref.ref(group)
            constraint.violations(logits, y, group, tolerance=0.1).soft.sum().backward()
            constraint(logits, y, group).backward()
            del logits, group
            assert [each() for each in seen] == [None, None], made.__name__
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "constraint",
    [
        demographic_parity(groups=3),
        equalized_odds(groups=3, memory=0.9),
        equal_opportunity(groups=3, kind="log_sum_exp", tolerance=0.1),
        conditional_parity(strata=2, groups=3),
        of_predictions(groups=3),
        mmd(groups=3, given_label=True),
        wasserstein(groups=3),
    ],
    ids=lambda constraint: constraint.name,
)
def test_on_an_accelerator_no_step_but_the_first_waits_for_the_device(constraint: Constraint) -> None:
    """The meta device is one whose values cannot be read: asking for one raises."""
    logits = torch.empty(32, device="meta", requires_grad=True)
    code = torch.empty(32, dtype=torch.long, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        constraint(logits, code, code, code)
    constraint._seen_on_device = True
    for _ in range(2):
        constraint(logits, code, code, code).backward()
    constraint.eval().violations(logits, code, code, code, tolerance=0.1).soft.sum().backward()
    assert logits.grad is not None and logits.grad.shape == (32,)
    constraint.groups = None
    with pytest.raises(RuntimeError, match="meta"):
        constraint(logits, code, code, code)


@pytest.mark.parametrize(
    "constraint",
    [
        *(made(kind="log_sum_exp", tolerance=0.1, smoothing=0.2, memory=0.5) for made in CONSTRAINTS.values()),
        conditional_parity(strata=3, favourable=2, temperature=0.5),
        accuracy_equality(link="identity", strata=2),
        mmd(bandwidth=0.3, given_label=True),
        wasserstein(link="identity"),
    ],
    ids=lambda constraint: constraint.name,
)
def test_a_constraint_is_made_again_from_its_record(constraint: Constraint) -> None:
    plain = json.loads(json.dumps(constraint.to_dict()))
    again = constraint_from_dict(plain)
    assert type(again) is type(constraint) and again.to_dict() == plain == constraint.to_dict()
    assert constraint.to_dict()["name"] in repr(constraint)


def test_every_recorded_name_is_that_of_its_constraint() -> None:
    assert {name: made.name for name, made in RECORDED.items()} == {name: name for name in RECORDED}


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "unknown constraint"),
        ({"name": "magic"}, "unknown constraint"),
        ({"name": ["mmd"]}, "unknown constraint"),
        ({"name": "mmd", "kind": "squared"}, "settings it does not take"),
        ({"name": "demographic_parity", "kind": "cubic"}, "`kind`"),
        ({"name": "conditional_parity", "strata": 1}, "`strata`"),
    ],
)
def test_a_record_that_makes_no_constraint_is_refused(plain: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        constraint_from_dict(plain)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "cubic"}, "`kind`"),
        ({"tolerance": -0.1}, "`tolerance` must be at least 0, got -0.1"),
        ({"tolerance": NAN}, "`tolerance`"),
        ({"smoothing": 0.0}, "`smoothing`"),
        ({"smoothing": NAN}, "`smoothing`"),
        ({"memory": 1.0}, "`memory`"),
        ({"memory": -0.1}, "`memory`"),
        ({"memory": NAN}, "`memory`"),
        ({"groups": 1}, "`groups` must be at least 2, got 1"),
        ({"link": "probit"}, "`link`"),
        ({"temperature": 0.0}, "`temperature`"),
        ({"temperature": NAN}, "`temperature`"),
        ({"temperature": INF}, "`temperature`"),
        ({"favourable": -1}, "`favourable`"),
        ({"favourable": 1, "link": "identity"}, "`favourable`"),
        ({"strata": 0}, "`strata`"),
    ],
)
def test_settings_that_make_no_constraint_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        demographic_parity(**setting)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: conditional_parity(strata=1), "`strata` must be at least 2"),
        (lambda: linear_fractional([]), "`statistics`"),
        (lambda: mmd(bandwidth=0.1), "`bandwidth`"),
        (lambda: mmd(bandwidth=0.0, link="identity"), "`bandwidth`"),
        (lambda: mmd(bandwidth=NAN), "`bandwidth`"),
        (lambda: Statistic(name="x", numerator=(1, 0, 0), denominator=(1, 1, 1, 1)), "`numerator`"),
        (lambda: Statistic(name="x", numerator=(1, 0, 0, NAN), denominator=(1, 1, 1, 1)), "`numerator`"),
        (lambda: Statistic(name="x", numerator=(1, 0, 0, 0), denominator=(1, -1, 0, 0)), "`denominator`"),
        (lambda: Statistic(name="x", numerator=(1, 0, 0, 0), denominator=(0, 0, 0, 0)), "`denominator`"),
    ],
)
def test_parts_that_make_no_constraint_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_statistics_know_what_they_need() -> None:
    by_label = {statistic.name: statistic.by_label for statistic in RATES}
    assert [name for name, needed in by_label.items() if not needed] == ["selection_rate"]
    within = [statistic.name for statistic in RATES if statistic.within_label]
    assert within == ["true_positive_rate", "false_positive_rate", "true_negative_rate", "false_negative_rate"]
    assert equalized_odds().within_label and not accuracy_equality().within_label
    assert confusion([0.25], [1], [2.0]) == (0.5, 0.0, 1.5, 0.0)
    assert ratio(SELECTION_RATE, (1.0, 1.0, 2.0, 0.0)) == 0.5


ROWS = torch.zeros(4), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("settings", "logits", "y", "group", "message"),
    [
        ({}, torch.zeros(4, 2), *ROWS[1:], r"`logits` must be of shape \(n,\) or \(n, 1\), got \(4, 2\)"),
        ({"favourable": 2}, torch.zeros(4, 2), *ROWS[1:], r"`logits` must be of shape \(n, C\) with C above"),
        ({"favourable": 0}, *ROWS, r"`logits` must be of shape \(n, C\)"),
        ({}, ROWS[0], torch.zeros(3), ROWS[2], r"`y` must have one entry per row of `logits` \(4\), got 3"),
        ({}, *ROWS[:2], torch.zeros(5).long(), r"`group` must have one entry per row of `logits` \(4\), got 5"),
        ({}, *ROWS[:2], ROWS[2][:, None], r"`group` must be codes \(n,\) or probabilities \(n, K\), got \(4, 1\)"),
        ({}, *ROWS[:2], torch.zeros(4), r"`group` must be codes \(n,\) or probabilities of shape \(n, K\), got"),
        ({"groups": 3}, *ROWS[:2], torch.zeros(4, 2), r"probabilities of shape \(n, 3\), got torch.float32 of shape"),
        ({}, *ROWS[:2], torch.tensor([[2.0, -2.0]] * 4), "probabilities of membership, .* got -2; of logits take the"),
        ({}, *ROWS[:2], torch.ones(4, 2), "no row sums to more than 1, got a row that sums to 2"),
        ({}, *ROWS[:2], torch.full((4, 2), NAN), "`group` must hold probabilities of membership, .* got nan"),
        ({"groups": 2}, *ROWS[:2], ROWS[2] + 1, r"`group` must hold codes from 0 to 1 \(-1: not recorded\), got 2"),
        ({}, *ROWS[:2], ROWS[2] - 2, r"`group` must hold codes from 0 to K - 1 \(-1: not recorded\), got -2"),
        ({}, ROWS[0], ROWS[1] * 2, ROWS[2], r"`y` must be 0 or 1 in every row \(1 = favourable\), got 2"),
        ({}, ROWS[0], ROWS[1] - 1, ROWS[2], "`y` must be 0 or 1 in every row .*, got -1"),
        ({}, ROWS[0], ROWS[1] * NAN, ROWS[2], "`y` must be 0 or 1 in every row .*, got nan"),
        ({}, ROWS[0], ROWS[1][:, None], ROWS[2], r"`y` must be of shape \(n,\), got \(4, 1\)"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(settings, logits: Tensor, y: Tensor, group: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        equalized_odds(**settings)(logits, y, group)


def test_strata_that_cannot_be_used_are_refused() -> None:
    constraint = conditional_parity(strata=2)
    with pytest.raises(InputError, match="`strata` must be given"):
        constraint(*ROWS)
    with pytest.raises(InputError, match="`strata` must hold codes from 0 to 1, got 2"):
        constraint(*ROWS, torch.tensor([0, 1, 2, 0]))
    with pytest.raises(InputError, match=r"`strata` must have one entry per row of `logits` \(4\), got 3"):
        constraint(*ROWS, torch.zeros(3).long())
    with pytest.raises(InputError, match=r"`strata` must be codes \(n,\), got shape \(4, 1\)"):
        constraint(*ROWS, torch.zeros(4, 1).long())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_probabilities_that_rounding_lifts_above_1_are_taken(dtype: torch.dtype) -> None:
    shares = torch.randn(400, 7, generator=torch.Generator().manual_seed(0)).to(dtype).softmax(1)
    assert float(shares.double().sum(1).max()) > 1 or dtype == torch.float64, "the positive control is off"
    demographic_parity()(torch.zeros(400), torch.zeros(400), shares)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.bool])
def test_whole_numbers_of_every_kind_are_codes_and_labels(dtype: torch.dtype) -> None:
    logits = torch.tensor([1.0, -0.5, 0.3, 2.0])
    wanted = equalized_odds()(logits, ROWS[1], ROWS[2])
    assert torch.equal(equalized_odds()(logits, ROWS[1].to(dtype), ROWS[2].to(dtype)), wanted)
    assert torch.equal(equalized_odds()(logits, ROWS[1].float(), ROWS[2]), wanted)
