"""``segdistill convert``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, command_line, flag, parse_options


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "convert",
        "Convert a checkpoint of STEGO or DepthG to a run folder, without running code in it.",
        "segdistill convert stego.ckpt --out runs/stego",
    )
    command.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint that their training wrote (.ckpt)"
    )
    command.add_argument(
        "--out", required=True, type=str, metavar="FOLDER", help="run folder to write"
    )
    command.add_argument(
        "--num-heads",
        type=int | None,
        help="attention heads of the backbone (default: those of the network it names)",
    )
    flag(command, "--overwrite", "replace the run of an earlier conversion")
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: the checkpoint cannot be used, or the run folder cannot be written.
    """
    options = parse_options(parser(), arguments)
    out = Path(options.out)

    from segdistill.model.checkpoints import BACKBONE_FOLDER, convert_checkpoint
    from segdistill.model.linear_probe import PROBE_FILE

    converted = convert_checkpoint(
        Path(options.checkpoint), out, num_heads=options.num_heads, overwrite=options.overwrite
    )
    backbone, centres = converted.segmenter.backbone, converted.segmenter.centres
    print(f"Run:      {out} ({len(centres)} classes, codes of {centres.shape[1]} channels)")
    print(
        f"Backbone: {out / BACKBONE_FOLDER} (ViT of {sum(backbone.channel_groups)} channels,"
        f" patches of {backbone.stride}, {converted.num_heads} heads)"
    )
    if converted.probe is not None:
        print(
            f"Probe:    {out / PROBE_FILE} (linear, {converted.probe.out_features} label classes)"
        )
    print(f"Next:     {command_line('segment', out, 'IMAGES')}")
