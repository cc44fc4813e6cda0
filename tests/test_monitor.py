"""The monitor on networks whose answer is known, beside independent computations, and inside real training loops."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from torch import nn

from fairheads.activations import TorchNetwork
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, Stream
from fairheads.errors import ConfigError, InputError, LayerNotFoundError
from fairheads.monitor import HeadMonitor, Reading, equal_merit
from fairheads.monitor.reading import COLUMNS
from fairheads.monitor.sample import Pair, Watched
from fairheads.nets import MLP
from fairheads.pathways.measure import measure_layer
from fairheads.pathways.readout import logistic
from fairheads.pathways.sample import collect
from fairheads.planted import plant_head, synthetic
from fairheads.training import Penalized, Unconstrained, train

RATE = 4e-3

ALL = 100_000
"""A sample that takes every row."""


@cache
def rows(seed: int = 1, n: int = 4000) -> Dataset:
    return synthetic(n, seed=seed)


@cache
def trained(seed: int = 1, weight: float = 0.0) -> MLP:
    net = MLP(8, hidden=(16, 16), seed=seed)
    objective = Penalized(demographic_parity(), weight) if weight else Unconstrained()
    train(net, rows(0), objective, epochs=12, learning_rate=RATE, seed=seed)
    return net


@cache
def planted(strength: float) -> MLP:
    return plant_head(trained(), rows(0), group="B", strength=strength)


@cache
def three_groups(seed: int, n: int = 6000) -> Dataset:
    """B and C have lower merit than A, and each has four proxies of its own."""
    rng = np.random.default_rng(seed)
    group = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    merit = rng.normal(size=n) - 0.8 * (group > 0)
    columns = [merit + rng.normal(scale=0.7, size=n) for _ in range(4)]
    columns += [1.0 * (group == code) + rng.normal(size=n) for code in (1, 2) for _ in range(4)]
    y = (rng.random(n) < 1 / (1 + np.exp(-2.5 * merit))).astype(np.int64)
    return Dataset(np.column_stack(columns), y, group, group_names=("A", "B", "C"))


def score_of(net: nn.Module, data: Dataset) -> np.ndarray:
    with torch.no_grad():
        score: np.ndarray = net(torch.as_tensor(data.inputs["x"])).numpy().ravel().astype(float)
    return score


def layer_of(net: MLP, data: Dataset) -> np.ndarray:
    """The last hidden layer after its ReLU, by hand."""
    with torch.no_grad():
        return net.backbone(torch.as_tensor(data.inputs["x"])).numpy()


def verify_plain(value: Any) -> None:
    """Numbers are Python's own all the way down: numpy's would not pass a checkpoint that is read without code."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            verify_plain(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for item in value:
            verify_plain(item)
    elif isinstance(value, dict):
        for item in value.values():
            verify_plain(item)
    else:
        assert type(value) in (int, float, str, bool, type(None)), type(value)


def read(net: nn.Module, data: Dataset | None = None, **settings: Any) -> Reading:
    found = HeadMonitor(rows() if data is None else data, every=1, **settings).read(net, 1)
    verify_plain(found)
    verify_plain(found.rows())
    return found


