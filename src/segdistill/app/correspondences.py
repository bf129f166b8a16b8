"""Heat maps of the similarity to a point, in the same image and in others."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image

from segdistill.app.live_run import LiveRun
from segdistill.decoding.decode import UnreadableImageError
from segdistill.images.finding import ImageFile
from segdistill.images.resize import enlarge
from segdistill.inference.correspondences import heat_map
from segdistill.inference.samples import reduced_size
from segdistill.report.data_uri import data_uri, image_uri

By = Literal["codes", "features"]

# The browser upscales the overlay, since the heat map is only as fine as its grid.
LAYER_SIDE = 192

# Low similarity darkens the image, high similarity gives it a warm tint.
COLD, COLD_STRENGTH = (0.0, 0.0, 0.0), 0.62
WARM, WARM_STRENGTH = (255.0, 176.0, 32.0), 0.6


@dataclass(frozen=True)
class HeatPicture:
    """An image with a heat map.

    Attributes:
        index: index in the gallery.
        name: name of the file.
        photo: URL of the image.
        heat: URL of the heat map overlay.
        height: height in pixels.
        width: width in pixels.
        best: highest cosine similarity in the image, -1..1.
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
    """Return heat maps of the similarity to a point, in its own image and in others.

    Args:
        run: the run.
        files: images of the gallery.
        indices: indices of the images to show; the point is in the first.
        point: (x, y) relative to width and height, 0..1.
        by: compare backbone features or learned codes.

    Returns:
        The images in the order of ``indices``, without unreadable ones.

    Raises:
        UnreadableImageError: the image with the point cannot be decoded.
    """
    source: torch.Tensor = getattr(run.embedded(files[indices[0]]), by)
    shown = []
    for index in indices:
        try:
            target = run.embedded(files[index])
        except UnreadableImageError:
            # Reported in the gallery.
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
    """Return a heat map as a translucent overlay image.

    Args:
        heat: cosine similarities in -1..1, shape (rows, columns).
        height: height of the overlay in pixels.
        width: width of the overlay in pixels.

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
