"""What an installation puts where: the command line as `fairheads_cli`, no package `cli`, and every data file."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALLED_AS = {"fairheads": "fairheads", "cli": "fairheads_cli"}


def renamed(path: Path) -> PurePosixPath:
    """Where a file of the checkout lies in an installation."""
    folder, *rest = path.relative_to(ROOT).parts
    return PurePosixPath(INSTALLED_AS[folder], *rest)


def source_files() -> set[PurePosixPath]:
    files = (path for folder in INSTALLED_AS for path in (ROOT / folder).rglob("*") if path.is_file())
    return {renamed(path) for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy: setuptools leaves its own files beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in INSTALLED_AS:
        shutil.copytree(ROOT / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "copy")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", folder, folder / "copy"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_list_of_packages_is_the_folders() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.parts) for path in source_files() if path.suffix == ".py"}
    assert set(listed) == folders, "tool.setuptools.packages in pyproject.toml must name every room that is a folder"


def test_the_wheel_holds_every_file_and_no_package_called_cli(wheel: zipfile.ZipFile) -> None:
    files = {PurePosixPath(name) for name in wheel.namelist()}
    packaged = {path for path in files if not path.parts[0].endswith(".dist-info")}
    assert {path.parts[0] for path in packaged} == {"fairheads", "fairheads_cli"}
    assert packaged == source_files(), "tool.setuptools.package-data in pyproject.toml must name every data file"


def test_the_wheel_carries_types_licence_and_command(wheel: zipfile.ZipFile) -> None:
    files = {PurePosixPath(name) for name in wheel.namelist()}
    assert PurePosixPath("fairheads/py.typed") in files
    (licence,) = (path for path in files if path.name == "LICENSE")
    assert ".dist-info" in licence.parts[0]
    (entries,) = (path for path in files if path.name == "entry_points.txt")
    assert "fairheads = fairheads_cli.main:main" in wheel.read(str(entries)).decode()


def test_the_environment_has_fairheads_cli_and_no_cli(tmp_path: Path) -> None:
    question = "from importlib.util import find_spec; print([find_spec(name) is not None for name in {names!r}])"
    names = ["fairheads", "fairheads_cli", "cli"]
    command = [sys.executable, "-I", "-c", question.format(names=names)]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[True, True, False]"


def test_the_command_is_installed_and_answers(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("fairheads")
    answer = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Usage: fairheads" in answer.stdout
