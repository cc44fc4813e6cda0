"""The Trainer of transformers against the same loop in plain torch, on a small BERT made from scratch: no downloads.

This file is also the program that each process of the test with two processes runs.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler

from fairheads.constraints import demographic_parity
from fairheads.data import Dataset
from fairheads.errors import ConfigError, InputError
from fairheads.monitor import HeadMonitor
from fairheads.training import Adversarial, GroupDRO, Lagrangian, Objective, Penalized, Unconstrained, cross_entropy

pytest.importorskip("accelerate", reason="needs the extra `integrations`")
pytest.importorskip("transformers", reason="needs the extra `integrations`")
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from fairheads.integrations.huggingface import ObjectiveTrainerCallback, OneLogit, objective_loss

pytestmark = pytest.mark.slow

ROWS, BATCH, WIDTH, TOKENS = 256, 32, 32, 6
RATE = 1e-3

Row = dict[str, Any]


def some_rows(n: int = ROWS, seed: int = 0, classes: int = 2) -> list[Row]:
    """Random tokens, of which the second tells the group; labels depend on the others and shift with the group."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(4, 20, (n, TOKENS))
    group = rng.integers(0, 2, n)
    tokens[:, 0], tokens[:, 1] = 0, 1 + group
    merit = (tokens[:, 2:] > 11).sum(1) - 2 + 1.5 * (group - 0.5) + 0.3 * rng.normal(size=n)
    label = np.digitize(merit, [0.0] if classes == 2 else [-1.0, 0.5])
    keys = ("input_ids", "labels", "group")
    whole = [
        dict(zip(keys, row, strict=True)) for row in zip(tokens.tolist(), label.tolist(), group.tolist(), strict=True)
    ]
    return [{**row, "attention_mask": [1] * TOKENS, "remark": "a column that no model takes"} for row in whole]


def columns(rows: list[Row], *names: str) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([row[name] for row in rows]) for name in names)


def new_model(labels: int = 2) -> BertForSequenceClassification:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=20,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=labels,
    )
    return BertForSequenceClassification(config)


class InOrder(Trainer):  # type: ignore[misc]
    """Takes the rows in their order, as the plain loop does."""

    def _get_train_sampler(self, *_: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


def made(
    out: Path,
    model: nn.Module,
    loss: objective_loss,
    *callbacks: TrainerCallback,
    rows: list[Row] | None = None,
    evaluated: list[Row] | None = None,
    metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
    **settings: Any,
) -> Trainer:
    """A trainer that shows nothing, and writes to ``out`` alone."""
    usual = {
        "output_dir": str(out),
        "label_names": ["labels", "group"],
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 2,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
    }
    parameters = [*model.parameters(), *loss.objective.parameters()]
    return InOrder(
        model,
        TrainingArguments(**{**usual, **settings}),
        train_dataset=rows or some_rows(),
        eval_dataset=evaluated,
        compute_loss_func=loss,
        compute_metrics=metrics,
        callbacks=list(callbacks),
        optimizers=(torch.optim.AdamW(parameters, lr=RATE), None),
    )


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Callable[..., Trainer]]:
    """Makes trainers that leave nothing in the working folder."""
    before = set(Path.cwd().iterdir())
    yield partial(made, tmp_path / "out")
    assert set(Path.cwd().iterdir()) == before, "a folder was left behind"


def plain_loop(
    objective: Objective,
    epochs: int = 2,
    accumulate: int = 1,
    labels: int = 2,
    rows: list[Row] | None = None,
    batch: int = BATCH,
) -> nn.Module:
    """The same training, written out."""
    net = new_model(labels)
    tokens, y, group = columns(rows or some_rows(), "input_ids", "labels", "group")
    optimizer = torch.optim.AdamW([*net.parameters(), *objective.parameters()], lr=RATE)
    net.train()
    with objective.attached(net):
        for _ in range(epochs):
            for i, part in enumerate(torch.arange(len(y)).split(batch), 1):
                logits = net(input_ids=tokens[part], attention_mask=torch.ones_like(tokens[part])).logits
                (objective(logits, y[part], group[part]) / accumulate).backward()
                if i % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
                    objective.step()
    return net


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.allclose(p, q, rtol=0, atol=1e-6) for p, q in pairs)


