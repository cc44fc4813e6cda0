"""The Lagrangian reaches known primal and dual optima, and its multipliers follow decisions, batches and groups."""

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from fairheads.constraints import (
    Constraint,
    conditional_parity,
    demographic_parity,
    equal_opportunity,
    equalized_odds,
    mmd,
    wasserstein,
)
from fairheads.data import Dataset
from fairheads.errors import FairheadsWarning
from fairheads.nets import MLP
from fairheads.training import GroupDRO, Lagrangian, Objective, binary_cross_entropy, squared_error, train

MEANS = demographic_parity(link="identity")


def target(groups: list[tuple[int, float]]) -> tuple[Tensor, Tensor]:
    """Rows of groups of given size and mean, with some spread."""
    draw = torch.Generator().manual_seed(0)
    parts = []
    for n, mean in groups:
        spread = torch.randn(n, generator=draw, dtype=torch.float64)
        parts.append(mean + spread - spread.mean())
    group = torch.arange(len(groups)).repeat_interleave(torch.tensor([n for n, _ in groups]))
    return torch.cat(parts), group


def optimum(groups: list[tuple[int, float]], tolerance: float) -> tuple[np.ndarray, float]:
    """Level of every group, and the price of the tolerance, for ``mean (z - a)^2`` with means within the tolerance.

    Levels are the groups' means cut to an interval ``[c, c + tolerance]``. The multiplier of a group that is cut from
    above is ``2 w (mean - c - tolerance)``; those from above and from below sum to the same price.
    """
    share = np.array([n for n, _ in groups]) / sum(n for n, _ in groups)
    means = np.array([mean for _, mean in groups])

    def cost(c: float) -> float:
        return float(share @ (np.clip(means, c, c + tolerance) - means) ** 2)

    c = minimize_scalar(cost, bounds=(means.min() - 1, means.max()), method="bounded", options={"xatol": 1e-12}).x
    levels = np.clip(means, c, c + tolerance)
    above, below = np.clip(means - levels, 0, None), np.clip(levels - means, 0, None)
    assert 2 * share @ above == pytest.approx(2 * share @ below, abs=1e-6)
    return levels, float(2 * share @ above)


def descend(objective: Lagrangian, a: Tensor, group: Tensor, steps: int = 900) -> Tensor:
    z = a.clone().requires_grad_()
    optimizer = torch.optim.SGD([z], lr=0.1 * len(a))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * len(a) / (1 + step / 300)
        optimizer.zero_grad()
        objective(z, a, group).backward()
        optimizer.step()
        objective.step()
    return z.detach()


CONVEX = {
    "two groups": [(30, 0.0), (10, 1.0)],
    "the larger is higher": [(10, 0.2), (50, 1.4)],
    "three, one in the middle": [(20, 0.0), (20, 0.5), (20, 1.0)],
    "three, two tie below": [(15, 0.0), (25, 0.02), (10, 1.0)],
    "five": [(10, 0.0), (20, 0.3), (10, 0.5), (40, 0.9), (20, 1.0)],
}


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("two groups", 0.0),
        ("two groups", 0.2),
        ("three, two tie below", 0.2),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("the larger is higher", 0.2),
                ("three, one in the middle", 0.2),
                ("five", 0.0),
                ("five", 0.05),
                ("five", 0.2),
            )
        ),
    ],
)
def test_a_convex_problem_ends_at_its_primal_and_dual_optimum(name: str, tolerance: float) -> None:
    groups = CONVEX[name]
    a, group = target(groups)
    objective = Lagrangian(copy.deepcopy(MEANS), tolerance, rate=0.3, damping=1.0, task=squared_error)
    z = descend(objective, a, group, steps=900 if len(groups) < 5 else 2000)
    levels, price = optimum(groups, tolerance)
    found = [float(z[group == k].mean()) for k in range(len(groups))]
    assert found == pytest.approx(levels, abs=1e-3)
    assert objective.price.shape == (1,) and float(objective.price) == pytest.approx(price, abs=1e-3)
    # Only means move: within a group every row is shifted alike.
    for k in range(len(groups)):
        shift = (z - a)[group == k]
        assert float(shift.max() - shift.min()) < 1e-6


