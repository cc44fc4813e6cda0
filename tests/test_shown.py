"""What a cell of a notebook shows: what says itself has a line, a page and, where there is one, a figure."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from results_for_tests import HOSTILE
from test_results import parsed

import fairheads.selftest
from fairheads.constraints import demographic_parity
from fairheads.data import Dataset, adult
from fairheads.models import Bundle
from fairheads.monitor import HeadMonitor, Reading
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.results._style import PALETTE
from fairheads.results.shown import Displayed
from fairheads.training import History, Penalized, train
from fairheads.twoheads import Frontier, fit_frontier


def front(groups: int = 2) -> Frontier:
    rng = np.random.default_rng(0)
    group = rng.integers(0, groups, 900)
    z_g = group + rng.normal(size=900)
    z_y = rng.normal(size=900) + 0.7 * z_g
    y = rng.random(900) < 1 / (1 + np.exp(-z_y))
    outputs = z_g if groups == 2 else z_g[:, None] * np.eye(groups)[group]
    return fit_frontier(z_y, outputs, y, group)


WITHOUT_FIGURE = {"Reading", "Dataset", "Table", "Bundle", "Merge"}
"""Their numbers are few, or drawn by what holds them."""

WITHOUT_FRAME = {"Dataset", "Table", "Bundle", "Merge"}
"""They are what goes into functions, or hold a report that has one."""


def kinds(kind: type[Displayed] = Displayed) -> Iterator[type[Displayed]]:
    for below in kind.__subclasses__():
        if not inspect.isabstract(below) and below.__module__.startswith("fairheads."):
            yield below
        yield from kinds(below)


def rows() -> Dataset:
    data = synthetic(1600, seed=3)
    return Dataset(data.inputs, data.y, data.group, group_names=(HOSTILE, "b<i>"), name=HOSTILE)


@cache
def run() -> tuple[History, HeadMonitor]:
    data = rows()
    fit = np.arange(len(data)) < 800
    monitor = HeadMonitor(data.take(~fit), every=6, sample=400)
    history = train(
        MLP(8, hidden=(8,)),
        data.take(fit),
        Penalized(demographic_parity(), weight=3.0),
        epochs=4,
        batch_size=128,
        validation=data.take(~fit),
        monitor=monitor,
    )
    return history, monitor


SHOWN = {
    "history": lambda: run()[0],
    "monitor": lambda: run()[1],
    "reading": lambda: run()[1].history[-1],
    "data": rows,
    "front": front,
    "table": lambda: replace(adult(), name=HOSTILE, label=HOSTILE, favourable="<i>", group_names=("<b>", HOSTILE)),
    "bundle": lambda: Bundle(net=MLP(3), training=run()[0].record(), name=HOSTILE, merge={"b": -1.0, "t": 0.5}),
}


@pytest.mark.parametrize(
    "kind", sorted(set(kinds()), key=lambda kind: kind.__qualname__), ids=lambda kind: kind.__name__
)
def test_every_kind_says_shows_and_draws_itself(kind: type[Displayed]) -> None:
    parameters = getattr(kind, "__dataclass_params__", None)
    assert parameters is None or not parameters.repr, "a dataclass needs repr=False, or its own hides that of Displayed"
    assert hasattr(kind, "to_frame") != (kind.__name__ in WITHOUT_FRAME)
    assert hasattr(kind, "plot") != (kind.__name__ in WITHOUT_FIGURE)


def test_what_functions_return_is_among_them() -> None:
    names = {kind.__name__ for kind in kinds()}
    reports = {name for name in fairheads.results.__all__ if name.endswith("Report") and name != "TrainedReport"}
    assert reports - {"LayerReport"} <= names
    assert {"History", "HeadMonitor", "Reading", "Front", "Frontier", "Comparison", "Recovery", "Merge"} <= names


@pytest.mark.parametrize("made", SHOWN.values(), ids=SHOWN)
class TestACell:
    def test_it_is_one_line_in_a_list(self, made: object) -> None:
        shown: Displayed = made()  # type: ignore[operator]
        assert len(repr([shown]).splitlines()) == 1 and len(repr(shown)) < 250
        assert max(map(len, str(shown).splitlines())) <= 100

    def test_its_page_stands_alone_and_holds_no_code(self, made: object) -> None:
        shown: Displayed = made()  # type: ignore[operator]
        page = shown._repr_html_()
        tags = parsed(page)
        assert not {tag for tag, _ in tags.seen} & {"script", "iframe", "img", "link", "object", "i"}
        assert "http" not in page and "prefers-color-scheme: dark" in page
        for tag, attributes in tags.seen:
            assert not [name for name in attributes if name.startswith("on")], tag
            assert (attributes.get("aria-label") or "x") if tag == "svg" else True
        figure = page[page.index("</style>") :]
        assert not [c for c in PALETTE if f"{c};" in figure or f'"{c}"' in figure]  # all follow the page's variables


def test_a_history_tells_its_losses_and_the_epoch_that_was_kept() -> None:
    history, _ = run()
    assert history.best_epoch is not None
    assert f"kept: epoch {history.best_epoch}, validation loss" in str(history)
    frame = history.to_frame()
    assert frame["loss"].tolist() == list(history.losses) and list(frame["epoch"]) == [1, 2, 3, 4]
    assert frame["validation"].tolist() == list(history.validation)
    ax = history.plot()
    assert isinstance(ax, Axes) and (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "mean loss of a row")
    training, validation, kept = ax.lines
    assert training.get_ydata() == pytest.approx(history.losses)  # type: ignore[arg-type]
    assert kept.get_xdata() == [history.best_epoch] and kept.get_ydata() == [min(history.validation)]
    assert validation.get_color() != training.get_color() and validation.get_marker() != training.get_marker()
    assert [text.get_text() for text in ax.texts] == ["training", "validation"]
    assert all(float(tick).is_integer() and 1 <= tick <= 4 for tick in ax.get_xticks())


def test_a_history_without_validation_or_of_one_epoch_shows_itself() -> None:
    history = replace(run()[0], validation=(), best_epoch=None, losses=(0.5,), stopped="by the monitor in epoch 1")
    assert len(history.plot().lines) == 1 and "validation" not in history.to_frame()
    assert "1 epoch on 800 rows" in repr(history) and "ended by the monitor" in repr(history)
    assert "<svg" in history.html()
    assert "<svg" not in replace(history, losses=()).html()


def test_a_monitor_shows_curves_and_the_last_readings() -> None:
    _, monitor = run()
    page = monitor.html()
    assert page.count("<svg") == 1 and "4 readings beside" in page
    last = monitor.history[-1]
    assert page.count('role="rowheader"') == 4 and last.html().count('role="rowheader"') == 1
    assert f"{last.groups[0].effect.value:.3f}".replace("-", "−") in page
    assert last.to_frame()["step"].tolist() == [24]
    empty = HeadMonitor(rows(), every=1)
    assert "Nothing was measured yet" in empty.html() and "<svg" not in empty.html()
    assert Reading.from_dict(last.to_dict()) == last


def test_a_reading_without_a_number_says_why() -> None:
    with torch.no_grad():
        net = MLP(8, hidden=(8,))
        for weights in net.parameters():
            weights.zero_()
    reading = HeadMonitor(rows(), every=1, sample=400).read(net, 1)
    assert math.isnan(reading.groups[0].effect.value)
    assert "not estimable" in reading.html() and (reading.groups[0].effect.reason or "?") in reading.html()


def test_data_tell_the_rows_and_recorded_labels_of_every_group() -> None:
    table = adult()
    women = int((table.group == table.group_names.index("Female")).sum())
    share = float(table.y[table.group == table.group_names.index("Female")].mean())
    assert repr(table) == "<Table: adult: 48,842 rows>"
    for told in (str(table), table.html()):
        assert f"{women:,}" in told and f"{share:.3f}" in told and "Favourable is income =" in told
        assert "kept from the network: fnlwgt, split, sex" in told
    data = Dataset([[0.0], [1.0]], [1, 0], [0, 0], group_names=["a", "nobody"])
    assert repr(data) == "Dataset('', x[2, 1], groups=['a', 'nobody'])"
    assert "2 rows" in str(data) and "0.500" in str(data) and "there are no rows of the group" in data.html()


def test_a_model_tells_its_recipe_or_that_there_is_none() -> None:
    made = Bundle(net=MLP(3), training=run()[0].record(), name="net", merge={"b": -1.0, "t": 0.5})
    size = sum(weights.numel() for weights in made.net.parameters())
    assert repr(made) == f"<Bundle: net: MLP, {size:,} parameters>"
    assert "objective: penalized (weight 3" in str(made) and "merge: b -1, t 0.5" in str(made)
    assert "no record was saved" in str(Bundle(net=MLP(3)))


@pytest.mark.parametrize("groups", [2, 3])
def test_a_front_draws_the_best_merge_within_every_gap(groups: int) -> None:
    found = front(groups)
    step, alone = found.plot().lines
    gaps, best = np.asarray(step.get_xdata()), np.asarray(step.get_ydata())
    assert (np.diff(gaps) > 0).all() and (np.diff(best) > 0).all()
    for gap, value in zip(gaps[:: len(gaps) // 5 + 1], best[:: len(best) // 5 + 1], strict=True):
        assert value == found.objective[np.abs(found.gap) <= gap].max()
    own = found.alone()
    assert (alone.get_xdata()[0], alone.get_ydata()[0]) == pytest.approx((abs(own.gap), own.accuracy))  # type: ignore[index]
    frame = found.to_frame()
    assert len(frame) == len(found.t) and frame["gap"].tolist() == found.gap.tolist()
    assert [name for name in frame if name.startswith("b")] == (["b"] if groups == 2 else ["b0", "b1", "b2"])
