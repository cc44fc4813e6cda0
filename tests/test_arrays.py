"""Rows in files of NumPy come back as they were saved (hostile ones: tests/test_hostile_files.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fairheads.data.arrays import arrays_in, columns_in
from fairheads.errors import InputError


def test_arrays_of_every_order_and_type_come_back(tmp_path: Path) -> None:
    saved = {
        "rows first": np.arange(12.0).reshape(3, 4),
        "columns first": np.asfortranarray(np.arange(12, dtype=">i2").reshape(3, 4)),
        "none": np.zeros((0, 4), np.float16),
        "single": np.array(True),
        "texts": np.array(["a", "größe", "性别"]),
        "bytes": np.array([b"a", b"bc"]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "rows.npz", **saved)
        found = arrays_in(tmp_path / "rows.npz")
        assert list(found) == list(saved)
        for name, values in saved.items():
            np.testing.assert_array_equal(found[name], values.astype("U") if name == "bytes" else values)


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize("names", [("label", "sex"), ("größe", "straße"), ("标签", "性别")])
def test_columns_may_be_named_in_any_letters(names: tuple[str, str], tmp_path: Path) -> None:
    rows = np.array([(1, "f"), (0, "m")], dtype=[(names[0], "<i8"), (names[1], "U1")])
    np.save(tmp_path / "rows.npy", rows)
    found = columns_in(tmp_path / "rows.npy")
    assert {name: values.tolist() for name, values in found.items()} == {names[0]: [1, 0], names[1]: ["f", "m"]}


def test_a_header_that_is_none_is_refused(tmp_path: Path) -> None:
    said = b"{'shape': 'abc', 'fortran_order': False, 'descr': '|u1'}\n"
    content = b"\x93NUMPY\x03\x00" + len(said).to_bytes(4, "little") + said + b"abc"
    (tmp_path / "rows.npy").write_bytes(content)
    with pytest.raises(InputError, match="its header is not that of an array"):
        columns_in(tmp_path / "rows.npy")
