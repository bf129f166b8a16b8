"""Where the time of a fit goes, by stage: of a first fit, and of one that finds its features.

Fits CamVid's training images twice with all defaults, if SEGDISTILL_DATA names a folder that
contains camvid, otherwise as many synthetic photos. Each fit is a process of its own, as a command
is, so that the total has everything: starting, checking the images, and the report.

    python -m benchmarks.fit_time
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.material import photos
from segdistill.report.text import STAGES
from segdistill.runs.folder import RunFolder

IMAGES = 367
CLASSES = 11
REST = "Starting, checking images, writing the run and its report"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=IMAGES, help="number of images")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    for line in table(measured(options.images, options.device)):
        print(line)
    return 0


def measured(images: int, device: str = "auto") -> list[dict[str, float]]:
    """Fit twice; return the seconds of each stage of both fits, and of all as ``total``."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = scratch / "images"
        folder.mkdir()
        for image in photos(scratch / "photos", images):
            (folder / image.file.path.name).symlink_to(image.file.path.resolve())
        fits = []
        for number in range(2):
            run = scratch / f"run{number}"
            begin = time.perf_counter()
            subprocess.run(  # noqa: S603 - our own command
                [
                    *(sys.executable, "-m", "segdistill.cli.main", "fit", str(folder), "--quiet"),
                    *("--classes", str(CLASSES), "--out", str(run), "--device", device),
                    *("--cache.folder", str(scratch / "store")),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            total = time.perf_counter() - begin
            fits.append({**RunFolder(run).read_facts().seconds, "total": total})
        return fits


def table(fits: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the lines of a Markdown table."""
    names = {**STAGES, "rest": REST, "total": "**Total**"}
    lines = ["| stage | first fit, s | second fit, s |", "|---|---:|---:|"]
    whole = [
        {**each, "rest": 2 * each["total"] - sum(each.values())} for each in fits
    ]  # the sum has the total, too
    for stage, said in names.items():
        seconds = [each.get(stage) for each in whole]
        if any(seconds):
            cells = " | ".join("" if each is None else f"{each:.1f}" for each in seconds)
            lines.append(f"| {said} | {cells} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
