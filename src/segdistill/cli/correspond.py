"""``segdistill correspond``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import (
    CommandParser,
    backbone_option,
    compute_choice,
    compute_options,
    flag,
    parse_options,
    run_argument,
)
from segdistill.errors import UserError
from segdistill.images.finding import check_exists


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "correspond",
        "Draw what a point of an image corresponds to, in the same image and in another one,"
        " according to the backbone's features and to the learned codes.",
        "segdistill correspond runs/photos beach.jpg dunes.jpg --point 120,80",
    )
    run_argument(command)
    command.add_argument("first", metavar="IMAGE", help="image that contains the point")
    command.add_argument(
        "second",
        nargs="?",
        metavar="OTHER",
        help="image to search for correspondences (default: IMAGE)",
    )
    command.add_argument(
        "--point",
        type=str,
        metavar="X,Y",
        help="point in IMAGE, in pixels (default: its centre)",
    )
    command.add_argument(
        "--out", type=str, default="correspondences.png", metavar="FILE", help="picture to write"
    )
    command.add_argument(
        "--animation",
        type=str,
        metavar="FILE",
        help="also write this .gif or .mp4, in which the point moves (default: no animation)",
    )
    flag(command, "--overwrite", "replace existing pictures")
    backbone_option(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)
    out = Path(options.out)
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: must end with .png")
    animation = Path(options.animation) if options.animation else None
    for path, option in ((out, "--out"), (animation, "--animation")):
        if path is not None and path.exists() and not options.overwrite:
            raise UserError(f"{path}: already exists; add --overwrite or choose another {option}")
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
        write_png,
    )
    from segdistill.model.segmenter import Segmenter

    images = [read_image(Path(options.first)), read_image(Path(options.second or options.first))]
    point = relative_point(options.point, images[0].shape[1], images[0].shape[0])
    segmenter = Segmenter.load(
        options.run,
        **compute_choice(options),
    )
    first, second = (embed(segmenter, image) for image in images)
    write_png(out, draw_correspondences(first, second, point))
    print(f"Picture:   {out}")
    if animation is not None:
        write_animation(animation, first, second)
        print(f"Animation: {animation}")


def relative_point(text: str | None, width: int, height: int) -> tuple[float, float]:
    """Return a point given in pixels as fractions of width and height.

    Args:
        text: ``x,y``, or ``None`` for the centre.
        width: width of the image, in pixels.
        height: height of the image, in pixels.

    Raises:
        UserError: the text is not a point, or the point is outside the image.

    Example:
        >>> relative_point("30,10", 120, 20)
        (0.25, 0.5)
    """
    if text is None:
        return 0.5, 0.5
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--point {text}: must be x,y in pixels, such as 120,80") from error
    if not (0 <= x <= width and 0 <= y <= height):
        raise UserError(f"--point {text}: outside the image of {width}x{height} pixels")
    return x / width, y / height