class Scalars:
    """What a writer was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.seen.append((tag, value, step))


# What it finds.


def test_a_planted_head_is_found_and_its_sign_is_right() -> None:
    above, below = read(planted(2.0)), read(planted(-2.0))
    assert above.groups[0].effect.low > 0.1 and above.alerts == ("B",)
    assert below.groups[0].effect.high < -0.1 and below.alerts == ()
    assert above.groups[0].orientation == -1 and above.groups[0].group == "B" and above.groups[0].reference == "A"


def test_a_head_that_a_constraint_made_is_found() -> None:
    reading = read(trained(1, 10.0))
    assert reading.groups[0].effect.low > 0.2 and reading.alerts == ("B",)
    assert abs(reading.groups[0].selection_rate_difference.value) < 0.1


def test_unconstrained_networks_raise_no_alert() -> None:
    for seed in range(4):
        reading = read(trained(seed), rows(100 + seed))
        assert reading.alerts == (), seed
        assert reading.groups[0].probe_auc.value > 0.8  # the group can be read, and that proves nothing


def test_an_encoder_that_is_not_used_raises_no_alert() -> None:
    for seed in range(4):
        reading = read(planted(0.0), rows(100 + seed))
        assert reading.alerts == () and reading.groups[0].probe_auc.value > 0.85, seed


def test_a_group_that_is_not_encoded_has_no_effect() -> None:
    for seed in range(4):
        data = rows(100 + seed)
        drawn = np.random.default_rng(seed).random(len(data)) < 0.3
        group = np.where(drawn & (data.y == 0) | (np.random.default_rng(seed + 1).random(len(data)) < 0.2), 1, 0)
        # Labels differ between these groups, and nothing else: the network's score follows the label alone.
        blind = Dataset(data.inputs, data.y, group, group_names=("A", "drawn"))
        mixed = Dataset(data.inputs, data.y, drawn.astype(int), group_names=("A", "drawn"))
        for reading in (read(trained(), blind), read(trained(), mixed)):
            assert reading.alerts == () and reading.groups[0].effect.low < 0.02, seed
        assert abs(read(trained(), mixed).groups[0].probe_auc.value - 0.5) < 0.06


def test_of_three_groups_the_one_with_a_head_is_named() -> None:
    net = MLP(12, hidden=(16, 16), seed=0)
    train(net, three_groups(0), Unconstrained(), epochs=12, learning_rate=RATE, seed=0)
    data = three_groups(1)
    assert read(net, data).alerts == ()
    reading = read(plant_head(net, three_groups(0), group="C", strength=2.0), data)
    assert [(g.group, g.reference) for g in reading.groups] == [("B", "A"), ("C", "A")]
    assert reading.alerts == ("C",) and reading.groups[1].effect.low > 0.1 > reading.groups[0].effect.low
    assert 2040 < reading.accuracy.n <= 2048 and reading.groups[0].effect.n < 2048


def test_names_and_codes_of_the_groups_change_no_effect() -> None:
    data, net = rows(), trained(1, 10.0)
    renamed = Dataset(data.inputs, data.y, 1 - data.group, group_names=("zeta", "alpha"))
    before, after = read(net, data, sample=ALL).groups[0], read(net, renamed, sample=ALL).groups[0]
    assert (after.group, after.reference, after.orientation) == ("zeta", "alpha", before.orientation)
    assert after.effect.value == pytest.approx(before.effect.value, abs=before.effect.value - before.effect.low)
    assert after.selection_rate_difference == before.selection_rate_difference


@pytest.mark.parametrize("which", ["plain", "constrained", "head", "aligned"])
def test_the_effect_is_that_of_a_pathway_analysis_within_its_interval(which: str) -> None:
    net = {
        "plain": trained(2),
        "constrained": trained(2, 10.0),
        "head": planted(1.0),
        "aligned": planted(-1.0),
    }[which]
    data = rows(3, 3000)
    member, network = data.group == 1, TorchNetwork(net)
    name = network.layers()[-1]
    wanted = measure_layer(network, collect(network, data, member, [name], 0), name, member, -1).point["equal_merit"]
    effect = read(net, data, sample=ALL).groups[0].effect
    assert effect.low < wanted < effect.high
    assert effect.high - effect.low < 0.4


def test_probe_retention_and_disparity_are_what_scikit_learn_finds() -> None:
    data, net, other = rows(), trained(1, 10.0), trained(3)
    monitor = HeadMonitor(data, every=1, sample=ALL, reference=other)
    reading, pair = monitor.read(net, 1), monitor._measure.watched.pairs[0]
    found, score, member = reading.groups[0], score_of(net, data), data.group == 1

    def within(score: np.ndarray) -> float:
        return float(np.mean([roc_auc_score(data.y[data.group == g], score[data.group == g]) - 0.5 for g in (0, 1)]))

    assert found.retention.value == pytest.approx(within(score) / within(score_of(other, data)), abs=1e-6)
    decided = score > 0
    difference = decided[member].mean() - decided[~member].mean()
    assert found.selection_rate_difference.value == pytest.approx(difference)
    assert reading.accuracy.value == pytest.approx((decided == data.y).mean())
    h, belongs = layer_of(net, data)[pair.rows], member[pair.rows]
    aucs = []
    for mine, rest in (pair.halves, pair.halves[::-1]):
        mean, sd = h[rest].mean(0), h[rest].std(0)
        live = sd > 1e-6 * sd.max()
        fit = Ridge(alpha=1e-3 * len(h[rest])).fit(((h[rest] - mean) / sd)[:, live], belongs[rest])
        pairs = belongs[mine].sum() * (~belongs[mine]).sum()
        aucs.append((roc_auc_score(belongs[mine], fit.predict(((h[mine] - mean) / sd)[:, live])), pairs))
    assert found.probe_auc.value == pytest.approx(sum(auc * n for auc, n in aucs) / sum(n for _, n in aucs), abs=1e-4)


def watched(data: Dataset, h: np.ndarray) -> tuple[Pair, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The pair of a sample of all rows, the layer ``h`` of them standardised, and its Gram matrices."""
    (pair,) = Watched.of(data, ALL, 0).pairs
    z = equal_merit.standardised(h[pair.rows])
    return pair, z, equal_merit.grams_of(pair, z)


