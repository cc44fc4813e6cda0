"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import fairheads

MODULES = sorted(m.name for m in pkgutil.walk_packages(fairheads.__path__, "fairheads."))


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in examples(module):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_there_are_examples_to_run() -> None:
    assert sum(len(examples(importlib.import_module(name))) for name in MODULES) >= 12
