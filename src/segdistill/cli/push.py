"""``segdistill push``."""

from collections.abc import Sequence

from segdistill.cli.parser import CommandParser, common_options, flag, run_argument


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "push",
        "Share a run on the Hugging Face hub, with a card that explains it. The backbone's weights"
        " stay out. `Segmenter.from_pretrained` reads it.",
        "segdistill push runs/photos someone/photos --evaluation evaluations/photos",
    )
    run_argument(command)
    command.add_argument("repo_id", help="repository on the hub, such as someone/photos")
    command.add_argument(
        "--evaluation", type=str, help="folder that `evaluate --out` wrote, for the card"
    )
    command.add_argument(
        "--data",
        type=str,
        default="labelled images",
        help="what to call the images of the evaluation on the card",
    )
    flag(command, "--private", "a new repository is seen by its owner alone")
    flag(command, "--overwrite", "replace the model that the repository holds")
    command.add_argument("--backbone", type=str, help="where the backbone lies now, if it moved")
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))

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
