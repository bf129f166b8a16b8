"""What is suggested for options that do not exist: what was meant, or nothing."""

from collections.abc import Sequence

import pytest
from tests.cli.conftest import Run

from segdistill.cli.arguments import no_such
from segdistill.cli.main import parser_of
from segdistill.config.suggestions import OTHER_NAMES, likely_names
from segdistill.operations import COMMANDS

PARSERS = {name: parser_of(command) for name, command in COMMANDS.items()}

MEANT: dict[str, dict[str, str]] = {
    "--output": {"fit": "--out", "segment": "--out", "evaluate": "--out", "fetch": "FOLDER"},
    "--outdir": {"fit": "--out", "features": "--out", "sample": "FOLDER", "classes": ""},
    "--out": {"sample": "FOLDER", "recluster": ""},
    "--n-classes": {"fit": "--classes", "recluster": "--classes", "segment": "", "evaluate": ""},
    "--num_classes": {"fit": "--classes", "export": ""},
    "--k": {"fit": "--classes", "recluster": "--classes", "segment": ""},
    "-k": {"fit": "--classes", "segment": ""},
    "-o": {"segment": "--out"},
    "--gpu": {"fit": "--device", "segment": "--device", "depth": "--device", "classes": ""},
    "--cuda": {"fit": "--device", "recluster": "--device", "push": ""},
    "--batch-size": {"fit": "--training.batch-size", "depth": "--batch", "segment": ""},
    "--size": {"fit": "--resolution", "segment": "--resolution", "classes": "", "sample": ""},
    "--epochs": {"fit": "--training.steps", "teach": ""},
    "--lr": {"fit": "--training.learning-rate", "cache": "", "segment": ""},
    "--to": {"export": "--format", "segment": "--out", "name": "", "classes": ""},
    "--fast": dict.fromkeys(COMMANDS, ""),
    "--quality": dict.fromkeys(COMMANDS, ""),
    "--model": {"fit": "--backbone", "segment": "RUN", "features": "--backbone"},
    "--images": {"fit": "IMAGES", "segment": "IMAGES"},
    "--run": {"segment": "RUN", "classes": "RUN"},
    "--input": {"segment": "IMAGES", "evaluate": "--images", "fetch": "SOURCE"},
    "--force": {"fit": "--overwrite", "export": "--overwrite", "classes": ""},
    "--threads": {"segment": "--workers", "fit": ""},
    "--verbose": dict.fromkeys(COMMANDS, ""),
    "--no-overwrite": {"fit": "", "segment": ""},
    "--weights": {"fit": "--backbone", "sample": ""},
    # Misspelled ones.
    "--clases": {"fit": "--classes", "recluster": "--classes"},
    "--overlays": {"segment": "--overlay"},
    "--samples": {"fit": "--objective.samples"},
    "--mearge": {"classes": "--merge"},
    "--temperature": {
        "fit": "--objective.smooseg.temperature or --objective.eagle.temperature or "
        "--objective.primaps.temperature"
    },
}


@pytest.mark.parametrize("option", MEANT)
def test_what_was_meant_is_suggested(option: str) -> None:
    for command, meant in MEANT[option].items():
        parser = PARSERS[command]
        if option in parser._option_string_actions:
            continue
        said = no_such("option", option, parser.arguments.values())
        hint = f"; did you mean {meant}?" if meant else ""
        if meant.isupper():
            hint = f"; give {meant} without {option}"
        assert said == f"{option}: no such option{hint}", command


def test_suggestions_are_printed(segdistill: Run) -> None:
    for words, said in [
        (("fit", "photos", "--n_classes", "8"), "--n-classes: no such option; did you mean --cl"),
        (("fit", "photos", "-k", "8"), "-k: no such option; did you mean --classes?\n"),
        (("fit", "--images", "photos"), "--images: no such option; give IMAGES without --images\n"),
    ]:
        status, _, error = segdistill(*words)
        assert status == 2
        assert error.startswith(f"segdistill fit: {said}")
        assert error.endswith("See `segdistill fit --help-all`.\n")


def test_all_that_may_be_suggested_exists() -> None:
    known = {
        (each.label if each.positional else each.label.removeprefix("--"))
        for parser in PARSERS.values()
        for each in parser.arguments.values()
    }
    names: Sequence[str] = [name for meant in OTHER_NAMES for name in meant]
    assert set(names) <= known
    others = " ".join(OTHER_NAMES.values()).split()
    assert len(others) == len(set(others))
    assert likely_names("k", []) == []
