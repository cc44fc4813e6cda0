"""Twins: the same recipe without the constraint, the same bits in this process or in others, cached by content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.errors import ConfigError, FairheadsError
from fairheads.models import Bundle, weights_digest
from fairheads.nets import MLP, ResNet, Transformer, TwoHeadNet
from fairheads.planted import synthetic
from fairheads.training import Objective, Penalized, TwoHeaded, Unconstrained, train
from fairheads.twins import PLACEBO_BASE, SEED_BASE, TwinRecipe
from fairheads.twins.job import address_of, permuted_within
from fairheads.twoheads import Coefficients, merge_net


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(1500, seed=0)


@pytest.fixture(scope="module")
def bundle(data: Dataset) -> Bundle:
    net = MLP(8, hidden=(8,), seed=0)
    history = train(net, data, Penalized(demographic_parity(), 5.0), epochs=2, batch_size=100, seed=0)
    return Bundle(net=net, training=history.record(), rows=history.rows)


def digests(nets: tuple[object, ...]) -> list[str]:
    return [weights_digest(net) for net in nets]  # type: ignore[arg-type]


def test_a_twin_is_the_recipe_without_the_constraint(data: Dataset, bundle: Bundle) -> None:
    twins = TwinRecipe(data, n=2, processes=1).train(bundle)
    expected = MLP(8, hidden=(8,), seed=SEED_BASE)
    train(expected, data, Unconstrained(), epochs=2, batch_size=100, seed=SEED_BASE)
    assert weights_digest(twins[0]) == weights_digest(expected)
    assert weights_digest(twins[0]) != weights_digest(twins[1])
    assert not twins[0].training


@pytest.mark.slow
def test_worker_processes_give_the_same_bits(data: Dataset, bundle: Bundle) -> None:
    told: list[tuple[int, int]] = []
    here = TwinRecipe(data, n=3, processes=1).train(bundle)
    apart = TwinRecipe(data, n=3, processes=2, progress=lambda *at: told.append(at)).train(bundle)
    assert digests(here) == digests(apart)
    assert sorted(told) == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_cache_is_used_and_a_damaged_file_is_made_again(data: Dataset, bundle: Bundle, tmp_path: Path) -> None:
    recipe = TwinRecipe(data, n=2, processes=1, cache=tmp_path)
    first = recipe.train(bundle)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    stamps = [file.stat().st_mtime_ns for file in files]
    assert digests(recipe.train(bundle)) == digests(first)
    assert [file.stat().st_mtime_ns for file in files] == stamps
    files[0].write_bytes(b"broken")
    assert digests(recipe.train(bundle)) == digests(first)
    assert sorted(tmp_path.iterdir()) == files


def test_the_cache_knows_rows_and_recipe(data: Dataset, bundle: Bundle, tmp_path: Path) -> None:
    TwinRecipe(data, n=2, processes=1, cache=tmp_path).train(bundle)
    longer = replace(bundle, training={**bundle.training, "epochs": 3})
    TwinRecipe(data, n=2, processes=1, cache=tmp_path).train(longer)
    TwinRecipe(data, n=2, seed=1, processes=1, cache=tmp_path).train(bundle)
    assert len(list(tmp_path.iterdir())) == 6


def test_other_rows_are_told_apart_and_bootstrapped(data: Dataset, bundle: Bundle) -> None:
    other = data.take(np.arange(1000))
    assert TwinRecipe(data, n=2).matches(bundle)
    assert not TwinRecipe(other, n=2).matches(bundle)
    assert not TwinRecipe(data, n=2).matches(replace(bundle, rows=None))
    reordered = data.take(np.random.default_rng(0).permutation(len(data)))
    assert TwinRecipe(reordered, n=2).matches(bundle)
    twins = TwinRecipe(other, n=2, processes=1).train(bundle)
    plain = MLP(8, hidden=(8,), seed=SEED_BASE)
    train(plain, other, Unconstrained(), epochs=2, batch_size=100, seed=SEED_BASE)
    assert weights_digest(twins[0]) != weights_digest(plain)


def test_settings_without_sense_are_refused(data: Dataset, bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        TwinRecipe(data, n=1)
    with pytest.raises(ConfigError, match="processes"):
        TwinRecipe(data, processes=0)
    with pytest.raises(ConfigError, match="training record"):
        TwinRecipe(data, n=2).train(replace(bundle, training={}))


@pytest.mark.slow
def test_a_worker_that_fails_is_one_clear_error(data: Dataset, bundle: Bundle) -> None:
    hopeless = replace(bundle, training={**bundle.training, "learning_rate": 1e30})
    with pytest.raises(FairheadsError, match=r"twin could not be trained: .*loss became"):
        TwinRecipe(data, n=2, processes=2).train(hopeless)


# --- any architecture ----------------------------------------------------------------------------------------------


def images(n: int = 300) -> Dataset:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, n)
    return Dataset(rng.normal(size=(n, 1, 6, 6)) + group[:, None, None, None], rng.integers(0, 2, n), group)


def sentences(n: int = 300) -> Dataset:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 9, (n, 5))
    inputs = {"input_ids": tokens, "attention_mask": np.ones((n, 5), np.int64)}
    return Dataset(inputs, rng.integers(0, 2, n), rng.integers(0, 2, n))


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["images", "sentences"])
def test_networks_for_images_and_tokens_have_twins_here_and_in_other_processes(kind: str, processes: int) -> None:
    rows = images() if kind == "images" else sentences()

    def fresh(seed: int) -> nn.Module:
        return ResNet(1, widths=(4, 8), seed=seed) if kind == "images" else Transformer(9, width=8, depth=1, seed=seed)

    net = fresh(0)
    history = train(net, rows, Penalized(demographic_parity(), 1.0), epochs=1, batch_size=100, seed=0)
    bundle = Bundle(net=net, training=history.record(), rows=history.rows)
    twins = TwinRecipe(rows, n=2, processes=processes).train(bundle)
    expected = fresh(SEED_BASE + 1)
    train(expected, rows, Unconstrained(), epochs=1, batch_size=100, seed=SEED_BASE + 1)
    assert type(twins[1]) is type(net)
    assert weights_digest(twins[1]) == weights_digest(expected)


class Tower(nn.Module):
    """A network of the caller's, which draws from torch's global generator as most do."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x)
        return out


