"""Model files of an enemy, made by code: each would write a marker, or take all memory, if it were trusted.

`files` gives them by name as bytes, beside each what its refusal says; folders are in hostile_folders_for_tests.py.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

WIDTH = 4
Members = dict[str, bytes]


@dataclass(frozen=True)
class Hostile:
    """A file: its name, its bytes, and a pattern that its refusal matches."""

    name: str
    content: bytes
    says: str


class Calls:
    """Pickled as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def source(marker: Path) -> str:
    """An expression that leaves a mark if it is evaluated."""
    return f"open({str(marker)!r}, 'w').close()"


def files(marker: Path) -> Iterator[Hostile]:
    """Every hostile file."""
    yield from pickles(marker)
    yield from torch_files(marker)
    yield from exports(marker)
    yield from archives()
    yield from others(marker)


# Pickles


def _text(string: str) -> bytes:
    return b"X" + struct.pack("<I", len(string)) + string.encode()


def pickles(marker: Path) -> Iterator[Hostile]:
    code = source(marker)
    evil = Calls(eval, code)
    for protocol in range(6):
        yield Hostile(f"reduce{protocol}.pkl", pickle.dumps(evil, protocol), "calls (builtins|__builtin__).eval")
    yield Hostile("inst.pkl", b"(" + _text(code) + b"ibuiltins\neval\n.", "calls builtins.eval")
    yield Hostile("obj.pkl", b"(cbuiltins\neval\n" + _text(code) + b"o.", "calls builtins.eval")
    yield Hostile("newobj.pkl", b"\x80\x02cbuiltins\nmap\n(cbuiltins\neval\n" + _text(code) + b"\x85t\x81.", "builtins")
    args = b"(cbuiltins\neval\n" + _text(code) + b"\x85t"
    yield Hostile("newobj_ex.pkl", b"\x80\x04cbuiltins\nmap\n" + args + b"}\x92.", "calls builtins.map")
    yield Hostile("build.pkl", b"\x80\x02cbuiltins\nexec\n)\x81}b.", "calls builtins.exec")
    hidden = b"\x80\x04" + b"\x8c\x08builtins\x94\x8c\x04eval\x94" + b"00h\x00h\x01\x93" + _text(code) + b"\x85R."
    yield Hostile("memo.pkl", hidden, "calls builtins.eval")
    yield Hostile("extension.pkl", b"\x80\x02\x82\x01)R.", "calls copyreg extension 1")
    yield Hostile("nested.pkl", pickle.dumps(Calls(pickle.loads, pickle.dumps(evil))), "calls _pickle.loads")
    yield Hostile("attributes.pkl", pickle.dumps(Calls(getattr, Calls(__import__, "os"), "sep")), "builtins.getattr")
    yield Hostile("cut.pkl", pickle.dumps(evil)[:-8], "a pickle")
    yield Hostile("packed.joblib", zlib.compress(pickle.dumps(evil)), "packed pickle")
    yield Hostile("packed.gz", gzip.compress(pickle.dumps(evil)), r"packed file \(gzip\)")
    for end in ("onnx", "safetensors", "pt2", "skops", "npz", "txt"):
        yield Hostile(f"pickle.{end}", pickle.dumps(evil), "calls builtins.eval")
    yield Hostile("text.onnx", pickle.dumps(evil, 0), "calls")
    yield Hostile("plain.pkl", pickle.dumps({"w": 1}), "is a pickle")


# Files of torch.save and TorchScript


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def torch_files(marker: Path) -> Iterator[Hostile]:
    evil = Calls(eval, source(marker))
    whole = saved(nn.Linear(2, 1))
    yield Hostile("module.pt", whole, "not weights alone")
    yield Hostile("code.pt", saved({"w": torch.zeros(2), "x": evil}), "calls __builtin__.eval")
    yield Hostile("code.pth", saved({"w": torch.zeros(2), "x": evil}, _use_new_zipfile_serialization=False), "a pickle")
    yield Hostile("object.pt", saved({"w": torch.zeros(2), "epoch": {"x": 3}}), "holds no weights by name")
    yield Hostile("cut.pt", saved({"w": torch.zeros(99)})[:-200], "truncated or damaged archive")
    members = unzipped(saved({"w": torch.zeros(300)}))
    lying = {name: content.replace(b"\x2c\x01", b"\xff\x7f") for name, content in members.items()}
    yield Hostile("lying.pt", zipped(lying), "not weights alone")
    script = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have no such files either
        torch.jit.save(torch.jit.trace(nn.Linear(2, 1), torch.zeros(3, 2)), script)
    yield Hostile("script.pt", script.getvalue(), "TorchScript archive.*torch.export.save")
    yield Hostile("script.pt2", script.getvalue(), "TorchScript archive")


