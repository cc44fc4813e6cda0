"""README: its Python runs, its commands exist, and its map names the rooms there are."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest

from fairheads_cli.main import fairheads

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.mark.slow
def test_the_python_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    audits, loop, heads, counts = blocks("python")
    assert len([line for line in audits.splitlines() if line and not line.startswith(("from", "import"))]) <= 10
    exec(compile(audits, "README.md", "exec"), {})
    assert "compensating_head" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["report.html", "report.json", "report.md"]
    exec(compile(loop, "README.md", "exec"), made := {})
    assert [reading.step for reading in made["monitor"].history] == [100, 200, 300, 400]
    assert float(made["objective"].multipliers.max()) > 0
    exec(compile(heads, "README.md", "exec"), merged := {})
    assert merged["chosen"].bound <= 0.05 and type(merged["single"]) is type(merged["net"])
    capsys.readouterr()
    rng = np.random.default_rng(0)
    table = {"hired": rng.integers(0, 2, 900), "offer": rng.integers(0, 2, 900), "p": rng.random(900)}
    table |= {"sex": rng.choice(["F", "M"], 900), "race": rng.choice(["x", "y", "z"], 900)}
    pd.DataFrame(table).to_csv("decisions.csv", index=False)
    names: dict[str, object] = {}
    exec(compile(counts, "README.md", "exec"), names)
    assert "M, z" in capsys.readouterr().out
    assert list(names["frame"].by_group.index.names) == ["sex", "race"]


def test_every_command_and_option_exists() -> None:
    commands = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    ours = [shlex.split(line, comments=True) for line in commands if line.startswith("fairheads ")]
    assert len(ours) >= 4
    for _, name, *words in ours:
        command = fairheads.commands[name]
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        options = {opt for param in command.params for opt in param.opts}
        assert {word for word in words if word.startswith("--")} <= options, name
        assert isinstance(command, click.Command)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert {"demo", "test"} <= set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.M)) <= targets


def test_the_map_names_every_room() -> None:
    rooms = {p.stem for p in (ROOT / "fairheads").iterdir() if p.stem[0] != "_" and p.suffix in ("", ".py")} - {"py"}
    assert rooms <= set(re.findall(r"\| `([a-z]+)` \|", README))


def test_every_file_it_points_at_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_study_says_what_the_readme_says() -> None:
    study = json.loads((ROOT / "tests/studies/adult_verdicts.json").read_text())
    rows = study["runs"]

    def counted(kind: str, verdict: str, epochs: int | None = None, key: str = "sample_20000") -> str:
        some = [row for row in rows if row["kind"] == kind and epochs in (None, row["epochs"])]
        said = [row[key] if key == "without_twins" else row[key]["verdict"] for row in some]
        return f"{said.count(verdict)} of {len(said)}"

    for kind, name in (
        ("unconstrained", "unconstrained"),
        ("constrained", "demographic-parity penalty"),
        ("merged", "two heads, merged"),
        ("half merged", "two heads, half of that merge"),
    ):
        (line,) = re.findall(rf"^\| {name} \|(.*)\|$", README, flags=re.M)
        cells = [re.sub(r" `.*", "", cell.strip()) for cell in line.split("|")]
        heads = [counted(kind, "compensating_head", epochs) for epochs in (8, 30)]
        assert cells == [*heads, counted(kind, "consistent_with_compensating_head", key="without_twins")]
    neutral = counted("unconstrained", "neutral").split()[0]
    assert f"Of the 20 unconstrained networks {neutral} were shown to be neutral" in README
    on_few = {
        kind: counted(kind, verdict, key="sample_5000").replace(" of ", " of the ")
        for kind, verdict in (("unconstrained", "neutral"), ("half merged", "compensating_head"))
    }
    found = [row["sample_5000"]["verdict"] for row in rows if row["kind"] in ("constrained", "merged")]
    assert (
        f"heads were found in {found.count('compensating_head')} of the {len(found)} constrained and merged networks,"
        f" in {on_few['half merged']} merged by half, and {on_few['unconstrained']} unconstrained ones were neutral"
    ) in README.replace("\n", " ")


def test_the_picture_is_there() -> None:
    picture = (ROOT / "notebooks/figures/report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000


def test_the_coverage_study_says_what_the_readme_says() -> None:
    study = json.loads((ROOT / "tests/studies/coverage.json").read_text())
    rows = [dict(zip(study["columns"], row, strict=True)) for row in study["rows"]]
    rates = {"selection_rate", "true_positive_rate", "positive_predictive_value", "accuracy"}
    assert (
        min(row["draws"] for row in rows if row["metric"] == "selection_rate" and row["interval"] == "gap of 0") >= 2000
    )

    def covered(*intervals: str) -> str:
        some = [
            row["coverage"]
            for row in rows
            if row["weights"] == "none" and row["metric"] in rates and row["interval"] in intervals
            if row["information"] >= 5 and row["draws"] >= 1000
        ]
        return f"{min(some):.3f} to {max(some):.3f}".replace("0.", ".")

    for name, *intervals in (
        ("of a rate", "value"),
        ("of a difference or ratio", "difference", "ratio", "against everybody"),
        ("of the largest gap", "gap of 0"),
    ):
        (line,) = re.findall(rf"^\| {name} \|(.*)\|$", README, flags=re.M)
        assert line.split("|")[-1].strip() == covered(*intervals)


def test_the_study_of_fronts_says_what_the_readme_says() -> None:
    study = json.loads((ROOT / "tests/studies/fronts.json").read_text())
    for (data, method), found in ((key.split(", ", 1), found) for key, found in study["tolerance"].items()):
        name = {"adult": "Adult", "compas": "COMPAS"}[data]
        gap = {"Lagrangian, DP": "demographic parity", "Lagrangian, EO": "equalized odds"}[method]
        met = f"{found['interval_reaches_tolerance']} of {found['seeds']}"
        assert f"| {name}, {gap} | {met} | {np.mean(found['gaps']):.3f} |".replace("| 0.", "| .") in README
    peers = study["peers"]
    assert f"two exceptions of {len(peers)}" in README
    beyond = {
        (row["data"], row["gap"], row["method"])
        for row in peers
        # A decision that is the same for everybody has no gap, and half the settings of AdversarialFairness end there.
        if "AdversarialFairness" not in row["method"]
        and (row["shortfall_near"] is None or row["shortfall_near"] > 0.005)
    }
    assert beyond == {
        ("compas", "equalized_odds", "Fairlearn ThresholdOptimizer, EO"),
        ("compas", "equalized_odds", "OxonFair, EO"),
    }


def test_the_studies_of_two_heads_say_what_the_readme_says() -> None:
    found = json.loads((ROOT / "tests/studies/two_heads.json").read_text())
    names = {"adult": "Adult, sex", "compas": "COMPAS, race"}
    rows = {line.split(" | ")[0]: line.strip("| ").split(" | ")[1:] for line in README.splitlines() if "|" in line}
    checked = 0
    for one, other in zip(found["approximates"], found["recovers"], strict=True):
        if one["data"] in names:
            told = [one[key] for key in ("floor", "agreement", "ceiling")]
            kinds = ("constrained", "offset_only", "recovered", "unconstrained")
            told += [other[f"{kind}_accuracy"] for kind in kinds]
            row = rows[f"| {names[one['data']]}, {one['weight']:g}"]
            assert row == [f"{number['mean']:.3f}"[1:] for number in told], one
            checked += 1
    assert checked == 6
    margins = json.loads((ROOT / "tests/studies/margins.json").read_text())["populations"].values()
    for n in ("1,000 rows", "20,000 rows"):
        for rule in ("certified", "point", *(["oxonfair"] if n == "1,000 rows" else [])):
            one, other = (population[n][rule]["violated"] for population in margins)
            assert re.search(rf"{one} and {other}(?: of 200)? \|", README), (n, rule)
    assert [population["1,000 rows"]["refused at 0.02"] for population in margins] == [200, 200]
    assert all(population[n]["certified"]["violated"] <= 10 for population in margins for n in population)


def test_the_papers_study_says_what_the_readme_says() -> None:
    spec = importlib.util.spec_from_file_location("paper", ROOT / "tests/studies/paper.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(study := importlib.util.module_from_spec(spec))
    reports = study.kept()
    assert len(reports) >= 2
    for line in study.table(reports):
        assert line in README, line
    for name in study.SHOWN:
        assert f"notebooks/figures/{name}.png" in README
    heaviest = {data: report.of("squared")[-1] for data, report in reports.items()}
    told = {data: {name: number.value for name, number in point.values.items()} for data, point in heaviest.items()}
    assert round(told["compas"]["retention"], 2) == 0.63 and heaviest["compas"].verdicts == {"head_or_suppression": 5}
    faces = told["fairface"]
    assert [round(faces[name], 2) for name in ("retention", "agreement", "ceiling")] == [0.82, 0.76, 0.81]
    assert format(heaviest["fairface"].values["merge_minus"], ".3f") == "0.041 [0.040, 0.043]"
    assert heaviest["fairface"].verdicts["suppression"] == 4
    merges = next(p for p in reports["fairface"].of("merge") if p.verdicts)
    assert merges.verdicts["compensating_head"] == 4
    absolute = {point.weight: point.values for point in reports["fairface"].of("absolute")}
    assert {values["selection_rate"].value for weight, values in absolute.items() if weight >= 5} == {0}
    assert round(float(np.mean([v["probe_auc"].value for w, v in absolute.items() if w >= 5])), 2) == 0.64


TRUTHS = {
    "no head": "no head",
    "whole head": "head at parity",
    "half head": "half of that",
    "a quarter head": "a quarter of that",
    "aligned": "head along the gap",
    "suppression": "merit left out",
    "routed": "separate pathways",
    "hard to decide": "hard to decide",
}
"""What the calibration study and the README call the same networks."""


def calibrated() -> Any:
    return json.loads((ROOT / "tests/studies/calibration.json").read_text())


@pytest.mark.parametrize(("kind", "prefix"), [("table", ""), ("image", "images: "), ("tokens", "texts: ")])
def test_the_table_of_the_calibration_study_is_the_readmes(kind: str, prefix: str) -> None:
    rows = calibrated()[kind]["summary"]
    for truth, row in rows.items():
        (line,) = re.findall(rf"^\| {prefix}{TRUTHS[truth]}, \d+ class(?:es)? \|(.*)\|$", README, flags=re.M)
        said = ("compensating head", "suppression, or either", "aligned use", "neutral", "undecided")
        assert [int(cell) for cell in line.split("|")] == [row["networks"], *(row[word]["count"] for word in said)]


def test_the_calibration_study_says_what_the_readme_says() -> None:
    study, text = calibrated(), README.replace("\n", " ")

    def of(found: dict[str, Any]) -> str:
        return f"{found['count']} of {found['n']}"

    def between(keys: str) -> str:
        shares = [
            table[key]["share"]
            for tables in study["bounds"]["coverage"].values()
            for table in tables.values()
            for key in table
            if key.endswith(keys)
        ]
        return f"{min(shares):.2f} to {max(shares):.2f}"

    alike, bounds, summary = (
        study["table"]["correlation with the true effect"],
        study["bounds"],
        study["table"]["summary"],
    )
    without, odd = (
        "consistent, without twins",
        study["table"]["rules"]["odd seeds"]["and absence shown at the last layer: the rule"],
    )
    parts = study["parts"]["parts"]
    planted = [part for part in parts.values() if "layer named that was planted" in part]
    units, found, layers = (
        {word: sum(part[key][word] for part in planted) for word in ("count", "n")}
        for key in ("units named that were planted", "planted units that are named", "layer named that was planted")
    )
    others = [part["routed"] for name, part in parts.items() if name != "routed_heads"]
    since = {
        kind: study[kind]["since the rule was settled"]["no head"]["compensating head"] for kind in ("image", "tokens")
    }
    fresh = study["later tables"]["summary"]
    both = [bench["classes"] for bench in (study["table"], study["later tables"])]
    nulls = [name for name, row in both[0].items() if row["truth"] == "no head"]
    heads = {name: sum(classes[name]["compensating head"]["count"] for classes in both) for name in nulls}
    assert max(heads, key=heads.__getitem__) == "weak", "of which README speaks"
    every = {sum(classes[name]["n"] for classes in both) for name in nulls}
    assert sum(each["count"] for each in others) == parts["merged_head"]["routed"]["count"]
    for said in (
        f"{study['table']['data sets']} independent data sets of tables",
        f"{study['image']['data sets']} of images and {study['tokens']['data sets']} of texts",
        f"correlates {alike['swap, largest']:.2f} with the true effect",
        f"the probe of the group {alike['probe_auc, last layer']:.2f}",
        f"Without twins {of(summary['no head'][without])} networks without a head",
        f"and {of(summary['whole head'][without])} heads at parity",
        f"twice the margin was found in {of(bounds['classes']['effect of two margins']['compensating head'])}",
        f"one at the margin in {of(bounds['classes']['effect at the margin']['compensating head'])}",
        f"in {between(', alone')} of places, all places of a network together in {between('of a network')}",
        f"planted heads {of(units)} were planted, and {of(found)} planted ones",
        f"named in {of(layers)}",
        f"routed pathways were seen in {of(parts['routed_heads']['routed'])} networks that have them and in"
        f" {sum(each['count'] for each in others)} of {sum(each['n'] for each in others)} others",
        f"on images {of(study['image']['classes']['auxiliary']['undecided'])} networks",
        f"on texts {of(study['tokens']['classes']['residual_inputs']['undecided'])} that were trained on inputs",
        f"run since, {of(since['image'])} and {of(since['tokens'])} networks without a head",
        f"On {study['later tables']['data sets']} tables more, drawn when the rule had been settled",
        f"{of(fresh['no head']['compensating head'])} networks without a head were found to have one",
        f"{of(fresh['no head']['undecided'])} were undecided",
        f"{of(fresh['whole head']['compensating head'])} heads at parity",
        f"{of(fresh['half head']['compensating head'])} halves",
        f"{of(fresh['suppression']['suppression, or either'])} networks whose merit was left out",
        f"at most {max(heads.values())} of {', '.join(map(str, sorted(every)))} in any class without a head",
        f"on odd seeds alone {odd['false heads']['count']} of {odd['false heads']['n']} networks without a head",
    ):
        assert said in text, said


def test_the_limits_of_the_verdict_are_those_that_were_measured() -> None:
    study, text = calibrated(), README.replace("\n", " ")

    def said(benches: Sequence[str], classes: Sequence[str], word: str) -> tuple[int, int]:
        rows = [study[bench]["classes"][name] for bench in benches for name in classes]
        return sum(row["verdicts"].get(word, 0) for row in rows), sum(row["n"] for row in rows)

    wide, parity = ("gap 1.5", "gap 2.5"), ("parity_penalty", "merged_head")
    head, either = "compensating_head", "head_or_suppression"
    mild = [f"no proxy, weight {weight}" for weight in ("0.5", "1", "2")]

    def of(*asked: Any) -> str:
        return "{} of {}".format(*said(*asked))

    for words in (
        f"differ by .30, {of(['gap 1'], parity, head)} heads at parity are `compensating_head` and"
        f" {said(['gap 1'], parity, either)[0]} `head_or_suppression`",
        f"differ by .39 and .48 all {said(wide, parity, either)[0]} are that",
        f"Half of the merge is found in {of(('gap 1', *wide), ['half a merge'], head)} there, and in"
        f" {of(['gap 0.3'], ['half a merge'], head)} where base rates differ by .10",
        f"stay `neutral` in {of(('gap 0.3', 'gap 1', 'gap 1.5'), ['unconstrained'], 'neutral')}, at .48 undecided in"
        f" {of(['gap 2.5'], ['unconstrained'], 'inconclusive')}",
        f"leave {of(['no proxy'], mild, 'neutral')} networks `neutral` and"
        f" {said(['no proxy'], mild, 'inconclusive')[0]} undecided",
        f"one of 3 makes {of(['no proxy'], ['no proxy, weight 3'], head)} `compensating_head` and"
        f" {said(['no proxy'], ['no proxy, weight 3'], 'inconclusive')[0]} undecided",
        f"one of 10 makes {of(['no proxy'], ['no proxy, weight 10'], either)} `head_or_suppression`",
    ):
        assert words in text, words


def test_the_study_of_biased_labels_says_what_the_readme_says() -> None:
    study = json.loads((ROOT / "tests/studies/real_verdicts.json").read_text())
    for audited, unconstrained in (("as recorded", "neutral"), ("labels flipped", "inconclusive")):
        for network, verdict in (("unconstrained", unconstrained), ("constrained", "compensating_head")):
            assert study["summary"][f"adult, sex: Female beside Male, {network}, {audited}"] == {verdict: 5}
    for network, verdict in (("unconstrained", "neutral"), ("constrained", "compensating_head")):
        assert study["summary"][f"adult, sex: Female beside Male, {network}, sampled by outcome"] == {verdict: 5}
    for network in ("constrained", "unconstrained"):
        faces = study["summary"][f"fairface, gender: Female beside Male, {network}, as recorded"]
        assert faces == {"inconclusive": 3, "neutral": 2}
    gaps = {
        network: np.mean([r["gap"] for r in study["runs"] if r["data"][:8] == "fairface" and r["network"] == network])
        for network in ("unconstrained", "constrained")
    }
    assert [round(float(gap), 2) for gap in gaps.values()] == [0.21, 0.07]
    flipped = [
        max(effect[0] for effect in run["groups"][0]["swap"].values())
        for run in study["runs"]
        if run["data"] == "adult, sex" and (run["network"], run["audited"]) == ("unconstrained", "labels flipped")
    ]
    text = README.replace("\n", " ")
    assert f"swap effects of {min(flipped):.2f} to {max(flipped):.2f}" in text
    race = {
        kind: [
            g for run in study["runs"] if (run["data"], run["network"]) == ("adult, race", kind) for g in run["groups"]
        ]
        for kind in ("unconstrained", "constrained")
    }
    open_ = [f"{[g['verdict'] for g in found].count('inconclusive')} of {len(found)}" for found in race.values()]
    assert f"{open_[0]} verdicts on five unconstrained networks and {open_[1]} on five constrained ones" in text
    compas = "compas, race: Caucasian beside African-American, {}, as recorded"
    assert study["summary"][compas.format("constrained")] == {"head_or_suppression": 5}
    assert study["summary"][compas.format("unconstrained")] == {"inconclusive": 5}
    kept = [
        run["groups"][0]["retention"][0]
        for run in study["runs"]
        if (run["data"], run["network"]) == ("compas, race", "constrained")
    ]
    assert f"they keep {min(kept):.2f} to {max(kept):.2f} of their twins' ranking".replace("0.", ".") in text


def test_what_rows_and_proxies_cost_is_what_was_measured() -> None:
    study, text = calibrated(), README.replace("\n", " ")
    by_rows, by_proxy = (("500 rows", "1000 rows", "2000 rows", "20000 rows"), ("proxy 0.5", "proxy 0.75"))
    strong, parity = ("proxy 1.5", "proxy 2"), ("parity_penalty", "merged_head")

    def said(bench: str, word: str, *classes: str) -> int:
        return sum(study[bench]["classes"][name]["verdicts"].get(word, 0) for name in classes)

    def every(word: str, *classes: str) -> str:
        benches = (*by_proxy, *strong)
        n = sum(study[bench]["classes"][name]["n"] for bench in benches for name in classes)
        return f"{sum(said(bench, word, *classes) for bench in benches)} of {n}"

    head, either = "compensating_head", "head_or_suppression"
    assert {study[bench]["data sets"] for bench in (*by_rows, *by_proxy, *strong)} == {40}
    assert not any(said(bench, head, "unconstrained") for bench in (*by_rows, *by_proxy, *strong))
    assert all(said(b, "neutral", "unconstrained") + said(b, "inconclusive", "unconstrained") == 40 for b in by_rows)
    few, some, more, many = (said(bench, "neutral", "unconstrained") for bench in by_rows)
    heads, halves = ([said(bench, head, *names) for bench in by_rows] for names in (parity, ("half a merge",)))
    for words in (
        f"of 40 ordinary networks {few} are `neutral` on 500 audited rows, {some} on 1,000, {more} on 2,000 and {many}",
        "Of 80 heads at parity {}, {}, {} and {} are found".format(*heads),
        "of 40 halves of the merge {}, {}, {} and {}.".format(*halves),
        f"{said('proxy 0.5', head, *parity)} of 80 heads at parity are `compensating_head` and"
        f" {said('proxy 0.5', either, *parity)} `head_or_suppression`",
        f"at .75 they are {said('proxy 0.75', head, *parity)} and {said('proxy 0.75', either, *parity)},",
        f"at 1.5 and 2 all {sum(said(bench, head, *parity) for bench in strong)} are found",
        f"Half of the merge is found in {every(head, 'half a merge')} there",
        f"{every('neutral', 'unconstrained')} ordinary networks are `neutral`",
    ):
        assert words in text, words
    assert sum(said(bench, head, *parity) for bench in strong) == 160
