"""The one call: the same bytes for the same inputs, honest words about what it does not know, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from fairheads.activations import Layer, Network, TorchNetwork
from fairheads.audit import audit, network_disparity
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.data.rows import row_hashes
from fairheads.errors import ConfigError, InputError
from fairheads.models import Bundle, save_bundle
from fairheads.monitor import HeadMonitor
from fairheads.nets import MLP, ResNet, Transformer, TwoHeadNet
from fairheads.pathways import analyze_pathways
from fairheads.planted import synthetic
from fairheads.results import AuditReport
from fairheads.training import Penalized, Unconstrained, train
from fairheads.twins import TwinRecipe

SAMPLE = 2500
"""Rows that an audit looks into, where it is said."""


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
    return TwinRecipe(train_rows, n=5, processes=1, cache=tmp_path_factory.mktemp("twins"))


@pytest.fixture(scope="module")
def report(constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe) -> AuditReport:
    return audit(constrained, test_rows, twins=recipe, sample=SAMPLE)


def test_a_constrained_network_with_matched_twins_has_a_head(report: AuditReport) -> None:
    path = report.pathways["B"]
    assert path.verdict == "compensating_head"
    checks = {line.detector: line.passed for line in path.evidence if line.tag == "check"}
    assert len(checks) == 8
    assert all(checks.values())
    assert report.disparity.metrics["accuracy"].overall.value > 0.7


def test_an_unconstrained_network_does_not(train_rows: Dataset, test_rows: Dataset, recipe: TwinRecipe) -> None:
    found = audit(bundled(train_rows, 0.0, 2), test_rows, twins=recipe, sample=SAMPLE, details=False)
    assert found.pathways["B"].verdict in ("neutral", "inconclusive")
    assert found.disparity.demographic_parity_difference.value > 0.15


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(
    report: AuditReport, constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe, tmp_path: Path
) -> None:
    other = test_rows.take(np.arange(len(test_rows)))
    other.batch_size = 100
    assert audit(constrained, other, twins=recipe, sample=SAMPLE).to_json() == report.to_json()
    saved = save_bundle(constrained, tmp_path / constrained.name)
    assert audit(saved, test_rows, twins=recipe, sample=SAMPLE).to_json() == report.to_json()
    assert audit(constrained, test_rows, twins=recipe, sample=SAMPLE, seed=1).to_json() != report.to_json()


@pytest.mark.slow
def test_twins_may_be_given_as_modules_bundles_or_paths(
    constrained: Bundle, test_rows: Dataset, train_rows: Dataset, tmp_path: Path
) -> None:
    bundles = [bundled(train_rows, 0.0, 50 + i) for i in range(5)]
    path = save_bundle(bundles[0], tmp_path / "twin")
    mixed = audit(constrained, test_rows, twins=[path, *bundles[1:]], details=False).pathways["B"]
    plain = audit(constrained.net, test_rows, twins=[b.net for b in bundles], details=False).pathways["B"]
    assert mixed.verdict == plain.verdict == "compensating_head"
    known = {line.detector: line.passed for line in mixed.evidence}
    said = {line.detector: line.passed for line in plain.evidence}
    assert known["twins trained on the model's rows"] is True
    assert said["twins trained on the model's rows"] is None  # plain modules: the caller's word
    assert said["rows are no training rows"] is None


def test_twins_stand_beside_the_model_whatever_they_come_in() -> None:
    model, *twins = (MLP(8, hidden=(4,), seed=seed) for seed in range(4))
    rows = synthetic(400)
    report = audit(model, rows, twins=twins, details=False)
    assert next(iter(report.pathways.values())).twins.n == 3
    for given in (iter(twins), nn.ModuleList(twins)):
        assert audit(model, rows, twins=given, details=False).to_json() == report.to_json()
    for wrong, says in ((twins[0], "got MLP"), (nn.Sequential(*twins), "got Sequential"), ("net.pt2", "got str")):
        with pytest.raises(ConfigError, match=f"`twins` must be a list of models or a TwinRecipe, {says}"):
            audit(model, rows, twins=wrong)
    with pytest.raises(ConfigError, match="`twins` must hold one model or more, got none"):
        audit(model, rows, twins=(twin for twin in []))


@pytest.mark.parametrize("entry", [partial(audit, MLP(8)), partial(analyze_pathways, MLP(8)), HeadMonitor])
def test_rows_that_are_none_are_refused_in_one_line(entry: Callable[..., object]) -> None:
    rows = synthetic(40)
    given: dict[str, Any] = {"every": 1} if entry is HeadMonitor else {}
    for wrong, name in ((list(rows), "list"), ((rows.inputs["x"], rows.y, rows.group), "tuple"), (None, "NoneType")):
        with pytest.raises(
            InputError, match=rf"`data` must be a Dataset or a Stream.*, got {name}; make one by Dataset"
        ):
            entry(wrong, **given)


@pytest.mark.slow
def test_twins_from_other_rows_weaken_the_word(constrained: Bundle, test_rows: Dataset) -> None:
    others = [bundled(synthetic(6000, seed=9), 0.0, 50 + i) for i in range(5)]
    found = audit(constrained, test_rows, twins=others, details=False).pathways["B"]
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


@pytest.mark.slow
def test_a_group_that_training_never_saw_has_no_overfitting_check(
    constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe
) -> None:
    other = Dataset(test_rows.inputs, test_rows.y, test_rows.group, group_names=("A", "new"))
    found = audit(constrained, other, twins=recipe, details=False).pathways["new"]
    checks = {line.detector: line.passed for line in found.evidence}
    assert checks["overfitting like the twins'"] is None


def test_without_twins_the_strongest_word_is_consistent_with(
    constrained: Bundle, train_rows: Dataset, test_rows: Dataset
) -> None:
    found = audit(bundled(train_rows, 5.0, 2), test_rows, sample=SAMPLE, details=False).pathways["B"]
    assert (found.verdict, found.twins) == ("consistent_with_compensating_head", None)
    found = audit(constrained, test_rows, sample=SAMPLE, details=False).pathways["B"]
    assert found.verdict == "inconclusive" and "without twins the ranking" in found.reason


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
    with torch.no_grad():
        decision = constrained.net(torch.as_tensor(test_rows.inputs["x"]))[:, 0].numpy() > 0
    rates = network_disparity(constrained.net, test_rows).metrics["selection_rate"].groups
    for code, name in enumerate(test_rows.group_names):
        expected = decision[test_rows.group == code].mean()
        assert rates[name].value == pytest.approx(expected, abs=1e-3)


def test_a_network_is_audited_as_it_is(constrained: Bundle, test_rows: Dataset) -> None:
    narrow = audit(TorchNetwork(constrained.net, layers=["backbone.3"]), test_rows, sample=SAMPLE, details=False)
    assert narrow.model.layers == ("backbone.3",)
    assert [layer.name for layer in narrow.pathways["B"].layers] == ["backbone.3"]


def test_what_cannot_be_audited_is_refused(constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe) -> None:
    with pytest.raises(InputError, match="merge its heads first"):
        audit(TwoHeadNet(constrained.net), test_rows)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="training record"):
        audit(constrained.net, test_rows, twins=recipe)
    with pytest.raises(ConfigError, match=r"must be an nn\.Module or a Network"):
        audit(3, test_rows)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no model at"):
        audit("nowhere", test_rows)
    with pytest.raises(InputError, match="returns 3 logits a row; say which class is favourable"):
        audit(nn.Sequential(nn.Linear(8, 3)), test_rows)


def test_an_unnamed_record_still_makes_a_report(constrained: Bundle, test_rows: Dataset) -> None:
    bare = audit(replace(constrained, rows=None, training={}, name=""), test_rows, sample=SAMPLE, details=False)
    assert bare.model.name == "MLP"
    assert bare.data.overlap.reason is not None


# --- what the caller asks for beyond the verdict -------------------------------------------------------------------


def with_group_column(data: Dataset) -> Dataset:
    """The same rows, fed the group as a last column."""
    table = np.column_stack([data.inputs["x"], data.group]).astype(np.float32)
    return Dataset(table, data.y, data.group, group_names=("A", "B"), feature_names=(*"abcdefgh", "is_b"))


@pytest.fixture(scope="module")
def told(train_rows: Dataset) -> Bundle:
    """A network that is told the group."""
    rows, net = with_group_column(train_rows), MLP(9, hidden=(8,), seed=1)
    history = train(net, rows, Penalized(demographic_parity(), 10.0), epochs=8, seed=1)
    return Bundle(net=net, training=history.record(), rows=history.rows)


@pytest.mark.slow
def test_the_group_column_is_flipped_by_name_or_by_the_callers_pairs(told: Bundle, test_rows: Dataset) -> None:
    rows = with_group_column(test_rows)

    def pairs(inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        x = inputs["x"]
        return {"x": np.column_stack([x[:, :-1], 1 - x[:, -1]]).astype(x.dtype)}

    named, made = (
        audit(told, rows, flip=flip, sample=SAMPLE).pathways["B"].counterfactual for flip in (["is_b"], pairs)
    )
    assert named is not None and made is not None
    assert named.what == "is_b" and named.effect == made.effect
    low, high = named.effect.low, named.effect.high
    assert low is not None and high is not None and low * high > 0, "it uses what it is told"
    assert audit(told, rows, sample=SAMPLE).pathways["B"].counterfactual is None


def test_columns_that_do_not_hold_the_group_are_refused_before_twins_are_trained(
    told: Bundle, train_rows: Dataset, test_rows: Dataset
) -> None:
    begun: list[tuple[int, int]] = []
    recipe = TwinRecipe(with_group_column(train_rows), n=2, progress=lambda *at: begun.append(at))
    for flip, says in ((["a"], "one value in all rows"), (["sex"], "is not in the inputs")):
        with pytest.raises(InputError, match=says):
            audit(told, with_group_column(test_rows), twins=recipe, flip=flip)
    assert begun == []


def test_without_details_the_verdict_is_the_same_and_nothing_else_is_described(
    constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe, report: AuditReport
) -> None:
    full = report.pathways["B"]
    bare = audit(constrained, test_rows, twins=recipe, sample=SAMPLE, details=False).pathways["B"]
    assert (bare.verdict, bare.effect, bare.twins, bare.layers) == (full.verdict, full.effect, full.twins, full.layers)
    described = ("units", "routing", "two_heads", "recovery", "reading")
    assert all(getattr(full, name) is not None for name in described)
    assert all(getattr(bare, name) is None for name in described)
    with pytest.raises(ConfigError, match="one of the details"):
        audit(constrained, test_rows, flip=lambda inputs: inputs, details=False)


def exported(net: nn.Module) -> ExportedProgram:
    rows = torch.export.Dim("rows")
    return torch.export.export(net.eval(), (torch.zeros(4, 8),), dynamic_shapes=({0: rows},))


def test_an_exported_program_is_audited_as_the_module_that_it_was(
    constrained: Bundle, test_rows: Dataset, train_rows: Dataset
) -> None:
    twins = [bundled(train_rows, 0.0, 50 + i).net for i in range(2)]
    program = exported(constrained.net)
    found = audit(program, test_rows, twins=[exported(twins[0]), twins[1]], sample=SAMPLE, details=False)
    plain = audit(constrained.net, test_rows, twins=twins, sample=SAMPLE, details=False)
    one, other = found.pathways["B"], plain.pathways["B"]
    assert one.verdict == other.verdict
    assert one.effect is not None and other.effect is not None
    assert one.effect.value == pytest.approx(other.effect.value, abs=1e-6)
    assert found.model.architecture == "ExportedProgram" and found.model.digest == plain.model.digest
    with pytest.raises(InputError, match="same weights"):
        audit(program, test_rows, twins=[constrained.net, twins[0]])


# --- twins and placebos of a network in memory ---------------------------------------------------------------------


class Tower(nn.Module):
    """A network of the caller's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(x))
        return logits