def tower(seed: int) -> Tower:
    return Tower()


def wide(seed: int) -> Tower:
    return Tower(7)


RECORD = {"epochs": 2, "batch_size": 100, "learning_rate": 1e-3, "schedule": "cosine"}


@pytest.mark.slow
def test_a_module_in_memory_has_twins_by_a_factory_here_and_in_other_processes(data: Dataset) -> None:
    net = tower(0)
    before = torch.get_rng_state()
    apart = TwinRecipe(data, n=2, factory=tower, record=RECORD, processes=2).train(net)
    here = TwinRecipe(data, n=2, factory=lambda seed: tower(seed), record=RECORD).train(net)
    assert torch.equal(torch.get_rng_state(), before)
    assert digests(apart) == digests(here) and len({*digests(here)}) == 2
    assert address_of(tower) is not None and address_of(lambda seed: tower(seed)) is None


def test_what_is_known_of_a_modules_rows_decides_the_bootstrap(data: Dataset, bundle: Bundle) -> None:
    recipe = TwinRecipe(data, n=2, factory=tower, record=RECORD, processes=1)
    assert recipe.matches(tower(0)) is None
    ours = replace(recipe, record={**RECORD, "rows": bundle.training["rows"]})
    other = replace(recipe, record={**RECORD, "rows": {"n": 3, "digest": "another"}})
    assert ours.matches(tower(0)) is True and other.matches(tower(0)) is False
    assert digests(ours.train(tower(0))) == digests(recipe.train(tower(0)))
    assert digests(other.train(tower(0))) != digests(recipe.train(tower(0)))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"optimizer": "sgd"}, r"`record` must say \"adam\" for `optimizer`, got 'sgd'\. Of a loop of your own"),
        ({"weight_decay": 0.1, "momentum": 0.9}, r"settings of .*train`, got 'momentum', 'weight_decay'\."),
        ({"clip_nrom": 1.0}, r"got 'clip_nrom'\. Did you mean 'clip_norm'\?"),
    ],
)
def test_a_record_that_training_cannot_follow_is_refused(data: Dataset, bundle: Bundle, more, says: str) -> None:
    """Twins would be trained in another way than the network was, and differ from it for that alone."""
    TwinRecipe(data, record={**RECORD, "clip_norm": 1.0, "optimizer": "adam"})
    TwinRecipe(data, record=bundle.training)
    with pytest.raises(ConfigError, match=says):
        TwinRecipe(data, factory=tower, record={**RECORD, **more})
    with pytest.raises(ConfigError, match=r"a mapping such as `history\.record\(\)`, got function"):
        TwinRecipe(data, record=tower)  # type: ignore[arg-type]