# Archives of torch.export


class Small(nn.Module):
    """A network with a weight, a buffer and a constant."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.active, self.head = nn.Linear(WIDTH, 3), nn.ReLU(), nn.Linear(3, 1)
        self.register_buffer("scale", torch.ones(3))
        self.fixed = torch.ones(3)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.active(self.first(values)) * self.scale + self.fixed)


def exported() -> bytes:
    """A harmless export: each hostile one differs from it in one place."""
    rows = torch.export.Dim("rows")
    program = torch.export.export(Small().eval(), (torch.zeros(4, WIDTH),), dynamic_shapes=({0: rows},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def unzipped(content: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Members, **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def changed(base: Members, end: str, change: Callable[[Any], object]) -> bytes:
    """The archive with the JSON of one member changed in place."""
    (name,) = [name for name in base if name.endswith(end)]
    data = json.loads(base[name])
    change(data)
    return zipped({**base, name: json.dumps(data).encode()})


def _node(data: Any, number: int = 0) -> Any:
    return data["graph_module"]["graph"]["nodes"][number]


def _call(target: str, *arguments: Any) -> Callable[[Any], object]:
    """A node more in front, whose result nobody needs."""

    def change(data: Any) -> None:
        graph = data["graph_module"]["graph"]
        inputs = [{"name": name, "arg": argument, "kind": 1} for name, argument in arguments]
        outputs = [{"as_tensor": {"name": "added"}}]
        node = {"target": target, "inputs": inputs, "outputs": outputs, "metadata": {}, "name": "added"}
        graph["nodes"].insert(0, node)
        graph["tensor_values"]["added"] = graph["tensor_values"]["linear"]

    return change


def _renamed(old: str, new: str) -> Callable[[Any], object]:
    def change(data: Any) -> None:
        text = json.dumps(data["graph_module"]).replace(json.dumps(old), json.dumps(new))
        data["graph_module"] = json.loads(text)

    return change


def _weight(data: Any) -> Any:
    return data["config"]["first.weight"]


def _sizes(*sizes: int) -> list[dict[str, int]]:
    return [{"as_int": size} for size in sizes]


def _set(keys: tuple[Any, ...], value: Any) -> Callable[[Any], object]:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def expression(code: str) -> Callable[[Any], object]:
    """The open size of the input, written as ``code``."""
    keys = ("graph_module", "graph", "tensor_values", "values", "sizes", 0)
    return _set(keys, {"as_expr": {"expr_str": code, "hint": {"as_int": 4}}})


def sample_inputs(base: Members, marker: Path) -> bytes:
    return zipped({**base, _path(base, "data/sample_inputs/model.pt"): saved(((Calls(eval, source(marker)),), {}))})


def pickled_weight(base: Members, marker: Path) -> bytes:
    name = _path(base, "data/weights/weight_0")
    evil = {**base, name: saved(Calls(eval, source(marker)))}
    return changed(evil, "model_weights_config.json", lambda data: _weight(data).update(use_pickle=True))


def guards(base: Members, marker: Path) -> bytes:
    return changed(base, "models/model.json", _set(("guards_code",), [source(marker)]))


def _path(base: Members, end: str) -> str:
    return f"{next(iter(base)).partition('/')[0]}/{end}"


def exports(marker: Path) -> Iterator[Hostile]:
    whole, code = exported(), source(marker)
    base = unzipped(whole)
    model, weights, constants = "models/model.json", "model_weights_config.json", "model_constants_config.json"
    evil, pickled = Calls(eval, code), pickle.dumps(Calls(eval, code))

    def graph(name: str, change: Callable[[Any], object], says: str) -> Hostile:
        return Hostile(f"{name}.pt2", changed(base, model, change), says)

    def weight(name: str, change: Callable[[Any], object], says: str) -> Hostile:
        return Hostile(f"{name}.pt2", changed(base, weights, change), says)

    def member(name: str, path: str, content: bytes, says: str) -> Hostile:
        return Hostile(f"{name}.pt2", zipped({**base, _path(base, path): content}), says)

    yield Hostile("samples.pt2", sample_inputs(base, marker), "sample inputs are a pickle that calls __builtin__.eval")
    yield member("samples_plain", "data/sample_inputs/model.pt", pickled, "truncated or damaged")
    yield Hostile("use_pickle.pt2", pickled_weight(base, marker), "pickled .*use_pickle")
    entry = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    for kind in ("custom", "opaque"):
        named = changed(base, constants, _set(("config", "x"), {**entry, "path_name": f"{kind}_obj_0"}))
        content = {**unzipped(named), _path(base, f"data/constants/{kind}_obj_0"): pickled}
        yield Hostile(f"{kind}_object.pt2", zipped(content), "pickled object")
    yield Hostile("pickled_constant.pt2", changed(base, constants, _set(("config", "x"), entry)), "use_pickle")
    for folder in ("weights", "constants"):
        yield member(f"legacy_{folder}", f"data/{folder}/model.pt", saved(evil), "pickled weights")
    yield Hostile("old.pt2", zipped({"version": b"8.2", "serialized_exported_program.json": b"{}"}), "torch 2.7")
    yield member("library", "data/aotinductor/model/net.so", b"\x7fELF", "compiled code")
    yield member("wrapper", "data/aotinductor/model/net.cpp", b"int", "compiled code")
    yield member("stranger", "data/run.py", code.encode(), "no export has")
    yield member("two", "models/other.json", base[_path(base, model)], "must hold one model")
    for number, text in enumerate(
        (
            f"__import__('builtins').{code}",
            f"Symbol({code!r})",
            "Symbol('s0').__class__",
            "[s0 for s0 in ()]",
            "9**9**9**9",
            "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
            f"Add(s0, eval({code!r}))",
            "(lambda: 1)()",
            "-" * 400 + "s0",
            "S('1')",
        )
    ):
        yield graph(f"expression{number}", expression(text), "expression that is no size|damaged")
    yield Hostile("guards.pt2", guards(base, marker), "guards are Python code")
    yield graph("guard_hidden", _set(("guards_code",), [f"L['x'].size()[0] == 1 or {code}"]), "guards are Python code")
    text, tensor = {"as_string": str(marker)}, {"as_tensor": {"name": "values"}}
    for target in (
        "torch.hub.load",
        "torch.load",
        "torch.ops.load_library",
        "torch.classes.load_library",
        "torch.utils.cpp_extension.load_inline",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.higher_order.cond",
        "torch.ops.prim.device.default",
        "math.factorial",
        "_operator.methodcaller",
        "_operator.attrgetter",
        "_operator.pow",
        "_operator.mul",
        "_operator.add.__call__",
        "#evil:eval",
        "builtins.eval",
    ):
        words = "none of torch's operators|other things than sizes"
        yield graph(f"call_{target.replace('#', '').replace(':', '')}", _call(target, ("self", text)), words)
    yield graph("argument", lambda data: _node(data)["inputs"].append(_argument("as_operator", "torch.hub.load")), "op")
    nested = _argument("as_graph", {"name": "g", "graph": {}})
    yield graph("subgraph", lambda data: _node(data)["inputs"].append(nested), "without|graph")
    injected = f"x = {code}; y"
    yield graph("name", _renamed("linear", injected), "name that is none")
    yield graph("input_name", _renamed("values", f"x={code}"), "name that is none")
    yield graph("keyword", _renamed("linear", "import"), "name that is none")
    yield graph("parameter_name", _renamed("first.weight", injected), "path of a module that is none")
    yield graph("dunder", _renamed("first.weight", "first.__class__"), "path of a module that is none")
    call = ("graph_module", "module_call_graph", 0, "signature")
    default = {"type": "collections.defaultdict", "context": '{"default_factory_module": "os"}', "children_spec": []}
    yield graph("tree_default", _set((*call, "out_spec"), json.dumps([1, default])), "defaultdict")
    context = json.dumps({"__enum__": True, "fqn": "antigravity:x"})
    tree = {"type": "builtins.tuple", "context": context, "children_spec": []}
    yield graph("tree_enum", _set((*call, "in_spec"), json.dumps([1, tree])), "tree of arguments that is none")
    stack = ("graph_module", "graph", "nodes", 0, "metadata", "nn_module_stack")
    yield graph("stack", _set(stack, f"L__self__,{code},x"), "stack of modules that is none")
    yield graph("dialect", _set(("verifiers",), ["EVIL"]), "dialect")
    yield graph("unbacked", _set(("range_constraints", "u999999999"), {"min_val": 0, "max_val": None}), "depends on")
    yield graph("types", _set(("graph_module", "graph", "nodes"), "nothing"), "where list belongs|damaged")
    yield graph("empty", lambda data: data.clear(), "without 'graph_module'")
    yield member("deep", model, b"[" * 100_000 + b"]" * 100_000, "damaged|nested")
    yield member("no_json", model, b"\xff\xfe", "damaged")
    yield graph(
        "huge_value", _set(("graph_module", "graph", "tensor_values", "linear", "sizes"), _sizes(2**30, 2**30)), ""
    )
    ones = [("size", {"as_ints": [2**20, 2**20]}), ("fill_value", {"as_float": 1.0})]
    yield graph("fill_memory", _call("torch.ops.aten.full.default", *ones), "needs more than 1,024 MB")
    many = ("repeats", {"as_ints": [2**20, 2**20]})
    yield graph("repeat", _call("torch.ops.aten.repeat.default", ("self", tensor), many), "needs more than 1,024 MB")
    own = {"as_tensor": {"name": "p_first_bias"}}
    adds = [("self", own), ("other", {"as_float": 1.0})]
    yield graph("changes_itself", _call("torch.ops.aten.add_.Scalar", *adds), "changes its own weights")
    spec = {"buffer_mutation": {"arg": {"name": "linear"}, "buffer_name": "scale"}}
    outputs = ("graph_module", "signature", "output_specs", 0)
    yield graph("mutation", _set(outputs, spec), "change itself as it runs")
    yield graph("shape", _call("torch.ops.aten.linear.default", ("input", tensor), ("weight", own)), "damaged|no graph")

    def meta(**values: Any) -> Callable[[Any], object]:
        return lambda data: _weight(data)["tensor_meta"].update(values)

    yield weight("absurd", meta(sizes=_sizes(2**19, 2**19), strides=_sizes(2**19, 1)), "needs more than its 48 bytes")
    yield weight("strides", meta(sizes=_sizes(2**19, 2**19), strides=_sizes(0, 0)), "needs more than its 48 bytes")
    yield weight("beyond", meta(storage_offset={"as_int": 100}), "needs more than its 48 bytes")
    yield weight("negative", meta(sizes=_sizes(-3, 4)), "out of bounds")
    yield weight("symbolic", meta(sizes=[{"as_expr": {"expr_str": "s0"}}, {"as_int": 4}]), "no number")
    yield weight("elsewhere", lambda data: _weight(data).update(path_name="../../../etc/passwd"), "no raw tensor")
    yield weight("lacking", lambda data: _weight(data).update(path_name="weight_99"), "lacks|damaged")
    yield weight("fewer", lambda data: data["config"].pop("first.weight"), "lacks|damaged")
    yield member("no_bytes", "data/weights/weight_0", b"", "needs more than its 0 bytes")
    yield Hostile("cut.pt2", whole[: len(whole) // 2], "truncated or damaged")
    flipped = bytearray(whole)
    flipped[whole.find(b"torch.ops.aten") + 3] ^= 1
    yield Hostile("flipped.pt2", bytes(flipped), "truncated or damaged")
    yield Hostile("headless.pt2", whole[4:], "damaged")


def _argument(kind: str, value: Any) -> dict[str, Any]:
    return {"name": "x", "arg": {kind: value}, "kind": 2}


# Archives in general


def archives() -> Iterator[Hostile]:
    for number, name in enumerate(("../evil.py", "/etc/evil", "a/../../evil", "a\\..\\evil", "C:evil")):
        yield Hostile(f"traversal{number}.skops", zipped({"schema.json": b"{}", name: b""}), "leads out of its folder")
    nameless = bytearray(zipped({"schema.json": b"{}", "x": b""}))
    for start, length in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        at = nameless.rfind(start) + length
        nameless[at : at + 4] = struct.pack("<HH", 0, 1)  # the letter is of another field now
    yield Hostile("nameless.skops", bytes(nameless), "without a name")
    yield Hostile("bomb.skops", zipped({"schema.json": bytes(2**25)}, compression=zipfile.ZIP_DEFLATED), "archive bomb")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for _ in range(2):
            archive.writestr("schema.json", b"{}")
            archive.NameToInfo.clear()  # else zipfile would warn
    yield Hostile("twice.skops", file.getvalue(), "holds 'schema.json' twice")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("schema.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    yield Hostile("link.skops", file.getvalue(), "holds a link")
    locked = bytearray(zipped({"schema.json": b"{}"}))
    locked[6] |= 1
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    yield Hostile("locked.skops", bytes(locked), "encrypted")
    yield Hostile("lzma.skops", zipped({"schema.json": b"{}"}, compression=zipfile.ZIP_LZMA), "method that models")
    lying = bytearray(zipped({"schema.json": b"{}"}))
    lying[lying.find(b"PK\x01\x02") + 24] = 200
    yield Hostile("size.skops", bytes(lying), "truncated or damaged|another size")


# Other formats


def _schema(loader: str, module: str, name: str, **more: Any) -> bytes:
    node = {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, "protocol": 2, **more}
    return zipped({"schema.json": json.dumps(node).encode()})


def others(marker: Path) -> Iterator[Hostile]:
    evil = Calls(eval, source(marker))
    yield Hostile("function.skops", _schema("FunctionNode", "os", "system", content="x"), "'os.system'")
    yield Hostile("object.skops", _schema("ObjectNode", "subprocess", "Popen", content={}), "'subprocess.Popen'")
    yield Hostile("method.skops", _schema("MethodNode", "builtins", "dict", content={}), "'builtins.dict'")
    yield Hostile("operator.skops", _schema("OperatorFuncNode", "operator", "methodcaller", attrs={}), "methodcaller")
    yield Hostile("type.skops", _schema("TypeNode", "os", "system"), "'os.system'")
    inner = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
    hidden = _schema("DictNode", "builtins", "dict", content={"x": [{"y": inner}]})
    yield Hostile("hidden.skops", hidden, "'os.system'")
    yield Hostile("broken.skops", zipped({"schema.json": b"{"}), "no skops file")
    yield Hostile("dict.skops", _schema("DictNode", "builtins", "dict", content={}, key_types={}), "damaged|no such")
    objects = io.BytesIO()
    np.savez(objects, w=np.array([evil], dtype=object))
    yield Hostile("objects.npz", objects.getvalue(), "no plain array")
    header = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(
        128
    )
    unclosed = header.replace(b"'<f8'", b"('<f8'")
    yield Hostile("unclosed.npz", zipped({"w.npy": unclosed}), "no plain array")
    yield Hostile("absurd.npz", zipped({"w.npy": header}), "no plain array")
    plain = save({"w": torch.zeros(50)})
    yield Hostile("cut.safetensors", plain[:-9], "no safetensors file, or damaged")
    yield Hostile("short.safetensors", plain[:5], "no safetensors file, or damaged")
    yield Hostile("long.safetensors", struct.pack("<Q", 2**60) + plain[8:], "no safetensors file, or damaged")
    yield Hostile("offsets.safetensors", plain.replace(b"[0,200]", b"[0,900]"), "no safetensors file, or damaged")
    yield Hostile("nothing.pt2", b"", "is empty")
    yield Hostile("keras.h5", b"\x89HDF\r\n\x1a\n", "Keras or HDF5")
    yield Hostile("llama.gguf", b"GGUF\x03\x00", "GGUF")
    yield Hostile("net.so", b"\x7fELF\x02\x01", "a program")