def tower(seed: int) -> Tower:
    return Tower()


@pytest.fixture(scope="module")
def trained_tower(train_rows: Dataset) -> tuple[Tower, dict[str, Any]]:
    net = Tower()
    return net, train(net, train_rows, Penalized(demographic_parity(), 10.0), epochs=12, seed=1).record()


@pytest.mark.slow
def test_a_module_with_a_factory_and_a_record_has_twins(
    trained_tower: tuple[Tower, dict[str, Any]], train_rows: Dataset, test_rows: Dataset
) -> None:
    net, record = trained_tower
    recipe = TwinRecipe(train_rows, n=3, factory=tower, record=record)
    report = audit(net, test_rows, twins=recipe, details=False)
    found = report.pathways["B"]
    assert found.verdict == "compensating_head"
    checks = {line.detector: line.passed for line in found.evidence}
    assert checks["rows are no training rows"] is checks["twins trained on the model's rows"] is True
    assert checks["overfitting like the twins'"] is True
    assert report.model.training == record and report.data.overlap.value == 0.0


def test_what_the_record_does_not_say_of_the_rows_is_the_callers_word(
    trained_tower: tuple[Tower, dict[str, Any]], train_rows: Dataset, test_rows: Dataset
) -> None:
    net, record = trained_tower
    record = {**record, "epochs": 1}  # what its twins do is beside the point
    silent = {key: value for key, value in record.items() if key != "rows"}
    matched = "twins trained on the model's rows"
    for said, passed in ((silent, None), ({**record, "rows": {"n": 6000, "digest": "another"}}, False)):
        recipe = TwinRecipe(train_rows, n=2, factory=tower, record=said, processes=1)
        found = audit(TorchNetwork(net), test_rows, twins=recipe, sample=SAMPLE, details=False).pathways["B"]
        checks = {line.detector: line.passed for line in found.evidence}
        assert checks[matched] is passed and checks["rows are no training rows"] is None
        with pytest.raises(InputError, match="of a twin"):
            audit(net, test_rows, twins=TwinRecipe(test_rows, n=2, factory=tower, record=said))
    with pytest.raises(InputError, match="not trained on"):
        audit(net, train_rows, twins=TwinRecipe(train_rows, n=2, factory=tower, record=record))


