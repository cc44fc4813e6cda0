"""Fairlearn's methods around the same network: what they are for holds, and what they need is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from fairheads.data import Dataset
from fairheads.errors import ConfigError, DivergedError, InputError
from fairheads.estimators import (
    AdversarialPeer,
    Backbone,
    ExponentiatedGradientPeer,
    Peer,
    ThresholdOptimizerPeer,
)
from fairheads.nets import MLP

pytestmark = pytest.mark.slow  # every peer trains networks

BACKBONE = Backbone(hidden=(16,), epochs=25, batch_size=256, learning_rate=0.01)
PEERS: list[Peer] = [
    ExponentiatedGradientPeer(backbone=BACKBONE, rounds=4),
    ThresholdOptimizerPeer(backbone=BACKBONE, grid=200),
    AdversarialPeer(backbone=BACKBONE, published=True, weight=3.0),
]
DIFFERENCE = {
    "demographic_parity": demographic_parity_difference,
    "equalized_odds": equalized_odds_difference,
}


def rows(n: int = 3000, seed: int = 0, groups: int = 2) -> Dataset:
    """Merit and a proxy of the group; a higher code has the higher base rate, and an edge at equal merit."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    X = np.stack([rng.normal(size=n), group + rng.normal(scale=0.4, size=n)], axis=1)
    y = X[:, 0] + 2.0 * group + rng.normal(scale=1.2, size=n) > 1.0 * (groups - 1)
    return Dataset(X, y, group, group_names=[f"g{k}" for k in range(groups)])


def gap(decisions: np.ndarray, data: Dataset, constraint: str) -> float:
    return float(DIFFERENCE[constraint](data.y, decisions, sensitive_features=data.group))


@pytest.mark.parametrize("constraint", sorted(DIFFERENCE))
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_narrows_the_gap_that_it_is_for(peer: Peer, constraint: str, random_state_is_left_alone: None) -> None:
    train, test = rows(), rows(seed=1)
    peer = dataclasses.replace(peer, constraint=constraint)  # type: ignore[type-var]
    plain = BACKBONE.classifier(0).fit(train.inputs["x"], train.y).predict(test.inputs["x"])
    decisions = peer.fit(train).decide(test, seed=0)
    assert decisions.shape == (3000,) and set(np.unique(decisions)) == {0, 1}
    assert gap(plain, test, constraint) > 0.2
    assert gap(decisions, test, constraint) < 0.8 * gap(plain, test, constraint)
    assert (decisions == test.y).mean() > 0.6


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_what_decides_by_lot_or_by_group_says_so(peer: Peer) -> None:
    train, test = rows(1000), rows(500, seed=1)
    rule = peer.fit(train, seed=2)
    first = rule.decide(test, seed=0)
    assert (first == rule.decide(test, seed=0)).all()
    assert (first != rule.decide(test, seed=1)).any() == peer.by_lot
    swapped = Dataset(test.inputs["x"], test.y, 1 - test.group, group_names=test.group_names)
    assert (first != rule.decide(swapped, seed=0)).any() == peer.reads_group
    relabelled = test.relabelled(1 - test.y)
    assert (first == rule.decide(relabelled, seed=0)).all(), "labels are not read"
    assert (peer.fit(train, seed=2).decide(test, seed=0) == first).all(), "the same seed makes the same rule"
    assert (peer.fit(train, seed=3).decide(test, seed=0) != first).any()


@pytest.mark.parametrize("groups", [2, 3])
def test_the_adversary_takes_more_than_two_groups(groups: int) -> None:
    train = rows(400, groups=groups)
    for constraint in DIFFERENCE:
        peer = AdversarialPeer(constraint=constraint, weight=0.1, published=True, backbone=BACKBONE)
        assert (peer.fit(train).decide(train) == train.y).mean() > 0.6


def test_without_weight_and_along_the_published_step_is_that_of_the_paper() -> None:
    """One step of plain descent moves the network by gradient - projection - weight * adversary's gradient."""
    from torch import nn
    from torch.nn import functional

    from fairheads.estimators.peers import _published_step

    train = rows(64)
    X, y, a = (torch.as_tensor(v, dtype=torch.float32) for v in (train.inputs["x"], train.y, train.group))
    net = nn.Sequential(MLP(2, hidden=(4,)), nn.Sigmoid())
    reader = nn.Sequential(MLP(1, hidden=(3,), activation="tanh"), nn.Sigmoid())

    def gradients(loss: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(loss, list(net.parameters())))

    wanted = gradients(functional.binary_cross_entropy(net(X)[:, 0], y))
    helpful = gradients(functional.binary_cross_entropy(reader(net(X))[:, 0], a))
    expected = [p - 0.1 * (w - h * (w * h).sum() / (h * h).sum() - 0.7 * h)
                for p, w, h in zip(net.parameters(), wanted, helpful, strict=True)]  # fmt: skip

    class Base:
        pass_y_, alpha = False, 0.7

    engine = _published_step().__new__(_published_step())
    engine.base, engine.predictor_model, engine.adversary_model = Base, net, reader
    engine.predictor_loss = engine.adversary_loss = functional.binary_cross_entropy
    engine.predictor_optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    engine.adversary_optimizer = torch.optim.SGD(reader.parameters(), lr=0.1)
    engine.train_step(X, y[:, None], a[:, None])
    for now, then in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(now, then, rtol=1e-4, atol=1e-6)


def test_training_that_diverges_is_named() -> None:
    wild = dataclasses.replace(BACKBONE, learning_rate=1e30)
    with pytest.raises(DivergedError, match="diverged at weight 1"):
        AdversarialPeer(backbone=wild).fit(rows(600))


@pytest.mark.parametrize("kind", [ExponentiatedGradientPeer, ThresholdOptimizerPeer, AdversarialPeer])
def test_what_is_none_of_the_two_parities_is_refused(kind: type) -> None:
    with pytest.raises(ConfigError, match="`constraint` must be one of"):
        kind(constraint="parity")


def test_rows_that_are_no_table_are_refused() -> None:
    images = Dataset(np.zeros((4, 2, 2)), [0, 1, 0, 1], [0, 0, 1, 1])
    with pytest.raises(InputError, match="rows of numbers"):
        ThresholdOptimizerPeer(backbone=BACKBONE).fit(images)
