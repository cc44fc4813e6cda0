"""The picture of a report that README shows, from the demo's report in headless chromium (`make figures`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "notebooks/figures/report.png"
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def main(page: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium is needed to take the picture")
    with tempfile.TemporaryDirectory() as profile:
        size = ["--window-size=1180,1340", "--force-device-scale-factor=1"]
        shot = [f"--user-data-dir={profile}", f"--screenshot={PICTURE}", page.resolve().as_uri()]
        subprocess.run([browser, *QUIET, *size, *shot], check=True, capture_output=True)
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