class Opaque(Network):
    """A network that no torch module stands behind."""

    gradients = False

    def __init__(self, net: nn.Module) -> None:
        self.inner = TorchNetwork(net)

    def layers(self) -> tuple[str, ...]:
        return self.inner.layers()

    def survey(self, inputs: Mapping[str, Any], layers: Sequence[str] | None = None) -> tuple[Layer, ...]:
        return self.inner.survey(inputs, layers)

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        return self.inner.forward(inputs)


def test_a_network_that_no_module_stands_behind_cannot_be_trained_again(
    constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe
) -> None:
    with pytest.raises(ConfigError, match="needs a bundle or a torch module, got Opaque"):
        audit(Opaque(constrained.net), test_rows, twins=recipe)


@pytest.mark.slow
def test_placebos_stand_beside_the_effect_and_decide_nothing(
    constrained: Bundle, test_rows: Dataset, recipe: TwinRecipe, report: AuditReport
) -> None:
    steps: list[tuple[int, int]] = []
    more = replace(recipe, placebo=3, progress=lambda *at: steps.append(at))
    found = audit(constrained, test_rows, twins=more, sample=SAMPLE, details=False).pathways["B"]
    before = report.pathways["B"]
    assert (found.verdict, found.reason, found.effect, found.twins) == (
        before.verdict,
        before.reason,
        before.effect,
        before.twins,
    )
    (line,) = [line for line in found.evidence if "placebo" in line.detector]
    assert found.effect is not None
    assert line.detector == f"{found.effect.kind} beside 3 placebo twins" and line.tag == "causal"
    assert line.value == found.effect.value and line.passed is None
    assert line.null is not None and line.null < 0.3 * line.value
    assert not any("placebo" in each.detector for each in before.evidence)
    assert "3 placebo twins" in found.summary()
    assert {of for _, of in steps} == {8} and max(done for done, _ in steps) == 8


