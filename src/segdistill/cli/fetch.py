"""``segdistill fetch``."""

import sys
from collections.abc import Sequence

from segdistill.cli.outcome import check_sources
from segdistill.cli.parser import CommandParser, command_line, parse_options


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "fetch",
        "Copy a random sample of a very large set of images to a local folder, to fit on. The same"
        " command resumes after an interruption.",
        "segdistill fetch s3://bucket/photos photos --images 10000",
    )
    command.add_argument(
        "source",
        metavar="SOURCE",
        help="URL such as s3://bucket/photos, folder, or quoted glob pattern",
    )
    command.add_argument("out", metavar="FOLDER", help="folder for the copies")
    command.add_argument("--images", type=int, default=10_000, help="number of images, at most")
    command.add_argument("--seed", type=int, default=0, help="random seed of the sample")
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if an image could not be copied.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    check_sources([options.source])

    from segdistill.api import fetch_images

    done = fetch_images(
        options.source,
        options.out,
        images=options.images,
        seed=options.seed,
        progress=not options.quiet,
    )
    for failure in done.failed:
        print(f"Not copied: {failure}", file=sys.stderr)
    kept = f", {done.kept} existed already" if done.kept else ""
    print(f"Images:  {done.copied} of {done.found} copied to {done.folder}{kept}")
    print(f"Next:    {command_line('fit', done.folder)}")
    return 1 if done.failed else 0
