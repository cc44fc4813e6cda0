"""Worlds and planted networks: that what is said to be true of them is true."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP
from fairheads.planted import (
    NULL_CLASSES,
    POSITIVE_CLASSES,
    GroupEstimate,
    Planted,
    Recipe,
    Setting,
    World,
    added_head,
    auxiliary,
    dropped,
    either,
    gate,
    gated_head,
    in_another_basis,
    merged_head,
    no_gap,
    no_proxy,
    parity_strength,
    plant,
    plant_head,
    rare,
    redundant_head,
    rotated,
    routed_heads,
    small_network,
    straight,
    three_groups,
    true_effect,
    twins_of,
    unconstrained,
    with_effect,
)
from fairheads.planted.residual import masked, residualised
from fairheads.planted.truth import scores
from fairheads.planted.wired import depth_of
from fairheads.twoheads import heads_of

KINDS = ("table", "image", "tokens")


@cache
def setting(kind: str = "table") -> Setting:
    """A table of 6,000 trained as the study does; images and tokens as little as structure needs."""
    if kind == "table":
        return Setting.drawn(World(), 6000, seed=1)
    return Setting.drawn(World(kind=kind), 600, seed=1, recipe=Recipe(epochs=1, batch_size=128), n_validation=600)


def ranking(made: Planted) -> float:
    """Mean AUC within the groups minus a half."""
    rows = made.setting.validation
    logits = scores(made.network, rows)
    within = [roc_auc_score(rows.y[rows.group == k], logits[rows.group == k]) for k in (0, 1)]
    return float(np.mean(within)) - 0.5


def kept(made: Planted) -> float:
    return ranking(made) / ranking(unconstrained(made.setting))


def gap(made: Planted) -> float:
    rows = made.setting.validation
    chosen = scores(made.network, rows) > 0
    return float(chosen[rows.group == 1].mean() - chosen[rows.group == 0].mean())


def tapped(net: nn.Module, data: Dataset) -> dict[str, NDArray[np.float32]]:
    run = TorchNetwork(net)
    with run.tap(run.layers()) as seen:
        run.forward(data.inputs)
    return dict(seen)


# Worlds


@pytest.mark.parametrize("kind", KINDS)
def test_groups_differ_in_base_rate_as_the_gap_says(kind: str) -> None:
    for difference, sign in ((0.8, -1), (-0.8, 1), (0.0, 0)):
        world = World(kind=kind, gap=difference)
        data = world.draw(4000, seed=0)
        found = data.y[data.group == 1].mean() - data.y[data.group == 0].mean()
        assert world.orientation == sign
        assert abs(found) < 0.05 if sign == 0 else sign * found > 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_differs_in_the_proxies_alone(kind: str) -> None:
    world = World(kind=kind)
    reference, group = world.pair(300, seed=4)
    assert (reference.y == group.y).all() and (reference.group == group.group).all()
    name, before = next(iter(reference.inputs.items()))
    after = group.inputs[name]
    changed = before != after
    assert changed.any(axis=tuple(range(1, before.ndim))).mean() > 0.9
    if kind == "tokens":
        proxies = (5, 6)
        assert np.isin(before[changed], proxies).all() and np.isin(after[changed], proxies).all()
    else:
        assert not changed[:, : 8 if kind == "table" else 2].any()
    hidden, same = World(kind=kind, proxy=0.0).pair(300, seed=4)
    assert (hidden.inputs[name] == same.inputs[name]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_holds_the_people_of_the_draw(kind: str) -> None:
    world = World(kind=kind)
    drawn, (reference, group) = world.draw(300, seed=4), world.pair(300, seed=4)
    for name, values in drawn.inputs.items():
        for code, shown in enumerate((reference, group)):
            own = drawn.group == code
            assert (values[own] == shown.inputs[name][own]).all()


def test_given_merit_the_label_does_not_depend_on_the_group() -> None:
    """Merit is known here to a twentieth of its noise: with it in a regression nothing is left for the group."""
    from sklearn.linear_model import LogisticRegression

    from fairheads.planted.people import people

    drawn = people(60_000, np.random.default_rng(0), groups=2, share=0.4, gap=0.8, even=1.0)
    columns = np.column_stack([drawn.gapped, drawn.even, drawn.group])
    weights = LogisticRegression(C=1e6).fit(columns, drawn.y).coef_[0]
    assert abs(weights[2]) < 0.1
    assert weights[0] == pytest.approx(2.5 / np.sqrt(2), abs=0.1) == pytest.approx(weights[1], abs=0.1)


def test_shares_and_groups_are_those_asked_for() -> None:
    data = World(groups=3, share=0.3).draw(20_000, seed=0)
    assert data.group_names == ("A", "B", "C")
    assert np.bincount(data.group) / 20_000 == pytest.approx([0.7, 0.15, 0.15], abs=0.02)
    assert (World(share=0.01).draw(20_000, seed=0).group == 1).mean() == pytest.approx(0.01, abs=0.003)
    for code in (1, 2):  # every group has proxies of its own
        auc = max(roc_auc_score(data.group == code, data.inputs["x"][:, column]) for column in range(8, 12))
        assert auc > 0.65


def test_a_world_draws_the_same_for_a_seed() -> None:
    one, same, other = (World().draw(50, seed=seed).inputs["x"] for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


@pytest.mark.parametrize("wrong", [{"kind": "sound"}, {"groups": 1}, {"share": 0.0}, {"even": -1.0}])
def test_impossible_worlds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        World(**wrong)  # type: ignore[arg-type]


class Columns(nn.Module):
    """A network that adds up some columns; the weight is there to be of a type."""

    def __init__(self, *columns: int, sign: float = 1.0) -> None:
        super().__init__()
        self.columns, self.sign = list(columns), nn.Parameter(torch.tensor(sign))

    def forward(self, x: Tensor) -> Tensor:
        return self.sign * x[:, self.columns].sum(1)


def test_the_true_effect_of_known_networks() -> None:
    world = World(proxy=0.5)
    spread = scores(Columns(8, 9), world.draw(4000, seed=0)).std()
    assert true_effect(Columns(8, 9), world) == pytest.approx(2 * 0.5 / spread, abs=1e-4)
    assert true_effect(Columns(8, 9, sign=-1.0), world) == pytest.approx(-2 * 0.5 / spread, abs=1e-4)
    assert true_effect(Columns(0, 5), world) == 0
    turned_world = World(gap=-0.8, proxy=0.5)  # now what raises B follows the gap
    assert true_effect(Columns(8, 9), turned_world) < -0.3
    assert np.isnan(true_effect(Columns(8, sign=0.0), world))


# Planting


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["straight", "gate", "either"])
def test_the_logit_is_the_old_one_plus_what_was_wired(kind: str, way: str) -> None:
    data = setting(kind).rows.take(np.arange(200))
    net = setting(kind).unconstrained
    estimate = GroupEstimate(data, "B")
    depth = depth_of(net)
    wiring = {"straight": straight(depth), "gate": gate(depth, -0.1, 0.1), "either": either(depth, -0.1, 0.1)}[way]
    wiring = wiring.centred(estimate.on(data)).scaled(1.5)
    made = plant(net, estimate, wiring)
    added = wiring.contribution(estimate.on(data))
    assert added.mean() == pytest.approx(0, abs=1e-9)
    assert added.std() > 0.1
    assert np.allclose(scores(made, data), scores(net, data) + added, atol=1e-4)
    assert TorchNetwork(made).layers() == TorchNetwork(net).layers()


def test_networks_that_are_no_relu_mlps_carry_the_head_beside_their_layers() -> None:
    data = setting().rows.take(np.arange(200))
    net = MLP(12, hidden=(8, 8), activation="gelu")
    estimate = GroupEstimate(data, "B")
    made = plant(net, estimate, straight(2).scaled(2.0))
    assert np.allclose(scores(made, data), scores(net, data) + 2 * estimate.on(data), atol=1e-5)
    assert TorchNetwork(made).layers() == TorchNetwork(net).layers()


def test_both_ways_to_plant_in_an_mlp_are_one() -> None:
    rows = setting().rows
    net = setting().unconstrained
    assert isinstance(net, MLP)
    wide = plant_head(net, rows, group="B", strength=2.0)
    again = plant(net, GroupEstimate(rows, "B"), straight(3).scaled(2.0))
    assert np.array_equal(scores(wide, rows), scores(again, rows))


@pytest.mark.parametrize("kind", KINDS)
def test_the_planted_units_hold_the_estimate_and_nothing_else(kind: str) -> None:
    made = added_head(setting(kind), strength=1.0)
    rows = made.setting.rows
    found = made.setting.estimate.on(rows)
    assert list(made.units) == list(TorchNetwork(made.network).layers())
    for layer, activation in tapped(made.network, rows).items():
        positive, negative = (activation[:, unit] for unit in made.units[layer])
        assert np.allclose(positive - negative, found, atol=1e-5)
        assert np.allclose(positive * negative, 0)


def test_a_gate_saturates() -> None:
    wiring = gate(3, -0.1, 0.1)
    assert wiring.contribution(np.array([-5, -0.1, 0, 0.1, 5.0])) == pytest.approx([0, 0, 0.5, 1, 1])
    assert straight(3).contribution(np.array([-5, 5.0])) == pytest.approx([-5, 5])


@pytest.mark.parametrize("kind", KINDS)
def test_either_of_two_copies_suffices(kind: str) -> None:
    made = redundant_head(setting(kind), strength=3.0)
    run, rows = TorchNetwork(made.network), made.setting.rows.take(np.arange(300))
    first = run.layers()[0]

    def without(*units: int) -> NDArray[np.float64]:
        def silence(h: NDArray[np.float32]) -> NDArray[np.float32]:
            h[:, list(units)] = 0
            return h

        with run.edit(first, silence):
            return run.forward(rows.inputs)

    one, other = made.units[first][:2], made.units[first][2:]
    before = run.forward(rows.inputs)
    # Between the ends of the ramp one copy says less than two; there are few such rows.
    for lost in (one, other):
        assert (np.abs(without(*lost) - before) < 1e-4).mean() > 0.8
    assert (np.abs(without(*one, *other) - before) > 2).mean() > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_leaves_the_function_and_moves_every_unit(kind: str) -> None:
    for made in (unconstrained(setting(kind)), gated_head(setting(kind), strength=1.0), routed_heads(setting(kind))):
        other = in_another_basis(made)
        rows = made.setting.rows.take(np.arange(200))
        assert np.allclose(scores(other.network, rows), scores(made.network, rows), atol=1e-3)
        assert not other.units
        before, after = tapped(made.network, rows), tapped(other.network, rows)
        assert list(before) == list(after)
        for layer, values in before.items():
            assert np.allclose((values**2).sum(1), (after[layer] ** 2).sum(1), rtol=1e-3, atol=1e-4)
            assert np.abs(values - after[layer]).max(0).min() > 1e-3


def test_rotations_follow_the_seed() -> None:
    net, rows = setting().unconstrained, setting().rows.take(np.arange(20))
    one, same, other = (tapped(rotated(net, rows.inputs, seed=seed), rows)["backbone.1"] for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_units_of_an_expert_are_silent_where_the_other_is_asked(kind: str) -> None:
    made = routed_heads(setting(kind))
    rows = made.setting.rows
    found = made.setting.estimate.on(rows)
    member = rows.group == 1
    high, low = found[member].mean(), found[~member].mean()
    for layer, activation in tapped(made.network, rows).items():
        ours, theirs = list(made.units[layer]), list(made.other_units[layer])
        assert set(ours).isdisjoint(theirs)
        assert np.all(activation[np.ix_(found > high, theirs)] == 0)
        assert np.all(activation[np.ix_(found < low, ours)] == 0)
        assert np.abs(activation[np.ix_(found > high, ours)]).max() > 0
        assert np.abs(activation[np.ix_(found < low, theirs)]).max() > 0
    assert np.allclose(
        scores(made.network, rows)[found < low], scores(made.setting.unconstrained, rows)[found < low], atol=1e-4
    )


# Strength


def test_the_strength_for_parity_closes_the_gap() -> None:
    for builder in (added_head, gated_head, redundant_head, merged_head):
        assert gap(builder(setting())) == pytest.approx(0, abs=0.002)
        assert gap(builder(setting(), share=0.5)) < -0.05
        assert gap(builder(setting(), share=1.5)) > 0.02


def test_no_strength_closes_a_gap_with_something_that_says_nothing() -> None:
    member = np.arange(100) < 50
    score = np.where(member, -1.0, 1.0)
    with pytest.raises(InputError, match="no strength"):
        parity_strength(score, np.zeros(100), member)
    assert parity_strength(np.ones(100), np.zeros(100), member) == 0


def test_the_true_effect_rises_with_the_strength() -> None:
    for builder in (added_head, gated_head, redundant_head, merged_head):
        effects = [builder(setting(), share=share).true_effect for share in (-1.0, -0.5, 0.0, 0.5, 1.0)]
        assert (np.diff(effects) > 0.05).all()
        assert effects[0] < -0.2 and abs(effects[2]) < 0.1 and effects[4] > 0.4


def test_a_head_of_a_given_true_effect() -> None:
    for effect in (0.1, 0.2):
        assert with_effect(added_head, setting(), effect).true_effect == pytest.approx(effect, abs=0.005)
    with pytest.raises(InputError, match="true effect of 40"):
        with_effect(added_head, setting(), 40.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_adds_the_group_output_times_b(kind: str) -> None:
    made = merged_head(setting(kind), strength=1.5)
    z_y, z_g = heads_of(made.setting.two_headed, made.setting.validation)
    assert np.allclose(scores(made.network, made.setting.validation), z_y + 1.5 * (z_g - z_g.mean()), atol=1e-4)
    plain = auxiliary(setting(kind))
    assert np.allclose(scores(plain.network, made.setting.validation), z_y, atol=1e-4)


# Classes


def test_residualised_inputs_do_not_differ_between_groups() -> None:
    data = World().draw(3000, seed=0)

    def distance(rows: Dataset) -> float:
        x = rows.inputs["x"]
        return float(np.abs(x[rows.group == 1].mean(0) - x[rows.group == 0].mean(0)).max())

    assert distance(data) > 0.8
    after = residualised(data, seed=0)
    assert distance(after) < 1e-5
    assert np.allclose(after.inputs["x"].mean(0), data.inputs["x"].mean(0), atol=1e-5)
    assert (after.y == data.y).all() and (after.row_id == data.row_id).all()


def test_residualised_tokens_are_used_alike_by_all_groups() -> None:
    data = World(kind="tokens").draw(6000, seed=0)

    def distance(rows: Dataset) -> float:
        shares = [
            np.bincount(rows.inputs["tokens"][rows.group == k][rows.inputs["attention_mask"][rows.group == k] > 0])
            for k in (0, 1)
        ]
        return float(np.abs(np.subtract(*(each / each.sum() for each in shares))).max())

    assert distance(data) > 0.08
    after = residualised(data, seed=0)
    assert distance(after) < 0.01
    assert (after.inputs["tokens"] == data.inputs["tokens"]).mean() > 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_drops_the_gapped_inputs_cannot_see_them(kind: str) -> None:
    made = dropped(setting(kind))
    rows, hidden = made.setting.validation, made.setting.known_world.gapped_inputs
    logits = scores(made.network, rows)
    assert np.allclose(scores(made.network, masked(rows, hidden)), logits, atol=1e-5)
    assert made.true_effect == pytest.approx(0, abs=1e-5)
    before = scores(made.setting.unconstrained, rows)
    assert not np.allclose(scores(made.setting.unconstrained, masked(rows, hidden)), before, atol=1e-2)


def test_suppression_may_encode_the_group_all_the_same() -> None:
    blind, made = dropped(setting()), dropped(setting(), encoded=True)
    rows = made.setting.validation
    assert np.allclose(scores(made.network, rows), scores(blind.network, rows), atol=1e-5)
    for layer, activation in tapped(made.network, rows).items():
        positive, negative = (activation[:, unit] for unit in made.units[layer])
        assert roc_auc_score(rows.group, positive - negative) > 0.9


def test_suppression_loses_the_ranking_within_groups_and_heads_keep_it() -> None:
    for made in (dropped(setting()), no_proxy(setting())):
        assert made.truth == "suppression"
        assert kept(made) < 0.88
        assert made.true_effect == pytest.approx(0, abs=1e-6)
    for builder in (added_head, merged_head, gated_head, redundant_head):
        assert kept(builder(setting())) > 0.9


@pytest.mark.parametrize("builder", [*NULL_CLASSES, *POSITIVE_CLASSES])
def test_the_true_effect_of_every_class_is_what_its_truth_says(builder: object) -> None:
    made: Planted = builder(setting())  # type: ignore[operator]
    effect = made.true_effect
    if made.truth == "head":
        assert effect > 0.15
    elif made.truth == "aligned":
        assert effect < -0.3
    else:
        assert abs(effect) < 0.12


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "tokens"])
@pytest.mark.parametrize("builder", [*NULL_CLASSES, *POSITIVE_CLASSES])
def test_every_class_can_be_made_of_images_and_tokens(kind: str, builder: object) -> None:
    made: Planted = builder(setting(kind))  # type: ignore[operator]
    run = TorchNetwork(made.network)
    assert run.layers() == ("blocks.0", "blocks.1")
    rows = made.setting.validation.take(np.arange(64))
    logits = run.forward(rows.inputs)
    assert np.isfinite(logits).all() and logits.std() > 0
    score, gradient = run.gradient(rows.inputs, "blocks.0")
    assert np.allclose(score, logits, atol=1e-4) and np.isfinite(gradient).all()


def test_names_of_classes_differ() -> None:
    small = Setting.drawn(World(), 300, seed=0, recipe=Recipe(epochs=1), n_validation=300)
    names = [builder(small).name for builder in (*NULL_CLASSES, *POSITIVE_CLASSES)]
    assert len(set(names)) == len(names) == 22


def test_worlds_of_classes_are_what_they_say() -> None:
    small = Setting.drawn(World(), 300, seed=0, recipe=Recipe(epochs=1), n_validation=300)
    changed = {no_gap: ("gap", 0.0), no_proxy: ("proxy", 0.0), rare: ("share", 0.01), three_groups: ("groups", 3)}
    for builder, (name, value) in changed.items():
        made = builder(small)
        assert getattr(made.setting.world, name) == value
        assert len(made.setting.rows) == 300
        assert made.setting.audit_rows(100).group_names == made.setting.rows.group_names


def test_settings_of_other_seeds_are_other_data() -> None:
    one, other = (Setting.drawn(World(), 300, seed=seed, n_validation=300) for seed in (0, 1))
    parts = [one.rows, one.validation, one.audit_rows(300), other.rows, other.validation, other.audit_rows(300)]
    firsts = {tuple(part.inputs["x"][0].tolist()) for part in parts}
    assert len(firsts) == len(parts)


def test_twins_are_unconstrained_networks_of_other_seeds() -> None:
    first, second = twins_of(setting(), 2)
    again = twins_of(setting(), 2)[1]
    rows = setting().validation
    logits = [scores(net, rows) for net in (setting().unconstrained, first, second, again)]
    assert np.array_equal(logits[2], logits[3])
    assert np.abs(logits[0] - logits[1]).max() > 0.1 < np.abs(logits[1] - logits[2]).max()
    assert np.corrcoef(logits[0], logits[1])[0, 1] > 0.95


def test_rows_of_ones_own_do_without_a_world_where_they_can() -> None:
    data = setting().rows
    own = Setting(
        rows=data.take(np.arange(600)),
        validation=data.take(np.arange(600, 1200)),
        group="A",
        recipe=Recipe(epochs=20, network=lambda rows, seed: MLP(12, hidden=(8, 8), seed=seed)),
    )
    made = added_head(own)
    # A is the favoured group: parity lowers it.
    assert made.strength < 0
    assert np.isnan(made.true_effect)
    assert merged_head(own).strength > 0  # the output of two groups is that of the second, B
    for builder in (dropped, no_gap, rare):
        with pytest.raises(ConfigError, match=r"needs rows of a World"):
            builder(own)


def test_what_cannot_be_planted_is_refused() -> None:
    data = setting().rows
    estimate = GroupEstimate(data, "B")
    with pytest.raises(ConfigError, match="must be an MLP, ResNet or Transformer"):
        plant(nn.Linear(12, 1), estimate, straight(1))
    with pytest.raises(ConfigError, match="3 layers deep"):
        plant(setting().unconstrained, estimate, straight(2))
    with pytest.raises(ConfigError, match="at least 2 layers"):
        either(1, 0.0, 1.0)
    with pytest.raises(ConfigError, match="`low` must lie below"):
        gate(2, 1.0, 1.0)
    with pytest.raises(ConfigError, match="must be one of"):
        GroupEstimate(data, "Z")
    with pytest.raises(ConfigError, match="a table"):
        GroupEstimate(Dataset(np.zeros((4, 2, 2)), [0, 1, 0, 1], [0, 0, 1, 1]), "0")
    with pytest.raises(ConfigError, match="`network` must be given"):
        small_network(Dataset(np.zeros((4, 2, 2)), [0, 1, 0, 1], [0, 0, 1, 1]), 0)


def test_heads_of_one_of_three_groups_raise_that_one() -> None:
    three = Setting.drawn(World(groups=3), 3000, seed=0, n_validation=3000)
    for builder in (added_head, merged_head):
        made = builder(three)
        world = three.known_world
        assert true_effect(made.network, world, group="B") > 0.2
        assert true_effect(made.network, world, group="B") > true_effect(made.network, world, group="C") + 0.2
