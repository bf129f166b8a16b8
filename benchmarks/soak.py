"""Measure the memory of `segdistill segment` over very many images, in one process.

The images are a few generated scenes under many names. Prints a Markdown table with the resident
memory of the process as masks are written.

    python benchmarks/soak.py runs/photos --images 10000
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from segdistill.sample.dataset import write_sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1000, help="masks between two rows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        photos, masks = Path(scratch, "photos"), Path(scratch, "masks")
        link_scenes(Path(scratch, "world"), photos, options.images)
        command = [sys.executable, "-m", "segdistill.cli.main", "segment", options.run, photos]
        command += ["--out", masks, "--quiet"]
        began = time.monotonic()
        process = subprocess.Popen([str(part) for part in command])  # noqa: S603
        print("| masks | minutes | resident memory, MB |\n|---|---|---|")
        for count, megabytes in growth(process, masks, options.every):
            minutes = (time.monotonic() - began) / 60
            print(f"| {count:,} | {minutes:.1f} | {megabytes:.0f} |", flush=True)
    if process.returncode:
        sys.exit(process.returncode)


def link_scenes(world: Path, folder: Path, count: int) -> None:
    """Give the images of a small generated data set ``count`` names in a folder."""
    write_sample(world)
    folder.mkdir()
    scenes = sorted((world / "imgs" / "val").iterdir())
    for number, scene in zip(range(count), itertools.cycle(scenes), strict=False):
        os.link(scene, folder / f"{number:06}{scene.suffix}")


def growth(
    process: "subprocess.Popen[bytes]", masks: Path, every: int
) -> Iterator[tuple[int, float]]:
    """Yield the number of masks and the resident memory in MB, until the process ends."""
    due, memory = every, 0.0
    while process.poll() is None:
        time.sleep(0.5)
        count = sum(1 for _ in masks.glob("*.png")) if masks.exists() else 0
        memory = resident(process.pid) or memory
        if count >= due:
            yield count, memory
            due = (count // every + 1) * every


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0][1]) / 1000 if lines else 0.0


if __name__ == "__main__":
    main()
