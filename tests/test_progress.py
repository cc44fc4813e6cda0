"""Progress: drawn anew on a terminal and in a notebook, and nowhere else."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fairheads import progress
from fairheads.audit import audit
from fairheads.data import Dataset
from fairheads.nets import MLP
from fairheads.planted import synthetic
from fairheads.progress import Bar, Epochs, duration, pace
from fairheads.training import Unconstrained, train


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal; a second passes with every look at the clock."""
    clock = itertools.count()
    screen = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen, modules={}))
    monkeypatch.setattr("fairheads.progress.time.monotonic", lambda: float(next(clock)))
    return screen


def lines(screen: Terminal) -> list[str]:
    return screen.getvalue().split("\r\x1b[K")[1:]


def test_a_terminal_has_one_line_that_ends_with_the_last_call(terminal: Terminal) -> None:
    bar = Bar("twins trained")
    for done in range(4):
        bar(done, 3)
    assert lines(terminal) == [
        "twins trained: 0 of 3",
        "twins trained: 1 of 3, 1 a second, 2 s left",
        "twins trained: 2 of 3, 1 a second, 1 s left",
        "twins trained: 3 of 3\n",
    ]
    bar(1_000, 4_000)  # the next thing that is counted
    assert lines(terminal)[4:] == ["twins trained: 1,000 of 4,000"]


def test_what_comes_late_or_too_fast_is_not_drawn(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Bar("rows")
    for done in (1, 5, 3):
        bar(done, 9)
    assert len(lines(terminal)) == 2
    monkeypatch.setattr("fairheads.progress.time.monotonic", lambda: 1.1)
    bar(6, 9)
    assert len(lines(terminal)) == 2
    bar(9, 9)  # the end is always told
    assert lines(terminal)[-1] == "rows: 9 of 9\n"


def test_a_training_tells_its_epochs_and_losses(terminal: Terminal) -> None:
    data = Dataset(np.eye(4), [0, 1, 0, 1], [0, 0, 1, 1])
    history = train(MLP(4, hidden=(4,)), data, Unconstrained(), epochs=3, batch_size=2, progress=Epochs(3))
    told = lines(terminal)
    assert [line.split(",")[0] for line in told] == [f"epoch {i} of 3" for i in (1, 2, 3)]
    assert f"loss {history.losses[-1]:.4g}\n" in told[-1]


def test_workers_call_from_threads(terminal: Terminal) -> None:
    bar = Bar("twins")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda done: bar(done, 200), range(200)))
    bar(200, 200)
    drawn = [int(line.split()[1]) for line in lines(terminal)]
    assert drawn == sorted(drawn) and drawn[-1] == 200 and len(drawn) > 1


def test_nothing_is_drawn_where_errors_go_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("rows")
    bar(1, 2)
    bar(2, 2)
    assert capsys.readouterr() == ("", "")


class FakeNotebook(SimpleNamespace):
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        super().__init__()

    def called(self, how: str) -> Any:
        return lambda data, *, raw, display_id: self.calls.append((how, display_id, data))


def test_a_notebook_has_one_display_for_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    book = FakeNotebook()
    shown = SimpleNamespace(display=book.called("new"), update_display=book.called("update"))
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=shown))
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    bar = Bar("<b>rows</b>")
    for _ in range(2):
        bar(1, 2)
        bar(2, 2)
    assert [how for how, _, _ in book.calls] == ["new", "update"] * 2
    assert len({name for _, name, _ in book.calls}) == 2
    data = book.calls[1][2]
    assert data["text/plain"] == "<b>rows</b>: 2 of 2"
    assert data["text/html"].startswith('<progress max="2" value="2"') and "&lt;b&gt;rows" in data["text/html"]
    shell.kernel = None  # a terminal's IPython
    bar(1, 2)
    assert len(book.calls) == 4


def test_a_real_notebook_keeps_the_last_state_of_each_line_and_no_other_output() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from fairheads.progress import Bar, Epochs\n"
        "twins, epochs = Bar('twins trained'), Epochs(4)\n"
        "for i in range(1, 5): epochs(i, 1 / i)\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(lambda i: twins(i, 6), range(1, 6)))\n"
        "twins(6, 6)\n"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    outputs = book.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data"] * 2
    assert [output.data["text/plain"] for output in outputs] == ["epoch 4 of 4, loss 0.25", "twins trained: 6 of 6"]


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, fairheads.progress; print([n for n in ('torch', 'numpy', 'IPython') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_words_of_pace_and_time() -> None:
    assert pace(100, 100, 5.0) == ", 20 a second, 5 s left"
    assert pace(1, 100, 2.0) == ", 0.5 a second, 3 min left"
    assert pace(1, 0, 2.0) == pace(0, 3, 2.0) == ""
    assert [duration(s) for s in (119.0, 120.0, 7_200.0)] == ["119 s", "2 min", "2.0 h"]


def test_an_audit_tells_of_every_network_it_looks_into_and_of_no_group_that_is_too_small() -> None:
    data = synthetic(600, seed=3)
    few = (*data.group_names, "few")
    rows = Dataset(data.inputs, data.y, np.where(np.arange(600) < 3, 2, data.group), group_names=few)
    net, *twins = (MLP(8, hidden=(6,), seed=seed) for seed in range(3))
    for each in (net, *twins):
        list(each.parameters())[-2].data.mul_(9)  # logits of both signs
    heard: list[tuple[int, int]] = []
    for details in (False, True):
        heard.clear()
        audit(net, rows, twins=twins, details=details, looking=lambda *at: heard.append(at))
        all_ = 3 * (1 + details)
        assert heard[:3] == [(1, all_), (2, all_), (3, all_)]
        assert heard[-1] == (all_, all_)
