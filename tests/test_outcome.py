"""The same network gives the same score whatever its last step is, and a wrong word about its outputs is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fairheads.activations import Outcome, TorchNetwork
from fairheads.errors import ConfigError, InputError
from fairheads.nets import MLP, TwoHeadNet

X = {"x": np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)}
LOGIT = 2 * torch.randn(50, generator=torch.Generator().manual_seed(0))
LOGITS = 2 * torch.randn(50, 3, generator=torch.Generator().manual_seed(1))


def test_a_probability_has_the_score_of_its_logit() -> None:
    p = LOGIT.sigmoid()
    for kind in ("sigmoid", "probability"):
        for outputs in (p, p[:, None]):
            score = Outcome(kind).score(outputs)
            assert score.shape == (50,) and score.dtype == torch.float64
            torch.testing.assert_close(score, LOGIT.double(), atol=1e-4, rtol=0)
            assert ((score > 0) == (p > 0.5)).all()


@pytest.mark.parametrize("kind", ["softmax", "probability"])
@pytest.mark.parametrize("favourable", [0, 1, 2])
def test_softmax_has_the_score_of_its_logits(kind: str, favourable: int) -> None:
    wanted = Outcome("logit", favourable).score(LOGITS)
    score = Outcome(kind, favourable).score(LOGITS.softmax(1))
    torch.testing.assert_close(score, wanted.double(), atol=1e-5, rtol=0)
    assert ((score > 0) == (LOGITS.argmax(1) == favourable)).all()


def test_softmax_of_two_is_exact_where_a_single_probability_is_clipped() -> None:
    logits = torch.tensor([[0.0, 30.0], [40.0, 0.0], [1.0, 0.0]])
    both, single = logits.softmax(1), logits.softmax(1)[:, 1]
    torch.testing.assert_close(Outcome("softmax", 1).score(both), torch.tensor([30.0, -40.0, -1.0]).double())
    assert Outcome("softmax", 1).clipped(both) == 0
    limit = math.log((1 - 2**-23) / 2**-23)
    torch.testing.assert_close(Outcome("sigmoid").score(single), torch.tensor([limit, -limit, -1.0]).double())
    assert Outcome("sigmoid").clipped(single) == 2
    assert Outcome("softmax", 1).clipped(torch.tensor([[0.0, 1.0], [0.5, 0.5]])) == 1
    assert Outcome("softmax", 1).score(torch.tensor([[0.0, 1.0]])).isfinite().all()
    assert Outcome("logit").clipped(logits[:, 1]) == 0
    assert Outcome("sigmoid", 1).clipped(both) == 2 and Outcome("sigmoid", 0).clipped(both[2:]) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_clips_follow_the_type_of_the_outputs(dtype: torch.dtype) -> None:
    p = torch.tensor([0.0, 0.5, 1.0], dtype=dtype)
    score = Outcome("sigmoid").score(p)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(score[2], torch.tensor(math.log((1 - eps) / eps)).double(), rtol=1e-6, atol=0)
    assert score[0] == -score[2] and score[1] == 0 and Outcome("sigmoid").clipped(p) == 2


def test_one_column_turns_round_for_class_zero() -> None:
    for kind in ("logit", "sigmoid", "probability", "regression"):
        outputs = LOGIT if kind in ("logit", "regression") else LOGIT.sigmoid()
        one = Outcome(kind, 1).score(outputs)
        assert torch.equal(Outcome(kind, 0).score(outputs), -one) and torch.equal(Outcome(kind).score(outputs), one)


def test_columns_of_sigmoid_do_not_exclude_each_other() -> None:
    p = LOGITS.sigmoid()
    torch.testing.assert_close(Outcome("sigmoid", 2).score(p), LOGITS[:, 2].double(), atol=1e-4, rtol=0)
    assert not torch.allclose(Outcome("logit", 2).score(LOGITS).double(), LOGITS[:, 2].double(), atol=0.1)


@pytest.mark.parametrize(
    ("said", "outputs", "decided"),
    [
        ("sigmoid@0.3", LOGIT.sigmoid(), LOGIT.sigmoid() > 0.3),
        ("sigmoid:0@0.3", LOGIT.sigmoid(), LOGIT.sigmoid() < 0.3),
        ("softmax:1@0.8", LOGITS[:, :2].softmax(1), LOGITS[:, :2].softmax(1)[:, 1] > 0.8),
        ("sigmoid:2@0.3", LOGITS.sigmoid(), LOGITS[:, 2].sigmoid() > 0.3),
        ("regression@1.5", LOGIT, LOGIT > 1.5),
        ("regression:0@-1", LOGIT, LOGIT < -1),
        ("logit@0.7", LOGIT, LOGIT > 0.7),
    ],
)
def test_the_score_is_above_0_where_the_threshold_is_passed(
    said: str, outputs: torch.Tensor, decided: torch.Tensor
) -> None:
    assert 0 < decided.sum() < len(decided)
    assert torch.equal(Outcome.parse(said).score(outputs) > 0, decided)


# --- what is written ---------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["logit", "sigmoid", "softmax", "probability", "regression"]),
    st.none() | st.integers(0, 999),
    st.none() | st.floats(0.01, 0.99),
)
def test_what_is_printed_is_read_again(kind: str, favourable: int | None, threshold: float | None) -> None:
    outcome = Outcome(kind, favourable, threshold)
    assert Outcome.parse(str(outcome)) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("logit", Outcome()),
        (" softmax:2 ", Outcome("softmax", 2)),
        ("softmax:Female", Outcome("softmax", 1)),
        ("probability:a@b:c", Outcome("probability", 2)),
        ("probability:Female@0.25", Outcome("probability", 1, 0.25)),
        ("regression@-3e2", Outcome("regression", None, -300.0)),
        ("logit:7", Outcome("logit", 0)),
    ],
)
def test_texts_and_names(text: str, outcome: Outcome) -> None:
    assert Outcome.parse(text, ["7", "Female", "a@b:c"]) == outcome


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "KIND"),
        ("softmax:", "KIND"),
        ("sigmoid@", "KIND"),
        ("softmx:1", "Did you mean 'softmax'?"),
        ("softmax:femal", "Did you mean 'female'?"),
        ("softmax:-1", "no class '-1'"),
        ("sigmoid@half", "must be a number, got 'half'"),
        ("sigmoid@1.5", "between 0 and 1"),
        ("sigmoid@0", "between 0 and 1"),
        ("regression@nan", "finite"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        Outcome.parse(text, ["male", "female"])
    with pytest.raises(ConfigError, match="give the names of the classes"):
        Outcome.parse("softmax:female")


@pytest.mark.parametrize(
    ("said", "outputs", "error", "message"),
    [
        ("logit", LOGITS, InputError, "3 logits a row; say which class"),
        ("logit:1", LOGITS.softmax(1), InputError, r"returns probabilities.*outcome=Outcome\('softmax', 1\)"),
        ("logit", LOGITS.softmax(1).half(), InputError, "returns probabilities.*and no logits"),
        ("logit", LOGITS, InputError, r"as in TorchNetwork\(net, favourable=1\)"),
        ("softmax", LOGITS.softmax(1), InputError, r"as in TorchNetwork\(net, outcome=Outcome\('softmax', 1\)\)"),
        ("softmax", LOGITS.softmax(1), InputError, "3 probabilities a row; say which class"),
        ("softmax:1", LOGITS, InputError, "no probabilities; logits are said by 'logit'"),
        ("sigmoid", LOGIT, InputError, "no probabilities"),
        ("softmax:1", LOGITS.sigmoid(), InputError, "say 'sigmoid' of classes that do not exclude"),
        ("softmax:0", LOGIT.sigmoid(), InputError, "say 'sigmoid' of a single"),
        ("softmax:3", LOGITS.softmax(1), ConfigError, "a class from 0 to 2, got 3"),
        ("sigmoid:2", LOGIT.sigmoid(), ConfigError, "must be 0 or 1"),
        ("softmax:1@0.4", LOGITS.softmax(1), ConfigError, "exclude each other have no threshold"),
        ("regression", LOGITS, InputError, "one number a row, got 3"),
        ("regression", LOGITS[None], InputError, r"one number a row, got an output of shape \(1, 50, 3\)"),
        ("sigmoid", LOGITS.sigmoid()[None], InputError, "one probability a row"),
    ],
)
def test_outputs_of_another_kind_are_refused(
    said: str, outputs: torch.Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Outcome.parse(said).score(outputs)


# --- a torch network ---------------------------------------------------------------------------------------------


def test_a_network_with_its_last_step_is_the_one_without() -> None:
    three = MLP(4, hidden=(6, 5), outputs=3, seed=1)
    plain = TorchNetwork(three, favourable=2)
    for module, outcome in (
        (three, Outcome("logit", 2)),
        (nn.Sequential(three, nn.Softmax(1)), Outcome("softmax", 2)),
    ):
        network = TorchNetwork(module, outcome=outcome)
        same = np.array_equal if module is three else lambda a, b: np.allclose(a, b, atol=1e-5)
        assert same(network.forward(X), plain.forward(X)) and network.clipped == 0
        layer = network.layers()[0]
        score, gradient = network.gradient(X, layer)
        assert same(gradient, plain.gradient(X, "backbone.1")[1]) and same(score, plain.forward(X))
        twin = network.twin(module)
        assert np.array_equal(twin.forward(X), network.forward(X)) and twin.outcome == outcome


def test_clipped_rows_of_a_pass_are_counted() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1), nn.Sigmoid())
    network = TorchNetwork(net, outcome=Outcome("sigmoid"))
    network.forward(X)
    assert network.clipped == 0
    with torch.no_grad():
        net[2].bias.fill_(40)
    network.forward(X)
    assert network.clipped == 40


def test_favourable_is_one_of_the_two_ways_to_say_it() -> None:
    with pytest.raises(ConfigError, match="leave `favourable` out"):
        TorchNetwork(MLP(4), favourable=1, outcome=Outcome("logit", 1))
    with pytest.raises(InputError, match="one logit a row"):
        TorchNetwork(MLP(4), favourable=1).forward(X)
    with pytest.raises(InputError, match="merge its heads first"):
        TorchNetwork(TwoHeadNet(MLP(4, hidden=(3,))), outcome=Outcome("logit", 1)).forward(X)
