"""Run every command of README.md in this folder, one after another, and write the reports anew.

Run by `make strangers`; three minutes of CPU, most of it for the network of faces. Needs the folder of
FAIRHEADS_SHARED_DATA (default ../shared/data), and `fairheads` in the same environment as this Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def commands(readme: str) -> list[str]:
    """The commands of its bash blocks, whole: lines that end in a backslash go on."""
    blocks = re.findall(r"```bash\n(.*?)```", readme, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def main() -> None:
    data = Path(os.environ.get("FAIRHEADS_SHARED_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not data.is_dir():
        sys.exit("the folder named by FAIRHEADS_SHARED_DATA (default ../shared/data) is absent")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "DATA": str(data), "PATH": path, "OMP_NUM_THREADS": "1"}
    for command in commands((HERE / "README.md").read_text(encoding="utf-8")):
        print(command, flush=True)
        subprocess.run(["bash", "-c", command], cwd=HERE, env=environment, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