class Flat(MLP):
    """A placebo that its constraint has flattened."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0 * super().forward(x) - 1


def test_a_placebo_that_the_constraint_has_flattened_is_left_out_and_counted(
    constrained: Bundle, test_rows: Dataset
) -> None:
    placebos = [MLP(8, hidden=(16, 16), seed=3), Flat(8, hidden=(16, 16), seed=4)]
    for given, null in ((placebos, True), (placebos[1:], False)):
        found = analyze_pathways(constrained.net, test_rows, placebos=given, sample=1000, details=False)["B"]
        (line,) = [line for line in found.evidence if "placebo" in line.detector]
        assert (line.null is not None) is null
        assert (
            f"{len(given)} placebo twins" in line.detector
            and "1 left out, whose score is flat or no logit" in line.note
        )


def test_a_network_of_no_constraint_has_no_placebos(
    train_rows: Dataset, test_rows: Dataset, recipe: TwinRecipe
) -> None:
    with pytest.raises(ConfigError, match="trained under a constraint"):
        audit(bundled(train_rows, 0.0, 2), test_rows, twins=replace(recipe, placebo=2))


# --- saved networks for images and tokens --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["images", "tokens"])
def test_saved_networks_for_images_and_tokens_are_audited_beside_their_twins(kind: str, tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 2000
    group, y = rng.integers(0, 2, n), rng.integers(0, 2, n)
    net: nn.Module
    if kind == "images":
        shown = rng.normal(size=(n, 1, 4, 4)) + (0.2 * group + 0.5 * y)[:, None, None, None]
        data, net = Dataset(shown.astype(np.float32), y, group), ResNet(1, widths=(4,), seed=0)
    else:
        tokens = np.clip(rng.poisson(2 + 0.5 * group + y, (6, n)).T, 0, 8)
        inputs = {"input_ids": tokens, "attention_mask": np.ones((n, 6), np.int64)}
        data, net = Dataset(inputs, y, group), Transformer(9, width=4, depth=1, length=6, seed=0)
    own, held_out = data.take(np.arange(n // 2)), data.take(np.arange(n // 2, n))
    history = train(net, own, Penalized(demographic_parity(), 1.0), epochs=1, batch_size=100, seed=0)
    saved = save_bundle(Bundle(net=net, training=history.record(), rows=history.rows), tmp_path / "net")
    if kind == "tokens":
        held_out = unseen(own, held_out)
    recipe = TwinRecipe(own, n=2, processes=1, cache=tmp_path / "twins")
    found = audit(saved, held_out, twins=recipe, details=False)
    assert found.model.architecture == type(net).__name__
    (path,) = found.pathways.values()
    assert path.twins is not None and path.twins.n == 2
    again = audit(saved, held_out, twins=recipe, details=False)
    assert again.to_json() == found.to_json()


def unseen(own: Dataset, other: Dataset) -> Dataset:
    """The rows of the other data that do not occur in our own."""
    return other.take(np.flatnonzero(~np.isin(row_hashes(other), row_hashes(own))))
