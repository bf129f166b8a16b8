"""The commands as a user runs them."""

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.cli.conftest import QUICK, TRAINED, Run
from tests.forking import Server
from tests.helpers import striped_image, striped_labels, write_run_stub, write_striped_folder

import segdistill as library
from segdistill.cli.main import how_to_resume
from segdistill.devices import choose_compute
from segdistill.model.tensor_files import read_tensor_file
from segdistill.operations import COMMANDS
from segdistill.training import head_training, loop
from segdistill.training.step import StepLosses
from segdistill.training.step import losses as step_losses


def test_fit_writes_a_run(fitted: Path) -> None:
    names = {path.name for path in fitted.iterdir()}
    assert names == {
        "segmenter.safetensors",
        "segmenter.json",
        "settings.yaml",
        "history.csv",
        "facts.json",
        "log",
        "report.html",
    }
    settings = yaml.safe_load((fitted / "settings.yaml").read_text())
    assert settings["classes"] == 3
    assert settings["resolution"] == 64
    with (fitted / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 60
    assert list((fitted / "log").glob("events.out.tfevents.*"))


def test_segment_evaluate_and_load(tmp_path: Path, fitted: Path, segdistill: Run) -> None:
    new = write_striped_folder(tmp_path / "new", 4)
    status, out, _ = segdistill("segment", fitted, new, "--out", "masks", "--overlay", "--quiet")
    assert status == 0
    assert "4 written to masks" in out
    assert len(list((tmp_path / "masks").rglob("*.overlay.jpg"))) == 4
    for seed in range(4):
        name = Path("more" if seed == 3 else "") / f"picture_{seed}.png"
        (tmp_path / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(striped_labels(seed)).save(tmp_path / "labels" / name)
    status, out, _ = segdistill(
        "evaluate", fitted, "--images", new, "--labels", tmp_path / "labels", "--quiet"
    )
    assert status == 0
    accuracy = float(out.split("Accuracy:")[1].split("%")[0])
    # Three plain colours: any method that works finds them.
    assert accuracy > 90
    with Image.open(tmp_path / "masks/picture_0.png") as mask:
        expected = np.array(mask)
    np.testing.assert_array_equal(
        library.Segmenter.load(fitted).segment(new / "picture_0.png"), expected
    )


def test_settings_of_a_run_repeat_it(photos: Path, fitted: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        "fit", photos, "--config", fitted / "settings.yaml", "--out", "again", "--quiet"
    )
    assert status == 0, error
    weights = [
        (folder / "segmenter.safetensors").read_bytes() for folder in (fitted, Path("again"))
    ]
    assert weights[0] == weights[1]


def test_kmeans_is_the_baseline(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        "fit", photos, "--backbone", "tiny", "--classes", 3, "--method", "kmeans", "--quiet"
    )
    assert status == 0, error
    description = json.loads(Path("runs/photos/segmenter.json").read_text())
    assert description["head"] is None


def test_stegos_own_settings_run(photos: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        *("fit", photos, "--backbone", "tiny", "--classes", 3, "--quiet", *QUICK),
        *(
            "--components",
            0,
            "--clustering",
            "probe",
            "--crops",
            "five",
            "--head.kind",
            "linear",
        ),
        *("--objective.shift-self", 0.18, "--objective.pointwise", "false"),
    )
    assert status == 0, error
    facts = json.loads(Path("runs/photos/facts.json").read_text())
    assert facts["shifts"]["self_pairs"] == 0.18


def test_a_resumed_fit_equals_an_uninterrupted_one(
    photos: Path, fitted: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["fit", photos, "--backbone", "tiny", "--classes", 3, "--out", "broken", *TRAINED]
    arguments += ["--training.checkpoint-every", 20, "--quiet"]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", interrupted_at(47))
        status, _, error = segdistill(*arguments)
    assert status == 130
    assert "--resume" in error
    status, _, error = segdistill(*arguments)
    assert status == 2
    assert "unfinished run" in error
    status, _, error = segdistill(*arguments, "--resume", "--training.steps", 600, "--seed", 1)
    assert status == 2
    assert "started with seed = 0, not 1, and training.steps = 60, not 600; --resume" in error
    # How often the state is kept changes nothing; and what an older version did not know is as
    # it was by default.
    settings = Path("broken/settings.yaml")
    settings.write_text(settings.read_text().replace("extra_clusters: 0\n", ""))
    status, _, error = segdistill(*arguments, "--resume", "--training.checkpoint-every", 7)
    assert status == 0, error
    assert (fitted / "history.csv").read_text() == Path("broken/history.csv").read_text()
    assert not Path("broken/checkpoint.safetensors").exists()


def test_resuming_keeps_the_settings_of_the_run(
    photos: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["fit", photos, "--backbone", "tiny", "--out", "broken", "--quiet", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", interrupted_at(9))
        assert segdistill(*arguments, "--classes", 4, "--resolution", 48)[0] == 130
    before = Path("broken/settings.yaml").read_text()
    status, _, error = segdistill(*arguments, "--resume", "--classes", 5)
    assert status == 2
    assert "classes = 4, not 5" in error
    settings = Path("broken/settings.yaml")
    settings.write_text(before.replace("classes: 4", "classes: null"))
    status, _, error = segdistill(*arguments, "--resume", "--classes", 5)
    assert status == 2
    assert "classes = its default, not 5" in error
    settings.write_text(before)
    status, _, error = segdistill(*arguments, "--resume")
    assert status == 0, error
    assert Path("broken/settings.yaml").read_text() == before
    assert len(library.Segmenter.load("broken").classes) == 4
    assert segdistill(*arguments, "--resume", "--classes", 5)[0] == 2


@pytest.mark.parametrize("how", ["the hint", "no options", "a hint of another command", "Python"])
def test_a_fit_is_resumed_by_the_command_that_is_suggested(
    photos: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    photos = photos.rename(photos.parent / "my photos")
    begin = ("fit", "my photos", "--backbone", "tiny", "--classes", 4, "--seed", 3, *QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "losses", interrupted_at(9))
        status, _, error = segdistill(*begin, "--quiet")
    assert status == 130
    before = Path("runs/my photos/settings.yaml").read_text()
    hint = error.rpartition("to continue: ")[2]
    assert hint.startswith("segdistill fit 'my photos' --backbone tiny --classes 4 ")
    if how == "no options":
        hint = "segdistill fit 'my photos' --resume"
    if how == "a hint of another command":
        status, _, error = segdistill("classes", "runs/my photos")
        assert status == 2
        hint = error.rpartition("resume it: ")[2].replace("IMAGES", "'my photos'")
    if how == "Python":
        library.fit(photos, out="runs/my photos", resume=True)
    else:
        status, _, error = segdistill(*shlex.split(hint)[1:])
        assert status == 0, error
    assert Path("runs/my photos/settings.yaml").read_text() == before
    assert len(library.Segmenter.load("runs/my photos").classes) == 4


def test_the_hint_to_resume_is_bounded_and_keeps_what_follows_dashes() -> None:
    fit = COMMANDS["fit"]
    hint = "; to continue: segdistill fit --resume -- -photos"
    assert how_to_resume(fit, ["--", "-photos"]) == hint
    many = [f"{number}.jpg" for number in range(1000)]
    assert how_to_resume(fit, many) == "; run the command again with --resume to continue"


def test_a_fit_that_cannot_start_keeps_the_old_run(
    photos: Path, fitted: Path, segdistill: Run
) -> None:
    before = (fitted / "segmenter.json").read_bytes()
    status, _, error = segdistill(
        *("fit", photos / "picture_0.png", "--backbone", "tiny", "--out", fitted, "--overwrite")
    )
    assert status == 2
    assert "one image is too few" in error
    assert (fitted / "segmenter.json").read_bytes() == before


def test_outputs_of_segdistill_are_not_taken_for_images(
    photos: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    fit = ["fit", ".", "--backbone", "tiny", "--classes", 3, *QUICK]
    assert segdistill(*fit)[0] == 0
    assert segdistill("segment", "runs/photos", ".", "--overlay")[0] == 0
    assert segdistill(*fit, "--overwrite")[0] == 0
    assert json.loads(Path("runs/photos/facts.json").read_text())["images"] == 6
    status, _, error = segdistill("segment", "runs/photos", ".", "--overlay")
    assert status == 2
    assert "already exist" in error


def test_a_slow_step_is_saved_at_once(
    photos: Path, segdistill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_training, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "losses", interrupted_at(7))
    status, _, _ = segdistill(
        *("fit", photos, "--backbone", "tiny", "--out", "run", "--quiet", *QUICK)
    )
    assert status == 130
    _, texts = read_tensor_file(Path("run/checkpoint.safetensors"), fix="")
    assert texts["step"] == "6"


def interrupted_at(number: int) -> Callable[..., StepLosses]:
    """Simulate Ctrl-C in a certain step, counted from 1."""

    def losses(*arguments: Any, step: int) -> StepLosses:
        if step + 1 == number:
            raise KeyboardInterrupt
        return step_losses(*arguments, step=step)

    return losses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "none"], "none: no such file or folder"),
        (["fit", "empty"], "no images found"),
        (["fit", "photos", "--clases", "3"], "did you mean --classes?"),
        (["fit", "photos", "--objective.sample", "3"], "did you mean --objective.samples?"),
        (["fit", "photos", "--classes", "many"], "--classes many: must be"),
        (["fit", "photos", "--classes", "1"], "--classes 1: must be from 2 to 255"),
        (["fit", "photos", "--backbone", "dino-vits9"], "did you mean dino-vits8?"),
        (["fit", "photos", "--config", "wrong.yaml"], "did you mean objective.samples?"),
        (["fit", "photos", "--config", "none.yaml"], "none.yaml"),
        (["fit", "photos", "--out", "photos"], "is not a run"),
        (["fit", "photos", "--overwrite", "--resume"], "give only one"),
        (["fit"], "IMAGES is missing"),
        (["fit", "letters", "--strict"], "--strict"),
        (["fit", "letters"], "not an image that can be decoded"),
        (["fit", "photos", "empty"], "put quotes around a pattern (such as 'photos/*.jpg')"),
        (["segment", "photos"], "IMAGES is missing; write segdistill segment [options] RUN IMAGES"),
        (["segment", "photos", "photos"], "no segmenter.json"),
        (["segment", "none", "none"], "none: no such run folder"),
        (["evaluate", "stub", "--images", "photos"], "give --images and --labels"),
        (["correspond", "stub", "none.jpg"], "none.jpg"),
        (["correspond", "stub", "photos/picture_0.png", "--point", "7"], "must be x,y"),
        (["correspond", "stub", "photos/picture_0.png", "--point", "999,9"], "outside the image"),
        (["sample", "photos"], "photos"),
        (["sample", "new", "--train", "-1"], "train"),
        (["fitt", "photos"], "did you mean fit?"),
        (["paint"], "the commands are fit"),
    ],
)
def test_mistakes_exit_2_and_suggest_a_fix(
    photos: Path, segdistill: Run, arguments: list[str], message: str
) -> None:
    write_run_stub(photos.parent / "stub")
    (photos.parent / "empty").mkdir()
    (photos.parent / "letters").mkdir()
    (photos.parent / "letters" / "a.jpg").write_text("dear")
    (photos.parent / "wrong.yaml").write_text("objective:\n  sample: 3\n")
    before = sorted(photos.parent.rglob("*"))
    if arguments[0] == "fit" and "--backbone" not in arguments:
        arguments = [*arguments, "--backbone", "tiny"]
    status, out, error = segdistill(*arguments)
    assert status == 2
    assert message in error
    assert "Traceback" not in error
    assert len(error.splitlines()) <= 3
    assert out == ""
    left = {path for path in photos.parent.rglob("*") if path not in before}
    assert {path.name for path in left} <= {"runs", "photos", "letters"}


def test_a_second_fit_needs_overwrite(photos: Path, fitted: Path, segdistill: Run) -> None:
    arguments = ["fit", photos, "--backbone", "tiny", "--classes", 3, "--quiet", *QUICK]
    before = (fitted / "segmenter.json").read_bytes()
    status, _, error = segdistill(*arguments)
    assert status == 2
    assert "contains a finished run" in error
    assert (fitted / "segmenter.json").read_bytes() == before
    assert segdistill(*arguments, "--overwrite")[0] == 0
    status, _, _ = segdistill(*arguments, "--resume")
    assert status == 0


def test_damaged_images_are_skipped_counted_and_reported(photos: Path, segdistill: Run) -> None:
    (photos / "bad<b>.jpg").write_text("dear")
    status, _, error = segdistill(*("fit", photos, "--backbone", "tiny", "--classes", 3, *QUICK))
    assert status == 0
    assert "1 of 7 images skipped" in error
    report = Path("runs/photos/report.html").read_text()
    assert "bad&lt;b&gt;.jpg" in report


def test_odd_images_fit_and_segment(tmp_path: Path, photos: Path, segdistill: Run) -> None:
    image = Image.fromarray(striped_image(9))
    image.convert("L").save(photos / "grey.png")
    image.convert("RGBA").save(photos / "alpha.png")
    image.convert("P").save(photos / "palette.png")
    image.convert("CMYK").save(photos / "cmyk.jpg")
    Image.fromarray(np.arange(4000, dtype=np.uint16).reshape(40, 100)).save(photos / "deep.tif")
    image.crop((0, 0, 90, 1)).save(photos / "line.png")
    image.crop((0, 0, 1, 1)).save(photos / "dot.png")
    status, _, error = segdistill(
        "fit",
        photos,
        "--backbone",
        "tiny",
        "--classes",
        3,
        "--quiet",
        *QUICK,
    )
    assert status == 0, error
    status, _, error = segdistill("segment", "runs/photos", photos, "--out", "m", "--quiet")
    assert status == 0, error
    for path in photos.rglob("*.*"):
        with (
            Image.open(path) as source,
            Image.open(tmp_path / "m" / path.relative_to(photos).with_suffix(".png")) as mask,
        ):
            assert mask.size == source.size


def test_the_crf_refines(photos: Path, fitted: Path, segdistill: Run) -> None:
    status, _, error = segdistill(
        "segment", fitted, photos / "picture_0.png", "--out", "m", "--crf", "--quiet"
    )
    assert status == 0, error
    with Image.open("m/picture_0.png") as mask:
        assert mask.size == (96, 64)


def test_cache_is_shown_and_cleared(fitted: Path, segdistill: Run) -> None:
    status, out, _ = segdistill("cache")
    assert status == 0
    precision = choose_compute("cpu", "auto").precision
    # One map per image, and those of the relit copies that the merge proposals need.
    stored = re.search(rf"tiny-0123456789abcdef-{precision}-v2: (\d+) maps", out)
    assert stored is not None
    assert int(stored[1]) >= 6
    status, out, _ = segdistill("cache", "--clear")
    assert "Cleared" in out
    assert "no features are stored" in segdistill("cache")[1]


def test_help_and_overview(segdistill: Run) -> None:
    status, out, _ = segdistill("--help")
    assert status == 0
    for name in ("fit", "segment", "evaluate", "sample", "cache", "backbones"):
        assert name in out
        status, text, _ = segdistill(name, "--help")
        assert status == 0
        assert f"segdistill {name}" in text
    assert segdistill("--version")[1] == f"segdistill {library.__version__}\n"
    assert "dino-vits8" in segdistill("backbones")[1]


def test_print_config_is_read_again(photos: Path, segdistill: Run) -> None:
    status, out, _ = segdistill("fit", photos, "--classes", 5, "--print-config")
    assert status == 0
    assert yaml.safe_load(out)["classes"] == 5


def test_python_api(photos: Path, tmp_path: Path) -> None:
    segmenter = library.fit(
        photos,
        classes=3,
        backbone="tiny",
        settings=library.FitSettings(components=0),
        method="kmeans",
    )
    mask = segmenter.segment(photos / "picture_0.png")
    assert mask.shape == (64, 96)
    segmenter.save(tmp_path / "kept")
    loaded = library.Segmenter.load(tmp_path / "kept")
    np.testing.assert_array_equal(loaded.segment(photos / "picture_0.png"), mask)
    with pytest.raises(library.UserError, match="unknown setting 'clases'"):
        library.fit(photos, clases=3)


@pytest.mark.slow
def test_the_embedded_backbone_in_processes_of_their_own(tmp_path: Path, forking: Server) -> None:
    """On the generated data set, with nothing that tests set up."""

    def run(*arguments: str) -> str:
        status, out, error = forking.run(tmp_path, *arguments)
        assert status == 0, error
        return out

    run("sample", "world", "--train", "6", "--val", "2", "--width", "96", "--height", "64")
    run(
        *("fit", "world", "--classes", "4", "--resolution", "128"),
        *("--training.steps", "10", "--training.batch-size", "4", "--objective.samples", "5"),
    )
    assert "2 written" in run("segment", "runs/world", "world/imgs/val", "--out", "masks")
    out = run(
        *("evaluate", "runs/world", "--images", "world/imgs/val"),
        *("--labels", "world/labels/val"),
    )
    assert "mIoU" in out
