"""The self-test: planted heads are found, nothing else is, and what is counted is what an audit says."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP
from fairheads.pathways import analyze_pathways
from fairheads.planted import Recipe, Setting, World, parity_strength, twins_of
from fairheads.planted.truth import scores
from fairheads.reports import load, render
from fairheads.results import Number, SelftestClass, SelftestReport, undefined
from fairheads.selftest import selftest
from fairheads.selftest.plants import Ground, estimate_for, merge_in, units_in, unused_units

pytestmark = pytest.mark.slow  # dozens of audits

ROWS, TWINS, LAYERS = 2500, 4, ("backbone.3",)


def small(data: Dataset, seed: int) -> nn.Module:
    return MLP(data.inputs["x"].shape[1], hidden=(16, 16), seed=seed)


RECIPE = Recipe(network=small)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.drawn(World(), ROWS, seed=2, recipe=RECIPE)


@pytest.fixture(scope="module")
def twins(setting: Setting) -> tuple[nn.Module, ...]:
    return twins_of(setting, TWINS)


@pytest.fixture(scope="module")
def audited(setting: Setting) -> Dataset:
    return setting.audit_rows(ROWS)


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int]]:
    """What progress was told."""
    return []


@pytest.fixture(scope="module")
def report(
    setting: Setting, twins: tuple[nn.Module, ...], audited: Dataset, told: list[tuple[int, int]]
) -> SelftestReport:
    return selftest(
        setting.unconstrained,
        audited,
        twins=twins,
        train_data=setting.rows,
        strengths=(0.5, 0.05),
        layers=LAYERS,
        progress=lambda done, total: told.append((done, total)),
    )


@pytest.fixture(scope="module")
def ground(setting: Setting) -> Ground:
    return Ground(setting.rows, "B", "A")


def by_name(report: SelftestReport, name: str) -> tuple[SelftestClass, ...]:
    return tuple(each for each in report.classes if each.name == name)


def test_strong_heads_are_found_and_faint_ones_are_not(report: SelftestReport) -> None:
    assert report.planted == ("MERGE", "PLANT")
    for name in report.planted:
        faint, strong = report.of(name)
        assert (faint.strength, strong.strength) == (0.05, 0.5)
        assert strong.heads == strong.n == TWINS
        assert faint.heads < TWINS
        assert faint.mean_added < report.margin < strong.mean_added
        assert report.smallest(name) == strong


def test_it_does_not_cry_wolf(report: SelftestReport) -> None:
    assert [each.name for each in report.classes if not each.head] == ["U", "UNUSED", "PERM"]
    assert report.nulls == TWINS + TWINS + TWINS + 1
    assert report.false_heads == 0
    assert report.verdict in ("neutral", "inconclusive")


def test_it_says_what_an_audit_says(
    setting: Setting, twins: tuple[nn.Module, ...], audited: Dataset, ground: Ground
) -> None:
    def verdict(net: nn.Module, others: Sequence[nn.Module]) -> str:
        found = analyze_pathways(
            net, audited, twins=others, train_data=setting.rows, layers=LAYERS, sample=1200, details=False
        )
        return found["B"].verdict

    report = selftest(
        setting.unconstrained,
        audited,
        twins=twins[:3],
        train_data=setting.rows,
        strengths=(0.5,),
        layers=LAYERS,
        sample=1200,
    )
    assert report.n == 1200
    assert report.verdict == verdict(setting.unconstrained, twins[:3])
    left = [(twins[i], [twins[j] for j in range(3) if j != i]) for i in range(3)]
    for name, said in (
        ("MERGE", [verdict(merge_in(twin, ground)(0.5), others) for twin, others in left]),
        ("U", [verdict(twin, others) for twin, others in left]),
    ):
        assert by_name(report, name)[0].verdicts == {word: said.count(word) for word in sorted(said)}


def test_counts_and_intervals_add_up(report: SelftestReport, told: list[tuple[int, int]]) -> None:
    for each in report.classes:
        assert sum(each.verdicts.values()) == each.n == each.heads + each.suspected + each.denied + each.undecided
        assert sum(each.reasons.values()) == each.n - each.heads
        assert len(each.added) == (each.n if each.head else 0)
    all_found = by_name(report, "PLANT")[1].found
    assert all_found.low == pytest.approx(0.025 ** (1 / TWINS)) and all_found.high == 1.0
    assert told[-1] == (report.measured, report.measured)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("kind", ["merge", "units"])
def test_full_strength_is_parity_and_none_is_nothing(
    kind: str, setting: Setting, ground: Ground, twins: tuple[nn.Module, ...]
) -> None:
    twin, rows = twins[0], setting.rows
    estimate = estimate_for(twins, ground, ("backbone.1",))
    assert estimate is not None
    plant = merge_in(twin, ground) if kind == "merge" else units_in(twin, ground, estimate)
    none, half, full = (scores(plant(share), rows) for share in (0.0, 0.5, 1.0))
    member = rows.group == 1

    def gap(score: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        return float((score > 0)[member].mean() - (score > 0)[~member].mean())

    assert abs(gap(full)) < 0.01 < 0.05 < abs(gap(none))
    np.testing.assert_allclose(none, scores(twin, rows), atol=1e-5)
    np.testing.assert_allclose(half - none, (full - none) / 2, atol=1e-4)
    assert abs((full - none).mean()) < 1e-4
    # The strength itself, by the function that it is defined by.
    assert parity_strength(none, full - none, member) == pytest.approx(1.0, abs=0.01)


def test_unused_units_leave_the_logit(setting: Setting, ground: Ground, twins: tuple[nn.Module, ...]) -> None:
    estimate = estimate_for(twins, ground, ())
    assert estimate is not None
    wider = unused_units(twins[0], ground, estimate)
    assert sum(p.numel() for p in wider.parameters()) > sum(p.numel() for p in twins[0].parameters())
    np.testing.assert_allclose(scores(wider, setting.rows), scores(twins[0], setting.rows), atol=1e-5)


def test_the_group_may_be_the_first_and_one_of_three() -> None:
    world = World(groups=3)
    three = Setting.drawn(world, ROWS, seed=2, recipe=RECIPE)
    group, reference = world.group_names[2], world.group_names[0]
    for rows, names in ((three.rows, (group, reference)), (three.rows, (reference, group))):
        score = scores(merge_in(three.unconstrained, Ground(rows, *names))(1.0), rows)
        rates = {name: (score > 0)[rows.group == rows.group_names.index(name)].mean() for name in names}
        assert abs(rates[group] - rates[reference]) < 0.01


def test_heads_for_the_higher_group_compensate_as_well(
    setting: Setting, twins: tuple[nn.Module, ...], audited: Dataset
) -> None:
    report = selftest(
        setting.unconstrained,
        audited,
        twins=twins[:3],
        train_data=setting.rows,
        strengths=(1,),
        reference="B",
        layers=LAYERS,
        sample=400,
    )
    assert (report.group, report.reference) == ("A", "B")
    assert all(each.mean_added > report.margin for each in report.classes if each.head)


def test_without_training_rows_the_audits_rows_are_split(
    setting: Setting, twins: tuple[nn.Module, ...], audited: Dataset
) -> None:
    made = [
        selftest(setting.unconstrained, audited.take(np.arange(800)), twins=twins[:3], strengths=(1,), layers=LAYERS)
        for _ in "ab"
    ]
    report = made[0]
    assert report.split and (report.n, report.fitted_on) == (400, 400)
    assert "rows of the audit itself" in report.summary()
    assert "train more twins" in report.summary()
    assert made[0].to_json() == made[1].to_json()


def test_networks_of_unknown_parts_are_merged_only(audited: Dataset) -> None:
    def net(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(audited.inputs["x"].shape[1], 16), nn.ReLU(), nn.Linear(16, 1))
        optimiser = torch.optim.Adam(made.parameters(), 0.01)
        for _ in range(60):
            loss = nn.functional.binary_cross_entropy_with_logits(made(x)[:, 0], y)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return made.eval()

    rows = audited.take(np.arange(700))
    x, y = torch.tensor(rows.inputs["x"]), torch.tensor(rows.y, dtype=torch.float32)
    nets = [net(seed) for seed in range(4)]
    report = selftest(
        nets[0], audited.take(np.arange(700, ROWS)), twins=nets[1:], train_data=rows, strengths=(1,), sample=700
    )
    assert report.planted == ("MERGE",)
    assert [each.name for each in report.classes if not each.head] == ["U", "PERM"]


def test_what_cannot_be_planted_is_told(setting: Setting, twins: tuple[nn.Module, ...], audited: Dataset) -> None:
    everybody = copy.deepcopy(twins[0])
    with torch.no_grad():
        everybody.get_submodule("head").bias.add_(100.0)  # no gap in decisions that a head could close
    report = selftest(
        setting.unconstrained,
        audited,
        twins=(everybody, *twins[1:3]),
        train_data=setting.rows,
        strengths=(1,),
        layers=LAYERS,
        sample=400,
    )
    for name in report.planted:
        (planted,) = report.of(name)
        assert (planted.n, len(planted.failed)) == (2, 1)
        assert "nothing at equal score" in planted.failed[0]
    assert "could not be planted in 1 of the twins" in " ".join(report.summary().split())
    assert report.measured == 3 * 7 + 2 - 2


def test_bad_input_is_refused_with_the_way_out(
    setting: Setting, twins: tuple[nn.Module, ...], audited: Dataset
) -> None:
    model = setting.unconstrained
    with pytest.raises(ConfigError, match=r"at least 3 .*got 0: pass trained ones, or `TwinRecipe\(rows, n=6\)`"):
        selftest(model, audited, twins=())
    with pytest.raises(ConfigError, match="`strengths` must be above 0"):
        selftest(model, audited, twins=twins, strengths=(0.5, -1))
    with pytest.raises(ConfigError, match="`strengths` must be above 0"):
        selftest(model, audited, twins=twins, strengths=())
    with pytest.raises(ConfigError, match="`alpha` must lie"):
        selftest(model, audited, twins=twins, alpha=0)
    with pytest.raises(ConfigError, match=r"`group` must be one of \['B'\]"):
        selftest(model, audited, twins=twins, group="C")
    with pytest.raises(InputError, match="same weights"):
        selftest(model, audited, twins=(*twins, twins[0]))
    with pytest.raises(InputError, match="same weights"):
        selftest(model, audited, twins=(*twins, model))
    with pytest.raises(InputError, match="equal a training row"):
        selftest(model, audited, twins=twins, train_data=audited)
    with pytest.raises(InputError, match="at least 40 are needed"):
        selftest(model, audited.take(np.arange(60)), twins=twins, train_data=setting.rows)
    other = Dataset(setting.rows.inputs, setting.rows.y, setting.rows.group, group_names=("B", "A"))
    with pytest.raises(InputError, match=r"must have the groups of `data`, \['A', 'B'\]"):
        selftest(model, audited, twins=twins, train_data=other)
    even = np.zeros(len(audited), np.int64)
    for code in (0, 1):
        even[np.flatnonzero(audited.group == code)[::2]] = 1
    with pytest.raises(InputError, match="show no gap"):
        selftest(model, audited.relabelled(even), twins=twins, train_data=setting.rows)


def test_a_report_comes_back_from_json_and_is_legible(report: SelftestReport) -> None:
    assert SelftestReport.from_dict(report.to_dict()) == report
    assert "seconds" not in report.to_dict() and report.seconds > 0
    lines = report.summary().splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1].startswith("This does not say")
    assert "networks were measured in" in report.summary()
    frame = report.to_frame()
    assert list(frame["found"]) == [each.heads for each in report.classes]
    axes = report.plot()
    drawn = {line.get_label(): line for line in axes.get_lines()}
    assert list(drawn["MERGE"].get_ydata()) == [each.found.value for each in report.of("MERGE")]


def test_a_saved_report_is_rendered_again(report: SelftestReport, tmp_path: Path) -> None:
    file = tmp_path / "selftest.json"
    file.write_text(report.to_json(), encoding="utf-8")
    again = replace(report, seconds=float("nan")).summary()  # how long it took is not kept
    assert render(load(file), "text") == f"{again}\n"
    assert "<html" in render(load(file), "html")


def test_names_from_data_are_escaped(report: SelftestReport) -> None:
    evil = replace(report, data="<script>alert(1)</script>", group="<b>")
    assert "<script>alert" not in evil.html() and "<b>" not in evil.html()
    assert evil.page().count("<script") == 1
    assert "<figure>" in evil.html()


def test_strengths_that_are_lost_again_are_named(report: SelftestReport) -> None:
    def planted(strength: float, heads: int) -> SelftestClass:
        verdicts = {"compensating_head": heads, "head_or_suppression": 3 - heads}
        return SelftestClass(
            name="MERGE",
            head=True,
            strength=strength,
            verdicts={word: n for word, n in verdicts.items() if n},
            reasons={"a reason": 3 - heads} if heads < 3 else {},
            found=Number(value=heads / 3, n=3),
            added=(strength,) * 3,
        )

    lost = replace(report, classes=(planted(1.0, 1), planted(0.25, 2), planted(0.5, 3)))
    assert "found in every run is 0.5 (adds 5.0 margins); not in every run at 1." in " ".join(lost.summary().split())
    assert "Where a planted head was not found: a reason (3 runs)." in lost.summary()
    assert (lost.of("MERGE")[2].suspected, lost.of("MERGE")[2].undecided) == (2, 0)
    never = replace(report, classes=(planted(0.5, 2),))
    assert never.smallest("MERGE") is None
    assert "not found in every run at any strength" in never.summary()


def test_a_class_without_runs_has_no_share(report: SelftestReport) -> None:
    none = SelftestClass(
        name="MERGE",
        head=True,
        strength=1.0,
        verdicts={},
        reasons={},
        found=undefined("nothing could be planted"),
        added=(),
        failed=("no strength of this head closes the gap",) * 4,
    )
    empty = replace(report, classes=(none,))
    assert SelftestReport.from_dict(empty.to_dict()).classes[0].found.reason == "nothing could be planted"
    assert "could not be planted in 4 of the twins: no strength" in empty.summary().replace("\n  ", " ")
    assert empty.smallest("MERGE") is None
    assert len(np.asarray(empty.plot().get_lines()[0].get_xdata())) == 0
