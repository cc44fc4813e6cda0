"""Gates as a CI server gets them: one case each, whatever the names, and told as the exit code tells."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_for_tests import HOSTILE, LONG, audit, disparity, full, incomparable
from test_cli import run

from fairheads.errors import ConfigError
from fairheads.reports import Gate, check_refused, gap_gate, junit, verdict_gates
from fairheads.results import CRITERIA, GAPS, Number, undefined
from fairheads.twoheads.criteria import GAP_METRICS
from fairheads_cli.main import fairheads


def cases_of(text: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(text)
    (suite,) = root
    assert root.tag == "testsuites" and suite.tag == "testsuite"
    cases = list(suite)
    assert {case.tag for case in cases} <= {"testcase"}
    failures = sum(case.find("failure") is not None for case in cases)
    for element in (root, suite):
        assert (element.get("tests"), element.get("failures")) == (str(len(cases)), str(failures))
    return cases


def test_every_group_is_a_case_and_refused_verdicts_fail() -> None:
    report = audit(("a", "b", "c"), untestable=("b",))
    found = cases_of(junit(verdict_gates(report, ("compensating_head",)), suite="nets"))
    assert [case.get("name") for case in found] == [
        "a beside c: verdict is not compensating_head",
        "b beside c: verdict is not compensating_head",
    ]
    failure = found[0].find("failure")
    assert failure is not None and failure.text is not None
    assert failure.get("message") == "a: compensating_head"
    assert failure.text.startswith("Compensating head: at equal merit the network raises the group")
    assert "0.300 [0.250, 0.350]" in failure.text and "5 twins: mean" in failure.text
    told = found[1].find("system-out")
    assert told is not None and "Not testable" in (told.text or "")
    assert all(gate.met for gate in verdict_gates(report, ()))


@pytest.mark.parametrize(
    ("refused", "twins", "ways"),
    [
        (["compensating_head"], 0, "`--fail-on consistent_with_compensating_head`, or 2 twins or more"),
        (["compensating_head"], 1, "with 1 twin no audit comes to that verdict"),
        (["compensating_head", "aligned_use"], 0, "`--fail-on consistent_with_aligned_use`, or 2 twins"),
        (["suppression"], 0, "Give 1 twins or more"),
        (["head_or_suppression"], 0, "cannot fail"),
        (["compensating_head"], 2, ""),
        (["suppression"], 1, ""),
        (["compensating_head", "consistent_with_compensating_head"], 0, ""),
        (["inconclusive"], 0, ""),
        ([], 0, ""),
    ],
)
def test_a_gate_that_cannot_fail_is_refused_with_the_way_out(refused: list[str], twins: int, ways: str) -> None:
    if not ways:
        check_refused(refused, twins)
        return
    with pytest.raises(ConfigError, match=r"`--fail-on .*cannot fail") as caught:
        check_refused(refused, twins)
    assert ways in str(caught.value)


@pytest.mark.parametrize(("most", "met"), [(0.059, False), (0.0601, True), (1.0, True)])
def test_the_upper_bound_of_the_gap_decides(most: float, met: bool) -> None:
    report = disparity()
    gap = report.gaps["selection_rate"]
    known = replace(gap, difference=Number(value=0.05, n=100, low=0.04, high=0.06))
    report = replace(
        report, metrics=report.metrics | {"selection_rate": replace(report.metrics["selection_rate"], gap=known)}
    )
    gate = gap_gate(report, most, "selection_rate")
    assert gate.met == met
    assert gate.name == f"gap in selection rate at most {most:g}"
    assert "0.050 [0.040, 0.060], between Male and Female" in gate.said


def test_a_gap_goes_by_the_name_of_its_criterion_or_of_its_metric() -> None:
    report = full()
    for names in (
        ("demographic_parity", "demographic-parity", "selection_rate", "selection-rate"),
        ("equal_opportunity", "true_positive_rate"),
        ("predictive_equality", "false_positive_rate"),
    ):
        assert {gap_gate(report, 0.1, name) for name in names} == {gap_gate(report, 0.1, names[-1])}
    odds, rates = gap_gate(report, 0.1, "equalized_odds"), report.criteria["equalized_odds"]
    assert odds.name == "gap in equalized odds at most 0.1" and str(rates.difference) in odds.said
    assert set(GAPS) >= {*CRITERIA, *GAP_METRICS} and all(GAPS[name] == made for name, made in GAP_METRICS.items())


def test_a_gap_that_cannot_be_estimated_is_not_met() -> None:
    report = incomparable()
    gate = gap_gate(report, 1.0, "selection_rate")
    assert not gate.met
    assert "not estimable" in gate.said
    none = replace(report.gaps["selection_rate"], difference=undefined("no rows"))
    metrics = {"selection_rate": replace(report.metrics["selection_rate"], gap=none)}
    assert not gap_gate(replace(report, metrics=metrics), 1.0, "selection_rate").met


@given(st.text(), st.text())
def test_any_name_makes_a_file_that_is_read_back(name: str, said: str) -> None:
    gates = [Gate(name=name, met=False, short=said, said=said), Gate(name=name, met=True, short=said, said=said)]
    text = junit(gates, suite=name)
    text.encode()
    failed, passed = cases_of(text)
    assert failed.get("name") == passed.get("name")
    assert (failed.find("failure"), passed.find("failure"))[1] is None


def test_hostile_names_stay_names() -> None:
    text = junit(verdict_gates(audit((HOSTILE, LONG), name=HOSTILE), ("compensating_head",)), suite=HOSTILE)
    assert not re.search(r"<script|<!|<\?(?!xml )", text)
    (case,) = cases_of(text)
    assert '<script>alert("x")</script>' in str(case.get("name"))
    assert len(text) < 6000


def test_the_command_writes_what_its_exit_code_says(tmp_path: Path) -> None:
    table = tmp_path / "decisions.csv"
    table.write_text("sex,offer\n" + "f,1\n" * 40 + "f,0\n" * 60 + "m,1\n" * 60 + "m,0\n" * 40)
    words = ("disparity", table, "--group", "sex", "--prediction", "offer", "--replicates", "0")
    for most, code in (("0.1", 3), ("0.9", 0)):
        out = tmp_path / most / "gates.xml"
        done = run(*words, "--max-gap", most, "--junit", out)
        assert done.exit_code == code
        (case,) = cases_of(out.read_text())
        assert (case.find("failure") is not None) == (code == 3)
        assert [file.name for file in out.parent.iterdir()] == ["gates.xml"]
    for wrong in (["--junit", tmp_path / "x.xml"], ["--max-gap", "0.1", "--junit", tmp_path]):
        done = run(*words, *wrong)
        assert (done.exit_code, done.stdout) == (2, "")
    assert not (tmp_path / "x.xml").exists()


def test_the_example_of_a_pipeline_keeps_to_its_commands() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    steps = yaml.safe_load(block)["jobs"]["audit"]["steps"]
    (words,) = (shlex.split(step["run"]) for step in steps if step.get("run", "").startswith("fairheads"))
    context = fairheads.commands[words[1]].make_context("audit", words[2:])
    assert (context.params["max_gap"], context.params["fail_on"]) == (0.05, ("consistent_with_compensating_head",))
    check_refused(context.params["fail_on"], context.params["n_twins"] + len(context.params["twin_paths"]))
    assert any("report.md" in step.get("run", "") for step in steps)
