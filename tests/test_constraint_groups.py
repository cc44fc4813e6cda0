"""Groups of every kind: shared, missing, rare, nested in strata; classes and scores; running counts over batches."""

import copy
import io
from collections.abc import Callable

import pytest
import torch
from constraints_for_tests import CONSTRAINTS, KINDS, case, levels_by_hand, of_predictions, penalty_by_hand
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fairheads.constraints import (
    Constraint,
    accuracy_equality,
    conditional_parity,
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    linear_fractional,
    mmd,
    predictive_equality,
    wasserstein,
)
from fairheads.constraints.statistics import ERROR_RATIO, SELECTION_RATE
from fairheads.errors import ConfigError, InputError

EVERY: dict[str, Callable[..., Constraint]] = {**CONSTRAINTS, "mmd": mmd, "wasserstein": wasserstein}


def value_and_gradient(constraint: Constraint, logits: Tensor, *rows: Tensor) -> tuple[float, Tensor]:
    z = logits.detach().clone().requires_grad_()
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        value = constraint(z, *rows)
        value.backward()
    assert z.grad is not None
    return float(value.detach()), z.grad


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize(
    ("name", "kind", "memory"),
    [
        *((name, kind, memory) for name in CONSTRAINTS for kind in KINDS for memory in (0.0, 0.9)),
        ("mmd", "", 0.0),
        ("wasserstein", "", 0.0),
    ],
)
def test_batches_that_lack_something_have_a_finite_value_and_gradient(name: str, kind: str, memory: float) -> None:
    logits = torch.tensor([-1.0, 0.5, 90.0, -90.0, -25.0, 0.2])
    group, y = torch.tensor([0, 1, 0, 1, 0, 1]), torch.tensor([0, 1, 1, 0, 0, 1])
    none, nobody = torch.zeros(0).long(), torch.full((6,), -1)
    batches = {
        "all there": (logits, y, group),
        "one group": (logits, y, group * 0),
        "the other group": (logits, y, group * 0 + 1),
        "all negative": (logits, y * 0, group),
        "all positive": (logits, y * 0 + 1, group),
        "a group without positives": (logits, y * (group == 0), group),
        "nobody recorded": (logits, y, nobody),
        "one row": (logits[:1], y[:1], group[:1]),
        "one row, nobody": (logits[:1], y[:1], nobody[:1]),
        "one row of each": (logits[:2], y[:2], group[:2]),
        "no rows": (logits[:0], none, none),
        "shares of 0": (logits, y, torch.zeros(6, 3)),
        "everybody refused": (torch.full((6,), -100.0), y, group),
        "everybody refused, nearly": (torch.full((6,), -87.0), y, group),
        "everybody taken": (torch.full((6,), 100.0), y, group),
    }
    settings = {} if name in ("mmd", "wasserstein") else {"kind": kind, "memory": memory}
    for groups in (None, 3):
        constraint = EVERY[name](groups=groups, **settings)
        for what, rows in batches.items():
            value, slope = value_and_gradient(constraint, *rows)
            assert value == value and abs(value) < 1e9, what
            assert bool(slope.isfinite().all()), what
            found = constraint.eval().violations(*rows, tolerance=0.1)
            constraint.train()
            assert bool(found.soft.isfinite().all() and found.hard.isfinite().all()), what


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_pair_that_cannot_be_compared_adds_nothing_and_pulls_at_nobody(name: str, kind: str) -> None:
    logits, y = torch.tensor([-1.0, 0.5, 0.9, -2.0]), torch.tensor([0, 1, 1, 0])
    constraint = CONSTRAINTS[name](kind=kind, groups=3)
    for group in ([0, 0, 0, 0], [2, 2, 2, 2], [-1, -1, 1, 1], [-1, -1, -1, -1]):
        value, slope = value_and_gradient(constraint, logits, y, torch.tensor(group))
        assert value == 0.0 and not slope.any(), "no constant is added, as there is nothing to compare"
    for made, labels in ((equal_opportunity, y * 0), (predictive_equality, y * 0 + 1)):
        value, slope = value_and_gradient(made(kind=kind), logits, labels, torch.tensor([0, 1, 0, 1]))
        assert value == 0.0 and not slope.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_that_comes_or_goes_brings_its_own_pairs_only(kind: str) -> None:
    found = case("codes")
    with_all = levels_by_hand(SELECTION_RATE, found.logits.sigmoid(), found.y, found.group)
    constraint = demographic_parity(kind=kind, groups=3)
    without = found.group != 2
    rows = found.logits[without], found.y[without], found.group[without]
    assert float(constraint(*rows)) == pytest.approx(penalty_by_hand(with_all[:2], kind))
    # One row of the third group: its level is the score of that row, wherever the score lies.
    for logit in (-3.0, 0.0, 3.0):
        more = [torch.cat([a, torch.tensor([b])]) for a, b in zip(rows, (logit, 0, 2), strict=True)]
        level = float(torch.tensor(logit).sigmoid())
        assert float(constraint(*more)) == pytest.approx(penalty_by_hand([*with_all[:2], level], kind), abs=1e-6)
    # In the middle of the others it adds no more than the gap that is there already.
    middle = float(torch.tensor(sum(with_all[:2]) / 2).logit())
    more = [torch.cat([a, torch.tensor([b])]) for a, b in zip(rows, (middle, 0, 2), strict=True)]
    assert float(constraint(*more)) <= 2 * float(constraint(*rows)) + 1e-6


