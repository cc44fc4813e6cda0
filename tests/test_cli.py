"""The command line as a person uses it: what it prints, what it writes, and what it says when something is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import fairheads_cli.main as command_line
from fairheads.reports import render
from fairheads.results import MEANING, AuditReport, schema_of
from fairheads_cli.gates import EXIT_GATE
from fairheads_cli.options import Named

pytestmark = pytest.mark.usefixtures("twins_in_this_process")


def run(*words: str | Path) -> Result:
    """The command with its exit code, as `main` gives it."""
    runner = CliRunner()
    sys_argv, sys.argv = sys.argv, ["fairheads", *map(str, words)]
    try:
        return runner.invoke(click.Command("fairheads", callback=command_line.main), [])
    finally:
        sys.argv = sys_argv


def people(n: int, seed: int, *, group: str = "sex") -> str:
    """A CSV of people: merit in `score`, proxies of the group in `height` and `voice`, label `hired`."""
    rng = np.random.default_rng(seed)
    sex = (rng.random(n) < 0.6).astype(int)
    merit = rng.normal(size=n) + 0.8 * sex
    hired = rng.random(n) < 1 / (1 + np.exp(-2 * merit))
    lines = [f"score,height,voice,city,{group},hired"]
    for i in range(n):
        lines.append(
            f"{merit[i] + 0.3 * rng.normal():.4f},{sex[i] + rng.normal():.4f},{sex[i] + rng.normal():.4f},"
            f"{rng.choice(['north', 'south'])},{'fm'[sex[i]]},{['no', 'yes'][int(hired[i])]}"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and two models trained on it by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "people.csv").write_text(people(6000, 0))
    (folder / "others.csv").write_text(people(3000, 1))
    table = ["--data", folder / "people.csv", "--label", "hired", "--group", "sex"]
    small = ["--hidden", "16,16", "--epochs", "10", "--batch-size", "128"]
    for name, objective in (("plain", "unconstrained"), ("parity", "penalized"), ("two", "two-headed")):
        done = run("train", *table, "--objective", objective, *small, "--out", folder / name)
        assert done.exit_code == 0, done.output
        assert f"saved {folder / name}" in done.stdout
    return folder


def table(here: Path, name: str = "people.csv") -> list[str | Path]:
    return ["--data", here / name, "--label", "hired", "--group", "sex"]


def test_train_says_accuracy_and_gap_on_held_out_rows(here: Path, tmp_path: Path) -> None:
    done = run("train", *table(here), "--hidden", "4", "--epochs", "1", "--out", tmp_path / "m")
    assert "on the 1,200 test rows" in done.stdout
    assert "demographic-parity difference" in done.stdout
    again = run("train", *table(here), "--hidden", "4", "--epochs", "1", "--out", tmp_path / "m")
    assert (again.exit_code, "exists" in again.stderr) == (1, True)


def test_test_data_holds_out_nothing(here: Path, tmp_path: Path) -> None:
    words = ["--test-data", here / "others.csv", "--validation", "0", "--hidden", "4", "--epochs", "1"]
    done = run("train", *table(here), *words, "--out", tmp_path / "m")
    assert "on all 3,000 rows of others.csv" in done.stdout
    assert json.loads((tmp_path / "m" / "config.json").read_text())["training"]["rows"]["n"] == 6000


def test_audit_writes_a_report_that_validates(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jsonschema

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "report"
    done = run("audit", here / "parity", *table(here), "--twins", "2", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json", "report.md"]
    jsonschema.validate(json.loads((out / "report.json").read_text()), schema_of(AuditReport))
    report = AuditReport.load(out / "report.json")
    assert "1,200 test rows of the split" in report.notes[0]
    assert report.data.n == 1200
    assert report.pathways["f"].twins is not None
    assert done.stdout == render(report, "text")
    assert "<html" in (out / "report.html").read_text()
    again = run("audit", here / "parity", *table(here), "--twins", "2", "--format", "json")
    assert again.stdout == (out / "report.json").read_text()


def test_audit_of_another_table_takes_all_rows(here: Path) -> None:
    done = run("audit", here / "plain", *table(here, "others.csv"), "--no-details", "--format", "json")
    report = json.loads(done.stdout)
    assert report["data"]["n"] == 3000
    assert report["pathways"]["f"]["verdict"] in ("neutral", "inconclusive")


def test_help_says_where_training_starts_from_other_settings_than_the_library() -> None:
    from fairheads.constraints import equalized_odds
    from fairheads.training import Penalized

    plain = Penalized(equalized_odds())
    said = " ".join(run("train", "--help").stdout.split())
    assert f"Penalized from weight {plain.weight:g}, every constraint from memory {plain.constraint.memory:g}." in said


@pytest.fixture(scope="module")
def told(here: Path) -> list[str | Path]:
    """The words of an audit of a network that is told the group, in the column `gender`."""
    lines = people(6000, 0).splitlines()
    told = [lines[0] + ",gender", *(f"{line},{'woman' if ',f,' in line else 'man'}" for line in lines[1:])]
    (here / "told.csv").write_text("\n".join(told) + "\n")
    small = ["--hidden", "8", "--epochs", "4", "--batch-size", "128", "--objective", "penalized"]
    assert run("train", *table(here, "told.csv"), *small, "--out", here / "told").exit_code == 0
    return ["audit", here / "told", *table(here, "told.csv")]


@pytest.fixture(scope="module")
def flipped(told: list[str | Path]) -> str:
    """The report of that network with all details, as JSON."""
    done = run(*told, "--group-input", "gender", "--format", "json")
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_the_group_among_the_inputs_is_flipped_by_the_name_of_its_column(told: list[str | Path], flipped: str) -> None:
    found = json.loads(flipped)["pathways"]["f"]["counterfactual"]
    assert found["what"] == "gender=man, gender=woman" and found["changed"]["value"] == 1.0
    again = run(*told, "--group-input", "gender=man,gender=woman", "--format", "json")
    assert again.stdout == flipped
    for column, says in (
        ("city", "one value in all rows"),
        ("sex", "'sex' is not in the inputs; is it one of ['sc"),
    ):
        refused = run(*told, "--group-input", column)
        assert refused.exit_code == 1 and says in refused.stderr
        assert len([line for line in refused.stderr.splitlines() if line.startswith("Error: ")]) == 1


def test_no_details_leaves_the_verdict(told: list[str | Path], flipped: str) -> None:
    bare = json.loads(run(*told, "--no-details", "--format", "json").stdout)
    one, other = json.loads(flipped)["pathways"]["f"], bare["pathways"]["f"]
    assert one["verdict"] == other["verdict"] and one["layers"] == other["layers"]
    described = ("units", "routing", "two_heads", "reading", "counterfactual")
    assert all(one[name] is not None for name in described) and all(other[name] is None for name in described)


def test_placebos_are_trained_beside_the_twins(
    here: Path, told: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = run(*told, "--twins", "2", "--placebo", "2", "--no-details", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert "training 2 twins and 2 placebos" in done.stderr
    detectors = [line["detector"] for line in json.loads(done.stdout)["pathways"]["f"]["evidence"]]
    assert any(detector.endswith("beside 2 placebo twins") for detector in detectors)
    assert len(list((tmp_path / "fairheads" / "twins").iterdir())) == 4
    refused = run("audit", here / "plain", *table(here), "--twins", "2", "--placebo", "2")
    assert refused.exit_code == 2 and "trained under a constraint" in refused.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--placebo", "2"], "`--placebo` is for training twins"),
        (["--train-data", "rows.csv"], "`--train-data` is for training twins"),
        (["--twins", "2", "--placebo", "1"], "`placebo` must be 0 or at least 2 twins, got 1"),
        (["--group-input", "gender", "--no-details"], "give either it or `--no-details`"),
        (["--fail-on", "compensating_head"], "`--fail-on consistent_with_compensating_head`, or 2 twins or more"),
        (["--fail-on", "compensating_head", "--twins", "1"], "cannot fail: with 1 twin"),
    ],
)
def test_options_that_make_no_sense_together_exit_with_two(told: list[str | Path], words: list[str], says: str) -> None:
    done = run(*told, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr and "Traceback" not in done.stderr


def test_twins_can_be_given_as_models(here: Path, tmp_path: Path) -> None:
    for seed in ("1", "2", "3"):
        words = ["--hidden", "16,16", "--epochs", "10", "--batch-size", "128", "--seed", seed]
        assert run("train", *table(here), *words, "--out", tmp_path / seed).exit_code == 0
    twins = [word for seed in ("1", "2", "3") for word in ("--twin", tmp_path / seed)]
    report = json.loads(run("audit", here / "parity", *table(here), *twins, "--no-details", "--format", "json").stdout)
    assert report["pathways"]["f"]["twins"]["n"] == 3
    checks = {line["detector"]: line["passed"] for line in report["pathways"]["f"]["evidence"]}
    assert checks["twins trained on the model's rows"] is True


def test_merge_makes_a_single_head_that_keeps_the_gap(here: Path, tmp_path: Path) -> None:
    done = run("merge", here / "two", *table(here), "--max-gap", "0.1", "--out", tmp_path / "merged")
    assert done.exit_code == 0, done.stderr
    assert "validation rows" in done.stdout
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert config["architecture"]["kind"] == "mlp"
    assert abs(config["merge"]["gap"]) <= 0.1
    report = json.loads(run("audit", tmp_path / "merged", *table(here), "--no-details", "--format", "json").stdout)
    assert report["disparity"]["metrics"]["selection_rate"]["gap"]["difference"]["value"] <= 0.15
    assert run("merge", here / "plain", *table(here), "--out", tmp_path / "no").exit_code == 1


@pytest.mark.slow
def test_a_saved_report_is_rendered_without_torch(here: Path, tmp_path: Path) -> None:
    assert run("audit", here / "plain", *table(here), "--out", tmp_path).exit_code == 0
    for form, sign in (("text", "plain"), ("md", "|"), ("html", "<html"), ("json", "fairheads/audit/1")):
        done = run("render", tmp_path / "report.json", "--format", form)
        assert done.exit_code == 0
        assert sign in done.stdout
    written = run("render", tmp_path / "report.json", "--format", "html", "--out", tmp_path / "again.html")
    assert written.exit_code == 0
    again = run("render", tmp_path / "report.json", "--out", tmp_path / "report.json")
    assert (again.exit_code, "overwrite the report itself" in again.stderr) == (2, True)
    (tmp_path / "other.json").write_text('{"schema": "something/1"}')
    assert "is not of the schema fairheads/audit/1" in run("render", tmp_path / "other.json").stderr
    assert (tmp_path / "again.html").read_text() == (tmp_path / "report.html").read_text()
    code = (
        "import sys; sys.argv = ['fairheads', 'render', sys.argv[1]];"
        "from fairheads_cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'captum', 'sklearn'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "report.json"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_gates_exit_with_three(here: Path, tmp_path: Path) -> None:
    audit = ["audit", here / "plain", *table(here), "--no-details", "--format", "json"]
    loose = run(*audit, "--max-gap", "0.9")
    assert loose.exit_code == 0
    strict = run(*audit, "--max-gap", "0.01")
    assert strict.exit_code == 3
    assert "Gate not met" in strict.stderr
    assert json.loads(strict.stdout)["schema"] == "fairheads/audit/1"  # the report is still there
    verdict = json.loads(strict.stdout)["pathways"]["f"]["verdict"]
    gates = tmp_path / "gates.xml"
    assert run(*audit, "--fail-on", verdict, "--max-gap", "0.9", "--junit", gates).exit_code == 3
    cases = ElementTree.parse(gates).findall(".//testcase")
    assert [case.find("failure") is not None for case in cases] == [True, False]
    assert run(*audit, "--fail-on", "not_testable").exit_code == 0
    assert run(*audit, "--max-gap", "0.9", "--gap-metric", "nonsense").exit_code == 2
    for nonsense in ("nan", "-1", "5"):
        assert run(*audit, "--max-gap", nonsense).exit_code == 2


def test_choices_are_taken_with_hyphens_or_underscores() -> None:
    choice = Named(("two-headed", "penalized"))
    assert {choice.convert(name, None, None) for name in ("two-headed", "two_headed")} == {"two-headed"}
    with pytest.raises(click.BadParameter, match="two-headed"):
        choice.convert("three_headed", None, None)


def no_split(text: str, column: int, value: str, rows: slice) -> str:
    lines = text.splitlines()
    for i in range(*rows.indices(len(lines))):
        if i:
            cells = lines[i].split(",")
            cells[column] = value
            lines[i] = ",".join(cells)
    return "\n".join(lines) + "\n"


def wrong(name: str, here: Path, folder: Path) -> tuple[list[str | Path], str]:
    """The words of a command that must fail, and what its one line must say."""
    text = people(400, 5)
    audit: list[str | Path] = ["audit", here / "plain", "--data", folder / "bad.csv", "--label", "hired"]
    sex: list[str | Path] = ["--group", "sex"]
    (folder / "bad.csv").write_text(text)
    match name:
        case "missing file":
            return ["audit", here / "plain", "--data", folder / "no.csv", "--label", "hired", *sex], "there is no file"
        case "missing model":
            return ["audit", folder / "no", *audit[2:], *sex], "no model at"
        case "wrong column":
            return [*audit, "--group", "gender"], "no column 'gender'; it has: score"
        case "label with three values":
            (folder / "bad.csv").write_text(no_split(text, 5, "maybe", slice(1, 9)))
            return [*audit, *sex], "must have two values, got 3: 'maybe', 'no', 'yes'"
        case "group with one member":
            (folder / "bad.csv").write_text(no_split(no_split(text, 4, "m", slice(1, None)), 4, "f", slice(5, 6)))
            return [*audit, *sex], "group 'f' has one row"
        case "one group only":
            (folder / "bad.csv").write_text(no_split(text, 4, "m", slice(1, None)))
            return [*audit, *sex], "at least two groups"
        case "NaN inputs":
            (folder / "bad.csv").write_text(no_split(text, 1, "", slice(3, 6)))
            return [*audit, *sex], "column 'height' has 3 missing"
        case "text for a number":
            (folder / "bad.csv").write_text(no_split(text, 1, "tall", slice(3, 6)))
            return [*audit, *sex], "column 'height' must be numeric"
        case "unknown input column":
            (folder / "bad.csv").write_text(text.replace("score,height", "score,size", 1))
            return [*audit, *sex], "columns ['height'] are missing; columns ['size'] are unknown"
        case "truncated weights":
            import shutil

            shutil.copytree(here / "plain", folder / "broken")
            weights = folder / "broken" / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:-40])
            return ["audit", folder / "broken", *audit[2:], *sex], "damaged"
        case "training rows":
            return ["audit", here / "plain", *table(here), "--split", "all"], "not trained on"
        case "two heads":
            return ["audit", here / "two", *audit[2:], *sex], "merge its heads first"
        case "unknown layer":
            return [*audit, *sex, "--layers", "backbone.7"], "no layer 'backbone.7'"
        case "empty file":
            (folder / "bad.csv").write_text("")
            return [*audit, *sex], "cannot be read as a table"
        case "favourable turned":
            words = [*audit, *sex, "--favourable", "no"]
            return words, "trained with 'yes' of 'hired' as favourable, got 'no'"
        case "a column without a name":
            (folder / "bad.csv").write_text("".join(f"{i},{row}\n" for i, row in enumerate(text.splitlines()))[1:])
            return [*audit, *sex], "a column without a name"
        case "twins without their table":
            return [*audit, *sex, "--twins", "3"], "--train-data"
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name",
    [
        "missing file",
        "missing model",
        "wrong column",
        "label with three values",
        "group with one member",
        "one group only",
        "NaN inputs",
        "text for a number",
        "unknown input column",
        "truncated weights",
        "training rows",
        "two heads",
        "unknown layer",
        "empty file",
        "favourable turned",
        "a column without a name",
        "twins without their table",
    ],
)
def test_an_error_is_one_clear_line_and_nothing_is_written(name: str, here: Path, tmp_path: Path) -> None:
    words, says = wrong(name, here, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run(*words, "--out", tmp_path / "report")
    assert done.exit_code == (2 if name == "twins without their table" else 1), done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_usage_exits_with_two() -> None:
    assert run("audit").exit_code == 2
    assert run("nonsense").exit_code == 2
    assert run("train", "--data", "adult", "--objective", "magic", "--out", "x").exit_code == 2
    assert run("train", "--data", "adult", "--weight", "3", "--out", "x").exit_code == 2
    assert run("train", "--data", "adult", "--seed", "-1", "--out", "x").exit_code == 2
    assert run("train", "--data", "people.csv", "--out", "x").exit_code == 2


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, here: Path, tmp_path: Path) -> None:
    def interrupted(*_a: object, **_k: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fairheads.audit.call.analyze_pathways", interrupted)
    done = run("audit", here / "plain", *table(here), "--out", tmp_path / "report")
    assert done.exit_code == 130
    assert "Traceback" not in done.output
    assert not (tmp_path / "report").exists()


def test_the_exit_codes_are_told() -> None:
    codes = (command_line.EXIT_ERROR, command_line.EXIT_USAGE, EXIT_GATE, command_line.EXIT_INTERRUPTED)
    assert codes == (1, 2, 3, 130)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for text in (run("--help").stdout, readme):
        (told,) = re.findall(r"Exit codes: (.*?)\.\s", text, re.DOTALL)
        assert all(f" {code} " in told for code in codes), told


def test_every_command_and_option_has_help_and_an_example() -> None:
    commands = dict(command_line.fairheads.commands)
    commands |= {f"study {name}": command for name, command in commands["study"].commands.items()}
    for name, command in commands.items():
        assert command.help, name
        assert f"fairheads {name}" in command.help or name == "demo", f"{name} has no example"
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or option.name in UNDOCUMENTED, f"{name} --{option.name} has no help"


UNDOCUMENTED = {
    "objective",
    "constraint",
    "penalty",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "seed",
    "form",
}
"""Options whose name and default say it all."""


def test_the_help_names_only_verdicts_that_exist() -> None:
    assert "consistent_with_compensating_head" in (command_line.fairheads.commands["audit"].help or "")
    assert "consistent_with_compensating_head" in MEANING


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['fairheads', '--help']\n"
        "from fairheads_cli.main import main\n"
        "try: main()\n"
        "finally:\n"
        "  heavy = {'torch', 'numpy', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "  assert not heavy, heavy"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr.decode()
    assert b"audit" in done.stdout
    assert min(seconds) < 3  # far above what it takes; the figure itself is a benchmark
