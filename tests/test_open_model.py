"""One small network saved in every format gives the same scores, and what a file lacks is said in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fairheads.activations import Network, Outcome, as_network
from fairheads.errors import ConfigError, FairheadsWarning, InputError, UnsafeModelError
from fairheads.models import Bundle, open_model, save_bundle, weights_digest
from fairheads.nets import MLP
from fairheads.pathways import analyze_pathways
from fairheads.planted import synthetic

WIDTH = 8
FACTORY = """
import torch
from fairheads.nets import MLP

def net():
    return MLP(8, hidden=(6, 5))

def narrow():
    return MLP(8, hidden=(6, 4))

def from_weights(weights):
    made = net()
    made.load_state_dict({name.replace("/", "."): value for name, value in weights.items()})
    return made

def nothing():
    return None
"""


@pytest.fixture(scope="module")
def net() -> MLP:
    return MLP(WIDTH, hidden=(6, 5), seed=3)


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(size=(700, WIDTH)).astype(np.float32)}


@pytest.fixture(scope="module")
def program(net: MLP) -> torch.export.ExportedProgram:
    rows = torch.export.Dim("rows")
    return torch.export.export(net.eval(), (torch.zeros(4, WIDTH),), dynamic_shapes=({0: rows},))


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own in the current folder, by its name."""
    name = f"own_nets_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return name


def linears(net: MLP) -> list[nn.Linear]:
    return [part for part in net.modules() if isinstance(part, nn.Linear)]


def opened(path: Path, **options: Any) -> Network:
    model = open_model(path, **options)
    return as_network(model.net if isinstance(model, Bundle) else model)


def same(network: Network, net: MLP, inputs: Mapping[str, np.ndarray]) -> bool:
    return bool(np.allclose(network.forward(inputs), as_network(net).forward(inputs), rtol=0, atol=1e-5))


