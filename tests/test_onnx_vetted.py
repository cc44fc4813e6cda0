"""Hostile graphs are refused before onnxruntime sees them, and damaged ones by a clear line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairheads.activations import OnnxNetwork
from fairheads.errors import ConfigError, FairheadsError, InputError, UnsafeModelError

onnx = pytest.importorskip("onnx", reason="needs the extra `integrations`")
pytest.importorskip("onnxruntime", reason="needs the extra `integrations`")

from onnx_for_tests import FLOAT, WHOLE, model_of, node, small  # noqa: E402

X = {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}


def external(location: str, *, in_node: bool = False) -> Any:
    """Weights that are to be read from another place."""
    model = small(node("Constant", "", "k", value=onnx.numpy_helper.from_array(np.float32(1))), node("Mul", "z k", "y"))
    constant = next(each for each in model.graph.node if each.op_type == "Constant")
    tensor = constant.attribute[0].t if in_node else model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def in_a_branch(model: Any) -> Any:
    """The same nodes inside both branches of an ``If``."""
    out = onnx.helper.make_tensor_value_info("out", FLOAT, None)
    nodes = [*model.graph.node, node("Identity", "y", "out")]
    inner = onnx.helper.make_graph(nodes, "inner", [], [out], list(model.graph.initializer))
    outer = [
        node("ReduceSum", "x", "all", keepdims=0),
        node("Less", "all bound", "is"),
        node("If", "is", "score", then_branch=inner, else_branch=inner),
    ]
    return model_of(outer, {"bound": np.float32(0)}, outputs={"score": (FLOAT, ["N", 1])})


def changed(change: Callable[[Any], Any]) -> Any:
    model = small()
    change(model)
    return model


def function_of_its_own() -> Any:
    model = small(onnx.helper.make_node("Mine", ["z"], ["y"], domain="own"))
    opsets = [onnx.helper.make_opsetid("", 20)]
    model.functions.append(onnx.helper.make_function("own", "Mine", ["a"], ["b"], [node("Relu", "a", "b")], opsets))
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    return model


def loop() -> Any:
    body = onnx.helper.make_graph(
        [node("Identity", "on", "on_out"), node("Add", "v one", "v_out")],
        "body",
        [
            onnx.helper.make_tensor_value_info("i", WHOLE, []),
            onnx.helper.make_tensor_value_info("on", 9, []),
            onnx.helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [onnx.helper.make_tensor_value_info("on_out", 9, []), onnx.helper.make_tensor_value_info("v_out", FLOAT, None)],
    )
    weights = {"one": np.float32(1), "many": np.int64(2**62), "true": np.array(True)}
    return small(node("Loop", "many true z", "y", body=body), weights=weights)


def sparse(dims: list[int]) -> Any:
    values = onnx.numpy_helper.from_array(np.float32([1]), "S")
    indices = onnx.numpy_helper.from_array(np.int64([0]), "S_at")
    made = onnx.helper.make_sparse_tensor(values, indices, dims)
    model = small(node("MatMul", "z S", "y"))
    model.graph.sparse_initializer.append(made)
    return model


HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "weights elsewhere": (lambda: external("../../etc/passwd"), "another file, '../../etc/passwd'"),
    "weights at an absolute path": (lambda: external("/etc/passwd"), "another file"),
    "weights in memory": (lambda: external("*/_ORT_MEM_ADDR_/*"), "another file"),
    "weights of a node elsewhere": (lambda: external("x.bin", in_node=True), "another file"),
    "weights of a branch elsewhere": (lambda: in_a_branch(external("x.bin")), "another file"),
    "weights of a node of a branch elsewhere": (lambda: in_a_branch(external("x", in_node=True)), "another file"),
    "external data without saying so": (
        lambda: changed(lambda m: m.graph.initializer[0].external_data.add(key="location", value="x")),
        "another file, 'x'",
    ),
    "operators of its own": (
        lambda: small(onnx.helper.make_node("Run", ["z"], ["y"], domain="evil.corp")),
        "outside the standard, of evil.corp",
    ),
    "operators of its own in a branch": (
        lambda: in_a_branch(small(onnx.helper.make_node("Run", ["z"], ["y"], domain="evil.corp"))),
        "outside the standard",
    ),
    "operators of the runtime": (
        lambda: small(onnx.helper.make_node("Gelu", ["z"], ["y"], domain="com.microsoft")),
        "of com.microsoft; export it with those of ONNX",
    ),
    "functions of its own": (function_of_its_own, "inline_local_functions"),
    "a loop": (loop, "may never end"),
    "a loop in a branch": (lambda: in_a_branch(loop()), "may never end"),
    "a shape without numbers": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**40)),
        "the file holds fewer numbers",
    ),
    "a shape that overflows": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.extend([2**62, 4])),
        "the file holds fewer numbers",
    ),
    "a shape below zero": (
        lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -4)),
        "the file holds fewer numbers",
    ),
    "a bomb": (
        lambda: small(
            node("ConstantOfShape", "size", "big"), node("ReduceSum", "big", "sum", keepdims=0),
            node("Add", "z sum", "y"), weights={"size": np.int64([2**20, 2**20])},
        ),
        "of 1,099,511,627,776 numbers",
    ),
    "a bomb by tiles": (
        lambda: small(
            node("Tile", "B times", "big"), node("ReduceMax", "big", "top", keepdims=0), node("Add", "z top", "y"),
            weights={"times": np.int64([2**30, 2])},
        ),
        "more than any network needs",
    ),
    "a sparse bomb": (lambda: sparse([2**40, 2**20]), "does not take the graph|larger|numbers"),
    "a cycle": (lambda: small(node("Add", "z y", "w"), node("Relu", "w", "y")), "does not take the graph|damaged"),
    "a tensor from nowhere": (lambda: small(node("Add", "z nothing", "y")), "does not take the graph"),
    "an operator that there is not": (lambda: small(node("Levitate", "z", "y")), "does not take the graph"),
    "two makers": (lambda: small(node("Relu", "z", "y"), node("Tanh", "z", "y")), "'y' is made more"),
    "too few numbers": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "raw_data", m.graph.initializer[0].raw_data[:40])),
        "does not take the graph|damaged|fewer",
    ),
    "a type that there is not": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "data_type", 99)), "does not take the graph|damaged",
    ),
    "no graph": (lambda: onnx.ModelProto(ir_version=8), "holds no graph"),
    "no output": (lambda: changed(lambda m: m.graph.ClearField("output")), "holds no graph"),
    "an opset of the future": (lambda: small(opset=999), "does not take the graph"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_graphs_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, message = HOSTILE[name]
    (tmp_path / "net.onnx").write_bytes(make().SerializeToString())
    with pytest.raises(UnsafeModelError, match=message) as caught:
        OnnxNetwork(tmp_path / "net.onnx")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_the_graphs_that_are_not_hostile_pass() -> None:
    """What the hostile ones were made from."""
    plain = OnnxNetwork(small().SerializeToString()).forward(X)
    for model in (
        small(node("Constant", "", "k", value=onnx.numpy_helper.from_array(np.float32(1))), node("Mul", "z k", "y")),
        in_a_branch(small()),
        sparse([1, 1]),
        small(
            node("ConstantOfShape", "size", "big"), node("ReduceSum", "big", "sum", keepdims=0),
            node("Add", "z sum", "y"), weights={"size": np.int64([20, 20])},
        ),
    ):  # fmt: skip
        np.testing.assert_allclose(OnnxNetwork(model.SerializeToString()).forward(X), plain, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x80\x04\x95\x10\x00\x00", "no ONNX model"),
        (b"PK\x03\x04" + bytes(60), "no ONNX model"),
        (b"\x18\x00\x00\x00ORTM" + bytes(60), "no ONNX model"),
        (b"hello, I am a network", "no ONNX model"),
        (b"\x3a\xff\xff\xff\xff\x07", "cut short"),
        (b"\x3b" * 5000, "no ONNX model"),
    ],
)
def test_other_files_are_no_models(content: bytes, message: str) -> None:
    with pytest.raises(UnsafeModelError, match=message):
        OnnxNetwork(content)


def test_folders_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        OnnxNetwork(tmp_path)


def test_too_large_a_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairheads.activations.onnx_vetted.LARGEST_FILE", 100)
    (tmp_path / "net.onnx").write_bytes(small().SerializeToString())
    with pytest.raises(UnsafeModelError, match="more than an ONNX file can have"):
        OnnxNetwork(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda: [node("RandomNormalLike", "z", "n"), node("Add", "z n", "y")], "draws random numbers"),
        (lambda: [node("Dropout", "z half on", "y")], r"draws random numbers \(Dropout\).*eval mode"),
        (lambda: [node("BatchNormalization", "z one one one one", "y a b", training_mode=1)], "exported for training"),
    ],
)
def test_graphs_for_training_are_refused(last: Callable[[], list[Any]], message: str) -> None:
    weights = {"half": np.float32(0.5), "on": np.array(True), "one": np.float32([1])}
    with pytest.raises(ConfigError, match=message):
        OnnxNetwork(small(*last(), weights=weights).SerializeToString())
    off = small(node("Dropout", "z half off", "y"), weights={**weights, "off": np.array(False)})
    assert np.isfinite(OnnxNetwork(off.SerializeToString()).forward(X)).all()


def test_damaged_files_are_refused_or_run_but_never_crash(tmp_path: Path) -> None:
    """Bits flipped and ends cut off, in a process of its own: a crash would show."""
    (tmp_path / "net.onnx").write_bytes(small(node("Tanh", "z", "y")).SerializeToString())
    code = """
