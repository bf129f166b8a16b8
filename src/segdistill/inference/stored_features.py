"""Features of images that a fit has stored, so that their masks need no backbone."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdistill.features.extract import stored_map
from segdistill.features.store import FeatureStore
from segdistill.features.views import View
from segdistill.images.folder import CheckedImage
from segdistill.images.resize import Crop, Viewing
from segdistill.inference.options import MaskOptions
from segdistill.model.segmenter import Segmenter


class StoredFeatures:
    """Reads the feature maps that masks are made of, where a feature store has them.

    Masks are the same as without: the store has whole images at the resolution of the fit, and
    :func:`~segdistill.features.preparation.storage_format` rounds computed features likewise.

    Args:
        segmenter: the model.
        options: how images are segmented; mirrored images and other resolutions are not stored.
        folder: folder of the store; ``None`` for none. It may not exist.
    """

    def __init__(self, segmenter: Segmenter, options: MaskOptions, folder: Path | None) -> None:
        resolution = segmenter.settings.resolution
        self.segmenter = segmenter
        self.viewing = Viewing(resolution, segmenter.backbone.size_multiple)
        self.store: FeatureStore | None = None
        same = not options.mirror and options.resolution in (None, resolution)
        if folder is not None and folder.is_dir() and same:
            self.store = FeatureStore(folder, max_bytes=0)

    def read(self, image: CheckedImage) -> NDArray[np.float16] | None:
        """Return the raw map of an image, shape (1, h, w, channels), if it is stored."""
        view = View(image, Crop(), self.viewing)
        # Longer images go through the backbone in tiles, but through that of a fit as a whole.
        if self.store is None or max(view.size) > self.segmenter.tile:
            return None
        kept = stored_map(view, self.segmenter.backbone, self.segmenter.compute, self.store)
        return None if kept is None else kept[None]