def test_two_groups_by_hand() -> None:
    # d = 1 - .2; multiplier 2 d w0 w1 = 2 * .8 * .75 * .25 = .3; shifts .3 / (2 w) = .2 up and .6 down.
    levels, price = optimum([(30, 0.0), (10, 1.0)], 0.2)
    assert levels == pytest.approx([0.2, 0.4], abs=1e-7) and price == pytest.approx(0.3, abs=1e-7)


@pytest.mark.parametrize("groups", [[(30, 0.0), (10, 0.1)], [(10, 0.3), (10, 0.35), (20, 0.25)]])
def test_where_the_tolerance_is_met_anyway_nothing_is_paid(groups: list[tuple[int, float]]) -> None:
    a, group = target(groups)
    objective = Lagrangian(copy.deepcopy(MEANS), 0.2, task=squared_error)
    # It starts out of bounds, so that multipliers have to come back to 0.
    objective(a + 2.0 * group, a, group)
    objective.step()
    assert float(objective.price) > 0.05
    z = descend(objective, a, group, steps=500)
    assert not objective.multipliers.any() and torch.allclose(z, a, atol=1e-6)


def test_through_the_loop_a_linear_net_meets_the_tolerance_at_the_optimum() -> None:
    """One weight a group, labels 0 and 1: the net learns base rates, drawn together to the tolerance."""
    group = np.repeat([0, 1], [60, 40])
    y = np.concatenate([np.arange(60) < 18, np.arange(40) < 28]).astype(int)  # .3 and .7
    data = Dataset(np.eye(2)[group], y, group)
    net = nn.Linear(2, 1, bias=False)
    objective = Lagrangian(copy.deepcopy(MEANS), 0.1, rate=0.05, damping=1.0, task=squared_error)
    train(net, data, objective, epochs=900, batch_size=100, learning_rate=0.02, schedule="cosine")
    levels, price = optimum([(60, 0.3), (40, 0.7)], 0.1)
    assert net.weight.detach().numpy()[0] == pytest.approx(levels, abs=1e-3)
    assert float(objective.price) == pytest.approx(price, abs=1e-3)


def test_decisions_of_a_trained_net_meet_the_tolerance_and_without_it_they_do_not() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 4000)
    x = rng.normal(size=(4000, 3)) + 0.7 * group[:, None]
    y = (x.sum(1) + rng.normal(size=4000) > 1).astype(int)
    data = Dataset(x, y, group)
    gaps = {}
    for tolerance in (1.0, 0.02):
        net = MLP(3, hidden=(16,))
        objective = Lagrangian(demographic_parity(memory=0.5), tolerance)
        train(net, data, objective, epochs=15, batch_size=256, learning_rate=5e-3)
        decided = (net(torch.as_tensor(data.inputs["x"]))[:, 0] > 0).numpy()
        gaps[tolerance] = abs(decided[group == 1].mean() - decided[group == 0].mean())
        assert (float(objective.price) > 0.01) == (tolerance < 1)
    assert gaps[1.0] > 0.3 and gaps[0.02] < 0.03


# One step at a time.

LOGITS = torch.tensor([2.0, 1.0, -1.0, -3.0], dtype=torch.float64)
Y, GROUP = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])


