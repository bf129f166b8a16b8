"""Install a wheel into an empty environment, outside the repository, and run the demo with it.

    python -m tools.try_wheel dist/segdistill-*.whl

The versions are those of ``constraints.txt``. Prints what it runs, and fails where that does.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]

QUICK = ("--classes", "6", "--resolution", "160", "--training.steps", "50")
DEMO = (
    ("--version",),
    ("sample", "world", "--train", "12", "--val", "4"),
    ("fit", "world", "--out", "run", *QUICK),
    ("segment", "run", "world/imgs/val", "--out", "masks", "--overlay"),
    ("evaluate", "run", "--images", "world/imgs/val", "--labels", "world/labels/val"),
)
WRITTEN = ("run/segmenter.safetensors", "run/report.html", "masks/scene_0003.png")


def main(wheel: Path) -> None:
    """Install and try the wheel.

    Raises:
        CalledProcessError: the wheel does not install, or a command of the demo fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "environment", with_pip=True)
        programs = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
        # Nothing of the repository may be seen.
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        clean["SEGDISTILL_CACHE"] = str(folder / "cache")
        pip = (str(programs / "python"), "-m", "pip", "install", "--quiet")
        constraints = ("-c", str(ROOT / "constraints.txt"))
        _run((*pip, *constraints, str(wheel.resolve())), folder, clean)
        for arguments in DEMO:
            _run((str(programs / "segdistill"), *arguments), folder, clean)
        missing = [each for each in WRITTEN if not (folder / each).is_file()]
        if missing:
            sys.exit(f"not written: {', '.join(missing)}")
    print(f"{wheel.name} installs and runs")


def _run(command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=folder, env=environment, check=True)  # noqa: S603 - our own


if __name__ == "__main__":
    main(Path(sys.argv[1]))
