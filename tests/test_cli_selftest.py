"""`fairheads selftest` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from test_cli import people, run

from fairheads.results import SelftestReport, schema_of


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, another one, and four models that were trained on it."""
    folder = tmp_path_factory.mktemp("selftest")
    (folder / "people.csv").write_text(people(4000, 0))
    (folder / "others.csv").write_text(people(900, 1))
    small = ["--hidden", "12", "--epochs", "10", "--batch-size", "64"]
    for seed in range(4):
        done = run("train", *table(folder), *small, "--seed", str(seed), "--out", folder / f"net{seed}")
        assert done.exit_code == 0, done.output
    return folder


def table(here: Path, name: str = "people.csv") -> list[str | Path]:
    return ["--data", here / name, "--label", "hired", "--group", "sex"]


def given(here: Path, n: int = 3) -> list[str | Path]:
    return [word for seed in range(1, n + 1) for word in ("--twin", here / f"net{seed}")]


def test_it_counts_and_saves(here: Path, tmp_path: Path) -> None:
    done = run("selftest", here / "net0", *table(here), *given(here), "--strength", "1", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["selftest.html", "selftest.json", "selftest.md"]
    report = SelftestReport.load(tmp_path / "out" / "selftest.json")
    jsonschema.validate(report.to_dict(), schema_of(SelftestReport))
    assert (report.twins, report.n, report.fitted_on, report.split) == (3, 800, 2560, False)
    assert [(each.name, each.n) for each in report.classes] == [
        ("MERGE", 3),
        ("PLANT", 3),
        ("U", 3),
        ("UNUSED", 3),
        ("PERM", 4),
    ]
    assert report.classes[0].strength == 1
    first, words = (tmp_path / "out" / "selftest.json").read_bytes(), [*given(here), "--out", tmp_path / "out"]
    kept = run("selftest", here / "net0", *table(here, "others.csv"), *words)
    assert (kept.exit_code, kept.stdout) == (1, "") and "is of other rows (people.csv)" in kept.stderr, kept.stderr
    words = [*given(here, 2), "--twin", here / "net0", "--out", tmp_path / "out"]
    kept = run("selftest", here / "net3", *table(here), *words)
    assert (kept.exit_code, kept.stdout) == (1, "") and "is of another model (net0, other weights)" in kept.stderr
    assert (tmp_path / "out" / "selftest.json").read_bytes() == first
    assert "auditing the 800 test rows" in done.stderr
    assert done.stdout.startswith("Self-test of net0 on people")
    assert done.stdout.splitlines()[-1].startswith("This does not say")


@pytest.mark.slow
def test_twins_are_trained_by_the_recipe(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["--twins", "3", "--strength", "1", "--intervention-rows", "500", "--format", "json"]
    done = run("selftest", here / "net0", *table(here), *words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "fairheads/selftest/1"
    assert len(list((tmp_path / "cache" / "fairheads" / "twins").iterdir())) == 3
    again = run("selftest", here / "net0", *table(here), *words)
    assert again.stdout == done.stdout


def test_of_another_table_the_rows_are_split(here: Path) -> None:
    words = [*given(here), "--strength", "1", "--format", "html"]
    done = run("selftest", here / "net0", *table(here, "others.csv"), *words)
    assert done.exit_code == 0, done.stderr
    assert "rows of the audit itself" in done.stdout and "<html" in done.stdout


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ([], "give `--twins 6` to train them, or `--twin MODEL`", 2),
        (["--twins", "2"], "at least 3 networks", 2),
        (["--twins", "3", "--twin", "x"], "not both", 2),
        (["GIVEN", "--strength", "0"], "`strengths` must be above 0", 2),
        (["GIVEN", "--planted-for", "x"], "`group` must be one of", 2),
    ],
)
def test_what_is_wrong_is_said_in_a_line(here: Path, tmp_path: Path, words: list[str], said: str, code: int) -> None:
    each = [part for word in words for part in (given(here) if word == "GIVEN" else [word])]
    done = run("selftest", here / "net0", *table(here), *each, "--out", tmp_path / "out")
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.output and not (tmp_path / "out").exists()


def test_training_twins_needs_the_training_table(here: Path) -> None:
    done = run("selftest", here / "net0", *table(here, "others.csv"), "--twins", "3")
    assert (done.exit_code, "name it, --train-data" in done.stderr) == (2, True)
