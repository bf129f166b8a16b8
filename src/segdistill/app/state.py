"""State of the app: a run, its images, and other runs for comparison."""

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segdistill.app.class_table import (
    ClassesView,
    ClassTable,
    Progress,
    level_buttons,
    no_progress,
    proposed_merges,
)
from segdistill.app.correspondences import By, HeatPicture, correspondences_of
from segdistill.app.live_run import LiveRun
from segdistill.app.pictures import MissingPicture, Picture, picture_of
from segdistill.app.requests import apply_edit, revision_of
from segdistill.app.teaching import Choices, Teaching
from segdistill.app.teaching_view import TeachTab
from segdistill.app.tree import tree_of_classes
from segdistill.config.settings import DeviceName, PrecisionName, UntaughtName
from segdistill.decoding.decode import UnreadableImageError
from segdistill.errors import UserError
from segdistill.files import stamp_of
from segdistill.images.finding import ImageFile
from segdistill.images.resize import resize_image
from segdistill.inference.samples import evenly_spread, reduced_size, without_class
from segdistill.layout import DESCRIPTION_FILE

PAGE_SIZE = 12
EXAMPLE_IMAGES = 24
OTHER_IMAGES = 5
LARGE_SIDE = 1600
MAX_CLASSES = 40
MAX_LISTED_RUNS = 200
KEPT_PICTURES = 48


