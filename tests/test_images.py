"""Rows that are images: read as arrays would be, from a folder or an archive alike, and nothing else is read."""

from __future__ import annotations

import io
import json
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_cli import run
from torch import nn

from fairheads.audit import audit
from fairheads.data import Dataset, Table, images, read_table
from fairheads.data.images import ImageEncoder, stream_images
from fairheads.errors import ConfigError, InputError

N, SIDE = 600, 6
PLAIN = ImageEncoder(size=(SIDE, SIDE), mean=(0.5, 0.4, 0.3), scale=(0.25, 0.5, 1.0))


def png(pixels: NDArray[np.uint8], form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, form)
    return written.getvalue()


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, pixels: NDArray[np.uint8]) -> Path:
    """A folder and an archive of the same images, and the table of their labels and groups."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(1)
    (folder / "faces" / "a").mkdir(parents=True)
    names = [f"a/{i}.png" for i in range(N)]
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for name, image in zip(names, pixels, strict=True):
            (folder / "faces" / name).write_bytes(png(image))
            archive.writestr(name, png(image))
    side = np.where(rng.random(N) < 0.5, "m", "f")
    old = (pixels[:, 0, 0, 0] / 255 + 0.3 * (side == "m") + 0.3 * rng.normal(size=N) > 0.6).astype(int)
    pd.DataFrame({"file": names, "sex": side, "old": old}).to_csv(folder / "faces.csv", index=False)
    (folder / "p.json").write_text(json.dumps(PLAIN.to_dict()))
    return folder


@pytest.fixture
def table(here: Path) -> Table:
    return read_table(here / "faces.csv", label="old", group=["sex"])


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 1)).eval()


def as_arrays(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return ((pixels / np.float32(255) - np.float32(PLAIN.mean)) / np.float32(PLAIN.scale)).transpose(0, 3, 1, 2)


# --- read as arrays would be -------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["faces", "faces.zip"])
def test_images_are_the_arrays_that_they_hold(here: Path, table: Table, pixels: NDArray[np.uint8], source: str) -> None:
    stream = stream_images(table, "file", here / source, PLAIN)
    batches = list(stream)
    assert [len(batch) for batch in batches] == [512, N - 512]
    np.testing.assert_array_equal(np.concatenate([batch.inputs["x"] for batch in batches]), as_arrays(pixels))
    some = stream_images(table, "file", here / source, PLAIN, rows=np.arange(N) % 7 == 3)
    assert np.concatenate([batch.row_id for batch in some]).tolist() == list(range(3, N, 7))


def test_an_audit_of_images_is_that_of_their_arrays(here: Path, table: Table, pixels: NDArray[np.uint8]) -> None:
    held = Dataset(as_arrays(pixels), table.y, table.group, group_names=table.group_names, name=table.name)
    streamed = audit(net(), stream_images(table, "file", here / "faces.zip", PLAIN), details=False)
    assert streamed.to_json() == audit(net(), held, details=False).to_json()


def test_the_command_takes_images(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    torch.export.save(
        torch.export.export(net(), (torch.zeros(4, 3, 6, 6),), dynamic_shapes=({0: torch.export.Dim("n")},)), "net.pt2"
    )
    words = ["audit", "net.pt2", "--data", "faces.csv", "--label", "old", "--group", "sex", "--no-details"]
    given = ["--images", "faces.zip", "--image", "file", "--preprocess", "p.json", "--format", "json"]
    done = run(*words, *given, "--sample", "300")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    said = "300 rows, drawn with seed 0 for a quick look, of the images of all 600 rows of faces.csv in faces.zip"
    assert report["data"]["n"] == 300 and said in report["notes"][0]
    for left_out in (0, 2, 4):
        done = run(*words, *given[:left_out], *given[left_out + 2 :])
        assert done.exit_code == 2 and "images need all of `--images" in done.stderr
    done = run(*words, *given, "--loader", "own:load")
    assert done.exit_code == 2 and "give one of `--loader`, `--images`" in done.stderr


# --- settings ----------------------------------------------------------------------------------------------------


def test_size_layout_and_colours_are_as_said() -> None:
    content = png(np.full((10, 20, 3), (255, 0, 51), np.uint8), "BMP")
    first = ImageEncoder(size=(4, 8), mean=(0.5, 0.5, 0.5), scale=(0.5, 0.5, 0.5)).transform(content)
    assert first.shape == (3, 4, 8) and first.dtype == np.float32
    np.testing.assert_allclose(first[:, 0, 0], [1, -1, -0.6], rtol=1e-6)
    last = ImageEncoder(size=(4, 8), layout="HWC").transform(content)
    assert last.shape == (4, 8, 3)
    np.testing.assert_allclose(last[3, 7], [1, 0, 0.2], rtol=1e-6)
    grey = ImageEncoder(size=(4, 8), mean=(0.0,), scale=(1.0,), colours="L").transform(content)
    assert grey.shape == (1, 4, 8) and float(grey.std()) == 0 and 0.2 < float(grey[0, 0, 0]) < 0.4


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, '"kind" "image"'),
        ({"kind": "image"}, '"size"'),
        ({"kind": "image", "size": [4, 4], "crop": 3}, "no others"),
        ({"kind": "image", "size": "big"}, "lists of numbers"),
        ({"kind": "image", "size": [0, 4]}, "1 to 1,048,576 pixels"),
        ({"kind": "image", "size": [float("inf"), 4]}, "lists of numbers"),
        ({"kind": "image", "size": [4, 4], "scale": [1, 1, 0]}, "`scale` above 0"),
        ({"kind": "image", "size": [4, 4], "mean": [1, 1]}, "must have 3 numbers"),
        ({"kind": "image", "size": [4, 4], "colours": "CMYK"}, "RGB or L"),
    ],
)
def test_settings_that_make_no_sense_are_refused(plain: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        ImageEncoder.from_dict(plain)
    for content in (json.dumps(plain), "[" * 100_000):
        (tmp_path / "p.json").write_text(content)
        with pytest.raises(InputError, match=r"p\.json' is no description of how images are fed"):
            ImageEncoder.read(tmp_path / "p.json")


# --- and nothing else --------------------------------------------------------------------------------------------


def named(name: str) -> Table:
    """A table of two rows, the second of which has this image."""
    columns = {"file": np.array(["good.png", name]), "sex": np.array(["f", "m"])}
    return Table(
        columns=columns,
        y=np.array([0, 1]),
        group=np.array([0, 1]),
        group_names=("f", "m"),
        not_inputs=(),
        name="two.csv",
        source="",
        label="old",
        favourable="1",
    )


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder, beside it a file that is none of its, and an archive with the same names."""
    good = png(np.zeros((4, 4, 3), np.uint8))
    bomb = bytearray(good)
    bomb[16:24] = (9_200).to_bytes(4, "big") * 2  # width and height in the header, which has a checksum
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n(/tmp/mark) (w) file\n"
    members = {"good.png": good, "bomb.png": bytes(bomb), "text.png": b"no image", "half.png": good[:40], "x.eps": eps}
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside.png").write_bytes(good)
    (inside / "link.png").symlink_to(tmp_path / "outside.png")
    with zipfile.ZipFile(tmp_path / "inside.zip", "w") as archive:
        for name, content in members.items():
            (inside / name).write_bytes(content)
            archive.writestr(name, content)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../outside.png")
        archive.writestr("large.png", bytes(2000), zipfile.ZIP_DEFLATED)
    (inside / "large.png").write_bytes(bytes(2000))
    return tmp_path


