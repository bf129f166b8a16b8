"""Features of images that a fit has stored, so that their masks need no backbone."""

import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.decoding.decode import read_picture
from segdistill.decoding.image_reading import ImageReading
from segdistill.decoding.pictures import Picture
from segdistill.features.extract import stored_map
from segdistill.features.store import FeatureStore
from segdistill.features.views import View
from segdistill.images.folder import CheckedImage, ImageFile, read_with_digest
from segdistill.images.resize import Crop, Viewing
from segdistill.inference.options import MaskOptions
from segdistill.model.segmenter import Segmenter


class StoredFeatures:
    """Reads the feature maps that masks are made of, where a feature store has them.

    Masks are the same as without, on the same device: the store has whole images at the resolution
    of the fit, and :func:`~segdistill.features.preparation.storage_format` rounds computed features
    likewise.

    Args:
        segmenter: the model.
        options: how images are segmented; mirrored images and other resolutions are not stored.
        folder: folder of the store; ``None`` for none. It may be missing or inaccessible.
    """

    def __init__(self, segmenter: Segmenter, options: MaskOptions, folder: Path | None) -> None:
        resolution = segmenter.settings.resolution
        self.segmenter = segmenter
        self.viewing = Viewing(resolution, segmenter.backbone.size_multiple)
        self.store: FeatureStore | None = None
        if folder is None or options.mirror or options.resolution not in (None, resolution):
            return
        with contextlib.suppress(OSError):  # a folder that this user may not enter
            if folder.is_dir():
                self.store = FeatureStore(folder, max_bytes=0)

    def read(
        self, file: ImageFile, reading: ImageReading
    ) -> tuple[Picture, NDArray[np.float16] | None]:
        """Read an image, and its raw map, of shape (h, w, channels), if it is stored.

        Raises:
            UnreadableImageError: the file or its mask is missing, truncated or not an image.
        """
        if self.store is None:
            return read_picture(file.path, reading, file.ignore), None
        digest, picture = read_with_digest(file, reading)
        height, width = picture.pixels.shape[:2]
        view = View(CheckedImage(file, digest, height, width, reading), Crop(), self.viewing)
        # Longer images go through the backbone in tiles, but through that of a fit as a whole.
        if max(view.size) > self.segmenter.tile:
            return picture, None
        backbone, compute = self.segmenter.backbone, self.segmenter.compute
        return picture, stored_map(view, backbone, compute, self.store)