def test_what_training_and_saved_models_record_is_followed(data: Dataset) -> None:
    def third(net: nn.Module, step: int) -> bool:
        return step == 3

    rest = {"validation": data.take(np.arange(200)), "patience": 1, "clip_norm": 1.0, "side_batch": 20}
    history = train(MLP(8, hidden=(4,)), data, Penalized(demographic_parity()), epochs=3, monitor=third, **rest)  # type: ignore[arg-type]
    record = history.record()
    assert {"stopped", "validation_losses", "best_epoch", "patience", "clip_norm", "side_batch"} <= record.keys()
    TwinRecipe(data, record={**record, "outcome": {}, "split": {}, "images": {}})


def test_factories_that_make_no_twins_are_refused(data: Dataset, tmp_path: Path) -> None:
    net = tower(0)
    with pytest.raises(ConfigError, match="give a `factory`"):
        TwinRecipe(data, record=RECORD).train(net)
    with pytest.raises(ConfigError, match="training record"):
        TwinRecipe(data, factory=tower).train(net)
    with pytest.raises(ConfigError, match=r"like the model, got other weights: body\.0\.bias"):
        TwinRecipe(data, factory=wide, record=RECORD).train(net)
    with pytest.raises(ConfigError, match="from its seed"):
        TwinRecipe(data, factory=lambda seed: net, record=RECORD).train(net)
    with pytest.raises(ConfigError, match=r"must return an nn\.Module, got int"):
        TwinRecipe(data, factory=lambda seed: seed, record=RECORD).train(net)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="imported by name"):
        TwinRecipe(data, factory=lambda seed: tower(seed), record=RECORD, processes=2).train(net)
    with pytest.raises(ConfigError, match="cache"):
        TwinRecipe(data, factory=tower, cache=tmp_path)


# --- placebo twins -------------------------------------------------------------------------------------------------


def test_permuted_groups_keep_the_gap_in_labels_and_lose_what_inputs_say(data: Dataset) -> None:
    group = permuted_within(data.y, data.group, seed=0)
    for label in (0, 1):
        assert (group[data.y == label].sum()) == data.group[data.y == label].sum()

    def proxy_gap(codes: np.ndarray) -> float:
        proxy = data.inputs["x"][data.y == 0, -1]
        return float(proxy[codes[data.y == 0] == 1].mean() - proxy[codes[data.y == 0] == 0].mean())

    assert proxy_gap(data.group) > 0.8 and abs(proxy_gap(group)) < 0.2
    assert not np.array_equal(group, permuted_within(data.y, data.group, seed=1))


