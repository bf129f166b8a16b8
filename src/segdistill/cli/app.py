"""``segdistill app``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.cli.parser import (
    CommandParser,
    command_line,
    common_options,
    compute_choice,
    compute_options,
    flag,
    run_argument,
)
from segdistill.errors import UserError
from segdistill.images.finding import check_exists, find_images

if TYPE_CHECKING:
    from segdistill.images.finding import ImageFile

LOCAL_HOST = "127.0.0.1"


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "app",
        "Look at a run in the browser: name, merge and hide its classes, try images, see what"
        " corresponds. Changes are saved in the run at once and can be undone. The page is served"
        " to this computer alone and needs no network.",
        "segdistill app runs/photos",
    )
    run_argument(command)
    command.add_argument(
        "--images", type=str, help="images to look at (default: those the run was fitted on)"
    )
    command.add_argument("--compare", type=str, help="another run, to see both side by side")
    command.add_argument(
        "--port", type=int | None, help="to listen on (default: the first free one from 7860 on)"
    )
    command.add_argument(
        "--host",
        type=str,
        default=LOCAL_HOST,
        help="address to listen on; 0.0.0.0 lets other computers in",
    )
    flag(command, "--no-browser", "print the address, but open no browser")
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    folder = Path(options.run)
    compare = None if options.compare is None else Path(options.compare)
    if options.port is not None and not 1 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: must be from 1 to 65535")
    for each in (folder, *([] if compare is None else [compare])):
        check_exists(each)

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
            f"Warning: with --host {options.host} everybody who can reach this computer can see the"
            " images and change the classes"
        )
    with serving(
        lambda: build_page(state, compare), host=options.host, port=options.port
    ) as server:
        print(f"Run:    {folder}")
        print(f"Images: {len(files)}{'' if files else '; --images FOLDER gives some to look at'}")
        print(f"Page:   {server.url}", flush=True)
        print("Ctrl-C ends it.", flush=True)
        if not options.no_browser:
            open_browser(server.url)
        server.wait()
    print(f"\nChanges are kept in the run. Next: {command_line('segment', folder, 'IMAGES')}")


def images_of(folder: Path, given: str | None) -> "list[ImageFile]":
    """Return the images to look at: those given, or those that the run was fitted on.

    Args:
        folder: the run folder.
        given: folder, file or pattern; ``None`` asks the run.

    Returns:
        The images; none where the run does not know them, or they are not there any more.

    Raises:
        UserError: none is found of what was given.
    """
    if given is not None:
        return find_images(given)

    from segdistill.training.run_folder import RunFolder
    from segdistill.training.used_images import files_from

    known = files_from(RunFolder(folder).read_facts())
    return [file for file in known if file.path.exists()]
