"""Bringing pictures to the form in which a CLIP-type network wants them.

preprocessor_config.json says which. transformers' own processors follow it, but need torchvision or
differ by version; the steps are few and are done here.
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
class PicturePreparation:
    """How a network wants its pictures.

    Attributes:
        side: of the square that it sees, in pixels.
        squeeze: bring both sides to it; otherwise the shorter one, of which the middle is taken.
        resampling: Pillow's number of the filter.
        mean: subtracted from each channel in 0..1.
        std: by which the rest is divided.
    """

    side: int
    squeeze: bool
    resampling: int = int(Image.Resampling.BICUBIC)
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def prepare(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """Return what the network is to see of a picture.

        Args:
            picture: shape (height, width, 3).

        Returns:
            Tensor of shape (3, side, side), float32, normalised.

        Example:
            >>> picture = np.zeros((20, 40, 3), np.uint8)
            >>> PicturePreparation(8, squeeze=False).prepare(picture).shape
            torch.Size([3, 8, 8])
        """
        height, width = picture.shape[:2]
        if self.squeeze:
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


def read_preparation(folder: Path, config: dict[str, Any]) -> PicturePreparation:
    """Return what a network wants of its pictures.

    Args:
        folder: in the hub's layout.
        config: content of its config.json.

    Raises:
        UserError: the file that says it makes no sense.
    """
    is_clip = config["model_type"] == "clip"
    stated: dict[str, Any] = {}
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    try:
        # The network sees squares of this side, whatever else is said.
        side = int((config.get("vision_config") or {}).get("image_size", 224))
        if path is not None:
            content = read_json(path)
            stated = content.get("image_processor", content)
        preparation = PicturePreparation(
            side=side,
            squeeze=not bool(stated.get("do_center_crop", is_clip)),
            resampling=int(Image.Resampling(stated.get("resample", 3))),
            mean=_three(stated.get("image_mean"), CLIP_MEAN if is_clip else HALF),
            std=_three(stated.get("image_std"), CLIP_STD if is_clip else HALF),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path or folder}: makes no sense to this program ({error!r})") from error
    if side < 1 or min(preparation.std) <= 0:
        raise UserError(f"{path or folder}: image_size must be at least 1, and image_std above 0")
    return preparation


def _three(values: Any, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    numbers = tuple(float(each) for each in values or otherwise)
    if len(numbers) != 3:
        raise ValueError("image_mean and image_std must be three numbers")
    return numbers
