"""Image preprocessing for CLIP and SigLIP, as preprocessor_config.json specifies it.

Reimplemented because the processors of transformers need torchvision or differ between versions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones.huggingface import read_json
from segdistill.errors import UserError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
FILES = ("preprocessor_config.json", "processor_config.json")


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

        Args:
            picture: image, shape (height, width, 3).

        Returns:
            Tensor of shape (3, side, side), float32, normalised.

        Example:
            >>> picture = np.zeros((20, 40, 3), np.uint8)
            >>> ImagePreprocessing(8, stretch=False).preprocess(picture).shape
            torch.Size([3, 8, 8])
        """
        height, width = picture.shape[:2]
        if self.stretch:
            rows = columns = self.side
        else:
            scale = self.side / min(height, width)
            rows, columns = (max(self.side, round(scale * each)) for each in (height, width))
        resized = Image.fromarray(picture).resize(
            (columns, rows), Image.Resampling(self.resampling)
        )
        top, left = (rows - self.side) // 2, (columns - self.side) // 2
        middle = np.array(resized)[top : top + self.side, left : left + self.side]
        pixels = torch.from_numpy(middle).permute(2, 0, 1).float()  # (h, w, 3) -> (3, h, w)
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (self.mean, self.std))
        return (pixels / 255 - mean) / std


def read_preprocessing(folder: Path, config: dict[str, Any]) -> ImagePreprocessing:
    """Read the image preprocessing of an encoder.

    Args:
        folder: model folder in the hub's layout.
        config: content of config.json.

    Raises:
        UserError: the preprocessor config is invalid.
    """
    is_clip = config["model_type"] == "clip"
    stated: dict[str, Any] = {}
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    try:
        # The input size of the network takes precedence over the preprocessor config.
        side = int((config.get("vision_config") or {}).get("image_size", 224))
        if path is not None:
            content = read_json(path)
            stated = content.get("image_processor", content)
        preprocessing = ImagePreprocessing(
            side=side,
            stretch=not bool(stated.get("do_center_crop", is_clip)),
            resampling=int(Image.Resampling(stated.get("resample", 3))),
            mean=_three(stated.get("image_mean"), CLIP_MEAN if is_clip else HALF),
            std=_three(stated.get("image_std"), CLIP_STD if is_clip else HALF),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path or folder}: invalid preprocessor config ({error!r})") from error
    if side < 1 or min(preprocessing.std) <= 0:
        raise UserError(f"{path or folder}: image_size must be at least 1, and image_std above 0")
    return preprocessing


def _three(values: Any, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    numbers = tuple(float(each) for each in values or otherwise)
    if len(numbers) != 3:
        raise ValueError("image_mean and image_std must be three numbers")
    return numbers
