"""Twins: the same recipe without the constraint, the same bits in this process or in others, cached by content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.errors import ConfigError, FairheadsError
from fairheads.models import Bundle, weights_digest
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.training import Penalized, Unconstrained, train
from fairheads.twins import SEED_BASE, TwinRecipe


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


def test_a_worker_that_fails_is_one_clear_error(data: Dataset, bundle: Bundle) -> None:
    hopeless = replace(bundle, training={**bundle.training, "learning_rate": 1e30})
    with pytest.raises(FairheadsError, match=r"twin could not be trained: .*loss became"):
        TwinRecipe(data, n=2, processes=2).train(hopeless)