def test_one_step_by_hand() -> None:
    objective = Lagrangian(demographic_parity(), 0.1, rate=0.5, damping=3.0)
    assert objective.multipliers.shape == (0,) and objective.price.shape == (0,)
    z = LOGITS.clone().requires_grad_()
    p = z.detach().sigmoid()
    loss = objective(z, Y, GROUP)
    # Hard rates are 1 and 0: each lies half of 1 - .1 too far from the middle.
    gap = float(p[:2].mean() - p[2:].mean())
    task = float(binary_cross_entropy(LOGITS, Y).mean())
    assert float(loss.detach()) == pytest.approx(task + 2 * 3.0 * 0.45 * (gap - 0.1) / 2, abs=1e-9)
    assert not objective.multipliers.any(), "nothing moves before the step"
    objective.step()
    high, low = objective.multipliers[:, 0].tolist()
    assert high == pytest.approx([0.225, 0.0]) and low == pytest.approx([0.0, 0.225])
    assert objective.price.tolist() == pytest.approx([0.225])
    again = objective(z, Y, GROUP)
    assert float(again.detach()) == pytest.approx(task + 2 * (0.225 + 1.35) * (gap - 0.1) / 2, abs=1e-9)
    objective.step()
    objective.step()
    assert objective.price.tolist() == pytest.approx([0.45]), "a step without a batch changes nothing"


def test_multipliers_follow_decisions_and_gradients_scores() -> None:
    # Scores of equal mean, decisions that differ: soft parity holds, and the tolerance is still broken.
    scores = torch.tensor([0.9, 0.1, 0.51, 0.49, 0.6, 0.4, 0.52, 0.48], dtype=torch.float64)
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    logits = torch.logit(scores + torch.tensor([0.0, 0, 0, 0, -0.02, 0.105, -0.03, 0.025]))
    objective = Lagrangian(demographic_parity(), 0.0)
    objective(logits, torch.zeros(8), group)
    objective.step()
    found = objective.constraint.violations(logits, torch.zeros(8), group, tolerance=0.0)
    assert float(found.soft.abs().max()) < 0.02 and float(found.hard.max()) == pytest.approx(0.125)
    assert float(objective.price) > 0


def test_over_accumulated_batches_a_step_takes_the_mean() -> None:
    batches = [torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    y, group = torch.arange(8) % 2, torch.arange(8) // 2 % 2
    objective, wanted = Lagrangian(equalized_odds(), 0.0, rate=1.0), []
    for logits in batches:
        objective(logits, y, group)
        wanted.append(objective.constraint.violations(logits, y, group, tolerance=0.0).hard)
    objective.step()
    torch.testing.assert_close(objective.multipliers, torch.stack(wanted).mean(0).clamp(min=0))
    assert objective.multipliers.any()


def test_multipliers_do_not_fall_below_0() -> None:
    objective = Lagrangian(demographic_parity(), 0.5, rate=10.0)
    for _ in range(3):
        objective(torch.zeros(4), Y, GROUP)
        objective.step()
    assert not objective.multipliers.any()
    objective(LOGITS, Y, GROUP)
    objective.step()
    assert float(objective.price) == pytest.approx(2.5), "no debt was built up while the tolerance was met"


def test_in_eval_mode_multipliers_stay() -> None:
    objective = Lagrangian(demographic_parity(groups=2), 0.1).eval()
    objective(LOGITS, Y, GROUP)
    objective.step()
    assert objective.multipliers.numel() == 0
    objective.train()
    objective(LOGITS, Y, GROUP)
    objective.step()
    before = objective.multipliers.clone()
    objective.eval()
    objective(-LOGITS, Y, GROUP)
    objective.step()
    assert torch.equal(objective.multipliers, before) and before.any()


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_while_gradients_are_off_nothing_moves(memory: float) -> None:
    objective = Lagrangian(demographic_parity(groups=2, memory=memory), 0.1)
    for rows in (LOGITS, -LOGITS):
        objective(rows, Y, GROUP)
    before = copy.deepcopy(objective.state_dict())
    with torch.no_grad():
        seen = objective(3 - LOGITS, Y, GROUP)
    after = objective.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before) and seen.isfinite()
    objective(3 - LOGITS, Y, GROUP)
    assert not torch.equal(objective.state_dict()["_seen"], before["_seen"]), "the positive control is off"


