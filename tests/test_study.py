"""The paper's study: settings, rows, resuming, the answers to the claims, and what is drawn."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fairheads.errors import ConfigError, FairheadsError, InputError
from fairheads.metrics.seeds import over_seeds
from fairheads.pathways.conditions import RULE
from fairheads.reports import load, render
from fairheads.results import PaperReport, PaperRun
from fairheads.results._paper_figures import KEPT, caption
from fairheads.study import SETTINGS, PaperSetting, paper_study
from fairheads.study.faces import celeba, fairface
from fairheads.study.gather import first, fourth, halving, points_of, second, third
from fairheads.study.rows import read_parts
from fairheads.training import Massaged
from fairheads_cli.main import fairheads

SMALL = replace(
    SETTINGS["adult"],
    learning_rate=0.01,
    widths=(8,),
    weights=(10.0,),
    penalties=("squared",),
    seeds=2,
    epochs=2,
    sample=1500,
)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PaperReport]:
    """A small study of Adult and its folder."""
    folder = tmp_path_factory.mktemp("study") / "adult"
    return folder, paper_study(SMALL, folder, jobs=1)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": "mnist"}, "`data`"),
        ({"network": "resnet"}, "`network`"),
        ({"size": 64}, "`size`"),
        ({"seeds": 0}, "`seeds`"),
        ({"weights": (0.0, 1.0)}, "`weights`"),
        ({"weights": (1.0, 1.0)}, "`weights`"),
        ({"weights": (1.0, math.nan)}, "`weights`"),
        ({"weights": (math.inf,)}, "`weights`"),
        ({"weights": (1.0000001, 1.0000002)}, "`weights`"),
        ({"penalties": ("cubed",)}, "`penalties`"),
        ({"penalties": ("squared", "squared")}, "`penalties`"),
        ({"penalties": ("absolute",)}, "squared"),
        ({"train_rows": 10}, "of images"),
        ({"sample": 1}, "`sample`"),
        ({"widths": ()}, "`widths`"),
        ({"epochs": 0}, "`epochs`"),
        ({"learning_rate": math.nan}, "`learning_rate`"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(changed: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(SETTINGS["adult"], **changed)


def test_settings_come_back_from_json_and_name_every_network_once() -> None:
    for setting in SETTINGS.values():
        assert PaperSetting.from_dict(json.loads(json.dumps(setting.to_dict()))) == setting
        names = [task.name for task in setting.tasks()]
        assert len(set(names)) == len(names) == setting.seeds * (3 + 2 * 6)
    with pytest.raises(ConfigError, match="no setting"):
        PaperSetting.from_dict({"data": "adult", "colour": "blue"})


# ---------------------------------------------------------------- a study


@pytest.mark.slow
def test_a_study_goes_on_where_it_stood_and_trains_nothing_twice(studied: tuple[Path, PaperReport]) -> None:
    folder, report = studied
    weights = {file: file.stat().st_mtime_ns for file in folder.rglob("model.safetensors")}
    assert len(weights) == 2 * 4  # unconstrained, two-headed, penalised, massaged
    (folder / "measured" / "squared-10-1.json").unlink()
    told: list[tuple[str, int, int]] = []
    again = paper_study(SMALL, folder, jobs=1, progress=lambda *step: told.append(step))
    assert again.to_json() == report.to_json()
    assert told == [("measuring", 0, 1), ("measuring", 1, 1)]
    assert weights == {file: file.stat().st_mtime_ns for file in folder.rglob("model.safetensors")}
    assert not [file for file in folder.rglob("*") if ".part" in file.name]


@pytest.mark.slow
def test_a_folder_of_something_else_is_refused_and_left_alone(
    studied: tuple[Path, PaperReport], tmp_path: Path
) -> None:
    folder, _ = studied
    with pytest.raises(ConfigError, match=r"other settings \(epochs\)"):
        paper_study(replace(SMALL, epochs=3), folder, jobs=1)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        paper_study(SMALL, tmp_path, jobs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match="`jobs`"):
        paper_study(SMALL, tmp_path / "new", jobs=0)


@pytest.mark.slow
def test_the_report_holds_what_was_measured(studied: tuple[Path, PaperReport]) -> None:
    _, report = studied
    free, *penalised = report.of("squared")
    assert free.method == "unconstrained" and [point.weight for point in penalised] == [10.0]
    assert free.values["gap"].value > penalised[0].values["gap"].value
    assert free.values["accuracy"].n == 2 and free.values["accuracy"].low is not None
    merge = next(run for run in report.runs if run.method == "merge" and run.max_gap == 0.02)
    assert merge.verdict and merge.values["b"] < 0  # men, group 1, are lowered
    assert {claim.claim for claim in report.claims} == {1, 2, 3, 4}
    assert all(0 <= run.values["agreement"] <= 1 for run in report.runs if run.method == "squared")
    run = next(run for run in report.runs if run.method == "squared")
    assert run.values["merge_minus"] == pytest.approx(run.values["merge_accuracy"] - run.values["accuracy"])


def test_figures_show_what_the_study_trained_and_the_share_that_a_verdict_calls_kept() -> None:
    whole = load(Path(__file__).parent / "studies" / "paper" / "adult.json")
    assert isinstance(whole, PaperReport)
    squared = replace(whole, points=tuple(point for point in whole.points if point.method != "absolute"))
    for of in ("accuracy", "probe", "treatment", "erasure", "retention"):
        said = [
            [text.get_text() for text in report.plot(of=of).get_legend().get_texts()] for report in (whole, squared)
        ]
        assert any("absolute" in text for text in said[0]) and not any("absolute" in text for text in said[1])
    assert RULE.retention == KEPT and f"below {KEPT:g} it counts as lost" in caption(whole, "retention")


@pytest.mark.slow
def test_saved_networks_are_models_and_the_report_is_rendered(
    studied: tuple[Path, PaperReport], tmp_path: Path
) -> None:
    folder, report = studied
    shown = CliRunner().invoke(
        fairheads, ["compare", *(str(folder / "networks" / name) for name in ("unconstrained-0", "squared-10-0")),
                    "--data", "adult", "--format", "csv"],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "squared-10-0" in shown.output
    files = {file.name for file in report.save(tmp_path)}
    assert {"paper.json", "paper.csv", "paper.md", "paper.html", "paper-accuracy.png", "paper-retention.png"} <= files
    back = load(tmp_path / "paper.json")
    assert isinstance(back, PaperReport) and back.to_json() == report.to_json()
    for form in ("text", "md", "html", "csv"):
        assert ("squared" if form == "csv" else "unconstrained") in render(back, form)
    assert len(report.to_frame()) == len(report.runs)
    assert all(len(line) <= 100 for line in report.summary().splitlines()[:-1])
    with pytest.raises(ConfigError, match="`of`"):
        report.plot(of="nothing")
    with pytest.raises(ConfigError, match="`formats`"):
        report.save(tmp_path, ["doc"])


@pytest.mark.slow
def test_worker_processes_measure_the_same(studied: tuple[Path, PaperReport], tmp_path: Path) -> None:
    _, report = studied
    apart = paper_study(SMALL, tmp_path / "apart", jobs=2)
    assert apart.to_json() == report.to_json()


@pytest.mark.slow
def test_the_command_runs_a_study(tmp_path: Path) -> None:
    out = tmp_path / "study"
    options = ["study", "paper", "--data", "adult", "--weights", "10", "--penalties", "squared", "--seeds", "2"]
    options += ["--epochs", "1", "--intervention-rows", "500", "--jobs", "1", "--out", str(out)]
    done = CliRunner().invoke(fairheads, options)
    assert done.exit_code == 0, done.output
    report = load(out / "paper.json")
    assert isinstance(report, PaperReport) and report.setting["epochs"] == 1 and len(report.of("squared")) == 2
    for changed, said in ((["--epochs", "2"], "epochs"), (["--source", str(tmp_path)], "no source")):
        wrong = CliRunner().invoke(fairheads, [*options, *changed], standalone_mode=False)
        assert isinstance(wrong.exception, FairheadsError) and said in str(wrong.exception)


def test_the_command_asks_for_the_source(tmp_path: Path) -> None:
    wrong = CliRunner().invoke(fairheads, ["study", "paper", "--data", "compas", "--out", str(tmp_path / "none")])
    assert isinstance(wrong.exception, InputError) and not (tmp_path / "none").exists()


def compas(folder: Path, n: int = 400) -> Path:
    """A table of ProPublica's form."""
    rng = np.random.default_rng(0)
    lines = ["sex,age,race,juv_fel_count,juv_misd_count,juv_other_count,priors_count,c_charge_degree,two_year_recid"]
    races = ["African-American", "Caucasian", "Other"]
    lines += [
        f"{rng.choice(['Male', 'Female'])},{rng.integers(18, 70)},{rng.choice(races)},"
        f"0,{rng.integers(0, 3)},0,{rng.integers(0, 20)},{rng.choice(['F', 'M'])},{rng.integers(0, 2)}"
        for _ in range(n)
    ]
    file = folder / "compas.csv"
    file.write_text("\n".join(lines))
    return file


