"""``segdistill segment`` with invalid input, and interrupted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.helpers import edited, write_run_stub

import segdistill as library
from segdistill.model.segmenter import Segmenter

Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("resolution", ["0", "-5", "31", "8193", "2000000"])
def test_an_invalid_resolution_is_refused(photos: Path, segdistill: Run, resolution: str) -> None:
    status, out, error = segdistill(
        "segment", write_run_stub(photos.parent / "run"), photos, "--resolution", resolution
    )
    assert (status, out) == (2, "")
    allowed = "from 32 to 8192, since memory grows with its square"
    assert error == f"segdistill segment: --resolution {resolution}: must be {allowed}\n"


@pytest.mark.parametrize(
    ("existing", "given", "said"),
    [
        (
            ["picture_0.png"],
            ["picture_0.png"],
            "the mask already exists; add --overwrite to replace it, or choose another --out",
        ),
        (
            ["picture_0.png", "picture_1.png"],
            ["picture_0.png", "picture_1.png"],
            "all 2 masks already exist; add --overwrite to replace them, or choose another --out",
        ),
        (
            ["picture_0.png"],
            ["picture_0.png", "picture_1.png"],
            "1 of 2 masks already exists; add --resume to write the other one, --overwrite to r",
        ),
        (
            ["picture_0.png", "picture_1.png"],
            ["."],
            "2 of 6 masks already exist; add --resume to write the other 4, --overwrite to repla",
        ),
    ],
)
def test_masks_that_exist_are_counted(
    photos: Path,
    fitted: Path,
    segdistill: Run,
    monkeypatch: pytest.MonkeyPatch,
    existing: list[str],
    given: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(photos)
    out = ("--out", "../masks/some", "--quiet")
    assert segdistill("segment", fitted, *existing, *out)[0] == 0
    status, _, error = segdistill("segment", fitted, *given, *out)
    assert status == 2
    assert error.startswith(f"segdistill segment: ../masks/some: {said}")
    if "--resume" in said:
        return
    # Killed after the last mask, with nothing that describes them.
    Path("../masks/some/images.csv").unlink()
    error = segdistill("segment", fitted, *given, *out)[2]
    assert "; add --resume to describe them, --overwrite to " in error
    assert segdistill("segment", fitted, *given, *out, "--resume")[0] == 0
    assert Path("../masks/some/images.csv").exists()


def test_writing_no_mask_is_a_failure(photos: Path, fitted: Path, segdistill: Run) -> None:
    for name in ("a.jpg", "b.jpg"):
        (photos.parent / "letters").mkdir(exist_ok=True)
        (photos.parent / "letters" / name).write_text("dear")
    status, out, error = segdistill("segment", fitted, "letters", "--quiet")
    assert status == 1
    assert "Skipped: letters/a.jpg: not an image that can be decoded\n" in out
    assert error == ("segdistill segment: none of 2 images can be read; nothing was written\n")
    assert not Path("masks").exists()
    error = segdistill("segment", fitted, "letters/a.jpg", "--quiet")[2]
    assert error == "segdistill segment: the image cannot be read; nothing was written\n"
    (photos.parent / "letters" / "c.png").write_bytes((photos / "picture_0.png").read_bytes())
    assert segdistill("segment", fitted, "letters", "--quiet")[0] == 0
    # Existing masks count.
    status, out, _ = segdistill("segment", fitted, "letters", "--quiet", "--resume")
    assert status == 0
    assert "0 written to masks/letters, 1 already existed" in out


@pytest.mark.parametrize(
    ("command", "kind"),
    [("segment {} --out out", "masks"), ("features --run {} --out out", "maps")],
)
def test_a_strict_run_says_how_much_it_has_not_written(
    photos: Path, fitted: Path, segdistill: Run, command: str, kind: str
) -> None:
    (photos / "picture_2.png").write_text("dear")
    words = [*command.format(fitted).split(), photos, "--strict", "--quiet"]
    status, _, error = segdistill(*words)
    assert status == 2
    missing = 6 - len([*Path("out").rglob("*.png"), *Path("out").rglob("*.npy")])
    assert missing >= 1
    assert f"picture_2.png: not an image that can be decoded; {missing} of 6 {kind} are" in error
    assert "add --resume" in error
    assert "others are not written" in segdistill(*words, "--overwrite")[2]
    (photos / "picture_2.png").unlink()
    assert segdistill(*words, "--resume")[0] == 0


def test_the_hint_after_an_interruption_is_a_command_that_works(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segdistill("segment", fitted, photos / "picture_0.png", "--out", "begun")[0] == 0

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Segmenter, "scores_and_distances_of_stored", interrupted)
    new = "--out new --quiet"
    for out, flags, hint in [
        ("new", [], f"to continue: segdistill segment {fitted} {photos} {new} --resume\n"),
        ("begun", ["--resume"], "interrupted; run the command again to continue\n"),
        # With --resume instead, the old masks would be kept.
        ("begun", ["--overwrite"], "interrupted\n"),
    ]:
        status, _, error = segdistill("segment", fitted, photos, "--out", out, "--quiet", *flags)
        assert status == 130
        assert error.endswith(hint)


DAMAGES: list[tuple[Change, str]] = [
    (lambda content: content.pop("backbone"), "missing required field `backbone`"),
    (lambda content: content.update(backbone="tiny"), "- at `$.backbone`"),
    (lambda content: content.pop("format"), "does not describe a model"),
    (lambda content: content.update(format=0), "format 0, but this version reads format 1"),
    (lambda content: content.pop("preparation"), "missing required field `preparation`"),
    (lambda content: content.pop("training"), "missing required field `training`"),
    (lambda content: content["classes"].pop(), "2 classes, but 12 cluster centres"),
    (lambda content: content["classes"][0].pop("colour"), "missing required field `colour`"),
    (lambda content: content.update(classes=3), "- at `$.classes`"),
    (lambda content: content["classes"][0].update(colour=[0, 0, 256]), "- at `$.classes[0].colour"),
    (lambda content: content.update(resolution="large"), "- at `$.resolution`"),
    (lambda content: content.update(scale=-1.0), "- at `$.scale`"),
    (lambda content: content.update(head=[]), "- at `$.head`"),
    (lambda content: content["head"].update(channels=7), "do not fit together"),
    (lambda content: content["head"].update(features=10**6), "do not fit together"),
]


def test_a_damaged_description_is_named(photos: Path, fitted: Path, segdistill: Run) -> None:
    path = fitted / "segmenter.json"
    whole = path.read_text()
    for damage, message in DAMAGES:
        content = edited(whole)
        damage(content)
        path.write_text(json.dumps(content))
        status, out, error = segdistill("segment", fitted, photos)
        assert (status, out) == (2, "")
        assert str(fitted) in error
        assert message in error
        assert error.count("\n") == 1


def test_a_description_that_is_a_list(photos: Path, fitted: Path) -> None:
    (fitted / "segmenter.json").write_text("[]")
    with pytest.raises(library.UserError, match="does not describe a model"):
        library.Segmenter.load(fitted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlays": True}, "unknown setting 'overlays'; did you mean 'overlay'"),
        ({"overlay": 1}, "--overlay 1: must be true or false"),
        ({"resolution": 320.5}, r"--resolution 320\.5: must be a whole number or None"),
        ({"options": {"overlay": True}}, "settings of type dict: must be MaskOptions"),
    ],
)
def test_mistakes_in_python_are_named(photos: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(library.UserError, match=message):
        library.segment("run", photos, "masks", **changes)
    with pytest.raises(library.UserError, match="5: must be a path or a pattern"):
        library.segment("run", [5], "masks")  # type: ignore[list-item]
