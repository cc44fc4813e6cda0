"""A command that is killed leaves whole files alone, and ends with the same bytes when it is run again."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from killed_for_tests import command, overwrite
from test_cli import people, run
from test_study import compas

from fairheads.models import load_bundle, save_bundle, weights_digest

TABLE = "rows.csv --label hired --group sex"
SMALL = f"train --data {TABLE} --hidden 4 --epochs 3 --batch-size 64"


@dataclass(frozen=True, kw_only=True)
class Killed:
    """A command, the file that comes last of what it writes, what it needs where its folder is there, the folders whose
    files are not made again, and at how many of its changes of files it is killed."""

    words: str
    last: str
    again: str = ""
    kept: tuple[str, ...] = ()
    kills: int = 3


COMMANDS = {
    "disparity": Killed(words=f"disparity {TABLE} --score score --threshold 0 --out out", last="report.json"),
    "audit": Killed(words=f"audit net0 --data {TABLE} --twins 2 --out out", last="report.json"),
    "train": Killed(
        words=f"{SMALL} --objective penalized --sweep weight=0,1 --out out", last="front.json", again="--overwrite"
    ),
    "compare": Killed(words=f"compare net0 net1 --data {TABLE} --audit --out out", last="compare.json"),
    "selftest": Killed(
        words=f"selftest net0 --data {TABLE} --twin net1 --twin net2 --twin net3 --strength 1 --out out",
        last="selftest.json",
    ),
    "merge": Killed(
        words=f"merge two --data {TABLE} --max-gap 0.5 --confidence 0 --out out/net --report out/report",
        last="report/merge.json",
        again="--overwrite",
    ),
    "render": Killed(words="render report.json --format html --out out/page.html", last="page.html"),
    "study": Killed(
        words="study paper --data compas --source compas.csv --weights 10 --penalties squared --seeds 2 --epochs 1"
        " --intervention-rows 100 --jobs 1 --out out",
        last="paper.json",
        kept=("networks/", "scores/", "measured/"),
    ),
    "demo": Killed(words="demo --out out", last="comparison.json", kills=1),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands take: tables, four networks and a two-headed one, and a report."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "rows.csv").write_text(people(2000, 0))
    compas(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in range(4):
            assert run(*SMALL.split(), "--seed", str(seed), "--out", f"net{seed}").exit_code == 0
        assert run(*SMALL.split(), "--objective", "two-headed", "--out", "two").exit_code == 0
        shown = run(*f"disparity {TABLE} --score score --threshold 0 --format json".split())
    (folder / "report.json").write_text(shown.stdout)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """What is to be seen of a command's work."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in found.items() if not any(p[0] == "." for p in name.parts)}


def made(file: Path) -> int:
    """When it was written."""
    return file.stat().st_mtime_ns


def ended(work: Callable[..., None], *args: object) -> int | None:
    """How a process of its own ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "fairheads_cli.main", "fairheads.audit"])
    process = context.Process(target=work, args=args)
    process.start()
    process.join(600)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_leaves_whole_files_alone_and_is_run_again(
    name: str, start: Path, tmp_path: Path
) -> None:
    """Whatever it leaves is as it is at the end, and the last file is there where all are."""
    killed = COMMANDS[name]

    def of(folder: Path, kill_at: int | None = None, log: Path | None = None) -> int | None:
        words = killed.words.split() + (killed.again.split() if (folder / "out").exists() else [])
        return ended(command, words, str(folder), kill_at, None if log is None else str(log))

    shutil.copytree(start, tmp_path / "whole")
    assert of(tmp_path / "whole", log=tmp_path / "changes.txt") == 0
    wanted = files(tmp_path / "whole" / "out")
    changes = len((tmp_path / "changes.txt").read_text().splitlines())
    assert changes >= killed.kills and killed.last in wanted
    for kill_at in sorted(random.Random(name).sample(range(1, changes + 1), killed.kills)):
        folder = tmp_path / str(kill_at)
        shutil.copytree(start, folder)
        assert of(folder, kill_at) == -signal.SIGKILL
        left = files(folder / "out")
        assert left.items() <= wanted.items(), kill_at
        assert killed.last not in left or left == wanted, kill_at
        kept = {file: made(folder / "out" / file) for file in left if file.startswith(killed.kept)}
        assert of(folder) == 0
        assert files(folder / "out") == wanted, kill_at
        assert kept == {file: made(folder / "out" / file) for file in kept}, kill_at


@pytest.mark.slow
def test_a_model_that_is_overwritten_is_at_every_moment_the_old_or_the_new_one(start: Path, tmp_path: Path) -> None:
    shutil.copytree(start, tmp_path / "whole")
    assert ended(overwrite, str(tmp_path / "whole"), None, str(tmp_path / "changes.txt")) == 0
    changes = len((tmp_path / "changes.txt").read_text().splitlines())
    old, new = (weights_digest(load_bundle(start / name).net) for name in ("net0", "net1"))
    found = []
    for kill_at in range(1, changes + 1):
        folder = tmp_path / str(kill_at)
        shutil.copytree(start, folder)
        assert ended(overwrite, str(folder), kill_at) == -signal.SIGKILL
        found.append(weights_digest(load_bundle(folder / "net0").net))
        save_bundle(load_bundle(folder / "net1"), folder / "net0", overwrite=True)
        assert {path.name for path in folder.iterdir()} == {path.name for path in start.iterdir()}, "nothing is left"
    turn = found.index(new)
    assert found == [old] * turn + [new] * (changes - turn) and turn > 0
