"""`fairheads disparity` as an auditor uses it: what it prints and writes, its gates, and its errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import fairheads_cli.main as command_line
from fairheads.metrics import disparity_of
from fairheads.metrics.standards import above_median, four_fifths, local_law_144
from fairheads.reports import render
from fairheads.results import DisparityReport
from fairheads.results.impact import ImpactReport
from fairheads.sums import Tally


def run(*words: str | Path) -> Result:
    """The command with its exit code, as `main` gives it."""
    argv, sys.argv = sys.argv, ["fairheads", "disparity", *map(str, words)]
    try:
        return CliRunner().invoke(click.Command("fairheads", callback=command_line.main), [])
    finally:
        sys.argv = argv


def people(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Decisions in which m are favoured by 0.2 over f, a few rows without sex, and a score."""
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m", None], n, p=[0.45, 0.5, 0.05])
    score = (rng.random(n) + 0.2 * (sex == "m")).round(3)
    return pd.DataFrame(
        {
            "sex": sex,
            "race": rng.choice(["a", "b"], n),
            "job": rng.choice(["north", "south"], n),
            "hired": np.where(rng.random(n) < score, "yes", "no"),
            "offer": np.where(score > 0.6, "yes", "no"),
            "score": score,
            "weight": rng.integers(1, 4, n),
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decisions") / "decisions.csv"
    people().to_csv(path, index=False)
    return path


LABELLED = ("--group", "sex", "--label", "hired", "--prediction", "offer")
QUICK = (*LABELLED, "--replicates", "200")
FORMATS = ("text", "json", "md", "html", "csv")


def expected(**settings: Any) -> DisparityReport:
    rows = people()
    tally = Tally.of(rows["hired"] == "yes", rows["offer"] == "yes", sensitive_features=rows[["sex"]])
    return disparity_of(tally, favourable="yes", name="decisions.csv", **{"replicates": 200, **settings})


@pytest.mark.parametrize("form", FORMATS)
def test_it_prints_the_report_of_the_counts(table: Path, form: str) -> None:
    done = run(table, *QUICK, "--format", form)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == render(expected(), form)
    assert done.stderr == "counting decisions.csv\n"


def test_it_writes_what_it_prints(table: Path, tmp_path: Path) -> None:
    done = run(table, *QUICK, "--out", tmp_path / "report", "--format", "json")
    assert done.exit_code == 0, done.stderr
    written = sorted((tmp_path / "report").iterdir())
    assert {path.suffix for path in written} == {".json", ".html", ".md", ".csv"}
    assert sorted(re.findall(r"wrote (.*)", done.stderr)) == sorted(map(str, written))
    file = next(path for path in written if path.suffix == ".json")
    assert file.read_text() == done.stdout
    assert DisparityReport.load(file) == expected()
    again = run(table, *QUICK, "--out", tmp_path / "again", "--format", "json")
    assert again.stdout == done.stdout


def test_a_report_of_something_else_is_kept_unless_told(table: Path, tmp_path: Path) -> None:
    out, none = tmp_path / "out", ("--replicates", "0")
    other = tmp_path / "other.csv"
    other.write_bytes(table.read_bytes())
    assert run(table, *LABELLED, *none, "--out", out).exit_code == 0
    assert run(table, *LABELLED, "--replicates", "200", "--out", out).exit_code == 0, "the same table and columns"
    first = (out / "report.json").read_bytes()
    by_race = ("--group", "race", "--prediction", "offer", *none)
    for words, says in (
        ((other, *LABELLED, *none), "is of another table (decisions.csv); choose another folder, or overwrite it"),
        ((table, *by_race), "is of other columns (sex)"),
    ):
        kept = run(*words, "--out", out)
        assert (kept.exit_code, kept.stdout) == (1, "") and says in kept.stderr, kept.stderr
        assert "counting" not in kept.stderr and (out / "report.json").read_bytes() == first
    assert run(table, *by_race, "--out", out, "--overwrite").exit_code == 0
    assert DisparityReport.load(out / "report.json").columns == ("race",)
    (out / "report.json").write_text('{"schema": "fairheads/audit/1"}')
    assert "is no report of disparities" in run(table, *by_race, "--out", out).stderr
    standard = ("--group", "sex", "--prediction", "offer", "--standard")
    assert run(table, *standard, "four-fifths", "--out", out).exit_code == 0
    assert "is of another standard (four-fifths)" in run(table, *standard, "nyc-ll144", "--out", out).stderr


def test_settings_reach_the_report(table: Path) -> None:
    assert run(table, *QUICK, "--metric", "accuracy").exit_code == 0
    words = ["--metric", "selection_rate,accuracy", "--confidence", "0.9", "--simultaneous", "--replicates", "300"]
    done = run(table, *LABELLED, *words, "--reference", "f", "--seed", "3", "--format", "json")
    settings = {"metrics": ("selection_rate", "accuracy"), "confidence": 0.9, "simultaneous": True, "replicates": 300}
    assert done.stdout == expected(**settings, reference="f", seed=3).to_json()
    narrow = json.loads(run(table, *QUICK, "--confidence", "0.5", "--format", "json").stdout)
    rate = json.loads(done.stdout)["metrics"]["selection_rate"]["groups"]["f"]
    assert narrow["metrics"]["selection_rate"]["groups"]["f"]["high"] < rate["high"]


def test_columns_reach_the_counts(table: Path) -> None:
    def report(*words: str) -> Any:
        done = run(table, *words, "--format", "json", "--replicates", "0")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    alone = report("--group", "sex", "--prediction", "offer")
    assert list(alone["metrics"]) == ["selection_rate"]
    assert alone["favourable"] == "yes"
    both = report("--group", "sex,race", "--prediction", "offer", "--control", "job")
    assert "m, b" in both["groups"] and both["columns"] == ["sex", "race"]
    assert set(both["conditional"]["strata"]) == {"north", "south"}
    cut = report("--group", "sex", "--score", "score", "--threshold", "0.6", "--label", "hired")
    rows = people()
    assert cut["metrics"]["selection_rate"]["overall"]["value"] == pytest.approx((rows["score"] >= 0.6).mean())
    assert "auc" in cut["metrics"]
    weighted = report("--group", "sex", "--prediction", "offer", "--weight", "weight")
    rate = np.average(rows["offer"] == "yes", weights=rows["weight"])
    assert weighted["metrics"]["selection_rate"]["overall"]["value"] == pytest.approx(rate)
    turned = report("--group", "sex", "--prediction", "offer", "--favourable", "no")
    assert turned["metrics"]["selection_rate"]["overall"]["value"] == pytest.approx((rows["offer"] == "no").mean())
    assert turned["favourable"] == "no"
    scores = report("--group", "sex", "--score", "score")
    assert "mean_score" in scores["metrics"] and "selection_rate" not in scores["metrics"]


def test_the_same_rows_in_other_files_print_the_same(table: Path, tmp_path: Path) -> None:
    rows = people()
    (tmp_path / "shards").mkdir()
    for i in range(3):
        rows[i::3].astype({"sex": "category"}).to_parquet(tmp_path / "shards" / f"part-{i}.parquet")
    rows.to_csv(tmp_path / "decisions.csv.xz", index=False)
    printed = []
    for source in (table, tmp_path / "shards", tmp_path / "decisions.csv.xz"):
        done = run(source, *QUICK, "--format", "json")
        printed.append({**json.loads(done.stdout), "name": ""})
    assert printed[0] == printed[1] == printed[2]


def test_the_gap_is_a_gate(table: Path, tmp_path: Path) -> None:
    gap = expected().gaps["selection_rate"].difference
    assert gap.high is not None and gap.value < gap.high - 0.01
    loose = run(table, *QUICK, "--max-gap", str(gap.high + 0.001))
    assert (loose.exit_code, "Gates met." in loose.stderr) == (0, True)
    between = run(table, *QUICK, "--max-gap", str(gap.value + 0.01), "--format", "json", "--out", tmp_path)
    assert between.exit_code == 3  # the upper bound is what counts
    assert f"Gate not met: gap in selection_rate {gap}, allowed" in between.stderr
    assert json.loads(between.stdout)["n"] == 3000  # the report is still there
    assert len(list(tmp_path.iterdir())) == 4
    other = run(table, *QUICK, "--max-gap", "0.9", "--gap-metric", "true_positive_rate")
    assert other.exit_code == 0
    assert run(table, *QUICK, "--max-gap", "5", "--gap-metric", "error_ratio").exit_code == 0
    odds = expected().criteria["equalized_odds"].difference
    told = run(table, *QUICK, "--max-gap", "0.01", "--gap-metric", "equalized-odds")
    assert told.exit_code == 3 and f"gap in equalized_odds {odds}, allowed 0.01" in told.stderr
    two = ("--metric", "true-positive-rate,false_positive_rate")
    assert run(table, *QUICK, *two, "--max-gap", "0.9", "--gap-metric", "equalized_odds").exit_code == 0
    assert run(table, *QUICK, *two, "--max-gap", "0.9", "--gap-metric", "predictive_equality").exit_code == 0


def test_one_group_meets_no_gate(tmp_path: Path) -> None:
    people().assign(sex="f").to_csv(tmp_path / "one.csv", index=False)
    assert run(tmp_path / "one.csv", *QUICK).exit_code == 0
    done = run(tmp_path / "one.csv", *QUICK, "--max-gap", "0.9")
    assert (done.exit_code, "Gate not met" in done.stderr) == (3, True)


def test_the_four_fifths_rule(table: Path, tmp_path: Path) -> None:
    rows = people()
    done = run(table, *LABELLED, "--standard", "four-fifths", "--format", "json", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    tally = Tally.of(rows["hired"] == "yes", rows["offer"] == "yes", sensitive_features=rows[["sex"]])
    assert done.stdout == four_fifths(tally, name="decisions.csv").to_json()
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".html", ".md", ".csv"}
    cut = run(table, "--group", "sex", "--score", "score", "--threshold", "0.6", "--standard", "four-fifths")
    assert cut.exit_code == 0
    for form in FORMATS:
        assert run(table, *LABELLED, "--standard", "four-fifths", "--format", form).exit_code == 0


@pytest.mark.parametrize("n", [2999, 3000])
def test_local_law_144_takes_the_exact_median(tmp_path: Path, n: int) -> None:
    """Also where scores tie at the median, and where it lies between two of them."""
    rows = people(n).assign(score=lambda t: t["score"].round(1))
    rows.to_parquet(tmp_path / "t.parquet")
    decisions = above_median(rows["score"])
    assert (rows["score"] == rows["score"].median()).sum() > 100 and decisions.mean() < 0.5
    wanted = local_law_144(
        Tally.of(None, decisions, sensitive_features=rows[["sex", "race"]]), kind="scoring", name="t.parquet"
    )
    words = ["--group", "sex,race", "--score", "score", "--standard", "nyc-ll144", "--format", "json"]
    done = run(tmp_path / "t.parquet", *words)
    assert done.stdout == wanted.to_json()
    (tmp_path / "impact.json").write_text(done.stdout)
    assert len(ImpactReport.load(tmp_path / "impact.json").tables) == 3
    selected = run(tmp_path / "t.parquet", *words[:2], "--prediction", "offer", *words[4:])
    assert json.loads(selected.stdout)["kind"] == "selection"
    cut = run(tmp_path / "t.parquet", *words, "--threshold", "0.5")
    assert json.loads(cut.stdout)["kind"] == "selection"


HOSTILE = ("<script>alert(1)</script>", "=HYPERLINK(0)", "x" * 10_000, "](javascript:0)", "a\tb\nc\x1b[31m", "|")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))