@pytest.mark.slow
def test_other_rows_are_another_study_and_a_worker_that_fails_is_told(tmp_path: Path) -> None:
    small = replace(
        SETTINGS["compas"], widths=(4,), weights=(10.0,), penalties=("squared",), seeds=2, epochs=1, sample=100
    )
    file = compas(tmp_path)
    paper_study(small, tmp_path / "study", source=file, jobs=1)
    compas(tmp_path, 450)
    with pytest.raises(ConfigError, match=r"other settings \(rows\)"):
        paper_study(small, tmp_path / "study", source=file, jobs=1)
    compas(tmp_path)
    scores = tmp_path / "study" / "scores" / "two-headed-0.npy"
    scores.write_bytes(b"damaged")
    for kept in (tmp_path / "study" / "measured").iterdir():
        kept.unlink()
    with pytest.raises(FairheadsError, match=r"measuring, \S+: "):
        paper_study(small, tmp_path / "study", source=file, jobs=2)


# ---------------------------------------------------------------- the claims


def runs_of(changes: dict[str, float], verdict: str = "compensating_head", noise: float = 0.002) -> list[PaperRun]:
    """Five seeds without and with a penalty; the second less the first are ``changes``."""
    rng = np.random.default_rng(0)
    base = {"accuracy": 0.85, "gap": 0.2, "validation_gap": 0.2, "probe_auc": 0.8, "equal_merit": 0.0, "swap": 0.0}
    runs = []
    for seed in range(5):
        free = {name: value + noise * rng.normal() for name, value in base.items()}
        new = {name: free.get(name, 0.0) + change + noise * rng.normal() for name, change in changes.items()}
        runs.append(PaperRun(method="unconstrained", seed=seed, values=free, verdict="neutral"))
        runs.append(PaperRun(method="squared", weight=5.0, seed=seed, values={**free, **new}, verdict=verdict))
    return runs


