"""Preprocessing and postprocessing of depth networks, as in preprocessor_config.json.

Reimplemented because the processors of transformers need torchvision or differ between versions.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones.huggingface import read_json
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD
from segdistill.errors import UserError

HALF = (0.5, 0.5, 0.5)
# Names in torch of the Pillow filters, for padded images.
TORCH_FILTERS = {
    int(Image.Resampling.BILINEAR): "bilinear",
    int(Image.Resampling.BICUBIC): "bicubic",
}


@dataclass(frozen=True)
class DepthPreprocessing:
    """Image preprocessing of a depth network.

    Attributes:
        height: input height in pixels, before ``keep_shape`` and ``multiple``.
        width: input width in pixels, before ``keep_shape`` and ``multiple``.
        keep_shape: keep the aspect ratio, using whichever scale factor is closer to 1.
        multiple: round both sides to multiples of this.
        resampling: Pillow resampling filter.
        mean: mean of each channel, for images in 0..1.
        std: standard deviation of each channel.
        reflect: add reflection padding, as ZoeDepth does, and crop it from the output.
    """

    height: int
    width: int
    keep_shape: bool = True
    multiple: int = 1
    resampling: int = int(Image.Resampling.BICUBIC)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    reflect: bool = False

    def border(self, height: int, width: int) -> tuple[int, int]:
        """Return the padding above and below, and on the left and right, in pixels.

        ZoeDepth uses three times the square root of half the side.
        """
        if not self.reflect:
            return 0, 0
        return int((height / 2) ** 0.5 * 3), int((width / 2) ** 0.5 * 3)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the input size of the network for an image.

        Args:
            height: height of the image in pixels.
            width: width of the image in pixels.

        Example:
            >>> DepthPreprocessing(518, 518, multiple=14).input_size(480, 640)
            (518, 686)
            >>> DepthPreprocessing(384, 384, keep_shape=False).input_size(480, 640)
            (384, 384)
        """
        pad_y, pad_x = self.border(height, width)
        height, width = height + 2 * pad_y, width + 2 * pad_x
        down, across = self.height / height, self.width / width
        if self.keep_shape:
            down = across = across if abs(1 - across) < abs(1 - down) else down
        rows, columns = (
            max(1, round(side / self.multiple)) * self.multiple
            for side in (down * height, across * width)
        )
        return rows, columns

    def preprocess(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Pad, resize and normalise an image.

        Args:
            image: image, shape (height, width, 3).

        Returns:
            Tensor of shape (3, rows, columns), float32, normalised.
        """
        size = self.input_size(image.shape[0], image.shape[1])
        if self.reflect:
            pad_y, pad_x = self.border(image.shape[0], image.shape[1])
            image = np.pad(image, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode="reflect")
            # ZoeDepth was trained on images resized with aligned corners, without antialiasing.
            pixels = torch.from_numpy(image).permute(2, 0, 1).float()  # (h, w, 3) -> (3, h, w)
            mode = TORCH_FILTERS[self.resampling]
            pixels = F.interpolate(pixels[None], size=size, mode=mode, align_corners=True)[0]
        else:
            resized = Image.fromarray(image).resize(
                (size[1], size[0]), Image.Resampling(self.resampling)
            )
            pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (self.mean, self.std))
        return (pixels / 255 - mean) / std

    def restore(self, prediction: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Resize the network output to the image, and crop the padding.

        Args:
            prediction: output of the network, shape (rows, columns).
            size: height and width of the image.

        Returns:
            Tensor of shape ``size``.
        """
        pad_y, pad_x = self.border(*size)
        whole = (size[0] + 2 * pad_y, size[1] + 2 * pad_x)
        enlarged = F.interpolate(
            prediction[None, None], size=whole, mode="bicubic", align_corners=False
        )[0, 0]
        return enlarged[pad_y : pad_y + size[0], pad_x : pad_x + size[1]]


DEFAULTS = {
    "depth_anything": DepthPreprocessing(518, 518, multiple=14),
    "dpt": DepthPreprocessing(384, 384, keep_shape=False, mean=HALF, std=HALF),
    "zoedepth": DepthPreprocessing(
        384,
        512,
        multiple=32,
        resampling=int(Image.Resampling.BILINEAR),
        mean=HALF,
        std=HALF,
        reflect=True,
    ),
}
"""Default preprocessing by model_type; preprocessor_config.json overrides it."""


def read_preprocessing(folder: Path, config: dict[str, Any]) -> DepthPreprocessing:
    """Read the image preprocessing of a depth network.

    Args:
        folder: model folder in the hub's layout.
        config: content of config.json, with a model_type in :data:`DEFAULTS`.

    Raises:
        UserError: preprocessor_config.json is invalid.
    """
    preprocessing = DEFAULTS[config["model_type"]]
    path = folder / "preprocessor_config.json"
    if path.is_file():
        try:
            preprocessing = _as_stated(preprocessing, read_json(path))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: invalid preprocessor config ({error!r})") from error
    if config["model_type"] == "dpt" and (config.get("is_hybrid") or not _has_backbone(config)):
        # DPT without a separate backbone expects a square patch grid.
        side = int(config.get("image_size") or preprocessing.height)
        return replace(preprocessing, height=side, width=side, keep_shape=False, multiple=1)
    return preprocessing


def _has_backbone(config: dict[str, Any]) -> bool:
    return bool(config.get("backbone_config") or config.get("backbone"))


def _as_stated(preprocessing: DepthPreprocessing, stated: dict[str, Any]) -> DepthPreprocessing:
    size = stated.get("size", {"height": preprocessing.height, "width": preprocessing.width})
    height, width = (size, size) if isinstance(size, int) else (size["height"], size["width"])
    mean = stated.get("image_mean") or preprocessing.mean
    std = stated.get("image_std") or preprocessing.std
    if stated.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    result = DepthPreprocessing(
        height=int(height),
        width=int(width),
        keep_shape=bool(stated.get("keep_aspect_ratio", preprocessing.keep_shape)),
        multiple=int(stated.get("ensure_multiple_of") or preprocessing.multiple),
        resampling=int(stated.get("resample", preprocessing.resampling)),
        mean=tuple(float(each) for each in mean),
        std=tuple(float(each) for each in std),
        reflect=preprocessing.reflect and stated.get("do_pad") is not False,
    )
    if min(result.height, result.width, result.multiple) < 1:
        raise ValueError("sizes must be at least 1")
    if len(result.mean) != 3 or len(result.std) != 3 or min(result.std) <= 0:
        raise ValueError("image_mean and image_std must be three numbers, the latter above 0")
    if Image.Resampling(result.resampling) not in TORCH_FILTERS and result.reflect:
        raise ValueError("resample must be 2 (bilinear) or 3 (bicubic)")
    return result
