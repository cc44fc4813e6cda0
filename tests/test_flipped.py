"""Who flips, in a file of its own: ids, groups and decisions, and nothing of it in the report."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.audit import audit
from fairheads.audit.flipped import flips_csv
from fairheads.data import Dataset
from fairheads.errors import InputError
from fairheads.results import AuditReport

ROWS = 1200


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Merit in the first input, the group in the second: the last lies between the others."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, ROWS)
    merit = rng.normal(size=ROWS)
    X = np.stack([merit, 1.0 * (group == 0) - (group == 1) + 0.1 * rng.normal(size=ROWS)], axis=1)
    y = (merit + 0.5 * rng.normal(size=ROWS) > 0) * 1
    return Dataset(X, y, group, group_names=["=a", "b", "c"], row_id=np.arange(ROWS) * 3 + 7)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Adds to the score of one group: swapping its activations changes decisions."""
    made = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        made[0].weight.copy_(torch.eye(2))
        made[0].bias.zero_()
        made[1].weight.copy_(torch.tensor([[1.0, 0.8]]))
        made[1].bias.zero_()
    return made


@pytest.fixture(scope="module")
def report(net: nn.Module, rows: Dataset) -> AuditReport:
    return audit(net, rows, details=False)


def listed(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(text.splitlines()))


def test_everybody_who_flips_is_listed_with_group_and_decision(
    net: nn.Module, rows: Dataset, report: AuditReport
) -> None:
    found = listed(flips_csv(report, net, rows))
    decisions = rows.inputs["x"] @ np.array([1.0, 0.8]) > 0
    at = {int(row): i for i, row in enumerate(rows.row_id)}
    for pathway, path in report.pathways.items():
        assert path.flips is not None
        own = [line for line in found if line["pathway"] == pathway or line["pathway"] == f"'{pathway}"]
        assert [int(line["row"]) for line in own] == sorted(path.flips.row_ids)
        assert {line["layer"] for line in own} <= {path.flips.layer}
    assert len(found) > 20, "the example must have people who flip"
    for line in found:
        i = at[int(line["row"])]
        assert line["group"].lstrip("'") == rows.group_names[rows.group[i]]
        assert (line["before"], line["after"]) == (str(int(decisions[i])), str(int(not decisions[i])))


def test_the_report_itself_has_no_ids(report: AuditReport, net: nn.Module, rows: Dataset) -> None:
    saved = AuditReport.from_dict(report.to_dict())
    assert "row_ids" not in report.to_json()
    with pytest.raises(InputError, match="no row ids"):
        flips_csv(saved, net, rows)


def test_other_rows_are_refused(report: AuditReport, net: nn.Module, rows: Dataset) -> None:
    with pytest.raises(InputError, match="is not in `data`"):
        flips_csv(report, net, rows.take(np.arange(50)))


def test_nobody_who_flips_makes_a_file_of_one_line(report: AuditReport, net: nn.Module, rows: Dataset) -> None:
    none = {
        group: replace(path, flips=replace(path.flips, n=0, share=0.0, row_ids=()))
        for group, path in report.pathways.items()
        if path.flips is not None
    }
    assert flips_csv(replace(report, pathways=none), net, rows) == "pathway,layer,row,group,before,after\n"
