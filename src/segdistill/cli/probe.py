"""``segdistill probe``."""

from collections.abc import Sequence

from segdistill.cli.parser import (
    CommandParser,
    command_line,
    common_options,
    compute_choice,
    compute_options,
    labelled_options,
    labelled_set,
    run_argument,
)


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "probe",
        "Train a linear probe on a run's codes: it measures what they hold, given labels, and"
        " `segdistill evaluate` then scores it beside the clusters. Masks never depend on it.",
        "segdistill probe runs/photos --images train/imgs --labels train/labels",
    )
    run_argument(command)
    labelled_options(command, split="train")
    command.add_argument("--seed", type=int, default=0, help="of everything drawn at random")
    compute_options(command)
    common_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: something given cannot be used.
    """
    options = parser().parse_args(list(arguments))

    from segdistill.api import probe

    trained = probe(
        options.run,
        labelled_set(options),
        seed=options.seed,
        **compute_choice(options),
        progress=not options.quiet,
    )
    print(f"Probe: {trained.out_features} label classes, kept in {options.run}")
    following = command_line("evaluate", options.run, "--images", "IMAGES", "--labels", "LABELS")
    print(f"Next:  {following}")
