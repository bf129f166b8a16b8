import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdistill.images.folder import ImageFile
from segdistill.model.description import numbered_classes
from segdistill.report.examples import Sample, Window
from segdistill.report.figures import EXAMPLE_SIDE, example_picture, image_uri, mask_uri


def opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_image_comes_back_nearly_the_same() -> None:
    picture = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    back = np.asarray(opened(image_uri(picture))).astype(int)
    assert back.shape == picture.shape
    assert np.abs(back - picture).max() <= 4


@pytest.mark.parametrize("count", [2, 27, 255])
def test_mask_comes_back_in_its_colours(count: int) -> None:
    classes = numbered_classes(count)
    mask = np.arange(count, dtype=np.uint8)[None].repeat(3, axis=0)
    back = opened(mask_uri(mask, classes))
    assert back.format == "PNG"
    colours = np.array([each.colour for each in classes])
    assert np.array_equal(np.asarray(back.convert("RGB")), colours[mask])


def sample_of(height: int, width: int) -> Sample:
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    image = np.random.default_rng(0).integers(60, 250, (height, width, 3), np.uint8)
    return Sample(ImageFile(Path("a.png"), Path("a.png")), image, mask)


def test_example_shows_the_class_and_dims_the_rest() -> None:
    sample = sample_of(100, 100)
    whole = Window(0, slice(0, 100), slice(0, 100), 1.0)
    picture = example_picture(sample, whole, 1)
    assert picture.shape == (EXAMPLE_SIDE, EXAMPLE_SIDE, 3)
    middle = EXAMPLE_SIDE // 2
    rest, shown = picture[:, : middle - 2], picture[:, middle + 4 :]
    assert np.ptp(rest.astype(int), axis=2).max() == 0  # grey
    assert rest.mean() < 0.5 * shown.mean()
    assert (picture[:, middle - 2 : middle + 2] == 255).all(axis=2).any(axis=1).all()
    # The border of the picture is no edge of the class.
    assert not (picture[:, -1] == 255).all(axis=1).any()


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_example_of_a_narrow_image(size: tuple[int, int]) -> None:
    sample = sample_of(*size)
    picture = example_picture(sample, Window(0, slice(0, size[0]), slice(0, size[1]), 1.0), 1)
    assert max(picture.shape) == EXAMPLE_SIDE
    assert min(picture.shape[:2]) >= 1
