"""A run folder that is open: its model follows each change of its classes."""

from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock

import numpy as np
import torch
from numpy.typing import NDArray

from segdistill.app.recent import Recent
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.images.finding import ImageFile
from segdistill.images.resize import resize_image
from segdistill.inference.correspondences import Embedded, embed
from segdistill.inference.samples import LONGEST_SIDE, Sample, reduced_size
from segdistill.model.class_sets import ClassSet, ClassSets, read_class_sets
from segdistill.model.description import SegmentClass
from segdistill.model.files import DESCRIPTION_FILE
from segdistill.model.segmenter import Segmenter
from segdistill.model.upsampling import cleaned_mask

KEPT_CODES = 96
KEPT_MASKS = 96
KEPT_FEATURES = 16

Stamp = tuple[int, int, int]
FileKey = tuple[Path, Stamp]
Grouping = tuple[object, ...]


@dataclass(frozen=True)
class Seen:
    """An image with its codes, from which any classes give its mask.

    Attributes:
        image: reduced, shape (height, width, 3).
        codes: of the whole image, shape (1, code channels, h, w).
    """

    image: NDArray[np.uint8]
    codes: torch.Tensor


class LiveRun:
    """The model of a run folder and what it gives for images, computed once and kept for a while.

    Names, colours, mergers and numbers of classes may change at any time, by this program or by
    another: the model then takes the new classes, and keeps backbone, head and the codes of images.

    Args:
        folder: the run folder.
        backbone: where the backbone lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.

    Attributes:
        folder: the run folder.
        lock: held while something is computed.
        fit: how often another model was found in the folder.

    Raises:
        UserError: the folder holds no model, or the backbone cannot be had.
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
        self._codes: Recent[FileKey, Seen] = Recent(KEPT_CODES)
        self._masks: Recent[tuple[FileKey, Grouping], NDArray[np.uint8]] = Recent(KEPT_MASKS)
        self._features: Recent[FileKey, Embedded] = Recent(KEPT_FEATURES)
        self.fit = 0
        self._stamp = _stamp(folder / DESCRIPTION_FILE)
        self._sets = read_class_sets(folder)
        self._segmenter = self._load()

    @property
    def sets(self) -> ClassSets:
        """All classes that the folder knows at this moment."""
        self._follow()
        return self._sets

    @property
    def segmenter(self) -> Segmenter:
        """The model with the classes in use at this moment."""
        self._follow()
        return self._segmenter

    @property
    def classes(self) -> tuple[SegmentClass, ...]:
        """The classes in use at this moment."""
        return self.sets.current.classes

    @property
    def grouping(self) -> Grouping:
        """What masks depend on: the centres and which of them make a class, but no names."""
        current = self.sets.current
        return (self.fit, current.tensor, *(each.members for each in current.classes))

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Read an image as the model sees such files, shape (height, width, 3).

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        return self.segmenter.read(path)

    def sample(self, file: ImageFile) -> Sample:
        """Return an image, reduced, with its mask.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        with self.lock:
            grouping, key = self.grouping, file_key(file)
            seen = self._codes.get(key, lambda: self._see(file))
            mask = self._masks.get((key, grouping), lambda: self._mask(seen))
            return Sample(file, seen.image, mask)

    def segment(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the mask of any image, shape (height, width), as ``segdistill segment`` does.

        Args:
            image: shape (height, width, 3).
        """
        with self.lock:
            return self.segmenter.segment(image)

    def embedded(self, file: ImageFile) -> Embedded:
        """Return an image, reduced, with its features and codes.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        with self.lock:
            self._follow()
            return self._features.get(file_key(file), lambda: self._embed(file))

    def _follow(self) -> None:
        with self.lock:
            stamp = _stamp(self.folder / DESCRIPTION_FILE)
            if stamp == self._stamp:
                return
            sets = read_class_sets(self.folder)
            if _same_codes(sets, self._sets):
                self._segmenter = with_classes(self._segmenter, sets.current)
            else:
                # The folder holds another model now.
                self._segmenter = self._load()
                self.fit += 1
                for kept in (self._codes, self._masks, self._features):
                    kept.clear()
            self._sets, self._stamp = sets, stamp

    def _load(self) -> Segmenter:
        return Segmenter.load(
            self.folder, backbone=self._backbone, device=self._device, precision=self._precision
        )

    def _see(self, file: ImageFile) -> Seen:
        image = self.read(file.path)
        return Seen(_reduced(image), self.segmenter.grid_codes(image))

    def _mask(self, seen: Seen) -> NDArray[np.uint8]:
        segmenter = self.segmenter
        with torch.no_grad():
            codes = seen.codes.to(segmenter.compute.device)
            scores = segmenter.scores_of_codes(codes).cpu()
        return cleaned_mask(scores, seen.image)

    def _embed(self, file: ImageFile) -> Embedded:
        image = self.read(file.path)
        return replace(embed(self.segmenter, image), image=_reduced(image))


def with_classes(segmenter: Segmenter, chosen: ClassSet) -> Segmenter:
    """Return a model with other classes; all else is shared with the given one.

    Args:
        segmenter: the model.
        chosen: the classes and their centres.
    """
    return segmenter.with_classes(chosen.classes, chosen.centres, chosen.levels)


def file_key(file: ImageFile) -> FileKey:
    """Return what tells a file from others and from what it was before it was changed."""
    return file.path, _stamp(file.path)


def _same_codes(one: ClassSets, other: ClassSets) -> bool:
    """Return whether two states of a run folder are of one fit, as its kept codes tell."""
    if one.prototypes is None or other.prototypes is None:
        mine, yours = ({each.tensor: each.centres for each in sets.known} for sets in (one, other))
        shared = mine.keys() & yours.keys()
        return bool(shared) and all(torch.equal(mine[name], yours[name]) for name in shared)
    return torch.equal(one.prototypes.vectors, other.prototypes.vectors)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return resize_image(image, reduced_size(image.shape[0], image.shape[1], LONGEST_SIDE))
