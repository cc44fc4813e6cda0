"""The differentiable constraint against its formula, its gradient, and what it does with groups that are missing."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairheads.constraints import demographic_parity
from fairheads.errors import ConfigError

KINDS = st.sampled_from(["squared", "absolute"])


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


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 4), KINDS, st.sampled_from([0.0, 0.05, 0.3]))
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


@given(st.integers(0, 10_000), KINDS, st.sampled_from([0.0, 0.1]), st.integers(1, 3))
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


@given(st.integers(0, 10_000), KINDS, st.randoms(use_true_random=False))
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


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"kind": "cubic"}, "`kind`"), ({"tolerance": -0.1}, "`tolerance`"), ({"tolerance": float("nan")}, "`tolerance`")],
)
def test_settings_that_make_no_constraint_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        demographic_parity(**setting)


def test_the_constraint_describes_itself_in_json() -> None:
    plain = demographic_parity(kind="absolute", tolerance=0.1).to_dict()
    assert json.loads(json.dumps(plain)) == {"name": "demographic_parity", "kind": "absolute", "tolerance": 0.1}
