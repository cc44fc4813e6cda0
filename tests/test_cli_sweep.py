"""A sweep by the command line: one model a value, the front over them, and what it leaves behind when it ends early."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from click.testing import Result
from test_cli import people, run

import fairheads_cli.job as job
import fairheads_cli.main as command_line
from fairheads.errors import ConfigError, DivergedError
from fairheads.models import Bundle, load_bundle
from fairheads.results import Front, schema_of
from fairheads.training import objective_from_dict
from fairheads_cli.objectives import DEFAULTS, NUMBERS, OBJECTIVES, ObjectiveOptions, objective_of
from fairheads_cli.sweep import _remove, parsed

FRONT = ["front.csv", "front.html", "front.json", "front.md", "front.png"]
SMALL = ["--hidden", "4", "--epochs", "1", "--batch-size", "128"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("table") / "people.csv"
    file.write_text(people(2000, 0))
    return file


def swept(table: Path, out: Path, sweep: str, *more: str | Path) -> Result:
    words = ["--data", table, "--label", "hired", "--group", "sex", *SMALL, "--out", out]
    return run("train", *words, "--sweep", sweep, *more)


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- what it writes


@pytest.fixture(scope="module")
def done(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("sweep") / "out"
    return swept(table, out, "weight=0,3, 30"), out


def test_a_sweep_writes_a_model_for_each_value_and_their_front(done: tuple[Result, Path]) -> None:
    result, out = done
    assert result.exit_code == 0, result.stderr
    assert inside(out) == [*FRONT, "weight-0", "weight-3", "weight-30"]
    weights = [
        load_bundle(out / name).training["objective"]["weight"] for name in ("weight-0", "weight-3", "weight-30")
    ]
    assert weights == [0, 3, 30]
    plain = json.loads((out / "front.json").read_text())
    jsonschema.validate(plain, schema_of(Front))
    front = Front.from_dict(plain)
    assert [(p.name, p.setting, p.model) for p in front.points] == [
        (name, {"weight": value}, name) for name, value in (("weight-0", 0.0), ("weight-3", 3.0), ("weight-30", 30.0))
    ]
    assert "400 test rows" in front.split
    assert result.stdout == front.summary() + "\n"
    assert "(demographic-parity, squared, tolerance 0)" in front.notes[0]
    assert "weight" not in front.notes[0].split("hidden")[0]


def test_the_numbers_are_those_of_the_saved_models(done: tuple[Result, Path], table: Path) -> None:
    _, out = done
    for point in Front.load(out / "front.json").points:
        words = ["--data", table, "--label", "hired", "--group", "sex", "--no-details", "--format", "json"]
        report = json.loads(run("audit", out / str(point.model), *words).stdout)["disparity"]["metrics"]
        assert report["accuracy"]["overall"]["value"] == point.accuracy.value
        assert report["selection_rate"]["gap"]["difference"]["value"] == point.gap.value


def test_a_model_of_a_sweep_is_the_one_that_is_trained_alone(
    done: tuple[Result, Path], table: Path, tmp_path: Path
) -> None:
    words = ["--data", table, "--label", "hired", "--group", "sex", *SMALL, "--out", tmp_path / "alone"]
    assert run("train", *words, "--objective", "penalized", "--weight", "3").exit_code == 0
    for name in ("model.safetensors", "config.json", "rows.safetensors"):
        assert (tmp_path / "alone" / name).read_bytes() == (done[1] / "weight-3" / name).read_bytes()


def test_the_front_is_rendered_again(done: tuple[Result, Path]) -> None:
    result, out = done
    assert run("render", out / "front.json").stdout == result.stdout
    assert run("render", out / "front.json", "--format", "html").stdout == (out / "front.html").read_text()


def test_the_tolerance_can_be_swept_too(table: Path, tmp_path: Path) -> None:
    result = swept(table, tmp_path / "out", "tolerance=0.01,0.05", "--objective", "penalized", "--weight", "5")
    assert result.exit_code == 0, result.stderr
    assert inside(tmp_path / "out") == [*FRONT, "tolerance-0.01", "tolerance-0.05"]
    objective = load_bundle(tmp_path / "out" / "tolerance-0.05").training["objective"]
    assert (objective["constraint"]["tolerance"], objective["weight"]) == (0.05, 5)
    assert "weight 5" in result.stdout


# ---------------------------------------------------------------- where it ends early


@pytest.fixture
def third_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[BaseException], None]]:
    """The third training ends in an exception."""
    fit = job.Job.fit

    def arm(error: BaseException) -> None:
        trained = []

        def failing(self: job.Job, *words: Any) -> Bundle:
            trained.append(words)
            if len(trained) == 3:
                raise error
            return fit(self, *words)

        monkeypatch.setattr(job.Job, "fit", failing)

    yield arm


def test_an_interrupted_sweep_leaves_whole_models_and_no_front(
    table: Path, tmp_path: Path, third_fails: Callable[[BaseException], None]
) -> None:
    assert swept(table, tmp_path / "out", "weight=0,100").exit_code == 0
    third_fails(KeyboardInterrupt())
    result = swept(table, tmp_path / "out", "weight=1,2,3", "--overwrite")
    assert result.exit_code == 130
    assert result.stdout == ""
    assert inside(tmp_path / "out") == ["weight-1", "weight-2"]  # nothing of the sweep before, and no front
    for name in ("weight-1", "weight-2"):
        load_bundle(tmp_path / "out" / name)


def test_a_diverging_value_is_named(table: Path, tmp_path: Path, third_fails: Callable[[BaseException], None]) -> None:
    third_fails(DivergedError("the loss became nan in epoch 1, step 2"))
    result = swept(table, tmp_path / "out", "weight=1,2,1e6")
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert errors == ["Error: weight-1e+06: the loss became nan in epoch 1, step 2"]
    assert inside(tmp_path / "out") == ["weight-1", "weight-2"]


def test_what_was_there_stays_until_there_is_something_in_its_place(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert swept(table, out, "weight=1").exit_code == 0
    before = (out / "front.json").read_bytes()
    again = swept(table, out, "weight=2")
    assert (again.exit_code, "exists" in again.stderr) == (1, True)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job.Job, "fit", interrupted)
    assert swept(table, out, "weight=2", "--overwrite").exit_code == 130
    assert (out / "front.json").read_bytes() == before
    assert inside(out) == [*FRONT, "weight-1"]


def test_what_a_killed_sweep_left_is_overwritten(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, gone = tmp_path / "out", 2**22 + 1  # no process has such a number
    assert swept(table, out, "weight=1").exit_code == 0
    (out / f".front.json.{gone}.part").write_text("half")
    (out / f".weight-1.abc.{gone}.part" / "new").mkdir(parents=True)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def killed(folder: Path, *_: Any) -> None:
            (folder / "config.json").unlink()
            raise KeyboardInterrupt

        patched.setattr("fairheads_cli.sweep.shutil.rmtree", killed)
        _remove(out / "weight-1")
    assert not (out / "weight-1").exists(), "half a model is none"
    assert swept(table, out, "weight=1,2", "--overwrite").exit_code == 0
    assert inside(out) == [*FRONT, "weight-1", "weight-2"]


def test_only_a_sweep_is_overwritten(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert swept(table, out, "weight=1").exit_code == 0
    (out / "notes.txt").write_text("mine")
    refused = swept(table, out, "weight=2", "--overwrite")
    assert (refused.exit_code, "holds other files too (notes.txt)" in refused.stderr) == (1, True)
    assert inside(out) == [*FRONT, "notes.txt", "weight-1"]
    (out / "notes.txt").unlink()
    (out / "weight-1" / "diary.txt").write_text("mine")
    assert swept(table, out, "weight=2", "--overwrite").exit_code == 1
    (out / "weight-1" / "diary.txt").unlink()
    assert swept(table, out, "weight=2", "--overwrite").exit_code == 0
    assert inside(out) == [*FRONT, "weight-2"]


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("sweep", "more", "says"),
    [
        ("weight", [], "must be OPTION=V,V,... with OPTION one of weight, tolerance, share, rate, got 'weight'"),
        ("epochs=1,2", [], "with OPTION one of weight, tolerance, share, rate, got 'epochs=1,2'"),
        ("weight=", [], "must list finite numbers, got ''"),
        ("weight=1,,2", [], "must list finite numbers, got ''"),
        ("weight=1;2", [], "must list finite numbers, got '1;2'"),
        ("weight=1,nan", [], "must list finite numbers, got 'nan'"),
        ("weight=1,inf", [], "must list finite numbers, got 'inf'"),
        ("weight=3,1,3.0", [], "must have every value once, got 3 twice"),
        ("weight=0,-0", [], "must have every value once, got 0 twice"),
        ("weight=1,-2", [], "`weight` must be at least 0"),
        ("tolerance=0.1,-2", [], "`tolerance` must"),
        ("weight=1,2", ["--weight", "3"], "give either `--weight` or `--sweep weight=...`, not both"),
        ("weight=1,2", ["--objective", "two-headed"], "`--sweep weight=...` needs `--objective penalized`"),
        ("weight=1,2", ["--objective", "unconstrained"], "`--sweep weight=...` needs `--objective penalized`"),
        ("weight=1,2", ["--test", "0"], "`--sweep` needs held-out rows"),
    ],
)
def test_a_wrong_sweep_is_one_line_before_anything_is_trained(
    table: Path, tmp_path: Path, sweep: str, more: list[str], says: str
) -> None:
    result = swept(table, tmp_path / "out", sweep, *more)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line]
    assert len(errors) == 1 and says in errors[0]
    assert not (tmp_path / "out").exists()


def test_values_name_folders_of_their_own() -> None:
    sweep = parsed("weight=0.1,0.1000000001,1e-7,1000000,12345678")
    names = [sweep.folder(value) for value in sweep.values]
    assert names == ["weight-0.1", "weight-0.1000000001", "weight-1e-07", "weight-1e+06", "weight-12345678.0"]


# ---------------------------------------------------------------- objectives


def test_every_objective_is_made_and_has_its_defaults() -> None:
    command = command_line.fairheads.commands["train"]
    choice = next(option for option in command.params if option.name == "objective").type
    assert isinstance(choice, click.Choice) and tuple(choice.choices) == tuple(OBJECTIVES)
    options = {str(option.name).replace("_", "-") for option in command.params}
    for name, takes in OBJECTIVES.items():
        assert set(takes) <= options
        assert set(DEFAULTS.get(name, {})) == {option for option in takes if option in NUMBERS}
        given = ObjectiveOptions(objective=name)
        made = objective_of(given)
        assert made.to_dict()["name"] == name.replace("-", "_")
        assert made is not objective_of(given) or not takes  # one of its own for every training


def test_an_option_of_another_objective_is_refused(table: Path, tmp_path: Path) -> None:
    words = ["--data", table, "--label", "hired", "--group", "sex", *SMALL, "--out", tmp_path / "out"]
    for option, value in (("weight", "1"), ("tolerance", "0.1"), ("penalty", "squared"), ("memory", "0.5")):
        result = run("train", *words, f"--{option}", value)
        assert (result.exit_code, f"`--{option}` needs `--objective penalized`" in result.stderr) == (2, True)
    for more, says in (
        (["--objective", "lagrangian", "--constraint", "mmd", "--memory", "0.5"], "compares distributions"),
        (["--objective", "penalized", "--constraint", "wasserstein", "--tolerance", "0.5"], "compares distributions"),
        (["--objective", "penalized", "--constraint", "conditional-parity"], "go together"),
        (["--objective", "penalized", "--control", "sex"], "go together"),
        (["--objective", "reweighted", "--side-batch", "10"], "`side_batch` needs an objective with a constraint"),
        (["--sweep", "weight=1,2", "--checkpoint", "file"], "are of one run"),
        (["--device", "nowhere"], "`device` must be one that this torch can use"),
        (["--batch-size", "0", "--monitor", tmp_path / "m.csv"], "`batch_size` must be at least 1"),
        (["--checkpoint", tmp_path / "out" / "run.pt"], "`--checkpoint` must lie outside `--out`"),
        (["--monitor", tmp_path / "out" / "m.csv"], "`--monitor` must lie outside `--out`"),
        (["--objective", "two-headed", "--monitor", tmp_path / "m.csv"], "`--monitor` watches one logit"),
        (["--objective", "penalized", "--side-batch", "0"], "`side_batch` must be at least 1"),
    ):
        result = run("train", *words, *more)
        assert (result.exit_code, says in result.stderr) == (2, True), result.stderr
        assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="`weight` must be at least 0"):
        objective_of(ObjectiveOptions(objective="penalized", numbers={"weight": -1}))


@pytest.mark.parametrize(
    ("more", "record"),
    [
        (["--objective", "lagrangian", "--constraint", "equalized-odds", "--tolerance", "0.05"], "lagrangian"),
        (["--objective", "adversarial", "--weight", "0.3", "--layer", "backbone.1", "--given-label"], "adversarial"),
        (["--objective", "reweighted", "--share", "0.5"], "reweighted"),
        (["--objective", "massaged"], "massaged"),
        (["--objective", "group-dro", "--rate", "0.1"], "group_dro"),
        (["--objective", "penalized", "--constraint", "conditional-parity", "--control", "city"], "penalized"),
        (["--objective", "penalized", "--side-batch", "32", "--clip-norm", "1", "--patience", "2"], "penalized"),
    ],
)
def test_every_objective_trains_and_its_record_makes_it_again(
    table: Path, tmp_path: Path, more: list[str], record: str
) -> None:
    words = ["--data", table, "--label", "hired", "--group", "sex", *SMALL, "--out", tmp_path / "out"]
    result = run("train", *words, *more)
    assert result.exit_code == 0, result.stderr
    assert "equalized-odds difference" in result.stdout
    plain = load_bundle(tmp_path / "out").training["objective"]
    assert plain["name"] == record and objective_from_dict(plain).to_dict() == plain


def test_a_checkpoint_on_the_command_line_is_gone_on_from(table: Path, tmp_path: Path) -> None:
    words = ["--data", table, "--label", "hired", "--group", "sex", *SMALL, "--objective", "penalized"]
    for name in ("first", "second"):
        more = ["--checkpoint", tmp_path / "run.pt", "--out", tmp_path / name]
        assert run("train", *words, *more).exit_code == 0
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert one == two
    other = run("train", *words, "--weight", "3", "--checkpoint", tmp_path / "run.pt", "--out", tmp_path / "third")
    assert (other.exit_code, "of a run with other settings" in other.stderr) == (2, True)
    assert not (tmp_path / "third").exists()
