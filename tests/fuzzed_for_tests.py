"""Opens changed files of models, rows and reports one after another, as an audit would, and tells what went wrong.

Run as a program it is the process that is meant to be broken: it prints a line of JSON for every finding, and one at
the end. Anything but a network that runs, or an error of one line, is a finding; so is whatever `Watch` sees.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from folders_for_tests import laid

os.environ["OMP_NUM_THREADS"] = "1"

ENDS = (
    *(".pt2", ".onnx", ".safetensors", ".npz", ".pt", ".pkl", ".skops", ".model"),
    *(".folder", ".csv", ".gz", ".xz", ".parquet"),
    *(".report", ".toml", ".feed", ".arrays", ".array", ".images"),
)
"""Ends of the names of files, of which the first byte of an input of atheris chooses; a folder is laid from its one."""

MEMORY = 2**31
"""Most bytes of memory, in all and beyond what the libraries take."""

MARKUP = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>' onload='x",
    "]]></style></title></script><!--",
    "$\\frac{$ $x_1$",
    "[a](javascript:alert(1)) |`*",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\r\x00\u202e",
)
"""Text that a page, a figure, a table or a terminal could take for more than text."""

SECONDS = 30
"""Most seconds of CPU that a file may take."""

STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")
LEAVES = ("socket.", "urllib.", "ftplib.", "http.client.", "smtplib.", "webbrowser.", "pickle.find_class")
CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.",
)


class Watch:
    """Notes what no file may bring about: code of its own run, and files written outside of ``folder``.

    Python never lets go of it: it belongs in a process of its own.
    """

    def __init__(self, folder: Path, canary: str) -> None:
        self.folder, self.canary = str(folder), canary
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and self._is_forbidden(event, args):
            self.on = False
            self.seen.append(f"{event} {str(args)[:200]}")
            self.on = True

    def _is_forbidden(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "open":
            written = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            return bool(written) and self._is_outside(args[0])
        if event.startswith(CHANGES):
            return self._is_outside(args[0])
        if event == "ctypes.dlopen":
            return not self._is_outside(args[0])
        if event == "compile":
            text = args[0].decode("utf-8", "replace") if isinstance(args[0], bytes) else str(args[0])
            return self.canary in text and args[1] != "<unknown>"  # that is what `ast.parse` reads, and runs not
        return event.startswith((*STARTS, *LEAVES))

    def _is_outside(self, path: Any) -> bool:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        return isinstance(path, str | os.PathLike) and not os.path.abspath(path).startswith((self.folder, "/dev/null"))  # noqa: PTH100


class TooLongError(BaseException):
    """Raised wherever the process is when its time is over."""


@contextmanager
def _in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def network() -> Any:
    """The factory for files of weights alone."""
    from torch import nn

    return nn.Linear(4, 1)


def run(path: Path) -> None:
    """Open a model and decide about a few rows, with a factory where it asks for one; or read what else it is."""
    from handed_for_tests import HANDED
    from opened_for_tests import TABLES, judge, open_rows

    from fairheads.errors import ConfigError
    from fairheads.models import open_model

    if path.suffix in TABLES:
        open_rows(path)
        return
    if path.suffix in HANDED:
        HANDED[path.suffix](path)
        return
    try:
        model = open_model(path)
    except ConfigError as error:
        if "--factory" not in str(error):
            raise
        model = open_model(path, factory="fuzzed_for_tests:network")
    judge(model, path)


def checked(path: Path, watch: Watch, opener: Callable[[Path], object] = run) -> tuple[str, str | None]:
    """What became of a file in few words, the same for files of one fate, and what is wrong with that."""
    from fairheads.errors import FairheadsError

    watch.seen, watch.on = [], True
    wrong: str | None = None
    try:
        with _in_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opener(path)
        fate = "ran"
    except FairheadsError as error:
        fate, said = _site(error), str(error)
        if "\n" in said or not 20 < len(said) < 900 or not said.isprintable():
            wrong = f"no clear line: {said!r}"
    except TooLongError:
        fate = wrong = f"takes more than {SECONDS} s"
    except BaseException as error:
        fate = f"{type(error).__name__} {_site(error)}"
        wrong = f"raised {type(error).__name__}: {error} | {traceback.format_exc()[-1200:]}"
    finally:
        watch.on = False
    if watch.seen:
        wrong = f"{watch.seen[:3]} {wrong or ''}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > MEMORY:
        wrong = f"took {peak >> 20} MB of memory {wrong or ''}"
    return fate, wrong


def _site(error: BaseException) -> str:
    """The lines of the package that an error, or the one behind it, came through last."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for each in (error, error.__cause__)
        if each is not None
        for frame in traceback.extract_tb(each.__traceback__)
        if "/fairheads/" in frame.filename
    ]
    return " ".join(places[-2:] or ["elsewhere"])