@pytest.mark.parametrize("name", EVERY)
def test_rows_without_a_group_do_not_count(name: str) -> None:
    found = case("unrecorded")
    there = found.group >= 0
    constraint = EVERY[name]()
    value, slope = value_and_gradient(constraint, found.logits, found.y, found.group)
    alone, of_these = value_and_gradient(constraint, found.logits[there], found.y[there], found.group[there])
    assert value == pytest.approx(alone, abs=1e-14) and value != 0
    torch.testing.assert_close(slope[there], of_these)
    assert not slope[~there].any()


@pytest.mark.parametrize("name", EVERY)
def test_certain_membership_is_the_code(name: str) -> None:
    found = case("codes")
    shares = torch.nn.functional.one_hot(found.group, 3).double()
    value, slope = value_and_gradient(EVERY[name](), found.logits, found.y, found.group)
    soft, soft_slope = value_and_gradient(EVERY[name](), found.logits, found.y, shares)
    assert soft == pytest.approx(value, abs=1e-13)
    torch.testing.assert_close(soft_slope, slope)
    unrecorded = case("unrecorded")
    shares = torch.nn.functional.one_hot(unrecorded.group.clamp(min=0), 3) * (unrecorded.group >= 0)[:, None]
    wanted = float(EVERY[name]()(unrecorded.logits, unrecorded.y, unrecorded.group))
    assert float(EVERY[name]()(found.logits, found.y, shares.double())) == pytest.approx(wanted, abs=1e-13)


def test_shares_of_membership_weigh_rows() -> None:
    found = case("membership")
    for name, made in CONSTRAINTS.items():
        constraint = made(kind="absolute")
        if name == "of_predictions":
            constraint = linear_fractional([ERROR_RATIO], kind="absolute")
        total = sum(
            penalty_by_hand(levels_by_hand(s, found.logits.sigmoid(), found.y, found.group), "absolute")
            for s in constraint.statistics
        )
        assert float(constraint(found.logits, found.y, found.group)) == pytest.approx(total, abs=1e-12)


def test_membership_carries_no_gradient_to_whoever_guessed_it() -> None:
    found = case("membership")
    guess = found.group.requires_grad_()
    equalized_odds()(found.logits.requires_grad_(), found.y, guess).backward()
    assert guess.grad is None and found.logits.grad is not None


