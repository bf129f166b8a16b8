"""What a network is shown of a class."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.inference.samples import Sample
from segdistill.report.examples import Window

BLUR_SHARE = 0.06
"""Deviation of the blur around the class, as a share of the picture's longer side."""

GREY = 128.0
FADED = 0.5
"""How far what lies around the class goes towards grey."""


def class_picture(sample: Sample, window: Window, index: int) -> NDArray[np.uint8]:
    """Cut a window out, with all but the class blurred and faded.

    A blurred background lets networks such as CLIP tell what is meant better than a box or a
    cut-out does (Yang et al., NeurIPS 2023): the class still stands where it stood.

    Args:
        sample: the image with its mask.
        window: what to cut out.
        index: of the class.

    Returns:
        Array of the window's shape, (height, width, 3).
    """
    part = sample.image[window.rows, window.columns].astype(np.float32)
    belongs = sample.mask[window.rows, window.columns] == index
    deviation = BLUR_SHARE * max(belongs.shape)
    blurred = ndimage.gaussian_filter(part, (deviation, deviation, 0))
    around = blurred + FADED * (GREY - blurred)
    picture = np.where(belongs[:, :, None], part, around)
    return np.round(picture).astype(np.uint8)
