"""The progress that a fit shows."""

import re
from pathlib import Path

from tests.cli.conftest import QUICK, Run


def test_every_step_of_a_fit_is_named(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill("fit", photos, "--backbone", "tiny", "--classes", 3, *QUICK)
    assert status == 0, error
    shown = [re.split(r" {2,}| [━╸╺]", line)[0].strip() for line in error.splitlines()]
    steps = [each for each in shown if re.fullmatch(r"[A-Z][a-z ,]+", each)]
    assert steps[0] == "Checking images"
    assert steps.count("Extracting features") == 1
    assert "Features, relit copies" in steps
    assert steps[-2:] == ["Segmenting examples", "Drawing all levels"]
