"""`fairheads audit` of models from elsewhere: where their rows come from, and what is said when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from onnx_for_tests import exported
from safetensors.torch import save_file
from test_audit_models import save_pt2, small
from test_cli import run
from torch import nn

from fairheads.audit import audit
from fairheads.compare import compare
from fairheads.data import Dataset, RowRecord
from fairheads.errors import InputError
from fairheads.models import Bundle, opening, save_bundle
from fairheads.planted import synthetic
from fairheads.results import AuditReport

OWN = """
import numpy as np
from fairheads.audit import audit
from fairheads.compare import compare
from fairheads.data import Dataset
from fairheads.nets import MLP

def net():
    return MLP(8, hidden=(6, 5))

def broken():
    raise ZeroDivisionError("nothing was divided")

def load(path):
    held = np.load(path)
    return Dataset(held["x"], held["label"], held["side"], name="loaded")

def nothing(path):
    return None

def fails(path):
    raise KeyError(path)
"""

COLUMNS = tuple(f"c{i}" for i in range(8))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network in several files, and the same rows in several."""
    folder = tmp_path_factory.mktemp("models")
    save_bundle(Bundle(net=small()), folder / "bundle")
    save_pt2(small(), folder / "net.pt2")
    save_pt2(nn.Sequential(small(), nn.Sigmoid()), folder / "probability.pt2")
    for seed in (3, 5, 6, 7):
        save_file(small(seed).state_dict(), folder / f"{seed}.safetensors")
    (folder / "cli_models_own.py").write_text(OWN)
    (folder / "cli_models_damaged.py").write_text("def load(:\n")
    (folder / "net.pkl").write_bytes(b"cbuiltins\nopen\n(V" + str(folder / "mark").encode() + b"\nVw\ntR.")
    data = synthetic(600, seed=1)
    x, side = data.inputs["x"].round(2), np.array(data.group_names)[data.group]
    frame = pd.DataFrame(x.astype(float).round(2), columns=list(COLUMNS))
    frame = frame.assign(hired=np.where(data.y == 1, "yes", "no"), side=side, person=[f"p{i}" for i in range(len(x))])
    frame.to_csv(folder / "people.csv", index=False)
    frame.to_parquet(folder / "people.parquet")
    np.savez(folder / "rows.npz", x=x, y=data.y, group=side)
    words = {"label": frame["hired"].to_numpy(str), "side": side.astype("S")}
    np.savez(folder / "named.npz", x=x, person=np.arange(600), **words)
    np.savez(folder / "plain.npz", x=x, label=data.y, side=side)
    np.save(folder / "x.npy", x)
    numbers = frame.drop(columns="person").assign(hired=data.y)
    np.save(folder / "people.npy", numbers.to_records(index=False, column_dtypes={"side": "U2"}).view(np.ndarray))
    return folder


@pytest.fixture(autouse=True)
def in_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)


CSV = ["--data", "people.csv", "--label", "hired", "--group", "side", "--drop", "person"]
QUICK = ["--no-details", "--format", "json"]
NET = ["3.safetensors", "--factory", "cli_models_own:net"]


def report_of(*words: str) -> dict[str, Any]:
    done = run("audit", *words, *QUICK)
    assert done.exit_code == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    AuditReport.from_dict(report)
    return report


