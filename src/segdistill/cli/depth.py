"""``segdistill depth``."""

import sys
from collections.abc import Sequence
from typing import Literal

from segdistill.cli.outcome import tell_outcome
from segdistill.cli.parser import CommandParser, common_options, flag
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.depth.names import DEFAULT_DEPTH_MODEL, DEPTH_MODELS, depth_model_source
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "depth",
        "Estimate the depth of images with a network: one 16-bit PNG for each, in the same tree,"
        " upright, of the image's size, and depth.json, which says what the values mean. Maps that"
        " the same model made before are kept, so the same command goes on after an interruption.",
        "segdistill depth photos --preview",
    )
    models = ", ".join(f"{name} ({each.licence})" for name, each in DEPTH_MODELS.items())
    command.add_argument("images", help="folder, file or quoted glob pattern")
    command.add_argument(
        "--model",
        type=str,
        default=DEFAULT_DEPTH_MODEL,
        help="hub id or local folder of a Depth Anything, ZoeDepth or DPT network, or a short"
        f" name (licence of the weights): {models}",
    )
    command.add_argument(
        "--out",
        type=str,
        help="folder for the depth maps (default: depth/train for imgs/train and the like,"
        " IMAGES_depth otherwise)",
    )
    command.add_argument(
        "--kind",
        type=Literal["inverse", "depth"],
        help="what the network gives, if its config.json does not tell: inverse depth without a"
        " unit, or depth in metres",
    )
    flag(command, "--preview", "also write colour pictures, in a folder of their own")
    flag(command, "--overwrite", "make maps anew that were estimated before")
    flag(command, "--strict", "stop at the first image that cannot be read")
    command.add_argument(
        "--batch", type=int, default=4, help="images of one size that are estimated at once"
    )
    command.add_argument("--device", type=DeviceName, default="auto", help="where to compute")
    command.add_argument(
        "--precision", type=PrecisionName, default="32-true", help="of matrix products"
    )
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if none of the images could be read.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    # Before torch is imported, which takes seconds: a wrong name is told at once.
    check_exists(options.images)
    depth_model_source(options.model)

    from segdistill.api import estimate_depth
    from segdistill.depth.outputs import DepthOptions

    names = DepthOptions.__dataclass_fields__
    try:
        done = estimate_depth(
            options.images,
            options.model,
            options.out,
            kind=options.kind,
            options=DepthOptions(**{name: options[name] for name in names}),
            device=options.device,
            precision=options.precision,
            progress=not options.quiet,
        )
    except KeyboardInterrupt:
        if not options.overwrite:
            print("\nFinished maps are kept: the same command goes on.", file=sys.stderr)
        raise
    if status := tell_outcome("depth", "Depth", done):
        return status
    print(f"About:   {done.folder / 'depth.json'}")
    if done.previews is not None:
        print(f"Preview: {done.previews}")
    return 0
