"""Image crops that show a class to the encoder."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segdistill.inference.samples import Sample
from segdistill.report.examples import Window

BLUR_SHARE = 0.06
"""Standard deviation of the background blur, as a share of the longer side of the crop."""

GREY = 128.0
FADE = 0.5
"""Share of grey blended into the background."""


def class_crop(sample: Sample, window: Window, index: int) -> NDArray[np.uint8]:
    """Crop a window, with everything but the class blurred and faded to grey.

    Blurring the background works better with models such as CLIP than boxes or cut-outs, because it
    keeps the context (Yang et al., NeurIPS 2023).

    Args:
        sample: the image with its mask.
        window: the window to crop.
        index: index of the class.

    Returns:
        Crop of shape (height, width, 3).
    """
    part = sample.image[window.rows, window.columns].astype(np.float32)
    belongs = sample.mask[window.rows, window.columns] == index
    deviation = BLUR_SHARE * max(belongs.shape)
    blurred = ndimage.gaussian_filter(part, (deviation, deviation, 0))
    around = blurred + FADE * (GREY - blurred)
    picture = np.where(belongs[:, :, None], part, around)
    return np.round(picture).astype(np.uint8)
