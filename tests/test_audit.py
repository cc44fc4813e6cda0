"""The one call: the same bytes for the same inputs, honest words about what it does not know, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.audit import audit, network_disparity
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.models import Bundle, save_bundle
from fairheads.nets import MLP, TwoHeadNet
from fairheads.planted import synthetic
from fairheads.results import AuditReport
from fairheads.training import Penalized, Unconstrained, train
from fairheads.twins import TwinRecipe


@pytest.fixture(scope="module")
def train_rows() -> Dataset:
    return synthetic(6000, seed=0)


@pytest.fixture(scope="module")
def test_rows() -> Dataset:
    return synthetic(5000, seed=1)


def bundled(data: Dataset, weight: float, seed: int) -> Bundle:
    net = MLP(8, hidden=(16, 16), seed=seed)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    history = train(net, data, objective, epochs=12, seed=seed)
    return Bundle(net=net, training=history.record(), rows=history.rows, name=f"weight-{weight:g}")


@pytest.fixture(scope="module")
def constrained(train_rows: Dataset) -> Bundle:
    return bundled(train_rows, 10.0, 1)


@pytest.fixture(scope="module")
def recipe(train_rows: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TwinRecipe:
    return TwinRecipe(train_rows, n=5, cache=tmp_path_factory.mktemp("twins"))


@pytest.fixture(scope="module")
def report(constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe) -> AuditReport:
    return audit(constrained, test_rows, twins=recipe)


def test_a_constrained_network_with_matched_twins_has_a_head(report: AuditReport) -> None:
    path = report.pathways["B"]
    assert path.verdict == "compensating_head"
    checks = {line.detector: line.passed for line in path.evidence if line.tag == "check"}
    assert len(checks) == 8
    assert all(checks.values())
    assert report.disparity.metrics["accuracy"].overall.value > 0.7


def test_an_unconstrained_network_does_not(train_rows: Dataset, test_rows: Dataset, recipe: TwinRecipe) -> None:
    found = audit(bundled(train_rows, 0.0, 2), test_rows, twins=recipe)
    assert found.pathways["B"].verdict in ("neutral", "inconclusive")
    assert found.disparity.demographic_parity_difference.value > 0.15


def test_the_same_inputs_give_the_same_bytes(
    report: AuditReport, constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe, tmp_path: Path
) -> None:
    other = test_rows.take(np.arange(len(test_rows)))
    other.batch_size = 100
    assert audit(constrained, other, twins=recipe).to_json() == report.to_json()
    saved = save_bundle(constrained, tmp_path / constrained.name)
    assert audit(saved, test_rows, twins=recipe).to_json() == report.to_json()
    assert audit(constrained, test_rows, twins=recipe, seed=1).to_json() != report.to_json()


def test_twins_may_be_given_as_modules_bundles_or_paths(
    constrained: Bundle, test_rows: Dataset, train_rows: Dataset, tmp_path: Path
) -> None:
    bundles = [bundled(train_rows, 0.0, 50 + i) for i in range(5)]
    path = save_bundle(bundles[0], tmp_path / "twin")
    mixed = audit(constrained, test_rows, twins=[path, *bundles[1:]]).pathways["B"]
    plain = audit(constrained.net, test_rows, twins=[b.net for b in bundles]).pathways["B"]
    assert mixed.verdict == plain.verdict == "compensating_head"
    known = {line.detector: line.passed for line in mixed.evidence}
    said = {line.detector: line.passed for line in plain.evidence}
    assert known["twins trained on the model's rows"] is True
    assert said["twins trained on the model's rows"] is None  # plain modules: the caller's word
    assert said["rows are no training rows"] is None


def test_twins_from_other_rows_weaken_the_word(constrained: Bundle, test_rows: Dataset) -> None:
    others = [bundled(synthetic(6000, seed=9), 0.0, 50 + i) for i in range(5)]
    found = audit(constrained, test_rows, twins=others).pathways["B"]
    assert found.verdict == "consistent_with_compensating_head"


def test_what_is_no_twin_is_refused(constrained: Bundle, test_rows: Dataset, train_rows: Dataset) -> None:
    one, two = (bundled(train_rows, 0.0, 60 + i) for i in range(2))
    with pytest.raises(InputError, match="same weights"):
        audit(constrained, test_rows, twins=[one, two, one])
    with pytest.raises(InputError, match="same weights"):
        audit(constrained.net, test_rows, twins=[one.net, constrained.net])
    with pytest.raises(InputError, match="was trained as 'penalized'"):
        audit(constrained, test_rows, twins=[one, bundled(train_rows, 5.0, 62)])
    short = replace(two, training={**two.training, "epochs": 1})
    with pytest.raises(InputError, match="differs from the model in epochs"):
        audit(constrained, test_rows, twins=[one, short])
    with pytest.raises(InputError, match=r"100\.0% of the 5,000 rows equal a training row of a twin"):
        audit(constrained, test_rows, twins=[one, bundled(test_rows, 0.0, 63)])
    with pytest.raises(InputError, match="of a twin"):
        audit(constrained, test_rows, twins=TwinRecipe(test_rows, n=2))


def test_a_group_that_training_never_saw_has_no_overfitting_check(
    constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe
) -> None:
    other = Dataset(test_rows.inputs, test_rows.y, test_rows.group, group_names=("A", "new"))
    checks = {line.detector: line.passed for line in audit(constrained, other, twins=recipe).pathways["new"].evidence}
    assert checks["overfitting like the twins'"] is None


def test_without_twins_the_strongest_word_is_consistent_with(constrained: Bundle, test_rows: Dataset) -> None:
    found = audit(constrained, test_rows)
    assert found.pathways["B"].verdict == "consistent_with_compensating_head"
    assert found.pathways["B"].twins is None


def test_training_rows_are_refused(constrained: Bundle, train_rows: Dataset, test_rows: Dataset) -> None:
    with pytest.raises(InputError, match="not trained on"):
        audit(constrained, train_rows)
    half = Dataset(
        np.concatenate([train_rows.inputs["x"][:500], test_rows.inputs["x"][:4500]]),
        np.concatenate([train_rows.y[:500], test_rows.y[:4500]]),
        np.concatenate([train_rows.group[:500], test_rows.group[:4500]]),
        group_names=("A", "B"),
    )
    with pytest.raises(InputError, match=r"10\.0% of the 5,000 rows"):
        audit(constrained, half)


def test_training_rows_are_refused_for_another_group_too(constrained: Bundle, train_rows: Dataset) -> None:
    other = Dataset(train_rows.inputs, train_rows.y, np.arange(len(train_rows)) % 2, group_names=("even", "odd"))
    with pytest.raises(InputError, match="not trained on"):
        audit(constrained, other)


def test_the_report_says_what_was_audited(report: AuditReport, constrained: Bundle, test_rows: Dataset) -> None:
    assert report.model.name == "weight-10"
    assert report.model.architecture == "MLP 8-16-16-1, relu"
    assert report.model.parameters == sum(p.numel() for p in constrained.net.parameters())
    assert report.model.training is not None
    assert report.model.training["objective"]["weight"] == 10.0
    assert report.data.n == len(test_rows)
    assert report.data.groups["A"].training_n == constrained.training["shares"]["A"]["n"]
    assert report.data.overlap.value == 0.0


def test_disparity_is_that_of_the_decisions(constrained: Bundle, test_rows: Dataset) -> None:
    import torch

    with torch.no_grad():
        decision = constrained.net(torch.as_tensor(test_rows.inputs["x"]))[:, 0].numpy() > 0
    rates = network_disparity(constrained.net, test_rows).metrics["selection_rate"].groups
    for code, name in enumerate(test_rows.group_names):
        expected = decision[test_rows.group == code].mean()
        assert rates[name].value == pytest.approx(expected, abs=1e-3)


def test_a_network_is_audited_as_it_is(constrained: Bundle, test_rows: Dataset) -> None:
    narrow = audit(TorchNetwork(constrained.net, layers=["backbone.3"]), test_rows)
    assert narrow.model.layers == ("backbone.3",)
    assert [layer.name for layer in narrow.pathways["B"].layers] == ["backbone.3"]


def test_what_cannot_be_audited_is_refused(constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe) -> None:
    with pytest.raises(InputError, match="merge its heads first"):
        audit(TwoHeadNet(constrained.net), test_rows)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="bundle"):
        audit(constrained.net, test_rows, twins=recipe)
    with pytest.raises(ConfigError, match=r"must be an nn\.Module or a Network"):
        audit(3, test_rows)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no model at"):
        audit("nowhere", test_rows)
    with pytest.raises(InputError, match="returns 3 logits a row; say which class is favourable"):
        audit(nn.Sequential(nn.Linear(8, 3)), test_rows)


def test_an_unnamed_record_still_makes_a_report(constrained: Bundle, test_rows: Dataset) -> None:
    bare = audit(replace(constrained, rows=None, training={}, name=""), test_rows)
    assert bare.model.name == "MLP"
    assert bare.data.overlap.reason is not None