def limit_memory() -> None:
    """From here on the process gets no more than `MEMORY`."""
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))


def seeds(marker: Path) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Files to begin with, by the end of their name: of every format one that opens, and all hostile ones."""
    import io

    import numpy as np
    import torch
    from handed_for_tests import handed
    from handed_for_tests import ready as ready_to_show
    from hostile_for_tests import exported, files
    from opened_for_tests import folders, ready, tables
    from safetensors.torch import save

    weights = network().state_dict()
    arrays, checkpoint = io.BytesIO(), io.BytesIO()
    np.savez(arrays, **{name: each.numpy() for name, each in weights.items()})
    torch.save(weights, checkpoint)
    made = [
        (".pt2", exported()),
        (".safetensors", save(weights)),
        (".npz", arrays.getvalue()),
        (".pt", checkpoint.getvalue()),
        *_with_extras(),
        *folders(),
        *tables(),
        *handed(),
    ]
    ready()
    ready_to_show()
    hostile = [(Path(each.name).suffix, each.content) for each in files(marker) if len(each.content) < 2**17]
    return made, hostile


def _with_extras() -> list[tuple[str, bytes]]:
    import numpy as np
    import skops.io
    from onnx_for_tests import node, small
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = MLPClassifier((3,), max_iter=2, random_state=0).fit(rng.normal(size=(20, 4)), rng.integers(0, 2, 20))
    graph = small(node("Neg", "z", "y"))
    return [(".onnx", graph.SerializeToString()), (".skops", skops.io.dumps(mlp))]


class Fuzzer:
    """Changes files, opens them, and keeps those of a new fate to be changed again.

    Parameters
    ----------
    folder : Path
        Empty; what is opened lies here, alone.
    seed : int
    """

    def __init__(self, folder: Path, seed: int) -> None:
        from mutations_for_tests import Mutator
        from opened_for_tests import MODEL_TYPES

        self.folder = folder.resolve()
        marker = Path(tempfile.gettempdir()) / f"fairheads-fuzz-{os.getpid():08}"
        self.marker = marker
        self.whole, self.bases = seeds(marker)
        words = (
            f"open({str(marker)!r}, 'w').close()",
            f"builtins.{marker.name}",
            "os.system",
            "torch.hub.load",
            "../../x",
            "/etc/passwd",
            *MARKUP,
            *MODEL_TYPES,
        )
        self.mutator = Mutator(seed, [content for _, content in self.whole + self.bases], words)
        self.watch = Watch(self.folder, str(marker))
        self.fates: dict[str, int] = {}
        self.told: set[tuple[str, str]] = set()
        self.findings = 0

    def step(self) -> None:
        """One file."""
        end, content = self.mutator.random.choice(self.whole if self.mutator.random.random() < 0.5 else self.bases)
        if self.mutator.random.random() < 0.05:
            end = self.mutator.random.choice(ENDS)
        content = self.mutator.changed(content)
        if self.tried(end, content):
            self.bases.append((end, content))

    def tried(self, end: str, content: bytes) -> bool:
        """Open a file; whether its fate is a new one."""
        path = kept = self.folder / f"case{end}"
        path.write_bytes(content)
        away = False
        if end in (".folder", ".images"):
            path = self.folder / f"laid{end}"
            away = laid(content, path) and end == ".folder"
        fate, wrong = checked(path, self.watch)
        if self.marker.exists():
            self.marker.unlink()
            wrong = f"ran its code {wrong or ''}"
        if away and fate == "ran":
            wrong = f"followed a link out of its folder {wrong or ''}"
        kept.unlink()
        if path != kept:
            shutil.rmtree(path, ignore_errors=True)
        for left in list(self.folder.iterdir()):
            wrong = f"left {left} {wrong or ''}"
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        if wrong is not None and (kind := (fate, wrong[:20])) not in self.told:  # one of each kind
            self.told.add(kind)
            self.findings += 1
            kept = self.folder.parent / f"finding{self.findings}{end}"
            kept.write_bytes(content)
            print(json.dumps({"finding": wrong, "file": str(kept)}), flush=True)  # noqa: T201
        self.fates[fate] = self.fates.get(fate, 0) + 1
        return self.fates[fate] == 1

    def opens(self, end: str, content: bytes) -> None:
        """Open a file that is meant to be whole."""
        before = self.fates.get("ran", 0)
        self.tried(end, content)
        if self.fates.get("ran", 0) == before:
            self.findings += 1
            print(json.dumps({"finding": "a file to begin with does not open", "file": end}), flush=True)  # noqa: T201

    def report(self) -> dict[str, Any]:
        """What was done."""
        ran = sum(count for fate, count in self.fates.items() if fate.startswith("ran"))
        return {
            "files": sum(self.fates.values()),
            "ran": ran,
            "fates": len(self.fates),
            "findings": self.findings,
            "seconds": round(time.process_time(), 1),
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU")
    parser.add_argument("--files", type=int, default=10**9)
    parser.add_argument("--atheris", action="store_true")
    given = parser.parse_args(words)
    sys.dont_write_bytecode = True  # transformers loads its networks late
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.atheris:
        _with_atheris(given)
        return
    fuzzer = Fuzzer(given.folder, given.seed)
    for each in fuzzer.whole:  # also what the libraries load late
        fuzzer.opens(*each)
    limit_memory()
    start = time.process_time()
    while time.process_time() - start < given.seconds and sum(fuzzer.fates.values()) < given.files:
        fuzzer.step()
    print(json.dumps(fuzzer.report()), flush=True)  # noqa: T201


def _with_atheris(given: argparse.Namespace) -> None:
    """The same under atheris, which keeps what reaches new code of the readers."""
    import atheris

    rooms = ["models", "activations", "data", "results", "reports"]
    named = [*(f"fairheads.{room}" for room in rooms), "fairheads_cli", "zipfile", "pickletools"]
    with atheris.instrument_imports(include=named):
        import fairheads_cli.audit
        import fairheads_cli.rows  # noqa: F401
    fuzzer = Fuzzer(given.folder, given.seed)
    corpus = given.folder.parent / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, (end, content) in enumerate(fuzzer.whole + fuzzer.bases):
        head = bytes([ENDS.index(end)]) if end in ENDS else b"\x00"
        (corpus / f"seed{number}").write_bytes(head + content)

    def one(data: bytes) -> None:
        if data:
            fuzzer.tried(ENDS[data[0] % len(ENDS)], data[1:])
            if sum(fuzzer.fates.values()) % 200 == 0:  # libFuzzer leaves without a word
                print(json.dumps(fuzzer.report()), flush=True)  # noqa: T201

    def change(data: bytes, largest: int, seed: int) -> bytes:
        fuzzer.mutator.random.seed(seed)
        return (data[:1] + fuzzer.mutator.changed(data[1:]))[:largest] or b"\x00"

    options = [
        f"-max_total_time={given.seconds:.0f}",
        f"-seed={given.seed + 1}",
        "-rss_limit_mb=2048",
        "-max_len=262144",
    ]
    atheris.Setup([sys.argv[0], *options, f"-timeout={SECONDS * 10}", str(corpus)], one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    import fuzzed_for_tests

    fuzzed_for_tests.main()
