import base64
import io

import numpy as np
import pytest
from PIL import Image

from segdistill.model.description import numbered_classes
from segdistill.report.data_uri import image_uri, mask_uri


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