HOLDING = {
    "gap": -0.15, "validation_gap": -0.15, "probe_auc": 0.05, "equal_merit": 0.5, "swap": 0.3,
    "agreement": 0.95, "over_floor": 0.1, "ceiling": 0.97, "cost": 0.03, "gained": 0.02, "by_head": 0.01,
}  # fmt: skip


@pytest.mark.parametrize("claim", [first, second, third, fourth])
def test_a_claim_holds_where_everything_says_so(claim) -> None:  # type: ignore[no-untyped-def]
    assert claim(runs_of(HOLDING), 5.0).holds == "holds"


@pytest.mark.parametrize(
    ("claim", "changed", "verdict", "answer"),
    [
        (first, {"probe_auc": -0.05}, "neutral", "does not hold"),
        (first, {"probe_auc": 0.0}, "neutral", "undecided"),
        (second, {"agreement": 0.8}, "neutral", "does not hold"),
        (second, {"over_floor": 0.0}, "neutral", "undecided"),
        (second, {"over_floor": -0.1}, "neutral", "does not hold"),
        (third, {"by_head": -0.01}, "neutral", "does not hold"),
        (third, {"cost": 0.0}, "neutral", "undecided"),
        (third, {"gained": 0.005}, "neutral", "does not hold"),
        (third, {"gained": 0.0152}, "neutral", "undecided"),
        (fourth, {}, "neutral", "does not hold"),
        (fourth, {}, "inconclusive", "undecided"),
        (fourth, {"equal_merit": -0.2}, "compensating_head", "does not hold"),
        (fourth, {"equal_merit": 0.0}, "compensating_head", "undecided"),
    ],
)
def test_a_claim_does_not_hold_where_something_is_missing(claim, changed, verdict, answer) -> None:  # type: ignore[no-untyped-def]
    assert claim(runs_of({**HOLDING, **changed}, verdict), 5.0).holds == answer


