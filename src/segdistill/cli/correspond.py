"""``segdistill correspond``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import (
    CommandParser,
    common_options,
    compute_choice,
    compute_options,
    flag,
    run_argument,
)
from segdistill.errors import UserError
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "correspond",
        "Draw what a point of an image corresponds to, in that image and in another, by the"
        " backbone's features and by the codes that were learned.",
        "segdistill correspond runs/photos beach.jpg dunes.jpg --point 120,80",
    )
    run_argument(command)
    command.add_argument("first", help="image that holds the point")
    command.add_argument("second", nargs="?", help="image to look in (default: the first)")
    command.add_argument(
        "--point", type=str, help="x,y in pixels of the first image (default: its middle)"
    )
    command.add_argument("--out", type=str, default="correspondences.png", help="picture to write")
    command.add_argument(
        "--animation",
        type=str,
        help="also write this file, .gif or .mp4, in which the point moves",
    )
    flag(command, "--overwrite", "replace the pictures that are there")
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    out = Path(options.out)
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: must end with .png")
    animation = Path(options.animation) if options.animation else None
    for path, option in ((out, "--out"), (animation, "--animation")):
        if path is not None and path.exists() and not options.overwrite:
            raise UserError(f"{path}: exists already; add --overwrite or choose another {option}")
    for image in (options.first, options.second or options.first):
        check_exists(image)

    from segdistill.inference.animation import check_animation

    if animation is not None:
        check_animation(animation)

    from segdistill.images.decode import read_image
    from segdistill.inference.correspondences import (
        draw_correspondences,
        embed,
        write_animation,
        write_picture,
    )
    from segdistill.model.segmenter import Segmenter

    images = [read_image(Path(options.first)), read_image(Path(options.second or options.first))]
    point = share_of(options.point, images[0].shape[1], images[0].shape[0])
    segmenter = Segmenter.load(
        options.run,
        **compute_choice(options),
    )
    first, second = (embed(segmenter, image) for image in images)
    write_picture(out, draw_correspondences(first, second, point))
    print(f"Picture:   {out}")
    if animation is not None:
        write_animation(animation, first, second)
        print(f"Animation: {animation}")


def share_of(text: str | None, width: int, height: int) -> tuple[float, float]:
    """Return a point given in pixels as shares of width and height.

    Args:
        text: ``x,y``, or ``None`` for the middle.
        width: of the image, in pixels.
        height: of the image, in pixels.

    Raises:
        UserError: the text is no point, or lies outside the image.

    Example:
        >>> share_of("30,10", 120, 20)
        (0.25, 0.5)
    """
    if text is None:
        return 0.5, 0.5
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--point {text}: must be x,y in pixels, such as 120,80") from error
    if not (0 <= x <= width and 0 <= y <= height):
        raise UserError(f"--point {text}: lies outside the image of {width}x{height} pixels")
    return x / width, y / height
