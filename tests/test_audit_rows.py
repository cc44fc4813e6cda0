"""The rows of an audit: streamed as in memory, some of them for a quick look, and counted on after a kill."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file
from test_cli import run

import fairheads_cli.audited as cli_rows
from fairheads.activations import TorchNetwork
from fairheads.audit import audit, forget
from fairheads.audit import counting as sums
from fairheads.data import BLOCK, Dataset, RowRecord, Stream, dataset, read_table
from fairheads.data.dataset import NARROW
from fairheads.errors import InputError
from fairheads.models import Bundle, save_bundle
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.reports import render
from fairheads.results import AuditReport, _saving
from fairheads_cli.progress import Steps

COLUMNS: dict[str, Any] = {"label": "hired", "group": ["side"]}
WORDS = ["--label", "hired", "--group", "side", "--no-details"]
N = 1500


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table as one file and as a folder, and a bundle that says it was trained on a part of the file."""
    folder = tmp_path_factory.mktemp("rows")
    data = synthetic(N, seed=1)
    frame = pd.DataFrame(data.inputs["x"].astype(float).round(3), columns=[f"c{i}" for i in range(8)])
    frame = frame.assign(city=np.random.default_rng(0).choice(["north", "south", "west"], N))
    frame = frame.assign(hired=data.y, side=np.array(data.group_names)[data.group])
    frame.to_parquet(folder / "people.parquet", row_group_size=400)
    frame.drop(columns="city").to_parquet(folder / "numbers.parquet", row_group_size=400)
    (folder / "many").mkdir()
    for i, start in enumerate(range(0, N, 600)):
        frame.iloc[start : start + 600].to_csv(folder / "many" / f"part-{i}.csv", index=False)
    table = read_table(folder / "people.parquet", **COLUMNS)
    seen = table.columns["city"] != "west"
    encoder = table.fit_encoder(seen)
    split = {"source": table.source, "test": 0.4, "validation": 0.0, "seed": 3}
    training = {"split": split, "outcome": {"label": "hired", "favourable": "1"}}
    trained = table.encode(encoder, table.parts(test=0.4, seed=3)["train"])
    net = MLP(len(encoder.feature_names), hidden=(6, 5), seed=3)
    bundle = Bundle(net=net, preprocess=encoder, training=training, rows=RowRecord.of(trained), name="bundle")
    save_bundle(bundle, folder / "bundle")
    save_bundle(Bundle(net=MLP(8, hidden=(6, 5), seed=3)), folder / "plain")
    return folder


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table counts as one too large for memory."""
    monkeypatch.setattr(cli_rows, "LARGE", 0)


def reported(here: Path, model: str, data: str, *words: str) -> str:
    done = run("audit", here / model, "--data", here / data, *WORDS, "--format", "json", *words)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def training_rows_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowRecord, "refuse_overlap", lambda *_a, **_k: (0.0, 0.0))


# --- streamed and in memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--split", "all"), ("--sample", "300")], ids=str)
def test_a_streamed_table_gives_the_bytes_of_the_table_in_memory(
    here: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if words[:1] == ("--split",):
        training_rows_pass(monkeypatch)
    held = reported(here, "bundle", "people.parquet", *words)
    monkeypatch.setattr(cli_rows, "LARGE", 0)
    monkeypatch.setattr("fairheads.data.table.read_table", None)
    assert reported(here, "bundle", "people.parquet", *words) == held
    unseen = json.loads(held)["data"]["unseen_categories"]["city"]
    assert 0 < unseen < (N if words[:1] == ("--split",) else 0.5 * N)


def test_a_table_of_numbers_streams_as_it_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = reported(here, "plain", "numbers.parquet")
    monkeypatch.setattr(cli_rows, "LARGE", 0)
    assert reported(here, "plain", "numbers.parquet") == held
    done = run("audit", here / "plain", "--data", here / "people.parquet", *WORDS)
    assert done.exit_code == 1
    assert "people.parquet has the column 'city', which is text" in done.stderr


def test_a_folder_is_audited_as_its_rows_in_one_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training_rows_pass(monkeypatch)
    one, many = (
        json.loads(reported(here, "bundle", name, "--split", "all", "--sample", "700"))
        for name in ("people.parquet", "many")
    )
    assert one["data"]["name"] == "people.parquet" and many["data"]["name"] == "many"
    assert one["data"]["digest"] == many["data"]["digest"]
    assert one["pathways"] == many["pathways"] and one["disparity"]["metrics"] == many["disparity"]["metrics"]


def test_training_rows_in_a_stream_are_refused(here: Path, large: None) -> None:
    done = run("audit", here / "bundle", "--data", here / "people.parquet", *WORDS, "--split", "all")
    assert done.exit_code == 1
    assert "equal a training row of the model" in done.stderr


# --- a quick look ------------------------------------------------------------------------------------------------


def test_a_quick_look_says_so_in_every_form_and_depends_on_the_seed(here: Path) -> None:
    first, second = (
        json.loads(reported(here, "plain", "numbers.parquet", "--sample", "200", "--seed", s)) for s in "01"
    )
    said = "200 rows, drawn with seed 0 for a quick look, of all 1,500 rows of numbers.parquet"
    assert first["data"]["n"] == first["pathways"]["B"]["n"] == 200
    assert said in first["notes"][0]
    assert first["data"]["digest"] != second["data"]["digest"]
    for form in ("text", "md", "html"):
        assert said in " ".join(render(AuditReport.from_dict(first), form).split()), form


def test_a_look_at_more_rows_than_there_are_is_one_at_all_of_them(here: Path) -> None:
    asked, plain = (
        json.loads(reported(here, "plain", "numbers.parquet", *more)) for more in (["--sample", "9999"], [])
    )
    assert "all 1,500 rows of numbers.parquet" in asked["notes"][0] and "(9,999 were asked for)" in asked["notes"][0]
    assert {**asked, "notes": None} == {**plain, "notes": None}


def test_an_audit_of_a_stream_reads_it_twice_and_gives_the_report_of_the_same_rows_in_memory() -> None:
    held, passes = synthetic(NARROW + 900, seed=2), list[int]()

    def parts() -> Iterator[Dataset]:
        for start in range(0, len(held), 350):
            yield held.take(range(start, min(start + 350, len(held))))
        passes.append(len(held))  # all were asked for

    net = MLP(8, hidden=(6, 5), seed=0)
    stream = Stream(parts, group_names=held.group_names, feature_names=held.feature_names, name=held.name)
    streamed = audit(net, stream, sample=500)
    assert len(passes) == 2
    in_memory = audit(net, held, sample=500)
    assert streamed.to_json() == in_memory.to_json()


@pytest.mark.parametrize("few", ["79", "0", "-5"])
def test_a_look_at_too_few_rows_is_refused(here: Path, few: str) -> None:
    done = run("audit", here / "plain", "--data", here / "numbers.parquet", *WORDS, "--sample", few)
    assert done.exit_code == 2
    assert "`--sample` must be at least 80 rows, 40 of either of two groups" in done.stderr


# --- counted on after a kill -------------------------------------------------------------------------------------


class Counting(TorchNetwork):
    """Counts its forward passes and can be killed at one."""

    calls = 0
    last: int | None = None

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        self.calls += 1
        if self.calls == self.last:
            raise KeyboardInterrupt
        return super().forward(inputs)


def counted(
    data: Dataset | Stream, file: Path | None, *, seed: int = 3, last: int | None = None
) -> tuple[sums.Counts, int]:
    """The counts of a network, and its forward passes beside that of the first block again."""
    network = Counting(MLP(8, hidden=(6, 5), seed=seed))
    kept = None if file is None else sums.Kept(file, network, f"weights {seed}", data, {"numpy": "1"})
    network.calls, network.last = 0, last
    return sums.counted(network, data, kept=kept), network.calls


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Rows of ten blocks, which are as small as those of a wide table."""
    monkeypatch.setattr(dataset, "NARROW", BLOCK)
    return synthetic(10 * BLOCK - 30, seed=1)


