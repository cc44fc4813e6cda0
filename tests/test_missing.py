"""Why a detail is missing is told wherever the details are; nothing is said of those that nobody looked for."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from results_for_tests import HOSTILE, audit, detailed, detailed_audit, not_testable, page_of, pathway, routes, units
from torch import Tensor, nn

from fairheads.activations import TorchNetwork
from fairheads.data import Dataset
from fairheads.nets import MLP
from fairheads.pathways import analyze_pathways
from fairheads.planted import synthetic
from fairheads.reports import render
from fairheads.results import AuditReport, PathwayReport, schema_of
from fairheads.results._pathway_text import label_bias_text

WHY = {
    "recovery": "there are no twins, whose decisions could be recovered",
    "reading": "tables of more than 2,000 columns are not attributed, got 2,008",
    "units": "the network has no gradients",
    "routing": "the network has no gradients",
}


class WithoutGradients(TorchNetwork):
    gradients = False


class FirstEight(nn.Module):
    """Looks at the first eight of any number of columns."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MLP(8, hidden=(8,), seed=0)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.net(x[:, :8])
        return made


class Cut(FirstEight):
    """Cuts the graph of derivatives behind its layers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def rows(columns: int = 8) -> Dataset:
    data = synthetic(800, seed=1)
    more = np.zeros((len(data), columns - 8), np.float32)
    return Dataset(np.concatenate([data.inputs["x"], more], axis=1), data.y, data.group, group_names=data.group_names)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_what_could_not_be_looked_at_says_why() -> None:
    report = analyze_pathways(WithoutGradients(FirstEight()), rows(2008), layers=["net.backbone.1"])["B"]
    assert report.missing == {name: WHY[name] for name in ("recovery", "reading")}
    assert report.recovery is None and report.reading is None and report.two_heads is not None


def test_a_network_that_cuts_its_graph_is_run_on_like_one_without_gradients() -> None:
    report, other = (
        analyze_pathways(network, rows(), layers=["net.backbone.1"])["B"]
        for network in (Cut(), WithoutGradients(FirstEight()))
    )
    assert set(report.missing) == {"recovery"} and report.reading is not None
    assert report.units is not None and report.routing is not None
    here, there = report.to_dict(), other.to_dict()
    assert all(json.dumps(here[name]) == json.dumps(there[name]) for name in ("units", "routing"))


def test_nothing_is_missing_that_is_there_or_was_not_looked_for() -> None:
    net, twin = FirstEight(), FirstEight()
    twin.net = MLP(8, hidden=(8,), seed=1)
    full = analyze_pathways(net, rows(), twins=[twin], layers=["net.backbone.1"])["B"]
    assert full.missing == {} and full.counterfactual is None
    assert all(getattr(full, name) is not None for name in WHY)
    assert analyze_pathways(net, rows(), layers=["net.backbone.1"], details=False)["B"].missing == {}


@pytest.mark.parametrize("name", WHY)
def test_a_reader_is_told_in_every_form(name: str) -> None:
    report = detailed_audit(**{name: None}, missing={name: WHY[name]})
    said = f"not shown: {WHY[name]}"
    for form in ("text", "md", "html"):
        told, whole = (page_of(each) if form == "html" else render(each, form) for each in (report, detailed_audit()))
        assert squeezed(told).count(said) == 1, form
        assert said not in squeezed(whole)
    pathway_said = report.pathways["Female"]
    assert said in squeezed(pathway_said.summary()) and said in pathway_said.html()
    plain = report.to_dict()
    assert plain["pathways"]["Female"]["missing"] == {name: WHY[name]}
    jsonschema.validate(plain, schema_of(AuditReport))
    assert AuditReport.from_dict(plain).pathways["Female"].missing == {name: WHY[name]}


def test_a_report_of_nothing_but_what_is_missing_has_its_sections() -> None:
    report = replace(audit(), pathways={"Female": pathway(missing=WHY)})
    assert "not shown: the network has no gradients" in squeezed(report.summary())
    page = page_of(report)
    for title in ("What the head reads", "Two heads, fitted and taken out", "Units and routes"):
        assert f">{title}</h2>" in page


def test_a_detail_that_is_there_is_not_called_missing() -> None:
    report = detailed(units=units(), routing=routes(), missing={"units": "a mistake", "routing": "another"})
    assert "mistake" not in report.summary() + report.html()


def test_reports_from_before_are_read_and_names_in_reasons_are_escaped() -> None:
    plain = detailed().to_dict()
    del plain["missing"]
    assert PathwayReport.from_dict(plain).missing == {}
    assert "<script>" not in detailed(units=None, missing={"units": HOSTILE}).html()


def test_no_estimate_of_label_bias_says_why() -> None:
    undecided = pathway(label_bias=None, verdict="inconclusive")
    assert label_bias_text(undecided).endswith("exceeds its margin already, and the verdict lacks something else")
    assert label_bias_text(replace(undecided, orientation=0)).endswith("no gap that would give it a direction")
    assert label_bias_text(not_testable("a", "b")) == "not estimated: no effect was measured"
