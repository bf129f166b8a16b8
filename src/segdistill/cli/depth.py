"""``segdistill depth``."""

import sys
from collections.abc import Sequence
from typing import Literal

from segdistill.cli.outcome import report_outcome
from segdistill.cli.parser import (
    COMPUTE,
    DEVICE_HELP,
    PRECISION_HELP,
    CommandParser,
    flag,
    parse_options,
)
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.depth.networks import DEFAULT_DEPTH_MODEL, DEPTH_MODELS, depth_model_source
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "depth",
        "Estimate depth with a network: one 16-bit PNG per image, in the same folder tree, upright"
        " and of the image's size, and depth.json, which states what the values mean. Maps that the"
        " same model wrote before are kept, so the same command resumes after an interruption.",
        "segdistill depth photos --preview",
    )
    models = ", ".join(f"{name} ({each.licence})" for name, each in DEPTH_MODELS.items())
    command.add_argument(
        "images", metavar="IMAGES", help="folder, file or quoted glob pattern of images"
    )
    command.add_argument(
        "--out",
        type=str,
        metavar="FOLDER",
        help="folder for the depth maps (default: depth/train for imgs/train and the like,"
        " IMAGES_depth otherwise)",
    )
    command.add_argument(
        "--model",
        type=str,
        default=DEFAULT_DEPTH_MODEL,
        metavar="NAME",
        help="hub id or local folder of a Depth Anything, ZoeDepth or DPT network, or a short name"
        f" (licence of the weights): {models}",
    )
    command.add_argument(
        "--kind",
        type=Literal["inverse", "depth"],
        help="what the network predicts: inverse depth without a unit, or depth in metres"
        " (default: what its config.json says)",
    )
    flag(command, "--preview", "also write colour previews, in a separate folder")
    flag(command, "--overwrite", "estimate existing maps again")
    flag(command, "--strict", "stop at the first image that cannot be read")
    command.add_argument(
        "--batch", type=int, default=4, help="number of images of one size per batch"
    )
    compute = command.section(COMPUTE)
    compute.add_argument("--device", type=DeviceName, default="auto", help=DEVICE_HELP)
    compute.add_argument("--precision", type=PrecisionName, default="32-true", help=PRECISION_HELP)
    return command


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        Exit status: 1 if none of the images could be read.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    # Before torch is imported, which takes seconds: a wrong name is reported at once.
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
            print("\nFinished maps are kept; run the command again to continue.", file=sys.stderr)
        raise
    if status := report_outcome("depth", "Depth", done):
        return status
    print(f"About:   {done.folder / 'depth.json'}")
    if done.previews is not None:
        print(f"Preview: {done.previews}")
    return 0
