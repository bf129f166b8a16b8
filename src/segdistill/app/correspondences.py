"""What corresponds to a point of an image, in that image and in others, as a page shows it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image

from segdistill.app.live_run import LiveRun
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import ImageFile
from segdistill.images.resize import enlarge
from segdistill.inference.correspondences import heat_map
from segdistill.inference.samples import reduced_size
from segdistill.report.data_uri import data_uri, image_uri

By = Literal["codes", "features"]

# The browser enlarges the layer; a heat map has no finer detail than its grid.
LAYER_SIDE = 192

# Where nothing corresponds an image is darkened, where much does it is coloured warmly.
COLD, COLD_STRENGTH = (0.0, 0.0, 0.0), 0.62
WARM, WARM_STRENGTH = (255.0, 176.0, 32.0), 0.6


@dataclass(frozen=True)
class HeatPicture:
    """An image with what corresponds to the point.

    Attributes:
        index: of the image among those shown.
        name: of the file.
        photo: address of the image.
        heat: address of the layer to lay over it.
        height: in pixels.
        width: in pixels.
        best: the greatest cosine similarity in it, in -1..1.
    """

    index: int
    name: str
    photo: str
    heat: str
    height: int
    width: int
    best: float


def correspondences_of(
    run: LiveRun,
    files: Sequence[ImageFile],
    indices: Sequence[int],
    point: tuple[float, float],
    by: By,
) -> list[HeatPicture]:
    """Return what corresponds to a point, in its own image and in others.

    Args:
        run: whose features and codes.
        files: the images shown.
        indices: of those to show; the first holds the point.
        point: (x, y) as shares of width and height, from 0 to 1.
        by: the backbone's features or the codes that were learned.

    Returns:
        The images in the order of ``indices``, without those that cannot be read.

    Raises:
        UnreadableImageError: the image with the point cannot be decoded.
    """
    source: torch.Tensor = getattr(run.embedded(files[indices[0]]), by)
    shown = []
    for index in indices:
        try:
            target = run.embedded(files[index])
        except UnreadableImageError:
            # The gallery says so.
            continue
        heat = heat_map(source, point, getattr(target, by))
        height, width = target.image.shape[:2]
        layer = heat_uri(heat, *reduced_size(height, width, LAYER_SIDE))
        shown.append(
            HeatPicture(
                index=index,
                name=files[index].name.as_posix(),
                photo=image_uri(target.image),
                heat=layer,
                height=height,
                width=width,
                best=float(heat.max()),
            )
        )
    return shown


def heat_uri(heat: torch.Tensor, height: int, width: int) -> str:
    """Return how much each location of an image corresponds to a point, as a layer to lay over it.

    Args:
        heat: cosine similarities in -1..1, shape (rows, columns).
        height: of the layer, in pixels.
        width: of the layer, in pixels.

    Example:
        >>> heat_uri(torch.zeros(2, 3), 8, 12)[:22]
        'data:image/png;base64,'
    """
    strength = enlarge(heat[None, None].float(), (height, width))[0, 0].clamp(0, 1).numpy()
    cold, warm = (np.array([*colour], np.float32) for colour in (COLD, WARM))
    layer = np.empty((height, width, 4), np.float32)
    layer[..., :3] = cold + strength[..., None] * (warm - cold)
    layer[..., 3] = 255 * (COLD_STRENGTH + strength * (WARM_STRENGTH - COLD_STRENGTH))
    buffer = io.BytesIO()
    Image.fromarray(layer.round().astype(np.uint8)).save(buffer, format="PNG")
    return data_uri(buffer.getvalue(), "image/png")