def test_merit_is_read_by_the_logistic_regressions_of_an_audit() -> None:
    for net in (trained(), trained(1, 10.0), planted(2.0)):
        pair, z, grams = watched(rows(), layer_of(net, rows()))
        read = equal_merit.merit(z, pair.y, pair.block, grams)
        assert np.abs(read.fitted - z @ logistic(z, pair.y)).max() < 0.2  # logits, at their far ends
        for block in (0, 13):
            kept = pair.block != block
            wanted = z @ logistic(z[kept], pair.y[kept])
            assert np.corrcoef(read.without[:, block], wanted)[0, 1] > 0.9999
            assert np.abs(read.held_out - wanted)[~kept].mean() < 0.05


def test_a_unit_that_is_silent_in_one_half_of_the_rows_adds_nothing_to_the_probe() -> None:
    """Its variance there is that of rounding; a reader fitted on that would shout where the unit speaks."""
    data = rows()
    (pair,) = Watched.of(data, ALL, 0).pairs
    h = layer_of(trained(), data)
    silent = np.full((len(h), 3), 0.1, np.float32)
    silent[pair.rows[pair.halves[0]]] += np.random.default_rng(0).exponential(size=(pair.halves[0].stop, 3))
    alone, beside = (
        equal_merit.probe_auc(pair, z, grams).value
        for _, z, grams in (watched(data, h), watched(data, np.column_stack([h, silent])))
    )
    assert beside == pytest.approx(alone, abs=0.003)


def test_accuracy_of_a_sample_in_which_a_group_is_over_represented() -> None:
    data = synthetic(20_000, seed=5, share=0.03)
    reading = read(trained(), data)
    assert reading.groups[0].effect.n > 0.2 * 2048  # of 3 %
    whole = float(((score_of(trained(), data) > 0) == data.y).mean())
    assert reading.accuracy.low < whole < reading.accuracy.high


def test_a_network_keeps_all_of_its_own_ranking() -> None:
    kept = read(trained(), reference=trained()).groups[0].retention
    assert (kept.value, kept.low, kept.high) == pytest.approx((1, 1, 1))
    default = read(trained()).groups[0].retention
    assert 0.95 < default.value < 1.05


def test_more_rows_narrow_the_interval() -> None:
    data = synthetic(20_000, seed=6)
    few, many = (read(trained(), data, sample=n).groups[0].effect for n in (1000, 16_000))
    assert (many.high - many.low) < (few.high - few.low) / 2


@pytest.mark.slow
@pytest.mark.parametrize("which", ["plain", "head"])
def test_the_interval_of_the_effect_covers(which: str) -> None:
    """Truth: what 60,000 rows say. 95 % of 200 draws, less three standard errors."""
    net = trained(1) if which == "plain" else planted(1.0)
    truth = read(net, synthetic(60_000, seed=999), sample=ALL).groups[0].effect.value
    drawn = [read(net, synthetic(2000, seed=1000 + i)).groups[0].effect for i in range(200)]
    assert np.mean([e.low <= truth <= e.high for e in drawn]) > 0.88  # 400 draws: 0.95 less six standard errors
    said = np.mean([e.high - e.low for e in drawn]) / 2 / 2.09
    assert 0.8 < said / np.std([e.value for e in drawn]) < 1.35


