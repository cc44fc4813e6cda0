"""One network audited from files of every kind: the same numbers, and one line for whatever is wrong with a file."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_for_tests import exported
from safetensors.torch import save_file
from torch import nn

from fairheads.activations import OnnxNetwork, Outcome, TorchNetwork
from fairheads.audit import audit
from fairheads.data import Dataset, dataset
from fairheads.errors import ConfigError, FairheadsWarning, InputError, UnsafeModelError
from fairheads.models import Bundle, save_bundle, weights_digest
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.results import AuditReport
from fairheads.selftest.given import given_networks
from fairheads.training import Unconstrained, train

FACTORY = """
from fairheads.nets import MLP

def net():
    return MLP(8, hidden=(6, 5))

def broken():
    raise ZeroDivisionError("nothing was divided")
"""


@cache
def trained(seed: int) -> MLP:
    net = MLP(8, hidden=(6, 5), seed=seed)
    train(net, synthetic(1000, seed=0), Unconstrained(), epochs=4, batch_size=64, learning_rate=0.01, seed=seed)
    return net.eval()


def small(seed: int = 3) -> MLP:
    """A copy of a small network that has learned something."""
    return copy.deepcopy(trained(seed))


def save_pt2(net: nn.Module, file: Path) -> Path:
    rows = torch.export.Dim("rows")
    torch.export.save(torch.export.export(net.eval(), (torch.zeros(4, 8),), dynamic_shapes=({0: rows},)), file)
    return file


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Values of few digits."""
    data = synthetic(700, seed=1)
    return Dataset(data.inputs["x"].round(2), data.y, data.group, group_names=data.group_names, name="rows")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network in every kind of file, and a module of the user's own."""
    folder = tmp_path_factory.mktemp("saved")
    save_bundle(Bundle(net=small()), folder / "bundle")
    save_pt2(small(), folder / "net.pt2")
    save_pt2(nn.Sequential(small(), nn.Sigmoid()), folder / "probability.pt2")
    save_pt2(small(4), folder / "twin.pt2")
    save_file(small().state_dict(), folder / "net.safetensors")
    (folder / "audited_nets.py").write_text(FACTORY)
    return folder


@pytest.fixture
def in_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(here)
    return here


def quick(model: Any, rows: Dataset, **settings: Any) -> AuditReport:
    return audit(model, rows, details=False, **settings)


@pytest.fixture(scope="module")
def own(rows: Dataset) -> AuditReport:
    return quick(small(), rows)


def numbers(report: AuditReport) -> list[float]:
    """Disparity, effect and every layer's effects, in order."""
    found = [report.disparity.demographic_parity_difference.value, report.disparity.metrics["accuracy"].overall.value]
    found += [group.value for group in report.disparity.metrics["selection_rate"].groups.values()]
    for path in report.pathways.values():
        assert path.effect is not None
        found += [path.effect.value, path.effect.low, path.effect.high, path.retention.value]
        for layer in path.layers:
            found += [layer.swap.value, layer.erasure.value, layer.probe_auc.value]
    return found


def assert_same(report: AuditReport, own: AuditReport) -> None:
    assert [path.verdict for path in report.pathways.values()] == [path.verdict for path in own.pathways.values()]
    np.testing.assert_allclose(numbers(report), numbers(own), rtol=0, atol=1e-5)


KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a bundle": ("bundle", {}, "MLP 8-6-5-1, relu"),
    "an export": ("net.pt2", {}, "ExportedProgram"),
    "weights": ("net.safetensors", {"factory": "audited_nets:net"}, "MLP 8-6-5-1, relu"),
    "probabilities": ("probability.pt2", {"outcome": Outcome("sigmoid")}, "ExportedProgram"),
}


@pytest.mark.filterwarnings("ignore:ran '")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_report(kind: str, in_folder: Path, rows: Dataset, own: AuditReport) -> None:
    name, settings, architecture = KINDS[kind]
    report = quick(in_folder / name, rows, **settings)
    assert_same(report, own)
    assert (report.model.name, report.model.architecture) == (name, architecture)
    assert report.model.parameters == own.model.parameters and len(report.model.digest) == 64
    assert math.isnan(report.data.overlap.value) and "no record" in str(report.data.overlap.reason)
    checks = {line.detector: line.passed for path in report.pathways.values() for line in path.evidence}
    assert checks["rows are no training rows"] is None
    if kind == "a bundle":
        assert report.model.digest == weights_digest(small())
    if "outcome" in settings:
        assert report.notes == ("The score is made of the network's outputs as 'sigmoid'.",)


