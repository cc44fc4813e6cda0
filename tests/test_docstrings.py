"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

import fairheads

OPTIONAL = {
    "fairheads.integrations.huggingface": ("accelerate", "transformers"),
    "fairheads.integrations.lightning": ("lightning",),
}
"""Modules that import at once what the extra `integrations` brings, and what that is."""

MODULES = sorted(m.name for m in pkgutil.walk_packages(fairheads.__path__, "fairheads."))


def missing(name: str) -> list[str]:
    """What the module needs and is not installed."""
    return [package for package in OPTIONAL.get(name, ()) if find_spec(package) is None]


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


def with_extras_in_test_all(name: str) -> object:
    """`make test` has no extras; `make test-all` has them and runs what is slow."""
    return pytest.param(name, marks=pytest.mark.slow) if name in OPTIONAL else name


@pytest.mark.parametrize("name", [with_extras_in_test_all(name) for name in MODULES])
def test_examples_run(name: str) -> None:
    if absent := missing(name):
        pytest.skip(f"needs the extra `integrations`: {', '.join(absent)} not installed")
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in examples(module):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_there_are_examples_to_run() -> None:
    assert sum(len(examples(importlib.import_module(name))) for name in MODULES if not missing(name)) >= 12


@pytest.mark.slow
def test_every_other_module_is_imported_without_the_extras() -> None:
    """In a process of its own, in which these packages cannot be imported, installed or not."""
    assert OPTIONAL.keys() <= set(MODULES)
    barred = ["accelerate", "lightning", "onnx", "onnxruntime", "pyarrow", "pytorch_lightning", "skops", "transformers"]
    plain = [name for name in MODULES if name not in OPTIONAL]
    code = f"""
import importlib, sys

sys.modules.update(dict.fromkeys({barred!r}))  # None: importing it raises ModuleNotFoundError
for name in {plain!r}:
    importlib.import_module(name)
for name in {sorted(OPTIONAL)!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{{name}} is imported without what it needs: it does not belong in OPTIONAL")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