@pytest.mark.slow
def test_the_interval_of_retention_covers() -> None:
    net, other = trained(1, 10.0), trained(3)
    truth = read(net, synthetic(60_000, seed=999), sample=ALL, reference=other).groups[0].retention.value
    drawn = [read(net, synthetic(2000, seed=1000 + i), reference=other).groups[0].retention for i in range(200)]
    assert np.mean([e.low <= truth <= e.high for e in drawn]) > 0.88  # 400 draws: 0.95 less six standard errors


@pytest.mark.slow
def test_no_alert_on_forty_unconstrained_networks_at_any_step_after_the_second_epoch() -> None:
    for seed in range(40):
        monitor = HeadMonitor(synthetic(4000, seed=500 + seed), every=14)  # two epochs of seven steps
        net = MLP(8, hidden=(16, 16), seed=seed)
        train(net, rows(0), Unconstrained(), epochs=12, learning_rate=RATE, seed=seed, monitor=monitor)
        assert [r.step for r in monitor.history if r.alerts] == [], seed


# What it does when.


def test_it_measures_at_its_steps_and_raises_an_alert_on_each_crossing_once() -> None:
    heard: list[Reading] = []
    monitor = HeadMonitor(rows(), every=10, on_alert=heard.append)
    plain, head = trained(), planted(2.0)
    for step, net in enumerate([plain, head, head, plain, head], 1):
        assert not monitor(net, 10 * step - 1)
        assert not monitor(net, 10 * step)
    assert [r.step for r in monitor.history] == [10, 20, 30, 40, 50]
    assert [bool(r.alerts) for r in monitor.history] == [False, True, True, False, True]
    assert [r.step for r in heard] == [20, 50]


def test_the_margin_decides_and_none_is_never() -> None:
    effect = read(planted(2.0)).groups[0].effect
    assert read(planted(2.0), margin=effect.low - 0.01).alerts == ("B",)
    assert read(planted(2.0), margin=effect.low + 0.01).alerts == ()
    assert read(planted(2.0), margin=None).alerts == ()


def test_stop_ends_a_training_on_the_crossing() -> None:
    monitor = HeadMonitor(rows(), every=14, stop=True)
    net = MLP(8, hidden=(16, 16), seed=1)
    history = train(
        net, rows(0), Penalized(demographic_parity(), 10.0), epochs=30, learning_rate=RATE, seed=1, monitor=monitor
    )
    last = monitor.history[-1]
    assert history.stopped is not None and f"step {last.step}" in history.stopped and last.step < 30 * 7
    assert last.alerts == ("B",) and not any(r.alerts for r in monitor.history[:-1])


def test_a_training_that_does_not_listen_goes_on() -> None:
    monitor = HeadMonitor(rows(), every=1, stop=True)
    assert monitor(planted(2.0), 1) is True and monitor(trained(), 2) is False


