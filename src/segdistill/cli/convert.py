"""``segdistill convert``."""

from collections.abc import Sequence
from pathlib import Path

from segdistill.cli.parser import CommandParser, command_line, common_options, flag


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "convert",
        "Turn a checkpoint of STEGO or DepthG into a run folder, without running code in it.",
        "segdistill convert stego.ckpt --out runs/stego",
    )
    command.add_argument("checkpoint", help="file that their training wrote (.ckpt)")
    command.add_argument("--out", required=True, type=str, help="run folder to write")
    command.add_argument(
        "--num-heads",
        type=int | None,
        help="attention heads of the backbone (default: as the network it names has)",
    )
    flag(command, "--overwrite", "replace what an earlier conversion wrote")
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: the checkpoint cannot be used, or the run folder cannot be written.
    """
    options = parser().parse_args(list(arguments))
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