def test_a_bundle(net: MLP, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert same(opened(save_bundle(Bundle(net=net), tmp_path / "net")), net, inputs)


def test_an_export_is_bit_equal_and_shows_its_layers(
    net: MLP, program: torch.export.ExportedProgram, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    torch.export.save(program, tmp_path / "net.pt2")
    network = opened(tmp_path / "net.pt2")
    np.testing.assert_array_equal(network.forward(inputs), as_network(program).forward(inputs))
    assert same(network, net, inputs)
    assert network.layers() == as_network(net).layers()
    assert not same(network, MLP(WIDTH, hidden=(6, 5), seed=4), inputs), "the comparison must be able to fail"


def test_an_export_keeps_what_it_was_exported_with_by_name(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 1)

        def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
            weight = mask.float() / mask.sum(1, keepdim=True)
            return {"logits": self.head((self.embed(tokens) * weight[:, :, None]).sum(1))}

    rows, two = torch.export.Dim("rows"), Two().eval()
    tokens, mask = torch.arange(12).reshape(4, 3) % 9, torch.ones(4, 3, dtype=torch.long)
    program = torch.export.export(
        two, (), {"tokens": tokens, "mask": mask}, dynamic_shapes={"tokens": {0: rows}, "mask": {0: rows}}
    )
    torch.export.save(program, tmp_path / "two.pt2")
    got = opened(tmp_path / "two.pt2").forward({"tokens": tokens.numpy(), "mask": mask.numpy()})
    np.testing.assert_allclose(got, two(tokens, mask)["logits"][:, 0].detach(), atol=1e-6)


@pytest.mark.parametrize("kind", ["safetensors", "checkpoint", "training checkpoint", "npz"])
def test_weights_with_a_factory(
    kind: str, net: MLP, inputs: dict[str, np.ndarray], tmp_path: Path, own_code: str
) -> None:
    file, function = tmp_path / "net.pt", "net"
    if kind == "safetensors":
        file = tmp_path / "net.safetensors"
        save_file(net.state_dict(), file)
    elif kind == "checkpoint":
        torch.save(net.state_dict(), file)
    elif kind == "training checkpoint":
        torch.save({"epoch": 3, "state_dict": net.state_dict()}, file)
    else:
        file, function = tmp_path / "net.npz", "from_weights"
        np.savez(file, **{name.replace(".", "/"): value.numpy() for name, value in net.state_dict().items()})
    with pytest.warns(FairheadsWarning, match=f"ran '{own_code}:{function}', code of your own"):
        assert same(opened(file, factory=f"{own_code}:{function}"), net, inputs)


def test_a_folder_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `integrations`")
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        num_labels=1,
    )
    bert = transformers.BertForSequenceClassification(config).eval()
    bert.save_pretrained(tmp_path / "bert")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    tokens = torch.arange(15).reshape(3, 5)
    got = opened(tmp_path / "bert").forward({"input_ids": tokens.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, bert(tokens).logits[:, 0], atol=1e-5)


@pytest.fixture(scope="module")
def dump() -> Callable[[Any, Path], None]:
    skops = pytest.importorskip("skops.io", reason="needs the extra `integrations`")
    return skops.dump


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_scikit_learn(
    solver: str, net: MLP, inputs: dict[str, np.ndarray], tmp_path: Path, dump: Callable[[Any, Path], None]
) -> None:
    from sklearn.neural_network import MLPClassifier

    x = inputs["x"].astype(float)
    model = MLPClassifier((6, 5), max_iter=1, solver=solver, random_state=0).fit(x, x[:, 0] > 0)
    dump(model, tmp_path / "own.skops")
    probability = model.predict_proba(x)[:, 1]
    own = opened(tmp_path / "own.skops").forward({"x": x})
    np.testing.assert_allclose(own, np.log(probability / (1 - probability)), atol=1e-8)
    model.coefs_ = [linear.weight.detach().numpy().T for linear in linears(net)]
    model.intercepts_ = [linear.bias.detach().numpy() for linear in linears(net)]
    dump(model, tmp_path / "net.skops")
    network = opened(tmp_path / "net.skops")
    assert same(network, net, inputs)
    assert len(network.layers()) == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_regression_behind_a_scaler(tmp_path: Path, dump: Callable[[Any, Path], None]) -> None:
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    x = np.random.default_rng(1).normal(3, 2, size=(50, 4))
    net = MLPRegressor(hidden_layer_sizes=(5,), activation="tanh", max_iter=2, random_state=0)
    model = make_pipeline(StandardScaler(), net).fit(x, x[:, 1])
    dump(model, tmp_path / "net.skops")
    np.testing.assert_allclose(opened(tmp_path / "net.skops").forward({"x": x}), model.predict(x), atol=1e-10)
    dump(make_pipeline(MinMaxScaler(), net).fit(x, x[:, 1]), tmp_path / "other.skops")
    with pytest.raises(UnsafeModelError, match="MinMaxScaler"):
        open_model(tmp_path / "other.skops")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_of_three_classes_gives_a_logit_each(tmp_path: Path, dump: Callable[[Any, Path], None]) -> None:
    from sklearn.neural_network import MLPClassifier

    x = np.random.default_rng(1).normal(size=(60, 4))
    model = MLPClassifier((5,), max_iter=2, random_state=0).fit(x, np.array(["a", "b", "c"])[np.arange(60) % 3])
    dump(model, tmp_path / "net.skops")
    module = open_model(tmp_path / "net.skops")
    assert isinstance(module, nn.Module)
    np.testing.assert_allclose(module(torch.tensor(x)).softmax(1).detach(), model.predict_proba(x), atol=1e-10)


def test_onnx(net: MLP, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra `integrations`")
    pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")
    nodes, weights, last = [], [], "x"
    for number, linear in enumerate(linears(net)):
        weights += [
            onnx.numpy_helper.from_array(linear.weight.detach().numpy(), f"w{number}"),
            onnx.numpy_helper.from_array(linear.bias.detach().numpy(), f"b{number}"),
        ]
        nodes.append(onnx.helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [f"h{number}"], transB=1))
        last = f"h{number}"
        if number < 2:
            nodes.append(onnx.helper.make_node("Relu", [last], [f"a{number}"]))
            last = f"a{number}"
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", kind, ["rows", WIDTH])],
        [onnx.helper.make_tensor_value_info(last, kind, ["rows", 1])],
        weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    assert same(opened(tmp_path / "net.onnx"), net, inputs)
    graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    outside = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "outside.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(UnsafeModelError, match=r"outside\.onnx.*keeps weights in another file"):
        open_model(tmp_path / "outside.onnx")
    (tmp_path / "cut.onnx").write_bytes(model.SerializeToString()[:-40])
    with pytest.raises(UnsafeModelError, match=r"cut\.onnx"):
        open_model(tmp_path / "cut.onnx")


def test_an_outcome_says_how_outputs_are_scored(net: MLP, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    probability = nn.Sequential(net, nn.Sigmoid()).eval()
    rows = torch.export.Dim("rows")
    program = torch.export.export(probability, (torch.zeros(4, WIDTH),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "net.pt2")
    assert same(opened(tmp_path / "net.pt2", outcome=Outcome.parse("probability")), net, inputs)
    assert not same(opened(tmp_path / "net.pt2"), net, inputs)
    folder = save_bundle(Bundle(net=net), tmp_path / "net")
    with pytest.raises(ConfigError, match="leave `outcome` out"):
        open_model(folder, outcome=Outcome.parse("probability"))


def test_an_export_for_one_size_of_batch_is_filled_up(net: MLP, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    torch.export.save(torch.export.export(net.eval(), (torch.zeros(4, WIDTH),)), tmp_path / "net.pt2")
    network = opened(tmp_path / "net.pt2")
    assert same(network, net, inputs)
    with pytest.raises(RuntimeError, match=r"shape\[1\] to be equal to 8, but got 7"):
        network.forward({"x": inputs["x"][:, 1:]})


def test_an_export_has_the_report_of_its_network(net: MLP, program: Any, tmp_path: Path) -> None:
    torch.export.save(program, tmp_path / "net.pt2")
    data = synthetic(400)
    (own,) = analyze_pathways(net, data, details=False).values()
    (exported,) = analyze_pathways(opened(tmp_path / "net.pt2"), data, details=False).values()
    assert exported.verdict == own.verdict
    assert exported.effect.value == pytest.approx(own.effect.value, abs=1e-5)


@pytest.mark.parametrize(
    ("factory", "error", "words"),
    [
        (None, ConfigError, "holds weights alone: name the function"),
        ("net", ConfigError, "named like 'pkg.mod:function'"),
        ("{own}:missing", ConfigError, "has no function 'missing'"),
        ("no_such_module_here:net", ConfigError, "cannot be imported"),
        ("os; import sys:net", ConfigError, "named like"),
    ],
)
def test_a_factory_that_cannot_be_used(
    factory: str | None, error: type[Exception], words: str, net: MLP, tmp_path: Path, own_code: str
) -> None:
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(error, match=words):
        open_model(tmp_path / "net.safetensors", factory=factory and factory.format(own=own_code))


@pytest.mark.filterwarnings("ignore:ran '")
def test_a_factory_that_builds_another_network(net: MLP, tmp_path: Path, own_code: str) -> None:
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"do not fit the network of .*size mismatch"):
        open_model(tmp_path / "net.safetensors", factory=f"{own_code}:narrow")
    with pytest.raises(ConfigError, match=r"must return an nn\.Module, got NoneType"):
        open_model(tmp_path / "net.safetensors", factory=f"{own_code}:nothing")


def test_a_model_that_brings_its_network_takes_no_factory(net: MLP, tmp_path: Path, own_code: str) -> None:
    folder = save_bundle(Bundle(net=net), tmp_path / "net")
    with pytest.raises(ConfigError, match="brings its own network"):
        open_model(folder, factory=f"{own_code}:net")


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model at"):
        open_model(tmp_path / "nothing.pt2")
    with pytest.raises(InputError, match=r"a folder needs a config\.json"):
        open_model(tmp_path)
    (tmp_path / "people.csv").write_text("city,age\nx,1\n")
    with pytest.raises(InputError, match="no model of a known kind"):
        open_model(tmp_path / "people.csv")


@pytest.mark.parametrize(("package", "file"), [("skops", "net.skops"), ("transformers", "bert")])
def test_a_missing_extra_is_named(package: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if package == "skops":
        import zipfile

        with zipfile.ZipFile(tmp_path / file, "w") as archive:
            archive.writestr("schema.json", "{}")
    else:
        (tmp_path / file).mkdir()
        config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
        (tmp_path / file / "config.json").write_text(json.dumps(config))
        save_file({"x": torch.zeros(2)}, tmp_path / file / "model.safetensors")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs {package}: pip install 'fairheads\\[integrations\\]'"):
        open_model(tmp_path / file)


def test_opening_loads_no_extra_before_it_is_needed() -> None:
    code = (
        "import sys, fairheads.models;"
        "print([name for name in ('transformers', 'skops', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_weights_of_a_bundle_are_those_that_were_saved(net: MLP, tmp_path: Path) -> None:
    model = open_model(save_bundle(Bundle(net=net), tmp_path / "net"))
    assert isinstance(model, Bundle)
    assert weights_digest(model.net) == weights_digest(net)
