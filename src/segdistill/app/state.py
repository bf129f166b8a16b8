"""What the app works with: a run, the images that are shown, and another run to compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from segdistill.app.edits import make_change, revision_of
from segdistill.app.live_run import LiveRun, file_key
from segdistill.app.pictures import MissingPicture, Picture, picture_of
from segdistill.app.recent import Recent
from segdistill.app.tree import tree_of_classes
from segdistill.config.settings import DeviceName, PrecisionName
from segdistill.errors import UserError
from segdistill.images.decode import UnreadableImageError
from segdistill.images.finding import ImageFile
from segdistill.images.resize import resize_image
from segdistill.inference.samples import evenly_spread, reduced_size
from segdistill.model.files import DESCRIPTION_FILE

PAGE_SIZE = 12
EXAMPLE_IMAGES = 24
OTHER_IMAGES = 5
LARGE_SIDE = 1600
MOST_CLASSES = 40
LISTED_RUNS = 200
KEPT_PICTURES = 48


class AppState:
    """All that the page shows and changes, without the page.

    Args:
        run: the run folder.
        files: the images to look at; may be none.
        backbone: where the backbone lies now, if it has moved.
        device: where to compute.
        precision: of matrix products.

    Raises:
        UserError: the folder holds no model, or the backbone cannot be had.
    """

    def __init__(
        self,
        run: Path,
        files: Sequence[ImageFile],
        *,
        backbone: str | None = None,
        device: DeviceName = "auto",
        precision: PrecisionName = "auto",
    ) -> None:
        self.files = list(files)
        self.run = LiveRun(run, backbone=backbone, device=device, precision=precision)
        self.table = ClassTable(self.run, evenly_spread(self.files, EXAMPLE_IMAGES))
        self._device: DeviceName = device
        self._precision: PrecisionName = precision
        self._others: Recent[Path, LiveRun] = Recent(2)
        self._pictures: Recent[tuple[object, ...], Picture] = Recent(KEPT_PICTURES)

    @property
    def pages(self) -> int:
        """Number of pages of the gallery, at least 1."""
        return max(1, -(-len(self.files) // PAGE_SIZE))

    def page(self, number: int, progress: Progress = no_progress) -> list[Picture | MissingPicture]:
        """Return the images of a page of the gallery, reduced; only these are segmented.

        Args:
            number: of the page, from 0; beyond the last gives the last.
            progress: called with the number of images done so far, and of all.
        """
        start = min(max(number, 0), self.pages - 1) * PAGE_SIZE
        chosen = range(start, min(start + PAGE_SIZE, len(self.files)))
        pictures = []
        for done, index in enumerate(chosen):
            progress(done, len(chosen))
            pictures.append(self.small(index))
        return pictures

    def small(self, index: int, run: LiveRun | None = None) -> Picture | MissingPicture:
        """Return one image, reduced.

        Args:
            index: among the images shown.
            run: whose classes are shown; by default those of the run that the app was opened with.
        """
        shown = run or self.run
        file = self.files[index]
        name = file.name.as_posix()
        try:
            with shown.lock:
                sample = shown.sample(file)
                key = (shown.folder, shown.grouping, shown.classes, index, file_key(file))
                return self._pictures.get(
                    key,
                    lambda: picture_of(
                        sample.image, sample.mask, shown.classes, name=name, index=index
                    ),
                )
        except UnreadableImageError as error:
            return MissingPicture(index, name, str(error))

    def large(self, index: int) -> Picture | MissingPicture:
        """Return one image, large; one that is not there is the nearest that is."""
        file = self.files[min(max(index, 0), len(self.files) - 1)]
        name = file.name.as_posix()
        try:
            image = self.run.read(file.path)
        except UnreadableImageError as error:
            return MissingPicture(index, name, str(error))
        return self._segmented(image, name, index)

    def classes(
        self,
        progress: Progress = no_progress,
        *,
        message: str = "",
        failed: bool = False,
    ) -> ClassesView:
        """Return what is shown of the classes.

        Args:
            progress: called with the number of images segmented so far, and of all.
            message: what was done, or what went wrong.
            failed: whether it went wrong.
        """
        with self.run.lock:
            sets = self.run.sets
            prototypes = sets.prototypes
            rows = self.table.rows(progress)
            return ClassesView(
                rows=rows,
                revision=revision_of(self.run.grouping),
                can_undo=bool(sets.former),
                can_redo=bool(sets.undone),
                most=0 if prototypes is None else min(MOST_CLASSES, len(prototypes.shares)),
                tree=tree_of_classes(sets),
                levels=level_buttons(sets),
                proposals=proposed_merges(sets, rows),
                message=message,
                failed=failed,
            )

    def change(self, wish: Mapping[str, Any], progress: Progress = no_progress) -> ClassesView:
        """Change the classes of the run; see :func:`segdistill.app.edits.make_change`.

        Args:
            wish: the change, and with ``revision`` which numbering of the classes it is meant for.
            progress: called with the number of images segmented so far, and of all.

        Returns:
            What is shown then; a change that cannot be made is reported in it.
        """
        with self.run.lock:
            try:
                self._check_revision(wish)
                message, failed = make_change(self.run.folder, wish), False
            except UserError as error:
                message, failed = str(error), True
            return self.classes(progress, message=message, failed=failed)

    def _check_revision(self, wish: Mapping[str, Any]) -> None:
        if wish.get("do") in {"undo", "redo"}:
            return
        if wish.get("revision") != revision_of(self.run.grouping):
            raise UserError("The classes were changed elsewhere; look at them, then try again.")

    def tried(self, path: Path) -> tuple[Picture, NDArray[np.uint8]]:
        """Segment a file that was dropped in.

        Returns:
            The image as it is shown, and its mask in full size.

        Raises:
            UnreadableImageError: the file cannot be decoded.
        """
        image = self.run.read(path)
        mask = self.run.segment(image)
        return self._segmented(image, path.name, mask=mask), mask

    def correspondences(self, index: int, point: tuple[float, float], by: By) -> list[HeatPicture]:
        """Return what corresponds to a point; see :func:`correspondences_of`."""
        spread = evenly_spread(range(len(self.files)), OTHER_IMAGES + 1)
        others = [other for other in spread if other != index][:OTHER_IMAGES]
        with self.run.lock:
            return correspondences_of(self.run, self.files, (index, *others), point, by)

    def runs_beside(self) -> list[Path]:
        """Return the run folders that lie next to this one, by name."""
        own = self.run.folder.resolve()
        try:
            found = [
                folder
                for folder in sorted(own.parent.iterdir())
                if folder != own and (folder / DESCRIPTION_FILE).is_file()
            ]
        except OSError:
            return []
        return found[:LISTED_RUNS]

    def other(self, folder: Path) -> LiveRun:
        """Return another run to compare with.

        Raises:
            UserError: the folder holds no model, or its backbone cannot be had.
        """
        return self._others.get(
            folder, lambda: LiveRun(folder, device=self._device, precision=self._precision)
        )

    def _segmented(
        self,
        image: NDArray[np.uint8],
        name: str,
        index: int = -1,
        mask: NDArray[np.uint8] | None = None,
    ) -> Picture:
        """Return an image as large as a page shows it."""
        size = reduced_size(image.shape[0], image.shape[1], LARGE_SIDE)
        with self.run.lock:
            classes = self.run.classes
            full = self.run.segment(image) if mask is None else mask
        shown = resize_image(image, size)
        return picture_of(shown, _resized_mask(full, size), classes, name=name, index=index)


def _resized_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))