@pytest.mark.parametrize("standard", [(), ("--standard", "four-fifths")])
def test_hostile_names_of_groups_stay_inert(tmp_path: Path, standard: tuple[str, ...]) -> None:
    rows = people(1200).assign(sex=[HOSTILE[i % 6] for i in range(1200)])
    rows.to_parquet(tmp_path / "h.parquet")
    for form in FORMATS:
        done = run(tmp_path / "h.parquet", *LABELLED, *standard, "--format", form)
        assert done.exit_code == 0, (form, done.output, done.exception)
        assert "\x1b" not in done.stdout
        if form == "html":
            tags = Tags()
            tags.feed(done.stdout)
            assert [tag.get("type") for tag in tags.scripts] == ["application/json"]
        if form == "csv":
            assert not re.search(r'^"?=', done.stdout, re.MULTILINE) and ',"=' not in done.stdout
            assert ",=" not in done.stdout


def words_of(name: str, folder: Path) -> tuple[list[str | Path], int, str]:
    """The words of a command that must fail, its exit code, and what its one line must say."""
    path = folder / "bad.csv"
    rows = people(300)
    rows.to_csv(path, index=False)
    usual: list[str | Path] = [path, *QUICK]
    match name:
        case "no file":
            return [folder / "no.csv", *QUICK], 1, "there is no file"
        case "an empty file":
            path.write_text("")
            return usual, 1, "it is empty"
        case "a header":
            path.write_text("sex,hired,offer\n")
            return usual, 1, "there must be at least one row"
        case "a column twice":
            path.write_text("sex,sex,hired,offer\nf,m,0,1\n")
            return usual, 1, "more than one column 'sex'"
        case "a bad row":
            path.write_text(path.read_text() + "f,a,north,yes,no,0.4,1,2,3\n")
            return usual, 1, "row 301 has more fields than the header"
        case "an empty folder":
            (folder / "tables").mkdir()
            return [folder / "tables", *QUICK], 1, "there is no CSV or Parquet file in the folder"
        case "broken Parquet":
            (folder / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
            return [folder / "bad.parquet", *QUICK], 1, "bad.parquet cannot be read as a table"
        case "unknown columns":
            words = [path, "--group", "sexe", "--prediction", "ofer"]
            return words, 1, "no column 'sexe' (did you mean 'sex'?), no column 'ofer' (did you mean 'offer'?); it has"
        case "labels with three values":
            rows.assign(hired=[0, 1, 2] * 100).to_csv(path, index=False)
            return usual, 1, "which value of 'hired' is favourable, '0', '1', '2'? Name it: `favourable`, --favourable."
        case "missing labels":
            rows.assign(hired=rows["hired"].where(rows.index > 6)).to_csv(path, index=False)
            return usual, 1, "column 'hired': 7 missing"
        case "NaN scores":
            rows.assign(score=rows["score"].where(rows.index > 1)).to_csv(path, index=False)
            return [*usual, "--score", "score"], 1, "column 'score': 2 missing"
        case "negative weights":
            rows.assign(weight=-1).to_csv(path, index=False)
            return [*usual, "--weight", "weight"], 1, "column 'weight': 300 negative"
        case "a favourable value that is not there":
            return [*usual, "--favourable", "maybe"], 1, "`favourable` must be a value of 'hired' ('no', 'yes')"
        case "an unknown reference":
            return [*usual, "--reference", "x"], 1, "`reference` must be one of the groups"
        case "an unknown metric":
            return [*usual, "--metric", "f1"], 2, "`--metric` must be among selection_rate"
        case "a metric without its columns":
            return [path, *LABELLED[:2], *LABELLED[4:], "--metric", "accuracy"], 2, "must be among ['selection_rate']"
        case "an unknown gap":
            return [*usual, "--max-gap", "0.1", "--gap-metric", "f1"], 2, "`--gap-metric` must be one of"
        case "a gap that is not reported":
            words = [*usual, "--max-gap", "0.1", "--metric", "accuracy"]
            return words, 2, "`--gap-metric` must be one of accuracy, accuracy_equality, got 'demographic_parity'"
        case "a gap without its columns":
            words = [path, *LABELLED[:2], "--score", "score", "--max-gap", "0.1"]
            return words, 2, "`--gap-metric` must be one of mean_score"
        case "a gap above 1" | "a negative gap" | "a gap that is no number":
            value = {"a gap above 1": "5", "a negative gap": "-1"}.get(name, "nan")
            return [*usual, "--max-gap", value], 2, "`--max-gap` must lie in [0, 1]"
        case "no decision":
            return [path, "--group", "sex", "--label", "hired"], 2, "name the column of the `prediction` or of the"
        case "a column in two roles":
            return [path, "--group", "sex", "--label", "offer", "--prediction", "offer"], 2, "'offer' is named 2 times"
        case "a threshold of nothing":
            return [*usual, "--threshold", "0.5"], 2, "`threshold` needs a `score`"
        case "a standard with settings":
            words = [path, *LABELLED, "--standard", "four-fifths", "--reference", "f", "--max-gap", "0.1"]
            return words, 2, "`--standard four-fifths` leaves no choice of --max-gap, --reference."
        case "a standard without decisions":
            words = [path, "--group", "sex", "--score", "score", "--standard", "four-fifths"]
            return words, 2, "needs decisions"
        case "three columns of a law of two":
            words = [path, "--group", "sex,race,job", "--prediction", "offer", "--standard", "nyc-ll144"]
            return words, 2, "at most two columns"
        case "no columns":
            return [path, "--group", ",", "--prediction", "offer"], 2, "at least one `group` column"
    raise AssertionError(name)


FAILING = [
    "no file",
    "an empty file",
    "a header",
    "a column twice",
    "a bad row",
    "an empty folder",
    "broken Parquet",
    "unknown columns",
    "labels with three values",
    "missing labels",
    "NaN scores",
    "negative weights",
    "a favourable value that is not there",
    "an unknown reference",
    "an unknown metric",
    "a metric without its columns",
    "an unknown gap",
    "a gap that is not reported",
    "a gap without its columns",
    "a gap above 1",
    "a negative gap",
    "a gap that is no number",
    "no decision",
    "a column in two roles",
    "a threshold of nothing",
    "a standard with settings",
    "a standard without decisions",
    "three columns of a law of two",
    "no columns",
]


@pytest.mark.parametrize("name", FAILING)
def test_an_error_is_one_clear_line_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    words, code, says = words_of(name, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(*words, "--out", tmp_path / "report")
    assert done.exit_code == code, (done.output, done.exception)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("counting ")]
    assert len(errors) == 1 and errors[0].startswith("Error: ")
    assert says in errors[0]
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_usage_exits_with_two(table: Path) -> None:
    for words in (
        (table, "--prediction", "offer"),
        (*QUICK,),
        (table, *LABELLED, "--format", "pdf"),
        (table, *QUICK, "--confidence", "1"),
        (table, *LABELLED, "--standard", "80 percent"),
        (table, *QUICK, "--seed", "-1"),
    ):
        assert run(*words).exit_code == 2


PATHS: dict[str, tuple[str, ...]] = {
    "text": (*QUICK, "--score", "score", "--control", "job"),
    "html": (*QUICK, "--score", "score", "--format", "html"),
    "out": (*QUICK, "--format", "csv", "--out", "{out}"),
    "gate": (*QUICK, "--format", "md", "--max-gap", "0.9"),
    "four fifths": (*LABELLED, "--standard", "four-fifths", "--format", "html", "--out", "{out}"),
    "law": ("--group", "sex,race", "--score", "score", "--standard", "nyc-ll144", "--format", "html"),
}


@pytest.mark.slow
def test_torch_is_never_loaded(tmp_path: Path) -> None:
    """One after another in one process: what any of them loads is still there at the end."""
    people(600).to_csv(tmp_path / "t.csv", index=False)
    people(600).to_parquet(tmp_path / "t.parquet")
    commands = []
    for path, words in PATHS.items():
        source = tmp_path / ("t.parquet" if path in ("out", "law") else "t.csv")
        commands.append([str(source), *(word.replace("{out}", str(tmp_path / f"out {path}")) for word in words)])
    code = (
        "import json, sys\n"
        "from fairheads_cli.main import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "  sys.argv = ['fairheads', 'disparity', *words]\n"
        "  try: main()\n"
        "  except SystemExit as end: assert not end.code, (words, end.code)\n"
        "  heavy = {'torch', 'captum', 'sklearn'} & set(sys.modules)\n"
        "  assert not heavy, (words, heavy)\n"
        "  print('the next command')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("the next command\n")
    assert len(printed) == len(PATHS) + 1 and all(printed[:-1])


def test_every_option_has_help_and_nothing_is_called_fair_or_biased() -> None:
    command = command_line.fairheads.commands["disparity"]
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert len(options) > 10
    assert all(option.help for option in options)
    said = " ".join([command.help or "", *(option.help or "" for option in options)])
    assert not re.search(r"\b(un)?(fair|biased)\b", said)
    shown = run("--help")
    assert shown.exit_code == 0
    assert "fairheads disparity decisions.csv --group sex --label hired --prediction offer" in shown.stdout


def test_a_standard_takes_the_auditors_share_and_reason_and_nothing_else_does(table: Path) -> None:
    words = (table, "--group", "sex,race", "--prediction", "offer")
    law = run(*words, "--standard", "nyc-ll144", "--justification", "Two years ago there were none.")
    assert law.exit_code == 0, law.stderr
    for wrong in (
        ("--justification", "x"),
        ("--exclude-below", "0.01"),
        ("--standard", "four-fifths", "--justification", "x"),
        ("--standard", "four-fifths", "--seed", "1"),
    ):
        done = run(*words, *wrong)
        assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1, wrong


def test_probabilities_of_membership_are_columns_too(tmp_path: Path) -> None:
    rows = people(500).assign(p_f=0.25, p_m=0.75)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = (tmp_path / "rows.csv", "--prediction", "offer", "--membership", "f=p_f", "--membership", "m=p_m")
    done = run(*words, "--format", "json", "--metric", "selection_rate", "--replicates", "50")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    rates = report["metrics"]["selection_rate"]["groups"]
    assert rates["f"]["value"] == pytest.approx(rates["m"]["value"]) == pytest.approx((rows["offer"] == "yes").mean())
    assert report["groups"]["m"]["share"] == pytest.approx(0.75)
    assert run(*words[:3], "--membership", "f").exit_code == 2
