"""Bringing images to the form in which a depth network wants them, and its answer back to theirs.

The hub's models say what they want in preprocessor_config.json. transformers' own processors
follow it, but need torchvision or differ by version; the steps are few and are done here.
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
# torch's names of Pillow's filters, for images with a border.
TORCH_FILTERS = {
    int(Image.Resampling.BILINEAR): "bilinear",
    int(Image.Resampling.BICUBIC): "bicubic",
}


@dataclass(frozen=True)
class DepthPreparation:
    """How a depth network wants its images.

    Attributes:
        height: of what it sees, in pixels, before ``keep_shape`` and ``multiple``.
        width: the same across.
        keep_shape: scale both sides alike, by whichever of the two factors changes the image less.
        multiple: both sides become multiples of this.
        resampling: Pillow's number of the filter.
        mean: subtracted from each channel in 0..1.
        std: by which the rest is divided.
        reflect: put a mirrored border around the image, as ZoeDepth does, which is cut off the
            answer again.
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
        """Return how wide the mirrored border is, above and below, and to the left and right.

        ZoeDepth takes three times the root of half the side.
        """
        if not self.reflect:
            return 0, 0
        return int((height / 2) ** 0.5 * 3), int((width / 2) ** 0.5 * 3)

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size at which the network sees an image.

        Args:
            height: of the image, in pixels.
            width: of the image, in pixels.

        Example:
            >>> DepthPreparation(518, 518, multiple=14).input_size(480, 640)
            (518, 686)
            >>> DepthPreparation(384, 384, keep_shape=False).input_size(480, 640)
            (384, 384)
        """
        above, beside = self.border(height, width)
        height, width = height + 2 * above, width + 2 * beside
        down, across = self.height / height, self.width / width
        if self.keep_shape:
            down = across = across if abs(1 - across) < abs(1 - down) else down
        rows, columns = (
            max(1, round(side / self.multiple)) * self.multiple
            for side in (down * height, across * width)
        )
        return rows, columns

    def prepare(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return what the network is to see of an image.

        Args:
            image: upright, shape (height, width, 3).

        Returns:
            Tensor of shape (3, rows, columns), float32, normalised.
        """
        size = self.input_size(image.shape[0], image.shape[1])
        if self.reflect:
            above, beside = self.border(image.shape[0], image.shape[1])
            image = np.pad(image, ((above, above), (beside, beside), (0, 0)), mode="reflect")
            # ZoeDepth was trained on images resized corners onto corners, without antialias.
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

    def restore(self, answer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Bring the network's answer to the image's size, and cut the border off.

        Args:
            answer: shape (rows, columns).
            size: height and width of the image.

        Returns:
            Tensor of shape ``size``.
        """
        above, beside = self.border(*size)
        whole = (size[0] + 2 * above, size[1] + 2 * beside)
        enlarged = F.interpolate(
            answer[None, None], size=whole, mode="bicubic", align_corners=False
        )[0, 0]
        return enlarged[above : above + size[0], beside : beside + size[1]]


DEFAULTS = {
    "depth_anything": DepthPreparation(518, 518, multiple=14),
    "dpt": DepthPreparation(384, 384, keep_shape=False, mean=HALF, std=HALF),
    "zoedepth": DepthPreparation(
        384,
        512,
        multiple=32,
        resampling=int(Image.Resampling.BILINEAR),
        mean=HALF,
        std=HALF,
        reflect=True,
    ),
}
"""What the networks of a model_type want where preprocessor_config.json does not say otherwise."""


def read_preparation(folder: Path, config: dict[str, Any]) -> DepthPreparation:
    """Return what a network wants by its preprocessor_config.json.

    Args:
        folder: in the hub's layout.
        config: content of its config.json; its model_type is among :data:`DEFAULTS`.

    Raises:
        UserError: the file makes no sense.
    """
    preparation = DEFAULTS[config["model_type"]]
    path = folder / "preprocessor_config.json"
    if path.is_file():
        try:
            preparation = _as_stated(preparation, read_json(path))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: makes no sense to this program ({error!r})") from error
    if config["model_type"] == "dpt" and (config.get("is_hybrid") or not _has_backbone(config)):
        # DPT with its own transformer takes the grid of patches to be a square.
        side = int(config.get("image_size") or preparation.height)
        return replace(preparation, height=side, width=side, keep_shape=False, multiple=1)
    return preparation


def _has_backbone(config: dict[str, Any]) -> bool:
    return bool(config.get("backbone_config") or config.get("backbone"))


def _as_stated(preparation: DepthPreparation, stated: dict[str, Any]) -> DepthPreparation:
    size = stated.get("size", {"height": preparation.height, "width": preparation.width})
    height, width = (size, size) if isinstance(size, int) else (size["height"], size["width"])
    mean = stated.get("image_mean") or preparation.mean
    std = stated.get("image_std") or preparation.std
    if stated.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    result = DepthPreparation(
        height=int(height),
        width=int(width),
        keep_shape=bool(stated.get("keep_aspect_ratio", preparation.keep_shape)),
        multiple=int(stated.get("ensure_multiple_of") or preparation.multiple),
        resampling=int(stated.get("resample", preparation.resampling)),
        mean=tuple(float(each) for each in mean),
        std=tuple(float(each) for each in std),
        reflect=preparation.reflect and stated.get("do_pad") is not False,
    )
    if min(result.height, result.width, result.multiple) < 1:
        raise ValueError("sizes must be at least 1")
    if len(result.mean) != 3 or len(result.std) != 3 or min(result.std) <= 0:
        raise ValueError("image_mean and image_std must be three numbers, the latter above 0")
    if Image.Resampling(result.resampling) not in TORCH_FILTERS and result.reflect:
        raise ValueError("resample must be 2 (bilinear) or 3 (bicubic)")
    return result