def parity(memory: float = 0.0) -> demographic_parity:
    return demographic_parity(groups=2, favourable=1, memory=memory)


def lagrangian() -> Lagrangian:
    return Lagrangian(parity(memory=0.9), tolerance=0.02, task=cross_entropy)


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "unconstrained": lambda: Unconstrained(cross_entropy),
    "penalized": lambda: Penalized(parity(), weight=3.0, task=cross_entropy),
    "lagrangian": lagrangian,
    "group dro": lambda: GroupDRO(rate=0.1, groups=2, task=cross_entropy),
    "adversarial": lambda: Adversarial(weight=0.5, groups=2, width=2, hidden=(4,), task=cross_entropy),
    "adversarial on a layer": lambda: Adversarial(
        weight=0.5, layer="bert.pooler", groups=2, width=WIDTH, hidden=(4,), task=cross_entropy
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_are_those_of_the_same_loop_in_plain_torch(name: str, trainer: Callable[..., Trainer]) -> None:
    model, objective, other = new_model(), OBJECTIVES[name](), OBJECTIVES[name]()
    loss = objective_loss(objective)
    trainer(model, loss, ObjectiveTrainerCallback(loss)).train()
    assert same(model, plain_loop(other)) and same(objective, other)
    assert not same(model, new_model())
    loss.detach()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("labels", [1, 3])
def test_one_logit_a_row_and_more_than_two_classes(labels: int, trainer: Callable[..., Trainer]) -> None:
    def made() -> Objective:
        if labels == 1:
            return Lagrangian(demographic_parity(groups=2), tolerance=0.02)
        return Lagrangian(demographic_parity(groups=2, favourable=2), tolerance=0.02, task=cross_entropy)

    rows = some_rows(classes=max(labels, 2))
    model, objective, other = new_model(labels), made(), made()
    loss = objective_loss(objective)
    trainer(model, loss, ObjectiveTrainerCallback(loss), rows=rows).train()
    assert same(model, plain_loop(other, labels=labels, rows=rows)) and same(objective, other)


def gap(model: nn.Module) -> float:
    tokens, group = columns(some_rows(2000, seed=1), "input_ids", "group")
    with torch.no_grad():
        decision = (model.eval()(input_ids=tokens).logits.argmax(1) == 1).float()
    return float((decision[group == 1].mean() - decision[group == 0].mean()).abs())


def test_training_under_a_tolerance_closes_a_gap_that_is_there_without(trainer: Callable[..., Trainer]) -> None:
    gaps = []
    for name in ("unconstrained", "lagrangian"):
        model, loss = new_model(), objective_loss(OBJECTIVES[name]())
        rows = some_rows(1024)
        trainer(model, loss, ObjectiveTrainerCallback(loss), rows=rows, num_train_epochs=10).train()
        gaps.append(gap(model))
    assert gaps[0] > 0.25 and gaps[1] < 0.12


def test_accumulated_batches_are_one_step(trainer: Callable[..., Trainer]) -> None:
    stepped = []

    class Counting(Lagrangian):
        def step(self) -> None:
            stepped.append(int(self._calls))
            super().step()

    objective, other = Counting(parity(memory=0.9), tolerance=0.02, task=cross_entropy), lagrangian()
    model, loss = new_model(), objective_loss(objective)
    trainer(model, loss, ObjectiveTrainerCallback(loss), gradient_accumulation_steps=4).train()
    assert stepped == [4] * 4
    assert same(model, plain_loop(other, accumulate=4)) and same(objective, other)


@pytest.mark.parametrize("name", ["lagrangian", "adversarial"])
def test_a_resumed_training_goes_on_where_the_first_stopped(
    name: str, trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    def fit(epochs: int, resume: str | None = None) -> tuple[nn.Module, Objective]:
        model, objective = new_model(), OBJECTIVES[name]()
        loss = objective_loss(objective)
        settings = {"num_train_epochs": epochs, "save_strategy": "epoch"}
        trainer(model, loss, ObjectiveTrainerCallback(loss), **settings).train(resume_from_checkpoint=resume)
        return model, objective

    whole, expected = fit(3)
    middle = str(tmp_path / "out" / f"checkpoint-{ROWS // BATCH}")
    # A checkpoint can be moved: nothing is beside it.
    Path(middle).rename(tmp_path / "moved")
    resumed, objective = fit(3, resume=str(tmp_path / "moved"))
    assert same(resumed, whole) and same(objective, expected)


def test_a_checkpoint_without_an_objective_is_refused(trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    model, loss = new_model(), objective_loss(lagrangian())
    loss.attach(model)
    trainer(model, loss, save_strategy="epoch", num_train_epochs=1).train()
    model, loss = new_model(), objective_loss(lagrangian())
    checkpoint = str(tmp_path / "out" / f"checkpoint-{ROWS // BATCH}")
    with pytest.raises(InputError, match="written without this callback"):
        trainer(model, loss, ObjectiveTrainerCallback(loss)).train(resume_from_checkpoint=checkpoint)


def test_evaluation_moves_nothing_and_metrics_see_the_group(trainer: Callable[..., Trainer]) -> None:
    shapes = []

    def metrics(found: EvalPrediction) -> dict[str, float]:
        label, group = found.label_ids
        shapes.append((label.shape, group.shape, found.predictions.shape))
        return {"group_1": float(group.mean())}

    rows = some_rows(100, seed=5)
    model, objective, other = new_model(), lagrangian(), lagrangian()
    loss = objective_loss(objective)
    each = trainer(
        model,
        loss,
        ObjectiveTrainerCallback(loss),
        evaluated=rows,
        metrics=metrics,
        eval_strategy="steps",
        eval_steps=3,
    )
    each.train()
    assert same(model, plain_loop(other)) and same(objective, other)
    found = each.evaluate()
    assert shapes[-1] == ((100,), (100,), (100, 2))
    assert found["eval_group_1"] == pytest.approx(np.mean([row["group"] for row in rows]))
    assert found["eval_loss"] > 0 and not objective.training


def test_curves_are_in_the_log_of_the_trainer(trainer: Callable[..., Trainer]) -> None:
    model, objective = new_model(), lagrangian()
    loss = objective_loss(objective)
    each = trainer(model, loss, ObjectiveTrainerCallback(loss), logging_strategy="steps", logging_steps=1)
    each.train()
    logged = [entry for entry in each.state.log_history if "loss" in entry]
    assert len(logged) == 2 * ROWS // BATCH
    assert all({f"fairheads/{n}" for n in ("constraint", "gap", "multiplier", "price")} <= set(e) for e in logged)
    assert logged[-1]["fairheads/multiplier"] == pytest.approx(float(objective.multipliers.max()))


def test_the_monitor_ends_the_training(trainer: Callable[..., Trainer]) -> None:
    seen = []

    def monitor(net: nn.Module, step: int) -> bool:
        seen.append((type(net), step))
        return step == 3

    model, loss = new_model(), objective_loss(lagrangian())
    each = trainer(model, loss, ObjectiveTrainerCallback(loss, monitor), gradient_accumulation_steps=2)
    each.train()
    assert seen == [(OneLogit, 1), (OneLogit, 2), (OneLogit, 3)] and each.state.global_step == 3


def test_the_head_monitor_watches_a_transformer_and_its_history_is_kept(
    trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    tokens, mask, y, group = columns(some_rows(1200, seed=3), "input_ids", "attention_mask", "labels", "group")
    held_out = Dataset(
        {"input_ids": tokens.numpy(), "attention_mask": mask.numpy()}, y.numpy(), group.numpy(), name="tokens"
    )
    runs = []
    for resume in (None, str(tmp_path / "out" / f"checkpoint-{ROWS // BATCH}")):
        model, loss = new_model(), objective_loss(lagrangian())
        monitor = HeadMonitor(held_out, every=4, layer="model.bert.pooler.activation")
        callback = ObjectiveTrainerCallback(loss, monitor)
        trainer(model, loss, callback, save_strategy="epoch").train(resume_from_checkpoint=resume)
        assert [reading.step for reading in monitor.history] == [4, 8, 12, 16]
        runs.append(model)
    unwatched = plain_loop(lagrangian())
    assert same(runs[0], unwatched) and same(runs[1], unwatched)


def test_the_logit_of_a_class_is_its_log_odds_against_all_others() -> None:
    model = new_model(3).eval()
    (tokens,) = columns(some_rows(50), "input_ids")
    with torch.no_grad():
        found = OneLogit(model, ("input_ids",), favourable=2)(tokens)
        expected = torch.logit(model(input_ids=tokens).logits.double().softmax(1)[:, 2])
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
        one = OneLogit(new_model(1).eval(), ("input_ids",))(tokens)
    assert one.shape == (50,)


def test_a_group_that_does_not_arrive_is_said(trainer: Callable[..., Trainer]) -> None:
    model, loss = new_model(), objective_loss(lagrangian())
    with pytest.raises(InputError, match=r"'group', which did not arrive: name it in `TrainingArguments\(label_names"):
        trainer(model, loss, ObjectiveTrainerCallback(loss), label_names=["labels"]).train()
    # The hook never lets the group of one batch be taken for that of the next.
    loss.attach(model)
    model(input_ids=torch.ones(2, 3, dtype=torch.long), group=torch.tensor([0, 1]))
    outputs = model(input_ids=torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(InputError, match="did not arrive"):
        loss(outputs, torch.tensor([0, 1]))


def test_what_cannot_work_is_refused(trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ConfigError, match="`objective` must be an Objective, got ReLU"):
        objective_loss(nn.ReLU())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`loss` must be the objective_loss"):
        ObjectiveTrainerCallback(lagrangian())  # type: ignore[arg-type]
    loss = objective_loss(lagrangian())
    with pytest.raises(ConfigError, match="`restore_callback_states_from_checkpoint` must be False"):
        trainer(new_model(), loss, ObjectiveTrainerCallback(loss), restore_callback_states_from_checkpoint=True)


def work(name: str, folder: Path) -> None:
    """What one of two processes does: train on its half of every batch."""
    torch.set_num_threads(1)
    model, objective = new_model(), OBJECTIVES[name]()
    loss, calls = objective_loss(objective), []

    def monitor(net: nn.Module, step: int) -> bool:
        calls.append(step)
        return step == 6

    callback = ObjectiveTrainerCallback(loss, monitor)
    half = {"per_device_train_batch_size": BATCH // 2, "ddp_backend": "gloo"}
    made(folder, model, loss, callback, logging_strategy="steps", logging_steps=2, **half).train()
    rank = int(os.environ["RANK"])
    state = {"model": model.state_dict(), "objective": objective.state_dict(), "calls": calls}
    torch.save(state, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["lagrangian", "adversarial"])
def test_two_processes_train_as_one_does_on_both_their_batches(name: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    if sys.platform == "linux":
        world["GLOO_SOCKET_IFNAME"] = "lo"
    started = [
        subprocess.Popen(
            [sys.executable, __file__, name, str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    try:
        complaints = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(complaints)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    objective = OBJECTIVES[name]()
    # The monitor of the first process ends the training of both.
    net = plain_loop(objective, epochs=1, rows=some_rows()[: 6 * BATCH])
    for found in (first, second):
        for part, expected in (("model", net.state_dict()), ("objective", objective.state_dict())):
            assert set(found[part]) == set(expected)
            for key, values in expected.items():
                # Adam makes steps of one size of small gradients and of their rounding.
                torch.testing.assert_close(found[part][key], values, rtol=0, atol=1e-5)
    assert (first["calls"], second["calls"]) == ([1, 2, 3, 4, 5, 6], [])


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))
