"""A process of a study; run as ``python -m fairheads.study.worker FOLDER STEP SOURCE DEVICE``, names on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fairheads.study.rows import read_parts
from fairheads.study.run import SETTING, do
from fairheads.study.setting import PaperSetting
from fairheads.study.studio import Studio


def work(folder: Path, step: str, source: str, device: str) -> None:
    """Do what is named, one line after the other, with a line on stdout for each."""
    setting = PaperSetting.from_dict(json.loads((folder / SETTING).read_text(encoding="utf-8")))
    studio = Studio(setting, read_parts(setting, Path(source) if source else None), folder)
    for line in sys.stdin:
        do(studio, step, line.strip(), device or None)
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]), *sys.argv[2:5])
