"""Networks on a GPU: planted, trained, audited and attributed there, with the results that they have on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.activations import device_of
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.pathways import analyze_pathways
from fairheads.planted import (
    NULL_CLASSES,
    POSITIVE_CLASSES,
    GroupEstimate,
    Planted,
    Recipe,
    Setting,
    World,
    late_head,
    parity_penalty,
    twins_of,
)
from fairheads.planted.recipe import small_network
from fairheads.planted.truth import scores
from fairheads.training import Penalized

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
KINDS = ("table", "image", "tokens")


def on_gpu(data: Dataset, seed: int) -> nn.Module:
    return small_network(data, seed).to("cuda")


@pytest.fixture(scope="module", params=KINDS)
def setting(request: pytest.FixtureRequest) -> Setting:
    recipe = Recipe(network=on_gpu, epochs=2, learning_rate=3e-3)
    return Setting.drawn(World(kind=request.param, gap=0.6), 1500, seed=3, recipe=recipe, n_validation=1500)


def test_a_network_of_buffers_alone_is_where_they_are() -> None:
    """An estimate of the group has no parameters."""
    estimate = GroupEstimate(World().draw(200, seed=0), "B")
    assert device_of(estimate.to("meta")).type == "meta"
    assert device_of(nn.ReLU()).type == "cpu"


def test_moving_a_planted_network_leaves_its_setting_alone() -> None:
    setting = Setting.drawn(World(kind="image"), 300, seed=0, recipe=Recipe(epochs=1), n_validation=300)
    before = setting.estimate.on(setting.rows)
    late_head(setting, layer=1, strength=1.0).network.to(torch.float64)
    assert setting.estimate.weight.dtype == torch.float32
    np.testing.assert_array_equal(setting.estimate.on(setting.rows), before)


@needs_cuda
@pytest.mark.parametrize("build", [*NULL_CLASSES, *POSITIVE_CLASSES], ids=lambda build: build.__name__)
def test_planted_networks_stay_on_the_gpu_and_score_as_on_the_cpu(
    setting: Setting, build: Callable[[Setting], Planted]
) -> None:
    made = build(setting)
    tensors = [*made.network.parameters(), *made.network.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    rows = made.setting.audit_rows(500)
    there, here = scores(made.network, rows), scores(copy.deepcopy(made.network).cpu(), rows)
    # Convolutions round their inputs to 10 bits on a GPU (TF32).
    np.testing.assert_allclose(there, here, atol=1e-2 * here.std())


@needs_cuda
def test_the_verdict_on_a_gpu_is_the_one_on_the_cpu(setting: Setting) -> None:
    penalised = parity_penalty(setting)
    nets = [penalised.network, *twins_of(setting, 3)]
    rows = setting.audit_rows(1500)
    there, here = (
        analyze_pathways(first, rows, twins=others, train_data=setting.rows)["B"]
        for first, *others in (nets, [copy.deepcopy(net).cpu() for net in nets])
    )
    assert (there.verdict, there.missing) == (here.verdict, here.missing)
    for one, other in zip(there.layers, here.layers, strict=True):
        for name in ("swap", "erasure", "equal_merit", "probe_auc", "merit_auc"):
            assert getattr(one, name).value == pytest.approx(getattr(other, name).value, abs=0.02), name
    assert there.twins is not None and here.twins is not None


@needs_cuda
def test_training_on_a_gpu_is_repeatable(setting: Setting) -> None:
    first, second = (setting.trained(Penalized(demographic_parity(), 5.0)) for _ in range(2))
    np.testing.assert_allclose(scores(first, setting.rows), scores(second, setting.rows), atol=1e-3)