import sys
import numpy as np
from fairheads.activations import OnnxNetwork
from fairheads.errors import FairheadsError
content, rng, refused = open(sys.argv[1], "rb").read(), np.random.default_rng(0), 0
for turn in range(200):
    broken = bytearray(content[: rng.integers(len(content))] if turn % 5 == 0 else content)
    for at in rng.integers(0, max(len(broken), 1), 3) if broken and turn % 5 else []:
        broken[at] ^= 1 << rng.integers(8)
    try:
        OnnxNetwork(bytes(broken)).forward({"x": np.ones((2, 4), np.float32)})
    except FairheadsError as error:
        refused += "\\n" not in str(error)
print(refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "net.onnx"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == "" and int(done.stdout) > 50


def test_settings_in_a_file_are_not_followed() -> None:
    model = small()
    model.metadata_props.add(key="ort_config", value='{"session_options": {"enable_profiling": 1}}')
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("r", WHOLE, [7]))
    plain = OnnxNetwork(small().SerializeToString()).forward(X)
    network = OnnxNetwork(model.SerializeToString())
    assert np.array_equal(network.forward(X), plain)
    from fairheads.activations.onnx_graph import Graph

    made = onnx.load_from_string(Graph(model).variant(["y"], {}))
    assert not made.metadata_props and not made.graph.value_info and isinstance(UnsafeModelError(), FairheadsError)
