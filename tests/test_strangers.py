"""Networks that strangers trained: what is known of them comes out, and the committed reports say no more."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fairheads.activations import Outcome
from fairheads.audit import network_disparity
from fairheads.data import Dataset
from fairheads.models import open_model
from fairheads.results import AuditReport, DisparityReport

HERE = Path(__file__).parent / "studies" / "strangers"
REPORTS = sorted(HERE.glob("reports/*/report.json"))

sys.path.append(str(HERE))

import faces  # noqa: E402
import words  # noqa: E402
from run import commands  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*code of your own")

WITHOUT_TWINS = {"neutral", "inconclusive", "not_testable", "suppression", "consistent_with_compensating_head"}
"""What may be said of a network without twins."""


def rate(report: DisparityReport, name: str, group: str | None = None) -> float:
    metric = report.metrics[name]
    return metric.overall.value if group is None else metric.groups[group].value


def decided(file: Path, data: Dataset, outcome: str, factory: str | None = None) -> DisparityReport:
    model: Any = open_model(file, factory=factory, outcome=Outcome.parse(outcome))
    return network_disparity(model, data)


@pytest.mark.slow
@pytest.mark.shared_data
def test_income(shared_data: Path) -> None:
    frame = pd.read_parquet(shared_data / "models" / "dice_adult_encoded.parquet")
    x = frame.drop(columns=["income_over_50k", "sex", "race", "split"]).to_numpy(np.float32)
    file = shared_data / "models" / "dice_adult_mlp.npz"
    report = decided(file, Dataset(x, frame["income_over_50k"], frame["sex"]), "sigmoid", "adult:network")
    assert round(rate(report, "accuracy"), 3) == 0.822
    assert round(rate(report, "selection_rate", "Male"), 2) == 0.36
    assert round(rate(report, "selection_rate", "Female"), 2) == 0.08


@pytest.mark.slow
@pytest.mark.shared_data
def test_profanity(shared_data: Path) -> None:
    data = words.hatecheck(str(shared_data / "hatecheck" / "test_suite_cases.csv"))
    file = shared_data / "models" / "alt_profanity_check.npz"
    report = decided(file, data, "sigmoid", "words:network")
    assert round(rate(report, "false_positive_rate", "gay people"), 2) == 0.84
    assert round(rate(report, "false_positive_rate", "trans people"), 2) == 0.16


@pytest.mark.slow
@pytest.mark.shared_data
def test_gender(shared_data: Path) -> None:
    """Known are .848, .760, .778 and .926; no way that was tried to make these images smaller gives all four."""
    pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")
    data = faces.by_race_and_gender(str(shared_data / "fairface"))
    report = decided(shared_data / "models" / "gender-v1.onnx", data, "softmax:1")
    groups = ("Black, Female", "Southeast Asian, Male", "East Asian, Female")
    found = [rate(report, "accuracy"), *(rate(report, "accuracy", group) for group in groups)]
    assert np.round(found, 3).tolist() == [0.849, 0.740, 0.778, 0.923]
    assert np.abs(np.subtract(found, [0.848, 0.760, 0.778, 0.926])).max() < 0.021


@pytest.mark.slow
@pytest.mark.shared_data
def test_counts_of_words_are_those_of_scikit_learn(shared_data: Path) -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    path = shared_data / "hatecheck" / "test_suite_cases.csv"
    texts = pd.read_csv(path).dropna(subset="target_ident")["test_case"]
    said = pd.read_json(shared_data / "models" / "alt_profanity_check_vocab.json", typ="series")
    counter = CountVectorizer(
        vocabulary=said["vocab"], stop_words=said["stop_words"], token_pattern=said["token_pattern"]
    )
    theirs = counter.transform(texts)
    inputs = words.hatecheck(str(path)).inputs
    ours = np.zeros(theirs.shape, np.float32)
    np.add.at(ours, (np.arange(len(texts))[:, None], inputs["words"]), inputs["times"])
    assert (ours == theirs.toarray()).all()


def test_every_command_of_the_page_has_its_reports() -> None:
    told = commands((HERE / "README.md").read_text(encoding="utf-8"))
    assert {Path(line.split("--out ")[1]).name for line in told} == {path.parent.name for path in REPORTS}
    assert all(line.startswith("fairheads audit ") for line in told) and len(told) == 5


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_committed_reports_say_no_more_than_they_may(path: Path) -> None:
    report = AuditReport.load(path)
    assert {pathway.verdict for pathway in report.pathways.values()} <= WITHOUT_TWINS
    assert all(pathway.twins is None for pathway in report.pathways.values())
    for form in ("html", "md", "json"):
        file = path.with_suffix(f".{form}")
        text = file.read_text(encoding="utf-8")
        assert file.stat().st_size < 2_000_000
        assert not re.search(r"\.\./|/work/|/home/|/tmp/|val/\d+\.jpg", text)  # neither folders nor rows