@pytest.mark.parametrize("name", EVERY)
def test_intersections_are_groups_like_others(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(60, generator=draw, dtype=torch.float64)
    y, sex, race = torch.arange(60) % 2, torch.arange(60) // 2 % 2, torch.arange(60) // 4 % 3
    one = EVERY[name]()(logits, y, sex * 3 + race)
    other = EVERY[name]()(logits, y, race * 2 + sex)
    crossed = torch.einsum(
        "ni,nj->nij", torch.nn.functional.one_hot(sex, 2).double(), torch.nn.functional.one_hot(race, 3).double()
    )
    assert float(one) == pytest.approx(float(other), abs=1e-13) and float(one) != 0
    assert float(EVERY[name]()(logits, y, crossed.reshape(60, 6))) == pytest.approx(float(one), abs=1e-13)
    parity_by_sex = float(EVERY[name]()(logits, y, sex))
    assert abs(parity_by_sex) < abs(float(one)), "parity by sex and by race is not parity of their intersections"


@pytest.mark.parametrize("kind", KINDS)
def test_strata_are_compared_within_and_weighted_by_their_rows(kind: str) -> None:
    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(50, generator=draw, dtype=torch.float64), torch.arange(50) % 2
    group, strata = torch.randint(0, 3, (50,), generator=draw), torch.randint(0, 4, (50,), generator=draw)
    for made, named in ((demographic_parity, {}), (conditional_parity, {}), (equalized_odds, {})):
        wanted = 0.0
        for stratum in range(4):
            rows = strata == stratum
            within = made(kind=kind, groups=3) if made is not conditional_parity else demographic_parity(kind=kind)
            wanted += float(rows.double().mean()) * float(within(logits[rows], y[rows], group[rows]))
        found = made(kind=kind, strata=4, **named)(logits, y, group, strata)
        assert float(found) == pytest.approx(wanted, abs=1e-13) and wanted > 0
    rates = conditional_parity(strata=4).rates(logits, y, group, strata)
    assert rates.shape == (1, 4, 3)
    rows = (strata == 2) & (group == 1)
    assert float(rates[0, 2, 1]) == pytest.approx(float(logits[rows].sigmoid().mean()))


def test_parity_within_strata_does_not_see_a_gap_between_them_and_sees_one_inside() -> None:
    # Berkeley: group 1 applies where fewer are admitted; within departments rates are equal.
    scores = torch.tensor([0.8] * 8 + [0.8] * 2 + [0.2] * 2 + [0.2] * 8)
    strata, y = torch.arange(20) // 10, torch.zeros(20)
    group = torch.tensor([0] * 8 + [1] * 2 + [0] * 2 + [1] * 8)
    within = conditional_parity(strata=2, kind="absolute", link="identity")
    assert float(within(scores, y, group, strata)) == pytest.approx(0, abs=1e-6)
    assert float(demographic_parity(kind="absolute", link="identity")(scores, y, group)) == pytest.approx(0.36)
    assert float(within(scores - 0.1 * ((group == 1) & (strata == 0)), y, group, strata)) == pytest.approx(0.05)


def test_an_empty_stratum_and_one_of_a_single_group_add_nothing() -> None:
    logits, y, group = torch.tensor([2.0, -1.0, 0.5]), torch.zeros(3), torch.tensor([0, 1, 1])
    constraint = conditional_parity(strata=3)
    value, slope = value_and_gradient(constraint, logits, y, group, torch.tensor([0, 0, 2]))
    gap = float(logits[0].sigmoid() - logits[1].sigmoid())
    assert value == pytest.approx(gap**2 * 2 / 3, abs=1e-6) and slope[2] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("favourable", [0, 1, 2])
def test_of_several_classes_one_is_favourable_in_outputs_and_labels(kind: str, favourable: int) -> None:
    draw = torch.Generator().manual_seed(favourable)
    logits, y = torch.randn(40, 3, generator=draw, dtype=torch.float64), torch.arange(40) % 3
    group = torch.arange(40) // 3 % 2
    p, label = logits.softmax(1)[:, favourable], (y == favourable).long()
    for made in (*CONSTRAINTS.values(), of_predictions):
        by_class = made(kind=kind, favourable=favourable)(logits, y, group)
        as_scores = made(kind=kind, link="identity")(p, label, group)
        assert float(by_class) == pytest.approx(float(as_scores), abs=1e-13) and float(by_class) > 0
    chosen = (logits.argmax(1) == favourable).double()
    hard = equalized_odds(favourable=favourable).rates(logits, y, group, hard=True)
    torch.testing.assert_close(hard, equalized_odds(link="identity").rates(chosen, label, group), equal_nan=True)


def test_two_classes_are_one_logit_of_their_difference() -> None:
    found = case("codes")
    both = torch.stack([torch.zeros_like(found.logits), found.logits], 1)
    for temperature in (1.0, 0.3):
        one = equalized_odds(temperature=temperature)(found.logits, found.y, found.group)
        two = equalized_odds(temperature=temperature, favourable=1)(both, found.y, found.group)
        assert float(two) == pytest.approx(float(one), abs=1e-13)


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=12))
def test_in_regression_parity_is_of_means(values: list[float]) -> None:
    scores = torch.tensor(values, dtype=torch.float64)
    group = torch.arange(len(values)) % 2
    constraint = demographic_parity(kind="absolute", link="identity")
    wanted = abs(float(scores[group == 0].mean() - scores[group == 1].mean()))
    assert float(constraint(scores, scores, group)) == pytest.approx(wanted, abs=1e-9)
    assert float(constraint(scores[:, None], scores, group)) == pytest.approx(wanted, abs=1e-9)
    found = constraint.violations(scores, scores, group, tolerance=1.0)
    assert float(found.soft.amax()) == pytest.approx((wanted - 1) / 2, abs=1e-9)
    assert torch.equal(found.soft.detach(), found.hard)


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_no_violation_is_above_0_exactly_when_no_two_groups_differ_by_more_than_the_tolerance(groups: int) -> None:
    draw = torch.Generator().manual_seed(groups)
    logits, y = torch.randn(60, generator=draw, dtype=torch.float64), torch.arange(60) % 2
    group = torch.arange(60) // 2 % groups
    constraint = equalized_odds()
    for hard in (False, True):
        rates = constraint.rates(logits, y, group, hard=hard)[:, 0]
        gaps = rates.amax(1) - rates.amin(1)
        for tolerance in (0.0, 0.05, 0.2, 0.9):
            found = constraint.violations(logits, y, group, tolerance=tolerance)
            each = (found.hard if hard else found.soft).reshape(2, 2, groups)
            torch.testing.assert_close(2 * each.amax((0, 2)), gaps - tolerance)
            assert each.shape == (2, 2, groups) and each.requires_grad is False
    _, two_sided = each[0], each.sum(0)
    torch.testing.assert_close(two_sided, torch.full_like(two_sided, -0.9)), "above and below share the middle"


