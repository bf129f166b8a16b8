"""``segdistill push``."""

from collections.abc import Sequence

from segdistill.cli.parser import CommandParser, backbone_option, flag, parse_options, run_argument


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "push",
        "Share a run on the Hugging Face hub, with a model card. The backbone's weights are not"
        " uploaded. `Segmenter.from_pretrained` loads it.",
        "segdistill push runs/photos someone/photos --evaluation evaluations/photos",
    )
    run_argument(command)
    command.add_argument(
        "repo_id", metavar="REPO_ID", help="repository on the hub, such as someone/photos"
    )
    command.add_argument(
        "--evaluation",
        type=str,
        metavar="FOLDER",
        help="folder that `evaluate --out` wrote, for the card (default: no scores)",
    )
    command.add_argument(
        "--data",
        type=str,
        default="labelled images",
        metavar="NAME",
        help="name of the evaluation's images on the card",
    )
    flag(command, "--private", "make a new repository private")
    flag(command, "--overwrite", "replace the model in the repository")
    backbone_option(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)

    from segdistill.api import push

    address = push(
        options.run,
        options.repo_id,
        evaluation=options.evaluation,
        data=options.data,
        private=options.private,
        overwrite=options.overwrite,
        backbone=options.backbone,
    )
    print(f"Shared:  {address}")
    if not options.quiet:
        print(f'From Python: segdistill.Segmenter.from_pretrained("{options.repo_id}")')