@pytest.fixture
def killed(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a pass that was killed at the seventh of ten blocks."""
    monkeypatch.setattr(sums, "EVERY", 0.0)
    file = tmp_path / "out" / "sums.json"
    with pytest.raises(KeyboardInterrupt):
        counted(data, file, last=7)
    return file


@pytest.mark.parametrize("batches", [100, BLOCK, 3000])
def test_a_killed_pass_goes_on_with_the_block_it_was_killed_at(data: Dataset, killed: Path, batches: int) -> None:
    whole, calls = counted(data, None)
    data.batch_size = batches
    found, rest = counted(data, killed)
    assert (calls, rest) == (10, 4)
    assert found.to_dict() == whole.to_dict() and found.n == len(data)
    again, none = counted(data, killed)
    assert none == 0 and again.to_dict() == whole.to_dict()
    forget(killed)
    assert list(killed.parent.iterdir()) == []


def test_what_was_counted_of_other_rows_or_by_another_network_is_counted_anew(data: Dataset, killed: Path) -> None:
    kept = killed.read_bytes()
    others = Dataset({"x": data.inputs["x"].copy()}, data.y, data.group, group_names=data.group_names)
    others.inputs["x"][BLOCK + 3, 0] += 1
    moved = data.take(np.r_[1, 0, 2 : len(data)])
    fewer = data.take(np.arange(3 * BLOCK + 5))
    for rows, seed in ((others, 3), (moved, 3), (fewer, 3), (data, 4)):
        killed.write_bytes(kept)
        found, calls = counted(rows, killed, seed=seed)
        assert calls == -(-len(rows) // BLOCK)
        assert found.to_dict() == counted(rows, None, seed=seed)[0].to_dict()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b"\xff\xfe", b'{"key": 3, "counts": null}'])
def test_a_damaged_file_is_no_file(data: Dataset, killed: Path, content: bytes) -> None:
    killed.write_bytes(content)
    assert counted(data, killed)[1] == 10


def test_a_file_with_the_right_key_and_wrong_counts_is_no_file(data: Dataset, killed: Path) -> None:
    plain = json.loads(killed.read_text())
    killed.write_text(json.dumps({**plain, "counts": {"n": 512}}))
    assert counted(data, killed)[1] == 10


def test_a_network_without_a_digest_keeps_nothing(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "EVERY", 0.0)
    network = Counting(MLP(8, hidden=(6, 5)))
    sums.counted(network, data, kept=sums.Kept(tmp_path / "sums.json", network, "", data, {}))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "EVERY", 0.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"sums\.json' cannot be written"):
        counted(data, tmp_path / "file" / "sums.json")


def test_an_audit_that_goes_on_ends_with_the_same_bytes(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts are taken from the file, wherever they came from: other counts make another report."""
    monkeypatch.setattr(sums, "EVERY", 0.0)
    net, file, heard = MLP(8, hidden=(6, 5), seed=3), tmp_path / "sums.json", []
    settings: dict[str, Any] = {"sample": 400, "details": False}
    whole = audit(net, data, **settings, progress=lambda *at: heard.append(at))
    assert heard[0] == (0, len(data)) and heard[-1] == (len(data), len(data)) and len(heard) == 11
    assert audit(net, data, **settings, resume=file).to_json() == whole.to_json()
    assert audit(net, data, **settings, resume=file).to_json() == whole.to_json()
    plain = json.loads(file.read_text())
    plain["counts"]["cells"]["counts"][0][0][0] += 1
    plain["counts"]["cells"]["counts"][0][0][1] -= 1
    file.write_text(json.dumps(plain))
    assert audit(net, data, **settings, resume=file).to_json() != whole.to_json()


def test_the_report_in_json_appears_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("report.json", "report.html", "report.md")
    _saving.save_texts(tmp_path, dict.fromkeys(names, "old"))
    (tmp_path / f".report.md.{2**22 + 1}.part").write_text("half")  # no process has such a number
    moved, there = [], os.replace

    def killed_at_the_third(part: Path, place: Path) -> None:
        moved.append(place.name)
        if len(moved) == 3:
            raise KeyboardInterrupt
        there(part, place)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(_saving.os, "replace", killed_at_the_third)
        _saving.save_texts(tmp_path, dict.fromkeys(names, "new"))
    assert moved == ["report.md", "report.html", "report.json"]
    assert not (tmp_path / "report.json").exists()
    _saving.save_texts(tmp_path, dict.fromkeys(names, "new"))
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names)