class Mixed(nn.Module):
    """A network with everything that a look at it could disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3))
        self.out = nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.body(x))
        return out


@pytest.mark.usefixtures("random_state_is_left_alone")
def test_network_gradients_hooks_and_random_state_are_left_as_they_were(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        net = Mixed()
    calls: list[int] = []
    handle = net.body[0].register_forward_hook(lambda *_: calls.append(1))
    net.body[0].bias.requires_grad_(False)
    net.train()
    net.body[1].eval()
    net.out.weight.grad = torch.ones_like(net.out.weight)
    before = copy.deepcopy(net.state_dict())
    monitor = HeadMonitor(rows(), every=1, csv=tmp_path / "log.csv", writer=Scalars(), on_alert=lambda _: None)
    monitor(net, 1)
    monitor.plot()
    assert all(torch.equal(net.state_dict()[key], value) for key, value in before.items())
    assert [part.training for part in net.modules()] == [True, True, True, False, True, True, True]
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True, True, True]
    assert [p.grad is not None for p in net.parameters()] == [False] * 4 + [True, False]
    assert torch.is_grad_enabled() and torch.equal(net.out.weight.grad, torch.ones(1, 12))
    left = [part for part in net.modules() if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks]
    assert left == [net.body[0]] and len(net.body[0]._forward_hooks) == 1 and calls
    handle.remove()


def test_a_watched_training_ends_with_the_same_bits() -> None:
    ends = []
    for monitor in (None, HeadMonitor(rows(), every=3)):
        torch.manual_seed(4)
        net = Mixed()
        train(net, rows(0), Unconstrained(), epochs=2, monitor=monitor)
        ends.append(net.state_dict())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_the_same_settings_give_the_same_reading() -> None:
    assert read(trained()) == read(trained())
    assert read(trained(), seed=1).groups[0].effect != read(trained()).groups[0].effect


# What cannot be measured.


def test_a_group_with_one_label_has_no_effect_and_no_retention_but_a_probe() -> None:
    data = rows()
    y = np.where(data.group == 1, 0, data.y)
    reading = read(trained(), data.relabelled(y))
    found = reading.groups[0]
    assert math.isnan(found.effect.value) and "one of the labels" in found.effect.reason
    assert math.isnan(found.retention.value) and "one label only" in found.retention.reason
    assert found.probe_auc.value > 0.8 and reading.alerts == ()


def test_a_layer_in_which_nothing_is_encoded_has_no_effect_and_no_probe() -> None:
    net = copy.deepcopy(trained())
    with torch.no_grad():
        net.backbone[-2].weight.zero_()
    found = read(net).groups[0]
    for number in (found.effect, found.probe_auc):
        assert math.isnan(number.value) and number.reason == "no unit of the layer varies"


def test_other_numbers_that_are_undefined_say_why() -> None:
    dead = copy.deepcopy(trained())
    with torch.no_grad():
        dead.head.weight.zero_()
    broken = copy.deepcopy(trained())
    with torch.no_grad():
        broken.head.bias.fill_(float("nan"))
    small = rows().take(np.flatnonzero((rows().group == 0) | (np.cumsum(rows().group) <= 30)))
    image = Dataset(rows().inputs["x"].reshape(-1, 2, 4), rows().y, rows().group)
    flat = nn.Sequential(nn.Flatten(), *trained().backbone, trained().head)
    for reading, curve, reason in (
        (read(dead), "effect", "the same for every row"),
        (read(broken), "effect", "not finite"),
        (read(broken), "selection_rate_difference", "not finite"),
        (read(nn.Linear(8, 1)), "effect", "no hidden layer"),
        (read(nn.Linear(8, 1)), "probe_auc", "no hidden layer"),
        (read(MLP(8, hidden=(300,))), "effect", "raise `sample`"),
        (read(trained(), small), "effect", "30 rows"),
        (read(flat, image), "retention", "`reference`"),
        (read(trained(), reference=dead), "retention", "does not rank"),
    ):
        number = getattr(reading.groups[0], curve)
        assert math.isnan(number.value) and reason in number.reason and number.low is None
        assert reading.alerts == () and number.reason in reading.rows()[0][-1]
        assert reason.split()[-1] in reading.summary()


def test_groups_whose_labels_hardly_differ_raise_no_alert() -> None:
    data = synthetic(4000, seed=1, gap=0.0)
    reading = read(planted(2.0), data)
    assert reading.groups[0].orientation == 0 and reading.alerts == ()
    assert abs(reading.groups[0].effect.value) > 0.1
    assert "no alert" in reading.summary()


# Where it is kept.


def test_the_file_grows_line_by_line_and_holds_what_the_frame_holds(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    monitor = HeadMonitor(three_groups(1), every=1, csv=path)
    net = MLP(12, hidden=(8,))
    assert not path.exists()
    for step in (1, 2, 3):
        monitor(net, step)
        assert len(path.read_text(encoding="utf-8").splitlines()) == 1 + 2 * step
    frame, table = monitor.to_frame(), pd.read_csv(path, keep_default_na=True)
    assert list(frame.columns) == list(COLUMNS) == list(table.columns) and len(frame) == 6
    assert frame["step"].dtype == np.int64 and frame["effect"].dtype == np.float64 and frame["alert"].dtype == bool
    numbers = frame.select_dtypes("number").columns
    pd.testing.assert_frame_equal(frame[numbers], table[numbers], check_exact=True)
    assert frame["group"].tolist() == ["B", "C"] * 3


def test_what_was_not_measured_is_empty_in_the_file(tmp_path: Path) -> None:
    monitor = HeadMonitor(rows(), every=1, csv=tmp_path / "log.csv")
    monitor(nn.Linear(8, 1), 1)
    table = pd.read_csv(tmp_path / "log.csv")
    assert table["effect"].isna().all() and table["reason"].str.contains("no hidden layer").all()
    assert monitor.to_frame()["effect"].isna().all()


def test_a_file_of_somebody_else_is_refused_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="`csv`"):
        HeadMonitor(rows(), every=1, csv=other)
    assert other.read_text(encoding="utf-8") == "a,b\n1,2\n"
    path = tmp_path / "log.csv"
    HeadMonitor(rows(), every=1, csv=path)(trained(), 1)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + "2,B,A", encoding="utf-8")
    HeadMonitor(rows(), every=1, csv=path)(trained(), 2)
    assert path.read_text(encoding="utf-8").startswith(whole)
    assert pd.read_csv(path)["step"].tolist() == [1, 2]


class Watcher:
    """A monitor in a process that dies at some steps, before it has looked at them."""

    def __init__(self, folder: Path, fatal: set[int]) -> None:
        folder.mkdir(exist_ok=True)
        self.heard: list[int] = []
        self.fatal = fatal
        self.monitor = HeadMonitor(
            rows(), every=2, csv=folder / "log.csv", on_alert=lambda reading: self.heard.append(reading.step)
        )
        self.state_dict, self.load_state_dict = self.monitor.state_dict, self.monitor.load_state_dict

    def __call__(self, net: nn.Module, step: int) -> bool:
        if step in self.fatal:
            self.fatal.remove(step)
            raise KeyboardInterrupt
        return self.monitor(net, step)


def watched_run(folder: Path, fatal: set[int]) -> tuple[dict[str, torch.Tensor], Watcher]:
    watcher, net = Watcher(folder, fatal), MLP(8, hidden=(16, 16), seed=1)
    settings: dict[str, Any] = {"epochs": 9, "learning_rate": RATE, "checkpoint_every": 5}
    objective = Penalized(demographic_parity(), 10.0)
    train(net, rows(0), objective, **settings, checkpoint=folder / "run.pt", monitor=watcher)
    return net.state_dict(), watcher


def test_a_resumed_run_goes_on_with_history_file_and_alerts(tmp_path: Path) -> None:
    weights, whole = watched_run(tmp_path / "whole", set())
    assert whole.heard and len(whole.monitor.history) == 31
    fatal = {9, whole.heard[-1] + 2, 52}  # with checkpoints at 7, 14, ... and 5, 10, ...: lines were written since
    while fatal:
        with pytest.raises(KeyboardInterrupt):
            watched_run(tmp_path / "cut", fatal)
    found, resumed = watched_run(tmp_path / "cut", fatal)
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    assert resumed.monitor.history == whole.monitor.history
    assert resumed.heard == []  # the crossing was before, and is not told again
    assert (tmp_path / "cut" / "log.csv").read_bytes() == (tmp_path / "whole" / "log.csv").read_bytes()
    again = watched_run(tmp_path / "cut", fatal)[1]  # a finished run is only loaded
    assert again.monitor.history == whole.monitor.history


def test_the_state_is_plain_json_and_comes_back() -> None:
    monitor = HeadMonitor(rows(), every=1)
    for step, net in enumerate([trained(), planted(2.0), nn.Linear(8, 1)], 1):
        monitor(net, step)
    state = monitor.state_dict()
    verify_plain(state)
    text = json.dumps(state, allow_nan=False)
    other = HeadMonitor(rows(), every=1)
    other.load_state_dict(json.loads(text))
    assert json.dumps(other.state_dict()) == text and other.summary() == monitor.summary()
    pd.testing.assert_frame_equal(other.to_frame(), monitor.to_frame())
    assert Reading.from_dict(monitor.history[0].to_dict()) == monitor.history[0]


@pytest.mark.parametrize(
    "state", [{}, {"schema": "fairheads/monitor/1"}, {"schema": "fairheads/monitor/1", "history": [{"step": 1}]}]
)
def test_a_state_that_is_none_is_refused(state: dict[str, Any]) -> None:
    monitor = HeadMonitor(rows(), every=1)
    monitor(trained(), 1)
    with pytest.raises(InputError):
        monitor.load_state_dict(state)
    assert len(monitor.history) == 1


def test_a_state_of_other_groups_is_refused() -> None:
    monitor = HeadMonitor(rows(), every=1)
    monitor(trained(), 1)
    with pytest.raises(InputError, match="groups"):
        HeadMonitor(three_groups(1), every=1).load_state_dict(monitor.state_dict())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda monitor: pickle.loads(pickle.dumps(monitor))])
def test_a_monitor_can_be_copied_with_what_it_has_seen(copied: Any) -> None:
    monitor = HeadMonitor(rows(), every=1, sample=500)
    monitor(trained(), 1)
    other = copied(monitor)
    assert other.history == monitor.history and len(other.history) == 1
    monitor(trained(), 2), other(trained(), 2)
    assert other.history == monitor.history


def test_a_step_that_comes_again_replaces_what_came_after_it() -> None:
    monitor = HeadMonitor(rows(), every=1)
    for step in (1, 2, 3, 2):
        monitor(trained(), step)
    assert [r.step for r in monitor.history] == [1, 2]


def test_a_writer_gets_every_number_that_there_is() -> None:
    writer = Scalars()
    monitor = HeadMonitor(three_groups(1), every=1, writer=writer)
    monitor(MLP(12, hidden=(8,)), 1)
    monitor(nn.Linear(12, 1), 2)
    seen = {(tag, step): value for tag, value, step in writer.seen}
    verify_plain(seen)
    first = monitor.history[0]
    for g in first.groups:
        assert seen[f"fairheads/{g.group}/effect", 1] == g.effect.value
        assert seen[f"fairheads/{g.group}/effect_low", 1] == g.effect.low
        assert seen[f"fairheads/{g.group}/probe_auc", 1] == g.probe_auc.value
        assert (f"fairheads/{g.group}/effect", 2) not in seen
    assert seen["fairheads/accuracy", 1] == first.accuracy.value
    assert all(math.isfinite(value) for value in seen.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of tensorboard's own imports
def test_tensorboard_shows_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        monitor = HeadMonitor(rows(), every=1, writer=writer)
        for step in (1, 2):
            monitor(trained(step), step)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for tag, wanted in {
        "fairheads/B/effect": [r.groups[0].effect.value for r in monitor.history],
        "fairheads/B/retention_low": [r.groups[0].retention.low for r in monitor.history],
        "fairheads/accuracy": [r.accuracy.value for r in monitor.history],
    }.items():
        assert [event.step for event in events.Scalars(tag)] == [1, 2]
        assert [event.value for event in events.Scalars(tag)] == pytest.approx(wanted, rel=1e-6)


# How it is told.


def test_a_reading_and_a_history_say_themselves_in_text() -> None:
    monitor = HeadMonitor(rows(), every=1)
    assert "Nothing was measured" in str(monitor)
    for step, net in enumerate([trained(), planted(2.0), *[trained()] * 12], 1):
        monitor(net, step)
    last, alert = monitor.history[-1], monitor.history[1]
    assert str(last) == last.summary() and last.summary().startswith("step 14, layer backbone.3, beside A; accuracy ")
    assert f"{last.groups[0].effect.value:.3f} [{last.groups[0].effect.low:.3f}" in str(last)
    assert "above the margin" in str(alert) and "above the margin" not in str(last)
    text = str(monitor)
    assert text == monitor.summary() and "14 readings beside A, the last 10" in text
    assert "B: first above the margin at step 2." in text
    assert text.splitlines()[-1].startswith("This does not say")


def test_no_line_is_wider_than_a_page() -> None:
    data = rows()
    long = Dataset(data.inputs, data.y, data.group, group_names=("of a very long name " * 3, "and of another " * 3))
    net = nn.Sequential()
    inner = net
    for name in ("a_module_with_a_name", "and_another_one_within", "yet_another"):
        inner.add_module(name, nn.Sequential())
        inner = inner.get_submodule(name)  # type: ignore[assignment]
    for part in (nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)):
        inner.append(part)
    monitor = HeadMonitor(long, every=100_000)
    for step in (100_000, 200_000):
        monitor(net, step)
    monitor(nn.Linear(8, 1), 300_000)
    for text in (*map(str, monitor.history), str(monitor)):
        assert max(map(len, text.splitlines())) <= 100 and "…" in text


def test_the_figure_shows_four_curves_of_the_group_with_the_largest_effect() -> None:
    monitor = HeadMonitor(three_groups(1), every=1)
    with pytest.raises(InputError, match="nothing to plot"):
        monitor.plot()
    net = MLP(12, hidden=(16, 16), seed=0)
    for step, strength in enumerate((0.0, 1.0, 2.0), 1):
        monitor(plant_head(net, three_groups(0), group="C", strength=strength), step)
    monitor(nn.Linear(12, 1), 4)  # leaves gaps
    ax = monitor.plot()
    assert ax.get_title(loc="left").startswith("C against A") or ax.get_title().startswith("C against A")
    curves = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert len(curves) == 4 and ax.get_xlabel() == "step"
    effect = curves["effect at equal merit (sd of the logit)"].get_ydata()
    assert np.asarray(effect)[:3].tolist() == [r.groups[1].effect.value for r in monitor.history[:3]]
    assert np.isnan(np.asarray(effect)[3])
    (name,) = (text for text in ax.texts if "margin" in text.get_text())
    first, last = (monitor.history[i].groups[1].effect for i in (0, 2))
    assert first.low < last.low and (name.get_ha() == "left") == (first.high < monitor.margin)
    ax.figure.canvas.draw()
    assert "B against A" in (monitor.plot("B", ax=ax).get_title(), ax.get_title(loc="left"))
    with pytest.raises(ConfigError, match="`group`"):
        monitor.plot("D")


# What it refuses.


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"every": 0}, "`every`"),
        ({"seed": -1}, "`seed`"),
        ({"margin": -0.1}, "`margin`"),
        ({"margin": float("nan")}, "`margin`"),
        ({"margin": None, "stop": True}, "`margin`"),
        ({"margin": None, "on_alert": print}, "`margin`"),
        ({"writer": object()}, "`writer`"),
        ({"sample": 79}, "`sample`"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        HeadMonitor(rows(), **{"every": 1, **settings})


def test_rows_of_one_group_are_refused() -> None:
    with pytest.raises(InputError, match="two groups"):
        HeadMonitor(rows().take(rows().group == 0), every=1)


def test_calls_without_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="`step`"):
        HeadMonitor(rows(), every=1)(trained(), 0)
    with pytest.raises(LayerNotFoundError):
        HeadMonitor(rows(), every=1, layer="no.such")(trained(), 1)
    with pytest.raises(InputError, match="logits"):
        HeadMonitor(rows(), every=1)(nn.Sequential(*trained().backbone, trained().head, nn.Sigmoid()), 1)


def test_another_layer_can_be_named() -> None:
    first, last = read(trained(1, 10.0), layer="backbone.1"), read(trained(1, 10.0))
    assert (first.layer, last.layer) == ("backbone.1", "backbone.3")
    assert first.groups[0].effect.value != last.groups[0].effect.value
    assert first.groups[0].retention == last.groups[0].retention


class HeadFirst(nn.Module):
    """A perceptron whose activations are functions, and whose head was registered before the rest."""

    def __init__(self, net: MLP) -> None:
        super().__init__()
        self.head, (self.first, _, self.last, _) = net.head, net.backbone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.last(torch.relu(self.first(x)))))


def test_the_layer_is_the_last_that_is_called_whatever_was_registered_last() -> None:
    assert read(HeadFirst(trained())).layer == "last"


def test_a_stream_is_watched_by_a_sample_of_its_rows() -> None:
    rows = synthetic(6000)
    stream = Stream(rows, group_names=rows.group_names)
    net = MLP(8, hidden=(16, 16))
    readings = []
    for data in (stream, stream, rows):
        monitor = HeadMonitor(data, every=1, sample=1000)
        monitor(net, 1)
        readings.append(monitor.history[0])
    first, again, whole = readings
    assert first == again
    assert first.accuracy.n == whole.accuracy.n == 1000
    assert abs(first.accuracy.value - whole.accuracy.value) < 0.08