class AppState:
    """Data and operations of the app, independent of the page.

    Args:
        run: the run folder.
        files: images of the gallery; may be empty.
        backbone: new location of the backbone, if it was moved.
        device: device to compute on.
        precision: precision of matrix products.
        untaught: what becomes of classes in which nothing was taught; see
            :func:`segdistill.api.teacher.open_teacher`.
        taught: folder for the taught run; by default ``taught`` in the run folder.

    Raises:
        UserError: the folder contains no model, or the backbone cannot be loaded.
    """

    def __init__(
        self,
        run: Path,
        files: Sequence[ImageFile],
        *,
        backbone: str | None = None,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
        untaught: UntaughtName = "clusters",
        taught: Path | None = None,
    ) -> None:
        self.files = list(files)
        self.run = LiveRun(run, backbone=backbone, device=device, precision=precision)
        self.table = ClassTable(self.run, evenly_spread(self.files, EXAMPLE_IMAGES))
        choices = Choices(backbone, device, precision, untaught, taught)
        self.teach = TeachTab(Teaching(run, files, choices))
        self._others = lru_cache(2)(partial(LiveRun, device=device, precision=precision))
        self._pictures = lru_cache(KEPT_PICTURES)(self._picture)

    def close(self) -> None:
        """Finish saving what was taught."""
        self.teach.close()

    @property
    def pages(self) -> int:
        """Number of pages of the gallery, at least 1."""
        return max(1, -(-len(self.files) // PAGE_SIZE))

    def page(self, number: int, progress: Progress = no_progress) -> list[Picture | MissingPicture]:
        """Return the images of a gallery page at reduced size; only these are segmented.

        Args:
            number: page number, from 0; clipped to the last page.
            progress: called with the number of images done so far, and the total number.
        """
        start = min(max(number, 0), self.pages - 1) * PAGE_SIZE
        chosen = range(start, min(start + PAGE_SIZE, len(self.files)))
        pictures = []
        for done, index in enumerate(chosen):
            progress(done, len(chosen))
            pictures.append(self.small(index))
        return pictures

    def small(self, index: int, run: LiveRun | None = None) -> Picture | MissingPicture:
        """Return an image at reduced size.

        Args:
            index: index of the image.
            run: run that segments it; by default the run of the app.
        """
        shown = run or self.run
        file = self.files[index]
        try:
            with shown.lock:
                state = (shown.grouping, shown.classes, stamp_of(file.path))
                return self._pictures(shown, index, state)
        except UnreadableImageError as error:
            return MissingPicture(index, file.name.as_posix(), str(error))

    def large(self, index: int) -> Picture | MissingPicture:
        """Return an image at large size; the index is clipped to the valid range."""
        file = self.files[min(max(index, 0), len(self.files) - 1)]
        name = file.name.as_posix()
        try:
            picture = self.run.read(file.path)
        except UnreadableImageError as error:
            return MissingPicture(index, name, str(error))
        with self.run.lock:
            mask = without_class(self.run.segment(picture.pixels), picture.valid)
            return self._segmented(picture.displayed, name, index, mask)

    def classes(
        self,
        progress: Progress = no_progress,
        *,
        message: str = "",
        failed: bool = False,
    ) -> ClassesView:
        """Return the content of the class tab.

        Args:
            progress: called with the number of images segmented so far, and the total number.
            message: result of the last edit, or an error.
            failed: whether the message is an error.
        """
        with self.run.lock:
            sets = self.run.sets
            prototypes = sets.prototypes
            rows = self.table.rows(progress)
            return ClassesView(
                rows=rows,
                shares_of="training images" if prototypes is not None else "images shown",
                revision=revision_of(self.run.grouping),
                can_undo=bool(sets.former),
                can_redo=bool(sets.undone),
                most=0 if prototypes is None else min(MAX_CLASSES, len(prototypes.shares)),
                tree=tree_of_classes(sets),
                levels=level_buttons(sets),
                proposals=proposed_merges(sets, rows),
                message=message,
                failed=failed,
            )

    def change(self, data: object, progress: Progress = no_progress) -> ClassesView:
        """Edit the classes of the run.

        Args:
            data: the edit, as the page sent it; see :func:`segdistill.app.requests.edit_requests`.
            progress: called with the number of images segmented so far, and the total number.

        Returns:
            The new content of the class tab, including any error.
        """
        with self.run.lock:
            try:
                revision = revision_of(self.run.grouping)
                message, failed = apply_edit(self.run.folder, data, revision), False
            except UserError as error:
                message, failed = str(error), True
            return self.classes(progress, message=message, failed=failed)

    def segment_file(self, path: Path) -> tuple[Picture, NDArray[np.uint8]]:
        """Segment an uploaded file.

        Returns:
            The image for display, and its mask at full size.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        picture = self.run.read(path)
        mask = without_class(self.run.segment(picture.pixels), picture.valid)
        return self._segmented(picture.displayed, path.name, -1, mask), mask

    def correspondences(self, index: int, point: tuple[float, float], by: By) -> list[HeatPicture]:
        """Return the similarity to a point; see :func:`correspondences_of`."""
        spread = evenly_spread(range(len(self.files)), OTHER_IMAGES + 1)
        others = [other for other in spread if other != index][:OTHER_IMAGES]
        with self.run.lock:
            return correspondences_of(self.run, self.files, (index, *others), point, by)

    def sibling_runs(self) -> list[Path]:
        """Return the other run folders in the same parent folder, sorted by name."""
        own = self.run.folder.resolve()
        try:
            found = [
                folder
                for folder in sorted(own.parent.iterdir())
                if folder != own and (folder / DESCRIPTION_FILE).is_file()
            ]
        except OSError:
            return []
        return found[:MAX_LISTED_RUNS]

    def other(self, folder: Path) -> LiveRun:
        """Return another run for comparison.

        Raises:
            UserError: the folder contains no model, or its backbone cannot be loaded.
        """
        return self._others(folder)

    def _picture(self, run: LiveRun, index: int, _state: tuple[object, ...]) -> Picture:
        """Return an image at reduced size; cached until its file or its classes change."""
        file = self.files[index]
        sample, name = run.sample(file), file.name.as_posix()
        return picture_of(sample.image, sample.mask, run.classes, name=name, index=index)

    def _segmented(
        self,
        image: NDArray[np.uint8],
        name: str,
        index: int,
        mask: NDArray[np.uint8],
    ) -> Picture:
        """Return an image with its mask at large size."""
        size = reduced_size(image.shape[0], image.shape[1], LARGE_SIDE)
        with self.run.lock:
            classes = self.run.classes
        shown = resize_image(image, size)
        return picture_of(shown, _resized_mask(mask, size), classes, name=name, index=index)


def _resized_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))
