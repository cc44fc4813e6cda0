"""A run that was interrupted anywhere ends with the weights, to the bit, of one that was not."""

import json
import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from runs_for_tests import EPOCHS, RUNS, STEPS, train_in_own_process, train_run
from torch import Tensor, nn

from fairheads.training import History, checkpoint


@cache
def uninterrupted(name: str) -> tuple[dict[str, Tensor], History]:
    return train_run(name, None)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def interrupt_at(steps: set[int]) -> Callable[[nn.Module, int], bool]:
    def stop(_net: nn.Module, step: int) -> bool:
        if step in steps:
            steps.remove(step)
            raise KeyboardInterrupt
        return False

    return stop


def with_interruptions(name: str, path: Path, steps: list[int], every: int | None) -> tuple[dict[str, Tensor], History]:
    left = set(steps)
    for _ in range(len(steps)):
        with pytest.raises(KeyboardInterrupt):
            train_run(name, path, every=every, monitor=interrupt_at(left))
    return train_run(name, path, every=every, monitor=interrupt_at(left))


@pytest.mark.usefixtures("random_state_is_left_alone")
def test_training_with_checkpoints_and_interruptions_moves_no_global_random_state(tmp_path: Path) -> None:
    with torch.random.fork_rng(), pytest.raises(KeyboardInterrupt):
        train_run("dropout", tmp_path / "run.pt", monitor=interrupt_at({9}))


@pytest.mark.parametrize("name", ["lagrangian with memory", "dropout", "patience", "stream"])
def test_checkpoints_leave_a_run_as_it_is(name: str, tmp_path: Path) -> None:
    found, history = train_run(name, tmp_path / "run.pt", every=1)
    wanted, plain = uninterrupted(name)
    assert same(found, wanted) and history.losses == plain.losses
    assert (history.validation, history.best_epoch, history.stopped) == (
        plain.validation,
        plain.best_epoch,
        plain.stopped,
    )


@pytest.mark.parametrize(
    ("name", "every"),
    [*((name, 3) for name in RUNS), *(pytest.param(name, None, marks=pytest.mark.slow) for name in RUNS)],
)
def test_a_run_that_was_interrupted_ends_with_the_same_bits(name: str, every: int | None, tmp_path: Path) -> None:
    wanted, plain = uninterrupted(name)
    last = len(plain.losses) * STEPS
    # Before the first checkpoint, just after one, at the end of an epoch, just after it, and somewhere.
    draw = random.Random(name)
    for steps in ([1, 4], [STEPS, STEPS + 1, last], sorted(draw.sample(range(1, last + 1), 4))):
        path = tmp_path / f"{steps}.pt"
        found, history = with_interruptions(name, path, steps, every)
        assert same(found, wanted), steps
        assert json.dumps(history.record()) == json.dumps(plain.record()), steps
        written = [step for step in range(1, steps[-1]) if step % STEPS == 0 or (every and step % every == 0)]
        assert history.resumed_at == max(written, default=None)


def test_the_runs_are_what_they_are_called() -> None:
    """Positive controls: what has to be restored is there and moves."""
    assert all(len(history.losses) == EPOCHS for _, history in map(uninterrupted, RUNS) if history.stopped is None)
    history = uninterrupted("patience")[1]
    assert history.stopped is not None and history.best_epoch < len(history.losses), "patience has an effect"
    for name, part in {
        "penalized with memory": "constraint._cells",
        "lagrangian with memory": "multipliers",
        "side batch": "multipliers",
        "group dro": "log_shares",
        "adversarial": "adversary.0.weight",
        "reweighted": "weights",
    }.items():
        assert uninterrupted(name)[0][f"objective.{part}"].any()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("penalized", "net"),
        ("penalized", "optimizer"),
        ("penalized", "rate"),
        ("dropout", "random"),
        ("side batch", "side"),
        ("lagrangian with memory", "objective"),
    ],
)
def test_every_part_of_the_state_is_needed(name: str, part: str, tmp_path: Path, monkeypatch) -> None:
    """Without one of them the resumed run is another: what the tests above compare does depend on it."""
    whole = checkpoint.write

    def forgetful(path: Path, state: dict[str, object], run: str) -> None:
        first = path.with_name("first.pt")
        if not first.exists():
            whole(first, state, run)
        kept = checkpoint.read(first, run, torch.device("cpu"))
        whole(path, {**state, part: kept[part]}, run)

    monkeypatch.setattr(checkpoint, "write", forgetful)
    found, _ = with_interruptions(name, tmp_path / "run.pt", [14], 3)
    assert not same(found, uninterrupted(name)[0])


