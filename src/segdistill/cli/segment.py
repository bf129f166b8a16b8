"""``segdistill segment``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, common_options, compute_options, flag


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "segment",
        "Write one mask for each image: same tree, same names, the image's own size, upright.",
        "segdistill segment runs/photos more_photos --overlay",
    )
    command.add_argument("run", help="run folder that `segdistill fit` wrote")
    command.add_argument("sources", nargs="+", help="folders, files or quoted glob patterns")
    command.add_argument("--out", type=str, help="folder for the masks (default: masks/NAME)")
    flag(command, "--overlay", "also write NAME.overlay.jpg: the colours over the image")
    flag(command, "--scores", "also write NAME.scores.npy: similarity with each class, float16")
    flag(command, "--mirror", "average with the mirrored image: better, twice the time")
    flag(command, "--crf", "refine with the fully connected CRF: sharper, several times the time")
    flag(command, "--strict", "stop at the first image that cannot be read")
    flag(command, "--overwrite", "replace masks that are there")
    flag(command, "--resume", "leave masks that are there, write those that are missing")
    command.add_argument(
        "--resolution",
        type=int,
        help="shorter side at which the backbone sees images (default: as in training)",
    )
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))
    name = Path(options.sources[0]).resolve().name if len(options.sources) == 1 else "images"
    out = Path(options.out or Path("masks") / Path(name).stem.replace("*", "images"))

    from segdistill.api import segment
    from segdistill.inference.folder import MaskOptions

    names = MaskOptions.__dataclass_fields__
    done = segment(
        options.run,
        options.sources,
        out,
        options=MaskOptions(**{name: options[name] for name in names}),
        backbone=options.backbone,
        device=options.device,
        precision=options.precision,
        progress=not options.quiet,
    )
    kept = f", {done.kept} were there already" if done.kept else ""
    print(f"Masks:   {done.written} written to {done.folder}{kept}")
    print(f"Classes: {done.folder / 'classes.json'}")
    for skipped in done.skipped:
        print(f"Skipped: {skipped.reason}")