# --- progress ----------------------------------------------------------------------------------------------------


def told(shown: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    clock, written = iter([0.0, 2.0, 2.1, 300.0, 301.0]), io.StringIO()
    monkeypatch.setattr("fairheads_cli.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", written)
    steps = Steps(shown=shown)
    steps("auditing", 1000, 9000, "rows")
    steps("auditing", 2000, 9000, "rows")
    steps("auditing", 2100, 9000, "rows")
    steps("auditing", 9000, 9000, "rows")
    steps("training 2 twins", 0, 2, "networks")
    steps.close()
    return written.getvalue()


def test_a_terminal_shows_rate_and_time_left_and_a_pipe_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(False, monkeypatch) == "auditing\ntraining 2 twins\n"
    lines = re.split(r"[\r\n]+", told(True, monkeypatch))  # click leaves out what clears the line where none is shown
    assert [line for line in lines if line] == [
        "auditing: 1,000 of 9,000 rows",
        "auditing: 2,000 of 9,000 rows, 500 a second, 14 s left",
        "auditing: 9,000 of 9,000 rows",
        "training 2 twins: 0 of 2 networks",
    ]


# --- killed ------------------------------------------------------------------------------------------------------

OWN = """
import os, time
from fairheads.nets import MLP

class Slow(MLP):
    calls = 0

    def forward(self, x):
        if len(x) == 512:
            Slow.calls += 1
            if Slow.calls <= 7:
                time.sleep(0.2)
            with open("calls", "a") as file:
                file.write(".")
        return super().forward(x)

def net():
    return Slow(8, hidden=(6, 5))
"""

SERVER = """
import os, sys
import torch, scipy.stats, matplotlib.pyplot
import fairheads.audit.counting as sums
import fairheads.data.dataset, fairheads.reports, fairheads.results.page, fairheads.twins, own
from fairheads_cli.main import main

sums.EVERY = 0.1
fairheads.data.dataset.NARROW = 512
for out in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        sys.argv = ["fairheads", *sys.argv[1:], out.strip()]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Runs the command for every line it is told, in a process that has everything imported: starting takes seconds."""


class Runs:
    """Audits into folders, one after another, each of which can be killed."""

    def __init__(self, folder: Path, server: subprocess.Popen[str]) -> None:
        self.calls, self.errors, self._server = folder / "calls", folder / "errors", server

    def run(self, out: Path, *, kill_after: float | None = None) -> tuple[dict[str, bytes], bool]:
        """The files in ``out`` and whether the audit ended by itself."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self.calls.unlink(missing_ok=True)
        self._server.stdin.write(f"{out}\n")
        self._server.stdin.flush()
        child = int(self._server.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it may have ended
                os.kill(child, signal.SIGKILL)
        ended = int(self._server.stdout.readline())
        assert ended in (0, signal.SIGKILL), self.errors.read_text()
        return {each.name: each.read_bytes() for each in (out.iterdir() if out.exists() else ())}, ended == 0


@pytest.mark.slow
def test_killed_at_twenty_random_moments_a_report_is_whole_or_absent_and_the_next_run_ends_with_its_bytes(
    tmp_path: Path,
) -> None:
    """The first block, which tells networks apart, and the six that are counted take a fifth of a second each."""
    data = synthetic(6 * BLOCK, seed=1)
    save_file(MLP(8, hidden=(6, 5), seed=3).state_dict(), tmp_path / "net.safetensors")
    np.savez(tmp_path / "rows.npz", x=data.inputs["x"], y=data.y, group=np.array(data.group_names)[data.group])
    (tmp_path / "own.py").write_text(OWN)
    words = ["audit", "net.safetensors", "--factory", "own:net", "--data", "rows.npz", "--no-details", "--out"]
    moments, out, went_on = random.Random(0), tmp_path / "out", 0
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, *words],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as server,
    ):
        runs = Runs(tmp_path, server)
        runs.run(tmp_path / "first")
        begun = time.monotonic()
        whole, _ = runs.run(tmp_path / "whole")
        seconds, calls = time.monotonic() - begun, len(runs.calls.read_text())
        assert sorted(whole) == ["report.html", "report.json", "report.md"]
        kills = 0
        while kills < 20:
            there, ended = runs.run(out, kill_after=moments.uniform(0.1, 1.0) * seconds)
            assert "report.json" not in there or {name: there[name] for name in whole} == whole, kills
            if ended:  # the machine is faster than it was
                seconds *= 0.8
                continue
            kills += 1
            kept = ".audit-sums.json" in there
            files, _ = runs.run(out)
            assert files == whole, kills
            if kept:
                assert len(runs.calls.read_text()) < calls, "what was counted is not counted again"
                went_on += 1
            for each in out.iterdir():
                each.unlink()
    assert went_on >= 5
