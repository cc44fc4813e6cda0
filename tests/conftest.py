"""Shared by all tests: one thread, repeatable examples, the embedded Adult, the folder of shared data."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from fairheads.data import Dataset, adult

ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def every_test_draws_the_same() -> None:
    """Weights that a test leaves to torch's own initialisation are the same in every run and every process."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def adult_split() -> tuple[Dataset, Dataset]:
    """Adult by sex: the published training and test rows. Shared by all tests; do not write into it."""
    return adult(sensitive="sex").split()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that is not shipped; where it is absent the test skips, unless it is required."""
    folder = Path(os.environ.get("FAIRHEADS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = "the folder named by FAIRHEADS_SHARED_DATA (default ../shared/data) is absent"
        if os.environ.get("FAIRHEADS_REQUIRE_SHARED") == "1":
            pytest.fail(f"{reason}, and FAIRHEADS_REQUIRE_SHARED is 1")
        pytest.skip(reason)
    return folder


@pytest.fixture
def twins_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins are trained here, one after another: a worker process takes seconds to start. They are the same twins."""
    monkeypatch.setattr("fairheads.twins.recipe.cores", lambda: 1)


@pytest.fixture
def random_state_is_left_alone() -> Iterator[None]:
    """Fails the test if it moved the global random state of torch or numpy."""
    torch_before, (name, keys, *rest) = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), torch_before), "the test moved torch's global random state"
    name_now, keys_now, *rest_now = np.random.get_state()  # noqa: NPY002
    assert (name, rest) == (name_now, rest_now) and (keys == keys_now).all(), "the test moved numpy's random state"