@pytest.fixture(scope="module")
def own(here: Path) -> dict[str, Any]:
    """The report of the bundle on the CSV."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        return report_of("bundle", *CSV)


def assert_same(report: dict[str, Any], own: dict[str, Any]) -> None:
    rates, others = (each["disparity"]["metrics"]["selection_rate"]["groups"] for each in (report, own))
    assert {name: rate["value"] for name, rate in rates.items()} == {k: rate["value"] for k, rate in others.items()}
    (path,), (theirs,) = report["pathways"].values(), own["pathways"].values()
    assert path["verdict"] == theirs["verdict"]
    assert path["effect"]["value"] == pytest.approx(theirs["effect"]["value"], abs=1e-5)
    swaps, others = ([layer["swap"]["value"] for layer in each["layers"]] for each in (path, theirs))
    assert swaps == pytest.approx(others, abs=1e-5)


@pytest.mark.parametrize("words", [["net.pt2"], NET, ["probability.pt2", "--outcome", "sigmoid"]], ids=lambda w: w[0])
def test_any_model_takes_a_table_of_numbers(words: list[str], own: dict[str, Any]) -> None:
    report = report_of(*words, *CSV)
    assert_same(report, own)
    assert report["model"]["name"] == words[0]
    said = "Audited on all 600 rows of people.csv, whose 8 columns were fed as they are, in this order: c0, c1, c2"
    assert report["notes"][0].startswith(said)


def test_an_onnx_file_takes_the_same_table(here: Path, own: dict[str, Any]) -> None:
    pytest.importorskip("onnx", reason="needs the extra `integrations`")
    pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")
    (here / "net.onnx").write_bytes(exported(small(), {"x": torch.zeros(4, 8)}))
    report = report_of("net.onnx", *CSV)
    assert_same(report, own)
    assert report["model"]["parameters"] == own["model"]["parameters"]


def test_a_folder_of_transformers_is_opened_once(
    tmp_path: Path, own: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    opened: list[Path] = []

    def pretrained(folder: Path) -> nn.Module:
        opened.append(folder)
        return small()

    monkeypatch.setattr("fairheads.models.opening.open_pretrained", pretrained)
    assert_same(report_of(str(tmp_path), *CSV), own)
    assert opened == [tmp_path]


TABLES: dict[str, list[str]] = {
    "Parquet": ["people.parquet", "--label", "hired", "--group", "side", "--drop", "person"],
    "npz": ["rows.npz"],
    "npz with names": [
        *("named.npz", "--label", "label", "--favourable", "yes", "--group", "side", "--drop", "person"),
    ],
    "npy": ["people.npy", "--label", "hired", "--group", "side"],
    "loader": ["plain.npz", "--loader", "cli_models_own:load"],
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_same_rows_from_other_files(kind: str, own: dict[str, Any]) -> None:
    report = report_of("net.pt2", "--data", *TABLES[kind])
    assert_same(report, own)
    assert report["data"]["digest"] == own["data"]["digest"]


def test_another_table_gives_other_numbers(here: Path, own: dict[str, Any]) -> None:
    frame = pd.read_csv(here / "people.csv")
    frame[["c1", *COLUMNS[:1], *COLUMNS[2:], "hired", "side"]].to_csv(here / "moved.csv", index=False)
    report = report_of("net.pt2", "--data", "moved.csv", "--label", "hired", "--group", "side")
    with pytest.raises(AssertionError):
        assert_same(report, own)


def test_code_of_ones_own_is_told_on_standard_error() -> None:
    one = ["--layers", "backbone.1"]
    done = run("audit", *NET, "--data", "plain.npz", "--loader", "cli_models_own:load", *QUICK, *one)
    assert done.exit_code == 0 and json.loads(done.stdout)["data"]["name"] == "loaded"
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert notes == [
        "Note: ran 'cli_models_own:net', code of your own, to build the network of '3.safetensors'.",
        "Note: running 'cli_models_own:load', code of your own, to read 'plain.npz'.",
    ]
    plain = run("audit", "net.pt2", *CSV, *QUICK, *one)
    assert "code of your own" not in plain.stderr and "code of your own" not in plain.stdout


def test_twins_are_opened_by_the_same_factory(tmp_path: Path) -> None:
    twins = [word for seed in (5, 6) for word in ("--twin", f"{seed}.safetensors")]
    folder = save_bundle(Bundle(net=small(7)), tmp_path / "twin")
    report = report_of(*NET, *CSV, *twins, "--twin", str(folder))
    (path,) = report["pathways"].values()
    assert path["twins"]["n"] == 3


PICKLED = "loading it would run code"

WRONG: list[tuple[list[str], str, int]] = [
    (["net.pkl", *CSV], PICKLED, 1),
    (["bundle", *CSV, "--twin", "net.pkl"], PICKLED, 1),
    (["nothing.pt2", *CSV], "there is no model at 'nothing.pt2'", 1),
    (["people.csv", *CSV], "no model of a known kind", 1),
    (["3.safetensors", *CSV], "--factory pkg.mod:function", 2),
    (["3.safetensors", *CSV, "--factory", "net"], "must be named like 'pkg.mod:function'", 2),
    (["3.safetensors", *CSV, "--factory", "cli_models_own:absent"], "has no function 'absent'", 2),
    (["3.safetensors", *CSV, "--factory", "no_such_module:net"], "cannot be imported", 2),
    (["3.safetensors", *CSV, "--factory", "cli_models_damaged:net"], "cannot be imported", 2),
    (["3.safetensors", *CSV, "--factory", "cli_models_own:broken"], "ZeroDivisionError: nothing was divided", 2),
    (["bundle", *CSV, "--factory", "cli_models_own:net"], "leave `factory` out", 2),
    (["bundle", *CSV, "--outcome", "sigmoid"], "leave `outcome` out", 2),
    (["net.pt2", *CSV, "--outcome", "sigmoyd"], "Did you mean 'sigmoid'?", 2),
    (["net.pt2", *CSV, "--outcome", "softmax:yes"], "has no number", 2),
    (["net.pt2", *CSV, "--outcome", "softmax:1"], "must have two columns or more", 1),
    (["net.pt2", *CSV, "--outcome", "sigmoid"], "which are no probabilities", 1),
    (["net.pt2", *CSV[:-2]], "has the column 'person', which is text; a model without an encoder is fed a table of", 1),
    (["net.pt2", "--data", "adult"], "which is text", 1),
    (["net.pt2", *CSV[:-1], "person,c0"], "it takes 8 columns, and there are 7 (c1, c2, c3, c4, c5, c6, c7)", 1),
    ([*NET, *CSV[:-1], "person,c0"], "inputs x (n, 7): it takes 8 columns, and there are 7 (c1,", 1),
    (["net.pt2", "--data", "people.csv"], "(--label, --group)", 2),
    (["net.pt2", "--data", "x.npy"], "is one array, without names", 1),
    (["net.pt2", "--data", "people.npy", "--label", "y", "--group", "side"], "has no column 'y'; it has: c0", 1),
    (["net.pt2", "--data", "rows.npz", "--label", "hired"], "has no array 'hired'; it has: x, y, group", 1),
    (["net.pt2", "--data", "rows.npz", "--label", "x"], "array 'x' of rows.npz must have one value a row", 1),
    (["net.pt2", "--data", "rows.npz", "--drop", "x"], "has no array beside the label and the group", 1),
    (["net.pt2", "--data", "absent.npz"], "there is no file 'absent.npz'", 1),
    (["net.pt2", "--data", "plain.npz", "--loader", "load"], "`--loader` must be named like", 2),
    (["net.pt2", "--data", "plain.npz", "--loader", "no_such_module:load"], "cannot be imported", 2),
    (["net.pt2", "--data", "plain.npz", "--loader", "cli_models_damaged:load"], "cannot be imported", 2),
    (["net.pt2", "--data", "plain.npz", "--loader", "cli_models_own:absent"], "has no function 'absent'", 2),
    (["net.pt2", "--data", "plain.npz", "--loader", "cli_models_own:nothing"], "must return a fairheads.data", 2),
    (["net.pt2", "--data", "plain.npz", "--loader", "cli_models_own:fails"], "KeyError: 'plain.npz'", 1),
    (["net.pt2", *CSV, "--loader", "cli_models_own:load"], "leave `--label` out", 2),
    (["net.pt2", *CSV, "--twins", "3"], "`--twins` needs the training record", 2),
    (["bundle", *CSV, "--twins", "3"], "'bundle' has none. Train twins as it was trained", 2),
    (["net.pt2", *CSV, "--group-input", "sex"], "'sex'", 1),
]


@pytest.mark.parametrize(("words", "said", "code"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_wrong_is_said_in_a_line(
    words: list[str], said: str, code: int, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = [] if "--group-input" in words else ["--no-details"]
    done = run("audit", *words, *details, "--out", str(tmp_path / "out"))
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("Note: ", "auditing"))]
    assert (done.exit_code, len(lines), said in done.stderr) == (code, 1, True), done.output
    assert lines[0].startswith("Error: ") and not done.stdout
    assert not (tmp_path / "out").exists() and not (here / "mark").exists()


def test_columns_of_numbers_go_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def audit(model: Path, data: Dataset, **settings: Any) -> AuditReport:
        asked.update(settings, names=data.feature_names)
        raise InputError("enough")

    monkeypatch.setattr("fairheads.audit.audit", audit)
    done = run("audit", "net.pt2", *CSV, "--group-input", "c7,c0")
    assert (done.exit_code, asked["flip"], asked["names"]) == (1, ("c7", "c0"), COLUMNS), done.stderr


def test_a_report_of_another_model_or_of_other_rows_is_kept_unless_told(tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    quick = ["--no-details", "--out", str(tmp_path)]
    assert run("audit", *NET, *CSV, *quick).exit_code == 0
    first = files()
    assert run("audit", *NET, *CSV, *quick).exit_code == 0 and files() == first, "the same audit"
    other = ["5.safetensors", *NET[1:]]
    for words, says in (
        ([*other, *CSV], "is of another model (3.safetensors, other weights); choose another folder, or overwrite it"),
        ([*NET, *CSV, "--sample", "400"], "is of other rows (600 of people.csv)"),
    ):
        done = run("audit", *words, *quick)
        assert (done.exit_code, done.stdout, says in done.stderr) == (1, "", True), done.output
        assert files() == first
    assert run("audit", *other, *CSV, *quick, "--overwrite").exit_code == 0
    assert files().keys() == first.keys() and files() != first
    (tmp_path / "report.json").write_text("{}")
    assert "is no report of an audit" in run("audit", *other, *CSV, *quick).stderr


def test_the_model_is_opened_and_the_rows_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    hashed: list[Any] = []

    def counting(what: list[Any], do: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any) -> Any:
            what.append(given)
            return do(*given)

        return counted

    monkeypatch.setattr("fairheads.models.opening._file", counting(opened, opening._file))
    monkeypatch.setattr(RowRecord, "of", counting(hashed, RowRecord.of))
    words = ["audit", *NET, *CSV, "--no-details", "--out", str(tmp_path), "--list-flips", str(tmp_path / "flips.csv")]
    for _ in range(2):  # the second one compares itself with the report of the first
        opened.clear()
        hashed.clear()
        assert run(*words).exit_code == 0
        assert (len(opened), len(hashed)) == (1, 1)
    assert json.loads((tmp_path / "report.json").read_text())["model"]["name"] == "3.safetensors"


def test_columns_go_in_in_the_order_that_scikit_learn_noted(here: Path, tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io", reason="needs the extra `integrations`")
    neural = pytest.importorskip("sklearn.neural_network")
    people = pd.read_csv(here / "people.csv")
    model = neural.MLPClassifier((8,), max_iter=300, random_state=0, tol=1e-3).fit(people[[*COLUMNS]], people["hired"])
    skops.dump(model, tmp_path / "net.skops")
    people[[*COLUMNS[::-1], "hired", "side"]].to_csv(tmp_path / "other.csv", index=False)
    (tmp_path / "folder").mkdir()
    people[[*COLUMNS[::-1], "hired", "side"]].to_parquet(tmp_path / "folder" / "other.parquet", index=False)
    right = model.score(people[[*COLUMNS]], people["hired"])
    for source in ("other.csv", "folder"):
        words = ["--data", str(tmp_path / source), "--label", "hired", "--group", "side"]
        report = report_of(str(tmp_path / "net.skops"), *words)
        assert report["disparity"]["metrics"]["accuracy"]["overall"]["value"] == pytest.approx(right)
        done = run("compare", str(tmp_path / "net.skops"), "net.pt2", *words, "--format", "json")
        assert done.exit_code == 0, done.stderr
        point, _ = json.loads(done.stdout)["front"]["points"]
        assert point["accuracy"]["value"] == pytest.approx(right)
        missing = run("audit", tmp_path / "net.skops", *words, "--drop", "c0,c3")
        assert missing.exit_code == 1 and "the model was fitted on the columns c0, c1" in missing.stderr
        assert "in this order; " in missing.stderr and "lacks 'c0', 'c3'." in missing.stderr
    x = people[[*COLUMNS[::-1]]].to_numpy()
    turned = Dataset(x, people["hired"] == "yes", people["side"], feature_names=COLUMNS[::-1], name="turned")
    with pytest.raises(InputError, match="c7, in this order; turned has them in another one"):
        audit(tmp_path / "net.skops", turned)
    with pytest.raises(InputError, match=r"twin 1 was fitted on the columns c0, .*; turned has them in another one"):
        audit(small(), turned, twins=[tmp_path / "net.skops"])
    with pytest.raises(InputError, match="one was fitted on the columns"):
        compare({"one": tmp_path / "net.skops", "two": small()}, {"one": turned, "two": turned})


@pytest.mark.slow
def test_a_selftest_takes_weights_and_arrays(here: Path) -> None:
    twins = [word for seed in (5, 6, 7) for word in ("--twin", f"{seed}.safetensors")]
    words = [*NET, "--data", "rows.npz", *twins, "--strength", "1", "--intervention-rows", "300", "--format", "json"]
    done = run("selftest", *words)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["twins"] == 3 and "auditing all 600 rows of rows.npz" in done.stderr
    assert done.stderr.count("code of your own") == 4
    refused = run("selftest", "net.pt2", *words[3:5], *["--twin", "net.pt2"] * 3)
    assert (refused.exit_code, "got an exported graph" in refused.stderr) == (2, True), refused.stderr


def test_arrays_with_objects_are_not_read(here: Path) -> None:
    np.savez(here / "objects.npz", x=np.array([{}, 1], object), y=np.zeros(2), group=np.zeros(2))
    done = run("audit", "net.pt2", "--data", "objects.npz")
    assert (done.exit_code, "of objects.npz holds Python objects" in done.stderr) == (1, True)


@pytest.mark.parametrize("words", [["bundle"], NET], ids=["bundle", "factory"])
def test_who_flips_is_written_into_a_file_of_its_own(words: list[str], tmp_path: Path, own: dict[str, Any]) -> None:
    listed = tmp_path / "lists" / "flips.csv"
    report = report_of(*words, *CSV, "--list-flips", str(listed))
    assert_same(report, own)
    flips = sum(path["flips"]["n"] for path in report["pathways"].values() if path["flips"] is not None)
    head, *lines = listed.read_text().splitlines()
    assert head == "pathway,layer,row,group,before,after"
    assert len(lines) == flips
    assert "row_ids" not in json.dumps(report)
    people = pd.read_csv("people.csv")
    assert all(people["side"][int(line.split(",")[2])] == line.split(",")[3] for line in lines)
