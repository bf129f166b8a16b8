"""``segdistill probe``."""

from collections.abc import Sequence

from segdistill.cli.parser import (
    CommandParser,
    backbone_option,
    command_line,
    compute_choice,
    compute_options,
    labelled_options,
    labelled_set,
    parse_options,
    run_argument,
)


def parser() -> CommandParser:
    """Return the parser of the command."""
    command = CommandParser(
        "probe",
        "Train a linear probe on a run's codes, which measures what they encode, given labels."
        " `segdistill evaluate` then scores it as well as the clusters. Masks never depend on it.",
        "segdistill probe runs/photos --images train/imgs --labels train/labels",
    )
    run_argument(command)
    labelled_options(command, split="train")
    command.add_argument("--seed", type=int, default=0, help="random seed")
    backbone_option(command)
    compute_options(command)
    return command


def run(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        UserError: invalid input; the message says what is wrong and suggests a fix.
    """
    options = parse_options(parser(), arguments)

    from segdistill.api import probe

    trained = probe(
        options.run,
        labelled_set(options),
        seed=options.seed,
        **compute_choice(options),
        progress=not options.quiet,
    )
    print(f"Probe: {trained.out_features} label classes, saved in {options.run}")
    following = command_line("evaluate", options.run, "--images", "IMAGES", "--labels", "LABELS")
    print(f"Next:  {following}")
