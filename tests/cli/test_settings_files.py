"""``--config`` with invalid files, and invalid values of options."""

from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import QUICK, Run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"training: 5", "training: must be followed by indented lines such as `steps: ...`"),
        (b"training:\n", "training: must be followed by indented lines"),
        (b"- 1\n- 2\n", "contains a list instead of settings; write lines such as `classes: 8`"),
        (b"some words\n", "contains only text"),
        (b"", "contains nothing"),
        (b"\x00\x01\x02", "not YAML"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text; save it as UTF-8"),
        ("backbone: café\n".encode("cp1252"), "not UTF-8 text; save it as UTF-8"),
        (b"a: b: c\n", "not YAML in line 1, column 5: mapping values are not allowed here"),
        (
            b"objective:\n  weight_self: .inf\n",
            "objective.weight_self inf: must be a finite number",
        ),
        (b"objective:\n  shift_self: .nan\n", "objective.shift_self nan: must be a finite number"),
        (b"classes: .nan\n", "classes nan: must be a whole number"),
        (b"classes: many\n", "classes many: must be a whole number"),
        (b"classes: 1\n", "classes 1: must be from 2 to 255"),
        (b"method: foo\n", "method foo: must be one of 'stego', 'kmeans'"),
        (b"head:\n  channels: [1, 2]\n", "head.channels [1, 2]: must be a whole number"),
        (b"objective:\n  sample: 3\n", "sample: no such setting; did you mean objective.samples?"),
        (b"classes: 5\nclasses: 6\n", "not YAML in line 2, column 1: the key 'classes' appears"),
        (b"head:\n  channels: 9\nhead:\n  kind: linear\n", "the key 'head' appears twice"),
        (b"config: other.yaml\n", "a settings file cannot include another"),
        (b"3: 4\n", "3: no such setting"),
        (b"n_classes: 4\n", "n_classes: no such setting; did you mean classes?"),
        (b"lr: 0.1\n", "lr: no such setting; did you mean training.learning_rate?"),
    ],
)
def test_a_settings_file_that_cannot_be_used(
    photos: Path, segdistill: Run, content: bytes, message: str
) -> None:
    Path("odd.yaml").write_bytes(content)
    for form in (["--config", "odd.yaml"], ["--config=odd.yaml"]):
        status, out, error = segdistill("fit", photos, *form)
        assert (status, out) == (2, "")
        assert error.startswith("segdistill fit: odd.yaml: ")
        assert message in error
        assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_a_missing_settings_file(photos: Path, segdistill: Run) -> None:
    for given, message in [
        ("none.yaml", "none.yaml: no such file; check the path of --config"),
        (photos, f"{photos}: is a folder; give a YAML file of settings"),
        ("x" * 300, "cannot be read"),
    ]:
        status, _, error = segdistill("fit", photos, "--config", given)
        assert status == 2
        assert message in error
        assert error.count("\n") == 1


def test_partial_settings_files_are_combined(photos: Path, segdistill: Run) -> None:
    Path("one.yaml").write_text("classes: 4\ntraining:\n  learning_rate: 1e-3\n")
    # Some editors save a byte-order mark and carriage returns.
    Path("two.yaml").write_bytes(b"\xef\xbb\xbfbackbone: tiny\r\nclasses: 3\r\n")
    arguments = ["fit", photos, "--config", "one.yaml", "--config", "two.yaml", "--quiet", *QUICK]
    status, _, error = segdistill(*arguments)
    assert status == 0, error
    settings = Path("runs/photos/settings.yaml").read_text()
    assert "classes: 3" in settings
    assert "learning_rate: 0.001" in settings


def test_a_removed_setting_is_ignored_with_a_warning(photos: Path, segdistill: Run) -> None:
    Path("old.yaml").write_text("depth:\n  schedule: linear\n  weight_minimum: 0.0\n")
    status, out, error = segdistill("fit", photos, "--config", "old.yaml", "--print_config")
    assert status == 0
    assert "schedule" not in out
    assert error.splitlines() == [
        "old.yaml: depth.schedule: no longer a setting; exponential is used instead of linear"
    ]


def test_a_settings_file_may_hold_other_options(photos: Path, segdistill: Run) -> None:
    # As earlier versions printed them.
    Path("all.yaml").write_text("images: null\nout: null\nresume: false\nseed: 7\nclasses: 4\n")
    status, out, error = segdistill(
        *("fit", photos, "--config", "all.yaml", "--classes", "null", "--print-config")
    )
    assert (status, error) == (0, "")
    settings = yaml.safe_load(out)
    assert (settings["seed"], settings["classes"]) == (7, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--head.channels="], "--head.channels '': must be a whole number"),
        (["--classes="], "--classes '': must be a whole number"),
        (["--head.kind="], "--head.kind '': must be one of 'nonlinear', 'linear'"),
        (["--method", "foo"], "--method foo: must be one of 'stego', 'kmeans'"),
        (["--objective.pointwise", "maybe"], "--objective.pointwise maybe: must be true or false"),
        (["--training.learning-rate", "nan"], "--training.learning-rate nan: must be a finite"),
        (["--training.learning-rate", "inf"], "--training.learning-rate inf: must be a finite"),
        (["--head", "5"], "--head: no such option; did you mean --head.channels or --head.kind"),
        (["--seed"], "--seed needs a value"),
        (["--overwrite=yes"], "--overwrite takes no value"),
        (["more_photos"], "more_photos: unexpected argument; put quotes around a pattern"),
    ],
)
def test_odd_values_are_named(
    photos: Path, segdistill: Run, arguments: list[str], message: str
) -> None:
    status, _, error = segdistill("fit", photos, *arguments)
    assert status == 2
    assert error.startswith(f"segdistill fit: {message}")


@pytest.mark.parametrize("option", ["--crop-ratio", "--crop_ratio"])
def test_options_have_dashes_in_messages_and_may_be_typed_as_in_files(
    photos: Path, segdistill: Run, option: str
) -> None:
    status, out, error = segdistill("fit", photos, f"{option}=0.7", "--print_config")
    assert status == 0, error
    assert "crop_ratio: 0.7" in out
    status, _, error = segdistill("fit", photos, option, 7)
    assert status == 2
    assert "--crop-ratio 7.0: must be above 0, at most 1" in error
    status, _, error = segdistill("fit", photos, f"{option}n", 7)
    assert "did you mean --crop-ratio?" in error
    Path("settings.yaml").write_text("crop_ratio: 7\n")
    status, _, error = segdistill("fit", photos, "--config", "settings.yaml")
    assert "settings.yaml: crop_ratio 7.0: must be above 0" in error
    Path("settings.yaml").write_text("crop_ration: 7\n")
    status, _, error = segdistill("fit", photos, "--config", "settings.yaml")
    assert "settings.yaml: crop_ration: no such setting; did you mean crop_ratio?" in error


def test_options_of_masks_have_dashes_in_messages(fitted: Path, segdistill: Run) -> None:
    for name in ("--min-region", "--min_region"):
        status, _, error = segdistill("segment", fitted, "photos", name, 2)
        assert status == 2
        assert "--min-region 2.0: must be from 0 to below 1" in error
