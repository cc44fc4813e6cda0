"""Nothing of a hostile file runs: each is refused in one clear line, and leaves no mark."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from folders_for_tests import laid
from hostile_folders_for_tests import folders
from hostile_for_tests import Calls, Hostile, exported, files, source
from opened_for_tests import bundles

from fairheads.errors import UnsafeModelError
from fairheads.models import Bundle, open_model
from fairheads.models.expressions import is_plain
from fairheads.models.operators import operator_kind
from fairheads.models.pickles import scan

MARKER = Path(tempfile.gettempdir()) / f"fairheads-marker-{os.getpid()}"
"""Where a file whose code ran would leave a mark; one path for all, since the files are made once."""


@pytest.fixture(scope="module")
def corpus() -> dict[str, Hostile]:
    made = list(files(MARKER))
    assert len({each.name for each in made}) == len(made)
    return {each.name: each for each in made}


@pytest.fixture(autouse=True)
def no_mark() -> Iterator[None]:
    MARKER.unlink(missing_ok=True)
    yield
    MARKER.unlink(missing_ok=True)


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in sorted(folder.rglob("*"))}


def refused(path: Path, says: str) -> list[str]:
    """What is wrong with the way in which a file was refused."""
    before, wrong = tree(path.parent), []
    try:
        open_model(path)
        wrong.append("was opened")
    except UnsafeModelError as error:
        words = str(error)
        if not re.search(says, words):
            wrong.append(f"says: {words}")
        if "\n" in words or len(words) > 600 or path.name not in words:
            wrong.append(f"is no clear line: {words[:900]}")
    except Exception as error:
        wrong.append(f"raised {type(error).__name__}: {error}")
    if MARKER.exists():
        wrong.append("ran its code")
        MARKER.unlink()
    if tree(path.parent) != before:
        wrong.append("left files")
    return wrong


def test_every_file_is_refused_and_nothing_runs(corpus: dict[str, Hostile], tmp_path: Path) -> None:
    assert len(corpus) > 100
    wrong = {}
    for each in corpus.values():
        (tmp_path / each.name).write_bytes(each.content)
        found = refused(tmp_path / each.name, each.says)
        if found and not (find_spec("skops") is None and "needs skops: pip install" in found[0]):
            wrong[each.name] = found
        (tmp_path / each.name).unlink()
    assert not wrong


def test_every_folder_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra `integrations`")
    wrong = {}
    for name, write, says in folders(MARKER):
        (tmp_path / f"in_{name}").mkdir()
        write(tmp_path / f"in_{name}" / name)
        if found := refused(tmp_path / f"in_{name}" / name, says):
            wrong[name] = found
    assert not wrong


def test_the_bundles_that_they_are_made_of_are_opened(tmp_path: Path) -> None:
    for number, content in enumerate(bundles()):
        laid(content, tmp_path / str(number))
        assert isinstance(open_model(tmp_path / str(number)), Bundle)


def _load_pickle(content: bytes) -> object:
    return pickle.loads(content)


def _load_export(content: bytes) -> object:
    return torch.export.load(io.BytesIO(content)).module()(torch.zeros(4, 4))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("reduce2.pkl", _load_pickle),
        ("inst.pkl", _load_pickle),
        ("memo.pkl", _load_pickle),
        ("code.pt", lambda content: torch.load(io.BytesIO(content), weights_only=False)),
        ("samples.pt2", _load_export),
        ("use_pickle.pt2", _load_export),
        ("opaque_object.pt2", _load_export),
        ("legacy_weights.pt2", _load_export),
        ("legacy_constants.pt2", _load_export),
        ("expression0.pt2", _load_export),
        ("guards.pt2", _load_export),
        ("input_name.pt2", _load_export),
    ],
)
def test_these_files_are_armed(
    name: str, load: Callable[[bytes], object], corpus: dict[str, Hostile], caplog: pytest.LogCaptureFixture
) -> None:
    """Positive control: loaded as a program that trusts its files would, they leave their mark."""
    caplog.set_level("CRITICAL")
    try:
        load(corpus[name].content)
    except Exception as error:  # most of them fail after the code has run
        assert str(error) is not None
    assert MARKER.exists()


def test_the_export_that_they_are_made_of_is_opened(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(exported())
    assert isinstance(open_model(tmp_path / "net.pt2"), torch.export.ExportedProgram)


def test_damaged_exports_are_refused_or_harmless(tmp_path: Path) -> None:
    """Bytes flipped anywhere: an error of one line, or a network; never another exception, never a mark."""
    whole, generator = bytearray(exported()), torch.Generator().manual_seed(0)
    outcomes = set()
    for at in torch.randint(len(whole), (60,), generator=generator).tolist():
        content = bytearray(whole)
        content[at] ^= 1 << (at % 8)
        (tmp_path / "net.pt2").write_bytes(content)
        try:
            open_model(tmp_path / "net.pt2")
            outcomes.add("opened")
        except UnsafeModelError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes
    assert not MARKER.exists()


@pytest.mark.slow
def test_memory_stays_small(corpus: dict[str, Hostile], tmp_path: Path) -> None:
    """What asks for terabytes is refused before it gets any.

    Of the process's own peak: that of `resource` begins, on Linux, with what the process that started it had.
    """
    names = ("bomb.skops", "fill_memory.pt2", "repeat.pt2", "absurd.pt2", "strides.pt2", "absurd.npz")
    for name in names:
        (tmp_path / name).write_bytes(corpus[name].content)
    code = (
        "import resource, sys; from fairheads.models import open_model; from fairheads.errors import UnsafeModelError\n"
        "for path in sys.argv[1:]:\n"
        "    try: open_model(path)\n"
        "    except UnsafeModelError: print('refused')\n"
        "try: peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "except OSError: peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(int(peak) // 1024)"
    )
    command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    *refusals, megabytes = answer.stdout.split()
    assert refusals == ["refused"] * len(names)
    assert int(megabytes) < 2000


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.pt2")
    with pytest.raises(Exception, match="no plain file"):
        open_model(tmp_path / "net.pt2")


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("Symbol('s77', positive=True, integer=True)", True),
        ("Add(Mul(Integer(-2), Symbol('s0', integer=True)), Integer(3))", True),
        ("Pow(Symbol('s0'), Integer(2))", True),
        ("2*s0 + s1//3 - 1", True),
        ("Symbol('s0', commutative=f())", False),
        ("Symbol('x')", False),
        ("Symbol(s0)", False),
        ("Integer('7')", False),
        ("Integer(1.5)", False),
        ("s0 ** s0", False),
        ("Mul(*[s0])", False),
        ("s0.subs", False),
        ("s0[0]", False),
        ("True", False),
        ("s0 if s0 else s1", False),
        ("10**99", False),
        ("", False),
        ("Add(" * 400, False),
        ("(" * 240 + "s0" + ")" * 240, None),
    ],
)
def test_expressions_of_sizes(expression: str, plain: bool | None) -> None:
    assert is_plain(expression) in ((True, False) if plain is None else (plain,))


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("torch.ops.aten.linear.default", "tensor"),
        ("torch.ops.aten.add_.Tensor", "tensor"),
        ("torch.ops.aten.sym_size.int", "tensor"),
        ("_operator.floordiv", "size"),
        ("torch.ops.aten.linear", None),
        ("torch.ops.aten.linear.default.__call__", None),
        ("torch.ops.aten.atan2.out", None),
        ("torch.ops.aten.copy_.default", None),
        ("torch.ops.aten.__class__.default", None),
        ("torch.ops.aten.no_such_operator.default", None),
        ("torch.ops.atenx.linear.default", None),
        ("torch.nn.functional.linear", None),
        ("_operator.getitem", None),
        ("_operator", None),
        ("", None),
    ],
)
def test_operators(target: str, kind: str | None) -> None:
    assert operator_kind(target) == kind


def test_a_scan_executes_nothing() -> None:
    found = scan(pickle.dumps(Calls(eval, source(MARKER))))
    assert found.names == ("builtins.eval",)
    assert found.calls
    assert found.whole
    assert not MARKER.exists()
    assert not scan(pickle.dumps({"w": [1.0]})).calls