def test_another_network_gives_other_numbers(here: Path, rows: Dataset, own: AuditReport) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(numbers(quick(here / "twin.pt2", rows))[:4], numbers(own)[:4], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a network as an ONNX file."""
    pytest.importorskip("onnx", reason="needs the extra `integrations`")
    pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")
    folder = tmp_path_factory.mktemp("graphs")

    def save(net: nn.Module, name: str = "net.onnx") -> Path:
        (folder / name).write_bytes(exported(net, {"x": torch.zeros(4, 8)}))
        return folder / name

    return save


class WithoutGradients(TorchNetwork):
    """Its intervals come, as those of a graph do, of short steps in place of derivatives."""

    gradients = False


def test_an_onnx_file_gives_the_same_report(graph: Callable[..., Path], rows: Dataset, own: AuditReport) -> None:
    file = graph(small())
    report, network = quick(file, rows), OnnxNetwork(file)
    assert_same(report, quick(WithoutGradients(small()), rows))
    effect, theirs = report.pathways["B"].effect, own.pathways["B"].effect
    assert effect is not None and theirs is not None
    assert effect.value == pytest.approx(theirs.value, abs=1e-5)
    assert (effect.low, effect.high) == pytest.approx((theirs.low, theirs.high), abs=1e-4)
    assert (report.model.name, report.model.architecture) == ("net.onnx", "OnnxNetwork")
    assert (report.model.digest, report.model.parameters) == (network.digest, own.model.parameters)
    assert "onnxruntime" in report.versions and "onnxruntime" not in own.versions
    assert AuditReport.from_dict(report.to_dict()).to_dict() == report.to_dict()


def test_twins_may_be_onnx_files_but_not_one_twice(graph: Callable[..., Path], rows: Dataset) -> None:
    model, *twins = (graph(small(seed), f"{seed}.onnx") for seed in (3, 5, 6))
    report = quick(model, rows, twins=twins, layers=[OnnxNetwork(model).layers()[0]], sample=400)
    assert all(path.twins is not None and path.twins.n == 2 for path in report.pathways.values())
    with pytest.raises(InputError, match="are the same file"):
        quick(model, rows, twins=[twins[0], model])


def test_clipped_probabilities_are_counted_over_all_rows(rows: Dataset) -> None:
    class Sure(nn.Module):
        """A probability of 1 for rows with a positive first column."""

        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            probability: torch.Tensor = self.net(x)[:, 0].sigmoid()
            return torch.where(x[:, 0] > 0, torch.ones(()), probability)

    sure = int((rows.inputs["x"][:, 0] > 0).sum())
    assert 0 < sure < len(rows) and len(rows) > 512, "more than one block"
    report = quick(TorchNetwork(Sure(), outcome=Outcome("sigmoid")), rows)
    assert f"{sure} of the 700 rows have a probability without a logit, and the nearest that has one." in report.notes


@pytest.mark.filterwarnings("ignore:ran '")
def test_twins_are_opened_alike(in_folder: Path, rows: Dataset) -> None:
    files = [in_folder / f"twin{seed}.safetensors" for seed in (5, 6)]
    for seed, file in zip((5, 6), files, strict=True):
        save_file(small(seed).state_dict(), file)
    folder = save_bundle(Bundle(net=small(7)), in_folder / "twin7")
    one = {"layers": ["backbone.1"], "sample": 400}
    mixed = quick(in_folder / "net.safetensors", rows, twins=[*files, folder], factory="audited_nets:net", **one)
    plain = quick(small(), rows, twins=[small(seed) for seed in (5, 6, 7)], **one)
    assert mixed.pathways["B"].to_dict() == plain.pathways["B"].to_dict()
    with pytest.raises(InputError, match="have the same weights"):
        quick(small(), rows, twins=[in_folder / "net.safetensors", small(5)], factory="audited_nets:net")


def test_a_twin_that_is_a_bundle_returns_logits_beside_probabilities(here: Path, rows: Dataset) -> None:
    twin = save_bundle(Bundle(net=small(5)), here / "logits")
    net = nn.Sequential(small(), nn.Sigmoid())
    probability = save_pt2(nn.Sequential(small(5), nn.Sigmoid()), here / "twin-probability.pt2")
    settings: dict[str, Any] = {"outcome": Outcome("sigmoid"), "layers": ["0.backbone.1"], "sample": 400}
    report = quick(save_pt2(net, here / "p.pt2"), rows, twins=[probability], **settings)
    assert report.pathways["B"].twins is not None
    with pytest.raises(LookupError, match=r"0\.backbone\.1"):  # it was run, and has layers of other names
        quick(here / "p.pt2", rows, twins=[twin], **settings)


def test_what_a_network_cannot_run_is_one_line(
    here: Path, rows: Dataset, own: AuditReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "NARROW", 512)
    narrow = Dataset(rows.inputs["x"][:, :7], rows.y, rows.group, group_names=rows.group_names)
    with pytest.raises(InputError, match=r"the model cannot be run on the inputs x \(n, 7\): ") as caught:
        quick(here / "net.pt2", narrow)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is not None
    with pytest.raises(InputError, match=r"twin 1 cannot be run on the inputs x \(n, 8\): it takes 7 columns"):
        quick(here / "net.pt2", rows, twins=[MLP(7, hidden=(6, 5))])

    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] == 700 - 512:
                raise KeyError("the last block")
            out: torch.Tensor = self.net(x)
            return out

    with pytest.raises(InputError, match="KeyError: 'the last block'"):
        quick(Fails(), rows)
    assert own.disparity.n == 700


def test_an_export_for_one_size_of_batch_has_the_same_report(rows: Dataset, own: AuditReport, tmp_path: Path) -> None:
    torch.export.save(torch.export.export(small(), (torch.zeros(64, 8),)), tmp_path / "net.pt2")
    assert_same(quick(tmp_path / "net.pt2", rows), own)
    narrow = Dataset(rows.inputs["x"][:, 1:], rows.y, rows.group, group_names=rows.group_names)
    with pytest.raises(
        InputError, match=r"cannot be run on the inputs x \(n, 7\): it takes 8 columns, and there are 7"
    ):
        quick(tmp_path / "net.pt2", narrow)


def test_factories_and_outcomes_are_refused_where_they_have_no_use(in_folder: Path, rows: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"say TorchNetwork\(net, outcome=\.\.\.\)"):
        quick(small(), rows, outcome=Outcome("sigmoid"))
    with pytest.raises(ConfigError, match="`factory` and `outcome` are for the paths"):
        quick(small(), rows, twins=[small(5)], factory="audited_nets:net")
    with pytest.raises(ConfigError, match="leave `outcome` out"):
        quick(in_folder / "bundle", rows, outcome=Outcome("sigmoid"))
    with pytest.raises(ConfigError, match="leave `factory` out"):
        quick(in_folder / "net.pt2", rows, factory="audited_nets:net")
    with pytest.raises(ConfigError, match="name the function of yours"):
        quick(in_folder / "net.safetensors", rows)
    with (
        pytest.raises(ConfigError, match=r"`factory` 'audited_nets:broken' failed on .*: ZeroDivisionError: nothing"),
        pytest.warns(FairheadsWarning, match="code of your own"),
    ):
        quick(in_folder / "net.safetensors", rows, factory="audited_nets:broken")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path, rows: Dataset) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "net.pkl").write_bytes(b"cbuiltins\nopen\n(V" + str(mark).encode() + b"\nVw\ntR.")
    with pytest.raises(UnsafeModelError, match="loading it would run code"):
        quick(tmp_path / "net.pkl", rows)
    assert not mark.exists()


def test_a_selftest_opens_the_same_files(in_folder: Path, rows: Dataset) -> None:
    other = synthetic(300, seed=5)
    nets = [small(seed) for seed in (5, 6, 7)]
    given = given_networks(in_folder / "net.pt2", nets, other, None)
    assert given.name == "net.pt2" and given.disjoint is None and given.matched is None
    inputs = {"x": other.inputs["x"]}
    np.testing.assert_allclose(given.network(None).forward(inputs), TorchNetwork(small()).forward(inputs), atol=1e-5)
    with pytest.raises(ConfigError, match="in which heads can be planted, got an exported graph"):
        given_networks(in_folder / "net.pt2", [*nets[:2], in_folder / "twin.pt2"], other, None)


def test_rows_that_were_copied_are_told_and_those_that_are_alike_now_and_then_are_not() -> None:
    data, net = synthetic(300, seed=3), MLP(8, hidden=(6,), seed=1)
    list(net.parameters())[-2].data.mul_(9)  # logits of both signs
    assert audit(net, data, details=False).notes == ()
    (note,) = audit(net, data.take(np.tile(np.arange(300), 2)), details=False).notes
    assert note.startswith("100% of the rows equal another one")