@pytest.mark.parametrize("made", [lambda: Lagrangian(demographic_parity(), 0.1), lambda: GroupDRO(1.0, groups=2)])
def test_what_waits_for_the_step_is_part_of_the_state(made: Callable[[], Objective]) -> None:
    """Between two of the batches whose gradients one step takes."""
    through, other = made(), made()
    for logits in (LOGITS, 2 - LOGITS, LOGITS / 2):
        through(logits, Y, GROUP)
    through.step()
    for logits in (LOGITS, 2 - LOGITS):
        other(logits, Y, GROUP)
    resumed = made()
    resumed.load_state_dict(other.state_dict())
    resumed(LOGITS / 2, Y, GROUP)
    resumed.step()
    assert all(torch.equal(a, b) for a, b in zip(through.buffers(), resumed.buffers(), strict=True))
    # State from before what waits was part of it, into an objective for which something does.
    old = {key: values for key, values in through.state_dict().items() if key not in ("_seen", "_calls")}
    other.load_state_dict(old)
    other.step()
    assert all(torch.equal(a, b) for a, b in zip(through.buffers(), other.buffers(), strict=True))


@pytest.mark.parametrize("made", [lambda: Lagrangian(demographic_parity(), 0.1), lambda: GroupDRO(1.0, groups=2)])
def test_a_step_that_is_forgotten_is_warned_of_once(made: Callable[[], Objective]) -> None:
    objective = made()
    for _ in range(150):
        objective(LOGITS, Y, GROUP)
        objective.step()
    for _ in range(99):
        objective(LOGITS, Y, GROUP)
    with pytest.warns(FairheadsWarning, match=r"has seen 100 batches without a step .*: call `objective.step\(\)`"):
        objective(LOGITS, Y, GROUP)
    for _ in range(150):
        objective(LOGITS, Y, GROUP)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_multipliers_of_groups_that_come_later_start_at_0_and_those_of_others_stay(memory: float) -> None:
    objective = Lagrangian(equal_opportunity(memory=memory), 0.0, rate=1.0)
    y = torch.ones(4)
    objective(LOGITS, y, GROUP)
    objective.step()
    before = objective.multipliers.clone()
    assert before.shape == (2, 1, 2)
    # Two batches before one step, of which the second shows two more groups.
    objective(torch.zeros(4), y, torch.full((4,), -1))
    objective(torch.zeros(4), y, torch.full((4,), 3))
    objective.step()
    assert objective.multipliers.shape == (2, 1, 4)
    if memory == 0:
        assert torch.equal(objective.multipliers[..., :2], before) and not objective.multipliers[..., 2:].any()
    else:
        assert (objective.multipliers[..., :2] >= before).all(), "running rates go on being broken"


@pytest.mark.parametrize("made", [mmd, wasserstein])
def test_multipliers_of_pairs_stay_with_their_pair_while_groups_grow(made: Callable[..., Constraint]) -> None:
    objective = Lagrangian(made(link="identity"), 0.0, rate=1.0, task=squared_error)
    scores = torch.tensor([0.0, 0.05, 0.5, 0.55, 1.0, 1.05], dtype=torch.float64)
    y, group = torch.zeros(6, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 2, 2])
    objective(scores, y, group)
    objective.step()
    pairs = objective.multipliers.clone()
    assert pairs.shape == (1, 3) and pairs.gt(0).all()
    by_pair = {(0, 1): pairs[0, 0], (0, 2): pairs[0, 1], (1, 2): pairs[0, 2]}
    for (i, j), value in by_pair.items():
        rows = (group == i) | (group == j)
        alone = Lagrangian(made(link="identity"), 0.0, rate=1.0, task=squared_error)
        alone(scores[rows], y[rows], (group[rows] == j).long())
        alone.step()
        assert float(alone.price) == pytest.approx(float(value), abs=1e-9)
    # A fourth group with the scores of group 0: its pairs are new, and only (1, 2) among the old is broken anew.
    objective(torch.cat([scores[2:], scores[:2]]), y, torch.tensor([1, 1, 2, 2, 3, 3]))
    objective.step()
    grown = objective.multipliers
    assert grown.shape == (1, 6) and torch.equal(grown[0, :2], pairs[0, :2])
    assert float(grown[0, 2]) == pytest.approx(2 * float(pairs[0, 2])) and float(grown[0, 3]) == 0
    assert grown[0, 4:].tolist() == pytest.approx([float(pairs[0, 0]), float(pairs[0, 1])], abs=1e-9)
    assert objective.price.tolist() == pytest.approx([float(grown.sum())])


