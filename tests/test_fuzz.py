"""A seeded minute of changed models, folders and tables: each is refused in a line or read, and nothing else happens.

`make fuzz` looks for longer. Findings are mended and become files of tests/hostile_for_tests.py.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from folders_for_tests import LINK, MAGIC, NAMES, laid, packed, unpacked
from mutations_for_tests import Mutator

sys.path.append(str(Path(__file__).parent / "studies"))

from fuzz import fuzzed

TESTS = Path(__file__).parent


@pytest.mark.slow
def test_a_minute_of_changed_files_finds_nothing(tmp_path: Path) -> None:
    for extra in ("onnxruntime", "skops"):
        pytest.importorskip(extra, reason="needs the extra `integrations`")
    done = fuzzed(tmp_path / "fuzz", seconds=60, seed=0, files=8_000)
    assert done["findings"] == []
    assert done["files"] > 1_000 and done["ran"] > 30 and done["fates"] > 40
    assert done["megabytes"] < 2_000


ARMED = """
import pickle, sys
from pathlib import Path
from fuzzed_for_tests import Watch, checked, limit_memory
from fairheads.errors import InputError

folder, marker = Path(sys.argv[1]), Path(sys.argv[2])
watch = Watch(folder / "files", str(marker))

def told(path):
    raise InputError("an error that goes on and on " * 99)

def ends(path):
    while True:
        pass

import fuzzed_for_tests
fuzzed_for_tests.SECONDS = 1
limit_memory()
ways = [
    lambda path: pickle.loads(path.read_bytes()),
    lambda path: (folder / "elsewhere").write_text("x"),
    lambda path: (folder / "files" / "inside").write_text("x"),
    lambda path: eval(f"open({str(marker)!r}, 'w').close()"),
    lambda path: __import__("subprocess").run(["true"]),
    lambda path: __import__("socket").create_connection(("127.0.0.1", 9)),
    lambda path: [][1],
    lambda path: bytearray(2**33),
    told,
    ends,
]
for way in ways:
    print(repr(checked(folder / "files" / "case.pkl", watch, way)[1]))
"""


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path) -> None:
    """Positive controls: each of these is reported, and writing beside the file is not."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "case.pkl").write_bytes(pickle.dumps(Path("x")))
    command = [sys.executable, "-c", ARMED, str(tmp_path), str(tmp_path / "mark")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TESTS).stdout.splitlines()
    wanted = ["pickle.find_class", "open", "None", "compile", "subprocess.Popen", "socket", "IndexError", "MemoryError"]
    for line, word in zip(said, [*wanted, "no clear line", "takes more than"], strict=True):
        assert word in line


def test_a_folder_is_changed_and_laid_as_what_it_is(tmp_path: Path) -> None:
    whole = {b"config.json": b'{"format": 1}', b"deep/er/\xff": b"content", b"away": LINK + b"/etc/passwd"}
    assert unpacked(packed(whole)) == whole
    assert laid(packed(whole), tmp_path / "folder"), "a link leads out of it"
    assert (tmp_path / "folder" / "config.json").read_bytes() == b'{"format": 1}'
    assert (tmp_path / "folder" / "away").is_symlink()
    beyond = {b"../beside": b"x", b"/tmp/beside": b"x", b"inside": LINK + b"config.json", b"config.json": b"{}"}
    assert not laid(packed(beyond), tmp_path / "folder")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["config.json", "inside"]
    mutator = Mutator(0, [b"pool"], ["word"])
    made = [mutator.changed(packed(whole)) for _ in range(300)]
    assert sum(content.startswith(MAGIC) and content != packed(whole) for content in made) > 150
    assert {name for content in made if content.startswith(MAGIC) for name in unpacked(content)} > set(NAMES)


def test_changes_are_repeatable_and_keep_what_holds_files_together() -> None:
    inner = json.dumps({"name": "net", "sizes": [1, 2, 3]}).encode()
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", inner)
        archive.writestr("b", pickle.dumps([1.0, "two"]))
    whole = file.getvalue()

    def made() -> list[bytes]:
        mutator = Mutator(3, [whole, inner], ["word"])
        return [mutator.changed(whole) for _ in range(200)]

    first = made()
    assert first == made() and len(set(first)) > 150
    whole_ones = 0
    for content in first:
        try:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                whole_ones += archive.testzip() is None
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
            continue
    assert whole_ones > 100
