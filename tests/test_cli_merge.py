"""`fairheads merge` as a person uses it: what it prints, what it writes, and what it leaves when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import Result
from test_cli import people, run

from fairheads.models import load_bundle
from fairheads.nets import MLP, TwoHeadNet
from fairheads.reports import load, render
from fairheads.results import MergeReport, schema_of
from fairheads.results._merge_tables import DISCLAIMER
from fairheads.twoheads import two_head_scores

FILES = ["merge.csv", "merge.html", "merge.json", "merge.md", "merge.png"]


def three(n: int, seed: int) -> str:
    """A CSV of three groups of different base rates."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    merit = rng.normal(size=n) + 0.6 * group
    lines = ["score,a,b,town,hired"]
    for i in range(n):
        told = [float(group[i] == code) + 0.4 * rng.normal() for code in (0, 1)]
        hired = rng.random() < 1 / (1 + np.exp(-2 * merit[i]))
        lines.append(f"{merit[i]:.4f},{told[0]:.4f},{told[1]:.4f},{'xyz'[group[i]]},{int(hired)}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables, a two-headed network, and one with a single head."""
    folder = tmp_path_factory.mktemp("merge")
    (folder / "people.csv").write_text(people(3000, 0))
    (folder / "others.csv").write_text(people(900, 1))
    (folder / "third.csv").write_text(people(900, 2))
    small = ["--hidden", "8", "--epochs", "3", "--batch-size", "64"]
    for name, objective in (("plain", "unconstrained"), ("two", "two-headed")):
        done = run("train", *table(here=folder), "--objective", objective, *small, "--out", folder / name)
        assert done.exit_code == 0, done.output
    return folder


def table(here: Path, name: str = "people.csv") -> list[str | Path]:
    return ["--data", here / name, "--label", "hired", "--group", "sex"]


def merged(here: Path, out: Path, *more: str | Path) -> Result:
    return run("merge", here / "two", *table(here), "--max-gap", "0.25", "--out", out, *more)


@pytest.fixture(scope="module")
def done(here: Path) -> tuple[Result, Path]:
    return merged(here, here / "merged", "--report", here / "report"), here


def test_it_prints_the_report_and_writes_model_and_report(done: tuple[Result, Path]) -> None:
    result, here = done
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == DISCLAIMER
    assert f"saved {here / 'merged'}" in result.stderr and f"wrote {here / 'report' / 'merge.html'}" in result.stderr
    assert sorted(path.name for path in (here / "report").iterdir()) == FILES
    plain = json.loads((here / "report" / "merge.json").read_text())
    jsonschema.validate(plain, schema_of(MergeReport))
    report = MergeReport.from_dict(plain)
    assert result.stdout == f"{report.summary()}\n"
    assert "the 480 validation rows" in report.split and "the 600 test rows" in report.judged
    assert report.model == "two" and report.check.rows == 480


def test_the_saved_network_decides_as_the_report_says(done: tuple[Result, Path]) -> None:
    from fairheads.data import open_table

    here = done[1]
    bundle, report = load_bundle(here / "merged"), load(here / "report" / "merge.json")
    assert isinstance(bundle.net, MLP) and isinstance(report, MergeReport) and bundle.merge is not None
    assert bundle.merge["b"] == report.chosen.b[0] and bundle.merge["max_gap"] == report.max_gap == 0.25
    assert bundle.merge["validation_rows"] == report.provenance["validation rows"]
    data, _ = bundle.encode(open_table(str(here / "people.csv"), label="hired", group=("sex",)), "test")
    decision = two_head_scores(bundle.net, data)[:, 0] > 0
    judged = report.chosen.judged
    assert judged is not None and judged.accuracy.value == (decision == data.y).mean()
    first, second = (decision[data.group == code].mean() for code in (0, 1))
    assert judged.gap.value == pytest.approx(second - first, abs=1e-12)


def test_each_format_goes_to_standard_output_and_render_gives_the_same(done: tuple[Result, Path]) -> None:
    here = done[1]
    report = load(here / "report" / "merge.json")
    result = merged(here, here / "again", "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == render(report, "json") == (here / "report" / "merge.json").read_text()
    for form, sign in (("text", DISCLAIMER), ("md", "# Two heads merged"), ("html", "<svg")):
        shown = run("render", here / "report" / "merge.json", "--format", form)
        assert shown.exit_code == 0 and sign in shown.stdout


@pytest.mark.slow
def test_other_gaps_aims_and_floors(here: Path, tmp_path: Path) -> None:
    words = ["--gap-metric", "equal_opportunity", "--objective", "f1", "--minimum-rate", "selection_rate=0.3"]
    more = ["--minimum-rate", "true_positive_rate = 0.5", "--confidence", "0", "--format", "json"]
    result = run("merge", here / "two", *table(here), "--max-gap", "0.1", *words, *more, "--out", tmp_path / "m")
    assert result.exit_code == 0, result.stderr
    report = MergeReport.from_dict(json.loads(result.stdout))
    assert (report.gap_metric, report.objective, report.confidence) == ("equal_opportunity", "f1", None)
    assert report.minimum_rates == {"selection_rate": 0.3, "true_positive_rate": 0.5}
    assert min(rate.value for rate in report.chosen.validation.rates["selection_rate"].values()) >= 0.3
    assert abs(report.chosen.validation.gap.value) <= 0.1


@pytest.mark.slow
def test_three_groups(tmp_path: Path) -> None:
    (tmp_path / "towns.csv").write_text(three(2000, 0))
    towns = ["--data", tmp_path / "towns.csv", "--label", "hired", "--group", "town"]
    small = ["--objective", "two-headed", "--hidden", "8", "--epochs", "3", "--batch-size", "64"]
    assert run("train", *towns, *small, "--out", tmp_path / "three").exit_code == 0
    words = ["--max-gap", "0.15", "--confidence", "0", "--out", tmp_path / "m", "--format", "json"]
    result = run("merge", tmp_path / "three", *towns, *words)
    assert result.exit_code == 0, result.stderr
    report = MergeReport.from_dict(json.loads(result.stdout))
    assert report.groups == ("x", "y", "z") and len(report.chosen.b) == 3
    assert report.chosen.validation.gap.value <= 0.15 < report.alone.validation.gap.value
    assert not isinstance(load_bundle(tmp_path / "m").net, TwoHeadNet)


def test_another_table_is_taken_whole_and_judged_on_a_third(here: Path, tmp_path: Path) -> None:
    base = [
        "merge",
        here / "two",
        *table(here, "others.csv"),
        "--max-gap",
        "0.2",
        "--confidence",
        "0",
        "--format",
        "json",
    ]
    alone = MergeReport.from_dict(json.loads(run(*base, "--out", tmp_path / "a").stdout))
    assert alone.split == "all 900 rows of others.csv" and alone.judged == "" and alone.chosen.judged is None
    judged = run(*base, "--test-data", here / "third.csv", "--out", tmp_path / "b")
    report = MergeReport.from_dict(json.loads(judged.stdout))
    assert report.judged == "all 900 rows of third.csv" and report.chosen.b == alone.chosen.b
    twice = run(*base, "--test-data", here / "others.csv", "--out", tmp_path / "c")
    assert twice.exit_code == 1 and "`judged_on` must hold other rows" in twice.stderr


def test_a_model_that_held_out_no_test_rows_is_not_judged(here: Path, tmp_path: Path) -> None:
    words = ["--hidden", "4", "--epochs", "1", "--test", "0", "--objective", "two-headed", "--out", tmp_path / "two"]
    assert run("train", *table(here, "others.csv"), *words).exit_code == 0
    base = ["merge", tmp_path / "two", *table(here, "others.csv"), "--max-gap", "0.3", "--confidence", "0"]
    result = run(*base, "--out", tmp_path / "m", "--format", "json")
    assert result.exit_code == 0, result.stderr
    report = MergeReport.from_dict(json.loads(result.stdout))
    assert report.judged == "" and "the 180 validation rows" in report.split


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--max-gap", "0.001"], 1, "the smallest that can be had is"),
        (["--max-gap", "1.5"], 2, "`max_gap` must lie in [0, 1]"),
        (["--confidence", "0.2"], 2, "`confidence` in [.5, 1)"),
        (["--gap-metric", "parity"], 2, "`gap_metric` must be one of"),
        (["--objective", "precision"], 2, "`objective` must be one of"),
        (["--minimum-rate", "selection_rate"], 2, "`--minimum-rate` must be RATE=X with X a number"),
        (["--minimum-rate", "selection_rate=many"], 2, "`--minimum-rate` must be RATE=X with X a number"),
        (["--minimum-rate", "tpr=0.5"], 2, "`minimum_rates` must name rates among"),
        (["--minimum-rate", "accuracy=2"], 2, "`minimum_rates` must lie in [0, 1]"),
        (["--minimum-rate", "accuracy=0.1", "--minimum-rate", "accuracy=0.2"], 2, "every rate once"),
        (["--report", "OUT"], 2, "`--report` must be a folder outside `--out`"),
        (["--report", "OUT/inside"], 2, "`--report` must be a folder outside `--out`"),
        (["--report", "FILE"], 1, "is a file; `--report` must be a folder"),
        (["--report", "FILE/inside"], 1, "cannot be made"),
        (["--report", "TWO"], 1, "holds a model; choose another folder for the report"),
        (["--group", "city"], 1, "the group head was trained with the groups ['f', 'm']; these rows have"),
        (["--test-data", "nowhere.csv"], 1, "nowhere.csv"),
        (["--data", "TWO"], 1, "Error: "),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    here: Path, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "out"
    places = {
        "OUT": str(out),
        "OUT/inside": str(out / "inside"),
        "FILE": str(tmp_path / "file"),
        "FILE/inside": str(tmp_path / "file" / "inside"),
        "TWO": str(here / "two"),
    }
    result = merged(here, out, *(places.get(word, word) for word in words))
    assert result.exit_code == code, result.stderr
    assert says in result.stderr and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert result.stdout == "" and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_single_head_and_a_folder_in_use_are_refused(here: Path, tmp_path: Path) -> None:
    plain = run("merge", here / "plain", *table(here), "--out", tmp_path / "m")
    assert plain.exit_code == 1 and "single head" in plain.stderr
    there = merged(here, here / "plain")
    assert there.exit_code == 1 and "exists; choose another folder" in there.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    kept = merged(here, tmp_path / "mine", "--overwrite")
    assert kept.exit_code == 1 and "holds other files too" in kept.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_report_of_another_merge_is_kept_unless_told(here: Path, tmp_path: Path) -> None:
    report, quick = tmp_path / "report", ["--confidence", "0", "--report", tmp_path / "report"]
    assert merged(here, tmp_path / "a", *quick).exit_code == 0
    first = {file.name: file.read_bytes() for file in report.iterdir()}
    other = ["merge", here / "two", *table(here, "others.csv"), "--max-gap", "0.5", "--out", tmp_path / "b", *quick]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fairheads.twoheads.merge_bundle", lambda *_, **__: pytest.fail("refused before the search"))
        kept = run(*other)
    assert (kept.exit_code, kept.stdout) == (1, "") and "is of other rows (the 480 validation rows" in kept.stderr
    assert not (tmp_path / "b").exists() and {file.name: file.read_bytes() for file in report.iterdir()} == first
    assert merged(here, tmp_path / "c", *quick).exit_code == 0, "the same merge"
    assert run(*other, "--overwrite").exit_code == 0
    assert (report / "merge.json").read_bytes() != first["merge.json"]


def test_names_are_taken_with_hyphens_too(here: Path, tmp_path: Path) -> None:
    words = ["--gap-metric", "equal-opportunity", "--objective", "balanced-accuracy", "--confidence", "0"]
    result = merged(here, tmp_path / "m", *words, "--minimum-rate", "selection-rate=0.1", "--format", "json")
    assert result.exit_code == 0, result.stderr
    report = MergeReport.from_dict(json.loads(result.stdout))
    assert (report.gap_metric, report.objective) == ("equal_opportunity", "balanced_accuracy")
    assert report.minimum_rates == {"selection_rate": 0.1}


def test_overwrite_replaces_a_model(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert merged(here, out, "--confidence", "0").exit_code == 0
    before = (out / "config.json").read_bytes()
    assert merged(here, out, "--confidence", "0", "--max-gap", "0.01", "--overwrite").exit_code == 0
    assert (out / "config.json").read_bytes() != before
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors", "rows.safetensors"]