def test_a_run_that_ended_early_is_only_loaded(tmp_path: Path) -> None:
    wanted, plain = train_run("patience", tmp_path / "run.pt")
    called = []
    found, again = train_run("patience", tmp_path / "run.pt", monitor=lambda *_: bool(called.append(1)))
    assert same(found, wanted) and not called and again.stopped == plain.stopped
    assert again.resumed_at == len(plain.losses) * STEPS


class Counting:
    """A monitor with a state."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls, self.stop_at = 0, stop_at

    def __call__(self, net: nn.Module, step: int) -> bool:
        self.calls += 1
        if step == self.stop_at:
            raise KeyboardInterrupt
        return False

    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


def test_a_monitor_with_a_state_goes_on_from_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_run("penalized", tmp_path / "run.pt", monitor=Counting(stop_at=14))
    monitor = Counting()
    train_run("penalized", tmp_path / "run.pt", monitor=monitor)
    assert monitor.calls == EPOCHS * STEPS
    # One that came later, or has none, is no hindrance.
    train_run("penalized", tmp_path / "run.pt", monitor=lambda *_: False)


def test_an_interruption_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "run.pt"
    replace, written = Path.replace, []

    def interrupted(part: Path, target: Path) -> Path:
        written.append(part)
        if len(written) == 3:
            raise KeyboardInterrupt
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_run("lagrangian with memory", path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"], "nothing half-written is left"
    found, history = train_run("lagrangian with memory", path)
    assert history.resumed_at == 6 and same(found, uninterrupted("lagrangian with memory")[0])


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Children are forked from a server that has torch loaded already, and are processes of their own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "fairheads.training", "fairheads.nets"])
    return context


KILLED = ("penalized", "lagrangian with memory", "adversarial", "side batch", "dropout", "patience", "stream")


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_a_process_that_is_killed_at_steps_ends_with_the_same_bits(name: str, tmp_path: Path, processes) -> None:
    wanted, plain = uninterrupted(name)
    draw = random.Random(name)
    steps = sorted(draw.sample(range(2, len(plain.losses) * STEPS), 3))
    for kill_at in (*steps, None):
        process = processes.Process(target=train_in_own_process, args=(name, str(tmp_path), kill_at, 3))
        process.start()
        process.join(120)
        assert process.exitcode == (0 if kill_at is None else -signal.SIGKILL)
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert same(found["weights"], wanted) and tuple(found["losses"]) == plain.losses
    assert found["resumed_at"] is not None and found["resumed_at"] < steps[-1]


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_moment_ends_with_the_same_bits(tmp_path: Path, processes) -> None:
    """With a checkpoint after every step many of the kills hit one that is being written."""
    name = "lagrangian with memory"
    wanted, _ = uninterrupted(name)
    draw, killed = random.Random(0), 0
    for _ in range(200):
        process = processes.Process(target=train_in_own_process, args=(name, str(tmp_path), None, 1))
        process.start()
        had = (tmp_path / "run.pt").stat().st_mtime_ns if (tmp_path / "run.pt").exists() else 0
        # Wait until it has gone on from where the one before was killed, then a little.
        deadline = time.monotonic() + 60
        while process.is_alive() and time.monotonic() < deadline:
            if (tmp_path / "run.pt").exists() and (tmp_path / "run.pt").stat().st_mtime_ns != had:
                break
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.01))
        process.kill()
        process.join(60)
        if process.exitcode == 0:
            break
        killed += 1
    assert killed >= 2
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    assert same(found["weights"], wanted)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.pt", "run.pt"], "the next one cleans up"
