"""A process of a study; run as ``python -m fairheads.study.worker FOLDER STEP SOURCE DEVICE``, names on stdin."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from fairheads.errors import FairheadsError
from fairheads.study.rows import read_parts
from fairheads.study.run import DONE, FAILED, SETTING, do
from fairheads.study.setting import PaperSetting
from fairheads.study.studio import Studio


def work(folder: Path, step: str, source: str, device: str) -> None:
    """Do what is named, one line after the other, with a line on stdout for each; anything else goes to stderr."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        plain = json.loads((folder / SETTING).read_text(encoding="utf-8"))
        setting = PaperSetting.from_dict({key: plain[key] for key in plain.keys() - {"rows", "version"}})
        studio = Studio(setting, read_parts(setting, Path(source) if source else None), folder)
        for line in sys.stdin:
            answer = DONE
            try:
                do(studio, step, line.strip(), device or None)
            except FairheadsError as error:
                answer = f"{FAILED}{' '.join(str(error).split())}\n"
            answers.write(answer)
            answers.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]), *sys.argv[2:5])
