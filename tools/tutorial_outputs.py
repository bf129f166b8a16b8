"""Run the tutorial's commands, and write what they print into the page.

Each block of commands that is followed by a block of output is run, in order, in one folder. Run it
after a change that alters models or messages, and read the difference:

    python -m tools.tutorial_outputs FOLDER
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
PAIR = re.compile(r"```sh\n(?P<commands>.*?)```\n```text\n(?P<output>.*?)```\n", re.DOTALL)
PROGRESS = re.compile("━|^Training +step")


def with_outputs(page: str, folder: Path) -> str:
    """Return the page with the outputs of its commands, run in a folder."""

    def run(match: re.Match[str]) -> str:
        done = subprocess.run(  # noqa: S603 - the commands of our own page
            ["bash", "-ec", match["commands"]],  # noqa: S607
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        lines = (line.rstrip() for line in done.stdout.splitlines())
        printed = "\n".join(line for line in lines if not PROGRESS.search(line))
        return match[0].replace(f"```text\n{match['output']}", f"```text\n{printed}\n")

    return PAIR.sub(run, page)


def main() -> None:
    """Run the tutorial in a new folder, named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    PAGE.write_text(with_outputs(PAGE.read_text(encoding="utf-8"), folder), encoding="utf-8")


if __name__ == "__main__":
    main()
