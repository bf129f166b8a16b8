"""Image preprocessing for CLIP and SigLIP, as the preprocessor config specifies it.

Equal to the processors of transformers, which differ between versions and mistake images of three
rows or fewer for images with channels first.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones.huggingface import NetworkFiles, read_normalisation
from segdistill.backbones.protocol import normalise_images

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class ImagePreprocessing:
    """Image preprocessing of an encoder.

    Attributes:
        side: side of the square input, in pixels.
        stretch: resize both sides to ``side``; otherwise resize the shorter side and centre-crop.
        resampling: Pillow resampling filter.
        mean: mean of each channel, for images in 0..1.
        std: standard deviation of each channel.
    """

    side: int
    stretch: bool
    resampling: int = int(Image.Resampling.BICUBIC)
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def preprocess(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """Resize, crop and normalise an image.

        Shapes: (height, width, 3) in 0..255 to (3, side, side) in float32.

        Example:
            >>> picture = np.zeros((20, 40, 3), np.uint8)
            >>> ImagePreprocessing(8, stretch=False).preprocess(picture).shape
            torch.Size([3, 8, 8])
        """
        rows = columns = self.side
        if not self.stretch:
            shorter = min(picture.shape[:2])
            rows, columns = (self.side * each // shorter for each in picture.shape[:2])
        resized = Image.fromarray(picture).resize(
            (columns, rows), Image.Resampling(self.resampling)
        )
        top, left = (rows - self.side) // 2, (columns - self.side) // 2
        middle = np.array(resized)[top : top + self.side, left : left + self.side]
        pixels = torch.from_numpy(middle).permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
        return normalise_images(pixels.float() / 255, self.mean, self.std)[0]


def read_preprocessing(files: NetworkFiles) -> ImagePreprocessing:
    """Read the image preprocessing of an encoder.

    Raises:
        UserError: the preprocessor config is invalid.
    """
    is_clip = files.model_type == "clip"

    def parse(stated: dict[str, Any]) -> ImagePreprocessing:
        # The input size of the network takes precedence over the preprocessor config.
        side = int((files.config.get("vision_config") or {}).get("image_size", 224))
        if side < 1:
            raise ValueError("image_size must be at least 1")
        mean, std = (CLIP_MEAN, CLIP_STD) if is_clip else (HALF, HALF)
        return ImagePreprocessing(
            side,
            not stated.get("do_center_crop", is_clip),
            int(Image.Resampling(stated.get("resample", 3))),
            *read_normalisation(stated, mean, std),
        )

    return files.preprocessing(parse)
