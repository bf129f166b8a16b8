"""Label files and colours."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdistill.errors import UserError
from segdistill.images.folder import ImageFile
from segdistill.images.labels import distinct_colours, match_labels, read_labels


def test_grey_palette_and_16_bit_labels_are_read(tmp_path: Path) -> None:
    values = np.array([[0, 3], [255, 1]], np.uint8)
    grey = Image.fromarray(values)
    palette = Image.fromarray(values)
    palette.putpalette([7] * 768)
    for number, image in enumerate((grey, palette, Image.fromarray(values.astype(np.uint16)))):
        path = tmp_path / f"{number}.png"
        image.save(path)
        np.testing.assert_array_equal(read_labels(path), values)


def test_colour_images_are_no_labels(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="one channel"):
        read_labels(tmp_path / "a.png")
    with pytest.raises(UserError, match="no such label file"):
        read_labels(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("text")
    with pytest.raises(UserError, match="cannot be read as labels"):
        read_labels(tmp_path / "c.png")


def test_labels_are_matched_by_name_whatever_the_ending() -> None:
    def file(name: str) -> ImageFile:
        return ImageFile(Path(name), Path(name))

    pairs = match_labels([file("a/x.jpg"), file("y.jpg")], [file("y.png"), file("x.png")])
    assert [(image.name.name, label.name.name) for image, label in pairs] == [("y.jpg", "y.png")]
    with pytest.raises(UserError, match="same name"):
        match_labels([file("a.jpg")], [file("b.png")])
    with pytest.raises(UserError, match=r"a\.png and a\.tif: both are label files of a\.jpg"):
        match_labels([file("a.jpg")], [file("a.png"), file("a.tif")])


@pytest.mark.parametrize("count", [2, 8, 27, 60])
def test_colours_are_distinct_and_stable(count: int) -> None:
    colours = distinct_colours(count)
    assert len(set(colours)) == count
    assert colours[:2] == distinct_colours(2)
    nearest = (
        min(
            sum(abs(x - y) for x, y in zip(a, b, strict=True))
            for i, a in enumerate(colours[:12])
            for b in colours[:i]
        )
        if count >= 2
        else 999
    )
    assert nearest > 40
