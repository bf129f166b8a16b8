"""Presets and benchmark data sets from end to end, on miniatures of their folders."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from tests.cli.conftest import QUICK, Run
from tests.helpers import striped_image, striped_labels

IMAGES = {"train": range(4), "val": range(4, 6)}


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mat":
        savemat(path, {"gt" if values.ndim == 2 else "img": values})
    else:
        Image.fromarray(values).save(path)


def cocostuff(root: Path) -> None:
    fine = np.array([156, 139, 123], np.uint8)  # three fine ids of different coarse classes
    for split, numbers in IMAGES.items():
        names = [f"{number:012}" for number in numbers]
        for number, name in zip(numbers, names, strict=True):
            save(root / f"cocostuff/images/{split}2017/{name}.jpg", striped_image(number))
            path = root / f"cocostuff/annotations/{split}2017/{name}.png"
            save(path, fine[striped_labels(number)])
        listing = "Coco164kFull_Stuff_Coarse" + ("" if split == "train" else "_7")
        path = root / f"cocostuff/curated/{split}2017/{listing}.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(names))


def cityscapes(root: Path) -> None:
    for split, numbers in IMAGES.items():
        for number in numbers:
            name = f"{split}/ulm/ulm_{number:06}_000019"
            save(root / f"cityscapes/leftImg8bit/{name}_leftImg8bit.png", striped_image(number))
            path = root / f"cityscapes/gtFine/{name}_gtFine_labelIds.png"
            save(path, striped_labels(number) + np.uint8(7))


def potsdam(root: Path) -> None:
    for split, numbers in IMAGES.items():
        for number in numbers:
            infrared = np.zeros((64, 96, 1), np.uint8)
            tile = np.concatenate([striped_image(number), infrared], axis=2)
            save(root / f"potsdam/imgs/{number}.mat", tile)
            save(root / f"potsdam/gt/{number}.mat", striped_labels(number))
        listing = "labelled_train" if split == "train" else "labelled_test"
        (root / f"potsdam/{listing}.txt").write_text("\n".join(map(str, numbers)))
    save(root / "potsdam/imgs/9.mat", np.zeros((64, 96, 4), np.uint8))
    (root / "potsdam/unlabelled_train.txt").write_text("9")


def camvid(root: Path) -> None:
    for split, numbers in IMAGES.items():
        for number in numbers:
            save(root / f"camvid/imgs/{split}/{number}.png", striped_image(number))
            save(root / f"camvid/labels/{split}/{number}.png", striped_labels(number))


def voc(root: Path) -> None:
    home = root / "VOCdevkit/VOC2012"
    for split, numbers in IMAGES.items():
        for number in numbers:
            save(home / f"JPEGImages/{number}.jpg", striped_image(number))
            save(home / f"SegmentationClass/{number}.png", striped_labels(number))
        path = home / f"ImageSets/Segmentation/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(str, numbers)))


@pytest.mark.parametrize(
    ("build", "dataset", "preset"),
    [
        (cocostuff, "cocostuff27", "stego-cocostuff27-vits8"),
        pytest.param(
            cityscapes, "cityscapes27", "stego-cityscapes27-vitb8", marks=pytest.mark.slow
        ),
        pytest.param(potsdam, "potsdam3", "stego-potsdam3-vits8", marks=pytest.mark.slow),
        (camvid, "camvid11", None),
        pytest.param(voc, "voc21", None, marks=pytest.mark.slow),
    ],
)
def test_fit_probe_and_evaluate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    segdistill: Run,
    build: Callable[[Path], None],
    dataset: str,
    preset: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path / "data")
    chosen = ("--preset", preset) if preset else ("--dataset", dataset)
    status, _, error = segdistill(
        *("fit", *chosen, "--data-root", "data", "--backbone", "tiny", "--classes", 3),
        *("--resolution", 64, "--segment-resolution", 64, "--out", "run", "--quiet", *QUICK),
    )
    assert status == 0, error
    labelled = ("--dataset", dataset, "--data-root", "data", "--quiet")
    status, _, error = segdistill("probe", "run", *labelled)
    assert status == 0, error
    status, out, error = segdistill("evaluate", "run", *labelled, "--out", "scores")
    assert status == 0, error
    assert "Linear probe" in out
    content = json.loads(Path("scores/evaluation.json").read_text())
    assert content["images"] == 2
    # Three plain stripes: any classifier that works separates them.
    assert content["scores"]["linear"]["accuracy"] > 0.8
    with Path("scores/confusion_cluster.csv").open() as file:
        assert len(next(csv.reader(file))) == 1 + 3
    status, out, error = segdistill("evaluate", "run", *labelled, "--protocol", "stego-2022")
    assert status == 0, error
    assert "mIoU" in out


def test_missing_input_is_named(tmp_path: Path, segdistill: Run) -> None:
    cases: list[tuple[list[object], str]] = [
        (["--preset", "stego-potsdam3-vits8"], "IMAGES is missing"),
        (["--preset", "stego-potsdam3-vits8", "--data-root", tmp_path], "potsdam"),
        (["--data-root", tmp_path], "--data-root needs --dataset"),
        (["--dataset", "potsdm3", "--data-root", tmp_path], "potsdam3"),
        (["photos", "--data-root", tmp_path], "give only one of them"),
        (["--preset", "stego"], "no such preset"),
    ]
    for arguments, message in cases:
        status, _, error = segdistill("fit", *arguments)
        assert status == 2
        assert message in error
    status, _, error = segdistill("evaluate", tmp_path, "--images", tmp_path)
    assert status == 2
    assert "not a run folder" in error