@pytest.mark.parametrize("source", ["inside", "inside.zip"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.png", "no such file|no member of this name"),
        ("../outside.png", "outside the folder|no member of this name"),
        ("link.png", "outside the folder|a link or encrypted"),
        ("bomb.png", "9,200 x 9,200 pixels"),
        ("large.png", "more than 0 MB"),
        ("text.png", "no image of these kinds"),
        ("half.png", "truncated|no image of these kinds|broken"),
        ("x.eps", "no image of these kinds"),
        ("a\0b", "no such file|no member of this name|null"),
    ],
)
def test_what_is_no_image_of_the_source_is_refused_and_named(
    hostile: Path, source: str, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=said) as caught:
        list(stream_images(named(name), "file", hostile / source, PLAIN))
    assert "the image of row 1 of two.csv, cannot be read" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_good_image_is_read(hostile: Path) -> None:
    for source in ("inside", "inside.zip"):
        assert len(stream_images(named("good.png"), "file", hostile / source, PLAIN)) == 2


def test_sources_and_columns_that_are_not_there_are_refused(hostile: Path) -> None:
    with pytest.raises(InputError, match="no column 'path'; it has: file, sex"):
        stream_images(named("good.png"), "path", hostile / "inside", PLAIN)
    with pytest.raises(InputError, match="there is no folder or archive"):
        stream_images(named("good.png"), "file", hostile / "nowhere", PLAIN)
    with pytest.raises(InputError, match=r"outside\.png is neither a folder of images nor a zip archive"):
        stream_images(named("good.png"), "file", hostile / "outside.png", PLAIN)
