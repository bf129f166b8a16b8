"""Preprocessing and postprocessing of depth networks, as in preprocessor_config.json.

Equal to the processors of transformers. Those fail on very elongated images, are up to four times
as slow, and ZoeDepth's needs torchvision.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from segdistill.backbones.huggingface import NetworkFiles, read_normalisation
from segdistill.backbones.protocol import IMAGENET_MEAN, IMAGENET_STD, normalise_images

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
        """Return the padding at each end of columns and of rows, in pixels.

        ZoeDepth uses three times the square root of half the side.
        """
        if not self.reflect:
            return 0, 0
        return int((height / 2) ** 0.5 * 3), int((width / 2) ** 0.5 * 3)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the input size of the network for an image, in pixels.

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

        Shapes: (height, width, 3) in 0..255 to (3, rows, columns) in float32.
        """
        size = self.input_size(image.shape[0], image.shape[1])
        if self.reflect:
            pad_y, pad_x = self.border(image.shape[0], image.shape[1])
            image = np.pad(image, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode="reflect")
        else:
            resized = Image.fromarray(image).resize(size[::-1], Image.Resampling(self.resampling))
            image = np.array(resized)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()  # (h, w, 3) -> (1, 3, h, w)
        if self.reflect:
            # ZoeDepth was trained on images resized with aligned corners, without antialiasing.
            mode = TORCH_FILTERS[self.resampling]
            pixels = F.interpolate(pixels, size=size, mode=mode, align_corners=True)
        return normalise_images(pixels / 255, self.mean, self.std)[0]

    def restore(self, prediction: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Resize the network output, shape (rows, columns), to the image, and crop the padding."""
        pad_y, pad_x = self.border(*size)
        whole = (size[0] + 2 * pad_y, size[1] + 2 * pad_x)
        enlarged = F.interpolate(
            prediction[None, None], size=whole, mode="bicubic", align_corners=False
        )[0, 0]
        return enlarged[pad_y : pad_y + size[0], pad_x : pad_x + size[1]]


MOST_SIDE = 8192
"""No network takes larger images; more would exhaust memory."""

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


def read_preprocessing(files: NetworkFiles) -> DepthPreprocessing:
    """Read the image preprocessing of a depth network.

    Raises:
        UserError: preprocessor_config.json is invalid.
    """
    config, default = files.config, DEFAULTS[files.model_type]

    def parse(stated: dict[str, Any]) -> DepthPreprocessing:
        preprocessing = _as_stated(default, stated)
        own_patches = config.get("is_hybrid") or not (
            config.get("backbone_config") or config.get("backbone")
        )
        if files.model_type == "dpt" and own_patches:
            # DPT without a separate backbone expects a square patch grid.
            side = int(config.get("image_size") or preprocessing.height)
            preprocessing = replace(
                preprocessing, height=side, width=side, keep_shape=False, multiple=1
            )
        sizes = (preprocessing.height, preprocessing.width, preprocessing.multiple)
        if min(sizes) < 1 or max(sizes) > MOST_SIDE:
            raise ValueError(f"sizes must be from 1 to {MOST_SIDE}")
        return preprocessing

    return files.preprocessing(parse)


def _as_stated(default: DepthPreprocessing, stated: dict[str, Any]) -> DepthPreprocessing:
    size = stated.get("size", {"height": default.height, "width": default.width})
    height, width = (size, size) if isinstance(size, int) else (size["height"], size["width"])
    mean, std = read_normalisation(stated, default.mean, default.std)
    result = DepthPreprocessing(
        height=int(height),
        width=int(width),
        keep_shape=bool(stated.get("keep_aspect_ratio", default.keep_shape)),
        multiple=int(stated.get("ensure_multiple_of") or default.multiple),
        resampling=int(stated.get("resample", default.resampling)),
        mean=mean,
        std=std,
        reflect=default.reflect and stated.get("do_pad") is not False,
    )
    if Image.Resampling(result.resampling) not in TORCH_FILTERS and result.reflect:
        raise ValueError("resample must be 2 (bilinear) or 3 (bicubic)")
    return result
