"""``segdistill app``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.cli.parser import (
    RUN,
    CommandParser,
    backbone_option,
    command_line,
    compute_choice,
    compute_options,
    flag,
    parse_options,
    run_argument,
)
from segdistill.errors import UserError
from segdistill.images.finding import find_images

if TYPE_CHECKING:
    from segdistill.images.finding import ImageFile

LOCAL_HOST = "127.0.0.1"


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "app",
        "Open a run in the browser: name, merge and hide its classes, try images, inspect"
        " correspondences. Changes are saved in the run at once and can be undone. The page is"
        " served on this computer only and needs no network.",
        "segdistill app runs/photos",
    )
    run_argument(command)
    command.add_argument(
        "--images",
        type=str,
        metavar="PATH",
        help="images to show: folder, file or quoted glob pattern (default: those the run was"
        " fitted on)",
    )
    command.add_argument(
        "--compare",
        type=str,
        metavar=RUN,
        help="another run, shown side by side with this one (default: none)",
    )
    command.add_argument(
        "--port",
        type=int | None,
        help="port to listen on (default: the first free one from 7860)",
    )
    command.add_argument(
        "--host",
        type=str,
        default=LOCAL_HOST,
        help="address to listen on; 0.0.0.0 lets other computers in",
    )
    flag(command, "--no-browser", "print the address, but do not open a browser")
    backbone_option(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    folder = Path(options.run)
    compare = None if options.compare is None else Path(options.compare)
    if options.port is not None and not 1 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: must be from 1 to 65535")

    from segdistill.app.server import is_local, open_browser, require_gradio, serving

    require_gradio()

    from segdistill.app.page import build_page
    from segdistill.app.state import AppState

    files = images_of(folder, options.images)
    state = AppState(folder, files, **compute_choice(options))
    if compare is not None:
        state.other(compare)
    if not is_local(options.host):
        print(
            f"Warning: with --host {options.host}, anyone who can reach this computer can see the"
            " images and change the classes"
        )
    with serving(
        lambda: build_page(state, compare), host=options.host, port=options.port
    ) as server:
        print(f"Run:    {folder}")
        print(f"Images: {len(files)}{'' if files else '; give some with --images FOLDER'}")
        print(f"Page:   {server.url}", flush=True)
        print("Press Ctrl-C to stop.", flush=True)
        if not options.no_browser:
            open_browser(server.url)
        server.wait()
    print(f"\nChanges are saved in the run. Next: {command_line('segment', folder, 'IMAGES')}")


def images_of(folder: Path, given: str | None) -> "list[ImageFile]":
    """Return the images to show: those given, or those that the run was fitted on.

    Args:
        folder: the run folder.
        given: folder, file or pattern; ``None`` for those of the run.

    Returns:
        The images; empty if the run does not list them, or they do not exist any more.

    Raises:
        UserError: no image is found in what was given.
    """
    if given is not None:
        return find_images(given)

    from segdistill.training.run_folder import RunFolder, files_from_facts

    known = files_from_facts(RunFolder(folder).read_facts())
    return [file for file in known if file.path.exists()]