@pytest.mark.parametrize("groups", [None, 4])
@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_state_goes_through_a_file_whatever_groups_the_next_batch_has(memory: float, groups: int | None) -> None:
    def fresh() -> Lagrangian:
        return Lagrangian(demographic_parity(memory=memory, groups=groups), 0.0, rate=0.5)

    draw = torch.Generator().manual_seed(0)
    batches = [(torch.randn(12, generator=draw), torch.arange(12) % 2, torch.arange(12) % k) for k in (4, 4, 2, 4)]
    through, resumed = fresh(), fresh()
    for rows in batches:
        through(*rows)
        through.step()
    for i, rows in enumerate(batches):
        resumed(*rows)
        resumed.step()
        if i in (0, 1, 2):
            file = io.BytesIO()
            torch.save(resumed.state_dict(), file)
            file.seek(0)
            resumed = fresh()
            resumed.load_state_dict(torch.load(file, weights_only=True))
    assert through.multipliers.any()
    assert torch.equal(resumed.multipliers, through.multipliers)


@pytest.mark.parametrize(
    ("constraint", "shape", "prices"),
    [
        (equalized_odds(groups=3), (2, 2, 3), 2),
        (conditional_parity(strata=2, groups=2), (2, 2, 2), 2),
        (mmd(groups=3), (1, 3), 1),
        (wasserstein(groups=3, given_label=True), (2, 3), 2),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_every_constraint_has_multipliers_a_price_and_a_judgement(constraint, shape, prices) -> None:
    draw = torch.Generator().manual_seed(0)
    group, y, strata = torch.arange(24) % (constraint.groups), torch.arange(24) // 3 % 2, torch.arange(24) // 6 % 2
    logits = (torch.randn(24, generator=draw) + 2.0 * group).requires_grad_()
    objective = Lagrangian(copy.deepcopy(constraint), 0.01)
    objective(logits, y, group, strata).backward()
    objective.step()
    assert objective.multipliers.shape == shape and objective.price.shape == (prices,)
    assert objective.price.gt(0).any() and bool(logits.grad.isfinite().all())
    assert objective.judge(logits.detach(), y, group, strata) > float(binary_cross_entropy(logits.detach(), y).mean())


def test_a_checkpoint_is_judged_feasible_first_by_decisions_and_then_by_its_loss() -> None:
    objective = Lagrangian(demographic_parity(), 0.1)
    task = float(binary_cross_entropy(LOGITS, Y).mean())
    assert objective.judge(LOGITS, Y, GROUP) == pytest.approx(task + 100 * (1.0 - 0.1))
    even = torch.tensor([2.0, -1.0, 1.0, -3.0], dtype=torch.float64)
    assert objective.judge(even, Y, GROUP) == pytest.approx(float(binary_cross_entropy(even, Y).mean()))
    distance = Lagrangian(wasserstein(), 0.1)
    p = LOGITS.sigmoid()
    excess = float(p[:2].mean() - p[2:].mean()) - 0.1
    assert distance.judge(LOGITS, Y, GROUP) == pytest.approx(task + 100 * excess)
