"""The facts of a fit: read as written, also those of earlier versions; damage is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import UserError
from segdistill.layout import FACTS_FILE
from segdistill.objective.stego import Shifts
from segdistill.runs.facts import (
    AgreementRecord,
    ClassCount,
    Facts,
    SkippedFile,
)
from segdistill.runs.folder import RunFolder

COUNT = ClassCount(
    chosen=6,
    coarse=3,
    fine=24,
    confidence="low",
    candidates=(3, 6),
    stability=(0.95, 0.9),
    silhouette=(0.7, 0.6),
    needed=0.8,
)

FACTS = Facts(
    images=2,
    # A name of a file that is not Unicode.
    files={"/photos": ["a.png", "caf\udce9.png"]},
    skipped=(SkippedFile("/photos/b.png", "/photos/b.png: empty"),),
    seconds={"training": 80.5},
    shifts=Shifts(0.1, 0.2, 0.3),
    agreement_history=(AgreementRecord(50, 0.5), AgreementRecord(75, 0.75)),
    kept_step=75,
    class_count=COUNT,
    levels={"coarse": 3, "medium": 6, "fine": 24},
)

# As the first versions wrote them.
EARLY = """{
  "images": 3,
  "skipped": [{"file": "x.png", "reason": "x.png: empty"}],
  "seconds": {"features": 1.5, "places to watch": 2},
  "shifts": {"self_pairs": 0.18, "neighbour_pairs": 0.12, "random_pairs": 0.46},
  "maps_not_stored": 1,
  "looks": [{"step": 50, "agreement": 0.5}],
  "kept_step": 50,
  "class_count": {"chosen": 5, "stands_out": true, "candidates": [4, 5], "stability": [0.5, 1],
    "silhouette": [0.3, 0.5], "needed": 0.8}
}"""


def test_facts_are_read_as_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.read_facts() == Facts()
    run.write_facts(FACTS)
    assert run.read_facts() == FACTS


def test_facts_of_the_first_versions(tmp_path: Path) -> None:
    (tmp_path / FACTS_FILE).write_text(EARLY)
    facts = RunFolder(tmp_path).read_facts()
    assert facts.images == 3
    assert facts.image_files == []
    assert facts.shifts == Shifts(0.18, 0.12, 0.46)
    assert facts.agreement_history == (AgreementRecord(50, 0.5),)
    assert facts.class_count is not None
    assert (facts.class_count.confidence, facts.class_count.coarse) == ("high", 0)
    assert not facts.class_count.is_default


def test_facts_of_later_versions(tmp_path: Path) -> None:
    (tmp_path / FACTS_FILE).write_text(json.dumps({"images": 3, "weather": "fine"}))
    assert RunFolder(tmp_path).read_facts() == Facts(images=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        (EARLY[:100], "cannot be read"),
        ("\udcff", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", r"does not describe a fit \(Expected `object`, got `array`\)"),
        ('{"images": "many"}', r"does not describe a fit .*at `\$\.images`"),
        ('{"images": NaN}', r"does not describe a fit .*at `\$\.images`"),
        ('{"skipped": [{"file": "a.png"}]}', r"does not describe a fit .*field `reason`"),
        ('{"class_count": []}', r"does not describe a fit .*at `\$\.class_count`"),
    ],
)
def test_damaged_facts_are_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / FACTS_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=rf"facts\.json: {message}.*; restore it from a copy"):
        RunFolder(tmp_path).read_facts()


def test_facts_that_are_a_folder(tmp_path: Path) -> None:
    (tmp_path / FACTS_FILE).mkdir()
    with pytest.raises(UserError, match=r"facts\.json: cannot be read \(a folder, not a file\)"):
        RunFolder(tmp_path).read_facts()


def test_settings_of_other_versions(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    settings: Any = "classes: 4\nlabels: a/b\nformer_setting: 3\nhead: {kind: linear}\n"
    (tmp_path / "settings.yaml").write_text(settings)
    read = run.read_settings()
    assert (read.classes, read.labels, read.head.kind) == (4, Path("a/b"), "linear")
    (tmp_path / "settings.yaml").write_text("classes: many\n")
    with pytest.raises(UserError, match=r"settings\.yaml: cannot be read .*`\$\.classes`"):
        run.read_settings()
