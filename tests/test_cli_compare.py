"""`fairheads compare`: which rows, whose verdicts, what is written, and what is said when something is wrong."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from test_audit_models import small
from test_cli import people, run

from fairheads.data import read_table
from fairheads.models import Bundle, fit_table, save_bundle
from fairheads.planted import synthetic
from fairheads.results import ComparisonReport
from fairheads.training import Unconstrained


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with three models trained on it, the third with more of it held out, and one elsewhere."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "people.csv").write_text(people(900, 0))
    table = read_table(folder / "people.csv", label="hired", group=["sex"])
    for name, epochs, test in (("plain", 2, 0.2), ("longer", 8, 0.2), ("other", 2, 0.4)):
        settings = {"batch_size": 64, "learning_rate": 0.02, "test": test}
        bundle = fit_table(table, Unconstrained(), hidden=(4,), epochs=epochs, **settings)
        save_bundle(bundle, folder / name)
    (folder / "again").mkdir()
    save_bundle(fit_table(table, Unconstrained(), hidden=(6,), epochs=1), folder / "again" / "plain")
    save_bundle(Bundle(net=small()), folder / "bare")
    data = synthetic(300, seed=1)
    lines = [",".join([*(f"c{i}" for i in range(8)), "hired", "side"])]
    lines += [
        ",".join([*(f"{v:.3f}" for v in x), str(y), "ab"[g]])
        for x, y, g in zip(data.inputs["x"], data.y, data.group, strict=True)
    ]
    (folder / "numbers.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def in_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)


TABLE = ("--data", "people.csv", "--label", "hired", "--group", "sex")


def compared(*words: str | Path) -> ComparisonReport:
    done = run("compare", *words, "--format", "json")
    assert done.exit_code == 0, done.stderr
    return ComparisonReport.from_dict(json.loads(done.stdout))


def test_held_out_rows_are_compared_and_files_are_written(tmp_path: Path) -> None:
    out, flips = tmp_path / "report", tmp_path / "lists" / "changed.csv"
    done = run("compare", "plain", "longer", *TABLE, "--out", out, "--list-flips", flips)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("2 models on the same rows\nCompared on the 180 test rows of the split")
    assert sorted(file.name for file in out.iterdir()) == ["compare.csv", "compare.html", "compare.json", "compare.md"]
    report = ComparisonReport.load(out / "compare.json")
    listed = list(csv.DictReader(flips.read_text().splitlines()))
    changes = report.pair("plain", "longer").changes
    for group in ("f", "m"):
        told = [line for line in listed if line["group"] == group]
        assert len(told) == changes[group].raised + changes[group].lowered
        assert sum(line["after"] == "1" for line in told) == changes[group].raised
    assert listed, "the example must have rows that the two decide differently"
    lines = (Path("people.csv")).read_text().splitlines()[1:]
    assert all(lines[int(line["row"])].split(",")[4] == line["group"] for line in listed)
    assert run("render", out / "compare.json").stdout == done.stdout


def test_a_report_of_other_models_or_rows_is_kept_unless_told(tmp_path: Path) -> None:
    out = ("--out", tmp_path)
    assert run("compare", "plain", "longer", *TABLE, *out).exit_code == 0
    first = (tmp_path / "compare.json").read_bytes()
    assert run("compare", "plain", "longer", *TABLE, *out, "--gap-metric", "equalized-odds").exit_code == 0
    assert (tmp_path / "compare.json").read_bytes() != first, "the same models and rows"
    first = (tmp_path / "compare.json").read_bytes()
    for words, says in (
        (["plain", "other", *TABLE], "is of other models (plain, longer); choose another folder, or overwrite it"),
        (["plain", "longer", *TABLE, "--split", "all", "--audit"], "is of other rows (180 of people"),
        (["longer", "plain", *TABLE], "is of other models"),
    ):
        kept = run("compare", *words, *out)
        assert (kept.exit_code, kept.stdout) == (1, "")
        assert says in kept.stderr and "auditing" not in kept.stderr
        assert (tmp_path / "compare.json").read_bytes() == first
    assert run("compare", "plain", "other", *TABLE, *out, "--overwrite").exit_code == 0
    assert ComparisonReport.load(tmp_path / "compare.json").models.keys() == {"plain", "other"}


def test_a_gap_goes_by_the_name_of_its_metric_as_well() -> None:
    named = compared("plain", "longer", *TABLE, "--gap-metric", "equal-opportunity")
    assert named == compared("plain", "longer", *TABLE, "--gap-metric", "true_positive_rate")
    assert named.front.gap_metric == "equal_opportunity_difference"


def test_models_of_other_splits_are_compared_on_rows_held_out_from_both() -> None:
    report = compared("plain", "other", *TABLE)
    assert report.pairs[0].agreement.n == 180
    assert report.notes[1].startswith("other may be judged on the 360 test rows")
    assert report.notes[2] == "Compared on the 180 rows that all models may be judged on, of 360 at most."
    assert report.front.split == "180 rows"


def test_a_folder_of_tables_is_streamed(tmp_path: Path) -> None:
    head, *lines = people(300, 3).splitlines()
    for name, some in (("a.csv", lines[:200]), ("b.csv", lines[200:])):
        (tmp_path / name).write_text("\n".join([head, *some]) + "\n")
    (tmp_path.parent / "whole.csv").write_text("\n".join([head, *lines]) + "\n")
    words = ("--label", "hired", "--group", "sex")
    streamed = compared("plain", "longer", "--data", tmp_path, *words)
    whole = compared("plain", "longer", "--data", tmp_path.parent / "whole.csv", *words)
    assert streamed.front.points == whole.front.points
    assert streamed.pairs == whole.pairs


def test_models_of_one_name_are_told_apart_by_their_paths() -> None:
    assert list(compared("plain", "again/plain", *TABLE).models) == ["plain", "again/plain"]


def test_models_without_an_encoder_are_fed_numbers() -> None:
    words = ("--data", "numbers.csv", "--label", "hired", "--group", "side")
    done = run("compare", "bare", "bare", *words)
    assert (done.exit_code, "given once" in done.stderr) == (2, True)
    shutil.copytree("bare", "copy")
    report = compared("bare", "copy", *words)
    assert report.pairs[0].agreement.value == 1.0
    assert report.front.split.startswith("all 300 rows of numbers.csv, whose 8 columns")


def test_verdicts_come_from_reports_or_from_an_audit(tmp_path: Path) -> None:
    done = run("audit", "plain", *TABLE, "--no-details", "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    report = compared("plain", "longer", *TABLE, "--report", tmp_path)
    assert [len(model.verdicts) for model in report.models.values()] == [1, 0]
    assert next(iter(report.models["plain"].verdicts.values())).same_rows
    both = compared("plain", "longer", *TABLE, "--report", tmp_path / "report.json", "--audit")
    assert [len(model.verdicts) for model in both.models.values()] == [1, 1]
    assert both.models["plain"].verdicts == report.models["plain"].verdicts
    done = run("compare", "longer", "other", *TABLE, "--report", tmp_path)
    assert (done.exit_code, "'plain' was audited with" in done.stderr) == (1, True)


WRONG: dict[str, tuple[list[str], int, str]] = {
    "one model": (["plain", *TABLE], 2, "two models or more"),
    "no model": ([*TABLE], 2, "Missing argument"),
    "no such model": (["plain", "nowhere", *TABLE], 1, "there is no model at 'nowhere'"),
    "no such gap": (["plain", "longer", *TABLE, "--gap-metric", "auc"], 2, "must be one of demographic_parity"),
    "no report": (["plain", "longer", *TABLE, "--report", "people.csv"], 1, "is not a JSON file"),
    "a folder for the list": (["plain", "longer", *TABLE, "--list-flips", "plain"], 2, "is a directory"),
    "another table": (["plain", "bare", *TABLE], 1, "which is text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(name: str, tmp_path: Path) -> None:
    words, code, said = WRONG[name]
    done = run("compare", *words, "--out", tmp_path / "report")
    assert done.exit_code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
