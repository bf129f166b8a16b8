"""Masks as colour pictures."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.export.exporting import CLASSES, PATTERN, export, random_mask, write_masks

from segdistill.errors import UserError

MASKS = {"a b.png": PATTERN, "more/b.png": random_mask(1)}


def test_colours_are_those_of_the_classes(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", MASKS)
    done = export("colours", masks, tmp_path / "out")
    assert done.sidecar == tmp_path / "out" / "colours.csv"
    with done.sidecar.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["colour", "name"],
            ["#4682b4", "sky"],
            ["#804080", "wet road"],
            ["#6b8e23", "Straße & <Weg>"],
        ]
    for name, mask in MASKS.items():
        with Image.open(tmp_path / "out" / name) as picture:
            pixels = np.array(picture)
        assert pixels.shape == (*mask.shape, 4)
        assert (pixels[mask == 255] == 0).all()
        for each in CLASSES:
            assert (pixels[mask == each.index] == (*each.colour, 255)).all()


def test_classes_of_one_colour_are_refused(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks", MASKS)
    alike = (CLASSES[0], replace(CLASSES[1], colour=CLASSES[0].colour), CLASSES[2])
    with pytest.raises(UserError, match="classes 0 and 1 have the same colour"):
        export("colours", masks, tmp_path / "out", classes=alike)