def test_claims_are_asked_at_the_weight_that_halves_the_gap() -> None:
    runs = runs_of({"validation_gap": -0.15})
    assert halving(points_of(runs)) == 5.0
    weaker = [
        replace(run, weight=1.0, values={**run.values, "validation_gap": 0.15})
        for run in runs
        if run.method == "squared"
    ]
    assert halving(points_of([*runs, *weaker])) == 5.0
    assert halving(points_of([run for run in runs if run.method == "unconstrained"] + weaker)) == 1.0


def test_a_claim_is_undecided_where_networks_are_missing() -> None:
    runs = runs_of(HOLDING)
    alike = {"agreement": math.nan, "over_floor": math.nan, "by_head": math.nan}
    runs[1] = replace(runs[1], values={**runs[1].values, **alike})
    for claim in (second, third):
        assert claim(runs, 5.0).holds == "undecided"
        assert "4 of 5 seeds" in claim(runs, 5.0).because


def test_ceilings_have_no_interval_for_their_seeds_share_pairs() -> None:
    point = points_of(runs_of(HOLDING))[1]
    assert point.values["ceiling"].low is None and point.values["agreement"].low is not None


def test_intervals_over_seeds_hold_the_mean() -> None:
    rng = np.random.default_rng(0)
    found = [over_seeds(rng.normal(0.3, 0.1, 5).tolist()) for _ in range(2000)]
    held = np.mean([number.low <= 0.3 <= number.high for number in found])  # type: ignore[operator]
    assert 0.935 < held < 0.965
    assert over_seeds([0.99, 1.0, 0.98], within=(0.0, 1.0)).high == 1.0
    assert over_seeds([0.5]).low is None and over_seeds([0.5, math.nan]).n == 1
    assert "no seed" in str(over_seeds([math.nan]).reason)


# ---------------------------------------------------------------- faces


def _image(path: Path, shade: int) -> None:
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", (8, 8), (shade, shade, shade)).save(path)


def _fairface(folder: Path, n: int = 20) -> None:
    for part in ("train", "val"):
        lines = ["file,age,gender,race"]
        for i in range(n):
            _image(folder / part / f"{i}.jpg", 10 * i)
            lines.append(f"{part}/{i}.jpg,{('20-29', 'more than 70')[i % 2]},{('Female', 'Male')[i % 3 > 0]},x")
        (folder / f"fairface_label_{part}.csv").write_text("\n".join(lines))


def test_fairface_is_read_as_published(tmp_path: Path) -> None:
    _fairface(tmp_path)
    setting = replace(SETTINGS["fairface"], size=8, train_rows=10, validation_rows=0)
    parts = read_parts(setting, tmp_path)
    assert parts.sizes == {"train": 10, "validation": 4, "test": 20}
    assert parts.test.y.tolist() == [0, 1] * 10 and parts.test.group_names == ("Female", "Male")
    shades = parts.test.inputs["x"][:, 0, 0, 0]
    assert np.allclose(shades, (np.arange(20) * 10 / 255 - 0.5) / 0.5, atol=0.03)
    assert set(parts.train.row_id) & set(parts.validation.row_id) == set()
    (tmp_path / "fairface_label_val.csv").write_text("file,gender\n")
    with pytest.raises(InputError, match="'age'"):
        fairface(tmp_path)
    (tmp_path / "fairface_label_val.csv").unlink()
    with pytest.raises(InputError, match="must hold one file"):
        fairface(tmp_path)


