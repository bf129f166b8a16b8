"""``segdistill sample``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, command_line, parse_options
from segdistill.errors import UserError


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "sample",
        "Generate a small data set of outdoor scenes, with exact labels and depth.",
        "segdistill sample world",
    )
    command.add_argument("folder", metavar="FOLDER", help="folder to write; must be new or empty")
    command.add_argument("--train", type=int, default=48, help="number of training scenes")
    command.add_argument("--val", type=int, default=16, help="number of validation scenes")
    command.add_argument("--width", type=int, default=320, help="width of the images, in pixels")
    command.add_argument("--height", type=int, default=240, help="height of the images, in pixels")
    command.add_argument(
        "--seed", type=int, default=0, help="random seed; the same seed gives the same files"
    )
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)

    from segdistill.progress import progress_bar
    from segdistill.sample.dataset import write_sample

    scenes = options.train + options.val
    with progress_bar("Rendering scenes", scenes, shown=not options.quiet) as advance:
        try:
            root = write_sample(
                Path(options.folder),
                train=options.train,
                val=options.val,
                width=options.width,
                height=options.height,
                seed=options.seed,
                progress=lambda _done, _total: advance(1),
            )
        except (FileExistsError, ValueError) as error:
            raise UserError(str(error)) from error
    print(f"Images: {root / 'imgs'}")
    print(f"Labels: {root / 'labels'}")
    print(f"Depth:  {root / 'depth'}")
    print(f"Next:   {command_line('fit', root, '--classes', 6)}")
