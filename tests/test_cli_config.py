"""`--config`, `--quiet`, `--verbose`: where options come from, and how much is said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from test_audit_models import small
from test_cli import run

from fairheads.models import Bundle, save_bundle
from fairheads.planted import synthetic
from fairheads_cli.config import _key
from fairheads_cli.main import fairheads

AUDIT = fairheads.commands["audit"]
FULL = """
model = "net"
data = "numbers.csv"
label = "hired"
group = ["side"]
drop = "person"
no-details = true
seed = 3
max-gap = 1
fail-on = "not_testable"
format = "json"
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    save_bundle(Bundle(net=small()), folder / "net")
    data = synthetic(300, seed=1)
    rows = zip(data.inputs["x"], data.y, data.group, strict=True)
    lines = [",".join([*(f"{v:.3f}" for v in x), str(y), "ab"[g], f"p{i}"]) for i, (x, y, g) in enumerate(rows)]
    head = ",".join([*(f"c{i}" for i in range(8)), "hired", "side", "person"])
    (folder / "numbers.csv").write_text("\n".join([head, *lines]) + "\n")
    (folder / "audit.toml").write_text(FULL)
    return folder


@pytest.fixture(autouse=True)
def in_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)


@pytest.fixture(scope="module")
def written(here: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """An audit whose words are in the file."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        return run("audit", "--config", "audit.toml", "--out", tmp_path_factory.mktemp("loud"))


def test_a_file_gives_the_report_that_its_words_give(written: Result) -> None:
    words = ["net", "--data", "numbers.csv", "--label", "hired", "--group", "side", "--drop", "person"]
    more = ["--no-details", "--seed", "3", "--max-gap", "1", "--fail-on", "not_testable", "--format", "json"]
    typed = run("audit", *words, *more)
    assert typed.exit_code == written.exit_code == 0, written.stderr
    assert typed.stdout == written.stdout
    assert "Gates met." in written.stderr


def context_of(file: Path, *words: str) -> dict[str, Any]:
    context: click.Context = AUDIT.make_context("audit", ["--config", str(file), *words])
    return context.params


def test_paths_in_a_file_start_where_the_command_runs(here: Path) -> None:
    (here / "settings").mkdir()
    (here / "settings" / "audit.toml").write_text(FULL)
    assert run("audit", "--config", "settings/audit.toml").exit_code == 0  # net and numbers.csv lie beside the folder
    told = " ".join(run("audit", "--help").stdout.split())
    assert "Paths in it start where you run it" in told


def test_the_command_line_wins(here: Path) -> None:
    params = context_of(
        here / "audit.toml", "--seed", "4", "--group", "other", "--format", "md", "--fail-on", "neutral"
    )
    assert (params["seed"], params["group"], params["form"], params["fail_on"]) == (4, "other", "md", ("neutral",))
    assert (params["drop"], params["max_gap"], params["no_details"]) == ("person", 1.0, True)
    assert params["model"] == Path("net")


def example_of(parameter: click.Parameter) -> tuple[str, Any]:
    """A value of every option as TOML, and what the command gets."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return "true", True
    if isinstance(parameter.type, click.Choice):
        last = list(parameter.type.choices)[-1]
        return f'"{last}"', last
    if isinstance(parameter.type, click.types.IntParamType):
        return "7", 7
    if isinstance(parameter.type, click.types.FloatParamType):
        return "0.5", 0.5
    kind: Any = Path if isinstance(parameter.type, click.Path) else str
    if parameter.multiple:
        return '["some", "more"]', (kind("some"), kind("more"))
    return '"some"', kind("some")


def test_every_option_may_be_in_the_file(tmp_path: Path) -> None:
    options = {_key(each): each for each in AUDIT.params if each.name not in ("config", "verbose")}
    assert {"model", "data", "max-gap", "twins", "twin", "junit", "list-flips", "quiet", "format"} <= set(options)
    file = tmp_path / "all.toml"
    file.write_text("".join(f"{key} = {example_of(each)[0]}\n" for key, each in options.items()))
    params = context_of(file)
    for each in options.values():
        if each.expose_value:
            assert params[str(each.name)] == example_of(each)[1], each.name


WRONG: dict[str, tuple[str, int, str]] = {
    "an unknown key": ("max_gap = 1", 2, "there is no 'max_gap' (did you mean 'max-gap'?)"),
    "a typing error": ('modle = "x"', 2, "there is no 'modle' (did you mean 'model'?)"),
    "nothing near": ("zzzz = 1", 2, "there is no 'zzzz'."),
    "two at once": ('zzzz = 1\nseed = "3"', 2, "there is no 'zzzz'; 'seed' must be a whole number, got '3'."),
    "a table": ("[audit]\nseed = 1", 2, "there is no 'audit'"),
    "a broken number": ("seed = 1.5", 2, "'seed' must be a whole number, got 1.5"),
    "a truth for a number": ("max-gap = true", 2, "'max-gap' must be a number, got True"),
    "a number for a flag": ("no-details = 1", 2, "'no-details' must be true or false, got 1"),
    "a number for a text": ("label = 3", 2, "'label' must be a text, got 3"),
    "a list of numbers": ("fail-on = [1]", 2, "'fail-on' must be a text or a list of texts, got [1]"),
    "a list for one file": ('out = ["a", "b"]', 2, "'out' must be a text"),
    "another file": ('config = "b.toml"', 2, "there is no 'config'"),
    "a choice that is none": ('format = "pdf"', 2, "'pdf' is not one of"),
    "a seed out of range": ("seed = -1", 2, "-1 is not in the range"),
    "no TOML": ("seed: 1", 1, "is no TOML file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_in_a_file_is_one_line(name: str, tmp_path: Path) -> None:
    text, code, said = WRONG[name]
    file = tmp_path / "audit.toml"
    file.write_text(text)
    done = run("audit", "net", "--data", "numbers.csv", "--config", file)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = run("audit", "--config", tmp_path / "none.toml")
    assert (done.exit_code, "cannot be read" in done.stderr) == (1, True)


def test_quiet_leaves_the_result_and_what_went_wrong(written: Result, tmp_path: Path) -> None:
    quiet = run("audit", "--config", "audit.toml", "--out", tmp_path, "--max-gap", "0", "--quiet")
    assert written.stderr.count("wrote") == 3
    assert quiet.stdout == written.stdout
    assert (quiet.exit_code, quiet.stderr.count("\n"), quiet.stderr[:13]) == (3, 1, "Gate not met:")
    assert json.loads(quiet.stdout)["seed"] == 3


def test_verbose_tells_where_an_error_is_from_and_others_do_not() -> None:
    words = ("audit", "nowhere", "--data", "numbers.csv", "--label", "hired", "--group", "side", "--drop", "person")
    plain, verbose = run(*words), run(*words, "--verbose")
    assert plain.exit_code == verbose.exit_code == 1
    assert plain.stderr.splitlines()[-1] == verbose.stderr.splitlines()[-1]
    assert "Traceback" not in plain.stderr
    assert "Traceback" in verbose.stderr and "took " in verbose.stderr
    assert "Traceback" not in run(*words).stderr, "what one command was told must not reach the next"
    assert run(*words, "-q", "-v").exit_code == 2
    usage = run("audit", "net", "-v")
    assert (usage.exit_code, "Traceback" in usage.stderr) == (2, False)


def test_the_example_in_readme_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "audit.toml").write_text(block)
    params = context_of(tmp_path / "audit.toml")
    assert (params["n_twins"], params["max_gap"], params["source"]) == (5, 0.05, "people.csv")