def test_a_violation_that_cannot_be_told_stands_at_0() -> None:
    logits, y, group = torch.tensor([1.0, -1.0, 0.3]), torch.tensor([1, 0, 1]), torch.tensor([0, 1, 0])
    found = equalized_odds(groups=3).violations(logits, y, group, tolerance=0.1)
    # Group 1 has no positives, group 0 no negatives: neither rate can be compared.
    assert not found.soft.any() and not found.hard.any()
    found = demographic_parity(groups=3).violations(logits, y, group, tolerance=0.1)
    assert found.hard[:, 0, 2].tolist() == [0.0, 0.0]
    assert found.hard[0, 0].tolist() == pytest.approx([0.45, -0.55, 0.0])


# Memory: running counts over batches.


def batches_of(seed: int, n: int, rows: int = 16, groups: int = 3) -> list[tuple[Tensor, Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(n):
        group = torch.randint(0, groups, (rows,), generator=draw)
        logits = torch.randn(rows, generator=draw, dtype=torch.float64) + 0.8 * group
        found.append((logits, torch.randint(0, 2, (rows,), generator=draw), group))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made", [demographic_parity, equalized_odds, of_predictions])
def test_with_memory_the_value_is_that_of_running_counts(made: Callable[..., Constraint], kind: str) -> None:
    constraint = made(kind=kind, memory=0.7, groups=3)
    batches = batches_of(0, 6)
    for i, rows in enumerate(batches):
        value = float(constraint(*rows))
        # The same from all rows so far, each weighted by what is left of it.
        weights = torch.cat([torch.full((16,), 0.7 ** (i - j), dtype=torch.float64) for j in range(i + 1)])
        logits, y, group = (torch.cat(parts) for parts in zip(*batches[: i + 1], strict=True))
        shares = torch.nn.functional.one_hot(group, 3) * weights[:, None]
        assert value == pytest.approx(float(made(kind=kind)(logits, y, shares)), abs=1e-12)


@pytest.mark.parametrize("made", [demographic_parity, equalized_odds, of_predictions])
def test_with_memory_the_gradient_is_that_of_the_running_mean_of_sums(made: Callable[..., Constraint]) -> None:
    rows = case("codes")
    value, wanted = value_and_gradient(made(), rows.logits, rows.y, rows.group)
    constraint = made(memory=0.7)
    for _ in range(4):
        # The mean of equal batches is the batch.
        same, slope = value_and_gradient(constraint, rows.logits, rows.y, rows.group)
        assert same == pytest.approx(value, abs=1e-12)
        torch.testing.assert_close(slope, wanted)
    # A row counts by the mean number of rows of its group, not by that of its batch.
    parity = demographic_parity(memory=0.5, link="identity")
    parity(torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.zeros(4), torch.tensor([0, 0, 1, 1]))
    _, slope = value_and_gradient(parity, torch.tensor([1.0]), torch.zeros(1), torch.tensor([0]))
    # Rows of group 0: (.5 * 2 + 1) / 1.5; the gap is 1.
    assert float(slope) == pytest.approx(2 / (2 / 1.5))


def test_a_batch_that_lacks_a_group_stays_near_the_running_value_and_does_not_pull_at_it() -> None:
    constraint = demographic_parity(memory=0.9, groups=3)
    forgetful = demographic_parity(groups=3)
    for rows in batches_of(1, 30, rows=60):
        usual = float(constraint(*rows))
    logits, y, group = rows
    for lacking in range(3):
        here = group != lacking
        now = copy.deepcopy(constraint)
        value, slope = value_and_gradient(now, logits[here], y[here], group[here])
        assert value == pytest.approx(usual, rel=0.15), "no jump"
        assert slope.all(), "those who are there are still pulled towards the group that is not"
        alone = float(forgetful(logits[here], y[here], group[here]))
        assert abs(alone - usual) > 2 * abs(value - usual), "the positive control jumps"
    value, slope = value_and_gradient(constraint, logits, y, torch.full_like(group, -1))
    assert value == pytest.approx(usual, rel=0.01) and not slope.any()


@pytest.mark.slow
def test_with_memory_the_gradient_of_batches_is_that_of_all_rows_in_the_mean() -> None:
    """Over many draws of small batches the summed gradient by a shift of each group is the population's.

    A rare group is in a third of the batches. Without memory the gradient of the squared gap is off, because a mean
    over one or two rows is noise that is squared.
    """
    draw = torch.Generator().manual_seed(0)
    n = 3000
    group = (torch.rand(n, generator=draw) < 0.03).long()
    logits = torch.randn(n, generator=draw, dtype=torch.float64) - 1.5 * group
    y = torch.zeros(n)

    def by_group(constraint: Constraint, index: Tensor) -> Tensor:
        shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(constraint(logits[index] + shift[group[index]], y[index], group[index]), shift)
        return slope

    wanted = by_group(demographic_parity(groups=2), torch.arange(n))
    means = {}
    for memory in (0.0, 0.99):
        constraint = demographic_parity(groups=2, memory=memory)
        found = []
        for i in range(6000):
            slope = by_group(constraint, torch.randint(0, n, (12,), generator=draw))
            if i >= 500:
                found.append(slope)
        means[memory] = torch.stack(found).mean(0)
    assert float((means[0.99] - wanted).norm() / wanted.norm()) < 0.1
    assert float((means[0.0] - wanted).norm() / wanted.norm()) > 0.3, "the positive control is off"


def test_in_eval_mode_memory_is_neither_used_nor_changed() -> None:
    constraint = equalized_odds(memory=0.9, groups=3)
    for rows in batches_of(2, 3):
        constraint(*rows)
    before = copy.deepcopy(constraint.state_dict())
    constraint.eval()
    alone = equalized_odds(groups=3)
    assert float(constraint(*rows)) == float(alone(*rows))
    found = constraint.violations(*rows, tolerance=0.1)
    assert torch.equal(found.hard, alone.violations(*rows, tolerance=0.1).hard)
    constraint.train().rates(*rows)
    after = constraint.state_dict()
    assert before.keys() == after.keys() == {"_cells", "_batches"}
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert float(constraint(*rows)) != float(alone(*rows))


def test_without_memory_there_is_no_state() -> None:
    constraint = equalized_odds()
    constraint(*batches_of(0, 1)[0])
    assert not constraint.state_dict()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("made", [demographic_parity, equalized_odds])
def test_running_counts_survive_a_file_to_the_bit_while_groups_grow(made: Callable[..., Constraint], dtype) -> None:
    few = [(a.to(dtype), b, c) for a, b, c in batches_of(3, 4, groups=2)]
    many = [(a.to(dtype), b, c) for a, b, c in batches_of(4, 4, groups=5)]
    through, saved = made(memory=0.8), made(memory=0.8)
    for rows in (*few, *many[:2]):
        through(*rows)
    for rows in few:
        saved(*rows)
    for rest in (many[:2], []):
        file = io.BytesIO()
        torch.save(saved.state_dict(), file)
        file.seek(0)
        saved = made(memory=0.8)
        saved.load_state_dict(torch.load(file, weights_only=True))
        for rows in rest:
            saved(*rows)
    # The first batch after loading shows two groups of five.
    for rows in (*few, *many[2:]):
        assert float(saved(*rows)) == float(through(*rows))
    state = through.state_dict()
    assert all(torch.equal(values, state[key]) and values.dtype == dtype for key, values in saved.state_dict().items())


def test_a_constraint_with_memory_serves_one_objective() -> None:
    constraint = demographic_parity(memory=0.5)
    rows = batches_of(0, 1)[0]
    constraint(*rows)
    with pytest.raises(ConfigError, match="serves one objective"):
        constraint.violations(*rows, tolerance=0.1)


def test_a_constraint_can_be_copied_and_moved_with_its_state() -> None:
    constraint = accuracy_equality(memory=0.5, kind="log_sum_exp")
    for rows in batches_of(0, 3):
        constraint(*rows)
    twin = copy.deepcopy(constraint)
    assert float(twin(*rows)) == float(constraint(*rows))
    assert constraint.to("meta")._cells.device.type == "meta"


def test_labels_between_0_and_1_are_refused_where_they_are_needed() -> None:
    logits, group = torch.zeros(4), torch.tensor([0, 0, 1, 1])
    smooth = torch.tensor([0.05, 0.95, 0.05, 0.95])
    with pytest.raises(InputError, match=r"`y` must be 0 or 1 in every row .*, got 0.05"):
        equalized_odds()(logits, smooth, group)
    assert float(equalized_odds()(logits, smooth.round(), group)) == 0
    assert float(demographic_parity()(logits, smooth, group)) == 0


def test_scores_wider_than_the_kernel_holds_are_refused() -> None:
    scores, y, group = torch.linspace(0, 3, 40), torch.zeros(40), torch.arange(40) % 2
    with pytest.raises(InputError, match="take a wider one"):
        mmd(link="identity")(scores, y, group)
    assert abs(float(mmd(link="identity", bandwidth=1.0)(scores, y, group))) < 0.1
