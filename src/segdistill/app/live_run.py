"""An open run folder, whose model follows changes of its classes."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import RLock

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.decoding.pictures import Picture
from segdistill.files import Stamp, stamp_of
from segdistill.images.finding import ImageFile
from segdistill.images.resize import resize_image
from segdistill.inference.correspondences import EmbeddedImage, embed
from segdistill.inference.samples import LONGEST_SIDE, Sample, reduced_size, without_class
from segdistill.layout import DESCRIPTION_FILE
from segdistill.model.class_sets import ClassSets, read_class_sets
from segdistill.model.description import SegmentClass
from segdistill.model.segmenter import Segmenter
from segdistill.refinement.upsampling import cleaned_mask

KEPT_CODES = 96
KEPT_MASKS = 96
KEPT_FEATURES = 16

Grouping = tuple[object, ...]


@dataclass(frozen=True)
class ImageCodes:
    """A reduced image with its codes, from which masks for any classes are computed.

    Attributes:
        image: reduced image, shape (height, width, 3).
        codes: codes of the image, shape (1, code channels, h, w).
        valid: which pixels of the image at full size have a value; ``None`` if all have.
    """

    image: NDArray[np.uint8]
    codes: torch.Tensor
    valid: NDArray[np.bool_] | None


class LiveRun:
    """The model of a run folder, with caches of codes, masks and features.

    The classes may be edited at any time, by this or another process. The model then takes over the
    new classes, and keeps the backbone, the head and the cached codes.

    Args:
        folder: the run folder.
        backbone: new location of the backbone, if it was moved.
        device: device to compute on.
        precision: precision of matrix products.

    Attributes:
        folder: the run folder.
        lock: held during computations.
        fit: number of times that the folder was found to contain a new fit.

    Raises:
        UserError: the folder contains no model, or the backbone cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backbone: str | None = None,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
    ) -> None:
        self.folder = folder
        self.lock = RLock()
        self._backbone = backbone
        self._device: DeviceName = device
        self._precision: PrecisionName = precision
        self._codes = lru_cache(KEPT_CODES)(self._encode)
        self._masks = lru_cache(KEPT_MASKS)(self._mask)
        self._features = lru_cache(KEPT_FEATURES)(self._embed)
        self.fit = 0
        self._stamp = stamp_of(folder / DESCRIPTION_FILE)
        self._sets = read_class_sets(folder)
        self._segmenter = self._load()

    @property
    def sets(self) -> ClassSets:
        """The current class sets of the folder."""
        self._follow()
        return self._sets

    @property
    def segmenter(self) -> Segmenter:
        """The model with the current classes."""
        self._follow()
        return self._segmenter

    @property
    def classes(self) -> tuple[SegmentClass, ...]:
        """The current classes."""
        return self.sets.current.classes

    @property
    def grouping(self) -> Grouping:
        """Cache key of masks: the centres and their assignment to classes, without names."""
        current = self.sets.current
        return (self.fit, current.tensor, *(each.members for each in current.classes))

    def read(self, path: Path) -> Picture:
        """Read an image for the model.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        return self.segmenter.read_picture(path)

    def sample(self, file: ImageFile) -> Sample:
        """Return a reduced image with its mask.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        with self.lock:
            grouping, stamp = self.grouping, stamp_of(file.path)
            mask = self._masks(file, stamp, grouping)
            return Sample(file, self._codes(file, stamp).image, mask)

    def segment(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment an image as in ``segdistill segment``; returns shape (height, width).

        Args:
            image: image, shape (height, width, 3).
        """
        with self.lock:
            return self.segmenter.segment(image)

    def embedded(self, file: ImageFile) -> EmbeddedImage:
        """Return a reduced image with its features and codes.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        with self.lock:
            self._follow()
            return self._features(file, stamp_of(file.path))

    def _follow(self) -> None:
        with self.lock:
            stamp = stamp_of(self.folder / DESCRIPTION_FILE)
            if stamp == self._stamp:
                return
            sets = read_class_sets(self.folder)
            if _same_codes(sets, self._sets):
                now = sets.current
                self._segmenter = self._segmenter.with_classes(now.classes, now.centres, now.levels)
            else:
                # The folder contains a new model.
                self._segmenter = self._load()
                self.fit += 1
                for kept in (self._codes, self._masks, self._features):
                    kept.cache_clear()
            self._sets, self._stamp = sets, stamp

    def _load(self) -> Segmenter:
        return Segmenter.load(
            self.folder, backbone=self._backbone, device=self._device, precision=self._precision
        )

    def _encode(self, file: ImageFile, _stamp: Stamp) -> ImageCodes:
        picture = self.read(file.path)
        codes = self.segmenter.grid_codes(picture.pixels)
        return ImageCodes(_reduced(picture.displayed), codes, picture.valid)

    def _mask(self, file: ImageFile, stamp: Stamp, _grouping: Grouping) -> NDArray[np.uint8]:
        segmenter, encoded = self.segmenter, self._codes(file, stamp)
        with torch.no_grad():
            codes = encoded.codes.to(segmenter.compute.device)
            scores = segmenter.scores_of_codes(codes).cpu()
        mask = cleaned_mask(scores, encoded.image, detail=segmenter.settings.detail)
        return without_class(mask, encoded.valid)

    def _embed(self, file: ImageFile, _stamp: Stamp) -> EmbeddedImage:
        image = self.read(file.path).pixels
        return replace(embed(self.segmenter, image), image=_reduced(image))


def _same_codes(one: ClassSets, other: ClassSets) -> bool:
    """Return whether two states of a run folder belong to the same fit."""
    if one.prototypes is None or other.prototypes is None:
        mine, yours = ({each.tensor: each.centres for each in sets.known} for sets in (one, other))
        shared = mine.keys() & yours.keys()
        return bool(shared) and all(torch.equal(mine[name], yours[name]) for name in shared)
    return torch.equal(one.prototypes.vectors, other.prototypes.vectors)


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return resize_image(image, reduced_size(image.shape[0], image.shape[1], LONGEST_SIDE))