def test_a_placebo_is_the_models_recipe_on_permuted_groups(data: Dataset, bundle: Bundle) -> None:
    (placebo, other) = TwinRecipe(data, n=2, placebo=2, processes=1).placebos(bundle)
    permuted = Dataset(data.inputs, data.y, permuted_within(data.y, data.group, PLACEBO_BASE), group_names=("A", "B"))
    expected = MLP(8, hidden=(8,), seed=PLACEBO_BASE)
    train(expected, permuted, Penalized(demographic_parity(), 5.0), epochs=2, batch_size=100, seed=PLACEBO_BASE)
    assert weights_digest(placebo) == weights_digest(expected) != weights_digest(other)


def merged(data: Dataset, hidden: tuple[int, ...] = (8,), epochs: int = 2) -> Bundle:
    two = TwoHeadNet(MLP(8, hidden=hidden, seed=0), seed=0)
    history = train(two, data, TwoHeaded(), epochs=epochs, batch_size=100, seed=0)
    net = merge_net(two, Coefficients(b=1.5, t=-0.2), data)
    return Bundle(net=net, training=history.record(), rows=history.rows, merge={"b": 1.5, "t": -0.2, "n": 100})


def test_a_merge_has_twins_without_and_placebos_with_a_group_head(data: Dataset) -> None:
    bundle = merged(data)
    recipe = TwinRecipe(data, n=2, placebo=2, processes=1)
    twins, placebos = recipe.train(bundle), recipe.placebos(bundle)
    expected = MLP(8, hidden=(8,), seed=SEED_BASE)
    train(expected, data, Unconstrained(), epochs=2, batch_size=100, seed=SEED_BASE)
    assert weights_digest(twins[0]) == weights_digest(expected)
    assert {type(net) for net in placebos} == {MLP} and placebos[0].head.out_features == 1
    assert len({*digests(placebos)}) == 2


def effect(net: nn.Module, rows: Dataset) -> float:
    """Mean score of the group minus that of the reference when the proxies are exchanged and merit stays."""
    x = torch.as_tensor(rows.inputs["x"])
    low, high = x.clone(), x.clone()
    low[:, 4:], high[:, 4:] = x[rows.group == 0, 4:].mean(0), x[rows.group == 1, 4:].mean(0)
    with torch.no_grad():
        return float((net(high) - net(low)).mean() / net(x).std())


@pytest.mark.slow
@pytest.mark.parametrize("made", ["penalty", "merge"])
def test_the_constraint_makes_a_head_and_the_placebo_does_not(made: str) -> None:
    rows = synthetic(6000, seed=0)
    if made == "merge":
        bundle = merged(rows, hidden=(32, 32), epochs=20)
    else:
        net = MLP(8, hidden=(32, 32), seed=0)
        history = train(net, rows, Penalized(demographic_parity(), 10.0), epochs=20, seed=0)
        bundle = Bundle(net=net, training=history.record(), rows=history.rows)
    placebos = TwinRecipe(rows, n=2, placebo=3, processes=1).placebos(bundle)
    assert effect(bundle.net, rows) > 0.3
    assert max(abs(effect(net, rows)) for net in placebos) < 0.2


@pytest.mark.parametrize(
    ("objective", "placebo", "says"),
    [(Unconstrained(), 2, "under a constraint"), (Penalized(demographic_parity(), 1.0), 0, "at least 2 twins, got 0")],
)
def test_placebos_without_sense_are_refused(data: Dataset, objective: Objective, placebo: int, says: str) -> None:
    net = MLP(8, hidden=(8,), seed=0)
    history = train(net, data, objective, epochs=1, batch_size=100, seed=0)
    with pytest.raises(ConfigError, match=says):
        TwinRecipe(data, placebo=placebo).placebos(Bundle(net=net, training=history.record(), rows=history.rows))
    with pytest.raises(ConfigError, match="placebo"):
        TwinRecipe(data, placebo=1)