@pytest.mark.parametrize("kind", ["txt", "csv"])
def test_celeba_is_read_as_published(tmp_path: Path, kind: str) -> None:
    names = [f"{i:06}.jpg" for i in range(6)]
    for i, name in enumerate(names):
        _image(tmp_path / "img_align_celeba" / name, 40 * i)
    smiling, male = [1, -1, 1, -1, 1, -1], [1, 1, -1, -1, 1, 1]
    if kind == "txt":
        rows = [f"{n} {s:2} {m:2}" for n, s, m in zip(names, smiling, male, strict=True)]
        (tmp_path / "list_attr_celeba.txt").write_text("\n".join(["6", "Smiling Male", *rows]))
        (tmp_path / "list_eval_partition.txt").write_text("\n".join(f"{n} {i // 2}" for i, n in enumerate(names)))
    else:
        rows = [f"{n},{s},{m}" for n, s, m in zip(names, smiling, male, strict=True)]
        (tmp_path / "list_attr_celeba.csv").write_text("\n".join(["image_id,Smiling,Male", *rows]))
        splits = ["image_id,partition", *(f"{n},{i // 2}" for i, n in enumerate(names))]
        (tmp_path / "list_eval_partition.csv").write_text("\n".join(splits))
    parts = read_parts(replace(SETTINGS["celeba"], size=8), tmp_path)
    assert parts.sizes == {"train": 2, "validation": 2, "test": 2}
    assert parts.train.y.tolist() == [1, 0] and parts.validation.group.tolist() == [0, 0]  # type: ignore[union-attr]
    assert parts.test.group_names == ("Female", "Male") and parts.test.group.tolist() == [1, 1]
    (tmp_path / f"list_eval_partition.{kind}").write_text("image_id,partition\n1.jpg,0\n")
    with pytest.raises(InputError):
        celeba(tmp_path)


def test_what_is_not_in_the_package_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\(`source`, --source\)"):
        read_parts(SETTINGS["compas"], None)
    with pytest.raises(InputError, match="no file or folder"):
        read_parts(SETTINGS["compas"], tmp_path / "none")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="ProPublica"):
        read_parts(SETTINGS["compas"], tmp_path / "other.csv")


def test_massaging_follows_a_score_of_ones_own() -> None:
    from fairheads.data import Dataset

    rows = Dataset(np.zeros((8, 1)), [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1])
    score = np.array([4.0, 3, 2, 1, 1, 2, 3, 4])
    assert Massaged().labels(rows, score).tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    with pytest.raises(InputError, match="`score`"):
        Massaged().labels(rows, score[:3])


@pytest.mark.slow
@pytest.mark.shared_data
def test_faces_are_studied_with_a_small_residual_network(shared_data: Path, tmp_path: Path) -> None:
    setting = replace(
        SETTINGS["fairface"], train_rows=1500, validation_rows=500, test_rows=1000, widths=(8, 16), epochs=1,
        weights=(10.0,), penalties=("absolute", "squared"), seeds=2, sample=600,
    )  # fmt: skip
    report = paper_study(setting, tmp_path / "faces", source=shared_data / "fairface", jobs=1)
    assert {run.method for run in report.runs} == {
        "unconstrained", "squared", "absolute", "massaging", "merge", "thresholds",
    }  # fmt: skip
    assert all(run.verdict for run in report.runs if run.method in ("unconstrained", "squared", "massaging"))
    assert all(math.isfinite(run.values["accuracy"]) for run in report.runs if "accuracy" in run.values)
