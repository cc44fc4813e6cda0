"""What an auditor is handed beside models and tables, whole ones, and how each is opened.

Reports to render or compare, options in TOML, how images are fed, arrays, and images beside their table.
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import results_for_tests as results
from folders_for_tests import packed
from inert_for_tests import check_lines, check_page

from fairheads.compare import compare, digest_of
from fairheads.data import Dataset, read_table
from fairheads.data.images import ImageEncoder, stream_images
from fairheads.errors import ConfigError
from fairheads.nets import MLP
from fairheads.reports import junit, load, render, render_file, verdict_gates
from fairheads.reports.pages import FORMATS
from fairheads.results import AuditReport
from fairheads_cli.rows import Columns, rows_of

DRAWN = 4
"""Of so many reports one is drawn as a page, which takes most of the time."""

FEED = b'{"kind": "image", "size": [4, 3], "mean": [0.5, 0.4, 0.3], "scale": [1, 1, 2.5], "layout": "HWC"}'

CONFIG = b"""model = "net"
data = "rows.csv"
label = "y"
group = ["g", "h"]
fail-on = ["compensating_head", "suppression"]
max-gap = 0.05
seed = 3
sample = 900
no-details = true
format = "json"
"""


@cache
def models() -> tuple[dict[str, MLP], Dataset]:
    """Two networks, with rows that both take."""
    nets = {"one": MLP(2, hidden=(2,)), "two": MLP(2, hidden=(3,))}
    return nets, Dataset(np.arange(24.0, dtype=np.float32).reshape(12, 2), [0, 1] * 6, ["a"] * 6 + ["b"] * 6)


def handed() -> list[tuple[str, bytes]]:
    """Whole files by the end of their names."""
    digest = digest_of(models()[0]["one"])
    audit = results.audit(("a", "b"))
    reports = (
        replace(audit, model=replace(audit.model, digest=digest)),
        results.detailed_audit(),
        results.comparison(),
        results.compared(),
        results.compared().front,
        results.full(),
        results.intersections(),
        results.selftest_report(),
        results.impact(),
        results.merge_report(),
    )
    made = [(".report", report.to_json().encode()) for report in reports]
    arrays, structured = io.BytesIO(), io.BytesIO()
    n = np.arange(12)
    np.savez(arrays, x=np.ones((12, 4), np.float32), y=n % 2, group=np.array(["a", "b"])[n // 6])
    np.save(structured, np.array([(0.5 * i, i % 2, "ab"[i // 6]) for i in n], "f4,i8,U1"))
    return [
        *made,
        (".toml", CONFIG),
        (".feed", FEED),
        (".arrays", arrays.getvalue()),
        (".array", structured.getvalue()),
        *((".images", packed(each)) for each in images()),
    ]


def images() -> Iterator[dict[bytes, bytes]]:
    """A table of images, in a folder and in an archive."""
    from PIL import Image

    files: dict[bytes, bytes] = {}
    for kind, mode in (("png", "RGB"), ("png", "P"), ("jpeg", "L"), ("gif", "P"), ("bmp", "RGB"), ("webp", "RGBA")):
        file = io.BytesIO()
        Image.new(mode, (5, 4), 60).save(file, kind)
        files[f"{len(files)}.{kind}".encode()] = file.getvalue()
    rows = ["file,g,y", *(f"{name.decode()},{'ab'[i // 3]},{i % 2}" for i, name in enumerate(files))]
    beside = {b"rows.csv": "\n".join(rows).encode(), b"feed.json": FEED}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name.decode()), content)
    yield {**beside, b"faces.zip": archive.getvalue()}
    yield {**beside, **{b"faces/" + name: content for name, content in files.items()}}


def open_report(file: Path) -> None:
    """Render a report in every format, as text for a pipeline, and beside models that are compared."""
    report = load(file)
    for form in FORMATS[type(report)]:
        if form == "html":
            if zlib.crc32(file.read_bytes()) % DRAWN == 0:
                check_page(render_file(file, form))
        elif form == "json":
            render_file(file, form).encode()
        else:
            check_lines(render_file(file, form))
    if isinstance(report, AuditReport):
        check_lines(junit(verdict_gates(report, ()), suite=report.model.name))
        nets, rows = models()
        if report.model.digest == digest_of(nets["one"]):
            check_lines(render(compare(nets, dict.fromkeys(nets, rows), audits=[report]), "text"))


def open_config(file: Path) -> None:
    """Take options from a file, as the command does before it does anything else."""
    import click

    from fairheads_cli.audit import audit

    try:
        audit.make_context("audit", ["--config", str(file)])
    except click.ClickException as error:
        raise ConfigError(" ".join(error.format_message().split())) from error


def open_feed(file: Path) -> None:
    """Read how images are fed, and feed one."""
    from PIL import Image

    image = io.BytesIO()
    Image.new("RGB", (2, 2)).save(image, "png")
    ImageEncoder.read(file).transform(image.getvalue())


def open_arrays(file: Path, end: str, columns: dict[str, str]) -> None:
    """Read rows from arrays, whose file is known by its name."""
    with _called(file, end) as named:
        rows_of(None, Columns(source=str(named), favourable=None, drop=None, **columns), "all", None)


def open_images(folder: Path) -> None:
    """Feed the images of a table; none may come from outside their folder."""
    table = read_table(folder / "rows.csv", label="y", group=["g"])
    faces = folder / "faces.zip"
    faces = faces if os.path.lexists(faces) else folder / "faces"
    for _ in stream_images(table, "file", faces, ImageEncoder.read(folder / "feed.json")):
        pass
    if faces.is_dir():
        for name in table.columns["file"].tolist():
            if not (faces / name).resolve().is_relative_to(faces.resolve()):
                raise RuntimeError(f"read {name!r}, which lies outside")


@contextmanager
def _called(file: Path, end: str) -> Iterator[Path]:
    named = file.with_name(f"rows{end}")
    shutil.copyfile(file, named)
    try:
        yield named
    finally:
        named.unlink(missing_ok=True)


HANDED: dict[str, Callable[[Path], Any]] = {
    ".report": open_report,
    ".toml": open_config,
    ".feed": open_feed,
    ".arrays": lambda file: open_arrays(file, ".npz", {"label": "y", "group": "group"}),
    ".array": lambda file: open_arrays(file, ".npy", {"label": "f1", "group": "f2"}),
    ".images": open_images,
}
"""What opens a file, by the end of its name; a folder is laid from its one file."""


def ready() -> None:
    """Draw a page and read an image once, before anything is watched."""
    models()
    render(results.detailed_audit(), "html")
    results.full().to_frame()
